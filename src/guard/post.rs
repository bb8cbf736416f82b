//! What guards of one cluster share: who of them acts, and what that one has tried.

use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::cluster::{DiscoveryError, GuardNodes, Kept, Standing};
use crate::run::Pause;

use super::attempts::Attempt;

/// ZooKeeper answers within this, or nobody knows.
const WITHIN: Duration = Duration::from_secs(12);

/// Something that takes its time.
pub type Posting<'a, T> = Pin<Box<dyn Future<Output = Result<T, DiscoveryError>> + Send + 'a>>;

/// Where guards know of each other.
pub trait Post: Send + Sync {
    /// Whether we act, or who does.
    fn stand(&self) -> Posting<'_, Standing>;

    /// We do not any more.
    fn step_back(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>>;

    /// What was tried, by whichever of them.
    fn attempts(&self) -> Posting<'_, Vec<Attempt>>;

    /// Has it known by all.
    fn tell_attempts<'a>(&'a self, attempts: &'a [Attempt]) -> Posting<'a, ()>;
}

/// In the cluster's ZooKeeper.
pub struct ClusterPost {
    nodes: GuardNodes,
    name: String,
}

impl ClusterPost {
    /// That of a cluster; `name` is what the others call this guard.
    pub fn new(nodes: GuardNodes, name: String) -> Self {
        Self { nodes, name }
    }

    /// Has all guards do nothing for a while; or ends that.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write.
    pub async fn pause(&self, pause: Option<&Pause>) -> Result<(), DiscoveryError> {
        let text = pause.and_then(|pause| serde_json::to_string(pause).ok());
        self.nodes.keep(Kept::Pause, text.as_deref()).await
    }

    /// The pause, if there is one. It may be over.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn paused(&self) -> Result<Option<Pause>, DiscoveryError> {
        Ok(self.nodes.kept(Kept::Pause).await?.map(|text| Pause::read(&text)))
    }
}

async fn within<T>(work: impl Future<Output = Result<T, DiscoveryError>>) -> Result<T, DiscoveryError> {
    tokio::time::timeout(WITHIN, work).await.unwrap_or_else(|_| {
        let (servers, path) = ("the cluster's servers".to_owned(), "who of the guards acts".to_owned());
        Err(DiscoveryError::ZooKeeperLost { servers, path, seen: format!("nothing within {WITHIN:?}") })
    })
}

impl Post for ClusterPost {
    fn stand(&self) -> Posting<'_, Standing> {
        Box::pin(within(self.nodes.stand(&self.name)))
    }

    fn step_back(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(async {
            // What cannot be told is known once the session has expired.
            let _late = tokio::time::timeout(Duration::from_secs(2), self.nodes.step_back()).await;
        })
    }

    fn attempts(&self) -> Posting<'_, Vec<Attempt>> {
        Box::pin(within(async {
            Ok(self.nodes.kept(Kept::Attempts).await?.map(|text| Attempt::read(&text)).unwrap_or_default())
        }))
    }

    fn tell_attempts<'a>(&'a self, attempts: &'a [Attempt]) -> Posting<'a, ()> {
        Box::pin(within(async move {
            let text = (!attempts.is_empty()).then(|| Attempt::write(attempts));
            self.nodes.keep(Kept::Attempts, text.as_deref()).await
        }))
    }
}

/// A guard that is alone: of an embedded cluster, and of one that is only watched.
#[derive(Debug, Default)]
pub struct Unshared {
    attempts: Mutex<Vec<Attempt>>,
}

impl Post for Unshared {
    fn stand(&self) -> Posting<'_, Standing> {
        Box::pin(ready(Ok(Standing::First)))
    }

    fn step_back(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        Box::pin(ready(()))
    }

    fn attempts(&self) -> Posting<'_, Vec<Attempt>> {
        Box::pin(ready(Ok(self.attempts.lock().unwrap_or_else(PoisonError::into_inner).clone())))
    }

    fn tell_attempts<'a>(&'a self, attempts: &'a [Attempt]) -> Posting<'a, ()> {
        *self.attempts.lock().unwrap_or_else(PoisonError::into_inner) = attempts.to_vec();
        Box::pin(ready(Ok(())))
    }
}
