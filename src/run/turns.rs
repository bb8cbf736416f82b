//! Whose turn it is: what comes first among partitions is waited for, and by none of them for longer than the playbook says.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Directory, Endpoint, PartitionId, Seen, Table};
use crate::recovery::{Ahead, Data, Gates, Load, Next, ReplicaView, View, WaitFor, awaits_aggregator};

use super::driver::Driver;
use super::partition_task::PartitionTask;
use super::stale;

/// How often those are looked for that wait for what they aggregate, or for what aggregates them.
const RELATED: Duration = Duration::from_millis(100);
/// How often turns that have taken long enough are looked for, on the cluster's clock.
const TURNS: Duration = Duration::from_secs(1);
/// How long others wait for a partition that waits for a server to answer, or for a replica to show, on the cluster's clock.
const SILENCE: Duration = Duration::from_secs(5);

impl Driver {
    /// What other partitions allow this one. How base tables and what aggregates them stand is asked each time: one that served may
    /// be gone again, with a tablet that was restarted.
    pub(super) fn gates(&self, id: PartitionId) -> Gates {
        let by_order = self.order.gates(id);
        let comes_first = match by_order.comes_first {
            Some(Ahead::Aggregates) | None => (!self.aggregates_are_loaded(id)).then_some(Ahead::Aggregates),
            others => others,
        };
        Gates {
            comes_first,
            is_aggregated: !self.order.aggregates_of(id).iter().any(|aggregate| self.is_awaited(*aggregate)),
            base_is_chosen: self.base_of(id).is_none_or(|base| self.is_chosen(base)),
            ..by_order
        }
    }

    /// Whether, on every tablet that may be told to load a base table's partition, those that aggregate it are loaded, or will not be.
    fn aggregates_are_loaded(&self, id: PartitionId) -> bool {
        let Some(task) = self.partitions.get(&id) else { return true };
        let held = |at: &Endpoint| self.snapshot.tablets.get(at).and_then(|tablet| tablet.held.known());
        let lacks = |at: &&Endpoint| held(at).is_some_and(|held| !held.contains_key(&id));
        let lacking: Vec<&Endpoint> = task.endpoints.iter().filter(lacks).collect();
        let is_coming = |aggregate: &PartitionId| {
            let waits_for_it = |task: &PartitionTask| task.waiting == Some(WaitFor::Turn(Ahead::BaseTable));
            let is_open = self.partitions.get(aggregate).is_some_and(|task| task.is_open() && !waits_for_it(task));
            let view = if is_open && !lacking.is_empty() { self.view(*aggregate) } else { None };
            let may_come = |view: &View| lacking.iter().any(|at| view.replica(at).is_some_and(may_be_loaded_yet));
            view.is_some_and(|view| may_come(&view))
        };
        !self.order.aggregates_of(id).iter().any(is_coming)
    }

    /// Whether a pre-aggregate table's partition may still be led, and aggregated into, before its base table's takes rows.
    fn is_awaited(&self, aggregate: PartitionId) -> bool {
        let is_open = self.partitions.get(&aggregate).is_some_and(PartitionTask::is_open);
        is_open && self.view(aggregate).is_some_and(|view| awaits_aggregator(&view))
    }

    fn base_of(&self, id: PartitionId) -> Option<PartitionId> {
        let tid = self.index.find(&self.snapshot.tables, id)?.0.base_table?;
        Some(PartitionId { tid, pid: id.pid })
    }

    /// Whether it is known who leads a partition, or nobody will in this run as far as can be told.
    fn is_chosen(&self, base: PartitionId) -> bool {
        self.partitions.get(&base).is_none_or(|task| !task.is_open() || task.serves || task.memory.choice.is_some())
    }

    /// Who is to lead what a partition aggregates, as long as nobody does.
    pub(super) fn chosen_base_leader(&self, table: &Table, id: PartitionId) -> Option<Endpoint> {
        let base = PartitionId { tid: table.base_table?, pid: id.pid };
        let task = self.partitions.get(&base).filter(|task| task.is_open() && !task.serves)?;
        task.memory.choice.as_ref().map(|choice| choice.leader.clone())
    }

    /// Nobody waits for others for longer than the playbook says: those who have are looked at and decided on again.
    pub(super) fn end_turns(&mut self) {
        let pace = self.settings.pace;
        let (now, is_allowed) = (Instant::now(), |id: &PartitionId| self.is_allowed(*id));
        if now >= self.next_related {
            let over: Vec<PartitionId> = self.turns.iter().copied().filter(is_allowed).collect();
            self.next_related = now + RELATED.div_f64(pace);
            self.look_again(over);
        }
        if now < self.next_turn {
            return;
        }
        self.next_turn = now + TURNS.div_f64(pace);
        let is_over = |id: &PartitionId| self.partitions.get(id).is_some_and(|task| task.turn_is_over(pace));
        let over: Vec<PartitionId> = self.turns.iter().copied().filter(is_over).collect();
        self.look_again(over);
    }

    /// Whether what a partition waits for of those that it aggregates, or that aggregate it, has come.
    fn is_allowed(&self, id: PartitionId) -> bool {
        let waiting = self.partitions.get(&id).and_then(|task| task.waiting.as_ref());
        match waiting {
            Some(WaitFor::Turn(Ahead::BaseTable)) => self.gates(id).base_is_chosen,
            Some(WaitFor::Turn(Ahead::Aggregates)) => {
                let gates = self.gates(id);
                let is_chosen = self.partitions.get(&id).is_some_and(|task| task.memory.choice.is_some());
                if is_chosen { gates.is_aggregated } else { gates.comes_first.is_none() }
            }
            _ => false,
        }
    }

    /// Nobody has to wait for the partition any more: those whose turn has come are looked at and decided on again.
    pub(super) fn settle(&mut self, id: PartitionId) {
        let next = self.order.settle(id);
        self.call(next);
    }

    /// Whoever waits for a server that does not answer, or for a replica that does not show, keeps its place for a moment only: a tablet
    /// that hangs would hold up all others for as long as it is waited for, and so would a damaged replica of a disk table.
    pub(super) fn step_aside_if_silent(&mut self, id: PartitionId) {
        let (pace, partition) = (self.settings.pace, self.partitions.get(&id));
        let is_silent =
            |task: &&PartitionTask| matches!(task.waiting, Some(WaitFor::Answer(_) | WaitFor::Appearing(_)));
        if partition
            .filter(is_silent)
            .and_then(PartitionTask::waited)
            .is_some_and(|(since, _)| since.mul_f64(pace) >= SILENCE)
        {
            let next = self.order.step_aside(id);
            self.call(next);
        }
    }

    /// Those whose turn has come.
    fn call(&mut self, next: Next) {
        let next: Vec<PartitionId> = match next {
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
            if let Some(task) = self.partitions.get_mut(&id) {
                task.outdate(self.now);
                // A disk may have been mounted, and what is not there is replaced.
                for endpoint in &task.endpoints {
                    let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
                    probes.into_iter().for_each(stale::ask_again_for_what_is_missing);
                }
            }
            self.stirred.insert(id);
        }
        self.next_look.by(Instant::now());
    }
}

/// Whether a replica loads, or will be told to: also again, where its tablet had lost its description, or only seemed to have failed.
fn may_be_loaded_yet(replica: &ReplicaView) -> bool {
    match (&replica.data, &replica.memory.load) {
        (Data::Loading(_), _) => true,
        (Data::Loaded(_) | Data::OutOfReach(_), _) => false,
        (Data::Absent, Load::Accepted | Load::Seen | Load::Loaded) => true,
        (Data::Absent, Load::NotSent) => !replica.has_no_directory(),
        (Data::Absent, Load::Refused(_)) => replica.directory.is_unasked() || replica.is_undescribed(),
        (Data::Absent, Load::Vanished) => {
            replica.directory.is_unasked() || replica.directory == Seen::Known(Directory::InPlace)
        }
        (Data::Absent, Load::Interrupted | Load::InDoubt | Load::NeverAppeared | Load::HandedOver) => false,
    }
}

#[cfg(test)]
#[path = "turns_tests.rs"]
mod tests;
