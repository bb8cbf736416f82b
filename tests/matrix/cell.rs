//! One cell: a run under one fault, calm runs after it until nothing is left to do, and what must hold.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::run::{Scope, Shelf};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::fault::{Fault, Meddling, Mishap, ServerFate};
use openmldb_ops::sandbox::world::Traced;
use openmldb_ops::wire::api::{GetTableStatusRequest, TableState};
use openmldb_ops::wire::call::{Effect, NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::nameserver::ConfGetRequest;

use super::ledger::{Ledger, logs};
use super::run::{Ended, Ran, Run, calls, recovered};

/// Calm runs after which nothing may be left to do.
const CALM_RUNS: u64 = 4;

/// A playbook and a fault.
#[derive(Debug, Clone)]
pub struct Cell {
    pub playbook: &'static str,
    pub fault: Fault,
}

/// What came of it.
#[derive(Debug, Default)]
pub struct Found {
    pub violations: Vec<String>,
    /// Partitions that are left alone at the end, with a reason that the world confirms.
    pub left_alone: usize,
    pub told: Vec<String>,
}

struct Trial<'a> {
    cell: &'a Cell,
    world: World,
    ledger: Ledger,
    archive: Shelf,
    number: u64,
    auto_failover: Option<bool>,
    found: Found,
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.playbook, self.fault)
    }
}

impl Cell {
    /// Tries it in a copy of that world.
    pub fn tried_in(&self, world: &Arc<World>) -> Found {
        let mut world = World::clone(world);
        let auto_failover = auto_failover(&mut world);
        let mut trial = Trial {
            cell: self,
            world,
            ledger: Ledger::default(),
            archive: Shelf::default(),
            number: 0,
            auto_failover,
            found: Found::default(),
        };
        trial.goes();
        trial.found
    }

    /// Whether another operator made it so that two leaders may be alive.
    fn may_make_two_leaders(&self) -> bool {
        matches!(self.fault.mishap, Mishap::Operator(Meddling::MarksAlive | Meddling::FailoverOn))
    }

    /// Whether what was healthy may have to be recovered too.
    fn may_hurt_healthy(&self) -> bool {
        match self.fault.mishap {
            Mishap::Server(ServerFate::NameserverRestarts(_)) => false,
            Mishap::Server(_) | Mishap::Operator(_) => true,
            _ => false,
        }
    }
}

/// What the leading nameserver says of auto_failover.
fn auto_failover(world: &mut World) -> Option<bool> {
    let leader = world.leader()?;
    let answer = world.call_nameserver(&leader, NameserverCall::ConfGet(ConfGetRequest {})).ok()?;
    let NameserverAnswer::ConfGet(answer) = answer else { return None };
    answer.conf.iter().find(|pair| pair.key == "auto_failover").map(|pair| pair.value == "true")
}

impl Trial<'_> {
    fn wrong(&mut self, what: impl Into<String>) {
        let text = format!("run {}: {}", self.number, what.into());
        self.found.told.push(format!("VIOLATION {text}"));
        self.found.violations.push(text);
    }

    fn goes(&mut self) {
        let faults = vec![self.cell.fault.clone()];
        self.run(faults);
        self.calm_down();
        for _ in 0..CALM_RUNS {
            let ran = self.run(Vec::new());
            self.world.stop_writers();
            self.world.settle();
            let quiet = self.mutations().is_empty() || self.only_tries_the_unloadable();
            if recovered(&ran).is_none() {
                self.wrong(format!("a calm run has no result: {}", ending(&ran)));
                return;
            }
            if quiet {
                return self.is_well(&ran);
            }
            self.follow_advice(&ran);
        }
        let still: Vec<&str> = self.mutations();
        self.wrong(format!("after {CALM_RUNS} calm runs there is still something to do: {still:?}"));
    }

    /// Time passes until what the fault began is over; dead tablets are started, and those that load for ever again.
    fn calm_down(&mut self) {
        self.world.advance_by(40_000);
        for tablet in self.world.tablet_endpoints().to_vec() {
            if self.loads_for_ever(&tablet) {
                self.world.kill_tablet(&tablet);
            }
            self.world.start_tablets(std::slice::from_ref(&tablet));
        }
        while self.world.leader().is_none() {
            self.world.advance_by(100);
        }
        self.world.advance_by(10_000);
    }

    /// Somebody reads what the run said, and restarts the tablets that it asked to be restarted.
    fn follow_advice(&mut self, ran: &Ran) {
        let blocked = recovered(ran).map(|recovered| recovered.summary.blocked.clone()).unwrap_or_default();
        let asked = blocked.iter().filter(|blocked| blocked.hint.contains("restart that tablet"));
        for tablet in asked.flat_map(|blocked| blocked.losses.iter().map(|loss| &loss.endpoint)) {
            self.world.kill_tablet(tablet);
            self.world.start_tablets(std::slice::from_ref(tablet));
        }
    }

    fn loads_for_ever(&mut self, tablet: &Endpoint) -> bool {
        let call = TabletCall::GetTableStatus(GetTableStatusRequest::default());
        let Ok(TabletAnswer::GetTableStatus(answer)) = self.world.call_tablet(tablet, call) else { return false };
        answer.all_table_status.iter().any(|status| status.state() == TableState::KTableLoading)
    }

    /// Partitions with a replica that nothing but a hand on its tablet's disk can bring back.
    fn unloadable(&mut self) -> BTreeSet<PartitionId> {
        let metadata = self.world.metadata();
        let tablets = self.world.tablets_mut();
        let hopeless = metadata.iter().filter(|(id, metas)| {
            let mut replicas = metas.partition_meta.iter();
            replicas.any(|meta| tablets.is_unloadable(&meta.endpoint, id.tid.0, id.pid.0))
        });
        hopeless.map(|(id, _)| *id).collect()
    }

    /// No tablet says that a directory is beyond loading, so every run tries again what cannot work, and nothing else.
    fn only_tries_the_unloadable(&mut self) -> bool {
        let hopeless = self.unloadable();
        let mut calls = self.world.trace().calls().filter(|call| call.effect == Effect::Mutate);
        let is_try = |call: &Traced| match call.method {
            // Around the tries: auto_failover off and on, and what a failed one left paused.
            "ConfSet" => true,
            _ => call.partitions.iter().all(|id| hopeless.contains(id)),
        };
        !hopeless.is_empty() && calls.all(is_try)
    }

    fn mutations(&self) -> Vec<&'static str> {
        calls(&self.world).into_iter().filter(|(_, effect)| *effect == Effect::Mutate).map(|(name, _)| name).collect()
    }

    fn run(&mut self, faults: Vec<Fault>) -> Ran {
        self.number += 1;
        self.ledger.open(&mut self.world, &[]);
        let run = Run {
            playbook: self.cell.playbook,
            scope: Scope::All,
            faults,
            archive: &self.archive,
            number: 1_000 * self.number,
        };
        let empty = World::new(openmldb_ops::sandbox::world::Settings::default(), &super::addresses());
        let (world, ran) = run.on(std::mem::replace(&mut self.world, empty));
        self.world = world;
        self.found.told.push(format!("RUN {}", self.number));
        self.found.told.extend(ran.told.iter().cloned());
        self.found.told.push(format!("ended after {:?}: {}", ran.took, ending(&ran)));
        self.check(&ran);
        ran
    }

    fn check(&mut self, ran: &Ran) {
        if !ran.two_leaders.is_empty() && !self.cell.may_make_two_leaders() {
            self.wrong(format!("two alive leaders in {:?}", ran.two_leaders));
        }
        let touched = self.world.row_count().healthy_partitions_touched;
        if touched > 0 && !self.cell.may_hurt_healthy() {
            self.wrong(format!("{touched} healthy partitions touched"));
        }
        if matches!(ran.ended, Ended::Never) {
            self.wrong("it does not end");
        }
        for (id, missing) in self.missing(|held| held.iter().any(|held| *held)) {
            self.wrong(format!("{id}: {missing} rows are nowhere"));
        }
        let (owed, panicked) = match &ran.ended {
            Ended::Itself(result) => match result.as_ref() {
                Ok(recovered) => (recovered.not_restored.is_none(), recovered.panicked.clone()),
                Err(error) => (!format!("{error:?}").contains("not_restored: Some"), None),
            },
            Ended::Killed | Ended::Never => (false, None),
        };
        if let Some(panic) = panicked {
            self.wrong(format!("panicked: {panic}"));
        }
        let now = auto_failover(&mut self.world);
        if owed && now.is_some() && now != self.auto_failover {
            self.wrong(format!("auto_failover was {:?} and is {now:?}", self.auto_failover));
        }
    }

    /// By partition, how many of the rows that should be there are not held as they should.
    fn missing(&mut self, fine: impl Fn(&[bool]) -> bool) -> Vec<(PartitionId, usize)> {
        let expected = self.ledger.close(&self.world).clone();
        let metadata = self.world.metadata();
        let mut missing = Vec::new();
        // What was dropped is no longer anybody's.
        for (id, rows) in expected.into_iter().filter(|(id, _)| metadata.contains_key(id)) {
            let logs = logs(&self.world, id, &[]);
            let held: Vec<BTreeSet<_>> = logs.values().map(|log| log.iter().map(|entry| entry.row).collect()).collect();
            let lost = rows.iter().filter(|row| {
                let there: Vec<bool> = held.iter().map(|held| held.contains(row)).collect();
                !fine(&there)
            });
            let lost = lost.count();
            if lost > 0 {
                missing.push((id, lost));
            }
        }
        missing
    }

    /// Nothing is left to do: so everything is recovered but what has a reason not to be.
    fn is_well(&mut self, ran: &Ran) {
        let Some(last) = recovered(ran) else { return };
        let blocked = last.summary.blocked.clone();
        let tables = self.world.tables();
        let is_blocked = |id: &PartitionId| {
            let table = tables.iter().find(|table| table.tid() == id.tid.0);
            table.is_some_and(|table| {
                blocked.iter().any(|blocked| blocked.table == table.name() && blocked.pid == id.pid)
            })
        };
        let (left_alone, all): (BTreeSet<PartitionId>, BTreeSet<PartitionId>) =
            self.world.metadata().into_keys().partition(is_blocked);
        self.found.left_alone = left_alone.len();
        for id in left_alone.difference(&self.unloadable()) {
            self.wrong(format!("{id} is left alone without a reason: {blocked:?}"));
        }
        let healthy = self.world.healthy();
        let differ: Vec<_> = self.world.diverged().into_iter().filter(|id| all.contains(id)).collect();
        let ill: Vec<_> = all.iter().filter(|id| !healthy.contains(id)).collect();
        let lacking = self.missing(|held| held.iter().all(|held| *held));
        let lacking: Vec<_> = lacking.into_iter().filter(|(id, _)| all.contains(id)).collect();
        for (what, found) in [
            ("not healthy", format!("{ill:?}")),
            ("replicas differ", format!("{differ:?}")),
            ("replicas lack rows", format!("{lacking:?}")),
        ] {
            if found != "[]" {
                self.wrong(format!("{what}: {found}"));
            }
        }
    }
}

fn ending(ran: &Ran) -> String {
    match &ran.ended {
        Ended::Killed => "killed".to_owned(),
        Ended::Never => "it does not end".to_owned(),
        Ended::Itself(result) => match result.as_ref() {
            Ok(recovered) => format!("{recovered:?}"),
            Err(error) => format!("error: {error}"),
        },
    }
}
