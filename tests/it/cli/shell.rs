//! What is around the commands: completions, manual pages, the version, logs, and `status` in other forms.

use std::collections::BTreeSet;
use std::path::Path;

use clap::CommandFactory as _;
use openmldb_ops::cli::Cli;
use serde_json::Value;

use crate::support::process::Home;

#[allow(dead_code)]
#[path = "../../../build.rs"]
mod build;

/// Every command by its name on a manual page.
fn commands(command: &clap::Command, name: &str, names: &mut BTreeSet<String>) {
    names.insert(name.to_owned());
    let below = command.get_subcommands().filter(|below| below.get_name() != "help");
    below.for_each(|below| commands(below, &format!("{name}-{}", below.get_name()), names));
}

#[test]
fn shells_complete_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).expect(0).stdout;
        for word in ["handover", "accept-data-loss", "metrics-file", "explain"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
    }
    home.run(&["completions", "korn"]).expect(2);
}

#[test]
fn every_command_has_a_manual_page() {
    let home = Home::new();
    let page = home.run(&["man"]).expect(0).stdout;
    assert!(page.contains(".TH openmldb-ops 1") && page.contains("Recover partitions"), "{page}");
    std::fs::create_dir(home.file("man1")).unwrap();
    let written = home.run(&["man", "man1"]).expect(0).stdout;
    let mut names = BTreeSet::new();
    commands(&Cli::command(), "openmldb-ops", &mut names);
    let buffer: BTreeSet<String> = written.lines().map(|path| path.replace("man1/", "").replace(".1", "")).collect();
    assert_eq!(buffer, names);
    let handover = home.read("man1/openmldb-ops-leader-handover.1");
    assert!(
        handover.contains(".TH openmldb-ops-leader-handover 1")
            && handover.contains("openmldb\\-ops\\-leader\\-handover \\-")
    );
    let ran = home.run(&["man", "nowhere"]).expect(2);
    assert!(ran.stderr.contains("the manual page nowhere/openmldb-ops.1 cannot be written"), "{}", ran.stderr);
}

/// In a release; a build for tests is not built anew after each commit.
#[test]
fn the_commit_is_asked_of_our_own_repository_alone() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    if let Some(commit) = build::commit_of(root) {
        assert!(commit.len() == 12 && commit.chars().all(|c| c.is_ascii_hexdigit()), "{commit}");
    }
    assert_eq!(build::commit_of(&root.join("src")), None, "the top of a repository that is around it");
    assert_eq!(build::commit_of(Path::new("/")), None);
}

#[test]
fn a_log_has_calls_and_what_is_told() {
    let home = Home::new().with("OPENMLDB_AUTH", "root:hunter2");
    let ran = home.run(&["recover", "--all", "--sandbox", "--log-file", "run.log", "--log-format", "json"]).expect(0);
    let log = home.read("run.log");
    let lines: Vec<Value> = log.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let told =
        |line: &Value| line["fields"]["message"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
    let events: BTreeSet<String> =
        lines.iter().filter_map(told).filter_map(|event| Some(event["event"].as_str()?.to_owned())).collect();
    for event in ["observed", "note", "action", "leader_chosen", "partition"] {
        assert!(events.contains(event), "{event} is not among {events:?}");
    }
    for call in ["ShowTable", "LoadTable"] {
        assert!(lines.iter().any(|line| line["fields"]["method"] == call), "calls are there, too: {call}");
    }
    assert!(lines.iter().any(|line| line["level"] == "DEBUG"), "so are decisions");
    assert!(
        !log.contains("hunter2") && !ran.stderr.contains("DEBUG") && !ran.stderr.contains("TRACE"),
        "{}",
        ran.stderr
    );
    // What is there stays.
    home.run(&["status", "--sandbox", "--log-file", "run.log"]).expect(3);
    assert!(home.read("run.log").starts_with(&log) && home.read("run.log").len() > log.len());
    let ran = home.run(&["status", "--sandbox", "--log-file", "nowhere/run.log"]).expect(2);
    assert!(ran.stderr.contains("the log file nowhere/run.log cannot be opened"), "{}", ran.stderr);
}

#[test]
fn status_in_other_forms() {
    let home = Home::new();
    let names = home.run(&["status", "-o", "name", "--sandbox", "--db", "shop"]).expect(3).stdout;
    assert!(
        names.lines().any(|name| name == "shop.orders/0") && names.lines().all(|name| name.starts_with("shop.")),
        "{names}"
    );
    assert_eq!(home.run(&["status", "-o", "name", "--sandbox", "healthy"]).expect(0).stdout, "");
    let all = home.run(&["status", "-o", "name", "--full", "--sandbox", "healthy"]).expect(0).stdout;
    assert_eq!(all.lines().count(), 12);
    let wide = home.run(&["status", "-o", "wide", "--sandbox", "healthy"]).expect(0).stdout;
    assert!(wide.contains("replicated to  nameserver's offset"), "{wide}");
    let json = home.run(&["status", "-o", "json", "--sandbox", "healthy"]).expect(0);
    assert_eq!(json.summary()["verdict"], "healthy");
}

#[test]
fn a_check_is_one_line_and_an_exit_code_as_nagios_has_them() {
    let home = Home::new();
    let check = |more: &[&str], code: i32| home.run(&[&["status", "--check"], more].concat()).expect(code).stdout;
    let ok = check(&["--sandbox", "healthy"], 0);
    assert!(ok.starts_with("OPENMLDB OK - partitions: 12 of 12 healthy, "), "{ok}");
    assert!(ok.contains(" | partitions=12 healthy=12 serving=0 down=0 ") && ok.lines().count() == 1, "{ok}");
    let down = check(&["--sandbox"], 2);
    assert!(
        down.starts_with("OPENMLDB CRITICAL - ") && down.contains(" down=12 ") && down.lines().count() == 1,
        "{down}"
    );
    let unknown = check(&["--nameserver", "127.0.0.1:1", "--leader-wait", "0"], 3);
    assert!(unknown.starts_with("OPENMLDB UNKNOWN - ") && unknown.lines().count() == 1, "{unknown}");
    assert!(check(&["--sandbox", "--table", "shop.none"], 3).starts_with("OPENMLDB UNKNOWN - there is no table"));
    check(&["--sandbox", "--deep"], 2);
}
