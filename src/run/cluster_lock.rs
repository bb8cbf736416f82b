//! The lock of a cluster found through its ZooKeeper: a node there, for all hosts; and beside it this host's own, which runs that
//! know no ZooKeeper take, too.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{Hold, LOCK_SESSION, LockNodes, Progress};
use crate::model::MetadataSeen;

use super::host_lock::LockFile;
use super::lock::{Holder, Lock, LockError, LockFuture, Note, holder_of, note_of};
use super::old_terms::OldTerms;
use super::pause::Pause;
use super::process::Liveness;

/// How long a lock whose holder may be dead is waited for: its session's timeout, and a little for ZooKeeper to notice.
const LOCK_WAIT: Duration = Duration::from_secs(LOCK_SESSION.as_secs() + 4);
/// How often it is looked at meanwhile.
const LOCK_POLL: Duration = Duration::from_millis(250);

/// Both locks of a cluster.
pub struct ClusterLock {
    nodes: Arc<LockNodes>,
    host: Option<LockFile>,
    says: Progress,
}

impl ClusterLock {
    /// Those of a cluster. `says` hears what is waited for.
    pub fn new(nodes: LockNodes, host: LockFile, says: Progress) -> Self {
        Self { nodes: Arc::new(nodes), host: Some(host), says }
    }

    /// The one in ZooKeeper alone: of a cluster that has no server to ask.
    pub fn of_zookeeper(nodes: Arc<LockNodes>, says: Progress) -> Self {
        Self { nodes, host: None, says }
    }

    /// This host's first: its holder is alive.
    async fn take(&self, holder: &Holder) -> Result<(), LockError> {
        let Some(host) = &self.host else { return self.take_node(holder).await };
        match host.acquire(holder).await {
            Ok(()) => {}
            // The node keeps runs apart all the same, all but those that know no ZooKeeper.
            Err(error @ LockError::File { .. }) => {
                (self.says)(&format!("{error}: a run by --nameserver on this host would not be noticed"));
            }
            Err(error) => return Err(error),
        }
        let taken = self.take_node(holder).await;
        if taken.is_err() {
            host.release().await;
        }
        taken
    }

    async fn take_node(&self, holder: &Holder) -> Result<(), LockError> {
        let text = serde_json::to_string(holder).map_err(|error| LockError::Text { seen: error.to_string() })?;
        let deadline = Instant::now() + LOCK_WAIT;
        let mut is_told = false;
        loop {
            let Some(node) = self.nodes.acquire(&text).await? else { return Ok(()) };
            let other = holder_of(&node.text);
            match other.liveness(&holder.caller.host) {
                Liveness::Lives => return Err(LockError::HeldBy { holder: Box::new(other) }),
                Liveness::Gone => {
                    (self.says)(&format!("{} is gone: its lock is removed", other.name()));
                    self.nodes.remove(&node).await?;
                }
                Liveness::Unknown if Instant::now() >= deadline => {
                    return Err(LockError::HeldBy { holder: Box::new(other) });
                }
                Liveness::Unknown => {
                    if !std::mem::replace(&mut is_told, true) {
                        let (wait, name) = (LOCK_WAIT.as_secs(), other.name());
                        (self.says)(&format!("waiting up to {wait} s for the lock of {name}, which may be dead"));
                    }
                    tokio::time::sleep(LOCK_POLL).await;
                }
            }
        }
    }
}

impl Lock for ClusterLock {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        Box::pin(self.take(holder))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.nodes.hold()
    }

    fn keeps_notes(&self) -> bool {
        true
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        Box::pin(async {
            // The node of a killed run stays until its session is over: ten seconds in which nobody is at work.
            let node = self.nodes.holder().await?.map(|text| holder_of(&text));
            match (node.filter(|other| other.caller.liveness() != Liveness::Gone), &self.host) {
                (None, Some(host)) => host.holder().await,
                (other, _) => Ok(other),
            }
        })
    }

    fn pause(&self) -> LockFuture<'_, Option<Pause>> {
        Box::pin(async { Ok(self.nodes.pause().await?.map(|text| Pause::read(&text))) })
    }

    fn old_terms(&self) -> LockFuture<'_, Option<OldTerms>> {
        Box::pin(async { Ok(self.nodes.old_terms().await?.map(|text| OldTerms::read(&text))) })
    }

    fn write_old_terms<'a>(&'a self, old: Option<&'a OldTerms>) -> LockFuture<'a, bool> {
        Box::pin(async move {
            let text = old.map(serde_json::to_string).transpose();
            let text = text.map_err(|error| LockError::Text { seen: error.to_string() })?;
            self.nodes.write_old_terms(text.as_deref()).await?;
            Ok(true)
        })
    }

    fn metadata(&self) -> LockFuture<'_, Option<MetadataSeen>> {
        Box::pin(async { Ok(Some(self.nodes.metadata().await?)) })
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            self.nodes.release().await;
            if let Some(host) = &self.host {
                host.release().await;
            }
        })
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        Box::pin(async { Ok(self.nodes.note().await?.map(|text| note_of(&text))) })
    }

    fn write_note<'a>(&'a self, note: Option<&'a Note>) -> LockFuture<'a, ()> {
        Box::pin(async move {
            match note {
                Some(note) => {
                    let text = serde_json::to_string(note);
                    let text = text.map_err(|error| LockError::Text { seen: error.to_string() })?;
                    self.nodes.write_note(&text).await?;
                }
                None => self.nodes.clear().await?,
            }
            Ok(())
        })
    }
}
