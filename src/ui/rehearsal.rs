//! How a rehearsal went, for people and for pipes.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Endpoint;
use crate::rehearse::{Busiest, Limit, Ratio, Rehearsed, Timeline, Times};
use crate::run::{Summary, Verdict};
use crate::sandbox::scenario::{Likeness, UNKNOWN_ROWS};
use crate::sandbox::world::RowCount;

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::summary::{About, blocked, verdict};
use super::words::{elapsed, listed};
use crate::model::counted;

/// The summary of a rehearsal: a run's, with what was compared and what was assumed.
#[derive(Debug, Serialize)]
pub struct RehearsalLine<'a> {
    #[serde(flatten)]
    summary: &'a Summary,
    ratio_to_limit: Ratio,
    limits: &'a Limit,
    timeline: &'a Timeline,
    rehearsed: Basis<'a>,
    rows: RowCount,
}

/// What it was rehearsed on, and what was not known of that.
#[derive(Debug, Serialize)]
struct Basis<'a> {
    cluster: &'a str,
    tablets: usize,
    replicas: usize,
    /// How many entries of the cluster one of the rehearsal stood for.
    scale: u64,
    /// Replicas of unknown length.
    guessed: usize,
    /// Tablets that did not answer when the snapshot was taken.
    missing: &'a [Endpoint],
}

impl<'a> RehearsalLine<'a> {
    /// What came of rehearsing on that likeness of that cluster.
    pub fn new(rehearsed: &'a Rehearsed, like: &'a Likeness, cluster: &'a str) -> Self {
        Self {
            summary: &rehearsed.recovered.summary,
            ratio_to_limit: rehearsed.ratio_to_limit,
            limits: &rehearsed.limit,
            timeline: &rehearsed.timeline,
            rehearsed: Basis {
                cluster,
                tablets: like.tablets().len(),
                replicas: like.entries.values().map(std::collections::BTreeMap::len).sum(),
                scale: like.scale,
                guessed: like.guessed,
                missing: &like.missing,
            },
            rows: rehearsed.rows,
        }
    }
}

/// The same for people: a line a playbook, then the rest of each. All of them are on one cluster.
pub fn rehearsals_text(all: &[RehearsalLine<'_>], paint: Paint) -> String {
    let Some(one) = all.first() else { return String::new() };
    let mut out = format!(
        "Rehearsed on {}: {}, {}, {}; everything in it went down at once and came back.\n\n",
        one.rehearsed.cluster,
        counted(one.rehearsed.tablets, "tablet"),
        counted(one.summary.partitions.total, "partition"),
        counted(one.rehearsed.replicas, "replica"),
    );
    out += &table(all, paint);
    out.push('\n');
    for line in all {
        out += &details(line, paint);
    }
    out += &one.limits.busiest.as_ref().map_or(String::new(), busiest_text);
    out + &assumptions(&one.rehearsed)
}

fn table(all: &[RehearsalLine<'_>], paint: Paint) -> String {
    let mut columns = Columns::headed(&["playbook", "all serve after", "all redundant after", "blocked", "rows"]);
    for line in all {
        let total = line.summary.partitions.total;
        let rows = match line.rows.rows_expected.saturating_sub(line.rows.rows_after) {
            0 => Cell::from("all kept"),
            missing => Cell::new(Tone::Warning, format!("{missing} not on every reachable replica")),
        };
        columns.row([
            Cell::new(Tone::Strong, line.summary.playbook.as_deref().unwrap_or("a playbook")),
            reached(&line.timeline.serving, total),
            reached(&line.timeline.redundant, total),
            why_blocked(line),
            rows,
        ]);
    }
    columns.text(2, paint)
}

/// When all were, or how many of them ever.
fn reached(times: &Times, total: usize) -> Cell {
    match times.all_ms {
        Some(ms) if times.partitions >= total => elapsed(ms).into(),
        Some(ms) => Cell::new(Tone::Warning, format!("{} of {total} after {}", times.partitions, elapsed(ms))),
        None => Cell::new(Tone::Bad, "never"),
    }
}

/// How many partitions are left alone, and for which reasons.
fn why_blocked(line: &RehearsalLine<'_>) -> Cell {
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    line.summary.blocked.iter().for_each(|entry| *reasons.entry(entry.reason).or_default() += 1);
    let each: Vec<String> = reasons.iter().map(|(reason, partitions)| format!("{partitions} {reason}")).collect();
    if each.is_empty() { "none".into() } else { Cell::new(Tone::Warning, each.join(", ")) }
}

/// What the table has no room for.
fn details(line: &RehearsalLine<'_>, paint: Paint) -> String {
    let heading = format!("== {}", line.summary.playbook.as_deref().unwrap_or("a playbook"));
    let mut out = format!("{}\n", paint.tone(Tone::Strong, &heading));
    if !matches!(line.summary.verdict, Verdict::Recovered | Verdict::Healthy) {
        let (tone, sentence) = verdict(line.summary, About::Recovery);
        out += &format!("{}\n", paint.tone(tone, &sentence));
    }
    out += &milestones(line, paint);
    if line.limits.lanes_ms > 0 {
        let lanes = elapsed(line.limits.lanes_ms);
        out += &format!(
            "Of the limit, RecoverTable's lanes in the nameserver: {lanes}; playbook fast needs none of it.\n"
        );
    }
    if line.timeline.failed_calls > 0 {
        out += &format!("Calls that failed and were dealt with: {}.\n", line.timeline.failed_calls);
    }
    blocked(&mut out, &line.summary.blocked, paint);
    out
}

fn milestones(line: &RehearsalLine<'_>, paint: Paint) -> String {
    let mut columns = Columns::headed(&["", "first", "all", "partitions", "limit", "ratio"]);
    let mut row = |name: &str, times: &Times, limit_ms: u64, ratio: Option<f64>| {
        let time = |ms: Option<u64>| ms.map_or("never".to_owned(), elapsed);
        let ratio = ratio.map_or("-".to_owned(), |ratio| format!("{ratio:.2}"));
        let cells = [
            name.to_owned(),
            time(times.first_ms),
            time(times.all_ms),
            times.partitions.to_string(),
            elapsed(limit_ms),
            ratio,
        ];
        columns.row(cells.map(Cell::from));
    };
    row("serving", &line.timeline.serving, line.limits.serving_ms, line.ratio_to_limit.serving);
    row("redundant", &line.timeline.redundant, line.limits.redundant_ms, line.ratio_to_limit.redundant);
    columns.text(2, paint)
}

fn busiest_text(busiest: &Busiest) -> String {
    let Busiest { endpoint, replicas, entries, load_ms, pool } = busiest;
    format!(
        "Busiest tablet: {endpoint}, {} with {entries} entries, {} to load {pool} at a time.\n",
        counted(*replicas, "replica"),
        elapsed(*load_ms)
    )
}

fn assumptions(about: &Basis<'_>) -> String {
    let mut out = String::new();
    if about.scale > 1 {
        out +=
            &format!("Assumed: one entry of the rehearsal stands for {}, and takes that much longer.\n", about.scale);
    }
    if about.guessed > 0 {
        out += &format!(
            "Assumed: {} of unknown length as long as the longest known of the partition, else {UNKNOWN_ROWS} entries.\n",
            counted(about.guessed, "replica")
        );
    }
    if !about.missing.is_empty() {
        out += &format!("Assumed: what did not answer stays away: {}.\n", listed(about.missing));
    }
    out
}
