//! The metadata below the root path: read as it was at one moment, and, below a lock, created where it is missing.

use std::collections::BTreeMap;

use tokio::task::JoinSet;
use zookeeper_client::{Acls, Client, CreateMode, Error, Stat};

use openmldb_model::{MetadataSeen, MetadataTree};

use super::{DiscoveryError, LockNodes, ZooKeeper};

/// Questions under way at a time.
const AT_ONCE: usize = 64;
/// So often it is read anew where nodes changed meanwhile. Nameservers write a table's node at every change of its metadata.
const PASSES: u32 = 8;
/// What this program itself keeps below the root path.
const OURS: &str = "openmldb-ops";
/// Where the children are registrations, which come and go with their servers; and the root, below which our lock does.
const RESTLESS: [&str; 3] = ["", "leader", "nodes"];

/// One node as it was read.
struct Node {
    data: Vec<u8>,
    stat: Stat,
    /// When its children came or went last.
    children_at: i64,
}

impl Node {
    /// What differs if it was touched in between.
    fn mark(&self, path: &str) -> (i64, i64, Option<i64>) {
        let children_at = (!RESTLESS.contains(&path)).then_some(self.children_at);
        (self.stat.czxid, self.stat.mzxid, children_at)
    }
}

/// Nodes by their path below the root; the root's own is empty.
type Pass = BTreeMap<String, Node>;

impl ZooKeeper {
    /// The metadata, as it was at one moment. It is read twice, and anew as long as the second look does not find what the first
    /// one found, a few times; then it is said what changed. What this program itself keeps is left out.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn metadata(&self) -> Result<MetadataSeen, DiscoveryError> {
        let top = self.full("");
        // A follower of an ensemble may be behind.
        self.read(&top, |client, path| async move { client.sync(&path).await }).await?;
        let mut before = self.pass().await?;
        let mut changed = Vec::new();
        for _ in 1..PASSES {
            let now = self.pass().await?;
            changed = differing(&before, &now);
            before = now;
            if changed.is_empty() {
                break;
            }
        }
        let root = before.remove("").is_some();
        let (mut tree, mut of_sessions) = (MetadataTree::default(), MetadataTree::default());
        for (path, node) in before {
            let of = if node.stat.ephemeral_owner == 0 { &mut tree } else { &mut of_sessions };
            of.insert(path, node.data);
        }
        Ok(MetadataSeen { root, tree, of_sessions, changed })
    }

    /// Reads every node once, level by level.
    async fn pass(&self) -> Result<Pass, DiscoveryError> {
        let (mut pass, mut level) = (Pass::new(), vec![String::new()]);
        while !level.is_empty() {
            let (mut asked, mut next) = (JoinSet::new(), Vec::new());
            for path in std::mem::take(&mut level) {
                if asked.len() == AT_ONCE
                    && let Some(Ok(answer)) = asked.join_next().await
                {
                    self.take(answer, &mut pass, &mut next).await?;
                }
                let (client, full) = (self.session().await, self.full(&path));
                asked.spawn(async move { (path, node(&client, &full).await) });
            }
            while let Some(answer) = asked.join_next().await {
                if let Ok(answer) = answer {
                    self.take(answer, &mut pass, &mut next).await?;
                }
            }
            level = next;
        }
        Ok(pass)
    }

    async fn take(
        &self,
        (path, read): (String, Result<(Node, Vec<String>), Error>),
        pass: &mut Pass,
        next: &mut Vec<String>,
    ) -> Result<(), DiscoveryError> {
        let read = match read {
            Ok(read) => Some(read),
            Err(_) => self.read(&self.full(&path), |client, full| async move { node(&client, &full).await }).await?,
        };
        // It went meanwhile, or there is no root.
        let Some((read, children)) = read else { return Ok(()) };
        let below = children.into_iter().map(|child| match path.as_str() {
            "" => child,
            path => format!("{path}/{child}"),
        });
        // Where the root path is ZooKeeper's own root, there are nodes of its own.
        next.extend(below.filter(|path| path != OURS && path != "zookeeper"));
        pass.insert(path, read);
        Ok(())
    }
}

async fn node(client: &Client, path: &str) -> Result<(Node, Vec<String>), Error> {
    let (data, stat) = client.get_data(path).await?;
    let (children, after) = client.get_children(path).await?;
    Ok((Node { data, stat, children_at: after.pzxid }, children))
}

/// Persistent nodes that are not in both as they are in the other.
fn differing(before: &Pass, now: &Pass) -> Vec<String> {
    let marks = |pass: &Pass| -> BTreeMap<String, _> {
        let persistent = pass.iter().filter(|(_, node)| node.stat.ephemeral_owner == 0);
        persistent.map(|(path, node)| (path.clone(), node.mark(path))).collect()
    };
    let (before, now) = (marks(before), marks(now));
    let paths = before.keys().chain(now.keys().filter(|path| !before.contains_key(*path)));
    let mut differing: Vec<String> = paths.filter(|path| before.get(*path) != now.get(*path)).cloned().collect();
    differing.sort();
    differing
}

/// What became of creating a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Created {
    /// It is there now.
    New,
    /// It was there, and holds the same.
    Already,
    /// It was there, and holds something else.
    Otherwise,
}

impl LockNodes {
    /// The metadata of the lock's cluster, as [`ZooKeeper::metadata`] has them, read in a session of their own.
    ///
    /// # Errors
    /// As there.
    pub async fn metadata(&self) -> Result<MetadataSeen, DiscoveryError> {
        self.place().await?.metadata().await
    }

    /// Creates the root path, as OpenMLDB's servers do where it is missing: the lock is below it.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write.
    pub async fn make_root(&self) -> Result<(), DiscoveryError> {
        let (client, root) = (self.client().await?, self.root());
        if root.is_empty() {
            return Ok(());
        }
        let options = CreateMode::Persistent.with_acls(self.acls());
        client.mkdir(root, &options).await.map_err(|error| self.refused(root, &error))
    }

    /// Creates a node of metadata, by its path below the root, in the lock's session; with the rights that OpenMLDB gives it
    /// (docs/openmldb/metadata-in-zookeeper.md#credentials-for-zookeeper). One that is there stays as it is.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write: nobody knows whether it is there.
    pub async fn create_metadata(&self, path: &str, data: &[u8]) -> Result<Created, DiscoveryError> {
        let (client, full) = (self.client().await?, format!("{}/{path}", self.root()));
        match client.create(&full, data, &CreateMode::Persistent.with_acls(self.acls())).await {
            Ok(_) => return Ok(Created::New),
            Err(Error::NodeExists) => {}
            Err(error) => return Err(self.refused(&full, &error)),
        }
        match client.get_data(&full).await {
            Ok((there, stat)) if there == data && stat.ephemeral_owner == 0 => Ok(Created::Already),
            Ok(_) => Ok(Created::Otherwise),
            Err(error) => Err(self.refused(&full, &error)),
        }
    }

    pub(super) fn acls(&self) -> Acls<'static> {
        if self.has_credentials() { Acls::creator_all() } else { Acls::anyone_all() }
    }
}
