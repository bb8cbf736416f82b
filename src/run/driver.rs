//! The loop: observe, decide, act, for every partition in scope at once. One owner of all state; calls run beside it and
//! report back. A partition is decided on only from looks that began after its last action had ended.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster, Hold};
use crate::model::{Endpoint, Held, Op, PartitionId, Polled, Probes, Registration, Seen, Snapshot, State, Table};
use crate::playbook::Playbook;
use crate::recovery::{Base, Decision, Gates, Memory, Order, Outcome, Probe, RowsSeen, View, WaitFor, decide};

use super::asking::Asking;
use super::beside::{Beside, Failover};
use super::comparing::{Comparing, ToCompare};
use super::dispatch::Sent;
use super::early_leader_note::EarlyLeaderNote;
use super::ending::milestone;
use super::event::{Event, Listener, Milestone};
use super::hold::HeldFor;
use super::index::Index;
use super::lane::{Lanes, Widths, rank};
use super::lock::LockError;
use super::looks::{NameserverSilence, NextLook, Pauses};
use super::missing::Awaiting;
use super::partition_poll::{PartitionPoll, PollError};
use super::partition_task::{PartitionTask, Sequence, end_of, partitions};
use super::polling;
use super::record::Record;
use super::returned::Evidence;
use super::stale;
use super::waits::Waits;

/// Why a run goes on or stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stop {
    /// Go on.
    No,
    /// A signal, by number.
    Signal(i32),
    /// The run's deadline.
    Deadline,
    /// The record cannot be written any more.
    Unrecorded,
    /// The lock is lost: another run may be at work.
    LockLost,
    /// The nameservers have been gone for too long.
    NoNameserver,
}

/// What a driver needs beside the cluster.
pub struct Settings {
    /// The steps.
    pub playbook: Playbook,
    /// How wide the lanes are.
    pub widths: Widths,
    /// How much faster than ours the cluster's clock runs: 1, except for a sandbox with a scaled clock.
    pub pace: f64,
    /// Hears what happens.
    pub listener: Listener,
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where everything is written down.
    pub record: Record,
    /// Whether the lock is still held.
    pub hold: watch::Receiver<Hold>,
    /// What other hosts are told by.
    pub early_leader_note: EarlyLeaderNote,
    /// How long it stays open for tablets that are away.
    pub awaiting: Awaiting,
}

/// How the driven partitions ended.
#[derive(Debug)]
pub struct Driven {
    /// By partition: blocked ones with their reason, the others healthy.
    pub blocked: BTreeMap<PartitionId, crate::recovery::Blocked>,
    /// The memories at the end: choices and what they gave up among them.
    pub memories: BTreeMap<PartitionId, Memory>,
    /// Milliseconds until every partition that could serve did; none if nothing had to be done.
    pub serving_after: Option<Duration>,
    /// Until every partition that could be was redundant.
    pub redundant_after: Option<Duration>,
    /// The replicas that the nameserver must not replace.
    pub held: Vec<HeldFor>,
    /// Why the run stopped early, if it did.
    pub stopped: Option<Stop>,
}

/// What the nameserver tells: tables, operations, what it thinks of its tablets, and auto_failover if it says.
pub(super) type Metadata = (Vec<Table>, Vec<Op>, Vec<Registration>, Option<bool>);

/// What a task beside the loop brings back.
pub(super) enum Report {
    Tables(Sequence, Result<Metadata, CallError>),
    Tablet(Sequence, Endpoint, Seen<BTreeMap<PartitionId, Held>>),
    Returned(Sequence, Endpoint, Box<Evidence>),
    PartitionPoll(Sequence, PartitionId, Box<Result<PartitionPoll, PollError>>),
    Probed(PartitionId, Probe, Box<Probes>),
    Compared(ToCompare, Box<RowsSeen>),
    Acted(Vec<Sent>, Outcome),
    Told(PartitionId, Result<(), LockError>),
    Beside(Failover),
    Sized(Endpoint, Vec<Polled>),
}

/// The loop's state.
pub struct Driver {
    pub(super) cluster: Cluster,
    pub(super) settings: Settings,
    pub(super) snapshot: Snapshot,
    pub(super) partitions: BTreeMap<PartitionId, PartitionTask>,
    /// Where each partition is in the snapshot; its operations.
    pub(super) index: Index,
    pub(super) order: Order,
    /// Cases still open.
    pub(super) open: usize,
    /// Cases that something happened to since they were last decided on.
    pub(super) stirred: BTreeSet<PartitionId>,
    /// Cases that look for what they wait for, or for what they have done.
    pub(super) watched: BTreeSet<PartitionId>,
    /// Cases that wait for their turn.
    pub(super) turns: BTreeSet<PartitionId>,
    /// Which cases have a replica on a tablet, and how many of them are not healthy yet.
    pub(super) placed: BTreeMap<Endpoint, Vec<PartitionId>>,
    pub(super) watched_at: BTreeMap<Endpoint, usize>,
    pub(super) lanes: Lanes,
    pub(super) asking: Asking,
    pub(super) comparing: Comparing,
    pub(super) beside: Beside,
    pub(super) tasks: JoinSet<Report>,
    pub(super) now: Sequence,
    pub(super) tables_seen: Sequence,
    pub(super) tablets_seen: BTreeMap<Endpoint, Sequence>,
    /// Tablets whose last look failed, and what each held when it last answered.
    pub(super) silent: BTreeSet<Endpoint>,
    pub(super) held_before: BTreeMap<Endpoint, BTreeMap<PartitionId, State>>,
    /// How often a tablet has been restarted, and how often it has come back.
    pub(super) restarts: BTreeMap<Endpoint, u32>,
    pub(super) returns: BTreeMap<Endpoint, u32>,
    /// How often it was restarted while it was loading.
    pub(super) deaths: BTreeMap<Endpoint, u32>,
    /// Looks that failed in a row, and since when.
    pub(super) misses: BTreeMap<Endpoint, (u32, Instant)>,
    pub(super) looking_at_nameserver: bool,
    /// Since when no look at the nameserver has been answered.
    pub(super) nameserver_silence: NameserverSilence,
    pub(super) looking_at: BTreeSet<Endpoint>,
    /// Since when tablets have been asked that have not answered since.
    pub(super) unanswered: BTreeMap<Endpoint, Instant>,
    /// What a close look could not tell: the nameserver and these tablets are looked at whole.
    pub(super) doubt_nameserver: bool,
    pub(super) doubted: BTreeSet<Endpoint>,
    /// When whole looks at a tablet, and at the nameserver, may begin again.
    pub(super) tablet_rests: BTreeMap<Endpoint, Instant>,
    pub(super) nameserver_rests: Instant,
    /// When everything was last looked at, whatever was waited for; none if it was not yet.
    pub(super) last_round: Option<Instant>,
    /// When turns that have taken long enough are looked for.
    pub(super) next_turn: Instant,
    /// When those are looked for that wait for what they aggregate, or for what aggregates them.
    pub(super) next_related: Instant,
    /// When it is next told how far it has come.
    pub(super) next_progress: Instant,
    /// What is waited for, as far as it has been said.
    pub(super) waits: Waits,
    pub(super) began: Instant,
    pub(super) pauses: Pauses,
    /// When whatever is waited for is looked at next.
    pub(super) next_look: NextLook,
}

impl Driver {
    /// A driver for the partitions in `memories`, beginning from a snapshot just taken.
    pub fn new(
        cluster: Cluster,
        settings: Settings,
        mut snapshot: Snapshot,
        memories: BTreeMap<PartitionId, Memory>,
    ) -> Self {
        let (partitions, places) = partitions(&snapshot, memories);
        let mut placed: BTreeMap<Endpoint, Vec<PartitionId>> = BTreeMap::new();
        for (id, task) in &partitions {
            task.endpoints.iter().for_each(|endpoint| placed.entry(endpoint.clone()).or_default().push(*id));
        }
        for probes in snapshot.tablets.values_mut().flat_map(|tablet| tablet.probes.values_mut()) {
            stale::outdate(probes);
        }
        let index = Index::of(&snapshot.tables, std::mem::take(&mut snapshot.ops), None);
        let mut watched_at = BTreeMap::new();
        for task in partitions.values().filter(|task| task.is_open()) {
            task.endpoints.iter().for_each(|endpoint| *watched_at.entry(endpoint.clone()).or_insert(0) += 1);
        }
        let (lanes, now) = (Lanes::new(settings.widths), Instant::now());
        let pauses = polling::pauses(&settings.playbook, settings.pace);
        let held_before = polling::held(&snapshot);
        let tablets_seen = snapshot.tablets.keys().map(|endpoint| (endpoint.clone(), 1)).collect();
        Self {
            cluster,
            settings,
            snapshot,
            open: partitions.values().filter(|task| task.is_open()).count(),
            stirred: partitions.keys().copied().collect(),
            order: Order::of(places),
            watched: BTreeSet::new(),
            turns: BTreeSet::new(),
            placed,
            watched_at,
            partitions,
            index,
            lanes,
            asking: Asking::default(),
            comparing: Comparing::default(),
            beside: Beside::default(),
            tasks: JoinSet::new(),
            now: 1,
            tables_seen: 1,
            tablets_seen,
            silent: BTreeSet::new(),
            held_before,
            restarts: BTreeMap::new(),
            returns: BTreeMap::new(),
            deaths: BTreeMap::new(),
            misses: BTreeMap::new(),
            looking_at_nameserver: false,
            nameserver_silence: NameserverSilence::default(),
            looking_at: BTreeSet::new(),
            unanswered: BTreeMap::new(),
            doubt_nameserver: false,
            doubted: BTreeSet::new(),
            tablet_rests: BTreeMap::new(),
            nameserver_rests: now,
            last_round: None,
            next_turn: now,
            next_related: now,
            next_progress: now,
            waits: Waits::new(),
            began: now,
            pauses,
            next_look: NextLook::now(),
        }
    }

    /// Runs until every partition is healthy, or blocked with nothing to be expected, or until told to stop; then no new call is
    /// made, and those under way are waited for.
    pub async fn run(mut self) -> Driven {
        let (mut stop, mut hold) = (self.settings.stop.clone(), self.settings.hold.clone());
        // Nobody is left to tell us to stop, or what becomes of the lock.
        let (mut deaf, mut unwatched) = (false, false);
        // What was just collected may be minutes old on a big cluster: begin with a fresh look.
        self.now += 1;
        self.require_fresh_looks();
        let stopped = loop {
            let told = *stop.borrow();
            if told != Stop::No {
                break Some(told);
            }
            let held = *hold.borrow();
            if held == Hold::Lost {
                break Some(Stop::LockLost);
            }
            if self.nameserver_silence.is_too_long(self.settings.pace) {
                break Some(Stop::NoNameserver);
            }
            self.decide_all();
            // What is queued waits until it is known that nobody else is at work.
            if held == Hold::Held
                && let Some(stop) = self.dispatch()
            {
                break Some(stop);
            }
            if self.open == 0 && self.stirred.is_empty() && !self.is_anybody_missing() {
                break None;
            }
            self.tell_waits();
            self.tell_progress();
            self.end_turns();
            self.look_if_due();
            tokio::select! {
                Some(report) = self.tasks.join_next(), if !self.tasks.is_empty() => self.note(report),
                () = tokio::time::sleep_until(self.next_look.due) => {}
                changed = stop.changed(), if !deaf => deaf = changed.is_err(),
                changed = hold.changed(), if !unwatched => unwatched = changed.is_err(),
            }
            while let Some(report) = self.tasks.try_join_next() {
                self.note(report);
            }
        };
        if stopped.is_some() {
            self.wind_down().await;
        }
        self.finish(stopped)
    }

    /// Whether everything a case rests on was seen after its last action. A tablet that does not answer is not waited
    /// for: what it holds cannot have been changed by us either, and its next look may take its whole deadline.
    fn is_fresh(&self, task: &PartitionTask) -> bool {
        let acted = task.tablet_acted.max(task.nameserver_acted);
        let silent =
            |endpoint| self.snapshot.tablets.get(endpoint).is_some_and(|tablet| matches!(tablet.held, Seen::Failed(_)));
        let seen = |endpoint| {
            let polling = [self.tablets_seen.get(endpoint), task.seen.get(endpoint)];
            polling.into_iter().flatten().any(|seen| *seen > acted)
        };
        self.tables_seen.max(task.tables_seen) > task.nameserver_acted
            && task.endpoints.iter().all(|endpoint| silent(endpoint) || seen(endpoint))
    }

    pub(super) fn view(&self, id: PartitionId) -> Option<View> {
        let (table, partition) = self.index.find(&self.snapshot.tables, id)?;
        let memory = &self.partitions.get(&id)?.memory;
        let ops = self.index.ops(&table.name, id.pid);
        let mut base = Base::of(&self.snapshot, table, partition);
        if let (Some(base), Some(leader)) = (&mut base, self.chosen_base_leader(table, id)) {
            base.leader = Some(leader);
        }
        Some(View { base, ..View::with_ops(&self.snapshot.tablets, table, partition, memory, ops) })
    }

    /// Decides on every case that something happened to since it was last decided on.
    fn decide_all(&mut self) {
        let stirred = std::mem::take(&mut self.stirred);
        let ready: Vec<PartitionId> = stirred.iter().copied().filter(|id| self.is_ready(*id)).collect();
        for id in &ready {
            self.note_looks(*id);
        }
        for id in ready {
            let gates = self.gates(id);
            self.decide_one(id, gates);
            // At once: the next one may end, and give this one its turn.
            self.watch(id);
        }
        stirred.into_iter().for_each(|id| self.watch(id));
    }

    pub(super) fn is_ready(&self, id: PartitionId) -> bool {
        let Some(task) = self.partitions.get(&id) else { return false };
        // There is nothing more to see of a partition that is gone.
        let seen = || self.is_fresh(task) || self.index.find(&self.snapshot.tables, id).is_none();
        task.is_open() && task.under_way == 0 && seen()
    }

    /// Sorts a case in by what it waits for.
    fn watch(&mut self, id: PartitionId) {
        let Some(task) = self.partitions.get(&id) else { return };
        let idle = task.is_open() && task.under_way == 0;
        let turn = idle && task.waiting.as_ref().is_some_and(WaitFor::is_turn) && self.is_fresh(task);
        let sort = |set: &mut BTreeSet<PartitionId>, belongs: bool| {
            if belongs {
                set.insert(id)
            } else {
                set.remove(&id)
            };
        };
        sort(&mut self.turns, turn);
        sort(&mut self.watched, idle && !turn);
    }

    /// Brings a case's memory up to date with what was seen.
    fn note_looks(&mut self, id: PartitionId) {
        let Some(view) = self.view(id) else { return };
        self.look_beside(id, &view);
        let began = self.began;
        let Some(task) = self.partitions.get_mut(&id) else { return };
        for replica in &view.replicas {
            task.memory.note(&replica.endpoint, |memory| memory.note_held(view.storage, &replica.data));
        }
        task.memory.note_unattached(&view);
        task.memory.note_view(&view);
        task.serves = view.serving_leader().is_some();
        self.settings.record.remember(id, &task.memory);
        if view.serving_leader().is_some() && task.serving_after.is_none() {
            task.serving_after = Some(began.elapsed());
            let event = milestone(&view, Milestone::Serving, began, None);
            self.settings.record.reached(&view.table, id, Milestone::Serving, None);
            (self.settings.listener)(&event);
            self.settle(id);
        }
    }

    /// Decides until something has to be sent, asked or waited for.
    fn decide_one(&mut self, id: PartitionId, gates: Gates) {
        loop {
            let Some(view) = self.view(id) else {
                self.end_gone(id);
                return;
            };
            let decision = decide(&view, &self.settings.playbook, gates);
            tracing::debug!(partition = %id, table = %view.table, ?decision, "decided");
            if let Some(end) = end_of(&decision) {
                self.end(id, &view, end);
                return;
            }
            let Some(task) = self.partitions.get_mut(&id) else { return };
            match decision {
                Decision::Choose(choice) => {
                    if !self.note_choice(id, &view, choice) {
                        return;
                    }
                }
                Decision::Wait(wait) => {
                    if !matches!(wait.what, WaitFor::Ops | WaitFor::OthersOps | WaitFor::CatchUp(_)) {
                        self.lanes.ops_ended(id);
                    }
                    if task.waiting.as_ref() != Some(&wait.what) && !wait.what.is_turn() {
                        self.settings.record.waiting(id, &wait);
                    }
                    if !task.wait(view.storage, wait, self.settings.pace) {
                        self.step_aside_if_silent(id);
                        return;
                    }
                }
                Decision::Look(probes) => {
                    task.under_way += probes.len();
                    self.ask(id, probes);
                    return;
                }
                Decision::Compare { replicas, .. } => {
                    task.waiting = None;
                    task.decided = Instant::now();
                    self.compare(id, replicas);
                    return;
                }
                Decision::Act(intents) => {
                    task.waiting = None;
                    task.under_way += intents.len();
                    task.decided = Instant::now();
                    let first = std::mem::take(&mut task.recalled);
                    self.lanes.ops_ended(id);
                    for intent in intents {
                        let rank = rank(&view, &intent);
                        self.lanes.queue((id, intent), rank, first);
                    }
                    return;
                }
                Decision::Done | Decision::Blocked(_) | Decision::Unknown => return,
            }
        }
    }

    pub(super) fn note(&mut self, report: Result<Report, tokio::task::JoinError>) {
        match report {
            Ok(Report::Tables(began, looked)) => {
                self.looking_at_nameserver = false;
                match looked {
                    Ok(metadata) => self.note_tables(began, metadata),
                    Err(error) => self.note_no_nameserver(&error),
                }
            }
            Ok(Report::Tablet(began, endpoint, held)) => self.note_tablet(began, &endpoint, held),
            Ok(Report::Returned(began, endpoint, seen)) => self.note_returned(began, &endpoint, *seen),
            Ok(Report::PartitionPoll(began, id, close)) => self.note_partition_poll(began, id, *close),
            Ok(Report::Probed(id, probe, answer)) => self.note_probe(id, &probe, *answer),
            Ok(Report::Compared(ended, seen)) => self.note_compared(&ended, *seen),
            Ok(Report::Acted(call, outcome)) => self.note_call(&call, &outcome),
            Ok(Report::Told(id, told)) => self.note_written(id, told),
            Ok(Report::Sized(endpoint, polled)) => self.note_sized(&endpoint, &polled),
            Ok(Report::Beside(failover)) => self.note_failover(failover),
            // A task of ours panicked, which is a bug: so does the run, and its session gives auto_failover back.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    pub(super) fn note_no_nameserver(&mut self, error: &CallError) {
        let is_to_be_said = self.nameserver_silence.goes_on(self.settings.pace);
        // Asked again at once: it counts as gone only for as long as it is asked and does not answer.
        self.doubt_nameserver = true;
        if is_to_be_said {
            (self.settings.listener)(&Event::Note { text: error.to_string() });
        }
    }
}

#[cfg(test)]
#[path = "driver_tests.rs"]
mod tests;
