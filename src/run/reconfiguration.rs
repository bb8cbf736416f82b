//! Work that needs auto_failover off and is no recovery: scaling, an upgrade, a handover.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Mutex, watch};

use crate::cluster::{Cluster, Hold};
use crate::model::Snapshot;
use crate::recovery::PriorRun;

use super::arranging::Arranging;
use super::beside::{AGAIN, WHO};
use super::error::RecoverError;
use super::event::{Event, Listener};
use super::failover::{StepError, Told, switch_off};
use super::hold::{HeldFor, standing};
use super::known_runs::owed;
use super::lock::{Lock, Note};
use super::old_terms::OldTerms;
use super::panics::{caught, panic_text};
use super::record::{Record, RunHeader, UnfinishedWork, Work};
use super::stopping::{CALLS, LEADERS, within_budget};
use super::work_session::{Ending, OpenSession, WorkSession};

/// What was there before.
#[derive(Debug)]
pub struct SessionStart {
    left: UnfinishedWork,
    note: Option<Note>,
    /// auto_failover before anybody's change: an unfinished run may have left it off.
    pub auto_failover: bool,
    /// The replicas for which it is kept off, or has to be.
    pub held: Vec<HeldFor>,
}

/// What the work has: a record to write down what it is about to do, and whether it still has the lock.
#[derive(Clone)]
pub struct SessionHandle {
    /// Where calls are written down.
    pub record: Record,
    listener: Listener,
    /// How often auto_failover was switched off again, or found off after all. One at a time: many may be refused at once.
    again: Arc<Mutex<Again>>,
    /// Whether the lock is still held.
    pub hold: watch::Receiver<Hold>,
    /// The lock: who has it once it is lost.
    pub lock: Arc<dyn Lock>,
}

/// How often somebody else's auto_failover was in the way.
#[derive(Debug, Default)]
struct Again {
    /// It was switched off again.
    times: u32,
    /// A step was refused because of it, and it was off: another partition had seen to it, or the nameserver contradicts itself.
    in_vain: u32,
}

/// So often it may be found off after all.
const IN_VAIN: u32 = 10;

/// How such work ended, in a word for the record: `ended`, `partial`, `interrupted` or `failed`.
pub trait Ended {
    /// The word.
    fn ended(&self) -> &'static str;
}

/// Why such work gave nothing.
#[derive(Debug)]
pub enum NotDone {
    /// It panicked, which is a bug: its message.
    Panicked(String),
    /// It was told to stop, and did not come to an end in time.
    OutOfTime,
}

/// What came of it.
#[derive(Debug)]
pub struct SessionReport<T> {
    /// What the work gave, or why it gave nothing.
    pub done: Result<T, NotDone>,
    /// auto_failover could not be restored: what was seen last.
    pub not_restored: Option<String>,
    /// The replicas for which it is kept off.
    pub held_for: Vec<HeldFor>,
    /// The record could be written no more: why.
    pub unrecorded: Option<String>,
}

impl SessionStart {
    /// Whether auto_failover is not what it was, and can be restored.
    pub fn is_owed(&self, now: bool) -> bool {
        self.auto_failover != now && self.held.is_empty()
    }

    /// Whose history of terms is from a backup.
    pub fn old_terms(&self) -> Option<&OldTerms> {
        self.left.old_terms.as_ref()
    }

    /// Partitions that a recovery which broke off has left for the next one.
    pub fn leaves_partitions(&self) -> bool {
        let left = &self.left;
        left.broke_off() && left.partitions.values().any(|earlier| *earlier != PriorRun::default())
            || self.note.as_ref().is_some_and(|note| note.serves_early || !note.unseen.is_empty())
    }

    /// The note as it is to stay: of what an unfinished recovery has left.
    fn stays(self) -> Option<Note> {
        let leaves = self.leaves_partitions();
        self.note.filter(|_| leaves).map(|note| Note { auto_failover: None, ..note })
    }
}

impl SessionHandle {
    /// Tells how far it has come, and writes that down for whoever follows it from another shell.
    pub fn tell_arranging(&self, arranging: Arranging) {
        self.record.arranging(&arranging);
        (self.listener)(&Event::Arranging(Box::new(arranging)));
    }

    /// A step was refused because auto_failover is on: somebody has switched it on, and it is switched off again, a few times. Whether it
    /// was.
    pub async fn switches_off_again(&self, cluster: &Cluster) -> bool {
        let mut again = self.again.lock().await;
        if again.times >= AGAIN || again.in_vain >= IN_VAIN {
            return false;
        }
        if cluster.auto_failover().await.is_ok_and(|is_on| !is_on) {
            again.in_vain += 1;
            return true;
        }
        again.times += 1;
        let text = format!(
            "someone else switched auto_failover on; it is switched off again, and will be on at the end. Possible \
             cause: {WHO}"
        );
        self.record.wants_failover_on();
        self.record.note(&text);
        (self.listener)(&Event::Note { text });
        let told = Told { listener: &self.listener, record: &self.record, hold: self.hold.clone() };
        switch_off(cluster, "auto_failover", &told).await.is_ok()
    }
}

impl WorkSession {
    /// What unfinished runs have left, and what auto_failover was before them.
    ///
    /// # Errors
    /// ZooKeeper or the records cannot be asked.
    pub async fn start(&self, seen: &Snapshot) -> Result<SessionStart, RecoverError> {
        let (left, note) = self.unsettled(seen).await?;
        let auto_failover = seen.auto_failover || owed(&left, note.as_ref()) == Some(true);
        let held = standing(&left, note.as_ref(), seen);
        Ok(SessionStart { left, note, auto_failover, held })
    }

    /// Does work with auto_failover off, in a task of its own: even its panic does not leave it off. The lock is held. `name`: what
    /// records call the work.
    ///
    /// # Errors
    /// Nothing was begun: the record could not be, or auto_failover could not be switched off.
    pub async fn reconfigure<T, F>(
        &self,
        (cluster, seen): (&Cluster, &Snapshot),
        name: &str,
        found: SessionStart,
        work: impl FnOnce(SessionHandle) -> F,
    ) -> Result<SessionReport<T>, RecoverError>
    where
        T: Ended + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let record = self.begin(RunHeader {
            auto_failover: found.auto_failover,
            held_for: found.held.clone(),
            after: found.left.run,
            ..self.header(Work::Reconfiguration, name.to_owned(), seen.clone())
        })?;
        let note = Note {
            serves_early: found.note.as_ref().is_some_and(|note| note.serves_early),
            unseen: found.note.iter().flat_map(|note| note.unseen.clone()).collect(),
            ..self.note(&record, Work::Reconfiguration, found.auto_failover)
        };
        let open = self.open(cluster, record, note.holding(&found.held), seen.auto_failover).await?;
        let working = self.with_failover_off(cluster, seen, &open, work);
        let done = caught(working).await.unwrap_or_else(|panic| Ok(Err(NotDone::Panicked(panic))));
        let record = open.record.clone();
        let ending = open.give_back(found.held.clone()).await;
        let ended = match &done {
            Ok(Ok(done)) => done.ended(),
            Ok(Err(NotDone::OutOfTime)) => "interrupted",
            Ok(Err(NotDone::Panicked(_))) | Err(_) => "failed",
        };
        let note = if ending.is_given_back() { found.stays() } else { Some(ending.note(ended)) };
        let (finished, going_on) = (ended == "ended", record.unanswered());
        let given_back = ending.end(Ending { word: ended.to_owned(), finished, going_on, note }).await.given_back;
        let (not_restored, held_for) = (given_back.failed(), given_back.held_for().to_vec());
        match done {
            Ok(done) => Ok(SessionReport { done, not_restored, held_for, unrecorded: record.broken() }),
            Err(error) => Err(RecoverError::Step { error, not_restored, held_for: held_for.into() }),
        }
    }

    async fn with_failover_off<T, F>(
        &self,
        cluster: &Cluster,
        seen: &Snapshot,
        open: &OpenSession<'_>,
        work: impl FnOnce(SessionHandle) -> F,
    ) -> Result<Result<T, NotDone>, StepError>
    where
        T: Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        if seen.auto_failover {
            let told = open.told();
            let switched = within_budget(cluster, CALLS, switch_off(cluster, "auto_failover", &told)).await;
            switched.unwrap_or_else(|| Err(StepError::NotOff("it was stopped".to_owned())))?;
        }
        let mut working = tokio::spawn(work(SessionHandle {
            record: open.record.clone(),
            listener: open.listener.clone(),
            again: Arc::default(),
            hold: self.lock.hold(),
            lock: self.lock.clone(),
        }));
        match within_budget(cluster, LEADERS, &mut working).await {
            Some(done) => Ok(done.map_err(|error| NotDone::Panicked(panic_text(error)))),
            None => {
                working.abort();
                Ok(Err(NotDone::OutOfTime))
            }
        }
    }
}
