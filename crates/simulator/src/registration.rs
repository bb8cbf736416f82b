//! The sandbox in a real ZooKeeper: the world's tree under a root path, kept true while the sandbox runs.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use thiserror::Error;
use tokio::time::Instant;
use zookeeper_client::{Acls, Client, CreateMode, SessionState};

use super::nameserver::{Nodes, Znode};

/// The session of whoever holds the ephemeral nodes. The world decides when a server's own session ends (its node is then
/// deleted), so this one only matters if the sandbox dies: OpenMLDB's default is as long
/// (docs/openmldb/timings.md#settings-and-their-defaults).
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// How long after the last time removing it all is tried again where ZooKeeper gives no answer. By the time that a session lasts
/// nobody waits for it any more.
const PAUSE: Duration = Duration::from_millis(200);

/// Where to register.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ZooKeeperPath {
    /// `host:port`, several separated by commas.
    pub servers: String,
    /// The root path, `/openmldb` by default.
    pub root: String,
    /// Digest credentials, `user:password`.
    pub digest: Option<String>,
}

/// Why registering failed.
#[derive(Debug, Error)]
pub enum RegistrationError {
    /// ZooKeeper refused or was not reached.
    #[error("ZooKeeper at {servers}, {doing}: {source}")]
    ZooKeeper {
        /// The servers asked.
        servers: String,
        /// What was being done.
        doing: String,
        /// ZooKeeper's word.
        source: zookeeper_client::Error,
    },
    /// Somebody else's cluster is there.
    #[error("{root} in ZooKeeper at {servers} already holds a cluster: {found} exists")]
    Occupied {
        /// The servers asked.
        servers: String,
        /// The root path.
        root: String,
        /// What was found.
        found: String,
    },
}

impl RegistrationError {
    /// Whether the same may work a little later: an answer was lost, and what was asked may have been done.
    pub fn is_passing(&self) -> bool {
        use zookeeper_client::Error::{ConnectionLoss, SessionExpired, Timeout};
        matches!(self, Self::ZooKeeper { source: ConnectionLoss | SessionExpired | Timeout, .. })
    }
}

/// A sandbox's nodes in a real ZooKeeper.
#[derive(Debug)]
pub struct Registration {
    at: ZooKeeperPath,
    client: Client,
    /// What ZooKeeper holds of ours, by full path.
    published: BTreeMap<String, Node>,
    /// Persistent nodes above and at the root that were not there before.
    made: Vec<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Node {
    data: Vec<u8>,
    ephemeral: bool,
}

impl Registration {
    /// Connects, makes sure nobody else is registered under the root path, and creates that path.
    ///
    /// # Errors
    /// ZooKeeper out of reach or refusing; a cluster registered there already.
    pub async fn connect(at: &ZooKeeperPath) -> Result<Self, RegistrationError> {
        let client = session(at).await?;
        let mut registration = Self { at: at.clone(), client, published: BTreeMap::new(), made: Vec::new() };
        for child in ["leader", "nodes"] {
            let path = registration.full(child);
            let found = match registration.client.list_children(&path).await {
                Ok(children) => children.into_iter().next(),
                Err(zookeeper_client::Error::NoNode) => None,
                Err(source) => return Err(registration.failed(format!("looking at {path}"), source)),
            };
            if let Some(found) = found {
                let (servers, root) = (at.servers.clone(), at.root.clone());
                return Err(RegistrationError::Occupied { servers, root, found: format!("{path}/{found}") });
            }
        }
        registration.make_root().await?;
        Ok(registration)
    }

    async fn make_root(&mut self) -> Result<(), RegistrationError> {
        let root = self.full("");
        let ends = root.char_indices().skip(1).filter(|(_, c)| *c == '/').map(|(at, _)| at);
        for end in ends.chain([root.len()]).collect::<Vec<_>>() {
            let path = root.get(..end).unwrap_or(&root).to_owned();
            if path.is_empty() || path == "/" {
                continue;
            }
            match self.create(&path, &[], false).await {
                Ok(()) => self.made.push(path),
                Err(zookeeper_client::Error::NodeExists) => {}
                Err(source) => return Err(self.failed(format!("creating {path}"), source)),
            }
        }
        Ok(())
    }

    /// Opens another session where the last one is over. One that has lost its connection may come back, and is waited for if
    /// nodes hang on it. While no server is registered none do, and those that start open sessions of their own: the old one
    /// would keep them waiting until it times out if ZooKeeper has lost everything, since a ZooKeeper that has seen less than a
    /// client turns it away without a word on its session.
    ///
    /// # Errors
    /// ZooKeeper out of reach or refusing; the next call tries again.
    pub async fn have_session(&mut self) -> Result<(), RegistrationError> {
        let state = self.client.state();
        let hangs_on_it = self.published.values().any(|node| node.ephemeral);
        if state.is_terminated() || (state == SessionState::Disconnected && !hangs_on_it) {
            self.client = session(&self.at).await?;
            self.published.retain(|_, node| !node.ephemeral);
        }
        Ok(())
    }

    /// Makes ZooKeeper hold exactly `tree` of ours: creates, rewrites and deletes what differs from the last time.
    ///
    /// # Errors
    /// ZooKeeper out of reach or refusing; the next call carries on.
    pub async fn publish(&mut self, tree: &[Znode]) -> Result<(), RegistrationError> {
        self.have_session().await?;
        let wanted: BTreeMap<String, Node> = tree
            .iter()
            .map(|node| {
                (self.full(&node.path), Node { data: node.data.clone(), ephemeral: node.ephemeral_owner.is_some() })
            })
            .collect();
        let gone: Vec<String> =
            self.published.keys().rev().filter(|path| !wanted.contains_key(*path)).cloned().collect();
        for path in gone {
            self.delete(&path).await?;
            self.published.remove(&path);
        }
        for (path, node) in wanted {
            if self.published.get(&path) != Some(&node) {
                self.write(&path, &node).await?;
                self.published.insert(path, node);
            }
        }
        Ok(())
    }

    /// Every persistent node below the root path, whoever wrote it.
    ///
    /// # Errors
    /// ZooKeeper out of reach or refusing.
    pub async fn read_back(&self) -> Result<Nodes, RegistrationError> {
        let (mut nodes, mut unread) = (Nodes::new(), vec![String::new()]);
        while let Some(parent) = unread.pop() {
            let full = self.full(&parent);
            let children = match self.client.list_children(&full).await {
                Ok(children) => children,
                Err(zookeeper_client::Error::NoNode) => continue,
                Err(source) => return Err(self.failed(format!("looking at {full}"), source)),
            };
            for child in children {
                let path = if parent.is_empty() { child } else { format!("{parent}/{child}") };
                match self.client.get_data(&self.full(&path)).await {
                    Ok((data, stat)) if stat.ephemeral_owner == 0 => {
                        nodes.insert(path.clone(), data);
                        unread.push(path);
                    }
                    Ok(_) | Err(zookeeper_client::Error::NoNode) => {}
                    Err(source) => return Err(self.failed(format!("reading {path}"), source)),
                }
            }
        }
        Ok(nodes)
    }

    /// What was there when the world began with it. Nodes that the world knows nothing of are left alone.
    pub fn takes(&mut self, there: Nodes, tree: &[Znode]) {
        let known: BTreeSet<&str> = tree.iter().map(|node| node.path.as_str()).collect();
        self.published.retain(|_, node| node.ephemeral);
        for (path, data) in there.into_iter().filter(|(path, _)| known.contains(path.as_str())) {
            self.published.insert(self.full(&path), Node { data, ephemeral: false });
        }
    }

    async fn write(&self, path: &str, node: &Node) -> Result<(), RegistrationError> {
        let mut created = self.create(path, &node.data, node.ephemeral).await;
        if let (Err(zookeeper_client::Error::NoNode), Some((parent, _))) = (&created, path.rsplit_once('/')) {
            // As OpenMLDB's servers do.
            let made = self.client.mkdir(parent, &CreateMode::Persistent.with_acls(self.acls())).await;
            made.map_err(|source| self.failed(format!("creating {parent}"), source))?;
            created = self.create(path, &node.data, node.ephemeral).await;
        }
        let written = match created {
            Err(zookeeper_client::Error::NodeExists) => self.client.set_data(path, &node.data, None).await.map(|_| ()),
            created => created,
        };
        written.map_err(|source| self.failed(format!("writing {path}"), source))
    }

    async fn create(&self, path: &str, data: &[u8], ephemeral: bool) -> Result<(), zookeeper_client::Error> {
        let mode = if ephemeral { CreateMode::Ephemeral } else { CreateMode::Persistent };
        self.client.create(path, data, &mode.with_acls(self.acls())).await.map(|_| ())
    }

    /// As OpenMLDB does: with credentials, the creator alone; without, anyone
    /// (docs/openmldb/metadata-in-zookeeper.md#credentials-for-zookeeper).
    fn acls(&self) -> Acls<'static> {
        if self.at.digest.is_some() { Acls::creator_all() } else { Acls::anyone_all() }
    }

    async fn delete(&self, path: &str) -> Result<(), RegistrationError> {
        match self.client.delete(path, None).await {
            // Not empty: somebody put a node of theirs below ours.
            Ok(()) | Err(zookeeper_client::Error::NoNode | zookeeper_client::Error::NotEmpty) => Ok(()),
            Err(source) => Err(self.failed(format!("deleting {path}"), source)),
        }
    }

    /// Deletes everything it made, the root path included if nothing else is left in it. Tries again where an answer was lost.
    ///
    /// # Errors
    /// ZooKeeper out of reach or refusing; the ephemeral nodes then go with the session.
    pub async fn remove(mut self) -> Result<(), RegistrationError> {
        let began = Instant::now();
        loop {
            match self.delete_all().await {
                Err(error) if error.is_passing() && began.elapsed() < SESSION_TIMEOUT => {
                    tokio::time::sleep(PAUSE).await;
                }
                deleted => return deleted,
            }
        }
    }

    async fn delete_all(&mut self) -> Result<(), RegistrationError> {
        self.publish(&[]).await?;
        for path in self.made.iter().rev() {
            self.delete(path).await?;
        }
        Ok(())
    }

    /// A path relative to the root, from the top.
    fn full(&self, relative: &str) -> String {
        let root = self.at.root.trim_end_matches('/');
        match relative.trim_matches('/') {
            "" => root.to_owned(),
            relative => format!("{root}/{relative}"),
        }
    }

    fn failed(&self, doing: String, source: zookeeper_client::Error) -> RegistrationError {
        RegistrationError::ZooKeeper { servers: self.at.servers.clone(), doing, source }
    }
}

async fn session(at: &ZooKeeperPath) -> Result<Client, RegistrationError> {
    let mut connector = Client::connector().with_session_timeout(SESSION_TIMEOUT);
    if let Some(digest) = &at.digest {
        connector = connector.with_auth("digest", digest.as_bytes());
    }
    connector.connect(&at.servers).await.map_err(|source| RegistrationError::ZooKeeper {
        servers: at.servers.clone(),
        doing: "connecting".to_owned(),
        source,
    })
}
