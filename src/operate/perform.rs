//! Takes a step: looks, checks, sends, and waits until the effect is seen. With the lock held, so beside no recovery.

use std::sync::Arc;
use std::time::Duration;

use crate::cluster::{CallError, CallErrorKind, Cluster, Hold, Outcome as Answered};
use crate::model::{Endpoint, PartitionId, Probes, Snapshot, counted};
use crate::run::stopping::{CALLS, NOTES, unless_stopped, within_budget};
use crate::run::{
    LockError, Looked, OldTerms, Pauses, Record, RecordError, Said, Stop, ToCompare, Waiter, Work, WorkSession,
    some_of, until,
};
use crate::snapshot::{collect, collect_state, probe};

use super::arrange::Closed;
use super::call::{SentStep, newest, noted, unless_not_done, write_down};
use super::effect::Ask;
use super::known::Known;
use super::partition_context::{Planned, Refusal};
use super::plan::{outage, plan_knowing};
use super::{Effect, EffectStatus, Step};

/// Between two looks: most effects are immediate, and the nameserver's own polls take twice the longest.
const PAUSES: Pauses =
    Pauses { first: Duration::from_millis(100), most: Duration::from_secs(1), still: Duration::from_secs(1) };

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
    /// Within which it is taken.
    pub session: WorkSession,
    /// How long to wait for the effect; none not to wait.
    pub wait: Option<Duration>,
    /// Hears what is waited for, if that takes long.
    pub says: Arc<dyn Fn(&str) + Send + Sync>,
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
        let (seen, known) = self.look_and_compare(cluster).await?;
        let planned = self.plan(&seen, &known)?;
        let outcome = match planned.call {
            None => Outcome::Already(planned.effect.effect_status(&seen, newest(&seen)).into_text()),
            Some(_) => Outcome::NotSent,
        };
        Ok(Performed { planned, outcome })
    }

    /// What has to be compared is, and what was seen before that is old by then.
    async fn look_and_compare(&self, cluster: &Cluster) -> Result<(Snapshot, Known), OperateError> {
        let mut known = Known::before(self.session.lock.old_terms().await?);
        loop {
            let seen = self.look_at(cluster).await?;
            let wanted = self.step.definition().compares(&seen, &known);
            if wanted.is_empty() {
                return Ok((seen, known));
            }
            (self.says)(&format!("{}: comparing the rows of {}", self.step.typed(), compared(&wanted)));
            known.compare(cluster, wanted, self.session.pace, &*self.says).await;
        }
    }

    async fn look_at(&self, cluster: &Cluster) -> Result<Snapshot, CallError> {
        let mut seen = of_a_cluster(collect(cluster, &self.session.cluster_name, self.session.now_ms).await?)?;
        let asks = self.step.definition().asks_last(&seen);
        ask(cluster, &mut seen, asks).await;
        Ok(seen)
    }

    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let planned = plan_knowing(&self.step, seen, known)?;
        let changes_nothing = planned.call.is_none();
        if let (Some(_), Some(given)) = (&planned.call, &planned.gives) {
            self.closed.refuse_given(given)?;
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
        let stopped = |stop| OperateError::Stopped { stop, text: NOTHING_SENT.to_owned() };
        self.session.locked(Some(cluster), stopped, Box::pin(self.perform_locked(cluster))).await
    }

    async fn perform_locked(&self, cluster: &Cluster) -> Result<Performed, OperateError> {
        let looked = unless_stopped(&self.session.stop, self.look_and_compare(cluster)).await;
        let (seen, known) = looked.map_err(|stop| OperateError::Stopped { stop, text: NOTHING_SENT.to_owned() })??;
        let planned = self.plan(&seen, &known)?;
        let Some(call) = &planned.call else {
            let outcome = Outcome::Already(planned.effect.effect_status(&seen, newest(&seen)).into_text());
            return Ok(Performed { planned, outcome });
        };
        if *self.session.lock.hold().borrow() != Hold::Held {
            return Err(OperateError::LockLost);
        }
        let (name, around) = (self.step.typed(), self.step.surroundings(&seen));
        let record = self.session.begin(self.session.header(Work::Step, name, around))?;
        // It is sent because of that.
        known.compared().iter().for_each(|text| record.note(text));
        let mut remarks = Vec::new();
        if let Err(error) = self.doubts_terms(&seen).await {
            drop(record.end("failed", true, true, Vec::new()));
            return Err(error.into());
        }
        let outcome = match write_down(&record, (&self.step, None), call, "it was asked for") {
            Ok(number) => self.send(cluster, &planned, &seen, &record, number, &mut remarks).await,
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

    async fn send(
        &self,
        cluster: &Cluster,
        planned: &Planned,
        seen: &Snapshot,
        record: &Record,
        number: u64,
        remarks: &mut Vec<String>,
    ) -> Result<Outcome, OperateError> {
        let Some(call) = &planned.call else { return Ok(Outcome::NotSent) };
        let sent = within_budget(cluster, CALLS, cluster.act(call)).await;
        let late =
            || Err(CallError::new("the cluster", self.step.code(), CallErrorKind::DeadlineExceeded { after: CALLS }));
        let sent = noted(record, number, sent.unwrap_or_else(late));
        let may_be_done = sent.as_ref().map_or_else(|error| error.outcome() == Answered::Unknown, |()| true);
        if may_be_done
            && let Step::SetAutoFailover { .. } = self.step
            && let Some(Err(error)) = within_budget(cluster, NOTES, self.owes_nothing_any_more()).await
        {
            remarks.push(format!("the note in ZooKeeper still says what auto_failover was before: {error}"));
        }
        let Some(timeout) = self.wait else { return Ok(sent.map(|()| Outcome::Sent)?) };
        unless_not_done(sent)?;
        let sent = SentStep::now(self.step.clone(), planned.clone(), seen);
        let sent = Sent { single: self, cluster, sent, timeout, said: Said::now() };
        let (pauses, stop) = (PAUSES.on_its_clock(self.session.pace), &self.session.stop);
        let seen = unless_stopped(stop, until(sent, pauses, stop.clone())).await;
        let text = "sent without waiting for its effect: check `openmldb-ops status`";
        Ok(Outcome::Reached(seen.map_err(|stop| OperateError::Stopped { stop, text: text.to_owned() })??))
    }

    /// Whoever recovers a partition has to know that its history of terms is from a backup, before it has it.
    async fn doubts_terms(&self, seen: &Snapshot) -> Result<(), LockError> {
        let Step::SetTerms { table, pid, kept } = &self.step else { return Ok(()) };
        let Some((table, _)) = seen.partition(table, *pid) else { return Ok(()) };
        let (lock, id) = (&self.session.lock, PartitionId { tid: table.tid, pid: *pid });
        let old = OldTerms::with(lock.old_terms().await?, &kept.from, id);
        lock.write_old_terms(Some(&old)).await.map(drop)
    }

    /// Somebody has decided what auto_failover is to be: what a run before that has not restored is not restored any
    /// more.
    async fn owes_nothing_any_more(&self) -> Result<(), LockError> {
        let lock = &self.session.lock;
        let note = lock.note().await?.filter(|note| note.auto_failover.is_some());
        match note {
            Some(note) => lock.write_note(note.owes_nothing().as_ref()).await,
            None => Ok(()),
        }
    }

    /// What an effect shows itself by, and no more: it is looked for every second.
    async fn look_for(&self, cluster: &Cluster, effect: &dyn Effect) -> Result<Snapshot, CallError> {
        let mut seen = collect_state(cluster, &self.session.cluster_name, self.session.now_ms).await?;
        let asks = effect.asks(&seen);
        ask(cluster, &mut seen, asks).await;
        Ok(seen)
    }
}

/// A step that was sent, until its effect is seen.
struct Sent<'a> {
    single: &'a Single,
    cluster: &'a Cluster,
    sent: SentStep,
    timeout: Duration,
    said: Said,
}

impl Waiter for Sent<'_> {
    type End = Result<String, OperateError>;

    async fn look(&mut self) -> Looked<Self::End> {
        let (single, sent, pace) = (self.single, &self.sent, self.single.session.pace);
        let status = match single.look_for(self.cluster, &*sent.planned.effect).await {
            Ok(seen) => sent.status(&seen, pace, self.timeout),
            // A server that does not answer now may still answer.
            Err(error) => sent.in_time(error.to_string(), self.timeout),
        };
        match status {
            EffectStatus::Reached(text) => Looked::Ends(Ok(text)),
            EffectStatus::Missed { text, hint } => Looked::Ends(Err(OperateError::Missed { text, hint })),
            EffectStatus::Waiting(text) => {
                if self.said.is_due(pace) {
                    let waited = sent.at.elapsed().as_secs();
                    (single.says)(&format!("{}: waiting for {waited} s: {text}", single.step.typed()));
                }
                Looked::Waits(sent.at)
            }
        }
    }
}

/// Whose rows are compared.
fn compared(wanted: &[ToCompare]) -> String {
    match wanted {
        [only] => {
            let places: Vec<&str> = only.replicas.iter().map(Endpoint::as_str).collect();
            format!("{}/{} on {}", only.table, only.partition.pid, some_of(&places))
        }
        _ => counted(wanted.len(), "partition"),
    }
}

/// Asks tablets about replicas, beside what is known of them.
async fn ask(cluster: &Cluster, seen: &mut Snapshot, asks: Vec<Ask>) {
    for Ask { probe: question, partition } in asks {
        let table = seen.tables.iter().find(|table| table.tid == partition.tid);
        let Some(storage) = table.map(|table| table.storage) else { continue };
        if let Some(tablet) = seen.tablets.get_mut(&question.endpoint) {
            let probes = tablet.probes.entry(partition).or_insert(Probes::UNASKED);
            probe(cluster, &question, partition, storage, probes).await;
        }
    }
}

/// What was seen, if it is of a cluster: nothing else is ever changed.
///
/// # Errors
/// It is not.
pub(super) fn of_a_cluster(seen: Snapshot) -> Result<Snapshot, CallError> {
    if seen.identity.is_cluster() { Ok(seen) } else { Err(CallError::not_ours(seen.identity)) }
}
