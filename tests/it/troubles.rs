//! What goes wrong while a run is under way: servers die, freeze and come back, operations fail for no reason, the run
//! is told to stop, or falls over itself. Whatever it is: no row is lost, auto_failover is restored, and a later run
//! finishes.

use std::collections::BTreeSet;
use std::num::NonZeroU32;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::run::{Event, Milestone, Stop, Verdict};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::world::Started;
use openmldb_ops::sandbox::{Live, Options, World};
use openmldb_ops::wire::call::NameserverCall;
use openmldb_ops::wire::encode::Addressed;
use tokio::sync::watch;

use crate::support::harness::{Harness, Run, Setup};
use crate::support::outside;
use crate::support::outside::{assert_all_well, assert_well, auto_failover, placed_on};
use crate::support::relay::{Then, count, method};

/// A run in which something happens to the world just before the `nth` call of a method is sent.
fn just_before(
    harness: &Harness,
    name: &'static str,
    nth: usize,
    trouble: impl Fn(&Arc<Live>) + Send + Sync + 'static,
) -> Setup {
    let live = harness.live().clone();
    Setup::hook(move |calls| {
        if calls.last().is_some_and(|call| method(call) == name) && count(calls, name) == nth {
            trouble(&live);
        }
        Then::Go
    })
}

/// Everything is well, every row is there, and auto_failover is on.
fn assert_whole(harness: &Harness) {
    let rows = harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    assert_eq!((rows.partitions_with_two_alive_leaders, rows.healthy_partitions_touched), (0, 0));
    harness.world(|world| {
        assert_all_well(world);
        assert_eq!(world.diverged(), BTreeSet::new());
        assert!(auto_failover(world));
    });
}

/// What holds after a run that could not do everything.
fn assert_left_in_order(harness: &Harness, run: &Run) {
    let is_held = !run.recovered.summary.auto_failover.held_for.is_empty();
    assert_eq!(harness.world(auto_failover), !is_held, "auto_failover is restored, or kept off for somebody");
    assert!(run.recovered.summary.auto_failover.after != is_held && run.recovered.not_restored.is_none());
    assert_eq!(harness.world(|world| world.row_count().partitions_with_two_alive_leaders), 0);
    let counts = run.recovered.summary.partitions;
    assert_eq!(counts.total, counts.healthy_before + counts.recovered + counts.blocked + counts.failed);
    assert_eq!(run.recovered.summary.blocked.len(), counts.blocked + counts.failed);
}

async fn assert_next_run_finishes(harness: &Harness) {
    let run = harness.run().await;
    let summary = &run.recovered.summary;
    assert!(matches!(summary.verdict, Verdict::Recovered | Verdict::Healthy), "{:?}", summary.blocked);
    assert_whole(harness);
}

/// Starts a tablet as often as it takes: it exits as long as the node of its last run is there.
async fn start_tablet(harness: &Harness, tablet: &Endpoint) {
    harness.until("the tablet is registered again", |world| world.start_tablet(tablet) == Started::Running).await;
}

async fn nameserver_dies(name: &'static str, nth: usize) {
    let options = Options { nameservers: 2, ..Options::default() };
    let harness = Harness::in_memory_with(Scenario::EverythingRestarted, &options).await;
    let led = harness.world(|world| world.leader());
    let setup = just_before(&harness, name, nth, |live| {
        live.with(|world| world.leader().into_iter().for_each(|leader| world.kill_nameserver(&leader)));
    });
    let run = harness.run_with(setup).await;
    assert!(count(&run.sent, name) >= nth, "the run was to get so far");
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered, "{:?}", run.recovered.summary.blocked);
    assert_whole(&harness);
    let leads = harness.world(|world| world.leader());
    assert!(leads.is_some() && leads != led, "the standby leads");
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_dies_before_anything_is_changed_is_replaced_by_its_standby() {
    nameserver_dies("ConfSet", 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_dies_while_flags_are_changed_is_replaced_by_its_standby() {
    nameserver_dies("UpdateTableAliveStatus", 5).await;
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_dies_while_tablets_load_is_replaced_by_its_standby() {
    nameserver_dies("LoadTable", 10).await;
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_dies_with_operations_under_way_is_replaced_by_its_standby() {
    nameserver_dies("RecoverTable", 4).await;
}

#[tokio::test(start_paused = true)]
async fn a_nameserver_that_dies_in_the_middle_of_a_promotion_is_replaced_by_its_standby() {
    let options = Options { nameservers: 2, ..Options::default() };
    let harness = Harness::in_memory_with(Scenario::LeaderLostDisk, &options).await;
    // One promotion is queued, the second is about to be asked for.
    let armed = AtomicBool::new(true);
    let live = harness.live().clone();
    let setup = Setup::hook(move |calls| {
        if count(calls, "ChangeLeader") == 2 && armed.swap(false, Ordering::Relaxed) {
            live.with(|world| world.leader().into_iter().for_each(|leader| world.kill_nameserver(&leader)));
        }
        Then::Go
    });
    let run = harness.run_with(setup).await;
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered, "{:?}", run.recovered.summary.blocked);
    assert_whole(&harness);
    harness.stop().await;
}

async fn tablet_dies_for_good(name: &'static str, nth: usize) {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    let tablet = harness.tablets()[1].clone();
    let there = harness.world(|world| placed_on(world, &tablet));
    let dying = tablet.clone();
    let setup = just_before(&harness, name, nth, move |live| live.with(|world| world.kill_tablet(&dying)));
    let run = harness.run_with(setup).await;
    assert_left_in_order(&harness, &run);
    assert_eq!(run.recovered.summary.verdict, Verdict::Partial);
    let left = run.recovered.summary.blocked.len();
    assert!((1..=there.len()).contains(&left), "{:?}", run.recovered.summary.blocked);
    harness.world(|world| {
        for id in world.metadata().into_keys().filter(|id| !there.contains(id)) {
            assert_well(world, id);
        }
    });

    start_tablet(&harness, &tablet).await;
    assert_next_run_finishes(&harness).await;
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tablet_that_dies_while_it_loads_leaves_a_partial_recovery_that_a_later_run_finishes() {
    tablet_dies_for_good("LoadTable", 12).await;
}

#[tokio::test(start_paused = true)]
async fn a_tablet_that_dies_late_leaves_a_partial_recovery_that_a_later_run_finishes() {
    tablet_dies_for_good("RecoverTable", 3).await;
}

/// A tablet dies and its supervisor starts it again at once.
async fn tablet_blinks(name: &'static str, nth: usize) {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    let tablet = harness.tablets()[1].clone();
    let supervisor = tokio::runtime::Handle::current();
    let setup = just_before(&harness, name, nth, move |live| {
        live.with(|world| world.kill_tablet(&tablet));
        let (live, tablet) = (live.clone(), tablet.clone());
        supervisor.spawn(async move {
            while live.with(|world| world.start_tablet(&tablet)) != Started::Running {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        });
    });
    let run = harness.run_with(setup).await;
    assert!(count(&run.sent, name) >= nth, "the run was to get so far");
    assert_left_in_order(&harness, &run);
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered, "{:?}", run.recovered.summary.blocked);
    assert_whole(&harness);
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tablet_that_blinks_while_it_loads_is_loaded_again() {
    tablet_blinks("LoadTable", 12).await;
}

#[tokio::test(start_paused = true)]
async fn a_tablet_that_blinks_late_is_brought_back_again() {
    tablet_blinks("RecoverTable", 3).await;
}

/// Four tablets, two replicas of each partition: half of the partitions have nothing to do with any one tablet.
async fn four_tablets() -> Harness {
    let generated = Generated { tables: 2, partitions: 4, replicas: 2, rows: 50 };
    let shape = Shape { tablets: 4, generated: Some(generated), seed: 5 };
    Harness::in_memory_with(Scenario::EverythingRestarted, &Options { shape, ..Options::default() }).await
}

#[tokio::test(start_paused = true)]
async fn a_tablet_frozen_from_the_start_keeps_no_other_partition_from_recovering() {
    let harness = four_tablets().await;
    let tablet = harness.tablets()[0].clone();
    let there = harness.world(|world| placed_on(world, &tablet));
    harness.world(|world| world.freeze_tablet(&tablet, true));
    let run = harness.run_with(Setup::new()).await;
    assert_left_in_order(&harness, &run);
    assert_eq!(run.recovered.summary.verdict, Verdict::Partial);
    assert_eq!(run.recovered.summary.partitions.blocked, there.len(), "{:?}", run.recovered.summary.blocked);
    harness.world(|world| {
        for id in world.metadata().into_keys().filter(|id| !there.contains(id)) {
            assert_well(world, id);
        }
    });

    harness.world(|world| world.freeze_tablet(&tablet, false));
    harness.until("the tablet is registered", |world| world.registered_tablets().contains(&tablet)).await;
    assert_next_run_finishes(&harness).await;
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_tablet_that_freezes_while_it_loads_keeps_no_other_partition_from_serving() {
    let harness = four_tablets().await;
    let tablet = harness.tablets()[0].clone();
    let others = harness.world(|world| {
        let there = placed_on(world, &tablet);
        let user = |id: &PartitionId| world.tables().iter().any(|t| t.tid() == id.tid.0 && t.db() == "shop");
        world.metadata().into_keys().filter(|id| !there.contains(id) && user(id)).count()
    });
    let frozen = tablet.clone();
    let freezing =
        just_before(&harness, "LoadTable", 8, move |live| live.with(|world| world.freeze_tablet(&frozen, true)));
    // It goes on once every partition that does without it serves.
    let (live, thawed) = (harness.live().clone(), tablet.clone());
    let serving = std::sync::Mutex::new(BTreeSet::new());
    let listener = Arc::new(move |event: &Event| {
        let Event::Partition { table, pid, state: Milestone::Serving, .. } = event else { return };
        let mut serving = serving.lock().unwrap();
        serving.insert((table.clone(), *pid));
        let user = serving.iter().filter(|(table, _)| table.db == "shop").count();
        if user >= others {
            live.with(|world| world.freeze_tablet(&thawed, false));
        }
    });
    let run = harness.run_with(Setup { listener, ..freezing }).await;
    assert_left_in_order(&harness, &run);
    assert!(!harness.world(|world| world.is_frozen(&tablet)), "partitions that do without it were to serve meanwhile");
    assert_next_run_finishes(&harness).await;
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn operations_that_fail_for_no_reason_are_tried_again() {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    let failing = |world: &mut World, every: Option<u32>| {
        world.nameserver_settings_mut().op_fails_for_no_reason = every.and_then(NonZeroU32::new);
    };
    harness.world(|world| failing(world, Some(1)));
    let live = harness.live().clone();
    // Every operation fails, until three replicas have been tried a second time.
    let setup = Setup::hook(move |calls| {
        let mut once = BTreeSet::new();
        let tried: Vec<_> = calls.iter().filter_map(recovers).collect();
        let again = tried.iter().filter(|replica| !once.insert((*replica).clone())).count();
        if again == 3 {
            live.with(|world| failing(world, None));
        }
        Then::Go
    });
    let run = harness.run_with(setup).await;
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered, "{:?}", run.recovered.summary.blocked);
    let tried: Vec<_> = run.sent.iter().filter_map(recovers).collect();
    assert!(tried.len() >= tried.iter().collect::<BTreeSet<_>>().len() + 3, "{tried:?}");
    assert_whole(&harness);
    harness.stop().await;
}

/// Table, partition and replica of a RecoverTable.
fn recovers(call: &Addressed) -> Option<(String, u32, String)> {
    match call {
        Addressed::Nameserver(NameserverCall::RecoverTable(request)) => {
            Some((request.name.clone(), request.pid, request.endpoint.clone()))
        }
        _ => None,
    }
}

async fn told_to_stop(name: &'static str, nth: usize) {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    let (tell, stop) = watch::channel(Stop::No);
    let setup = just_before(&harness, name, nth, move |_| {
        tell.send_replace(Stop::Signal(15));
    });
    let run = harness.run_with(Setup { stop, ..setup }).await;
    assert_left_in_order(&harness, &run);
    let summary = &run.recovered.summary;
    assert_eq!(run.recovered.stopped, Some(Stop::Signal(15)));
    assert_eq!(summary.verdict, Verdict::Interrupted);
    assert!(summary.partitions.failed > 0, "{:?}", summary.partitions);
    let unfinished: Vec<_> = summary.blocked.iter().filter(|blocked| blocked.reason == "interrupted").collect();
    assert_eq!(unfinished.len(), summary.partitions.failed, "{:?}", summary.blocked);
    assert_next_run_finishes(&harness).await;
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_run_told_to_stop_while_tablets_load_cleans_up_and_a_later_one_finishes() {
    told_to_stop("LoadTable", 6).await;
}

#[tokio::test(start_paused = true)]
async fn a_run_told_to_stop_late_cleans_up_and_a_later_one_finishes() {
    told_to_stop("RecoverTable", 2).await;
}

/// From some event on the listener panics whenever it is told anything.
async fn listener_panics_from(first: fn(&Event) -> bool) {
    let harness = Harness::in_memory(Scenario::EverythingRestarted).await;
    let broken = AtomicBool::new(false);
    let listener = Arc::new(move |event: &Event| {
        if first(event) {
            broken.store(true, Ordering::Relaxed);
        }
        assert!(!broken.load(Ordering::Relaxed), "the listener is broken");
    });
    let run = harness.run_with(Setup { listener, ..Setup::new() }).await;
    assert_left_in_order(&harness, &run);
    assert!(run.recovered.panicked.as_ref().is_some_and(|panic| panic.contains("broken")), "{:?}", run.recovered);
    assert_next_run_finishes(&harness).await;
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_among_the_partitions_does_not_leave_auto_failover_off() {
    listener_panics_from(|event| matches!(event, Event::LeaderChosen { .. })).await;
}

#[tokio::test(start_paused = true)]
async fn a_listener_that_panics_during_the_clusters_steps_does_not_leave_auto_failover_off() {
    listener_panics_from(|event| matches!(event, Event::Action { step: "auto_failover", .. })).await;
}

/// A partition of which two replicas are flagged leader, equal in everything but the alive flag: an old leader died without
/// a tail, nothing was written since, and everything was restarted. The tablet that died has the smallest endpoint, which
/// is what decides if nothing else does.
async fn equal_leader_flags() -> (Harness, Endpoint, BTreeSet<PartitionId>) {
    let harness = Harness::in_memory(Scenario::Healthy).await;
    let victim = harness.world(|world| world.tablet_endpoints().iter().min().unwrap().clone());
    let led = harness.world(|world| {
        let led = world.metadata().into_iter().filter(|(_, metas)| {
            let leads = metas.partition_meta.iter().any(|meta| meta.is_leader && meta.endpoint == victim.as_str());
            leads && metas.partition_meta.len() == 3
        });
        let led: BTreeSet<PartitionId> = led.map(|(id, _)| id).collect();
        world.kill_tablet(&victim);
        led
    });
    assert!(!led.is_empty());
    let elsewhere = |world: &World, id: &PartitionId| {
        let flags = outside::flags(world, *id);
        flags.iter().any(|flag| flag.leader && flag.alive && flag.endpoint != victim)
            && flags.iter().all(|flag| flag.endpoint != victim || !flag.alive)
    };
    harness.until("others lead", |world| led.iter().all(|id| elsewhere(world, id))).await;
    harness.world(|world| {
        world.kill_everything();
        world.advance_by(15_000);
        world.start_everything();
        world.open_books();
    });
    harness.until("a nameserver leads", |world| world.leader().is_some()).await;
    (harness, victim, led)
}

/// A run that dies once the flags of these partitions are cleared, as by SIGKILL: nothing of it does anything any more.
async fn dies_half_way(harness: &Harness, partitions: &BTreeSet<PartitionId>) {
    let died = Arc::new(tokio::sync::Notify::new());
    let (tell, live, partitions) = (died.clone(), harness.live().clone(), partitions.clone());
    let cleared =
        move |world: &mut World| partitions.iter().all(|id| outside::flags(world, *id).iter().all(|flag| !flag.alive));
    let setup = Setup::hook(move |_| {
        if !live.look(&cleared) {
            return Then::Go;
        }
        tell.notify_one();
        Then::Dead
    });
    tokio::select! {
        _ = harness.try_run(setup) => panic!("the run ended"),
        () = died.notified() => {}
    }
}

#[tokio::test(start_paused = true)]
async fn flags_that_a_killed_run_had_cleared_are_read_back_by_the_next() {
    let (harness, victim, led) = equal_leader_flags().await;
    dies_half_way(&harness, &led).await;
    assert!(!harness.world(auto_failover), "nobody restored it");
    assert_eq!(harness.records.count(), 1);
    let run = harness.run().await;
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered, "{:?}", run.recovered.summary.blocked);
    let told = |event: &Event| matches!(event, Event::Note { text } if text.contains("left auto_failover off"));
    assert!(run.events.iter().any(told), "{:?}", run.events);
    assert!(run.recovered.summary.auto_failover.before, "what it was before anybody's change");
    assert_whole(&harness);
    for id in &led {
        assert_ne!(harness.world(|world| outside::leader(world, *id)), victim, "{id}: the one that was alive leads");
    }
    let again = harness.run().await;
    assert!(again.sent.is_empty() && again.events.iter().all(|event| !told(event)), "that run is over");
    harness.stop().await;
}

#[tokio::test(start_paused = true)]
async fn without_the_record_of_a_killed_run_its_flags_are_lost() {
    let (harness, victim, led) = equal_leader_flags().await;
    dies_half_way(&harness, &led).await;
    std::fs::remove_dir_all(harness.records.path()).unwrap();
    let run = harness.run().await;
    assert_eq!(run.recovered.summary.verdict, Verdict::Recovered, "{:?}", run.recovered.summary.blocked);
    for id in &led {
        assert_eq!(
            harness.world(|world| outside::leader(world, *id)),
            victim,
            "{id}: nothing but endpoints tells them apart"
        );
    }
    assert!(!harness.world(auto_failover), "nobody knows that it was on");
    harness.stop().await;
}
