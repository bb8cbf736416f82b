//! Everything known before anything is done: what was seen, what unfinished runs left, and the plan.

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::CallError;
use crate::model::{Endpoint, PartitionId, Snapshot, State};
use crate::playbook::{DEFAULT, Playbook, PlaybookError, alternatives};
use crate::recovery::{
    Before, Forecast, LeaderPlan, Loss, Memory, PartitionPlan, Plan, ProcessContinuity, Replaceable, RowsSeen, View,
    forecast, plan,
};

use super::cluster_steps::stands_in_for_lost;
use super::comparing::ToCompare;
use super::error::RecoverError;
use super::hold::{HeldFor, held_as_found, standing};
use super::kept::{Consent, KeptPlan, PlanId, Refusal};
use super::known_runs::owed;
use super::lock::Note;
use super::missing::missing_tablets;
use super::names::meant;
use super::record::UnfinishedWork;
use super::remote::detached;
use super::resume_snapshots::is_worked_on;
use super::scope::Scope;

/// The playbook that brings followers back without the nameserver's operations.
const FAST: &str = "fast";

/// Everything known before anything is done.
#[derive(Debug)]
pub struct Prepared {
    /// The cluster as it was found.
    pub snapshot: Snapshot,
    /// What would be done.
    pub plan: Plan,
    /// What unfinished runs left.
    pub left: UnfinishedWork,
    /// What an unfinished run told in ZooKeeper.
    pub note: Option<Note>,
    pub(super) memories: BTreeMap<PartitionId, Memory>,
    /// The playbook has others stand in for tablets that are lost.
    pub(super) stands_in_for_lost: bool,
    /// The tablets that a run stays open for.
    pub(super) missing: BTreeSet<Endpoint>,
    /// The plan that was accepted, if any was.
    pub(super) consented: Option<PlanId>,
    /// The replicas for which earlier runs keep auto_failover off, or would have to.
    pub(super) stands: Vec<HeldFor>,
    /// Those of them, in partitions out of scope, that somebody has said are gone.
    pub(super) released: BTreeSet<(PartitionId, Endpoint)>,
    /// Leaders that serve do not replicate to another cluster that follows this one.
    pub(super) has_detached: bool,
}

/// Plans for a snapshot, live or from a file.
///
/// # Errors
/// Who was seen is no cluster, something asked for does not exist, or there are no tablets.
pub fn prepare_plan(
    snapshot: Snapshot,
    playbook: &Playbook,
    scope: &Scope,
    left: UnfinishedWork,
    note: Option<Note>,
) -> Result<Prepared, RecoverError> {
    if !snapshot.identity.is_cluster() {
        return Err(RecoverError::Call(CallError::not_ours(snapshot.identity)));
    }
    if snapshot.tablets.is_empty() {
        return Err(RecoverError::NoTablets);
    }
    scope.check(&snapshot)?;
    let tablets = ProcessContinuity::of(&snapshot, &left.partitions);
    let blind = note.as_ref().is_some_and(|note| !left.known.contains(&note.run));
    let served_early = note.as_ref().is_some_and(|note| note.serves_early);
    let mut memories = BTreeMap::new();
    for table in &snapshot.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if !scope.covers(table, id) {
                continue;
            }
            let earlier = left.partitions.get(&id);
            let before = earlier.map_or(&[][..], |earlier| &earlier.before);
            let mut memory = Memory::at_start(&snapshot, table, partition, before);
            match earlier {
                Some(earlier) => memory.resume_from(&snapshot, table, partition, earlier, &tablets),
                None if blind => memory.resume_without_record(&snapshot, table, partition, served_early),
                None => {}
            }
            // Where this host has a record of the partition, that knows better. The newest one may be of other work.
            let noted = note.iter().filter(|_| blind || earlier.is_none()).flat_map(|note| &note.unseen);
            for unseen in noted.filter(|unseen| unseen.partition == id) {
                let replica = memory.replica_mut(&unseen.endpoint);
                (replica.leader_held, replica.replaceable) = (Some(unseen.leader_held), unseen.replaceable);
            }
            memory.terms_in_doubt = left.old_terms.as_ref().is_some_and(|old| old.concern(id));
            memories.insert(id, memory);
        }
    }
    let plan = plan_with(&snapshot, playbook, scope, &memories);
    let stands_in_for_lost = stands_in_for_lost(playbook, &snapshot);
    let missing = missing_tablets(&snapshot, playbook, &plan).into_keys().collect();
    let stands = standing(&left, note.as_ref(), &snapshot);
    let (consented, released) = (None, BTreeSet::new());
    let has_detached = !detached(&snapshot, scope).is_empty();
    Ok(Prepared {
        snapshot,
        plan,
        left,
        note,
        memories,
        stands_in_for_lost,
        missing,
        consented,
        stands,
        released,
        has_detached,
    })
}

fn plan_with(
    snapshot: &Snapshot,
    playbook: &Playbook,
    scope: &Scope,
    memories: &BTreeMap<PartitionId, Memory>,
) -> Plan {
    let remembered = |id: PartitionId| memories.get(&id).cloned().unwrap_or_default();
    plan(snapshot, playbook, |table, id| scope.covers(table, id), remembered)
}

impl Prepared {
    /// The same where no note would tell another host that leaders serve before their followers were looked at: then they
    /// are looked at first.
    pub(super) fn with_all_loaded_first(mut self, playbook: &Playbook, scope: &Scope) -> Self {
        self.memories.values_mut().for_each(|memory| memory.load_all_first = true);
        self.plan = plan_with(&self.snapshot, playbook, scope, &self.memories);
        self
    }

    /// The replicas whose rows the plan rests on and that nobody has compared.
    pub(super) fn to_compare(&self) -> Vec<ToCompare> {
        let wanting = self.plan.partitions.iter().filter(|planned| !planned.to_compare.is_empty());
        let wanted = wanting.map(|planned| ToCompare {
            partition: planned.partition,
            table: planned.table.clone(),
            replicas: planned.to_compare.clone(),
        });
        wanted.collect()
    }

    /// The same with what comparing them has shown.
    pub(super) fn with_rows(
        mut self,
        seen: BTreeMap<PartitionId, RowsSeen>,
        playbook: &Playbook,
        scope: &Scope,
    ) -> Self {
        for (id, seen) in seen {
            if let Some(memory) = self.memories.get_mut(&id) {
                memory.rows = Some(seen.after(memory.rows.as_ref()));
            }
        }
        self.plan = plan_with(&self.snapshot, playbook, scope, &self.memories);
        self
    }

    /// What this plan, and that of every other playbook that comes with the program, would take. Empty if there is nothing
    /// to do.
    ///
    /// # Errors
    /// None: the playbooks that come with the program can be read.
    pub fn compared(&self, scope: &Scope) -> Result<Vec<Forecast>, PlaybookError> {
        let mut compared = Vec::new();
        if self.plan.counts.total == self.plan.counts.healthy {
            return Ok(compared);
        }
        compared.push(forecast(&self.plan));
        for name in alternatives().filter(|name| *name != self.plan.playbook) {
            let plan = plan_with(&self.snapshot, &Playbook::find(name)?, scope, &self.memories);
            compared.push(forecast(&plan));
        }
        Ok(compared)
    }

    /// What this plan would take, if that is longer than so many milliseconds; and what the playbook `fast` would, if it is much
    /// quicker and leaves no more alone.
    ///
    /// # Errors
    /// None: the playbooks that come with the program can be read.
    pub fn takes_long(&self, ms: u64, scope: &Scope) -> Result<Option<(Forecast, Option<Forecast>)>, PlaybookError> {
        let planned = forecast(&self.plan);
        if planned.redundant_after_ms <= ms {
            return Ok(None);
        }
        if self.plan.playbook != DEFAULT {
            return Ok(Some((planned, None)));
        }
        let fast = forecast(&plan_with(&self.snapshot, &Playbook::find(FAST)?, scope, &self.memories));
        let is_better = fast.redundant_after_ms < planned.redundant_after_ms / 2 && fast.blocked <= planned.blocked;
        Ok(Some((planned, Some(fast).filter(|_| is_better))))
    }

    /// The same where somebody has named the leader of the one partition in scope.
    ///
    /// # Errors
    /// It cannot be named there.
    pub fn led_by(mut self, leader: Option<&Endpoint>, playbook: &Playbook, scope: &Scope) -> Result<Self, Refusal> {
        let Some(endpoint) = leader.cloned() else { return Ok(self) };
        let partitions = self.memories.len();
        let Some((id, memory)) = self.memories.iter_mut().next().filter(|_| partitions == 1) else {
            return Err(Refusal::SeveralPartitions { partitions });
        };
        let tables = self.snapshot.tables.iter().filter(|table| table.tid == id.tid);
        let found = tables.flat_map(|table| table.partitions.iter().map(move |partition| (table, partition)));
        if let Some((table, partition)) = found.into_iter().find(|(_, partition)| partition.pid == id.pid) {
            let view = View::of(&self.snapshot, table, partition, memory);
            let partition = view.name();
            if view.replica(&endpoint).is_none() {
                let replicas = view.replicas.iter().map(|replica| replica.endpoint.clone()).collect();
                return Err(Refusal::NoSuchReplica { endpoint, partition, replicas });
            }
            if let Some(leads) = view.serving_leader().filter(|leads| leads.endpoint != endpoint) {
                return Err(Refusal::LedByAnother { endpoint, partition, leader: leads.endpoint.clone() });
            }
        }
        // What the others would lose is known once they are loaded.
        (memory.named_leader, memory.load_all_first) = (Some(endpoint), true);
        self.plan = plan_with(&self.snapshot, playbook, scope, &self.memories);
        Ok(self)
    }

    /// The same with what somebody has accepted, if it fits what is there. `text` is the playbook's.
    ///
    /// # Errors
    /// It does not fit.
    pub fn consented(
        mut self,
        consent: &Consent,
        playbook: &Playbook,
        text: &str,
        scope: &Scope,
    ) -> Result<Self, Refusal> {
        self.goes_without(consent)?;
        let Some(named) = consent.named() else { return Ok(self) };
        let kept = KeptPlan::of(&self, text, scope);
        let goes_on = self.left.plan.as_ref() == Some(&named);
        let fits = match consent.check(&kept) {
            Ok(()) => true,
            Err(_) if goes_on => false,
            Err(refusal) => return Err(refusal),
        };
        let mut losses: BTreeMap<PartitionId, Vec<Loss>> =
            if goes_on { self.left.accepted.clone() } else { BTreeMap::new() };
        // More may be accepted of the same plan than the time before.
        for planned in kept.partitions.iter().filter(|_| fits) {
            let known = losses.entry(planned.partition).or_default();
            let new: Vec<Loss> = planned.losses.iter().filter(|loss| !known.contains(loss)).cloned().collect();
            known.extend(new);
        }
        for (id, losses) in losses {
            if let Some(memory) = self.memories.get_mut(&id) {
                memory.accepted = losses.into_iter().filter(|loss| consent.covers(loss)).collect();
            }
        }
        self.plan = plan_with(&self.snapshot, playbook, scope, &self.memories);
        for planned in self.plan.partitions.iter().filter(|_| consent.plan.is_some()) {
            if let (LeaderPlan::Chosen(choice), Some(memory)) =
                (&planned.leader, self.memories.get_mut(&planned.partition))
            {
                memory.planned_leader = Some(choice.leader.clone());
            }
        }
        self.consented = Some(named);
        Ok(self)
    }

    /// Tablets that somebody has said are gone for good: auto_failover is not kept off for what is on them.
    fn goes_without(&mut self, consent: &Consent) -> Result<(), Refusal> {
        for endpoint in &consent.without {
            let has_replicas = self.snapshot.tables.iter().any(|table| table.partitions_on(endpoint).next().is_some());
            if !has_replicas {
                let meant = meant(endpoint.as_str(), self.snapshot.tablets.keys().map(Endpoint::as_str));
                let meant = meant.map(Endpoint::from);
                return Err(Refusal::NobodyThere { endpoint: endpoint.clone(), meant });
            }
            let there = self.memories.values_mut().filter_map(|memory| memory.replicas.get_mut(endpoint));
            there.for_each(|replica| replica.replaceable = Some(Replaceable::SaidGone));
            for held in self.stands.iter().filter(|held| held.endpoint == *endpoint) {
                if !self.memories.contains_key(&held.partition) {
                    self.released.insert((held.partition, endpoint.clone()));
                }
            }
            self.stands.retain(|held| held.endpoint != *endpoint);
            self.missing.remove(endpoint);
        }
        Ok(())
    }

    /// The replicas in scope that the nameserver must not replace, where nothing has to be sent.
    pub(super) fn held(&self) -> Vec<HeldFor> {
        let planned = self.plan.partitions.iter();
        let blocked = planned.filter_map(|planned| Some((planned.partition, planned.blocked.as_ref()?))).collect();
        held_as_found(&self.snapshot, &self.memories, &blocked, &self.stands)
    }

    /// The losses that were accepted.
    pub fn accepted(&self) -> BTreeMap<PartitionId, Vec<Loss>> {
        let accepted = self.memories.iter().filter(|(_, memory)| !memory.accepted.is_empty());
        accepted.map(|(id, memory)| (*id, memory.accepted.clone())).collect()
    }

    /// The partitions in scope that are not healthy.
    pub(super) fn unhealthy(&self) -> BTreeSet<PartitionId> {
        self.plan.partitions.iter().map(|planned| planned.partition).collect()
    }

    /// Whether anything has to be done to partitions.
    pub(super) fn needs_doing(&self) -> bool {
        let needs = |planned: &PartitionPlan| !planned.steps.is_empty() || planned.blocked.is_none();
        self.stands_in_for_lost || !self.missing.is_empty() || self.plan.partitions.iter().any(needs)
    }

    /// Whether a run would do something: to a partition that is not left alone, or about what an earlier run has left. One that
    /// would only wait for tablets would not.
    pub fn would_do_something(&self) -> bool {
        let needs = |planned: &PartitionPlan| !planned.steps.is_empty() || planned.blocked.is_none();
        let owes = self.auto_failover_before() != self.snapshot.auto_failover || !self.note_stays();
        self.plan.partitions.iter().any(needs) || owes && self.held().is_empty() || self.has_paused()
    }

    /// Whether nothing has to be done at all.
    pub(super) fn has_nothing_to_do(&self) -> bool {
        let owes_nothing = self.auto_failover_before() == self.snapshot.auto_failover;
        !self.needs_doing() && owes_nothing && self.note_stays() && !self.has_paused() && !self.has_detached
    }

    /// Whether there is no note that has to be put right. One that only says what nobody has looked at stays as long as that is so.
    fn note_stays(&self) -> bool {
        let is_whole = self.plan.counts.total == self.plan.counts.healthy;
        if is_whole && self.memories.values().any(|memory| memory.terms_in_doubt) {
            return false;
        }
        self.note.as_ref().is_none_or(|note| note.tells_of_unseen_alone() && !is_whole)
    }

    /// Whether an operation that is over left something in scope in kSnapshotPaused.
    fn has_paused(&self) -> bool {
        let held = self.snapshot.tablets.values().filter_map(|tablet| tablet.held.known()).flat_map(BTreeMap::values);
        let mut paused = held.filter(|held| held.state == State::SnapshotPaused);
        paused.any(|held| {
            let id = held.partition;
            self.memories.contains_key(&id) && !is_worked_on(&self.snapshot.ops, &self.snapshot, id)
        })
    }

    /// The replicas for which earlier runs keep auto_failover off, or would have to.
    pub fn stands(&self) -> &[HeldFor] {
        &self.stands
    }

    /// auto_failover before anybody's change: an unfinished run may have left it off.
    pub fn auto_failover_before(&self) -> bool {
        self.snapshot.auto_failover || owed(&self.left, self.note.as_ref()) == Some(true)
    }

    /// Flags and offsets of everything in scope, for the record.
    pub(super) fn before(&self) -> Vec<Before> {
        let mut before = Vec::new();
        for table in &self.snapshot.tables {
            for partition in &table.partitions {
                let id = PartitionId { tid: table.tid, pid: partition.pid };
                before.extend(
                    self.memories.get(&id).into_iter().flat_map(|memory| memory.before(id, partition.terms.len())),
                );
            }
        }
        before
    }
}
