//! Who watches a run: every change that it sends is judged at the moment it is sent, by what the replicas really hold.

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId, Pid, TableName, Tid};
use openmldb_ops::run::Event;
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::fault::{Fault, FaultKind, OperatorAction};
use openmldb_ops::sandbox::tablet::{Entry, RowId};
use openmldb_ops::wire::api::TableMode;
use openmldb_ops::wire::call::{NameserverCall, TabletCall};

use super::ledger::Ledger;
use super::life::of_dropped_tables;
use super::shown::{is_same, lacks_nothing, show_the_same};

/// No run in these worlds takes nearly as many calls that change something.
const AT_MOST: u64 = 20_000;

/// Something that must not be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// What was broken, by name.
    pub invariant: &'static str,
    /// How.
    pub text: String,
}

/// A partition when a run restored auto_failover.
#[derive(Debug, Default)]
pub struct GivenBack {
    /// What was held anywhere.
    pub held: BTreeSet<RowId>,
    /// What clients had been told is written.
    acknowledged: BTreeSet<RowId>,
    terms: usize,
}

impl GivenBack {
    /// Whether that row was written after, and another leader elected: it may have died with the old one.
    pub fn may_have_gone_in_an_election(&self, world: &World, id: PartitionId, row: RowId) -> bool {
        let terms = world.metadata().get(&id).map_or(0, |metas| metas.term_offset.len());
        terms > self.terms && !self.acknowledged.contains(&row)
    }
}

/// What a cluster's runs are watched with.
#[derive(Debug, Default)]
pub struct Judge {
    /// The rows that have to be there.
    pub ledger: Ledger,
    /// Tablets that do not come back.
    pub missing: Vec<Endpoint>,
    /// What was seen and must not be.
    pub violations: Vec<Violation>,
    /// Partitions that some run meant to change.
    pub touched: BTreeSet<PartitionId>,
    /// Entries that choices said they give up.
    pub announced: BTreeMap<PartitionId, u64>,
    /// Whether the run has changed something.
    pub opened: bool,
    /// How it was when the run restored auto_failover: what OpenMLDB drops by itself from then on is not the run's
    /// doing.
    pub given_back: BTreeMap<PartitionId, GivenBack>,
    names: BTreeMap<(TableName, Pid), PartitionId>,
    /// Partitions whose leaders were chosen without a look at all of their replicas, ...
    pub unseen: BTreeSet<PartitionId>,
    /// ... and of which nobody is left who could know: without ZooKeeper another host has neither record nor note.
    pub forgotten: BTreeSet<PartitionId>,
    two_leaders: BTreeSet<PartitionId>,
    /// Changes that the run has asked for.
    told: u64,
    meddled: bool,
    calm: bool,
}

impl Judge {
    /// Judges runs on a cluster with such a ledger, some of whose tablets do not come back.
    pub fn new(ledger: Ledger, missing: Vec<Endpoint>) -> Self {
        Self { ledger, missing, ..Self::default() }
    }

    /// Another run begins, under those faults.
    pub fn a_run_begins(&mut self, faults: &[Fault]) {
        self.opened = false;
        self.told = 0;
        self.calm = faults.is_empty();
        self.ledger.elected.clear();
        self.given_back.clear();
        let makes_leaders = |fault: &Fault| {
            use OperatorAction::{FailoverOn, MarksAlive, RecoversEverything};
            matches!(fault.kind, FaultKind::Operator(FailoverOn | MarksAlive | RecoversEverything))
        };
        self.meddled |= faults.iter().any(makes_leaders);
    }

    /// The next run comes from a host that knows nothing.
    pub fn all_is_forgotten(&mut self) {
        self.forgotten.append(&mut self.unseen);
    }

    /// What the run says.
    pub fn hears(&mut self, event: &Event) {
        match event {
            Event::Action { partition: Some(id), .. } => {
                self.touched.insert(*id);
            }
            Event::LeaderChosen { table, pid, choice } => {
                let entries: u64 = choice.given_up.iter().map(|given| given.entries).sum();
                if let Some(id) = self.names.get(&(table.clone(), Pid(*pid))) {
                    *self.announced.entry(*id).or_default() += entries;
                    if !choice.out_of_reach.is_empty() {
                        self.unseen.insert(*id);
                    }
                }
            }
            // A tablet taken for another process is told to load what it may be loading.
            Event::Note { text } if self.calm && text.ends_with("has been restarted") => {
                self.wrong("no_restart_is_imagined", text.clone());
            }
            Event::Note { text } if self.calm && text.contains("not by this run") => {
                self.wrong("nobody_else_is_imagined", text.clone());
            }
            _ => {}
        }
    }

    fn wrong(&mut self, invariant: &'static str, text: String) {
        let violation = Violation { invariant, text };
        if !self.violations.contains(&violation) {
            self.violations.push(violation);
        }
    }

    /// The run is about to tell the nameserver to change something.
    pub fn nameserver_is_told(&mut self, world: &mut World, call: &NameserverCall) {
        if let NameserverCall::ConfSet(request) = call
            && request.conf.value == "true"
        {
            let acknowledged = world.expected().clone();
            let terms = |world: &World, id| world.metadata().get(&id).map_or(0, |metas| metas.term_offset.len());
            for (id, logs) in world.rows() {
                let given_back = self.given_back.entry(id).or_default();
                given_back.held.extend(logs.values().flat_map(|log| rows(log)));
                given_back.acknowledged.extend(acknowledged.get(&id).into_iter().flatten());
                given_back.terms = terms(world, id);
            }
        }
        if matches!(call, NameserverCall::ConfSet(_) | NameserverCall::CancelOp(_)) {
            return;
        }
        self.open(world);
        if let NameserverCall::ChangeLeader(request) = call {
            let name = TableName { db: request.db.clone().unwrap_or_default(), table: request.name.clone() };
            self.ledger.elected.extend(self.names.get(&(name, Pid(request.pid))));
        }
        if let NameserverCall::RecoverTable(request) = call {
            let at = Endpoint::from(request.endpoint.as_str());
            let table = world
                .tables()
                .into_iter()
                .find(|table| table.name == Some(request.name.clone()) && table.db == request.db);
            let Some(table) = table else { return };
            self.resends_only_what_is_proven(
                world,
                PartitionId { tid: Tid(table.tid()), pid: Pid(request.pid) },
                &at,
                call.name(),
            );
        }
    }

    /// The run is about to tell a tablet to change something.
    pub fn tablet_is_told(&mut self, world: &mut World, at: &Endpoint, call: &TabletCall) {
        self.open(world);
        let at = world.endpoint_at(at.as_str()).unwrap_or_else(|| at.clone());
        let signed = |number: i32| u32::try_from(number).unwrap_or(u32::MAX);
        match call {
            TabletCall::LoadTable(request) => {
                let meta = request.table_meta.clone().unwrap_or_default();
                if meta.mode() != TableMode::KTableFollower {
                    self.wrong(
                        "loads_as_follower",
                        format!("LoadTable {}/{} at {at} as leader", meta.tid(), meta.pid()),
                    );
                }
            }
            TabletCall::DropTable(request) => {
                let id = PartitionId { tid: Tid(signed(request.tid())), pid: Pid(signed(request.pid())) };
                self.resends_only_what_is_proven(world, id, &at, call.name());
            }
            TabletCall::ChangeRole(request) => {
                let id = PartitionId { tid: Tid(request.tid()), pid: Pid(request.pid()) };
                for follower in &request.replicas {
                    self.connects_only_prefixes(world, id, &at, &follower.as_str().into());
                }
            }
            TabletCall::AddReplica(request) => {
                let id = PartitionId { tid: Tid(request.tid()), pid: Pid(request.pid()) };
                self.connects_only_prefixes(world, id, &at, &request.endpoint().into());
            }
            _ => {}
        }
    }

    /// Whether the run has told anybody to change something.
    pub fn changed_anything(&self) -> bool {
        self.opened
    }

    /// What a recovery without a lock has had overwritten is none of the run's doing, nor is what becomes of aggregates of nothing.
    pub fn what_others_ruined(&mut self, world: &World) {
        self.forgotten.extend(world.ruined_by_others());
        self.forgotten.extend(of_dropped_tables(world));
    }

    /// Before the first change, what is there is counted.
    fn open(&mut self, world: &mut World) {
        self.told += 1;
        assert!(self.told < AT_MOST, "a run changes the same back and forth");
        self.what_others_ruined(world);
        if !self.opened {
            self.opened = true;
            self.ledger.open(world, &self.missing);
            for table in world.tables() {
                let name = TableName { db: table.db().to_owned(), table: table.name().to_owned() };
                for metas in &table.table_partition {
                    let id = PartitionId { tid: Tid(table.tid()), pid: Pid(metas.pid) };
                    self.names.insert((name.clone(), id.pid), id);
                }
            }
        }
    }

    /// What a replica holds is discarded only if the alive leader holds it too, or it was given up: by OpenMLDB's own rule, or
    /// by a choice that says so.
    fn resends_only_what_is_proven(&mut self, world: &World, id: PartitionId, at: &Endpoint, call: &str) {
        let invariant = "resends_only_what_is_proven";
        let Some(metas) = world.metadata().remove(&id) else { return };
        let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive());
        let Some(leader) = leader else {
            return self.wrong(invariant, format!("{call} {id} at {at} although no leader is alive"));
        };
        if self.ledger.diverged.contains(&id) || self.forgotten.contains(&id) || self.missing.contains(at) {
            return;
        }
        self.ledger.note_elections(world, id);
        let held = rows(&world.log(&leader.endpoint.as_str().into(), id));
        let log = world.log(at, id);
        let kept = self.ledger.of(world, id);
        let lost = log.iter().filter(|entry| !held.contains(&entry.row) && kept.contains(&entry.row));
        let lost: Vec<&Entry> = lost.collect();
        let leads = world.log(&leader.endpoint.as_str().into(), id);
        if lacks_nothing(world, id, &leads, &lost.iter().copied().copied().collect::<Vec<_>>()) {
            return;
        }
        if lost.len() as u64 > self.announced.get(&id).copied().unwrap_or_default() {
            let leader = &leader.endpoint;
            self.wrong(invariant, format!("{call} {id} at {at} discards what leader {leader} does not hold: {lost:?}"));
        }
    }

    /// A leader takes as its follower only what holds the beginning of its own log.
    fn connects_only_prefixes(&mut self, world: &World, id: PartitionId, leader: &Endpoint, follower: &Endpoint) {
        // Somebody has dropped the table: the call is refused.
        if !world.metadata().contains_key(&id) {
            return;
        }
        if self.ledger.diverged.contains(&id) || self.forgotten.contains(&id) || self.missing.contains(follower) {
            return;
        }
        let leads = world.log(leader, id);
        let leading: BTreeMap<u64, Entry> = leads.iter().map(|entry| (entry.index, *entry)).collect();
        let last = leading.keys().next_back().copied().unwrap_or_default().max(world.end(leader, id));
        let is_foreign = |entry: &&Entry| match leading.get(&entry.index) {
            Some(there) => !is_same(there, entry),
            None => entry.index > last,
        };
        let log = world.log(follower, id);
        // Where an aggregator wrote into both while they were loaded, they have several entries in one place.
        if log.len() <= leads.len() && log.iter().zip(&leads).all(|(one, other)| is_same(one, other)) {
            return;
        }
        // It may hold something else in places of which clients are shown nothing: rows were compared.
        let end = log.last().map_or(0, |entry| entry.index);
        let leads: Vec<Entry> = leading.values().copied().collect();
        let behind: Vec<Entry> = leads.iter().filter(|entry| entry.index > end).copied().collect();
        let in_time = BTreeMap::from([(leader.clone(), leads), (follower.clone(), [log.as_slice(), &behind].concat())]);
        if end <= last && show_the_same(world, id, &in_time) {
            return;
        }
        if let Some(foreign) = log.iter().find(is_foreign) {
            let there = leading.get(&foreign.index);
            let text = format!("{id}: {follower} holds {foreign:?}, its leader {leader} {there:?} (it ends at {last})");
            self.wrong("connects_only_prefixes", text);
        }
    }

    /// No partition has two alive leaders, but for what another operator does.
    pub fn leaders_are_single(&mut self, world: &World) {
        if self.meddled {
            return;
        }
        for (id, metas) in world.metadata() {
            let alive = metas.partition_meta.iter().filter(|meta| meta.is_leader && meta.is_alive()).count();
            if alive > 1 && self.two_leaders.insert(id) {
                self.wrong("leaders_are_single", format!("{id} has {alive} alive leaders"));
            }
        }
    }
}

fn rows(log: &[Entry]) -> BTreeSet<RowId> {
    log.iter().map(|entry| entry.row).collect()
}
