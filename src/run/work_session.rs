//! What every command that changes a cluster works within: the lock, a record that is on disk before anything is changed, a note in
//! ZooKeeper for other hosts, and auto_failover, which is what it was before however the work ends.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use tokio::sync::{SetOnce, watch};

use crate::cluster::{Cluster, Hold};
use crate::model::Snapshot;

use super::driver::Stop;
use super::error::RecoverError;
use super::event::{Event, Listener};
use super::failover::{GivenBack, Told, give_back};
use super::hold::HeldFor;
use super::known_runs::unsettled;
use super::lock::{Holder, Lock, LockError, Note};
use super::outstanding::OutstandingWork;
use super::panics::unbreakable;
use super::record::{Archive, Caller, ClusterNames, Record, RecordError, RunHeader, UnfinishedWork, Work};
use super::run_id::RunId;
use super::stopping::{Hurry, NOTES, unless_stopped, within_budget};

/// What a command that changes a cluster has for it, whatever its work is.
#[derive(Clone)]
pub struct WorkSession {
    /// What errors and records call the cluster.
    pub cluster_name: String,
    /// Where records are kept.
    pub archive: Arc<dyn Archive>,
    /// Who does it.
    pub caller: Caller,
    /// What keeps it apart from runs.
    pub lock: Arc<dyn Lock>,
    /// How much faster than ours the cluster's clock runs; 1 but for a sandbox.
    pub pace: f64,
    /// Hears what happens.
    pub listener: Listener,
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where the record is put once it has begun: who is told to end at once can then say what goes on.
    pub record: Arc<SetOnce<Record>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

impl WorkSession {
    /// Does work with the lock held: takes it, unless it is told to stop while it waits for it, and releases it however the work
    /// ends. The work is boxed, because moving all of a run overflows the stack where it is compiled without optimisation. As soon
    /// as it is told to stop, the cluster's calls are not waited for any longer than a moment. `cluster`: none where ZooKeeper alone
    /// is changed.
    ///
    /// # Errors
    /// Another run has the lock, it was told to stop before it had it (`stopped`), or what the work gives.
    pub async fn locked<T, E: From<LockError>>(
        &self,
        cluster: Option<&Cluster>,
        stopped: impl FnOnce(Stop) -> E,
        work: Pin<Box<impl Future<Output = Result<T, E>>>>,
    ) -> Result<T, E> {
        let _hurry = cluster.map(|cluster| Hurry::of(&self.stop, cluster));
        let holder = Holder { run: RunId { began_ms: self.now_ms, number: 0 }, caller: self.caller.clone() };
        let done = match unless_stopped(&self.stop, self.lock.acquire(&holder)).await {
            Ok(Ok(())) => work.await,
            // Somebody else has it, and releases it.
            Ok(Err(error)) => return Err(error.into()),
            // It may have come just then.
            Err(stop) => Err(stopped(stop)),
        };
        match cluster {
            Some(cluster) => drop(within_budget(cluster, NOTES, self.lock.release()).await),
            None => self.lock.release().await,
        }
        done
    }

    /// Does what changes nothing.
    ///
    /// # Errors
    /// It was told to stop meanwhile.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, RecoverError> {
        unless_stopped(&self.stop, work).await.map_err(|stop| RecoverError::Stopped { stop })
    }

    /// What earlier runs on the cluster have left, and the note of the last of them.
    pub(super) async fn unsettled(&self, seen: &Snapshot) -> Result<(UnfinishedWork, Option<Note>), RecoverError> {
        let names = ClusterNames::seen(&self.cluster_name, seen, &self.caller.host);
        unsettled(&*self.lock, &*self.archive, &names).await
    }

    /// How the record of such work begins.
    pub fn header(&self, work: Work, name: String, seen: Snapshot) -> RunHeader {
        RunHeader::new(self.now_ms, &self.caller, work, name, seen)
    }

    /// Begins the record: it is on disk, or nothing must be changed.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn begin(&self, header: RunHeader) -> Result<Record, RecordError> {
        let record = Record::begin(&*self.archive, header)?;
        if self.record.set(record.clone()).is_err() {
            tracing::error!("a second record is begun in one session");
        }
        (self.listener)(&Event::Recorded { path: record.place().to_owned() });
        Ok(record)
    }

    /// What is told to other hosts while the work goes on. `was`: auto_failover before anybody's change.
    pub(super) fn note(&self, record: &Record, work: Work, was: bool) -> Note {
        Note {
            run: record.run(),
            host: self.caller.host.clone(),
            record: record.place().to_owned(),
            auto_failover: Some(was),
            work: Some(work),
            ended: None,
            by: self.caller.by,
            serves_early: false,
            unseen: Vec::new(),
            held_for: Vec::new(),
        }
    }

    /// From here on auto_failover may be changed: other hosts are told what it was. `now`: what it is.
    ///
    /// # Errors
    /// They cannot be told, or it was told to stop: nothing was changed, and the record says so.
    pub(super) async fn open<'a>(
        &'a self,
        cluster: &'a Cluster,
        record: Record,
        note: Note,
        now: bool,
    ) -> Result<OpenSession<'a>, RecoverError> {
        let noted = self.unless_stopped(self.lock.write_note(Some(&note))).await;
        if let Err(error) = noted.and_then(|noted| noted.map_err(RecoverError::from)) {
            let ended = if matches!(error, RecoverError::Stopped { .. }) { "interrupted" } else { "failed" };
            // What an earlier run owes of auto_failover stays its own.
            if let Err(error) = record.end(ended, note.auto_failover == Some(now), false, Vec::new()) {
                (self.listener)(&Event::Note { text: error.to_string() });
            }
            return Err(error);
        }
        Ok(self.opened(cluster, record, note))
    }

    /// The same where the note of an earlier run tells other hosts already.
    pub(super) fn opened<'a>(&'a self, cluster: &'a Cluster, record: Record, note: Note) -> OpenSession<'a> {
        // A panic that ends the work may be the listener's, which then panics again at whatever it is told.
        OpenSession { session: self, cluster, record, note, listener: unbreakable(&self.listener) }
    }
}

/// A session in which auto_failover may have been changed. It ends by [`Self::give_back`], whatever has happened in it: what may fail
/// or panic meanwhile is a value by then.
#[must_use = "auto_failover has to be given back"]
pub(super) struct OpenSession<'a> {
    session: &'a WorkSession,
    cluster: &'a Cluster,
    /// Where everything is written down.
    pub(super) record: Record,
    /// What other hosts are told.
    pub(super) note: Note,
    /// Hears what happens, and stops nobody by a panic.
    pub(super) listener: Listener,
}

impl<'a> OpenSession<'a> {
    /// Who is told what is done.
    pub(super) fn told(&self) -> Told<'_> {
        Told { listener: &self.listener, record: &self.record, hold: self.session.lock.hold() }
    }

    /// Restores auto_failover, unless there are replicas that it must stay off for. What somebody has switched on meanwhile is on at
    /// the end.
    pub(super) async fn give_back(self, held: Vec<HeldFor>) -> EndingSession<'a> {
        let was = self.note.auto_failover == Some(true) || self.record.is_failover_wanted_on();
        let (lock, pace) = (&*self.session.lock, self.session.pace);
        let given_back = give_back(self.cluster, lock, was, held, pace, &self.told()).await;
        EndingSession { open: self, was, given_back }
    }
}

/// A session after auto_failover was given back, as far as it could be. It ends by [`Self::end`].
#[must_use = "the record has to end, and other hosts have to be told"]
pub(super) struct EndingSession<'a> {
    open: OpenSession<'a>,
    was: bool,
    /// What became of auto_failover.
    pub(super) given_back: GivenBack,
}

/// What a session came to.
pub(super) struct SessionEnd {
    /// What became of auto_failover.
    pub(super) given_back: GivenBack,
    /// Whether the record's end is on disk.
    pub(super) recorded: Result<(), RecordError>,
}

/// How work ended.
pub(super) struct Ending {
    /// In a word, for the record.
    pub(super) word: String,
    /// Nothing is left for a later run, but for auto_failover.
    pub(super) finished: bool,
    /// What the cluster is still doing because of it.
    pub(super) going_on: Vec<OutstandingWork>,
    /// What other hosts are told from now on.
    pub(super) note: Option<Note>,
}

impl Ending {
    /// It was not done to its end.
    pub(super) fn failed(going_on: Vec<OutstandingWork>, note: Option<Note>) -> Self {
        Self { word: "failed".to_owned(), finished: false, going_on, note }
    }
}

impl EndingSession<'_> {
    /// Who is told what is done.
    pub(super) fn told(&self) -> Told<'_> {
        self.open.told()
    }

    /// Says what is not written down.
    pub(super) fn says(&self, event: &Event) {
        (self.open.listener)(event);
    }

    /// Restores auto_failover after all, if it stays off for no replica that is still to be kept from the nameserver; while there is one,
    /// only these are named. Whether it was restored.
    pub(super) async fn give_back_after_all(&mut self, is_held: impl Fn(&HeldFor) -> bool) -> bool {
        let GivenBack::KeptOff(held) = &mut self.given_back else { return false };
        held.retain(|held| is_held(held));
        if !held.is_empty() {
            self.open.record.keeps_off_for(held);
            return false;
        }
        let OpenSession { session, cluster, .. } = &self.open;
        let (lock, told) = (&*session.lock, self.open.told());
        self.given_back = give_back(cluster, lock, self.was, Vec::new(), session.pace, &told).await;
        self.is_given_back()
    }

    /// Whether auto_failover is what it was.
    pub(super) fn is_given_back(&self) -> bool {
        self.given_back == GivenBack::Done
    }

    /// What it is to be, if that is still owed.
    pub(super) fn owes(&self) -> Option<bool> {
        self.given_back.owes(self.was)
    }

    /// The note as it was, with what is owed still.
    pub(super) fn note(&self, ended: &str) -> Note {
        Note { ended: Some(ended.to_owned()), auto_failover: self.owes(), ..self.open.note.clone() }
    }

    /// Ends the record, and tells other hosts; unless the lock was lost: the note may be somebody else's then. What cannot be written
    /// is said, and keeps nothing else from being said: what became of auto_failover counts more.
    pub(super) async fn end(self, ending: Ending) -> SessionEnd {
        let OpenSession { session, cluster, record, listener, .. } = &self.open;
        let Ending { word, finished, going_on, note } = ending;
        let is_given_back = self.is_given_back();
        let recorded = record.end(&word, is_given_back, finished && is_given_back, going_on);
        if let Err(error) = &recorded {
            listener(&Event::Note { text: error.to_string() });
        }
        if *session.lock.hold().borrow() != Hold::Lost {
            let seen = match within_budget(cluster, NOTES, session.lock.write_note(note.as_ref())).await {
                Some(noted) => noted.err().map(|error| error.to_string()),
                None => Some("it does not answer".to_owned()),
            };
            if let Some(seen) = seen {
                let text = format!("the note in ZooKeeper could not be updated: {seen}; the next run does it");
                listener(&Event::Note { text });
            }
        }
        SessionEnd { given_back: self.given_back, recorded }
    }
}

#[cfg(test)]
mod tests;
