//! One run at a time: who holds a cluster, and what an unfinished run left to tell the next, from whatever host it comes.

use std::future::Future;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize};
use tokio::sync::watch;

use crate::cluster::{CallError, DiscoveryError, Hold};
use crate::model::{Endpoint, MetadataSeen, Offset, PartitionId};
use crate::recovery::Replaceable;

use super::hold::HeldFor;
use super::old_terms::OldTerms;
use super::pause::Pause;
use super::process::Liveness;
use super::record::{By, Caller, Work};
use super::run_id::RunId;

/// Who holds a cluster.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// The run.
    pub run: RunId,
    /// Whose process it is.
    #[serde(flatten)]
    pub caller: Caller,
}

/// What a run leaves in ZooKeeper before its first change, and removes when it has cleaned up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// The run.
    pub run: RunId,
    /// The host that has its record.
    pub host: String,
    /// Where the record is there.
    pub record: String,
    /// What it found auto_failover to be; none once it was restored.
    pub auto_failover: Option<bool>,
    /// What it was for; none in notes of an earlier version of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// How it ended; none while it is at work, and if it was killed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<String>,
    /// Who had it run.
    #[serde(default, skip_serializing_if = "By::is_person")]
    pub by: By,
    /// Whether leaders may have served, and taken writes, before anybody looked at their followers, and nobody says which.
    #[serde(default)]
    pub serves_early: bool,
    /// The replicas that nobody had looked at when their leader was chosen, once the run has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
    /// The replicas for which auto_failover is kept off, by the run or by one before it. There may be more than a note can name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_for: Vec<HeldFor>,
}

/// A replica that nobody had looked at when its leader was chosen, or that held more, which was given up by somebody's word. That one may
/// have taken writes since: what both hold beyond was written twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// Which partition.
    pub partition: PartitionId,
    /// Where the replica is.
    pub endpoint: Endpoint,
    /// What the leader held then, or what the two share.
    pub leader_held: Offset,
    /// Why the nameserver may replace it all the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaceable: Option<Replaceable>,
}

impl Unseen {
    /// One that the nameserver may replace, because somebody has said so. How much its leader held nobody knows.
    pub(super) fn released(held: &HeldFor) -> Self {
        let (partition, endpoint) = (held.partition, held.endpoint.clone());
        Self { partition, endpoint, leader_held: Offset(0), replaceable: Some(Replaceable::Released) }
    }
}

/// Most of them that a note names: a node in ZooKeeper holds 1 MB (`jute.maxbuffer`), and one of them takes up to 100 bytes.
const MOST_UNSEEN: usize = 5_000;
/// Most replicas that a note names for which auto_failover is kept off: each takes up to 200 bytes. Where there are more, the others
/// are known by what nobody had looked at.
const MOST_HELD: usize = 1_000;

impl Note {
    /// The same once auto_failover was restored, or set anew; none if nothing is left to say. A recovery that did not
    /// finish is still unfinished, and a run that continues on another host has to know.
    pub fn owes_nothing(self) -> Option<Self> {
        let is_over = self.work == Some(Work::Reconfiguration) && !self.serves_early && self.unseen.is_empty();
        (!is_over).then_some(Self { auto_failover: None, ..self })
    }

    /// The same once somebody has said that the nameserver may replace these.
    pub(super) fn releasing(mut self, held: &[HeldFor]) -> Self {
        for unseen in &mut self.unseen {
            if held.iter().any(|held| held.partition == unseen.partition && held.endpoint == unseen.endpoint) {
                unseen.replaceable = Some(Replaceable::Released);
            }
        }
        if self.serves_early {
            // It names none, so that every follower counts; these do not any more.
            self.unseen.extend(held.iter().map(Unseen::released));
        }
        Self { held_for: Vec::new(), ..self }
    }

    /// Whether all it says is what nobody had looked at.
    pub(super) fn tells_of_unseen_alone(&self) -> bool {
        self.auto_failover.is_none() && (self.serves_early || !self.unseen.is_empty())
    }

    /// The same with what the run that leaves it has not looked at; too much to name means all.
    pub(super) fn with_unseen(mut self, unseen: Vec<Unseen>) -> Self {
        self.serves_early |= unseen.len() > MOST_UNSEEN;
        self.unseen = if self.serves_early { Vec::new() } else { unseen };
        self
    }

    /// The same, saying for whom auto_failover is kept off.
    pub(super) fn holding(mut self, held_for: &[HeldFor]) -> Self {
        self.held_for = held_for.iter().take(MOST_HELD).cloned().collect();
        self
    }
}

/// Why a run may not begin, or not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LockError {
    /// Another run holds the cluster.
    #[error("another run is working on this cluster: {}", holder.text())]
    HeldBy {
        /// Which.
        holder: Box<Holder>,
    },
    /// ZooKeeper could not be asked or told.
    #[error(transparent)]
    ZooKeeper(#[from] DiscoveryError),
    /// The cluster could not be asked which servers it has.
    #[error(transparent)]
    Call(#[from] CallError),
    /// The files that keep runs of this host apart cannot be used.
    #[error("cannot use the locks in {path}: {seen}")]
    File {
        /// In which directory.
        path: String,
        /// What was seen.
        seen: String,
    },
    /// What others are to read cannot be put into words: a bug.
    #[error("what names this run cannot be written: {seen}")]
    Text {
        /// What was seen.
        seen: String,
    },
}

/// Something that takes its time.
pub type LockFuture<'a, T> = Pin<Box<dyn Future<Output = Result<T, LockError>> + Send + 'a>>;

/// What keeps runs apart.
pub trait Lock: Send + Sync {
    /// Takes the lock.
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()>;

    /// Whether it is still held.
    fn hold(&self) -> watch::Receiver<Hold>;

    /// Who else holds it, if anybody does.
    fn holder(&self) -> LockFuture<'_, Option<Holder>>;

    /// Releases it.
    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// What an unfinished run left.
    fn note(&self) -> LockFuture<'_, Option<Note>>;

    /// Leaves a note, or removes it.
    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()>;

    /// Whether a note that was left stays until it is removed, for every host to read. Otherwise only records tell.
    fn keeps_notes(&self) -> bool {
        false
    }

    /// The cluster's metadata in the ZooKeeper that it is kept in; none where it is kept elsewhere.
    fn metadata(&self) -> LockFuture<'_, Option<MetadataSeen>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Which partitions have their history of terms from a backup.
    fn old_terms(&self) -> LockFuture<'_, Option<OldTerms>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// Says so, or that none has any more. Whether that is kept, for every host to read.
    fn write_old_terms<'a>(&'a self, _old: Option<&'a OldTerms>) -> LockFuture<'a, bool> {
        Box::pin(std::future::ready(Ok(false)))
    }

    /// The pause of guards, if somebody has asked for one. It may be over.
    fn pause(&self) -> LockFuture<'_, Option<Pause>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    /// What it cannot do, in a sentence for the operator.
    fn caveat(&self) -> Option<String> {
        None
    }
}

impl Holder {
    /// The holder in a sentence.
    pub fn text(&self) -> String {
        format!("{}: {}", self.name(), self.caller.command)
    }

    /// What it is called.
    pub fn name(&self) -> String {
        format!("run {} on {}, process {}", self.run, self.caller.host, self.caller.pid)
    }

    /// Whether its process is still there, as far as can be told on the host `here`.
    pub(super) fn liveness(&self, here: &str) -> Liveness {
        let Caller { host, pid, process, .. } = &self.caller;
        // An earlier version of this program says no more than its process's number.
        let is_numbered = || process.is_none() && host == here && PathBuf::from(format!("/proc/{pid}")).exists();
        match self.caller.liveness() {
            Liveness::Unknown if is_numbered() => Liveness::Lives,
            liveness => liveness,
        }
    }
}

/// A text that says nothing we understand is still somebody's.
pub(super) fn holder_of(text: &str) -> Holder {
    serde_json::from_str(text).unwrap_or_else(|_| Holder {
        run: RunId { began_ms: 0, number: 0 },
        caller: Caller {
            host: "unknown".to_owned(),
            pid: 0,
            command: text.chars().take(200).collect(),
            ..Caller::default()
        },
    })
}

pub(super) fn note_of(text: &str) -> Note {
    serde_json::from_str(text).unwrap_or_else(|_| Note {
        run: RunId { began_ms: 0, number: 0 },
        host: "unknown".to_owned(),
        record: text.chars().take(200).collect(),
        auto_failover: None,
        work: None,
        ended: None,
        by: By::Person,
        // For all that is known.
        serves_early: true,
        unseen: Vec::new(),
        held_for: Vec::new(),
    })
}

/// A lock in memory, for rehearsals and tests: nobody else is there, unless told otherwise.
#[derive(Debug)]
pub struct InMemoryLock {
    hold: watch::Sender<Hold>,
    note: Mutex<Option<Note>>,
    pause: Mutex<Option<Pause>>,
    old_terms: Mutex<Option<OldTerms>>,
    keeps_notes: bool,
    other: Option<Holder>,
}

impl Default for InMemoryLock {
    fn default() -> Self {
        Self {
            hold: watch::Sender::new(Hold::Held),
            note: Mutex::new(None),
            pause: Mutex::new(None),
            old_terms: Mutex::new(None),
            keeps_notes: false,
            other: None,
        }
    }
}

impl InMemoryLock {
    /// What becomes of the lock.
    pub fn becomes(&self, hold: Hold) {
        self.hold.send_replace(hold);
    }

    /// Guards are to do nothing for a while.
    pub fn pauses(&self, pause: Option<Pause>) {
        *self.pause.lock().unwrap_or_else(PoisonError::into_inner) = pause;
    }

    /// The pause that was asked for.
    pub fn paused(&self) -> Option<Pause> {
        self.pause.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Whose notes stay until they are removed, as in ZooKeeper.
    pub fn keeping_notes() -> Self {
        Self { keeps_notes: true, ..Self::default() }
    }

    /// Held by another run.
    pub fn held_by(holder: Holder) -> Self {
        Self { other: Some(holder), ..Self::default() }
    }
}

impl Lock for InMemoryLock {
    fn acquire<'a>(&'a self, _holder: &'a Holder) -> LockFuture<'a, ()> {
        let held = self.other.clone().map(|other| LockError::HeldBy { holder: Box::new(other) });
        Box::pin(std::future::ready(held.map_or(Ok(()), Err)))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    fn keeps_notes(&self) -> bool {
        self.keeps_notes
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        Box::pin(std::future::ready(Ok(self.other.clone())))
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn pause(&self) -> LockFuture<'_, Option<Pause>> {
        Box::pin(std::future::ready(Ok(self.paused())))
    }

    fn old_terms(&self) -> LockFuture<'_, Option<OldTerms>> {
        Box::pin(std::future::ready(Ok(self.old_terms.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }

    fn write_old_terms<'a>(&'a self, old: Option<&'a OldTerms>) -> LockFuture<'a, bool> {
        *self.old_terms.lock().unwrap_or_else(PoisonError::into_inner) = old.cloned();
        Box::pin(std::future::ready(Ok(self.keeps_notes)))
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        Box::pin(std::future::ready(Ok(self.note.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }

    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()> {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note.cloned();
        Box::pin(std::future::ready(Ok(())))
    }
}
