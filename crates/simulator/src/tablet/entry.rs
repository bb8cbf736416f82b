//! Rows, log entries and tables.

use std::sync::Arc;

use super::Millis;
use super::ttl::Ttl;
use openmldb_model::{PartitionId, Pid, StorageMode, Tid};
use openmldb_wire::{api, common};
use prost::Message as _;

/// Where a row's number ends and that of the key it shares with others begins.
const SHARED_KEY: u32 = 40;

/// A row: whoever writes rows gives each a number of its own, so that a lost one can be named. Its number is its time, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RowId(pub u64);

impl RowId {
    /// The row a Put's value stands for: its first eight bytes, little-endian, filled up with zeros.
    pub fn from_value(value: &[u8]) -> Self {
        let mut bytes = [0; 8];
        for (to, from) in bytes.iter_mut().zip(value) {
            *to = *from;
        }
        Self(u64::from_le_bytes(bytes))
    }

    /// The row of this number under a key that others may have, too; both are above 0.
    pub fn under_key(key: u64, number: u64) -> Self {
        Self(key << SHARED_KEY | number)
    }

    /// The number of the key it shares with others, if it shares one.
    pub(super) fn key_number(self) -> Option<u64> {
        Some(self.0 >> SHARED_KEY).filter(|key| *key > 0)
    }

    /// The value to Put.
    pub fn to_value(self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }
}

/// An entry of a partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// The term of the leader that took it.
    pub term: u64,
    /// Its place in the log; the first is 1.
    pub index: u64,
    /// What was written. A delete has a number of its own, too, so that a lost one can be named.
    pub row: RowId,
    /// The row that it takes away, if it is a delete.
    pub deletes: Option<RowId>,
    /// World time at which its leader took it.
    pub at: Millis,
}

impl Entry {
    /// A row that was put at the beginning of time.
    pub fn put(term: u64, index: u64, row: RowId) -> Self {
        Self { term, index, row, deletes: None, at: 0 }
    }
}

/// One partition of a table, as CreateTable describes it. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TableSpec {
    /// The table's number.
    pub tid: u32,
    /// The partition's number.
    pub pid: u32,
    /// What all partitions of the table share.
    pub schema: Arc<Schema>,
}

impl TableSpec {
    pub(super) fn partition(&self) -> PartitionId {
        partition_id(self.tid, self.pid)
    }
}

/// A table as its tablets know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The table's name.
    pub name: String,
    /// Its database.
    pub db: String,
    /// Where its rows live.
    pub storage: StorageMode,
    /// The names of its indexes. A table without any cannot be opened (docs/openmldb/load-table.md#no-directory).
    pub indexes: Vec<String>,
    /// `key_entry_max_height`; shown as skiplist_height. 4 and 1 in the recordings.
    pub skiplist_height: u32,
    /// The table this one aggregates; 0 for none.
    pub base_table_tid: u32,
    /// When rows expire, of the first index.
    pub ttl: Ttl,
    /// Its columns, indexes and partitions, as it was created with them: a TableMeta.
    pub described: Vec<u8>,
}

impl Schema {
    /// A table with one index called `idx`, like those in the recordings.
    pub fn new(db: &str, name: &str, storage: StorageMode) -> Self {
        Self {
            name: name.to_owned(),
            db: db.to_owned(),
            storage,
            indexes: vec!["idx".to_owned()],
            skiplist_height: 4,
            base_table_tid: 0,
            ttl: Ttl::Never,
            described: Vec::new(),
        }
    }

    /// The schema in a request's meta, which is usually no more than a name.
    pub(super) fn from_meta(meta: &api::TableMeta, storage: StorageMode) -> Self {
        Self {
            name: meta.name().to_owned(),
            db: meta.db().to_owned(),
            storage,
            indexes: meta.column_key.iter().map(|key| key.index_name().to_owned()).collect(),
            described: meta.encode_to_vec(),
            skiplist_height: meta.key_entry_max_height.unwrap_or(4),
            base_table_tid: meta.base_table_tid(),
            ttl: Ttl::of(meta.column_key.first().and_then(|key| key.ttl.as_ref())),
        }
    }
}

pub(super) fn partition_id(tid: u32, pid: u32) -> PartitionId {
    PartitionId { tid: Tid(tid), pid: Pid(pid) }
}

/// The partition of requests whose ids are signed. Negative ones name nothing.
pub(super) fn signed_partition_id(tid: i32, pid: i32) -> PartitionId {
    partition_id(u32::try_from(tid).unwrap_or(u32::MAX), u32::try_from(pid).unwrap_or(u32::MAX))
}

/// The storage mode of a request; none for kUnknown and numbers that mean nothing.
pub(super) fn storage_of(mode: common::StorageMode) -> Option<StorageMode> {
    match mode {
        common::StorageMode::KUnknown => None,
        common::StorageMode::KMemory => Some(StorageMode::Memory),
        common::StorageMode::KSsd => Some(StorageMode::Ssd),
        common::StorageMode::KHdd => Some(StorageMode::Hdd),
    }
}
