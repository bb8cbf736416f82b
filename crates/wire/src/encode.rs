//! [`openmldb_model`] into calls. Presence means something in proto2, and a present empty string is not an absent one to
//! OpenMLDB (ShowTable with an empty name finds nothing), so each call carries what is meant and nothing else.

use openmldb_model::{
    Action, Endpoint, Manual, OpEnd, PartitionId, Pid, RowCursor, StorageMode, TableName, Term, WhichOps,
};

use super::call::{NameserverCall, TabletCall};
use super::{api, common, nameserver};

/// A call and the server it is for.
#[derive(Debug, Clone, PartialEq)]
#[allow(clippy::large_enum_variant, reason = "lives for one call, on one stack")]
pub enum Addressed {
    /// For the leading nameserver.
    Nameserver(NameserverCall),
    /// For one tablet.
    Tablet(Endpoint, TabletCall),
}

/// The one call that carries out an action. LoadWithSchema is LoadTable, to which [`describe`] adds; to CreateAggregator
/// [`Aggregation::describe`](super::Aggregation::describe) does; and to SetTablePartition, whoever has read what is there.
pub fn action(action: &Action) -> Addressed {
    use Addressed::{Nameserver, Tablet};
    match action {
        Action::SetAutoFailover { on } => Nameserver(set_auto_failover(*on)),
        Action::OfflineEndpoint { endpoint } => {
            let request = nameserver::OfflineEndpointRequest { endpoint: endpoint.to_string(), concurrency: None };
            Nameserver(NameserverCall::OfflineEndpoint(request))
        }
        Action::CancelOp { op } => {
            Nameserver(NameserverCall::CancelOp(nameserver::CancelOpRequest { op_id: Some(op.0) }))
        }
        Action::MarkAlive { table, pid, endpoint, alive } => Nameserver(mark_alive(table, *pid, endpoint, *alive)),
        Action::ChangeLeader { table, pid, candidate } => Nameserver(change_leader(table, *pid, candidate)),
        Action::RecoverTable { table, pid, endpoint } => Nameserver(recover_table(table, *pid, endpoint)),
        Action::LoadTable { endpoint, table, partition, seg_cnt, storage }
        | Action::LoadWithSchema { endpoint, table, partition, seg_cnt, storage } => {
            Tablet(endpoint.clone(), load_table(table, *partition, *seg_cnt, *storage))
        }
        Action::ChangeRole { endpoint, partition, term, replicas } => {
            Tablet(endpoint.clone(), change_role(*partition, *term, replicas))
        }
        Action::AddReplica { endpoint, partition, follower } => {
            Tablet(endpoint.clone(), TabletCall::AddReplica(replica(*partition, follower)))
        }
        Action::AttachRemote { endpoint, partition, remote, remote_tid } => {
            let request = api::ReplicaRequest { remote_tid: Some(remote_tid.0), ..replica(*partition, remote) };
            Tablet(endpoint.clone(), TabletCall::AddReplica(request))
        }
        Action::DelReplica { endpoint, partition, follower } => {
            Tablet(endpoint.clone(), TabletCall::DelReplica(replica(*partition, follower)))
        }
        Action::DropTable { endpoint, partition } => Tablet(endpoint.clone(), drop_table(*partition)),
        Action::MakeSnapshot { endpoint, partition, offset, storage } => Tablet(
            endpoint.clone(),
            TabletCall::MakeSnapshot(api::GeneralRequest {
                offset: Some(offset.0),
                storage_mode: Some(storage_mode(*storage)),
                ..general(*partition)
            }),
        ),
        Action::CreateAggregator { endpoint, partition, .. } => {
            let request = api::CreateAggregatorRequest {
                aggr_table_tid: Some(partition.tid.0),
                aggr_table_pid: Some(partition.pid.0),
                ..Default::default()
            };
            Tablet(endpoint.clone(), TabletCall::CreateAggregator(request))
        }
        Action::RecoverSnapshot { endpoint, partition } => {
            Tablet(endpoint.clone(), TabletCall::RecoverSnapshot(general(*partition)))
        }
        Action::Manual(action) => manual(action),
    }
}

fn manual(action: &Manual) -> Addressed {
    use Addressed::{Nameserver, Tablet};
    match action {
        Manual::DeleteOps { which } => Nameserver(NameserverCall::DeleteOp(delete_ops(*which))),
        Manual::AddReplica { table, pid, endpoint } => {
            let (name, db, pid, endpoint) = named(table, *pid, endpoint);
            let rest = nameserver::AddReplicaNsRequest::default();
            Nameserver(NameserverCall::AddReplicaNs(nameserver::AddReplicaNsRequest {
                name,
                db,
                pid,
                endpoint,
                ..rest
            }))
        }
        Manual::RemoveReplica { table, pid, endpoint } => {
            let (name, db, pid, endpoint) = named(table, *pid, endpoint);
            let rest = nameserver::DelReplicaNsRequest::default();
            Nameserver(NameserverCall::DelReplicaNs(nameserver::DelReplicaNsRequest {
                name,
                db,
                pid,
                endpoint,
                ..rest
            }))
        }
        Manual::MigrateReplica { table, pid, from, to } => {
            let (name, db, pid, des_endpoint) = named(table, *pid, to);
            let src_endpoint = from.to_string();
            let request = nameserver::MigrateRequest { src_endpoint, name, pid: vec![pid], des_endpoint, db };
            Nameserver(NameserverCall::Migrate(request))
        }
        Manual::RecoverEndpoint { endpoint } => {
            let (endpoint, need_restore, concurrency) = (endpoint.to_string(), None, None);
            let request = nameserver::RecoverEndpointRequest { endpoint, need_restore, concurrency };
            Nameserver(NameserverCall::RecoverEndpoint(request))
        }
        Manual::ForgetReplica { table, .. } | Manual::ReplaceOnly { table, .. } | Manual::SetTerms { table, .. } => {
            Nameserver(NameserverCall::SetTablePartition(set_partition(table)))
        }
        Manual::Follow { endpoint, partition } => {
            let request = api::ChangeRoleRequest {
                tid: Some(partition.tid.0),
                pid: Some(partition.pid.0),
                mode: Some(api::TableMode::KTableFollower.into()),
                ..api::ChangeRoleRequest::default()
            };
            Tablet(endpoint.clone(), TabletCall::ChangeRole(request))
        }
        Manual::MakeDiskSnapshot { endpoint, partition } => {
            Tablet(endpoint.clone(), TabletCall::MakeSnapshot(general(*partition)))
        }
    }
}

/// A replica, as the nameserver's calls name it.
fn named(table: &TableName, pid: Pid, endpoint: &Endpoint) -> (String, Option<String>, u32, String) {
    (table.table.clone(), Some(table.db.clone()), pid.0, endpoint.to_string())
}

fn delete_ops(which: WhichOps) -> nameserver::DeleteOpRequest {
    let ended = |end| match end {
        OpEnd::Done => api::TaskStatus::KDone,
        OpEnd::Failed => api::TaskStatus::KFailed,
        OpEnd::Canceled => api::TaskStatus::KCanceled,
    };
    match which {
        WhichOps::One(op) => nameserver::DeleteOpRequest { op_id: Some(op.0), ..Default::default() },
        WhichOps::Ended(end) => nameserver::DeleteOpRequest { status: Some(ended(end).into()), ..Default::default() },
    }
}

/// SetTablePartition of a table, without what is to be there.
pub fn set_partition(table: &TableName) -> nameserver::SetTablePartitionRequest {
    let (name, db) = (Some(table.table.clone()), Some(table.db.clone()));
    nameserver::SetTablePartitionRequest { name, table_partition: None, db }
}

/// ShowTable of every table of every database, system databases included. Tables older than databases come with every
/// ShowTable (docs/openmldb/nameserver.md#what-showtable-shows). No name: a present empty one would find nothing.
pub fn show_all_tables() -> NameserverCall {
    NameserverCall::ShowTable(nameserver::ShowTableRequest { show_all: Some(true), ..Default::default() })
}

/// ShowTable of one table.
pub fn show_table(table: &TableName) -> NameserverCall {
    let (name, db) = (Some(table.table.clone()), Some(table.db.clone()));
    NameserverCall::ShowTable(nameserver::ShowTableRequest { name, db, show_all: Some(false) })
}

/// ShowOPStatus of one partition's operations.
pub fn show_ops_of(table: &TableName, pid: Pid) -> NameserverCall {
    let (name, db, pid) = (Some(table.table.clone()), Some(table.db.clone()), Some(pid.0));
    NameserverCall::ShowOpStatus(nameserver::ShowOpStatusRequest { name, db, pid, ..Default::default() })
}

/// GetTableStatus of one replica.
pub fn replica_status(partition: PartitionId) -> TabletCall {
    let (tid, pid) = (Some(partition.tid.0), Some(partition.pid.0));
    TabletCall::GetTableStatus(api::GetTableStatusRequest { tid, pid, ..Default::default() })
}

/// GetTableStatus of everything a tablet holds, in one call.
pub fn table_status() -> TabletCall {
    TabletCall::GetTableStatus(api::GetTableStatusRequest::default())
}

/// GetTermPair. The storage mode picks the directory that is looked in while the replica is not loaded.
pub fn term_pair(partition: PartitionId, storage: StorageMode) -> TabletCall {
    TabletCall::GetTermPair(api::GetTermPairRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
        storage_mode: Some(storage_mode(storage)),
    })
}

/// GetTableSchema of a loaded replica.
pub fn table_schema(partition: PartitionId) -> TabletCall {
    TabletCall::GetTableSchema(api::GetTableSchemaRequest {
        tid: i32::try_from(partition.tid.0).ok(),
        pid: i32::try_from(partition.pid.0).ok(),
    })
}

/// GetManifest. The storage mode picks the directory that is looked in.
pub fn manifest(partition: PartitionId, storage: StorageMode) -> TabletCall {
    TabletCall::GetManifest(api::GetManifestRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
        storage_mode: Some(storage_mode(storage)),
    })
}

/// A file of a replica's directory that CheckFile can be asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReplicaFile {
    /// `table_meta.txt`.
    Description,
    /// `snapshot/MANIFEST`.
    Manifest,
    /// `binlog/00000000.log`: as long as there is no snapshot, no log file is deleted.
    FirstLog,
    /// `aggr_info.txt`, of a pre-aggregate table.
    Aggregator,
}

impl ReplicaFile {
    /// As CheckFile finds it: all but the description below `snapshot/`.
    fn path(self) -> &'static str {
        match self {
            Self::Description => "table_meta.txt",
            Self::Manifest => "MANIFEST",
            Self::FirstLog => "../binlog/00000000.log",
            Self::Aggregator => "../aggr_info.txt",
        }
    }
}

/// CheckFile of a file of a replica: whether it is there, and whether it is empty. The storage mode picks the directory that is
/// looked in.
pub fn check_file(file: ReplicaFile, partition: PartitionId, storage: StorageMode) -> TabletCall {
    TabletCall::CheckFile(api::CheckFileRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
        file: Some(file.path().to_owned()),
        size: Some(0),
        dir_name: None,
        storage_mode: Some(storage_mode(storage)),
    })
}

/// GetTableFollower.
pub fn followers(partition: PartitionId) -> TabletCall {
    TabletCall::GetTableFollower(api::GetTableFollowerRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
    })
}

/// Traverse: at most `limit` rows of an index, from the beginning or behind a cursor. No name means the first index.
pub fn traverse(partition: PartitionId, index: Option<&str>, after: Option<&RowCursor>, limit: u32) -> TabletCall {
    TabletCall::Traverse(api::TraverseRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
        idx_name: index.map(str::to_owned),
        limit: Some(limit),
        pk: after.map(|cursor| cursor.key.clone()),
        ts: after.map(|cursor| cursor.time),
        ts_pos: after.map(|cursor| cursor.seen),
        ..Default::default()
    })
}

fn set_auto_failover(on: bool) -> NameserverCall {
    let value = if on { "true" } else { "false" };
    NameserverCall::ConfSet(nameserver::ConfSetRequest {
        conf: nameserver::Pair { key: "auto_failover".to_owned(), value: value.to_owned() },
    })
}

fn mark_alive(table: &TableName, pid: Option<Pid>, endpoint: &Endpoint, alive: bool) -> NameserverCall {
    NameserverCall::UpdateTableAliveStatus(nameserver::UpdateTableAliveRequest {
        name: Some(table.table.clone()),
        endpoint: Some(endpoint.to_string()),
        pid: pid.map(|pid| pid.0),
        is_alive: Some(alive),
        db: db(table),
    })
}

fn change_leader(table: &TableName, pid: Pid, candidate: &Endpoint) -> NameserverCall {
    NameserverCall::ChangeLeader(nameserver::ChangeLeaderRequest {
        name: table.table.clone(),
        pid: pid.0,
        candidate_leader: Some(candidate.to_string()),
        db: db(table),
    })
}

fn recover_table(table: &TableName, pid: Pid, endpoint: &Endpoint) -> NameserverCall {
    NameserverCall::RecoverTable(nameserver::RecoverTableRequest {
        name: table.table.clone(),
        pid: pid.0,
        endpoint: endpoint.to_string(),
        db: db(table),
    })
}

/// Minimal meta and mode follower, always: a replica that loads as leader takes writes before its data is there
/// (docs/openmldb/load-table.md#writes-before-it-is-loaded), and columns sent along would be added to those on the
/// tablet's disk (docs/openmldb/load-table.md#checks-in-this-order).
fn load_table(table: &TableName, partition: PartitionId, seg_cnt: u32, storage: StorageMode) -> TabletCall {
    let (tid, pid) = signed(partition);
    TabletCall::LoadTable(api::LoadTableRequest {
        table_meta: Some(api::TableMeta {
            tid: Some(tid),
            name: Some(table.table.clone()),
            pid: Some(pid),
            seg_cnt: Some(seg_cnt.cast_signed()),
            mode: Some(api::TableMode::KTableFollower as i32),
            storage_mode: Some(storage_mode(storage)),
            ..Default::default()
        }),
        task_info: None,
    })
}

/// Adds to LoadTable what a nameserver says of a table when it has a replica of it created, and what has been added to the table
/// since.
pub fn describe(load: &mut api::LoadTableRequest, info: &nameserver::TableInfo) {
    let partition = |found: &nameserver::TablePartition| common::TablePartition {
        pid: Some(found.pid),
        partition_meta: found.partition_meta.iter().map(placed).collect(),
    };
    let meta = load.table_meta.get_or_insert_default();
    meta.db.clone_from(&info.db);
    meta.compress_type = info.compress_type;
    meta.key_entry_max_height = info.key_entry_max_height;
    meta.column_desc.clone_from(&info.column_desc);
    meta.column_key.clone_from(&info.column_key);
    meta.added_column_desc.clone_from(&info.added_column_desc);
    meta.schema_versions.clone_from(&info.schema_versions);
    meta.base_table_tid = info.base_table_tid;
    meta.table_partition = info.table_partition.iter().map(partition).collect();
}

fn placed(replica: &nameserver::PartitionMeta) -> common::PartitionMeta {
    common::PartitionMeta {
        endpoint: Some(replica.endpoint.clone()),
        is_leader: Some(replica.is_leader),
        is_alive: Some(true),
    }
}

fn change_role(partition: PartitionId, term: Term, replicas: &[Endpoint]) -> TabletCall {
    TabletCall::ChangeRole(api::ChangeRoleRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
        term: Some(term.0),
        mode: Some(api::TableMode::KTableLeader as i32),
        replicas: replicas.iter().map(Endpoint::to_string).collect(),
        endpoint_tid: Vec::new(),
    })
}

fn replica(partition: PartitionId, follower: &Endpoint) -> api::ReplicaRequest {
    api::ReplicaRequest {
        tid: Some(partition.tid.0),
        pid: Some(partition.pid.0),
        endpoint: Some(follower.to_string()),
        ..Default::default()
    }
}

fn drop_table(partition: PartitionId) -> TabletCall {
    let (tid, pid) = signed(partition);
    TabletCall::DropTable(api::DropTableRequest { tid: Some(tid), pid: Some(pid), task_info: None })
}

fn general(partition: PartitionId) -> api::GeneralRequest {
    let (tid, pid) = signed(partition);
    api::GeneralRequest { tid, pid, ..Default::default() }
}

/// Some of the tablet's messages have signed ids where the others have unsigned ones; OpenMLDB converts bit for bit.
fn signed(partition: PartitionId) -> (i32, i32) {
    (partition.tid.0.cast_signed(), partition.pid.0.cast_signed())
}

/// A table older than databases has none: leave it out.
fn db(table: &TableName) -> Option<String> {
    (!table.db.is_empty()).then(|| table.db.clone())
}

fn storage_mode(storage: StorageMode) -> i32 {
    match storage {
        StorageMode::Memory => common::StorageMode::KMemory as i32,
        StorageMode::Ssd => common::StorageMode::KSsd as i32,
        StorageMode::Hdd => common::StorageMode::KHdd as i32,
    }
}

#[cfg(test)]
#[path = "encode_tests.rs"]
mod tests;
