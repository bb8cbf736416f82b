//! A lock in memory that keeps runs apart: a guard's and a person's.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};

use openmldb_ops::cluster::Hold;
use openmldb_ops::run::{Holder, InMemoryLock, Lock, LockError, LockFuture, Note, Pause};
use tokio::sync::watch;

/// The lock.
pub struct OneAtATime {
    pub inner: Arc<InMemoryLock>,
    holder: Mutex<Option<Holder>>,
}

impl Default for OneAtATime {
    fn default() -> Self {
        Self { inner: Arc::new(InMemoryLock::keeping_notes()), holder: Mutex::default() }
    }
}

impl OneAtATime {
    /// Whoever held it is gone.
    pub fn is_dropped(&self) {
        *self.holder.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    fn held(&self) -> Option<Holder> {
        self.holder.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Lock for OneAtATime {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        let mut held = self.holder.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match &*held {
            Some(other) => Err(LockError::HeldBy { holder: Box::new(other.clone()) }),
            None => {
                *held = Some(holder.clone());
                Ok(())
            }
        };
        Box::pin(std::future::ready(taken))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.inner.hold()
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        Box::pin(std::future::ready(Ok(self.held())))
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        self.is_dropped();
        Box::pin(std::future::ready(()))
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        self.inner.note()
    }

    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()> {
        self.inner.write_note(note)
    }

    fn keeps_notes(&self) -> bool {
        true
    }

    fn pause(&self) -> LockFuture<'_, Option<Pause>> {
        self.inner.pause()
    }
}
