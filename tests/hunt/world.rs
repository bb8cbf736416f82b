//! One world: its history, the runs that recover it, and what is checked after each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::run::{Recovered, Shelf, Summary};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::tablet::Entry;

use super::dice::Dice;
use super::history;
use super::ledger::{Ledger, logs};
use super::process::{Ended, Mishap, Process, Ran, Trouble};
use super::weather::Weather;

/// What came of a world.
#[derive(Debug, Default)]
pub struct Found {
    /// What must not be.
    pub violations: Vec<String>,
    /// Reasons for which partitions were left alone at the end, with the world's kind.
    pub blocked: Vec<String>,
    /// Everything that happened.
    pub told: Vec<String>,
    /// Losses that were announced.
    pub announced: usize,
    /// Followers behind their leader that nothing shows.
    pub unseen: usize,
    /// Virtual time all runs took.
    pub virtual_time: Duration,
}

struct Hunt {
    dice: Dice,
    world: Option<World>,
    ledger: Arc<Mutex<Ledger>>,
    missing: Vec<Endpoint>,
    damaged: bool,
    troubled: bool,
    archive: Shelf,
    runs: u64,
    auto_failover: Option<bool>,
    given_up: BTreeMap<PartitionId, u64>,
    /// Partitions that some run touched. What looked healthy all the time is none of its business.
    touched: BTreeSet<PartitionId>,
    /// Partitions reported for what nothing shows later on: their leader lacks rows, or cannot send its followers what
    /// they lack.
    lacking: BTreeSet<PartitionId>,
    opened: bool,
    found: Found,
}

/// Lives through one world.
pub fn hunt(seed: u64) -> Found {
    let mut dice = Dice::new(seed);
    let mut brought = history::live(&mut dice);
    let auto_failover = super::auto_failover(&mut brought.world);
    let mut hunt = Hunt {
        dice,
        world: Some(brought.world),
        ledger: Arc::new(Mutex::new(Ledger::new(brought.spoiled))),
        missing: brought.missing,
        damaged: brought.damaged,
        troubled: false,
        archive: Shelf::default(),
        runs: 0,
        auto_failover,
        given_up: BTreeMap::new(),
        touched: BTreeSet::new(),
        lacking: BTreeSet::new(),
        opened: false,
        found: Found { told: brought.told, ..Found::default() },
    };
    hunt.all_runs();
    hunt.found
}

impl Hunt {
    fn world(&mut self) -> &mut World {
        self.world.as_mut().unwrap()
    }

    fn wrong(&mut self, what: impl Into<String>) {
        let text = format!("run {}: {}", self.runs, what.into());
        self.found.told.push(format!("VIOLATION {text}"));
        self.found.violations.push(text);
    }

    fn all_runs(&mut self) {
        if self.dice.percent(20) {
            self.world().nameserver_settings_mut().op_fails_for_no_reason = std::num::NonZeroU32::new(4);
        } else {
            self.world().nameserver_settings_mut().op_fails_for_no_reason = std::num::NonZeroU32::new(22);
        }
        let interruptions = if self.dice.percent(35) { self.dice.between(1, 3) } else { 0 };
        for _ in 0..interruptions {
            let mut trouble = self.trouble();
            let after = Duration::from_millis(match self.dice.between(0, 2) {
                0 => self.dice.between(0, 500),
                1 => self.dice.between(0, 5_000),
                _ => self.dice.between(0, 60_000),
            });
            if self.dice.percent(60) {
                trouble.killed_after = Some(after);
            } else {
                trouble.signal_after = Some(after);
            }
            self.run(trouble);
            self.calm_down();
        }
        if self.dice.percent(60) {
            let trouble = self.trouble();
            self.run(trouble);
            self.calm_down();
        }
        self.world().nameserver_settings_mut().op_fails_for_no_reason = None;
        self.calm_runs();
    }

    fn trouble(&mut self) -> Trouble {
        let mut trouble = Trouble::default();
        trouble.weather.latency = if self.dice.percent(50) { self.dice.between(0, 60) } else { 0 };
        if self.dice.percent(30) {
            let most = self.dice.between(1, 60);
            trouble.weather = Weather {
                unreachable: self.dice.between(0, most),
                hung_up: self.dice.between(0, most),
                late: self.dice.between(0, most / 4),
                ..trouble.weather
            };
            self.troubled = true;
        }
        let mishaps = if self.dice.percent(40) { self.dice.between(1, 3) } else { 0 };
        for _ in 0..mishaps {
            self.troubled = true;
            let most = if self.dice.percent(50) { 3_000 } else { 60_000 };
            let at = Duration::from_millis(self.dice.between(0, most));
            let mut tablets = self.world().tablet_endpoints().to_vec();
            tablets.retain(|tablet| !self.missing.contains(tablet));
            let Some(tablet) = self.dice.pick(&tablets).cloned() else { continue };
            let long = Duration::from_millis(self.dice.between(100, 20_000));
            let mishap = match self.dice.between(0, 3) {
                0 | 1 => Mishap::TabletRestarts(tablet, long),
                2 => Mishap::TabletFreezes(tablet, long),
                _ => Mishap::NameserverRestarts(long),
            };
            trouble.mishaps.push((at, mishap));
        }
        trouble
    }

    /// Whatever mishap was cut off is over.
    fn calm_down(&mut self) {
        let missing = self.missing.clone();
        let world = self.world();
        let tablets: Vec<Endpoint> = world.tablet_endpoints().to_vec();
        for tablet in tablets.iter().filter(|tablet| !missing.contains(tablet)) {
            if world.is_frozen(tablet) {
                world.freeze_tablet(tablet, false);
            }
            world.start_tablets(std::slice::from_ref(tablet));
        }
        for nameserver in world.nameserver_endpoints().to_vec() {
            world.start_nameserver(&nameserver);
        }
        for _ in 0..1_000 {
            if world.leader().is_some() {
                break;
            }
            world.advance_by(100);
        }
        let millis = self.dice.between(0, 20_000);
        self.world().advance_by(millis);
    }

    fn run(&mut self, trouble: Trouble) -> Option<Recovered> {
        self.runs += 1;
        let dice = self.dice.fork();
        self.found.told.push(format!("RUN {} with {trouble:?}", self.runs));
        let process = Process { archive: &self.archive, missing: &self.missing, trouble, number: 1_000 * self.runs };
        let world = self.world.take().unwrap();
        let (world, ran) = process.run(world, &self.ledger, dice);
        self.world = Some(world);
        self.found.virtual_time += ran.took;
        self.found.told.extend(ran.told.iter().cloned());
        // Opening the books empties the trace: what it holds afterwards is of this run alone.
        self.opened = !ran.touched.is_empty();
        self.touched.extend(ran.touched.iter().copied());
        self.judge(ran)
    }

    fn judge(&mut self, ran: Ran) -> Option<Recovered> {
        for (table, pid, given) in &ran.given_up {
            if let Some(id) = self.id_of(&table.db, &table.table, *pid) {
                *self.given_up.entry(id).or_default() += given.entries;
            }
        }
        if !ran.two_leaders.is_empty() {
            self.wrong(format!("two alive leaders in {:?}", ran.two_leaders));
        }
        if ran.stopping.is_some_and(|stopping| stopping > Duration::from_secs(300)) {
            self.wrong(format!("ended {:?} after its signal", ran.stopping));
        }
        self.rows_are_somewhere();
        let recovered = match ran.ended {
            Ended::Killed => {
                self.found.told.push(format!("killed after {:?}", ran.took));
                return None;
            }
            Ended::Never => {
                self.wrong("it does not end");
                return None;
            }
            Ended::Itself(result) => *result,
        };
        let now = super::auto_failover(self.world());
        let recovered = match recovered {
            Ok(recovered) => recovered,
            Err(error) => {
                self.found.told.push(format!("ended with an error: {error}"));
                if now.is_some() && now != self.auto_failover && !format!("{error:?}").contains("not_restored: Some") {
                    self.wrong(format!(
                        "auto_failover was {:?} and is {now:?} after error {error}",
                        self.auto_failover
                    ));
                }
                return None;
            }
        };
        self.found.told.push(format!("ended after {:?}: {:#?}", ran.took, recovered));
        let hidden = ["leader_lacks_rows", "not_catching_up"];
        for blocked in recovered.summary.blocked.iter().filter(|blocked| hidden.contains(&blocked.reason)) {
            let id = self.id_of(&blocked.db, &blocked.table, blocked.pid.0);
            self.lacking.extend(id);
        }
        if let Some(panic) = &recovered.panicked {
            self.wrong(format!("panicked: {panic}"));
        }
        match &recovered.not_restored {
            Some(why) => self.found.told.push(format!("auto_failover not restored: {why}")),
            None if now.is_some() && now != self.auto_failover => {
                self.wrong(format!("auto_failover was {:?} and is {now:?}", self.auto_failover));
            }
            None => {}
        }
        Some(recovered)
    }

    fn id_of(&mut self, db: &str, name: &str, pid: u32) -> Option<PartitionId> {
        let tables = self.world().tables();
        let table = tables.iter().find(|table| table.name() == name && table.db() == db)?;
        Some(PartitionId { tid: Tid(table.tid()), pid: Pid(pid) })
    }

    /// Terms of a disk table's entries cannot be known, so the larger offset decides and says what it gives up.
    fn is_disk(&self, id: PartitionId) -> bool {
        let tables = self.world.as_ref().unwrap().tables();
        let table = tables.iter().find(|table| table.tid() == id.tid.0);
        table.is_some_and(|table| table.storage_mode() != openmldb_ops::wire::common::StorageMode::KMemory)
    }

    /// Nothing is discarded: every row is held by some replica.
    fn rows_are_somewhere(&mut self) {
        let missing = self.missing.clone();
        let world = self.world.as_ref().unwrap();
        let expected = self.ledger.lock().unwrap().close(world).clone();
        let mut wrong = Vec::new();
        for (id, rows) in &expected {
            let held: BTreeSet<_> = logs(world, *id, &missing).values().flatten().map(|entry| entry.row).collect();
            let lost: Vec<_> = rows.difference(&held).collect();
            if lost.is_empty() {
                continue;
            }
            let is_disk = self.is_disk(*id);
            if is_disk && self.given_up.get(id).is_some_and(|entries| *entries >= lost.len() as u64) {
                self.found.announced += 1;
                self.found.told.push(format!("announced: {id} lost {} rows", lost.len()));
            } else {
                wrong.push(format!("{id}: {} rows are nowhere: {lost:?}", lost.len()));
            }
        }
        wrong.into_iter().for_each(|text| self.wrong(text));
    }

    fn calm_runs(&mut self) {
        let Some(first) = self.run(Trouble::default()) else {
            self.wrong("a calm run has no result");
            return;
        };
        let wrote = self.world().stop_writers().is_some();
        self.world().settle();
        self.rows_are_somewhere();
        self.reported_is_so(&first.summary);
        // What clients wrote meanwhile may have been what another run waited for.
        if wrote && self.run(Trouble::default()).is_some() {
            self.world().settle();
        }
        let before = self.looks_like();
        let Some(second) = self.run(Trouble::default()) else {
            self.wrong("a second calm run has no result");
            return;
        };
        self.changes_nothing(&before);
        let kind = format!(
            "{}{}{}",
            if self.damaged { "damaged " } else { "" },
            if self.missing.is_empty() { "" } else { "missing " },
            if self.troubled { "troubled" } else { "" }
        );
        for blocked in &second.summary.blocked {
            self.found.blocked.push(format!("{} [{kind}]", blocked.reason));
        }
        self.world().settle();
        self.reported_is_so(&second.summary);
    }

    /// Flags, roles, rows: everything that a run may change.
    fn looks_like(&mut self) -> String {
        let missing = self.missing.clone();
        let world = self.world();
        let mut text = String::new();
        for (id, metas) in world.metadata() {
            for meta in &metas.partition_meta {
                text += &format!("{id} {} {} {}\n", meta.endpoint, meta.is_leader, meta.is_alive());
            }
            text += &format!("{id} {:?} {:?}\n", metas.term_offset, logs(world, id, &missing));
        }
        text
    }

    /// A run after a calm one may ask again whether something can be loaded, and what a refused call shows.
    fn changes_nothing(&mut self, before: &str) {
        let harmless = ["ConfSet", "LoadTable", "UpdateTableAliveStatus"];
        let calls: Vec<String> = self
            .world()
            .trace()
            .calls()
            .filter(|call| call.effect == openmldb_ops::wire::call::Effect::Mutate && !harmless.contains(&call.method))
            .map(|call| format!("{} {} {:?}", call.server, call.method, call.partitions))
            .collect();
        let after = self.looks_like();
        if *before != after {
            self.wrong(format!("a second calm run changed something: {before} {after}"));
        } else if self.opened && !calls.is_empty() {
            self.wrong(format!("a second calm run changed something: {calls:?}"));
        }
    }

    /// What the summary says of each partition is so.
    fn reported_is_so(&mut self, summary: &Summary) {
        let missing = self.missing.clone();
        let expected = {
            let world = self.world.as_ref().unwrap();
            self.ledger.lock().unwrap().close(world).clone()
        };
        let (given_up, touched) = (self.given_up.clone(), self.touched.clone());
        let lacking = self.lacking.clone();
        let (interrupted, damaged) = (self.runs > 2, self.damaged);
        let mut unseen = 0;
        let hidden = self.ledger.lock().unwrap().diverged.clone();
        let world = self.world();
        let healthy = world.healthy();
        let mut wrong = Vec::new();
        for table in world.tables() {
            for metas in &table.table_partition {
                let id = PartitionId { tid: Tid(table.tid()), pid: Pid(metas.pid) };
                let blocked = summary.blocked.iter().find(|blocked| {
                    blocked.db == table.db() && blocked.table == table.name() && blocked.pid.0 == metas.pid
                });
                if blocked.is_some() || lacking.contains(&id) || !touched.contains(&id) {
                    continue;
                }
                if !healthy.contains(&id) {
                    wrong.push(format!("{id} is reported healthy and is not"));
                }
                let logs = logs(world, id, &missing);
                // A follower that lost its end and was loaded by a run that was cut off before it looked again: its leader
                // does not know, and nothing that a later run could see tells it from one that is caught up.
                if hidden.contains(&id) {
                    continue;
                }
                let longest = logs.values().max_by_key(|log| log.len()).cloned().unwrap_or_default();
                let behind = |log: &Vec<Entry>| log.len() < longest.len() && longest.starts_with(log);
                if interrupted && damaged && logs.values().any(behind) {
                    unseen += 1;
                    continue;
                }
                let first = logs.values().next().cloned().unwrap_or_default();
                if logs.values().any(|log| *log != first) {
                    let told: Vec<String> = logs
                        .iter()
                        .map(|(at, log)| {
                            let text: Vec<String> =
                                log.iter().map(|e| format!("{}:{}:{}", e.term, e.index, e.row.0)).collect();
                            format!("{at} [{}]", text.join(" "))
                        })
                        .collect();
                    wrong.push(format!("{id}: replicas differ: {}", told.join(" / ")));
                }
                let is_disk = table.storage_mode() != openmldb_ops::wire::common::StorageMode::KMemory;
                let rows = expected.get(&id).cloned().unwrap_or_default();
                for (at, log) in &logs {
                    let held: BTreeSet<_> = log.iter().map(|entry| entry.row).collect();
                    let lost = rows.difference(&held).count();
                    let announced = is_disk && given_up.get(&id).is_some_and(|entries| *entries >= lost as u64);
                    if lost > 0 && !announced {
                        wrong.push(format!("{id}: {at} lacks {lost} rows"));
                    }
                }
            }
        }
        self.found.unseen += unseen;
        wrong.into_iter().for_each(|text| self.wrong(text));
    }
}
