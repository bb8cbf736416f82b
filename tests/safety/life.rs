//! A random life of a small cluster, up to the moment somebody recovers it.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::sandbox::nameserver::{Placement, TableSpec, system_tables};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::api::{LoadTableRequest, TableMeta};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletCall};
use openmldb_ops::wire::common::StorageMode;
use openmldb_ops::wire::nameserver::{
    ChangeLeaderRequest, ConfSetRequest, Pair, RecoverTableRequest, ShowOpStatusRequest, TableInfo, TablePartition,
    UpdateTableAliveRequest,
};

use super::calm::{auto_failover, await_nameserver};
use super::choices::Choices;
use super::dice::Dice;
use super::judge::{Judge, Violation};
use super::run::{Ended, Host, Run};

/// A world and what was done to it.
pub struct Brought {
    /// The world, at the moment somebody comes to recover it.
    pub world: World,
    /// What happened, for people.
    pub told: Vec<String>,
    /// Tablets that do not come back.
    pub missing: Vec<Endpoint>,
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
    /// What earlier recoveries did and must not have.
    pub violations: Vec<Violation>,
}

struct Life {
    world: World,
    choices: Choices,
    dice: Dice,
    told: Vec<String>,
    damaged: bool,
    spoiled: BTreeSet<(Endpoint, PartitionId)>,
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
    let missing = life.end();
    let Life { world, told, damaged, spoiled, host, runs, owed, violations, .. } = life;
    Brought { world, told, missing, damaged, spoiled, host, runs, owed, violations }
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
            playbook,
            host: Host::new(keeps_notes),
            runs: 0,
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
            let spec = TableSpec::sql("shop", &name, storage, placement);
            let shape: Vec<String> =
                spec.placement.iter().map(|p| format!("{:?} led by {}", p.replicas, p.leader)).collect();
            let tid = self.world.create_table(&spec).unwrap();
            self.tell(format!("{name} ({tid}) {storage:?} {}", shape.join("; ")));
        }
        self.dice = self.choices.dice("after creation");
    }

    fn led(&self) -> Vec<(PartitionId, Endpoint)> {
        let leaders = self.world.metadata().into_iter().filter_map(|(id, metas)| {
            let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive())?;
            Some((id, Endpoint::from(leader.endpoint.as_str())))
        });
        leaders.collect()
    }

    fn write_somewhere(&mut self, most: u64) {
        let led = self.led();
        for (id, leader) in led {
            if self.dice.percent(60) {
                let rows = self.dice.between(1, most);
                let taken = (0..rows).filter(|_| self.world.put_row(&leader, id)).count();
                self.tell(format!("{taken} of {rows} rows to {id} at {leader}"));
            }
        }
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
    }

    fn a_tablet_dies(&mut self) {
        let victim = self.tablet();
        self.world.kill_tablet(&victim);
        self.tell(format!("{victim} killed"));
        self.wait(40_000);
        self.write_somewhere(15);
        self.wait(10_000);
        if self.dice.percent(70) {
            self.start_tablet(&victim);
            self.wait(60_000);
        }
    }

    /// Its followers are frozen while it takes rows; it dies; they go on.
    fn a_leader_dies_with_a_tail(&mut self) {
        let victim = self.tablet();
        let mut others = self.world.tablet_endpoints().to_vec();
        others.retain(|endpoint| *endpoint != victim);
        if others.len() > 1 && self.dice.percent(40) {
            others.pop();
        }
        for endpoint in &others {
            self.world.freeze_tablet(endpoint, true);
        }
        self.tell(format!("{others:?} frozen"));
        self.write_somewhere(8);
        self.wait(3_000);
        if self.dice.percent(80) {
            self.world.kill_tablet(&victim);
            self.tell(format!("{victim} killed"));
        }
        for endpoint in &others {
            self.world.freeze_tablet(endpoint, false);
        }
        self.tell("thawed");
        self.wait(40_000);
        self.write_somewhere(12);
        if self.dice.percent(50) {
            self.start_tablet(&victim);
            self.wait(40_000);
        }
    }

    fn a_tablet_freezes(&mut self) {
        let victim = self.tablet();
        self.world.freeze_tablet(&victim, true);
        self.tell(format!("{victim} frozen"));
        self.write_somewhere(10);
        self.wait(30_000);
        self.write_somewhere(5);
        self.world.freeze_tablet(&victim, false);
        self.tell(format!("{victim} thawed"));
        self.wait(20_000);
    }

    fn nameserver(&mut self, call: NameserverCall) -> Option<NameserverAnswer> {
        let leader = self.world.leader()?;
        self.world.call_nameserver(&leader, call).ok()
    }

    fn set_auto_failover(&mut self, on: bool) {
        let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
        self.nameserver(NameserverCall::ConfSet(ConfSetRequest { conf }));
    }

    fn a_leader_is_changed(&mut self) {
        let on = auto_failover(&mut self.world);
        self.set_auto_failover(false);
        let tables: Vec<TableInfo> = self.world.tables();
        for table in tables {
            for metas in &table.table_partition {
                let alive: Vec<&str> = metas
                    .partition_meta
                    .iter()
                    .filter(|meta| meta.is_alive() && !meta.is_leader)
                    .map(|meta| meta.endpoint.as_str())
                    .collect();
                let Some(candidate) = self.dice.pick(&alive).filter(|_| true) else { continue };
                let request = ChangeLeaderRequest {
                    name: table.name().to_owned(),
                    pid: metas.pid,
                    candidate_leader: Some((*candidate).to_owned()),
                    db: table.db.clone(),
                };
                self.tell(format!("changeleader {}/{} to {candidate}", table.name(), metas.pid));
                self.nameserver(NameserverCall::ChangeLeader(request));
                if self.dice.percent(50) {
                    break;
                }
            }
        }
        self.wait(15_000);
        self.until_ops_are_over();
        if on == Some(true) {
            self.set_auto_failover(true);
        }
        self.write_somewhere(10);
    }

    fn until_ops_are_over(&mut self) {
        for _ in 0..100 {
            let answer = self.nameserver(NameserverCall::ShowOpStatus(ShowOpStatusRequest::default()));
            let Some(NameserverAnswer::ShowOpStatus(answer)) = answer else { return };
            if !answer.op_status.iter().any(|op| matches!(op.status.as_str(), "kInited" | "kDoing")) {
                return;
            }
            self.world.advance_by(500);
        }
    }

    fn snapshots(&mut self) {
        for (id, metas) in self.world.metadata() {
            for meta in &metas.partition_meta {
                let endpoint = Endpoint::from(meta.endpoint.as_str());
                if self.dice.percent(50) && self.world.make_snapshot(&endpoint, id) {
                    let deleted = self.dice.percent(40)
                        && self.world.tablets_mut().delete_binlog_behind_snapshot(
                            endpoint.as_str(),
                            id.tid.0,
                            id.pid.0,
                        );
                    self.tell(format!("snapshot of {id} at {endpoint}, binlog behind it deleted: {deleted}"));
                }
            }
        }
        self.write_somewhere(10);
        self.wait(5_000);
    }

    fn a_nameserver_dies(&mut self) {
        let Some(leader) = self.world.leader() else { return };
        self.world.kill_nameserver(&leader);
        self.tell(format!("nameserver {leader} killed"));
        self.wait(10_000);
        // None leads while it finds too few tablets for the system tables.
        let tablets = self.world.tablet_endpoints().to_vec();
        if !tablets.iter().any(|tablet| self.world.is_up(tablet)) {
            tablets.iter().for_each(|tablet| self.start_tablet(tablet));
        }
        self.world.start_nameserver(&leader);
        await_nameserver(&mut self.world);
        self.wait(10_000);
    }

    /// With auto_failover on, OpenMLDB tries to bring itself back, and gets somewhere.
    fn everything_is_down_for_a_while(&mut self) {
        let tablets = self.world.tablet_endpoints().to_vec();
        for endpoint in &tablets {
            self.world.kill_tablet(endpoint);
            self.wait(200);
        }
        self.tell("all tablets killed");
        self.wait(30_000);
        for endpoint in &tablets {
            self.start_tablet(endpoint);
        }
        self.wait(90_000);
    }

    /// Everything dies and comes back whole; somebody runs the recovery, may be cut off, and life goes on.
    fn everything_is_recovered(&mut self) {
        self.everything_restarts();
        self.runs += 1;
        let mut run = Run::calm(self.playbook, &self.host, self.runs);
        if let Some(mut dice) = self.choices.perhaps(40, "cut-off") {
            run.killed_after = Some(Duration::from_millis(dice.between(0, 20_000)));
        }
        self.tell(format!("recovery {}, killed after {:?}", self.runs, run.killed_after));
        let before = auto_failover(&mut self.world);
        let judge = Arc::new(Mutex::new(Judge::default()));
        let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
        let (world, ran) = run.on(std::mem::replace(&mut self.world, empty), &judge);
        self.world = world;
        self.told.extend(ran.told);
        self.violations.append(&mut judge.lock().unwrap().violations);
        match ran.ended {
            Ended::Itself(_) => self.owed = None,
            Ended::Killed | Ended::Never => self.owed = self.owed.or(before),
        }
        self.wait(60_000);
        self.write_somewhere(15);
        self.wait(10_000);
    }

    fn everything_restarts(&mut self) {
        self.world.kill_everything();
        self.wait(20_000);
        self.world.start_everything();
        await_nameserver(&mut self.world);
        self.wait(10_000);
    }

    /// The documented steps, with leaders picked by their flags and loaded as leaders.
    fn somebody_recovers_by_the_letter(&mut self) {
        self.everything_restarts();
        self.tell("by the letter:");
        let on = auto_failover(&mut self.world);
        self.set_auto_failover(false);
        for table in self.world.tables() {
            for metas in &table.table_partition {
                self.partition_by_the_letter(&table, metas);
            }
        }
        self.until_ops_are_over();
        if on == Some(true) {
            self.set_auto_failover(true);
        }
        self.wait(20_000);
        self.write_somewhere(15);
        self.wait(10_000);
    }

    fn partition_by_the_letter(&mut self, table: &TableInfo, metas: &TablePartition) {
        let (name, db, pid) = (table.name.clone(), table.db.clone(), metas.pid);
        let mark = |endpoint: &str, alive| {
            let (endpoint, name, db) = (Some(endpoint.to_owned()), name.clone(), db.clone());
            let request = UpdateTableAliveRequest { name, db, pid: Some(pid), endpoint, is_alive: Some(alive) };
            NameserverCall::UpdateTableAliveStatus(request)
        };
        for meta in &metas.partition_meta {
            self.nameserver(mark(&meta.endpoint, false));
        }
        let Some(leader) = metas.partition_meta.iter().find(|meta| meta.is_leader) else { return };
        let signed = |number: u32| i32::try_from(number).ok();
        let mut meta = TableMeta {
            name: name.clone(),
            tid: signed(table.tid()),
            pid: signed(pid),
            seg_cnt: Some(8),
            ..TableMeta::default()
        };
        meta.storage_mode = table.storage_mode;
        let load = LoadTableRequest { table_meta: Some(meta), ..LoadTableRequest::default() };
        let _ = self.world.call_tablet(&leader.endpoint.as_str().into(), TabletCall::LoadTable(load));
        self.world.advance_by(3_000);
        self.nameserver(mark(&leader.endpoint, true));
        for follower in metas.partition_meta.iter().filter(|meta| meta.endpoint != leader.endpoint) {
            let endpoint = follower.endpoint.clone();
            let request = RecoverTableRequest { name: name.clone().unwrap_or_default(), db: db.clone(), pid, endpoint };
            self.nameserver(NameserverCall::RecoverTable(request));
        }
    }

    /// Everything dies, disks are lost, most of it comes back. Gives the tablets that do not.
    fn end(&mut self) -> Vec<Endpoint> {
        let tablets = self.world.tablet_endpoints().to_vec();
        if let Some(mut dice) = self.choices.perhaps(25, "writers") {
            let every = dice.between(50, 1000);
            let seed = dice.roll();
            self.world.start_writers(every, seed);
            self.tell(format!("writers, a row every {every} ms"));
            self.wait(20_000);
        }
        if let Some(dice) = self.choices.perhaps(30, "frozen-to-the-end") {
            self.dice = dice;
            // The last rows reach the leader alone.
            let frozen = self.tablet();
            self.world.freeze_tablet(&frozen, true);
            self.write_somewhere(10);
            self.tell(format!("{frozen} frozen to the end"));
            self.wait(500);
        }
        self.dice = self.choices.dice("how it ends");
        let with_nameservers = self.choices.perhaps(75, "nameservers-die").is_some();
        let spared = self.choices.perhaps(12, "spared").map(|mut dice| self.tablet_by(&mut dice));
        for endpoint in tablets.iter().filter(|endpoint| Some(*endpoint) != spared.as_ref()) {
            self.world.kill_tablet(endpoint);
            if self.dice.percent(30) {
                self.wait(2_000);
            }
        }
        self.tell(format!("killed, with nameservers: {with_nameservers}, spared {spared:?}"));
        if with_nameservers {
            for endpoint in self.world.nameserver_endpoints().to_vec() {
                self.world.kill_nameserver(&endpoint);
            }
        }
        self.wait(20_000);
        if let Some(dice) = self.choices.perhaps(40, "damage") {
            self.dice = dice;
            self.damage();
        }
        self.dice = self.choices.dice("how it comes back");
        let missing = self.choices.perhaps(12, "missing").map(|mut dice| self.tablet_by(&mut dice));
        let missing: Vec<Endpoint> = missing.into_iter().filter(|endpoint| Some(endpoint) != spared.as_ref()).collect();
        self.tell(format!("missing: {missing:?}"));
        for endpoint in tablets.iter().filter(|endpoint| !missing.contains(endpoint)) {
            self.start_tablet(endpoint);
            if self.dice.percent(20) {
                self.wait(5_000);
            }
        }
        for endpoint in tablets.iter().filter(|endpoint| !missing.contains(endpoint)) {
            self.world.freeze_tablet(endpoint, false);
        }
        for endpoint in self.world.nameserver_endpoints().to_vec() {
            self.world.start_nameserver(&endpoint);
        }
        await_nameserver(&mut self.world);
        self.wait(20_000);
        missing
    }

    fn is_system(&self, id: PartitionId) -> bool {
        self.world.tables().iter().any(|table| table.tid() == id.tid.0 && table.db() != "shop")
    }

    fn is_disk(&self, id: PartitionId) -> bool {
        let tables = self.world.tables();
        tables.iter().any(|table| table.tid() == id.tid.0 && table.storage_mode() != StorageMode::KMemory)
    }

    /// One tablet's disk.
    fn damage(&mut self) {
        let victim = self.tablet();
        if self.world.is_up(&victim) || self.world.is_frozen(&victim) {
            return;
        }
        let everywhere = self.dice.percent(50);
        let how = self.dice.between(0, 6);
        for id in self.world.metadata().into_keys().collect::<Vec<PartitionId>>() {
            if !everywhere && self.dice.percent(50) {
                continue;
            }
            let PartitionId { tid: Tid(tid), pid: Pid(pid) } = id;
            // Their rows may expire, so up to a tenth of them may be missing unseen.
            if matches!(how, 0 | 2 | 3 | 6) && self.is_system(id) {
                continue;
            }
            // RecoverTable asks the leader for its MANIFEST; a disk table loads without one and can then never be sent.
            if how == 4 && self.is_disk(id) {
                continue;
            }
            let log = self.world.log(&victim, id);
            let last = log.last().map_or(0, |entry| entry.index);
            let cut = self.dice.between(1, last.clamp(1, 20));
            let at = self.dice.between(1, last.max(1));
            let tablets = self.world.tablets_mut();
            let (name, done) = match how {
                0 => ("binlog", tablets.lose_binlog(victim.as_str(), tid, pid)),
                1 => ("directory", tablets.lose_directory(victim.as_str(), tid, pid)),
                2 => ("snapshot file", tablets.lose_snapshot_file(victim.as_str(), tid, pid)),
                3 => ("snapshot", tablets.lose_snapshot(victim.as_str(), tid, pid)),
                4 => ("MANIFEST", tablets.spoil_manifest(victim.as_str(), tid, pid)),
                5 => ("last entries", tablets.lose_entries(victim.as_str(), tid, pid, last - cut.min(last) + 1, last)),
                _ => ("some entries", tablets.lose_entries(victim.as_str(), tid, pid, at, at + cut)),
            };
            if done {
                self.damaged = true;
                if how == 4 {
                    self.spoiled.insert((victim.clone(), id));
                }
                self.tell(format!("{victim} lost {name} of {id} (last {last}, cut {cut}, at {at})"));
            }
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
