//! Pre-aggregate tables go where their base tables are led, through a real ZooKeeper, with real processes.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::Scenario;
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::{assert_all_well, find, flags, leader, orders};

/// As it is typed.
const AGGREGATE: &str = "__PRE_AGG_DB.pre_shop_orders_w_sum_amt";

fn aggregate(world: &World, pid: u32) -> PartitionId {
    find(world, "pre_shop_orders_w_sum_amt", pid)
}

/// Who leads the base table's partition 0, and the pre-aggregate table's.
fn leaders(world: &World) -> (Endpoint, Endpoint) {
    (leader(world, orders(world, 0)), leader(world, aggregate(world, 0)))
}

/// The names of all partitions of the pre-aggregate table that are led apart from what they aggregate.
pub fn led_apart(world: &World) -> Vec<u32> {
    (0..4).filter(|pid| leader(world, orders(world, *pid)) != leader(world, aggregate(world, *pid))).collect()
}

/// Clients put so many rows into the base table's partition 0.
fn put(world: &mut World, rows: usize) {
    let id = orders(world, 0);
    let at = leader(world, id);
    for _ in 0..rows {
        assert!(world.put_row(&at, id), "{at} takes rows");
    }
}

fn rows(world: &mut World, at: &Endpoint) -> usize {
    let id = aggregate(world, 0);
    world.rows()[&id][at].len()
}

/// A cluster with a pre-aggregate table, recovered.
async fn recovered() -> CliHarness {
    let cli_harness = CliHarness::with(Scenario::PreAggregate).await;
    cli_harness.says(0, "recover --all --playbook fast");
    cli_harness
}

fn events(said: &str, event: &str) -> Vec<Value> {
    let lines = said.lines().filter(|line| line.starts_with('{'));
    lines.map(|line| serde_json::from_str::<Value>(line).unwrap()).filter(|line| line["event"] == event).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handover_takes_pre_aggregate_tables_along_and_brings_them_back() {
    let cli_harness = recovered().await;
    let (old, new) = cli_harness.leader_and_follower();
    let said = cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new}"));
    let remark = format!("only {old} aggregates shop.orders/0 into {AGGREGATE}/0");
    assert!(said.contains(&remark), "{said}");
    assert_eq!(cli_harness.harness.world(|world| leaders(world)), (new.clone(), new.clone()));
    let found = events(&cli_harness.says(0, "status --deep --output json"), "summary");
    let findings = found[0]["verification"]["findings"].as_array().unwrap().clone();
    assert_eq!(findings.iter().map(|found| found["kind"].clone()).collect::<Vec<_>>(), ["not_aggregated"]);
    let hint = findings[0]["hint"].as_str().unwrap();
    assert!(hint.contains(&format!("openmldb-ops leader handover shop.orders/0 --to {old}")), "{hint}");
    assert!(hint.contains(&format!("openmldb-ops replica aggregate {AGGREGATE}/0 {new}")), "{hint}");
    let moves =
        events(&cli_harness.says(0, &format!("leader handover shop.orders/0 --to {old} --output json")), "move");
    let first = moves.iter().find(|line| line["step"] == "leader_stand_down").unwrap();
    assert_eq!(first["partition"], format!("{AGGREGATE}/0"), "what is led again writes into it at once");
    assert_eq!(cli_harness.harness.world(|world| leaders(world)), (old.clone(), old.clone()));
    cli_harness.harness.world(|world| put(world, 16));
    cli_harness.harness.settle();
    let (here, there) = cli_harness.harness.world(|world| (rows(world, &old), rows(world, &new)));
    assert_eq!(here, there, "what is aggregated reaches the followers");
    cli_harness.harness.world(assert_all_well);
    cli_harness.ends().await;
}

/// Somebody has the pre-aggregate table alone led by another tablet.
async fn led_elsewhere() -> (CliHarness, Endpoint, Endpoint) {
    let cli_harness = recovered().await;
    let (base, other) = cli_harness.leader_and_follower();
    cli_harness.says(0, "failover set off");
    cli_harness.says(0, &format!("leader change {AGGREGATE}/0 --to {other}"));
    cli_harness.says(0, &format!("replica recover {AGGREGATE}/0 {base}"));
    cli_harness.says(0, "failover set on");
    assert_eq!(cli_harness.harness.world(|world| leaders(world)), (base.clone(), other.clone()));
    (cli_harness, base, other)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_led_apart_is_named_and_recover_puts_it_together() {
    let (cli_harness, base, other) = led_elsewhere().await;
    let said = cli_harness.says(3, "status --output json");
    let cases = events(&said, "diagnosis");
    assert_eq!(cases.iter().map(|case| case["case"].clone()).collect::<Vec<_>>(), ["led_apart"]);
    cli_harness.harness.world(|world| put(world, 24));
    cli_harness.harness.settle();
    let (longer, leads) = cli_harness.harness.world(|world| (rows(world, &base), rows(world, &other)));
    assert!(longer > leads, "the copy beside the base table's leader grows beyond its own leader: {longer} {leads}");
    let dry = cli_harness.says(0, "recover --all --dry-run");
    assert!(dry.contains(&format!("{AGGREGATE}/0 is led by {other}, and {base} leads shop.orders/0")), "{dry}");
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let said = cli_harness.says(0, "recover --all");
    assert!(cli_harness.harness.world(|world| world.trace().mutations()) > sent, "{said}");
    assert_eq!(cli_harness.harness.world(|world| leaders(world)), (base.clone(), base.clone()));
    cli_harness.harness.settle();
    cli_harness.harness.world(|world| {
        assert_eq!(rows(world, &base), longer, "nothing that it held is given up");
        assert_all_well(world);
    });
    assert!(cli_harness.says(0, "status --deep").contains("complete"));
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    cli_harness.says(0, "recover --all");
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent, "a second run changes nothing");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_longer_copy_that_lacks_a_row_of_its_leader_does_not_lead() {
    let (cli_harness, base, other) = led_elsewhere().await;
    cli_harness.harness.world(|world| {
        put(world, 24);
        let id = aggregate(world, 0);
        assert!(world.put_row(&other, id), "its leader takes a row in a place where the longer copy has another one");
    });
    cli_harness.harness.settle();
    let before = cli_harness.harness.world(|world| (rows(world, &base), rows(world, &other)));
    assert!(before.0 > before.1, "{before:?}");
    let said = cli_harness.says(4, "recover --all");
    assert!(said.contains("not known to hold all of its rows"), "{said}");
    cli_harness.harness.world(|world| {
        assert_eq!(leaders(world), (base.clone(), other.clone()));
        assert_eq!((rows(world, &base), rows(world, &other)), before, "nothing is given up");
    });
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_base_table_that_is_shorter_than_its_aggregates_is_named() {
    let cli_harness = CliHarness::with(Scenario::PreAggregate).await;
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        for at in world.tablet_endpoints().to_vec() {
            assert!(world.tablets_mut().lose_entries(at.as_str(), id.tid.0, id.pid.0, 81, 200), "a power cut");
        }
    });
    let found = events(&cli_harness.says(4, "recover --all --output json"), "summary");
    let findings = found[0]["verification"]["findings"].as_array().unwrap().clone();
    assert_eq!(findings.iter().map(|found| found["kind"].clone()).collect::<Vec<_>>(), ["aggregate_ahead"]);
    assert_eq!(findings[0]["table"]["table"], "pre_shop_orders_w_sum_amt");
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        let at = leader(world, id);
        let before = world.rows()[&id][&at].len();
        assert!(!world.put_row(&at, id), "it is answered with an error");
        assert_eq!(world.rows()[&id][&at].len(), before + 1, "and kept");
    });
    assert!(cli_harness.says(3, "status --deep").contains("update aggr failed"));
    cli_harness.ends().await;
}

/// Loads partition 0 of both on the tablet that aggregates it, the base table first, so that its aggregator is attached and
/// makes what is missing while its copy is loaded. `lost` of the last buckets are gone from these copies before.
async fn written_while_loading(lost: u64, on_all: bool) -> (CliHarness, Endpoint, usize) {
    let cli_harness = CliHarness::with(Scenario::PreAggregate).await;
    let (at, whole) = cli_harness.harness.world(|world| {
        let (id, base) = (aggregate(world, 0), orders(world, 0));
        let at = flags(world, base).into_iter().find(|flag| flag.leader).unwrap().endpoint;
        let whole = world.tablets_mut().log_on_disk(at.as_str(), id.tid.0, 0).unwrap().len();
        for copy in world.tablet_endpoints().to_vec().iter().filter(|copy| on_all || **copy == at) {
            let (first, last) = (whole as u64 + 1 - lost, whole as u64);
            assert!(world.tablets_mut().lose_entries(copy.as_str(), id.tid.0, 0, first, last), "a power cut");
        }
        (at, whole)
    });
    cli_harness.says(0, &format!("replica load shop.orders/0 {at}"));
    cli_harness.says(0, &format!("replica load {AGGREGATE}/0 {at}"));
    assert_eq!(cli_harness.harness.world(|world| rows(world, &at)), whole, "its aggregator made them again");
    (cli_harness, at, whole)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_copy_that_was_written_to_while_it_loaded_is_replaced_by_one_that_holds_as_much() {
    let (cli_harness, at, whole) = written_while_loading(3, false).await;
    cli_harness.says(0, "recover --all");
    cli_harness.harness.settle();
    cli_harness.harness.world(|world| {
        let all = world.rows()[&aggregate(world, 0)].clone();
        assert!(all.values().all(|held| held.len() == whole), "{all:?}");
        assert_eq!(leaders(world), (at.clone(), at.clone()));
        assert_all_well(world);
        let id = aggregate(world, 0);
        for copy in world.tablet_endpoints().to_vec() {
            let on_disk = world.tablets_mut().log_on_disk(copy.as_str(), id.tid.0, 0).unwrap();
            assert_eq!(on_disk.len(), whole, "none of it is in the memory of {copy} alone");
        }
    });
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_only_a_copy_holds_that_was_written_to_while_it_loaded_is_kept() {
    let (cli_harness, at, whole) = written_while_loading(3, true).await;
    let found = events(&cli_harness.says(4, "recover --all --output json"), "summary");
    let blocked = &found[0]["blocked"][0];
    assert_eq!(
        (&blocked["reason"], &blocked["table"]),
        (&"leader_lacks_rows".into(), &"pre_shop_orders_w_sum_amt".into())
    );
    assert!(blocked["hint"].as_str().unwrap().contains(&format!("replica aggregate {AGGREGATE}/0")), "{blocked}");
    cli_harness.harness.world(|world| {
        let id = aggregate(world, 0);
        assert_eq!(rows(world, &at), whole, "nothing is given up");
        assert_ne!(leader(world, id), at, "and nothing is sent from it");
        let others = world.rows()[&id].clone();
        assert!(others.iter().filter(|(copy, _)| **copy != at).all(|(_, held)| held.len() == whole - 3));
    });
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_aggregates_again_once_it_is_told_to_and_is_not_told_twice() {
    let cli_harness = recovered().await;
    let (old, new) = cli_harness.leader_and_follower();
    let command = format!("replica aggregate {AGGREGATE}/0 {new}");
    cli_harness.refuses(&command, &format!("{old} leads {AGGREGATE}/0, not {new}"));
    cli_harness.refuses(&format!("replica aggregate {AGGREGATE}/0 {old}"), "a second one would write everything twice");
    cli_harness.refuses(&format!("replica aggregate shop.orders/0 {old}"), "is not a pre-aggregate table");
    cli_harness.says(0, &format!("leader handover shop.orders/0 --to {new}"));
    cli_harness.harness.world(|world| put(world, 24));
    cli_harness.harness.settle();
    let before = cli_harness.harness.world(|world| rows(world, &new));
    let said = cli_harness.says(0, &command);
    assert!(said.contains(&format!("{new} aggregates into {AGGREGATE}/0")), "{said}");
    cli_harness.harness.world(|world| put(world, 8));
    cli_harness.harness.settle();
    cli_harness.harness.world(|world| {
        let all = world.rows()[&aggregate(world, 0)].clone();
        assert!(
            all.values().all(|held| held.len() == before + 4),
            "three it had missed, and a new one: {before} {all:?}"
        );
    });
    cli_harness.refuses(&command, "a second one would write everything twice");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_lost_its_end_is_made_again_where_it_is_numbered_on() {
    let cli_harness = CliHarness::with(Scenario::PreAggregate).await;
    let whole = cli_harness.harness.world(|world| {
        let id = aggregate(world, 0);
        let at = flags(world, id).remove(0).endpoint;
        let whole = world.tablets_mut().log_on_disk(at.as_str(), id.tid.0, 0).unwrap().len() as u64;
        for copy in world.tablet_endpoints().to_vec() {
            assert!(world.tablets_mut().lose_entries(copy.as_str(), id.tid.0, 0, whole - 2, whole), "a power cut");
        }
        whole
    });
    assert!(cli_harness.says(0, "recover --all --dry-run --full").contains("createaggregator"));
    let said = cli_harness.says(0, "recover --all --output json");
    assert_eq!(events(&said, "summary")[0]["verification"]["findings"], serde_json::json!([]));
    cli_harness.harness.settle();
    cli_harness.harness.world(|world| {
        let id = aggregate(world, 0);
        for copy in world.tablet_endpoints().to_vec() {
            let on_disk = world.tablets_mut().log_on_disk(copy.as_str(), id.tid.0, 0).unwrap();
            let places: Vec<u64> = on_disk.iter().map(|entry| entry.index).collect();
            assert_eq!(places, (1..=whole).collect::<Vec<_>>(), "{copy}");
            assert!(on_disk.iter().all(|entry| entry.term > 0));
        }
        put(world, 8);
    });
    cli_harness.harness.settle();
    cli_harness.harness.world(|world| {
        let all = world.rows()[&aggregate(world, 0)].clone();
        assert!(all.values().all(|held| held.len() as u64 == whole + 1), "it aggregates, and once: {all:?}");
        assert_all_well(world);
    });
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    cli_harness.says(0, "recover --all");
    assert_eq!(
        cli_harness.harness.world(|world| world.trace().mutations()),
        sent,
        "a second run creates no second one"
    );
    cli_harness.ends().await;
}
