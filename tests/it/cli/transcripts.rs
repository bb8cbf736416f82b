//! Commands that work, word for word.

use crate::support::process::Home;

fn transcript(arguments: &[&str]) -> String {
    let home = Home::new();
    let ran = home.run(arguments);
    assert_eq!(home.left_behind(), Vec::<std::path::PathBuf>::new());
    ran.transcript()
}

/// Of every partition its headline, and two of them in full. What is left out is shown elsewhere: how the others stand in `status` and
/// `recover_all_that_can_be`, what is decided about them in `plans`.
fn in_brief(transcript: &str) -> String {
    let headline = |paragraph: &str| {
        let first = paragraph.lines().next().unwrap_or_default();
        let is_partition = first
            .split_once('/')
            .is_some_and(|(table, rest)| !table.contains([' ', ':']) && rest.starts_with(|c: char| c.is_ascii_digit()));
        let is_in_full = ["shop.orders/0", "shop.audit/0"].iter().any(|name| first.starts_with(name));
        (is_partition && !is_in_full).then(|| first.to_owned())
    };
    let mut out: Vec<String> = Vec::new();
    let mut was_headline = false;
    for paragraph in transcript.split("\n\n") {
        let shortened = headline(paragraph);
        let is_headline = shortened.is_some();
        let text = shortened.unwrap_or_else(|| paragraph.to_owned());
        match out.last_mut() {
            Some(last) if was_headline && is_headline => *last += &format!("\n{text}"),
            _ => out.push(text),
        }
        was_headline = is_headline;
    }
    out.join("\n\n")
}

#[test]
fn recover() {
    insta::assert_snapshot!(in_brief(&transcript(&["recover", "--all", "--sandbox"])));
}

#[test]
fn recover_one_table() {
    insta::assert_snapshot!(transcript(&["recover", "--table", "shop.audit", "--sandbox"]));
}

#[test]
fn recover_what_is_healthy() {
    insta::assert_snapshot!(transcript(&["recover", "--all", "--sandbox", "healthy"]));
}

#[test]
fn recover_all_that_can_be() {
    insta::assert_snapshot!(transcript(&[
        "recover",
        "--all",
        "--sandbox",
        "tablet-missing",
        "--wait-for-tablets",
        "0"
    ]));
}

#[test]
fn dry_run() {
    insta::assert_snapshot!(in_brief(&transcript(&["recover", "--all", "--dry-run", "--sandbox"])));
}

#[test]
fn dry_run_with_something_blocked() {
    let dry_run = ["recover", "--all", "--dry-run", "--sandbox", "tablet-missing"];
    insta::assert_snapshot!(in_brief(&transcript(&dry_run)));
}

#[test]
fn status() {
    insta::assert_snapshot!(transcript(&["status", "--sandbox"]));
}

#[test]
fn status_of_what_is_healthy() {
    insta::assert_snapshot!(transcript(&["status", "--full", "--db", "shop", "--sandbox", "healthy"]));
}

#[test]
fn snapshot_to_a_file() {
    insta::assert_snapshot!(transcript(&["snapshot", "--sandbox", "-o", "seen.yaml"]));
}

#[test]
fn rehearse() {
    insta::assert_snapshot!(transcript(&["rehearse"]));
}

/// A snapshot of a cluster is all it takes.
#[test]
fn rehearse_a_snapshot() {
    let home = Home::new();
    home.run(&["snapshot", "--sandbox", "tablet-missing", "-o", "seen.yaml"]).expect(0);
    let ran =
        home.run(&["rehearse", "--snapshot", "seen.yaml", "--playbook", "fast", "--fault", "LoadTable:2=reset-after"]);
    let ran = ran.expect(4);
    for said in ["not_redundant", "Assumed: what did not answer stays away", "Calls that failed and were dealt with: 1"]
    {
        assert!(ran.stdout.contains(said), "{said}: {}", ran.stdout);
    }
}

#[test]
fn playbook_list() {
    insta::assert_snapshot!(transcript(&["playbook", "list"]));
}

#[test]
fn playbook_show() {
    insta::assert_snapshot!(transcript(&["playbook", "show"]));
}

#[test]
fn playbook_check() {
    insta::assert_snapshot!(transcript(&["playbook", "check", "recover"]));
}

/// What `show --yaml` prints is a playbook.
#[test]
fn a_playbook_shown_can_be_used() {
    let home = Home::new();
    let shown = home.run(&["playbook", "show", "recover", "--yaml"]).expect(0).stdout;
    let own = home.write("own.yaml", &shown);
    home.run(&["playbook", "check", &own]).expect(0);
    assert_eq!(home.run(&["playbook", "show", &own, "--yaml"]).expect(0).stdout, shown);
    let plans = ["recover", own.as_str()].map(|playbook| {
        let dry_run = ["recover", "--all", "--dry-run", "--sandbox", "healthy", "--playbook", playbook];
        crate::support::process::tidy(&home.run(&dry_run).expect(0).stdout)
    });
    assert_eq!(plans[0], plans[1]);
}

#[test]
fn sandbox_list() {
    insta::assert_snapshot!(transcript(&["sandbox", "list"]));
}

#[test]
fn sandbox_list_faults() {
    insta::assert_snapshot!(transcript(&["sandbox", "list", "--faults"]));
}

/// Over sockets as in process: what is asked to go wrong does, and is recovered from.
#[test]
fn recover_although_things_go_wrong() {
    let faults = ["LoadTable:3=reset-after", "RecoverTable:2=op-fails", "2s@tablet2=tablet-freezes-4s"];
    let mut arguments = vec!["recover", "--all", "--sandbox", "--output", "json"];
    faults.iter().for_each(|fault| arguments.extend(["--fault", fault]));
    let home = Home::new();
    let ran = home.run(&arguments);
    assert_eq!(ran.code(), 0, "{ran:?}");
    let events = ran.events();
    let failed =
        |call: &str| events.iter().any(|event| event["event"] == "action_failed" && event.to_string().contains(call));
    assert!(failed("load_table"), "{ran:?}");
}
