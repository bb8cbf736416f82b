//! Making the chosen replica leader, connecting, and marking it alive.

use super::builder::{Built, Replica, a_partition, recover, said};
use super::loading::{asks, expired, waits};
use super::rows::seen;
use crate::playbook::{Connect, PartitionStep};
use crate::recovery::{Choice, Data, Decision, Gates, Load, PromotionMethod, Reason, RowsSeen, WaitFor, decide};
use openmldb_model::{Offset, OpKind, OpStatus, Seen, State, Term};

/// A flagged leader at 20 and a proven follower, chosen in this run.
fn chosen(follower: impl Fn(Replica) -> Replica) -> Built {
    let at = |r: Replica| r.leader().loaded(20);
    let proven = a_partition().replica("a", at).replica("b", |r| r.loaded(20)).choice();
    let mut view = a_partition().replica("a", at).replica("b", |r| follower(r.loaded(20)));
    view.memory.choice = Some(proven.into());
    view
}

/// A follower that continues the leader, chosen in this run.
fn promoted(candidate: impl Fn(Replica) -> Replica) -> Built {
    let view = |f: &dyn Fn(Replica) -> Replica| {
        a_partition()
            .replica("a", |r| r.leader().loaded(20))
            .replica("b", |r| f(r.loaded(21)))
            .replica("c", |r| r.loaded(20))
    };
    let choice = view(&|r| r).choice();
    assert_eq!(choice.way, PromotionMethod::ChangeLeader);
    let mut view = view(&candidate);
    view.memory.choice = Some(choice.into());
    view
}

const CONNECTED: &str = "change_role a term 1 replicas [b]";
const ALONE: &str = "change_role a term 1 replicas []";

#[test]
fn the_leader_gets_the_last_term_and_its_proven_prefixes() {
    assert_eq!(chosen(|r| r).acts(), [CONNECTED]);
    assert_eq!(chosen(|r| r).terms([(1, 0), (3, 15)]).acts(), ["change_role a term 3 replicas [b]"]);
}

#[test]
fn only_what_the_choice_proved_is_connected() {
    let mut view = chosen(|r| r);
    view.memory.choice.as_mut().unwrap().proven.clear();
    assert_eq!(view.acts(), [ALONE]);
}

#[test]
fn a_follower_that_is_not_at_rest_is_not_connected() {
    assert_eq!(chosen(|r| r.state(State::MakingSnapshot)).acts(), [ALONE]);
    assert_eq!(chosen(|r| r.state(State::SnapshotPaused)).acts(), [ALONE]);
    assert_eq!(chosen(Replica::queued).acts(), [ALONE]);
}

#[test]
fn a_replica_that_leads_in_memory_is_not_connected() {
    assert_eq!(chosen(|r| r.leads_to([])).acts(), [ALONE]);
}

#[test]
fn a_leader_flagged_follower_is_not_connected() {
    assert_eq!(chosen(Replica::leader).acts(), [ALONE], "only RecoverTable clears its flag");
}

#[test]
fn a_suspect_follower_is_not_connected() {
    assert_eq!(chosen(|r| r.rows(3)).acts(), [ALONE]);
}

/// Eight entries are enough to hide six missing rows from the rule for suspects; what the follower holds of them is kept
/// away from the leader's operations.
#[test]
fn a_follower_whose_log_is_fuller_than_its_leaders_is_not_connected() {
    let mut view = chosen(|r| r.loaded(12));
    assert_eq!(view.acts(), [CONNECTED]);
    let Data::Loaded(hollow) = &mut view.get_mut("a").data else { panic!("a is loaded") };
    hollow.rows = 14;
    assert_eq!(view.acts(), [ALONE]);
}

#[test]
fn a_follower_behind_the_leaders_snapshot_is_not_connected() {
    let with_manifest = |offset| {
        let mut view = chosen(|r| r.loaded(10));
        view.get_mut("a").manifest =
            Seen::Known(openmldb_model::Manifest { offset: openmldb_model::Offset(offset), term: None, count: offset });
        view.acts()
    };
    assert_eq!((with_manifest(10), with_manifest(11)), (vec![CONNECTED.to_owned()], vec![ALONE.to_owned()]));
}

/// Log files are deleted later: the snapshot that shows the leader's last term keeps no follower away whose rows were looked at.
#[test]
fn a_follower_behind_a_snapshot_that_was_asked_for_is_connected_once_rows_were_compared() {
    let with = |snapshot_before, rows: Option<RowsSeen>| {
        let mut view = chosen(|r| r.loaded(10));
        let leader = view.get_mut("a");
        leader.manifest = Seen::Known(openmldb_model::Manifest { offset: Offset(12), term: None, count: 12 });
        (leader.memory.snapshot_tries, leader.memory.snapshot_before) = (1, Offset(snapshot_before));
        view.0.memory.rows = rows;
        view.acts()
    };
    let lacks = |rows| Some(seen(&[("a", 20), ("b", 10)], &[("b", "a", rows)]));
    assert_eq!(with(10, lacks(10)), [CONNECTED]);
    assert_eq!(with(11, lacks(10)), [ALONE], "what was behind that one may have been deleted long ago");
    assert_eq!(with(10, None), [ALONE]);
    assert_eq!(
        with(10, lacks(11)),
        [ALONE],
        "the leader's log holds more rows than may be behind the end of the other"
    );
}

#[test]
fn a_follower_that_is_being_resent_is_not_connected() {
    assert_eq!(chosen(|r| r.load(Load::HandedOver)).acts(), [ALONE]);
    assert_eq!(chosen(|r| r.with(|r| r.memory.recovery.must_drop = true)).acts(), [ALONE]);
}

#[test]
fn a_playbook_may_connect_nobody() {
    let mut playbook = recover();
    for step in &mut playbook.partition {
        if let PartitionStep::ChangeRole { connect, .. } = step {
            *connect = Connect::Nobody;
        }
    }
    let Decision::Act(intents) = decide(&chosen(|r| r), &playbook, Gates::OPEN) else { panic!() };
    assert_eq!(said(&intents[0]), ALONE);
}

/// The chosen leader leads in memory, to these followers.
fn leads<const N: usize>(followers: [(&'static str, u64); N]) -> Built {
    let mut view = chosen(|r| r);
    let leader = a_partition().replica("a", |r| r.leader().loaded(20).leads_to(followers));
    *view.get_mut("a") = leader.get("a").clone();
    view
}

#[test]
fn a_proven_prefix_that_was_not_connected_with_changerole_is_added() {
    assert_eq!(leads([]).acts(), ["add_replica a b"]);
    let mut view = leads([]);
    view.get_mut("a").followers = Seen::Unasked;
    assert_eq!(asks(&view), ["a Followers"]);
}

#[test]
fn the_leader_is_marked_alive_when_it_leads() {
    assert_eq!(leads([("b", 20)]).acts(), ["mark a yes"]);
}

#[test]
fn nobody_is_marked_alive_beside_another_alive_leader_flag() {
    let mut view = leads([("b", 20)])
        .replica("c", |r| r.leader().out_of_reach().with(|r| (r.is_alive, r.memory.flag_stuck) = (true, true)));
    assert_eq!(view.blocked().reason, Reason::TwoLeaders);
    view.get_mut("c").memory.flag_stuck = false;
    assert_eq!(view.acts(), ["mark c no"], "it is cleared where it can be");
}

#[test]
fn a_leader_whose_flag_cannot_be_set_blocks() {
    let mut view = leads([("b", 20)]);
    view.get_mut("a").memory.flag_stuck = true;
    for (view, at) in [(view, "a"), (promoted(|r| r.with(|r| r.memory.flag_stuck = true)), "b")] {
        let wait = waits(&view);
        assert_eq!(wait.what, WaitFor::Registered(at.into()), "the nameserver may not have heard of it yet");
        assert_eq!(expired(view, wait.what).blocked().reason, Reason::TabletOffline);
    }
}

#[test]
fn a_choice_whose_leader_is_gone_is_forgotten() {
    let mut view = leads([("b", 20)]);
    view.get_mut("a").data = crate::recovery::Data::Absent;
    let mut memory = view.memory.clone();
    memory.leader_tries = 3;
    memory.note_view(&view);
    assert_eq!((memory.choice, memory.leader_tries), (None, 0));
}

/// Found by the hunt: somebody's ChangeLeader was done between two looks, and the leader chosen before it was marked alive again.
#[test]
fn a_choice_beside_which_somebody_elected_another_leader_is_forgotten() {
    let view = leads([("b", 20)]);
    let choice = view.memory.choice.clone().unwrap();
    let mut memory = view.memory.clone();
    memory.choose(choice, Some(Term(1)));
    memory.note_view(&view);
    assert!(memory.choice.is_some());
    let mut elected = view.terms([(1, 0), (3, 21)]);
    memory.note_view(&elected);
    assert_eq!(memory.choice, None);
    elected.get_mut("a").is_alive = true;
    memory.choose(elected.memory.choice.clone().unwrap(), Some(Term(1)));
    memory.note_view(&elected);
    assert!(memory.choice.is_some(), "it serves, whatever the terms say");
}

/// Found by the hunt (world 344936): the same of one that the run's own ChangeLeader had made leader, in a term of its own.
#[test]
fn a_leader_that_was_elected_by_the_run_and_replaced_by_somebody_else_is_forgotten() {
    let mut view = leads([("b", 20)]).terms([(1, 0), (3, 21)]);
    let choice = Choice { way: PromotionMethod::ChangeLeader, ..Choice::clone(view.memory.choice.as_ref().unwrap()) };
    let mut memory = view.memory.clone();
    memory.choose(choice, Some(Term(1)));
    memory.note_view(&view);
    assert!(memory.choice.is_some(), "its flags may not show yet");
    view.get_mut("a").is_alive = true;
    memory.note_view(&view);
    view.get_mut("a").is_alive = false;
    memory.note_view(&view);
    assert!(memory.choice.is_some(), "nobody else was elected");
    memory.note_view(&view.terms([(1, 0), (3, 21), (5, 22)]));
    assert_eq!(memory.choice, None);
}

/// Found by the hunt (world 12006705): somebody's RecoverTable took its leader flag, and it was marked alive and not alive for ever.
#[test]
fn a_choice_whose_leader_somebody_had_recovered_as_a_follower_is_forgotten() {
    let mut view = leads([("b", 20)]);
    view.get_mut("a").is_leader = false;
    let mut memory = view.memory.clone();
    memory.note_view(&view);
    assert_eq!(memory.choice, None, "alive, it would lead nobody");
    let promoted = Choice { way: PromotionMethod::ChangeLeader, ..Choice::clone(view.memory.choice.as_ref().unwrap()) };
    memory.choose(promoted, Some(Term(1)));
    memory.note_view(&view);
    assert!(memory.choice.is_some(), "an election gives it the flag");
}

#[test]
fn a_choice_outlives_a_moment_in_which_its_alive_leader_does_not_answer() {
    let mut view = leads([("b", 20)]);
    let leader = view.get_mut("a");
    leader.data = crate::recovery::Data::OutOfReach("timeout".to_owned());
    leader.is_alive = true;
    let mut memory = view.memory.clone();
    memory.note_view(&view);
    assert!(memory.choice.is_some());
    view.get_mut("a").is_alive = false;
    memory.note_view(&view);
    assert_eq!(memory.choice, None);
}

#[test]
fn a_promotion_marks_the_candidate_alone_alive_then_changes_leader() {
    assert_eq!(promoted(|r| r).acts(), ["mark b yes"]);
    assert_eq!(promoted(Replica::alive).acts(), ["change_leader b"]);
    let mut view = promoted(Replica::alive);
    view.get_mut("c").is_alive = true;
    assert_eq!(view.acts(), ["mark c no"]);
    view.get_mut("c").memory.flag_stuck = true;
    assert_eq!(view.acts(), ["change_leader b"]);
}

#[test]
fn a_promotion_waits_for_its_operation() {
    let view = promoted(Replica::alive).op(5, OpKind::ChangeLeader, OpStatus::Doing);
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Ops);
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::OpTimeout);
}

#[test]
fn a_promotion_that_fails_is_tried_again_but_not_for_ever() {
    let mut view = promoted(Replica::alive).op(5, OpKind::ChangeLeader, OpStatus::Failed);
    view.memory.leader_tries = 4;
    assert_eq!(view.acts(), ["change_leader b"]);
    view.memory.leader_tries = 5;
    assert_eq!(view.blocked().reason, Reason::OpFailed);
}

#[test]
fn a_run_that_died_before_changeleader_begins_the_promotion_again() {
    // The candidate alone is alive, and nobody remembers why.
    let mut view = promoted(Replica::alive);
    view.memory.choice = None;
    assert_eq!(view.acts(), ["mark b no"]);
    view.get_mut("b").is_alive = false;
    let Decision::Choose(choice) = view.decided() else { panic!() };
    assert_eq!((choice.leader.as_str(), choice.way), ("b", PromotionMethod::ChangeLeader));
}

#[test]
fn a_run_that_died_after_changerole_goes_on_with_the_same_leader() {
    let mut view = leads([("b", 20)]);
    view.get_mut("b").term_pair = a_partition().replica("b", |r| r.loaded(20).heard(1)).get("b").term_pair.clone();
    view.memory.choice = None;
    let Decision::Choose(choice) = view.decided() else { panic!() };
    assert_eq!((choice.leader.as_str(), choice.way), ("a", PromotionMethod::ChangeRole));
    view.memory.choice = Some((*choice).into());
    assert_eq!(view.acts(), ["mark a yes"]);
}

#[test]
fn a_leader_marked_alive_that_does_not_serve_is_waited_for_then_blocks() {
    // Flagged alive and leading in memory, but its flag is a follower's: the nameserver lost the leader flag.
    let mut view = leads([("b", 20)]);
    let a = view.get_mut("a");
    (a.is_alive, a.is_leader) = (true, false);
    view.memory.choice.as_mut().unwrap().way = PromotionMethod::ChangeRole;
    view.get_mut("a").memory.flag_stuck = true;
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Flags);
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::OpFailed);
}
