//! auto_failover is not restored while there are replicas that the nameserver must not replace (`recovery::held_in`):
//! for which ones, known at the end of a run, or from what earlier runs have left.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Partition, PartitionId, Pid, Snapshot, Table, Verb};
use crate::recovery::{Blocked, Health, Memory, Plan, View, WhyHeld, health, held_in, still_holds_more};

use super::driver::Driver;
use super::lock::Note;
use super::partition_task::End;
use super::record::UnfinishedWork;
use super::scope::some_of;

/// A replica that the nameserver would replace, were auto_failover on when its tablet comes back.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HeldFor {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
    /// Partition.
    pub pid: Pid,
    /// The partition's directory on a tablet.
    pub partition: PartitionId,
    /// Where the replica is.
    pub endpoint: Endpoint,
    /// Why it must not be replaced.
    pub why: WhyHeld,
}

impl HeldFor {
    fn of(table: &Table, pid: Pid, endpoint: Endpoint, why: WhyHeld) -> Self {
        let (db, table, partition) =
            (table.name.db.clone(), table.name.table.clone(), PartitionId { tid: table.tid, pid });
        Self { db, table, pid, partition, endpoint, why }
    }

    /// The partition, as people write it.
    fn name(&self) -> String {
        match self.db.as_str() {
            "" => format!("{}/{}", self.table, self.pid),
            db => format!("{db}.{}/{}", self.table, self.pid),
        }
    }
}

impl Driver {
    /// The replicas that the nameserver must not replace, as the partitions were last seen.
    pub(super) fn held(&self) -> Vec<HeldFor> {
        let stands = &self.settings.early_leader_note.note.held_for;
        let held = self.partitions.iter().filter_map(|(id, task)| {
            let blocked = match &task.end {
                Some(End::Healthy) if stands.iter().all(|stood| stood.partition != *id) => return None,
                Some(End::Healthy) => None,
                Some(End::Blocked(blocked)) => Some(blocked),
                None => None,
            };
            let (table, _) = self.index.find(&self.snapshot.tables, *id)?;
            Some(held_of(&self.view(*id)?, table, id.pid, blocked, stands))
        });
        held.flatten().collect()
    }
}

/// The replicas of a partition that the nameserver must not replace. While nobody serves it, those that an earlier run has kept
/// auto_failover off for are still among them: that its leader has gone away settles nothing. Nor does it that the partition is healthy,
/// as long as they hold more than their leader.
fn held_of(view: &View, table: &Table, pid: Pid, blocked: Option<&Blocked>, stands: &[HeldFor]) -> Vec<HeldFor> {
    let seen = held_in(view, blocked, !stands.is_empty());
    let mut held: Vec<HeldFor> = seen.into_iter().map(|(at, why)| HeldFor::of(table, pid, at, why)).collect();
    let partition = PartitionId { tid: table.tid, pid };
    let is_there = |at: &Endpoint| view.replicas.iter().any(|replica| replica.endpoint == *at);
    let stood = stands.iter().filter(|stood| stood.partition == partition && is_there(&stood.endpoint));
    for stood in stood.filter(|stood| view.memory.replica(&stood.endpoint).replaceable.is_none()) {
        let is_open = view.serving_leader().is_none() || health(view) == Health::Healthy && is_fuller(view, stood);
        if is_open && held.iter().all(|held| held.endpoint != stood.endpoint) {
            held.push(stood.clone());
        }
    }
    held
}

/// The same of partitions that nothing had to be sent for.
pub(super) fn held_as_found(
    snapshot: &Snapshot,
    memories: &BTreeMap<PartitionId, Memory>,
    blocked: &BTreeMap<PartitionId, &Blocked>,
    stands: &[HeldFor],
) -> Vec<HeldFor> {
    let mut held = Vec::new();
    for (table, partition, id) in partitions(snapshot) {
        let Some(memory) = memories.get(&id) else { continue };
        let view = View::of(snapshot, table, partition, memory);
        held.extend(held_of(&view, table, id.pid, blocked.get(&id).copied(), stands));
    }
    held
}

/// The same as a plan has it, and those that are out of its scope.
pub(super) fn held_by_plan(plan: &Plan, stands: &[HeldFor]) -> Vec<HeldFor> {
    let planned = |held: &&HeldFor| plan.partitions.iter().any(|planned| planned.partition == held.partition);
    let elsewhere = stands.iter().filter(|held| !planned(held)).cloned();
    let here = plan.partitions.iter().flat_map(|planned| {
        let (name, partition) = (&planned.table, planned.partition);
        planned.held.iter().map(move |(endpoint, why)| HeldFor {
            db: name.db.clone(),
            table: name.table.clone(),
            pid: partition.pid,
            partition,
            endpoint: endpoint.clone(),
            why: *why,
        })
    });
    elsewhere.chain(here).collect()
}

/// Those that a run had chosen leaders without a look at, known by their places alone.
pub(super) fn named(snapshot: &Snapshot, unseen: &BTreeSet<(PartitionId, Endpoint)>) -> Vec<HeldFor> {
    let all = partitions(snapshot).flat_map(|(table, partition, id)| {
        let places = partition.places().into_iter().filter(move |at| unseen.contains(&(id, at.clone())));
        places.map(move |at| HeldFor::of(table, id.pid, at, WhyHeld::Unseen))
    });
    all.collect()
}

/// The replicas that earlier runs have left so, as far as they are still there and their partition has not become healthy since.
/// That it is healthy says nothing of rows that its leader lacks.
pub(super) fn standing(left: &UnfinishedWork, note: Option<&Note>, snapshot: &Snapshot) -> Vec<HeldFor> {
    let mut known: BTreeMap<(PartitionId, Endpoint), WhyHeld> = BTreeMap::new();
    for (id, earlier) in &left.partitions {
        let unseen =
            earlier.remembered.iter().filter(|(_, then)| then.leader_held.is_some() && then.replaceable.is_none());
        known.extend(unseen.map(|(at, _)| ((*id, at.clone()), WhyHeld::Unseen)));
    }
    // What this host has a record of, the record knows better.
    let elsewhere = note.filter(|note| !left.known.contains(&note.run));
    let noted = note.iter().flat_map(|note| &note.unseen).filter(|unseen| unseen.replaceable.is_none());
    let unseen = noted.filter(|unseen| elsewhere.is_some() || !left.partitions.contains_key(&unseen.partition));
    known.extend(unseen.map(|unseen| ((unseen.partition, unseen.endpoint.clone()), WhyHeld::Unseen)));
    let by_name = left.held_for.iter().chain(elsewhere.iter().flat_map(|note| &note.held_for));
    known.extend(by_name.map(|held| ((held.partition, held.endpoint.clone()), held.why)));
    let all = elsewhere.is_some_and(|note| note.serves_early);
    let is_released = |id: PartitionId, at: &Endpoint| {
        let mut noted = note.iter().flat_map(|note| &note.unseen);
        noted.any(|unseen| unseen.partition == id && unseen.endpoint == *at && unseen.replaceable.is_some())
    };
    let mut held = Vec::new();
    for (table, partition, id) in partitions(snapshot) {
        let view = View::of(snapshot, table, partition, &Memory::default());
        let is_healthy = health(&view) == Health::Healthy;
        for replica in &partition.replicas {
            let why = known.get(&(id, replica.endpoint.clone())).copied();
            let may_be = all && !replica.is_leader && !replica.is_alive && !is_released(id, &replica.endpoint);
            let why = why.or(may_be.then_some(WhyHeld::Unseen));
            let stood = why.map(|why| HeldFor::of(table, id.pid, replica.endpoint.clone(), why));
            held.extend(stood.filter(|stood| !is_healthy || is_fuller(&view, stood)));
        }
    }
    held
}

/// Whether it was held for more than its leader holds, and still holds more.
fn is_fuller(view: &View, stood: &HeldFor) -> bool {
    stood.why == WhyHeld::HoldsMore && still_holds_more(view, &stood.endpoint)
}

/// The same of a partition that a run has not looked into.
pub(super) fn is_fuller_in(snapshot: &Snapshot, stood: &HeldFor) -> bool {
    let table = snapshot.tables.iter().find(|table| table.tid == stood.partition.tid);
    let found = table.and_then(|table| Some((table, table.partitions.iter().find(|p| p.pid == stood.partition.pid)?)));
    found.is_some_and(|(table, partition)| is_fuller(&View::of(snapshot, table, partition, &Memory::default()), stood))
}

fn partitions(snapshot: &Snapshot) -> impl Iterator<Item = (&Table, &Partition, PartitionId)> {
    snapshot.tables.iter().flat_map(|table| {
        table.partitions.iter().map(move |partition| {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            (table, partition, id)
        })
    })
}

/// Which they are, by their tablets: `2 replicas on 10.0.0.3:10921 (shop.orders/1, shop.orders/4)`.
pub fn held_replicas(held: &[HeldFor]) -> String {
    let mut at: BTreeMap<&Endpoint, Vec<String>> = BTreeMap::new();
    held.iter().for_each(|held| at.entry(&held.endpoint).or_default().push(held.name()));
    let each = at.into_iter().map(|(endpoint, names)| match names.len() {
        1 => format!("the replica of {} on {endpoint}", names.concat()),
        count => format!("{count} replicas on {endpoint} ({})", some_of(&names)),
    });
    each.collect::<Vec<_>>().join(", ")
}

/// The tablets they are on.
pub fn held_at(held: &[HeldFor]) -> Vec<Endpoint> {
    held.iter().map(|held| held.endpoint.clone()).collect::<BTreeSet<_>>().into_iter().collect()
}

/// Why auto_failover stays off for them, in a sentence.
pub fn why_held(held: &[HeldFor]) -> String {
    let unseen = held.iter().filter(|held| held.why == WhyHeld::Unseen).count();
    let what = match (unseen, held.len()) {
        (0, 1) => "its leader is not proven to hold all of its entries",
        (0, _) => "their leaders are not proven to hold all of their entries",
        (1, 1) => "it has not been checked since its leader was chosen",
        (unseen, all) if unseen == all => "they have not been checked since their leaders were chosen",
        _ => {
            "they have not been checked since their leaders were chosen, or their leaders are not proven to hold all \
             of their entries"
        }
    };
    let hold = Verb::Regular("hold").after(held.len());
    let tablet = match held_at(held).as_slice() {
        [tablet] => tablet.to_string(),
        _ => "one of these tablets".to_owned(),
    };
    // What was looked at answers: its tablet is there, or was.
    let comes = if unseen == 0 { "restarted" } else { "back" };
    format!("once {tablet} is {comes}, the nameserver would replace what {} {hold}, and {what}", held_replicas(held))
}

#[cfg(test)]
mod tests {
    use super::super::made_up::{ID, note, orders, seen};
    use super::*;
    use crate::model::{Followers, Held, Offset, Probes, Role, Seen, State};

    /// Its leader `a` replicates to `b`, and holds so many rows of 20; both are at the same offset.
    fn connected(rows: u64) -> Snapshot {
        let mut seen = seen();
        seen.tables[0].partitions[0].replicas[1].is_alive = true;
        let followers = Followers { leader_offset: Offset(20), followers: vec![("b".into(), Offset(20))] };
        for (at, role, record_cnt) in [("a", Role::Leader, rows), ("b", Role::Follower, 20)] {
            let tablet = seen.tablets.get_mut(&Endpoint::from(at)).unwrap();
            let (state, offset, index_rows) = (State::Normal, Offset(20), Vec::new());
            let held = Held { partition: ID, role, state, offset, record_cnt, index_rows };
            tablet.held = Seen::Known([(ID, held)].into());
            let followers = Seen::Known(followers.clone());
            tablet.probes.insert(ID, Probes { followers, ..Probes::UNASKED });
        }
        seen
    }

    /// Once its tablet is restarted, the nameserver would replace rows that nobody else has: whoever comes next keeps that in mind, whatever
    /// is in scope.
    #[test]
    fn one_that_holds_more_than_its_leader_stands_although_it_is_connected() {
        let of = |why| {
            let (db, table) = (orders().db, orders().table);
            HeldFor { db, table, pid: ID.pid, partition: ID, endpoint: "b".into(), why }
        };
        let stands = |rows, why| {
            let note = Note { held_for: vec![of(why)], ..note() };
            standing(&UnfinishedWork::default(), Some(&note), &connected(rows)) == [of(why)]
        };
        let in_scope = |rows, why| {
            let memories = BTreeMap::from([(ID, Memory::default())]);
            held_as_found(&connected(rows), &memories, &BTreeMap::new(), &[of(why)]) == [of(why)]
        };
        let out_of_scope = |rows, why| is_fuller_in(&connected(rows), &of(why));
        for is_held in [&stands as &dyn Fn(u64, WhyHeld) -> bool, &in_scope, &out_of_scope] {
            assert!(is_held(15, WhyHeld::HoldsMore));
            assert!(!is_held(20, WhyHeld::HoldsMore), "its leader has all of it now");
            assert!(!is_held(15, WhyHeld::Unseen), "its leader replicates to it now");
        }
    }
}
