//! `failover restore`: nothing but restoring auto_failover to what it was before a run that did not finish.

use crate::cluster::{CallError, Cluster};
use crate::model::Snapshot;
use crate::snapshot::{collect, metadata};

use super::error::RecoverError;
use super::hold::{HeldFor, standing};
use super::known_runs::owed;
use super::lock::Note;
use super::record::{RunHeader, UnfinishedWork, Work};
use super::work_session::{Ending, WorkSession};

/// Restoring auto_failover, as work of its own.
pub struct FailoverRestore {
    /// Within which it is done.
    pub session: WorkSession,
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
        let (name, now_ms) = (&self.session.cluster_name, self.session.now_ms);
        let mut seen = metadata(cluster, name, now_ms).await?;
        let (left, note) = self.session.unsettled(&seen).await?;
        let was = owed(&left, note.as_ref());
        let by = match (&note, left.owed_by) {
            (Some(note), _) => Some(format!("run {} on {}", note.run, note.host)),
            (None, Some(run)) => Some(format!("run {run}")),
            (None, None) => None,
        };
        let mut held_for = standing(&left, note.as_ref(), &seen);
        if !held_for.is_empty() {
            // Whether they have been brought back since only their tablets can tell.
            seen = collect(cluster, name, now_ms).await?;
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
        let stopped = |stop| RecoverError::Stopped { stop };
        self.session.locked(Some(cluster), stopped, Box::pin(self.run_locked(cluster, release))).await
    }

    /// The nameserver may replace what it has to stay off for: written down for all runs to come. Nothing else is changed.
    ///
    /// # Errors
    /// Another run is at work, or it cannot be written down.
    pub async fn release(&self, cluster: &Cluster) -> Result<(), RecoverError> {
        self.run(cluster, true).await.map(drop)
    }

    async fn run_locked(&self, cluster: &Cluster, release: bool) -> Result<Option<bool>, RecoverError> {
        let (owed, snapshot) = self.session.unless_stopped(self.find(cluster)).await??;
        let held = owed.held_for;
        if !held.is_empty() && !release && owed.was == Some(true) {
            return Err(RecoverError::KeptOff { held_for: held.into() });
        }
        if owed.was.is_none() && (held.is_empty() || !release) {
            return Ok(None);
        }
        if !snapshot.identity.is_cluster() {
            return Err(RecoverError::Call(CallError::not_ours(snapshot.identity)));
        }
        let was = owed.was.unwrap_or(owed.is);
        let work = Work::FailoverRestore;
        let record = self.session.begin(RunHeader {
            auto_failover: was,
            held_for: held.clone(),
            ..self.session.header(work, "failover restore".to_owned(), snapshot)
        })?;
        held.iter().for_each(|held| record.released(held.partition, &held.endpoint));
        let note = self.session.note(&record, work, was);
        let ending = self.session.opened(cluster, record, note).give_back(Vec::new()).await;
        // Where it could not be restored, the earlier run's note says what is owed, as before.
        let (word, note) = match ending.is_given_back() {
            true => ("restored", owed.note.and_then(|note| note.releasing(&held).owes_nothing())),
            false => ("failed", owed.note),
        };
        let ended = ending.end(Ending { word: word.to_owned(), finished: true, going_on: Vec::new(), note }).await;
        if let Some(seen) = ended.given_back.failed() {
            return Err(RecoverError::NotGivenBack { was, seen });
        }
        ended.recorded?;
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
