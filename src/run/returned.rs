//! Blocked is a state of the moment: a partition that was left alone for something that is not so any more is decided again.
//! A tablet that comes back is looked at as closely as at a run's start, before anything of it is loaded: what its disk shows cannot
//! be seen afterwards.

use std::collections::BTreeMap;

use crate::model::{Endpoint, Held, Op, Partition, PartitionId, Probes, Seen, Table, TabletState};
use crate::recovery::Reason;
use crate::snapshot;

use super::driver::{Driver, Report};
use super::event::Event;
use super::index::Index;
use super::partition_task::{PartitionTask, Sequence};

/// How often what was tried in vain is tried again because a tablet has come back. One that goes away on and on may be brought
/// down by what it is asked to do.
const RETURNS: u32 = 5;

/// What a tablet that has come back holds, and what its disk shows.
pub(super) type Evidence = (Seen<BTreeMap<PartitionId, Held>>, BTreeMap<PartitionId, Probes>);

impl Driver {
    /// A tablet has answered, or has not.
    pub(super) fn note_tablet(
        &mut self,
        began: Sequence,
        endpoint: &Endpoint,
        held: Seen<BTreeMap<PartitionId, Held>>,
    ) {
        self.looking_at.remove(endpoint);
        if held.known().is_some() {
            self.unanswered.remove(endpoint);
        }
        match self.is_back(endpoint, &held) {
            true => self.look_at_returned(endpoint.clone()),
            false => self.note_answer(began, endpoint, held),
        }
    }

    /// Whether a tablet that was away answers.
    pub(super) fn is_back(&self, endpoint: &Endpoint, held: &Seen<BTreeMap<PartitionId, Held>>) -> bool {
        let was_away = |tablet: &crate::model::Tablet| tablet.held.known().is_none();
        held.known().is_some() && self.snapshot.tablets.get(endpoint).is_some_and(was_away)
    }

    /// Until it has been looked at closely it counts as away.
    pub(super) fn look_at_returned(&mut self, endpoint: Endpoint) {
        self.now += 1;
        let began = self.now;
        let driven = |id: &&PartitionId| self.partitions.get(id).is_some_and(|task| !task.healthy_before);
        let placed = self.placed.get(&endpoint).into_iter().flatten().filter(driven);
        let storage = |id: &PartitionId| Some((*id, self.index.find(&self.snapshot.tables, *id)?.0.storage));
        let replicas = placed.filter_map(storage).collect();
        self.looking_at.insert(endpoint.clone());
        let cluster = self.cluster.clone();
        self.tasks.spawn(async move {
            let evidence = snapshot::look_for_evidence(&cluster, &endpoint, replicas).await;
            Report::Returned(began, endpoint, Box::new(evidence))
        });
    }

    pub(super) fn note_returned(&mut self, began: Sequence, endpoint: &Endpoint, (held, probes): Evidence) {
        self.looking_at.remove(endpoint);
        if held.known().is_none() {
            return self.note_answer(began, endpoint, held);
        }
        let returns = self.returns.entry(endpoint.clone()).or_insert(0);
        *returns += 1;
        let again = *returns <= RETURNS;
        // It may have been restarted a moment ago, until the nameserver says for how long it has been there.
        if let Some(tablet) = self.snapshot.tablets.get_mut(endpoint) {
            tablet.unchanged_ms = tablet.unchanged_ms.and(Some(0));
        }
        for (id, asked) in probes {
            let Some(task) = self.partitions.get_mut(&id) else { continue };
            if held.known().is_none_or(|held| !held.contains_key(&id)) {
                let replica = task.memory.replica_mut(endpoint);
                replica.note_evidence(asked.manifest.known(), asked.term_pair.known());
            }
            if again {
                task.memory.note_return(endpoint);
            }
            self.settings.record.remember(id, &task.memory);
            if let Some(tablet) = self.snapshot.tablets.get_mut(endpoint) {
                tablet.probes.insert(id, asked);
            }
        }
        let placed = self.placed.get(endpoint).cloned().unwrap_or_default();
        let blocked = |driver: &Self| placed.iter().filter(|id| driver.is_blocked(**id)).count();
        let before = blocked(self);
        self.note_answer(began, endpoint, held);
        if again {
            self.take_up(placed.clone());
        }
        let text = match before.saturating_sub(blocked(self)) {
            0 => format!("tablet {endpoint} answers again"),
            1 => format!("tablet {endpoint} answers again: 1 partition is resumed"),
            more => format!("tablet {endpoint} answers again: {more} partitions are resumed"),
        };
        self.settings.record.note(&text);
        (self.settings.listener)(&Event::Note { text });
    }

    /// Decides again on those of them that are blocked.
    pub(super) fn take_up(&mut self, ids: Vec<PartitionId>) {
        let blocked: Vec<PartitionId> = ids.into_iter().filter(|id| self.is_blocked(*id)).collect();
        if !blocked.is_empty() {
            self.now += 1;
        }
        for id in blocked {
            self.reopen(id);
        }
    }

    fn is_blocked(&self, id: PartitionId) -> bool {
        self.partitions.get(&id).is_some_and(|task| task.blocked().is_some())
    }

    /// The nameserver thinks otherwise of a tablet than it did: a partition that is down, or waits for its tablet to be healthy, may
    /// be allowed more now.
    pub(super) fn note_opinion(&mut self, endpoint: &Endpoint, state: TabletState) {
        let placed = self.placed.get(endpoint).cloned().unwrap_or_default();
        let mut concerned = Vec::new();
        for id in placed {
            let Some(task) = self.partitions.get_mut(&id).filter(|task| !task.healthy_before) else { continue };
            if state == TabletState::Healthy {
                task.memory.note_registered(endpoint);
            }
            if state == TabletState::Healthy || !task.serves {
                concerned.push(id);
            }
        }
        self.take_up(concerned);
    }

    /// Blocked partitions whose flags, terms or operations under way are not what they were.
    pub(super) fn changed_meanwhile(&self, tables: &[Table], now: &Index) -> Vec<PartitionId> {
        let blocked = self.partitions.iter().filter(|(_, task)| task.blocked().is_some()).map(|(id, _)| *id);
        let is_changed = |id: &PartitionId| {
            let before = self.index.find(&self.snapshot.tables, *id);
            let after = now.find(tables, *id);
            match (before, after) {
                (Some((table, before)), Some((_, after))) => {
                    let ops = |index: &Index| under_way(index.ops(&table.name, id.pid));
                    !is_alike(before, after) || ops(&self.index) != ops(now)
                }
                (before, after) => before.is_some() != after.is_some(),
            }
        };
        blocked.filter(is_changed).collect()
    }
}

fn under_way<'a>(ops: impl Iterator<Item = &'a Op>) -> Vec<crate::model::OpId> {
    ops.filter(|op| op.status.is_in_flight()).map(|op| op.id).collect()
}

/// Offsets aside: while clients write they never stand still.
fn is_alike(before: &Partition, after: &Partition) -> bool {
    let flags = |partition: &Partition| {
        let replicas = partition.replicas.iter();
        replicas.map(|replica| (replica.endpoint.clone(), replica.is_leader, replica.is_alive)).collect::<Vec<_>>()
    };
    before.terms.len() == after.terms.len() && flags(before) == flags(after)
}

impl PartitionTask {
    /// Whether a blocked partition has to be decided again for how one of its replicas is seen now: one that came, went, was loaded,
    /// or, where that is what it was left alone for, has caught up further.
    pub(super) fn is_concerned_by(&self, before: Option<&Held>, now: Option<&Held>) -> bool {
        let Some(why) = self.blocked() else { return false };
        let shape = |held: Option<&Held>| held.map(|held| (held.role, held.state));
        let offset = |held: Option<&Held>| held.map(|held| held.offset);
        shape(before) != shape(now) || why.reason == Reason::NotCatchingUp && offset(before) != offset(now)
    }
}
