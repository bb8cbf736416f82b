//! What comes before what among partitions: system tables first, pre-aggregate tables before their base tables, serving
//! everywhere before redundancy anywhere.

use std::collections::BTreeMap;

use openmldb_model::{PartitionId, Tid};

use super::decision::Ahead;
use super::gates::Gates;

/// How far a partition in scope is, as others care about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It does not serve yet.
    Coming,
    /// It does not serve, and waits for a server that does not answer, or a replica that does not show: only those wait for it that it
    /// aggregates, or that aggregate it.
    Aside,
    /// It serves, is healthy, or is blocked: nobody has to wait for it.
    Settled,
}

/// What order needs to know of a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Whether it belongs to a table that OpenMLDB itself needs.
    pub system: bool,
    /// The table it aggregates.
    pub base_table: Option<Tid>,
    /// How far it is.
    pub stage: Stage,
}

/// Where every partition in scope stands, and so what each is allowed. Kept up to date as partitions settle, since asking
/// all of them every time would cost a big cluster dear.
#[derive(Debug, Clone)]
pub struct Order {
    places: BTreeMap<PartitionId, Place>,
    coming: usize,
    system_coming: usize,
    /// The partitions of pre-aggregate tables by their base table's.
    after: BTreeMap<PartitionId, Vec<PartitionId>>,
}

/// Whose turn may have come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// Nobody's.
    Nobody,
    /// Theirs.
    These(Vec<PartitionId>),
    /// Anybody's.
    Everybody,
}

impl Order {
    /// The partitions in scope.
    pub fn of(places: BTreeMap<PartitionId, Place>) -> Self {
        let coming = |place: &&Place| place.stage == Stage::Coming;
        let system_coming = places.values().filter(coming).filter(|place| place.system).count();
        let mut after: BTreeMap<PartitionId, Vec<PartitionId>> = BTreeMap::new();
        for (id, place) in &places {
            if let Some(tid) = place.base_table {
                after.entry(PartitionId { tid, pid: id.pid }).or_default().push(*id);
            }
        }
        Self { coming: places.values().filter(coming).count(), system_coming, after, places }
    }

    /// Notes that nobody has to wait for a partition any more. Says whom that may concern.
    pub fn settle(&mut self, id: PartitionId) -> Next {
        let before = self.places.get(&id).map(|place| place.stage);
        if before.is_none_or(|stage| stage == Stage::Settled) {
            return Next::Nobody;
        }
        if self.leaves(id, Stage::Settled) {
            return Next::Everybody;
        }
        let related: Vec<PartitionId> = self.related(id).collect();
        if related.is_empty() { Next::Nobody } else { Next::These(related) }
    }

    /// Notes that a partition waits for what may never come: which comes first is a preference, and nobody else has to wait for that.
    /// Says whom that may concern.
    pub fn step_aside(&mut self, id: PartitionId) -> Next {
        let is_coming = self.places.get(&id).is_some_and(|place| place.stage == Stage::Coming);
        if is_coming && self.leaves(id, Stage::Aside) { Next::Everybody } else { Next::Nobody }
    }

    /// Whether it was the last one that all others, or all that are not system tables, wait for.
    fn leaves(&mut self, id: PartitionId, stage: Stage) -> bool {
        let Some(place) = self.places.get_mut(&id) else { return false };
        let was_coming = std::mem::replace(&mut place.stage, stage) == Stage::Coming;
        let is_system = place.system;
        if was_coming {
            self.coming -= 1;
            self.system_coming -= usize::from(is_system);
        }
        was_coming && (self.coming == 0 || (is_system && self.system_coming == 0))
    }

    /// What a partition is allowed, as far as nobody knows better of those that it waits for.
    pub fn gates(&self, id: PartitionId) -> Gates {
        let Some(place) = self.places.get(&id) else { return Gates::OPEN };
        let is_coming = |id: &PartitionId| self.places.get(id).is_some_and(|place| place.stage != Stage::Settled);
        let base = place.base_table.map(|tid| PartitionId { tid, pid: id.pid });
        let is_aggregated = !self.aggregates_of(id).iter().any(is_coming);
        let comes_first = match (place.system || self.system_coming == 0, is_aggregated) {
            (false, _) => Some(Ahead::SystemTables),
            (true, false) => Some(Ahead::Aggregates),
            (true, true) => None,
        };
        let base_is_chosen = !base.as_ref().is_some_and(is_coming);
        Gates { comes_first, base_is_chosen, is_aggregated, may_recover_followers: self.coming == 0 }
    }

    /// The partitions in scope that aggregate this one.
    pub fn aggregates_of(&self, id: PartitionId) -> &[PartitionId] {
        self.after.get(&id).map_or(&[], Vec::as_slice)
    }

    /// The partitions that this one aggregates or that aggregate it: what becomes of one may give the other its turn.
    pub fn related(&self, id: PartitionId) -> impl Iterator<Item = PartitionId> {
        let base = self.places.get(&id).and_then(|place| place.base_table);
        let base = base.map(|tid| PartitionId { tid, pid: id.pid });
        base.into_iter().chain(self.aggregates_of(id).iter().copied())
    }
}
