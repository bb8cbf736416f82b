//! A run's record as a story: what was there, what was decided and why, what was sent and how it went, how it ended.

use std::collections::{BTreeMap, BTreeSet};

use crate::recovery::Outcome;
use crate::run::{Event, Line, RecordedRun, RunId, RunState, Work, why_held};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::lines::{self, Detail, Names};
use super::summary::going_on_text;
use super::words::{Numbers, command, elapsed, moment, on_off, one_line};
use crate::model::counted;

/// A record, or why it cannot be read.
pub struct Recorded {
    /// Of which run.
    pub run: RunId,
    /// What it tells, and how far its run is.
    pub recorded_run: Result<(RecordedRun, RunState), String>,
}

/// A record in one line of a list.
pub fn records_text(records: &[Recorded], paint: Paint) -> String {
    if records.is_empty() {
        return "no records\n".to_owned();
    }
    let mut rows = Columns::headed(&["run", "began", "what", "cluster", "end"]);
    for Recorded { run, recorded_run } in records {
        let (cluster, name, tone, end) = match recorded_run {
            Ok((recorded_run, state)) => {
                let (tone, end) = end_of(recorded_run, *state);
                (recorded_run.begun.cluster.clone(), recorded_run.begun.playbook.clone(), tone, end)
            }
            Err(error) => (String::new(), String::new(), Tone::Warning, format!("unreadable: {error}")),
        };
        let (run, began) = (run.to_string(), moment(run.began_ms));
        rows.row([run.into(), began.into(), one_line(&name).into(), cluster.into(), Cell::new(tone, end)]);
    }
    rows.text(0, paint)
}

/// How a run ended, in a few words.
fn end_of(recorded_run: &RecordedRun, state: RunState) -> (Tone, String) {
    let ended = match recorded_run.ended() {
        Some(Line::Ended { verdict, restored: true, finished: true, .. }) => Some((Tone::Good, verdict.clone())),
        Some(Line::Ended { verdict, restored: true, .. }) => Some((Tone::Warning, verdict.clone())),
        Some(Line::Ended { verdict, held_for, .. }) if !held_for.is_empty() => {
            Some((Tone::Warning, format!("{verdict}, auto_failover kept off")))
        }
        Some(Line::Ended { verdict, restored: false, .. }) => {
            Some((Tone::Bad, format!("{verdict}, auto_failover not given back")))
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

/// The whole of it, of a run that is so far.
pub fn story_text(recorded_run: &RecordedRun, state: RunState, paint: Paint) -> String {
    let begun = &recorded_run.begun;
    let names = Names::of(&begun.snapshot);
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
        out += &format!("goes on after run {after}\n");
    }
    let mut sent = BTreeMap::new();
    for line in &recorded_run.lines {
        if let Some((at_ms, text)) = told(line, &names, &mut sent, paint) {
            out += &format!("{:>10}  {text}\n", elapsed(at_ms));
        }
    }
    let (tone, end) = end_of(recorded_run, state);
    out += &format!("end: {}\n", paint.tone(tone, &end));
    for call in sent.values() {
        out += &format!("{} {call}\n", paint.tone(Tone::Warning, "perhaps sent, and how it went is not recorded:"));
    }
    out.extend(dismissed(recorded_run));
    if recorded_run.unreadable > 0 {
        out += &format!("{} could not be read\n", counted(recorded_run.unreadable, "line"));
    }
    out
}

fn told(line: &Line, names: &Names, sent: &mut BTreeMap<u64, String>, paint: Paint) -> Option<(u64, String)> {
    let event = |event: &Event| lines::line(event, names, Detail::Verbose, paint);
    Some(match line {
        Line::Begun(_) | Line::Remembered { .. } | Line::Dismissed { .. } => return None,
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
        Line::FailoverWanted { at_ms } => (*at_ms, "somebody else has switched auto_failover on".to_owned()),
        Line::Released { at_ms, partition, endpoint } => {
            let name = names.partition(Some(*partition));
            (*at_ms, format!("{name}: the nameserver may replace what {endpoint} holds, as was said"))
        }
        Line::Note { at_ms, text } => (*at_ms, event(&Event::Note { text: text.clone() })?),
        Line::Ended { at_ms, still_going_on, held_for, .. } => {
            let going_on: Vec<String> = still_going_on.iter().map(going_on_text).collect();
            let text = if going_on.is_empty() { "nothing goes on".to_owned() } else { going_on.join("; ") };
            let kept_off = match held_for.is_empty() {
                true => String::new(),
                false => format!("; auto_failover stays off: {}", why_held(held_for)),
            };
            (*at_ms, format!("ended; {text}{kept_off}"))
        }
    })
}

/// What was said of it after its end.
fn dismissed(recorded_run: &RecordedRun) -> Option<String> {
    recorded_run.lines.iter().find_map(|line| match line {
        Line::Dismissed { at_ms, by } => Some(format!("dismissed {} on {}\n", moment(*at_ms), one_line(&by.host))),
        _ => None,
    })
}

fn went(outcome: &Outcome, paint: Paint) -> String {
    match outcome {
        Outcome::Applied => paint.tone(Tone::Good, "done"),
        Outcome::Refused { error, .. } => format!("{} {}", paint.tone(Tone::Warning, "refused:"), one_line(error)),
        Outcome::NotApplied(error) => format!("{} {}", paint.tone(Tone::Warning, "not done:"), one_line(error)),
        Outcome::Unknown(error) => {
            format!("{} {}", paint.tone(Tone::Warning, "nobody knows whether it was done:"), one_line(error))
        }
    }
}
