//! The cluster's steps before and after: auto_failover off, what it left behind settled, and auto_failover restored.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster, Hold};
use crate::model::{Action, Op, Pid, Snapshot, TableName, Verb, counted_that};
use crate::playbook::{AutoFailover, ClusterStep, SettleThen};
use crate::recovery::Outcome;

use super::cluster_steps::{cancelling, offline, switching_off};
use super::dispatch::send;
use super::driver::Stop;
use super::event::{Event, Listener};
use super::hold::HeldFor;
use super::lock::Lock;
use super::looks::{Looked, Pauses, Waiter, until};
use super::record::{Record, RecordError};
use super::resume_snapshots::resume;
use super::stopping::{CALLS, FAILOVER, within_budget};
use super::waits::{Awaited, Named, Waits, millis};

/// Between two looks at auto_failover.
const POLL: Duration = Duration::from_millis(500);
/// Between two looks at operations that are to end.
const OPS: Pauses = Pauses { first: POLL, most: POLL, still: POLL };
/// How long cancelled operations may take to be gone.
const CANCELLED: Duration = Duration::from_secs(30);
/// How long the operations that OfflineEndpoint begins may take: an election each, two at a time.
const OFFLINED: Duration = Duration::from_secs(10 * 60);
/// Tries of switching auto_failover off.
const OFF_TRIES: u32 = 3;
/// How long restoring auto_failover may take, whatever else is going on.
pub const RESTORE_DEADLINE: Duration = Duration::from_secs(90);

/// A cluster step that failed.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// What was to be done could not be written down.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The lock was lost, so another run may be at work.
    #[error("the lock was lost")]
    LockLost,
    /// auto_failover could not be switched off.
    #[error("auto_failover could not be switched off: {0}")]
    NotOff(String),
    /// The cluster does not answer after its lost tablets were taken out of service.
    #[error("the cluster could not be checked after its lost tablets were taken out of service: {0}")]
    NotSeenAgain(String),
    /// The playbook blocks on operations under way.
    #[error("{} still under way, first {first}; the playbook says `then: block`", counted_that(*count, "operation", Verb::Be))]
    OpsUnderWay {
        /// How many.
        count: usize,
        /// The first one.
        first: String,
    },
}

/// What the cluster's steps need beside the cluster.
pub(super) struct Before<'a> {
    /// The cluster as it was found.
    pub(super) snapshot: &'a Snapshot,
    /// The partitions in scope that are not healthy: only operations on these are cancelled.
    pub(super) mine: &'a BTreeSet<(TableName, Pid)>,
    /// How much faster than ours the cluster's clock runs.
    pub(super) pace: f64,
    /// Who is told.
    pub(super) told: &'a Told<'a>,
    /// Tells when to stop; what is waited for is then waited for no longer.
    pub(super) stop: watch::Receiver<Stop>,
}

/// Who is told what is done: the listener, and the record before it is done.
pub(super) struct Told<'a> {
    /// Hears what happens.
    pub(super) listener: &'a Listener,
    /// Where it is written down.
    pub(super) record: &'a Record,
    /// Whether the lock is still held: nothing is done while nobody knows.
    pub(super) hold: watch::Receiver<Hold>,
}

impl Told<'_> {
    async fn may_act(&self) -> Result<(), StepError> {
        let mut hold = self.hold.clone();
        match hold.wait_for(|hold| *hold != Hold::Suspended).await.map(|hold| *hold) {
            Ok(Hold::Lost) => Err(StepError::LockLost),
            Ok(Hold::Held | Hold::Suspended) | Err(_) => Ok(()),
        }
    }
}

/// The cluster's steps before any partition is touched.
///
/// # Errors
/// Why no partition may be touched.
pub(super) async fn prepare(cluster: &Cluster, steps: &[ClusterStep], before: &Before<'_>) -> Result<(), StepError> {
    let Before { snapshot, told, .. } = before;
    for step in steps {
        if *before.stop.borrow() != Stop::No {
            return Ok(());
        }
        match step {
            ClusterStep::AutoFailover(AutoFailover::Off) if snapshot.auto_failover => {
                switch_off(cluster, step.key(), told).await?;
            }
            ClusterStep::AutoFailover(_) => {}
            ClusterStep::SettleOps { timeout, then } => {
                settle(cluster, timeout.div_f64(before.pace), *then, before).await?;
            }
            ClusterStep::ResumeSnapshots => resume(cluster, snapshot, told).await?,
            ClusterStep::OfflineTablets { .. } => stand_in(cluster, step.key(), before).await?,
            // The driver does, while everything else goes on.
            ClusterStep::WaitForTablets { .. } => {}
        }
    }
    Ok(())
}

/// OfflineEndpoint answers 0 whatever comes of it, and begins operations: they are waited for.
async fn stand_in(cluster: &Cluster, step: &'static str, before: &Before<'_>) -> Result<(), StepError> {
    let (actions, why) = offline(before.snapshot);
    let is_any_lost = !actions.is_empty();
    for action in actions {
        act(cluster, step, action, why, before.told).await?;
    }
    let is_its = |op: &Op| before.snapshot.ops.iter().all(|known| known.id != op.id);
    if is_any_lost {
        OpsToEnd::new(cluster, OFFLINED.div_f64(before.pace), before, is_its).left().await?;
    }
    Ok(())
}

/// Switches auto_failover off. The answer may be lost and the change made, or lost with the nameserver it was for and not
/// made: what counts is what is read, and what is still on is tried again.
pub(super) async fn switch_off(cluster: &Cluster, step: &'static str, told: &Told<'_>) -> Result<(), StepError> {
    let (off, why) = switching_off();
    let mut tries = 0;
    loop {
        let Some(error) = act(cluster, step, off.clone(), why, told).await? else {
            return Ok(());
        };
        if !cluster.auto_failover().await? {
            return Ok(());
        }
        tries += 1;
        if tries >= OFF_TRIES {
            return Err(StepError::NotOff(error));
        }
        tokio::time::sleep(POLL).await;
    }
}

/// Sends one action of the cluster's steps; gives the error if it did not simply succeed.
pub(super) async fn act(
    cluster: &Cluster,
    step: &'static str,
    action: Action,
    why: &str,
    told: &Told<'_>,
) -> Result<Option<String>, StepError> {
    told.may_act().await?;
    let number = told.record.sending(step, None, &action, why);
    told.record.sync()?;
    Ok(act_now(cluster, step, action, why, told, number).await)
}

/// The same, written down or not: restoring auto_failover does not wait for a disk.
async fn act_now(
    cluster: &Cluster,
    step: &'static str,
    action: Action,
    why: &str,
    told: &Told<'_>,
    number: u64,
) -> Option<String> {
    (told.listener)(&Event::Action { step, partition: None, action: action.clone(), why: why.to_owned() });
    let outcome = send(cluster, &action).await;
    told.record.went(number, &outcome);
    told.record.write();
    let error = match outcome {
        Outcome::Applied => return None,
        Outcome::Refused { error, .. } | Outcome::NotApplied(error) | Outcome::Unknown(error) => error,
    };
    (told.listener)(&Event::ActionFailed { step, partition: None, action, error: error.clone() });
    Some(error)
}

/// Waits for operations to end; cancels those in scope that do not.
async fn settle(cluster: &Cluster, timeout: Duration, then: SettleThen, before: &Before<'_>) -> Result<(), StepError> {
    let told = before.told;
    let mine = |op: &Op| before.mine.contains(&(op.table.clone(), op.pid));
    let left = OpsToEnd::new(cluster, timeout, before, |_| true).left().await?;
    if *before.stop.borrow() != Stop::No {
        return Ok(());
    }
    let Some(first) = left.first() else { return Ok(()) };
    if then == SettleThen::Block {
        let first = format!("{} ({} on {}/{})", first.id, first.kind.name(), first.table, first.pid);
        return Err(StepError::OpsUnderWay { count: left.len(), first });
    }
    for (cancel, why) in cancelling(left.iter().filter(|op| mine(op))) {
        // 312 means that it ended meanwhile; either way the next look tells.
        act(cluster, "settle_ops", cancel, &why, told).await?;
    }
    let left = OpsToEnd::new(cluster, CANCELLED.div_f64(before.pace), before, mine).left().await?;
    for op in &left {
        let text = format!(
            "operation {} ({} on {}/{}) is still running although it was cancelled",
            op.id,
            op.kind.name(),
            op.table,
            op.pid
        );
        (told.listener)(&Event::Note { text });
    }
    Ok(())
}

/// Operations that are waited for before any partition is touched.
struct OpsToEnd<'a, F> {
    cluster: &'a Cluster,
    before: &'a Before<'a>,
    /// Which of them.
    counts: F,
    began: Instant,
    timeout: Duration,
    waits: Waits,
}

impl<'a, F: Fn(&Op) -> bool + Send + Sync> OpsToEnd<'a, F> {
    fn new(cluster: &'a Cluster, timeout: Duration, before: &'a Before<'a>, counts: F) -> Self {
        Self { cluster, before, counts, began: Instant::now(), timeout, waits: Waits::new() }
    }

    /// Gives those that have not ended in time.
    async fn left(self) -> Result<Vec<Op>, CallError> {
        let (pauses, stop) = (OPS.on_its_clock(self.before.pace), self.before.stop.clone());
        until(self, pauses, stop).await
    }
}

impl<F: Fn(&Op) -> bool + Send + Sync> Waiter for OpsToEnd<'_, F> {
    type End = Result<Vec<Op>, CallError>;

    async fn look(&mut self) -> Looked<Self::End> {
        let Before { pace, told, stop, .. } = self.before;
        let mut ops = match self.cluster.ops().await {
            Ok(ops) => ops,
            Err(error) => return Looked::Ends(Err(error)),
        };
        ops.retain(|op| op.status.is_in_flight() && (self.counts)(op));
        let waited = self.began.elapsed();
        if ops.is_empty() || waited >= self.timeout || *stop.borrow() != Stop::No {
            return Looked::Ends(Ok(ops));
        }
        let waited = waited.mul_f64(*pace);
        if self.waits.is_due(Awaited::Op, waited) {
            (told.listener)(&waiting_for_ops(&ops, waited, self.timeout.mul_f64(*pace)));
        }
        Looked::Waits(Instant::now())
    }
}

/// Operations are waited for before any partition is touched, and that is said.
fn waiting_for_ops(ops: &[Op], waited: Duration, at_most: Duration) -> Event {
    let partitions: BTreeSet<(&TableName, Pid)> = ops.iter().map(|op| (&op.table, op.pid)).collect();
    Event::Waiting {
        what: Awaited::Op,
        endpoints: Vec::new(),
        partitions: partitions.len(),
        partition: ops.first().map(|op| Named { table: op.table.clone(), pid: op.pid.0 }),
        for_ms: millis(waited),
        at_most_ms: Some(millis(at_most)),
    }
}

/// Why auto_failover is set at the end.
const SO_BEFORE: &str = "it was so before";
/// Why it is switched off at the end, where somebody has switched it on meanwhile.
const KEPT_OFF: &str =
    "the nameserver would replace replicas that have not been checked or that hold more than their leader";

/// What became of auto_failover at the end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GivenBack {
    /// It is what it was, or the run that has taken over the lock restores it.
    Done,
    /// It stays off, because of these.
    KeptOff(Vec<HeldFor>),
    /// It could not be set: what was seen last.
    Failed(String),
}

impl GivenBack {
    /// What is owed still, where it was that.
    pub(super) fn owes(&self, was: bool) -> Option<bool> {
        (*self != Self::Done).then_some(was)
    }

    /// Why it could not be set, if so.
    pub(super) fn failed(&self) -> Option<String> {
        match self {
            Self::Failed(seen) => Some(seen.clone()),
            Self::Done | Self::KeptOff(_) => None,
        }
    }

    /// The replicas for which it stays off.
    pub(super) fn held_for(&self) -> &[HeldFor] {
        match self {
            Self::KeptOff(held) => held,
            Self::Done | Self::Failed(_) => &[],
        }
    }
}

/// Restores auto_failover to what it was, unless there are replicas that it must stay off for; or the lock was lost to
/// another run: that one knows what it was, from the note.
pub(super) async fn give_back(
    cluster: &Cluster,
    lock: &dyn Lock,
    was: bool,
    held: Vec<HeldFor>,
    pace: f64,
    told: &Told<'_>,
) -> GivenBack {
    if *told.hold.borrow() == Hold::Lost
        && let Some(Ok(Some(other))) = within_budget(cluster, CALLS, lock.holder()).await
    {
        let text = format!("{} has taken over and restores auto_failover", other.text());
        (told.listener)(&Event::Note { text });
        return GivenBack::Done;
    }
    let held = if was { held } else { Vec::new() };
    told.record.keeps_off_for(&held);
    let (on, why) = if held.is_empty() { (was, SO_BEFORE) } else { (false, KEPT_OFF) };
    match restore(cluster, on, why, pace, told).await {
        Err(seen) => GivenBack::Failed(seen),
        Ok(()) if held.is_empty() => GivenBack::Done,
        Ok(()) => GivenBack::KeptOff(held),
    }
}

/// Restores auto_failover, with a deadline of its own, and within the budget of a run that is told to stop. Repeats
/// until it reads what it was. `pace` is how much faster than ours the cluster's clock runs.
///
/// # Errors
/// What was seen last; the operator has to do it by hand.
pub(super) async fn restore(cluster: &Cluster, on: bool, why: &str, pace: f64, told: &Told<'_>) -> Result<(), String> {
    let last = Mutex::new("not tried".to_owned());
    let trying = try_to_restore(cluster, on, why, pace, told, &last);
    let restored = within_budget(cluster, FAILOVER, trying).await;
    let seen = || last.lock().unwrap_or_else(PoisonError::into_inner).clone();
    match restored {
        Some(true) => {
            told.record.gave_failover_back();
            Ok(())
        }
        Some(false) | None => Err(seen()),
    }
}

async fn try_to_restore(
    cluster: &Cluster,
    on: bool,
    why: &str,
    pace: f64,
    told: &Told<'_>,
    last: &Mutex<String>,
) -> bool {
    let deadline = Instant::now() + RESTORE_DEADLINE.div_f64(pace);
    let saw = |error: String| *last.lock().unwrap_or_else(PoisonError::into_inner) = error;
    let mut looked_again = false;
    loop {
        let now = tokio::time::timeout_at(deadline, cluster.auto_failover()).await;
        match now {
            // A ConfSet of ours that was not answered may still be carried out: it is set once more, after that one.
            Ok(Ok(value)) if value == on && !told.record.is_failover_in_doubt() => return true,
            Ok(Ok(_)) => {
                let was_in_doubt = told.record.is_failover_in_doubt();
                let action = Action::SetAutoFailover { on };
                // It is restored even where that cannot be written down: the end of the run says so.
                let number = told.record.sending_all_the_same("auto_failover", &action, why);
                let change = act_now(cluster, "auto_failover", action, why, told, number);
                match tokio::time::timeout_at(deadline, change).await {
                    Ok(Some(error)) => saw(error),
                    // The usual case: done, and one more look tells. What was in doubt is given time to come all the same.
                    Ok(None) if !std::mem::replace(&mut looked_again, true) && !was_in_doubt => continue,
                    Ok(None) | Err(_) => {}
                }
            }
            Ok(Err(error)) => saw(error.to_string()),
            Err(_) => {}
        }
        if Instant::now() >= deadline {
            return false;
        }
        tokio::time::sleep(POLL.div_f64(pace)).await;
    }
}

#[cfg(test)]
#[path = "failover_tests.rs"]
mod tests;
