//! Single steps on operations, snapshots and several partitions, and what `partition show` says.

use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::wire::api::{GetManifestRequest, GetTableStatusRequest};
use openmldb_ops::wire::call::{TabletAnswer, TabletCall};
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::outside::{flags, orders};
use crate::support::zookeeper::needs_zookeeper;

/// Whatever has ended is forgotten, with what ZooKeeper keeps of it; what is under way is not.
#[tokio::test(flavor = "multi_thread")]
async fn operations_that_have_ended_are_deleted() {
    needs_zookeeper!();
    let cli_harness = CliHarness::held(Scenario::FollowersRecovering).await;
    let ids = |state: &str| -> Vec<u64> {
        let said = cli_harness.says(0, &format!("show ops --state {state} --output json"));
        said.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["id"].as_u64().unwrap()).collect()
    };
    let doing = *ids("doing").last().expect("followers are recovering");
    cli_harness.refuses(&format!("op delete {doing}"), "it would be forgotten half way");
    cli_harness.refuses("op delete 99999", "there is no operation 99999");
    assert!(cli_harness.says(2, "op delete doing").contains("neither a number nor how it ended"));
    cli_harness.says(0, "failover set off");
    cli_harness.says(0, &format!("op cancel {doing}"));
    // It needs nothing off.
    cli_harness.says(0, "failover set on");
    let said = cli_harness.says(0, &format!("op delete {doing} --dry-run"));
    assert_eq!(said, format!("would send: deleteop {doing}\n"));
    assert_eq!(cli_harness.says(0, &format!("op delete {doing}")), format!("operation {doing} is deleted\n"));
    cli_harness.refuses(&format!("op delete {doing}"), "any more");
    assert!(cli_harness.node(&format!("op/op_data/{doing}")).await.is_none());
    let ended = ids("done").len();
    let said = cli_harness.says(0, "op delete done");
    assert!(ended > 1 && said.contains(&format!("{ended} operations are deleted")), "{said}");
    assert_eq!(cli_harness.says(0, "op delete done"), "all of them are deleted already: nothing is sent\n");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replica_writes_a_snapshot_of_all_that_it_holds() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    let folded = |at: &Endpoint| {
        cli_harness.harness.world(|world| {
            let id = orders(world, 0);
            let request = GetManifestRequest { tid: Some(id.tid.0), pid: Some(id.pid.0), storage_mode: None };
            let Ok(TabletAnswer::GetManifest(answer)) = world.call_tablet(at, TabletCall::GetManifest(request)) else {
                panic!("{at} answers")
            };
            answer.manifest.map_or(0, |manifest| manifest.offset())
        })
    };
    let before = [folded(&leading), folded(&follower)];
    let end = cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        let request = GetTableStatusRequest { tid: Some(id.tid.0), pid: Some(id.pid.0), need_schema: None };
        let Ok(TabletAnswer::GetTableStatus(answer)) =
            world.call_tablet(&follower, TabletCall::GetTableStatus(request))
        else {
            panic!("{follower} answers")
        };
        answer.all_table_status[0].offset()
    });
    assert!(end > before[1], "there is something to write down");
    cli_harness.for_a_minute().await;
    // auto_failover is on: a tablet does not care.
    let said = cli_harness.says(0, &format!("replica snapshot shop.orders/0 {follower} --dry-run"));
    assert!(said.starts_with("would send: makesnapshot "), "{said}");
    assert_eq!([folded(&leading), folded(&follower)], before, "nothing was sent");
    let said = cli_harness.says(0, &format!("replica snapshot shop.orders/0 {follower}"));
    assert!(said.starts_with(&format!("{follower} has a snapshot of shop.orders/0 up to offset {end}, ")), "{said}");
    assert_eq!([folded(&leading), folded(&follower)], [before[0], end], "that one, and no other");
    let said = cli_harness.says(0, &format!("replica snapshot shop.orders/0 {follower}"));
    assert!(said.contains("already: nothing is sent"), "{said}");
    let last: Value = serde_json::from_str(
        cli_harness.says(0, &format!("replica snapshot shop.orders/0 {leading} --output json")).lines().next().unwrap(),
    )
    .unwrap();
    assert_eq!((&last["step"], &last["outcome"]), (&"replica_snapshot".into(), &"reached".into()));

    let clicks = cli_harness.harness.world(|world| {
        let table = world.tables().into_iter().find(|table| table.name() == "clicks").unwrap();
        table.table_partition[0].partition_meta[0].endpoint.clone()
    });
    cli_harness.refuses(&format!("replica snapshot shop.clicks/0 {clicks}"), "is a disk table");
    cli_harness.is_mistyped("replica snapshot shop.orders/0 a:1", "has no replica on a:1");
    cli_harness.says(0, "failover set off");
    cli_harness.says(0, &format!("replica alive shop.orders/0 {leading} no --allow-unavailable"));
    cli_harness
        .refuses(&format!("replica snapshot shop.orders/0 {follower}"), "what its replicas' logs show is still needed");
    cli_harness.ends().await;
}

/// Each in the order in which it is named. The first that is refused is the last, and the others are named.
#[tokio::test(flavor = "multi_thread")]
async fn a_step_is_taken_on_several_partitions_until_one_is_refused() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (_, follower) = cli_harness.leader_and_follower();
    let pids: Vec<u32> = cli_harness.harness.world(|world| {
        let follows = |pid: &u32| {
            flags(world, orders(world, *pid)).iter().any(|flags| flags.endpoint == follower && !flags.leader)
        };
        (0..4).filter(follows).collect()
    });
    assert!(pids.len() > 1, "{follower} follows in {pids:?}");
    let named = pids.iter().rev().map(u32::to_string).collect::<Vec<_>>().join(",");
    cli_harness.says(0, "failover set off");
    let said = cli_harness.says(0, &format!("replica alive shop.orders/{named} {follower} no"));
    assert_eq!(said, format!("{follower} is not alive in 1 partition\n").repeat(pids.len()));
    let not_alive = |cli_harness: &CliHarness| {
        cli_harness.harness.world(|world| {
            let is_marked = |pid: &u32| {
                flags(world, orders(world, *pid)).iter().any(|flags| flags.endpoint == follower && !flags.alive)
            };
            (0..4).filter(is_marked).collect::<Vec<u32>>()
        })
    };
    assert_eq!(not_alive(&cli_harness), pids);
    // It has no partition 99.
    let (first, last) = (pids[0], pids[1]);
    let said = cli_harness.says(2, &format!("replica alive shop.orders/{first},99,{last} {follower} yes"));
    assert!(said.contains(&format!("{follower} is alive in 1 partition\n")), "{said}");
    assert!(said.contains(&format!("not begun: `replica alive shop.orders/{last} {follower} yes`")), "{said}");
    assert_eq!(not_alive(&cli_harness), pids[1..], "what was not begun was not sent");
    cli_harness.ends().await;
}

/// Whatever else is in the way: nobody switches auto_failover off, say, only to learn then that there is no such tablet.
#[tokio::test(flavor = "multi_thread")]
async fn a_tablet_that_was_mistyped_is_said_first_and_with_the_one_that_was_meant() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, follower) = cli_harness.leader_and_follower();
    // A digit too many.
    let mistyped = format!("{follower}7");
    let commands = [
        format!("leader change shop.orders/0 --to {mistyped}"),
        format!("leader handover shop.orders/0 --to {mistyped}"),
        format!("replica add shop.orders/0 {mistyped}"),
        format!("replica aggregate shop.orders/0 {mistyped}"),
        format!("replica alive shop.orders {mistyped} no"),
        format!("replica alive shop.orders/0 {mistyped} yes"),
        format!("replica disconnect shop.orders/0 {mistyped}"),
        format!("replica load shop.orders/0 {mistyped}"),
        format!("replica migrate shop.orders/0 {mistyped} {leading}"),
        format!("replica migrate shop.orders/0 {follower} {mistyped}"),
        format!("replica recover shop.orders/0 {mistyped}"),
        format!("replica remove shop.orders/0 {mistyped}"),
        format!("replica snapshot shop.orders/0 {mistyped}"),
        format!("scale in {mistyped}"),
        format!("tablet offline {mistyped}"),
        format!("tablet recover {mistyped}"),
        format!("tablet replace {mistyped}"),
        format!("tablet replace {leading} --with {mistyped}"),
        format!("upgrade pre {mistyped}"),
        format!("upgrade post {mistyped}"),
    ];
    for command in commands {
        cli_harness.is_mistyped(&command, &mistyped);
        let said = cli_harness.says(2, &command);
        assert!(said.contains("did you mean 127.0.0.1:"), "{command}: {said}");
    }
    for command in ["recover --all --without", "recover --partition shop.orders/0 --leader", "replica status"] {
        let said = cli_harness.says(2, &format!("{command} {mistyped}"));
        assert!(said.contains(&mistyped) && said.contains("did you mean 127.0.0.1:"), "{command}: {said}");
    }
    let said = cli_harness.says(2, &format!("replica diff shop.orders/0 {leading} {mistyped}"));
    assert!(said.contains("did you mean 127.0.0.1:"), "{said}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn metadata_of_partitions_are_shown() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let (leading, _) = cli_harness.leader_and_follower();
    let sent = cli_harness.harness.world(|world| world.trace().mutations());
    let text = cli_harness.says(0, "partition show shop.orders/0");
    assert!(text.starts_with("shop.orders/0 (tid "), "{text}");
    assert!(text.contains(&format!("  {leading}: leader, alive")) && text.contains("  term 1 begins at"), "{text}");
    let said = cli_harness.says(0, "partition show shop.orders/0-1 --output json");
    let lines: Vec<Value> = said.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.iter().map(|line| &line["pid"]).collect::<Vec<_>>(), [0, 1]);
    assert!(cli_harness.says(2, "partition show shop.orders/99").contains("has no partition 99"));
    assert_eq!(cli_harness.harness.world(|world| world.trace().mutations()), sent);
    cli_harness.ends().await;
}
