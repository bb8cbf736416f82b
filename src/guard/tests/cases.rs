//! Which of several cases counts, and what ends what is remembered.

use super::*;
use crate::model::{PartitionId, Pid, Tid};
use crate::recovery::WhyHeld;
use crate::run::HeldFor;

const RUN: RunId = RunId { began_ms: START, number: 0 };

fn held(endpoint: &str) -> HeldFor {
    HeldFor {
        db: "shop".to_owned(),
        table: "orders".to_owned(),
        pid: Pid(0),
        partition: PartitionId { tid: Tid(1), pid: Pid(0) },
        endpoint: endpoint.into(),
        why: WhyHeld::Unseen,
    }
}

fn broke_off(how: HowFar, held_for: Vec<HeldFor>) -> Runs {
    let run = BrokeOff { run: RUN, work: Work::Recovery, by: By::Person, how };
    Runs { unfinished: Some("run 1".to_owned()), broke_off: Some(run), held_for, ..Runs::default() }
}

#[test]
fn a_partition_without_a_leader_is_recovered_unless_nobody_answers() {
    let lost = [Case::TabletLost, Case::PartitionLost];
    let some_load = Shape { down: 2, loaded: 4, away: tablets(&["c"]), ..well() };
    assert!(acts(&Watched::of(some_load, &lost).after(minutes(3))), "OpenMLDB has nobody to elect");
    let empty = Shape { down: 4, loaded: 0, empty: tablets(&["a"]), away: tablets(&["c"]), ..well() };
    assert!(acts(&Watched::of(empty, &lost).after(minutes(3))));
    let loading = Shape { down: 4, loaded: 0, ..well() };
    assert!(acts(&Watched::of(loading, &[Case::PartitionLost]).after(minutes(3))), "everybody is there");
}

#[test]
fn what_is_out_of_scope_is_nothing_to_do() {
    for case in [Case::PartitionLost, Case::TabletRestarted, Case::TabletLost] {
        assert_eq!(Watched::of(well(), &[case]).after(minutes(60)), Decision::Well, "{case:?}");
    }
}

#[test]
fn a_replica_that_is_behind_is_left_to_openmldb_at_first() {
    let behind = Shape { serving: 1, ..well() };
    let mut watched = Watched::of(behind, &[Case::NotRedundant]);
    assert!(matches!(watched.after(minutes(1)), Decision::Waits(Waiting::Healing { ops: 0, .. })));
    assert!(acts(&watched.after(minutes(4))));
}

#[test]
fn of_tablets_that_are_away_the_one_whose_replicas_are_missed_is_asked_about_first() {
    let missed = || Shape { serving: 4, away: tablets(&["c"]), loaded: 8, ..well() };
    for cases in [&[Case::TabletMissed][..], &[Case::TabletLost, Case::TabletMissed]] {
        let mut watched = Watched::of(missed(), cases);
        assert!(matches!(watched.now(), Decision::Waits(Waiting::Tablets { .. })), "{cases:?}");
        assert_eq!(watched.after(minutes(3)), Decision::Asks(Question::from(&case(Case::TabletMissed))), "{cases:?}");
    }
}

#[test]
fn auto_failover_that_was_off_before_and_that_no_step_switched_off_holds_nothing_back() {
    let off = || Shape { auto_failover: false, ..restarted(&[]) };
    for (on, work) in [(true, Work::Step), (false, Work::Recovery)] {
        let set = FailoverSet { on, at_ms: START, run: RUN, host: "ops".to_owned(), work, name: "a run".to_owned() };
        let runs = Runs { failover_set: Some(set), ..Runs::default() };
        let mut watched = Watched::of(off(), &[Case::EverythingRestarted, Case::FailoverOff]).runs(runs);
        assert!(acts(&watched.after(minutes(1))), "on: {on}");
    }
}

/// It is gone on with, whoever is away: only what is owed for that one alone waits for it.
#[test]
fn a_run_that_broke_off_is_more_than_what_it_owes() {
    let watched = |shape, runs| Watched::of(shape, &[Case::RunUnfinished]).runs(runs).after(minutes(3));
    let kept_off = || Shape { serving: 4, away: tablets(&["c"]), auto_failover: false, ..well() };
    assert!(acts(&watched(kept_off(), broke_off(HowFar::BrokeOff, vec![held("c")]))));
    assert!(!acts(&watched(kept_off(), broke_off(HowFar::Owes, vec![held("c")]))));
    let off = Shape { auto_failover: false, ..well() };
    assert!(acts(&watched(off, broke_off(HowFar::Owes, Vec::new()))), "nobody else gives auto_failover back");
}

#[test]
fn another_recovery_that_is_interrupted_is_another_time_for_somebody_to_look() {
    let mut watched = Watched::of(Shape { down: 2, loaded: 5, ..well() }, &[Case::RunUnfinished])
        .runs(broke_off(HowFar::Interrupted, Vec::new()));
    assert!(matches!(watched.after(minutes(29)), Decision::HoldsBack(HeldBack::Interrupted { .. })));
    let run = RunId { began_ms: START + 1, number: 0 };
    watched.seen.runs.broke_off = watched.seen.runs.broke_off.map(|before| BrokeOff { run, ..before });
    assert!(matches!(watched.after(minutes(29)), Decision::HoldsBack(HeldBack::Interrupted { .. })));
    assert!(acts(&watched.after(minutes(1))));
}

#[test]
fn tablets_have_the_same_time_to_boot_each_time() {
    let mut watched = Watched::of(restarted(&["c"]), &[Case::EverythingRestarted]);
    assert!(acts(&watched.after(minutes(2))));
    let (again, cases) = (watched.seen.shape.clone(), watched.seen.cases.clone());
    (watched.seen.shape, watched.seen.cases) = (well(), Vec::new());
    watched.after(minutes(1));
    (watched.seen.shape, watched.seen.cases) = (again, cases);
    assert!(matches!(watched.after(minutes(1)), Decision::Waits(Waiting::Tablets { .. })));
}

#[test]
fn a_row_ends_only_where_it_was_well_without_a_break() {
    let mut watched = Watched::of(well(), &[]);
    watched.tried();
    watched.after(minutes(29));
    watched.seen.shape = restarted(&[]);
    watched.now();
    watched.seen.shape = well();
    watched.after(minutes(29));
    assert_eq!(watched.memory.attempts.len(), 1);
}

#[test]
fn a_recovery_that_was_killed_does_not_put_off_the_next_one() {
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    watched.after(minutes(1));
    let killed = |at_ms| Attempt { began_ms: at_ms, ended_ms: None, verdict: None, ill_ms: None };
    watched.memory.attempts.push(killed(watched.seen.at_ms));
    assert!(acts(&watched.now()));
    // Nor where others had ended before it: what was to be waited for was over when it began.
    watched.tried();
    assert!(matches!(watched.now(), Decision::Waits(Waiting::BackingOff { .. })));
    assert!(acts(&watched.after(minutes(1))));
    watched.memory.attempts.push(killed(watched.seen.at_ms));
    assert!(acts(&watched.now()));
}

#[test]
fn where_a_plan_has_nothing_to_do_there_is_nothing_to_ask() {
    let mut watched = Watched::of(well(), &[Case::RunUnfinished]).runs(broke_off(HowFar::BrokeOff, Vec::new()));
    assert!(acts(&watched.after(minutes(1))));
    watched.memory.is_stuck(watched.seen.shape.clone(), None);
    assert_eq!(watched.now(), Decision::Well);
}

/// Power went and came back while one tablet had been away for long: those that boot are waited for all the same.
#[test]
fn tablets_are_waited_for_from_when_there_is_something_to_recover() {
    let lost = || Shape { serving: 4, away: tablets(&["c"]), loaded: 8, ..well() };
    let mut watched = Watched::of(lost(), &[Case::TabletLost]);
    assert!(matches!(watched.after(minutes(600)), Decision::Asks(_)));
    watched.seen.shape = restarted(&["b", "c"]);
    watched.seen.cases = vec![case(Case::EverythingRestarted)];
    assert!(matches!(watched.after(Duration::from_secs(119)), Decision::Waits(Waiting::Tablets { .. })));
    assert!(acts(&watched.after(Duration::from_secs(1))));
    watched.tried();
    watched.memory.has_tried(true);
    // What is left is asked about, and then power goes again.
    (watched.seen.shape, watched.seen.cases) = (lost(), vec![case(Case::TabletLost)]);
    assert!(matches!(watched.after(minutes(60)), Decision::Asks(_)));
    (watched.seen.shape, watched.seen.cases) = (restarted(&["b", "c"]), vec![case(Case::EverythingRestarted)]);
    assert!(matches!(watched.after(minutes(1)), Decision::Waits(Waiting::Tablets { .. })));
}

#[test]
fn another_tablet_that_goes_away_has_its_time_to_come_back() {
    let lost = |away: &[&str]| Shape { serving: 4, away: tablets(away), loaded: 8, ..well() };
    let mut watched = Watched::of(lost(&["c"]), &[Case::TabletLost]);
    assert!(matches!(watched.after(minutes(600)), Decision::Asks(_)));
    watched.seen.shape = lost(&["b", "c"]);
    assert!(matches!(watched.after(minutes(1)), Decision::Waits(Waiting::Tablets { .. })));
    assert!(matches!(watched.after(minutes(1)), Decision::Asks(_)));
}

#[test]
fn a_tablet_that_crashes_again_and_again_does_not_put_a_recovery_off_for_ever() {
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    let (mut waited, mut named) = (0, false);
    let acts = loop {
        watched.seen.shape = restarted(if waited % 2 == 0 { &["c"] } else { &[] });
        match watched.after(Duration::from_secs(10)) {
            Decision::Waits(Waiting::Settling { until_ms, restless }) => {
                named |= restless == ["c".into()];
                assert!(until_ms > watched.seen.at_ms && until_ms <= START + 300_000, "{until_ms}");
            }
            Decision::Waits(_) => {}
            Decision::Acts(why) => break why,
            other => panic!("{other:?}"),
        }
        waited += 1;
        assert!(waited < 60, "it is put off for ever");
    };
    assert!(named && acts.contains("c goes away and comes back again and again"), "{acts}");
    assert!(watched.seen.at_ms >= START + 290_000, "it has had the time to settle");
}

#[test]
fn a_tablet_that_has_stayed_for_ten_minutes_does_not_come_and_go_any_more() {
    let mut watched = Watched::of(well(), &[]);
    for _ in 0..3 {
        watched.seen.shape.away = tablets(&["c"]);
        watched.after(minutes(1));
        watched.seen.shape.away.clear();
        watched.after(minutes(9));
    }
    assert_eq!(watched.memory.restless(), ["c".into()]);
    watched.after(minutes(1));
    assert_eq!(watched.memory.restless(), []);
}

/// Whoever recovers by hand may start tablets, too.
#[test]
fn tablets_have_their_time_to_boot_again_once_somebody_elses_run_has_ended() {
    let mut watched = Watched::of(restarted(&["c"]), &[Case::EverythingRestarted]);
    watched.after(minutes(1));
    watched.seen.runs.at_work = Some("run 7".to_owned());
    assert!(matches!(watched.after(minutes(5)), Decision::HoldsBack(HeldBack::RunAtWork(_))));
    watched.seen.runs.at_work = None;
    assert!(matches!(watched.after(minutes(1)), Decision::Waits(Waiting::Tablets { .. })));
    assert!(acts(&watched.after(minutes(1))));
}

/// OpenMLDB begins anew each time.
#[test]
fn a_tablet_that_crashes_again_and_again_while_others_serve_is_named() {
    let mut watched = Watched::of(well(), &[]);
    for crash in 0..100 {
        watched.seen.shape = Shape { serving: 2, loaded: 8, ops: crash % 2, ..well() };
        if crash % 2 == 0 {
            watched.seen.shape.away = tablets(&["c"]);
        }
        watched.seen.cases = vec![case(Case::TabletRestarted)];
        match watched.after(minutes(1)) {
            Decision::Asks(question) => {
                assert!(crash > 28 && question.seen.contains("c goes away and comes back"), "{crash}: {question:?}");
                return;
            }
            Decision::Waits(Waiting::Healing { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    panic!("nobody is told");
}

/// A disk that is lost for ever is no reason to leave the cluster alone when power goes a week later.
#[test]
fn what_stays_lost_does_not_make_a_row_of_recoveries_that_lie_days_apart() {
    let partly = || Shape { down: 1, loaded: 9, ..well() };
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    for night in 0..20 {
        (watched.seen.shape, watched.seen.cases) = (restarted(&[]), vec![case(Case::EverythingRestarted)]);
        assert!(acts(&watched.after(minutes(1))), "{night}");
        watched.tried();
        watched.memory.has_tried(true);
        (watched.seen.shape, watched.seen.cases) = (partly(), vec![case(Case::PartitionLost)]);
        watched.now();
        let question = Question { seen: "shop.orders/1 is blocked".to_owned(), next: Vec::new() };
        watched.memory.is_stuck(partly(), Some(question));
        assert!(matches!(watched.after(minutes(600)), Decision::Asks(_)), "{night}");
        assert_eq!(watched.memory.attempts.len(), 1);
    }
    // Where nothing changes, nothing is tried again.
    let tried = watched.memory.attempts.len();
    assert!(matches!(watched.after(minutes(6000)), Decision::Asks(_)));
    assert_eq!(watched.memory.attempts.len(), tried);
}

/// Whoever takes over does not know how the last one left it, nor what happened since.
#[test]
fn after_a_long_row_of_another_guard_it_is_tried_once_in_an_hour() {
    let mut watched = Watched::of(restarted(&[]), &[Case::EverythingRestarted]);
    for _ in 0..6 {
        watched.tried();
    }
    assert!(matches!(watched.after(minutes(59)), Decision::Asks(_)));
    assert!(acts(&watched.after(minutes(1))));
}
