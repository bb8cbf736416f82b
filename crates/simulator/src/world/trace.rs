//! What was called, for tests that ask whether anything was changed, and for the count of healthy partitions touched.

use std::collections::VecDeque;

use crate::Millis;
use crate::nameserver::Nameservers;
use openmldb_model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_wire::call::{Effect, NameserverCall, TabletCall};
use openmldb_wire::nameserver::{TableInfo, TablePartition};

/// How many calls are remembered one by one; a sandbox that serves for days forgets the oldest.
const REMEMBERED: usize = 100_000;

/// A call that a client made. What the servers call each other for is not in here, nor what writers put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Traced {
    /// World time.
    pub at: Millis,
    /// The server called.
    pub server: Endpoint,
    /// The service's full name.
    pub service: &'static str,
    /// The method, as [`NameserverCall::name`] has it.
    pub method: &'static str,
    /// What it may do.
    pub effect: Effect,
    /// The partitions it names, whether or not it was refused.
    pub partitions: Vec<PartitionId>,
}

/// The calls so far.
#[derive(Debug, Clone, Default)]
pub struct Trace {
    calls: VecDeque<Traced>,
    reads: u64,
    mutations: u64,
}

impl Trace {
    /// The calls, oldest first; the last 100,000 of them.
    pub fn calls(&self) -> impl Iterator<Item = &Traced> {
        self.calls.iter()
    }

    /// How many calls changed nothing by their nature.
    pub fn reads(&self) -> u64 {
        self.reads
    }

    /// How many calls may have changed something.
    pub fn mutations(&self) -> u64 {
        self.mutations
    }

    pub(super) fn push(&mut self, call: Traced) {
        match call.effect {
            Effect::Read => self.reads += 1,
            Effect::Mutate => self.mutations += 1,
        }
        if self.calls.len() == REMEMBERED {
            self.calls.pop_front();
        }
        self.calls.push_back(call);
    }
}

/// The partitions a nameserver call names.
pub(super) fn named_by_nameserver_call(call: &NameserverCall, nameservers: &Nameservers) -> Vec<PartitionId> {
    let of_table = |db: &str, name: &str, pids: &[u32]| {
        let tid = nameservers.tid(db, name);
        tid.map(|tid| pids.iter().map(|pid| partition(tid, *pid)).collect()).unwrap_or_default()
    };
    match call {
        NameserverCall::UpdateTableAliveStatus(request) => match request.pid {
            Some(pid) => of_table(request.db(), request.name(), &[pid]),
            None => on_endpoint(nameservers.table(request.db(), request.name()), request.endpoint()),
        },
        NameserverCall::OfflineEndpoint(request) => on_endpoint(nameservers.tables(), &request.endpoint),
        NameserverCall::RecoverEndpoint(request) => on_endpoint(nameservers.tables(), &request.endpoint),
        NameserverCall::ChangeLeader(request) => of_table(request.db(), &request.name, &[request.pid]),
        NameserverCall::RecoverTable(request) => of_table(request.db(), &request.name, &[request.pid]),
        NameserverCall::Migrate(request) => of_table(request.db(), &request.name, &request.pid),
        NameserverCall::AddReplicaNs(request) => {
            of_table(request.db(), &request.name, &pids(request.pid, &request.pid_group))
        }
        NameserverCall::DelReplicaNs(request) => {
            of_table(request.db(), &request.name, &pids(request.pid, &request.pid_group))
        }
        NameserverCall::GetTablePartition(request) => of_table(request.db(), request.name(), &[request.pid()]),
        NameserverCall::SetTablePartition(request) => {
            let pids: Vec<u32> = request.table_partition.iter().map(|partition| partition.pid).collect();
            of_table(request.db(), request.name(), &pids)
        }
        NameserverCall::ShowTable(_)
        | NameserverCall::ShowTablet(_)
        | NameserverCall::ShowDatabase(_)
        | NameserverCall::ShowOpStatus(_)
        | NameserverCall::ConfGet(_)
        | NameserverCall::ConfSet(_)
        | NameserverCall::CancelOp(_)
        | NameserverCall::DeleteOp(_)
        | NameserverCall::ShowReplicaCluster(_) => Vec::new(),
    }
}

/// A group of pids replaces the single one when it is not empty
/// (docs/openmldb/operations.md#adding-removing-and-migrating-replicas).
fn pids(pid: u32, group: &[u32]) -> Vec<u32> {
    if group.is_empty() { vec![pid] } else { group.to_vec() }
}

fn on_endpoint(tables: impl IntoIterator<Item = TableInfo>, endpoint: &str) -> Vec<PartitionId> {
    let mut found = Vec::new();
    for table in tables {
        let there = |metas: &&TablePartition| metas.partition_meta.iter().any(|meta| meta.endpoint == endpoint);
        found.extend(table.table_partition.iter().filter(there).map(|metas| partition(table.tid(), metas.pid)));
    }
    found
}

/// The partition a tablet call names, if it names one.
pub(super) fn named_by_tablet_call(call: &TabletCall) -> Vec<PartitionId> {
    let id = match call {
        TabletCall::Put(request) => partition(request.tid(), request.pid()),
        TabletCall::LoadTable(request) => match &request.table_meta {
            Some(meta) => signed(meta.tid(), meta.pid()),
            None => return Vec::new(),
        },
        TabletCall::DropTable(request) => signed(request.tid(), request.pid()),
        TabletCall::GetTableStatus(request) => match (request.tid, request.pid) {
            (Some(tid), Some(pid)) => partition(tid, pid),
            _ => return Vec::new(),
        },
        TabletCall::GetTableFollower(request) => partition(request.tid(), request.pid()),
        TabletCall::AppendEntries(request) => partition(request.tid(), request.pid()),
        TabletCall::AddReplica(request) | TabletCall::DelReplica(request) => partition(request.tid(), request.pid()),
        TabletCall::ChangeRole(request) => partition(request.tid(), request.pid()),
        TabletCall::MakeSnapshot(request)
        | TabletCall::PauseSnapshot(request)
        | TabletCall::RecoverSnapshot(request)
        | TabletCall::DeleteBinlog(request) => signed(request.tid, request.pid),
        TabletCall::SendSnapshot(request) => partition(request.tid, request.pid),
        TabletCall::GetTableSchema(request) => partition(request.tid().unsigned_abs(), request.pid().unsigned_abs()),
        TabletCall::GetTermPair(request) => partition(request.tid(), request.pid()),
        TabletCall::GetManifest(request) => partition(request.tid(), request.pid()),
        TabletCall::CheckFile(request) => partition(request.tid(), request.pid()),
        TabletCall::CreateAggregator(request) => partition(request.aggr_table_tid(), request.aggr_table_pid()),
        TabletCall::Traverse(request) => partition(request.tid(), request.pid()),
        TabletCall::GetTaskStatus(_) | TabletCall::DeleteOpTask(_) | TabletCall::CancelOp(_) => return Vec::new(),
    };
    vec![id]
}

/// A partition's identity.
pub(crate) fn partition(tid: u32, pid: u32) -> PartitionId {
    PartitionId { tid: Tid(tid), pid: Pid(pid) }
}

fn signed(tid: i32, pid: i32) -> PartitionId {
    partition(u32::try_from(tid).unwrap_or(u32::MAX), u32::try_from(pid).unwrap_or(u32::MAX))
}
