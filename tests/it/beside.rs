//! Somebody else at work on the cluster, without the lock, as whoever runs the program sees it.

use serde_json::{Value, json};

use crate::support::process::{Home, Ran};

fn recover(fault: &str) -> Ran {
    let home = Home::new();
    home.run(&["recover", "--all", "--sandbox", "--time-scale", "50", "--output", "json", "--fault", fault])
}

#[test]
fn auto_failover_that_somebody_switches_on_is_switched_off_again_and_given_back() {
    let ran = recover("RecoverTable:1=operator-failover-on").expect(0);
    assert!(ran.stderr.contains("someone else switched auto_failover on"), "{}", ran.stderr);
    assert!(ran.stderr.contains("start-all.sh"), "{}", ran.stderr);
    let summary = ran.summary();
    assert_eq!(summary["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
    assert_eq!(summary["blocked"], json!([]));
}

/// The script that `sbin/start-all.sh` runs, at once with a recovery: no row is lost, and another run finishes what it was in the way of.
#[test]
fn a_second_recovery_as_start_all_runs_it_costs_no_row() {
    let home = Home::new();
    let mut sandbox = home.start(&[
        "sandbox",
        "serve",
        "--output",
        "json",
        "--time-scale",
        "50",
        "--tables",
        "2",
        "--partitions",
        "2",
        "--replicas",
        "3",
        "--rows-per-partition",
        "30",
        "--fault",
        "mutation:1=operator-recoverdata",
    ]);
    let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|_| true)).unwrap();
    let nameserver = ready["nameserver"].as_str().unwrap();
    let recover = || home.run(&["recover", "--all", "--output", "json", "--nameserver", nameserver]);
    let first = recover();
    let summary = first.summary();
    for blocked in summary["blocked"].as_array().unwrap() {
        assert_ne!(blocked["hint"], "", "{summary}");
    }
    // The other one goes on for a while, and may undo what was done.
    let whole = (0..20).any(|_| {
        let status = home.run(&["status", "--deep", "--output", "json", "--nameserver", nameserver]);
        let partitions = &status.summary()["partitions"];
        let is_whole = partitions["total"] == partitions["healthy_before"];
        if !is_whole {
            recover();
        }
        is_whole
    });
    assert!(whole, "{}", home.run(&["status", "--nameserver", nameserver]).stdout);
    sandbox.signal("TERM");
    let ended = sandbox.end();
    let rows = ended.stdout.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    if let Some(rows) = rows.into_iter().find(|line| line["event"] == "sandbox") {
        assert_eq!(rows["rows_after"], rows["rows_expected"], "{rows}");
    }
}

#[test]
fn an_undertaking_is_not_given_up_because_auto_failover_was_switched_on() {
    let home = Home::new();
    let sandbox = ["--sandbox", "tablets-added", "--time-scale", "50", "--output", "json"];
    let fault = ["--fault", "ChangeLeader:1=operator-failover-on"];
    let ran = home.run(&[&["scale", "out"][..], &sandbox, &fault].concat()).expect(0);
    assert!(ran.stderr.contains("someone else switched auto_failover on"), "{}", ran.stderr);
}
