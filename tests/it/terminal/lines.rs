//! Every command prints JSON as docs/output.schema.json says, and every kind of line that the schema knows is printed by one, or is an
//! example in docs/output.md.

use std::collections::BTreeSet;

use serde_json::Value;

use super::commands::all;
use super::{CliHarness, borrowed};
use crate::output::document;
use crate::support::schema::SCHEMA;

#[tokio::test(flavor = "multi_thread")]
async fn every_command_prints_lines_as_the_schema_says() {
    let mut seen = BTreeSet::new();
    for case in all().filter(|case| !case.words.contains("--output json") && !case.words.contains("-o name")) {
        let cli_harness = CliHarness::of(case).await;
        let mut words = borrowed(&cli_harness.words);
        words.extend(["--output", "json"]);
        let mut running = cli_harness.home.start(&words);
        if case.until.is_some() {
            running.wait_for_line(|line| line.contains("\"ready\""));
            running.signal("INT");
        }
        // Whatever has run is held against the schema.
        let ran = running.end();
        assert!(!ran.stdout.is_empty(), "{}: prints nothing", case.words);
        seen.extend(ran.events().iter().map(|event| event["event"].as_str().unwrap().to_owned()));
        cli_harness.ends().await;
    }
    let document = document();
    let examples = document.lines().filter(|line| line.starts_with("{\"event\":"));
    seen.extend(
        examples.map(|line| serde_json::from_str::<Value>(line).unwrap()["event"].as_str().unwrap().to_owned()),
    );
    let known = SCHEMA["$defs"].as_object().unwrap().keys().filter_map(|name| name.strip_prefix("event_"));
    let never: Vec<&str> = known.filter(|kind| !seen.contains(*kind)).collect();
    assert!(never.is_empty(), "no command prints these, and they are no example: {never:?}");
    let titles: Vec<&str> = document.lines().filter(|line| line.starts_with("### ")).collect();
    let is_titled = |kind: &str| titles.iter().any(|title| title[4..].split(", ").any(|named| named == kind));
    let unnamed: Vec<&String> = seen.iter().filter(|kind| !document.contains(&format!("`{kind}`"))).collect();
    let untitled: Vec<_> = unnamed.into_iter().filter(|kind| !is_titled(kind)).collect();
    assert!(untitled.is_empty(), "not in docs/output.md: {untitled:?}");
}
