//! Metadata removed from ZooKeeper, below a lock: exactly the nodes that somebody has read and saved, or none of them.

use zookeeper_client::{Client, Error, MultiWriteError};

use super::{DiscoveryError, LockNodes};

/// Questions under way at a time.
const AT_ONCE: usize = 64;

const CHANGED: &str = "has changed";
const GONE: &str = "is gone";

/// What became of a removal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Removed {
    /// The nodes are gone.
    All,
    /// Every node is still there: this one is not as it was read, or has a child that was not.
    Otherwise {
        /// Its path below the root.
        path: String,
        /// What was seen of it.
        seen: &'static str,
    },
}

impl LockNodes {
    /// Removes nodes of metadata, by their paths below the root, children first, in one transaction: all of them, or none where one of
    /// them no longer holds these data, goes with somebody's session, or has children beside them. So a server that registers
    /// meanwhile keeps the whole from being removed, as long as `leader` and `nodes` are among them.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write: nobody knows whether they are there.
    pub async fn remove_metadata(&self, nodes: &[(&str, &[u8])]) -> Result<Removed, DiscoveryError> {
        let client = self.client().await?;
        let full = |path: &str| format!("{}/{path}", self.root());
        let otherwise = |path: &str, seen| Ok(Removed::Otherwise { path: path.to_owned(), seen });
        let mut versions = Vec::with_capacity(nodes.len());
        for nodes in nodes.chunks(AT_ONCE) {
            // Each is asked for at once, and only then waited for.
            let read: Vec<_> = nodes.iter().map(|(path, _)| client.get_data(&full(path))).collect();
            for ((path, data), read) in nodes.iter().zip(read) {
                match read.await {
                    Ok((_, stat)) if stat.ephemeral_owner != 0 => return otherwise(path, "is a server's registration"),
                    Ok((there, stat)) if there == *data => versions.push(stat.version),
                    Ok(_) => return otherwise(path, CHANGED),
                    Err(Error::NoNode) => return otherwise(path, GONE),
                    Err(error) => return Err(self.refused(&full(path), &error)),
                }
            }
        }
        let mut writer = client.new_multi_writer();
        for ((path, _), version) in nodes.iter().zip(versions) {
            let full = full(path);
            writer.add_delete(&full, Some(version)).map_err(|error| self.refused(&full, &error))?;
        }
        let (at, error) = match writer.commit().await {
            Ok(_) => return Ok(Removed::All),
            Err(MultiWriteError::OperationFailed { index, source }) => {
                (nodes.get(index).map(|(path, _)| *path), source)
            }
            Err(MultiWriteError::RequestFailed { source }) => (None, source),
        };
        match (at, &error) {
            (Some(path), Error::NotEmpty) => otherwise(path, "has a child that was not there before"),
            (Some(path), Error::BadVersion) => otherwise(path, CHANGED),
            (Some(path), Error::NoNode) => otherwise(path, GONE),
            (at, error) => Err(self.refused(&at.map_or_else(|| self.root().to_owned(), full), error)),
        }
    }

    /// Which of these nodes are there, by their paths below the root.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn are_there<'a>(&self, paths: &[&'a str]) -> Result<Vec<&'a str>, DiscoveryError> {
        let client: Client = self.client().await?;
        let mut there = Vec::new();
        for path in paths {
            let full = format!("{}/{path}", self.root());
            let stat = client.check_stat(&full).await.map_err(|error| self.refused(&full, &error))?;
            there.extend(stat.map(|_| *path));
        }
        Ok(there)
    }
}
