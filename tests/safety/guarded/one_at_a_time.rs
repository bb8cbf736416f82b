//! What guards and people share in ZooKeeper, in memory: a lock that keeps runs apart, and what guards have tried. ZooKeeper may be away.

use std::future::ready;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openmldb_ops::cluster::{DiscoveryError, Hold, Standing};
use openmldb_ops::guard::{Attempt, Post, Posting, Unshared};
use openmldb_ops::run::{Holder, InMemoryLock, Lock, LockError, LockFuture, Note, Pause};
use tokio::sync::watch;

/// So long after ZooKeeper has gone, sessions are over.
const SESSION: u64 = 10_000;

/// ZooKeeper, as far as guards and people use it.
pub struct OneAtATime {
    pub inner: Arc<InMemoryLock>,
    post: Unshared,
    holder: Mutex<Option<Held>>,
    /// Since when it is away; 0: it is there.
    away: AtomicU64,
    processes: AtomicU64,
}

struct Held {
    by: Holder,
    process: u64,
    hold: watch::Sender<Hold>,
}

/// The lock as one process has it, and what guards know of each other.
pub struct Process {
    shared: Arc<OneAtATime>,
    number: u64,
    hold: watch::Sender<Hold>,
}

impl Default for OneAtATime {
    fn default() -> Self {
        Self {
            inner: Arc::new(InMemoryLock::keeping_notes()),
            post: Unshared::default(),
            holder: Mutex::default(),
            away: AtomicU64::default(),
            processes: AtomicU64::default(),
        }
    }
}

impl OneAtATime {
    /// Another process that uses it.
    pub fn process(self: &Arc<Self>) -> Arc<Process> {
        let number = self.processes.fetch_add(1, Ordering::Relaxed);
        Arc::new(Process { shared: self.clone(), number, hold: watch::Sender::new(Hold::Held) })
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Option<Held>> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whoever held it is gone.
    pub fn is_dropped(&self) {
        *self.lock() = None;
    }

    pub fn is_held(&self) -> bool {
        self.lock().is_some()
    }

    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed) != 0
    }

    /// It goes, or comes back: says whether sessions have ended meanwhile.
    pub fn zookeeper_is(&self, away: bool, now: u64) -> bool {
        let since = self.away.swap(if away { now.max(1) } else { 0 }, Ordering::Relaxed);
        let expired = !away && since != 0 && now - since >= SESSION;
        let mut held = self.lock();
        if let Some(held) = &*held {
            held.hold.send_replace(match (away, expired) {
                (true, _) => Hold::Suspended,
                (false, true) => Hold::Lost,
                (false, false) => Hold::Held,
            });
        }
        if expired {
            *held = None;
        }
        expired
    }
}

fn away<'a, T: Send + 'a, E: From<DiscoveryError> + Send + 'a>()
-> Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>> {
    let (servers, path) = ("the test's".to_owned(), "/openmldb-ops".to_owned());
    let lost = DiscoveryError::ZooKeeperLost { servers, path, seen: "it is away".to_owned() };
    Box::pin(ready(Err(lost.into())))
}

impl Lock for Process {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        let mut held = self.shared.lock();
        let taken = match &*held {
            _ if self.shared.is_away() => return away(),
            Some(other) => Err(LockError::HeldBy { holder: Box::new(other.by.clone()) }),
            None => {
                self.hold.send_replace(Hold::Held);
                *held = Some(Held { by: holder.clone(), process: self.number, hold: self.hold.clone() });
                Ok(())
            }
        };
        Box::pin(ready(taken))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        if self.shared.is_away() {
            return away();
        }
        Box::pin(ready(Ok(self.shared.lock().as_ref().map(|held| held.by.clone()))))
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        let mut held = self.shared.lock();
        if held.as_ref().is_some_and(|held| held.process == self.number) {
            *held = None;
        }
        Box::pin(ready(()))
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        if self.shared.is_away() { away() } else { self.shared.inner.note() }
    }

    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()> {
        if self.shared.is_away() { away() } else { self.shared.inner.write_note(note) }
    }

    fn keeps_notes(&self) -> bool {
        true
    }

    fn pause(&self) -> LockFuture<'_, Option<Pause>> {
        if self.shared.is_away() { away() } else { self.shared.inner.pause() }
    }
}

impl Post for Process {
    fn stand(&self) -> Posting<'_, Standing> {
        if self.shared.is_away() { away() } else { self.shared.post.stand() }
    }

    fn step_back(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.shared.post.step_back()
    }

    fn attempts(&self) -> Posting<'_, Vec<Attempt>> {
        if self.shared.is_away() { away() } else { self.shared.post.attempts() }
    }

    fn tell_attempts<'a>(&'a self, attempts: &'a [Attempt]) -> Posting<'a, ()> {
        if self.shared.is_away() { away() } else { self.shared.post.tell_attempts(attempts) }
    }
}
