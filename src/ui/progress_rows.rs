//! How far a run has come, as rows that fit a terminal. What matters most is there however low it is.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::{Pid, TableName, counted};
use crate::run::{Awaited, Progress, Queue, WaitedFor};

use super::arranging_rows;
use super::gauge;
use super::lines::waiting;
use super::named::named;
use super::run_counts::RunCounts;
use super::words::{elapsed, roughly};

/// Columns beside a bar: its name, its numbers, what is told of it.
const BESIDE: usize = 34;
/// So many rows for what is waited for, and for tablets.
const WAITS: usize = 3;
const TABLETS: usize = 3;
/// What has been waited for for longer than that, in milliseconds, is called slow.
pub(super) const SLOW_MS: u64 = 60_000;
/// A forecast that is shorter than this is over before anybody has read it, in milliseconds.
const SHORT_MS: u64 = 5_000;
/// How much longer than the forecast something takes at first sight.
const LATE: u64 = 20;

/// A row, and how much it matters: the smaller, the more.
type Row = (u8, String);

/// The rows, on a terminal of so many lines and columns. `since` is how long ago the tally was as it is.
pub(super) fn rows(
    run_counts: &RunCounts,
    since: Duration,
    events: &[&str],
    (lines, columns): (u16, u16),
) -> Vec<String> {
    let (lines, columns) = (usize::from(lines), usize::from(columns));
    let mut rows = match run_counts.arranging() {
        Some(arranging) => arranging_rows::rows(arranging, since, columns),
        None => bars(run_counts, since, columns),
    };
    if let (Some(progress), None) = (run_counts.progress(), run_counts.arranging()) {
        rows.extend(operations(progress, run_counts).map(|text| (5, text)));
        rows.extend(tablets(&progress.tablets, columns).into_iter().map(|text| (6, text)));
        let slow = progress.waits.iter().filter(|wait| !wait.what.is_turn());
        rows.extend(slow.take(WAITS).map(|wait| (3, slow_text(wait))));
    }
    rows.extend(blocked(run_counts).filter(|_| run_counts.arranging().is_none()).map(|text| (4, text)));
    rows.extend(
        events.iter().rev().enumerate().rev().map(|(nth, event)| (if nth == 0 { 2 } else { 7 }, (*event).to_owned())),
    );
    fitting(rows, lines)
}

/// The rows that matter most, in their order. Above them there is room for what is printed.
fn fitting(mut rows: Vec<Row>, lines: usize) -> Vec<String> {
    let room = lines.saturating_sub(1).min((lines * 2 / 3).max(3));
    while rows.len() > room {
        let least = rows.iter().map(|(rank, _)| *rank).max();
        let at = rows.iter().rposition(|(rank, _)| Some(*rank) == least);
        at.map(|at| rows.remove(at));
    }
    rows.into_iter().map(|(_, text)| text).collect()
}

fn bars(run_counts: &RunCounts, since: Duration, columns: usize) -> Vec<Row> {
    let bars = run_counts.bars();
    let mut rows = Vec::new();
    if let Some(progress) = run_counts.progress().filter(|progress| progress.replicas > 0) {
        let rate = rate(run_counts.rates().map(|rates| rates.loaded));
        let rate = if progress.loaded < progress.replicas { rate } else { String::new() };
        rows.push((4, bar("loaded", progress.loaded, progress.replicas, &format!("replicas{rate}"), columns)));
    }
    let (serving, redundant, of) = (bars.serving, bars.redundant, bars.length);
    let took = took(run_counts, since);
    rows.push((0, bar("serving", serving, of, &elapsed(took), columns)));
    rows.push((0, bar("redundant", redundant, of, &run_counts.trouble(), columns)));
    rows.extend(left(run_counts, took).map(|left| (1, left)));
    if let Some(progress) = run_counts.progress().filter(|progress| progress.followers > 0) {
        let rate = match progress.followers_back < progress.followers {
            true => rate(run_counts.rates().map(|rates| rates.back)),
            false => String::new(),
        };
        let (back, of) = (progress.followers_back, progress.followers);
        rows.push((5, bar("followers", back, of, &format!("back{rate}"), columns)));
    }
    rows
}

/// As long as there is room, and not longer than it takes to see how far it has come.
pub(super) fn bar(name: &str, done: usize, of: usize, beside: &str, columns: usize) -> String {
    gauge::bar(name, (done.min(of), of), beside, columns.saturating_sub(BESIDE).clamp(4, 40))
}

pub(super) fn rate(per_second: Option<f64>) -> String {
    match per_second {
        Some(rate) if rate >= 10.0 => format!(", {rate:.0}/s"),
        Some(rate) if rate >= 0.05 => format!(", {rate:.1}/s"),
        Some(rate) if rate > 0.0 => format!(", {:.1}/min", rate * 60.0),
        _ => String::new(),
    }
}

/// How long it has taken by now, in milliseconds.
fn took(run_counts: &RunCounts, since: Duration) -> u64 {
    let since = u64::try_from(since.as_millis()).unwrap_or(u64::MAX);
    run_counts.after_ms().unwrap_or(0).saturating_add(since)
}

/// How long it will take still: as the plan has it, and once that is over, at the rate so far.
pub(super) fn left(run_counts: &RunCounts, took: u64) -> Option<String> {
    let progress = run_counts.progress()?;
    let expected = run_counts.expected()?.redundant_after_ms;
    if expected < SHORT_MS || progress.redundant + progress.blocked >= progress.partitions {
        return None;
    }
    let missing = progress.followers.saturating_sub(progress.followers_back);
    let planned = expected.saturating_sub(took).max(operations_left(run_counts, missing));
    if hangs(progress, run_counts, took) {
        // How long that takes is in no plan.
        return Some(match planned {
            0 => format!("nobody knows how long what is slow takes (expected: {} in all)", roughly(expected)),
            planned => format!("at least {} left, once what is slow has ended", roughly(planned)),
        });
    }
    if took < expected {
        return Some(format!("about {} left", roughly(planned)));
    }
    let by_rate = run_counts.rates().map(|rates| rates.back).filter(|rate| *rate > 0.0);
    let expected_in_all = roughly(expected);
    Some(match by_rate {
        Some(rate) => {
            let left = (missing as f64 / rate * 1000.0) as u64;
            format!("about {} left at this rate (expected: {expected_in_all} in all)", roughly(left))
        }
        None if took < expected + expected / LATE => "nearly done".to_owned(),
        None => format!("expected to take {expected_in_all}"),
    })
}

/// Whether something is waited for that was to be over by now: a load that may never end, a tablet that does not answer
/// and holds up the nameserver's operations.
fn hangs(progress: &Progress, run_counts: &RunCounts, took: u64) -> bool {
    let is_slow = |wait: &&WaitedFor| wait.for_ms > SLOW_MS;
    let holds_up = |wait: &WaitedFor| {
        let servers = matches!(wait.what, Awaited::Answer | Awaited::Tablet | Awaited::Registration);
        servers || matches!(wait.what, Awaited::Load | Awaited::Appear | Awaited::Op)
    };
    let is_late = run_counts.expected().is_some_and(|expected| took > expected.serving_after_ms);
    is_late && progress.waits.iter().filter(is_slow).any(holds_up)
}

/// How long the operations that are planned for so many followers take, however late they begin.
fn operations_left(run_counts: &RunCounts, missing: usize) -> u64 {
    let (Some(progress), Some(expected)) = (run_counts.progress(), run_counts.expected()) else { return 0 };
    // What is left alone needs none.
    let blocked = progress.blocked * progress.followers / progress.partitions.max(1);
    let missing = missing.saturating_sub(blocked).min(expected.operations);
    let all_ms = expected.redundant_after_ms.saturating_sub(expected.serving_after_ms);
    (all_ms as f64 * missing as f64 / expected.operations.max(1) as f64) as u64
}

fn operations(progress: &Progress, run_counts: &RunCounts) -> Option<String> {
    let Progress { ops_done, ops_under_way, ops_queued, .. } = *progress;
    let known = ops_done + ops_under_way + ops_queued;
    let all = known.max(run_counts.expected().map_or(0, |expected| expected.operations));
    // None may begin yet, and somebody wonders why.
    let held = progress.waits.iter().find(|wait| wait.what == Awaited::Leaders && ops_done + ops_under_way == 0);
    let until = held.and_then(|wait| Some(roughly(wait.at_most_ms?.saturating_sub(wait.for_ms))));
    let beside = match until {
        Some(at_most) => format!(": they begin once every leader serves, in {at_most} at most"),
        None => format!(", {ops_under_way} under way"),
    };
    (all > 0).then(|| format!("operations {ops_done} of {all}{beside}"))
}

/// What each tablet has to load: those with the most first, as many as fit.
fn tablets(queues: &[Queue], columns: usize) -> Vec<String> {
    if queues.is_empty() {
        return Vec::new();
    }
    let mut queues: Vec<&Queue> = queues.iter().collect();
    queues.sort_by_key(|queue| std::cmp::Reverse(queue.loading + queue.queued));
    let mut rows = Vec::new();
    let mut row = format!("{} to load on", counted(queues.len(), "tablet"));
    for Queue { endpoint, loading, queued } in queues {
        let text = format!("{endpoint}: {loading} loading, {queued} queued");
        if row.chars().count() + 3 + text.chars().count() < columns {
            row += &format!(" | {text}");
            continue;
        }
        rows.push(std::mem::replace(&mut row, text));
        if rows.len() == TABLETS {
            return rows;
        }
    }
    rows.push(row);
    rows
}

/// What has been waited for for a while: `SLOW > 60 s: shop.clicks/1 loading on 10.0.0.3:10921`.
fn slow_text(wait: &WaitedFor) -> String {
    let text =
        waiting(wait.what, &wait.endpoints, wait.partitions, wait.partition.as_ref(), (wait.for_ms, wait.at_most_ms));
    if wait.for_ms > SLOW_MS { format!("SLOW > {}: {text}", roughly(SLOW_MS)) } else { text }
}

fn blocked(run_counts: &RunCounts) -> Option<String> {
    let names = |blocked: &BTreeSet<(TableName, u32)>| named(blocked.iter().map(|(table, pid)| (table, Pid(*pid))));
    run_counts.blocked().map(|blocked| format!("blocked: {}", names(blocked)))
}

#[cfg(test)]
#[path = "progress_rows_tests.rs"]
mod tests;
