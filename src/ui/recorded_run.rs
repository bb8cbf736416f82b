//! A run's record as a story: what was there, what was decided and why, what was sent and how it went, how it ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{PartitionId, Snapshot};
use crate::recovery::{Memory, Outcome, ReplicaEvidence, View};
use crate::run::{Event, Expected, Line, Milestone, RecordedRun, RunHeader, RunId, RunState, Work, why_held};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::lines::{self, Detail, Names};
use super::summary::going_on_text;
use super::words::{Numbers, command, elapsed, moment, on_off, one_line, time_of_day};
use crate::model::counted;

/// A record, or why it cannot be read.
pub struct Recorded {
    /// Which run it is.
    pub run: RunId,
    /// What it tells, and how far its run is.
    pub recorded_run: Result<(RecordedRun, RunState), String>,
}

/// A record in one line of a list. The command is what was typed, without where the program is. `now_ms` is since 1970.
pub fn records_text(records: &[Recorded], now_ms: u64, paint: Paint) -> String {
    if records.is_empty() {
        return "no records\n".to_owned();
    }
    let mut rows = Columns::headed(&["run", "began", "took", "exit", "host", "what", "cluster", "end", "command"]);
    for Recorded { run, recorded_run } in records {
        let first = [run.to_string(), moment(run.began_ms)].map(Cell::from);
        let rest: [Cell; 7] = match recorded_run {
            Ok((recorded_run, state)) => {
                let (tone, end) = end_of(recorded_run, *state);
                let begun = &recorded_run.begun;
                [
                    took(recorded_run, *state, now_ms).into(),
                    recorded_run.exit_code().map_or("-".to_owned(), |code| code.to_string()).into(),
                    begun.caller.host.as_str().into(),
                    begun.playbook.as_str().into(),
                    begun.cluster.as_str().into(),
                    Cell::new(tone, end),
                    typed(&begun.caller.command).into(),
                ]
            }
            Err(error) => {
                let end = Cell::new(Tone::Warning, format!("unreadable: {error}"));
                ["-".into(), "-".into(), "".into(), "".into(), "".into(), end, "".into()]
            }
        };
        rows.row(first.into_iter().chain(rest));
    }
    rows.text(0, paint)
}

/// How long a run took, or has taken by now.
fn took(recorded_run: &RecordedRun, state: RunState, now_ms: u64) -> String {
    match (recorded_run.took_ms(), state) {
        (Some(took), _) => elapsed(took),
        (None, RunState::Running) => elapsed(now_ms.saturating_sub(recorded_run.begun.run.began_ms)),
        (None, _) => "-".to_owned(),
    }
}

/// A command line without where the program is.
pub(super) fn typed(command: &str) -> &str {
    command.split_once(' ').map_or(command, |(_, words)| words)
}

/// How a run ended, in a few words.
pub(super) fn end_of(recorded_run: &RecordedRun, state: RunState) -> (Tone, String) {
    let ended = match recorded_run.ended() {
        Some(Line::Ended { verdict, restored: true, finished: true, .. }) => Some((Tone::Good, verdict.clone())),
        Some(Line::Ended { verdict, restored: true, .. }) => Some((Tone::Warning, verdict.clone())),
        Some(Line::Ended { verdict, held_for, .. }) if !held_for.is_empty() => {
            Some((Tone::Warning, format!("{verdict}, auto_failover kept off")))
        }
        Some(Line::Ended { verdict, restored: false, .. }) => {
            Some((Tone::Bad, format!("{verdict}, auto_failover not restored")))
        }
        _ => None,
    };
    match (state, ended) {
        (RunState::Running, _) => (Tone::Strong, "running".to_owned()),
        (RunState::Killed, _) => (Tone::Bad, "killed".to_owned()),
        (RunState::Dismissed, Some((tone, ended))) => (tone, format!("{ended}, dismissed")),
        (RunState::Dismissed, None) => (Tone::Usual, "dismissed".to_owned()),
        (RunState::Ended | RunState::Unknown, Some(ended)) => ended,
        (RunState::Ended | RunState::Unknown, None) => {
            (Tone::Bad, format!("no end recorded; it ran on {}", one_line(&recorded_run.begun.caller.host)))
        }
    }
}

/// Which part of a story is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part<'a> {
    /// All of it.
    All,
    /// What these partitions are about.
    Partitions(&'a BTreeSet<PartitionId>),
    /// Calls that did not succeed, partitions that were left alone, and what there is to know.
    Failed,
}

/// The lines of that part, in order.
pub fn story_lines<'a>(recorded_run: &'a RecordedRun, part: Part<'_>) -> Vec<&'a Line> {
    let mut called: BTreeMap<u64, Option<PartitionId>> = BTreeMap::new();
    let is_of_it = |line: &&Line| {
        let of = match line {
            Line::Sending { number, partition, .. } => {
                called.insert(*number, *partition);
                *partition
            }
            Line::Went { number, .. } => called.get(number).copied().flatten(),
            Line::Chosen { partition, .. }
            | Line::Waiting { partition, .. }
            | Line::Remembered { partition, .. }
            | Line::Reached { partition, .. }
            | Line::Released { partition, .. }
            | Line::Detached { partition, .. } => Some(*partition),
            _ => None,
        };
        match part {
            Part::All => true,
            Part::Partitions(wanted) => {
                of.is_some_and(|of| wanted.contains(&of)) || matches!(line, Line::Ended { .. } | Line::Exited { .. })
            }
            Part::Failed => match line {
                Line::Went { outcome, .. } => *outcome != Outcome::Applied,
                Line::Reached { state, .. } => *state == Milestone::Blocked,
                // What they call is told with them.
                Line::Sending { .. } | Line::Command { .. } | Line::Note { .. } => true,
                Line::Ended { .. } | Line::Exited { .. } => true,
                _ => false,
            },
        }
    };
    let lines: Vec<&Line> = recorded_run.lines.iter().filter(is_of_it).collect();
    if part != Part::Failed {
        return lines;
    }
    // A call that succeeded is of no interest then.
    let failed: BTreeSet<u64> = lines
        .iter()
        .filter_map(|line| match line {
            Line::Went { number, .. } => Some(*number),
            _ => None,
        })
        .collect();
    let answered: BTreeSet<u64> = recorded_run
        .lines
        .iter()
        .filter_map(|line| match line {
            Line::Went { number, .. } => Some(*number),
            _ => None,
        })
        .collect();
    let is_told = |line: &&Line| match line {
        Line::Sending { number, .. } | Line::Command { number, .. } => {
            failed.contains(number) || !answered.contains(number)
        }
        _ => true,
    };
    lines.into_iter().filter(is_told).collect()
}

/// The story of a run that is so far, or a part of it. Times of day are UTC.
pub fn story_text(recorded_run: &RecordedRun, state: RunState, part: Part<'_>, paint: Paint) -> String {
    let begun = &recorded_run.begun;
    let names = Names::of(&begun.snapshot);
    let mut out = heading(recorded_run);
    if let Part::Partitions(ids) = part {
        out.extend(ids.iter().map(|id| known_before(recorded_run, *id, &names)));
    }
    let lines = story_lines(recorded_run, part);
    if lines.iter().all(|line| RecordedRun::is_about_the_end(line)) {
        out += match part {
            Part::Failed => "no call failed, and no partition was left alone\n",
            Part::Partitions(ids) if ids.len() > 1 => "the run did nothing with them\n",
            Part::Partitions(_) => "the run did nothing with it\n",
            Part::All => "",
        };
    }
    let mut sent = BTreeMap::new();
    for line in lines {
        if let Some((at_ms, text)) = told(line, &names, &mut sent, paint) {
            let time = time_of_day(begun.run.began_ms.saturating_add(at_ms));
            out += &format!("{time}  {:>10}  {text}\n", elapsed(at_ms));
        }
    }
    let (tone, end) = end_of(recorded_run, state);
    let code = recorded_run.exit_code().map_or(String::new(), |code| format!(", exit code {code}"));
    out += &format!("end: {}{code}\n", paint.tone(tone, &end));
    for call in sent.values() {
        out += &format!("{} {call}\n", paint.tone(Tone::Warning, "perhaps sent, outcome not recorded:"));
    }
    out.extend(dismissed(recorded_run));
    if recorded_run.unreadable > 0 {
        out += &format!("{} could not be read\n", counted(recorded_run.unreadable, "line"));
    }
    out
}

/// What was known of a partition's replicas before the run changed anything.
fn known_before(recorded_run: &RecordedRun, id: PartitionId, names: &Names) -> String {
    let mut out = format!("{} before:\n", names.partition(Some(id)));
    for evidence in evidence(&recorded_run.begun.snapshot, id) {
        out += &format!("  {}: {}\n", evidence.endpoint, evidence_text(&evidence));
    }
    out
}

/// What is known of each of a partition's replicas.
pub(super) fn evidence(seen: &Snapshot, id: PartitionId) -> Vec<ReplicaEvidence> {
    let table = seen.tables.iter().find(|table| table.tid == id.tid);
    let found = table.and_then(|table| Some((table, table.partitions.iter().find(|found| found.pid == id.pid)?)));
    let Some((table, partition)) = found else { return Vec::new() };
    let memory = Memory::at_start(seen, table, partition, &[]);
    View::with_ops(&seen.tablets, table, partition, &memory, std::iter::empty())
        .replicas
        .iter()
        .map(ReplicaEvidence::of)
        .collect()
}

/// `leader, alive; not loaded; offset 93; snapshot at 90, term 3`.
pub(super) fn evidence_text(evidence: &ReplicaEvidence) -> String {
    let ReplicaEvidence { endpoint: _, is_leader, is_alive, held, offset, manifest } = evidence;
    let role = if *is_leader { "leader" } else { "follower" };
    let alive = if *is_alive { "alive" } else { "not alive" };
    let offset = offset.map_or("offset unknown".to_owned(), |offset| format!("offset {offset}"));
    one_line(&format!("{role}, {alive}; {held}; {offset}; {manifest}"))
}

/// Which run it is, and what it was about.
pub(super) fn heading(recorded_run: &RecordedRun) -> String {
    let begun = &recorded_run.begun;
    let caller = &begun.caller;
    let mut out = format!("run {} on {}\n", begun.run, one_line(&begun.cluster));
    out += &format!("began {} on {}, process {}\n", moment(begun.run.began_ms), one_line(&caller.host), caller.pid);
    out += &format!("$ {}\n", one_line(&caller.command));
    let partitions: BTreeSet<_> = begun.before.iter().map(|before| before.partition).collect();
    let (name, auto_failover) = (one_line(&begun.playbook), on_off(begun.auto_failover));
    out += &match begun.work() {
        Work::Recovery => {
            let (partitions, replicas) =
                (counted(partitions.len(), "partition"), counted(begun.before.len(), "replica"));
            format!("playbook {name}, {partitions} with {replicas} in scope, auto_failover {auto_failover}\n")
        }
        Work::Reconfiguration | Work::FailoverRestore | Work::Step => {
            format!("{name}, auto_failover {auto_failover}\n")
        }
    };
    if let Some(after) = &begun.after {
        out += &format!("continues run {after}\n");
    }
    out
}

fn told(line: &Line, names: &Names, sent: &mut BTreeMap<u64, String>, paint: Paint) -> Option<(u64, String)> {
    let event = |event: &Event| lines::line(event, names, Detail::Verbose, paint);
    Some(match line {
        Line::Begun(_)
        | Line::Remembered { .. }
        | Line::Progress { .. }
        | Line::Arranging { .. }
        | Line::Exited { .. }
        | Line::Dismissed { .. } => return None,
        Line::Expected { at_ms, expected } => {
            let Expected { serving_after_ms, redundant_after_ms, .. } = expected;
            let (serving, redundant) = (elapsed(*serving_after_ms), elapsed(*redundant_after_ms));
            (*at_ms, format!("expected: all serve after {serving}, all are redundant after {redundant}"))
        }
        Line::Chosen { at_ms, table, partition, choice } => {
            let (table, pid, choice) = (table.clone(), partition.pid.0, choice.clone());
            (*at_ms, event(&Event::LeaderChosen { table, pid, choice })?)
        }
        Line::Waiting { at_ms, partition, seen, .. } => {
            (*at_ms, format!("{}: waits: {}", names.partition(Some(*partition)), one_line(seen)))
        }
        Line::Sending { at_ms, number, step, partition, action, why } => {
            let call = format!("{}: {}", names.partition(*partition), command(action, Numbers::Known));
            sent.insert(*number, call.clone());
            (*at_ms, format!("{call} [{}] ({})", one_line(step), one_line(why)))
        }
        Line::Command { at_ms, number, step, command, why } => {
            let call = one_line(command);
            sent.insert(*number, call.clone());
            (*at_ms, format!("{call} [{}] ({})", one_line(step), one_line(why)))
        }
        Line::Went { at_ms, number, outcome } => {
            let call = sent.remove(number).unwrap_or_else(|| format!("call {number}"));
            (*at_ms, format!("{call}: {}", went(outcome, paint)))
        }
        Line::Reached { at_ms, table, partition, state, blocked } => {
            let (table, pid, blocked) = (table.clone(), partition.pid.0, blocked.clone());
            (*at_ms, event(&Event::Partition { table, pid, state: *state, after_ms: *at_ms, blocked })?)
        }
        Line::FailoverWanted { at_ms } => (*at_ms, "someone else switched auto_failover on".to_owned()),
        Line::Released { at_ms, partition, endpoint } => {
            let name = names.partition(Some(*partition));
            (*at_ms, format!("{name}: the nameserver may replace what {endpoint} holds, as accepted"))
        }
        Line::Detached { at_ms, partition, leader, led_from, .. } => {
            let name = names.partition(Some(*partition));
            let from = led_from.map_or(", and nobody knows how far it was when that began".to_owned(), |from| {
                format!(", and was at offset {from} when that began")
            });
            (*at_ms, format!("{name}: {leader} does not replicate to the other cluster{from}"))
        }
        Line::Note { at_ms, text } => (*at_ms, event(&Event::Note { text: text.clone() })?),
        Line::Ended { at_ms, still_going_on, held_for, .. } => {
            let going_on: Vec<String> = still_going_on.iter().map(going_on_text).collect();
            let text = if going_on.is_empty() { "nothing in progress".to_owned() } else { going_on.join("; ") };
            let kept_off = match held_for.is_empty() {
                true => String::new(),
                false => format!("; auto_failover stays off: {}", why_held(held_for)),
            };
            (*at_ms, format!("ended; {text}{kept_off}"))
        }
    })
}

/// Which run is followed.
pub fn followed_text(recorded_run: &RecordedRun) -> String {
    let RunHeader { run, caller, .. } = &recorded_run.begun;
    let (began, typed, host) = (time_of_day(run.began_ms), typed(&caller.command), one_line(&caller.host));
    format!("run {run}: `{}`, begun at {began} UTC on {host}", one_line(typed))
}

/// What was said of it after its end.
fn dismissed(recorded_run: &RecordedRun) -> Option<String> {
    recorded_run.lines.iter().find_map(|line| match line {
        Line::Dismissed { at_ms, by } => Some(format!("dismissed {} on {}\n", moment(*at_ms), one_line(&by.host))),
        _ => None,
    })
}

pub(super) fn went(outcome: &Outcome, paint: Paint) -> String {
    match outcome {
        Outcome::Applied => paint.tone(Tone::Good, "done"),
        Outcome::Refused { error, .. } => format!("{} {}", paint.tone(Tone::Warning, "refused:"), one_line(error)),
        Outcome::NotApplied(error) => format!("{} {}", paint.tone(Tone::Warning, "not done:"), one_line(error)),
        Outcome::Unknown(error) => {
            format!("{} {}", paint.tone(Tone::Warning, "unknown whether it was done:"), one_line(error))
        }
    }
}
