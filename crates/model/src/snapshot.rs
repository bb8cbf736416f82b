//! Everything observed of a cluster at one moment: what recovery decides on, and what can be saved and planned from.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{
    Aggregator, Directory, Endpoint, Followers, Held, Identity, Manifest, Offset, Op, Partition, PartitionId, Pid,
    Seen, Table, TableName, TabletState, TermPair, Zone,
};

/// A cluster at one moment, as far as it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Snapshot {
    /// Which cluster: ZooKeeper servers and root path, or a nameserver's address.
    pub cluster: String,
    /// When it was taken, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// Who was there. Only a cluster is ever changed.
    #[serde(default, skip_serializing_if = "Identity::is_cluster")]
    pub identity: Identity,
    /// Whether it follows another cluster.
    #[serde(default, skip_serializing_if = "Zone::is_alone")]
    pub zone: Zone,
    /// Whether auto_failover was on.
    pub auto_failover: bool,
    /// Every table of every database, in the nameserver's order.
    pub tables: Vec<Table>,
    /// Every tablet that the nameserver, ZooKeeper or a table's metadata names.
    pub tablets: BTreeMap<Endpoint, Tablet>,
    /// Operations, running and finished.
    pub ops: Vec<Op>,
}

impl Snapshot {
    /// A table by its name.
    pub fn table(&self, name: &TableName) -> Option<&Table> {
        self.tables.iter().find(|table| table.name == *name)
    }

    /// A partition by its table's name and its number, with that table.
    pub fn partition(&self, name: &TableName, pid: Pid) -> Option<(&Table, &Partition)> {
        let table = self.table(name)?;
        table.partitions.iter().find(|partition| partition.pid == pid).map(|partition| (table, partition))
    }

    /// The partition that a pre-aggregate table's partition aggregates, with its table; none of any other table, or if it is gone.
    pub fn base_of(&self, table: &Table, pid: Pid) -> Option<(&Table, &Partition)> {
        let tid = table.base_table?;
        let base = self.tables.iter().find(|base| base.tid == tid)?;
        base.partitions.iter().find(|partition| partition.pid == pid).map(|partition| (base, partition))
    }

    /// Whether the nameserver hears from a tablet, as far as it knows.
    pub fn hears_from(&self, endpoint: &Endpoint) -> bool {
        self.tablets.get(endpoint).is_some_and(|tablet| tablet.state == Some(TabletState::Healthy))
    }
}

/// How long a tablet counts as one that has come up lately, in ms: what it writes it names after the minute.
pub const LATELY_MS: u64 = 60_000;

/// A tablet: how the cluster sees it, and what it answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tablet {
    /// The nameserver's opinion; none if it does not list the tablet at all (never registered since it started).
    pub state: Option<TabletState>,
    /// How long the nameserver has thought so, in ms (ShowTablet's `age`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unchanged_ms: Option<u64>,
    /// Whether ZooKeeper's `nodes` has it; none without ZooKeeper.
    pub in_zookeeper: Option<bool>,
    /// Its address, where metadata holds server names.
    pub real_endpoint: Option<String>,
    /// The replicas it holds, by partition.
    pub held: Seen<BTreeMap<PartitionId, Held>>,
    /// What it answered about single replicas.
    pub probes: BTreeMap<PartitionId, Probes>,
}

/// One tablet's answers about one replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Probes {
    /// GetManifest: its newest snapshot on disk.
    pub manifest: Seen<Manifest>,
    /// GetTermPair.
    pub term_pair: Seen<TermPair>,
    /// CheckFile: asked of replicas that are not loaded.
    #[serde(default = "unasked", skip_serializing_if = "Seen::is_unasked")]
    pub directory: Seen<Directory>,
    /// GetTableFollower; asked of leaders only.
    pub followers: Seen<Followers>,
    /// CheckFile: asked of replicas of pre-aggregate tables.
    #[serde(default = "unasked", skip_serializing_if = "Seen::is_unasked")]
    pub aggregator: Seen<Aggregator>,
    /// Where it stayed for some seconds although its leader was further; none if it was not watched, or moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stalled_at: Option<Offset>,
}

fn unasked<T>() -> Seen<T> {
    Seen::Unasked
}

impl Probes {
    /// Nothing asked yet.
    pub const UNASKED: Self = Self {
        manifest: Seen::Unasked,
        term_pair: Seen::Unasked,
        directory: Seen::Unasked,
        followers: Seen::Unasked,
        aggregator: Seen::Unasked,
        stalled_at: None,
    };
}

impl Tablet {
    /// A tablet of which nothing is known yet.
    pub fn unknown() -> Self {
        Self {
            state: None,
            unchanged_ms: None,
            in_zookeeper: None,
            real_endpoint: None,
            held: Seen::Unasked,
            probes: BTreeMap::new(),
        }
    }

    /// Whether it came up within the last minute: the nameserver has heard from it for no longer, or does not hear from it yet. None
    /// that it does not list, and none of which it does not say so.
    pub fn came_up_lately(&self) -> bool {
        match self.state {
            Some(TabletState::Healthy) => self.unchanged_ms.is_some_and(|ms| ms < LATELY_MS),
            Some(TabletState::Offline) => true,
            None => false,
        }
    }

    /// What it answered about a replica.
    pub fn probes(&self, partition: PartitionId) -> &Probes {
        self.probes.get(&partition).unwrap_or(&Probes::UNASKED)
    }
}
