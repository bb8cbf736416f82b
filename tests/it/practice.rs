//! A sandbox that is served takes orders, and the tour ends as it says.

use serde_json::Value;

use crate::support::process::{Home, Running};

/// A served sandbox, and where its nameserver is.
fn served(home: &Home) -> (Running, String) {
    let mut sandbox = home.start(&["sandbox", "serve", "--output", "json"]);
    let ready: Value = serde_json::from_str(&sandbox.wait_for_line(|line| line.contains("\"ready\""))).unwrap();
    assert!(ready["orders"].is_string(), "{ready}");
    (sandbox, ready["nameserver"].as_str().unwrap().to_owned())
}

/// What is typed, with its exit code and its first event.
fn told(home: &Home, words: &str, code: i32) -> Value {
    let words: Vec<&str> = words.split(' ').chain(["--output", "json"]).collect();
    home.run(&words).expect(code).events().remove(0)
}

fn states(event: &Value) -> Vec<(&str, &str)> {
    let servers = event["servers"].as_array().unwrap().iter();
    servers.map(|server| (server["name"].as_str().unwrap(), server["state"].as_str().unwrap())).collect()
}

#[test]
fn a_served_sandbox_is_killed_started_and_written_to() {
    let home = Home::new();
    let (sandbox, at) = served(&home);
    let refused = told(&home, "sandbox write", 4);
    assert_eq!((refused["acknowledged"].as_u64(), &refused["partitions_refusing"]), (Some(0), &refused["partitions"]));
    home.run(&["recover", "--all", "--nameserver", &at]).expect(0);
    let taken = told(&home, "sandbox write --rows 3", 0);
    assert_eq!(taken["acknowledged"].as_u64(), taken["partitions"].as_u64().map(|partitions| partitions * 3));

    // Two machines of three come back: what only the third may know is left alone, until it is there.
    let dead = told(&home, "sandbox kill all", 0);
    assert!(states(&dead).iter().all(|(_, state)| *state == "dead"), "{dead}");
    let two = told(&home, "sandbox start nameserver1 tablet1 tablet2", 0);
    let expected = [("tablet1", "running"), ("tablet2", "running"), ("tablet3", "dead"), ("nameserver1", "running")];
    assert_eq!(states(&two), expected);
    let recover = ["recover", "--all", "--wait-for-tablets", "0", "--nameserver", &at];
    let left = home.run(&recover).expect(4);
    assert!(left.stdout.contains("out_of_reach"), "{}", left.stdout);
    told(&home, "sandbox start tablet3", 0);
    home.run(&recover).expect(0);
    told(&home, "sandbox write", 0);

    let hangs = told(&home, "sandbox hang tablet2", 0);
    assert_eq!(states(&hangs)[1], ("tablet2", "hanging"));
    let some = told(&home, "sandbox write", 4);
    assert!(some["acknowledged"].as_u64() > Some(0), "{some}");

    sandbox.signal("INT");
    sandbox.end().expect(0);
    assert_eq!(std::fs::read_dir(home.file("state/openmldb-ops/sandboxes")).map(Iterator::count).ok(), None);
}

#[test]
fn orders_go_to_the_sandbox_that_is_meant_or_to_nobody() {
    let home = Home::new();
    let nobody = home.run(&["sandbox", "kill", "tablet1"]).expect(2);
    assert!(nobody.stderr.contains("no sandbox runs on this host"), "{}", nobody.stderr);
    let (first, one) = served(&home);
    let unknown = home.run(&["sandbox", "kill", "tablet9"]).expect(1);
    assert!(unknown.stderr.contains("no server tablet9; there are tablet1, tablet2"), "{}", unknown.stderr);
    let (second, other) = served(&home);
    let several = home.run(&["sandbox", "kill", "tablet1"]).expect(2);
    assert!(several.stderr.contains(&one) && several.stderr.contains(&other), "{}", several.stderr);
    told(&home, &format!("sandbox kill tablet1 --nameserver {other}"), 0);
    let healthy = home.run(&["show", "tablets", "--nameserver", &one, "--output", "json"]).expect(0);
    assert!(healthy.events().iter().all(|tablet| tablet["replicas_held"].is_u64()), "{}", healthy.stdout);

    // One that was killed leaves a file behind, which leads to nobody.
    second.signal("KILL");
    assert!(!second.ended_by_itself());
    let gone = home.run(&["sandbox", "write", "--nameserver", &other]).expect(2);
    assert!(gone.stderr.contains(&format!("(running: {one})")), "{}", gone.stderr);
    told(&home, "sandbox start tablet1", 0);
    first.signal("INT");
    first.end().expect(0);
}

/// Every command of it is run for real, and ends with the exit code that the tour says.
#[test]
fn the_tour_runs_through_by_itself_off_a_terminal() {
    let home = Home::new();
    let tour = home.run(&["sandbox", "tour", "--output", "json"]).expect(0);
    let ran: Vec<Value> = tour.events().into_iter().filter(|event| event["event"] == "tour_ran").collect();
    assert!(ran.len() > 15, "{ran:?}");
    assert!(ran.iter().all(|event| event["as_expected"] == true), "{ran:?}");
    let accepted = ran.iter().filter(|event| event["command"].as_str().unwrap().contains("--accept-data-loss "));
    assert_eq!(accepted.count(), 1);
    assert_eq!(std::fs::read_dir(home.file("tmp")).unwrap().count(), 0, "its records are gone with it");
}
