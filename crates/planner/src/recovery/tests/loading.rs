//! What is touched, loading, and finding out last terms.

use std::time::Duration;

use super::builder::{Built, Replica, a_partition, recover, said};
use crate::recovery::limits::MAX_TRIES;
use crate::recovery::{Ahead, Decision, Gates, Load, Probe, Reason, Wait, WaitFor, decide};
use openmldb_model::{Action, Directory, OpKind, OpStatus, Seen, State, TabletState};

pub fn waits(view: &Built) -> Wait {
    match view.decided() {
        Decision::Wait(wait) => wait,
        other => panic!("no wait: {other:?}"),
    }
}

pub fn asks(view: &Built) -> Vec<String> {
    let Decision::Look(probes) = view.decided() else { panic!("no question: {:?}", view.decided()) };
    let said = |p: &Probe| format!("{} {:?}", p.endpoint, p.question);
    probes.iter().map(said).collect()
}

pub fn expired(mut view: Built, what: WaitFor) -> Built {
    for replica in &view.0.replicas {
        view.0.memory.replicas.insert(replica.endpoint.clone(), replica.memory.clone());
    }
    view.0.memory.note_expired(view.0.storage, what, "as before".to_owned());
    for replica in &mut view.0.replicas {
        replica.memory = view.0.memory.replica(&replica.endpoint);
    }
    view
}

fn healthy() -> Built {
    a_partition()
        .replica("a", |r| r.leader().alive().loaded(9).leads_to([("b", 9)]))
        .replica("b", |r| r.alive().loaded(9).heard(1))
}

/// The nameserver's word only: everything alive, nothing loaded
/// (docs/openmldb/auto-failover.md#what-a-full-restart-leaves-behind).
fn after_a_full_restart() -> Built {
    a_partition().replica("a", |r| r.leader().alive()).replica("b", Replica::alive)
}

fn down(build: impl Fn(Replica) -> Replica) -> Built {
    a_partition().terms([(1, 0), (3, 15)]).replica("a", |r| build(r.leader())).replica("b", build)
}

#[test]
fn a_healthy_partition_is_not_touched() {
    assert_eq!(healthy().decided(), Decision::Done);
    let single = a_partition().replica("a", |r| r.leader().alive().loaded(9).leads_to([]));
    assert_eq!(single.decided(), Decision::Done);
}

#[test]
fn connected_is_asked_of_the_leader_before_a_partition_is_called_healthy() {
    let mut view = healthy();
    view.get_mut("a").followers = Seen::Unasked;
    assert_eq!(asks(&view), ["a Followers"]);
}

#[test]
fn alive_flags_say_nothing_about_being_loaded() {
    assert_eq!(after_a_full_restart().acts(), ["mark a no", "mark b no"]);
}

#[test]
fn a_serving_leader_is_never_marked_not_alive() {
    let view =
        a_partition().replica("a", |r| r.leader().alive().loaded(9).leads_to([])).replica("b", |r| r.alive().loaded(9));
    assert_eq!(view.acts(), ["mark b no"]);
    let beside =
        a_partition().replica("a", |r| r.leader().alive().loaded(9).leads_to([])).replica("b", |r| r.leader().alive());
    assert_eq!(beside.acts(), ["mark b no"], "the second alive flag is the broken one");
}

#[test]
fn of_two_alive_leaders_in_memory_neither_is_believed() {
    let view = a_partition()
        .replica("a", |r| r.leader().alive().loaded(9).leads_to([]))
        .replica("b", |r| r.leader().alive().loaded(9).leads_to([]));
    assert_eq!(view.acts(), ["mark a no", "mark b no"]);
}

#[test]
fn an_alive_leader_that_only_we_cannot_reach_is_left_alone() {
    let view = a_partition()
        .replica("a", |r| r.leader().alive().out_of_reach().with(|r| r.tablet_state = Some(TabletState::Healthy)))
        .replica("b", |r| r.alive().loaded(9));
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Answer("a".into()));
    assert_eq!(expired(view.clone(), wait.what).blocked().reason, Reason::OutOfReach);
    let mut gone = view;
    gone.get_mut("a").tablet_state = Some(TabletState::Offline);
    assert_eq!(gone.acts(), ["mark a no", "mark b no"]);
}

#[test]
fn a_flag_that_cannot_be_cleared_is_not_cleared_again() {
    let view = a_partition()
        .replica("a", |r| r.leader().alive().out_of_reach().with(|r| r.memory.flag_stuck = true))
        .replica("b", |r| r.loaded(9));
    assert_eq!(view.blocked().reason, Reason::OutOfReach);
}

#[test]
fn every_absent_replica_is_loaded_as_a_follower() {
    let view = a_partition().replica("a", Replica::leader).replica("b", |r| r).replica("c", |r| r.queued());
    assert_eq!(view.acts(), ["load a", "load b"], "never one that is loading already");
    let Decision::Act(intents) = view.decided() else { panic!() };
    let Action::LoadTable { seg_cnt, .. } = &intents[0].action else { panic!() };
    assert_eq!(*seg_cnt, 8);
}

#[test]
fn load_table_is_never_sent_twice() {
    for load in [Load::Accepted, Load::NeverAppeared, Load::Interrupted] {
        let view = a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", |r| r.load(load.clone()));
        let again = matches!(view.decided(), Decision::Act(intents) if intents.iter().any(|i| i.step == "load_table"));
        assert!(!again, "{load:?}");
    }
}

/// Worlds 40004946 and 62002997: the leader's tablet went away while it was resent. What its tablet has may be its own, and nobody else's.
#[test]
fn what_was_to_be_resent_is_loaded_once_nobody_else_brings_it_back_and_not_before() {
    let loads = |build: fn(Built) -> Built, leads: fn(Replica) -> Replica, b: fn(Replica) -> Replica| {
        let view = a_partition().replica("a", |r| leads(r.leader().loaded(9)));
        let view = build(view.replica("b", |r| b(r.load(Load::HandedOver).known_at(7))));
        matches!(view.decided(), Decision::Act(intents) if intents.iter().any(|intent| said(intent) == "load b"))
    };
    let serves: fn(Replica) -> Replica = |r| r.alive().leads_to([]);
    assert!(loads(|view| view, |r| r, |r| r));
    assert!(!loads(|view| view.op(3, OpKind::ReAdd, OpStatus::Doing), |r| r, |r| r), "it is being brought back");
    assert!(!loads(|view| view.on_disk(), |r| r, |r| r), "it may be loading unseen");
    assert!(!loads(|view| view, |r| r, |r| r.no_directory()), "there is nothing to load");
    assert!(!loads(|view| view, |r| r, |r| r.with(|r| r.memory.recovery.dropped = true)), "it is going away");
    assert!(!loads(|view| view, serves, |r| r), "its leader sends it all");
    assert!(loads(|view| view, serves, |r| r.known_at(12)), "it was known to hold more than its leader");
}

/// Found by the hunt (world 5006901): its tablet was restarted while a nameserver took ten seconds to answer, and nobody saw it.
#[test]
fn what_vanished_while_it_was_loaded_is_told_again_if_its_directory_is_in_place() {
    let vanished = |directory| {
        let b = move |r: Replica| r.leader().load(Load::Vanished).with(|r| r.directory = directory);
        a_partition().replica("a", |r| r.loaded(9)).replica("b", b)
    };
    let wait = waits(&vanished(Seen::Unasked));
    assert_eq!(wait.seen, "b vanished while loading", "a load that failed takes a moment to move it away");
    assert_eq!(asks(&expired(vanished(Seen::Unasked), wait.what)), ["b Directory"]);
    let mut in_place = vanished(Seen::Known(Directory::InPlace));
    assert_eq!(in_place.acts(), ["load b"]);
    in_place.get_mut("b").memory.loads = MAX_TRIES;
    let blocked = in_place.blocked();
    assert_eq!((blocked.reason, blocked.text.contains("was not loaded")), (Reason::LoadTimeout, true), "{blocked:?}");
    for gone in [Directory::Missing, Directory::Bare] {
        assert_eq!(vanished(Seen::Known(gone)).chooses(), "a", "{gone:?}");
    }
}

/// Nor does anybody replace it.
#[test]
fn what_vanished_and_may_be_in_place_is_not_replaced() {
    let vanished = |directory| {
        let b =
            move |r: Replica| r.load(Load::Vanished).with(|r| (r.directory, r.memory.loads) = (directory, MAX_TRIES));
        a_partition().replica("a", |r| r.leader().alive().loaded(9).leads_to([])).replica("b", b)
    };
    let blocked = vanished(Seen::Known(Directory::InPlace)).blocked();
    assert!(
        blocked.text.starts_with("b vanished when it was told to load, and its directory may be in place"),
        "{blocked:?}"
    );
    assert_eq!(vanished(Seen::Known(Directory::Missing)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_tablet_that_keeps_restarting_is_not_loaded_for_ever() {
    let view = a_partition()
        .replica("a", |r| r.leader().alive().loaded(9).leads_to([]))
        .replica("b", |r| r.with(|r| r.memory.loads = 5));
    assert_eq!(view.blocked().reason, Reason::LoadTimeout);
}

#[test]
fn a_table_waits_for_those_that_come_first() {
    let gates = Gates { comes_first: Some(Ahead::SystemTables), ..Gates::OPEN };
    let view = a_partition().replica("a", Replica::leader);
    let Decision::Wait(wait) = decide(&view, &recover(), gates) else { panic!() };
    assert_eq!(wait.what, WaitFor::Turn(Ahead::SystemTables));
}

#[test]
fn a_replica_is_disconnected_from_its_leader_before_it_is_loaded() {
    let serving = |connected: bool| {
        let to = if connected { [("b", 9)] } else { [("c", 9)] };
        a_partition()
            .replica("a", |r| r.leader().alive().loaded(9).leads_to(to))
            .replica("b", |r| r)
            .replica("c", |r| r.alive().loaded(9).heard(1))
    };
    assert_eq!(serving(true).acts(), ["del_replica a b"]);
    assert_eq!(serving(false).acts(), ["load b"]);
    let mut view = serving(true);
    view.get_mut("a").followers = Seen::Unasked;
    assert_eq!(asks(&view), ["a Followers"]);
    view.get_mut("a").followers = Seen::Failed("timeout".to_owned());
    assert_eq!(waits(&view).what, WaitFor::Answer("a".into()));
    assert_eq!(expired(view, WaitFor::Answer("a".into())).blocked().reason, Reason::NotRedundant);
}

#[test]
fn the_leader_is_picked_when_every_replica_is_loaded() {
    let view = a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", Replica::queued);
    assert_eq!(waits(&view).what, WaitFor::SlowLoad);
    let Decision::Choose(choice) = expired(view, WaitFor::Loading).decided() else { panic!() };
    assert_eq!(choice.leader.as_str(), "a");
}

#[test]
fn a_disk_table_is_waited_for_until_it_appears() {
    for (load, after) in [(Load::Accepted, Load::NeverAppeared), (Load::Interrupted, Load::Interrupted)] {
        let view = a_partition().on_disk().replica("a", |r| r.leader().load(load)).replica("b", |r| r.loaded(9));
        let wait = waits(&view);
        assert_eq!(wait.what, WaitFor::Appearing("a".into()));
        let view = expired(view, wait.what);
        assert_eq!(view.get("a").memory.load, after);
        assert_eq!(view.blocked().reason, Reason::LoadTimeout, "it may hold more than b");
    }
}

/// Worlds 20070431 and 62010451: its tablet has nothing to load, which only the next run found out.
#[test]
fn what_was_perhaps_told_to_load_and_has_nothing_to_load_is_sent_its_leaders_data() {
    let view = |load: Load, directory| {
        let b = move |r: Replica| r.load(load).with(|r| r.directory = directory);
        a_partition().on_disk().replica("a", |r| r.leader().alive().loaded(9).leads_to([])).replica("b", b)
    };
    let told = |directory| expired(view(Load::Interrupted, directory), WaitFor::Appearing("b".into()));
    assert_eq!(waits(&view(Load::Interrupted, Seen::Known(Directory::Bare))).what, WaitFor::Appearing("b".into()));
    assert_eq!(asks(&told(Seen::Unasked)), ["b Directory"]);
    assert_eq!(told(Seen::Known(Directory::Bare)).acts(), ["recover_table b (resend)"]);
    for directory in [Directory::InPlace, Directory::Undescribed, Directory::Missing] {
        assert_eq!(told(Seen::Known(directory)).blocked().reason, Reason::LoadTimeout, "{directory:?}");
    }
}

#[test]
fn whether_a_replica_has_a_directory_is_asked_before_it_is_told_to_load() {
    let unasked = |r: Replica| r.with(|r| r.directory = Seen::Unasked);
    for view in [a_partition().on_disk(), a_partition()] {
        let view = view.replica("a", |r| unasked(r.leader())).replica("b", |r| r);
        assert_eq!(asks(&view), ["a Directory"]);
    }
    let unknown = |r: Replica| r.with(|r| r.directory = Seen::Failed("timeout".to_owned()));
    let view = a_partition().on_disk().replica("a", |r| r.leader().no_directory()).replica("b", unknown);
    assert_eq!(view.acts(), ["load b"], "it may have one");
}

#[test]
fn terms_are_proven_where_there_were_several_and_manifest_does_not_tell() {
    assert_eq!(down(|r| r.loaded(20)).acts(), ["make_snapshot a 20", "make_snapshot b 20"]);
    let chooses = |view: Built| matches!(view.decided(), Decision::Choose(_));
    assert!(chooses(down(|r| r.loaded(20).last_term(3))), "MANIFEST tells");
    assert!(chooses(down(|r| r.loaded(20).heard(3))), "contacted: its log may be moving");
    assert!(chooses(down(|r| r.loaded(20)).on_disk()), "a disk table's MANIFEST does not tell");
    assert!(chooses(down(|r| r.loaded(20)).terms([(1, 0)])), "one term");
    assert!(chooses(down(|r| r.loaded(0))), "no entries");
    let single = a_partition().terms([(1, 0), (3, 15)]).replica("a", |r| r.leader().loaded(20));
    assert!(chooses(single), "nothing to compare");
}

/// Found by the hunt: an answer about a term came back broken, the terms counted as unknown, and the larger offset led: an old
/// leader's tail that nobody received, instead of the rows acknowledged since.
#[test]
fn a_question_about_a_term_is_asked_again_before_the_term_counts_as_unknown() {
    let mut view = down(|r| r.loaded(20).last_term(3));
    view.get_mut("a").manifest = Seen::Failed("garbage".to_owned());
    let wait = waits(&view).what;
    assert_eq!(wait, WaitFor::Answer("a".into()));
    assert_eq!(expired(view, wait).acts(), ["make_snapshot a 20"]);
}

#[test]
fn no_snapshot_is_made_of_a_suspect_or_a_very_long_replica() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.leader().loaded(1_000_000))
        .replica("b", |r| r.loaded(1_000_000).rows(9))
        .replica("c", |r| r.loaded(1_000_001));
    assert_eq!(view.acts(), ["make_snapshot a 1000000"]);
}

#[test]
fn manifest_and_term_are_asked_of_all_replicas_at_once() {
    let unasked = |r: Replica| r.loaded(20).with(|r| (r.manifest, r.term_pair) = (Seen::Unasked, Seen::Unasked));
    assert_eq!(asks(&down(unasked)), ["a Manifest", "a TermPair", "b Manifest", "b TermPair"]);
}

#[test]
fn a_snapshot_waits_for_its_turn() {
    // A tablet makes one snapshot at a time: until then its state is kTableNormal and MANIFEST as before.
    let asked = down(|r| r.loaded(20).with(|r| r.memory.snapshot_asked = true));
    let making = down(|r| r.loaded(20).state(State::MakingSnapshot));
    for view in [asked, making] {
        let wait = waits(&view);
        assert_eq!(wait.what, WaitFor::Snapshot("a".into()));
        let view = expired(expired(view, wait.what), WaitFor::Snapshot("b".into()));
        assert!(matches!(view.decided(), Decision::Choose(_)), "its term stays unknown");
    }
}

/// Seen on real servers: a tablet was killed as it made a snapshot, and asked for another one within the same minute. That was written
/// behind what the first one had left, the log was deleted, and the next load brought a part of the rows.
#[test]
fn a_tablet_that_has_just_come_up_is_not_asked_for_a_snapshot() {
    let new = |r: Replica| r.loaded(20).with(|r| r.is_new = true);
    let view = down(new);
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::UpForAMinute);
    assert_eq!((wait.timeout, wait.stall), (Duration::from_secs(60), Duration::from_secs(60)));
    let view = expired(view, wait.what);
    assert_eq!(view.acts(), ["make_snapshot a 20", "make_snapshot b 20"], "one minute is for all of them");
    let mut view = view;
    view.0.memory.note_return(&"b".into());
    assert_eq!(waits(&view).what, WaitFor::UpForAMinute, "one has come up once more");
    let mut view = down(new);
    view.get_mut("b").is_new = false;
    assert_eq!(view.acts(), ["make_snapshot b 20"], "one that has been there for longer need not wait");
    view.get_mut("b").memory.snapshot_asked = true;
    view.get_mut("a").is_new = false;
    assert_eq!(view.acts(), ["make_snapshot a 20"]);
}

/// Seen on real servers: a binlog with a damaged entry makes every snapshot fail without a word, and its partition was down for half an
/// hour.
#[test]
fn a_snapshot_that_its_tablet_does_not_make_is_not_waited_for_long() {
    let asked = |others| {
        let told = |r: Replica| r.loaded(20).with(|r| r.memory.snapshot_asked = true);
        waits(&down(|r| told(r).with(|r| r.tablet_makes_snapshot = others)))
    };
    let (idle, busy) = (asked(false), asked(true));
    assert_eq!(idle.what, busy.what);
    assert!(idle.stall <= Duration::from_secs(10), "it failed");
    assert!(busy.stall >= Duration::from_secs(30 * 60), "its turn comes when those before it are made");
    assert_ne!(idle.seen, busy.seen, "what ends is progress");
}

/// Found by the hunt: the answer to MakeSnapshot was lost, and so was half an hour, and then the term stayed unknown.
#[test]
fn a_snapshot_that_nobody_may_have_been_asked_for_is_asked_for_again() {
    use crate::recovery::Outcome;
    let view = down(|r| r.loaded(20));
    let Decision::Act(intents) = view.decided() else { panic!("{:?}", view.decided()) };
    let asked = |outcome| {
        let mut memory = view.memory.clone();
        memory.note_outcome(&view, &intents[0], &outcome, None);
        let Action::MakeSnapshot { endpoint, .. } = &intents[0].action else { panic!("{:?}", intents[0]) };
        memory.replica(endpoint).snapshot_asked
    };
    assert!(asked(Outcome::Applied));
    assert!(!asked(Outcome::Unknown("reset".to_owned())));
}

#[test]
fn a_snapshot_that_is_refused_is_tried_again_but_not_for_ever() {
    let tried = |tries| down(|r| r.loaded(20).with(|r| r.memory.snapshot_tries = tries));
    assert_eq!(tried(4).acts(), ["make_snapshot a 20", "make_snapshot b 20"]);
    assert!(matches!(tried(5).decided(), Decision::Choose(_)));
}

#[test]
fn a_snapshot_without_a_term_is_not_asked_for_again() {
    let view = down(|r| {
        r.loaded(20).manifest(20, 3).with(|r| {
            r.memory.snapshot_asked = true;
            if let Seen::Known(manifest) = &mut r.manifest {
                manifest.term = None;
            }
        })
    });
    assert!(matches!(view.decided(), Decision::Choose(_)));
}

#[test]
fn terms_heard_are_asked_before_a_leader_is_chosen() {
    let unasked = |r: Replica| r.loaded(20).with(|r| r.term_pair = Seen::Unasked);
    let view = a_partition().replica("a", |r| unasked(r.leader())).replica("b", unasked);
    assert_eq!(asks(&view), ["a TermPair", "b TermPair"], "a failed election may have raised them");
    let single = a_partition().replica("a", |r| unasked(r.leader()));
    assert!(matches!(single.decided(), Decision::Choose(_)));
}

#[test]
fn whom_a_leader_in_memory_replicates_to_is_asked_before_a_leader_is_chosen() {
    let view = a_partition()
        .replica("a", |r| r.leader().loaded(20).leads_to([]).with(|r| r.followers = Seen::Unasked))
        .replica("b", |r| r.loaded(20));
    assert_eq!(asks(&view), ["a Followers"]);
}

#[test]
fn calls_refused_again_and_again_block() {
    let refused = |n| a_partition().replica("a", |r| r.leader().alive().with(|r| r.memory.refusals = n));
    assert_eq!(refused(4).acts(), ["mark a no"]);
    assert_eq!(refused(5).blocked().reason, Reason::Refused);
}

#[test]
fn a_second_run_of_a_blocked_partition_changes_nothing() {
    let longer = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.leader().loaded(17).last_term(3))
        .replica("b", |r| r.loaded(21).last_term(1));
    let unreachable = a_partition().replica("a", |r| r.leader().out_of_reach()).replica("b", |r| r.loaded(9));
    let suspect = a_partition().replica("a", |r| r.leader().loaded(17).rows(3)).replica("b", |r| r.loaded(9));
    for view in [longer, unreachable, suspect] {
        view.blocked();
    }
}
