//! `replica diff`: what replicas really hold, row by row.

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::wire::api::{AppendEntriesRequest, LogEntry};
use openmldb_ops::wire::call::TabletCall;
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::{is, orders};
use crate::support::zookeeper::needs_zookeeper;

/// An entry that only this follower gets.
fn append_to(cli_harness: &CliHarness, follower: &Endpoint, value: &[u8]) {
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        let end = world.rows()[&id][follower].last().unwrap().index;
        let term = world.metadata()[&id].term_offset.last().map(|last| last.term);
        let entry = LogEntry { log_index: Some(end + 1), term, value: Some(value.to_vec()), ..LogEntry::default() };
        let request = AppendEntriesRequest {
            tid: Some(id.tid.0),
            pid: Some(id.pid.0),
            term,
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
    assert!(
        cli_harness.says(2, &format!("replica diff shop.orders/0 {leading} a:1")).contains("there is no tablet a:1")
    );
    cli_harness.ends().await;
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    assert!(cli_harness.says(1, "replica diff shop.orders/0").contains("has no replica loaded"));
    cli_harness.ends().await;
}

/// A follower that is away while its leader gets on, and makes a snapshot, so that it would be sent what that one holds; it is loaded again.
async fn left_behind(
    cli_harness: &CliHarness,
    leading: &Endpoint,
    lost: &Endpoint,
    gets_on: impl Fn(&mut World, PartitionId),
) {
    cli_harness.says(0, "failover set off");
    cli_harness.says(0, &format!("tablet offline {lost} --allow-unavailable"));
    cli_harness.harness.world(|world| {
        world.kill_tablet(lost);
        let id = orders(world, 0);
        gets_on(world, id);
    });
    cli_harness.for_a_minute().await;
    cli_harness.says(0, &format!("replica snapshot shop.orders/0 {leading}"));
    cli_harness.harness.world(|world| world.start_tablets(std::slice::from_ref(lost)));
    cli_harness.harness.until("the nameserver hears of it", |world| is(world, lost, "kHealthy")).await;
    cli_harness.says(0, &format!("replica load shop.orders/0 {lost}"));
}

/// It holds rows that its leader has deleted since, and fewer counts would refuse to replace them.
#[tokio::test(flavor = "multi_thread")]
async fn rows_say_whether_a_replica_that_missed_deletes_may_be_resent() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, lost) = cli_harness.leader_and_follower();
    left_behind(&cli_harness, &leading, &lost, |world, id| {
        assert!((0..5).all(|_| world.delete_row(&leading, id)));
    })
    .await;
    let traversed = |world: &mut World| world.trace().calls().filter(|call| call.method == "Traverse").count();
    let before = cli_harness.harness.world(traversed);
    let recover = format!("replica recover shop.orders/0 {lost}");
    cli_harness.says(0, &format!("{recover} --dry-run"));
    let compared = cli_harness.harness.world(traversed);
    assert!(compared > before, "nobody has looked at a row");
    let said = cli_harness.says(0, &recover);
    assert!(said.starts_with(&format!("{lost} is alive and follows the leader of shop.orders/0\n")), "{said}");
    assert!(cli_harness.harness.world(traversed) > compared, "what a dry run has seen is old");
    let told = cli_harness.home.run(&["record", "show", "--output", "json"]).expect(0).events();
    let at = |kind: &str, text: &str| {
        told.iter().position(|line| line["line"] == kind && line.to_string().contains(text)).unwrap_or(usize::MAX)
    };
    assert!(at("note", "\"shop.orders/0: ") < at("sending", "recover_table"), "{told:#?}");
    cli_harness.says(0, "failover set on");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    cli_harness.ends().await;
}

/// Its log is the shorter one, so by offsets and counts its leader holds all that it does.
#[tokio::test(flavor = "multi_thread")]
async fn a_replica_that_holds_a_row_of_its_own_is_not_resent() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, lost) = cli_harness.leader_and_follower();
    append_to(&cli_harness, &lost, b"a row that nobody else holds");
    left_behind(&cli_harness, &leading, &lost, |world, id| {
        assert!((0..5).all(|_| world.put_row(&leading, id)));
    })
    .await;
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let why = format!("{lost} holds rows of 1 key that its leader {leading} does not hold");
    for step in ["replica recover", "replica remove"] {
        cli_harness.refuses(&format!("{step} shop.orders/0 {lost}"), &why);
    }
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent, "nothing may be discarded");
    cli_harness.ends().await;
}

/// An undertaking judges as a single step does.
#[tokio::test(flavor = "multi_thread")]
async fn an_undertaking_does_not_resend_a_replica_that_holds_a_row_of_its_own() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (lost, _) = cli_harness.leader_and_follower();
    cli_harness.says(0, &format!("upgrade pre {lost}"));
    let (leading, _) = cli_harness.leader_and_follower();
    append_to(&cli_harness, &lost, b"a row that nobody else holds");
    left_behind(&cli_harness, &leading, &lost, |world, id| {
        assert!((0..5).all(|_| world.put_row(&leading, id)));
    })
    .await;
    let said = cli_harness.tells(&format!("upgrade post {lost}"));
    assert!(said.contains(&format!("{lost} holds rows of 1 key that its leader {leading} does not hold")), "{said}");
    cli_harness.ends().await;
}
