//! One run at a time: who holds a cluster, and what an unfinished run left to tell the next, from whatever host it comes.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::future::Future;
use std::io::{Read as _, Seek as _, Write as _};
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{DiscoveryError, Hold, LOCK_SESSION, LockNodes};

use crate::model::{Endpoint, Offset, PartitionId};

use super::record::Caller;
use super::run_id::RunId;

/// How long a lock whose holder may be dead is waited for: its session's timeout, and a little for ZooKeeper to notice.
const LOCK_WAIT: Duration = Duration::from_secs(LOCK_SESSION.as_secs() + 4);
/// How often it is looked at meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(250);

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
    /// What it found auto_failover to be; none once it was given back.
    pub auto_failover: Option<bool>,
    /// Whether leaders may have served, and taken writes, before anybody looked at their followers, and nobody says which.
    #[serde(default)]
    pub serves_early: bool,
    /// The replicas that nobody had looked at when their leader was chosen, once the run has ended.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unseen: Vec<Unseen>,
}

/// A replica that nobody had looked at when its leader was chosen. That one may have taken writes since: what both hold beyond
/// was written twice.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unseen {
    /// Which partition.
    pub partition: PartitionId,
    /// Where the replica is.
    pub endpoint: Endpoint,
    /// What the leader held then.
    pub leader_held: Offset,
}

/// Most of them that a note names: a node in ZooKeeper holds 1 MB (`jute.maxbuffer`), and one of them takes up to 100 bytes.
const MOST_UNSEEN: usize = 5_000;

impl Note {
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
}

/// Why a run may not begin, or not go on.
#[derive(Debug, Clone, thiserror::Error)]
pub enum LockError {
    /// Another run holds the cluster.
    #[error("another run is at work on this cluster: {}", holder.text())]
    HeldBy {
        /// Which.
        holder: Box<Holder>,
    },
    /// ZooKeeper could not be asked or told.
    #[error(transparent)]
    ZooKeeper(#[from] DiscoveryError),
    /// The file could not be locked.
    #[error("cannot lock {path}: {seen}")]
    File {
        /// Which.
        path: String,
        /// What was seen.
        seen: String,
    },
}

/// Something that takes its time.
pub type Locking<'a, T> = Pin<Box<dyn Future<Output = Result<T, LockError>> + Send + 'a>>;

/// What keeps runs apart.
pub trait Lock: Send + Sync {
    /// Takes the lock.
    fn acquire<'a>(&'a self, holder: &'a Holder) -> Locking<'a, ()>;

    /// Whether it is still held.
    fn hold(&self) -> watch::Receiver<Hold>;

    /// Who else holds it, if anybody does.
    fn holder(&self) -> Locking<'_, Option<Holder>>;

    /// Gives it back.
    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// What an unfinished run left.
    fn note(&self) -> Locking<'_, Option<Note>>;

    /// Leaves a note, or removes it.
    fn leave<'a>(&'a self, note: Option<&'a Note>) -> Locking<'a, ()>;

    /// Whether a note that was left stays until it is removed, for every host to read. Otherwise only records tell.
    fn keeps_notes(&self) -> bool {
        false
    }

    /// What it cannot do, in a sentence for the operator.
    fn caveat(&self) -> Option<String> {
        None
    }
}

impl Holder {
    /// The holder in a sentence.
    pub fn text(&self) -> String {
        let Caller { host, pid, command } = &self.caller;
        format!("run {} on {host}, process {pid}: {command}", self.run)
    }

    /// Whether it may be the lock of a process that is no more: it is not known to live on this host.
    fn may_be_dead(&self, here: &str) -> bool {
        self.caller.host != here || !PathBuf::from(format!("/proc/{}", self.caller.pid)).exists()
    }
}

/// The lock in a cluster's own ZooKeeper: for all hosts.
impl Lock for LockNodes {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> Locking<'a, ()> {
        Box::pin(async move {
            let text = serde_json::to_string(holder).unwrap_or_default();
            let deadline = Instant::now() + LOCK_WAIT;
            loop {
                let Some(other) = LockNodes::acquire(self, &text).await? else { return Ok(()) };
                let other = holder_of(&other);
                if Instant::now() >= deadline || !other.may_be_dead(&holder.caller.host) {
                    return Err(LockError::HeldBy { holder: Box::new(other) });
                }
                tokio::time::sleep(LOCK_POLL).await;
            }
        })
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        LockNodes::hold(self)
    }

    fn keeps_notes(&self) -> bool {
        true
    }

    fn holder(&self) -> Locking<'_, Option<Holder>> {
        Box::pin(async move { Ok(LockNodes::holder(self).await?.map(|text| holder_of(&text))) })
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(LockNodes::release(self))
    }

    fn note(&self) -> Locking<'_, Option<Note>> {
        Box::pin(async move { Ok(LockNodes::note(self).await?.map(|text| note_of(&text))) })
    }

    fn leave<'a>(&'a self, note: Option<&'a Note>) -> Locking<'a, ()> {
        Box::pin(async move {
            match note {
                Some(note) => LockNodes::leave(self, &serde_json::to_string(note).unwrap_or_default()).await?,
                None => self.clear().await?,
            }
            Ok(())
        })
    }
}

/// A text that says nothing we understand is still somebody's.
fn holder_of(text: &str) -> Holder {
    serde_json::from_str(text).unwrap_or_else(|_| Holder {
        run: RunId { began_ms: 0, number: 0 },
        caller: Caller { host: "unknown".to_owned(), pid: 0, command: text.chars().take(200).collect() },
    })
}

fn note_of(text: &str) -> Note {
    serde_json::from_str(text).unwrap_or_else(|_| Note {
        run: RunId { began_ms: 0, number: 0 },
        host: "unknown".to_owned(),
        record: text.chars().take(200).collect(),
        auto_failover: None,
        // For all that is known.
        serves_early: true,
        unseen: Vec::new(),
    })
}

/// A lock on a file beside the records: for runs on this host that keep their records in the same place. The record does
/// what the note does.
#[derive(Debug)]
pub struct LockFile {
    path: PathBuf,
    locked: Mutex<Option<File>>,
    hold: watch::Sender<Hold>,
}

impl LockFile {
    /// The lock of a cluster in a directory of records.
    pub fn new(dir: &std::path::Path, cluster: &str) -> Self {
        let name: String = cluster.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        Self { path: dir.join(format!("lock-{name}")), locked: Mutex::new(None), hold: watch::Sender::new(Hold::Held) }
    }

    fn error(&self, seen: &std::io::Error) -> LockError {
        LockError::File { path: self.path.display().to_string(), seen: seen.to_string() }
    }

    fn lock(&self, holder: &Holder) -> Result<(), LockError> {
        let dir = self.path.parent().unwrap_or(&self.path);
        fs::create_dir_all(dir).map_err(|error| self.error(&error))?;
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&self.path);
        let mut file = opened.map_err(|error| self.error(&error))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                let _ = file.take(10_000).read_to_string(&mut text);
                return Err(LockError::HeldBy { holder: Box::new(holder_of(&text)) });
            }
            Err(TryLockError::Error(error)) => return Err(self.error(&error)),
        }
        let text = serde_json::to_string(holder).unwrap_or_default();
        let written = file.set_len(0).and_then(|()| file.rewind()).and_then(|()| file.write_all(text.as_bytes()));
        written.map_err(|error| self.error(&error))?;
        *self.locked.lock().unwrap_or_else(PoisonError::into_inner) = Some(file);
        Ok(())
    }
}

impl Lock for LockFile {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> Locking<'a, ()> {
        Box::pin(std::future::ready(self.lock(holder)))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    fn holder(&self) -> Locking<'_, Option<Holder>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        // The file stays: removing it would pull it from under whoever has opened it meanwhile.
        self.locked.lock().unwrap_or_else(PoisonError::into_inner).take();
        Box::pin(std::future::ready(()))
    }

    fn note(&self) -> Locking<'_, Option<Note>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn leave<'a>(&'a self, _note: Option<&'a Note>) -> Locking<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn caveat(&self) -> Option<String> {
        Some(
            "without ZooKeeper, only runs that keep their records in the same directory are kept apart, and only they \
             hear of each other"
                .to_owned(),
        )
    }
}

/// A lock in memory, for rehearsals and tests: nobody else is there, unless told otherwise.
#[derive(Debug)]
pub struct Alone {
    hold: watch::Sender<Hold>,
    note: Mutex<Option<Note>>,
    keeps_notes: bool,
    other: Option<Holder>,
}

impl Default for Alone {
    fn default() -> Self {
        Self { hold: watch::Sender::new(Hold::Held), note: Mutex::new(None), keeps_notes: false, other: None }
    }
}

impl Alone {
    /// What becomes of the lock.
    pub fn becomes(&self, hold: Hold) {
        self.hold.send_replace(hold);
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

impl Lock for Alone {
    fn acquire<'a>(&'a self, _holder: &'a Holder) -> Locking<'a, ()> {
        let held = self.other.clone().map(|other| LockError::HeldBy { holder: Box::new(other) });
        Box::pin(std::future::ready(held.map_or(Ok(()), Err)))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    fn keeps_notes(&self) -> bool {
        self.keeps_notes
    }

    fn holder(&self) -> Locking<'_, Option<Holder>> {
        Box::pin(std::future::ready(Ok(self.other.clone())))
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(std::future::ready(()))
    }

    fn note(&self) -> Locking<'_, Option<Note>> {
        Box::pin(std::future::ready(Ok(self.note.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }

    fn leave<'a>(&'a self, note: Option<&'a Note>) -> Locking<'a, ()> {
        *self.note.lock().unwrap_or_else(PoisonError::into_inner) = note.cloned();
        Box::pin(std::future::ready(Ok(())))
    }
}
