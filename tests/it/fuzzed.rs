//! Whatever somebody else may have written, damaged in every way that chance thinks of: files in which values, lines and bytes are
//! others, answers of real servers likewise. What must hold is in `fuzz/entries.rs`.
//!
//! `OPENMLDB_OPS_INPUTS=N` says how many of each are tried; a failure prints its seed, and `OPENMLDB_OPS_SEED=S` tries that one alone.

use std::path::Path;

use base64::Engine as _;
use openmldb_ops::metadata::{self, Backup, Origin};
use openmldb_ops::model::MetadataTree;
use serde_json::Value;

use crate::support::process::Home;

#[path = "../safety/dice.rs"]
#[allow(dead_code)]
mod dice;
#[path = "../../fuzz/entries.rs"]
mod entries;

use dice::Dice;

/// How many are tried of each.
const INPUTS: u64 = 1_000;

/// Values that are seldom thought of.
const ODD: [&str; 20] = [
    "0",
    "-1",
    "1",
    "4294967295",
    "4294967296",
    "18446744073709551615",
    "18446744073709551616",
    "1e400",
    ".nan",
    "null",
    "~",
    "true",
    "\"\"",
    "[]",
    "{}",
    "[[[[]]]]",
    "*a",
    "&a [*a]",
    "!tag x",
    "\"\\u0000\\n\u{202e}\"",
];

/// Tells which seed it was, if reading its input panics.
struct Told<'a>(&'a str, u64);

impl Drop for Told<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: OPENMLDB_OPS_SEED={}", self.0, self.1);
        }
    }
}

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable}={text} is no number")))
}

/// Reads these, and what becomes of them by chance.
fn fuzz(what: &str, read: fn(&[u8]), sound: &[Vec<u8>], damage: fn(&mut Dice, &[Vec<u8>]) -> Vec<u8>) {
    assert!(!sound.is_empty());
    let seeds = match number("OPENMLDB_OPS_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("OPENMLDB_OPS_INPUTS").unwrap_or(INPUTS),
    };
    for seed in seeds {
        let _told = Told(what, seed);
        read(&damage(&mut Dice::new(seed), sound));
    }
}

fn below(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.between(0, end.max(1) as u64 - 1)).unwrap()
}

/// One of these texts with some of its values, lines or bytes changed.
fn damaged_text(dice: &mut Dice, sound: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8(dice.pick(sound).unwrap().clone()).unwrap();
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    for _ in 0..dice.between(1, 4) {
        let at = below(dice, lines.len());
        match dice.between(0, 9) {
            0 => drop(lines.remove(at)),
            1 => lines.insert(at, lines[at].clone()),
            2 => {
                let other = below(dice, lines.len());
                lines.swap(at, other);
            }
            3 => lines[at].insert_str(0, "  "),
            _ => lines[at] = with_another_value(dice, &lines[at]),
        }
        if lines.is_empty() {
            break;
        }
    }
    let mut bytes = lines.join("\n").into_bytes();
    if dice.percent(10) {
        damage_bytes(dice, &mut bytes);
    }
    bytes
}

/// A line of a file with one of its values replaced: what stands after a colon, a comma or a dash, up to where it ends.
fn with_another_value(dice: &mut Dice, line: &str) -> String {
    let begins: Vec<usize> = line.match_indices([':', ',', '-', '[']).map(|(at, _)| at + 1).collect();
    let Some(begin) = dice.pick(&begins).copied() else { return dice.pick(&ODD).unwrap().to_string() };
    let end = line[begin..].find([',', '}', ']']).map_or(line.len(), |length| begin + length);
    format!("{} {}{}", &line[..begin], dice.pick(&ODD).unwrap(), &line[end..])
}

fn damage_bytes(dice: &mut Dice, bytes: &mut Vec<u8>) {
    for _ in 0..dice.between(1, 6) {
        let (at, byte) = (below(dice, bytes.len()), u8::try_from(dice.between(0, 255)).unwrap());
        match dice.between(0, 4) {
            _ if bytes.is_empty() => bytes.push(byte),
            0 => drop(bytes.remove(at)),
            1 => bytes.insert(at, byte),
            2 => bytes[at] = 0xff,
            3 => bytes.truncate(at),
            _ => bytes[at] = byte,
        }
    }
}

fn damaged_bytes(dice: &mut Dice, sound: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = dice.pick(sound).unwrap().clone();
    damage_bytes(dice, &mut bytes);
    bytes
}

#[test]
fn a_playbook_is_read_or_refused_in_words() {
    let built_in = ["recover", "fast", "leaders-first", "node-loss"];
    let sound = built_in.map(|name| openmldb_ops::playbook::load(name).unwrap().1.into_bytes());
    sound.iter().for_each(|text| entries::playbook(text));
    fuzz("playbook", entries::playbook, &sound, damaged_text);
}

/// What the program writes into this file when it is called so.
fn written(file: &str, arguments: &[&str]) -> Vec<u8> {
    let home = Home::new();
    home.run(&[arguments, &["-o", file]].concat()).expect(0);
    home.read(file).into_bytes()
}

#[test]
fn a_plan_is_read_or_refused_in_words() {
    let dry_run = ["recover", "--all", "--dry-run", "--sandbox", "two-leader-flags"];
    let sound = ["plan.yaml", "plan.json"].map(|file| written(file, &dry_run));
    sound.iter().for_each(|text| entries::plan(text));
    fuzz("plan", entries::plan, &sound, damaged_text);
}

#[test]
fn a_snapshot_is_read_and_planned_from_or_refused_in_words() {
    let kinds =
        [("seen.yaml", "two-leader-flags"), ("seen.json", "node-back-failover-off"), ("seen.yaml", "disk-tables")];
    let sound = kinds.map(|(file, scenario)| written(file, &["snapshot", "--sandbox", scenario]));
    sound.iter().for_each(|text| entries::snapshot(text));
    fuzz("snapshot", entries::snapshot, &sound, damaged_text);
}

#[test]
fn a_record_is_read_or_refused_in_words() {
    let home = Home::new();
    home.run(&["recover", "--all", "--sandbox", "two-leader-flags", "--record-dir", &home.file("records")]).expect(0);
    let records: Vec<_> = std::fs::read_dir(home.file("records")).unwrap().map(|entry| entry.unwrap().path()).collect();
    let is_record = |path: &&std::path::PathBuf| path.extension().is_some_and(|extension| extension == "jsonl");
    let sound: Vec<Vec<u8>> = records.iter().filter(is_record).map(|path| std::fs::read(path).unwrap()).collect();
    sound.iter().for_each(|text| entries::record(text));
    fuzz("record", entries::record, &sound, damaged_text);
}

/// What real servers had in ZooKeeper, in every recording.
fn recorded_trees() -> Vec<MetadataTree> {
    let mut trees = Vec::new();
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")).unwrap() {
        let Ok(text) = std::fs::read_to_string(folder.unwrap().path().join("zookeeper.json")) else { continue };
        let nodes: Vec<Value> = serde_json::from_str(&text).unwrap();
        let kept = nodes.iter().filter(|node| node["ephemeral"] == false).filter_map(|node| {
            let data = base64::engine::general_purpose::STANDARD.decode(node["data_base64"].as_str()?).ok()?;
            Some((node["path"].as_str()?.strip_prefix("/openmldb/")?.to_owned(), data))
        });
        trees.push(kept.collect());
    }
    trees
}

#[test]
fn a_backup_of_metadata_is_read_or_refused_in_words() {
    let backup = |tree| Backup {
        cluster: "zk:2181/openmldb".to_owned(),
        taken_at_ms: 1_795_341_600_000,
        origin: Origin::Read,
        changed: Vec::new(),
        tree,
    };
    let written = |tree| metadata::write(&backup(tree)).unwrap().into_bytes();
    let sound: Vec<Vec<u8>> = recorded_trees().into_iter().map(written).collect();
    sound.iter().for_each(|text| entries::metadata(text));
    fuzz("metadata", entries::metadata, &sound, damaged_text);
}

/// A checksum keeps damage out of most files; what a cluster itself has in ZooKeeper has none.
#[test]
fn whatever_zookeeper_holds_is_checked() {
    let trees = recorded_trees();
    for seed in 0..number("OPENMLDB_OPS_INPUTS").unwrap_or(INPUTS) {
        let _told = Told("a tree", seed);
        let mut dice = Dice::new(seed);
        let mut nodes: Vec<(String, Vec<u8>)> =
            dice.pick(&trees).unwrap().nodes().map(|(path, data)| (path.to_owned(), data.to_vec())).collect();
        for _ in 0..dice.between(1, 6) {
            let at = below(&mut dice, nodes.len());
            match dice.between(0, 3) {
                0 => drop(nodes.remove(at)),
                1 => nodes[at].0.push_str("/0"),
                _ => damage_bytes(&mut dice, &mut nodes[at].1),
            }
        }
        entries::checked(&nodes.into_iter().collect());
    }
}

/// Every recorded answer of a kind that is decoded, with its kind in front.
fn answers() -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for folder in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/recordings")).unwrap() {
        let Ok(text) = std::fs::read_to_string(folder.unwrap().path().join("answers.json")) else { continue };
        let answers: Vec<Value> = serde_json::from_str(&text).unwrap();
        for answer in &answers {
            let message = match answer["method"].as_str().unwrap() {
                "ShowOPStatus" => "ShowOpStatusResponse".to_owned(),
                method => format!("{method}Response"),
            };
            let Some(bytes) = answer["response_protobuf_base64"].as_str() else { continue };
            let bytes = base64::engine::general_purpose::STANDARD.decode(bytes).unwrap();
            found.extend(entries::kinds_of(&message).map(|kind| [&[kind], bytes.as_slice()].concat()));
        }
    }
    found.sort();
    found
}

#[test]
fn an_answer_is_decoded_or_refused_in_words() {
    let mut sound = answers();
    assert!(sound.len() > 100, "only {} answers", sound.len());
    sound.iter().for_each(|answer| entries::wire(answer));
    // Those that nobody recorded begin with nothing.
    sound.extend((0..entries::KINDS).map(|kind| vec![kind]));
    fuzz("wire", entries::wire, &sound, damaged_bytes);
}
