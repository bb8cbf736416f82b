//! kChangeLeaderOP, failover, membership, and what nameservers know after they change.

use super::fixture::{Cluster, NS, ORDERS, STANDBY, T1, T2, T3, recorded, recorded_settings};
use openmldb_wire::call::{NameserverAnswer, NameserverCall};
use openmldb_wire::nameserver::{
    ChangeLeaderRequest, OfflineEndpointRequest, RecoverEndpointRequest, RecoverTableRequest, ShowTableResponse,
    ShowTabletRequest, TermPair, UpdateTableAliveRequest,
};

fn change_leader(cluster: &mut Cluster, pid: u32, candidate: Option<&str>) -> i32 {
    let answer = cluster.call(NameserverCall::ChangeLeader(ChangeLeaderRequest {
        name: "orders".to_owned(),
        pid,
        candidate_leader: candidate.map(str::to_owned),
        db: Some("shop".to_owned()),
    }));
    let NameserverAnswer::ChangeLeader(answer) = answer else { panic!("{answer:?}") };
    answer.code
}

fn tablets(cluster: &mut Cluster) -> Vec<(String, String)> {
    let NameserverAnswer::ShowTablet(answer) = cluster.call(NameserverCall::ShowTablet(ShowTabletRequest {})) else {
        panic!("ShowTablet")
    };
    answer.tablets.into_iter().map(|tablet| (tablet.endpoint().to_owned(), tablet.state().to_owned())).collect()
}

/// auto_failover off, `orders/0` led by T3 with T1 and T2 alive followers.
fn ready() -> Cluster {
    let mut cluster = Cluster::healthy();
    cluster.auto_failover(false);
    cluster
}

#[test]
fn the_candidate_wins_even_if_it_is_shorter_and_the_term_begins_after_the_longest() {
    let mut cluster = ready();
    cluster.tablets.replica(T1, ORDERS, 0).offset = 90;
    assert_eq!(change_leader(&mut cluster, 0, Some(T1)), 0);
    let (old, new) = (cluster.meta(0, T3), cluster.meta(0, T1));
    assert!(old.is_leader && !old.is_alive(), "{old:?}");
    assert!(new.is_leader && new.is_alive(), "{new:?}");
    let terms = &cluster.ns.partition("shop", "orders", 0).unwrap().term_offset;
    assert_eq!(terms[..], [TermPair { term: 1, offset: 0 }, TermPair { term: 3, offset: 106 }]);
    let leader = cluster.tablets.replica(T1, ORDERS, 0);
    assert!(leader.leads && leader.term == 3 && leader.followers.iter().eq([T2]));
    assert!(cluster.tablets.replica(T3, ORDERS, 0).leads, "the old leader was not asked");
}

#[test]
fn without_a_candidate_the_longest_wins() {
    let mut cluster = ready();
    cluster.mark("orders", 0, T3, false);
    cluster.tablets.replica(T2, ORDERS, 0).offset = 90;
    assert_eq!(change_leader(&mut cluster, 0, None), 0);
    assert!(cluster.meta(0, T1).is_leader);
}

#[test]
fn a_failed_election_leaves_the_terms_of_those_asked_raised() {
    let mut cluster = ready();
    cluster.mark("orders", 0, T3, false);
    cluster.tablets.replica(T2, ORDERS, 0).loaded = false;
    assert_eq!(change_leader(&mut cluster, 0, None), 0);
    assert_eq!(cluster.op_lines(), ["1 kChangeLeaderOP kFailed kSelectLeader"]);
    assert_eq!(cluster.tablets.replica(T1, ORDERS, 0).term, 2);
    assert!(!cluster.meta(0, T1).is_leader);
    assert_eq!(cluster.ns.partition("shop", "orders", 0).unwrap().term_offset.len(), 1);
    cluster.tablets.replica(T2, ORDERS, 0).loaded = true;
    change_leader(&mut cluster, 0, None);
    let terms = &cluster.ns.partition("shop", "orders", 0).unwrap().term_offset;
    assert_eq!(terms[1], TermPair { term: 5, offset: 106 }, "two terms a try");
}

#[test]
fn change_leader_refuses_in_order() {
    let mut cluster = ready();
    assert_eq!(change_leader(&mut cluster, 0, None), 309);
    for follower in [T1, T2] {
        cluster.mark("orders", 0, follower, false);
    }
    assert_eq!(change_leader(&mut cluster, 0, Some("")), 310, "an empty candidate counts as given");
    cluster.mark("orders", 0, T1, true);
    assert_eq!(change_leader(&mut cluster, 0, Some(T2)), 305, "not alive");
    assert_eq!(change_leader(&mut cluster, 0, Some(T3)), 305, "leader-flagged");
    cluster.kill_tablet(T1);
    assert_eq!(change_leader(&mut cluster, 0, Some("auto")), 0, "no healthy follower: ok, and no op");
    assert!(cluster.ns.ops().is_empty());
}

#[test]
fn a_short_absence_with_a_new_process_is_dealt_with_at_once() {
    let mut cluster = Cluster::healthy();
    cluster.kill_tablet(T3);
    cluster.pass(1_000);
    cluster.start_tablet(T3);
    cluster.pass(60_000);
    // T3 led pids 0 and 3; every partition has another leader now, and T3's replicas were brought back as followers.
    for pid in 0..4 {
        let partition = cluster.ns.partition("shop", "orders", pid).unwrap();
        let leaders: Vec<_> = partition.partition_meta.iter().filter(|meta| meta.is_leader).collect();
        assert_eq!(leaders.len(), 1, "{partition:?}");
        assert_ne!(leaders[0].endpoint, T3);
        assert!(partition.partition_meta.iter().all(|meta| meta.is_alive()), "{pid}: {:?}", cluster.op_lines());
    }
}

#[test]
fn a_short_absence_of_the_same_process_changes_nothing() {
    let mut cluster = Cluster::healthy();
    cluster.ns.tablet_session_lost(T3, cluster.now);
    cluster.pass(5_000);
    cluster.ns.tablet_registered(T3, cluster.now, false);
    cluster.pass(30_000);
    assert!(cluster.ns.ops().is_empty());
}

#[test]
fn the_last_alive_replica_keeps_its_flag() {
    let mut cluster = Cluster::healthy();
    for tablet in [T1, T2, T3] {
        cluster.kill_tablet(tablet);
    }
    cluster.pass(10_000);
    for pid in 0..4 {
        let partition = cluster.ns.partition("shop", "orders", pid).unwrap();
        let alive: Vec<_> = partition.partition_meta.iter().filter(|meta| meta.is_alive()).collect();
        assert_eq!(alive.len(), 1);
        assert_eq!(alive[0].endpoint, T3, "the last one to be dealt with, leader or not");
    }
}

#[test]
fn a_missed_registration_stays_offline_until_a_nameserver_leader_change() {
    let mut cluster =
        Cluster::of(&[NS, STANDBY], &recorded::<ShowTableResponse>("01-healthy", "ShowTable"), recorded_settings());
    cluster.auto_failover(false);
    cluster.kill_tablet(T2);
    cluster.mark("orders", 0, T2, false);
    cluster.ns.miss_next_registration(T2);
    cluster.start_tablet(T2);
    cluster.pass(30_000);
    let states = |states: [&str; 3]| [T1, T2, T3].map(str::to_owned).into_iter().zip(states.map(str::to_owned));
    assert!(tablets(&mut cluster).into_iter().eq(states(["kHealthy", "kOffline", "kHealthy"])));
    assert!(cluster.ns.zookeeper_tree().iter().any(|node| node.path == format!("nodes/{T2}")));
    assert_eq!(cluster.recover(0, T2), 303);
    cluster.ns.kill(NS);
    cluster.pass(5_000);
    assert!(tablets(&mut cluster).into_iter().eq(states(["kHealthy"; 3])));
}

#[test]
fn a_tablet_that_never_came_back_is_unknown_to_a_restarted_nameserver() {
    let mut cluster = ready();
    cluster.kill_tablet(T2);
    cluster.ns.kill(NS);
    cluster.pass(5_000);
    cluster.ns.start(NS, cluster.now);
    cluster.pass(5_000);
    assert_eq!(tablets(&mut cluster).len(), 2);
    let answer = cluster.call(NameserverCall::UpdateTableAliveStatus(UpdateTableAliveRequest {
        name: Some("orders".to_owned()),
        endpoint: Some(T2.to_owned()),
        is_alive: Some(false),
        db: Some("shop".to_owned()),
        pid: None,
    }));
    let NameserverAnswer::UpdateTableAliveStatus(answer) = answer else { panic!("{answer:?}") };
    assert_eq!(answer.code, 302);
}

#[test]
fn a_nameserver_answers_300_until_it_leads_and_nothing_when_it_is_dead() {
    let mut cluster = ready();
    let ask = |cluster: &mut Cluster| {
        let request = RecoverTableRequest { name: String::new(), ..RecoverTableRequest::default() };
        let Cluster { ns, tablets, now } = cluster;
        match ns.call(NS, *now, NameserverCall::RecoverTable(request), tablets) {
            Ok(NameserverAnswer::RecoverTable(answer)) => Some(answer.code),
            _ => None,
        }
    };
    cluster.ns.kill(NS);
    assert_eq!(ask(&mut cluster), None);
    cluster.ns.start(NS, cluster.now);
    assert_eq!(ask(&mut cluster), Some(300));
    cluster.pass(1_000);
    assert_eq!(cluster.ns.leader(), Some(NS), "the node of its former life makes it leader at once");
    assert_eq!(ask(&mut cluster), Some(302));
}

#[test]
fn a_nameserver_that_gets_the_lock_before_the_tablets_are_there_exits() {
    let mut cluster = ready();
    cluster.ns.kill(NS);
    for tablet in [T1, T2, T3] {
        cluster.kill_tablet(tablet);
    }
    cluster.pass(10_000);
    cluster.ns.start(NS, cluster.now);
    cluster.pass(10_000);
    assert_eq!(cluster.ns.leader(), None);
    cluster.start_tablet(T1);
    cluster.ns.start(NS, cluster.now);
    cluster.pass(10_000);
    assert_eq!(cluster.ns.leader(), Some(NS));
}

#[test]
fn offsets_come_back_stale_where_metadata_was_rewritten() {
    let mut cluster = ready();
    cluster.mark("orders", 0, T1, true);
    for pid in 0..4 {
        for endpoint in [T1, T2, T3] {
            cluster.tablets.replica(endpoint, ORDERS, pid).offset += 73;
        }
    }
    cluster.pass(4_000);
    assert_eq!(cluster.meta(0, T3).offset, Some(178));
    cluster.restart_everything();
    let meta = cluster.meta(0, T3);
    assert_eq!((meta.offset, meta.tablet_has_partition), (Some(105), Some(true)));
    let clicks = cluster.ns.partition("shop", "clicks", 0).unwrap();
    assert_eq!(clicks.partition_meta[0].offset, None, "that table was never rewritten");
}

#[test]
fn a_replica_that_is_loading_overwrites_its_last_known_offset() {
    let mut cluster = ready();
    for tablet in [T1, T2, T3] {
        cluster.kill_tablet(tablet);
        cluster.start_tablet(tablet);
    }
    cluster.pass(4_000);
    assert_eq!(cluster.meta(0, T3).offset, Some(105));
    cluster.tablets.load(T3, ORDERS, 0, false);
    cluster.tablets.replica(T3, ORDERS, 0).offset = 0;
    cluster.pass(4_000);
    assert_eq!(cluster.meta(0, T3).offset, Some(0));
    assert_eq!(cluster.meta(0, T1).offset, Some(105));
    assert!(!cluster.meta(0, T1).tablet_has_partition());
}

#[test]
fn an_endpoint_is_taken_offline_and_restored_with_its_leaderships() {
    let mut cluster = ready();
    let offline = OfflineEndpointRequest { endpoint: T3.to_owned(), concurrency: None };
    cluster.call(NameserverCall::OfflineEndpoint(offline));
    cluster.pass(20_000);
    // T3 led pids 0 and 3 and followed in 1 and 2.
    for pid in 0..4 {
        assert!(!cluster.meta(pid, T3).is_alive(), "{pid}: {:?}", cluster.op_lines());
        assert_eq!(cluster.meta(pid, T3).is_leader, [0, 3].contains(&pid));
    }
    let restore = RecoverEndpointRequest { endpoint: T3.to_owned(), need_restore: Some(true), concurrency: None };
    cluster.call(NameserverCall::RecoverEndpoint(restore));
    cluster.pass(90_000);
    for pid in 0..4 {
        let partition = cluster.ns.partition("shop", "orders", pid).unwrap();
        assert!(partition.partition_meta.iter().all(|meta| meta.is_alive()), "{pid}: {:?}", cluster.op_lines());
        assert_eq!(partition.partition_meta.iter().filter(|meta| meta.is_leader).count(), 1);
        assert_eq!(cluster.meta(pid, T3).is_leader, [0, 3].contains(&pid), "it leads what it led before");
    }
}

#[test]
fn an_election_queued_before_auto_failover_came_on_leaves_an_alive_leader_alone() {
    let mut cluster = ready();
    cluster.mark("orders", 0, T1, false);
    cluster.recover(0, T1);
    assert_eq!(change_leader(&mut cluster, 0, Some(T2)), 0);
    cluster.auto_failover(true);
    cluster.pass(40_000);
    assert_eq!(cluster.op(2).status, "kFailed");
    assert_eq!(cluster.op(2).task_type, "kSelectLeader");
    let term = cluster.ns.zookeeper_tree().into_iter().find(|node| node.path == "table/term").unwrap();
    assert_eq!(term.data, b"1", "no term was used up");
}
