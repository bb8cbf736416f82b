//! A run in numbers, for people.

use std::collections::BTreeMap;

use crate::model::{Pid, TableName, counted};
use crate::recovery::Loss;
use crate::run::{AcceptedEntry, Calls, LeftAlone, Lost, Outline, RecordedRun, RunState, Work};

use super::color::{Paint, Tone};
use super::columns::Columns;
use super::named::{LISTED, named};
use super::plan::{gives_up, losses};
use super::recorded_run::{end_of, heading};
use super::words::{elapsed, one_line};

/// How far partitions came, what was left alone and given up, and the calls of each step.
pub fn outline_text(recorded_run: &RecordedRun, state: RunState, outline: &Outline, paint: Paint) -> String {
    let (tone, end) = end_of(recorded_run, state);
    let code = recorded_run.exit_code().map_or(String::new(), |code| format!(", exit code {code}"));
    let took = recorded_run.took_ms().map_or(String::new(), |took| format!(" after {}", elapsed(took)));
    let mut out = format!("{}{took}{code}\n{}", paint.tone(tone, &end), heading(recorded_run));
    if recorded_run.begun.work() == Work::Recovery {
        out += &partitions_text(outline);
    }
    for (blocked, partitions) in by_reason(&outline.blocked) {
        let names = named(partitions.iter().map(|left| (&left.table, left.partition.pid)));
        out += &format!("{} {names}: {blocked}\n", paint.tone(Tone::Bad, "blocked"));
    }
    for (loss, partitions) in accepted(&outline.accepted) {
        let label = paint.tone(Tone::Warning, "accepted as lost");
        out += &format!("{label} {}: {loss}\n", named(partitions.iter().map(|(table, pid)| (table, *pid))));
    }
    for Lost { table, partition, given_up } in outline.given_up.iter().take(LISTED) {
        let label = paint.tone(Tone::Warning, "given up");
        out += &one_line(&format!("{label} {table}/{}: {}", partition.pid, gives_up(given_up)));
        out.push('\n');
    }
    if outline.given_up.len() > LISTED {
        let more = counted(outline.given_up.len() - LISTED, "more replica");
        out += &format!(
            "given up on {more}: `openmldb-ops record show {} --html FILE` lists them\n",
            recorded_run.begun.run
        );
    }
    out + &calls_text(outline, paint)
}

/// How far partitions came, and when.
pub(super) fn partitions_text(outline: &Outline) -> String {
    let after = |ms: Option<u64>| ms.map_or(String::new(), |ms| format!(" after {}", elapsed(ms)));
    let mut out = format!(
        "{} came to serve{}, {} became redundant{}\n",
        counted(outline.serving, "partition"),
        after(outline.serving_after_ms),
        outline.redundant,
        after(outline.redundant_after_ms)
    );
    if let Some(expected) = &outline.expected {
        let (serving, redundant) = (elapsed(expected.serving_after_ms), elapsed(expected.redundant_after_ms));
        out += &format!("expected: serving after {serving}, redundant after {redundant}\n");
    }
    out
}

/// What was accepted to be lost, with the partitions of which the same was.
pub(super) fn accepted(entries: &[AcceptedEntry]) -> Vec<(String, Vec<(TableName, Pid)>)> {
    let mut partitions: BTreeMap<(TableName, Pid), Vec<Loss>> = BTreeMap::new();
    for AcceptedEntry { db, table, pid, loss } in entries {
        let table = TableName { db: db.clone(), table: table.clone() };
        partitions.entry((table, *pid)).or_default().push(loss.clone());
    }
    let mut alike: BTreeMap<String, Vec<(TableName, Pid)>> = BTreeMap::new();
    for (partition, lost) in partitions {
        alike.entry(one_line(&losses(&lost).join("; "))).or_default().push(partition);
    }
    alike.into_iter().collect()
}

/// Those that were left alone for the same reason together, by what they say and what to do.
pub(super) fn by_reason(blocked: &[LeftAlone]) -> Vec<(String, Vec<&LeftAlone>)> {
    let mut reasons: BTreeMap<&str, Vec<&LeftAlone>> = BTreeMap::new();
    blocked.iter().for_each(|left| reasons.entry(left.blocked.reason.code()).or_default().push(left));
    let text = |left: &[&LeftAlone]| {
        left.first().map_or(String::new(), |first| one_line(&format!("{}; {}", first.blocked, first.blocked.hint)))
    };
    reasons.into_values().map(|left| (text(&left), left)).collect()
}

fn calls_text(outline: &Outline, paint: Paint) -> String {
    if outline.calls.is_empty() {
        return "no calls that change anything\n".to_owned();
    }
    let mut columns = Columns::headed(&["calls", "sent", "failed", "unheard"]);
    for (step, Calls { sent, failed, unheard }) in &outline.calls {
        columns.row([one_line(step), sent.to_string(), failed.to_string(), unheard.to_string()].map(Into::into));
    }
    columns.text(0, paint)
}

/// A partition's name on one line.
pub(super) fn name_of(table: &TableName, pid: impl std::fmt::Display) -> String {
    one_line(&format!("{table}/{pid}"))
}
