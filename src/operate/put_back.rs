//! Puts metadata back into an empty root path: node by node, parents first, with the lock held. What is there already has to be
//! part of the same backup, so that it goes on where it was stopped.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::cluster::{Created, DiscoveryError, Hold, LockNodes, ZooKeeper};
use crate::metadata::{Difference, compare};
use crate::model::{Identity, MetadataSeen, MetadataTree, Snapshot, counted};
use crate::recovery::Outcome;
use crate::run::{LockError, OldTerms, RecordError, Stop, Work, WorkSession};

/// The step's code in records.
const STEP: &str = "metadata_restore";

/// What putting back needs.
pub struct PutBack {
    /// What is to be there.
    pub wanted: MetadataTree,
    /// The file it comes from, with its checksum: for the record.
    pub source: String,
    /// It was read from ZooKeeper at some time: elections since are missing in it.
    pub is_of_the_past: bool,
    /// Within which it is done.
    pub session: WorkSession,
    /// Where its lock is, and where nodes are created.
    pub nodes: Arc<LockNodes>,
}

/// Why nothing, or not everything, was put back.
#[derive(Debug, thiserror::Error)]
pub enum PutBackError {
    /// ZooKeeper is unreachable, or does not let us read or write. Nothing was created.
    #[error(transparent)]
    ZooKeeper(#[from] DiscoveryError),
    /// A run is at work, or nobody knows.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be written down, so nothing was created.
    #[error("nothing was created: {0}")]
    Record(#[from] RecordError),
    /// Something else is there.
    #[error("nothing was created: {}", why_not(difference, servers))]
    NotEmpty {
        /// What is there, compared with the backup.
        difference: Difference,
        /// Who is registered.
        servers: Vec<String>,
    },
    /// It ended early.
    #[error("{} of {} are there: {why}", made, counted(*of, "node"))]
    Unfinished {
        /// Nodes that are there.
        made: usize,
        /// Nodes that were to be.
        of: usize,
        /// What was seen.
        why: String,
        /// Told to stop, if it was.
        stop: Stop,
    },
    /// All was created, and somebody has changed it meanwhile.
    #[error("every node was created, but ZooKeeper now holds something else: {}", why_not(difference, servers))]
    Touched {
        /// What is there, compared with the backup.
        difference: Difference,
        /// Who is registered.
        servers: Vec<String>,
    },
}

fn why_not(difference: &Difference, servers: &[String]) -> String {
    let some = |what: &str, paths: &[String]| match paths {
        [] => None,
        paths => {
            let named = paths.iter().take(5).cloned().collect::<Vec<_>>().join(", ");
            let dots = if paths.len() > 5 { ", ..." } else { "" };
            Some(format!("{} {what} ({named}{dots})", counted(paths.len(), "node")))
        }
    };
    let seen = [
        some("not in the backup", &difference.beyond),
        some("with different data than in the backup", &difference.other),
        some("of servers that are registered", servers),
        some("of the backup missing", &difference.missing).filter(|_| difference.only_lacks() && servers.is_empty()),
    ];
    format!("the root path holds {}", seen.into_iter().flatten().collect::<Vec<_>>().join(", "))
}

/// What is still to be created. Registered servers would not notice: nothing is created while servers are registered.
///
/// # Errors
/// Something else is there.
pub fn lacking(wanted: &MetadataTree, seen: &MetadataSeen) -> Result<Difference, PutBackError> {
    let difference = compare(wanted, &seen.tree);
    let servers: Vec<String> = seen.of_sessions.nodes().map(|(path, _)| path.to_owned()).collect();
    match difference.is_none() || (difference.only_lacks() && servers.is_empty()) {
        true => Ok(difference),
        false => Err(PutBackError::NotEmpty { difference, servers }),
    }
}

impl PutBack {
    /// Puts it back; gives how many nodes were created.
    ///
    /// # Errors
    /// See [`PutBackError`].
    pub async fn perform(&self, zookeeper: &ZooKeeper) -> Result<usize, PutBackError> {
        let before = zookeeper.metadata().await?;
        if lacking(&self.wanted, &before)?.is_none() {
            return Ok(0);
        }
        if !before.root {
            self.nodes.make_root().await?;
        }
        let stopped = |stop| self.unfinished(before.tree.len(), stop, "it was stopped");
        self.session.locked(None, stopped, Box::pin(self.perform_locked(zookeeper))).await
    }

    async fn perform_locked(&self, zookeeper: &ZooKeeper) -> Result<usize, PutBackError> {
        let seen = zookeeper.metadata().await?;
        let missing: BTreeSet<String> = lacking(&self.wanted, &seen)?.missing.into_iter().collect();
        let header =
            self.session.header(Work::Step, "metadata restore".to_owned(), nothing_seen(&self.session, &self.wanted));
        let record = self.session.begin(header)?;
        let command = format!("create {} from {}", counted(missing.len(), "node"), self.source);
        let number = record.commanding(STEP, &command, "it was asked for");
        record.sync()?;
        if self.is_of_the_past {
            // Before the first table is there: whoever finds it has to know.
            self.session.lock.write_old_terms(Some(&OldTerms::of_all(&self.source))).await?;
        }
        let created = self.create(&missing, seen.tree.len()).await;
        let created = match created {
            Ok(()) => self.as_wanted(zookeeper).await.map(|()| missing.len()),
            Err(error) => Err(error),
        };
        let (outcome, word) = match &created {
            Ok(_) => (Outcome::Applied, "reached"),
            Err(PutBackError::Unfinished { stop: Stop::No, why, .. }) => (Outcome::Unknown(why.clone()), "failed"),
            Err(PutBackError::Unfinished { why, .. }) => (Outcome::Unknown(why.clone()), "interrupted"),
            Err(error) => (Outcome::Unknown(error.to_string()), "missed"),
        };
        record.went(number, &outcome);
        if let Err(error) = &created {
            record.remark(&error.to_string());
        }
        if let Err(error) = record.end(word, true, true, Vec::new()) {
            tracing::error!(%error, "the record's end could not be written");
        }
        created
    }

    async fn create(&self, missing: &BTreeSet<String>, there: usize) -> Result<(), PutBackError> {
        let wanted = self.wanted.nodes().filter(|(path, _)| missing.contains(*path));
        for (made, (path, data)) in (there..).zip(wanted) {
            let stop = *self.session.stop.borrow();
            if stop != Stop::No {
                return Err(self.unfinished(made, stop, "it was stopped"));
            }
            if *self.session.lock.hold().borrow() == Hold::Lost {
                return Err(self.unfinished(made, Stop::LockLost, "the lock was lost"));
            }
            match self.nodes.create_metadata(path, data).await {
                Ok(Created::New | Created::Already) => {}
                Ok(Created::Otherwise) => {
                    let why = format!("someone else created {path} with different data");
                    return Err(self.unfinished(made, Stop::No, &why));
                }
                Err(error) => return Err(self.unfinished(made, Stop::No, &error.to_string())),
            }
        }
        Ok(())
    }

    /// A server that has started meanwhile may have begun with a part of it.
    async fn as_wanted(&self, zookeeper: &ZooKeeper) -> Result<(), PutBackError> {
        let seen = zookeeper.metadata().await.map_err(|error| {
            self.unfinished(self.wanted.len(), Stop::No, &format!("they could not be read again: {error}"))
        })?;
        let difference = compare(&self.wanted, &seen.tree);
        let servers: Vec<String> = seen.of_sessions.nodes().map(|(path, _)| path.to_owned()).collect();
        match difference.is_none() && servers.is_empty() {
            true => Ok(()),
            false => Err(PutBackError::Touched { difference, servers }),
        }
    }

    fn unfinished(&self, made: usize, stop: Stop, why: &str) -> PutBackError {
        PutBackError::Unfinished { made, of: self.wanted.len(), why: why.to_owned(), stop }
    }
}

/// Nothing of the cluster could be seen but its metadata: it has no servers now.
pub(super) fn nothing_seen(session: &WorkSession, metadata: &MetadataTree) -> Snapshot {
    Snapshot {
        cluster: session.cluster_name.clone(),
        taken_at_ms: session.now_ms,
        zone: crate::model::Zone::Alone,
        identity: Identity::Cluster,
        auto_failover: metadata.text("config/auto_failover") == Some("true"),
        tables: Vec::new(),
        tablets: BTreeMap::new(),
        ops: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tree(nodes: &[(&str, &str)]) -> MetadataTree {
        nodes.iter().copied().collect()
    }

    fn seen(nodes: &[(&str, &str)], of_sessions: &[(&str, &str)]) -> MetadataSeen {
        MetadataSeen { root: true, tree: tree(nodes), of_sessions: tree(of_sessions), changed: Vec::new() }
    }

    #[test]
    fn only_what_is_part_of_the_backup_is_completed_and_never_beside_servers() {
        let wanted = tree(&[("db", ""), ("table", ""), ("table/term", "3")]);
        let begun = [("db", "")];
        assert_eq!(lacking(&wanted, &seen(&begun, &[])).unwrap().missing, ["table", "table/term"]);
        let refused = |nodes: &[(&str, &str)], of_sessions: &[(&str, &str)]| {
            lacking(&wanted, &seen(nodes, of_sessions)).expect_err("it was to be refused").to_string()
        };
        let registered = [("nodes/a:1", "")];
        assert!(refused(&begun, &registered).contains("servers that are registered (nodes/a:1)"));
        assert!(refused(&[], &registered).contains("servers that are registered"));
        assert!(refused(&[("db", ""), ("op", "")], &[]).contains("not in the backup (op)"));
        assert!(
            refused(&[("table", ""), ("table/term", "4")], &[])
                .contains("different data than in the backup (table/term)")
        );
        let whole = seen(&[("db", ""), ("table", ""), ("table/term", "3")], &registered);
        assert!(lacking(&wanted, &whole).unwrap().is_none(), "there is nothing to create");
    }
}
