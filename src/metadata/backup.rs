//! A backup: the tree, and what has to be known of it.

use serde::{Deserialize, Serialize};

use crate::model::{MetadataSeen, MetadataTree};

use super::is_kept;

/// The metadata of a cluster at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Backup {
    /// What the cluster is called: its ZooKeeper and its root path.
    pub cluster: String,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// Where it comes from.
    pub origin: Origin,
    /// Nodes that changed, came or went while it was read; none if the tree was like this at one moment.
    pub changed: Vec<String>,
    /// The nodes.
    pub tree: MetadataTree,
}

/// Where a backup comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Origin {
    /// It was read from ZooKeeper.
    Read,
    /// It was put together from what tablets hold.
    Rebuilt,
}

impl Backup {
    /// Of what was read. A registration that no server's session holds is none of it: it would never go away again.
    pub fn of(cluster: &str, taken_at_ms: u64, seen: MetadataSeen) -> Self {
        let MetadataSeen { tree, changed, .. } = seen;
        let tree = tree.nodes().filter(|(path, _)| is_kept(path)).collect();
        Self { cluster: cluster.to_owned(), taken_at_ms, origin: Origin::Read, changed, tree }
    }

    /// Whether the cluster's metadata was like this at one moment.
    pub fn is_consistent(&self) -> bool {
        self.changed.is_empty()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::super::{parse, write};
    use super::*;

    #[test]
    fn a_backup_can_be_read_whatever_servers_have_left_behind() {
        let nodes =
            [("leader", ""), ("leader/lock_request0000000000", "a:1"), ("nodes", ""), ("nodes/a:1", ""), ("op", "")];
        let seen = MetadataSeen { root: true, tree: nodes.into_iter().collect(), ..MetadataSeen::default() };
        let backup = Backup::of("zk/openmldb", 1, seen);
        let paths: Vec<&str> = backup.tree.nodes().map(|(path, _)| path).collect();
        assert_eq!(paths, ["leader", "nodes", "op"]);
        assert_eq!(parse("the-file", &write(&backup).unwrap()).unwrap(), backup);
    }
}
