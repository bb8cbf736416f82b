//! `--output json`: JSON Lines, the summary last.

use std::collections::BTreeSet;

use openmldb_ops::playbook::alternatives;
use serde_json::{Value, json};

use crate::support::process::{Home, Ran};

fn run(arguments: &[&str]) -> Ran {
    Home::new().run(&[arguments, &["--output", "json"]].concat())
}

fn keys(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("{value}")).keys().map(String::as_str).collect()
}

fn set<const N: usize>(keys: [&'static str; N]) -> BTreeSet<&'static str> {
    keys.into()
}

/// That it has exactly the fields that are promised, and that the counts add up.
fn check_summary(ran: &Ran) -> Value {
    let summary = ran.summary();
    let top = [
        "event",
        "verdict",
        "playbook",
        "auto_failover",
        "partitions",
        "replicas",
        "given_up",
        "accepted",
        "serving_after_ms",
    ];
    let rest = ["redundant_after_ms", "rpc", "blocked", "verification"];
    let service = summary.get("service").map(|service| check_service(service, &summary));
    let fields: BTreeSet<&str> = top.into_iter().chain(rest).chain(service).collect();
    assert_eq!(keys(&summary), fields);
    let counts = ["total", "healthy_before", "recovered", "blocked", "failed"];
    assert_eq!(keys(&summary["partitions"]), set(counts));
    assert_eq!(keys(&summary["auto_failover"]), set(["before", "after", "held_for"]));
    assert_eq!(keys(&summary["replicas"]), set(["total"]));
    assert_eq!(keys(&summary["rpc"]), set(["reads", "mutations"]));
    for blocked in summary["blocked"].as_array().unwrap() {
        assert_eq!(keys(blocked), set(["db", "table", "pid", "reason", "text", "hint"]));
    }
    for given_up in summary["given_up"].as_array().unwrap() {
        let promised = set(["db", "table", "pid", "endpoint", "entries", "term"]);
        assert!(keys(given_up).is_superset(&promised), "{given_up}");
    }
    if !summary["verification"].is_null() {
        check_verification(&summary);
    }
    let [total, parts @ ..] = counts.map(|count| summary["partitions"][count].as_u64().unwrap());
    assert_eq!(total, parts.iter().sum::<u64>(), "{summary}");
    let verdicts = ["recovered", "healthy", "partial", "refused", "interrupted", "failed"];
    assert!(verdicts.contains(&summary["verdict"].as_str().unwrap()), "{summary}");
    assert_eq!(ran.events().iter().filter(|event| event["event"] == "summary").count(), 1);
    summary
}

/// That it answers for all partitions, and says whole only of what the verdict calls so.
fn check_service(service: &Value, summary: &Value) -> &'static str {
    assert_eq!(keys(service), set(["partitions", "serving", "lacking", "lacking_on"]));
    let [partitions, serving, lacking] =
        ["partitions", "serving", "lacking"].map(|count| service[count].as_u64().unwrap());
    assert_eq!(Some(partitions), summary["partitions"]["total"].as_u64());
    assert!(serving <= partitions && lacking <= serving, "{summary}");
    let is_whole = serving == partitions && lacking == 0;
    assert!(is_whole || !matches!(summary["verdict"].as_str(), Some("recovered" | "healthy")), "{summary}");
    "service"
}

/// What two looks found fits what was done.
fn check_verification(summary: &Value) {
    let verification = &summary["verification"];
    assert_eq!(keys(verification), set(["verdict", "findings"]));
    for finding in verification["findings"].as_array().unwrap() {
        assert_eq!(keys(finding), set(["kind", "table", "pid", "endpoint", "text", "hint"]));
    }
    let all_is_well = matches!(summary["verdict"].as_str(), Some("recovered" | "healthy"));
    assert_eq!(verification["verdict"] == "complete", all_is_well, "{summary}");
}

/// The line before the summary, with exactly the fields that are promised and the scale of its clock.
fn check_sandbox(ran: &Ran, scenario: &str) -> Value {
    let events = ran.events();
    let line = events[events.len() - 2].clone();
    assert_eq!(line["event"], "sandbox", "{}", ran.stdout);
    assert_eq!(line["scenario"], scenario);
    let counts = ["event", "scenario", "time_scale", "rows_expected", "rows_after"];
    let all: BTreeSet<&str> =
        counts.into_iter().chain(["partitions_with_two_alive_leaders", "healthy_partitions_touched"]).collect();
    assert_eq!(keys(&line), all);
    assert_eq!(line["partitions_with_two_alive_leaders"], 0);
    assert_eq!(line["healthy_partitions_touched"], 0);
    line
}

fn kinds(ran: &Ran) -> BTreeSet<String> {
    ran.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()).collect()
}

#[test]
fn recover() {
    let ran = run(&["recover", "--all", "--sandbox"]).expect(0);
    let summary = check_summary(&ran);
    assert_eq!(summary["verdict"], "recovered");
    assert_eq!(summary["playbook"], "recover");
    assert_eq!(summary["auto_failover"], json!({"before": true, "after": true, "held_for": []}));
    assert_eq!(
        summary["partitions"],
        json!({"total": 12, "healthy_before": 0, "recovered": 12, "blocked": 0, "failed": 0})
    );
    assert_eq!(summary["replicas"], json!({"total": 22}));
    assert!(summary["rpc"]["mutations"].as_u64().unwrap() > 0);
    let (serving, redundant) = (&summary["serving_after_ms"], &summary["redundant_after_ms"]);
    assert!(serving.as_u64().unwrap() <= redundant.as_u64().unwrap(), "{summary}");
    let rows = check_sandbox(&ran, "everything-restarted");
    assert_eq!((&rows["rows_expected"], &rows["rows_after"]), (&json!(1005), &json!(1005)));
    let expected = [
        "observed",
        "recorded",
        "expected",
        "progress",
        "note",
        "status",
        "action",
        "leader_chosen",
        "partition",
        "sandbox",
        "summary",
    ];
    assert!(
        kinds(&ran).is_subset(&expected.into_iter().chain(["action_failed", "waiting"]).map(str::to_owned).collect())
    );
}

#[test]
fn a_partition_that_serves_without_a_replica_is_blocked() {
    let ran = run(&["recover", "--all", "--sandbox", "tablet-missing", "--wait-for-tablets", "0"]).expect(4);
    let summary = check_summary(&ran);
    assert_eq!(summary["verdict"], "partial");
    let seen = &summary["auto_failover"];
    assert_eq!((&seen["before"], &seen["after"]), (&json!(true), &json!(false)), "nobody has looked at what it holds");
    let held = seen["held_for"].as_array().unwrap();
    assert!(!held.is_empty() && held.iter().all(|held| held["why"] == "unseen"), "{seen}");
    assert_eq!(summary["blocked"].as_array().unwrap().len() as u64, summary["partitions"]["blocked"].as_u64().unwrap());
    assert!(summary["blocked"].as_array().unwrap().iter().all(|blocked| blocked["reason"] == "not_redundant"));
    check_sandbox(&ran, "tablet-missing");
}

/// The sandbox's clock runs twenty times faster.
#[test]
fn for_whom_a_run_stays_open_is_said_and_for_how_long() {
    let ran = run(&["recover", "--all", "--sandbox", "tablet-missing", "--wait-for-tablets", "40s"]).expect(4);
    let events = ran.events();
    let waiting: Vec<&Value> = events.iter().filter(|event| event["what"] == "tablet").collect();
    let first = waiting.first().unwrap();
    assert_eq!((&first["event"], &first["at_most_ms"]), (&json!("waiting"), &json!(40_000)), "{first}");
    assert_eq!(first["endpoints"].as_array().unwrap().len(), 1, "{first}");
    assert!(first["partitions"].as_u64().unwrap() > 0 && first["for_ms"].as_u64().unwrap() < 30_000, "{first}");
    assert_eq!(check_summary(&ran)["verdict"], "partial");
    let unread = run(&["recover", "--all", "--sandbox", "--wait-for-tablets", "soon"]).expect(2);
    assert!(unread.stderr.contains("a time is 0, or a whole number and a unit"), "{}", unread.stderr);
}

#[test]
fn what_is_given_up_is_listed() {
    let ran = run(&["recover", "--all", "--sandbox", "dead-old-leader-longer"]).expect(0);
    let summary = check_summary(&ran);
    assert_eq!(summary["verdict"], "recovered");
    assert!(!summary["given_up"].as_array().unwrap().is_empty());
    check_sandbox(&ran, "dead-old-leader-longer");
}

#[test]
fn nothing_to_do() {
    let ran = run(&["recover", "--all", "--sandbox", "healthy"]).expect(0);
    let summary = check_summary(&ran);
    assert_eq!(summary["verdict"], "healthy");
    assert_eq!(summary["rpc"]["mutations"], 0);
    assert_eq!((&summary["serving_after_ms"], &summary["redundant_after_ms"]), (&Value::Null, &Value::Null));
    check_sandbox(&ran, "healthy");
}

#[test]
fn dry_run() {
    let ran = run(&["recover", "--all", "--dry-run", "--sandbox"]).expect(0);
    let summary = check_summary(&ran);
    assert_eq!(summary["rpc"]["mutations"], 0);
    assert_eq!(summary["playbook"], "recover");
    assert_eq!(
        summary["partitions"],
        json!({"total": 12, "healthy_before": 0, "recovered": 0, "blocked": 0, "failed": 12})
    );
    check_sandbox(&ran, "everything-restarted");
    assert_eq!(ran.events().iter().filter(|event| event["event"] == "partition_plan").count(), 12);
    assert_eq!(ran.events().iter().filter(|event| event["event"] == "plan").count(), 1);
    let blocked = run(&["recover", "--all", "--dry-run", "--sandbox", "tablet-missing"]).expect(4);
    assert!(check_summary(&blocked)["partitions"]["blocked"].as_u64().unwrap() > 0);
}

#[test]
fn status() {
    let unhealthy = run(&["status", "--sandbox"]).expect(3);
    let summary = check_summary(&unhealthy);
    assert_eq!((&summary["playbook"], &summary["rpc"]["mutations"]), (&Value::Null, &json!(0)));
    check_sandbox(&unhealthy, "everything-restarted");
    assert_eq!(kinds(&unhealthy), ["diagnosis", "status", "sandbox", "summary"].map(str::to_owned).into());

    let healthy = run(&["status", "--sandbox", "healthy", "--partition", "shop.orders/1"]).expect(0);
    let summary = check_summary(&healthy);
    assert_eq!((&summary["verdict"], &summary["partitions"]["total"]), (&json!("healthy"), &json!(1)));
}

#[test]
fn snapshot() {
    let home = Home::new();
    let whole = run(&["snapshot", "--sandbox"]).expect(0);
    assert_eq!(check_summary(&whole)["rpc"]["mutations"], 0);
    assert_eq!(kinds(&whole), ["snapshot", "sandbox", "summary"].map(str::to_owned).into());
    assert_eq!(whole.events()[0]["snapshot"]["tables"].as_array().unwrap().len(), 8);

    let saved = home.run(&["snapshot", "--sandbox", "-o", "seen.json", "--output", "json"]).expect(0);
    check_summary(&saved);
    assert_eq!(saved.events()[0]["path"], "seen.json");
    assert_eq!(saved.events()[0]["snapshot"], Value::Null);
    let document: Value = serde_json::from_str(&home.read("seen.json")).unwrap();
    assert_eq!(document["openmldb_ops_snapshot"], 1);
}

/// Once a cluster or a file was read a summary is the last line, whatever came of it.
#[test]
fn failures() {
    let read = run(&["recover", "--table", "shop.nope", "--sandbox"]).expect(2);
    assert_eq!(check_summary(&read)["verdict"], "failed");
    let events = read.events();
    let error = &events[events.len() - 2];
    assert_eq!(error["event"], "error");
    assert_eq!(error["message"], "there is no table `nope` in database `shop`; it has audit, clicks, orders");
    assert_eq!(check_summary(&run(&["status", "--db", "nope", "--sandbox"]).expect(2))["verdict"], "failed");

    let unread = run(&["recover", "--sandbox"]).expect(2);
    assert_eq!(kinds(&unread), ["error".to_owned()].into());
    assert_eq!(unread.stderr.lines().next(), Some("error: no scope given"));
}

#[test]
fn lists() {
    for (arguments, lines) in
        [(&["playbook", "list"][..], 4), (&["playbook", "show"], 1), (&["playbook", "check", "fast"], 1)]
    {
        assert_eq!(run(arguments).expect(0).events().len(), lines, "{arguments:?}");
    }
    assert_eq!(run(&["sandbox", "list"]).expect(0).events().len(), 39);
}

/// One summary a playbook, each with the fields of any summary and those of a rehearsal.
#[test]
fn rehearse_says_how_close_to_the_limit_each_playbook_comes() {
    let ran = run(&["rehearse", "--generate", "tablets=3,tables=4,partitions=5"]).expect(0);
    let summaries = ran.events();
    let playbooks: Vec<&str> = summaries.iter().map(|line| line["playbook"].as_str().unwrap()).collect();
    assert_eq!(playbooks, alternatives().collect::<Vec<_>>());
    for summary in summaries {
        assert_eq!((&summary["event"], &summary["verdict"]), (&json!("summary"), &json!("recovered")));
        for (reached, limit) in [("serving", "serving_ms"), ("redundant", "redundant_ms")] {
            let took = summary["timeline"][reached]["all_ms"].as_f64().unwrap();
            let limit = summary["limits"][limit].as_f64().unwrap();
            assert_eq!(summary["timeline"][reached]["partitions"], 20);
            let ratio = summary["ratio_to_limit"][reached].as_f64().unwrap();
            assert!((ratio - took / limit).abs() < 1e-9, "{ratio} is not {took} / {limit}");
        }
        assert_eq!(summary["rows"]["rows_after"], 20_000);
        assert_eq!(keys(&summary["limits"]), set(["serving_ms", "redundant_ms", "lanes_ms", "busiest"]));
        let basis = ["cluster", "tablets", "replicas", "scale", "guessed", "missing"];
        assert_eq!(keys(&summary["rehearsed"]), set(basis));
    }
}
