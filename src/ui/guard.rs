//! What a guard tells: a line an event, and figures for Prometheus.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use serde::Serialize;

use crate::guard::Shape;

use super::service::serve_text;
use super::words::{moment, one_line};

/// Something that a guard tells.
#[derive(Debug, Clone, Serialize)]
pub struct GuardLine<'a> {
    /// Always `guard`.
    pub event: &'static str,
    /// What is so from now on, or what was done.
    pub state: &'static str,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// Whether it was started to act.
    pub acts: bool,
    /// Whether clients can read and write, in few words, where that was seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<String>,
    /// In a sentence.
    pub text: &'a str,
    /// What somebody has to type or to do, if anything.
    pub next: &'a [String],
    /// How a recovery ended, where one has.
    pub verdict: Option<&'a str>,
    /// Its record.
    pub record: Option<&'a str>,
}

/// The same for people.
pub fn guard_text(line: &GuardLine<'_>) -> String {
    let service = line.service.as_ref().map_or(String::new(), |service| format!("{service}; "));
    let (at, state) = (moment(line.at_ms), line.state.replace('_', " "));
    let mut out = format!("{at}  {state}: {service}{}\n", one_line(line.text));
    for next in line.next {
        out += &format!("    next: {}\n", one_line(next));
    }
    out
}

/// A guard in numbers.
#[derive(Debug, Clone, Default)]
pub struct GuardFigures {
    /// As in the last [`GuardLine`] that says what is so.
    pub state: &'static str,
    /// Whether it was started to act.
    pub acts: bool,
    /// Whether it is the one of the guards that acts.
    pub leads: bool,
    /// Whether somebody has paused guards.
    pub paused: bool,
    /// When everything was last looked at, in milliseconds since 1970.
    pub looked_at_ms: Option<u64>,
    /// What was seen.
    pub shape: Option<Shape>,
    /// Recoveries by how they ended.
    pub recoveries: BTreeMap<String, u64>,
    /// How long the last one took until everything that could serve did.
    pub serving_ms: Option<u64>,
    /// How long the last one took until everything that could be redundant was.
    pub redundant_ms: Option<u64>,
    /// Calls: those that change nothing, and those that may.
    pub calls: (u64, u64),
    /// When the metadata were last found saved, in milliseconds since 1970.
    pub saved_at_ms: Option<u64>,
}

/// What the guard may be in.
const STATES: [&str; 8] = ["starting", "stands_by", "unseen", "well", "waits", "holds_back", "asks", "acts"];

impl GuardFigures {
    /// Whether clients could read and write when it looked last, in few words.
    pub fn service(&self) -> Option<String> {
        self.shape.as_ref().map(|shape| serve_text(shape.partitions.saturating_sub(shape.down), shape.partitions))
    }

    /// Another guard looks, or it is unknown who does.
    pub fn sees_nothing(&mut self) {
        (self.shape, self.looked_at_ms, self.paused) = (None, None, false);
    }

    /// Whether it knows what is so, or that another guard does.
    pub fn is_ready(&self) -> bool {
        !matches!(self.state, "" | "starting" | "unseen")
    }
}

/// In Prometheus' text format.
pub fn guard_metrics_text(figures: &GuardFigures) -> String {
    let mut out = String::new();
    let mut gauge =
        |name: &str, help: &str, values: &[(&str, &str, String)]| family(&mut out, "gauge", name, help, values);
    let one = |value: String| [("", "", value)];
    let flag = |is: bool| u8::from(is).to_string();
    let state = if figures.state.is_empty() { "starting" } else { figures.state };
    let states: Vec<_> = STATES.iter().map(|name| ("state", *name, flag(*name == state))).collect();
    gauge("state", "1 for the state that the guard is in.", &states);
    gauge("acts", "1 if it was started with --act.", &one(flag(figures.acts)));
    gauge("leads", "1 if it is the active one of the guards.", &one(flag(figures.leads)));
    gauge("paused", "1 if somebody has paused guards.", &one(flag(figures.paused)));
    if let Some(at) = figures.looked_at_ms {
        gauge("last_look_timestamp_seconds", "When the cluster was last looked at.", &one(seconds(at)));
    }
    if let Some(shape) = &figures.shape {
        let healthy = shape.partitions.saturating_sub(shape.down + shape.serving);
        let states = [("healthy", healthy), ("serving", shape.serving), ("down", shape.down)];
        let states = states.map(|(state, count)| ("state", state, count.to_string()));
        gauge("partitions", "Partitions; serving are those that are not redundant.", &states);
        gauge("replicas", "Replicas that metadata name.", &one(shape.replicas.to_string()));
        let missing = shape.replicas.saturating_sub(shape.loaded);
        gauge("replicas_missing", "Replicas that are not loaded.", &one(missing.to_string()));
        let tablets = [("away", shape.away.len()), ("empty", shape.empty.len())];
        let tablets = tablets.map(|(state, count)| ("state", state, count.to_string()));
        gauge("tablets", "Tablets that do not answer, and that hold nothing of what is placed on them.", &tablets);
        gauge("operations", "Operations of the nameserver under way.", &one(shape.ops.to_string()));
        gauge("auto_failover", "1 if it is on.", &one(flag(shape.auto_failover)));
    }
    for (name, help, ms) in [
        ("recovery_serving_seconds", "Of the last recovery, until all that could did serve.", figures.serving_ms),
        (
            "recovery_redundant_seconds",
            "Of the last recovery, until all that could was redundant.",
            figures.redundant_ms,
        ),
        ("metadata_saved_timestamp_seconds", "When the metadata were last found saved.", figures.saved_at_ms),
    ] {
        if let Some(ms) = ms {
            gauge(name, help, &one(seconds(ms)));
        }
    }
    let recoveries: Vec<_> =
        figures.recoveries.iter().map(|(verdict, count)| ("verdict", verdict.as_str(), count.to_string())).collect();
    family(&mut out, "counter", "recoveries_total", "Recoveries that it has run, by verdict.", &recoveries);
    let calls = [("kind", "read", figures.calls.0.to_string()), ("kind", "mutation", figures.calls.1.to_string())];
    family(&mut out, "counter", "calls_total", "Calls to the cluster's servers.", &calls);
    out
}

/// Labels are words of ours, in which nothing has to be escaped.
fn family(out: &mut String, kind: &str, name: &str, help: &str, values: &[(&str, &str, String)]) {
    // Writing to a text does not fail.
    let _ = writeln!(out, "# HELP openmldb_ops_guard_{name} {help}\n# TYPE openmldb_ops_guard_{name} {kind}");
    for (label, word, value) in values {
        let labels = if label.is_empty() { String::new() } else { format!("{{{label}=\"{word}\"}}") };
        let _ = writeln!(out, "openmldb_ops_guard_{name}{labels} {value}");
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_told_by_the_conventions_of_prometheus() {
        let shape = Shape { partitions: 9, down: 2, serving: 3, replicas: 27, loaded: 20, ..Shape::default() };
        let figures = GuardFigures {
            state: "acts",
            shape: Some(shape),
            looked_at_ms: Some(1_500),
            recoveries: BTreeMap::from([("recovered".to_owned(), 2)]),
            ..GuardFigures::default()
        };
        let text = guard_metrics_text(&figures);
        for line in [
            "openmldb_ops_guard_state{state=\"acts\"} 1",
            "openmldb_ops_guard_state{state=\"well\"} 0",
            "openmldb_ops_guard_partitions{state=\"healthy\"} 4",
            "openmldb_ops_guard_replicas_missing 7",
            "openmldb_ops_guard_last_look_timestamp_seconds 1.500",
            "openmldb_ops_guard_recoveries_total{verdict=\"recovered\"} 2",
        ] {
            assert!(text.lines().any(|told| told == line), "{line}:\n{text}");
        }
        let mut kinds = text.lines().filter(|line| line.starts_with("# TYPE "));
        assert!(kinds.all(|line| text.matches(line).count() == 1), "{text}");
        assert!(!GuardFigures::default().is_ready() && figures.is_ready());
        // One that leads no more would have the highest of all for ever.
        let mut stands_by = GuardFigures { paused: true, ..figures };
        stands_by.sees_nothing();
        let text = guard_metrics_text(&stands_by);
        assert!(
            !text.contains("partitions") && !text.contains("last_look") && text.contains("guard_paused 0"),
            "{text}"
        );
        assert!(text.contains("recoveries_total"), "what it has done stays");
    }
}
