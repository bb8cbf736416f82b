//! JSON Lines: one object a line, its kind in `event`; docs/output.md describes each.

use std::io::{self, Write};
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;

use crate::model::{Action, Endpoint, Pid, Snapshot, TableName, Tid};
use crate::recovery::{
    Blocked, Counts, LeaderPlan, Loss, PartitionPlan, Plan, PlannedStep, PromotionMethod, Rejected, ReplicaEvidence,
};
use crate::run::{Difference, Event, Listener, PlanId, PlannedClusterStep, Status, Summary, cluster_steps};

use super::plan::{PlanContext, expected_rejections, reason_of};
use super::words::{Numbers, command};

/// Writes JSON Lines. Clones write to the same place, one whole line at a time.
#[derive(Debug)]
pub struct JsonLines<W> {
    out: Arc<Mutex<Out<W>>>,
}

#[derive(Debug)]
struct Out<W> {
    to: W,
    /// Set once writing has failed: nothing more is written after a gap.
    failed: Option<(io::ErrorKind, Option<i32>)>,
}

impl<W> Clone for JsonLines<W> {
    fn clone(&self) -> Self {
        Self { out: self.out.clone() }
    }
}

/// # Errors
/// Every method that writes fails with what writing says, and again with the same once it has.
impl<W: Write> JsonLines<W> {
    /// Lines to this writer.
    pub fn new(to: W) -> Self {
        Self { out: Arc::new(Mutex::new(Out { to, failed: None })) }
    }

    /// Something that happened in a run.
    pub fn event(&self, event: &Event) -> io::Result<()> {
        self.line(event)
    }

    /// A plan: a `partition_plan` for each partition that is not healthy, then one `plan`.
    pub fn plan(&self, plan: &Plan, context: &PlanContext<'_>) -> io::Result<()> {
        for planned in &plan.partitions {
            self.line(&PartitionPlanLine::of(planned))?;
        }
        let PlanContext { snapshot, playbook, auto_failover_before, stands, .. } = *context;
        let steps = cluster_steps(snapshot, playbook, plan, auto_failover_before, stands);
        self.line(&PlanLine {
            event: "plan",
            id: context.id,
            cluster: &context.snapshot.cluster,
            taken_at_ms: context.snapshot.taken_at_ms,
            playbook: &plan.playbook,
            counts: plan.counts,
            before: steps.before.iter().map(ClusterStepLine::of).collect(),
            after: steps.after.iter().map(ClusterStepLine::of).collect(),
        })
    }

    /// A cluster's health.
    pub fn status(&self, status: &Status) -> io::Result<()> {
        self.line(status)
    }

    /// A snapshot that was taken: in numbers if it was written to `path`, whole if it was not.
    pub fn snapshot(&self, snapshot: &Snapshot, path: Option<&str>) -> io::Result<()> {
        self.line(&SnapshotLine::of(snapshot, path))
    }

    /// Why the command failed, what to do, and where a plan does not fit.
    pub fn error(&self, message: &str, hint: Option<&str>, differences: &[Difference]) -> io::Result<()> {
        self.line(&ErrorLine { event: "error", message, hint, differences })
    }

    /// The last line.
    pub fn summary(&self, summary: &Summary) -> io::Result<()> {
        self.line(summary)
    }

    /// Any other object with an `event`, for kinds that only one command has.
    pub fn line(&self, value: &impl Serialize) -> io::Result<()> {
        self.write(&json_line(value)?)
    }

    /// A line that was made before.
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut out = self.out.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some((kind, number)) = out.failed {
            return Err(number.map_or(kind.into(), io::Error::from_raw_os_error));
        }
        let written = out.to.write_all(line).and_then(|()| out.to.flush());
        if let Err(error) = &written {
            out.failed = Some((error.kind(), error.raw_os_error()));
        }
        written
    }
}

impl<W: Write + Send + 'static> JsonLines<W> {
    /// Writes what a run tells. A reader that goes away does not stop a run; later calls give the error.
    pub fn listener(&self) -> Listener {
        let lines = self.clone();
        Arc::new(move |event| {
            let _ = lines.event(event);
        })
    }
}

/// An object as a line.
///
/// # Errors
/// It cannot be put into JSON.
pub fn json_line(value: &impl Serialize) -> io::Result<Vec<u8>> {
    let mut line = serde_json::to_vec(value)?;
    line.push(b'\n');
    Ok(line)
}

#[derive(Serialize)]
struct PartitionPlanLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    table: &'a TableName,
    pid: Pid,
    tid: Tid,
    evidence: &'a [ReplicaEvidence],
    leader: LeaderLine<'a>,
    steps: Vec<StepLine<'a>>,
    blocked: &'a Option<Blocked>,
    losses: &'a [Loss],
    if_accepted: Vec<StepLine<'a>>,
    notes: &'a [String],
}

/// As [`LeaderPlan`], but an expectation says none of its numbers, which are assumptions.
#[derive(Serialize)]
#[serde(untagged)]
enum LeaderLine<'a> {
    Decided(&'a LeaderPlan),
    AfterLoading { kind: &'static str, among: &'a [Endpoint], expected: Option<ExpectedLine<'a>> },
}

#[derive(Serialize)]
struct ExpectedLine<'a> {
    leader: &'a Endpoint,
    way: PromotionMethod,
    rejected: Vec<Rejected>,
}

#[derive(Serialize)]
struct StepLine<'a> {
    step: &'static str,
    command: String,
    action: &'a Action,
    why: String,
    expected: bool,
}

#[derive(Serialize)]
struct PlanLine<'a> {
    event: &'static str,
    id: Option<&'a PlanId>,
    cluster: &'a str,
    taken_at_ms: u64,
    playbook: &'a str,
    #[serde(flatten)]
    counts: Counts,
    before: Vec<ClusterStepLine<'a>>,
    after: Vec<ClusterStepLine<'a>>,
}

#[derive(Serialize)]
struct ClusterStepLine<'a> {
    step: &'static str,
    why: &'a str,
    commands: Vec<String>,
    actions: &'a [Action],
}

#[derive(Serialize)]
struct SnapshotLine<'a> {
    event: &'static str,
    path: Option<&'a str>,
    cluster: &'a str,
    taken_at_ms: u64,
    auto_failover: bool,
    tables: usize,
    partitions: usize,
    replicas: usize,
    tablets: usize,
    out_of_reach: Vec<OutOfReach<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    snapshot: Option<&'a Snapshot>,
}

#[derive(Serialize)]
struct OutOfReach<'a> {
    endpoint: &'a Endpoint,
    error: &'a str,
}

#[derive(Serialize)]
struct ErrorLine<'a> {
    event: &'static str,
    message: &'a str,
    hint: Option<&'a str>,
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    differences: &'a [Difference],
}

impl<'a> PartitionPlanLine<'a> {
    fn of(planned: &'a PartitionPlan) -> Self {
        Self {
            event: "partition_plan",
            table: &planned.table,
            pid: planned.partition.pid,
            tid: planned.partition.tid,
            evidence: &planned.evidence,
            leader: LeaderLine::of(planned),
            steps: planned.steps.iter().map(StepLine::of).collect(),
            blocked: &planned.blocked,
            losses: &planned.losses,
            if_accepted: planned.if_accepted.iter().map(StepLine::of).collect(),
            notes: &planned.notes,
        }
    }
}

impl<'a> LeaderLine<'a> {
    fn of(planned: &'a PartitionPlan) -> Self {
        let LeaderPlan::AfterLoading { among, expected } = &planned.leader else {
            return Self::Decided(&planned.leader);
        };
        let expected = expected.as_ref().map(|choice| ExpectedLine {
            leader: &choice.leader,
            way: choice.way,
            rejected: expected_rejections(planned, choice, among),
        });
        Self::AfterLoading { kind: "after_loading", among, expected }
    }
}

impl<'a> StepLine<'a> {
    fn of(step: &'a PlannedStep) -> Self {
        let numbers = if step.expected { Numbers::Assumed } else { Numbers::Known };
        Self {
            step: step.step,
            command: command(&step.action, numbers),
            action: &step.action,
            why: reason_of(step),
            expected: step.expected,
        }
    }
}

impl<'a> ClusterStepLine<'a> {
    fn of(step: &'a PlannedClusterStep) -> Self {
        let commands = step.actions.iter().map(|action| command(action, Numbers::Known)).collect();
        Self { step: step.step, why: &step.why, commands, actions: &step.actions }
    }
}

impl<'a> SnapshotLine<'a> {
    fn of(snapshot: &'a Snapshot, path: Option<&'a str>) -> Self {
        let partitions = || snapshot.tables.iter().flat_map(|table| &table.partitions);
        let unanswered = |(endpoint, tablet): (&'a Endpoint, &'a crate::model::Tablet)| {
            tablet.held.error().map(|error| OutOfReach { endpoint, error })
        };
        Self {
            event: "snapshot",
            path,
            cluster: &snapshot.cluster,
            taken_at_ms: snapshot.taken_at_ms,
            auto_failover: snapshot.auto_failover,
            tables: snapshot.tables.len(),
            partitions: partitions().count(),
            replicas: partitions().map(|partition| partition.replicas.len()).sum(),
            tablets: snapshot.tablets.len(),
            out_of_reach: snapshot.tablets.iter().filter_map(unanswered).collect(),
            snapshot: path.is_none().then_some(snapshot),
        }
    }
}

#[cfg(test)]
#[path = "json_tests.rs"]
mod tests;
