//! The lists ops wait in. Only the head of each runs (docs/openmldb/operations.md#lanes).

use std::collections::VecDeque;

use super::op::Op;

/// Eight lists for ordinary ops and two for replica clusters; a concurrency of 0 reaches all of them.
pub(super) const LANES: usize = 10;

/// Every op of the leading nameserver.
#[derive(Debug, Clone, Default)]
pub(super) struct Lanes {
    lists: [VecDeque<Op>; LANES],
    finished: VecDeque<Op>,
}

/// The lane of a partition's ops: pid modulo the concurrency asked for.
pub(super) fn lane_of(pid: u32, concurrency: u32) -> usize {
    let lanes = if (1..10).contains(&concurrency) { concurrency } else { 10 };
    usize::try_from(pid % lanes).unwrap_or(0)
}

impl Lanes {
    pub(super) fn push(&mut self, op: Op) {
        if let Some(list) = self.lists.get_mut(op.record.lane) {
            list.push_back(op);
        }
    }

    /// Puts a child right behind its parent; drops it if the parent is gone.
    pub(super) fn insert_behind(&mut self, parent: u64, op: Op) {
        if let Some(list) = self.lists.get_mut(op.record.lane)
            && let Some(at) = list.iter().position(|other| other.record.id == parent)
        {
            list.insert(at + 1, op);
        }
    }

    pub(super) fn head(&self, lane: usize) -> Option<&Op> {
        self.lists.get(lane)?.front()
    }

    pub(super) fn head_mut(&mut self, lane: usize) -> Option<&mut Op> {
        self.lists.get_mut(lane)?.front_mut()
    }

    pub(super) fn heads_mut(&mut self) -> impl Iterator<Item = &mut Op> {
        self.lists.iter_mut().filter_map(VecDeque::front_mut)
    }

    pub(super) fn find_queued_mut(&mut self, op_id: u64) -> Option<&mut Op> {
        self.lists.iter_mut().flatten().find(|op| op.record.id == op_id)
    }

    pub(super) fn is_idle(&self) -> bool {
        self.lists.iter().all(VecDeque::is_empty)
    }

    /// Takes the head off a lane.
    pub(super) fn pop(&mut self, lane: usize) -> Option<Op> {
        self.lists.get_mut(lane)?.pop_front()
    }

    /// Remembers a finished op.
    pub(super) fn finish(&mut self, op: Op) {
        self.finished.push_back(op);
    }

    /// Forgets ops, and gives their numbers.
    pub(super) fn delete(&mut self, is_meant: impl Fn(&Op) -> bool) -> Vec<u64> {
        let mut deleted = Vec::new();
        for list in self.lists.iter_mut().chain([&mut self.finished]) {
            deleted.extend(list.iter().filter(|op| is_meant(op)).map(|op| op.record.id));
            list.retain(|op| !is_meant(op));
        }
        deleted
    }

    /// Forgets the oldest finished ops beyond `max_op_num`.
    pub(super) fn trim(&mut self, max_op_num: usize) {
        let surplus = self.finished.len().saturating_sub(max_op_num);
        self.finished.drain(..surplus);
    }

    /// Every op, finished ones first.
    pub(super) fn all(&self) -> impl Iterator<Item = &Op> {
        self.finished.iter().chain(self.lists.iter().flatten())
    }

    /// Sorts what waits as a nameserver does that takes ops over.
    pub(super) fn sort_for_resumption(&mut self) {
        for list in &mut self.lists {
            list.make_contiguous().sort_by_key(|op| op.record.resume_order());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_lanes_by_default_and_ten_for_odd_concurrencies() {
        assert_eq!([0, 1, 2, 3].map(|pid| lane_of(pid, 2)), [0, 1, 0, 1]);
        assert_eq!(lane_of(7, 1), 0);
        assert_eq!(lane_of(17, 8), 1);
        assert_eq!(lane_of(17, 0), 7);
        assert_eq!(lane_of(17, 10), 7);
    }
}
