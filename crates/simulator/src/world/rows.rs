//! Which rows there are, which there should be, and which OpenMLDB itself gave up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::tablet::{Entry, RowId};
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::nameserver::TablePartition;

/// What became of the rows, and of what should not have been touched.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct RowCount {
    /// Rows that at least one replica held at the start and that no failover had given up, and rows acknowledged to
    /// writers since.
    pub rows_expected: u64,
    /// Those of them that every reachable replica of their partition holds now.
    pub rows_after: u64,
    /// Partitions in which more than one replica is flagged as leader and alive.
    pub partitions_with_two_alive_leaders: u64,
    /// Partitions that were healthy at the start and have been named by a mutating call since.
    pub healthy_partitions_touched: u64,
}

/// The entries of each replica of each partition: what it holds in memory when loaded, else what its disk would load.
pub type Rows = BTreeMap<PartitionId, BTreeMap<Endpoint, Vec<Entry>>>;

/// What the count is measured against: fixed when a scenario has been brought about.
#[derive(Debug, Clone, Default)]
pub(super) struct RowLedger {
    pub(super) expected: BTreeMap<PartitionId, BTreeSet<RowId>>,
    pub(super) given_up: BTreeMap<PartitionId, BTreeSet<RowId>>,
    pub(super) healthy: BTreeSet<PartitionId>,
    pub(super) touched: BTreeSet<PartitionId>,
}

impl RowLedger {
    /// Opens the books: what every replica holds, each partition's metadata, and which partitions are healthy.
    pub(super) fn open(
        rows: &Rows,
        metadata: &BTreeMap<PartitionId, TablePartition>,
        healthy: BTreeSet<PartitionId>,
    ) -> Self {
        let mut ledger = Self { healthy, ..Self::default() };
        for (id, replicas) in rows {
            let terms = metadata.get(id).map(|partition| partition.term_offset.as_slice()).unwrap_or_default();
            let (lost, kept): (Vec<&Entry>, Vec<&Entry>) =
                replicas.values().flatten().partition(|entry| is_given_up(entry, terms));
            let kept: BTreeSet<RowId> = kept.into_iter().map(|entry| entry.row).collect();
            let lost = lost.into_iter().map(|entry| entry.row).filter(|row| !kept.contains(row)).collect();
            ledger.expected.insert(*id, kept);
            ledger.given_up.insert(*id, lost);
        }
        ledger
    }

    /// Adds a row that was acknowledged to a writer.
    pub(super) fn acknowledge(&mut self, id: PartitionId, row: RowId) {
        self.expected.entry(id).or_default().insert(row);
    }

    /// The rows that should be there and that every one of `reachable` holds.
    pub(super) fn present(&self, id: PartitionId, reachable: &BTreeMap<Endpoint, Vec<Entry>>) -> usize {
        let Some(expected) = self.expected.get(&id) else { return 0 };
        let mut everywhere: Option<BTreeSet<RowId>> = None;
        for entries in reachable.values() {
            let held: BTreeSet<RowId> =
                entries.iter().map(|entry| entry.row).filter(|row| expected.contains(row)).collect();
            everywhere = Some(match everywhere {
                None => held,
                Some(so_far) => so_far.intersection(&held).copied().collect(),
            });
        }
        everywhere.map_or(0, |rows| rows.len())
    }
}

/// Whether a failover gave this entry up: a later leader's term begins at or before it, so that leader was elected
/// without it (a term begins behind the largest offset of those elected from:
/// docs/openmldb/operations.md#changeleader).
fn is_given_up(entry: &Entry, terms: &[openmldb_wire::nameserver::TermPair]) -> bool {
    terms.iter().any(|term| term.term > entry.term && term.offset <= entry.index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::world::trace::partition;
    use openmldb_wire::nameserver::TermPair;

    fn log(entries: &[(u64, u64, u64)]) -> Vec<Entry> {
        entries.iter().map(|&(term, index, row)| Entry::put(term, index, RowId(row))).collect()
    }

    fn ledger(rows: &Rows, terms: &[(u64, u64)]) -> RowLedger {
        let term_offset = terms.iter().map(|&(term, offset)| TermPair { term, offset }).collect();
        let metadata = TablePartition { pid: 0, term_offset, ..TablePartition::default() };
        RowLedger::open(rows, &BTreeMap::from([(partition(7, 0), metadata)]), BTreeSet::new())
    }

    #[test]
    fn the_tail_of_an_old_leader_is_given_up_and_not_expected() {
        let old = log(&[(1, 1, 10), (1, 2, 11), (1, 3, 12), (1, 4, 13)]);
        let new = log(&[(1, 1, 10), (1, 2, 11), (3, 3, 20)]);
        let replicas = BTreeMap::from([("old".into(), old), ("new".into(), new.clone())]);
        let ledger = ledger(&BTreeMap::from([(partition(7, 0), replicas)]), &[(1, 0), (3, 3)]);
        assert_eq!(ledger.given_up[&partition(7, 0)], BTreeSet::from([RowId(12), RowId(13)]));
        assert_eq!(ledger.expected[&partition(7, 0)], BTreeSet::from([RowId(10), RowId(11), RowId(20)]));
        let after = BTreeMap::from([("old".into(), new.clone()), ("new".into(), new)]);
        assert_eq!(ledger.present(partition(7, 0), &after), 3);
    }

    #[test]
    fn a_row_counts_only_where_every_reachable_replica_has_it() {
        let replicas = BTreeMap::from([("a".into(), log(&[(1, 1, 10), (1, 2, 11)])), ("b".into(), log(&[(1, 1, 10)]))]);
        let mut ledger = ledger(&BTreeMap::from([(partition(7, 0), replicas.clone())]), &[(1, 0)]);
        assert_eq!(ledger.present(partition(7, 0), &replicas), 1);
        ledger.acknowledge(partition(7, 0), RowId(12));
        assert_eq!(ledger.expected[&partition(7, 0)].len(), 3);
        assert_eq!(ledger.present(partition(7, 0), &BTreeMap::new()), 0, "nobody holds anything");
    }
}
