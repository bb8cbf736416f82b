//! Waiting is cheap, giving up is not: one sick replica holds up nobody else, what comes back is taken up again, and what a run says
//! at its end is what is there then. All of it in virtual time.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::playbook::{COMPARE_ROWS_UP_TO, PartitionStep, Playbook, built_in_names};
use openmldb_ops::run::{Checking, Compares, Recovered, Scope, Stop, Verdict};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, InProcess, World, in_virtual_time};
use openmldb_ops::snapshot;
use openmldb_ops::verify::Standing;
use openmldb_ops::wire::call::Effect;
use serde_json::Value;
use tokio::sync::watch;
use tokio::time::Instant;

use super::calm::{auto_failover, await_nameserver};
use super::minimal::{partition, place, reasons, recovered, scenario};
use super::run::{Host, Ran, Run};

/// Everything was restarted; one user table of so many partitions, each on so many of the tablets.
pub fn restarted(partitions: usize, replicas: usize) -> World {
    let generated = Some(Generated { tables: 1, partitions, replicas, rows: 30 });
    let shape = Shape { generated, ..Shape::default() };
    let mut world = Scenario::EverythingRestarted.bring_about(&shape, &Addresses::recorded(2, 3)).unwrap();
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    world
}

pub fn run(playbook: &str, world: World, faults: &[String]) -> (World, Ran) {
    run_of(Run::calm(playbook, &Host::new(true), 1), world, faults)
}

fn run_of(run: Run<'_>, world: World, faults: &[String]) -> (World, Ran) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Run { faults, ..run }.on(world, &Arc::default())
}

/// What a run told, each with the second at which it did.
fn told(ran: &Ran) -> Vec<(f64, Value)> {
    let line = |line: &String| {
        let (at, event) = line.trim_start().split_once("s ").unwrap();
        (at.parse().unwrap(), serde_json::from_str(event).unwrap())
    };
    ran.told.iter().map(line).collect()
}

/// When each partition last came to a state, by table and number.
pub fn reached(ran: &Ran, state: &str) -> BTreeMap<(String, u64), f64> {
    let of_partition =
        told(ran).into_iter().filter(|(_, event)| event["event"] == "partition" && event["state"] == state);
    of_partition
        .map(|(at, event)| ((event["table"].as_str().unwrap().to_owned(), event["pid"].as_u64().unwrap()), at))
        .collect()
}

/// What was said to be waited for: when, and what.
pub fn waits(ran: &Ran, what: &str) -> Vec<(f64, Value)> {
    told(ran).into_iter().filter(|(_, event)| event["event"] == "waiting" && event["what"] == what).collect()
}

/// A partition as faults and events name it.
pub fn name(world: &World, id: PartitionId) -> (String, u64) {
    let tables = world.tables();
    let table = tables.iter().find(|table| table.tid() == id.tid.0).unwrap();
    (table.name().to_owned(), u64::from(id.pid.0))
}

pub fn whole(world: &mut World) {
    let count = world.settle();
    assert_eq!(count.rows_after, count.rows_expected);
    assert_eq!(world.diverged().len(), 0);
    assert_eq!(auto_failover(world), Some(true));
}

/// The tablet is down when the run begins, and has been for a while.
fn away(world: &mut World, tablet: &Endpoint) {
    world.kill_tablet(tablet);
    world.advance_by(30_000);
}

fn a_tablet(world: &World) -> Endpoint {
    world.tablet_endpoints()[2].clone()
}

pub const MINUTE: f64 = 60.0;

#[test]
fn a_load_that_never_ends_holds_up_nobody_else_and_is_said() {
    for playbook in built_in_names() {
        let world = restarted(4, 3);
        let (id, ..) = partition(&world);
        let sick = name(&world, id);
        let all = world.metadata().len();
        let (_, ran) = run(playbook, world, &[format!("LoadTable@{}/{}=load-sticks", sick.0, sick.1)]);
        let redundant = reached(&ran, "redundant");
        assert_eq!(redundant.len(), all - 1, "{playbook}: everything but the sick one");
        assert!(redundant.values().all(|at| *at < 5.0 * MINUTE), "{playbook}: {redundant:?}");
        let loading = waits(&ran, "load");
        let (at, first) = loading.first().unwrap();
        assert!((30.0..40.0).contains(at), "{playbook}: it is said after half a minute: {at}");
        assert_eq!((first["table"].as_str().unwrap().to_owned(), first["pid"].as_u64().unwrap()), sick);
        assert_eq!(first["endpoints"].as_array().unwrap().len(), 1, "{first}");
        assert!(first["for_ms"].as_u64().unwrap() >= 30_000 && first["at_most_ms"] == 7_200_000, "{first}");
        assert!(loading.len() < 25, "{playbook}: and more rarely the longer it takes: {}", loading.len());
        assert!(ran.took > Duration::from_secs(7_000), "{playbook}: it is given its time");
        assert_eq!(reasons(ran), ["load_timeout"], "{playbook}: its tablet answers all the time");
    }
}

/// Its port is open, and ZooKeeper has it for alive, so that a leader on it may be serving everybody else: what it leads is left alone, and
/// with it OpenMLDB's own tables, which come first.
#[test]
fn a_tablet_that_hangs_from_the_start_holds_up_only_what_it_leads() {
    for playbook in built_in_names() {
        let mut world = restarted(12, 3);
        let leads = |world: &World, at: &Endpoint| {
            let metadata = world.metadata().into_iter();
            let led = metadata.filter(|(_, found)| {
                found.partition_meta.iter().any(|meta| meta.is_leader && meta.endpoint == at.as_str())
            });
            led.map(|(id, _)| name(world, id)).collect::<BTreeSet<_>>()
        };
        let is_system = |(table, _): &(String, u64)| table != "t0";
        let tablets = world.tablet_endpoints();
        let hangs = tablets.iter().find(|at| leads(&world, at).iter().any(is_system)).unwrap().clone();
        let (led, all) = (leads(&world, &hangs), world.metadata().len());
        world.hang_tablet(&hangs, true);
        let (_, ran) = run(playbook, world, &[]);
        let serving = reached(&ran, "serving");
        assert_eq!(serving.len(), all - led.len(), "{playbook}: {serving:?}");
        assert!(serving.values().all(|at| *at < 30.0), "{playbook}: {serving:?}");
        assert!(led.iter().all(|name| !serving.contains_key(name)), "{playbook}");
        assert!(reasons(ran).contains(&"out_of_reach"), "{playbook}");
    }
}

/// Nobody is served by knowing to the half second when something ends that has taken a quarter of an hour.
#[test]
fn what_stands_still_is_looked_at_less_and_less_and_still_seen_to_end() {
    for is_away in [false, true] {
        looked_at_less_and_less(is_away);
    }
}

/// `is_away`: beside a tablet that does not answer all the while.
fn looked_at_less_and_less(is_away: bool) {
    let mut world = restarted(1, 2);
    let (id, leader, follower) = partition(&world);
    let (table, pid) = name(&world, id);
    if is_away {
        let other = world.tablet_endpoints().iter().find(|at| **at != leader && **at != follower).unwrap().clone();
        away(&mut world, &other);
    }
    let (world, ran) = run("recover", world, &[format!("LoadTable@{table}/{pid}=load-lasts-1000s")]);
    let verdict = if is_away { Verdict::Partial } else { Verdict::Recovered };
    assert_eq!(recovered(ran).summary.verdict, verdict);
    let calls = || world.trace().calls();
    let loaded = calls().filter(|call| call.method == "LoadTable" && call.partitions == [id]).map(|call| call.at);
    let begins = loaded.min().unwrap();
    let goes_on = calls().filter(|call| call.effect == Effect::Mutate && call.at > begins + 1_000);
    let goes_on = goes_on.map(|call| call.at).min().unwrap();
    let looks: Vec<u64> =
        calls().filter(|call| (begins + 200_000..goes_on).contains(&call.at)).map(|call| call.at).collect();
    let longest = looks.windows(2).map(|pair| pair[1] - pair[0]).max().unwrap();
    assert!(longest < 6_000, "whenever it ends, it is seen soon: {longest} ms between two looks");
    let each = (goes_on - begins - 200_000) / looks.len() as u64;
    assert!(each > 300, "one call in {each} ms; it was one in 40");
}

/// What the nameserver may put right by itself is looked at again before it is said; what was known is not waited for.
#[test]
fn what_is_found_wrong_at_the_end_has_to_last_before_it_is_believed() {
    let verified = |is_known: bool| {
        let world = restarted(1, 3);
        let known = if is_known { world.metadata().into_keys().collect() } else { BTreeSet::new() };
        let looking = in_virtual_time(world, async |live| {
            let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
            cluster.find_leader().await.unwrap();
            let first = snapshot::collect(&cluster, "in memory", 0).await.unwrap();
            let stop = watch::channel(Stop::No).1;
            let checking = Checking {
                scope: &Scope::All,
                memories: &BTreeMap::new(),
                known,
                pace: 1.0,
                compares: Compares::WhereCountsDiffer,
                compare_rows_up_to: COMPARE_ROWS_UP_TO,
                stop,
            };
            let began = Instant::now();
            let (_, found) = checking.until_it_stands(&cluster, first).await.unwrap();
            assert_eq!(found.verdict, Standing::NotFullySucceeded, "{:?}", found.findings);
            began.elapsed()
        });
        looking.unwrap().1.as_secs()
    };
    let (news, known) = (verified(false), verified(true));
    assert!((20..25).contains(&news), "{news} s");
    assert!(known < 5, "{known} s: three looks");
}

#[test]
fn a_system_table_that_never_loads_holds_up_the_others_for_one_turn() {
    let world = restarted(2, 3);
    let tables = world.tables();
    let system = tables.iter().find(|table| table.db() != "shop").unwrap().name().to_owned();
    let (_, ran) = run("recover", world, &[format!("LoadTable@{system}/0=load-sticks")]);
    let serving = reached(&ran, "serving");
    let others: Vec<f64> = serving.iter().filter(|((table, _), _)| table.starts_with('t')).map(|(_, at)| *at).collect();
    assert_eq!(others.len(), 2, "{serving:?}");
    assert!(others.iter().all(|at| (3.0 * MINUTE..4.0 * MINUTE).contains(at)), "{others:?}");
    let waiting = waits(&ran, "system_tables");
    assert_eq!(waiting[0].1["partitions"], 2, "one line for all that wait for the same: {waiting:?}");
    assert_eq!(waiting[0].1["at_most_ms"], 180_000);
    assert_eq!(reasons(ran), ["load_timeout"]);
}

#[test]
fn neither_a_base_table_nor_what_aggregates_it_holds_up_the_other_for_longer_than_a_turn() {
    for sticks in ["orders", "pre_shop_orders_w_sum_amt"] {
        let mut world = Scenario::PreAggregate.bring_about(&Shape::default(), &Addresses::recorded(2, 3)).unwrap();
        world.nameserver_settings_mut().op_fails_for_no_reason = None;
        world.open_books();
        let (_, ran) = run("recover", world, &[format!("LoadTable@{sticks}/0=load-sticks")]);
        let serving = reached(&ran, "serving");
        let at =
            |pid| ["orders", "pre_shop_orders_w_sum_amt"].map(|table| serving.get(&(table.to_owned(), pid)).copied());
        assert!(at(1).into_iter().all(|at| at.is_some_and(|at| at < MINUTE)), "{sticks}: {:?}", at(1));
        let [base, aggregate] = at(0);
        let other = if sticks == "orders" { aggregate } else { base };
        assert!(other.is_some_and(|at| (3.0 * MINUTE..5.0 * MINUTE).contains(&at)), "{sticks}: {:?}", at(0));
    }
}

/// As seen on real servers: killed one second into a run, and started again eight seconds later.
#[test]
fn a_tablet_that_is_away_for_a_while_is_taken_up_again_by_the_same_run() {
    for playbook in built_in_names() {
        for (at, long) in [(1, 8), (0, 8), (2, 60), (12, 30)] {
            let world = restarted(8, 3);
            let tablet = a_tablet(&world);
            let fault = format!("{at}s@{}=tablet-restarts-{long}s", place(&world, &tablet));
            let (mut world, ran) = run(playbook, world, &[fault]);
            let left: Vec<&str> =
                ran.recovered().unwrap().summary.blocked.iter().map(|blocked| blocked.reason).collect();
            assert_eq!(left, Vec::<&str>::new(), "{playbook} away at {at} for {long} s: {:#?}", ran.told);
            assert!(ran.took < Duration::from_secs(300), "{playbook} away at {at} for {long} s: {:?}", ran.took);
            whole(&mut world);
        }
    }
}

#[test]
fn a_run_that_is_started_together_with_the_cluster_waits_for_a_tablet_that_comes_up_late() {
    for playbook in built_in_names() {
        let mut world = restarted(6, 2);
        let tablet = a_tablet(&world);
        away(&mut world, &tablet);
        let fault = format!("120s@{}=tablet-restarts-1ms", place(&world, &tablet));
        let (mut world, ran) = run(playbook, world, &[fault]);
        let (at, waiting) = waits(&ran, "tablet").first().cloned().unwrap();
        assert!(at < 15.0, "{playbook}: somebody can start it: {at}");
        assert_eq!(waiting["endpoints"], serde_json::json!([tablet.as_str()]), "{playbook}");
        assert!(waiting["partitions"].as_u64().unwrap() > 0, "{playbook}: {waiting}");
        let serving = reached(&ran, "serving");
        let meanwhile = serving.values().filter(|at| **at < 60.0).count();
        assert!(meanwhile > 0, "{playbook}: everything else goes on: {serving:?}");
        let recovered = recovered(ran);
        assert_eq!(recovered.summary.verdict, Verdict::Recovered, "{playbook}: {:?}", recovered.summary.blocked);
        whole(&mut world);
    }
}

fn missing(world: &World) -> Endpoint {
    world.tablet_endpoints().iter().find(|tablet| !world.is_up(tablet)).unwrap().clone()
}

/// A tablet died and was failed over, everything was restarted, and it never comes back: all the others serve without it.
fn tablet_missing() -> World {
    let mut world = Scenario::TabletMissing.bring_about(&Shape::default(), &Addresses::recorded(2, 3)).unwrap();
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    world
}

#[test]
fn a_tablet_that_never_comes_back_is_waited_for_once_and_a_second_run_is_instant() {
    for playbook in ["recover", "fast", "leaders-first"] {
        let host = Host::new(true);
        let (mut world, ran) = run_of(Run::calm(playbook, &host, 1), tablet_missing(), &[]);
        assert!((300.0..330.0).contains(&ran.took.as_secs_f64()), "{playbook}: {:?}", ran.took);
        let redundant_after = ran.recovered().unwrap().summary.redundant_after_ms.unwrap();
        assert!(redundant_after < 200_000, "{playbook}: what was waited for in vain does not count: {redundant_after}");
        assert!(reasons(ran).iter().all(|reason| *reason == "not_redundant"), "{playbook}");
        world.open_books();
        let before = world.trace().mutations();
        let (world, ran) = run_of(Run::calm(playbook, &host, 2), world, &[]);
        assert!(ran.took < Duration::from_secs(15), "{playbook}: {:?}", ran.took);
        assert_eq!(world.trace().mutations(), before, "{playbook}: it sends nothing");
        assert_eq!(recovered(ran).summary.verdict, Verdict::Partial);
    }
}

#[test]
fn no_tablet_is_waited_for_where_somebody_says_so() {
    let zero = Run { waits: Some(Duration::ZERO), ..Run::calm("recover", &Host::new(true), 1) };
    let (world, ran) = run_of(zero, tablet_missing(), &[]);
    assert!(ran.took < Duration::from_secs(200), "{:?}", ran.took);
    assert!(waits(&ran, "tablet").is_empty());
    assert_eq!(missing(&world), missing(&world));
    let ten = Run { waits: Some(Duration::from_secs(600)), ..Run::calm("recover", &Host::new(true), 1) };
    let (_, ran) = run_of(ten, tablet_missing(), &[]);
    assert!((600.0..630.0).contains(&ran.took.as_secs_f64()), "{:?}", ran.took);
}

/// Nothing can be done before it is back, but partitions are down because of it.
#[test]
fn where_something_is_down_because_of_a_tablet_it_is_waited_for_though_nothing_can_be_done() {
    let host = Host::new(true);
    let mut world = restarted(6, 2);
    let tablet = a_tablet(&world);
    away(&mut world, &tablet);
    let (world, ran) = run_of(Run::calm("recover", &host, 1), world, &[]);
    assert!((300.0..330.0).contains(&ran.took.as_secs_f64()), "{:?}", ran.took);
    assert!(reasons(ran).contains(&"out_of_reach"));
    let fault = format!("40s@{}=tablet-restarts-1ms", place(&world, &tablet));
    let (mut world, ran) = run_of(Run::calm("recover", &host, 2), world, &[fault]);
    assert_eq!(reasons(ran), Vec::<&str>::new());
    whole(&mut world);
}

/// The replica's load takes longer than it is given, and the run is still at work when it ends.
#[test]
fn a_load_that_ends_late_is_taken_up_again() {
    fn impatient(mut playbook: Playbook) -> Playbook {
        for step in &mut playbook.partition {
            if let PartitionStep::PollTableStatus { timeout, .. } = step {
                *timeout = Duration::from_secs(60);
            }
        }
        playbook
    }
    let mut world = restarted(6, 2);
    let tablet = a_tablet(&world);
    let elsewhere = world.metadata().into_iter().find(|(id, metas)| {
        let there = metas.partition_meta.iter().any(|meta| meta.endpoint == tablet.as_str());
        !there && world.tables().iter().any(|table| table.tid() == id.tid.0 && table.db() == "shop")
    });
    let slow = name(&world, elsewhere.unwrap().0);
    away(&mut world, &tablet);
    let late = Run { changed: impatient, ..Run::calm("recover", &Host::new(true), 1) };
    let (_, ran) = run_of(late, world, &[format!("LoadTable@{}/{}=load-lasts-90s", slow.0, slow.1)]);
    let blocked = told(&ran).into_iter().find(|(_, event)| event["blocked"]["reason"] == "load_timeout").unwrap();
    assert!((60.0..75.0).contains(&blocked.0), "{blocked:?}");
    let redundant = reached(&ran, "redundant")[&slow];
    assert!((90.0..150.0).contains(&redundant), "{redundant}");
    assert!(!reasons(ran).contains(&"load_timeout"));
}

/// Everything is down, something happens to its disks, and all but one tablet come up.
fn all_but(world: &mut World, late: &Endpoint, meanwhile: impl FnOnce(&mut World)) {
    world.kill_everything();
    world.advance_by(10_000);
    meanwhile(world);
    let others: Vec<Endpoint> = world.tablet_endpoints().iter().filter(|tablet| *tablet != late).cloned().collect();
    world.start_tablets(&others);
    for nameserver in world.nameserver_endpoints().to_vec() {
        world.start_nameserver(&nameserver);
    }
    await_nameserver(world);
    world.advance_by(4_500);
}

/// As seen on real servers: the leader had lost its end, the follower with it booted late.
#[test]
fn what_a_returned_replica_holds_beyond_its_leader_is_not_discarded() {
    for playbook in built_in_names() {
        let mut world = scenario(Scenario::Healthy, 2);
        let (id, leader, follower) = partition(&world);
        all_but(&mut world, &follower, |world| {
            assert!(world.tablets_mut().lose_entries(leader.as_str(), id.tid.0, id.pid.0, 26, 30));
        });
        let fault = format!("60s@{}=tablet-restarts-1ms", place(&world, &follower));
        let (world, ran) = run(playbook, world, &[fault]);
        assert!(reached(&ran, "serving")[&name(&world, id)] < 60.0, "{playbook}: it serves meanwhile");
        assert_eq!(reasons(ran), ["longer_than_leader"], "{playbook}");
        assert_eq!(world.log(&follower, id).len(), 30, "{playbook}: nothing was discarded");
        assert_eq!(world.log(&leader, id).len(), 25, "{playbook}");
    }
}

/// Its disk is looked at before it is loaded, as at a run's start: afterwards nobody could tell.
#[test]
fn a_returned_replica_whose_snapshot_is_gone_is_not_served() {
    let mut world = scenario(Scenario::Healthy, 1);
    let tables = world.tables();
    let id = world.metadata().into_keys().find(|id| tables.iter().any(|t| t.tid() == id.tid.0 && t.db() == "shop"));
    let id = id.unwrap();
    let at = Endpoint::from(world.metadata()[&id].partition_meta[0].endpoint.as_str());
    assert!(world.make_snapshot(&at, id) && world.put_row(&at, id));
    all_but(&mut world, &at, |world| {
        assert!(world.tablets_mut().lose_snapshot_file(at.as_str(), id.tid.0, id.pid.0));
    });
    let fault = format!("60s@{}=tablet-restarts-1ms", place(&world, &at));
    let (world, ran) = run("recover", world, &[fault]);
    assert!(!reached(&ran, "serving").contains_key(&name(&world, id)), "one row is left of it");
    assert_eq!(reasons(ran).len(), 1);
}

#[test]
fn a_tablet_that_goes_away_again_and_again_does_not_keep_a_run_for_ever() {
    let world = restarted(6, 3);
    let tablet = place(&world, &a_tablet(&world));
    let faults: Vec<String> = (0..200).map(|nth| format!("{}s@{tablet}=tablet-restarts-15s", 20 * nth)).collect();
    let (_, ran) = run("recover", world, &faults);
    assert!(ran.took < Duration::from_secs(3_600), "{:?}", ran.took);
    recovered(ran);
}

/// Everything that is said to be wrong at the end is named, and nothing is said to be that has healed.
fn is_what_is_there(world: &mut World, recovered: &Recovered, when: &str) {
    let summary = &recovered.summary;
    let verification = summary.verification.as_ref().unwrap();
    if summary.verdict == Verdict::Partial {
        assert!(
            !summary.blocked.is_empty() || !verification.findings.is_empty(),
            "{when}: nothing is named: {summary:#?}"
        );
    }
    if world.healthy().len() == summary.partitions.total && summary.blocked.is_empty() {
        assert_eq!(summary.verdict, Verdict::Recovered, "{when}: {:?}", verification.findings);
    }
}

/// As seen on real servers, once: exit 4 with nothing blocked and everything healthy, right after a tablet had come back.
#[test]
fn a_run_right_after_a_tablet_has_come_back_ends_with_what_is_there() {
    for millis in (0..6_000).step_by(150) {
        let host = Host::new(true);
        let zero = Run { waits: Some(Duration::ZERO), ..Run::calm("recover", &host, 1) };
        let mut world = restarted(4, 3);
        let tablet = a_tablet(&world);
        away(&mut world, &tablet);
        let (mut world, _) = run_of(zero, world, &[]);
        world.start_tablets(std::slice::from_ref(&tablet));
        world.advance_by(millis);
        let (mut world, ran) = run_of(Run::calm("recover", &host, 2 + millis), world, &[]);
        is_what_is_there(&mut world, &recovered(ran), &format!("{millis} ms after"));
    }
}
