//! Tables and partitions as the leading nameserver holds them, and the copy of each that ZooKeeper holds.
//!
//! OpenMLDB rewrites a table's whole node whenever anything in it changes, so ZooKeeper's copy of every partition carries
//! the numbers that were cached at that moment. Copying a table of thousands of partitions for each flag would be far
//! too slow; instead a partition is copied just before it first changes after such a write.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_wire::nameserver::{PartitionMeta, TableInfo, TablePartition};

/// All tables, by tid and by name.
#[derive(Debug, Clone, Default)]
pub(super) struct Tables {
    by_tid: BTreeMap<u32, Table>,
    /// Tables that somebody may have changed since that was last asked.
    touched: BTreeSet<u32>,
    names: BTreeMap<String, BTreeMap<String, u32>>,
}

/// A table.
#[derive(Debug, Clone)]
pub(super) struct Table {
    /// Everything but the partitions. It never changes after creation.
    pub(super) head: TableInfo,
    partitions: Vec<Partition>,
    /// How often its node was rewritten.
    writes: u64,
}

#[derive(Debug, Clone)]
struct Partition {
    live: TablePartition,
    /// What the write of that number put into ZooKeeper. Of an older write: nothing changed since the last one, so that
    /// `live` is what ZooKeeper holds.
    saved: Option<(u64, TablePartition)>,
}

impl Tables {
    pub(super) fn insert(&mut self, db: &str, name: &str, tid: u32, table: Table) {
        self.by_tid.insert(tid, table);
        self.touched.insert(tid);
        self.names.entry(db.to_owned()).or_default().insert(name.to_owned(), tid);
    }

    pub(super) fn remove(&mut self, db: &str, name: &str) -> Option<Table> {
        let tid = self.names.get_mut(db)?.remove(name)?;
        self.by_tid.remove(&tid)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.by_tid.is_empty()
    }

    pub(super) fn tid(&self, db: &str, name: &str) -> Option<u32> {
        self.names.get(db)?.get(name).copied()
    }

    pub(super) fn get(&self, tid: u32) -> Option<&Table> {
        self.by_tid.get(&tid)
    }

    pub(super) fn get_mut(&mut self, tid: u32) -> Option<&mut Table> {
        self.touched.insert(tid);
        self.by_tid.get_mut(&tid)
    }

    pub(super) fn find(&self, db: &str, name: &str) -> Option<&Table> {
        self.get(self.tid(db, name)?)
    }

    pub(super) fn find_mut(&mut self, db: &str, name: &str) -> Option<&mut Table> {
        let tid = self.tid(db, name)?;
        self.get_mut(tid)
    }

    pub(super) fn partition(&self, db: &str, name: &str, pid: u32) -> Option<&TablePartition> {
        self.find(db, name)?.partition(pid)
    }

    /// Every table, in the byte order of database and name.
    pub(super) fn in_order(&self) -> impl Iterator<Item = &Table> {
        self.names.values().flat_map(|tables| tables.values()).filter_map(|tid| self.by_tid.get(tid))
    }

    /// The tables of one database, in the byte order of their names.
    pub(super) fn of_database(&self, db: &str) -> impl Iterator<Item = &Table> {
        self.names.get(db).into_iter().flat_map(|tables| tables.values()).filter_map(|tid| self.by_tid.get(tid))
    }

    pub(super) fn by_tid(&self) -> impl Iterator<Item = (u32, &Table)> {
        self.by_tid.iter().map(|(tid, table)| (*tid, table))
    }

    /// The tables that may have changed since this was last asked.
    pub(super) fn take_touched(&mut self) -> BTreeSet<u32> {
        std::mem::take(&mut self.touched)
    }

    /// A table, to note in it what is asked of it at every pass anyway: it does not count as changed.
    pub(super) fn get_to_note(&mut self, tid: u32) -> Option<&mut Table> {
        self.by_tid.get_mut(&tid)
    }

    pub(super) fn all_mut(&mut self) -> impl Iterator<Item = (u32, &mut Table)> {
        self.touched.extend(self.by_tid.keys());
        self.by_tid.iter_mut().map(|(tid, table)| (*tid, table))
    }

    /// Forgets what only the leading nameserver's memory held: what is left is ZooKeeper's copy.
    pub(super) fn revert_to_saved(&mut self) {
        self.touched.extend(self.by_tid.keys());
        for table in self.by_tid.values_mut() {
            for partition in &mut table.partitions {
                if let Some((write, copy)) = partition.saved.take()
                    && write == table.writes
                {
                    partition.live = copy;
                }
            }
        }
    }
}

impl Table {
    /// A table just written for the first time.
    pub(super) fn new(head: TableInfo, partitions: Vec<TablePartition>) -> Self {
        let partitions = partitions.into_iter().map(|live| Partition { live, saved: None }).collect();
        Self { head, partitions, writes: 0 }
    }

    pub(super) fn db(&self) -> &str {
        self.head.db()
    }

    pub(super) fn name(&self) -> &str {
        self.head.name()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TablePartition> {
        self.partitions.iter().map(|partition| &partition.live)
    }

    pub(super) fn len(&self) -> usize {
        self.partitions.len()
    }

    pub(super) fn partition(&self, pid: u32) -> Option<&TablePartition> {
        self.partitions.get(usize::try_from(pid).ok()?).map(|partition| &partition.live)
    }

    /// Changes a partition in memory. Only [`Table::written`] makes that outlive the nameserver.
    pub(super) fn change<R>(&mut self, pid: u32, change: impl FnOnce(&mut TablePartition) -> R) -> Option<R> {
        let partition = self.partitions.get_mut(usize::try_from(pid).ok()?)?;
        if partition.saved.as_ref().is_none_or(|(write, _)| *write != self.writes) {
            partition.saved = Some((self.writes, partition.live.clone()));
        }
        Some(change(&mut partition.live))
    }

    /// The table's node was rewritten with everything as it is now in memory.
    pub(super) fn written(&mut self) {
        self.writes += 1;
    }

    /// The table as memory has it.
    pub(super) fn live(&self) -> TableInfo {
        let table_partition = self.partitions().cloned().collect();
        TableInfo { table_partition, ..self.head.clone() }
    }

    /// The table as ZooKeeper has it.
    pub(super) fn saved(&self) -> TableInfo {
        let saved = |partition: &Partition| match &partition.saved {
            Some((write, copy)) if *write == self.writes => copy.clone(),
            _ => partition.live.clone(),
        };
        TableInfo { table_partition: self.partitions.iter().map(saved).collect(), ..self.head.clone() }
    }
}

/// The replica that counts as leader: the first that is flagged and alive
/// (docs/openmldb/nameserver.md#which-replica-is-the-leader).
pub(super) fn leader_of(partition: &TablePartition) -> Option<&PartitionMeta> {
    partition.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive())
}

/// The last replica that is flagged leader and alive, which RecoverTable's task takes
/// (docs/openmldb/nameserver.md#which-replica-is-the-leader).
pub(super) fn last_leader_of(partition: &TablePartition) -> Option<&PartitionMeta> {
    partition.partition_meta.iter().rev().find(|meta| meta.is_leader && meta.is_alive())
}

/// A partition's replica at an endpoint.
pub(super) fn replica_at<'a>(partition: &'a TablePartition, endpoint: &str) -> Option<&'a PartitionMeta> {
    partition.partition_meta.iter().find(|meta| meta.endpoint == endpoint)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn table() -> Table {
        let meta = |endpoint: &str, is_leader| PartitionMeta {
            endpoint: endpoint.to_owned(),
            is_leader,
            ..PartitionMeta::default()
        };
        let partition = |pid| TablePartition {
            pid,
            partition_meta: vec![meta("a", true), meta("b", false)],
            ..TablePartition::default()
        };
        Table::new(TableInfo::default(), vec![partition(0), partition(1)])
    }

    fn set_offset(table: &mut Table, pid: u32, offset: u64) {
        table.change(pid, |partition| partition.partition_meta[0].offset = Some(offset)).unwrap();
    }

    fn offsets(table: &TableInfo) -> Vec<Option<u64>> {
        table.table_partition.iter().map(|partition| partition.partition_meta[0].offset).collect()
    }

    #[test]
    fn zookeeper_keeps_what_memory_held_when_the_table_was_last_written() {
        let mut table = table();
        set_offset(&mut table, 0, 935);
        assert_eq!(offsets(&table.saved()), [None, None], "offsets are only cached");

        table.written();
        set_offset(&mut table, 0, 1008);
        set_offset(&mut table, 0, 1009);
        set_offset(&mut table, 1, 7);
        assert_eq!(offsets(&table.saved()), [Some(935), None]);
        assert_eq!(offsets(&table.live()), [Some(1009), Some(7)]);

        table.written();
        assert_eq!(offsets(&table.saved()), [Some(1009), Some(7)]);
    }

    #[test]
    fn a_restart_brings_back_the_written_numbers() {
        let mut tables = Tables::default();
        let mut written = table();
        set_offset(&mut written, 0, 935);
        written.written();
        set_offset(&mut written, 0, 1008);
        tables.insert("d", "t", 7, written);

        tables.revert_to_saved();
        assert_eq!(offsets(&tables.find("d", "t").unwrap().live()), [Some(935), None]);

        tables.revert_to_saved();
        assert_eq!(offsets(&tables.find("d", "t").unwrap().live()), [Some(935), None]);
    }

    #[test]
    fn only_an_alive_flag_makes_a_leader_and_of_two_the_first_counts() {
        let mut table = table();
        table.change(0, |partition| partition.partition_meta[1].is_leader = true);
        let partition = table.partition(0).unwrap();
        assert_eq!(leader_of(partition).map(|meta| meta.endpoint.as_str()), Some("a"));
        assert_eq!(last_leader_of(partition).map(|meta| meta.endpoint.as_str()), Some("b"));

        table.change(0, |partition| partition.partition_meta[0].is_alive = Some(false));
        assert_eq!(leader_of(table.partition(0).unwrap()).map(|meta| meta.endpoint.as_str()), Some("b"));
    }
}
