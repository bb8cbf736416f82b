//! What the hunt caught, each in the smallest world that shows it.

use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::run::{RecoverError, Recovered, Scope, Selector};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, World};

use super::calm::{auto_failover, await_nameserver};
use super::run::{Ended, Host, Ran, Run};

pub fn scenario(scenario: Scenario, replicas: usize) -> World {
    let generated = Some(Generated { tables: 1, partitions: 2, replicas, rows: 30 });
    let mut world = scenario.bring_about(&Shape { generated, ..Shape::default() }, &Addresses::recorded(2, 3)).unwrap();
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    world
}

/// Kills everything, and starts it again after something happened to its disks.
fn restart(world: &mut World, meanwhile: impl FnOnce(&mut World)) {
    world.kill_everything();
    world.advance_by(10_000);
    meanwhile(world);
    world.start_everything();
    await_nameserver(world);
    world.advance_by(4_500);
}

/// Runs on a host of its own.
fn run(world: World, faults: &[String]) -> (World, Ran) {
    run_on(&Host::new(false), 1, world, faults)
}

pub fn run_on(host: &Host, number: u64, world: World, faults: &[String]) -> (World, Ran) {
    let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
    Run { faults, ..Run::calm("recover", host, number) }.on(world, &Arc::default())
}

/// A tablet, as faults name it.
pub fn place(world: &World, tablet: &Endpoint) -> String {
    let at = world.tablet_endpoints().iter().position(|endpoint| endpoint == tablet).unwrap();
    format!("tablet{}", at + 1)
}

pub fn recovered(ran: Ran) -> Recovered {
    match ran.ended {
        Ended::Itself(result) => result.unwrap(),
        other => panic!("{other:?}"),
    }
}

pub fn reasons(ran: Ran) -> Vec<&'static str> {
    recovered(ran).summary.blocked.iter().map(|blocked| blocked.reason).collect()
}

/// The first partition of the user table, its leader and a follower.
pub fn partition(world: &World) -> (PartitionId, Endpoint, Endpoint) {
    let tables = world.tables();
    let table = tables.iter().find(|table| table.db() == "shop").unwrap();
    let (id, metas) = world.metadata().into_iter().find(|(id, _)| id.tid.0 == table.tid()).unwrap();
    let endpoint = |leads| metas.partition_meta.iter().find(|meta| meta.is_leader == leads).unwrap().endpoint.as_str();
    (id, endpoint(true).into(), endpoint(false).into())
}

#[test]
fn a_lost_answer_unmarks_no_serving_leader() {
    for seed in 1..=10 {
        let world = scenario(Scenario::LeadersLoaded, 2);
        let (id, ..) = partition(&world);
        let (_, ran) =
            run_on(&Host::new(false), seed, world, &["*:2.5%=reset-after".to_owned(), "*:every=slow-5ms".to_owned()]);
        let leader_unmarked = ran
            .told
            .iter()
            .find(|line| line.contains(&format!("\"partition\":\"{id}\"")) && line.contains("until its leader serves"));
        assert_eq!(leader_unmarked, None, "its leader serves all the time");
        assert_eq!(reasons(ran), Vec::<&str>::new());
    }
}

#[test]
fn a_leader_that_lacks_rows_is_kept_away_from_the_follower_that_holds_them() {
    let mut world = scenario(Scenario::Healthy, 2);
    let (id, leader, follower) = partition(&world);
    world.freeze_tablet(&follower, true);
    for _ in 0..8 {
        assert!(world.put_row(&leader, id));
    }
    world.advance_by(100);
    // Four rows in the middle are fewer than the follower lags behind, so the leader is not suspect, and leads.
    restart(&mut world, |world| {
        assert!(world.tablets_mut().lose_entries(leader.as_str(), id.tid.0, id.pid.0, 10, 13));
    });
    let (world, ran) = run(world, &[]);
    assert_eq!(reasons(ran), ["leader_lacks_rows"]);
    assert_eq!((world.log(&leader, id).len(), world.log(&follower, id).len()), (34, 30), "nothing was sent to either");
}

#[test]
fn a_follower_that_its_leader_cannot_bring_further_is_reported_although_everything_looks_healthy() {
    let mut world = scenario(Scenario::Healthy, 2);
    let (id, leader, follower) = partition(&world);
    assert!(world.make_snapshot(&leader, id));
    for _ in 0..8 {
        assert!(world.put_row(&leader, id));
    }
    world.advance_by(3_000);
    // A hole behind the snapshot: the follower gets the snapshot and nothing after it.
    restart(&mut world, |world| {
        assert!(world.tablets_mut().lose_entries(leader.as_str(), id.tid.0, id.pid.0, 31, 33));
        assert!(world.tablets_mut().lose_directory(follower.as_str(), id.tid.0, id.pid.0));
    });
    let (_, ran) = run(world, &[]);
    // It stands still, and stands still again once it is resent: its leader holds every row it has.
    assert_eq!(reasons(ran), ["not_catching_up"]);
}

#[test]
fn a_tablet_restarted_while_it_serves_as_follower_comes_back() {
    let mut world = scenario(Scenario::Healthy, 2);
    let (.., follower) = partition(&world);
    let conf = openmldb_ops::wire::nameserver::Pair { key: "auto_failover".to_owned(), value: "false".to_owned() };
    let nameserver = world.leader().unwrap();
    let call = openmldb_ops::wire::nameserver::ConfSetRequest { conf };
    world.call_nameserver(&nameserver, openmldb_ops::wire::call::NameserverCall::ConfSet(call)).unwrap();
    world.kill_tablet(&follower);
    world.advance_by(20_000);
    world.start_tablets(std::slice::from_ref(&follower));
    world.advance_by(5_000);
    // Nobody writes, so the leaders elsewhere do not notice by themselves that their followers are new.
    let (mut world, ran) = run(world, &[]);
    let took = ran.took;
    assert_eq!(reasons(ran), Vec::<&str>::new());
    assert!(took < Duration::from_secs(60), "{took:?}");
    let count = world.settle();
    assert_eq!(count.rows_after, count.rows_expected);
}

#[test]
fn a_run_that_cannot_look_says_what_an_earlier_one_owes() {
    let (host, world) = (Host::new(false), scenario(Scenario::EverythingRestarted, 2));
    let killed = Run { killed_after: Some(Duration::from_millis(100)), ..Run::calm("recover", &host, 1) };
    let (mut world, _) = killed.on(world, &Arc::default());
    assert_eq!(auto_failover(&mut world), Some(false));
    let (_, ran) = run_on(&host, 2, world, &["ShowOpStatus:every=garbage".to_owned()]);
    let Ended::Itself(result) = ran.ended else { panic!("{:?}", ran.ended) };
    let error = result.expect_err("it cannot look");
    let RecoverError::NotSeen { not_restored: Some(owed), .. } = &error else { panic!("{error:?}") };
    assert!(owed.contains("may have left it off"), "{owed}");
}

#[test]
fn what_queued_for_long_is_decided_again_before_it_is_sent() {
    let generated = Some(Generated { tables: 1, partitions: 60, replicas: 2, rows: 5 });
    let shape = Shape { generated, ..Shape::default() };
    let world = Scenario::EverythingRestarted.bring_about(&shape, &Addresses::recorded(1, 3)).unwrap();
    let (.., follower) = partition(&world);
    let dies = format!("4s@{}=tablet-dies", place(&world, &follower));
    let (_, ran) = run(world, &[dies]);
    let sent_at = |line: &String| line.trim_start().split_once('s').and_then(|(at, _)| at.parse::<f64>().ok());
    let to_it = format!("\"endpoint\":\"{follower}\"");
    let recover = |line: &&String| line.contains("\"call\":\"recover_table\"") && line.contains(&to_it);
    let sent: Vec<f64> = ran.told.iter().filter(recover).filter_map(sent_at).collect();
    assert!(!sent.is_empty() && sent.iter().all(|at| *at < 7.0), "its tablet has been dead since second 4: {sent:?}");
}

#[test]
fn a_missing_snapshot_file_is_known_to_the_next_run() {
    let mut world = scenario(Scenario::Healthy, 1);
    let (id, metas) = world.metadata().into_iter().find(|(_, metas)| metas.partition_meta.len() == 1).unwrap();
    let at = Endpoint::from(metas.partition_meta[0].endpoint.as_str());
    world.make_snapshot(&at, id);
    let tables = world.tables();
    let id = world.metadata().into_keys().find(|id| tables.iter().any(|t| t.tid() == id.tid.0 && t.db() == "shop"));
    let id = id.unwrap();
    let at = Endpoint::from(world.metadata()[&id].partition_meta[0].endpoint.as_str());
    assert!(world.make_snapshot(&at, id) && world.put_row(&at, id));
    restart(&mut world, |world| {
        assert!(world.tablets_mut().lose_snapshot_file(at.as_str(), id.tid.0, id.pid.0));
    });
    let host = Host::new(false);
    for number in 1..=3 {
        let (next, ran) = run_on(&host, number, world, &[]);
        world = next;
        assert_eq!(reasons(ran).len(), 1, "run {number}: one row is left of {id}, and it must not be served");
    }
}

#[test]
fn a_tablet_that_restarts_while_it_loads_is_loaded_again() {
    for millis in (0..400).step_by(20) {
        let world = scenario(Scenario::EverythingRestarted, 2);
        let (_, leader, _) = partition(&world);
        let restarts = format!("{millis}ms@{}=tablet-restarts-100ms", place(&world, &leader));
        let (world, ran) = run(world, &[restarts]);
        recovered(ran);
        let (mut world, ran) = run(world, &[]);
        assert_eq!(reasons(ran), Vec::<&str>::new(), "restarted after {millis} ms");
        let count = world.settle();
        assert_eq!(count.rows_after, count.rows_expected, "restarted after {millis} ms");
    }
}

/// Whoever watches has to think of memory: nothing else tells.
#[test]
fn a_tablet_that_dies_again_and_again_while_it_loads_is_said_to_with_what_it_has_to_load() {
    let world = scenario(Scenario::EverythingRestarted, 2);
    let (_, leader, _) = partition(&world);
    let place = place(&world, &leader);
    let restarts = |seconds: u32| format!("{seconds}s@{place}=tablet-restarts-2s");
    let sticks = format!("LoadTable@{place}:every=load-sticks");
    let (_, ran) = run(world, &[sticks, restarts(5), restarts(30)]);
    let said: Vec<&String> = ran.told.iter().filter(|line| line.contains("out of memory?")).collect();
    let [said] = &said[..] else { panic!("{said:?} of {:#?}", ran.told) };
    assert!(said.contains(leader.as_str()) && said.contains("restarted 2 times by now while it was loading"), "{said}");
    assert!(said.contains("replicas to load, ") && said.contains(" in memory"), "{said}");
}

/// A run was killed while a tablet loaded; that one is restarted between the next run's first look and the one that it begins to
/// act on. What had been loading there was taken for lost, and its leader's data for all there was.
#[test]
fn a_tablet_that_restarts_while_the_next_run_begins_is_loaded_again() {
    for millis in (0..600).step_by(20) {
        let host = Host::new(false);
        let world = scenario(Scenario::EverythingRestarted, 3);
        let (_, leader, _) = partition(&world);
        let sticks = format!("LoadTable@{}:every=load-sticks", place(&world, &leader)).parse().unwrap();
        let killed_after = Some(Duration::from_millis(60));
        let first = Run { killed_after, faults: vec![sticks], ..Run::calm("recover", &host, 1) };
        let (world, _) = first.on(world, &Arc::default());
        let restarts = format!("{millis}ms@{}=tablet-restarts-1ms", place(&world, &leader));
        let (world, ran) = run_on(&host, 2, world, &[restarts, "*:every=slow-40ms".to_owned()]);
        let lost = ran.told.iter().find(|line| line.contains("vanished while loading"));
        assert_eq!(lost, None, "restarted after {millis} ms");
        let (mut world, ran) = run_on(&host, 3, world, &[]);
        assert_eq!(reasons(ran), Vec::<&str>::new(), "restarted after {millis} ms");
        let count = world.settle();
        assert_eq!(count.rows_after, count.rows_expected, "restarted after {millis} ms");
    }
}

/// Nobody is left to restore auto_failover to: the run says so, instead of waiting for ever.
#[test]
fn a_run_whose_only_nameserver_never_comes_back_ends() {
    let generated = Some(Generated { tables: 1, partitions: 2, replicas: 3, rows: 30 });
    let shape = Shape { generated, ..Shape::default() };
    let world = Scenario::EverythingRestarted.bring_about(&shape, &Addresses::recorded(1, 3)).unwrap();
    let (_, ran) = run(world, &["300ms=nameserver-restarts-80000s".to_owned()]);
    assert!(ran.took > Duration::from_secs(600), "it is given time: {:?}", ran.took);
    assert!(ran.took < Duration::from_secs(1_800), "{:?}", ran.took);
    match ran.ended {
        Ended::Itself(result) => {
            let not_restored = match *result {
                Ok(recovered) => recovered.not_restored,
                Err(error) => Some(error.to_string()),
            };
            assert!(not_restored.is_some());
        }
        other => panic!("{other:?}"),
    }
}

/// Three loads that never end fill a tablet's pool; what was to be loaded after them is given up too, not waited for.
#[test]
fn loads_that_were_given_up_on_hold_up_no_other_ones_for_ever() {
    let generated = Some(Generated { tables: 1, partitions: 4, replicas: 3, rows: 30 });
    let shape = Shape { generated, ..Shape::default() };
    let world = Scenario::EverythingRestarted.bring_about(&shape, &Addresses::recorded(2, 3)).unwrap();
    let shop = Scope::Some(vec![Selector { db: "shop".to_owned(), table: None, pid: None }]);
    let faults = vec!["LoadTable@tablet1:every=load-sticks".parse().unwrap()];
    let (_, ran) = Run { faults, scope: shop, ..Run::calm("recover", &Host::new(false), 1) }.on(world, &Arc::default());
    let mut reasons = reasons(ran);
    reasons.sort_unstable();
    // Where the leader-flagged replica is the one that does not load, nobody else may lead.
    assert_eq!(reasons, ["load_timeout"; 4], "its tablet answers all the time");
}
