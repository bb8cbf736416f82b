//! Followers that accept nothing from their leader: seen, believed only if it lasts, judged, disconnected, resent.

use super::builder::{Built, Replica, a_partition};
use super::loading::{asks, expired, waits};
use crate::recovery::{Health, Load, Problem, ProblemKind, Reason, WaitFor, health};
use openmldb_model::{Offset, Op, OpId, OpKind, OpStatus, Pid, Seen};

/// A leader at offset 20 in term 1 that replicates to `b`, and that follower.
fn led(follower: impl FnOnce(Replica) -> Replica) -> Built {
    let leader = |r: Replica| r.leader().alive().loaded(20).leads_to([("b", 20)]).in_term(1);
    a_partition().replica("a", leader).replica("b", follower)
}

fn refusing() -> Built {
    led(|r| r.alive().loaded(20).heard(5))
}

fn problems(view: &Built) -> Vec<Problem> {
    health(view).problems().to_vec()
}

fn believed(view: Built) -> Built {
    expired(view, WaitFor::Stuck("b".into()))
}

#[test]
fn a_follower_that_has_heard_of_a_later_term_than_its_leaders_is_not_healthy() {
    let found = problems(&refusing());
    assert_eq!(found.len(), 1);
    assert_eq!((found[0].endpoint.as_str(), found[0].kind), ("b", ProblemKind::Stuck));
    assert!(found[0].text.contains("has seen term 5, but its leader leads in term 1"), "{}", found[0].text);
    assert_eq!(health(&led(|r| r.alive().loaded(20).heard(1))), Health::Healthy);
    assert_eq!(health(&led(|r| r.alive().loaded(20).heard(0))), Health::Healthy, "not contacted yet");
}

#[test]
fn nothing_is_concluded_from_a_leaders_term_that_nobody_told() {
    let mut unasked = refusing();
    unasked.get_mut("a").term_pair = Seen::Unasked;
    assert_eq!(health(&unasked), Health::Healthy);
    // What it said before it led is not the term that it leads in.
    let mut before = refusing();
    before.get_mut("a").term_pair = a_partition().replica("a", |r| r.loaded(20).heard(0)).get("a").term_pair.clone();
    assert_eq!(health(&before), Health::Healthy);
    // A leader that stood up again took the later term itself, whatever the history says.
    let mut stood_up = refusing();
    stood_up.get_mut("a").term_pair =
        a_partition().replica("a", |r| r.loaded(20).in_term(5)).get("a").term_pair.clone();
    assert_eq!(health(&stood_up), Health::Healthy);
}

#[test]
fn while_an_operation_is_under_way_terms_may_be_on_their_way() {
    let mut view = refusing();
    let table = view.table.clone();
    view.ops_in_flight.push(Op {
        id: OpId(9),
        kind: OpKind::ChangeLeader,
        table,
        pid: Pid(0),
        status: OpStatus::Doing,
        task: "kSelectLeader".to_owned(),
    });
    assert_eq!(health(&view), Health::Healthy);
}

#[test]
fn nothing_is_done_before_every_term_was_asked_for() {
    let mut view = refusing();
    for replica in ["a", "b"] {
        view.get_mut(replica).term_pair = Seen::Unasked;
    }
    assert_eq!(asks(&view), ["a TermPair", "b TermPair"]);
}

#[test]
fn it_is_believed_only_if_it_lasts() {
    let wait = waits(&refusing());
    assert_eq!(wait.what, WaitFor::Stuck("b".into()));
    assert!(wait.seen.contains("refuses its leader"), "{}", wait.seen);
}

#[test]
fn it_is_marked_disconnected_dropped_and_resent_in_this_order() {
    assert_eq!(believed(refusing()).acts(), ["mark b no"]);
    let unmarked = |r: Replica| r.loaded(20).heard(5);
    assert_eq!(believed(led(unmarked)).acts(), ["del_replica a b"]);
    let disconnected = |r: Replica| unmarked(r).with(|r| r.memory.recovery.must_drop = true);
    let mut view = believed(led(disconnected));
    view.get_mut("a").followers = a_partition().replica("a", |r| r.loaded(20).leads_to([])).get("a").followers.clone();
    assert_eq!(view.acts(), ["drop b"]);
    let mut dropped = led(|r| r.load(Load::HandedOver));
    dropped.get_mut("a").followers = view.get("a").followers.clone();
    assert_eq!(dropped.acts(), ["recover_table b (resend)"]);
}

#[test]
fn one_that_holds_more_than_its_leader_is_left_as_it_is() {
    let blocked = believed(led(|r| r.alive().loaded(25).heard(5))).blocked();
    assert_eq!(blocked.reason, Reason::LongerThanLeader);
    assert_eq!(blocked.loss.len(), 1, "that may be accepted");
}

#[test]
fn one_that_holds_entries_of_the_later_term_is_left_as_it_is() {
    let blocked = believed(led(|r| r.alive().loaded(20).heard(5).last_term(5))).blocked();
    assert_eq!(blocked.reason, Reason::NewerTerm);
    assert_eq!(blocked.loss.len(), 1, "that may be accepted");
    assert_eq!(believed(led(|r| r.alive().loaded(20).heard(5).last_term(1))).acts(), ["mark b no"]);
}

/// Behind its leader, and watched in vain before the run.
fn stalled(at: u64) -> Built {
    led(|r| r.alive().loaded(at).heard(1).with(|r| r.memory.stalled_at = Some(Offset(15))))
}

#[test]
fn a_follower_that_did_not_move_while_its_leader_was_further_is_not_healthy() {
    let found = problems(&stalled(15));
    assert_eq!((found.len(), found[0].kind), (1, ProblemKind::Stuck));
    assert!(found[0].text.contains("stays at offset 15 while its leader is at 20"), "{}", found[0].text);
    assert_eq!(health(&stalled(16)), Health::Healthy, "it has moved");
    assert_eq!(health(&led(|r| r.alive().loaded(15).heard(1))), Health::Healthy, "one look shows nothing");
}

#[test]
fn one_that_does_not_move_is_resent_once() {
    let mut view = stalled(15);
    view.get_mut("a").followers =
        a_partition().replica("a", |r| r.loaded(20).leads_to([("b", 15)])).get("a").followers.clone();
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::CatchUp("b".into()), "it may move yet");
    let mut view = expired(view, WaitFor::CatchUp("b".into()));
    assert_eq!(view.blocked().reason, Reason::NotCatchingUp, "it moved all the time, and took too long");
    view.get_mut("b").memory.recovery.stood_still = true;
    assert_eq!(view.acts(), ["mark b no"]);
    view.get_mut("b").memory.recovery.resent_for_rows = true;
    assert_eq!(view.blocked().reason, Reason::NotCatchingUp);
}
