//! Which cases are recognised, and what is said of them.

use std::collections::BTreeMap;

use super::super::scope::Scope;
use super::super::status::ReplicaProblem;
use super::*;
use crate::model::Seen;
use crate::recovery::ProblemKind;

fn cases(seen: &Snapshot, runs: &Runs) -> Vec<Case> {
    let found = diagnose(seen, &Status::of(seen, &Scope::All), runs);
    found.into_iter().map(|diagnosis| diagnosis.case).collect()
}

fn nothing_yet(tablet: Tablet) -> Snapshot {
    Snapshot {
        cluster: "test".to_owned(),
        taken_at_ms: 0,
        zone: crate::model::Zone::Alone,
        identity: crate::model::Identity::Cluster,
        auto_failover: true,
        tables: Vec::new(),
        tablets: BTreeMap::from([("a".into(), tablet)]),
        ops: Vec::new(),
    }
}

#[test]
fn a_tablet_that_runs_and_is_taken_for_offline_was_missed() {
    let runs = Tablet {
        state: Some(TabletState::Offline),
        in_zookeeper: Some(true),
        held: Seen::Known(BTreeMap::new()),
        ..Tablet::unknown()
    };
    assert_eq!(cases(&nothing_yet(runs.clone()), &Runs::default()), [Case::TabletMissed]);
    let healthy = Tablet { state: Some(TabletState::Healthy), ..runs.clone() };
    assert_eq!(cases(&nothing_yet(healthy), &Runs::default()), []);
    let gone = Tablet { in_zookeeper: Some(false), ..runs };
    assert_eq!(cases(&nothing_yet(gone), &Runs::default()), [], "its session is over, and it knows");
}

#[test]
fn who_owes_auto_failover_is_named_instead_of_wondered_about() {
    let mut seen = nothing_yet(Tablet::unknown());
    seen.auto_failover = false;
    assert_eq!(cases(&seen, &Runs::default()), [Case::FailoverOff]);
    let unfinished = Some("run 1 did not finish".to_owned());
    let owes = Runs { unfinished: unfinished.clone(), owes_failover: true, ..Runs::default() };
    assert_eq!(cases(&seen, &owes), [Case::RunUnfinished]);
    let at_work = Runs { at_work: Some("run 2".to_owned()), unfinished, ..Runs::default() };
    assert_eq!(cases(&seen, &at_work), [Case::RunAtWork]);
    let run = RunId { began_ms: 7, number: 0 };
    let abandoned = Abandoned { typed: "scale in a".to_owned(), run: Some(run) };
    let undertaking = Runs { undertaking: Some(abandoned), ..Runs::default() };
    let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &undertaking);
    assert_eq!(
        found[0].next,
        ["openmldb-ops scale in a", "openmldb-ops record dismiss 7-0 # if it should not be continued"]
    );
}

#[test]
fn who_switched_auto_failover_off_is_named_with_run_host_and_time() {
    let mut seen = nothing_yet(Tablet::unknown());
    seen.auto_failover = false;
    let told = |on, work, name: &str| {
        let (run, host) = (RunId { began_ms: 7, number: 0 }, "ops1".to_owned());
        let set = FailoverSet { on, at_ms: 951_782_400_000, run, host, work, name: name.to_owned() };
        let runs = Runs { failover_set: Some(set), ..Runs::default() };
        let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &runs);
        assert_eq!(found.iter().map(|found| found.case).collect::<Vec<_>>(), [Case::FailoverOff]);
        found[0].seen.clone()
    };
    assert_eq!(
        told(false, Work::Step, "failover set off"),
        "auto_failover was switched off by `failover set off`, run 7-0 on ops1 at 2000-02-29 00:00:00 UTC"
    );
    assert_eq!(
        told(true, Work::Recovery, "recover"),
        "auto_failover is off although run 7-0 on ops1 at 2000-02-29 00:00:00 UTC had switched it on: someone else has \
         switched it off since"
    );
}

#[test]
fn what_was_given_up_with_a_tablet_is_not_waited_for_while_all_serves() {
    let seen = super::super::made_up::seen();
    let run = RunId { began_ms: 7, number: 0 };
    let next = |without: &[&str]| {
        let without: BTreeSet<Endpoint> = without.iter().map(|at| Endpoint::from(*at)).collect();
        let runs = Runs { went_on_without: Some((run, without)), ..Runs::default() };
        let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &runs);
        let lost = found.into_iter().find(|found| found.case == Case::TabletLost);
        lost.map_or(String::new(), |lost| lost.next[0].clone())
    };
    assert!(next(&["b"]).contains("as accepted (`openmldb-ops record show 7-0 --summary`)"), "{}", next(&["b"]));
    assert!(next(&["c"]).starts_with("start b again if you can"), "{}", next(&["c"]));
}

#[test]
fn what_a_tablet_without_disks_has_lost_and_nobody_leads_is_counted() {
    let mut seen = super::super::made_up::seen();
    let (id, mut more) = (super::super::made_up::ID, seen.tables[0].partitions[0].clone());
    let unled = PartitionId { pid: crate::model::Pid(1), ..id };
    more.pid = unled.pid;
    seen.tables[0].partitions.push(more);
    let missing = crate::model::Probes {
        directory: Seen::Known(crate::model::Directory::Missing),
        ..crate::model::Probes::UNASKED
    };
    let probes = BTreeMap::from([(id, missing.clone()), (unled, missing)]);
    let healthy = Tablet { state: Some(TabletState::Healthy), ..Tablet::unknown() };
    seen.tablets.insert("b".into(), Tablet { held: Seen::Known(BTreeMap::new()), probes, ..healthy });
    let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &Runs::default());
    let rebuilt = found.iter().find(|found| found.case == Case::TabletRebuilt).unwrap();
    assert!(rebuilt.seen.ends_with("nobody leads 1 partition of these now"), "{}", rebuilt.seen);
}

/// Nothing has failed that could be tried again.
#[test]
fn what_no_operation_was_about_is_not_said_to_have_failed() {
    let promise = |kinds: &[ProblemKind]| {
        let mut status = Status::of(&super::super::made_up::seen(), &Scope::All);
        let found = &mut status.partitions[0];
        found.state = PartitionState::Serving;
        found.problems.truncate(1);
        let problem = found.problems.remove(0);
        found.problems = kinds.iter().map(|kind| ReplicaProblem { kind: *kind, ..problem.clone() }).collect();
        status.partitions.truncate(1);
        not_redundant(&status).unwrap().promise
    };
    let damaged = promise(&[ProblemKind::WrittenWhileLoading]);
    assert!(damaged.contains("does not notice") && !damaged.contains("operation"), "{damaged}");
    for kind in [ProblemKind::NotAlive, ProblemKind::NotLoaded] {
        assert!(promise(&[kind, ProblemKind::WrittenWhileLoading]).contains("is not retried"));
    }
}
