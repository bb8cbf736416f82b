//! What replicas take: bytes of memory and of disk, as the nameserver last polled them from their tablets (GetTableStatus).

use std::collections::BTreeMap;

use crate::model::{Endpoint, Pid, Polled, Snapshot, StorageMode, TableName};

/// A replica counts as no less than this where it is placed: files, threads and an index without rows take something, too. So many
/// small replicas are spread by their number.
pub const SMALL: u64 = 1 << 20;

/// What a replica of each partition takes, and what tablets have room for, as far as anybody knows.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sizes {
    of: BTreeMap<(TableName, Pid), Size>,
    /// What tablets have room for.
    pub room: Room,
}

/// Bytes; none where nobody knows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Size {
    /// Rows and indexes in memory.
    pub memory: Option<u64>,
    /// On disk. Tablets count it every ten minutes, and say 0 until then.
    pub disk: Option<u64>,
}

/// What tablets have room for, each of them, as far as somebody has said so: no call of OpenMLDB tells.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Room {
    /// Bytes of memory.
    pub memory: Option<u64>,
    /// Bytes on disk.
    pub disk: Option<u64>,
}

impl Sizes {
    /// The sizes by what was polled. Replicas of a partition count as equally large: the largest of them decides.
    pub fn of(polled: &[Polled]) -> Self {
        let mut sizes: BTreeMap<(TableName, Pid), Size> = BTreeMap::new();
        for polled in polled {
            let size = sizes.entry((polled.table.clone(), polled.pid)).or_default();
            size.memory = size.memory.max(polled.memory_bytes);
            size.disk = size.disk.max(polled.disk_bytes.filter(|bytes| *bytes > 0));
        }
        Self { of: sizes, room: Room::default() }
    }

    /// The same on tablets with so much room.
    #[must_use]
    pub fn within(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// Of a partition's replicas, each.
    pub fn size(&self, table: &TableName, pid: Pid) -> Size {
        self.of.get(&(table.clone(), pid)).copied().unwrap_or_default()
    }

    /// What a replica counts for where it is placed: what it takes of what its kind of table needs most.
    pub fn weight(&self, table: &TableName, pid: Pid, storage: StorageMode) -> u64 {
        let Size { memory, disk } = self.size(table, pid);
        let bytes = if storage.is_disk() { disk } else { memory };
        bytes.unwrap_or(0).max(SMALL)
    }

    /// What a tablet has room for, of what such a table needs most.
    pub fn limit(&self, storage: StorageMode) -> Option<u64> {
        if storage.is_disk() { self.room.disk } else { self.room.memory }
    }

    /// What is on each tablet, as far as it is known, by the places that metadata name.
    pub fn on_tablets(&self, seen: &Snapshot) -> BTreeMap<Endpoint, Size> {
        let mut on: BTreeMap<Endpoint, Size> = BTreeMap::new();
        let add = |sum: &mut Option<u64>, more: Option<u64>| {
            if let Some(more) = more {
                *sum = Some(sum.unwrap_or(0).saturating_add(more));
            }
        };
        for table in &seen.tables {
            for partition in &table.partitions {
                let size = self.size(&table.name, partition.pid);
                for replica in &partition.replicas {
                    let sum = on.entry(replica.endpoint.clone()).or_default();
                    add(&mut sum.memory, size.memory);
                    add(&mut sum.disk, size.disk);
                }
            }
        }
        on
    }
}
