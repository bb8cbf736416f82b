//! How a rehearsal went, for people and for pipes.

use serde::Serialize;

use crate::model::Endpoint;
use crate::rehearse::{Busiest, Limit, Ratio, Rehearsed, Timeline, Times};
use crate::run::Summary;
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

/// What was rehearsed on, and what nobody knew of it.
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

/// The same for people.
pub fn rehearsal_text(line: &RehearsalLine<'_>, paint: Paint) -> String {
    let playbook = line.summary.playbook.as_deref().unwrap_or("a playbook");
    let heading = format!(
        "== {playbook} on {} ({}, {}, {})",
        line.rehearsed.cluster,
        counted(line.rehearsed.tablets, "tablet"),
        counted(line.summary.partitions.total, "partition"),
        counted(line.rehearsed.replicas, "replica"),
    );
    let (tone, sentence) = verdict(line.summary, About::Recovery);
    let mut out = format!("{}\n{}\n", paint.tone(Tone::Strong, &heading), paint.tone(tone, &sentence));
    out += &milestones(line, paint);
    if let Some(busiest) = &line.limits.busiest {
        out += &busiest_text(busiest);
    }
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
    out += &rows(&line.rows);
    out + &assumptions(&line.rehearsed)
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

fn rows(rows: &RowCount) -> String {
    let missing = rows.rows_expected.saturating_sub(rows.rows_after);
    match missing {
        0 => format!("All {} rows of the rehearsal are on every reachable replica.\n", rows.rows_expected),
        missing => {
            format!("{missing} of {} rows of the rehearsal are not on every reachable replica.\n", rows.rows_expected)
        }
    }
}

fn assumptions(about: &Basis<'_>) -> String {
    let mut out = String::new();
    if about.scale > 1 {
        out += &format!("Assumed: one entry of the rehearsal stands for {}, and takes as much longer.\n", about.scale);
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
