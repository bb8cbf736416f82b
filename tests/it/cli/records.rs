//! `record list` and `record show`: the story of a run, to people and to programs.

use serde_json::Value;

use crate::support::process::Home;

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
    let last = lines.last().unwrap();
    assert_eq!(
        (&last["line"], &last["verdict"], &last["restored"]),
        (&"ended".into(), &"recovered".into(), &true.into())
    );
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
}

#[test]
fn what_is_not_there_or_is_no_record_is_said() {
    let home = Home::new();
    let kept = home.file("kept");
    assert_eq!(home.run(&["record", "list", "--record-dir", &kept]).expect(0).stdout, "no records\n");
    let ran = home.run(&["record", "show", "--record-dir", &kept]).expect(2);
    assert!(ran.stderr.contains("there are no records in"), "{}", ran.stderr);
    std::fs::create_dir(&kept).unwrap();
    home.write("kept/run-5-0.jsonl", "{\"line\":\"note\"}\n");
    let ran = home.run(&["record", "show", "5-0", "--record-dir", &kept]).expect(1);
    assert!(ran.stderr.contains("its first line is no beginning of a record"), "{}", ran.stderr);
    let list = home.run(&["record", "list", "--record-dir", &kept]).expect(0).stdout;
    assert!(list.contains("unreadable: its first line"), "{list}");
    let ran = home.run(&["record", "show", "6-0", "--record-dir", &kept]).expect(2);
    assert!(ran.stderr.contains("`openmldb-ops record list` names those there are"), "{}", ran.stderr);
    let ran = home.run(&["record", "show", "first", "--record-dir", &kept]).expect(2);
    assert!(ran.stderr.contains("`first` is no run"), "{}", ran.stderr);
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
