//! Decisions, by what is seen and remembered.

mod cases;

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::Endpoint;
use crate::run::{Abandoned, BrokeOff, By, Case, Diagnosis, FailoverSet, HowFar, Pause, RunId, Runs, Work};

use super::attempts::Attempt;
use super::decision::{Decision, HeldBack, Waiting, decide};
use super::limits::Limits;
use super::memory::Memory;
use super::question::Question;
use super::seen::{Seen, Shape, Undertakings};

const START: u64 = 1_795_341_600_000;

/// A cluster that is looked at again and again.
struct Watched {
    seen: Seen,
    memory: Memory,
    limits: Limits,
}

fn case(case: Case) -> Diagnosis {
    Diagnosis { case, seen: format!("{case:?}"), promise: "", next: vec!["openmldb-ops status".to_owned()] }
}

fn well() -> Shape {
    Shape { partitions: 4, replicas: 12, loaded: 12, auto_failover: true, ..Shape::default() }
}

fn tablets(names: &[&str]) -> BTreeSet<Endpoint> {
    names.iter().map(|name| Endpoint::from(*name)).collect()
}

/// Every tablet was restarted, and some are still away.
fn restarted(away: &[&str]) -> Shape {
    Shape { down: 4, loaded: 0, empty: tablets(&["a", "b"]), away: tablets(away), ..well() }
}

impl Watched {
    fn of(shape: Shape, cases: &[Case]) -> Self {
        let cases = cases.iter().copied().map(case).collect();
        let (now_ms, runs, undertakings) = (START, Runs::default(), Undertakings::default());
        let seen = Seen { now_ms, at_ms: START, cases, shape, runs, undertakings };
        Self { seen, memory: Memory::default(), limits: Limits::default() }
    }

    fn runs(mut self, runs: Runs) -> Self {
        self.seen.runs = runs;
        self
    }

    /// What is decided now.
    fn now(&mut self) -> Decision {
        self.memory.notes(&self.seen, &self.limits);
        decide(&self.seen, &self.memory, &self.limits)
    }

    /// What is decided so much later, if nothing changes meanwhile.
    fn after(&mut self, time: Duration) -> Decision {
        self.now();
        let ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        (self.seen.now_ms, self.seen.at_ms) = (self.seen.now_ms + ms, self.seen.at_ms + ms);
        self.now()
    }

    /// A recovery was run.
    fn tried(&mut self) {
        let attempt =
            Attempt { began_ms: self.seen.at_ms, ended_ms: Some(self.seen.at_ms), verdict: None, ill_ms: None };
        self.memory.attempts.push(attempt);
    }
}

fn minutes(minutes: u64) -> Duration {
    Duration::from_secs(60 * minutes)
}

fn acts(decision: &Decision) -> bool {
    matches!(decision, Decision::Acts(_))
}

#[test]
fn nothing_is_done_where_all_is_well() {
    assert_eq!(Watched::of(well(), &[]).after(minutes(60)), Decision::Well);
    // It is somebody's own business.
    let off = Shape { auto_failover: false, ..well() };
    assert_eq!(Watched::of(off, &[Case::FailoverOff]).after(minutes(60)), Decision::Well);
}

#[test]
fn a_cluster_that_went_down_at_once_is_recovered_once_it_has_settled() {
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    assert!(matches!(watched.now(), Decision::Waits(Waiting::Settling { .. })));
    assert!(matches!(watched.after(Duration::from_secs(19)), Decision::Waits(Waiting::Settling { .. })));
    assert!(acts(&watched.after(Duration::from_secs(1))));
}

#[test]
fn tablets_that_boot_are_waited_for_and_not_for_ever() {
    let mut watched = Watched::of(restarted(&["c"]), &[Case::EverythingRestarted]);
    let until_ms = START + 120_000;
    assert_eq!(watched.now(), Decision::Waits(Waiting::Tablets { away: vec!["c".into()], until_ms }));
    assert!(!acts(&watched.after(Duration::from_secs(119))));
    assert!(acts(&watched.after(Duration::from_secs(1))));
    let mut comes = Watched::of(restarted(&["c"]), &[Case::EverythingRestarted]);
    comes.after(minutes(1));
    comes.seen.shape = restarted(&[]);
    assert!(matches!(comes.now(), Decision::Waits(Waiting::Settling { .. })), "it has only just come");
    assert!(acts(&comes.after(Duration::from_secs(20))));
}

#[test]
fn where_no_tablet_answers_there_is_nothing_to_recover_yet() {
    let dark = Shape { down: 4, loaded: 0, away: tablets(&["a", "b", "c"]), ..well() };
    let mut watched = Watched::of(dark, &[Case::TabletLost, Case::PartitionLost]);
    assert!(matches!(watched.now(), Decision::Waits(Waiting::Tablets { .. })));
    assert!(matches!(watched.after(minutes(60)), Decision::Asks(_)));
}

/// What is still moving is not done by two.
#[test]
fn what_openmldb_heals_by_itself_is_left_to_it_as_long_as_something_moves() {
    let healing = |ops, loaded| Shape { serving: 3, empty: tablets(&["a"]), ops, loaded, ..well() };
    let mut watched = Watched::of(healing(2, 8), &[Case::TabletRestarted]);
    assert!(matches!(watched.now(), Decision::Waits(Waiting::Healing { ops: 2, .. })));
    watched.after(minutes(29));
    watched.seen.shape = healing(2, 9);
    assert!(matches!(watched.after(minutes(29)), Decision::Waits(Waiting::Healing { .. })), "another one was loaded");
    assert!(matches!(watched.after(minutes(1)), Decision::Asks(_)), "something hangs, and that is for a person");
    watched.seen.shape = healing(0, 9);
    assert!(matches!(watched.after(minutes(4)), Decision::Waits(Waiting::Healing { ops: 0, .. })));
    assert!(acts(&watched.after(minutes(1))), "it has given up");
    // With auto_failover off it never begins.
    let off = Shape { auto_failover: false, ..healing(0, 8) };
    assert!(acts(&Watched::of(off, &[Case::TabletRestarted, Case::FailoverOff]).after(minutes(1))));
}

#[test]
fn a_tablet_that_is_away_while_others_serve_is_for_whoever_can_start_it() {
    let lost = Shape { serving: 4, away: tablets(&["c"]), loaded: 8, ..well() };
    let mut watched = Watched::of(lost, &[Case::TabletLost]);
    assert!(matches!(watched.now(), Decision::Waits(Waiting::Tablets { .. })));
    assert_eq!(watched.after(minutes(3)), Decision::Asks(Question::from(&case(Case::TabletLost))));
}

#[test]
fn whoever_is_at_it_or_wants_nothing_done_holds_it_back() {
    let held = |runs: Runs, cases: &[Case]| {
        let cases = [&[Case::EverythingRestarted], cases].concat();
        match Watched::of(restarted(&[]), &cases).runs(runs).after(minutes(60)) {
            Decision::HoldsBack(why) => why,
            other => panic!("{other:?}"),
        }
    };
    let pause = Pause { since_ms: START, until_ms: None, why: "disks".to_owned(), by: "ops".to_owned() };
    let paused = Runs { paused: Some(pause), ..Runs::default() };
    assert!(matches!(held(paused, &[]), HeldBack::Paused(_)));
    let at_work = Runs { at_work: Some("run 1".to_owned()), ..Runs::default() };
    assert!(matches!(held(at_work, &[]), HeldBack::RunAtWork(_)));
    let abandoned = Abandoned { typed: "scale out".to_owned(), run: None };
    let scaling = Runs { undertaking: Some(abandoned), ..Runs::default() };
    assert!(matches!(held(scaling, &[Case::RunUnfinished]), HeldBack::Undertaking(_)));
    let run = RunId { began_ms: 1, number: 0 };
    let elsewhere = BrokeOff { run, work: Work::Reconfiguration, by: By::Person, how: HowFar::BrokeOff };
    let elsewhere = Runs { unfinished: Some("run 1".to_owned()), broke_off: Some(elsewhere), ..Runs::default() };
    assert!(matches!(held(elsewhere, &[Case::RunUnfinished]), HeldBack::Undertaking(_)));
    let name = "failover set off".to_owned();
    let set = FailoverSet { on: false, at_ms: START, run, host: "ops".to_owned(), work: Work::Step, name };
    let off = Runs { failover_set: Some(set), ..Runs::default() };
    assert!(matches!(held(off, &[Case::FailoverOff]), HeldBack::SwitchedOff(_)));
    let mut upgraded = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    upgraded.seen.undertakings.upgrades = vec!["a".into()];
    assert!(matches!(upgraded.after(minutes(60)), Decision::HoldsBack(HeldBack::Upgrade(_))));
    upgraded.seen.undertakings = Undertakings { upgrades: Vec::new(), unknown: Some("no right to read it".to_owned()) };
    assert!(matches!(upgraded.now(), Decision::HoldsBack(HeldBack::Undertaking(_))), "what is unknown may be so");
}

#[test]
fn auto_failover_that_somebody_switches_off_while_it_is_watched_holds_it_back() {
    let mut watched = Watched::of(well(), &[]);
    watched.now();
    watched.seen.shape = Shape { auto_failover: false, ..restarted(&[]) };
    watched.seen.cases = [Case::EverythingRestarted, Case::FailoverOff].map(case).to_vec();
    assert!(matches!(watched.after(minutes(60)), Decision::HoldsBack(HeldBack::SwitchedOff(_))));
    watched.seen.shape.auto_failover = true;
    watched.seen.cases = vec![case(Case::EverythingRestarted)];
    assert!(acts(&watched.now()));
    // What a run of ours owes is no wish of anybody's.
    let mut owed = Watched::of(well(), &[]);
    owed.now();
    owed.seen.shape = Shape { auto_failover: false, ..restarted(&[]) };
    owed.seen.cases = [Case::RunUnfinished, Case::EverythingRestarted].map(case).to_vec();
    owed.seen.runs.owes_failover = true;
    assert!(acts(&owed.after(minutes(1))));
}

#[test]
fn a_recovery_that_broke_off_is_gone_on_with_and_one_that_a_person_interrupted_after_a_while() {
    let broke_off = |by, how| {
        let run = RunId { began_ms: START, number: 0 };
        let run = BrokeOff { run, work: Work::Recovery, by, how };
        let runs = Runs { unfinished: Some("run 1".to_owned()), broke_off: Some(run), ..Runs::default() };
        Watched::of(Shape { down: 2, loaded: 5, ..well() }, &[Case::RunUnfinished, Case::NotRedundant]).runs(runs)
    };
    for killed in [(By::Person, HowFar::BrokeOff), (By::Guard, HowFar::BrokeOff), (By::Guard, HowFar::Interrupted)] {
        assert!(acts(&broke_off(killed.0, killed.1).after(minutes(1))));
    }
    let mut interrupted = broke_off(By::Person, HowFar::Interrupted);
    let until_ms = START + 30 * 60_000;
    let run = RunId { began_ms: START, number: 0 };
    assert_eq!(interrupted.after(minutes(29)), Decision::HoldsBack(HeldBack::Interrupted { run, until_ms }));
    assert!(acts(&interrupted.after(minutes(1))));
}

#[test]
fn recoveries_in_a_row_slow_down_and_end_with_a_question() {
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    assert!(acts(&watched.after(minutes(1))));
    for (tried, wait) in [(1, 1), (2, 2), (3, 4), (4, 8)] {
        watched.tried();
        let until_ms = watched.seen.at_ms + wait * 60_000;
        assert_eq!(watched.now(), Decision::Waits(Waiting::BackingOff { tried, until_ms }));
        assert!(acts(&watched.after(minutes(wait))));
    }
    watched.tried();
    watched.memory.has_tried(true);
    let Decision::Asks(question) = watched.after(minutes(29)) else { panic!("it goes on for ever") };
    assert!(question.seen.contains("flapping") && question.seen.contains("5 recoveries in a row"), "{question:?}");
    // Where something has changed, it is tried once in a long while.
    watched.seen.shape.empty = tablets(&["a", "b", "c"]);
    assert!(matches!(watched.after(minutes(20)), Decision::Asks(_)));
    watched.seen.shape.empty = tablets(&["a"]);
    assert!(matches!(watched.after(minutes(10)), Decision::Asks(_)));
    assert!(acts(&watched.after(minutes(1))));
    watched.tried();
    watched.memory.has_tried(true);
    watched.now();
    // Once it was well for long enough, whatever comes is another row.
    (watched.seen.shape, watched.seen.cases) = (well(), Vec::new());
    watched.after(minutes(29));
    assert_eq!(watched.memory.attempts.len(), 6);
    watched.after(minutes(1));
    assert!(watched.memory.attempts.is_empty());
}

#[test]
fn what_a_plan_leaves_alone_is_asked_until_it_looks_different() {
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    watched.after(minutes(1));
    let question = Question { seen: "shop.orders/1 is left alone".to_owned(), next: Vec::new() };
    watched.memory.is_stuck(watched.seen.shape.clone(), Some(question.clone()));
    assert_eq!(watched.after(minutes(600)), Decision::Asks(question));
    watched.seen.shape.empty = tablets(&["a", "b", "c"]);
    assert!(acts(&watched.after(minutes(1))));
    watched.seen.shape = restarted(&[]);
    assert!(acts(&watched.after(minutes(1))), "the same as weeks ago, and nobody has planned anything for it");
}

#[test]
fn replicas_for_which_auto_failover_is_kept_off_are_looked_at_once_they_are_back() {
    use crate::model::{PartitionId, Pid, Tid};
    use crate::recovery::WhyHeld;
    use crate::run::HeldFor;
    let held = HeldFor {
        db: "shop".to_owned(),
        table: "orders".to_owned(),
        pid: Pid(0),
        partition: PartitionId { tid: Tid(1), pid: Pid(0) },
        endpoint: "c".into(),
        why: WhyHeld::Unseen,
    };
    let run = RunId { began_ms: START, number: 0 };
    let owes = BrokeOff { run, work: Work::Recovery, by: By::Guard, how: HowFar::Owes };
    let runs = Runs { held_for: vec![held], owes_failover: true, broke_off: Some(owes), ..Runs::default() };
    let kept_off = |away: &[&str]| Shape { serving: 4, away: tablets(away), auto_failover: false, ..well() };
    let cases = [Case::RunUnfinished, Case::FailoverKeptOff, Case::TabletLost];
    let mut watched = Watched::of(kept_off(&["c"]), &cases).runs(runs);
    assert_eq!(watched.after(minutes(60)), Decision::Asks(Question::from(&case(Case::FailoverKeptOff))));
    watched.seen.shape = kept_off(&[]);
    assert!(acts(&watched.after(minutes(1))));
}

#[test]
fn nothing_is_ever_done_to_what_is_no_cluster() {
    for other in [Case::Standalone, Case::OtherEnd] {
        let mut watched = Watched::of(restarted(&[]), &[other, Case::EverythingRestarted]);
        assert_eq!(watched.after(minutes(60)), Decision::Asks(Question::from(&case(other))));
    }
}
