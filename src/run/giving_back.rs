//! `failover restore`: nothing but giving auto_failover back to what it was before a run that did not finish.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::model::Snapshot;
use crate::snapshot::metadata;

use super::error::RecoverError;
use super::event::{Event, Listener};
use super::failover::{Told, restore};
use super::known_runs::{owed, unsettled};
use super::lock::{Holder, Lock, Note};
use super::record::{Archive, Begun, Caller, ClusterNames, Left, Record, VERSION, Work};
use super::run_id::RunId;

/// What giving back needs beside the cluster.
pub struct GivingBack {
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
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What is owed, and to whom.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owed {
    /// auto_failover before the run that did not finish; none if nothing is owed.
    pub was: Option<bool>,
    /// What it is now.
    pub is: bool,
    /// Who owes it, in a sentence.
    pub by: Option<String>,
    note: Option<Note>,
}

impl GivingBack {
    /// Looks what is owed. Changes nothing.
    ///
    /// # Errors
    /// The cluster, its ZooKeeper or the records cannot be asked.
    pub async fn look(&self, cluster: &Cluster) -> Result<Owed, RecoverError> {
        self.owed(&metadata(cluster, &self.cluster_name, self.now_ms).await?).await
    }

    async fn owed(&self, seen: &Snapshot) -> Result<Owed, RecoverError> {
        let names = ClusterNames::seen(&self.cluster_name, seen, &self.caller.host);
        let (left, note) = unsettled(&*self.lock, &*self.archive, &names).await?;
        let was = owed(&left, note.as_ref());
        let by = match (&note, left.owed_by) {
            (Some(note), _) => Some(format!("run {} on {}", note.run, note.host)),
            (None, Some(run)) => Some(format!("run {run}")),
            (None, None) => None,
        };
        Ok(Owed { was, is: seen.auto_failover, by: by.filter(|_| was.is_some()), note })
    }

    /// Gives it back, if anything is owed; gives what it was. A live run gives it back itself.
    ///
    /// # Errors
    /// Another run is at work, or it could not be given back.
    pub async fn run(&self, cluster: &Cluster) -> Result<Option<bool>, RecoverError> {
        let run = RunId { began_ms: self.now_ms, number: 0 };
        self.lock.acquire(&Holder { run, caller: self.caller.clone() }).await?;
        let done = self.run_locked(cluster, run).await;
        self.lock.release().await;
        done
    }

    async fn run_locked(&self, cluster: &Cluster, run: RunId) -> Result<Option<bool>, RecoverError> {
        let snapshot = metadata(cluster, &self.cluster_name, self.now_ms).await?;
        let owed = self.owed(&snapshot).await?;
        let Some(was) = owed.was else { return Ok(None) };
        let begun = Begun {
            version: VERSION,
            run,
            caller: self.caller.clone(),
            cluster: self.cluster_name.clone(),
            work: Some(Work::FailoverRestore),
            playbook: "failover restore".to_owned(),
            all: false,
            auto_failover: was,
            plan: None,
            accepted: BTreeMap::new(),
            after: None,
            before: Vec::new(),
            snapshot: Box::new(snapshot),
        };
        let record = Record::begin(&*self.archive, begun)?;
        (self.listener)(&Event::Recorded { path: record.place().to_owned() });
        let told = Told { listener: &self.listener, record: &record, hold: self.lock.hold() };
        let restored = restore(cluster, was, 1.0, &told).await;
        record.end(
            if restored.is_ok() { "restored" } else { "failed" },
            restored.is_ok(),
            restored.is_ok(),
            Vec::new(),
        )?;
        restored.map_err(|seen| RecoverError::NotGivenBack { was, seen })?;
        self.lock.leave(owed.note.and_then(Note::owes_nothing).as_ref()).await?;
        Ok(Some(was))
    }
}

/// Who may have left auto_failover off, if anybody did that had found it on.
pub(super) fn owed_by_an_earlier_run(left: &Left, note: Option<&Note>) -> Option<String> {
    owed(left, note).filter(|was| *was)?;
    Some(match note {
        Some(note) => format!("run {} on {} did not finish, and may have left it off", note.run, note.host),
        None => {
            let by = left.owed_by.map_or("an earlier run".to_owned(), |run| format!("run {run}"));
            format!("{by} did not finish, and may have left it off")
        }
    })
}
