//! Every scenario, over sockets: the sandbox is started, recovered as `recover --all` does it, and looked at from
//! outside. Then it is recovered again, which changes nothing.

mod seen;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::run::{Event, InMemoryLock, Lock, PartitionCounts, Verdict};
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::wire::api::{TableMode, TableState};
use openmldb_ops::wire::call::TabletCall;
use openmldb_ops::wire::encode::Addressed;
use tokio::task::JoinSet;

use crate::aggregates::led_apart;
use crate::support::harness::{Setup, impatient};
use crate::support::outside::{
    assert_all_well, assert_serving, assert_well, auto_failover, find, flags, leader, lengths, orders, placed_on, told,
};
use crate::support::relay::count;

use seen::{Seen, recover};

/// The scenario recovers whole, shows what is special about it, and stays as it is.
async fn comes_back(scenario: Scenario, special: fn(&Seen)) {
    let seen = recover(scenario, Setup::new()).await;
    seen.assert_whole();
    special(&seen);
    seen.assert_at_rest(Setup::new(), Verdict::Healthy).await;
    seen.harness.stop().await;
}

macro_rules! scenarios {
    ($($name:ident: $scenario:ident $(with $special:ident)?;)*) => {
        $(#[tokio::test(start_paused = true)]
        async fn $name() {
            let _special: fn(&Seen) = |_| {};
            $(let _special: fn(&Seen) = $special;)?
            comes_back(Scenario::$scenario, _special).await;
        })*

        #[test]
        fn every_scenario_is_here() {
            let elsewhere = [Scenario::TabletMissing, Scenario::NodeLost, Scenario::EmptiedDisks];
            let here = BTreeSet::from_iter(elsewhere.into_iter().chain([$(Scenario::$scenario,)*]));
            assert_eq!(here, Scenario::ALL.iter().copied().collect());
        }
    };
}

scenarios! {
    healthy: Healthy with is_left_alone;
    everything_restarted: EverythingRestarted;
    leaders_loaded: LeadersLoaded;
    followers_recovering: FollowersRecovering;
    recovered: Recovered with is_left_alone;
    tablets_restarted_failover_on: TabletsRestartedFailoverOn;
    tablets_restarted_failover_off: TabletsRestartedFailoverOff;
    two_leader_flags: TwoLeaderFlags;
    server_names: ServerNames;
    leader_lost_disk: LeaderLostDisk with longest_replica_is_everywhere;
    leader_lost_directory: LeaderLostDirectory with longest_replica_is_everywhere;
    longer_follower: LongerFollower with longest_replica_is_everywhere;
    hollow_leader: HollowLeader with hollow_leader_is_not_chosen;
    dead_old_leader_longer: DeadOldLeaderLonger with leader_elected_last_wins;
    diverged_tail: DivergedTail with leader_elected_last_wins;
    disk_tables: DiskTables;
    pre_aggregate: PreAggregate with base_tables_come_after_what_aggregates_them;
    leader_and_writers: LeaderAndWriters with rows_acknowledged_meanwhile_are_there;
    tablets_added: TabletsAdded with is_left_alone;
    clients_writing: ClientsWriting with is_left_alone;
    node_back: NodeBack;
    power_cut: PowerCut with what_any_replica_kept_is_everywhere;
    deleted_rows: DeletedRows with nothing_is_sent_again;
    expired_rows: ExpiredRows with nothing_is_sent_again;
    disk_overwrites: DiskOverwrites with nothing_is_sent_again;
    aggregate_apart: AggregateApart with aggregates_are_led_beside_their_base_tables;
}

/// Replicas that count their rows differently and hold the same.
fn nothing_is_sent_again(seen: &Seen) {
    seen.harness.world(|world| {
        for at in world.tablet_endpoints().to_vec() {
            assert_eq!(world.tablets_mut().recycle_bin(at.as_str()), [], "{at}: no directory was replaced");
        }
    });
}

fn what_any_replica_kept_is_everywhere(seen: &Seen) {
    let after = lengths(&seen.harness.world(|world| world.rows()));
    for (id, before) in &seen.before.rows {
        let longest = before.values().map(Vec::len).max().unwrap();
        assert_eq!(after[id], (longest, BTreeSet::from([longest])), "{id}");
    }
    let described = |call: &Addressed| match call {
        Addressed::Tablet(endpoint, TabletCall::LoadTable(load)) => {
            let meta = load.table_meta.as_ref().unwrap();
            (!meta.column_desc.is_empty()).then(|| (endpoint.clone(), meta.tid()))
        }
        _ => None,
    };
    let described: BTreeSet<(Endpoint, i32)> = seen.run.sent.iter().filter_map(described).collect();
    assert!(described.iter().all(|(endpoint, _)| *endpoint == seen.victim()), "{described:?}");
    for name in ["orders", "views"] {
        let tid = seen.harness.world(|world| find(world, name, 0).tid.0.cast_signed());
        assert!(described.contains(&(seen.victim(), tid)), "{name}, in memory or on disk: {described:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn emptied_disks() {
    recover(Scenario::EmptiedDisks, Setup::new()).await.assert_nothing_begins_empty_unasked().await;
}

fn is_left_alone(seen: &Seen) {
    assert!(seen.run.sent.is_empty());
    assert_eq!(seen.harness.records.count(), 0, "nothing is written down either");
}

fn longest_replica_is_everywhere(seen: &Seen) {
    let after = seen.harness.world(|world| world.rows());
    let victim = seen.victim();
    for (id, (longest, lengths)) in lengths(&after) {
        let before = &seen.before.rows[&id];
        assert_eq!(longest, before.values().map(Vec::len).max().unwrap(), "{id}");
        assert_eq!(lengths.len(), 1, "{id}: {lengths:?}");
    }
    for id in [seen.order(0), seen.order(3)] {
        let lost = &seen.before.rows[&id][&victim];
        let other = seen.before.rows[&id].iter().find(|(endpoint, _)| **endpoint != victim).unwrap().1;
        assert!(lost.len() < other.len(), "the scenario's damage");
        assert!(seen.logs(id).values().all(|log| log == other), "{id}: row by row");
        assert_ne!(seen.harness.world(|world| leader(world, id)), victim, "{id}");
    }
    assert_eq!(count(&seen.run.sent, "ChangeLeader"), 2, "the replicas with the rows are promoted");
}

fn hollow_leader_is_not_chosen(seen: &Seen) {
    let victim = seen.victim();
    for id in [seen.order(0), seen.order(3)] {
        let chosen: Vec<_> = seen.run.events.iter().filter_map(|event| chosen_in(event, id)).collect();
        assert!(!chosen.is_empty() && !chosen.contains(&victim), "{chosen:?}");
        assert_ne!(seen.harness.world(|world| leader(world, id)), victim);
        let full = seen.before.rows[&id].values().map(Vec::len).max().unwrap();
        assert!(seen.logs(id).values().all(|log| log.len() == full), "{id}");
    }
}

/// Who was chosen, if the event is about that partition of `orders`.
fn chosen_in(event: &Event, id: PartitionId) -> Option<Endpoint> {
    match event {
        Event::LeaderChosen { table, pid, choice } if table.table == "orders" && *pid == id.pid.0 => {
            Some(choice.leader.clone())
        }
        _ => None,
    }
}

fn leader_elected_last_wins(seen: &Seen) {
    let victim = seen.victim();
    let summary = &seen.run.recovered.summary;
    let listed: Vec<_> = summary.given_up.iter().map(|given| (given.pid.0, given.endpoint.clone())).collect();
    assert_eq!(listed, [(0, victim.clone()), (3, victim.clone())], "{:?}", summary.given_up);
    for (id, given) in [seen.order(0), seen.order(3)].into_iter().zip(&summary.given_up) {
        let tail = seen.harness.world(|world| world.given_up()[&id].clone());
        let old = &seen.before.rows[&id][&victim];
        assert_eq!(given.entries, tail.len() as u64);
        assert_eq!(given.term.map(|term| term.0), old.last().map(|entry| entry.term));
        assert!(!given.at_most && given.directory.contains(&id.to_string()), "{given:?}");
        let new = seen.before.rows[&id].iter().find(|(endpoint, _)| **endpoint != victim).unwrap().1;
        assert!(seen.logs(id).values().all(|log| log == new), "{id}: every replica has the new leader's entries");
        assert_ne!(seen.harness.world(|world| leader(world, id)), victim);
    }
}

fn base_tables_come_after_what_aggregates_them(seen: &Seen) {
    let (base, aggregate) =
        seen.harness.world(|world| (orders(world, 0).tid, find(world, "pre_shop_orders_w_sum_amt", 0).tid));
    let loads = seen.loads();
    let bases: Vec<_> = loads.iter().enumerate().filter(|(_, (_, id))| id.tid == base).collect();
    assert_eq!(bases.len(), 12, "four partitions, three replicas each");
    for (at, (endpoint, id)) in bases {
        let aggregates_it = (endpoint.clone(), PartitionId { tid: aggregate, pid: id.pid });
        assert!(
            loads[..at].contains(&aggregates_it),
            "{id} is loaded before what aggregates it on {endpoint}: {loads:?}"
        );
    }
}

fn aggregates_are_led_beside_their_base_tables(seen: &Seen) {
    assert_eq!(seen.harness.world(|world| led_apart(world)), Vec::<u32>::new());
}

fn rows_acknowledged_meanwhile_are_there(seen: &Seen) {
    let count = seen.harness.settle();
    let since = count.rows_expected - seen.before.rows_expected;
    assert!(since > 0, "the writers go on as soon as a leader takes rows");
    assert_eq!(count.rows_after, count.rows_expected);
}

#[tokio::test(start_paused = true)]
async fn tablet_missing() {
    let seen = recover(Scenario::TabletMissing, Setup::new()).await;
    seen.assert_safe();
    let missing = seen.victim();
    let there = seen.harness.world(|world| placed_on(world, &missing));
    let summary = &seen.run.recovered.summary;
    seen.harness.world(|world| {
        for id in world.metadata().into_keys() {
            assert_serving(world, id);
            if !there.contains(&id) {
                assert_well(world, id);
            }
        }
    });
    assert_eq!(summary.verdict, Verdict::Partial);
    let (total, blocked) = (seen.before.partitions, there.len());
    let counts = PartitionCounts { total, recovered: total - blocked, blocked, ..PartitionCounts::default() };
    assert_eq!(summary.partitions, counts);
    let reasons: BTreeSet<&str> = summary.blocked.iter().map(|blocked| blocked.reason).collect();
    assert_eq!(reasons, BTreeSet::from(["not_redundant"]), "{:?}", summary.blocked);
    assert_eq!(summary.blocked.len(), blocked);
    assert!(summary.blocked.iter().all(|blocked| blocked.text.contains(missing.as_str())));
    let rows = seen.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected, "on every replica that is there");
    seen.assert_at_rest(Setup::new(), Verdict::Partial).await;
    seen.harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_larger_offset_wins_where_the_playbook_says_so() {
    let seen = recover(Scenario::DeadOldLeaderLonger, Setup::on_conflict("max_offset")).await;
    seen.assert_safe();
    seen.harness.world(assert_all_well);
    let summary = &seen.run.recovered.summary;
    assert_eq!(summary.verdict, Verdict::Recovered);
    let victim = seen.victim();
    for pid in [0, 3] {
        let id = seen.order(pid);
        let old = &seen.before.rows[&id][&victim];
        assert!(seen.logs(id).values().all(|log| log == old), "{id}: every replica has the old leader's entries");
        assert_eq!(seen.harness.world(|world| leader(world, id)), victim);
        let given: Vec<_> = summary.given_up.iter().filter(|given| given.pid.0 == pid).collect();
        assert!(!given.is_empty(), "the new leader's rows are given up, and listed");
        for given in given {
            assert_eq!((given.entries, given.at_most), (3, false), "{given:?}");
            assert_ne!(given.endpoint, victim);
        }
    }
    let rows = seen.harness.settle();
    assert_eq!(rows.rows_expected - rows.rows_after, 2 * 3, "the three rows written since, in two partitions");
    seen.assert_at_rest(Setup::on_conflict("max_offset"), Verdict::Healthy).await;
    seen.harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn several_leader_flags_are_left_alone_where_the_playbook_says_so() {
    let seen = recover(Scenario::DeadOldLeaderLonger, Setup::on_conflict("block")).await;
    let blocked: BTreeMap<u32, &str> =
        seen.run.recovered.summary.blocked.iter().map(|blocked| (blocked.pid.0, blocked.reason)).collect();
    assert_eq!(blocked, BTreeMap::from([(0, "leader_conflict"), (3, "leader_conflict")]));
    assert_eq!(seen.run.recovered.summary.verdict, Verdict::Partial);
    let left = [seen.order(0), seen.order(3)];
    seen.harness.settle();
    seen.harness.world(|world| {
        assert_eq!(auto_failover(world), seen.before.auto_failover);
        for id in world.metadata().into_keys() {
            if !left.contains(&id) {
                assert_well(world, id);
                continue;
            }
            for flag in flags(world, id) {
                assert!(!flag.alive, "{id}: {flag:?}");
                let follower = Some((TableMode::KTableFollower, TableState::KTableNormal));
                assert_eq!(told(world, &flag.endpoint, id), follower, "{id}: {flag:?}");
            }
            assert_eq!(world.rows()[&id], seen.before.rows[&id], "nothing is discarded");
        }
    });
    seen.assert_at_rest(Setup::on_conflict("block"), Verdict::Partial).await;
    seen.harness.stop().await;
}

/// The rules are the same; followers come back without the nameserver's operations where that is proven to be safe.
#[tokio::test(start_paused = true)]
async fn every_scenario_with_playbook_fast() {
    every_scenario("fast").await;
}

/// The rules are the same; leaders serve before their followers are loaded where nothing speaks against it.
#[tokio::test(start_paused = true)]
async fn every_scenario_with_playbook_leaders_first() {
    every_scenario("leaders-first").await;
}

async fn every_scenario(playbook: &'static str) {
    let with = move |lock: &Arc<dyn Lock>| Setup {
        playbook: impatient(Playbook::find(playbook).unwrap()),
        lock: lock.clone(),
        ..Setup::new()
    };
    let mut all = JoinSet::new();
    for scenario in Scenario::ALL {
        let lock: Arc<dyn Lock> = Arc::new(InMemoryLock::keeping_notes());
        all.spawn(async move {
            let seen = recover(*scenario, with(&lock)).await;
            println!("{scenario}");
            if playbook == "leaders-first" && matches!(scenario, Scenario::LongerFollower | Scenario::PowerCut) {
                return seen.assert_longer_follower_is_kept().await;
            }
            if *scenario == Scenario::EmptiedDisks {
                return seen.assert_nothing_begins_empty_unasked().await;
            }
            seen.assert_safe();
            let verdict = seen.run.recovered.summary.verdict;
            let (is_whole, was_well) = (scenario.is_whole(), scenario.is_well());
            let expected = match (is_whole, was_well) {
                (false, _) => Verdict::Partial,
                (true, true) => Verdict::Healthy,
                (true, false) => Verdict::Recovered,
            };
            assert_eq!(verdict, expected, "{scenario}: {:?}", seen.run.recovered.summary);
            if is_whole {
                seen.harness.world(assert_all_well);
            }
            let rows = seen.harness.settle();
            assert_eq!(rows.rows_after, rows.rows_expected, "{scenario}");
            let at_rest = if is_whole { Verdict::Healthy } else { Verdict::Partial };
            seen.assert_at_rest(with(&lock), at_rest).await;
            seen.harness.stop().await;
        });
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
}
