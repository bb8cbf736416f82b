//! What each tablet has, now and while an arrangement is being made: replicas by their bytes, leaders by their number.

use std::collections::BTreeMap;

use crate::model::{Endpoint, Partition, Snapshot, StorageMode, Table};
use crate::run::Sizes;

/// Replicas and leaders by tablet. Only tablets that may be given something are in it.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplicaCounts {
    sizes: Sizes,
    replicas: BTreeMap<Endpoint, Share>,
    leaders: BTreeMap<Endpoint, usize>,
}

/// The replicas on a tablet.
#[derive(Debug, Clone, Copy, Default)]
struct Share {
    count: usize,
    /// Of memory tables, by their bytes in memory.
    in_memory: u64,
    /// Of disk tables, by their bytes on disk.
    on_disk: u64,
}

/// A replica that may be placed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Piece {
    /// What it counts for.
    pub(super) weight: u64,
    /// Of what.
    pub(super) storage: StorageMode,
}

impl ReplicaCounts {
    /// Of every table that counts, on the healthy tablets but for some.
    pub(super) fn of(seen: &Snapshot, but: &[Endpoint], sizes: &Sizes, counts: impl Fn(&Table) -> bool) -> Self {
        let given = || seen.tablets.keys().filter(|at| seen.hears_from(at) && !but.contains(at)).cloned();
        let replicas = given().map(|at| (at, Share::default())).collect();
        let leaders = given().map(|at| (at, 0)).collect();
        let mut replica_counts = Self { sizes: sizes.clone(), replicas, leaders };
        for table in seen.tables.iter().filter(|table| counts(table)) {
            for partition in &table.partitions {
                let piece = replica_counts.piece(table, partition);
                partition.replicas.iter().for_each(|replica| replica_counts.give(&replica.endpoint, piece));
                partition.leader().into_iter().for_each(|at| replica_counts.leader(at, 1));
            }
        }
        replica_counts
    }

    /// A replica of a partition.
    pub(super) fn piece(&self, table: &Table, partition: &Partition) -> Piece {
        Piece { weight: self.sizes.weight(&table.name, partition.pid, table.storage), storage: table.storage }
    }

    /// The tablets.
    pub(super) fn tablets(&self) -> Vec<Endpoint> {
        self.replicas.keys().cloned().collect()
    }

    /// How many replicas a tablet has.
    pub(super) fn replicas(&self, at: &Endpoint) -> usize {
        self.replicas.get(at).map_or(0, |share| share.count)
    }

    /// What a tablet has by bytes, of the kind that such a replica adds to.
    pub(super) fn weight(&self, at: &Endpoint, storage: StorageMode) -> u64 {
        let share = self.replicas.get(at).copied().unwrap_or_default();
        if storage.is_disk() { share.on_disk } else { share.in_memory }
    }

    /// What a tablet has by bytes, of both kinds.
    pub(super) fn whole(&self, at: &Endpoint) -> u64 {
        let share = self.replicas.get(at).copied().unwrap_or_default();
        share.in_memory.saturating_add(share.on_disk)
    }

    /// How many leaders a tablet has.
    pub(super) fn leaders(&self, at: &Endpoint) -> usize {
        self.leaders.get(at).copied().unwrap_or(0)
    }

    /// One more replica.
    pub(super) fn give(&mut self, at: &Endpoint, piece: Piece) {
        let Some(share) = self.replicas.get_mut(at) else { return };
        share.count += 1;
        let bytes = if piece.storage.is_disk() { &mut share.on_disk } else { &mut share.in_memory };
        *bytes = bytes.saturating_add(piece.weight);
    }

    /// One less.
    pub(super) fn take(&mut self, at: &Endpoint, piece: Piece) {
        let Some(share) = self.replicas.get_mut(at) else { return };
        share.count = share.count.saturating_sub(1);
        let bytes = if piece.storage.is_disk() { &mut share.on_disk } else { &mut share.in_memory };
        *bytes = bytes.saturating_sub(piece.weight);
    }

    /// One more leader, or one less.
    pub(super) fn leader(&mut self, at: &Endpoint, by: isize) {
        self.leaders.entry(at.clone()).and_modify(|count| *count = count.saturating_add_signed(by));
    }

    /// The tablet with the fewest bytes that is none of `taken`; of equals the one with the fewest replicas, then the first by name.
    /// What tablets are said to have room for is the same for all of them: where the emptiest has none, no other one has.
    pub(super) fn emptiest(&self, taken: &[Endpoint], storage: StorageMode) -> Option<Endpoint> {
        let free = self.replicas.iter().filter(|(at, _)| !taken.contains(at));
        let least = free.min_by_key(|(at, share)| (self.weight(at, storage), self.whole(at), share.count, *at));
        least.map(|(at, _)| at.clone())
    }

    /// Of some tablets, the one with the most bytes; of equals the one with the most replicas, then the last by name.
    pub(super) fn fullest<'a>(
        &self,
        among: impl IntoIterator<Item = &'a Endpoint>,
        storage: StorageMode,
    ) -> Option<&'a Endpoint> {
        among.into_iter().max_by_key(|at| (self.weight(at, storage), self.replicas(at), *at))
    }

    /// Of some tablets, the one that leads the least.
    pub(super) fn leads_least<'a>(&self, among: impl IntoIterator<Item = &'a Endpoint>) -> Option<&'a Endpoint> {
        among.into_iter().min_by_key(|at| (self.leaders(at), *at))
    }
}
