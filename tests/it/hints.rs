//! What is said to be typed next can be typed, and leads somewhere.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use clap::CommandFactory as _;
use clap::error::ErrorKind;
use openmldb_ops::cli::Cli;
use openmldb_ops::sandbox::scenario::Scenario;
use serde_json::Value;

use crate::support::harness::Harness;
use crate::support::process::Home;

/// The commands that a text names in backquotes, but for those that it puts together itself.
pub fn named(text: &str) -> Vec<String> {
    let quoted = text.split('`').skip(1).step_by(2);
    quoted.filter(|words| words.starts_with("openmldb-ops ") && !words.contains('{')).map(str::to_owned).collect()
}

/// Whether it can be typed like that; what is missing is for whoever types it to say.
pub fn can_be_typed(words: &str) -> Result<(), String> {
    // Words that stand for something.
    let stands_for = |word: &str| match word {
        "PLAN_ID" => "0123456789abcdef".to_owned(),
        "D.T/PID" => "shop.orders/0".to_owned(),
        other => other.to_owned(),
    };
    let words: Vec<String> = words.split_whitespace().map(stands_for).collect();
    // A recovery is never of everything unless somebody says so.
    let scopes = ["--all", "--db", "--table", "--partition", "--plan", "--explain"];
    if words.get(1).is_some_and(|word| word == "recover") && !words.iter().any(|word| scopes.contains(&word.as_str())) {
        return Err(format!("`{}` says nothing of what is to be recovered", words.join(" ")));
    }
    let parsed = Cli::command().try_get_matches_from(&words).map_err(|error| error.kind());
    match parsed {
        Err(ErrorKind::UnknownArgument | ErrorKind::InvalidSubcommand | ErrorKind::InvalidValue) => {
            Err(format!("`{}` cannot be typed", words.join(" ")))
        }
        _ => Ok(()),
    }
}

fn every_source(directory: &Path, texts: &mut Vec<(PathBuf, String)>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            every_source(&path, texts);
        } else if path.extension().is_some_and(|extension| extension == "rs" || extension == "yaml") {
            let text = fs::read_to_string(&path).unwrap();
            texts.push((path, text));
        }
    }
}

fn sources(directory: &Path, texts: &mut Vec<String>) {
    let mut all = Vec::new();
    every_source(directory, &mut all);
    let is_code = |(path, _): &(PathBuf, String)| path.extension().is_some_and(|extension| extension == "rs");
    texts.extend(all.into_iter().filter(is_code).map(|(_, text)| text));
}

#[test]
fn every_command_that_a_message_names_can_be_typed() {
    let mut texts = Vec::new();
    for directory in ["src", "crates/planner/src", "crates/model/src", "crates/client/src"] {
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut texts);
    }
    let mut commands = BTreeSet::new();
    for text in texts {
        // A text may go on in the next line.
        let lines: Vec<&str> = text.split("\\\n").map(str::trim_start).collect();
        let joined = lines.concat();
        joined.lines().for_each(|line| commands.extend(named(line)));
    }
    assert!(commands.len() > 30, "only {commands:?}");
    let wrong: Vec<String> = commands.iter().filter_map(|words| can_be_typed(words).err()).collect();
    assert!(wrong.is_empty(), "{wrong:#?}");
    assert!(can_be_typed("openmldb-ops recover --everything").is_err() && can_be_typed("openmldb-ops repair").is_err());
    assert!(can_be_typed("openmldb-ops recover").is_err());
}

/// Whoever follows a hint needs neither OpenMLDB's clients nor ZooKeeper's.
#[test]
fn no_message_leads_to_another_client() {
    let mut texts = Vec::new();
    for directory in ["src", "crates/planner/src", "crates/model/src", "crates/client/src", "playbooks"] {
        every_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join(directory), &mut texts);
    }
    assert!(texts.len() > 200, "only {}", texts.len());
    for (path, text) in texts {
        let said = text.lines().filter(|line| !line.trim_start().starts_with("//"));
        for line in said {
            let of_others = ["zkcli", "deleteall", "--role=", "interactive=false", "setznode"];
            let found = of_others.iter().find(|words| line.to_lowercase().contains(**words));
            assert!(found.is_none(), "{}: {line}", path.display());
        }
    }
}

#[test]
fn every_code_is_explained_by_number_and_by_name() {
    let home = Home::new();
    let explained = |code: &[&str]| home.run(&[&["explain", "--output", "json"], code].concat()).expect(0).events();
    let kinds =
        |code: &str| -> Vec<Value> { explained(&[code]).into_iter().map(|line| line["kind"].clone()).collect() };
    let all = explained(&[]);
    assert!(all.len() > 200);
    for line in &all {
        assert!(line["means"].as_str().is_some_and(|text| text.len() > 8), "{line}");
        assert!(line["next"].as_str().is_some_and(|text| text.len() > 3), "{line}");
    }
    assert_eq!(explained(&["303"])[0]["name"], "kTabletIsNotHealthy");
    assert_eq!(explained(&["ktabletisnothealthy"]), explained(&["TabletIsNotHealthy"]));
    assert_eq!(explained(&["-1"])[0]["name"], "kError");
    assert_eq!(kinds("longer-follower"), ["reason"]);
    assert_eq!(kinds("tablet_offline"), ["reason", "finding"]);
    assert_eq!(kinds("130"), ["exit_code", "return_code"], "a shell's number and OpenMLDB's");
    let text = home.run(&["explain", "4"]).expect(0).stdout;
    assert!(text.starts_with("4, exit code of openmldb-ops\n  means: ") && text.contains("\n  next: "), "{text}");
    let unknown = home.run(&["explain", "4711"]).expect(2);
    assert!(unknown.stderr.ends_with("hint: `openmldb-ops explain` says what there is\n"), "{}", unknown.stderr);
    // Without a code it says how to ask, and every group that it names can be asked for.
    let groups = home.run(&["explain"]).expect(0).stdout;
    assert!(groups.lines().count() < 10 && groups.contains("`openmldb-ops explain CODE`"), "{groups}");
    let named = groups.lines().skip(1).take(4).map(|line| line.split_whitespace().next().unwrap());
    let lists: Vec<String> = named.map(|group| home.run(&["explain", group]).expect(0).stdout).collect();
    assert_eq!(lists.iter().map(|list| list.lines().count()).sum::<usize>(), all.len(), "{lists:?}");
}

/// What `status` says of a cluster: the commands to type next, and what else there is to do.
fn told(home: &Home, address: &str, records: &str) -> (Vec<String>, Vec<String>) {
    let ran = home.run(&["status", "--output", "json", "--record-dir", records, "--nameserver", address]);
    let events = ran.events();
    let cases = events.iter().filter(|event| event["event"] == "diagnosis");
    let next = cases.flat_map(|case| case["next"].as_array().unwrap());
    let next = next.map(|next| next.as_str().unwrap().to_owned());
    next.partition(|next| next.starts_with("openmldb-ops "))
}

/// Whether a hint names anything but the command that was just typed.
fn says_more(hint: &str) -> bool {
    let rest = ["`openmldb-ops recover --all`", "run it again", "run again", "run", "again"];
    let rest = rest.iter().fold(hint.to_owned(), |text, said| text.replace(said, ""));
    rest.chars().filter(char::is_ascii_alphabetic).count() > 10
}

/// Types what `status` names first that changes something, as long as that changes what it names.
#[tokio::test(flavor = "multi_thread")]
async fn who_types_what_is_said_does_not_go_in_circles() {
    for scenario in Scenario::ALL {
        let harness = Harness::start(*scenario).await;
        let (home, address) = (Home::new(), harness.sandbox().nameserver_address().unwrap().to_string());
        let records = home.file("records");
        let (mut typed, mut left_alone) = (BTreeSet::new(), Vec::new());
        loop {
            let (commands, elsewhere) = told(&home, &address, &records);
            let words = |command: &str| command.split(" (").next().unwrap().to_owned();
            let mut changing = commands.iter().map(|command| words(command)).filter(|command| {
                !command.contains("--dry-run")
                    && !["show", "status", "record"].iter().any(|look| command.contains(look))
            });
            let Some(next) = changing.find(|next| !next.contains("--without") && !next.contains("--release")) else {
                break;
            };
            if !typed.insert(next.clone()) {
                // What is left has to be done by hand, and is named.
                let by_hand = !elsewhere.is_empty() || left_alone.iter().any(|hint: &String| says_more(hint));
                if !left_alone.is_empty() && elsewhere.is_empty() {
                    let says_why = commands.iter().any(|command| command.starts_with("openmldb-ops record show "));
                    assert!(says_why, "{scenario}: nothing says why partitions were left alone: {commands:?}");
                }
                assert!(by_hand, "{scenario}: `{next}` was typed, and is said again: {commands:?}, {left_alone:?}");
                break;
            }
            // It can be pasted: it says where the cluster is, and where records are kept.
            let mut words: Vec<&str> = next.split_whitespace().skip(1).take_while(|word| *word != "#").collect();
            for (option, value) in [("--record-dir", &records), ("--nameserver", &address)] {
                if !words.contains(&option) {
                    words.extend([option, value.as_str()]);
                }
            }
            words.extend(["--output", "json"]);
            if words[0] == "recover" {
                words.extend(["--wait-for-tablets", "0"]);
            }
            let ran = home.run(&words);
            let blocked = |line: &Value| line["blocked"].as_array().cloned().unwrap_or_default();
            let hints =
                ran.stdout.lines().filter_map(|line| serde_json::from_str(line).ok()).flat_map(|line| blocked(&line));
            left_alone = hints.map(|entry| entry["hint"].as_str().unwrap().to_owned()).collect();
            assert!([0, 4, 5].contains(&ran.code()), "{scenario}: {words:?}\n{}\n{}", ran.stdout, ran.stderr);
        }
        harness.stop().await;
    }
}
