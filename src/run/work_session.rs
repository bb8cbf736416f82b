//! Other work that needs auto_failover off, done as a recovery is: with a record and a note that tell what it was, and given
//! back however the work ends.

use std::future::Future;
use std::sync::Arc;

use tokio::sync::{Mutex, SetOnce, watch};

use crate::cluster::{Cluster, Hold};
use crate::model::Snapshot;
use crate::recovery::PriorRun;

use super::arranging::Arranging;
use super::beside::{AGAIN, WHO};
use super::driver::Stop;
use super::error::RecoverError;
use super::event::{Event, Listener};
use super::failover::{GivenBack, StepError, Told, give_back, switch_off};
use super::hold::{HeldFor, standing};
use super::known_runs::{owed, unsettled};
use super::leaving::end_unbegun;
use super::lock::{Lock, Note};
use super::panics::{panic_text, unbreakable};
use super::record::{Archive, Caller, ClusterNames, Record, RecordError, RunHeader, UnfinishedWork, Work};
use super::stopping::{CALLS, LEADERS, NOTES, unless_stopped, within_budget};

/// What such work needs beside the cluster.
pub struct WorkSession {
    /// What records call the cluster.
    pub cluster_name: String,
    /// What records call the work.
    pub name: String,
    /// Where records are kept.
    pub archive: Arc<dyn Archive>,
    /// Who does it.
    pub caller: Caller,
    /// What keeps it apart from runs. The caller holds it, and releases it.
    pub lock: Arc<dyn Lock>,
    /// How much faster than ours the cluster's clock runs.
    pub pace: f64,
    /// Hears what happens.
    pub listener: Listener,
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where the record is put once it has begun.
    pub record: Arc<SetOnce<Record>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

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
    record: Record,
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
    /// Writes down a sentence: it is on disk, or nothing must be changed.
    ///
    /// # Errors
    /// It is not.
    pub fn write_down(&self, text: &str) -> Result<(), RecordError> {
        self.record.note(text);
        self.record.sync()
    }

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
    pub async fn find(&self, seen: &Snapshot) -> Result<SessionStart, RecoverError> {
        let names = ClusterNames::seen(&self.cluster_name, seen, &self.caller.host);
        let (left, note) = unsettled(&*self.lock, &*self.archive, &names).await?;
        let auto_failover = seen.auto_failover || owed(&left, note.as_ref()) == Some(true);
        let held = standing(&left, note.as_ref(), seen);
        Ok(SessionStart { left, note, auto_failover, held })
    }

    /// Does the work with auto_failover off, in a task of its own: even its panic does not leave it off. The lock is held.
    ///
    /// # Errors
    /// Nothing was begun: the record could not be, or auto_failover could not be switched off.
    pub async fn work<T, F>(
        &self,
        cluster: &Cluster,
        seen: &Snapshot,
        found: SessionStart,
        work: impl FnOnce(SessionHandle) -> F,
    ) -> Result<SessionReport<T>, RecoverError>
    where
        T: Ended + Send + 'static,
        F: Future<Output = T> + Send + 'static,
    {
        let auto_failover = found.auto_failover;
        let begun = RunHeader {
            auto_failover,
            held_for: found.held.clone(),
            after: found.left.run,
            ..RunHeader::new(self.now_ms, &self.caller, Work::Reconfiguration, self.name.clone(), seen.clone())
        };
        let record = Record::begin(&*self.archive, begun)?;
        (self.listener)(&Event::Recorded { path: record.place().to_owned() });
        if self.record.set(record.clone()).is_err() {
            tracing::error!("such work is done a second time");
        }
        let note = Note {
            run: record.run(),
            host: self.caller.host.clone(),
            record: record.place().to_owned(),
            auto_failover: Some(auto_failover),
            work: Some(Work::Reconfiguration),
            ended: None,
            by: self.caller.by,
            serves_early: found.note.as_ref().is_some_and(|note| note.serves_early),
            unseen: found.note.iter().flat_map(|note| note.unseen.clone()).collect(),
            held_for: Vec::new(),
        };
        let note = note.holding(&found.held);
        let noted = unless_stopped(&self.stop, self.lock.write_note(Some(&note))).await;
        let noted = noted.map_err(|stop| RecoverError::Stopped { stop });
        if let Err(error) = noted.and_then(|noted| noted.map_err(RecoverError::from)) {
            end_unbegun(&record, auto_failover == seen.auto_failover, &error, &self.listener);
            return Err(error);
        }
        let listener = unbreakable(&self.listener);
        let told = Told { listener: &listener, record: &record, hold: self.lock.hold() };
        let switched = match seen.auto_failover {
            true => within_budget(cluster, CALLS, switch_off(cluster, "auto_failover", &told)).await,
            false => Some(Ok(())),
        };
        let switched = switched.unwrap_or_else(|| Err(StepError::NotOff("it was stopped".to_owned())));
        let (again, hold, lock) = (Arc::default(), self.lock.hold(), self.lock.clone());
        let session = SessionHandle { record: record.clone(), listener: listener.clone(), again, hold, lock };
        let done = match switched {
            Ok(()) => {
                let mut working = tokio::spawn(work(session));
                match within_budget(cluster, LEADERS, &mut working).await {
                    Some(done) => Ok(done.map_err(|error| NotDone::Panicked(panic_text(error)))),
                    None => {
                        working.abort();
                        Ok(Err(NotDone::OutOfTime))
                    }
                }
            }
            Err(error) => Err(error),
        };
        let held = found.held.clone();
        // What somebody has switched on meanwhile is on at the end.
        let was = auto_failover || record.is_failover_wanted_on();
        let given_back = give_back(cluster, &*self.lock, was, held, self.pace, &told).await;
        let is_given_back = given_back == GivenBack::Done;
        let ended = match &done {
            Ok(Ok(done)) => done.ended(),
            Ok(Err(NotDone::OutOfTime)) => "interrupted",
            Ok(Err(NotDone::Panicked(_))) | Err(_) => "failed",
        };
        let finished = is_given_back && ended == "ended";
        if let Err(error) = record.end(ended, is_given_back, finished, record.unanswered()) {
            listener(&Event::Note { text: error.to_string() });
        }
        if *self.lock.hold().borrow() != Hold::Lost {
            let stays = match is_given_back {
                true => found.stays(),
                false => Some(Note { ended: Some(ended.to_owned()), auto_failover: Some(was), ..note }),
            };
            let seen = match within_budget(cluster, NOTES, self.lock.write_note(stays.as_ref())).await {
                Some(Ok(())) => None,
                Some(Err(error)) => Some(error.to_string()),
                None => Some("it does not answer".to_owned()),
            };
            if let Some(seen) = seen {
                let text = format!("the note in ZooKeeper could not be updated: {seen}; the next run does it");
                listener(&Event::Note { text });
            }
        }
        let (not_restored, held_for) = (given_back.failed(), given_back.held_for().to_vec());
        match done {
            Ok(done) => Ok(SessionReport { done, not_restored, held_for, unrecorded: record.broken() }),
            Err(error) => Err(RecoverError::Step { error, not_restored, held_for: held_for.into() }),
        }
    }
}
