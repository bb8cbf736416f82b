//! Tablets that restart while a run works on them: what they held is gone, and what was known of their disks may be.

use std::collections::BTreeMap;

use crate::model::{Endpoint, Held, Op, PartitionId, Seen, State};
use crate::recovery::Load;

use super::driver::Driver;
use super::event::Event;
use super::partition_task::{PartitionTask, Sequence};
use super::polling::states;

/// Restarts of a tablet that a run makes up for where it was done already. One that restarts on and on may be killed by
/// what it is told to load.
const RESTARTS: u32 = 2;

impl Driver {
    /// Recognises a restarted tablet: it did not answer, and now that it does it holds nothing of what it held before; or
    /// several loaded replicas have gone at once. Loads may fail at once, too, and what an operation may have dropped proves
    /// nothing.
    /// What the run had brought back there is begun again.
    pub(super) fn note_restart(
        &mut self,
        began: Sequence,
        endpoint: &Endpoint,
        held: &Seen<BTreeMap<PartitionId, Held>>,
    ) {
        let Seen::Known(held) = held else {
            self.silent.insert(endpoint.clone());
            return;
        };
        let was_silent = self.silent.remove(endpoint);
        if was_silent {
            self.forget_disk(endpoint);
        }
        if self.held_before.get(endpoint).is_some_and(|before| is_as_before(before, held)) {
            return;
        }
        let before = self.held_before.insert(endpoint.clone(), states(held)).unwrap_or_default();
        // Asked only of a tablet that holds nothing of what it held: every look would cost as much as there are replicas.
        let is_restarted = before.keys().all(|id| !held.contains_key(id)) && {
            let mut gone_by_itself = before.iter().filter(|(id, _)| !self.may_have_been_dropped(**id, endpoint));
            let loaded = gone_by_itself.clone().filter(|(_, state)| state.is_loaded()).count();
            loaded > 1 || was_silent && gone_by_itself.next().is_some()
        };
        if held.is_empty() && !is_restarted {
            self.doubt_loads(began, endpoint);
        }
        let was_loading = before.values().any(|state| !state.is_loaded()) || self.is_loading(endpoint);
        if is_restarted && was_loading {
            self.dies_again(endpoint);
        }
        if is_restarted {
            self.forget_disk(endpoint);
            let text = format!("tablet {endpoint} has been restarted");
            self.settings.record.note(&text);
            (self.settings.listener)(&Event::Note { text });
            let restarts = self.restarts.entry(endpoint.clone()).or_insert(0);
            *restarts += 1;
            let again = *restarts <= RESTARTS;
            for id in self.placed.get(endpoint).cloned().unwrap_or_default() {
                let Some(task) = self.partitions.get_mut(&id) else { continue };
                task.memory.replica_mut(endpoint).note_restart();
                // A later run sees only that the tablet holds something again, and takes it for the same process.
                self.settings.record.remember(id, &task.memory);
                if again {
                    self.reopen(id);
                }
            }
        }
    }

    /// Whether something of ours is being loaded there.
    fn is_loading(&self, endpoint: &Endpoint) -> bool {
        let loads = |task: &PartitionTask| {
            let load = task.memory.replicas.get(endpoint).map(|replica| &replica.load);
            task.is_open() && matches!(load, Some(Load::Accepted | Load::Seen))
        };
        let placed = self.placed.get(endpoint).into_iter().flatten();
        placed.filter_map(|id| self.partitions.get(id)).any(loads)
    }

    /// It may have come back with another disk, whether it held anything before or not: what was asked, and what it refused.
    fn forget_disk(&mut self, endpoint: &Endpoint) {
        if let Some(tablet) = self.snapshot.tablets.get_mut(endpoint) {
            tablet.probes.values_mut().for_each(|probes| probes.directory = Seen::Unasked);
        }
        for id in self.placed.get(endpoint).into_iter().flatten() {
            if let Some(task) = self.partitions.get_mut(id) {
                task.memory.replica_mut(endpoint).forget_refusal();
            }
        }
    }

    /// Several loads of a tablet that holds nothing at all may have failed, or it may have been restarted so quickly that nobody
    /// noticed: then what they were to load is still there.
    fn doubt_loads(&mut self, began: Sequence, endpoint: &Endpoint) {
        let is_gone = |task: &PartitionTask| {
            let load = &task.memory.replica(endpoint).load;
            task.is_open() && task.tablet_acted < began && matches!(load, Load::Accepted | Load::Seen)
        };
        let placed = self.placed.get(endpoint).into_iter().flatten();
        let gone: Vec<PartitionId> =
            placed.copied().filter(|id| self.partitions.get(id).is_some_and(is_gone)).collect();
        for id in gone.iter().filter(|_| gone.len() > 1) {
            if let Some(task) = self.partitions.get_mut(id) {
                task.memory.replica_mut(endpoint).load = Load::Interrupted;
            }
        }
    }

    /// Whether a replica that is gone may have been dropped: by a RecoverTable of ours that resends it, or by an operation
    /// that replaces one of its partition.
    fn may_have_been_dropped(&self, id: PartitionId, endpoint: &Endpoint) -> bool {
        let replica = self.partitions.get(&id).and_then(|task| task.memory.replicas.get(endpoint));
        let handed_over = replica.is_some_and(|replica| replica.load == Load::HandedOver);
        let Some((table, _)) = self.index.find(&self.snapshot.tables, id) else { return true };
        handed_over || self.index.ops(&table.name, id.pid).any(Op::replaces)
    }
}

/// Whether a tablet holds what it held, all of it as it was: as most looks show.
fn is_as_before(before: &BTreeMap<PartitionId, State>, held: &BTreeMap<PartitionId, Held>) -> bool {
    let now = held.iter().map(|(id, held)| (id, &held.state));
    !before.is_empty() && before.len() == held.len() && before.iter().eq(now)
}
