//! A cluster's part in replication between clusters.

use serde::{Deserialize, Serialize};

/// Whether a cluster follows another one, or is followed (docs/openmldb/remote-clusters.md#who-follows).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Zone {
    /// Nobody has said, or there is no other cluster.
    #[default]
    Alone,
    /// It may be followed by others.
    Leads {
        /// Those that follow, as far as its nameserver was asked.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        followed_by: Vec<FollowedBy>,
    },
    /// It follows another one: its leaders take that one's entries, and nothing from clients.
    Follows {
        /// The nameserver and the root path of the other one; none where only this cluster's nameserver was asked, which does not
        /// say.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        leader: Option<String>,
        /// What the other one calls this one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        alias: Option<String>,
    },
}

/// A cluster that follows this one (`showrepcluster`).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FollowedBy {
    /// What this cluster calls it.
    pub alias: String,
    /// Its ZooKeeper servers.
    pub zk_cluster: String,
    /// Its root path there.
    pub zk_root_path: String,
    /// Whether this cluster's nameserver has reached it.
    pub is_healthy: bool,
}

impl Zone {
    /// Whether there is no other cluster, as far as anybody has said.
    pub fn is_alone(&self) -> bool {
        *self == Self::Alone
    }

    /// Whether it follows another one.
    pub fn follows(&self) -> bool {
        matches!(self, Self::Follows { .. })
    }
}
