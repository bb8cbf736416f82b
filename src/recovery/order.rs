//! What comes before what among partitions: system tables first, the base of a pre-aggregate table before it, serving
//! everywhere before redundancy anywhere.

use std::collections::BTreeMap;

use crate::model::{PartitionId, Tid};

use super::decide::Gates;

/// How far a partition in scope is, as others care about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stage {
    /// It does not serve yet.
    Coming,
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

/// What every partition in scope is allowed, worked out once per round.
#[derive(Debug)]
pub struct Order<'a> {
    places: &'a BTreeMap<PartitionId, Place>,
    system_settled: bool,
    all_settled: bool,
}

impl<'a> Order<'a> {
    /// Looks at all partitions in scope.
    pub fn of(places: &'a BTreeMap<PartitionId, Place>) -> Self {
        let settled = |place: &Place| place.stage == Stage::Settled;
        Self {
            places,
            system_settled: places.values().filter(|place| place.system).all(settled),
            all_settled: places.values().all(settled),
        }
    }

    /// What one of them is allowed.
    pub fn gates(&self, id: PartitionId) -> Gates {
        let Some(place) = self.places.get(&id) else { return Gates::OPEN };
        let base = place.base_table.and_then(|tid| self.places.get(&PartitionId { tid, pid: id.pid }));
        let base_settled = base.is_none_or(|base| base.stage == Stage::Settled);
        Gates {
            may_load: (place.system || self.system_settled) && base_settled,
            may_recover_followers: self.all_settled,
        }
    }
}
