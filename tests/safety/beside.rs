//! A second recovery at work beside the run, which takes no lock: no row is lost, and what is left undone is said.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::model::TableName;
use openmldb_ops::operate::Undertaking;
use openmldb_ops::run::Recovered;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::call::NameserverCall;
use openmldb_ops::wire::nameserver::{ConfSetRequest, Pair};

use super::calm::auto_failover;
use super::judge::Judge;
use super::run::{Ended, Host, Run};
use super::undertakings::{Hunted, Trouble};

/// Nothing in these worlds takes nearly as long, in virtual time.
const ENDS_WITHIN: Duration = Duration::from_secs(300);

fn restarted(scenario: Scenario) -> World {
    let generated = Some(Generated { tables: 2, partitions: 3, replicas: 3, rows: 40 });
    let shape = Shape { generated, ..Shape::default() };
    let mut world = scenario.bring_about(&shape, &Addresses::recorded(2, 3)).unwrap();
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    world
}

/// What came of a run, and what it said.
struct Came {
    world: World,
    recovered: Recovered,
    told: Vec<String>,
    judge: Arc<Mutex<Judge>>,
}

fn run(host: &Host, number: u64, world: World, playbook: &'static str, fault: Option<&str>) -> Came {
    let judge = Arc::new(Mutex::new(Judge::default()));
    let faults = fault.into_iter().map(|fault| fault.parse().unwrap()).collect();
    let (world, ran) = Run { faults, ..Run::calm(playbook, host, number) }.on(world, &judge);
    let recovered = match ran.ended {
        Ended::Itself(result) => result.unwrap(),
        other => panic!("{other:?}"),
    };
    Came { world, recovered, told: ran.told, judge }
}

fn disturbed(scenario: Scenario, fault: &str) -> Came {
    run(&Host::new(true), 1, restarted(scenario), "recover", Some(fault))
}

#[test]
fn a_second_recovery_without_a_lock_costs_no_row() {
    for playbook in ["recover", "fast", "leaders-first"] {
        for when in ["mutation:1", "mutation:4", "mutation:12", "mutation:25", "0ms", "400ms", "3s"] {
            let (host, fault) = (Host::new(true), format!("{when}=operator-recoverdata"));
            let first = run(&host, 1, restarted(Scenario::EverythingRestarted), playbook, Some(&fault));
            let violations = std::mem::take(&mut first.judge.lock().unwrap().violations);
            assert_eq!(violations, [], "{playbook} {fault}");
            let mut world = first.world;
            assert!(world.ruined_by_others().is_empty(), "the replicas hold the same");
            // It comes to its end, and another run finds out what is left.
            world.advance_by(240_000);
            let mut last = run(&host, 2, world, playbook, None);
            let blocked = &last.recovered.summary.blocked;
            assert_eq!(blocked.len(), 0, "{playbook} {fault}: {blocked:?}");
            let rows = last.world.settle();
            assert_eq!(rows.rows_after, rows.rows_expected, "{playbook} {fault}");
            assert_eq!(last.world.diverged(), Default::default(), "{playbook} {fault}");
        }
    }
}

#[test]
fn auto_failover_that_is_switched_on_in_mid_run_is_switched_off_again_and_costs_no_partition() {
    for call in ["RecoverTable:1", "UpdateTableAliveStatus:2", "RecoverTable:3", "2s"] {
        let fault = format!("{call}=operator-failover-on");
        let mut came = disturbed(Scenario::EverythingRestarted, &fault);
        let blocked = &came.recovered.summary.blocked;
        assert_eq!(blocked.len(), 0, "{fault}: {blocked:?}");
        let said = came.told.iter().filter(|line| line.contains("someone else switched auto_failover on"));
        let said: Vec<&String> = said.collect();
        assert!(said.len() == 1 && said[0].contains("start-all.sh"), "{fault}: {said:?}");
        assert_eq!(auto_failover(&mut came.world), Some(true));
    }
}

/// Off when the run began; somebody wanted it on meanwhile, and that is what they get.
#[test]
fn it_is_given_back_as_they_wanted_it() {
    let mut came = disturbed(Scenario::TabletsRestartedFailoverOff, "RecoverTable:1=operator-failover-on");
    let seen = &came.recovered.summary.auto_failover;
    assert_eq!((seen.before, seen.after), (false, true), "{:?}", came.recovered.summary);
    assert_eq!(auto_failover(&mut came.world), Some(true));
    assert!(came.told.iter().any(|line| line.contains("auto_failover is off, and no known run left it off")));
}

/// Killed after it had switched it off again, the run leaves to the next one what they wanted.
#[test]
fn a_run_that_is_killed_leaves_what_they_wanted() {
    for notes in [true, false] {
        let host = Host::new(notes);
        let world = restarted(Scenario::TabletsRestartedFailoverOff);
        let faults = ["RecoverTable:1=operator-failover-on", "ConfSet:1=tool-killed-after"];
        let faults = faults.iter().map(|fault| fault.parse().unwrap()).collect();
        let (mut world, ran) = Run { faults, ..Run::calm("recover", &host, 1) }.on(world, &Arc::default());
        assert!(matches!(ran.ended, Ended::Killed), "{:?}", ran.ended);
        assert_eq!(auto_failover(&mut world), Some(false));
        let next = if notes { host.another() } else { host };
        let mut last = run(&next, 2, world, "recover", None);
        assert_eq!(auto_failover(&mut last.world), Some(true), "notes {notes}");
    }
}

/// A nameserver that refuses because auto_failover is on, and says that it is off: nobody asks it without end.
#[test]
fn a_nameserver_that_contradicts_itself_is_asked_a_bounded_number_of_times() {
    let (takes_time, refuses) = ("*:every=slow-1ms", |call: &str| format!("{call}:every=code-301"));
    let faults = [takes_time.parse().unwrap(), refuses("RecoverTable").parse().unwrap()];
    let run =
        Run { faults: faults.to_vec(), killed_after: Some(ENDS_WITHIN), ..Run::calm("recover", &Host::new(true), 1) };
    let (mut world, ran) = run.on(restarted(Scenario::EverythingRestarted), &Arc::default());
    let recovered = ran.recovered().unwrap_or_else(|| panic!("{}", ran.ending()));
    assert!(!recovered.summary.blocked.is_empty());
    assert_eq!(auto_failover(&mut world), Some(true));

    for call in ["ChangeLeader", "RecoverTable"] {
        let mut hunted = Hunted::new(0);
        hunted.world = restarted(Scenario::Healthy);
        let handover = a_handover(&hunted);
        let trouble = Trouble { killed_after: Some(ENDS_WITHIN), ..Trouble::of(&[takes_time, &refuses(call)]) };
        let report = hunted.run_job(&handover, trouble).unwrap_or_else(|| panic!("{call}: it does not end")).unwrap();
        assert_eq!(report.left.len(), 1, "{call}");
        let why = &report.left[0].1.text;
        assert!(why.contains("301"), "{call}: {why}");
        let asked = hunted.world.trace().calls().filter(|sent| sent.method == call).count();
        assert!(asked <= 30, "{call}: {asked} times");
        assert_eq!(auto_failover(&mut hunted.world), Some(true), "{call}");
    }
}

fn a_handover(hunted: &Hunted) -> Undertaking {
    let metas = hunted.world.metadata();
    let table = hunted.world.tables().into_iter().find(|table| table.name() == "t0").unwrap();
    let id = metas.keys().find(|id| id.tid.0 == table.tid()).unwrap();
    let to = metas[id].partition_meta.iter().find(|meta| !meta.is_leader).unwrap();
    Undertaking::Handover {
        table: TableName { db: table.db().to_owned(), table: table.name().to_owned() },
        pids: vec![id.pid],
        to: to.endpoint.as_str().into(),
    }
}

/// What holds for a recovery holds for an undertaking.
#[test]
fn an_undertaking_switches_it_off_again_a_bounded_number_of_times_and_gives_it_back_as_they_wanted_it() {
    for (fault, left) in [("RecoverTable:1=operator-failover-on", 0), ("RecoverTable:every=operator-failover-on", 1)] {
        let mut hunted = Hunted::new(0);
        hunted.world = restarted(Scenario::Healthy);
        set_auto_failover(&mut hunted.world, false);
        let before = hunted.world.trace().calls().filter(|call| call.method == "ConfSet").count();
        let trouble = Trouble { killed_after: Some(ENDS_WITHIN), ..Trouble::of(&["*:every=slow-1ms", fault]) };
        let handover = a_handover(&hunted);
        let report = hunted.run_job(&handover, trouble).unwrap_or_else(|| panic!("{fault}: it does not end")).unwrap();
        assert_eq!(report.left.len(), left, "{fault}: {:?}", report.left);
        let set = hunted.world.trace().calls().filter(|call| call.method == "ConfSet").count() - before;
        // Three times off again, and once as they wanted it.
        assert!(set <= 4, "{fault}: {set}");
        assert_eq!(auto_failover(&mut hunted.world), Some(true), "{fault}: somebody wanted it on meanwhile");
    }
}

fn set_auto_failover(world: &mut World, on: bool) {
    let conf = Pair { key: "auto_failover".to_owned(), value: on.to_string() };
    let leading = world.leader().unwrap();
    world.call_nameserver(&leading, NameserverCall::ConfSet(ConfSetRequest { conf })).unwrap();
}

/// Whoever switches it on again and again is left to it, and the run ends.
#[test]
fn it_is_switched_off_again_a_bounded_number_of_times() {
    let came = disturbed(Scenario::EverythingRestarted, "RecoverTable:every=operator-failover-on");
    let again = came.told.iter().filter(|line| line.contains("it is switched off again")).count();
    assert_eq!(again, 3);
    assert!(came.told.iter().any(|line| line.contains("switched on once more, and stays on")), "{:#?}", came.told);
    let blocked = &came.recovered.summary.blocked;
    assert!(!blocked.is_empty() && blocked.iter().all(|blocked| !blocked.hint.is_empty()), "{blocked:?}");
}

#[test]
fn what_others_change_is_said_with_who_it_may_be() {
    for (fault, what) in
        [("ChangeRole:6=operator-marks-alive", "was marked alive"), ("0ms=operator-loadtable", "was loaded as leader")]
    {
        let came = disturbed(Scenario::EverythingRestarted, fault);
        let said: Vec<&String> = came.told.iter().filter(|line| line.contains("not by this run")).collect();
        let first = said.first().unwrap_or_else(|| panic!("{fault}: nothing is said"));
        assert!(first.contains(what) && first.contains("start-all.sh"), "{fault}: {said:?}");
    }
}
