//! `record list` and `record show`: the story of a run, to people and to programs.

use std::collections::BTreeSet;

use openmldb_ops::sandbox::Options;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::process::{Home, Running};

fn recovered(home: &Home) -> Vec<Value> {
    home.run(&["recover", "--all", "--sandbox", "--record-dir", &home.file("kept")]).expect(0);
    home.run(&["record", "show", "--record-dir", &home.file("kept"), "--output", "json"]).expect(0).events()
}

#[test]
fn a_run_tells_every_call_before_and_after_and_how_it_ended() {
    let home = Home::new();
    let lines = recovered(&home);
    let of = |kind: &str| lines.iter().filter(|line| line["line"] == kind).collect::<Vec<_>>();
    assert_eq!(lines[0]["line"], "begun");
    assert!(lines[0]["caller"]["command"].as_str().unwrap().contains("recover --all --sandbox"), "{}", lines[0]);
    let (sending, went) = (of("sending"), of("went"));
    assert!(!sending.is_empty() && sending.len() == went.len());
    let position = |kind: &str, number: &Value| {
        lines.iter().position(|line| line["line"] == kind && line["number"] == *number).unwrap()
    };
    for call in &sending {
        assert!(position("sending", &call["number"]) < position("went", &call["number"]), "{call}");
        assert!(!call["why"].as_str().unwrap().is_empty(), "{call}");
    }
    assert!(!of("chosen").is_empty() && of("chosen").iter().all(|line| line["choice"]["why"].is_string()));
    let (ended, exited) = (&lines[lines.len() - 2], &lines[lines.len() - 1]);
    assert_eq!(
        (&ended["line"], &ended["verdict"], &ended["restored"]),
        (&"ended".into(), &"recovered".into(), &true.into())
    );
    assert_eq!((&exited["line"], &exited["code"]), (&"exited".into(), &0.into()));
}

#[test]
fn people_read_a_story() {
    let home = Home::new();
    recovered(&home);
    let kept = home.file("kept");
    let list = home.run(&["record", "list", "--record-dir", &kept]).expect(0).stdout;
    let run = list.lines().nth(1).unwrap().split_whitespace().next().unwrap().to_owned();
    assert!(list.contains("sandbox everything-restarted  recovered"), "{list}");
    let recorded_run = home.run(&["record", "show", &run, "--record-dir", &kept]).expect(0).stdout;
    for told in
        ["$ ", "auto_failover on", "confset auto_failover false: done", "leads:", "redundant after", "end: recovered"]
    {
        assert!(recorded_run.contains(told), "{told}: {recorded_run}");
    }
    let listed = home.run(&["record", "list", "--record-dir", &kept, "--output", "json"]).expect(0).events();
    assert_eq!((&listed[0]["run"], &listed[0]["finished"]), (&run.into(), &true.into()));
    assert_eq!((&listed[0]["exit_code"], listed[0]["took_ms"].is_u64()), (&0.into(), true), "{}", listed[0]);
    assert!(listed[0]["command"].as_str().unwrap().contains("recover --all") && listed[0]["host"].is_string());
}

#[test]
fn what_is_not_there_or_is_no_record_is_said() {
    let home = Home::new();
    let kept = home.file("kept");
    assert_eq!(home.run(&["record", "list", "--record-dir", &kept]).expect(0).stdout, "no records\n");
    let ran = home.run(&["record", "show", "--record-dir", &kept]).expect(2);
    assert!(ran.stderr.contains("there are no records in"), "{}", ran.stderr);
    assert!(ran.stderr.contains("hint: a command writes one once it changes something"), "{}", ran.stderr);
    std::fs::create_dir(&kept).unwrap();
    home.write("kept/run-5-0.jsonl", "{\"line\":\"note\"}\n");
    let ran = home.run(&["record", "show", "5-0", "--record-dir", &kept]).expect(1);
    assert!(ran.stderr.contains("its first line is not the beginning of a record"), "{}", ran.stderr);
    let list = home.run(&["record", "list", "--record-dir", &kept]).expect(0).stdout;
    assert!(list.contains("unreadable: its first line"), "{list}");
    let ran = home.run(&["record", "show", "6-0", "--record-dir", &kept]).expect(2);
    assert!(ran.stderr.contains("`openmldb-ops record list` names those there are"), "{}", ran.stderr);
    let ran = home.run(&["record", "show", "first", "--record-dir", &kept]).expect(2);
    assert!(ran.stderr.contains("`first` is not a run"), "{}", ran.stderr);
}

/// Credentials come from the environment or files; a record keeps the command line, on which they never are.
#[test]
fn secrets_are_not_written_down() {
    let home = Home::new().with("OPENMLDB_AUTH", "root:kept-secret-1").with("OPENMLDB_ZK_CERT", "zk:kept-secret-2");
    recovered(&home);
    for file in std::fs::read_dir(home.file("kept")).unwrap() {
        assert!(!std::fs::read_to_string(file.unwrap().path()).unwrap().contains("kept-secret"));
    }
}

/// Whatever names a run or a partition anywhere names it here.
#[test]
fn a_part_of_a_story_is_found_by_every_name() {
    let home = Home::new();
    recovered(&home);
    let kept = home.file("kept");
    let listed = home.run(&["record", "list", "--record-dir", &kept, "--output", "json"]).expect(0).events();
    let (run, path) = (listed[0]["run"].as_str().unwrap(), listed[0]["path"].as_str().unwrap());
    let show = |words: &[&str]| home.run(&[&["record", "show"], words].concat()).expect(0).stdout;
    let whole = show(&[run, "--record-dir", &kept]);
    assert_eq!(show(&[&format!("run-{run}"), "--record-dir", &kept]), whole);
    assert_eq!(show(&[&format!("run-{run}.jsonl"), "--record-dir", &kept]), whole);
    assert_eq!(show(&[path]), whole, "a file is a record wherever it is");
    let of_one = show(&[path, "--partition", "shop.orders/1"]);
    assert!(of_one.contains("shop.orders/1 before:") && of_one.contains("leads:"), "{of_one}");
    assert!(!of_one.contains("shop.orders/0"), "{of_one}");
    let line =
        home.run(&["record", "show", path, "--partition", "shop.orders/1", "--output", "json"]).expect(0).events();
    let id = line.iter().find_map(|line| line["partition"].as_str()).unwrap();
    assert_eq!(show(&[path, "--partition", id]), of_one, "messages have numbers where they know no name");
    assert_eq!(show(&[path, "--partition", &id.replace('_', "/")]), of_one);
    assert_eq!(show(&[&path.replace(".jsonl", ".metadata.json"), "--partition", id]), of_one, "what is beside it");
    for several in ["shop.orders/0-1,3", "shop.orders/3,1,0"] {
        let told = show(&[path, "--partition", several]);
        let before = ["0", "1", "3"].map(|pid| told.matches(&format!("shop.orders/{pid} before:")).count());
        assert_eq!(before, [1, 1, 1], "{told}");
        assert!(!told.contains("shop.orders/2"), "{told}");
    }
    let lines = home.run(&["record", "show", path, "--partition", "shop.orders/0-1", "--output", "json"]);
    let lines = lines.expect(0).events();
    let ids: BTreeSet<&str> = lines.iter().filter_map(|line| line["partition"].as_str()).collect();
    assert_eq!(ids.len(), 2, "{ids:?}");
    let ran = home.run(&["record", "show", path, "--partition", "shop.order/1"]).expect(2);
    assert!(ran.stderr.contains("did you mean `orders`?"), "{}", ran.stderr);
    let ran = home.run(&["record", "show", path, "--partition", "shop.orders/1,9"]).expect(2);
    assert!(ran.stderr.contains("has no partition 9"), "{}", ran.stderr);
    assert!(show(&[path, "--failed"]).contains("end: recovered, exit code 0"));
    let numbers = home.run(&["record", "show", path, "--summary", "--output", "json"]).expect(0).events();
    assert_eq!((&numbers[0]["serving"], &numbers[0]["exit_code"]), (&numbers[0]["partitions"], &0.into()));
    assert!(show(&[path, "--summary"]).contains("load_table"));
}

#[test]
fn records_that_nobody_needs_are_removed_and_no_others() {
    let home = Home::new();
    let kept = home.file("kept");
    for _ in 0..3 {
        home.run(&["recover", "--all", "--sandbox", "--playbook", "fast", "--record-dir", &kept]).expect(0);
    }
    let records = || home.run(&["record", "list", "--record-dir", &kept, "--output", "json"]).expect(0).events();
    let before = records();
    home.write("kept/run-5-0.jsonl", "not a record\n");
    let beside = format!("kept/run-{}.metadata.json", before[0]["run"].as_str().unwrap());
    home.write(&beside, "{}");
    let prune = |words: &[&str]| home.run(&[&["record", "prune", "--record-dir", &kept], words].concat());
    assert!(prune(&[]).expect(2).stderr.contains("--keep"), "nothing is removed by mistake");
    let said = prune(&["--keep", "0", "--dry-run"]).expect(0).stdout;
    assert!(said.contains("would remove 2 of 4 records") && said.contains("1 record that cannot be read"), "{said}");
    assert_eq!(records().len(), 4, "a dry run removes nothing");
    assert!(prune(&["--keep", "0", "--older-than", "1d"]).expect(0).stdout.contains("removed 0 of 4 records"));
    let lines = prune(&["--keep", "0", "--output", "json"]).expect(0).events();
    assert_eq!(lines.iter().filter(|line| line["removed"] == true).count(), 2, "{lines:?}");
    let after = records();
    assert_eq!(after.len(), 2);
    assert_eq!(after[1]["run"], before[2]["run"], "the newest that brought everything back is needed");
    assert!(!std::path::Path::new(&home.file(&beside)).exists(), "what was kept beside a record goes with it");
}

/// A run that waits for its first RecoverTable, and whoever follows it.
async fn followed() -> (Harness, Home, Running, Running) {
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    harness.hold_at(&["RecoverTable"], 1);
    let home = Home::new();
    let mut run = home.start(&["recover", "--all", "--nameserver", &nameserver]);
    run.wait_for_progress(|line| line.contains(": serving after "));
    let follow = home.start(&["record", "follow", "--output", "json"]);
    (harness, home, run, follow)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_followed_from_another_shell_until_it_ends() {
    let (harness, home, run, mut follow) = followed().await;
    let line = follow.wait_for_line(|line| line.contains("\"event\":\"progress\""));
    assert!(line.contains("\"replicas\":"), "{line}");
    harness.release();
    run.end().expect(0);
    let followed = follow.end().expect(0);
    let last = followed.events().pop().unwrap();
    assert_eq!((&last["event"], &last["ended"]), (&"record_followed".into(), &"recovered".into()));
    let redundant = followed.events().iter().filter(|event| event["state"] == "redundant").count();
    assert!(redundant >= 7, "{redundant} partitions");
    let again = home.run(&["record", "follow"]).expect(0);
    assert!(again.stdout.contains("has ended: recovered, exit code 0"), "{}", again.stdout);
    harness.stop().await;
}

/// What a command of many steps sends passes by here as it does there: as a note each would stay on the screen.
#[tokio::test(flavor = "multi_thread")]
async fn calls_of_an_undertaking_are_followed_as_its_steps() {
    let generated = Some(Generated { tables: 1, partitions: 8, replicas: 2, rows: 10 });
    let shape = Shape { tablets: 4, generated, ..Shape::default() };
    let harness = Harness::start_with(Scenario::Healthy, &Options { shape, ..Options::default() }).await;
    let nameserver = harness.sandbox().nameserver_address().unwrap().to_string();
    let emptied = harness.tablets().remove(3).to_string();
    harness.hold_at(&["Migrate"], 1);
    let home = Home::new();
    let mut run = home.start(&["scale", "in", &emptied, "--nameserver", &nameserver]);
    run.wait_for_progress(|line| line.contains(" migrate "));
    let mut follow = home.start(&["record", "follow"]);
    follow.wait_for_progress(|line| line.contains("`scale in "));
    harness.release();
    run.end().expect(0);
    let said = follow.end().expect(0).stderr;
    assert!(said.lines().any(|line| line.contains(" migrate ")), "{said}");
    assert!(!said.contains("note: migrate "), "{said}");
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_killed_is_followed_no_longer() {
    let (harness, _home, run, mut follow) = followed().await;
    follow.wait_for_line(|line| line.contains("\"event\":\"progress\""));
    run.signal("KILL");
    run.ended_by_itself();
    let said = follow.end().expect(1);
    assert!(said.stderr.contains("was killed: its process is gone"), "{}", said.stderr);
    harness.release();
    harness.stop().await;
}

/// In a browser where there is one: the script runs, and shows what the record says.
#[test]
fn a_page_is_shown_by_a_browser() {
    let home = Home::new();
    let kept = home.file("kept");
    home.run(&["recover", "--all", "--sandbox", "--playbook", "fast", "--record-dir", &kept]).expect(0);
    let file = home.file("run.html");
    let said = home.run(&["record", "show", "--record-dir", &kept, "--html", &file]).expect(0).stdout;
    assert!(said.contains("written: "), "{said}");
    let page = std::fs::read_to_string(&file).unwrap();
    assert!(page.starts_with("<!doctype html>") && page.trim_end().ends_with("</html>"));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    let data: Value = serde_json::from_str(data).unwrap();
    assert_eq!(data["partitions"].as_array().unwrap().len(), 12);
    let Some(browser) = browser() else {
        assert!(std::env::var_os("OPENMLDB_OPS_BROWSER").is_none(), "the browser that is asked for is not there");
        eprintln!("no browser is installed: the page is looked at as a text");
        return;
    };
    let mut arguments =
        vec!["--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", "--virtual-time-budget=10000"];
    let address = format!("file://{file}");
    arguments.push(&address);
    let shown = std::process::Command::new(browser).args(arguments).output().unwrap();
    let shown = String::from_utf8(shown.stdout).unwrap();
    assert!(shown.contains("data-ready=\"yes\""), "the script came to no end:\n{shown}");
    for told in ["shop.orders/1", "12 of 12", "<canvas", "every call and note"] {
        assert!(shown.contains(told), "{told}");
    }
}

/// The browser that is asked for, or any that is there.
fn browser() -> Option<std::path::PathBuf> {
    let named = std::env::var_os("OPENMLDB_OPS_BROWSER").map(std::path::PathBuf::from);
    if named.is_some() {
        return named.filter(|file| file.is_file());
    }
    let path = std::env::var_os("PATH")?;
    let names = ["chromium-headless-shell", "chromium", "chromium-browser", "google-chrome"];
    let files = std::env::split_paths(&path).flat_map(|dir| names.map(|name| dir.join(name)));
    files.into_iter().find(|file| file.is_file())
}
