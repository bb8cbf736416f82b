//! What a tablet tells about its replicas: GetTableStatus, GetTermPair, GetManifest
//! (docs/openmldb/tablet.md#gettablestatus; fields present as in the recordings).

use super::entry::storage_of;
use super::load::id_of;
use super::machine::Machine;
use super::refusal::{
    CHECK_SIZE_FAILED, GET_SIZE_FAILED, NO_ROOT, OK, PARSE_MANIFEST_FAILED, Refusal, TABLE_DOES_NOT_EXIST,
    code_and_msg, general,
};
use super::replica::Replica;
use super::{Millis, Tablets};
use openmldb_model::{PartitionId, Role, State, StorageMode};
use openmldb_wire::api::{self, TableMode, TableState};
use openmldb_wire::{common, r#type};
use prost::Message as _;

/// Segments per index; the 8 that every LoadTable sends.
const SEGMENTS: u64 = 8;

/// A replica's numbers as its tablet reports them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// The end of its log.
    pub offset: u64,
    /// Rows.
    pub record_cnt: u64,
    /// Bytes in memory.
    pub record_byte_size: u64,
    /// Bytes on disk.
    pub diskused: u64,
    /// Rows in the first index, by which memory tables are counted.
    pub first_index: Option<u64>,
}

impl Counts {
    /// As a message has them.
    pub fn reported(status: &api::TableStatus) -> Self {
        Self {
            offset: status.offset(),
            record_cnt: status.record_cnt(),
            record_byte_size: status.record_byte_size() + status.record_idx_byte_size(),
            diskused: status.diskused(),
            first_index: status.ts_idx_status.first().map(|index| index.seg_cnts.iter().sum()),
        }
    }

    fn of(replica: &Replica, now: Millis) -> Self {
        let rows = replica.record_cnt(now);
        let in_memory = !replica.storage().is_disk();
        let bytes = rows_bytes(rows) + index_bytes(rows);
        Self {
            offset: replica.offset,
            record_cnt: rows,
            record_byte_size: if in_memory { bytes } else { 0 },
            diskused: 0,
            first_index: (in_memory && !replica.schema.indexes.is_empty()).then_some(rows),
        }
    }
}

impl Tablets {
    pub(super) fn table_status(&self, at: usize, request: &api::GetTableStatusRequest) -> api::GetTableStatusResponse {
        let machine = &self.machines[at];
        let status = |(id, replica): (&PartitionId, &Replica)| self.status(machine, *id, replica);
        let all_table_status = match (request.tid, request.pid) {
            (Some(tid), Some(pid)) => {
                let id = super::entry::partition_id(tid, pid);
                machine.replicas.get_key_value(&id).map(status).into_iter().collect()
            }
            (tid, pid) => {
                let asked = |id: &PartitionId| tid.is_none_or(|t| t == id.tid.0) && pid.is_none_or(|p| p == id.pid.0);
                machine.replicas.iter().filter(|(id, _)| asked(id)).map(status).collect()
            }
        };
        api::GetTableStatusResponse { all_table_status, code: Some(0), msg: None }
    }

    fn status(&self, machine: &Machine, id: PartitionId, replica: &Replica) -> api::TableStatus {
        let storage = replica.storage();
        let status = api::TableStatus {
            tid: Some(id.tid.0),
            pid: Some(id.pid.0),
            offset: Some(replica.offset),
            mode: Some(mode(replica.role) as i32),
            state: Some(state(replica.state) as i32),
            record_cnt: Some(replica.record_cnt(self.now)),
            name: Some(replica.schema.name.clone()),
            compress_type: Some(r#type::CompressType::KNoCompress as i32),
            diskused: Some(0),
            storage_mode: Some(storage_mode(storage) as i32),
            ..Default::default()
        };
        if storage.is_disk() {
            let path = |what| Some(machine.path(&self.settings.root, storage, id, what));
            return api::TableStatus { snapshot_path: path("snapshot"), binlog_path: path("binlog"), ..status };
        }
        with_memory_fields(status, id, replica, self.now)
    }

    /// The numbers in a tablet's answer to GetTableStatus, by partition, without the rest of it: nameservers ask every other second for
    /// everything, and keep no more. None if it does not answer.
    pub fn counts(&mut self, endpoint: &str) -> Option<Vec<(PartitionId, Counts)>> {
        let at = self.reach(endpoint)?;
        let counts = |(id, replica): (&PartitionId, &Replica)| (*id, Counts::of(replica, self.now));
        Some(self.machines[at].replicas.iter().map(counts).collect())
    }

    /// How often something about a tablet was changed; none if it does not answer. As long as it stays, so do its numbers.
    pub fn changes(&self, endpoint: &str) -> Option<u64> {
        self.reach(endpoint).map(|at| self.machines.changes(at))
    }

    /// Whether its numbers change while nothing happens: those of a load in progress do.
    pub fn counts_by_itself(&self, endpoint: &str) -> bool {
        let loads = |machine: &Machine| machine.replicas.values().any(|replica| replica.progress.is_some());
        self.machine(endpoint).is_some_and(loads)
    }

    /// What the table was created with, whatever became of its replicas since.
    pub(super) fn table_schema(&self, at: usize, request: &api::GetTableSchemaRequest) -> api::GetTableSchemaResponse {
        let id = super::entry::partition_id(request.tid().unsigned_abs(), request.pid().unsigned_abs());
        let found = self.machines[at].replica(id).map_err(|_| TABLE_DOES_NOT_EXIST);
        let (code, msg) = code_and_msg(found.as_ref().map_err(|refusal| *refusal).and(OK));
        let table_meta = found.ok().map(|replica| api::TableMeta {
            tid: request.tid,
            pid: request.pid,
            name: Some(replica.schema.name.clone()),
            db: Some(replica.schema.db.clone()),
            seg_cnt: i32::try_from(SEGMENTS).ok(),
            mode: Some(mode(replica.role) as i32),
            storage_mode: Some(storage_mode(replica.storage()) as i32),
            base_table_tid: Some(replica.schema.base_table_tid),
            ..api::TableMeta::decode(replica.schema.described.as_slice()).unwrap_or_default()
        });
        api::GetTableSchemaResponse { code, msg, table_meta }
    }

    /// For a replica that is not loaded: offset and term of its snapshot, 0 if the file MANIFEST names is missing.
    pub(super) fn term_pair(&self, at: usize, request: &api::GetTermPairRequest) -> api::GetTermPairResponse {
        if self.settings.standalone {
            let msg = Some("tablet is not run in cluster mode".to_owned());
            return api::GetTermPairResponse { code: Some(-1), msg, ..Default::default() };
        }
        let id = id_of(request.tid, request.pid);
        let machine = &self.machines[at];
        if let Ok(replica) = machine.replica(id) {
            let (code, msg) = code_and_msg(OK);
            return api::GetTermPairResponse {
                code,
                msg,
                term: Some(replica.term),
                offset: Some(replica.offset),
                has_table: Some(true),
                is_leader: Some(replica.role == Role::Leader),
            };
        }
        let storage = match self.storage_with_root(request.storage_mode()) {
            Ok(storage) => storage,
            Err(refusal) => {
                let (code, msg) = code_and_msg(Err(refusal));
                return api::GetTermPairResponse { code, msg, ..Default::default() };
            }
        };
        let directory = machine.disk.directory(storage, id);
        let whole = directory.filter(|directory| directory.snapshot_rows().is_some());
        let manifest = whole.and_then(|directory| directory.manifest());
        api::GetTermPairResponse {
            code: Some(0),
            msg: Some(TABLE_DOES_NOT_EXIST.msg.to_owned()),
            term: Some(manifest.map_or(0, |manifest| manifest.term)),
            offset: Some(manifest.map_or(0, |manifest| manifest.offset)),
            has_table: Some(false),
            is_leader: None,
        }
    }

    pub(super) fn manifest(&self, at: usize, request: &api::GetManifestRequest) -> api::GetManifestResponse {
        let id = id_of(request.tid, request.pid);
        let found = self.storage_with_root(request.storage_mode()).and_then(|storage| {
            let directory = self.machines[at].disk.directory(storage, id);
            if directory.is_some_and(|directory| directory.has_broken_manifest()) {
                return Err(PARSE_MANIFEST_FAILED);
            }
            Ok(directory.and_then(|directory| directory.manifest()))
        });
        let (code, msg) = code_and_msg(found.map(|_| "ok"));
        let manifest = found.ok().map(|manifest| match manifest {
            None => api::Manifest { offset: Some(0), ..Default::default() },
            Some(manifest) => api::Manifest {
                offset: Some(manifest.offset),
                name: Some(manifest.name.clone()),
                count: Some(manifest.count),
                term: Some(manifest.term),
            },
        });
        api::GetManifestResponse { code, msg, manifest }
    }

    /// CheckFile, of the files that anybody asks for, with a size of 0: that of a description that was not synced.
    pub(super) fn check_file(&self, at: usize, request: &api::CheckFileRequest) -> api::GeneralResponse {
        let id = id_of(request.tid, request.pid);
        general(self.storage_with_root(request.storage_mode()).and_then(|storage| {
            let Some(directory) = self.machines[at].disk.directory(storage, id) else { return Err(GET_SIZE_FAILED) };
            let has_log = || directory.binlog.as_ref().is_some_and(|binlog| !binlog.is_empty());
            let is_written = match request.file() {
                "table_meta.txt" if directory.meta.is_none() && directory.has_empty_meta => return OK,
                "table_meta.txt" => directory.meta.is_some(),
                "MANIFEST" => directory.snapshot.is_some(),
                "../binlog/00000000.log" => has_log(),
                "../aggr_info.txt" => directory.has_aggregator,
                _ => false,
            };
            Err(if is_written { CHECK_SIZE_FAILED } else { GET_SIZE_FAILED })
        }))
    }

    fn storage_with_root(&self, mode: common::StorageMode) -> Result<StorageMode, Refusal> {
        let storage = storage_of(mode).ok_or(NO_ROOT)?;
        self.check_root(storage)?;
        Ok(storage)
    }
}

/// The fields only memory tables have. Rows per segment, distinct keys and sizes are made up out of the count, near
/// those in the recordings.
fn with_memory_fields(status: api::TableStatus, id: PartitionId, replica: &Replica, now: Millis) -> api::TableStatus {
    let rows = replica.record_cnt(now);
    let odd = u64::from(id.tid.0) * 3 + u64::from(id.pid.0);
    let segment = |at: u64| rows / SEGMENTS + u64::from((at + odd) % SEGMENTS < rows % SEGMENTS);
    let index = |name: &String| api::TsIdxStatus {
        idx_name: Some(name.clone()),
        seg_cnts: (0..SEGMENTS).map(segment).collect(),
    };
    api::TableStatus {
        is_expire: Some(true),
        idx_cnt: Some(rows * replica.schema.indexes.len() as u64),
        ts_idx_status: replica.schema.indexes.iter().map(index).collect(),
        record_byte_size: Some(rows_bytes(rows)),
        record_idx_byte_size: Some(index_bytes(rows)),
        record_pk_cnt: Some(keys_of(rows)),
        skiplist_height: Some(replica.schema.skiplist_height),
        ..status
    }
}

fn keys_of(rows: u64) -> u64 {
    (rows * 5).div_ceil(7)
}

fn rows_bytes(rows: u64) -> u64 {
    rows * 50
}

fn index_bytes(rows: u64) -> u64 {
    keys_of(rows) * 211 + rows * 12
}

fn mode(role: Role) -> TableMode {
    match role {
        Role::Leader => TableMode::KTableLeader,
        Role::Follower => TableMode::KTableFollower,
    }
}

fn state(state: State) -> TableState {
    match state {
        State::Queued => TableState::KTableUndefined,
        State::Loading => TableState::KTableLoading,
        State::Normal => TableState::KTableNormal,
        State::MakingSnapshot => TableState::KMakingSnapshot,
        State::SnapshotPaused => TableState::KSnapshotPaused,
    }
}

fn storage_mode(storage: StorageMode) -> common::StorageMode {
    match storage {
        StorageMode::Memory => common::StorageMode::KMemory,
        StorageMode::Ssd => common::StorageMode::KSsd,
        StorageMode::Hdd => common::StorageMode::KHdd,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scenario::{Scenario, Shape};
    use crate::{Addresses, World};

    /// What nameservers take instead of the whole answer is what they would find in it.
    #[test]
    fn counts_are_those_of_the_whole_answer() {
        for scenario in
            [Scenario::Healthy, Scenario::DiskTables, Scenario::FollowersRecovering, Scenario::DiskOverwrites]
        {
            let mut world: World = scenario.bring_about(&Shape::default(), &Addresses::recorded(1, 3)).unwrap();
            let endpoints: Vec<String> = world.tablet_endpoints().iter().map(ToString::to_string).collect();
            for (at, endpoint) in endpoints.iter().enumerate() {
                let tablets = world.tablets_mut();
                let counts = tablets.counts(endpoint).unwrap();
                let whole = tablets.table_status(at, &api::GetTableStatusRequest::default()).all_table_status;
                let reported = whole.iter().map(Counts::reported).collect::<Vec<_>>();
                assert_eq!(counts.iter().map(|(_, counts)| *counts).collect::<Vec<_>>(), reported, "{scenario}");
                assert!(scenario == Scenario::DiskTables || scenario == Scenario::DiskOverwrites || !counts.is_empty());
            }
        }
    }
}
