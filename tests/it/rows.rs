//! `replica diff`: what replicas really hold, row by row.

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::wire::api::{AppendEntriesRequest, LogEntry};
use openmldb_ops::wire::call::TabletCall;
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::orders;
use crate::support::zookeeper::needs_zookeeper;

/// An entry that only this follower gets.
fn append_to(cli_harness: &CliHarness, follower: &Endpoint, value: &[u8]) {
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        let end = world.rows()[&id][follower].last().unwrap().index;
        let entry =
            LogEntry { log_index: Some(end + 1), term: Some(1), value: Some(value.to_vec()), ..LogEntry::default() };
        let request = AppendEntriesRequest {
            tid: Some(id.tid.0),
            pid: Some(id.pid.0),
            term: Some(1),
            pre_log_index: Some(end),
            entries: vec![entry],
        };
        world.call_tablet(follower, TabletCall::AppendEntries(request)).unwrap();
    });
}

#[tokio::test(flavor = "multi_thread")]
async fn replicas_that_hold_the_same_rows_are_equal() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let said = cli_harness.says(0, "replica diff shop.orders/0");
    assert!(said.contains("the replicas hold the same rows"), "{said}");
    cli_harness.says(0, &format!("replica diff shop.orders/0 {follower} {leading}"));
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent, "comparing changes nothing");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_row_that_only_one_replica_holds_is_named_and_exported() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    append_to(&cli_harness, &follower, &987_654_321_u64.to_le_bytes());
    let text = cli_harness.says(3, "replica diff shop.orders/0");
    assert!(
        text.contains("the replicas differ in 1 row") && text.contains(&format!("only on {follower}: 1 row")),
        "{text}"
    );
    assert!(text.contains("key987654321"), "{text}");
    let file = cli_harness.home.file("odd.jsonl");
    let said =
        cli_harness.says(3, &format!("replica diff shop.orders/0 {leading} {follower} --output json --export {file}"));
    let lines: Vec<Value> = said.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
    let odd = lines.iter().find(|line| line["event"] == "odd_row").unwrap();
    let times =
        |at: &Endpoint| odd["held"].as_array().unwrap().iter().find(|held| held["endpoint"] == at.as_str()).unwrap();
    assert_eq!((&times(&leading)["times"], &times(&follower)["times"]), (&0.into(), &1.into()));
    let exported: Value = serde_json::from_str(std::fs::read_to_string(&file).unwrap().trim()).unwrap();
    assert_eq!(&exported, odd, "the file has the same line");
    assert_eq!(lines.last().unwrap()["different"], 1);
    let again = cli_harness.says(2, &format!("replica diff shop.orders/0 --export {file}"));
    assert!(again.contains("cannot write"), "a file of rows is never written over: {again}");
    cli_harness.ends().await;
}

/// As many entries and as many rows on each, so that no look at numbers shows it.
#[tokio::test(flavor = "multi_thread")]
async fn all_rows_in_scope_are_compared_where_that_is_asked_for() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    let rows = |code, of: &str| {
        let said = cli_harness.says(code, &format!("status --deep --rows --output json {of}"));
        let mut lines = said.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
        lines.next_back().unwrap()["rows_compared"].clone()
    };
    let text = cli_harness.says(0, "status --deep --rows");
    assert!(text.contains("Rows compared: in 6 partitions all replicas hold the same"), "{text}");
    append_to(&cli_harness, &follower, &987_654_321_u64.to_le_bytes());
    assert!(cli_harness.harness.world(|world| world.put_row(&leading, orders(world, 0))));
    cli_harness.says(0, "status --deep");
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let text = cli_harness.says(3, "status --deep --rows");
    assert!(text.contains("; 1 where replicas differ (`openmldb-ops replica diff D.T/PID` shows how)"), "{text}");
    assert!(text.contains(&format!("shop.orders/0 {follower}: lacks 1 row that {leading} holds")), "{text}");
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent, "comparing changes nothing");
    assert_eq!(rows(3, "--db shop")["differ"], 1);
    assert_eq!(rows(0, "--partition shop.orders/1")["same"], 1);
    let none = rows(0, "--partition shop.orders/1 --compare-rows-up-to 1");
    assert_eq!((&none["same"], &none["not_compared"]), (&0.into(), &1.into()));
    assert!(cli_harness.says(2, "status --rows").contains("--deep"));
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_compared_is_said() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, _) = cli_harness.leader_and_follower();
    assert!(cli_harness.says(2, &format!("replica diff shop.orders/0 {leading}")).contains("name two or more"));
    assert!(
        cli_harness.says(2, "replica diff shop.orders/0 --index nothing").contains("has no index nothing; it has idx")
    );
    assert!(cli_harness.says(2, "replica diff shop.orders/99").contains("no partition 99"));
    assert!(cli_harness.says(1, &format!("replica diff shop.orders/0 {leading} a:1")).contains("a:1 does not have"));
    cli_harness.ends().await;
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    assert!(cli_harness.says(1, "replica diff shop.orders/0").contains("has no replica loaded"));
    cli_harness.ends().await;
}
