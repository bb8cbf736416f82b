//! Worlds that are written out: a cluster, what happens to it, and how it comes out when it is recovered. Unlike a seed of the
//! hunt's, such a world stays what it is when the generator changes, and says what it is about.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::run::PlanId;
use openmldb_ops::sandbox::nameserver::{Placement, TableSpec};
use openmldb_ops::sandbox::tablet::Ttl;
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::common::StorageMode;

use super::calm::{auto_failover, await_nameserver};
use super::hunted::{Found, recovered};
use super::life::{Brought, deployed};
use super::run::{Host, Ran, Run};
use super::troubles::Troubles;

/// A world in the making. Tablets and nameservers go by their places, from 1.
pub struct Written {
    pub world: World,
    playbook: &'static str,
    host: Host,
    tables: usize,
    damaged: bool,
    spoiled: BTreeSet<(Endpoint, PartitionId)>,
    runs: u64,
    owed: Option<bool>,
}

/// Everything runs; nothing is created yet.
pub fn cluster(tablets: usize, nameservers: usize) -> Written {
    changed_cluster(tablets, nameservers, |_| {})
}

/// The same under other settings.
pub fn changed_cluster(tablets: usize, nameservers: usize, change: impl FnOnce(&mut Settings)) -> Written {
    let mut settings = Settings { seed: 1, ..Settings::default() };
    settings.nameserver.tablet_heartbeat_timeout_ms = 1_000;
    change(&mut settings);
    let mut world = World::new(settings, &Addresses::recorded(nameservers, tablets));
    world.start_everything();
    await_nameserver(&mut world);
    world.create_database("shop").unwrap();
    Written {
        world,
        playbook: "recover",
        host: Host::new(true),
        tables: 0,
        damaged: false,
        spoiled: BTreeSet::new(),
        runs: 0,
        owed: None,
    }
}

impl Written {
    pub fn at(&self, tablet: usize) -> Endpoint {
        self.world.tablet_endpoints()[tablet - 1].clone()
    }

    fn nameserver(&self, nameserver: usize) -> Endpoint {
        self.world.nameserver_endpoints()[nameserver - 1].clone()
    }

    /// Its partitions by their tablets, the first of which leads.
    pub fn table<const N: usize>(&mut self, storage: StorageMode, partitions: [&[usize]; N]) -> [PartitionId; N] {
        self.expiring(storage, Ttl::Never, partitions)
    }

    /// The same with rows that expire.
    pub fn expiring<const N: usize>(
        &mut self,
        storage: StorageMode,
        ttl: Ttl,
        partitions: [&[usize]; N],
    ) -> [PartitionId; N] {
        self.tables += 1;
        let tablets = |on: &[usize]| on.iter().map(|tablet| self.at(*tablet).to_string()).collect::<Vec<_>>();
        let placement = partitions.iter().map(|on| Placement::at(&tablets(on))).collect();
        let spec = TableSpec::sql("shop", &format!("t{}", self.tables), storage, placement).keeping(ttl);
        let tid = Tid(self.world.create_table(&spec).unwrap());
        let mut pids = 0..;
        partitions.map(|_| PartitionId { tid, pid: Pid(pids.next().unwrap()) })
    }

    /// A memory table of one partition on these tablets, the first of which leads, and what aggregates it.
    pub fn aggregated(&mut self, on: &[usize]) -> [PartitionId; 2] {
        self.tables += 1;
        let tablets: Vec<String> = on.iter().map(|tablet| self.at(*tablet).to_string()).collect();
        let name = format!("t{}", self.tables);
        let spec = TableSpec::sql("shop", &name, StorageMode::KMemory, vec![Placement::at(&tablets)]);
        let base = self.world.create_table(&spec).unwrap();
        let aggregate = deployed(&mut self.world, base, &spec);
        [base, aggregate].map(|tid| PartitionId { tid: Tid(tid), pid: Pid(0) })
    }

    pub fn passes(&mut self, millis: u64) {
        self.world.advance_by(millis);
    }

    /// So many rows, all of which are taken.
    pub fn rows(&mut self, to: PartitionId, at: usize, rows: usize) {
        let at = self.at(at);
        for row in 1..=rows {
            assert!(self.world.put_row(&at, to), "row {row} to {to} at {at}");
        }
    }

    /// So many rows of so many keys.
    pub fn rows_of_keys(&mut self, to: PartitionId, at: usize, keys: u64, rows: u64) {
        let at = self.at(at);
        for row in 0..rows {
            assert!(self.world.put_row_under(&at, to, 1 + row % keys), "row {row} to {to} at {at}");
        }
    }

    /// So many deletes, all of which are taken.
    pub fn deletes(&mut self, from: PartitionId, at: usize, rows: usize) {
        let at = self.at(at);
        for row in 1..=rows {
            assert!(self.world.delete_row(&at, from), "delete {row} from {from} at {at}");
        }
    }

    /// The tablet that leads a partition.
    pub fn led_by(&self, id: PartitionId) -> usize {
        let metas = self.world.metadata().remove(&id).unwrap();
        let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive()).unwrap();
        self.world.tablet_endpoints().iter().position(|at| at.as_str() == leader.endpoint).unwrap() + 1
    }

    pub fn freeze<const N: usize>(&mut self, tablets: [usize; N], frozen: bool) {
        tablets.into_iter().for_each(|tablet| self.world.freeze_tablet(&self.at(tablet), frozen));
    }

    pub fn dies(&mut self, tablets: impl IntoIterator<Item = usize>) {
        tablets.into_iter().for_each(|tablet| self.world.kill_tablet(&self.at(tablet)));
    }

    pub fn starts(&mut self, tablets: impl IntoIterator<Item = usize>) {
        tablets.into_iter().for_each(|tablet| self.world.start_tablets(&[self.at(tablet)]));
    }

    pub fn freezes(&mut self, tablet: usize, millis: u64) {
        let at = self.at(tablet);
        self.world.freeze_tablet(&at, true);
        self.world.advance_by(millis);
        self.world.freeze_tablet(&at, false);
    }

    pub fn nameservers_die(&mut self, nameservers: impl IntoIterator<Item = usize>) {
        nameservers.into_iter().for_each(|nameserver| self.world.kill_nameserver(&self.nameserver(nameserver)));
    }

    /// Once they are started again, if they were killed.
    pub fn a_nameserver_leads(&mut self) {
        await_nameserver(&mut self.world);
    }

    pub fn everything_dies(&mut self) {
        self.world.kill_everything();
    }

    pub fn everything_starts(&mut self) {
        self.world.start_everything();
        await_nameserver(&mut self.world);
    }

    pub fn snapshot(&mut self, of: PartitionId, at: usize) {
        let at = self.at(at);
        assert!(self.world.make_snapshot(&at, of));
    }

    pub fn loses(&mut self, entries: RangeInclusive<u64>, of: PartitionId, at: usize) {
        let (at, first, last) = (self.at(at), *entries.start(), *entries.end());
        assert!(self.world.tablets_mut().lose_entries(at.as_str(), of.tid.0, of.pid.0, first, last));
        self.damaged = true;
    }

    /// What says of which table it is is empty.
    pub fn loses_description(&mut self, of: PartitionId, at: usize) {
        let at = self.at(at);
        assert!(self.world.tablets_mut().empty_table_meta(at.as_str(), of.tid.0, of.pid.0));
        self.damaged = true;
    }

    /// It is there, and cannot be read.
    pub fn spoils_manifest(&mut self, of: PartitionId, at: usize) {
        let at = self.at(at);
        assert!(self.world.tablets_mut().spoil_manifest(at.as_str(), of.tid.0, of.pid.0));
        self.damaged = true;
        self.spoiled.insert((at, of));
    }

    /// Somebody recovers it before what it is about happens, and is killed.
    pub fn a_recovery_is_killed(&mut self, after: Duration) {
        self.a_recovery_is_left_to_others(|calm| Run { killed_after: Some(after), ..calm });
    }

    /// Somebody recovers it before what it is about happens; what that owes is given back by whoever comes next.
    pub fn a_recovery_is_left_to_others(&mut self, how: impl FnOnce(Run<'static>) -> Run<'static>) {
        let before = auto_failover(&mut self.world);
        self.is_recovered(how);
        self.owed = self.owed.or(before);
    }

    /// Somebody recovers it, in that way.
    pub fn is_recovered(&mut self, how: impl FnOnce(Run<'static>) -> Run<'static>) -> Ran {
        self.runs += 1;
        let run = how(Run::calm(self.playbook, &self.host, self.runs));
        let (world, ran) = run.on(self.take_world(), &Arc::default());
        self.world = world;
        ran
    }

    /// Whoever comes next has none of the records; what is left in ZooKeeper is there.
    pub fn is_gone_on_with_from_another_host(&mut self) {
        self.host = self.host.another();
    }

    /// The id of the plan that somebody is shown who asks for it in that way.
    pub fn is_planned(&mut self, how: impl FnOnce(Run<'static>) -> Run<'static>) -> PlanId {
        let run = how(Run::calm(self.playbook, &self.host, self.runs));
        let (world, id) = run.plan(self.take_world());
        self.world = world;
        id
    }

    fn take_world(&mut self) -> World {
        std::mem::replace(&mut self.world, World::new(Settings::default(), &Addresses::recorded(1, 1)))
    }

    pub fn by(mut self, playbook: &'static str) -> Self {
        self.playbook = playbook;
        self
    }

    /// Recovered by runs that nothing disturbs, and nothing was wrong.
    pub fn comes_right(self) -> Found {
        self.comes_right_after(&[])
    }

    /// The same after a run under each of these faults.
    pub fn comes_right_after(self, disturbed: &[&[&str]]) -> Found {
        let found = self.comes(disturbed);
        if !found.violations.is_empty() {
            found.told.iter().for_each(|line| println!("{}", line.chars().take(700).collect::<String>()));
        }
        assert_eq!(found.violations, []);
        found
    }

    /// What becomes of it, right or wrong.
    pub fn comes(self, disturbed: &[&[&str]]) -> Found {
        let troubles = disturbed.iter().map(|faults| {
            let mut troubles = Troubles::default();
            faults.iter().for_each(|fault| troubles.adds(fault));
            troubles
        });
        let brought = Brought {
            world: self.world,
            told: Vec::new(),
            missing: Vec::new(),
            late: None,
            damaged: self.damaged,
            spoiled: self.spoiled,
            host: self.host,
            runs: self.runs,
            owed: self.owed,
            announced: BTreeMap::new(),
            violations: Vec::new(),
        };
        recovered(brought, self.playbook, troubles.collect())
    }
}
