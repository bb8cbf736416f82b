//! As many replicas as there should be, and a tablet that is gone for good: through a real ZooKeeper, with real processes.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::wire::api::ReplicaRequest;
use openmldb_ops::wire::call::TabletCall;
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::{auto_failover, find, flags, has_ops_under_way, is, leader, placed_on};
use crate::support::zookeeper::needs_zookeeper;

/// Four tablets, and two tables of three replicas; nothing else is on the last one.
async fn four_tablets(scenario: Scenario) -> CliHarness {
    let generated = Generated { tables: 2, partitions: 3, replicas: 3, rows: 30 };
    let cli_harness =
        CliHarness::shaped(scenario, Shape { tablets: 4, generated: Some(generated), ..Shape::default() }).await;
    cli_harness.harness.world(|world| world.nameserver_settings_mut().op_fails_for_no_reason = None);
    cli_harness
}

/// The partition that is damaged.
fn t0(world: &World) -> PartitionId {
    find(world, "t0", 0)
}

fn leader_and_follower(cli_harness: &CliHarness) -> (Endpoint, Endpoint) {
    cli_harness.harness.world(|world| {
        let leading = leader(world, t0(world));
        let follower =
            flags(world, t0(world)).into_iter().map(|flags| flags.endpoint).find(|at| *at != leading).unwrap();
        (leading, follower)
    })
}

/// A tablet that leads something, and that has nothing that no other one has.
fn shared_by_others(world: &World) -> Endpoint {
    let alone = |at: &Endpoint| placed_on(world, at).into_iter().any(|id| flags(world, id).len() == 1);
    let leads = |at: &Endpoint| {
        let is_led = |id| flags(world, id).iter().any(|flags| flags.endpoint == *at && flags.leader);
        placed_on(world, at).into_iter().any(is_led)
    };
    world.tablet_endpoints().iter().find(|at| !alone(at) && leads(at)).expect("such a tablet").clone()
}

/// Nothing on a tablet is alive any more, and somebody else leads everything.
fn is_stood_in_for(world: &mut World, at: &Endpoint) -> bool {
    let is_led =
        |world: &World, id| flags(world, id).iter().any(|flags| flags.leader && flags.alive && flags.endpoint != *at);
    let is_out = |world: &World, id| flags(world, id).iter().all(|flags| flags.endpoint != *at || !flags.alive);
    placed_on(world, at).into_iter().all(|id| is_led(world, id) && is_out(world, id)) && !has_ops_under_way(world)
}

fn last_line(said: &str) -> Value {
    serde_json::from_str(said.lines().rfind(|line| line.starts_with('{')).unwrap()).unwrap()
}

async fn is_well(cli_harness: CliHarness) {
    cli_harness.says(0, "status");
    assert!(cli_harness.harness.world(auto_failover), "auto_failover is restored");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    assert_eq!(cli_harness.harness.world(|world| world.diverged()), Default::default());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_is_gone_for_good_is_replaced() {
    needs_zookeeper!();
    let cli_harness = four_tablets(Scenario::Healthy).await;
    let gone = cli_harness.harness.world(|world| shared_by_others(world));
    let replace = format!("tablet replace {gone}");
    cli_harness.refuses(&replace, "is there: it answers");
    cli_harness.is_mistyped("tablet replace a:1", "nobody knows a tablet a:1");
    let had = cli_harness.harness.world(|world| placed_on(world, &gone));
    cli_harness.harness.world(|world| world.kill_tablet(&gone));
    cli_harness.harness.until("others stand in for it", |world| is_stood_in_for(world, &gone)).await;
    let refused = cli_harness.says(5, &format!("scale in {gone}"));
    assert!(refused.contains(&format!("`openmldb-ops tablet replace {gone}`")), "{refused}");

    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let plan = cli_harness.says(0, &format!("{replace} --dry-run"));
    assert!(plan.contains("addreplica ") && plan.contains(&format!("without {gone}")), "{plan}");
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent, "a dry run sends nothing");

    let done = last_line(&cli_harness.says(0, &format!("{replace} --output json")));
    assert_eq!((&done["event"], &done["left"]), (&"arranged".into(), &Value::Array(Vec::new())));
    assert_eq!(
        cli_harness.harness.world(|world| placed_on(world, &gone)),
        Default::default(),
        "metadata have forgotten it"
    );
    cli_harness.harness.world(|world| {
        for id in &had {
            let flags = flags(world, *id);
            assert_eq!(flags.len(), 3, "{id}: {flags:?}");
            assert!(flags.iter().all(|flags| flags.alive), "{id}: {flags:?}");
        }
    });
    assert!(cli_harness.says(0, &replace).contains("nothing had to be done"));
    let recorded_run = cli_harness.home.run(&["record", "show", "last"]).expect(0).stdout.clone();
    assert!(recorded_run.contains("tablet replace") && recorded_run.contains("is gone for good"), "{recorded_run}");
    is_well(cli_harness).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replacement_that_was_killed_is_gone_on_with_and_where_is_what_was_typed() {
    needs_zookeeper!();
    let cli_harness = four_tablets(Scenario::Healthy).await;
    let gone = cli_harness.harness.world(|world| shared_by_others(world));
    let with = cli_harness.harness.world(|world| {
        let there = |at: &&Endpoint| **at != gone && placed_on(world, at).is_disjoint(&placed_on(world, &gone));
        let emptiest =
            world.tablet_endpoints().iter().filter(|at| **at != gone).min_by_key(|at| placed_on(world, at).len());
        world.tablet_endpoints().iter().find(there).or(emptiest).unwrap().clone()
    });
    cli_harness.harness.world(|world| world.kill_tablet(&gone));
    cli_harness.harness.until("others stand in for it", |world| is_stood_in_for(world, &gone)).await;
    let replace = format!("tablet replace {gone} --with {with}");
    cli_harness.harness.hold_at(&["SetTablePartition"], 1);
    let mut run = cli_harness.begins(&replace);
    run.wait_for_progress(|line| line.contains("settablepartition"));
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    cli_harness.harness.release();
    let status = cli_harness.says(3, "status");
    drop(status);
    let said = cli_harness.says(0, &replace);
    assert!(said.contains("an earlier `tablet replace` did not finish; this continues it"), "{said}");
    assert_eq!(cli_harness.harness.world(|world| placed_on(world, &gone)), Default::default());
    is_well(cli_harness).await;
}

/// The dead tablet took a row that its followers never got, and the nameserver had seen it.
#[tokio::test(flavor = "multi_thread")]
async fn what_only_the_dead_tablet_is_known_to_have_held_is_accepted_by_name_or_not_lost() {
    needs_zookeeper!();
    let cli_harness = four_tablets(Scenario::Healthy).await;
    let (gone, id) = cli_harness.harness.world(|world| {
        let gone = shared_by_others(world);
        let is_led = |id: &PartitionId| flags(world, *id).iter().any(|flags| flags.endpoint == gone && flags.leader);
        let id = placed_on(world, &gone).into_iter().find(is_led).unwrap();
        (gone, id)
    });
    cli_harness.harness.world(|world| {
        let others: Vec<Endpoint> =
            flags(world, id).into_iter().map(|flags| flags.endpoint).filter(|at| *at != gone).collect();
        for follower in others {
            let (tid, pid, endpoint) = (Some(id.tid.0), Some(id.pid.0), Some(follower.to_string()));
            let forgets = ReplicaRequest { tid, pid, endpoint, ..ReplicaRequest::default() };
            world.call_tablet(&gone, TabletCall::DelReplica(forgets)).unwrap();
        }
        assert!(world.put_row(&gone, id));
    });
    let copies = cli_harness.harness.world(|world| flags(world, id).len());
    let is_polled = |world: &mut World| {
        let metas = &world.metadata()[&id].partition_meta;
        let offset = |leads: bool| metas.iter().filter(|meta| meta.is_leader == leads).map(|meta| meta.offset()).max();
        offset(true) > offset(false)
    };
    cli_harness.harness.until("the nameserver has seen the row", is_polled).await;
    cli_harness.harness.world(|world| world.kill_tablet(&gone));
    cli_harness.harness.until("others stand in for it", |world| is_stood_in_for(world, &gone)).await;

    let replace = format!("tablet replace {gone}");
    let said = cli_harness.says(4, &replace);
    assert!(said.contains("is not known to hold 1 entry of that"), "{said}");
    let still = cli_harness.harness.world(|world| flags(world, id));
    assert!(still.iter().any(|flags| flags.endpoint == gone), "it is still known");
    let (others, copies) = (still.iter().filter(|flags| flags.endpoint != gone), copies);
    assert!(
        others.clone().all(|flags| flags.alive) && others.count() == copies,
        "the others are there already: {still:?}"
    );

    let planned = last_line(&cli_harness.says(4, &format!("{replace} --dry-run --output json")));
    let losses = planned["losses"].as_array().unwrap();
    assert_eq!((losses.len(), &losses[0]["entries"]), (1, &1.into()), "{planned}");
    let named = planned["losses_id"].as_str().unwrap();
    cli_harness.says(5, &format!("{replace} --accept-data-loss 0123456789abcdef"));
    cli_harness.says(0, &format!("{replace} --accept-data-loss {named}"));
    assert!(cli_harness.harness.world(|world| flags(world, id).iter().all(|flags| flags.endpoint != gone)));
    cli_harness.says(0, "status");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_with_too_few_or_too_many_replicas_is_a_finding_and_is_repaired() {
    needs_zookeeper!();
    let cli_harness = four_tablets(Scenario::Healthy).await;
    assert!(cli_harness.says(0, "scale repair").contains("nothing had to be done"));
    let (_, follower) = leader_and_follower(&cli_harness);
    cli_harness.says(0, &format!("replica remove shop.t0/0 {follower}"));
    let status = cli_harness.tells("status --output json");
    cli_harness.says(3, "status");
    assert!(status.contains("\"case\":\"replica_count\"") && status.contains("scale repair"), "{status}");
    let one = cli_harness.tells("status --partition shop.t0/0");
    assert!(one.contains("one of 2 replicas, and the table was made with 3"), "{one}");
    assert!(one.starts_with("1 of 1 partition serves; none lacks a copy. 1 partition has fewer replicas"), "{one}");

    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let plan = cli_harness.says(0, "scale repair --dry-run");
    assert!(plan.contains("shop.t0/0: it has 2 replicas, and its table was made with 3"), "{plan}");
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent);
    let tight = cli_harness.says(0, "scale repair --dry-run --tablet-room 1MiB");
    assert!(!tight.contains("it will not fit"), "{tight}");
    cli_harness.says(0, "scale repair");
    cli_harness.says(0, "status");

    let at = cli_harness.harness.world(|world| {
        let has = flags(world, t0(world));
        world.tablet_endpoints().iter().find(|at| has.iter().all(|flags| flags.endpoint != **at)).unwrap().clone()
    });
    cli_harness.says(0, &format!("replica add shop.t0/0 {at}"));
    let one = cli_harness.tells("status --partition shop.t0/0");
    assert!(one.contains("one of 4 replicas, and the table was made with 3"), "{one}");
    let done = last_line(&cli_harness.says(0, "scale repair --output json"));
    assert_eq!(done["partitions"], 1, "{done}");
    assert_eq!(cli_harness.harness.world(|world| flags(world, t0(world)).len()), 3);
    is_well(cli_harness).await;
}

/// A tablet whose machine was given other disks answers at the same address, and has nothing.
#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_came_back_with_empty_disks_is_recognised_and_filled_again() {
    needs_zookeeper!();
    let cli_harness = four_tablets(Scenario::Healthy).await;
    cli_harness.says(0, "failover set off");
    let (_, at) = leader_and_follower(&cli_harness);
    cli_harness.harness.world(|world| {
        let placed = placed_on(world, &at);
        world.kill_tablet(&at);
        for id in placed {
            world.tablets_mut().lose_directory(at.as_str(), id.tid.0, id.pid.0);
        }
    });
    let is = |world: &mut World, state: bool| world.is_up(&at) == state;
    cli_harness.harness.until("it is down", |world| is(world, false)).await;
    cli_harness.harness.world(|world| world.start_tablets(std::slice::from_ref(&at)));
    cli_harness.harness.until("it is up", |world| is(world, true)).await;
    let status = cli_harness.tells("status --output json");
    assert!(
        status.contains("\"case\":\"tablet_rebuilt\"") && !status.contains("\"case\":\"tablet_restarted\""),
        "{status}"
    );
    let refused = cli_harness.says(5, &format!("tablet replace {at}"));
    assert!(refused.contains("is there: it answers"), "{refused}");
    cli_harness.ends().await;
}

/// Nobody else has a row of it: that is accepted by name, and then again that it begins empty.
#[tokio::test(flavor = "multi_thread")]
async fn a_partition_whose_only_replica_is_gone_begins_empty_elsewhere_by_name() {
    needs_zookeeper!();
    let generated = Generated { tables: 1, partitions: 2, replicas: 1, rows: 10 };
    let shape = Shape { tablets: 3, generated: Some(generated), ..Shape::default() };
    let cli_harness = CliHarness::shaped(Scenario::Healthy, shape).await;
    let gone = cli_harness.harness.world(|world| leader(world, t0(world)));
    cli_harness.harness.world(|world| world.kill_tablet(&gone));
    cli_harness.harness.until("the nameserver misses it", |world| is(world, &gone, "kOffline")).await;

    let replace = format!("tablet replace {gone}");
    let said = cli_harness.says(4, &replace);
    assert!(said.contains("the only replica of shop.t0/0 is on "), "{said}");
    assert_eq!(cli_harness.harness.world(|world| leader_flag(world)), gone, "nothing is changed for it");
    let planned = last_line(&cli_harness.says(4, &format!("{replace} --dry-run --output json")));
    let id = planned["losses_id"].as_str().unwrap();
    let said = cli_harness.says(4, &format!("{replace} --accept-data-loss {id}"));
    assert!(said.contains("has not begun there"), "{said}");
    assert_ne!(cli_harness.harness.world(|world| leader_flag(world)), gone);

    let planned = cli_harness.says(4, "recover --all --dry-run");
    let id = planned.split("--accept-data-loss ").nth(1).unwrap().split_whitespace().next().unwrap();
    cli_harness.says(0, &format!("recover --all --accept-data-loss {id}"));
    assert!(cli_harness.says(0, &replace).contains("nothing had to be done"));
    cli_harness.says(0, "status");
    cli_harness.ends().await;
}

/// Who is flagged leader, alive or not.
fn leader_flag(world: &World) -> Endpoint {
    flags(world, t0(world)).into_iter().find(|flags| flags.leader).unwrap().endpoint
}
