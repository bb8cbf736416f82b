//! Snapshots: made, paused, sent.

use super::fixture::*;
use openmldb_model::StorageMode;
use openmldb_wire::api::{self, TableState, TaskStatus, TaskType};

const MEMORY: StorageMode = StorageMode::Memory;

fn snapshot_up_to(offset: u64) -> api::GeneralRequest {
    api::GeneralRequest { offset: Some(offset), ..general() }
}

#[test]
fn few_new_entries_are_not_worth_a_snapshot_but_the_task_is_done() {
    let mut cluster = Cluster::new().with_orders(&[A], 100);
    let request = general_with_task(4, TaskType::KMakeSnapshot);
    assert_eq!(ask!(cluster, A, MakeSnapshot, request).code(), 0);
    cluster.pass(1000);
    assert_eq!(cluster.tasks(A), [(4, TaskStatus::KDone)]);
    assert_eq!(cluster.manifest(A, MEMORY).manifest.map(|manifest| manifest.offset()), Some(0));
}

#[test]
fn an_offset_skips_the_threshold_and_manifest_then_names_the_last_entrys_term() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 90);
    cluster.follow(A);
    cluster.lead(B, 5, &[A]);
    cluster.put_rows(B, TID, 0, 12);
    cluster.pass(2000);
    cluster.restart();
    cluster.load_and_wait(A);
    assert_eq!(ask!(cluster, A, MakeSnapshot, snapshot_up_to(102)).code(), 0);
    assert_eq!(cluster.state(A), Some(TableState::KMakingSnapshot));
    cluster.pass(50);
    assert_eq!(cluster.state(A), Some(TableState::KTableNormal));
    let manifest = cluster.manifest(A, MEMORY).manifest.unwrap_or_default();
    assert_eq!((manifest.offset(), manifest.count(), manifest.term()), (102, 102, 5));
    assert_eq!(cluster.term(A), 0, "it was not contacted by that");
    assert_eq!(ask!(cluster, A, MakeSnapshot, snapshot_up_to(90)).code(), 0);
    cluster.pass(50);
    assert_eq!(cluster.manifest(A, MEMORY).manifest.map(|manifest| manifest.offset()), Some(102));
}

/// docs/openmldb/experiments.md#snapshots-cut-off
#[test]
fn a_snapshot_within_the_minute_of_one_that_was_cut_off_is_written_behind_it() {
    for (passes, rows) in [(10_000, 45), (60_000, 90)] {
        let mut cluster = Cluster::new().with_orders(&[A], 90);
        ask!(cluster, A, MakeSnapshot, snapshot_up_to(90));
        assert_eq!(cluster.state(A), Some(TableState::KMakingSnapshot));
        cluster.restart();
        cluster.pass(passes);
        cluster.load_and_wait(A);
        ask!(cluster, A, MakeSnapshot, snapshot_up_to(90));
        cluster.pass(50);
        let manifest = cluster.manifest(A, MEMORY).manifest.unwrap_or_default();
        assert_eq!((manifest.offset(), manifest.count()), (90, 90));
        assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(90), Some(90)), "in memory all are there");
        cluster.restart();
        cluster.load_and_wait(A);
        assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(90), Some(rows)), "after {passes} ms");
    }
}

/// docs/openmldb/experiments.md#a-log-that-ends-with-deletes
#[test]
fn manifest_of_a_log_that_ends_with_deletes_names_the_term_of_the_last_put() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 90);
    cluster.follow(A);
    cluster.lead(B, 5, &[A]);
    assert!(cluster.delete_rows(B, 40));
    cluster.pass(2000);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(130), Some(90)), "not collected yet");
    cluster.restart();
    cluster.load_and_wait(A);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(130), Some(90)));
    ask!(cluster, A, MakeSnapshot, snapshot_up_to(130));
    cluster.pass(50);
    let manifest = cluster.manifest(A, MEMORY).manifest.unwrap_or_default();
    assert_eq!((manifest.offset(), manifest.count(), manifest.term()), (130, 50, 1));
    cluster.restart();
    cluster.load_and_wait(A);
    assert_eq!((cluster.offset(A), cluster.record_cnt(A)), (Some(130), Some(50)), "a snapshot leaves deleted rows out");
    assert_eq!(cluster.log(A).len(), 130, "nothing was lost");
    let rows = ask!(
        cluster,
        A,
        Traverse,
        api::TraverseRequest { tid: Some(TID), pid: Some(0), limit: Some(100), ..Default::default() }
    );
    assert_eq!(rows.count(), 50);
}

#[test]
fn a_tablet_makes_one_snapshot_at_a_time() {
    let mut cluster = Cluster::new();
    for pid in 0..2 {
        cluster.create(TID, pid, MEMORY, "orders", &[A]);
        cluster.put_rows(A, TID, pid, 10);
    }
    for pid in 0..2 {
        ask!(cluster, A, MakeSnapshot, api::GeneralRequest { pid, ..snapshot_up_to(10) });
    }
    let states = |cluster: &mut Cluster| -> Vec<i32> {
        let all = ask!(cluster, A, GetTableStatus, api::GetTableStatusRequest::default()).all_table_status;
        all.iter().map(|status| status.state() as i32).collect()
    };
    assert_eq!(states(&mut cluster), [3, 1]);
    cluster.pass(25);
    assert_eq!(states(&mut cluster), [1, 3]);
    cluster.pass(25);
    assert_eq!(states(&mut cluster), [1, 1]);
}

/// It takes no end, and says so in its log only.
#[test]
fn a_disk_table_makes_no_snapshot_up_to_an_offset() {
    let mut cluster = Cluster::new();
    cluster.create(TID, 0, StorageMode::Hdd, "clicks", &[A]);
    cluster.put_rows(A, TID, 0, 10);
    assert_eq!(ask!(cluster, A, MakeSnapshot, snapshot_up_to(10)).code(), 0);
    cluster.pass(1000);
    assert_eq!(cluster.manifest(A, StorageMode::Hdd).manifest.map(|manifest| manifest.offset()), Some(0));
}

#[test]
fn while_making_a_snapshot_a_replica_is_neither_dropped_nor_paused() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    ask!(cluster, A, MakeSnapshot, snapshot_up_to(10));
    assert_eq!(cluster.drop_table(A), 106);
    assert_eq!(ask!(cluster, A, PauseSnapshot, general()).code(), 105);
    assert_eq!(ask!(cluster, A, RecoverSnapshot, general()).code(), 107);
    assert_eq!(ask!(cluster, A, MakeSnapshot, general()).code(), 105);
    assert_eq!(cluster.put(A), 0);
}

#[test]
fn a_paused_replica_makes_no_snapshot_until_recovered() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    for _ in 0..2 {
        assert_eq!(ask!(cluster, A, PauseSnapshot, general()).code(), 0);
    }
    assert_eq!(cluster.state(A), Some(TableState::KSnapshotPaused));
    assert_eq!(ask!(cluster, A, MakeSnapshot, snapshot_up_to(10)).code(), 105);
    assert!(!cluster.tablets.make_snapshot_now(A, TID, 0));
    assert_eq!(ask!(cluster, A, RecoverSnapshot, general()).code(), 0);
    assert_eq!(cluster.state(A), Some(TableState::KTableNormal));
}

#[test]
fn there_is_no_snapshot_of_a_table_that_is_not_there() {
    let mut cluster = Cluster::new();
    assert_eq!(ask!(cluster, A, MakeSnapshot, general()).code(), 111);
    assert_eq!(ask!(cluster, A, SendSnapshot, send_request(B, None)).code(), 100);
}

#[test]
fn a_snapshot_cannot_be_made_on_top_of_a_lost_one() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    cluster.tablets.make_snapshot_now(A, TID, 0);
    cluster.restart();
    cluster.tablets.lose_snapshot_file(A, TID, 0);
    assert_eq!(cluster.term(A), 0, "GetTermPair sees that the file is missing");
    cluster.load_and_wait(A);
    let mut request = general_with_task(4, TaskType::KMakeSnapshot);
    request.offset = Some(10);
    ask!(cluster, A, MakeSnapshot, request);
    cluster.pass(1000);
    assert_eq!(cluster.tasks(A), [(4, TaskStatus::KFailed)]);
}

#[test]
fn the_manifest_of_a_disk_table_has_the_replicators_term() {
    let mut cluster = Cluster::new();
    cluster.create(TID, 0, StorageMode::Hdd, "clicks", &[A]);
    cluster.put_rows(A, TID, 0, 10);
    cluster.follow(A);
    cluster.lead(A, 4, &[]);
    assert!(cluster.tablets.make_snapshot_now(A, TID, 0));
    let manifest = cluster.manifest(A, StorageMode::Hdd).manifest.unwrap_or_default();
    assert_eq!((manifest.offset(), manifest.term(), manifest.name()), (10, 4, "202611220000"));
    assert_eq!(cluster.log(A).last().map(|entry| entry.term), Some(1), "whatever the entries' terms");
}

#[test]
fn a_snapshot_is_sent_by_a_paused_leader_to_a_tablet_without_the_table() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 75);
    cluster.tablets.make_snapshot_now(A, TID, 0);
    cluster.put_rows(A, TID, 0, 30);
    cluster.pass(100);
    assert_eq!(ask!(cluster, A, SendSnapshot, send_request(C, None)).code(), 107);
    assert_eq!(ask!(cluster, B, SendSnapshot, send_request(C, None)).code(), 103);
    ask!(cluster, A, PauseSnapshot, general());
    let request = |to, op| send_request(to, Some(task(op, TaskType::KSendSnapshot)));
    assert_eq!(ask!(cluster, A, SendSnapshot, request(C, 1)).code(), 0);
    assert_eq!(ask!(cluster, A, SendSnapshot, request(C, 2)).code(), 128);
    assert_eq!(ask!(cluster, A, SendSnapshot, request(B, 3)).code(), 0);
    cluster.pass(1000);
    assert_eq!(cluster.tasks(A), [(1, TaskStatus::KDone), (2, TaskStatus::KFailed), (3, TaskStatus::KFailed)]);
    assert_eq!(cluster.manifest(C, MEMORY).manifest.map(|manifest| manifest.offset()), Some(75));
    cluster.load_and_wait(C);
    assert_eq!((cluster.offset(C), cluster.record_cnt(C)), (Some(75), Some(75)));
    cluster.add_replica(A, C);
    cluster.pass(1000);
    assert_eq!(cluster.rows(C), cluster.rows(A));
}

#[test]
fn without_a_manifest_only_the_meta_is_sent_and_the_receivers_own_files_stay() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 10);
    cluster.tablets.make_snapshot_now(B, TID, 0);
    cluster.tablets.kill(B);
    cluster.tablets.start(B);
    ask!(cluster, A, PauseSnapshot, general());
    for (to, op) in [(B, 1), (C, 2)] {
        ask!(cluster, A, SendSnapshot, send_request(to, Some(task(op, TaskType::KSendSnapshot))));
    }
    cluster.pass(1000);
    assert_eq!(cluster.tasks(A), [(1, TaskStatus::KDone), (2, TaskStatus::KDone)]);
    assert_eq!(cluster.manifest(B, MEMORY).manifest.map(|manifest| manifest.offset()), Some(10));
    cluster.load_and_wait(C);
    assert_eq!(cluster.offset(C), Some(0), "the meta brought the schema");
}

#[test]
fn a_snapshot_does_not_reach_a_tablet_that_is_down() {
    let mut cluster = Cluster::new().with_orders(&[A], 10);
    ask!(cluster, A, PauseSnapshot, general());
    cluster.tablets.kill(B);
    ask!(cluster, A, SendSnapshot, send_request(B, Some(task(1, TaskType::KSendSnapshot))));
    cluster.pass(1000);
    assert_eq!(cluster.tasks(A), [(1, TaskStatus::KFailed)]);
}
