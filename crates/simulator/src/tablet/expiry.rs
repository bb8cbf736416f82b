//! Which of a replica's entries are rows: what Traverse shows, and what garbage collection leaves.
//!
//! Entries stay in memory here whatever became of them, so that it can be told which of them a replica has; only
//! `record_cnt` follows what a tablet would still have (docs/openmldb/tablet.md#row-counts-are-not-rows).

use std::collections::{HashMap, HashSet};

use super::entry::{Entry, RowId, Schema};
use super::job::Due;
use super::ttl::Ttl;
use super::{Millis, Tablets};
use openmldb_model::PartitionId;

/// The entries that are rows now: not deleted, not expired and, on disk, not overwritten.
pub fn rows_now<'a>(entries: &'a [Entry], schema: &Schema, now: Millis) -> Vec<&'a Entry> {
    let mut deleted: HashMap<RowId, u64> = HashMap::new();
    for (row, index) in entries.iter().filter_map(|entry| Some((entry.deletes?, entry.index))) {
        let last = deleted.entry(row).or_insert(index);
        *last = index.max(*last);
    }
    // What is put again after that is there again.
    let is_deleted = |entry: &Entry| deleted.get(&entry.row).is_some_and(|last| entry.index <= *last);
    let mut rows: Vec<&Entry> = entries.iter().filter(|entry| entry.deletes.is_none() && !is_deleted(entry)).collect();
    if schema.storage.is_disk() {
        let mut seen = HashSet::new();
        rows.retain(|entry| seen.insert(entry.row));
    }
    let ttl = schema.ttl;
    if ttl == Ttl::Never {
        return rows;
    }
    let newer = if ttl.counts_newer() { how_many_are_newer(&rows) } else { HashMap::new() };
    let is_over =
        |entry: &&Entry| ttl.is_over(now.saturating_sub(entry.at), newer.get(&entry.row).copied().unwrap_or(0));
    rows.retain(|entry| !is_over(entry));
    rows
}

/// By row, how many of its key are newer; a row whose key is its own is the newest of it.
fn how_many_are_newer(rows: &[&Entry]) -> HashMap<RowId, u64> {
    let mut newest_first: Vec<RowId> = rows.iter().map(|entry| entry.row).collect();
    newest_first.sort_unstable_by(|a, b| b.cmp(a));
    newest_first.dedup();
    let mut so_far: HashMap<u64, u64> = HashMap::new();
    let shared = newest_first.into_iter().filter_map(|row| Some((row, row.key_number()?)));
    shared
        .map(|(row, key)| {
            let count = so_far.entry(key).or_default();
            *count += 1;
            (row, *count - 1)
        })
        .collect()
}

/// How many of a replica's entries `record_cnt` leaves out after a round of garbage collection. What expired is gone, what a
/// disk table overwrote, too; a row that was deleted goes a round after its delete was passed over, the first `passed` entries
/// being those that the round before has seen (`Segment::GcFreeList`).
pub(super) fn collected(entries: &[Entry], passed: usize, schema: &Schema, now: Millis) -> u64 {
    let rows = rows_now(entries, schema, now).len();
    let put: HashSet<RowId> = entries.iter().filter(|entry| entry.deletes.is_none()).map(|entry| entry.row).collect();
    let waits = |entry: &Entry| entry.deletes.is_some_and(|row| put.contains(&row));
    let still_there = match schema.storage.is_disk() {
        true => 0,
        false => entries[passed.min(entries.len())..].iter().filter(|entry| waits(entry)).count(),
    };
    (entries.len() - (rows + still_there).min(entries.len())) as u64
}

/// Whether an entry, behind the one before it, gives garbage collection something to do.
pub(super) fn is_garbage_to_be(schema: &Schema, before: Option<&Entry>, entry: &Entry) -> bool {
    let overwrites = || before.is_some_and(|before| entry.row <= before.row);
    entry.deletes.is_some() || schema.ttl != Ttl::Never || schema.storage.is_disk() && overwrites()
}

impl Tablets {
    /// The next round of garbage collection over a replica is put on the agenda, if something waits for it there.
    pub(super) fn plan_collection(&mut self, at: usize, id: PartitionId) {
        let Some(replica) = self.machines[at].replicas.get_mut(&id) else { return };
        if !replica.has_garbage || std::mem::replace(&mut replica.is_collection_due, true) {
            return;
        }
        let due = Due::Collect { partition: id, generation: replica.generation };
        self.plan(at, self.settings.gc_interval_ms, due);
    }

    /// A round of garbage collection: what `record_cnt` no longer has after it.
    pub(super) fn collect(&mut self, at: usize, id: PartitionId, generation: u64) {
        let now = self.now;
        let Some(replica) = self.machines[at].same_replica(id, generation) else { return };
        let (schema, passed) = (replica.schema.clone(), replica.collected_to.min(replica.rows.len()));
        // What was deleted since the round before is collected by the next one, and some rows have yet to expire.
        let waits = !schema.storage.is_disk() && replica.rows[passed..].iter().any(|entry| entry.deletes.is_some());
        replica.uncounted = collected(&replica.rows, passed, &schema, now);
        replica.collected_to = replica.rows.len();
        replica.is_collection_due = false;
        replica.has_garbage = waits || schema.ttl.has_age() && replica.rows.len() as u64 > replica.uncounted;
        self.plan_collection(at, id);
    }
}

#[cfg(test)]
mod tests {
    use super::super::ttl::MINUTE;
    use super::*;
    use openmldb_model::StorageMode;
    use openmldb_wire::common;

    fn schema(ttl: Ttl, storage: StorageMode) -> Schema {
        Schema { ttl, ..Schema::new("shop", "orders", storage) }
    }

    /// Six rows of two keys, a minute apart.
    fn entries() -> Vec<Entry> {
        let row = |n: u64| RowId::under_key(1 + n % 2, n);
        (1..=6).map(|n| Entry { at: n * MINUTE, ..Entry::put(1, n, row(n)) }).collect()
    }

    fn left(ttl: Ttl, now: Millis) -> Vec<u64> {
        let entries = entries();
        rows_now(&entries, &schema(ttl, StorageMode::Memory), now).iter().map(|entry| entry.index).collect()
    }

    #[test]
    fn rows_expire_by_age_by_number_by_both_and_by_either() {
        let now = 6 * MINUTE;
        assert_eq!(left(Ttl::Never, now), [1, 2, 3, 4, 5, 6]);
        assert_eq!(left(Ttl::Absolute(2 * MINUTE), now), [5, 6]);
        assert_eq!(left(Ttl::Latest(2), now), [3, 4, 5, 6]);
        assert_eq!(left(Ttl::Both(4 * MINUTE, 1), now), [3, 4, 5, 6]);
        assert_eq!(left(Ttl::Either(4 * MINUTE, 1), now), [5, 6]);
        let own: Vec<Entry> = (1..=6).map(|n| Entry::put(1, n, RowId(n))).collect();
        assert_eq!(
            rows_now(&own, &schema(Ttl::Latest(1), StorageMode::Memory), now).len(),
            6,
            "each of a key of its own"
        );
    }

    #[test]
    fn metadata_says_when_they_do() {
        for ttl in [Ttl::Never, Ttl::Absolute(MINUTE), Ttl::Latest(3), Ttl::Both(MINUTE, 3), Ttl::Either(MINUTE, 3)] {
            assert_eq!(Ttl::of(Some(&ttl.to_wire())), ttl);
        }
        let neither = common::TtlSt { abs_ttl: Some(0), ..Ttl::Both(MINUTE, 3).to_wire() };
        assert_eq!(Ttl::of(Some(&neither)), Ttl::Never, "by age they never do");
        assert_eq!(Ttl::of(None), Ttl::Never);
    }

    #[test]
    fn a_deleted_row_is_counted_until_the_second_round_after_it() {
        let mut entries = entries();
        entries.push(Entry { deletes: Some(entries[0].row), ..Entry::put(1, 7, RowId(100)) });
        let schema = schema(Ttl::Never, StorageMode::Memory);
        assert_eq!(collected(&entries, 0, &schema, 0), 1, "the delete itself is no row");
        assert_eq!(collected(&entries, 7, &schema, 0), 2);
    }

    #[test]
    fn a_row_that_is_put_again_after_its_delete_is_there_again() {
        let mut entries = entries();
        entries.push(Entry { deletes: Some(entries[0].row), ..Entry::put(1, 7, RowId(100)) });
        entries.push(Entry { index: 8, ..entries[0] });
        let rows = rows_now(&entries, &schema(Ttl::Never, StorageMode::Memory), 0);
        assert_eq!(rows.iter().map(|entry| entry.index).collect::<Vec<_>>(), [2, 3, 4, 5, 6, 8]);
    }

    #[test]
    fn a_disk_table_shows_a_row_that_was_overwritten_once() {
        let mut entries = entries();
        entries.push(Entry { index: 7, ..entries[0] });
        assert_eq!(rows_now(&entries, &schema(Ttl::Never, StorageMode::Hdd), 0).len(), 6);
        assert_eq!(collected(&entries, 0, &schema(Ttl::Never, StorageMode::Hdd), 0), 1);
        assert_eq!(rows_now(&entries, &schema(Ttl::Never, StorageMode::Memory), 0).len(), 7);
    }
}
