//! What scenarios do to disks behind the tablets' backs, and what tests look at.

use std::sync::Arc;

use super::disk::{Directory, Snapshot};
use super::entry::partition_id;
use super::{Entry, Recycled, Schema, Tablets};
use openmldb_model::PartitionId;

/// Ways to damage a disk. Each says whether there was anything to damage. Meant for tablets that are down: a loaded
/// replica keeps what it has in memory.
impl Tablets {
    /// The binlog directory is gone.
    pub fn lose_binlog(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| directory.binlog.take().is_some())
    }

    /// Entries `first..=last` of the binlog are gone: a hole that loading passes over without a word.
    pub fn lose_entries(&mut self, endpoint: &str, tid: u32, pid: u32, first: u64, last: u64) -> bool {
        self.damage(endpoint, tid, pid, |directory| {
            let Some(binlog) = directory.binlog.as_mut() else { return false };
            let before = binlog.len();
            binlog.retain(|entry| !(first..=last).contains(&entry.index));
            binlog.len() < before
        })
    }

    /// The partition's whole directory is gone, as with a lost disk.
    pub fn lose_directory(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        let id = partition_id(tid, pid);
        let Some(machine) = self.machine_mut(endpoint) else { return false };
        let Some((storage, _)) = machine.disk.find(id) else { return false };
        machine.disk.remove_directory(storage, id).is_some()
    }

    /// The file MANIFEST names is gone, MANIFEST is not: loading shows a high offset and few rows.
    pub fn lose_snapshot_file(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| {
            directory.snapshot.as_mut().is_some_and(|snapshot| snapshot.rows.take().is_some())
        })
    }

    /// The snapshot is gone, MANIFEST with it.
    pub fn lose_snapshot(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| directory.snapshot.take().is_some())
    }

    /// MANIFEST is there and cannot be parsed: a memory table's load fails, and takes the directory to the recycle bin.
    pub fn spoil_manifest(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| {
            directory.snapshot.get_or_insert(Snapshot { manifest: None, rows: None }).manifest = None;
            true
        })
    }

    /// table_meta.txt is there, and nothing is in it: it is rewritten by every load, and a power cut takes what is not synced.
    pub fn empty_table_meta(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| {
            directory.has_empty_meta = directory.meta.take().is_some();
            directory.has_empty_meta
        })
    }

    /// Somebody moves a disk table's `data` and `old_data` out of its directory: a load makes them anew
    /// (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice).
    pub fn move_data_away(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| {
            let was_there = directory.has_data || directory.has_old_data;
            (directory.has_data, directory.has_old_data) = (false, false);
            was_there
        })
    }

    /// Log files behind the snapshot are deleted, as the tablet's timer does in time: followers that need them are never
    /// served again.
    pub fn delete_binlog_behind_snapshot(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        self.damage(endpoint, tid, pid, |directory| {
            let folded = directory.manifest().map_or(0, |manifest| manifest.offset);
            let Some(binlog) = directory.binlog.as_mut() else { return false };
            let before = binlog.len();
            binlog.drain(..binlog.partition_point(|entry| entry.index <= folded));
            binlog.len() < before
        })
    }

    fn damage(&mut self, endpoint: &str, tid: u32, pid: u32, how: impl FnOnce(&mut Directory) -> bool) -> bool {
        let directory = self.machine_mut(endpoint).and_then(|machine| machine.disk.find_mut(partition_id(tid, pid)));
        directory.is_some_and(how)
    }
}

/// What tests and row counts look at.
impl Tablets {
    /// The rows a replica holds in memory, in the order they came in; none unless it is loaded. A row may be there twice
    /// after writes to a replica that was queued to load.
    pub fn log(&self, endpoint: &str, tid: u32, pid: u32) -> Option<&[Entry]> {
        let replica = self.machine(endpoint)?.replicas.get(&partition_id(tid, pid))?;
        replica.state.is_loaded().then_some(replica.rows.as_slice())
    }

    /// Where a replica's log ends by its own count; none unless it is loaded.
    pub fn end(&self, endpoint: &str, tid: u32, pid: u32) -> Option<u64> {
        let replica = self.machine(endpoint)?.replicas.get(&partition_id(tid, pid))?;
        replica.state.is_loaded().then_some(replica.offset)
    }

    /// The rows a load would bring into memory; none without a directory.
    pub fn log_on_disk(&self, endpoint: &str, tid: u32, pid: u32) -> Option<Vec<Entry>> {
        let (storage, directory) = self.machine(endpoint)?.disk.find(partition_id(tid, pid))?;
        Some(directory.read(storage).rows)
    }

    /// A partition's table, as a replica or its description has it.
    pub fn schema(&self, endpoint: &str, id: PartitionId) -> Option<Arc<Schema>> {
        let machine = self.machine(endpoint)?;
        let loaded = machine.replicas.get(&id).map(|replica| replica.schema.clone());
        loaded.or_else(|| Some(machine.disk.find(id)?.1.meta.as_ref()?.schema.clone()))
    }

    /// The role of a replica that is in memory.
    pub fn role(&self, endpoint: &str, id: PartitionId) -> Option<openmldb_model::Role> {
        self.machine(endpoint)?.replicas.get(&id).map(|replica| replica.role)
    }

    /// Whether no load of a replica that is not in memory can succeed until somebody tidies its directory: a disk table's
    /// load that was cut off has left both `data` and `old_data`
    /// (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice).
    pub fn is_unloadable(&self, endpoint: &str, tid: u32, pid: u32) -> bool {
        let id = partition_id(tid, pid);
        self.machine(endpoint).is_some_and(|machine| {
            let cut_off = |(_, directory): (_, &Directory)| directory.has_data && directory.has_old_data;
            !machine.replicas.contains_key(&id) && machine.disk.find(id).is_some_and(cut_off)
        })
    }

    /// What lies in a tablet's recycle bin, oldest first.
    pub fn recycle_bin(&self, endpoint: &str) -> &[Recycled] {
        self.machine(endpoint).map_or(&[], |machine| &machine.disk.recycled)
    }

    /// Every partition a tablet has in memory, loaded or not.
    pub fn held(&self, endpoint: &str) -> impl Iterator<Item = PartitionId> {
        self.machine(endpoint).into_iter().flat_map(|machine| machine.replicas.keys().copied())
    }
}
