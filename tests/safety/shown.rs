//! Which entries clients would miss: not those that were deleted, have expired or were overwritten, nor deletes of what is not there.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::tablet::{Entry, RowId};

/// Whether clients are shown the same without those of these entries that a log lacks.
pub fn lacks_nothing(world: &World, id: PartitionId, log: &[Entry], others: &[Entry]) -> bool {
    let held: BTreeSet<RowId> = log.iter().map(|entry| entry.row).collect();
    let lacked: Vec<Entry> = others.iter().filter(|entry| !held.contains(&entry.row)).copied().collect();
    lacked.is_empty() || world.shown(id, log) == world.shown(id, &[log, &lacked].concat())
}

/// Whether clients are shown the same by all of these logs, in some of which there is more than they are shown.
pub fn show_the_same(world: &World, id: PartitionId, logs: &BTreeMap<Endpoint, Vec<Entry>>) -> bool {
    let shown: Vec<BTreeSet<RowId>> = logs.values().map(|log| world.shown(id, log)).collect();
    let hides = logs.values().zip(&shown).any(|(log, shown)| shown.len() < log.len());
    hides && shown.windows(2).all(|pair| pair[0] == pair[1])
}

/// Of these entries, the rows that clients are shown, and the deletes of rows that are among them.
pub fn that_count(world: &World, id: PartitionId, entries: &[Entry]) -> BTreeSet<RowId> {
    let put: BTreeSet<RowId> = entries.iter().filter(|entry| entry.deletes.is_none()).map(|entry| entry.row).collect();
    let hide = |entry: &&Entry| entry.deletes.is_some_and(|row| put.contains(&row));
    let deletes = entries.iter().filter(hide).map(|entry| entry.row);
    world.shown(id, entries).into_iter().chain(deletes).collect()
}

/// Whether two entries are the same write: each write of a client is another row. An aggregator that begins anew writes what was in a log
/// that was lost once more, later, and under the term that its replica has then, which is none while that is loaded beside it.
pub fn is_same(one: &Entry, other: &Entry) -> bool {
    (one.index, one.row, one.deletes) == (other.index, other.row, other.deletes)
}
