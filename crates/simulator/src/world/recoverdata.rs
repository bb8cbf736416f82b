//! A second recovery beside a tool's: what `sbin/start-all.sh` runs, openmldb_ops.py recoverdata. It takes no lock, switches
//! auto_failover off and on again, loads only leaders, and those without a mode, and has every follower resent
//! (docs/openmldb/official-procedure.md#openmldb_opspy). Left out is that it ends in a KeyError where a replica was never polled.

use std::collections::{BTreeSet, VecDeque};

use super::reach::Reach;
use super::{World, faults, partition};
use crate::Millis;
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::api::{GetTableStatusRequest, TableState, TableStatus};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::nameserver::{
    ConfGetRequest, ConfSetRequest, Pair, PartitionMeta, ShowOpStatusRequest, TableInfo, TablePartition,
};

/// Between two looks at a load or at operations.
const POLL: Millis = 2_000;
/// Between two of its commands: each is a process of its own.
const COMMAND: Millis = 60;
/// A load that never ends is waited for without end; here somebody stops it.
const PATIENCE: Millis = 600_000;

/// How far it has come.
#[derive(Debug, Clone)]
pub(super) struct Recoverdata {
    /// The nameserver that led when it began: it asks no other.
    nameserver: Endpoint,
    /// Whether it has switched auto_failover off.
    was_on: bool,
    began: Millis,
    tables: VecDeque<u32>,
    partitions: VecDeque<PartitionId>,
    /// The leader that it waits for.
    loading: Option<(PartitionId, Endpoint)>,
    /// It waits for operations on the table.
    waiting: Option<u32>,
}

impl World {
    /// Somebody runs it, from now on.
    pub fn start_recoverdata(&mut self) {
        let Some(nameserver) = self.leader() else { return };
        let mut run = Recoverdata {
            nameserver,
            was_on: false,
            began: self.now,
            tables: self.tables().iter().map(TableInfo::tid).collect(),
            partitions: VecDeque::new(),
            loading: None,
            waiting: None,
        };
        let Some(on) = self.is_failover_on(&run) else { return };
        run.was_on = on;
        if on {
            self.set_failover(&run, false);
        }
        self.deeds.push((self.now + COMMAND, faults::ScheduledFault::Recoverdata(run)));
    }

    /// Whether somebody's is still at work.
    pub fn is_recovered_by_others(&self) -> bool {
        self.deeds.iter().any(|(_, deed)| matches!(deed, faults::ScheduledFault::Recoverdata(_)))
    }

    /// Partitions in which it, or another operator, had replicas overwritten that held more than their leader, or loaded a leader
    /// that clients then wrote to: what is lost of them is their doing.
    pub fn ruined_by_others(&self) -> &BTreeSet<PartitionId> {
        &self.ruined
    }

    /// Its next command.
    pub(super) fn recoverdata_goes_on(&mut self, mut run: Recoverdata) {
        // An exception ends it where it is, and auto_failover stays off.
        if self.leader().as_ref() != Some(&run.nameserver) || self.now > run.began + PATIENCE {
            return;
        }
        let pause = match self.recoverdata_step(&mut run) {
            Some(pause) => pause,
            None => {
                if run.was_on {
                    self.set_failover(&run, true);
                }
                return;
            }
        };
        self.deeds.push((self.now + pause, faults::ScheduledFault::Recoverdata(run)));
    }

    /// How long it pauses after it; none once it has come to its end.
    fn recoverdata_step(&mut self, run: &mut Recoverdata) -> Option<Millis> {
        if let Some((id, leader)) = run.loading.clone() {
            let is_loaded =
                self.status_of(&leader, id).is_some_and(|status| status.state() == TableState::KTableNormal);
            if !is_loaded {
                return Some(POLL);
            }
            run.loading = None;
            self.recover_partition(run, id, &leader);
            return Some(COMMAND);
        }
        if let Some(id) = run.partitions.pop_front() {
            self.begin_partition(run, id);
            return Some(COMMAND);
        }
        if let Some(tid) = run.waiting {
            if self.has_ops(run, tid) {
                return Some(POLL);
            }
            run.waiting = None;
            return Some(COMMAND);
        }
        let tid = run.tables.pop_front()?;
        if !self.looks_well(tid) {
            let table = self.tables().into_iter().find(|table| table.tid() == tid);
            run.partitions
                .extend(table.iter().flat_map(|table| &table.table_partition).map(|found| partition(tid, found.pid)));
            run.waiting = Some(tid);
        }
        Some(COMMAND)
    }

    /// Every replica alive and there, in its flagged role. Offsets are not looked at.
    fn looks_well(&mut self, tid: u32) -> bool {
        let metas: Vec<TablePartition> = self
            .tables()
            .into_iter()
            .filter(|table| table.tid() == tid)
            .flat_map(|table| table.table_partition)
            .collect();
        metas.iter().all(|found| {
            found.partition_meta.iter().all(|meta| {
                let status = self.status_of(&meta.endpoint.as_str().into(), partition(tid, found.pid));
                let leads = status.map(|status| status.mode() == openmldb_wire::api::TableMode::KTableLeader);
                meta.is_alive() && leads == Some(meta.is_leader)
            })
        })
    }

    /// The last replica that is flagged leader is loaded, unless it is there.
    fn begin_partition(&mut self, run: &mut Recoverdata, id: PartitionId) {
        let Some((table, metas)) = self.found(id) else { return };
        let Some(leader) = metas.iter().rev().find(|meta| meta.is_leader) else { return };
        let at = Endpoint::from(leader.endpoint.as_str());
        if self.status_of(&at, id).is_some() {
            return self.recover_partition(run, id, &at);
        }
        if self.tablets.call(at.as_str(), faults::load_table(&table, id)).is_ok() {
            // Clients write to it before its data is there.
            if self.writers.is_some() {
                self.ruined.insert(id);
            }
            run.loading = Some((id, at));
        }
    }

    fn recover_partition(&mut self, run: &Recoverdata, id: PartitionId, leader: &Endpoint) {
        let Some((table, metas)) = self.found(id) else { return };
        for meta in metas.iter().filter(|meta| meta.endpoint == leader.as_str() && !meta.is_alive()) {
            self.tell_nameserver(run, faults::mark_alive(&table, id, meta, true));
        }
        for meta in metas.iter().filter(|meta| meta.endpoint != leader.as_str()) {
            if meta.is_alive() {
                self.tell_nameserver(run, faults::mark_alive(&table, id, meta, false));
            }
            self.note_overwriting(id, &meta.endpoint.as_str().into(), leader);
            self.tell_nameserver(run, faults::recover_table(&table, id, meta));
        }
    }

    /// Somebody has a replica recovered, whatever it holds that its leader does not.
    pub(super) fn note_overwriting(&mut self, id: PartitionId, replica: &Endpoint, leader: &Endpoint) {
        let rows = |at| -> BTreeSet<_> { self.log(at, id).into_iter().map(|entry| entry.row).collect() };
        if !rows(replica).is_subset(&rows(leader)) {
            self.ruined.insert(id);
        }
    }

    fn found(&self, id: PartitionId) -> Option<(TableInfo, Vec<PartitionMeta>)> {
        let table = self.tables().into_iter().find(|table| table.tid() == id.tid.0)?;
        let metas = table.table_partition.iter().find(|found| found.pid == id.pid.0)?.partition_meta.clone();
        Some((table, metas))
    }

    fn status_of(&mut self, at: &Endpoint, id: PartitionId) -> Option<TableStatus> {
        let asked = TabletCall::GetTableStatus(GetTableStatusRequest::default());
        let Ok(TabletAnswer::GetTableStatus(answer)) = self.tablets.call(at.as_str(), asked) else { return None };
        answer.all_table_status.into_iter().find(|status| status.tid() == id.tid.0 && status.pid() == id.pid.0)
    }

    fn tell_nameserver(&mut self, run: &Recoverdata, call: NameserverCall) -> Option<NameserverAnswer> {
        let mut reach = Reach(&mut self.tablets);
        self.nameservers.call(run.nameserver.as_str(), self.now, call, &mut reach).ok()
    }

    fn is_failover_on(&mut self, run: &Recoverdata) -> Option<bool> {
        let answer = self.tell_nameserver(run, NameserverCall::ConfGet(ConfGetRequest {}))?;
        let NameserverAnswer::ConfGet(answer) = answer else { return None };
        answer.conf.iter().find(|pair| pair.key == "auto_failover").map(|pair| pair.value == "true")
    }

    fn set_failover(&mut self, run: &Recoverdata, on: bool) {
        let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
        self.tell_nameserver(run, NameserverCall::ConfSet(ConfSetRequest { conf }));
    }

    /// Operations that are queued count as ended.
    fn has_ops(&mut self, run: &Recoverdata, tid: u32) -> bool {
        let Some(table) = self.tables().into_iter().find(|table| table.tid() == tid) else { return false };
        let request = ShowOpStatusRequest { name: table.name.clone(), db: table.db.clone(), ..Default::default() };
        let answer = self.tell_nameserver(run, NameserverCall::ShowOpStatus(request));
        let Some(NameserverAnswer::ShowOpStatus(answer)) = answer else { return false };
        answer.op_status.iter().any(|op| op.status == "kDoing")
    }
}
