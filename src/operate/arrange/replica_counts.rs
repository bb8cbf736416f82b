//! How many replicas and leaders each tablet has, now and while an arrangement is being made.

use std::collections::BTreeMap;

use crate::model::{Endpoint, Snapshot, Table};

/// Replicas and leaders by tablet. Only tablets that may be given something are in it.
#[derive(Debug, Clone, Default)]
pub(super) struct ReplicaCounts {
    replicas: BTreeMap<Endpoint, usize>,
    leaders: BTreeMap<Endpoint, usize>,
}

impl ReplicaCounts {
    /// Of every table that counts, on the healthy tablets but for some.
    pub(super) fn of(seen: &Snapshot, but: &[Endpoint], counts: impl Fn(&Table) -> bool) -> Self {
        let given = seen.tablets.keys().filter(|at| seen.hears_from(at) && !but.contains(at));
        let blank: BTreeMap<Endpoint, usize> = given.map(|at| (at.clone(), 0)).collect();
        let mut replica_counts = Self { replicas: blank.clone(), leaders: blank };
        for partition in seen.tables.iter().filter(|table| counts(table)).flat_map(|table| &table.partitions) {
            partition.replicas.iter().for_each(|replica| replica_counts.replica(&replica.endpoint, 1));
            partition.leader().into_iter().for_each(|at| replica_counts.leader(at, 1));
        }
        replica_counts
    }

    /// The tablets.
    pub(super) fn tablets(&self) -> Vec<Endpoint> {
        self.replicas.keys().cloned().collect()
    }

    /// How many replicas a tablet has.
    pub(super) fn replicas(&self, at: &Endpoint) -> usize {
        self.replicas.get(at).copied().unwrap_or(0)
    }

    /// How many leaders a tablet has.
    pub(super) fn leaders(&self, at: &Endpoint) -> usize {
        self.leaders.get(at).copied().unwrap_or(0)
    }

    /// One more replica, or one less.
    pub(super) fn replica(&mut self, at: &Endpoint, by: isize) {
        self.replicas.entry(at.clone()).and_modify(|count| *count = count.saturating_add_signed(by));
    }

    /// One more leader, or one less.
    pub(super) fn leader(&mut self, at: &Endpoint, by: isize) {
        self.leaders.entry(at.clone()).and_modify(|count| *count = count.saturating_add_signed(by));
    }

    /// The tablet with the fewest replicas that has none of `taken`; the first by name among equals.
    pub(super) fn emptiest(&self, taken: &[Endpoint]) -> Option<Endpoint> {
        let free = self.replicas.iter().filter(|(at, _)| !taken.contains(at));
        free.min_by_key(|(at, count)| (**count, *at)).map(|(at, _)| at.clone())
    }

    /// Of some tablets, the one that leads the least.
    pub(super) fn leads_least<'a>(&self, among: impl IntoIterator<Item = &'a Endpoint>) -> Option<&'a Endpoint> {
        among.into_iter().min_by_key(|at| (self.leaders(at), *at))
    }
}
