//! Undertakings as text and as JSON: what would be done, each step, and what came of it.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{Endpoint, Pid, Snapshot, TableName};
use crate::operate::{Arrangement, DryRun, JobReport, Undertaking};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::words::one_line;
use crate::model::counted;

/// A step of an undertaking, as it happens.
#[derive(Serialize)]
pub struct MoveLine<'a> {
    /// `move`.
    pub event: &'static str,
    /// `db.table/pid`.
    pub partition: &'a str,
    /// The step's code.
    pub step: &'a str,
    /// The handbook's command for what is sent; null in the line that says how it went.
    pub sends: Option<&'a str>,
    /// `sent`, `reached` or `missed`.
    pub outcome: &'static str,
    /// The same for people.
    pub text: &'a str,
}

/// A tablet's share.
#[derive(Debug, Serialize)]
pub struct ShareLine {
    endpoint: Endpoint,
    replicas: usize,
    leaders: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    replicas_after: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    leaders_after: Option<usize>,
}

/// What would be done.
#[derive(Debug, Serialize)]
pub struct ArrangementLine {
    event: &'static str,
    undertaking: &'static str,
    goals: Vec<GoalLine>,
    tablets: Vec<ShareLine>,
    remarks: Vec<String>,
}

#[derive(Debug, Serialize)]
struct GoalLine {
    #[serde(flatten)]
    table: TableName,
    pid: Pid,
    replicas: Vec<Endpoint>,
    leader: Option<Endpoint>,
    why: String,
    steps: Vec<String>,
    stops_at: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct ArrangedLine {
    event: &'static str,
    undertaking: &'static str,
    partitions: usize,
    arranged: usize,
    left: Vec<LeftLine>,
    tablets: Vec<ShareLine>,
    remarks: Vec<String>,
    kept: Option<String>,
    stopped: bool,
    auto_failover: bool,
}

#[derive(Debug, Serialize)]
struct LeftLine {
    #[serde(flatten)]
    table: TableName,
    pid: Pid,
    text: String,
    hint: String,
}

fn shares(seen: &Snapshot, after: Option<&Snapshot>) -> Vec<ShareLine> {
    let (now, then) = (counts(seen), after.map(counts));
    let of = |counts: &Counts, at: &Endpoint| counts.get(at).copied().unwrap_or_default();
    let share = |endpoint: &Endpoint| {
        let ((replicas, leaders), then) = (of(&now, endpoint), then.as_ref().map(|then| of(then, endpoint)));
        let (replicas_after, leaders_after) = (then.map(|then| then.0), then.map(|then| then.1));
        ShareLine { endpoint: endpoint.clone(), replicas, leaders, replicas_after, leaders_after }
    };
    seen.tablets.keys().map(share).collect()
}

/// Replicas and leaders by tablet.
type Counts = BTreeMap<Endpoint, (usize, usize)>;

fn counts(seen: &Snapshot) -> Counts {
    let mut counts = Counts::new();
    for partition in seen.tables.iter().flat_map(|table| &table.partitions) {
        partition.replicas.iter().for_each(|replica| counts.entry(replica.endpoint.clone()).or_default().0 += 1);
        partition.leader().into_iter().for_each(|at| counts.entry(at.clone()).or_default().1 += 1);
    }
    counts
}

impl ArrangementLine {
    /// Of an arrangement, with the way to each goal, and the cluster before and after.
    pub fn of(
        undertaking: &Undertaking,
        arrangement: &Arrangement,
        walks: &[DryRun],
        (before, after): (&Snapshot, &Snapshot),
    ) -> Self {
        let goal = |dry_run: &DryRun| GoalLine {
            table: dry_run.goal.table.clone(),
            pid: dry_run.goal.pid,
            replicas: dry_run.goal.replicas.clone(),
            leader: dry_run.goal.leader.clone(),
            why: dry_run.goal.why.clone(),
            steps: dry_run.steps.iter().map(ToString::to_string).collect(),
            stops_at: dry_run.stops_at.clone(),
        };
        Self {
            event: "arrangement",
            undertaking: undertaking.name(),
            goals: walks.iter().map(goal).collect(),
            tablets: shares(before, Some(after)),
            remarks: arrangement.remarks.clone(),
        }
    }
}

impl ArrangedLine {
    /// Of what came of an undertaking.
    pub fn of(undertaking: &Undertaking, report: &JobReport) -> Self {
        let partitions = report.arrangement.goals.len();
        let left = report.left.iter().map(|(goal, refusal)| LeftLine {
            table: goal.table.clone(),
            pid: goal.pid,
            text: refusal.text.clone(),
            hint: refusal.hint.clone(),
        });
        Self {
            event: "arranged",
            undertaking: undertaking.name(),
            partitions,
            arranged: partitions.saturating_sub(report.left.len()),
            left: left.collect(),
            tablets: shares(&report.seen, None),
            remarks: report.arrangement.remarks.clone(),
            kept: report.kept.clone(),
            stopped: report.stopped.is_some(),
            auto_failover: report.seen.auto_failover,
        }
    }
}

fn shares_text(tablets: &[ShareLine], paint: Paint) -> String {
    let changes = tablets.iter().any(|share| share.replicas_after.is_some());
    let mut columns = Columns::headed(&["tablet", "replicas", "leaders"]);
    for share in tablets {
        let number = |now: usize, then: Option<usize>| match then {
            Some(then) if changes => format!("{now} -> {then}"),
            _ => now.to_string(),
        };
        columns.row([
            Cell::from(share.endpoint.as_str()),
            number(share.replicas, share.replicas_after).into(),
            number(share.leaders, share.leaders_after).into(),
        ]);
    }
    columns.text(0, paint)
}

fn remarks_text(remarks: &[String], paint: Paint) -> String {
    let note = paint.tone(Tone::Warning, "note:");
    remarks.iter().map(|remark| format!("{note} {}\n", one_line(remark))).collect()
}

/// What would be done.
pub fn arrangement_text(line: &ArrangementLine, paint: Paint) -> String {
    let mut out = paint.tone(Tone::Strong, &format!("Plan of {}", line.undertaking)) + "\n";
    if line.goals.is_empty() {
        out += "Nothing has to be done.\n";
    }
    for goal in &line.goals {
        let name = one_line(&format!("{}/{}", goal.table, goal.pid));
        out += &format!("\n{}: {}\n", paint.tone(Tone::Strong, &name), one_line(&goal.why));
        for (number, step) in goal.steps.iter().enumerate() {
            out += &format!("  {}. {}\n", number + 1, one_line(step));
        }
        if let Some(text) = &goal.stops_at {
            out += &format!("  {} {}\n", paint.tone(Tone::Bad, "stops:"), one_line(text));
        }
    }
    out + "\n" + &shares_text(&line.tablets, paint) + &remarks_text(&line.remarks, paint)
}

/// What came of it.
pub fn arranged_text(line: &ArrangedLine, paint: Paint) -> String {
    let mut out = match (line.partitions, line.left.len()) {
        (0, _) => format!("{}: nothing had to be done.\n", line.undertaking),
        (1, 0) => format!("{}: 1 partition as it is to be.\n", line.undertaking),
        (all, 0) => format!("{}: {} as they are to be.\n", line.undertaking, counted(all, "partition")),
        (all, left) => {
            format!("{}: {left} of {} not as they are to be.\n", line.undertaking, counted(all, "partition"))
        }
    };
    for left in &line.left {
        let name = one_line(&format!("{}/{}", left.table, left.pid));
        let (text, hint) = (one_line(&left.text), one_line(&left.hint));
        out += &format!("{}: {text}\n  hint: {hint}\n", paint.tone(Tone::Bad, &name));
    }
    out += &shares_text(&line.tablets, paint);
    if let Some(path) = &line.kept {
        out += &format!("What it led is written down for `upgrade post`: {path}\n");
    }
    out + &remarks_text(&line.remarks, paint)
}
