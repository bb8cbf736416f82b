//! docs/output.md is what scripts are written from: every kind of event stands in it with a line that this build writes,
//! and every field of it is explained.

mod samples;

use std::io::{self, Write};
use std::sync::{Arc, Mutex};

use openmldb_ops::recovery::Reason;
use openmldb_ops::ui::JsonLines;
use openmldb_ops::verify::FindingKind;
use serde_json::Value;

use crate::support::schema;

use samples::{calls, data, events, rows, summary};

#[derive(Clone, Default)]
struct Kept(Arc<Mutex<Vec<u8>>>);

impl Write for Kept {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub fn document() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/output.md");
    std::fs::read_to_string(path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The lines that a writer wrote.
fn lines(write: impl FnOnce(&JsonLines<Kept>) -> io::Result<()>) -> Vec<String> {
    let kept = Kept::default();
    write(&JsonLines::new(kept.clone())).unwrap();
    let bytes = kept.0.lock().unwrap().clone();
    String::from_utf8(bytes).unwrap().lines().map(str::to_owned).collect()
}

fn all_lines() -> Vec<String> {
    let events = lines(|out| events().iter().try_for_each(|event| out.event(event)));
    events.into_iter().chain(rows()).chain(data()).collect()
}

#[test]
fn every_kind_of_event_stands_in_the_document_as_this_build_writes_it() {
    let document = document();
    let missing: Vec<String> = all_lines().into_iter().filter(|line| !document.contains(line.as_str())).collect();
    assert!(missing.is_empty(), "not in docs/output.md, or not like this:\n{}", missing.join("\n"));
}

#[test]
fn every_line_is_as_the_schema_says_and_so_is_every_example() {
    let document = document();
    let examples = document.lines().filter(|line| line.starts_with("{\"event\":")).map(str::to_owned);
    for line in all_lines().into_iter().chain(examples) {
        let problem = schema::problem(&serde_json::from_str(&line).unwrap());
        assert_eq!(problem, None);
    }
}

/// What stands in the schema is what is promised; nothing of it may be wrong unnoticed.
#[test]
fn a_line_that_is_not_as_the_schema_says_is_noticed() {
    let good: Value = serde_json::from_str(lines(|out| out.summary(&summary())).first().unwrap()).unwrap();
    assert_eq!(schema::problem(&good), None);
    let spoilt = |spoil: fn(&mut Value)| {
        let mut line = good.clone();
        spoil(&mut line);
        schema::problem(&line).unwrap_or_else(|| panic!("not noticed: {line}"))
    };
    assert!(spoilt(|line| line["verdict"] = "fine".into()).contains("is none of"));
    assert!(spoilt(|line| line["colour"] = "red".into()).contains("`colour` is not described"));
    assert!(spoilt(|line| line["rpc"]["reads"] = "many".into()).contains("is no \"integer\""));
    assert!(spoilt(|line| line["blocked"][0]["pid"] = Value::Null).contains("blocked_entry: `pid`"));
    assert!(spoilt(|line| drop(line.as_object_mut().unwrap().remove("playbook"))).contains("\"playbook\" is missing"));
    assert!(spoilt(|line| line["event"] = "end".into()).contains("knows no `end`"));
}

#[test]
fn the_schema_has_a_version_and_the_document_says_which() {
    let id = schema::SCHEMA["$id"].as_str().unwrap();
    let version = schema::SCHEMA["x-version"].to_string();
    assert!(id.ends_with(&format!("/v{version}")), "{id}");
    assert!(document().contains(&format!("[output.schema.json](output.schema.json), version {version}")));
    let named: Vec<&str> =
        schema::SCHEMA["oneOf"].as_array().unwrap().iter().map(|of| of["$ref"].as_str().unwrap()).collect();
    let described = schema::SCHEMA["$defs"].as_object().unwrap().keys().filter(|name| name.starts_with("event_"));
    let described: Vec<String> = described.map(|name| format!("#/$defs/{name}")).collect();
    assert!(described.iter().all(|name| named.contains(&name.as_str())) && described.len() == named.len());
}

/// The names of all fields below a value.
fn fields(value: &Value, names: &mut Vec<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                names.push(name.clone());
                fields(value, names);
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, names)),
        _ => {}
    }
}

#[test]
fn every_field_is_explained() {
    let document = document();
    let mut names = Vec::new();
    all_lines().iter().for_each(|line| fields(&serde_json::from_str(line).unwrap(), &mut names));
    names.retain(|name| !document.contains(&format!("`{name}`")));
    names.sort();
    names.dedup();
    assert!(names.is_empty(), "not explained in docs/output.md: {}", names.join(", "));
}

#[test]
fn every_call_stands_in_the_document_with_its_fields() {
    let document = document();
    for action in calls() {
        let value = serde_json::to_value(&action).unwrap();
        let call = value["call"].as_str().unwrap();
        let row = document.lines().find(|line| line.starts_with(&format!("| `{call}` |")));
        let row = row.unwrap_or_else(|| panic!("docs/output.md has no row for the call `{call}`"));
        for name in value.as_object().unwrap().keys().filter(|name| *name != "call") {
            assert!(row.contains(&format!("`{name}`")), "{name} is missing in: {row}");
        }
    }
}

#[test]
fn every_reason_stands_in_the_document() {
    let document = document();
    let missing: Vec<&str> = Reason::ALL
        .iter()
        .map(|reason| reason.code())
        .filter(|code| !document.contains(&format!("| `{code}` |")))
        .collect();
    assert!(missing.is_empty(), "not in docs/output.md: {}", missing.join(", "));
}

/// As `explain` says it.
#[test]
fn reasons_and_findings_mean_what_the_document_says() {
    let document = document();
    let reasons = Reason::ALL.iter().map(|reason| (reason.code(), reason.means()));
    let findings = FindingKind::ALL.iter().map(|kind| (kind.code(), kind.means()));
    for (code, means) in reasons.chain(findings) {
        let row = format!("| `{code}` | {means} |");
        assert!(document.lines().any(|line| line == row), "not in docs/output.md: {row}");
    }
}

#[test]
fn every_kind_of_finding_stands_in_the_document() {
    let document = document();
    let name = |kind: &FindingKind| serde_json::to_value(kind).unwrap().as_str().unwrap().to_owned();
    let names = FindingKind::ALL.iter().map(name);
    let missing: Vec<String> = names.filter(|name| !document.contains(&format!("| `{name}` |"))).collect();
    assert!(missing.is_empty(), "not in docs/output.md: {}", missing.join(", "));
}

#[test]
fn the_summary_has_the_fields_that_scripts_rely_on() {
    let value: Value = serde_json::from_str(data().last().unwrap()).unwrap();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<std::collections::BTreeSet<_>>();
    let expect = |value: &Value, names: &[&str]| {
        let missing: Vec<&&str> = names.iter().filter(|name| !keys(value).contains(**name)).collect();
        assert!(missing.is_empty(), "{missing:?} missing in {value}");
    };
    expect(&value, &["event", "verdict", "playbook", "auto_failover", "partitions", "replicas", "given_up"]);
    expect(&value, &["serving_after_ms", "redundant_after_ms", "rpc", "blocked"]);
    expect(&value["auto_failover"], &["before", "after"]);
    expect(&value["partitions"], &["total", "healthy_before", "recovered", "blocked", "failed"]);
    expect(&value["replicas"], &["total"]);
    expect(&value["rpc"], &["reads", "mutations"]);
    expect(&value["given_up"][0], &["db", "table", "pid", "endpoint", "entries", "term"]);
    expect(&value["blocked"][0], &["db", "table", "pid", "reason", "text", "hint"]);
}
