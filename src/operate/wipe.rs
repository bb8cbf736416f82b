//! Empties a root path, so that a backup can be put back there: only where no server is registered, only what was saved beside the
//! record first, and only what somebody has accepted by its id.

use std::sync::Arc;

use crate::cluster::{DiscoveryError, Hold, LockNodes, Removed, ZooKeeper};
use crate::metadata::{Backup, OF_THE_LIVING, of_others, removals, write};
use crate::model::{MetadataSeen, MetadataTree, counted};
use crate::recovery::Outcome;
use crate::run::{LockError, METADATA, PlanId, Record, RecordError, Stop, WIPES_METADATA, Work, WorkSession, some_of};

use super::put_back::nothing_seen;

/// The step's code in records.
const STEP: &str = "metadata_wipe";

/// What wiping needs.
pub struct Wipe {
    /// What somebody has accepted: [`wiped_id`] of what was there.
    pub accepted: PlanId,
    /// Within which it is done.
    pub session: WorkSession,
    /// Where its lock is, and where nodes are removed.
    pub nodes: Arc<LockNodes>,
}

/// What is gone.
#[derive(Debug)]
pub struct Wiped {
    /// What was there.
    pub tree: MetadataTree,
    /// Where it is saved.
    pub saved: String,
}

/// Why nothing, or not everything, was removed.
#[derive(Debug, thiserror::Error)]
pub enum WipeError {
    /// ZooKeeper is unreachable, or does not let us read. Nothing was removed.
    #[error(transparent)]
    ZooKeeper(#[from] DiscoveryError),
    /// A run is at work, or nobody knows.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// It could not be written down, so nothing was removed.
    #[error("nothing was deleted: {0}")]
    Record(#[from] RecordError),
    /// It could not be saved, so nothing was removed.
    #[error("nothing was deleted, because it could not be saved first: {seen}")]
    NotSaved {
        /// What was seen.
        seen: String,
    },
    /// Somebody uses it.
    #[error("nothing was deleted: {} registered ({})", counted_servers(servers.len()), some_of(servers))]
    InUse {
        /// Who is registered, by paths.
        servers: Vec<String>,
    },
    /// Somebody writes to it.
    #[error("nothing was deleted: {} changed while being read ({})", counted(changed.len(), "node"), some_of(changed))]
    Changing {
        /// Which nodes.
        changed: Vec<String>,
    },
    /// It is not OpenMLDB's alone.
    #[error("nothing was deleted: the root path also holds what is not OpenMLDB's ({})", some_of(paths))]
    OfOthers {
        /// Nodes directly below the root path.
        paths: Vec<String>,
    },
    /// What is there is not what was accepted.
    #[error("nothing was deleted: {accepted} was accepted, but the root path now holds {now}")]
    Other {
        /// What was accepted.
        accepted: PlanId,
        /// What is there.
        now: PlanId,
    },
    /// It ended early.
    #[error("{gone} of {} were deleted: {why}; all of them are saved in {saved}", counted(*of, "node"))]
    Unfinished {
        /// Nodes that are gone.
        gone: usize,
        /// Nodes that were to go.
        of: usize,
        /// What was seen.
        why: String,
        /// Where they are saved.
        saved: String,
        /// Told to stop, if it was.
        stop: Stop,
    },
    /// It was told to stop before anything was removed.
    #[error("nothing was deleted: it was stopped")]
    Stopped {
        /// By what.
        stop: Stop,
    },
}

fn counted_servers(servers: usize) -> String {
    if servers == 1 { "a server is".to_owned() } else { format!("{servers} servers are") }
}

/// The name of what a root path holds, by which it is accepted that it goes: the same nodes with the same data have the same one.
pub fn wiped_id(cluster: &str, tree: &MetadataTree) -> PlanId {
    let nodes: Vec<_> = tree.nodes().collect();
    PlanId::of(&("metadata wipe", cluster, nodes))
}

/// Whether nobody uses what is there.
///
/// # Errors
/// Who does, or may.
pub fn unused(seen: &MetadataSeen) -> Result<(), WipeError> {
    let servers: Vec<String> = seen.of_sessions.nodes().map(|(path, _)| path.to_owned()).collect();
    if !servers.is_empty() {
        return Err(WipeError::InUse { servers });
    }
    let paths = of_others(&seen.tree);
    if !paths.is_empty() {
        return Err(WipeError::OfOthers { paths });
    }
    match seen.changed.is_empty() {
        true => Ok(()),
        false => Err(WipeError::Changing { changed: seen.changed.clone() }),
    }
}

impl Wipe {
    /// Removes what was accepted.
    ///
    /// # Errors
    /// See [`WipeError`].
    pub async fn perform(&self, zookeeper: &ZooKeeper) -> Result<Wiped, WipeError> {
        let stopped = |stop| WipeError::Stopped { stop };
        self.session.locked(None, stopped, Box::pin(self.perform_locked(zookeeper))).await
    }

    async fn perform_locked(&self, zookeeper: &ZooKeeper) -> Result<Wiped, WipeError> {
        let seen = zookeeper.metadata().await?;
        unused(&seen)?;
        let (accepted, now) = (self.accepted.clone(), wiped_id(&self.session.cluster_name, &seen.tree));
        if accepted != now {
            return Err(WipeError::Other { accepted, now });
        }
        let header =
            self.session.header(Work::Step, WIPES_METADATA.to_owned(), nothing_seen(&self.session, &seen.tree));
        let record = self.session.begin(header)?;
        let wiped = self.saved_and_removed(seen, &record).await;
        let word = match &wiped {
            Ok(_) => "reached",
            Err(WipeError::Unfinished { stop, .. } | WipeError::Stopped { stop }) if *stop != Stop::No => "interrupted",
            Err(_) => "failed",
        };
        if let Err(error) = &wiped {
            record.remark(&error.to_string());
        }
        if let Err(error) = record.end(word, true, true, Vec::new()) {
            tracing::error!(%error, "the record's end could not be written");
        }
        wiped
    }

    async fn saved_and_removed(&self, seen: MetadataSeen, record: &Record) -> Result<Wiped, WipeError> {
        let tree = seen.tree.clone();
        let backup = Backup::of(&self.session.cluster_name, self.session.now_ms, seen);
        let saved = self.save(&backup, record).map_err(|seen| WipeError::NotSaved { seen })?;
        let command = format!("delete {}, saved in {saved}", counted(tree.len(), "node"));
        let number = record.commanding(STEP, &command, "it was accepted by its id");
        record.sync()?;
        let removed = self.remove(&tree, &saved).await;
        let outcome = match &removed {
            Ok(()) => Outcome::Applied,
            Err(error) => Outcome::Unknown(error.to_string()),
        };
        record.went(number, &outcome);
        removed.map(|()| Wiped { tree, saved })
    }

    fn save(&self, backup: &Backup, record: &Record) -> Result<String, String> {
        let text = write(backup).map_err(|error| error.to_string())?;
        let archive = &self.session.archive;
        let kept = archive.keep_beside(record.run(), METADATA, text.as_bytes());
        let kept = kept.map_err(|error| format!("{}: {error}", archive.home()))?;
        kept.ok_or_else(|| format!("{} keeps nothing beside records", archive.home()))
    }

    /// A server that starts meanwhile finds metadata in part: it is looked for before each transaction, and at the end.
    async fn remove(&self, tree: &MetadataTree, saved: &str) -> Result<(), WipeError> {
        let (mut gone, of) = (0, tree.len());
        let unfinished =
            |gone, stop, why: String| WipeError::Unfinished { gone, of, why, saved: saved.to_owned(), stop };
        for nodes in removals(tree) {
            if *self.session.lock.hold().borrow() == Hold::Lost {
                return Err(unfinished(gone, Stop::LockLost, "the lock was lost".to_owned()));
            }
            let stop = *self.session.stop.borrow();
            if stop != Stop::No {
                return Err(unfinished(gone, stop, "it was stopped".to_owned()));
            }
            if gone > 0 {
                self.nobody_has_come().await.map_err(|why| unfinished(gone, Stop::No, why))?;
            }
            match self.nodes.remove_metadata(&nodes).await {
                Ok(Removed::All) => gone += nodes.len(),
                Ok(Removed::Otherwise { path, seen }) => {
                    return Err(unfinished(gone, Stop::No, format!("{path} {seen}")));
                }
                Err(error) => return Err(unfinished(gone, Stop::No, error.to_string())),
            }
        }
        self.nobody_has_come().await.map_err(|why| unfinished(gone, Stop::No, why))
    }

    /// What servers register below was removed first.
    async fn nobody_has_come(&self) -> Result<(), String> {
        match self.nodes.are_there(&OF_THE_LIVING).await {
            Ok(there) if there.is_empty() => Ok(()),
            Ok(there) => Err(format!("a server was started meanwhile, which created {}", there.join(" and "))),
            Err(error) => Err(format!("nobody knows whether a server was started meanwhile: {error}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(nodes: &[(&str, &str)], of_sessions: &[(&str, &str)], changed: &[&str]) -> MetadataSeen {
        let changed = changed.iter().map(|path| (*path).to_owned()).collect();
        let tree = |nodes: &[(&str, &str)]| nodes.iter().copied().collect();
        MetadataSeen { root: true, tree: tree(nodes), of_sessions: tree(of_sessions), changed }
    }

    #[test]
    fn what_somebody_uses_or_may_use_stays() {
        let whole = [("db", ""), ("table", ""), ("table/term", "3")];
        assert!(unused(&seen(&whole, &[], &[])).is_ok());
        let refused = |seen| unused(&seen).expect_err("it was to be refused").to_string();
        let registered = refused(seen(&whole, &[("nodes/a:1", "")], &[]));
        assert_eq!(registered, "nothing was deleted: a server is registered (nodes/a:1)");
        assert!(
            refused(seen(&whole, &[("leader/1", ""), ("nodes/a:1", "")], &[])).contains("2 servers are registered")
        );
        assert!(refused(seen(&whole, &[], &["table/term"])).contains("1 node changed while being read (table/term)"));
        assert!(refused(seen(&[("brokers", ""), ("db", "")], &[], &[])).contains("not OpenMLDB's (brokers)"));
    }

    #[test]
    fn it_is_accepted_for_one_cluster_with_one_content() {
        let tree: MetadataTree = [("db", ""), ("table/term", "3")].into_iter().collect();
        let id = wiped_id("zk/a", &tree);
        assert_eq!(id, wiped_id("zk/a", &tree.clone()));
        assert_ne!(id, wiped_id("zk/b", &tree));
        let other: MetadataTree = [("db", ""), ("table/term", "4")].into_iter().collect();
        assert_ne!(id, wiped_id("zk/a", &other));
    }
}
