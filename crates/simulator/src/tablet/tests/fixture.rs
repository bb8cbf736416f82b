//! A small cluster and short words for its calls.

use std::sync::Arc;

use super::super::{Entry, Millis, RowId, Schema, Settings, TableSpec, Tablets};
use openmldb_model::{Role, StorageMode};
use openmldb_wire::api::{self, TableMode, TableState, TaskType};
use openmldb_wire::common;

/// Three tablets, as recorded.
pub(super) const A: &str = "127.0.0.1:11921";
pub(super) const B: &str = "127.0.0.1:11922";
pub(super) const C: &str = "127.0.0.1:11923";

/// The table most tests use: one partition, `7_0`.
pub(super) const TID: u32 = 7;

pub(super) struct Cluster {
    pub(super) tablets: Tablets,
    next_row: u64,
}

/// Calls a tablet and takes the answer of the same name; the test fails if the tablet does not answer.
macro_rules! ask {
    ($cluster:expr, $endpoint:expr, $call:ident, $request:expr) => {
        match $cluster.tablets.call($endpoint, openmldb_wire::call::TabletCall::$call($request)) {
            Ok(openmldb_wire::call::TabletAnswer::$call(answer)) => answer,
            other => unreachable!("{other:?}"),
        }
    };
}
pub(super) use ask;

impl Cluster {
    pub(super) fn new() -> Self {
        Self::with(Settings::default())
    }

    pub(super) fn with(settings: Settings) -> Self {
        let mut tablets = Tablets::new(settings, 1);
        for endpoint in [A, B, C] {
            tablets.add(endpoint);
            tablets.start(endpoint);
        }
        Self { tablets, next_row: 0 }
    }

    /// A memory table `orders` with replicas on the given tablets, the first leading under term 1, and `rows` rows
    /// that all of them hold.
    pub(super) fn with_orders(mut self, replicas: &[&str], rows: u64) -> Self {
        self.create(TID, 0, StorageMode::Memory, "orders", replicas);
        self.put_rows(replicas[0], TID, 0, rows);
        self.pass(1000);
        self
    }

    pub(super) fn create(&mut self, tid: u32, pid: u32, storage: StorageMode, name: &str, replicas: &[&str]) {
        let schema = Arc::new(Schema::new("shop", name, storage));
        let followers: Vec<String> = replicas[1..].iter().map(|endpoint| (*endpoint).to_owned()).collect();
        for follower in &followers {
            let table = TableSpec { tid, pid, schema: schema.clone() };
            assert_eq!(self.tablets.create_table(follower, table, Role::Follower, 0, &[]), Ok(()));
        }
        let table = TableSpec { tid, pid, schema };
        assert_eq!(self.tablets.create_table(replicas[0], table, Role::Leader, 1, &followers), Ok(()));
    }

    pub(super) fn put_rows(&mut self, endpoint: &str, tid: u32, pid: u32, rows: u64) {
        for _ in 0..rows {
            assert_eq!(self.put_to(endpoint, tid, pid), 0);
        }
    }

    /// Writes one row to `7_0` and returns the code.
    pub(super) fn put(&mut self, endpoint: &str) -> i32 {
        self.put_to(endpoint, TID, 0)
    }

    /// Deletes the oldest rows of orders at `endpoint`; whether all of them were taken.
    pub(super) fn delete_rows(&mut self, endpoint: &str, rows: u64) -> bool {
        (0..rows).all(|row| self.tablets.delete_oldest(endpoint, TID, 0, RowId(1_000_000 + row)))
    }

    fn put_to(&mut self, endpoint: &str, tid: u32, pid: u32) -> i32 {
        self.next_row += 1;
        let value = Some(RowId(self.next_row).to_value());
        let request = api::PutRequest { tid: Some(tid), pid: Some(pid), value, ..Default::default() };
        ask!(self, endpoint, Put, request).code()
    }

    pub(super) fn pass(&mut self, millis: Millis) {
        self.tablets.advance_to(self.tablets.now() + millis);
    }

    /// Kills and starts all tablets.
    pub(super) fn restart(&mut self) {
        for endpoint in [A, B, C] {
            self.tablets.kill(endpoint);
            self.tablets.start(endpoint);
        }
    }

    pub(super) fn load(&mut self, endpoint: &str, mode: TableMode) -> (i32, String) {
        let answer = ask!(self, endpoint, LoadTable, load_request(TID, 0, StorageMode::Memory, Some(mode)));
        (answer.code(), answer.msg().to_owned())
    }

    /// Loads `7_0` as follower and waits for it.
    pub(super) fn load_and_wait(&mut self, endpoint: &str) {
        assert_eq!(self.load(endpoint, TableMode::KTableFollower).0, 0);
        self.pass(1000);
        assert_eq!(self.state(endpoint), Some(TableState::KTableNormal));
    }

    pub(super) fn load_disk(&mut self, endpoint: &str) -> i32 {
        let request = load_request(TID, 0, StorageMode::Hdd, Some(TableMode::KTableFollower));
        ask!(self, endpoint, LoadTable, request).code()
    }

    pub(super) fn status(&mut self, endpoint: &str) -> Option<api::TableStatus> {
        let request = api::GetTableStatusRequest { tid: Some(TID), pid: Some(0), ..Default::default() };
        ask!(self, endpoint, GetTableStatus, request).all_table_status.pop()
    }

    pub(super) fn state(&mut self, endpoint: &str) -> Option<TableState> {
        self.status(endpoint).map(|status| status.state())
    }

    pub(super) fn offset(&mut self, endpoint: &str) -> Option<u64> {
        self.status(endpoint).map(|status| status.offset())
    }

    pub(super) fn record_cnt(&mut self, endpoint: &str) -> Option<u64> {
        self.status(endpoint).map(|status| status.record_cnt())
    }

    pub(super) fn term(&mut self, endpoint: &str) -> u64 {
        let request = api::GetTermPairRequest { tid: Some(TID), pid: Some(0), ..Default::default() };
        ask!(self, endpoint, GetTermPair, request).term()
    }

    pub(super) fn log(&self, endpoint: &str) -> Vec<Entry> {
        self.tablets.log(endpoint, TID, 0).unwrap_or_default().to_vec()
    }

    pub(super) fn rows(&self, endpoint: &str) -> Vec<u64> {
        self.log(endpoint).iter().map(|entry| entry.row.0).collect()
    }

    pub(super) fn lead(&mut self, endpoint: &str, term: u64, replicas: &[&str]) -> i32 {
        let request = api::ChangeRoleRequest {
            tid: Some(TID),
            pid: Some(0),
            term: Some(term),
            mode: Some(TableMode::KTableLeader as i32),
            replicas: replicas.iter().map(|replica| (*replica).to_owned()).collect(),
            ..Default::default()
        };
        ask!(self, endpoint, ChangeRole, request).code()
    }

    pub(super) fn follow(&mut self, endpoint: &str) -> String {
        let mode = Some(TableMode::KTableFollower as i32);
        let request = api::ChangeRoleRequest { tid: Some(TID), pid: Some(0), mode, ..Default::default() };
        ask!(self, endpoint, ChangeRole, request).msg().to_owned()
    }

    pub(super) fn add_replica(&mut self, leader: &str, follower: &str) -> i32 {
        ask!(self, leader, AddReplica, replica_request(follower, None)).code()
    }

    pub(super) fn del_replica(&mut self, leader: &str, follower: &str) -> String {
        ask!(self, leader, DelReplica, replica_request(follower, None)).msg().to_owned()
    }

    /// What the leader knows of its followers.
    pub(super) fn followers(&mut self, leader: &str) -> Vec<(String, u64)> {
        let request = api::GetTableFollowerRequest { tid: Some(TID), pid: Some(0) };
        let known = ask!(self, leader, GetTableFollower, request).follower_info;
        known.iter().map(|follower| (follower.endpoint().to_owned(), follower.offset())).collect()
    }

    pub(super) fn drop_table(&mut self, endpoint: &str) -> i32 {
        let request = api::DropTableRequest { tid: Some(TID as i32), pid: Some(0), task_info: None };
        ask!(self, endpoint, DropTable, request).code()
    }

    pub(super) fn manifest(&mut self, endpoint: &str, storage: StorageMode) -> api::GetManifestResponse {
        let storage_mode = Some(storage_mode(storage) as i32);
        let request = api::GetManifestRequest { tid: Some(TID), pid: Some(0), storage_mode };
        ask!(self, endpoint, GetManifest, request)
    }

    /// What CheckFile says of `table_meta.txt`.
    pub(super) fn check_meta(&mut self, endpoint: &str, storage: StorageMode) -> String {
        let storage_mode = Some(storage_mode(storage) as i32);
        let (file, size) = (Some("table_meta.txt".to_owned()), Some(0));
        let request =
            api::CheckFileRequest { tid: Some(TID), pid: Some(0), file, size, storage_mode, ..Default::default() };
        ask!(self, endpoint, CheckFile, request).msg().to_owned()
    }

    /// The status of each task a tablet knows.
    pub(super) fn tasks(&mut self, endpoint: &str) -> Vec<(u64, api::TaskStatus)> {
        let known = ask!(self, endpoint, GetTaskStatus, api::TaskStatusRequest {}).task;
        known.iter().map(|task| (task.op_id, task.status())).collect()
    }
}

pub(super) fn general() -> api::GeneralRequest {
    api::GeneralRequest { tid: TID as i32, pid: 0, ..Default::default() }
}

pub(super) fn general_with_task(op_id: u64, task_type: TaskType) -> api::GeneralRequest {
    api::GeneralRequest { task_info: Some(task(op_id, task_type)), ..general() }
}

pub(super) fn replica_request(endpoint: &str, task_info: Option<api::TaskInfo>) -> api::ReplicaRequest {
    let endpoint = Some(endpoint.to_owned());
    api::ReplicaRequest { tid: Some(TID), pid: Some(0), endpoint, task_info, remote_tid: None }
}

pub(super) fn send_request(to: &str, task_info: Option<api::TaskInfo>) -> api::SendSnapshotRequest {
    api::SendSnapshotRequest { tid: TID, pid: 0, endpoint: to.to_owned(), task_info, remote_tid: None }
}

pub(super) fn task(op_id: u64, task_type: TaskType) -> api::TaskInfo {
    api::TaskInfo {
        op_id,
        op_type: api::OpType::KReAddReplicaOp as i32,
        task_type: task_type as i32,
        status: api::TaskStatus::KInited as i32,
        ..Default::default()
    }
}

pub(super) fn load_request(tid: u32, pid: u32, storage: StorageMode, mode: Option<TableMode>) -> api::LoadTableRequest {
    let meta = api::TableMeta {
        tid: Some(tid as i32),
        pid: Some(pid as i32),
        name: Some("orders".to_owned()),
        seg_cnt: Some(8),
        mode: mode.map(|mode| mode as i32),
        storage_mode: Some(storage_mode(storage) as i32),
        ..Default::default()
    };
    api::LoadTableRequest { table_meta: Some(meta), task_info: None }
}

pub(super) fn storage_mode(storage: StorageMode) -> common::StorageMode {
    match storage {
        StorageMode::Memory => common::StorageMode::KMemory,
        StorageMode::Ssd => common::StorageMode::KSsd,
        StorageMode::Hdd => common::StorageMode::KHdd,
    }
}
