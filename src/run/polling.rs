//! The driver's looks at the cluster: begun when it is time, at whatever open cases rest on, one batched call per tablet.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{CallError, Cluster};
use crate::model::{Endpoint, Held, PartitionId, Seen, Snapshot, State};
use crate::playbook::{PartitionStep, Playbook};
use crate::recovery::{Load, WaitFor};
use crate::snapshot;

use super::driver::{Driver, Metadata, Report};
use super::index::Index;
use super::looks::Pauses;
use super::partition_task::Sequence;
use super::stale::refresh;

/// The pause between two rounds of looks: from this, ...
pub(super) const POLL_MIN: Duration = Duration::from_millis(10);
/// ... to what the playbook says (`poll_table_status: every`), or this, ...
pub(super) const POLL_MAX: Duration = Duration::from_millis(500);
/// ... or up to this where nothing has moved for long, on the cluster's clock.
const STILL_MAX: Duration = Duration::from_secs(5);
/// Looks that have to fail in a row before a tablet that answered counts as out of reach, ...
const MISSES: u32 = 3;
/// ... and for how long at least: a connection that breaks is made again in less.
const MISSING_FOR: Duration = Duration::from_secs(2);
/// A tablet rests between two looks by what it holds, so that answering costs it little and a round costs us little: it has
/// as many loads to do as it has replicas, and so is looked at about as often whatever its size.
const REST_PER_REPLICA: Duration = Duration::from_micros(20);
// The nameserver, by partitions.
const REST_PER_PARTITION: Duration = Duration::from_micros(2);
/// Everything is looked at this often at least, whatever is waited for: what the nameserver's lanes take hours for on a big
/// cluster and minutes on a small one is looked at about as often on both.
const ROUND_PER_LINE: Duration = Duration::from_millis(1);
/// Where hundreds of operations are to come it is so many times as far apart as looks at these.
const ROUND_APART: u32 = 3;
/// The pause between two looks where nothing is left to do but to wait for tablets that are away. On the cluster's clock.
const AWAY: Duration = Duration::from_secs(2);

impl Driver {
    pub(super) fn require_fresh_looks(&mut self) {
        self.partitions.values_mut().for_each(|task| task.outdate(self.now));
    }

    /// Lines in the answers to a look at everything.
    pub(super) fn lines(&self) -> u32 {
        let lines = self.placed.values().map(Vec::len).sum::<usize>() + self.partitions.len();
        u32::try_from(lines).unwrap_or(u32::MAX)
    }

    /// Begins looks at whatever open cases wait for, when it is time: at each of them alone where they are few, else one
    /// batched call per tablet.
    pub(super) fn look_if_due(&mut self) {
        if Instant::now() < self.next_look.due {
            return;
        }
        let now = Instant::now();
        let still = self.longest_pause(self.next_look.moved);
        let longest = match self.open {
            0 => still.max(AWAY.div_f64(self.settings.pace)),
            _ => still,
        };
        self.next_look.begins(&(POLL_MIN..=longest));
        self.now += 1;
        let began = self.now;
        let wanting: Vec<PartitionId> = self.watched.iter().copied().collect();
        let mut tablets = self.lanes.loading_at();
        let mut nameserver = false;
        if self.closely_is_cheaper(&wanting) {
            self.look_closely(&wanting, began);
            let due =
                wanting.iter().filter_map(|id| self.partitions.get(id)?.pace.due()).filter(|due| *due > now).min();
            due.into_iter().for_each(|due| self.next_look.by(due));
        } else {
            let partitions = || wanting.iter().filter_map(|id| self.partitions.get(id));
            tablets.extend(partitions().flat_map(|task| task.endpoints.iter().cloned()));
            nameserver = partitions().any(|task| task.wants_nameserver(self.tables_seen));
        }
        let slow = self.apart().map_or(Duration::ZERO, |apart| apart * ROUND_APART);
        let between = still.max(ROUND_PER_LINE * self.lines()).max(slow);
        if self.last_round.is_none_or(|last| now >= last + between) {
            self.last_round = Some(now);
            tablets.extend(self.watched_at.iter().filter(|(_, some)| **some > 0).map(|(endpoint, _)| endpoint.clone()));
            nameserver = true;
        }
        tablets.retain(|endpoint| self.tablet_rests.get(endpoint).is_none_or(|rests| *rests <= now));
        let mut nameserver = nameserver && self.nameserver_rests <= now;
        // A server that does not answer needs no pause.
        let is_watched = |endpoint: &&Endpoint| self.watched_at.get(*endpoint).is_some_and(|some| *some > 0);
        tablets.extend(self.silent.iter().filter(is_watched).cloned());
        if self.open == 0 {
            tablets.extend(self.missing().into_keys());
        }
        tablets.append(&mut self.doubted);
        nameserver |= std::mem::take(&mut self.doubt_nameserver);
        for endpoint in tablets {
            if self.looking_at.insert(endpoint.clone()) {
                let lines = self.placed.get(&endpoint).map_or(0, Vec::len);
                self.tablet_rests.insert(endpoint.clone(), now + REST_PER_REPLICA * lines as u32);
                self.unanswered.entry(endpoint.clone()).or_insert(now);
                let cluster = self.cluster.clone();
                self.tasks.spawn(async move {
                    let held = snapshot::poll_tablet(&cluster, &endpoint).await;
                    Report::Tablet(began, endpoint, held)
                });
            }
        }
        if nameserver && !std::mem::replace(&mut self.looking_at_nameserver, true) {
            self.nameserver_rests = now + REST_PER_PARTITION * self.partitions.len() as u32;
            let cluster = self.cluster.clone();
            self.tasks.spawn(async move { Report::Tables(began, nameserver_says(&cluster).await) });
        }
    }

    /// Something has moved: what follows from it may be seen soon.
    pub(super) fn hurry(&mut self) {
        self.next_look.hurry(POLL_MIN);
    }

    /// The longest pause between two looks at what has not moved since then. A tablet that has just stopped answering is
    /// looked at often, until it is known whether it is gone.
    pub(super) fn longest_pause(&self, moved: Instant) -> Duration {
        if self.misses.values().any(|misses| !is_gone(misses)) {
            return self.pauses.most;
        }
        self.pauses.longest(moved.elapsed())
    }

    /// Notes what a tablet holds, or that it does not say.
    pub(super) fn note_answer(
        &mut self,
        began: Sequence,
        endpoint: &Endpoint,
        held: Seen<BTreeMap<PartitionId, Held>>,
    ) {
        let held = self.with_closer_looks(began, endpoint, held);
        self.note_restart(began, endpoint, &held);
        if self.is_hiccup(endpoint, &held) {
            return;
        }
        let last_seen = self.tablets_seen.insert(endpoint.clone(), began).unwrap_or(0);
        let Some(tablet) = self.snapshot.tablets.get_mut(endpoint) else { return };
        let moves = has_moved(&tablet.held, &held);
        let before = std::mem::replace(&mut tablet.held, held);
        let partitions = &self.partitions;
        let held = &tablet.held;
        // Behind a load that may never end others queue at the tablet, where they are seen and waited for, instead of here.
        let is_slow = |(id, held): (&PartitionId, &Held)| {
            let task = partitions.get(id).filter(|_| !held.state.is_loaded());
            task.is_some_and(|task| task.endpoints.contains(endpoint) && task.memory.has_expired(&WaitFor::SlowLoad))
        };
        let is_held_up = held.known().into_iter().flatten().any(is_slow);
        self.lanes.note_loads(endpoint, |id| {
            // A load that was given up on holds up no other one.
            let Some(task) = partitions.get(&id).filter(|task| task.is_open() && !is_held_up) else { return false };
            match held {
                Seen::Known(held) => match held.get(&id) {
                    Some(held) => !held.state.is_loaded(),
                    None => task.under_way > 0 || task.memory.replica(endpoint).load == Load::Accepted,
                },
                Seen::Unasked | Seen::Failed(_) => false,
            }
        });
        let mut to_take_up = Vec::new();
        for id in self.placed.get(endpoint).into_iter().flatten() {
            let Some(task) = self.partitions.get_mut(id) else { continue };
            let seen = tablet.held.known().and_then(|held| held.get(id));
            if !task.is_open() {
                let then = before.known().map(|held| held.get(id));
                let concerns = then.is_some_and(|then| task.is_concerned_by(then, seen));
                to_take_up.extend((tablet.held.known().is_some() && concerns).then_some(*id));
                continue;
            }
            task.note_look(endpoint, seen);
            let was_stale = task.tablet_acted.max(task.nameserver_acted) >= last_seen;
            let changed = before.known().and_then(|held| held.get(id)) != seen || before.known().is_none();
            if was_stale || changed || task.waiting.as_ref().is_some_and(|what| !what.is_turn()) {
                self.stirred.insert(*id);
            }
            if task.under_way == 0 {
                refresh(task, endpoint, tablet.probes.get_mut(id));
            }
        }
        self.take_up(to_take_up);
        if moves {
            self.hurry();
        }
    }

    /// What a tablet holds, but for replicas that were looked at alone since that look began.
    fn with_closer_looks(
        &self,
        began: Sequence,
        endpoint: &Endpoint,
        held: Seen<BTreeMap<PartitionId, Held>>,
    ) -> Seen<BTreeMap<PartitionId, Held>> {
        let Seen::Known(mut held) = held else { return held };
        let before = self.snapshot.tablets.get(endpoint).and_then(|tablet| tablet.held.known());
        let Some(before) = before else { return Seen::Known(held) };
        let closer = |id: &&PartitionId| {
            let task = self.partitions.get(id);
            task.is_some_and(|task| task.seen.get(endpoint).is_some_and(|seen| *seen > began))
        };
        for id in self.placed.get(endpoint).into_iter().flatten().filter(closer) {
            match before.get(id) {
                Some(seen) => drop(held.insert(*id, seen.clone())),
                None => drop(held.remove(id)),
            }
        }
        Seen::Known(held)
    }

    /// Brings everything that the nameserver tells up to date, but for partitions that were looked at alone since.
    pub(super) fn note_tables(&mut self, began: Sequence, (mut tables, ops, registrations, auto_failover): Metadata) {
        self.nameserver_silence.ends();
        self.note_failover_seen(began, auto_failover);
        let mut opinions = Vec::new();
        for registration in registrations {
            let Some(tablet) = self.snapshot.tablets.get_mut(&registration.endpoint) else { continue };
            tablet.unchanged_ms = registration.unchanged_ms;
            if tablet.state.replace(registration.state) != Some(registration.state) {
                opinions.push((registration.endpoint, registration.state));
            }
        }
        let mut now = Index::of(&tables, ops, self.index.newest_op);
        for (id, _) in self.partitions.iter().filter(|(_, task)| task.tables_seen > began) {
            let Some((table, partition)) = self.index.find(&self.snapshot.tables, *id) else { continue };
            if let Some(stale) = now.find_mut(&mut tables, *id) {
                *stale = partition.clone();
                now.note_ops_of(&table.name, id.pid, self.index.ops(&table.name, id.pid).cloned().collect());
            }
        }
        let changed = self.changed_meanwhile(&tables, &now);
        self.index = now;
        self.snapshot.tables = tables;
        self.tables_seen = began;
        self.stirred.extend(&self.watched);
        self.take_up(changed);
        opinions.iter().for_each(|(endpoint, state)| self.note_opinion(endpoint, *state));
    }

    /// Whether a failed look says nothing yet: one lost answer is no dead tablet, and a leader must not be unmarked for it.
    /// What was seen before stands until several looks in a row have failed, but nothing is decided on it meanwhile.
    fn is_hiccup(&mut self, endpoint: &Endpoint, held: &Seen<BTreeMap<PartitionId, Held>>) -> bool {
        if !matches!(held, Seen::Failed(_)) {
            self.misses.remove(endpoint);
            return false;
        }
        let answered = |tablet: &crate::model::Tablet| matches!(tablet.held, Seen::Known(_));
        let misses = self.misses.entry(endpoint.clone()).or_insert((0, Instant::now()));
        misses.0 += 1;
        self.snapshot.tablets.get(endpoint).is_some_and(answered) && !is_gone(misses)
    }
}

/// What the tablets hold.
pub(super) fn held(snapshot: &Snapshot) -> BTreeMap<Endpoint, BTreeMap<PartitionId, State>> {
    let known = snapshot.tablets.iter().filter_map(|(endpoint, tablet)| Some((endpoint, tablet.held.known()?)));
    known.map(|(endpoint, held)| (endpoint.clone(), states(held))).collect()
}

pub(super) fn states(held: &BTreeMap<PartitionId, Held>) -> BTreeMap<PartitionId, State> {
    held.iter().map(|(id, held)| (*id, held.state)).collect()
}

/// Whether a tablet has failed to answer so often, and since then, that it counts as out of reach.
fn is_gone((count, since): &(u32, Instant)) -> bool {
    *count >= MISSES && since.elapsed() >= MISSING_FOR
}

/// Whether something came, went or changed its state. Offsets alone are no reason to hurry: while clients write they never
/// stand still.
fn has_moved(before: &Seen<BTreeMap<PartitionId, Held>>, after: &Seen<BTreeMap<PartitionId, Held>>) -> bool {
    match (before, after) {
        (Seen::Known(before), Seen::Known(after)) => {
            let shape = |(id, held): (&PartitionId, &Held)| (*id, held.role, held.state);
            !before.iter().map(shape).eq(after.iter().map(shape))
        }
        (before, after) => before != after,
    }
}

/// Operations first: what one has done before it is seen ended shows in tables read after it. The other way round a
/// replica may look as if its operation had ended without effect, and be recovered twice.
async fn nameserver_says(cluster: &Cluster) -> Result<Metadata, CallError> {
    let ops = cluster.ops().await?;
    let auto_failover = async { Ok(cluster.auto_failover().await.ok()) };
    let (tables, registrations, on) = tokio::try_join!(cluster.tables(), cluster.tablets(), auto_failover)?;
    Ok((tables, ops, registrations, on))
}

/// The pauses between two looks, as the playbook has them. `pace` is how much faster than ours the cluster's clock runs.
pub(super) fn pauses(playbook: &Playbook, pace: f64) -> Pauses {
    let every = playbook.partition.iter().find_map(|step| match step {
        PartitionStep::PollTableStatus { every, .. } => Some(*every),
        _ => None,
    });
    Pauses { first: POLL_MIN, most: every.unwrap_or(POLL_MAX).max(POLL_MIN), still: STILL_MAX.div_f64(pace) }
}
