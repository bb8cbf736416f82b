//! Takes a step: looks, checks, sends, and waits until the effect is seen. With the lock held, so beside no recovery.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;

use crate::cluster::{CallError, CallErrorKind, Cluster, Hold, Outcome as Sent};
use crate::model::{Op, OpId, Probes, Seen, Snapshot};
use crate::run::stopping::{CALLS, Hurry, NOTES, unless_stopped, within_budget};
use crate::run::{
    Archive, Caller, Holder, Lock, LockError, Record, RecordError, RunHeader, RunId, Stop, Work, outcome_of,
};
use crate::snapshot::{collect, collect_state, collect_within};

use super::arrange::Closed;
use super::effect::leaders_to_ask;
use super::outage::outage;
use super::partition_context::{Planned, Refusal};
use super::plan::plan;
use super::{Call, Effect, EffectStatus, Step, effect_status};

/// Between two looks: half of what the nameserver's own polls take.
const POLL: Duration = Duration::from_secs(1);
/// The first looks: most effects are immediate.
const POLL_FIRST: Duration = Duration::from_millis(100);
/// How long an operation that was asked for may take to show itself: RecoverTable answers 0 whether or not it began one.
const OP_SHOWS: Duration = Duration::from_secs(10);
/// How long a replica that is loading may be invisible: a memory table's shows itself at once.
const LOAD_SHOWS: Duration = Duration::from_secs(5);

/// What was done if it was told to stop early enough.
const NOTHING_SENT: &str = "stopped before anything was sent";

/// What a step needs beside the cluster.
pub struct Single {
    /// The step.
    pub step: Step,
    /// Whether what clients use now may become unavailable by it.
    pub allow_unavailable: bool,
    /// Tablets that are given nothing.
    pub closed: Closed,
    /// What errors call the cluster.
    pub cluster_name: String,
    /// What keeps it apart from runs.
    pub lock: Arc<dyn Lock>,
    /// Where records are kept.
    pub archive: Arc<dyn Archive>,
    /// Who asks.
    pub caller: Caller,
    /// How long to wait for the effect; none not to wait.
    pub wait: Option<Duration>,
    /// How much faster than ours the cluster's clock runs.
    pub pace: f64,
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where the record is put once it has begun.
    pub record: Arc<SetOnce<Record>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// A step that was taken, or would be.
#[derive(Debug)]
pub struct Performed {
    /// What was planned.
    pub planned: Planned,
    /// How it went.
    pub outcome: Outcome,
}

/// How a step went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was so already; nothing was sent.
    Already(String),
    /// The effect was seen.
    Reached(String),
    /// It was sent, and not waited for.
    Sent,
    /// Nothing was sent: it was only asked what would be.
    NotSent,
}

/// Why a step was not taken, or not to its end.
#[derive(Debug, thiserror::Error)]
pub enum OperateError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// A run is at work, or nobody knows.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be written down, so nothing was sent.
    #[error("nothing was sent: {0}")]
    Record(#[from] RecordError),
    /// Nothing was sent: another run may be at work.
    #[error("the lock was lost, so nothing was sent")]
    LockLost,
    /// Something is in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// It was told to stop.
    #[error("{text}")]
    Stopped {
        /// By what.
        stop: Stop,
        /// What was done until then.
        text: String,
    },
    /// It was sent, and the effect did not come.
    #[error("{text}")]
    Missed {
        /// What was seen.
        text: String,
        /// What to do.
        hint: String,
    },
}

impl Single {
    /// Says what would be done.
    ///
    /// # Errors
    /// The cluster does not answer, or something is in the way.
    pub async fn look(&self, cluster: &Cluster) -> Result<Performed, OperateError> {
        let seen = look_to_change(cluster, &self.cluster_name, self.now_ms, None).await?;
        let planned = self.plan(&seen)?;
        let outcome = match planned.call {
            None => Outcome::Already(text_of(effect_status(&planned.effect, &seen, newest(&seen)))),
            Some(_) => Outcome::NotSent,
        };
        Ok(Performed { planned, outcome })
    }

    fn plan(&self, seen: &Snapshot) -> Result<Planned, Refusal> {
        let planned = plan(&self.step, seen)?;
        let changes_nothing = planned.call.is_none();
        if let Some(call) = &planned.call {
            self.closed.refuse_call(call)?;
        }
        match outage(&self.step, seen) {
            Some(refusal) if !self.allow_unavailable && !changes_nothing => Err(refusal),
            Some(_) | None => Ok(planned),
        }
    }

    /// Takes it.
    ///
    /// # Errors
    /// See [`OperateError`].
    pub async fn perform(&self, cluster: &Cluster) -> Result<Performed, OperateError> {
        let holder = Holder { run: RunId { began_ms: self.now_ms, number: 0 }, caller: self.caller.clone() };
        let _hurry = Hurry::of(&self.stop, cluster);
        let done = match unless_stopped(&self.stop, self.lock.acquire(&holder)).await {
            Ok(Ok(())) => self.perform_locked(cluster).await,
            Ok(Err(error)) => return Err(error.into()),
            Err(stop) => Err(OperateError::Stopped { stop, text: NOTHING_SENT.to_owned() }),
        };
        within_budget(cluster, NOTES, self.lock.release()).await;
        done
    }

    async fn perform_locked(&self, cluster: &Cluster) -> Result<Performed, OperateError> {
        let looking = look_to_change(cluster, &self.cluster_name, self.now_ms, None);
        let looked = unless_stopped(&self.stop, looking).await;
        let seen = looked.map_err(|stop| OperateError::Stopped { stop, text: NOTHING_SENT.to_owned() })??;
        let planned = self.plan(&seen)?;
        let since = newest(&seen);
        let Some(call) = &planned.call else {
            let outcome = Outcome::Already(text_of(effect_status(&planned.effect, &seen, since)));
            return Ok(Performed { planned, outcome });
        };
        if *self.lock.hold().borrow() != Hold::Held {
            return Err(OperateError::LockLost);
        }
        let record = self.begin_record(&seen)?;
        if self.record.set(record.clone()).is_err() {
            tracing::error!("a step is taken a second time");
        }
        let mut remarks = Vec::new();
        let outcome = match self.written_down(call, &record) {
            Ok(number) => self.send(cluster, &planned, since, &record, number, &mut remarks).await,
            Err(error) => Err(error.into()),
        };
        let word = match &outcome {
            Ok(Outcome::Sent) => "sent",
            Ok(Outcome::Already(_) | Outcome::Reached(_) | Outcome::NotSent) => "reached",
            Err(OperateError::Missed { .. }) => "missed",
            Err(OperateError::Stopped { .. }) => "interrupted",
            Err(OperateError::Call(error)) if error.code().is_some() => "refused",
            Err(_) => "failed",
        };
        if let Err(error) = record.end(word, true, true, record.unanswered()) {
            remarks.push(error.to_string());
        }
        let planned = Planned { remarks: [planned.remarks.clone(), remarks].concat(), ..planned };
        Ok(Performed { planned, outcome: outcome? })
    }

    fn begin_record(&self, seen: &Snapshot) -> Result<Record, RecordError> {
        let seen = self.step.surroundings(seen);
        let begun = RunHeader::new(self.now_ms, &self.caller, Work::Step, self.step.typed(), seen);
        Record::begin(&*self.archive, begun)
    }

    /// The call is on disk, or it must not be sent.
    fn written_down(&self, call: &Call, record: &Record) -> Result<u64, RecordError> {
        let (code, why) = (self.step.code(), "it was asked for");
        let number = match call {
            Call::Action(action) => record.sending(code, None, action, why),
            _ => record.commanding(code, &self.step.to_string(), why),
        };
        record.sync().map(|()| number)
    }

    async fn send(
        &self,
        cluster: &Cluster,
        planned: &Planned,
        since: Option<OpId>,
        record: &Record,
        number: u64,
        remarks: &mut Vec<String>,
    ) -> Result<Outcome, OperateError> {
        let Some(call) = &planned.call else { return Ok(Outcome::NotSent) };
        let sent = within_budget(cluster, CALLS, send(cluster, call)).await;
        let late =
            || Err(CallError::new("the cluster", self.step.code(), CallErrorKind::DeadlineExceeded { after: CALLS }));
        let sent = sent.unwrap_or_else(late);
        record.went(number, &outcome_of(&sent));
        record.write();
        let is_perhaps_done = sent.as_ref().map_or_else(|error| error.outcome() == Sent::Unknown, |()| true);
        if is_perhaps_done
            && let Step::SetAutoFailover { .. } = self.step
            && let Some(Err(error)) = within_budget(cluster, NOTES, self.owes_nothing_any_more()).await
        {
            remarks.push(format!("the note in ZooKeeper still says what auto_failover was before: {error}"));
        }
        match sent {
            Ok(()) => {}
            // Whether it was done shows.
            Err(error) if error.outcome() == Sent::Unknown && self.wait.is_some() => {}
            Err(error) => return Err(error.into()),
        }
        let Some(wait) = self.wait else { return Ok(Outcome::Sent) };
        let seen = unless_stopped(&self.stop, self.until_seen(cluster, planned, since, wait)).await;
        let text = "it was sent, and its effect was not waited for: `openmldb-ops status` tells what came of it";
        Ok(Outcome::Reached(seen.map_err(|stop| OperateError::Stopped { stop, text: text.to_owned() })??))
    }

    /// Somebody has decided what auto_failover is to be: what a run before that has not given back is not given back any more.
    async fn owes_nothing_any_more(&self) -> Result<(), LockError> {
        let note = self.lock.note().await?.filter(|note| note.auto_failover.is_some());
        match note {
            Some(note) => self.lock.write_note(note.owes_nothing().as_ref()).await,
            None => Ok(()),
        }
    }

    async fn until_seen(
        &self,
        cluster: &Cluster,
        planned: &Planned,
        since: Option<OpId>,
        wait: Duration,
    ) -> Result<String, OperateError> {
        let (began, mut pause) = (Instant::now(), POLL_FIRST);
        loop {
            tokio::time::sleep(pause.div_f64(self.pace)).await;
            pause = (pause * 2).min(POLL);
            let waited = began.elapsed().mul_f64(self.pace);
            let text = match self.look_for(cluster, &planned.effect).await {
                Ok(seen) => match status_in_time(&planned.effect, &seen, since, waited) {
                    EffectStatus::Reached(text) => return Ok(text),
                    EffectStatus::Missed { text, hint } => return Err(OperateError::Missed { text, hint }),
                    EffectStatus::Waiting(text) => text,
                },
                // It was sent: whoever does not answer now may answer yet.
                Err(error) => error.to_string(),
            };
            if began.elapsed() >= wait {
                let text = format!("it was sent, and its effect was not seen within {} s: {text}", wait.as_secs());
                let hint = "it may still come: `openmldb-ops status` and `openmldb-ops show ops` tell".to_owned();
                return Err(OperateError::Missed { text, hint });
            }
        }
    }

    /// What an effect shows itself by, and no more: it is looked for every second.
    async fn look_for(&self, cluster: &Cluster, effect: &Effect) -> Result<Snapshot, CallError> {
        let mut seen = collect_state(cluster, &self.cluster_name, self.now_ms).await?;
        for (leader, id) in leaders_to_ask(effect, &seen) {
            let followers = match cluster.followers(&leader, id).await {
                Ok(followers) => Seen::Known(followers),
                Err(error) => Seen::Failed(error.to_string()),
            };
            if let Some(tablet) = seen.tablets.get_mut(&leader) {
                tablet.probes.insert(id, Probes { followers, ..Probes::UNASKED });
            }
        }
        if let Effect::Aggregates { table, partition, endpoint } = effect
            && let Some(storage) = seen.table(table).map(|table| table.storage)
            && let Some(tablet) = seen.tablets.get_mut(endpoint)
        {
            let aggregator = match cluster.aggregator(endpoint, *partition, storage).await {
                Ok(aggregator) => Seen::Known(aggregator),
                Err(error) => Seen::Failed(error.to_string()),
            };
            tablet.probes.insert(*partition, Probes { aggregator, ..Probes::UNASKED });
        }
        Ok(seen)
    }
}

/// Looks at a cluster that is to be changed. `answers` is how long a tablet may take to say all that it holds.
///
/// # Errors
/// It does not answer, or is no cluster.
pub(super) async fn look_to_change(
    cluster: &Cluster,
    name: &str,
    now_ms: u64,
    answers: Option<Duration>,
) -> Result<Snapshot, CallError> {
    let seen = match answers {
        Some(answers) => collect_within(cluster, name, now_ms, answers).await?,
        None => collect(cluster, name, now_ms).await?,
    };
    if seen.identity.is_cluster() { Ok(seen) } else { Err(CallError::not_ours(seen.identity)) }
}

/// Sends a call.
///
/// # Errors
/// What was seen.
pub(super) async fn send(cluster: &Cluster, call: &Call) -> Result<(), CallError> {
    match call {
        Call::Action(action) => cluster.act(action).await,
        Call::RecoverEndpoint(endpoint) => cluster.recover_endpoint(endpoint).await,
        Call::AddReplica(table, pid, endpoint) => cluster.add_replica_ns(table, *pid, endpoint).await,
        Call::DelReplica(table, pid, endpoint) => cluster.del_replica_ns(table, *pid, endpoint).await,
        Call::Migrate(table, pid, from, to) => cluster.migrate(table, *pid, from, to).await,
        Call::StandDown(endpoint, partition) => cluster.stand_down(endpoint, *partition).await,
    }
}

/// What is seen of an effect, so long (in the cluster's time) after it was asked for.
pub(super) fn status_in_time(effect: &Effect, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> EffectStatus {
    match effect_status(effect, seen, since) {
        EffectStatus::Waiting(text) => match has_stalled(effect, seen, since, waited, &text) {
            Some((text, hint)) => EffectStatus::Missed { text, hint },
            None => EffectStatus::Waiting(text),
        },
        clear => clear,
    }
}

/// What was answered with 0 and begins nothing shows itself by not showing.
fn has_stalled(
    effect: &Effect,
    seen: &Snapshot,
    since: Option<OpId>,
    waited: Duration,
    text: &str,
) -> Option<(String, String)> {
    match effect {
        Effect::Recovered { table, partition, .. }
        | Effect::Leads { table, partition, .. }
        | Effect::Gone { table, partition, .. }
        | Effect::Migrated { table, partition, .. } => {
            let mine = |op: &&Op| op.table == *table && op.pid == partition.pid && Some(op.id) > since;
            let runs = seen.ops.iter().filter(mine).any(|op| op.status.is_in_flight());
            (waited >= OP_SHOWS && !runs).then(|| {
                let name = format!("{table}/{}", partition.pid);
                let hint = format!("`openmldb-ops recover --partition {name}` does what the nameserver does not");
                (format!("the nameserver answered 0, and it came to nothing: {text}"), hint)
            })
        }
        Effect::Loaded { partition, endpoint } => {
            let held = seen.tablets.get(endpoint).and_then(|tablet| tablet.held.known())?;
            (waited >= LOAD_SHOWS && !held.contains_key(partition)).then(|| {
                let hint = "see that tablet's log, and its recycle bin; do not load it a second time".to_owned();
                (format!("the load was accepted and has vanished: {text}"), hint)
            })
        }
        Effect::Offlined { .. } | Effect::TabletRecovered { .. } => {
            let runs = seen.ops.iter().any(|op| op.status.is_in_flight() && Some(op.id) > since);
            (waited >= OP_SHOWS && !runs).then(|| {
                let hint = "`openmldb-ops show ops --state failed` names what failed; run it again, or `openmldb-ops recover --all`";
                (format!("the nameserver has nothing under way any more, and {text}"), hint.to_owned())
            })
        }
        Effect::AutoFailover(_)
        | Effect::OpOver(_)
        | Effect::Flag { .. }
        | Effect::StoodDown { .. }
        | Effect::Disconnected { .. }
        | Effect::Aggregates { .. }
        | Effect::Dropped { .. } => None,
    }
}

pub(super) fn newest(seen: &Snapshot) -> Option<OpId> {
    seen.ops.iter().map(|op| op.id).max()
}

fn text_of(effect_status: EffectStatus) -> String {
    match effect_status {
        EffectStatus::Reached(text) | EffectStatus::Waiting(text) | EffectStatus::Missed { text, .. } => text,
    }
}
