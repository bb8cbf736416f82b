//! `status` names the case that a cluster is in, what OpenMLDB promises for it, and what to type next.

use std::collections::BTreeMap;

use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use serde_json::Value;

use crate::support::cli_harness::CliHarness;
use crate::support::harness::Harness;
use crate::support::process::Home;
use crate::support::zookeeper::needs_zookeeper;

/// The cases named on stdout, each with what is to be typed next.
fn cases(stdout: &str) -> BTreeMap<String, Vec<String>> {
    let lines = stdout.lines().filter(|line| line.starts_with('{'));
    let lines = lines.map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines
        .filter(|line| line["event"] == "diagnosis")
        .map(|line| {
            assert!(!line["seen"].as_str().unwrap().is_empty() && !line["promise"].as_str().unwrap().is_empty());
            let next: Vec<String> =
                line["next"].as_array().unwrap().iter().map(|next| next.as_str().unwrap().to_owned()).collect();
            assert!(!next.is_empty(), "{line}");
            (line["case"].as_str().unwrap().to_owned(), next)
        })
        .collect()
}

/// What a scenario has to be taken for; what the nameserver does meanwhile decides between several.
fn expected(scenario: Scenario) -> &'static [&'static [&'static str]] {
    use Scenario::*;
    match scenario {
        Healthy | Recovered | TabletsAdded | ClientsWriting => &[&[]],
        EverythingRestarted | ServerNames | LeaderLostDisk | LeaderLostDirectory | LongerFollower | HollowLeader
        | DeadOldLeaderLonger | DivergedTail | DiskTables | PreAggregate | LeaderAndWriters | TwoLeaderFlags
        | TabletMissing | PowerCut | EmptiedDisks | DeletedRows | ExpiredRows | DiskOverwrites | AggregateApart => {
            &[&["everything_restarted"]]
        }
        LeadersLoaded | FollowersRecovering => &[&["failover_off", "partition_lost"]],
        TabletsRestartedFailoverOn => {
            &[&["everything_restarted"], &["partition_lost", "tablet_restarted"], &["partition_lost"]]
        }
        TabletsRestartedFailoverOff => &[&["everything_restarted", "failover_off"]],
        NodeLost => &[&["failover_off", "tablet_lost"]],
        NodeBack => &[&["failover_off", "partition_lost", "tablet_restarted"]],
    }
}

// One after the other: a tablet that is too busy to answer is one that does not answer.
#[tokio::test(flavor = "multi_thread")]
async fn every_scenario_has_its_cases() {
    for scenario in Scenario::ALL {
        let harness = Harness::start(*scenario).await;
        let (home, address) = (Home::new(), harness.sandbox().nameserver_address().unwrap().to_string());
        let ran = home.run(&["status", "--output", "json", "--nameserver", &address]);
        let found = cases(&ran.stdout);
        let found: Vec<&str> = found.keys().map(String::as_str).collect();
        assert!(expected(*scenario).contains(&&found[..]), "{scenario}: {found:?}");
        assert_eq!(ran.code(), if scenario.is_well() { 0 } else { 3 }, "{scenario}");
        harness.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn both_replicas_of_a_partition_are_lost() {
    needs_zookeeper!();
    let generated = Generated { tables: 1, partitions: 4, replicas: 2, rows: 10 };
    let shape = Shape { tablets: 4, generated: Some(generated), ..Shape::default() };
    let cli_harness = CliHarness::shaped(Scenario::Healthy, shape).await;
    let tablets = cli_harness.harness.world(|world| world.tablet_endpoints().to_vec());
    for at in &tablets[..2] {
        cli_harness.harness.world(|world| world.kill_tablet(at));
    }
    let found = cases(&cli_harness.says(3, "status --output json"));
    assert!(found.contains_key("partition_lost") && found.contains_key("tablet_lost"), "{found:?}");
    let text = cli_harness.says(3, "status");
    assert!(text.contains("case: 2 of 4 tablets do not answer") && text.contains("  next: start "), "{text}");
    assert!(text.contains("is not promised"), "{text}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_nameserver_leads() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    cli_harness.harness.world(|world| {
        let all = world.nameserver_endpoints().to_vec();
        all.iter().for_each(|nameserver| world.kill_nameserver(nameserver));
    });
    let said = cli_harness.says(1, "status --leader-wait 1 --output json");
    let found = cases(&said);
    assert_eq!(found.keys().collect::<Vec<_>>(), ["nameservers_gone"]);
    let text = cli_harness.says(1, "status --leader-wait 1");
    assert!(text.contains("expect: clients that know the leaders keep"), "{text}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_at_work_or_was_left_unfinished() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    cli_harness.harness.hold_at(&["RecoverTable"], 1);
    let mut run = cli_harness.begins("recover --all");
    run.wait_for_progress(|line| line.contains(": serving after "));
    assert!(cli_harness.says(6, "scale out").contains("another run is working on"));
    let found = cases(&cli_harness.says(3, "status --output json"));
    assert!(found.contains_key("run_at_work") && !found.contains_key("failover_off"), "{found:?}");
    run.signal("KILL");
    assert!(!run.ended_by_itself());
    // Its session in ZooKeeper has to end before it is known to be dead.
    let next = loop {
        let found = cases(&cli_harness.says(3, "status --output json"));
        if let Some(next) = found.get("run_unfinished") {
            assert!(!found.contains_key("failover_off"), "{found:?}");
            break next.clone();
        }
        assert!(found.contains_key("run_at_work"), "{found:?}");
    };
    assert!(next.iter().any(|next| next.starts_with("openmldb-ops failover restore")), "{next:?}");
    cli_harness.harness.release();
    cli_harness.says(0, "recover --all");
    assert_eq!(cases(&cli_harness.says(0, "status --output json")), BTreeMap::new());
    cli_harness.ends().await;
}
