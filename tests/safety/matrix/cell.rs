//! One cell: a run under one fault, calm runs after it until nothing is left to do, and what must hold.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex};

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::run::BlockedEntry;
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::fault::{Fault, FaultKind, ServerFate};
use openmldb_ops::sandbox::tablet::Entry;
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::wire::call::Effect;

use crate::calm::{auto_failover, calm_down};
use crate::invariants;
use crate::judge::{Judge, Violation};
use crate::run::{Host, Ran, Run, calls};

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
    pub violations: Vec<Violation>,
    pub told: Vec<String>,
}

struct Trial<'a> {
    cell: &'a Cell,
    world: World,
    judge: Arc<Mutex<Judge>>,
    host: Host,
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
            judge: Arc::default(),
            host: Host::new(true),
            number: 0,
            auto_failover,
            found: Found::default(),
        };
        trial.goes();
        trial.found.violations.append(&mut trial.judge.lock().unwrap().violations);
        trial.found
    }

    /// Whether what was healthy may have to be recovered too.
    fn may_hurt_healthy(&self) -> bool {
        match self.fault.kind {
            FaultKind::Server(ServerFate::NameserverRestarts(_)) => false,
            FaultKind::Server(_) | FaultKind::Operator(_) => true,
            _ => false,
        }
    }
}

impl Trial<'_> {
    fn wrong(&mut self, invariant: &'static str, what: impl Into<String>) {
        let text = format!("run {}: {}", self.number, what.into());
        self.found.told.push(format!("VIOLATION {invariant}: {text}"));
        self.found.violations.push(Violation { invariant, text });
    }

    fn goes(&mut self) {
        let faults = vec![self.cell.fault.clone()];
        self.run(faults);
        calm_down(&mut self.world, &[]);
        self.world.advance_by(10_000);
        for _ in 0..CALM_RUNS {
            let ran = self.run(Vec::new());
            self.world.stop_writers();
            self.world.settle();
            let quiet = self.mutations().is_empty();
            if ran.recovered().is_none() {
                self.wrong("every_run_ends", format!("a calm run has no result: {}", ran.ending()));
                return;
            }
            let restarted = self.follow_advice(&ran);
            if quiet && !restarted {
                return self.is_well(&ran);
            }
        }
        let still: Vec<&str> = self.mutations();
        self.wrong(
            "a_second_run_changes_nothing",
            format!("after {CALM_RUNS} calm runs there is still something to do: {still:?}"),
        );
    }

    /// Somebody reads what the run said: restarts the tablets that it asked to be restarted, and moves away what it said is in the
    /// way of loading. Whether there were any.
    fn follow_advice(&mut self, ran: &Ran) -> bool {
        let blocked = ran.recovered().map(|recovered| recovered.summary.blocked.clone()).unwrap_or_default();
        let asked = blocked.iter().filter(|blocked| blocked.hint.contains("restart that tablet"));
        let tablets = self.world.tablet_endpoints().to_vec();
        let is_named = |blocked: &BlockedEntry, at: &Endpoint| {
            blocked.text.starts_with(at.as_str()) || blocked.losses.iter().any(|loss| loss.endpoint == *at)
        };
        let asked: Vec<&BlockedEntry> = asked.collect();
        let all = tablets.iter().filter(|at| asked.iter().any(|blocked| is_named(blocked, at)));
        let all: BTreeSet<Endpoint> = all.cloned().collect();
        let in_the_way = asked.iter().filter(|blocked| blocked.hint.contains("move `data` and `old_data` out"));
        let in_the_way: Vec<_> = in_the_way.filter_map(|blocked| invariants::id_of(&self.world, blocked)).collect();
        for tablet in &all {
            self.world.kill_tablet(tablet);
            for id in &in_the_way {
                if self.world.tablets_mut().is_unloadable(tablet.as_str(), id.tid.0, id.pid.0) {
                    self.world.tablets_mut().move_data_away(tablet.as_str(), id.tid.0, id.pid.0);
                }
            }
            self.world.start_tablets(std::slice::from_ref(tablet));
        }
        !all.is_empty()
    }

    fn mutations(&self) -> Vec<&'static str> {
        calls(&self.world).into_iter().filter(|(_, effect)| *effect == Effect::Mutate).map(|(name, _)| name).collect()
    }

    fn run(&mut self, faults: Vec<Fault>) -> Ran {
        self.number += 1;
        self.world.open_books();
        let calm = Run::calm(self.cell.playbook, &self.host, 1_000 * self.number);
        let empty = World::new(Settings::default(), &super::addresses());
        let (world, ran) = Run { faults, ..calm }.on(std::mem::replace(&mut self.world, empty), &self.judge);
        self.world = world;
        self.found.told.push(format!("RUN {}", self.number));
        self.found.told.extend(ran.told.iter().cloned());
        self.found.told.push(format!("ended after {:?}: {}", ran.took, ran.ending()));
        self.check(&ran);
        ran
    }

    fn check(&mut self, ran: &Ran) {
        let now = auto_failover(&mut self.world);
        let (mut wrong, _) = invariants::no_row_is_lost(&mut self.judge.lock().unwrap(), &self.world);
        wrong.extend(invariants::every_run_ends(ran));
        wrong.extend(invariants::auto_failover_is_given_back(ran, self.auto_failover, now));
        wrong.extend(invariants::auto_failover_is_kept_off_for_a_reason(ran, &mut self.world));
        let touched = self.world.row_count().healthy_partitions_touched;
        if touched > 0 && !self.cell.may_hurt_healthy() {
            let text = format!("{touched} healthy partitions touched");
            wrong.push(Violation { invariant: "healthy_partitions_are_left_alone", text });
        }
        wrong.into_iter().for_each(|violation| self.wrong(violation.invariant, violation.text));
    }

    /// Nothing is left to do: so everything is recovered but what has a reason not to be.
    fn is_well(&mut self, ran: &Ran) {
        let Some(last) = ran.recovered() else { return };
        let blocked = &last.summary.blocked;
        let left_alone: BTreeSet<PartitionId> =
            blocked.iter().filter_map(|blocked| invariants::id_of(&self.world, blocked)).collect();
        for id in &left_alone {
            self.wrong("everything_that_can_be_is_recovered", format!("{id} is left alone: {blocked:?}"));
        }
        let all: BTreeSet<PartitionId> =
            self.world.metadata().into_keys().filter(|id| !left_alone.contains(id)).collect();
        let healthy = self.world.healthy();
        let differ: Vec<_> = self.world.diverged().into_iter().filter(|id| all.contains(id)).collect();
        let ill: Vec<_> = all.difference(&healthy).collect();
        if !ill.is_empty() {
            self.wrong("everything_that_can_be_is_recovered", format!("{ill:?} is not healthy"));
        }
        if !differ.is_empty() {
            self.wrong("replicas_hold_the_same", format!("{differ:?}"));
        }
        let expected = self.judge.lock().unwrap().ledger.close(&self.world).clone();
        let logs = self.world.rows();
        for id in all {
            let rows = expected.get(&id).cloned().unwrap_or_default();
            let held = |log: &Vec<Entry>| log.iter().map(|entry| entry.row).collect::<BTreeSet<_>>();
            let held: Vec<BTreeSet<_>> = logs.get(&id).into_iter().flat_map(|logs| logs.values()).map(held).collect();
            let lacking = rows.iter().filter(|row| held.iter().any(|held| !held.contains(row))).count();
            if lacking > 0 {
                self.wrong("every_replica_holds_every_row", format!("{id}: {lacking} rows are not on all of them"));
            }
        }
    }
}
