//! LoadTable: what it refuses, what it brings up, what it destroys.

use super::fixture::*;
use crate::tablet::Settings;
use openmldb_model::StorageMode;
use openmldb_wire::api::{self, TableMode, TableState, TaskStatus, TaskType};
use openmldb_wire::call::{TabletAnswer, TabletCall};
use openmldb_wire::common;

const FOLLOWER: TableMode = TableMode::KTableFollower;

#[test]
fn a_restarted_tablet_holds_nothing_and_loads_nothing_by_itself() {
    let mut cluster = Cluster::new().with_orders(&[A, B, C], 10);
    cluster.restart();
    cluster.pass(60_000);
    assert_eq!(cluster.status(A), None);
    assert_eq!(cluster.tablets.log_on_disk(A, TID, 0).map(|log| log.len()), Some(10));
}

#[test]
fn a_load_goes_from_loading_to_normal_and_shows_its_offset_last() {
    let mut cluster = Cluster::new().with_orders(&[A], 100);
    let before = cluster.rows(A);
    cluster.restart();
    assert_eq!(cluster.load(A, FOLLOWER), (0, "ok".to_owned()));
    assert_eq!((cluster.state(A), cluster.offset(A)), (Some(TableState::KTableLoading), Some(0)));
    let mut seen = Vec::new();
    for _ in 0..20 {
        cluster.pass(1);
        seen.push((cluster.state(A).map(|state| state as i32), cluster.offset(A)));
    }
    seen.dedup();
    assert_eq!(seen, [(Some(2), Some(0)), (Some(1), Some(0)), (Some(1), Some(100))]);
    assert_eq!(cluster.rows(A), before);
    assert_eq!(cluster.term(A), 0, "nobody has contacted it yet");
}

#[test]
fn a_hundred_thousand_rows_load_in_eight_tenths_of_a_second() {
    let mut cluster = Cluster::new().with_orders(&[A], 100_000);
    cluster.restart();
    cluster.load(A, FOLLOWER);
    cluster.pass(600);
    assert_eq!(cluster.state(A), Some(TableState::KTableLoading));
    let read = cluster.record_cnt(A).unwrap_or_default();
    assert!((50_000..90_000).contains(&read), "{read} rows so far");
    cluster.pass(400);
    assert_eq!((cluster.state(A), cluster.offset(A)), (Some(TableState::KTableNormal), Some(100_000)));
}

#[test]
fn three_loads_run_at_a_time_and_the_others_wait_their_turn() {
    let mut cluster = Cluster::with(Settings { jitter_percent: 0, ..Settings::default() });
    for pid in 0..8 {
        cluster.create(TID, pid, StorageMode::Memory, "orders", &[A]);
    }
    cluster.restart();
    for pid in 0..8 {
        ask!(cluster, A, LoadTable, load_request(TID, pid, StorageMode::Memory, Some(FOLLOWER)));
    }
    let states = |cluster: &mut Cluster| -> Vec<i32> {
        let all = ask!(cluster, A, GetTableStatus, api::GetTableStatusRequest::default()).all_table_status;
        all.iter().map(|status| status.state() as i32).collect()
    };
    assert_eq!(states(&mut cluster), [2, 2, 2, 0, 0, 0, 0, 0]);
    cluster.pass(12);
    assert_eq!(states(&mut cluster), [1, 1, 1, 2, 2, 2, 0, 0]);
    cluster.pass(20);
    assert_eq!(states(&mut cluster), [1; 8]);
}

#[test]
fn a_table_that_is_loaded_or_loading_is_refused() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    assert_eq!(cluster.load(A, FOLLOWER).0, 101);
    cluster.restart();
    cluster.load(A, FOLLOWER);
    assert_eq!(cluster.load(A, FOLLOWER), (101, "table already exists".to_owned()));
}

#[test]
fn without_a_directory_a_memory_table_is_refused_and_junk_stays() {
    let mut cluster = Cluster::new();
    assert_eq!(cluster.load(A, FOLLOWER), (131, "fail to init table".to_owned()));
    assert_eq!(cluster.status(A), None);
    assert_eq!(cluster.tablets.log_on_disk(A, TID, 0), Some(Vec::new()));
    assert_eq!(cluster.load(A, FOLLOWER).0, 131, "the junk has no schema either");
}

#[test]
fn a_full_schema_in_the_request_makes_an_empty_table() {
    let mut cluster = Cluster::new();
    let mut request = load_request(TID, 0, StorageMode::Memory, Some(FOLLOWER));
    let index = common::ColumnKey { index_name: Some("idx".to_owned()), ..Default::default() };
    request.table_meta.get_or_insert_default().column_key.push(index);
    assert_eq!(ask!(cluster, A, LoadTable, request).code(), 0);
    cluster.pass(1000);
    assert_eq!((cluster.state(A), cluster.offset(A)), (Some(TableState::KTableNormal), Some(0)));
}

#[test]
fn unusable_metas_are_refused_with_129() {
    let mut cluster = Cluster::new();
    let mut ask = |meta: api::TableMeta| {
        ask!(cluster, A, LoadTable, api::LoadTableRequest { table_meta: Some(meta), task_info: None }).code()
    };
    let good = load_request(1, 0, StorageMode::Memory, None).table_meta.unwrap_or_default();
    assert_eq!(ask(api::TableMeta { name: None, ..good.clone() }), 129);
    assert_eq!(ask(api::TableMeta { tid: Some(0), ..good.clone() }), 129);
    let unknown = Some(common::StorageMode::KUnknown as i32);
    assert_eq!(ask(api::TableMeta { storage_mode: unknown, ..good.clone() }), 129);
    let column = common::ColumnDesc { name: "id".to_owned(), ..Default::default() };
    assert_eq!(ask(api::TableMeta { column_desc: vec![column.clone(), column], ..good }), 129);
}

#[test]
fn a_storage_mode_without_a_root_is_refused_with_138() {
    let mut cluster = Cluster::with(Settings { has_hdd_root: false, ..Settings::default() });
    assert_eq!(cluster.load_disk(A), 138);
    assert_eq!(cluster.manifest(A, StorageMode::Hdd).code(), 138);
}

/// docs/openmldb/experiments.md#disk-tables-that-do-not-load
#[test]
fn whether_there_is_a_directory_can_be_asked_until_a_load_makes_one() {
    let mut cluster = Cluster::new().with_orders(&[A], 5);
    cluster.restart();
    assert_eq!(cluster.check_meta(A, StorageMode::Memory), "check size failed");
    assert_eq!(cluster.check_meta(A, StorageMode::Hdd), "get size failed", "under another root");
    assert_eq!(cluster.check_meta(B, StorageMode::Hdd), "get size failed");
    assert_eq!(cluster.load_disk(B), 0);
    assert_eq!(cluster.check_meta(B, StorageMode::Hdd), "check size failed");
    cluster.pass(1_000);
    assert!(cluster.status(B).is_none(), "there is nothing in it");
}

#[test]
fn the_request_beats_table_meta_and_what_it_leaves_out_comes_from_there() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 5);
    cluster.restart();
    for endpoint in [A, B] {
        ask!(cluster, endpoint, LoadTable, load_request(TID, 0, StorageMode::Memory, None));
    }
    cluster.pass(100);
    let mode = |cluster: &mut Cluster, endpoint| cluster.status(endpoint).map(|status| status.mode());
    assert_eq!((mode(&mut cluster, A), cluster.term(A)), (Some(TableMode::KTableLeader), 1));
    assert_eq!(mode(&mut cluster, B), Some(FOLLOWER));
    cluster.restart();
    cluster.load_and_wait(A);
    assert_eq!(mode(&mut cluster, A), Some(FOLLOWER));
    cluster.restart();
    ask!(cluster, A, LoadTable, load_request(TID, 0, StorageMode::Memory, None));
    assert_eq!(mode(&mut cluster, A), Some(FOLLOWER), "the last load rewrote the file");
}

#[test]
fn a_role_given_by_change_role_is_not_in_table_meta() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 5);
    cluster.tablets.kill(A);
    assert_eq!(cluster.lead(B, 3, &[]), 0);
    cluster.restart();
    ask!(cluster, B, LoadTable, load_request(TID, 0, StorageMode::Memory, None));
    assert_eq!(cluster.status(B).map(|status| status.mode()), Some(FOLLOWER));
}

#[test]
fn lost_files_load_in_silence() {
    // As on real servers (docs/openmldb/experiments.md#silent-partial-loads): 946 rows with 747 in the snapshot, 998
    // with 783.
    let mut cluster = Cluster::new().with_orders(&[A, B], 747);
    cluster.tablets.make_snapshot_now(A, TID, 0);
    cluster.put_rows(A, TID, 0, 36);
    cluster.pass(100);
    cluster.tablets.make_snapshot_now(B, TID, 0);
    cluster.put_rows(A, TID, 0, 163);
    cluster.pass(100);
    cluster.restart();
    assert!(cluster.tablets.lose_snapshot_file(A, TID, 0));
    assert!(cluster.tablets.lose_binlog(B, TID, 0));
    cluster.load_and_wait(A);
    cluster.load_and_wait(B);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(946), Some(199)));
    assert_eq!((cluster.offset(B), cluster.record_cnt(B)), (Some(783), Some(783)));
}

#[test]
fn a_hole_in_the_binlog_loads_in_silence() {
    let mut cluster = Cluster::new().with_orders(&[A], 20);
    cluster.restart();
    assert!(cluster.tablets.lose_entries(A, TID, 0, 5, 8));
    cluster.load_and_wait(A);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(20), Some(16)));
}

#[test]
fn a_load_that_fails_takes_the_directory_along() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    cluster.restart();
    assert!(cluster.tablets.spoil_manifest(A, TID, 0));
    let mut request = load_request(TID, 0, StorageMode::Memory, Some(FOLLOWER));
    request.task_info = Some(task(50, TaskType::KLoadTable));
    assert_eq!(cluster.manifest(A, StorageMode::Memory).code(), -1);
    assert_eq!(ask!(cluster, A, LoadTable, request).code(), 0);
    cluster.pass(1000);
    assert_eq!(cluster.status(A), None);
    assert_eq!(cluster.tasks(A), [(50, TaskStatus::KFailed)]);
    assert_eq!(cluster.tablets.log_on_disk(A, TID, 0), None);
    let names: Vec<&str> = cluster.tablets.recycle_bin(A).iter().map(|gone| gone.name.as_str()).collect();
    assert_eq!(names, ["7_0_20261122000001"]);
}

#[test]
fn a_task_follows_the_load() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    cluster.restart();
    let mut request = load_request(TID, 0, StorageMode::Memory, Some(FOLLOWER));
    request.task_info = Some(task(50, TaskType::KLoadTable));
    assert_eq!(ask!(cluster, A, LoadTable, request.clone()).code(), 0);
    assert_eq!(cluster.tasks(A), [(50, TaskStatus::KDoing)]);
    assert_eq!(ask!(cluster, A, LoadTable, request.clone()).code(), -1);
    cluster.pass(1000);
    assert_eq!(cluster.tasks(A), [(50, TaskStatus::KDone)]);
    request.task_info = Some(task(51, TaskType::KLoadTable));
    assert_eq!(ask!(cluster, A, LoadTable, request).code(), 101);
    assert_eq!(cluster.tasks(A), [(50, TaskStatus::KDone), (51, TaskStatus::KFailed)]);
    ask!(cluster, A, DeleteOpTask, api::DeleteTaskRequest { op_id: vec![50, 51] });
    assert_eq!(cluster.tasks(A), []);
}

#[test]
fn a_tablet_killed_in_the_middle_of_a_load_can_load_again() {
    let mut cluster = Cluster::new().with_orders(&[A], 50_000);
    cluster.restart();
    cluster.load(A, FOLLOWER);
    cluster.pass(200);
    cluster.restart();
    cluster.pass(1000);
    assert_eq!(cluster.status(A), None);
    cluster.load_and_wait(A);
    assert_eq!(cluster.record_cnt(A), Some(50_000));
}

#[test]
fn a_frozen_tablet_neither_answers_nor_loads() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    cluster.restart();
    cluster.load(A, FOLLOWER);
    cluster.tablets.freeze(A, true);
    assert!(!cluster.tablets.is_up(A));
    cluster.pass(1000);
    let asked = cluster.tablets.call(A, TabletCall::GetTableStatus(api::GetTableStatusRequest::default()));
    assert!(asked.is_err());
    cluster.tablets.freeze(A, false);
    assert_eq!(cluster.state(A), Some(TableState::KTableLoading));
    cluster.pass(10);
    assert_eq!(cluster.offset(A), Some(10));
}

fn clicks() -> Cluster {
    let mut cluster = Cluster::new();
    cluster.create(TID, 0, StorageMode::Hdd, "clicks", &[A]);
    cluster.put_rows(A, TID, 0, 10);
    cluster
}

#[test]
fn a_disk_table_is_unseen_until_its_turn_and_loads_from_its_own_root() {
    let mut cluster = clicks();
    cluster.restart();
    assert_eq!(cluster.load(A, FOLLOWER).0, 131, "the memory root has no such directory");
    assert_eq!(cluster.load_disk(A), 0);
    cluster.pass(1000);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(10), Some(10)));
}

#[test]
fn a_disk_table_without_a_directory_is_accepted_and_never_appears() {
    let mut cluster = Cluster::new();
    let mut request = load_request(TID, 0, StorageMode::Hdd, Some(FOLLOWER));
    request.task_info = Some(task(50, TaskType::KLoadTable));
    assert_eq!(ask!(cluster, A, LoadTable, request).code(), 0);
    cluster.pass(60_000);
    assert_eq!(cluster.status(A), None);
    assert_eq!(cluster.tasks(A), [(50, TaskStatus::KFailed)]);
    assert_eq!(cluster.tablets.recycle_bin(A), []);
}

#[test]
fn loading_a_disk_table_twice_leaves_it_unloadable() {
    let mut cluster = Cluster::with(Settings { task_pool_size: 1, ..Settings::default() });
    cluster.create(TID, 0, StorageMode::Hdd, "clicks", &[A]);
    cluster.create(TID, 1, StorageMode::Hdd, "clicks", &[A]);
    cluster.put_rows(A, TID, 0, 10);
    assert!(cluster.tablets.make_snapshot_now(A, TID, 0));
    cluster.restart();
    ask!(cluster, A, LoadTable, load_request(TID, 1, StorageMode::Hdd, Some(FOLLOWER)));
    assert_eq!((cluster.load_disk(A), cluster.load_disk(A)), (0, 0), "queued, so nobody notices");
    cluster.pass(1000);
    assert_eq!(cluster.record_cnt(A), Some(10));
    assert_eq!(cluster.load_disk(A), 101);
    cluster.restart();
    assert_eq!(cluster.load_disk(A), 0);
    cluster.pass(60_000);
    assert_eq!(cluster.status(A), None, "old_data is in the way, for ever");
    cluster.restart();
    assert!(cluster.tablets.move_data_away(A, TID, 0));
    assert_eq!(cluster.load_disk(A), 0);
    cluster.pass(60_000);
    assert_eq!(cluster.record_cnt(A), Some(10), "from its snapshot and its binlog");
}

#[test]
fn a_disk_table_without_its_snapshot_directory_replays_its_whole_log() {
    let mut cluster = clicks();
    assert!(cluster.tablets.make_snapshot_now(A, TID, 0));
    cluster.put_rows(A, TID, 0, 5);
    cluster.restart();
    assert!(cluster.tablets.lose_snapshot_file(A, TID, 0));
    assert_eq!(cluster.load_disk(A), 0);
    cluster.pass(1000);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(15), Some(15)));
}

#[test]
fn a_tablet_that_is_down_or_unknown_does_not_answer() {
    let mut cluster = Cluster::new();
    cluster.tablets.kill(A);
    for endpoint in [A, "10.9.9.9:1"] {
        let answer: Result<TabletAnswer, _> =
            cluster.tablets.call(endpoint, TabletCall::GetTaskStatus(api::TaskStatusRequest {}));
        assert!(answer.is_err_and(|unreachable| unreachable.endpoint == endpoint));
    }
}
