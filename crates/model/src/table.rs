//! Tables, partitions and replicas as the nameserver's metadata has them.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::{Endpoint, Offset, Pid, Term, Tid};

/// Database and table. Displayed as `db.table`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TableName {
    /// The database; empty for a table older than databases.
    pub db: String,
    /// The table.
    pub table: String,
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.db.as_str() {
            "" => f.write_str(&self.table),
            // As it has to be typed.
            db if db.contains('.') => write!(f, "`{db}`.{}", self.table),
            db => write!(f, "{db}.{}", self.table),
        }
    }
}

/// Where a table's rows live. Each mode has its own directories on a tablet, so LoadTable must name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StorageMode {
    /// In memory, with a binlog and snapshots on disk.
    Memory,
    /// RocksDB on SSD.
    Ssd,
    /// RocksDB on HDD.
    Hdd,
}

impl StorageMode {
    /// Whether rows live in RocksDB. Such replicas load unseen (docs/openmldb/load-table.md#what-a-load-looks-like),
    /// and their MANIFEST's term says nothing about their entries (docs/openmldb/tablet.md#snapshots).
    pub fn is_disk(self) -> bool {
        matches!(self, Self::Ssd | Self::Hdd)
    }
}

/// A table, with the whole of its topology.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// Database and name.
    pub name: TableName,
    /// Number.
    pub tid: Tid,
    /// Where its rows live.
    pub storage: StorageMode,
    /// Whether any index lets rows expire, so that equal logs may hold different row counts.
    pub has_ttl: bool,
    /// How many replicas each partition is to have (`replica_num`); none if metadata does not say.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replica_num: Option<u32>,
    /// The table this one aggregates (`base_table_tid`), if it is a pre-aggregate table.
    pub base_table: Option<Tid>,
    /// Partitions, in the nameserver's order.
    pub partitions: Vec<Partition>,
}

impl Table {
    /// Whether OpenMLDB itself needs the table (`__INTERNAL_DB`, `INFORMATION_SCHEMA`): such tables come back first.
    pub fn is_system(&self) -> bool {
        matches!(self.name.db.as_str(), "__INTERNAL_DB" | "INFORMATION_SCHEMA")
    }

    /// Its partitions that have a replica on an endpoint.
    pub fn partitions_on(&self, endpoint: &Endpoint) -> impl Iterator<Item = &Partition> {
        self.partitions.iter().filter(move |found| found.replicas.iter().any(|replica| replica.endpoint == *endpoint))
    }
}

/// A partition and its replicas.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Partition {
    /// Number within the table.
    pub pid: Pid,
    /// When each term began (`term_offset`), oldest first.
    pub terms: Vec<TermStart>,
    /// Replicas, in the nameserver's order, which decides who counts as leader where several are flagged.
    pub replicas: Vec<Replica>,
    /// Replicas in clusters that follow this one (remote_partition_meta).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<RemoteReplica>,
}

impl Partition {
    /// The leader clients are sent to: the first that is flagged so and alive
    /// (docs/openmldb/nameserver.md#which-replica-is-the-leader).
    pub fn leader(&self) -> Option<&Endpoint> {
        self.replicas.iter().find(|replica| replica.is_leader && replica.is_alive).map(|replica| &replica.endpoint)
    }

    /// Where its replicas are, in the nameserver's order.
    pub fn places(&self) -> Vec<Endpoint> {
        self.replicas.iter().map(|replica| replica.endpoint.clone()).collect()
    }
}

/// The start of a leadership: the first offset written under a term.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TermStart {
    /// The term.
    pub term: Term,
    /// The offset of its first entry.
    pub start: Offset,
}

/// A history of terms in words: `terms 1 from 0, 3 from 21`.
pub fn terms_listed(terms: &[TermStart]) -> String {
    if terms.is_empty() {
        return "no terms".to_owned();
    }
    let began: Vec<String> = terms.iter().map(|start| format!("{} from {}", start.term, start.start)).collect();
    format!("terms {}", began.join(", "))
}

/// A replica as metadata has it: flags and the nameserver's last numbers. Says nothing about being loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replica {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its leader flag. Several replicas of a partition may carry one; only an alive one counts.
    pub is_leader: bool,
    /// Whether clients are sent to it.
    pub is_alive: bool,
    /// The offset the nameserver last polled or read back; absent after a restart without one, 0 while loading.
    pub offset: Option<Offset>,
}

/// The replica of another cluster that a partition's leader replicates to
/// (docs/openmldb/remote-clusters.md#what-metadata-has).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RemoteReplica {
    /// Who led the partition there when it was last asked.
    pub endpoint: Endpoint,
    /// The table's number there.
    pub tid: Tid,
    /// What this cluster calls that one.
    pub alias: String,
    /// Whether a leader that is elected is told of it.
    pub is_alive: bool,
}

/// What the nameserver last polled of a replica, beside what [`Replica`] has of it. None where it has not polled it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Polled {
    /// The table.
    pub table: TableName,
    /// The partition.
    pub pid: Pid,
    /// Where the replica is.
    pub endpoint: Endpoint,
    /// Rows in the first index (record_cnt).
    pub rows: Option<u64>,
    /// Bytes of rows and indexes in memory (record_byte_size).
    pub memory_bytes: Option<u64>,
    /// Bytes on disk (diskused).
    pub disk_bytes: Option<u64>,
    /// What lets the table's rows expire, each rule of an index once; empty if nothing does.
    pub ttl: Vec<Ttl>,
    /// How the table's rows are kept (compress_type).
    pub compression: Compression,
}

/// What lets rows of an index expire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ttl {
    /// Their age, in minutes.
    Age(u64),
    /// That so many of their key are newer.
    Newest(u64),
    /// Both together.
    Both(u64, u64),
    /// Either of the two.
    Either(u64, u64),
}

impl fmt::Display for Ttl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Age(minutes) => write!(f, "{minutes}min"),
            Self::Newest(rows) => write!(f, "newest {rows}"),
            Self::Both(minutes, rows) => write!(f, "{minutes}min and newest {rows}"),
            Self::Either(minutes, rows) => write!(f, "{minutes}min or newest {rows}"),
        }
    }
}

/// How rows are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Compression {
    /// As they are.
    None,
    /// Compressed with Snappy.
    Snappy,
}
