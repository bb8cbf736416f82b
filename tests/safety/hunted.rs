//! One world: its history, the runs that recover it, and what is checked after each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::playbook::alternatives;
use openmldb_ops::run::{Recovered, Scope, Selector};
use openmldb_ops::sandbox::fault::{Fault, FaultKind, OperatorAction};
use openmldb_ops::sandbox::tablet::RowId;
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::verify::{Finding, FindingKind};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::nameserver::OpStatus;
use openmldb_ops::wire::nameserver::ShowOpStatusRequest;

use super::calm::{auto_failover, calm_down};
use super::choices::Choices;
use super::invariants::{self, Reported};
use super::judge::{Judge, Violation};
use super::ledger::{Ledger, logs};
use super::life::{self, Brought, is_written_by_clients};
use super::run::{Ended, Host, Ran, Run};
use super::troubles::Troubles;

/// Longer than the nameserver's failover and its operations take, in milliseconds.
const A_WHILE: u64 = 150_000;

/// What came of a world.
#[derive(Debug, Default)]
pub struct Found {
    /// What must not be.
    pub violations: Vec<Violation>,
    /// Reasons for which partitions were left alone at the end, with the world's kind.
    pub blocked: Vec<String>,
    /// Everything that happened.
    pub told: Vec<String>,
    /// The choices that can be left out.
    pub made: Vec<String>,
    /// Losses that were announced.
    pub announced: usize,
    /// Followers behind their leader that nothing shows.
    pub unseen: usize,
    /// Virtual time all runs took.
    pub virtual_time: Duration,
}

/// What a run takes once it waits for nobody any more.
const ENDING: Duration = Duration::from_secs(5);

struct Hunt {
    choices: Choices,
    playbook: &'static str,
    world: World,
    judge: Arc<Mutex<Judge>>,
    damaged: bool,
    troubled: bool,
    host: Host,
    runs: u64,
    /// What auto_failover has to be after a run; unknown once nobody can know any more.
    auto_failover: Option<bool>,
    /// A tablet that comes back during the next run.
    late: Option<Endpoint>,
    /// It came back when the last run waited for it no longer, or not much.
    came_too_late: bool,
    /// How long undisturbed runs stay open for tablets that are away.
    waits: Option<Duration>,
    /// Partitions reported for what nothing shows later on: their leader lacks rows, or cannot send its followers what
    /// they lack.
    lacking: BTreeSet<PartitionId>,
    tell: bool,
    found: Found,
}

/// Lives through one world. `tell` keeps what its runs say.
pub fn hunt(seed: u64, without: &BTreeSet<String>, tell: bool) -> Found {
    let choices = Choices::new(seed, without);
    let playbook = playbook(&choices);
    let brought = life::live(&choices.within("life"), playbook);
    let mut hunt = Hunt { tell, ..Hunt::of(brought, playbook, &choices) };
    hunt.all_runs();
    hunt.the_missing_return();
    Found { made: choices.made(), ..hunt.found() }
}

/// Recovers a world that nobody has made up: by runs in such troubles, then undisturbed.
pub fn recovered(brought: Brought, playbook: &'static str, disturbed: Vec<Troubles>) -> Found {
    let mut hunt = Hunt::of(brought, playbook, &Choices::new(0, &BTreeSet::new()));
    hunt.world.nameserver_settings_mut().op_fails_for_no_reason = None;
    for troubles in disturbed {
        hunt.troubled_run(troubles, Scope::All);
    }
    hunt.calm_runs();
    hunt.found()
}

/// The one that is asked for, or the seed's.
fn playbook(choices: &Choices) -> &'static str {
    let names: Vec<&str> = alternatives().collect();
    match std::env::var("OPENMLDB_OPS_PLAYBOOK") {
        Ok(wanted) => names.into_iter().find(|name| *name == wanted).unwrap(),
        Err(_) => choices.dice("playbook").pick(&names).copied().unwrap(),
    }
}

impl Hunt {
    fn of(mut brought: Brought, playbook: &'static str, choices: &Choices) -> Self {
        let now = auto_failover(&mut brought.world);
        let mut judge = Judge::new(Ledger::new(brought.spoiled), brought.missing);
        judge.announced = brought.announced;
        Self {
            choices: choices.clone(),
            playbook,
            world: brought.world,
            judge: Arc::new(Mutex::new(judge)),
            damaged: brought.damaged,
            troubled: false,
            host: brought.host,
            runs: brought.runs,
            auto_failover: brought.owed.or(now),
            late: brought.late,
            came_too_late: false,
            // The time that it takes in vain is the same whatever it is.
            waits: choices.perhaps(85, "impatient").map(|_| Duration::from_secs(20)),
            lacking: BTreeSet::new(),
            tell: true,
            found: Found { told: brought.told, violations: brought.violations, ..Found::default() },
        }
    }

    fn found(mut self) -> Found {
        self.found.violations.append(&mut self.judge.lock().unwrap().violations);
        self.found
    }

    fn judge(&self) -> MutexGuard<'_, Judge> {
        self.judge.lock().unwrap()
    }

    fn all_runs(&mut self) {
        if self.tell {
            let seen = invariants::looks_like(&self.world, &self.judge().missing);
            self.found.told.extend(seen);
        }
        let mut dice = self.choices.dice("operations");
        let fails = std::num::NonZeroU32::new(if dice.percent(20) { 4 } else { 22 });
        self.world.nameserver_settings_mut().op_fails_for_no_reason = fails;
        let cut_off = if dice.percent(35) { dice.between(1, 3) } else { 0 };
        for (name, dice) in self.choices.several(cut_off, "cut-off") {
            self.disturbed_run(&name, dice, true);
        }
        if let Some(dice) = self.choices.perhaps(60, "disturbed") {
            self.disturbed_run("disturbed", dice, false);
        }
        self.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        if self.choices.perhaps(10, "dry-run").is_some() {
            self.dry_run();
        }
        self.calm_runs();
    }

    fn disturbed_run(&mut self, name: &str, mut dice: super::dice::Dice, is_cut_off: bool) {
        let choices = self.choices.within(name);
        let mut troubles = Troubles::of(&choices, &self.world, &self.judge().missing.clone());
        if is_cut_off {
            troubles = troubles.cut_off(&choices);
        }
        let scope = match choices.perhaps(10, "one-table") {
            Some(_) => self.one_table(),
            None => Scope::All,
        };
        if choices.perhaps(12, "another-host").is_some() {
            self.moves_to_another_host();
        }
        self.troubled_run(troubles, scope);
        self.world.advance_by(dice.between(0, 20_000));
    }

    fn troubled_run(&mut self, troubles: Troubles, scope: Scope) {
        self.troubled |= troubles.disturb();
        let wants_it_on = |fault: &Fault| {
            matches!(fault.kind, FaultKind::Operator(OperatorAction::FailoverOn | OperatorAction::RecoversEverything))
        };
        if troubles.faults.iter().any(wants_it_on) {
            // Somebody else wants it on; what is right then depends on when.
            self.auto_failover = None;
        }
        self.run(troubles, scope);
        let missing = self.judge().missing.clone();
        calm_down(&mut self.world, &missing);
        self.tell_of_between();
    }

    /// The operations that the nameserver lists.
    fn operations(&mut self) -> Vec<OpStatus> {
        let request = NameserverCall::ShowOpStatus(ShowOpStatusRequest::default());
        let answer = self.world.leader().map(|leader| self.world.call_nameserver(&leader, request));
        match answer {
            Some(Ok(NameserverAnswer::ShowOpStatus(answer))) => answer.op_status,
            _ => Vec::new(),
        }
    }

    /// Those of them that failed, by number, with what they were about.
    fn failed_operations(&mut self) -> BTreeSet<(u64, PartitionId)> {
        let (operations, tables) = (self.operations(), self.world.tables());
        let failed = operations.iter().filter(|op| op.status == "kFailed").filter_map(|op| {
            let table = tables.iter().find(|table| table.name == op.name && table.db == op.db)?;
            Some((op.op_id, PartitionId { tid: Tid(table.tid()), pid: Pid(op.pid?) }))
        });
        failed.collect()
    }

    /// What the nameserver has done by itself, and what came of it.
    fn tell_of_between(&mut self) {
        if !self.tell {
            return;
        }
        let operations = self.operations();
        self.found.told.extend(operations.iter().map(|op| format!("{op:?}")));
        let seen = invariants::looks_like(&self.world, &self.judge().missing);
        self.found.told.extend(seen);
    }

    fn one_table(&self) -> Scope {
        let tables = self.world.tables();
        let table = tables.iter().find(|table| table.db() == "shop");
        table.map_or(Scope::All, |table| {
            let (db, table) = (table.db().to_owned(), Some(table.name().to_owned()));
            Scope::Some(vec![Selector { db, table, pid: None }])
        })
    }

    /// Without a note, nobody there can know what auto_failover was.
    fn moves_to_another_host(&mut self) {
        use openmldb_ops::run::Lock as _;
        self.host = self.host.another();
        if !self.host.lock.keeps_notes() {
            self.judge().all_is_forgotten();
        }
        if !self.host.lock.keeps_notes() && auto_failover(&mut self.world) != self.auto_failover {
            self.auto_failover = None;
        }
    }

    fn run(&mut self, troubles: Troubles, scope: Scope) -> Option<Recovered> {
        self.runs += 1;
        let (mut troubles, mut late) = (troubles, None);
        if let Some(away) = self.late.take().filter(|late| !self.world.is_up(late)) {
            let at = self.world.tablet_endpoints().iter().position(|tablet| *tablet == away).unwrap();
            let second = self.choices.dice("late").between(0, 40);
            late = Some(Duration::from_secs(second));
            troubles.adds(format!("{second}s@tablet{}=tablet-restarts-1ms", at + 1));
        }
        self.found.told.push(format!("RUN {} {scope:?} with {troubles:?}", self.runs));
        let Troubles { faults, killed_after, signal_after, waits } = troubles;
        let waits = waits.or(self.waits);
        self.came_too_late = late.zip(waits).is_some_and(|(late, waits)| late + ENDING >= waits);
        let number = 1_000 * self.runs;
        let (host, tell) = (self.host.clone(), self.tell);
        let calm = Run::calm(self.playbook, &host, number);
        let run = Run { scope, faults, killed_after, signal_after, waits, tell, ..calm };
        let meddles = run.faults.iter().any(|fault| matches!(fault.kind, FaultKind::Operator(_)));
        let found = auto_failover(&mut self.world).filter(|_| !meddles);
        let (world, ran) = run.on(self.take_world(), &self.judge);
        self.world = world;
        self.judged(ran, found, meddles)
    }

    fn take_world(&mut self) -> World {
        std::mem::replace(&mut self.world, World::new(Settings::default(), &Addresses::recorded(1, 1)))
    }

    fn judged(&mut self, ran: Ran, found: Option<bool>, meddles: bool) -> Option<Recovered> {
        let number = self.runs;
        self.found.virtual_time += ran.took;
        self.found.told.extend(ran.told.iter().cloned());
        self.found.told.push(format!("ended after {:?}: {}", ran.took, ran.ending()));
        let now = auto_failover(&mut self.world);
        let (mut lost, announced) = invariants::no_row_is_lost(&mut self.judge(), &self.world);
        self.found.announced += announced;
        lost.extend(invariants::every_run_ends(&ran));
        lost.extend(invariants::auto_failover_is_given_back(&ran, self.auto_failover, now));
        lost.extend(invariants::a_run_that_was_stopped_first_changes_nothing(&ran, found, now));
        // What another recovery brings back once the run has decided is the next one's to see.
        if !meddles {
            lost.extend(invariants::auto_failover_is_kept_off_for_a_reason(&ran, &mut self.world));
        }
        let told = |violation: Violation| Violation { text: format!("run {number}: {}", violation.text), ..violation };
        self.found.violations.extend(lost.into_iter().map(told));
        let Ended::Itself(result) = ran.ended else { return None };
        let recovered = result.ok()?;
        let hidden = ["leader_lacks_rows", "not_catching_up"];
        for blocked in recovered.summary.blocked.iter().filter(|blocked| hidden.contains(&blocked.reason)) {
            self.lacking.extend(invariants::id_of(&self.world, blocked));
        }
        Some(recovered)
    }

    fn wrong(&mut self, invariant: &'static str, text: impl Into<String>) {
        let text = format!("run {}: {}", self.runs, text.into());
        self.found.violations.push(Violation { invariant, text });
    }

    fn calm_run(&mut self) -> Option<Recovered> {
        let recovered = self.run(Troubles::default(), Scope::All);
        if recovered.is_none() {
            self.wrong("every_run_ends", "a calm run has no result");
        }
        recovered
    }

    fn calm_runs(&mut self) {
        let Some(first) = self.calm_run() else { return };
        let healthy = self.world.healthy();
        let wrote = self.world.stop_writers().is_some();
        self.world.settle();
        self.is_as_reported(&first, &healthy);
        // What clients wrote meanwhile may have been what another run waited for, and an operation that hung in the
        // nameserver's lane is cancelled by the next one.
        let hung = first.summary.blocked.iter().any(|blocked| blocked.reason == "op_timeout");
        // The nameserver's own failover, restored, may have acted on what it had seen die: before the run looked for
        // the last time, or after.
        let only_interrupted = first.summary.blocked.iter().all(|blocked| blocked.reason == "interrupted");
        let meddled = only_interrupted && self.world.healthy().len() < first.summary.partitions.total;
        // The nameserver takes a tablet that has just died for healthy, and its leaders for perhaps serving.
        // One for which the run did not stay open any more.
        let late = self.came_too_late;
        let early = !self.judge().opened && !first.summary.blocked.is_empty();
        // What an election of the nameserver's own has left half way shows at the last look, in what was well at the first.
        let is_stuck = |finding: &Finding| finding.kind == FindingKind::Stuck;
        let stuck = first.summary.verification.iter().flat_map(|seen| &seen.findings).any(is_stuck);
        if (wrote || hung || meddled || early || late || stuck) && self.calm_run().is_some() {
            self.world.settle();
        }
        let before = invariants::looks_like(&self.world, &self.judge().missing);
        let touched = self.judge().touched.clone();
        let failed_before = self.failed_operations();
        let Some(second) = self.calm_run() else { return };
        let failed = self.failed_operations().into_iter().filter(|op| !failed_before.contains(op));
        let failed = failed.map(|(_, id)| id).collect();
        let opened = self.judge().opened;
        let missing = self.judge().missing.clone();
        let changed = invariants::a_second_run_changes_nothing(
            &mut self.world,
            &missing,
            &before,
            invariants::Second { opened, touched, failed },
        );
        self.found.violations.extend(changed);
        let kinds = [(self.damaged, "damaged"), (!missing.is_empty(), "missing"), (self.troubled, "troubled")];
        let kinds: Vec<&str> = kinds.into_iter().filter(|(is, _)| *is).map(|(_, kind)| kind).collect();
        for blocked in &second.summary.blocked {
            self.found.blocked.push(format!("{} [{}]", blocked.reason, kinds.join(" ")));
        }
        let healthy = self.world.healthy();
        self.world.settle();
        self.is_as_reported(&second, &healthy);
    }

    /// Tablets that were away all the time come back after the last run, while clients write; nobody but the nameserver is there. What
    /// they hold, and nobody had looked at when leaders were chosen, must be somewhere still.
    fn the_missing_return(&mut self) {
        let missing = self.judge().missing.clone();
        let Some(mut dice) = self.choices.perhaps(70, "the missing return").filter(|_| !missing.is_empty()) else {
            return;
        };
        let unseen: Vec<PartitionId> = self.judge().unseen.iter().copied().collect();
        let mut held = BTreeMap::new();
        for id in unseen {
            let rows = self.judge.lock().unwrap().ledger.held_on(&mut self.world, &missing, id);
            held.insert(id, rows);
        }
        self.found.told.push(format!("{missing:?} return, auto_failover is {:?}", auto_failover(&mut self.world)));
        self.clients_write(dice.between(0, 20));
        for tablet in &missing {
            self.world.start_tablets(std::slice::from_ref(tablet));
        }
        self.world.advance_by(A_WHILE);
        self.clients_write(dice.between(0, 5));
        self.world.advance_by(A_WHILE);
        for (id, rows) in &held {
            let now: BTreeSet<RowId> = logs(&self.world, *id, &[]).values().flatten().map(|entry| entry.row).collect();
            let gone = rows.difference(&now).count();
            if gone > 0 {
                let text = format!("{id}: {gone} of {} rows that {missing:?} held are nowhere", rows.len());
                self.wrong("the_nameserver_replaces_nothing_unseen", text);
            }
        }
    }

    fn clients_write(&mut self, rows: u64) {
        for (id, metas) in self.world.metadata() {
            let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive());
            let leader = leader.filter(|_| is_written_by_clients(&self.world, id.tid));
            let Some(leader) = leader.map(|meta| Endpoint::from(meta.endpoint.as_str())) else { continue };
            for _ in 0..rows {
                self.world.put_row(&leader, id);
            }
        }
    }

    fn is_as_reported(&mut self, recovered: &Recovered, healthy: &BTreeSet<PartitionId>) {
        let (mut lost, announced) = invariants::no_row_is_lost(&mut self.judge(), &self.world);
        self.found.announced += announced;
        let interrupted = self.runs > 2;
        let reported = Reported {
            summary: &recovered.summary,
            healthy,
            lacking: &self.lacking,
            may_be_behind: interrupted && self.damaged,
        };
        let (differ, unseen) =
            invariants::what_is_reported_is_so(&mut self.world, &mut self.judge.lock().unwrap(), &reported);
        lost.extend(differ);
        self.found.unseen += unseen;
        lost.into_iter().for_each(|violation| self.wrong(violation.invariant, violation.text));
    }

    fn dry_run(&mut self) {
        self.world.open_books();
        let run = Run::calm(self.playbook, &self.host, 1);
        self.world = run.look(self.take_world(), &self.judge);
        let changed = invariants::looking_changes_nothing(&self.world);
        self.found.violations.extend(changed);
    }
}
