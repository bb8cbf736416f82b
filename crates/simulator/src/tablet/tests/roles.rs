//! ChangeRole, AddReplica, DelReplica, DropTable: refusals beyond the recorded ones, and tasks.

use std::collections::BTreeMap;

use super::fixture::*;
use openmldb_wire::api::{self, TableMode, TableState, TaskStatus, TaskType};
use openmldb_wire::call::{TabletAnswer, TabletCall};

#[test]
fn a_leader_is_made_once_and_unmade_as_often_as_one_likes() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 5);
    assert_eq!(cluster.lead(A, 2, &[]), 102);
    assert_eq!(cluster.follow(A), "ok");
    assert_eq!(cluster.follow(A), "table is follower");
    assert_eq!(cluster.put(A), 103);
    assert_eq!(cluster.lead(A, 2, &[]), 0);
    assert_eq!((cluster.put(A), cluster.term(A)), (0, 2));
    assert_eq!(cluster.log(A).last().map(|entry| (entry.term, entry.index)), Some((2, 6)));
}

#[test]
fn a_loading_replica_cannot_lead_but_a_queued_one_can() {
    let mut cluster = Cluster::new().with_orders(&[A], 10_000);
    for pid in 1..=3 {
        cluster.create(TID, pid, openmldb_model::StorageMode::Memory, "orders", &[A]);
        cluster.put_rows(A, TID, pid, 10_000);
    }
    cluster.restart();
    cluster.load(A, TableMode::KTableFollower);
    assert_eq!(cluster.state(A), Some(TableState::KTableLoading));
    assert_eq!(cluster.lead(A, 1, &[]), 104);
    cluster.restart();
    for pid in 1..=3 {
        let request = load_request(TID, pid, openmldb_model::StorageMode::Memory, Some(TableMode::KTableFollower));
        ask!(cluster, A, LoadTable, request);
    }
    cluster.load(A, TableMode::KTableFollower);
    assert_eq!(cluster.state(A), Some(TableState::KTableUndefined));
    assert_eq!(cluster.lead(A, 1, &[]), 0);
}

#[test]
fn unknown_names_are_refused_while_names_are_in_use() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 5);
    cluster.tablets.set_names(BTreeMap::from([(B.to_owned(), "10.0.0.2:9527".to_owned())]));
    assert_eq!(cluster.add_replica(A, C), 155);
    assert_eq!(cluster.add_replica(A, B), 119);
    cluster.follow(A);
    assert_eq!(cluster.lead(A, 1, &[C]), 155);
    assert_eq!(cluster.lead(A, 1, &[B]), 0);
    cluster.restart();
    let mut request = load_request(TID, 0, openmldb_model::StorageMode::Memory, Some(TableMode::KTableLeader));
    request.table_meta.get_or_insert_default().replicas = vec![C.to_owned()];
    assert_eq!(ask!(cluster, A, LoadTable, request).code(), 131);
}

#[test]
fn an_address_reaches_the_tablet_its_name_stands_for() {
    let mut cluster = Cluster::new().with_orders(&[A], 5);
    cluster.tablets.set_names(BTreeMap::from([(A.to_owned(), "10.0.0.1:9527".to_owned())]));
    assert_eq!(cluster.offset("10.0.0.1:9527"), Some(5));
}

#[test]
fn calls_that_work_at_once_leave_a_task_too() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 5);
    let add = |op| replica_request(C, Some(task(op, TaskType::KAddReplica)));
    ask!(cluster, A, AddReplica, add(1));
    assert_eq!(ask!(cluster, A, AddReplica, add(2)).code(), 119);
    ask!(cluster, A, DelReplica, replica_request(C, Some(task(3, TaskType::KDelReplica))));
    ask!(cluster, A, PauseSnapshot, general_with_task(4, TaskType::KPauseSnapshot));
    ask!(cluster, A, RecoverSnapshot, general_with_task(5, TaskType::KRecoverSnapshot));
    assert_eq!(ask!(cluster, B, AddReplica, add(6)).code(), 103);
    assert_eq!(cluster.tasks(A), [1, 2, 3, 4, 5].map(|op| (op, TaskStatus::KDone)));
    assert_eq!(cluster.tasks(B), [(6, TaskStatus::KFailed)]);
}

#[test]
fn a_cancelled_load_goes_on() {
    let mut cluster = Cluster::new().with_orders(&[A], 5);
    cluster.restart();
    let mut request = load_request(TID, 0, openmldb_model::StorageMode::Memory, Some(TableMode::KTableFollower));
    request.task_info = Some(task(9, TaskType::KLoadTable));
    ask!(cluster, A, LoadTable, request);
    ask!(cluster, A, CancelOp, api::CancelOpRequest { op_id: Some(9) });
    assert_eq!(cluster.tasks(A), [(9, TaskStatus::KCanceled)]);
    cluster.pass(1000);
    assert_eq!(cluster.offset(A), Some(5));
}

#[test]
fn a_dropped_table_goes_to_the_recycle_bin_after_a_while() {
    let mut cluster = Cluster::new().with_orders(&[A, B], 5);
    let task_info = Some(task(3, TaskType::KDropTable));
    let request = api::DropTableRequest { tid: Some(TID as i32), pid: Some(0), task_info };
    assert_eq!(ask!(cluster, B, DropTable, request).code(), 0);
    assert_eq!(cluster.tasks(B), [(3, TaskStatus::KDoing)]);
    cluster.pass(100);
    assert_eq!((cluster.status(B), cluster.tasks(B)), (None, vec![(3, TaskStatus::KDone)]));
    let gone: Vec<_> = cluster.tablets.recycle_bin(B).iter().map(|gone| (gone.name.as_str(), gone.log.len())).collect();
    assert_eq!(gone, [("7_0_20261122000001", 5)]);
    assert_eq!(cluster.drop_table(B), 100);
}

#[test]
fn a_table_may_be_dropped_in_the_middle_of_its_load() {
    let mut cluster = Cluster::new().with_orders(&[A], 50_000);
    cluster.restart();
    cluster.load(A, TableMode::KTableFollower);
    assert_eq!(cluster.drop_table(A), 0);
    cluster.pass(1000);
    assert_eq!(cluster.status(A), None);
    assert_eq!(cluster.tablets.recycle_bin(A).len(), 1);
}

#[test]
fn without_a_recycle_bin_a_drop_is_for_good() {
    let settings = crate::tablet::Settings { recycle_bin_enabled: false, ..Default::default() };
    let mut cluster = Cluster::with(settings).with_orders(&[A], 5);
    cluster.drop_table(A);
    cluster.pass(100);
    assert_eq!(cluster.tablets.recycle_bin(A), []);
    assert_eq!(cluster.tablets.log_on_disk(A, TID, 0), None);
}

#[test]
fn delete_binlog_moves_it_away_even_under_a_loaded_table() {
    let mut cluster = Cluster::new().with_orders(&[A], 5);
    for _ in 0..2 {
        let Ok(TabletAnswer::DeleteBinlog(answer)) = cluster.tablets.call(A, TabletCall::DeleteBinlog(general()))
        else {
            unreachable!("a tablet that is up answers");
        };
        assert_eq!(answer.code(), 0);
    }
    let gone: Vec<_> = cluster.tablets.recycle_bin(A).iter().map(|gone| (gone.name.as_str(), gone.log.len())).collect();
    assert_eq!(gone, [("7_0_binlog_20261122000001", 5)]);
    assert_eq!((cluster.record_cnt(A), cluster.tablets.log_on_disk(A, TID, 0)), (Some(5), Some(Vec::new())));
}
