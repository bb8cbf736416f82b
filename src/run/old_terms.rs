//! Which partitions have their history of terms from a backup: elections since may be missing in it, and nobody else tells. It stays in
//! ZooKeeper until each was seen whole, for whichever host recovers them.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use crate::model::{PartitionId, Snapshot};

/// Most partitions that are named: a node in ZooKeeper holds 1 MB. Where there are more it means all.
const MOST_NAMED: usize = 20_000;

/// Partitions whose history of terms is from a backup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OldTerms {
    /// From which.
    pub from: String,
    /// Which partitions; none: all there are.
    pub partitions: Option<BTreeSet<PartitionId>>,
}

impl OldTerms {
    /// All that a backup has.
    pub fn of_all(from: &str) -> Self {
        Self { from: from.to_owned(), partitions: None }
    }

    /// One more.
    pub fn with(before: Option<Self>, from: &str, id: PartitionId) -> Self {
        let mut partitions = match before {
            Some(Self { partitions: None, from }) => return Self { from, partitions: None },
            Some(Self { partitions: Some(partitions), .. }) => partitions,
            None => BTreeSet::new(),
        };
        partitions.insert(id);
        Self { from: from.to_owned(), partitions: Some(partitions).filter(|named| named.len() <= MOST_NAMED) }
    }

    /// Whether a partition is one of them.
    pub fn concern(&self, id: PartitionId) -> bool {
        self.partitions.as_ref().is_none_or(|partitions| partitions.contains(&id))
    }

    /// What is left of them once these were seen whole; none if nothing is.
    pub(super) fn without(self, whole: &BTreeSet<PartitionId>, seen: &Snapshot) -> Option<Self> {
        let of_table = |table: &crate::model::Table| {
            let tid = table.tid;
            table.partitions.iter().map(move |partition| PartitionId { tid, pid: partition.pid }).collect::<Vec<_>>()
        };
        let there = seen.tables.iter().flat_map(of_table).filter(|id| self.concern(*id));
        let left: BTreeSet<PartitionId> = there.filter(|id| !whole.contains(id)).collect();
        if left.is_empty() {
            return None;
        }
        Some(Self { partitions: Some(left).filter(|left| left.len() <= MOST_NAMED), ..self })
    }

    /// What somebody wrote; what cannot be understood means all.
    pub(super) fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self::of_all("an unknown backup"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, Tid};

    fn id(tid: u32, pid: u32) -> PartitionId {
        PartitionId { tid: Tid(tid), pid: Pid(pid) }
    }

    #[test]
    fn partitions_are_named_one_by_one_and_all_stay_all() {
        let one = OldTerms::with(None, "a", id(7, 0));
        let two = OldTerms::with(Some(one.clone()), "b", id(7, 1));
        assert_eq!((one.concern(id(7, 1)), two.concern(id(7, 0)), two.concern(id(7, 1))), (false, true, true));
        let all = OldTerms::with(Some(OldTerms::of_all("a")), "b", id(7, 1));
        assert!(all.concern(id(9, 9)));
        assert!(OldTerms::read("?").concern(id(9, 9)), "for all that is known");
    }
}
