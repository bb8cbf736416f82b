//! `failover restore`: nothing but restoring auto_failover to what it was before a run that did not finish.

use std::sync::Arc;

use tokio::sync::{SetOnce, watch};

use crate::cluster::{CallError, Cluster};
use crate::model::Snapshot;
use crate::snapshot::{collect, metadata};

use super::driver::Stop;
use super::error::RecoverError;
use super::event::{Event, Listener};
use super::failover::{GivenBack, Told, give_back};
use super::hold::{HeldFor, standing};
use super::known_runs::{owed, unsettled};
use super::lock::{Holder, Lock, Note};
use super::locked::locked;
use super::record::{Archive, Caller, ClusterNames, Record, RunHeader, UnfinishedWork, Work};
use super::run_id::RunId;
use super::stopping::{NOTES, unless_stopped, within_budget};

/// What giving back needs beside the cluster.
pub struct FailoverRestore {
    /// What records call the cluster.
    pub cluster_name: String,
    /// Where records are kept.
    pub archive: Arc<dyn Archive>,
    /// Who runs it.
    pub caller: Caller,
    /// What keeps runs apart.
    pub lock: Arc<dyn Lock>,
    /// Hears what happens.
    pub listener: Listener,
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where the record is put once it has begun.
    pub record: Arc<SetOnce<Record>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What is owed, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRestore {
    /// auto_failover before the run that did not finish; none if nothing is owed.
    pub was: Option<bool>,
    /// What it is now.
    pub is: bool,
    /// Who owes it, in a sentence.
    pub by: Option<String>,
    /// The replicas that the nameserver would replace, once it is on.
    pub held_for: Vec<HeldFor>,
    note: Option<Note>,
}

impl FailoverRestore {
    /// Looks what is owed. Changes nothing.
    ///
    /// # Errors
    /// The cluster, its ZooKeeper or the records cannot be asked.
    pub async fn look(&self, cluster: &Cluster) -> Result<PendingRestore, RecoverError> {
        Ok(self.find(cluster).await?.0)
    }

    async fn find(&self, cluster: &Cluster) -> Result<(PendingRestore, Snapshot), RecoverError> {
        let mut seen = metadata(cluster, &self.cluster_name, self.now_ms).await?;
        let names = ClusterNames::seen(&self.cluster_name, &seen, &self.caller.host);
        let (left, note) = unsettled(&*self.lock, &*self.archive, &names).await?;
        let was = owed(&left, note.as_ref());
        let by = match (&note, left.owed_by) {
            (Some(note), _) => Some(format!("run {} on {}", note.run, note.host)),
            (None, Some(run)) => Some(format!("run {run}")),
            (None, None) => None,
        };
        let mut held_for = standing(&left, note.as_ref(), &seen);
        if !held_for.is_empty() {
            // Whether they have been brought back since only their tablets can tell.
            seen = collect(cluster, &self.cluster_name, self.now_ms).await?;
            held_for = standing(&left, note.as_ref(), &seen);
        }
        let is = seen.auto_failover;
        Ok((PendingRestore { was, is, by: by.filter(|_| was.is_some()), held_for, note }, seen))
    }

    /// Gives it back, if anything is owed; gives what it was. A live run restores it itself. `release`: even if the
    /// nameserver then replaces what nobody has looked at.
    ///
    /// # Errors
    /// Another run is at work, it has to stay off, or it could not be restored.
    pub async fn run(&self, cluster: &Cluster, release: bool) -> Result<Option<bool>, RecoverError> {
        let holder = Holder::beginning(self.now_ms, &self.caller);
        let stopped = |stop| RecoverError::Stopped { stop };
        let work = Box::pin(self.run_locked(cluster, holder.run, release));
        locked(cluster, (&*self.lock, &holder), &self.stop, stopped, work).await
    }

    /// The nameserver may replace what it has to stay off for: written down for all runs to come. Nothing else is changed.
    ///
    /// # Errors
    /// Another run is at work, or it cannot be written down.
    pub async fn release(&self, cluster: &Cluster) -> Result<(), RecoverError> {
        self.run(cluster, true).await.map(drop)
    }

    async fn run_locked(&self, cluster: &Cluster, run: RunId, release: bool) -> Result<Option<bool>, RecoverError> {
        let looked = unless_stopped(&self.stop, self.find(cluster)).await;
        let (owed, snapshot) = looked.map_err(|stop| RecoverError::Stopped { stop })??;
        let held = &owed.held_for;
        if !held.is_empty() && !release && owed.was == Some(true) {
            return Err(RecoverError::KeptOff { held_for: owed.held_for.into() });
        }
        if owed.was.is_none() && (held.is_empty() || !release) {
            return Ok(None);
        }
        if !snapshot.identity.is_cluster() {
            return Err(RecoverError::Call(CallError::not_ours(snapshot.identity)));
        }
        let was = owed.was.unwrap_or(owed.is);
        let (work, typed) = (Work::FailoverRestore, "failover restore".to_owned());
        let begun = RunHeader {
            run,
            auto_failover: was,
            held_for: held.clone(),
            ..RunHeader::new(self.now_ms, &self.caller, work, typed, snapshot)
        };
        let record = Record::begin(&*self.archive, begun)?;
        (self.listener)(&Event::Recorded { path: record.place().to_owned() });
        if self.record.set(record.clone()).is_err() {
            tracing::error!("auto_failover is restored a second time");
        }
        held.iter().for_each(|held| record.released(held.partition, &held.endpoint));
        let told = Told { listener: &self.listener, record: &record, hold: self.lock.hold() };
        let given_back = give_back(cluster, &*self.lock, was, Vec::new(), 1.0, &told).await;
        let is_given_back = given_back == GivenBack::Done;
        record.end(if is_given_back { "restored" } else { "failed" }, is_given_back, is_given_back, Vec::new())?;
        if let Some(seen) = given_back.failed() {
            return Err(RecoverError::NotGivenBack { was, seen });
        }
        let note = owed.note.and_then(|note| note.releasing(held).owes_nothing());
        match within_budget(cluster, NOTES, self.lock.write_note(note.as_ref())).await {
            Some(left) => left?,
            None => {
                let text = "the note in ZooKeeper could not be updated: it does not answer; the next run does it";
                (self.listener)(&Event::Note { text: text.to_owned() });
            }
        }
        Ok(owed.was)
    }
}

/// Who may have left auto_failover off, if anybody did that had found it on.
pub(super) fn owed_by_an_earlier_run(left: &UnfinishedWork, note: Option<&Note>) -> Option<String> {
    owed(left, note).filter(|was| *was)?;
    Some(match note {
        Some(note) => format!("run {} on {} did not finish, and may have left it off", note.run, note.host),
        None => {
            let by = left.owed_by.map_or("an earlier run".to_owned(), |run| format!("run {run}"));
            format!("{by} did not finish, and may have left it off")
        }
    })
}
