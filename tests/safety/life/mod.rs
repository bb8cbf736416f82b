//! A random life of a small cluster, up to the moment somebody recovers it.

mod aggregates;
mod clients;
mod end;
mod events;
mod recoveries;

use std::collections::{BTreeMap, BTreeSet};

use openmldb_ops::model::{Endpoint, PartitionId, Tid};
use openmldb_ops::sandbox::nameserver::{Placement, TableSpec, system_tables};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::common::StorageMode;

use super::calm::await_nameserver;
use super::choices::Choices;
use super::dice::Dice;
use super::judge::Violation;
use super::run::Host;

pub use aggregates::{deployed, is_written_by_clients, of_dropped_tables};

/// A world and what was done to it.
pub struct Brought {
    /// The world, at the moment somebody comes to recover it.
    pub world: World,
    /// What happened, for people.
    pub told: Vec<String>,
    /// Tablets that do not come back.
    pub missing: Vec<Endpoint>,
    /// One that comes back while somebody is at work.
    pub late: Option<Endpoint>,
    /// Whether any disk was damaged.
    pub damaged: bool,
    /// Replicas whose MANIFEST cannot be read any more.
    pub spoiled: BTreeSet<(Endpoint, PartitionId)>,
    /// Where earlier recoveries ran, if there were any.
    pub host: Host,
    /// Runs so far.
    pub runs: u64,
    /// What an earlier recovery that did not finish found auto_failover to be.
    pub owed: Option<bool>,
    /// What earlier recoveries said they give up.
    pub announced: BTreeMap<PartitionId, u64>,
    /// What earlier recoveries did and must not have.
    pub violations: Vec<Violation>,
}

struct Life {
    announced: BTreeMap<PartitionId, u64>,
    world: World,
    choices: Choices,
    dice: Dice,
    told: Vec<String>,
    damaged: bool,
    spoiled: BTreeSet<(Endpoint, PartitionId)>,
    /// Tables whose rows expire, and share keys.
    expiring: BTreeSet<Tid>,
    /// Tables that are aggregated.
    aggregated: BTreeSet<Tid>,
    playbook: &'static str,
    host: Host,
    runs: u64,
    owed: Option<bool>,
    violations: Vec<Violation>,
}

/// Lives through a history.
pub fn live(choices: &Choices, playbook: &'static str) -> Brought {
    let mut life = Life::begin(choices, playbook);
    let events = choices.dice("events").between(0, 6);
    for (name, dice) in choices.several(events, "event") {
        life.dice = dice;
        life.choices = choices.within(&name);
        life.something_happens();
    }
    (life.choices, life.dice) = (choices.clone(), choices.dice("end"));
    let (missing, late) = life.end();
    let Life { world, told, damaged, spoiled, host, runs, owed, announced, violations, .. } = life;
    Brought { world, told, missing, late, damaged, spoiled, host, runs, owed, announced, violations }
}

impl Life {
    fn begin(choices: &Choices, playbook: &'static str) -> Self {
        let mut dice = choices.dice("cluster");
        let tablets = usize::try_from(dice.between(2, 4)).unwrap_or(3);
        let nameservers = usize::try_from(dice.between(1, 2)).unwrap_or(1);
        let mut settings = Settings { seed: dice.roll(), use_name: dice.percent(10), ..Settings::default() };
        settings.nameserver.tablet_heartbeat_timeout_ms = dice.between(1, 10) * 1000;
        settings.nameserver.auto_failover = dice.percent(80);
        let keeps_notes = dice.percent(70);
        let told = vec![format!(
            "{tablets} tablets, {nameservers} nameservers, heartbeat {} ms, auto_failover {}, ZooKeeper for notes {keeps_notes}",
            settings.nameserver.tablet_heartbeat_timeout_ms, settings.nameserver.auto_failover
        )];
        let mut life = Self {
            world: World::new(settings, &Addresses::recorded(nameservers, tablets)),
            choices: choices.clone(),
            dice,
            told,
            damaged: false,
            spoiled: BTreeSet::new(),
            expiring: BTreeSet::new(),
            aggregated: BTreeSet::new(),
            playbook,
            host: Host::new(keeps_notes),
            runs: 0,
            announced: BTreeMap::new(),
            owed: None,
            violations: Vec::new(),
        };
        life.world.start_everything();
        await_nameserver(&mut life.world);
        life.create();
        for (_, dice) in choices.several(life.dice.between(1, 4), "writing") {
            life.dice = dice;
            life.write_somewhere(40);
        }
        life.wait(3_000);
        life
    }

    fn tell(&mut self, what: impl Into<String>) {
        let at = self.world.now();
        self.told.push(format!("{:>8.1}s {}", at as f64 / 1000.0, what.into()));
    }

    fn wait(&mut self, most: u64) {
        let millis = self.dice.between(0, most);
        self.world.advance_by(millis);
    }

    fn create(&mut self) {
        let tablets: Vec<String> = self.world.tablet_endpoints().iter().map(ToString::to_string).collect();
        if let Some(mut dice) = self.choices.perhaps(15, "system-tables") {
            let replicas = usize::try_from(dice.between(1, tablets.len() as u64)).unwrap_or(1);
            for spec in system_tables(|_| tablets[..replicas].to_vec()) {
                self.world.create_table(&spec).unwrap();
            }
        }
        self.world.create_database("shop").unwrap();
        let tables = self.dice.between(1, 3);
        for (name, dice) in self.choices.several(tables, "table") {
            self.dice = dice;
            let storage = [
                StorageMode::KMemory,
                StorageMode::KMemory,
                StorageMode::KMemory,
                StorageMode::KHdd,
                StorageMode::KSsd,
            ];
            let storage = *self.dice.pick(&storage).unwrap();
            let partitions = self.choices.within(&name).several(self.dice.between(1, 3), "partition");
            let placement: Vec<Placement> =
                partitions.into_iter().map(|(_, mut dice)| place(&mut dice, &tablets)).collect();
            if placement.is_empty() {
                continue;
            }
            let ttl = self.choices.within(&name).perhaps(20, "expires").map(|mut dice| clients::ttl(&mut dice));
            let spec = TableSpec::sql("shop", &name, storage, placement).keeping(ttl.unwrap_or_default());
            let shape: Vec<String> =
                spec.placement.iter().map(|p| format!("{:?} led by {}", p.replicas, p.leader)).collect();
            let tid = self.world.create_table(&spec).unwrap();
            self.tell(format!("{name} ({tid}) {storage:?} {ttl:?} {}", shape.join("; ")));
            if ttl.is_some() {
                self.expiring.insert(Tid(tid));
            }
            let may_be_aggregated = storage == StorageMode::KMemory && ttl.is_none();
            if may_be_aggregated && self.choices.within(&name).perhaps(20, "aggregated").is_some() {
                self.is_aggregated(tid, &spec);
            }
        }
        self.dice = self.choices.dice("after creation");
    }

    fn tablet(&mut self) -> Endpoint {
        let mut dice = self.dice.fork();
        self.tablet_by(&mut dice)
    }

    fn tablet_by(&self, dice: &mut Dice) -> Endpoint {
        dice.pick(self.world.tablet_endpoints()).unwrap().clone()
    }

    fn start_tablet(&mut self, endpoint: &Endpoint) {
        self.world.start_tablets(std::slice::from_ref(endpoint));
        self.tell(format!("{endpoint} started"));
    }

    fn something_happens(&mut self) {
        if let Some(dice) = self.choices.perhaps(15, "later-term") {
            self.a_follower_hears_of_a_later_term(dice);
        }
        match self.dice.between(0, 13) {
            0 | 1 => self.write_somewhere(20),
            2 | 3 => self.a_tablet_dies(),
            4 | 5 => self.a_leader_dies_with_a_tail(),
            6 => self.a_tablet_freezes(),
            7 => self.a_leader_is_changed(),
            8 => self.snapshots(),
            9 => self.a_nameserver_dies(),
            10 => self.everything_is_down_for_a_while(),
            11 => self.everything_is_recovered(),
            12 => self.somebody_recovers_by_the_letter(),
            _ => self.wait(60_000),
        }
        if let Some(dice) = self.choices.perhaps(12, "hangs") {
            self.a_tablet_hangs(dice);
        }
        if let Some(dice) = self.choices.perhaps(8, "nameserver-freezes") {
            self.a_nameserver_freezes(dice);
        }
    }
}

fn place(dice: &mut Dice, tablets: &[String]) -> Placement {
    let replicas = dice.between(1, 3).max(dice.between(1, 3)).min(tablets.len() as u64);
    let first = usize::try_from(dice.between(0, 9)).unwrap();
    let on: Vec<&String> =
        (0..usize::try_from(replicas).unwrap()).map(|at| &tablets[(first + at) % tablets.len()]).collect();
    let leader = usize::try_from(dice.between(0, replicas - 1)).unwrap();
    Placement::at(&on).led_by(leader)
}
