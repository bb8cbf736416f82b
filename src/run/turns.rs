//! Whose turn it is: what comes first among partitions is waited for, and by none of them for longer than the playbook says.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Endpoint, PartitionId};
use crate::recovery::{Ahead, Gates, Next, WaitFor};

use super::driver::Driver;
use super::looks;

/// How often turns that have taken long enough are looked for, on the cluster's clock.
const TURNS: Duration = Duration::from_secs(1);

impl Driver {
    /// What other partitions allow this one.
    pub(super) fn gates(&self, id: PartitionId) -> Gates {
        let gates = self.order.gates(id);
        match gates.comes_first {
            Some(Ahead::BaseTable) => Gates { base_is_registered: self.base_is_registered(id), ..gates },
            _ => gates,
        }
    }

    /// Whether every tablet that may be told to load a pre-aggregate table's partition has its base table's registered.
    fn base_is_registered(&self, id: PartitionId) -> bool {
        let Some(tid) = self.index.find(&self.snapshot.tables, id).and_then(|(table, _)| table.base_table) else {
            return true;
        };
        let base = PartitionId { tid, pid: id.pid };
        let placed = |at: &Endpoint| self.placed.get(at).is_some_and(|placed| placed.contains(&base));
        let lacks = |at: &Endpoint| {
            let held = self.snapshot.tablets.get(at).and_then(|tablet| tablet.held.known());
            held.is_some_and(|held| !held.contains_key(&id) && !held.contains_key(&base))
        };
        self.cases.get(&id).is_none_or(|case| !case.endpoints.iter().any(|at| placed(at) && lacks(at)))
    }

    /// Nobody waits for others for longer than the playbook says: those who have are looked at and decided on again.
    pub(super) fn end_turns(&mut self) {
        if Instant::now() < self.next_turn {
            return;
        }
        let pace = self.settings.pace;
        self.next_turn = Instant::now() + TURNS.div_f64(pace);
        let base = WaitFor::Turn(Ahead::BaseTable);
        let is_over = |id: &PartitionId| {
            let Some(case) = self.cases.get(id) else { return false };
            let waits_for_base = || case.waiting.as_ref() == Some(&base) && case.memory.has_expired(&base);
            case.turn_is_over(pace) || waits_for_base() && self.base_is_registered(*id)
        };
        let over: Vec<PartitionId> = self.turns.iter().copied().filter(is_over).collect();
        self.look_again(over);
    }

    /// Nobody has to wait for the partition any more: those whose turn has come are looked at and decided on again.
    pub(super) fn settle(&mut self, id: PartitionId) {
        let next: Vec<PartitionId> = match self.order.settle(id) {
            Next::Nobody => return,
            Next::These(ids) => ids.into_iter().filter(|id| self.turns.contains(id)).collect(),
            Next::Everybody => self.turns.iter().copied().collect(),
        };
        self.look_again(next);
    }

    /// What was seen of them may be old: they may have waited for long.
    pub(super) fn look_again(&mut self, ids: Vec<PartitionId>) {
        if ids.is_empty() {
            return;
        }
        self.now += 1;
        for id in ids {
            if let Some(case) = self.cases.get_mut(&id) {
                case.outdate(self.now);
                // A disk may have been mounted, and what is not there is replaced.
                for endpoint in &case.endpoints {
                    let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
                    probes.into_iter().for_each(looks::ask_again_for_what_is_missing);
                }
            }
            self.stirred.insert(id);
        }
        self.next_look = self.next_look.min(Instant::now());
    }
}
