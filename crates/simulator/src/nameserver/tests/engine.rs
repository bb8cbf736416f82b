//! The op engine: what is queued, in which order, and what a failure leaves.

use std::num::NonZeroU32;

use super::fixture::{Cluster, NS, ORDERS, STANDBY, T1, T2, T3, recorded, recorded_settings};
use openmldb_wire::api::{GeneralRequest, TaskStatus, TaskType};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletCall};
use openmldb_wire::nameserver::{
    AddReplicaNsRequest, CancelOpRequest, DelReplicaNsRequest, DeleteOpRequest, MigrateRequest, RecoverEndpointRequest,
    ShowTableResponse,
};

/// The recorded cluster, auto_failover off, with `orders/0`'s follower on T1 not alive and not loaded. T3 leads.
fn one_follower_missing() -> Cluster {
    let mut cluster = Cluster::healthy();
    cluster.auto_failover(false);
    cluster.mark("orders", 0, T1, false);
    cluster.tablets.replica(T1, ORDERS, 0).loaded = false;
    cluster
}

fn code(answer: NameserverAnswer) -> i32 {
    use NameserverAnswer as A;
    match answer {
        A::CancelOp(answer)
        | A::DeleteOp(answer)
        | A::AddReplicaNs(answer)
        | A::DelReplicaNs(answer)
        | A::Migrate(answer)
        | A::RecoverEndpoint(answer) => answer.code,
        other => panic!("{other:?}"),
    }
}

#[test]
fn recover_table_without_an_alive_leader_says_ok_and_creates_nothing() {
    let mut cluster = one_follower_missing();
    cluster.mark("orders", 0, T3, false);
    assert_eq!(cluster.recover(0, T1), 0);
    assert!(cluster.ns.ops().is_empty());
    cluster.mark("orders", 0, T3, true);
    assert_eq!(cluster.recover(0, T1), 0);
    assert_eq!(cluster.ns.ops()[0].op_id, 2, "the first number was used up");
}

#[test]
fn recover_table_of_a_dead_leader_flag_among_several_replicas_fails_at_once() {
    let mut cluster = one_follower_missing();
    cluster.mark("orders", 0, T3, false);
    cluster.mark("orders", 0, T2, false);
    assert_eq!(cluster.recover(0, T3), 0);
    assert_eq!(cluster.op_lines(), ["1 kRecoverTableOP kFailed kRecoverTable"]);
}

#[test]
fn repeating_recover_table_queues_an_op_that_does_no_harm() {
    let mut cluster = one_follower_missing();
    cluster.recover(0, T1);
    cluster.recover(0, T1);
    cluster.pass(30_000);
    let done: Vec<_> = cluster.ns.ops().into_iter().map(|op| (op.op_id, op.op_type, op.status)).collect();
    let expected = [(1, "kRecoverTableOP"), (2, "kRecoverTableOP"), (3, "kReAddReplicaOP")];
    assert_eq!(done, expected.map(|(id, kind)| (id, kind.to_owned(), "kDone".to_owned())));
    assert_eq!(cluster.recover(0, T1), 311);
}

#[test]
fn a_failed_load_leaves_the_leaders_snapshot_paused_and_the_replica_not_alive() {
    let mut cluster = one_follower_missing();
    cluster.recover(0, T1);
    while cluster.op_lines().last().is_none_or(|line| !line.ends_with("kSendSnapshot")) {
        cluster.pass(500);
    }
    // Loaded behind the nameserver's back: its own LoadTable is refused with 101.
    cluster.tablets.replica(T1, ORDERS, 0).loaded = true;
    cluster.pass(30_000);
    assert_eq!(
        cluster.op_lines(),
        ["1 kRecoverTableOP kDone -", "2 kReAddReplicaOP kFailed kLoadTable"],
        "the parent is done whatever became of its child"
    );
    assert!(cluster.tablets.replica(T3, ORDERS, 0).paused);
    assert!(!cluster.meta(0, T1).is_alive());
    let failed: Vec<_> =
        cluster.ns.zookeeper_tree().into_iter().filter(|node| node.path.starts_with("op/op_data/")).collect();
    assert_eq!(failed.len(), 1, "ZooKeeper keeps failed ops only");
}

#[test]
fn an_unloaded_replica_with_a_fitting_snapshot_is_loaded_without_sending_one() {
    let mut cluster = one_follower_missing();
    cluster.tablets.replica(T1, ORDERS, 0).snapshot = Some((75, 1));
    cluster.tablets.replica(T3, ORDERS, 0).snapshot = Some((75, 1));
    cluster.recover(0, T1);
    cluster.pass(30_000);
    assert_eq!(cluster.op_lines()[1], "2 kReAddReplicaNoSendOP kDone -");
}

#[test]
fn a_snapshot_older_than_the_leaders_is_not_enough() {
    let mut cluster = one_follower_missing();
    cluster.tablets.replica(T1, ORDERS, 0).snapshot = Some((74, 1));
    cluster.tablets.replica(T3, ORDERS, 0).snapshot = Some((75, 1));
    cluster.recover(0, T1);
    cluster.pass(30_000);
    assert_eq!(cluster.op_lines()[1], "2 kReAddReplicaOP kDone -");
}

#[test]
fn the_binlog_of_an_unloaded_replica_goes_before_anything_is_compared() {
    let mut cluster = one_follower_missing();
    cluster.recover(0, T1);
    cluster.pass(2_000);
    let changes = &cluster.tablets.changes;
    let deleted = changes.iter().position(|change| *change == format!("{T1} DeleteBinlog"));
    let paused = changes.iter().position(|change| *change == format!("{T3} PauseSnapshot"));
    assert!(deleted.is_some() && deleted < paused, "{changes:?}");
}

#[test]
fn a_loaded_former_leader_is_demoted_and_its_flag_cleared() {
    let mut cluster = Cluster::healthy();
    cluster.kill_tablet(T1);
    cluster.pass(20_000);
    cluster.auto_failover(false);
    cluster.start_tablet(T1);
    cluster.tablets.load(T1, ORDERS, 1, true);
    assert!(cluster.meta(1, T1).is_leader);
    cluster.pass(5_000);
    assert_eq!(cluster.recover(1, T1), 0);
    cluster.pass(30_000);
    assert!(!cluster.tablets.replica(T1, ORDERS, 1).leads);
    let meta = cluster.meta(1, T1);
    assert!(meta.is_alive() && !meta.is_leader, "{meta:?}");
}

#[test]
fn a_tablet_that_does_not_answer_keeps_finished_ops_in_their_lanes_until_it_is_called_offline() {
    let mut cluster = one_follower_missing();
    cluster.tablets.tablets.get_mut(T2).unwrap().up = false;
    cluster.recover(0, T1);
    cluster.pass(30_000);
    assert_eq!(cluster.op_lines(), ["1 kRecoverTableOP kDoing -", "2 kReAddReplicaOP kInited -"]);
    cluster.ns.tablet_session_lost(T2, cluster.now);
    cluster.pass(30_000);
    assert!(cluster.ns.ops().iter().all(|op| op.status == "kDone"), "{:?}", cluster.op_lines());
}

#[test]
fn a_task_that_its_tablet_forgot_fails_after_two_rounds() {
    let mut cluster = one_follower_missing();
    cluster.tablets.tablets.get_mut(T3).unwrap().stuck = Some(TaskType::KPauseSnapshot);
    cluster.recover(0, T1);
    cluster.pass(4_000);
    assert_eq!(cluster.op_lines()[1], "2 kReAddReplicaOP kDoing kPauseSnapshot");
    cluster.tablets.tablets.get_mut(T3).unwrap().tasks.clear();
    cluster.pass(6_000);
    assert_eq!(cluster.op_lines()[1], "2 kReAddReplicaOP kFailed kPauseSnapshot");
}

#[test]
fn cancelling_leaves_the_leader_paused_and_the_op_out_of_zookeeper() {
    let mut cluster = one_follower_missing();
    cluster.recover(0, T1);
    cluster.recover(0, T1);
    cluster.pass(4_000);
    let cancel =
        |cluster: &mut Cluster, id| code(cluster.call(NameserverCall::CancelOp(CancelOpRequest { op_id: Some(id) })));
    assert_eq!(cancel(&mut cluster, 3), 0, "the child that runs");
    assert_eq!(cancel(&mut cluster, 3), 312);
    assert_eq!(cluster.op(3).status, "kCanceled");
    assert!(cluster.tablets.replica(T3, ORDERS, 0).paused);
    assert!(!cluster.ns.zookeeper_tree().iter().any(|node| node.path == "op/op_data/3"));
    let resume = GeneralRequest { tid: 7, pid: 0, ..GeneralRequest::default() };
    cluster.call_tablet(T3, TabletCall::RecoverSnapshot(resume));
    cluster.pass(40_000);
    assert!(cluster.meta(0, T1).is_alive(), "the queued op took its place: {:?}", cluster.op_lines());
}

#[test]
fn a_follower_is_alive_only_when_close_enough_by_cached_offsets() {
    let mut cluster = one_follower_missing();
    cluster.ns.settings_mut().binlog_sync_delta = 0;
    cluster.recover(0, T1);
    // Sent snapshots arrive whole in this stub; this one falls back once it is loaded.
    while !cluster.tablets.replica(T1, ORDERS, 0).loaded {
        cluster.pass(500);
    }
    cluster.tablets.replica(T1, ORDERS, 0).offset = 100;
    cluster.pass(20_000);
    assert_eq!(cluster.op_lines()[1], "2 kReAddReplicaOP kDoing kCheckBinlogSyncProgress");
    cluster.tablets.replica(T1, ORDERS, 0).offset = 105;
    cluster.pass(4_100);
    assert_eq!(cluster.op_lines()[1], "2 kReAddReplicaOP kDone -");
}

#[test]
fn ops_that_fail_for_no_reason_fail_at_del_replica() {
    let mut cluster = one_follower_missing();
    cluster.ns.settings_mut().op_fails_for_no_reason = NonZeroU32::new(1);
    cluster.recover(0, T1);
    cluster.pass(1_900);
    assert_eq!(cluster.op_lines(), ["1 kRecoverTableOP kDoing kDelReplica"]);
    cluster.pass(8_000);
    assert_eq!(cluster.op_lines(), ["1 kRecoverTableOP kFailed kDelReplica"]);
}

/// DeleteOP: by number whatever is known, else what has ended like that.
#[test]
fn operations_are_forgotten_with_their_nodes() {
    let mut cluster = one_follower_missing();
    cluster.ns.settings_mut().op_fails_for_no_reason = NonZeroU32::new(1);
    cluster.recover(0, T1);
    let delete = |op_id: Option<u64>, status: Option<TaskStatus>| {
        let status = status.map(i32::from);
        NameserverCall::DeleteOp(DeleteOpRequest { db: None, op_id, status })
    };
    assert_eq!(code(cluster.call(delete(None, Some(TaskStatus::KDoing)))), 307);
    assert_eq!(code(cluster.call(delete(Some(9), None))), 136);
    cluster.pass(10_000);
    assert_eq!(cluster.op_lines(), ["1 kRecoverTableOP kFailed kDelReplica"]);
    assert_eq!(code(cluster.call(delete(None, Some(TaskStatus::KDone)))), 0);
    assert_eq!(cluster.op_lines().len(), 1, "that one has failed");
    assert_eq!(code(cluster.call(delete(None, Some(TaskStatus::KFailed)))), 0);
    assert!(cluster.op_lines().is_empty());
    cluster.recover(0, T1);
    assert_eq!(code(cluster.call(delete(Some(2), None))), 0, "even while it is under way");
    assert!(cluster.op_lines().is_empty());
}

#[test]
fn recover_endpoint_spreads_over_the_lanes_asked_for() {
    let mut cluster = Cluster::healthy();
    cluster.auto_failover(false);
    for pid in [0, 2, 3] {
        cluster.mark("orders", pid, T1, false);
    }
    let request = RecoverEndpointRequest { endpoint: T1.to_owned(), concurrency: Some(8), need_restore: None };
    assert_eq!(code(cluster.call(NameserverCall::RecoverEndpoint(request))), 0);
    let running = cluster.op_lines().into_iter().filter(|line| line.ends_with("kDoing kDelReplica")).count();
    assert_eq!(running, 3, "pids 0, 2 and 3 have a lane each: {:?}", cluster.op_lines());
}

#[test]
fn a_replica_is_added_deleted_and_migrated() {
    let mut cluster = Cluster::healthy();
    cluster.auto_failover(false);
    // clicks/0 is led by T2 and followed by T3.
    let metas = |cluster: &Cluster| {
        let metas = &cluster.ns.partition("shop", "clicks", 0).unwrap().partition_meta;
        metas.iter().map(|meta| (meta.endpoint.clone(), meta.is_alive())).collect::<Vec<_>>()
    };
    let (name, db, endpoint) = ("clicks".to_owned(), Some("shop".to_owned()), T1.to_owned());
    let add = AddReplicaNsRequest { name: name.clone(), pid: 0, endpoint, db: db.clone(), ..Default::default() };
    assert_eq!(code(cluster.call(NameserverCall::AddReplicaNs(add))), 0);
    cluster.pass(30_000);
    let alive = |endpoints: &[&str]| endpoints.iter().map(|it| ((*it).to_owned(), true)).collect::<Vec<_>>();
    assert_eq!(metas(&cluster), alive(&[T2, T3, T1]));

    let del =
        DelReplicaNsRequest { name: name.clone(), pid: 0, endpoint: T3.to_owned(), db: db.clone(), pid_group: vec![] };
    assert_eq!(code(cluster.call(NameserverCall::DelReplicaNs(del))), 0);
    cluster.pass(30_000);
    assert_eq!(metas(&cluster), alive(&[T2, T1]));

    let (src_endpoint, des_endpoint) = (T1.to_owned(), T3.to_owned());
    let migrate = MigrateRequest { src_endpoint, name, pid: vec![0], des_endpoint, db };
    assert_eq!(code(cluster.call(NameserverCall::Migrate(migrate))), 0);
    cluster.pass(40_000);
    assert_eq!(metas(&cluster), alive(&[T2, T3]), "{:?}", cluster.op_lines());
}

#[test]
fn a_standby_goes_on_with_the_ops_of_a_dead_leader() {
    let mut cluster =
        Cluster::of(&[NS, STANDBY], &recorded::<ShowTableResponse>("01-healthy", "ShowTable"), recorded_settings());
    cluster.auto_failover(false);
    for (pid, endpoint) in [(0, T1), (0, T2), (1, T2)] {
        cluster.mark("orders", pid, endpoint, false);
        cluster.tablets.replica(endpoint, ORDERS, pid).loaded = false;
        cluster.recover(pid, endpoint);
    }
    cluster.pass(7_000);
    cluster.ns.kill(NS);
    assert_eq!(cluster.ns.leader(), None);
    cluster.pass(3_900);
    assert_eq!(cluster.ns.leader(), None);
    cluster.pass(200);
    assert_eq!(cluster.ns.leader(), Some(STANDBY), "about 4 s later");
    cluster.pass(60_000);
    for (pid, endpoint) in [(0, T1), (0, T2), (1, T2)] {
        assert!(cluster.meta(pid, endpoint).is_alive(), "{pid} {endpoint}: {:?}", cluster.op_lines());
    }
    assert!(cluster.ns.ops().iter().all(|op| op.op_id != 1), "done ops are forgotten: {:?}", cluster.op_lines());
}

#[test]
fn a_task_nobody_reports_fails_when_another_nameserver_takes_over_and_failed_ops_stay() {
    let mut cluster =
        Cluster::of(&[NS, STANDBY], &recorded::<ShowTableResponse>("01-healthy", "ShowTable"), recorded_settings());
    cluster.auto_failover(false);
    cluster.mark("orders", 0, T1, false);
    cluster.tablets.replica(T1, ORDERS, 0).loaded = false;
    cluster.recover(0, T1);
    cluster.pass(2_000);
    for tablet in cluster.tablets.tablets.values_mut() {
        tablet.tasks.clear();
    }
    cluster.ns.kill(NS);
    cluster.pass(4_000);
    assert_eq!(cluster.op_lines(), ["2 kReAddReplicaOP kFailed kPauseSnapshot"]);
    cluster.ns.start(NS, cluster.now);
    cluster.ns.kill(STANDBY);
    cluster.pass(10_000);
    assert_eq!(cluster.ns.leader(), Some(NS));
    assert_eq!(cluster.op_lines(), ["2 kReAddReplicaOP kFailed kPauseSnapshot"], "failed ops outlive nameservers");
}
