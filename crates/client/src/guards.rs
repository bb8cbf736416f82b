//! What guards keep in a cluster's ZooKeeper, beside the lock: a node for each that may act, which goes with its session, so that
//! the first of them acts and the others know when it is gone; a pause, for all of them; and what the acting one has to know should
//! another one take over.

use tokio::sync::Mutex;
use zookeeper_client::{Client, CreateMode, Error};

use super::{DiscoveryError, LockNodes, Secret};

/// How the nodes of guards begin. ZooKeeper counts them.
const GUARD: &str = "guard-";

/// Who acts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Standing {
    /// We do.
    First,
    /// Another one does; the text that names it, if it could still be read.
    Behind {
        /// Who acts.
        first: String,
    },
}

/// The nodes of the guards of one cluster, as one of them sees them.
#[derive(Debug)]
pub struct GuardNodes {
    nodes: LockNodes,
    /// Our node's name, and the session that it goes with.
    mine: Mutex<Option<(String, i64)>>,
}

impl GuardNodes {
    /// Those of a cluster. Opens nothing yet.
    ///
    /// # Errors
    /// A malformed root path.
    pub fn new(servers: String, root: &str, credentials: Option<Secret>) -> Result<Self, DiscoveryError> {
        Ok(Self { nodes: LockNodes::new(servers, root, credentials)?, mine: Mutex::default() })
    }

    /// Takes a place in the row, with a text that names us, or keeps the one we have; and says who is first. A place that was lost,
    /// with its session or by somebody's hand, is taken anew, at the end.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write. Then nobody knows who is first.
    pub async fn stand(&self, text: &str) -> Result<Standing, DiscoveryError> {
        let client = self.nodes.client().await?;
        let mut mine = self.mine.lock().await;
        let here = client.session_id().0;
        let mut row = self.row(&client).await?;
        let kept = mine.take().filter(|(name, session)| *session == here && row.contains(name));
        let name = match kept {
            Some((name, _)) => name,
            None => {
                let name = self.take_place(&client, text).await?;
                row = self.row(&client).await?;
                name
            }
        };
        *mine = Some((name.clone(), here));
        match row.first() {
            Some(first) if *first != name => {
                let first = self.nodes.text(&self.nodes.below(first)).await?.unwrap_or_default();
                // Of a node whose making was never answered nobody knows but by what it says.
                Ok(if first == text { Standing::First } else { Standing::Behind { first } })
            }
            _ => Ok(Standing::First),
        }
    }

    /// Gives our place up, so that another one need not wait until our session has expired.
    pub async fn step_back(&self) {
        let Some((name, _)) = self.mine.lock().await.take() else { return };
        let Ok(client) = self.nodes.client().await else { return };
        for path in [self.nodes.below(&name), self.nodes.above()] {
            if let Err(error) = client.delete(&path, None).await {
                tracing::debug!(%error, path, "not removed");
            }
        }
    }

    /// What is kept for all guards under this name.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn kept(&self, what: Kept) -> Result<Option<String>, DiscoveryError> {
        self.nodes.text(&self.nodes.below(what.name())).await
    }

    /// Keeps it, in place of the one before; or keeps nothing.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write.
    pub async fn keep(&self, what: Kept, text: Option<&str>) -> Result<(), DiscoveryError> {
        let path = self.nodes.below(what.name());
        match text {
            Some(text) => self.nodes.put(&path, text).await,
            None => self.nodes.remove_node(&path).await,
        }
    }

    /// The names of all guards' nodes, the first one first.
    async fn row(&self, client: &Client) -> Result<Vec<String>, DiscoveryError> {
        let above = self.nodes.above();
        let children = match client.list_children(&above).await {
            Ok(children) => children,
            Err(Error::NoNode) => Vec::new(),
            Err(error) => return Err(self.nodes.refused(&above, &error)),
        };
        let mut row: Vec<String> = children.into_iter().filter(|name| name.starts_with(GUARD)).collect();
        row.sort_unstable();
        Ok(row)
    }

    async fn take_place(&self, client: &Client, text: &str) -> Result<String, DiscoveryError> {
        let path = self.nodes.below(GUARD);
        let created = self.nodes.create(client, &path, text, CreateMode::EphemeralSequential).await;
        let sequence = created.map_err(|error| self.nodes.refused(&path, &error))?;
        Ok(format!("{GUARD}{sequence}"))
    }
}

/// What is kept for all guards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kept {
    /// That they are to do nothing for a while.
    Pause,
    /// What the one that acts has tried.
    Attempts,
}

impl Kept {
    fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Attempts => "attempts",
        }
    }
}
