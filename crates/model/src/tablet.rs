//! What tablets are and what they hold.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Offset, PartitionId, Term};

/// A tablet as the nameserver lists it (ShowTablet).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Registration {
    /// Its name in metadata.
    pub endpoint: Endpoint,
    /// What the nameserver thinks of it.
    pub state: TabletState,
    /// How long the nameserver has thought so, in ms; none if it does not say. It begins anew when another nameserver leads.
    pub unchanged_ms: Option<u64>,
    /// Its address, where metadata holds server names.
    pub real_endpoint: Option<String>,
}

/// The nameserver's opinion of a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TabletState {
    /// kHealthy: registered, as far as the nameserver noticed.
    Healthy,
    /// kOffline.
    Offline,
}

/// A replica's role in its tablet's memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    /// Takes writes and sends them to the followers it is connected to.
    Leader,
    /// Takes what its leader sends.
    Follower,
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Leader => "leader",
            Self::Follower => "follower",
        })
    }
}

/// How far a replica is with loading (api.TableState).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// kTableUndefined: queued to load; its offset says nothing.
    Queued,
    /// kTableLoading.
    Loading,
    /// kTableNormal.
    Normal,
    /// kMakingSnapshot: loaded, writing a snapshot.
    MakingSnapshot,
    /// kSnapshotPaused: loaded, kept from writing snapshots by an op.
    SnapshotPaused,
}

impl State {
    /// Whether the replica's data is in place (docs/openmldb/tablet.md#gettablestatus).
    pub fn is_loaded(self) -> bool {
        matches!(self, Self::Normal | Self::MakingSnapshot | Self::SnapshotPaused)
    }
}

/// A replica that a tablet holds (GetTableStatus).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Held {
    /// Which partition.
    pub partition: PartitionId,
    /// Its role in memory.
    pub role: Role,
    /// How far it is with loading.
    pub state: State,
    /// The end of its log; 0 until loaded.
    pub offset: Offset,
    /// Rows, counted in the first index.
    pub record_cnt: u64,
    /// Rows in each index, in order; empty where the tablet does not count by index, as for disk tables.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub index_rows: Vec<u64>,
}

/// A replica's newest snapshot on disk (GetManifest). Offset 0 where there is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// The last entry folded in.
    pub offset: Offset,
    /// The term of that entry; for disk tables the replicator's term, which says nothing about entries.
    pub term: Option<Term>,
    /// Rows in it.
    pub count: u64,
}

/// What there is to load of a replica that is not loaded (CheckFile of files of its directory): asked before LoadTable, and again once
/// that was in vain.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Directory {
    /// A binlog or a snapshot, and, as far as a disk table is concerned, the description (`table_meta.txt`) that says what table
    /// they are of. LoadTable of a memory table tells where it is lost.
    InPlace,
    /// A disk table's binlog or snapshot without a description, or an empty description: that file is rewritten by every load and
    /// not synced, so that a power cut leaves it empty (docs/openmldb/load-table.md#no-directory).
    Undescribed,
    /// A description and nothing that it describes: a replica that was never written to, or what a LoadTable has left where
    /// nothing was.
    Bare,
    /// None of these.
    Missing,
}

/// Whether a tablet puts what it takes as leader of a base table into its replica of a pre-aggregate table (CheckFile of
/// `aggr_info.txt`). Only the tablet that led the base table when the aggregation was deployed does
/// (docs/openmldb/load-table.md#pre-aggregate-tables).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Aggregator {
    /// It does, once both are loaded, the base table first.
    Present,
    /// It does not.
    Missing,
}

/// A replica's term and offset (GetTermPair): of the log if loaded, of the snapshot if not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermPair {
    /// Whether its tablet holds it.
    pub has_table: bool,
    /// Its role in memory; only for a held one.
    pub is_leader: bool,
    /// The term it last heard of from a leader; 0 if it never was contacted since it was loaded.
    pub term: Term,
    /// See above; 0 for an unloaded replica whose MANIFEST names a missing file.
    pub offset: Offset,
}

/// What a leader replicates to (GetTableFollower).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Followers {
    /// The leader's own offset.
    pub leader_offset: Offset,
    /// The followers it is connected to, with how far each has got as the leader knows it.
    pub followers: Vec<(Endpoint, Offset)>,
}
