//! A random life of a small cluster, up to the moment somebody recovers it.

use std::collections::BTreeSet;

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::sandbox::nameserver::{Placement, TableSpec, system_tables};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::common::StorageMode;
use openmldb_ops::wire::nameserver::{ChangeLeaderRequest, ConfSetRequest, Pair, ShowOpStatusRequest, TableInfo};

use super::dice::Dice;

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
}

struct Life {
    world: World,
    dice: Dice,
    told: Vec<String>,
    damaged: bool,
    spoiled: BTreeSet<(Endpoint, PartitionId)>,
}

/// Lives through a seed's history.
pub fn live(dice: &mut Dice) -> Brought {
    let mut life = Life::begin(dice.fork());
    for _ in 0..life.dice.between(0, 6) {
        life.something_happens();
    }
    let missing = life.end();
    Brought { world: life.world, told: life.told, missing, damaged: life.damaged, spoiled: life.spoiled }
}

impl Life {
    fn begin(mut dice: Dice) -> Self {
        let tablets = usize::try_from(dice.between(2, 4)).unwrap_or(3);
        let nameservers = usize::try_from(dice.between(1, 2)).unwrap_or(1);
        let mut settings = Settings { seed: dice.roll(), use_name: dice.percent(10), ..Settings::default() };
        settings.nameserver.tablet_heartbeat_timeout_ms = dice.between(1, 10) * 1000;
        settings.nameserver.auto_failover = dice.percent(80);
        let told = vec![format!(
            "{tablets} tablets, {nameservers} nameservers, heartbeat {} ms, auto_failover {}",
            settings.nameserver.tablet_heartbeat_timeout_ms, settings.nameserver.auto_failover
        )];
        let mut life = Self {
            world: World::new(settings, &Addresses::recorded(nameservers, tablets)),
            dice,
            told,
            damaged: false,
            spoiled: BTreeSet::new(),
        };
        life.world.start_everything();
        life.await_nameserver();
        life.create();
        for _ in 0..life.dice.between(1, 4) {
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

    fn await_nameserver(&mut self) {
        for _ in 0..10_000 {
            if self.world.leader().is_some() {
                return;
            }
            self.world.advance_by(100);
        }
        panic!("no nameserver leads");
    }

    fn create(&mut self) {
        let tablets: Vec<String> = self.world.tablet_endpoints().iter().map(ToString::to_string).collect();
        if self.dice.percent(15) {
            let replicas = usize::try_from(self.dice.between(1, tablets.len() as u64)).unwrap_or(1);
            for spec in system_tables(|_| tablets[..replicas].to_vec()) {
                self.world.create_table(&spec).unwrap();
            }
        }
        self.world.create_database("shop").unwrap();
        for table in 0..self.dice.between(1, 3) {
            let storage = *self
                .dice
                .pick(&[
                    StorageMode::KMemory,
                    StorageMode::KMemory,
                    StorageMode::KMemory,
                    StorageMode::KHdd,
                    StorageMode::KSsd,
                ])
                .unwrap();
            let placement: Vec<Placement> = (0..self.dice.between(1, 3)).map(|_| self.place(&tablets)).collect();
            let spec = TableSpec::sql("shop", &format!("t{table}"), storage, placement);
            let shape: Vec<String> =
                spec.placement.iter().map(|p| format!("{:?} led by {}", p.replicas, p.leader)).collect();
            let tid = self.world.create_table(&spec).unwrap();
            self.tell(format!("table t{table} ({tid}) {storage:?} {}", shape.join("; ")));
        }
    }

    fn place(&mut self, tablets: &[String]) -> Placement {
        let replicas = self.dice.between(1, 3).max(self.dice.between(1, 3)).min(tablets.len() as u64);
        let first = usize::try_from(self.dice.between(0, 9)).unwrap();
        let on: Vec<&String> =
            (0..usize::try_from(replicas).unwrap()).map(|at| &tablets[(first + at) % tablets.len()]).collect();
        let leader = usize::try_from(self.dice.between(0, replicas - 1)).unwrap();
        Placement::at(&on).led_by(leader)
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
        let tablets = self.world.tablet_endpoints().to_vec();
        self.dice.pick(&tablets).unwrap().clone()
    }

    fn start_tablet(&mut self, endpoint: &Endpoint) {
        self.world.start_tablets(std::slice::from_ref(endpoint));
        self.tell(format!("{endpoint} started"));
    }

    fn something_happens(&mut self) {
        match self.dice.between(0, 11) {
            0 | 1 => self.write_somewhere(20),
            2 | 3 => self.a_tablet_dies(),
            4 | 5 => self.a_leader_dies_with_a_tail(),
            6 => self.a_tablet_freezes(),
            7 => self.a_leader_is_changed(),
            8 => self.snapshots(),
            9 => self.a_nameserver_dies(),
            10 => self.everything_is_down_for_a_while(),
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

    fn auto_failover(&mut self, on: bool) {
        let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
        self.nameserver(NameserverCall::ConfSet(ConfSetRequest { conf }));
    }

    fn a_leader_is_changed(&mut self) {
        let on = super::auto_failover(&mut self.world);
        self.auto_failover(false);
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
            self.auto_failover(true);
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
        self.world.start_nameserver(&leader);
        self.await_nameserver();
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

    /// Everything dies, disks are lost, most of it comes back. Gives the tablets that do not.
    fn end(&mut self) -> Vec<Endpoint> {
        let tablets = self.world.tablet_endpoints().to_vec();
        if self.dice.percent(25) {
            let every = self.dice.between(50, 1000);
            let seed = self.dice.roll();
            self.world.start_writers(every, seed);
            self.tell(format!("writers, a row every {every} ms"));
            self.wait(20_000);
        }
        if self.dice.percent(30) {
            // The last rows reach the leader alone.
            let frozen = self.tablet();
            self.world.freeze_tablet(&frozen, true);
            self.write_somewhere(10);
            self.tell(format!("{frozen} frozen to the end"));
            self.wait(500);
        }
        let with_nameservers = self.dice.percent(75);
        let spared = if self.dice.percent(12) { Some(self.tablet()) } else { None };
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
        self.damage();
        let missing: Vec<Endpoint> = if self.dice.percent(12) { vec![self.tablet()] } else { Vec::new() };
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
        self.await_nameserver();
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

    /// One tablet's disk, or nothing.
    fn damage(&mut self) {
        if !self.dice.percent(40) {
            return;
        }
        let victim = self.tablet();
        if self.world.is_up(&victim) {
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
