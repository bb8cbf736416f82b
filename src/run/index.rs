//! Where each partition's metadata and operations are, so that looking one up costs the same on a big cluster.

use std::collections::HashMap;

use crate::model::{Op, OpId, Partition, PartitionId, Pid, Table, TableName};

/// An index of what the nameserver told.
#[derive(Debug, Default)]
pub(super) struct Index {
    /// The table's place among the tables, and the partition's in it.
    places: HashMap<PartitionId, (usize, usize)>,
    ops: HashMap<TableName, HashMap<Pid, Vec<Op>>>,
    /// The newest operation that was ever seen.
    pub(super) newest_op: Option<OpId>,
}

impl Index {
    /// An index of all tables and operations. `newest_op` is the newest operation that was seen before.
    pub(super) fn of(tables: &[Table], ops: Vec<Op>, newest_op: Option<OpId>) -> Self {
        let mut index = Self { newest_op: newest_op.max(ops.iter().map(|op| op.id).max()), ..Self::default() };
        for (nth, table) in tables.iter().enumerate() {
            let ids = table.partitions.iter().map(|partition| PartitionId { tid: table.tid, pid: partition.pid });
            index.places.extend(ids.enumerate().map(|(at, id)| (id, (nth, at))));
        }
        for op in ops {
            index.ops.entry(op.table.clone()).or_default().entry(op.pid).or_default().push(op);
        }
        index
    }

    /// Notes all operations of one partition. Whether one came, went or got on.
    pub(super) fn note_ops_of(&mut self, table: &TableName, pid: Pid, ops: Vec<Op>) -> bool {
        self.newest_op = self.newest_op.max(ops.iter().map(|op| op.id).max());
        let of_table = self.ops.entry(table.clone()).or_default();
        let before = of_table.insert(pid, ops);
        before.as_deref().unwrap_or_default() != of_table.get(&pid).map(Vec::as_slice).unwrap_or_default()
    }

    /// A partition, among the tables that were noted last.
    pub(super) fn find<'a>(&self, tables: &'a [Table], id: PartitionId) -> Option<(&'a Table, &'a Partition)> {
        let (nth, at) = *self.places.get(&id)?;
        let table = tables.get(nth)?;
        Some((table, table.partitions.get(at)?))
    }

    /// The same, to bring it up to date.
    pub(super) fn find_mut<'a>(&self, tables: &'a mut [Table], id: PartitionId) -> Option<&'a mut Partition> {
        let (nth, at) = *self.places.get(&id)?;
        tables.get_mut(nth)?.partitions.get_mut(at)
    }

    /// A partition's operations.
    pub(super) fn ops<'a>(&'a self, table: &TableName, pid: Pid) -> impl Iterator<Item = &'a Op> {
        self.ops.get(table).and_then(|of_table| of_table.get(&pid)).into_iter().flatten()
    }
}
