//! ZooKeeper, read only: who leads, which tablets registered, which address a server name stands for. Layout:
//! docs/openmldb/metadata-in-zookeeper.md#paths. Nothing in here writes.

use std::collections::HashMap;
use std::time::Duration;

use tokio::task::JoinSet;
use zookeeper_client::{Client, Error};

use openmldb_model::{Endpoint, Zone};
use openmldb_wire::decode;

use super::{DiscoveryError, Secret, probe};

/// The session timeout asked for: OpenMLDB's templates have 10 s (`zk_session_timeout`). No session is given up on
/// before that.
const SESSION_TIMEOUT: Duration = Duration::from_secs(10);

/// A session with the ZooKeeper that a cluster registers in.
#[derive(Debug)]
pub struct ZooKeeper {
    servers: String,
    root: String,
    credentials: Option<Secret>,
    session_timeout: Duration,
    /// The session; replaced when it is lost for good.
    client: tokio::sync::Mutex<Client>,
}

impl ZooKeeper {
    /// Opens a session.
    ///
    /// # Errors
    /// Malformed arguments, no host by that name, nothing listens, no ZooKeeper, no session.
    pub async fn connect(servers: String, root: String, credentials: Option<Secret>) -> Result<Self, DiscoveryError> {
        Self::connect_within(SESSION_TIMEOUT, servers, root, credentials).await
    }

    /// [`ZooKeeper::connect`] with another session timeout.
    ///
    /// # Errors
    /// As there.
    pub async fn connect_within(
        session_timeout: Duration,
        servers: String,
        root: String,
        credentials: Option<Secret>,
    ) -> Result<Self, DiscoveryError> {
        let root = clean_root(&root)?;
        let client = open(&servers, credentials.as_ref(), session_timeout).await?;
        Ok(Self { servers, root, credentials, session_timeout, client: client.into() })
    }

    /// The servers, as they were named.
    pub(super) fn servers(&self) -> &str {
        &self.servers
    }

    /// The address of the nameserver that leads: the data of the smallest child of `leader`, through `map/names` if it
    /// is a server name.
    ///
    /// # Errors
    /// A wrong root path, nobody registered, a name without an address, or ZooKeeper is unreachable.
    pub async fn leader(&self) -> Result<String, DiscoveryError> {
        let leader = format!("{}/leader", self.root);
        let name = loop {
            let Some(mut children) = self.children(&leader).await? else { return Err(self.why_nobody_leads().await) };
            children.sort_unstable();
            let Some(first) = children.first() else { return Err(self.no_nameserver()) };
            // The leader may go between the two questions; the next child leads then.
            if let Some(name) = self.data(&format!("{leader}/{first}")).await? {
                break name;
            }
        };
        match self.data(&format!("{}/map/names/{name}", self.root)).await? {
            Some(address) if !address.is_empty() => Ok(address),
            // With use_name and an explicit endpoint the name is the address, and stands for nothing else
            // (docs/openmldb/metadata-in-zookeeper.md#server-names).
            _ if name.contains(':') => Ok(name),
            _ => Err(DiscoveryError::NoAddress { name, root: self.root.clone() }),
        }
    }

    /// Every server name with its address (`map/names`), which is empty where the name is the address; none at all in a cluster
    /// without server names.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn names(&self) -> Result<HashMap<Endpoint, String>, DiscoveryError> {
        let path = format!("{}/map/names", self.root);
        let client = self.client.lock().await.clone();
        let mut reads = JoinSet::new();
        for name in self.children(&path).await?.unwrap_or_default() {
            let (client, path) = (client.clone(), format!("{path}/{name}"));
            reads.spawn(async move { (name, client.get_data(&path).await) });
        }
        let mut names = HashMap::new();
        while let Some(read) = reads.join_next().await {
            let Ok((name, data)) = read else { continue };
            let address = match data {
                Ok((address, _)) => Some(String::from_utf8_lossy(&address).into_owned()),
                Err(_) => self.data(&format!("{path}/{name}")).await?,
            };
            names.extend(address.map(|address| (Endpoint::from(name), address)));
        }
        Ok(names)
    }

    /// The tablets that are registered (`nodes`), by their names in metadata, sorted.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn nodes(&self) -> Result<Vec<Endpoint>, DiscoveryError> {
        let mut nodes = self.children(&format!("{}/nodes", self.root)).await?.unwrap_or_default();
        nodes.sort_unstable();
        // A legacy kind of node that is no tablet (docs/openmldb/metadata-in-zookeeper.md#paths).
        Ok(nodes.into_iter().filter(|node| !node.starts_with("NLTABLET_")).map(Endpoint::from).collect())
    }

    /// Whether the cluster follows another one (`cluster/follower`).
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn zone(&self) -> Result<Zone, DiscoveryError> {
        let path = format!("{}/cluster/follower", self.root);
        let data = self.read(&path, |client, path| async move { client.get_data(&path).await }).await?;
        Ok(data.map_or(Zone::Alone, |(bytes, _)| decode::zone(&bytes)))
    }

    /// Children of a node, None if there is no such node.
    async fn children(&self, path: &str) -> Result<Option<Vec<String>>, DiscoveryError> {
        self.read(path, |client, path| async move { client.list_children(&path).await }).await
    }

    /// A node's data as text, None if there is no such node.
    async fn data(&self, path: &str) -> Result<Option<String>, DiscoveryError> {
        let data = self.read(path, |client, path| async move { client.get_data(&path).await }).await?;
        Ok(data.map(|(bytes, _)| String::from_utf8_lossy(&bytes).into_owned()))
    }

    /// A path below the root, from ZooKeeper's own.
    pub(super) fn full(&self, path: &str) -> String {
        match (self.root.as_str(), path) {
            ("", path) => format!("/{path}"),
            (root, "") => root.to_owned(),
            (root, path) => format!("{root}/{path}"),
        }
    }

    pub(super) async fn session(&self) -> Client {
        self.client.lock().await.clone()
    }

    /// Reads once, and once more in a new session if the old one is gone. No such node is None.
    pub(super) async fn read<T, F>(
        &self,
        path: &str,
        ask: impl Fn(Client, String) -> F,
    ) -> Result<Option<T>, DiscoveryError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let mut again = false;
        loop {
            let client = self.client.lock().await.clone();
            let session = client.session_id();
            // While it looks for another server the client answers nothing; it gives up with its session.
            let answer = tokio::time::timeout(self.session_timeout, ask(client, path.to_owned()))
                .await
                .unwrap_or(Err(Error::Timeout));
            match answer {
                Ok(found) => return Ok(Some(found)),
                Err(Error::NoNode) => return Ok(None),
                Err(Error::NoAuth | Error::AuthFailed) => {
                    let with_credentials = self.credentials.is_some();
                    return Err(DiscoveryError::Unauthorized { path: path.to_owned(), with_credentials });
                }
                Err(error) if again => return Err(self.lost(path, &error)),
                Err(error) => {
                    tracing::debug!(%error, path, "the ZooKeeper session is lost; opening another");
                    again = true;
                    let mut current = self.client.lock().await;
                    if current.session_id() == session {
                        *current = open(&self.servers, self.credentials.as_ref(), self.session_timeout).await?;
                    }
                }
            }
        }
    }

    fn lost(&self, path: &str, error: &Error) -> DiscoveryError {
        DiscoveryError::ZooKeeperLost { servers: self.servers.clone(), path: path.to_owned(), seen: error.to_string() }
    }

    fn no_nameserver(&self) -> DiscoveryError {
        DiscoveryError::NoNameserver { servers: self.servers.clone(), root: self.root.clone() }
    }

    /// There is no `leader` under the root: because the root is wrong, or because no nameserver ever ran.
    async fn why_nobody_leads(&self) -> DiscoveryError {
        match self.children(&self.root).await {
            Ok(Some(_)) => return self.no_nameserver(),
            Ok(None) => {}
            Err(error) => return error,
        }
        let mut parent = self.root.as_str();
        loop {
            parent = match parent.rsplit_once('/') {
                None | Some(("", _)) => "/",
                Some((above, _)) => above,
            };
            let there = match self.children(parent).await {
                Ok(Some(mut children)) => {
                    children.sort_unstable();
                    Some(children)
                }
                Ok(None) if parent != "/" => continue,
                Ok(None) | Err(_) => None,
            };
            let (servers, root, parent) = (self.servers.clone(), self.root.clone(), parent.to_owned());
            return DiscoveryError::WrongRoot { servers, root, parent, there };
        }
    }
}

/// Opens a session; on failure looks why, since the client reports a closed port, a port that is no ZooKeeper and a name
/// that does not resolve all alike (docs/design/calls.md#transport).
pub(super) async fn open(
    servers: &str,
    credentials: Option<&Secret>,
    session_timeout: Duration,
) -> Result<Client, DiscoveryError> {
    let addresses = probe::addresses(servers)?;
    probe::listens(&addresses).await?;
    let mut connector = Client::connector().with_session_timeout(session_timeout);
    if let Some(credentials) = credentials {
        connector = connector.with_auth("digest", credentials.reveal().as_bytes());
    }
    // Twice the timeout: the client keeps its own, and this is for the day it does not.
    let client =
        tokio::time::timeout(session_timeout * 2, connector.connect(servers)).await.unwrap_or(Err(Error::Timeout));
    match client {
        Ok(client) => Ok(client),
        Err(Error::AuthFailed) => {
            Err(DiscoveryError::Unauthorized { path: "/".to_owned(), with_credentials: credentials.is_some() })
        }
        Err(error) => Err(probe::why_no_session(servers, &addresses, session_timeout, &error.to_string()).await),
    }
}

/// A root path as paths are built on it: absolute, without a slash at its end; empty for ZooKeeper's own root.
pub(super) fn clean_root(root: &str) -> Result<String, DiscoveryError> {
    let bad = |why: &str| DiscoveryError::BadRoot { root: root.to_owned(), why: why.to_owned() };
    if !root.starts_with('/') {
        return Err(bad("it must begin with a slash"));
    }
    let clean = root.trim_end_matches('/');
    if clean.split('/').skip(1).any(|part| matches!(part, "" | "." | "..")) {
        return Err(bad("it has a part that is empty or dots"));
    }
    Ok(clean.to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_root_path_is_absolute_and_ends_without_a_slash() {
        assert_eq!(clean_root("/openmldb").unwrap(), "/openmldb");
        assert_eq!(clean_root("/a/b/").unwrap(), "/a/b");
        assert_eq!(clean_root("/").unwrap(), "");
        for bad in ["openmldb", "", "/a//b", "/a/../b"] {
            assert!(matches!(clean_root(bad), Err(DiscoveryError::BadRoot { .. })), "{bad}");
        }
    }
}
