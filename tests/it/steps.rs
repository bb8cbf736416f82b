//! The handbook's single steps: what they say when they work, and each refusal.

use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::nameserver::ShowTabletRequest;
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::{assert_well, auto_failover, flags, is, leader, orders};
use crate::support::zookeeper::needs_zookeeper;

#[tokio::test(flavor = "multi_thread")]
async fn auto_failover_is_read_and_set() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let was = cli_harness.harness.world(auto_failover);
    assert!(was, "the handbook begins with switching it off");
    assert_eq!(cli_harness.says(0, "failover get"), "auto_failover is on\n");
    let said = cli_harness.says(0, "failover set off --dry-run");
    assert!(said.starts_with("would send: "), "{said}");
    assert_eq!(cli_harness.says(0, "failover get"), "auto_failover is on\n", "nothing was sent");
    assert_eq!(cli_harness.says(0, "failover set off"), "auto_failover is off\n");
    assert!(!cli_harness.harness.world(auto_failover));
    assert_eq!(cli_harness.says(0, "failover set off"), "auto_failover is off already: nothing is sent\n");
    let json: Value = serde_json::from_str(&cli_harness.says(0, "failover set on --output json")).unwrap();
    assert_eq!((&json["step"], &json["outcome"]), (&"failover_set".into(), &"reached".into()));
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leader_is_changed_and_the_old_one_comes_back() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (old, new) = cli_harness.leader_and_follower();
    cli_harness.refuses(&format!("leader change shop.orders/0 --to {new}"), "auto_failover is on");
    cli_harness.says(0, "failover set off");
    cli_harness.refuses("leader change shop.orders/0", "has a live leader");
    cli_harness.is_mistyped("leader change shop.orders/99 --to a:1", "has no partition 99");
    cli_harness.is_mistyped("leader change shop.nothing/0 --to a:1", "there is no table shop.nothing");
    cli_harness.is_mistyped("leader change shop.orders/0 --to a:1", "has no replica on a:1");
    let said = cli_harness.says(0, &format!("leader change shop.orders/0 --to {new}"));
    assert!(said.starts_with(&format!("{new} leads shop.orders/0\n")), "{said}");
    assert!(said.contains(&format!("openmldb-ops replica recover shop.orders/0 {old}")), "{said}");
    assert_eq!(cli_harness.leader_and_follower().0, new);
    assert!(
        cli_harness.says(0, &format!("leader change shop.orders/0 --to {new}")).contains("already: nothing is sent")
    );

    let said = cli_harness.says(0, &format!("replica recover shop.orders/0 {old}"));
    assert!(said.starts_with(&format!("{old} is alive and follows the leader of shop.orders/0\n")), "{said}");
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        assert!(flags(world, id).iter().all(|flags| flags.alive));
    });
    cli_harness.refuses(&format!("replica recover shop.orders/0 {old}"), "flagged alive");
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flag_is_cleared_and_set_again_only_where_that_is_safe() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    cli_harness.refuses(&format!("replica alive shop.orders {follower} no"), "auto_failover is on");
    cli_harness.says(0, "failover set off");
    cli_harness.is_mistyped("replica alive shop.orders a:1 no", "knows no tablet a:1");
    let said = cli_harness.says(0, &format!("replica alive shop.orders/0 {follower} no"));
    assert_eq!(said, format!("{follower} is not alive in 1 partition\n"));
    // Its leader replicates to it all the time.
    let said = cli_harness.says(0, &format!("replica alive shop.orders/0 {follower} yes"));
    assert_eq!(said, format!("{follower} is alive in 1 partition\n"));
    cli_harness.refuses(&format!("replica alive shop.orders {leading} no"), "no client is sent there until");
    let said = cli_harness.says(0, &format!("replica alive shop.orders {leading} no --allow-unavailable --dry-run"));
    assert!(said.contains(&format!("note: {leading} leads shop.orders/0: no client can write to it")), "{said}");
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        assert_well(world, id);
    });
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_could_lose_rows_is_refused_after_everything_went_down() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    cli_harness.says(0, "failover set off");
    cli_harness.refuses(&format!("replica recover shop.orders/0 {follower}"), "flagged alive");
    cli_harness.says(0, &format!("replica alive shop.orders/0 {follower} no"));
    cli_harness.refuses(&format!("replica alive shop.orders/0 {follower} yes"), "does not hold shop.orders/0");
    // The leader is flagged alive and loaded nowhere: what the follower has on disk may be all there is.
    cli_harness.refuses(&format!("replica recover shop.orders/0 {follower}"), "does not serve");

    let said = cli_harness.says(0, &format!("replica load shop.orders/0 {leading}"));
    assert!(said.contains("loaded at offset"), "{said}");
    assert!(cli_harness.says(0, &format!("replica load shop.orders/0 {leading}")).contains("already: nothing is sent"));
    cli_harness.says(0, &format!("replica alive shop.orders/0 {leading} no"));
    cli_harness.refuses(&format!("replica alive shop.orders/0 {leading} yes"), "has it loaded as follower");
    // Another follower is flagged alive, and loaded nowhere: the election would fail.
    cli_harness.refuses("leader change shop.orders/0", "does not hold shop.orders/0");

    cli_harness.says(0, "failover set on");
    cli_harness.says(0, "recover --all");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

/// The handbook's node loss in manual mode: offline, wait, recover.
#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_lost_taken_out_of_service_and_brought_back() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (lost, _) = cli_harness.leader_and_follower();
    cli_harness.refuses(&format!("tablet offline {lost}"), "auto_failover is on");
    cli_harness.says(0, "failover set off");
    cli_harness.is_mistyped("tablet offline a:1", "knows no tablet a:1");
    cli_harness.harness.world(|world| world.kill_tablet(&lost));
    cli_harness.harness.until("the nameserver misses it", |world| is(world, &lost, "kOffline")).await;
    cli_harness.refuses(&format!("tablet recover {lost}"), "considers");

    let said = cli_harness.says(0, &format!("tablet offline {lost}"));
    assert!(said.starts_with(&format!("{lost} is offline: nothing on it is alive\n")), "{said}");
    cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        assert_ne!(leader(world, id), lost);
    });
    assert!(cli_harness.says(0, &format!("tablet offline {lost}")).contains("already: nothing is sent"));

    cli_harness.harness.world(|world| world.start_tablets(std::slice::from_ref(&lost)));
    cli_harness.harness.until("the nameserver hears of it", |world| is(world, &lost, "kHealthy")).await;
    // It has loaded nothing since, so nobody knows what its binlogs hold: a recovery looks first.
    cli_harness.refuses(&format!("tablet recover {lost}"), "it is unknown what its binlog holds");
    cli_harness.says(0, "recover --all");
    cli_harness.says(0, "status");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_is_removed_added_and_migrated() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, first) = cli_harness.leader_and_follower();
    let all = cli_harness.harness.world(|world| flags(world, orders(world, 0)));
    let second = all.iter().map(|flags| &flags.endpoint).find(|at| **at != leading && **at != first).unwrap().clone();
    let placed = || {
        cli_harness
            .harness
            .world(|world| flags(world, orders(world, 0)).iter().map(|f| f.endpoint.clone()).collect::<Vec<_>>())
    };

    cli_harness.refuses(&format!("replica remove shop.orders/0 {leading}"), "is flagged leader");
    cli_harness.refuses(&format!("replica add shop.orders/0 {first}"), "has a replica on");
    let said = cli_harness.says(0, &format!("replica remove shop.orders/0 {first}"));
    assert!(said.starts_with(&format!("{first} has no replica of shop.orders/0 any more\n")), "{said}");
    assert_eq!(placed().len(), all.len() - 1);
    cli_harness.refuses(&format!("replica remove shop.orders/0 {first}"), "has no replica on");
    cli_harness.is_mistyped("replica add shop.orders/0 a:1", "knows no tablet a:1");

    cli_harness.refuses(&format!("replica migrate shop.orders/0 {second} {first}"), "auto_failover is on");
    cli_harness.says(0, "failover set off");
    cli_harness.refuses(&format!("replica migrate shop.orders/0 {leading} {first}"), "is flagged leader");
    cli_harness.is_mistyped(&format!("replica migrate shop.orders/0 {second} a:1"), "knows no tablet a:1");
    let said = cli_harness.says(0, &format!("replica migrate shop.orders/0 {second} {first}"));
    assert!(said.starts_with(&format!("the replica of shop.orders/0 on {second} is on {first} now\n")), "{said}");
    assert!(!placed().contains(&second));

    let said = cli_harness.says(0, &format!("replica add shop.orders/0 {second}"));
    assert!(said.starts_with(&format!("{second} is alive and follows the leader of shop.orders/0\n")), "{said}");
    assert_eq!(placed().len(), all.len());
    cli_harness.says(0, "status");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_is_being_upgraded_is_given_no_leaders_and_no_replicas() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (at, other) = cli_harness.leader_and_follower();
    cli_harness.says(0, &format!("replica remove shop.orders/0 {other}"));
    cli_harness.says(0, &format!("upgrade pre {other}"));
    cli_harness.refuses(&format!("replica add shop.orders/0 {other}"), "no replicas are moved to");
    cli_harness.says(0, "failover set off");
    let all = cli_harness.harness.world(|world| flags(world, orders(world, 0)));
    let third = all.iter().map(|flags| &flags.endpoint).find(|third| **third != at).unwrap();
    cli_harness.refuses(&format!("replica migrate shop.orders/0 {third} {other}"), "no replicas are moved to");
    let one = cli_harness.harness.world(|world| orders(world, 1));
    let follows = cli_harness.harness.world(|world| flags(world, one).iter().any(|f| f.endpoint == other && !f.leader));
    assert!(follows, "others lead what it led");
    cli_harness.refuses(&format!("leader change shop.orders/1 --to {other}"), "no leaders are moved to");
    cli_harness.says(0, "failover set on");
    cli_harness.says(0, &format!("upgrade post {other}"));
    cli_harness.says(0, &format!("replica add shop.orders/0 {other}"));
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_runs_is_taken_out_of_service_and_brought_back() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (at, _) = cli_harness.leader_and_follower();
    cli_harness.says(0, "failover set off");
    cli_harness.refuses(
        &format!("tablet offline {at}"),
        "others become leaders at once, and writes no follower has received are lost",
    );
    let said = cli_harness.says(0, &format!("tablet offline {at} --allow-unavailable"));
    assert!(said.starts_with(&format!("{at} is offline: nothing on it is alive\n")), "{said}");
    let said = cli_harness.says(0, &format!("tablet recover {at}"));
    assert!(said.starts_with(&format!("everything on {at} is back\n")), "{said}");
    assert!(cli_harness.says(0, &format!("tablet recover {at}")).contains("already: nothing is sent"));
    cli_harness.says(0, "status");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_was_not_taken_out_of_service_is_not_recovered() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    let (leading, _) = cli_harness.leader_and_follower();
    cli_harness.says(0, "failover set off");
    cli_harness.refuses(&format!("tablet recover {leading}"), "skips what is alive");
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

/// The refusals that the other tests do not meet on their way.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_in_the_way_is_said_in_words() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, first) = cli_harness.leader_and_follower();
    let all = cli_harness.harness.world(|world| flags(world, orders(world, 0)));
    let second = all.iter().map(|flags| &flags.endpoint).find(|at| **at != leading && **at != first).unwrap().clone();
    let audit = cli_harness.harness.world(|world| {
        let table = world.tables().into_iter().find(|table| table.name() == "audit").unwrap();
        table.table_partition[0].partition_meta[0].endpoint.clone()
    });
    let elsewhere = all.iter().map(|flags| flags.endpoint.as_str()).find(|at| *at != audit).unwrap();
    cli_harness.says(0, "failover set off");
    cli_harness.refuses(&format!("leader change shop.audit/0 --to {elsewhere}"), "has a single replica");
    cli_harness.refuses(&format!("replica alive shop.audit {elsewhere} no"), "shop.audit has no partition on");
    cli_harness.says(0, &format!("replica alive shop.audit/0 {audit} no --allow-unavailable"));
    cli_harness.refuses(&format!("replica recover shop.audit/0 {audit}"), "is the only replica");

    cli_harness.says(0, &format!("replica alive shop.orders/0 {first} no"));
    cli_harness
        .refuses(&format!("leader change shop.orders/0 --to {first}"), "is not a live follower of shop.orders/0");
    cli_harness.refuses(&format!("replica migrate shop.orders/0 {first} {second}"), "has a replica on");
    cli_harness.says(0, &format!("replica alive shop.orders/0 {second} no"));
    cli_harness.refuses(&format!("leader change shop.orders/0 --to {first}"), "has no live follower");
    cli_harness.says(0, &format!("replica alive shop.orders/0 {leading} no --allow-unavailable"));
    cli_harness.refuses(&format!("replica recover shop.orders/0 {first}"), "has no live leader");
    cli_harness.refuses(&format!("replica alive shop.orders/0 {first} yes"), "it is unknown what");
    cli_harness.refuses(&format!("replica remove shop.orders/0 {first}"), "has no live leader");
    cli_harness.says(0, &format!("replica alive shop.orders/0 {leading} yes"));
    cli_harness.says(0, &format!("replica alive shop.orders/0 {first} yes"));
    cli_harness.says(0, &format!("leader change shop.orders/0 --to {first}"));
    cli_harness.refuses(&format!("replica alive shop.orders/0 {leading} yes"), "already leads shop.orders/0");

    cli_harness.harness.world(|world| world.kill_tablet(&second));
    cli_harness.refuses(&format!("replica alive shop.orders/0 {second} yes"), "does not answer");
    cli_harness.refuses(&format!("replica load shop.orders/0 {second}"), "does not answer");
    cli_harness.harness.until("the nameserver misses it", |world| is_offline(world, &second)).await;
    cli_harness.refuses(&format!("replica add shop.audit/0 {second}"), " offline");
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disk_table_is_not_loaded_by_itself() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    let at = cli_harness.harness.world(|world| {
        let table = world.tables().into_iter().find(|table| table.name() == "clicks").unwrap();
        table.table_partition[0].partition_meta[0].endpoint.clone()
    });
    cli_harness.refuses(&format!("replica load shop.clicks/0 {at}"), "loading it twice destroys it");
    let to = cli_harness.harness.world(|world| world.tablet_endpoints().to_vec());
    for to in to.iter().filter(|to| to.as_str() != at) {
        // Nobody leads: a handover has nobody to ask, and a dry run says so.
        let said = cli_harness.says(
            if has_clicks(&cli_harness, to) { 4 } else { 5 },
            &format!("leader handover shop.clicks/0 --to {to} --dry-run"),
        );
        assert!(said.contains("have it loaded") || said.contains("has no replica on"), "{said}");
    }
    cli_harness.ends().await;
}

/// Whether a tablet has a replica of `shop.clicks/0`.
fn has_clicks(cli_harness: &CliHarness, at: &openmldb_ops::model::Endpoint) -> bool {
    cli_harness.harness.world(|world| {
        let table = world.tables().into_iter().find(|table| table.name() == "clicks").unwrap();
        table.table_partition[0].partition_meta.iter().any(|meta| meta.endpoint == at.as_str())
    })
}

fn is_offline(world: &mut World, at: &openmldb_ops::model::Endpoint) -> bool {
    let Some(leading) = world.leader() else { return false };
    let call = NameserverCall::ShowTablet(ShowTabletRequest {});
    let Ok(NameserverAnswer::ShowTablet(answer)) = world.call_nameserver(&leading, call) else { return false };
    answer.tablets.iter().any(|tablet| tablet.endpoint() == at.as_str() && tablet.state() == "kOffline")
}

#[tokio::test(flavor = "multi_thread")]
async fn operations_are_shown_and_cancelled() {
    needs_zookeeper!();
    // What is cancelled must not have ended before.
    let cli_harness = CliHarness::held(Scenario::FollowersRecovering).await;
    cli_harness.says(0, "failover set off");
    cli_harness.refuses("op cancel 99999", "there is no operation 99999");
    let shown: Vec<Value> = cli_harness
        .says(0, "show ops --state queued --state doing --output json")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let last = shown.last().expect("followers are recovering")["id"].as_u64().unwrap();
    assert!(shown.is_sorted_by_key(|op| op["id"].as_u64()), "{shown:?}");
    let times = |op: &Value| ["start_time_ms", "end_time_ms"].map(|time| op[time].as_u64());
    let doing: Vec<&Value> = shown.iter().filter(|op| op["status"] == "doing").collect();
    // The day of the recordings, in milliseconds.
    assert!(
        !doing.is_empty() && doing.iter().all(|op| matches!(times(op), [Some(1_795_300_000_000..), None])),
        "{doing:?}"
    );
    assert!(shown.iter().all(|op| op["status"] == "doing" || times(op) == [None, None]), "{shown:?}");
    let text = cli_harness.says(0, "show ops --state doing");
    let head = ["op_id", "op_type", "name", "pid", "status", "start_time", "execute_time", "end_time", "cur_task"];
    assert_eq!(text.lines().next().unwrap().split_whitespace().take(9).collect::<Vec<_>>(), head, "{text}");
    assert!(text.lines().nth(1).unwrap().contains(" UTC"), "{text}");
    let said = cli_harness.says(0, &format!("op cancel {last}"));
    assert!(said.starts_with(&format!("operation {last} is ")), "{said}");
    cli_harness.refuses(&format!("op cancel {last}"), &format!("operation {last}"));
    let canceled = cli_harness.says(0, "show ops --state canceled");
    assert!(canceled.contains(&last.to_string()), "{canceled}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_shown_with_every_disagreement_of_nameserver_and_tablets() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    let lines = |said: String| said.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let all = lines(cli_harness.says(0, "show tables --output json"));
    let replicas = cli_harness
        .harness
        .world(|world| world.metadata().values().map(|metas| metas.partition_meta.len()).sum::<usize>());
    assert_eq!(all.len(), replicas);
    // The nameserver's word only: everything alive, nothing loaded.
    assert!(all.iter().all(|row| row["is_alive"] == true && row["state"] == "not_loaded"), "{all:?}");
    assert!(all.iter().all(|row| row["problems"][0] == "not loaded"), "{all:?}");
    let orders = lines(cli_harness.says(0, "show tables shop.orders --output json"));
    assert!(!orders.is_empty() && orders.iter().all(|row| row["table"] == "orders"), "{orders:?}");
    assert!(cli_harness.says(0, "show tables shop").contains("not loaded"));
    let text = cli_harness.says(0, "show tables shop.orders");
    let heads: Vec<Vec<&str>> = text.lines().take(2).map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(heads[0], ["nameserver", "says", "tablet", "says"]);
    let showtable =
        ["name", "tid", "pid", "endpoint", "role", "ttl", "is_alive", "compress_type", "offset", "record_cnt"];
    assert_eq!(
        heads[1],
        [&showtable[..], &["memused", "diskused", "held", "held_offset", "held_rows", "problem"]].concat()
    );
    let named = cli_harness.says(0, "show tables shop.orders --columns pid,held");
    assert_eq!(named.lines().nth(1).unwrap().split_whitespace().collect::<Vec<_>>(), ["pid", "held"]);
    assert!(
        cli_harness
            .says(2, "show tables --columns hold")
            .contains("there is no column `hold`; there are name, tid, pid")
    );
    let narrow = cli_harness.says(0, "show tables shop.orders -o narrow");
    assert!(!narrow.contains("memused") && narrow.contains("not loaded"), "{narrow}");
    assert!(cli_harness.says(2, "show tables shop.nothing").contains("there is no table `nothing`"));
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_are_shown_with_their_health() {
    needs_zookeeper!();
    let lines = |said: String| said.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let well = lines(cli_harness.says(0, "show tables shop --health --output json"));
    assert!(
        well.iter().all(|row| row["partitions_down"] == 0 && row["warnings"] == Value::Array(Vec::new())),
        "{well:?}"
    );
    let orders = well.iter().find(|row| row["table"] == "orders").unwrap();
    assert_eq!((&orders["rows"], &orders["replica_num"], &orders["partitions"]), (&400.into(), &3.into(), &4.into()));
    let like = lines(cli_harness.says(0, "show tables --health --like ord% --output json"));
    assert_eq!(like.iter().map(|row| &row["table"]).collect::<Vec<_>>(), ["orders"]);
    let (_, follower) = cli_harness.leader_and_follower();
    cli_harness.says(0, &format!("replica remove shop.orders/0 {follower}"));
    let text = cli_harness.says(0, "show tables shop.orders --health");
    assert!(text.contains("shop.orders/0: 2 replicas, made with 3"), "{text}");
    assert!(cli_harness.says(2, "show tables --like ord%").contains("--health"));
    insta::assert_snapshot!(cli_harness.transcript());
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_tablets_hold_is_shown_of_one_of_them_or_of_one_partition() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    let tablets = cli_harness.says(0, "show tablets");
    assert!(tablets.contains(leading.as_str()) && tablets.contains(follower.as_str()), "{tablets}");
    let lines = |said: String| said.lines().map(|line| serde_json::from_str(line).unwrap()).collect::<Vec<Value>>();
    assert!(tablets.contains("\nSpread over 3 tablets: "), "{tablets}");
    let listed = lines(cli_harness.says(0, "show tablets --output json"));
    let sum = |of: &str| listed.iter().map(|tablet| tablet[of].as_u64().unwrap()).sum::<u64>();
    let (partitions, in_memory) = cli_harness.harness.world(|world| {
        let metas = world.metadata().values().flat_map(|found| found.partition_meta.clone()).collect::<Vec<_>>();
        (world.metadata().len() as u64, metas.iter().map(|meta| meta.record_byte_size()).sum::<u64>())
    });
    assert_eq!((sum("leaders"), sum("memory_bytes")), (partitions, in_memory));
    assert!(in_memory > 0 && listed.iter().all(|tablet| tablet["age_ms"].is_u64()), "{listed:?}");
    let of_partition = lines(cli_harness.says(0, "replica status shop.orders/0 --output json"));
    let replicas = cli_harness.harness.world(|world| flags(world, orders(world, 0)).len());
    assert_eq!(of_partition.len(), replicas);
    let at_leader = lines(cli_harness.says(0, &format!("replica status {leading} shop.orders/0 --output json")));
    assert_eq!(at_leader.iter().map(|line| &line["role"]).collect::<Vec<_>>(), ["leader"]);
    assert!(cli_harness.says(2, "replica status a:1").contains("there is no tablet a:1"));
    cli_harness.ends().await;
}

/// What the document says of these lines is what they are.
#[tokio::test(flavor = "multi_thread")]
async fn the_document_shows_the_lines_as_they_are() {
    needs_zookeeper!();
    let document = include_str!("../../docs/output.md");
    let shown = |event: &str| {
        let line = document.lines().find(|line| line.starts_with(&format!("{{\"event\":\"{event}\","))).expect(event);
        serde_json::from_str::<Value>(line).unwrap()
    };
    let fields = |line: &Value| line.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let cli_harness = CliHarness::with(Scenario::FollowersRecovering).await;
    for (event, command) in [
        ("auto_failover", "failover get --output json"),
        ("tablet", "show tablets --output json"),
        ("table", "show tables --output json"),
        ("table_health", "show tables --health --output json"),
        ("op", "show ops --output json"),
        ("replica", "replica status --output json"),
        ("partition_metadata", "partition show shop.orders/0 --output json"),
        ("step", "failover set on --dry-run --output json"),
    ] {
        let said = cli_harness.says(0, command);
        let line: Value = serde_json::from_str(said.lines().next().expect(event)).unwrap();
        assert_eq!(fields(&line), fields(&shown(event)), "{event}");
    }
    cli_harness.ends().await;
}
