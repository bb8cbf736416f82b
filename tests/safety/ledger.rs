//! Which rows have to be there, and which OpenMLDB gave up by itself.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::tablet::{Entry, RowId};
use openmldb_ops::wire::nameserver::TablePartition;

use super::shown::that_count;

type Rows = BTreeMap<PartitionId, BTreeSet<RowId>>;
type Terms = BTreeMap<PartitionId, Vec<(u64, u64)>>;

/// The rows that must not be lost.
#[derive(Debug, Default)]
pub struct Ledger {
    opened: bool,
    /// Replicas whose MANIFEST cannot be read: a load takes their directories to the recycle bin by itself.
    spoiled: BTreeSet<(Endpoint, PartitionId)>,
    expected: Rows,
    /// What was written, as far as it was there when the books were opened.
    entries: BTreeMap<RowId, Entry>,
    /// What the world expected when its books were last opened: what it has beyond was acknowledged since.
    base: Rows,
    /// Each partition's terms when a run last ended.
    terms: Terms,
    /// Partitions whose replicas parted in a life in which everything looked healthy: nothing shows it.
    pub diverged: BTreeSet<PartitionId>,
    /// Those of them that two leaders wrote in one term, or one of them in an old one: not even the terms of last entries tell
    /// them apart.
    pub untold_by_terms: BTreeSet<PartitionId>,
    /// Partitions that the run now at work told to elect a leader.
    pub elected: BTreeSet<PartitionId>,
    /// What elections of others gave up while runs were at work.
    given_up: Rows,
    /// Healthy partitions when the books were last opened.
    pub healthy: BTreeSet<PartitionId>,
}

impl Ledger {
    /// Nothing written yet.
    pub fn new(spoiled: BTreeSet<(Endpoint, PartitionId)>) -> Self {
        Self { spoiled, ..Self::default() }
    }

    /// A run is about to change its first thing: from here on, what is lost is its fault. What was lost before, or given
    /// up by a failover, was OpenMLDB's.
    pub fn open(&mut self, world: &mut World, missing: &[Endpoint]) {
        let acknowledged = self.acknowledged(world);
        let terms = terms(world);
        // What is in memory has been sent anew.
        let tablets = world.tablets_mut();
        self.spoiled.retain(|(at, id)| tablets.role(at.as_str(), *id).is_none());
        let mut expected = Rows::new();
        for id in terms.keys() {
            let news = self.new_terms(*id, &terms);
            let mut logs = logs(world, *id, missing);
            if !self.opened {
                let twice = any_two(&logs, has_one_term_twice)
                    || any_two(&logs, lost_deletes_alone)
                    || went_on_in_an_old_term(world, *id, &logs);
                if twice {
                    self.untold_by_terms.insert(*id);
                }
                if twice || any_two(&logs, differ_before_the_end) || lost_its_flag(world, *id, &logs) {
                    self.diverged.insert(*id);
                }
            }
            logs.retain(|endpoint, _| !self.spoiled.contains(&(endpoint.clone(), *id)));
            let later = written_later(&logs, &news);
            let gone = |entry: &Entry| is_given_up(entry, &news) || later.get(&entry.index) > Some(&entry.term);
            let kept: Vec<Entry> = logs.values().flatten().filter(|entry| !gone(entry)).copied().collect();
            self.entries.extend(kept.iter().map(|entry| (entry.row, *entry)));
            let kept = that_count(world, *id, &kept);
            let before = self.expected.get(id).into_iter().chain(acknowledged.get(id)).flatten();
            let still = match self.opened {
                true => before.copied().filter(|row| kept.contains(row)).collect(),
                false => kept,
            };
            expected.insert(*id, still);
        }
        self.expected = expected;
        self.opened = true;
        world.open_books();
        self.base = world.expected().clone();
        self.healthy = world.healthy();
    }

    /// The rows of a partition that have to be there now.
    pub fn of(&self, world: &World, id: PartitionId) -> BTreeSet<RowId> {
        let before = self.base.get(&id);
        let is_news = |row: &&RowId| self.opened && !before.is_some_and(|before| before.contains(row));
        let acknowledged = world.expected().get(&id).into_iter().flatten().filter(is_news);
        let kept = |row: &&RowId| !self.given_up.get(&id).is_some_and(|given_up| given_up.contains(row));
        self.expected.get(&id).into_iter().flatten().chain(acknowledged).filter(kept).copied().collect()
    }

    /// The rows among those that nobody holds any more which clients would miss beside what is still there: those that have not
    /// expired by now, and deletes of what they are shown.
    pub fn missed(&self, world: &World, id: PartitionId, there: &[Entry], gone: BTreeSet<RowId>) -> Vec<RowId> {
        let known: Vec<Entry> = gone.iter().filter_map(|row| self.entries.get(row)).copied().collect();
        let (shown, would_be) = (world.shown(id, there), world.shown(id, &[there, &known].concat()));
        let is_missed = |row: &RowId| match self.entries.get(row) {
            None => true,
            Some(Entry { deletes: Some(deleted), .. }) => shown.contains(deleted),
            Some(_) => would_be.contains(row),
        };
        gone.into_iter().filter(is_missed).collect()
    }

    /// Notes what somebody's election has given up by now, as long as it is still there.
    pub fn note_elections(&mut self, world: &World, id: PartitionId) {
        let given_up = self.given_up_meanwhile(world, id, &terms(world));
        self.given_up.entry(id).or_default().extend(given_up);
    }

    /// The rows that replicas on those tablets hold, and that no failover has given up, of partitions whose replicas can be told apart.
    pub fn held_on(&self, world: &mut World, tablets: &[Endpoint], id: PartitionId) -> BTreeSet<RowId> {
        let all = terms(world);
        let terms: &[(u64, u64)] = all.get(&id).map_or(&[], |terms| terms);
        let everywhere = logs(world, id, &[]);
        let twice = any_two(&everywhere, has_one_term_twice)
            || any_two(&everywhere, lost_deletes_alone)
            || went_on_in_an_old_term(world, id, &everywhere);
        if twice || any_two(&everywhere, differ_before_the_end) || lost_its_flag(world, id, &everywhere) {
            return BTreeSet::new();
        }
        let later = written_later(&everywhere, terms);
        let gone = |entry: &Entry| is_given_up(entry, terms) || later.get(&entry.index) > Some(&entry.term);
        let is_readable = |at: &Endpoint| !self.spoiled.contains(&(at.clone(), id));
        let there = everywhere.iter().filter(|(at, _)| tablets.contains(at) && is_readable(at));
        there.flat_map(|(_, log)| log).filter(|entry| !gone(entry)).map(|entry| entry.row).collect()
    }

    /// A run has ended: gives every row that should be there.
    pub fn close(&mut self, world: &World) -> &Rows {
        if !self.opened {
            return &self.expected;
        }
        let (acknowledged, terms) = (self.acknowledged(world), terms(world));
        for (id, rows) in acknowledged {
            let mut given_up = self.given_up_meanwhile(world, id, &terms);
            given_up.extend(self.given_up.get(&id).into_iter().flatten());
            self.expected.entry(id).or_default().extend(rows.difference(&given_up));
        }
        self.base = world.expected().clone();
        self.terms = terms;
        &self.expected
    }

    fn acknowledged(&self, world: &World) -> Rows {
        let since = |(id, rows): (&PartitionId, &BTreeSet<RowId>)| {
            let before = self.base.get(id).cloned().unwrap_or_default();
            (*id, rows.difference(&before).copied().collect())
        };
        if self.opened { world.expected().iter().map(since).collect() } else { Rows::new() }
    }

    /// What somebody's election gave up while the run was at work: a client that had not heard of it wrote to the old leader.
    fn given_up_meanwhile(&self, world: &World, id: PartitionId, terms: &Terms) -> BTreeSet<RowId> {
        let news = self.new_terms(id, terms);
        if news.is_empty() || self.elected.contains(&id) {
            return BTreeSet::new();
        }
        let logs = logs(world, id, &[]);
        let (gone, kept): (Vec<Entry>, Vec<Entry>) =
            logs.values().flatten().partition(|entry| is_given_up(entry, &news));
        let kept: BTreeSet<RowId> = kept.iter().map(|entry| entry.row).collect();
        gone.into_iter().map(|entry| entry.row).filter(|row| !kept.contains(row)).collect()
    }

    fn new_terms(&self, id: PartitionId, terms: &Terms) -> Vec<(u64, u64)> {
        let old = self.terms.get(&id).cloned().unwrap_or_default();
        let all = terms.get(&id).cloned().unwrap_or_default();
        all.into_iter().filter(|term| !old.contains(term)).collect()
    }
}

fn terms(world: &World) -> Terms {
    let metadata = world.metadata().into_iter();
    metadata.map(|(id, metas)| (id, term_starts(&metas))).collect()
}

/// What each replica of a partition holds, in memory or on disk, but for tablets that do not come back.
pub fn logs(world: &World, id: PartitionId, missing: &[Endpoint]) -> BTreeMap<Endpoint, Vec<Entry>> {
    let metadata = world.metadata();
    let Some(metas) = metadata.get(&id) else { return BTreeMap::new() };
    let endpoints = metas.partition_meta.iter().map(|meta| Endpoint::from(meta.endpoint.as_str()));
    endpoints
        .filter(|endpoint| !missing.contains(endpoint))
        .map(|endpoint| {
            let log = world.log(&endpoint, id);
            (endpoint, log)
        })
        .collect()
}

/// Whether a failover gave this entry up: a later term begins at or before it.
fn is_given_up(entry: &Entry, terms: &[(u64, u64)]) -> bool {
    terms.iter().any(|(term, start)| *term > entry.term && *start <= entry.index)
}

/// The latest of those terms at each place. Somebody who names a leader that lacks entries (changeleader to a replica that is
/// behind) gives them up: the new leader writes its own in their places, although OpenMLDB has its term begin behind the
/// longest of all. Neither offsets nor the terms of last entries show it.
fn written_later(logs: &BTreeMap<Endpoint, Vec<Entry>>, terms: &[(u64, u64)]) -> BTreeMap<u64, u64> {
    let mut later = BTreeMap::new();
    for entry in logs.values().flatten().filter(|entry| terms.iter().any(|(term, _)| *term == entry.term)) {
        let latest = later.entry(entry.index).or_insert(entry.term);
        *latest = entry.term.max(*latest);
    }
    later
}

fn any_two(logs: &BTreeMap<Endpoint, Vec<Entry>>, differ: fn(&[Entry], &[Entry]) -> bool) -> bool {
    logs.values().any(|one| logs.values().any(|other| differ(one, other)))
}

fn by_index(log: &[Entry]) -> BTreeMap<u64, Entry> {
    log.iter().map(|entry| (entry.index, *entry)).collect()
}

/// Whether two logs differ somewhere and are the same again further on.
fn differ_before_the_end(one: &[Entry], other: &[Entry]) -> bool {
    let (one, other) = (by_index(one), by_index(other));
    let differs = one.iter().find(|(index, entry)| other.get(index).is_some_and(|there| there != *entry));
    differs.is_some_and(|(from, _)| one.range(from..).any(|(index, entry)| other.get(index) == Some(entry)))
}

/// Whether the one that was elected last has no leader flag any more, and others hold something else where it holds what nobody has
/// given up: somebody had another one lead while both were up, and took the flag from it. The metadata call the wrong log the
/// history then; and once that leader serves, choosing is over.
fn lost_its_flag(world: &World, id: PartitionId, logs: &BTreeMap<Endpoint, Vec<Entry>>) -> bool {
    let Some(metas) = world.metadata().remove(&id) else { return false };
    let is_flagged = |at: &Endpoint| metas.partition_meta.iter().any(|m| m.is_leader && m.endpoint == at.as_str());
    let terms = term_starts(&metas);
    let official = |log: &[Entry]| log.iter().copied().filter(|entry| !is_given_up(entry, &terms)).collect::<Vec<_>>();
    let mut elected_last = elected_last(logs);
    let parted = elected_last.clone().any(|(_, log)| logs.values().any(|other| differ(&official(log), other)));
    parted && !elected_last.any(|(at, _)| is_flagged(at))
}

/// Whether the one that was elected last holds what was written in an older term than the history has for its place, where others
/// hold something else: somebody brought back a leader of long ago, which went on in the term that it knew. Its last entry does
/// not show it.
fn went_on_in_an_old_term(world: &World, id: PartitionId, logs: &BTreeMap<Endpoint, Vec<Entry>>) -> bool {
    let Some(metas) = world.metadata().remove(&id) else { return false };
    let terms = term_starts(&metas);
    let is_of_old = |log: &[Entry]| log.iter().any(|entry| is_given_up(entry, &terms));
    elected_last(logs).any(|(_, log)| is_of_old(log) && logs.values().any(|other| differ(log, other)))
}

fn term_starts(metas: &TablePartition) -> Vec<(u64, u64)> {
    metas.term_offset.iter().map(|term| (term.term, term.offset)).collect()
}

/// Those whose last entry is of the latest term.
fn elected_last(logs: &BTreeMap<Endpoint, Vec<Entry>>) -> impl Iterator<Item = (&Endpoint, &Vec<Entry>)> + Clone {
    let last_term = |log: &Vec<Entry>| log.last().map(|entry| entry.term);
    let newest = logs.values().filter_map(last_term).max();
    logs.iter().filter(move |(_, log)| last_term(log) == newest)
}

fn differ(one: &[Entry], other: &[Entry]) -> bool {
    let other = by_index(other);
    one.iter().any(|entry| other.get(&entry.index).is_some_and(|there| there != entry))
}

/// Whether a log lacks nothing before its end but deletes, and rows that were deleted: it holds every row that the other does, and more.
fn lost_deletes_alone(one: &[Entry], other: &[Entry]) -> bool {
    let held = by_index(one);
    let end = held.keys().next_back().copied().unwrap_or_default();
    let mut lacked = other.iter().filter(|entry| entry.index < end && !held.contains_key(&entry.index)).peekable();
    let deleted: BTreeSet<RowId> = other.iter().filter_map(|entry| entry.deletes).collect();
    lacked.peek().is_some() && lacked.all(|entry| entry.deletes.is_some() || deleted.contains(&entry.row))
}

/// Whether they hold different rows at the same place of the same term.
fn has_one_term_twice(one: &[Entry], other: &[Entry]) -> bool {
    let other = by_index(other);
    let twice = |entry: &Entry| {
        let there = other.get(&entry.index);
        there.is_some_and(|there| there.term == entry.term && there.row != entry.row)
    };
    one.iter().any(twice)
}
