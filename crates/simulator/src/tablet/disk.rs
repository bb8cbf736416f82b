//! What outlives a tablet's process: partition directories and the recycle bin.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::Millis;
use super::entry::{Entry, Schema};
use super::stamp::stamp;
use openmldb_model::{PartitionId, Role, StorageMode};

/// A tablet's disk.
#[derive(Debug, Clone, Default)]
pub(super) struct Disk {
    /// One tree of directories per storage mode, since each has its own root (docs/openmldb/tablet.md#directories).
    roots: [BTreeMap<PartitionId, Directory>; 3],
    pub(super) recycled: Vec<Recycled>,
}

/// A directory that was moved away.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recycled {
    /// `<tid>_<pid>_<time>`, or `<tid>_<pid>_binlog_<time>` for a binlog.
    pub name: String,
    /// The partition it was of.
    pub partition: PartitionId,
    /// What is left in it: what a load would have read.
    pub log: Vec<Entry>,
}

/// A partition's directory.
#[derive(Debug, Clone, Default)]
pub(super) struct Directory {
    /// `table_meta.txt`; none if missing or empty.
    pub(super) meta: Option<MetaFile>,
    /// Without one: whether the file is there, with nothing in it, as a power cut leaves what was not synced.
    pub(super) has_empty_meta: bool,
    /// `snapshot/`.
    pub(super) snapshot: Option<Snapshot>,
    /// What a snapshot of a memory table that was cut off has left beside it, by the name that it would have got
    /// (docs/openmldb/tablet.md#a-snapshot-that-was-cut-off).
    pub(super) cut_off: Option<(String, Arc<[Entry]>)>,
    /// `binlog/`, indexes ascending, gaps possible.
    pub(super) binlog: Option<Vec<Entry>>,
    /// `aggr_info.txt`: whether an aggregator is attached as it is loaded. It is never sent with a snapshot.
    pub(super) has_aggregator: bool,
    /// Whether a disk table's `data/` exists.
    pub(super) has_data: bool,
    /// Whether `old_data/` is left over and in the way
    /// (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice).
    pub(super) has_old_data: bool,
}

/// What `table_meta.txt` says: role and term of creation or of the last LoadTable, never those of a ChangeRole.
#[derive(Debug, Clone)]
pub(super) struct MetaFile {
    pub(super) schema: Arc<Schema>,
    pub(super) role: Option<Role>,
    pub(super) term: Option<u64>,
}

/// What `snapshot/` holds.
#[derive(Debug, Clone)]
pub(super) struct Snapshot {
    /// `MANIFEST`; none if it does not parse.
    pub(super) manifest: Option<ManifestFile>,
    /// The file MANIFEST names; none if missing. A real one leaves out deletes and what they deleted; this one keeps them, so
    /// that it can be told which entries went into it, and MANIFEST does not count them.
    pub(super) rows: Option<Arc<[Entry]>>,
}

/// What MANIFEST says.
#[derive(Debug, Clone)]
pub(super) struct ManifestFile {
    pub(super) offset: u64,
    pub(super) name: String,
    pub(super) count: u64,
    pub(super) term: u64,
}

impl Disk {
    fn root(&self, storage: StorageMode) -> &BTreeMap<PartitionId, Directory> {
        match storage {
            StorageMode::Memory => &self.roots[0],
            StorageMode::Ssd => &self.roots[1],
            StorageMode::Hdd => &self.roots[2],
        }
    }

    fn root_mut(&mut self, storage: StorageMode) -> &mut BTreeMap<PartitionId, Directory> {
        match storage {
            StorageMode::Memory => &mut self.roots[0],
            StorageMode::Ssd => &mut self.roots[1],
            StorageMode::Hdd => &mut self.roots[2],
        }
    }

    pub(super) fn directory(&self, storage: StorageMode, id: PartitionId) -> Option<&Directory> {
        self.root(storage).get(&id)
    }

    pub(super) fn directory_mut(&mut self, storage: StorageMode, id: PartitionId) -> Option<&mut Directory> {
        self.root_mut(storage).get_mut(&id)
    }

    pub(super) fn make_directory(&mut self, storage: StorageMode, id: PartitionId) -> &mut Directory {
        self.root_mut(storage).entry(id).or_default()
    }

    pub(super) fn remove_directory(&mut self, storage: StorageMode, id: PartitionId) -> Option<Directory> {
        self.root_mut(storage).remove(&id)
    }

    /// A partition's directory under whichever root has one.
    pub(super) fn find(&self, id: PartitionId) -> Option<(StorageMode, &Directory)> {
        [StorageMode::Memory, StorageMode::Ssd, StorageMode::Hdd]
            .into_iter()
            .find_map(|storage| Some((storage, self.directory(storage, id)?)))
    }

    /// As [`Disk::find`].
    pub(super) fn find_mut(&mut self, id: PartitionId) -> Option<&mut Directory> {
        self.roots.iter_mut().find_map(|root| root.get_mut(&id))
    }

    /// Moves a partition's directory to the recycle bin, or deletes it where there is none.
    pub(super) fn recycle(&mut self, storage: StorageMode, id: PartitionId, keep: bool, now: Millis) {
        let Some(directory) = self.remove_directory(storage, id) else { return };
        if keep {
            let log = directory.read(storage).rows;
            self.recycled.push(Recycled { name: format!("{id}_{}", stamp(now, 14)), partition: id, log });
        }
    }

    /// Moves a partition's binlog to the recycle bin, or deletes it where there is none.
    pub(super) fn recycle_binlog(&mut self, storage: StorageMode, id: PartitionId, keep: bool, now: Millis) {
        let Some(log) = self.directory_mut(storage, id).and_then(|directory| directory.binlog.take()) else { return };
        if keep {
            self.recycled.push(Recycled { name: format!("{id}_binlog_{}", stamp(now, 14)), partition: id, log });
        }
    }
}

/// What loading a directory yields.
pub(super) struct Contents {
    pub(super) rows: Vec<Entry>,
    /// The offset the replica will have. Says nothing about how many rows are there.
    pub(super) offset: u64,
    /// How many of the rows record_cnt does not have.
    pub(super) uncounted: u64,
}

impl Directory {
    /// The MANIFEST, if there is one that parses.
    pub(super) fn manifest(&self) -> Option<&ManifestFile> {
        self.snapshot.as_ref()?.manifest.as_ref()
    }

    /// Whether a MANIFEST exists that does not parse. Such a memory table cannot be loaded.
    pub(super) fn has_broken_manifest(&self) -> bool {
        self.snapshot.as_ref().is_some_and(|snapshot| snapshot.manifest.is_none())
    }

    /// The snapshot's rows, if MANIFEST parses and the file it names is there.
    pub(super) fn snapshot_rows(&self) -> Option<&Arc<[Entry]>> {
        let snapshot = self.snapshot.as_ref()?;
        snapshot.manifest.as_ref()?;
        snapshot.rows.as_ref()
    }

    /// What a snapshot up to `end` (0: to the end of the log) is made of: the one before, and the log behind that.
    pub(super) fn to_fold(&self, end: u64) -> (&[Entry], &[Entry]) {
        let from = self.manifest().map_or(0, |manifest| manifest.offset);
        let until = if end == 0 { u64::MAX } else { end };
        let binlog = self.binlog.as_deref().unwrap_or_default();
        let first = binlog.partition_point(|entry| entry.index <= from);
        let kept = self.snapshot_rows().map(|rows| rows.as_ref()).unwrap_or_default();
        (kept, &binlog[first..binlog.partition_point(|entry| entry.index <= until).max(first)])
    }

    /// Where the binlog is read from: MANIFEST's offset, even if the file it names is missing; but a disk table then
    /// starts over (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice).
    fn replay_from(&self, storage: StorageMode) -> u64 {
        let usable = !storage.is_disk() || self.snapshot_rows().is_some();
        self.manifest().filter(|_| usable).map_or(0, |manifest| manifest.offset)
    }

    /// Entries a load has to read.
    pub(super) fn entries_to_read(&self) -> u64 {
        let snapshot = self.snapshot_rows().map_or(0, |rows| rows.len());
        let binlog = self.binlog.as_ref().map_or(0, Vec::len);
        (snapshot + binlog) as u64
    }

    /// The rows a load brings into memory: the snapshot's, then the binlog's behind it. Missing files and gaps are
    /// passed over in silence (docs/openmldb/load-table.md#loads-that-succeed-and-lack-rows).
    pub(super) fn read(&self, storage: StorageMode) -> Contents {
        let from = self.replay_from(storage);
        let mut rows: Vec<Entry> = self.snapshot_rows().map(|rows| rows.to_vec()).unwrap_or_default();
        let binlog = self.binlog.as_deref().unwrap_or_default();
        let behind = &binlog[binlog.partition_point(|entry| entry.index <= from)..];
        let counted = self.manifest().map_or(0, |manifest| manifest.count);
        let left_out = (rows.len() as u64).saturating_sub(counted);
        let deletes = behind.iter().filter(|entry| entry.deletes.is_some()).count() as u64;
        rows.extend_from_slice(behind);
        Contents { rows, offset: behind.last().map_or(from, |last| last.index), uncounted: left_out + deletes }
    }
}
