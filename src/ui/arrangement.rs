//! Undertakings as text and as JSON: what would be done, each step, and what came of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{Endpoint, Pid, Snapshot, TableName};
use crate::operate::{DryRun, Goal, JobPlan, JobReport, Lost, Refusal, Undertaking, losses_id};
use crate::run::{PlanId, Scope, Service, Size, Sizes, Status};

use super::arrangement_blocks as blocks;
use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::room::warnings;
use super::service::service_text;
use super::words::{bytes, one_line};
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
    /// `sent`, `waiting`, `reached`, `missed`; `done` once the partition is done with.
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
    /// What its replicas take, as far as it is known; null where nothing is known.
    memory_bytes: Option<u64>,
    disk_bytes: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    memory_bytes_after: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    disk_bytes_after: Option<u64>,
}

/// What would be done.
#[derive(Debug, Serialize)]
pub struct ArrangementLine {
    event: &'static str,
    undertaking: &'static str,
    /// Whether clients can read and write.
    pub service: Service,
    goals: Vec<GoalLine>,
    tablets: Vec<ShareLine>,
    remarks: Vec<String>,
    /// What would be lost, and the id by which it is accepted.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    losses: Vec<Lost>,
    #[serde(skip_serializing_if = "Option::is_none")]
    losses_id: Option<PlanId>,
}

#[derive(Debug, Serialize)]
pub(super) struct GoalLine {
    #[serde(flatten)]
    pub(super) table: TableName,
    pub(super) pid: Pid,
    pub(super) replicas: Vec<Endpoint>,
    pub(super) leader: Option<Endpoint>,
    pub(super) why: String,
    pub(super) steps: Vec<String>,
    pub(super) stops_at: Option<String>,
}

/// What came of it.
#[derive(Debug, Serialize)]
pub struct ArrangedLine {
    event: &'static str,
    undertaking: &'static str,
    /// Whether clients can read and write.
    pub service: Service,
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
pub(super) struct LeftLine {
    #[serde(flatten)]
    pub(super) table: TableName,
    pub(super) pid: Pid,
    pub(super) text: String,
    pub(super) hint: String,
}

fn shares(seen: &Snapshot, after: Option<&Snapshot>, sizes: &Sizes) -> Vec<ShareLine> {
    let (now, then) = (counts(seen), after.map(counts));
    let (bytes, bytes_then) = (sizes.on_tablets(seen), after.map(|after| sizes.on_tablets(after)));
    let of = |counts: &Counts, at: &Endpoint| counts.get(at).copied().unwrap_or_default();
    let taken = |on: &BTreeMap<Endpoint, Size>, at: &Endpoint| on.get(at).copied().unwrap_or_default();
    let share = |endpoint: &Endpoint| {
        let ((replicas, leaders), then) = (of(&now, endpoint), then.as_ref().map(|then| of(then, endpoint)));
        let (replicas_after, leaders_after) = (then.map(|then| then.0), then.map(|then| then.1));
        let takes = taken(&bytes, endpoint);
        let then = bytes_then.as_ref().map(|then| taken(then, endpoint));
        ShareLine {
            endpoint: endpoint.clone(),
            replicas,
            leaders,
            replicas_after,
            leaders_after,
            memory_bytes: takes.memory,
            disk_bytes: takes.disk,
            memory_bytes_after: then.and_then(|then| then.memory),
            disk_bytes_after: then.and_then(|then| then.disk),
        }
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
    /// Of what was drawn, with the way to each goal, and the cluster as it is after them.
    pub fn of(undertaking: &Undertaking, drawn: &JobPlan, walks: &[DryRun], after: &Snapshot) -> Self {
        let goal = |dry_run: &DryRun| GoalLine {
            steps: dry_run.steps.iter().map(ToString::to_string).collect(),
            stops_at: dry_run.stops_at.clone(),
            ..GoalLine::of(&dry_run.goal)
        };
        let walked: BTreeSet<(&TableName, Pid)> =
            walks.iter().map(|dry_run| (&dry_run.goal.table, dry_run.goal.pid)).collect();
        let is_walked = |goal: &Goal| walked.contains(&(&goal.table, goal.pid));
        let beyond = drawn.arrangement.beyond.iter().filter(|(goal, _)| !is_walked(goal));
        let stuck =
            beyond.map(|(goal, Refusal { text, .. })| GoalLine { stops_at: Some(text.clone()), ..GoalLine::of(goal) });
        let short = drawn.arrangement.beyond.iter().filter(|(goal, _)| is_walked(goal));
        let remarks = drawn.arrangement.remarks.iter().cloned();
        let remarks = remarks.chain(short.map(|(_, Refusal { text, hint, .. })| format!("{text}; {hint}")));
        Self {
            event: "arrangement",
            undertaking: undertaking.name(),
            service: as_looked_at(&drawn.seen),
            goals: walks.iter().map(goal).chain(stuck).collect(),
            tablets: shares(&drawn.seen, Some(after), &drawn.sizes),
            remarks: remarks.chain(warnings(&drawn.seen, after, &drawn.sizes)).collect(),
            losses: drawn.lost.clone(),
            losses_id: (!drawn.lost.is_empty()).then(|| losses_id(&drawn.seen, &drawn.lost)),
        }
    }
}

/// An undertaking looks closely at the partitions of its goals only: whom the leaders of others replicate to is not asked.
fn as_looked_at(seen: &Snapshot) -> Service {
    Service::of(&Status::at_a_glance(seen, &Scope::All))
}

impl GoalLine {
    /// Without the way there.
    fn of(goal: &Goal) -> Self {
        Self {
            table: goal.table.clone(),
            pid: goal.pid,
            replicas: goal.replicas.clone(),
            leader: goal.leader.clone(),
            why: goal.why.clone(),
            steps: Vec::new(),
            stops_at: None,
        }
    }
}

impl ArrangedLine {
    /// The line for how an undertaking ended.
    pub fn of(undertaking: &Undertaking, report: &JobReport) -> Self {
        let beyond = report.arrangement.beyond.iter().map(|(goal, _)| goal);
        let all: BTreeSet<String> = report.arrangement.goals.iter().chain(beyond).map(Goal::name).collect();
        let partitions = all.len();
        let left = report.left.iter().map(|(goal, refusal)| LeftLine {
            table: goal.table.clone(),
            pid: goal.pid,
            text: refusal.text.clone(),
            hint: refusal.hint.clone(),
        });
        Self {
            event: "arranged",
            undertaking: undertaking.name(),
            service: as_looked_at(&report.seen),
            partitions,
            arranged: partitions.saturating_sub(report.left.len()),
            left: left.collect(),
            tablets: shares(&report.seen, None, &report.sizes),
            remarks: report.arrangement.remarks.clone(),
            kept: report.kept.clone(),
            stopped: report.stopped.is_some(),
            auto_failover: report.seen.auto_failover,
        }
    }
}

fn shares_text(tablets: &[ShareLine], paint: Paint) -> String {
    let changes = tablets.iter().any(|share| share.replicas_after.is_some());
    let mut names = vec!["tablet", "replicas", "leaders"];
    let has =
        |of: fn(&ShareLine) -> [Option<u64>; 2]| tablets.iter().any(|share| of(share).iter().any(Option::is_some));
    let (memory, disk) = (has(ShareLine::memory), has(ShareLine::disk));
    names.extend(memory.then_some("memory").into_iter().chain(disk.then_some("disk")));
    let mut columns = Columns::headed(&names);
    for share in tablets {
        let number = |now: usize, then: Option<usize>| match then {
            Some(then) if changes => format!("{now} -> {then}"),
            _ => now.to_string(),
        };
        let size = |[now, then]: [Option<u64>; 2]| match changes {
            true => format!("{} -> {}", bytes(now.unwrap_or(0)), bytes(then.unwrap_or(0))),
            false => bytes(now.unwrap_or(0)),
        };
        let mut cells = vec![
            Cell::from(share.endpoint.as_str()),
            number(share.replicas, share.replicas_after).into(),
            number(share.leaders, share.leaders_after).into(),
        ];
        cells.extend(memory.then(|| size(share.memory()).into()));
        cells.extend(disk.then(|| size(share.disk()).into()));
        columns.row(cells);
    }
    columns.text(0, paint)
}

impl ShareLine {
    fn memory(&self) -> [Option<u64>; 2] {
        [self.memory_bytes, self.memory_bytes_after]
    }

    fn disk(&self) -> [Option<u64>; 2] {
        [self.disk_bytes, self.disk_bytes_after]
    }
}

fn remarks_text(remarks: &[String], paint: Paint) -> String {
    let note = paint.tone(Tone::Warning, "note:");
    remarks.iter().map(|remark| format!("{note} {}\n", one_line(remark))).collect()
}

/// Whether clients can read and write, and what would be done; with `each` partition on its own, however many there are.
pub fn arrangement_text(line: &ArrangementLine, each: bool, paint: Paint) -> String {
    let mut out = service_text(&line.service, paint);
    out += &format!("{}\n", paint.tone(Tone::Strong, &format!("Plan of {}", line.undertaking)));
    if line.goals.is_empty() {
        out += "Nothing has to be done.\n";
    }
    out += &blocks::goals(&line.goals, each, paint);
    for lost in &line.losses {
        out += &format!("\n{} {}", paint.tone(Tone::Bad, "would be lost:"), one_line(&lost.in_words()));
    }
    if let Some(id) = &line.losses_id {
        out += &format!("\nto accept exactly that: the same command without --dry-run, with --accept-data-loss {id}\n");
    }
    out + "\n" + &shares_text(&line.tablets, paint) + &remarks_text(&line.remarks, paint)
}

/// Whether clients can read and write, and what came of it; with `each` partition on its own, however many are left.
pub fn undertaken_text(line: &ArrangedLine, each: bool, paint: Paint) -> String {
    service_text(&line.service, paint) + &arranged_text(line, each, paint)
}

/// What came of it, where something else says whether clients can read and write.
pub fn arranged_text(line: &ArrangedLine, each: bool, paint: Paint) -> String {
    let mut out = match (line.partitions, line.left.len()) {
        (0, _) => format!("{}: nothing had to be done.\n", line.undertaking),
        (1, 0) => format!("{}: 1 partition reached its goal.\n", line.undertaking),
        (1, _) => format!("{}: 1 partition did not reach its goal.\n", line.undertaking),
        (all, 0) => format!("{}: {} reached their goals.\n", line.undertaking, counted(all, "partition")),
        (all, left) => {
            format!("{}: {left} of {} did not reach their goals.\n", line.undertaking, counted(all, "partition"))
        }
    };
    out += &blocks::left(&line.left, each, paint);
    out += &shares_text(&line.tablets, paint);
    if let Some(path) = &line.kept {
        out += &format!("What it led is saved for `upgrade post`: {path}\n");
    }
    out + &remarks_text(&line.remarks, paint)
}
