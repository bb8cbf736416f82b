//! For which replicas auto_failover stays off: those that nobody has looked at, and those that hold more.

use super::builder::{Built, Replica, a_partition};
use super::rows::{after, seen};
use crate::recovery::{Blocked, Reason, Replaceable, WhyHeld, held_in};
use openmldb_model::Offset;

fn polled(at: u64) -> impl FnOnce(Replica) -> Replica {
    move |r| r.with(|r| r.memory.polled = Some(Offset(at)))
}

/// A leader that came back at 20, and a follower out of reach.
fn away(leader: impl FnOnce(Replica) -> Replica, follower: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition()
        .replica("a", |r| leader(r.leader().alive_before().loaded(20)))
        .replica("b", |r| follower(r.out_of_reach()))
}

fn evident(view: &Built) -> bool {
    let choice = view.choice();
    assert_eq!(choice.out_of_reach.len(), 1);
    choice.seen_no_longer == choice.out_of_reach
}

#[test]
fn the_nameservers_number_counts_where_the_leader_is_exactly_where_it_had_it() {
    assert!(evident(&away(polled(20), polled(20))));
    assert!(evident(&away(polled(20), polled(12))));
    assert!(!evident(&away(polled(19), polled(19))), "it is older than the last writes");
    assert!(!evident(&away(|r| r, polled(20))), "whether the leader has lost anything is unknown");
    assert!(!evident(&away(polled(20), |r| r)), "nothing is known of the follower");
    let flagged = away(polled(20), |r| polled(20)(r.leader()));
    assert!(!evident(&flagged), "a leader may have taken writes that it sent to nobody");
}

/// The nameserver would make the follower that comes back like it.
#[test]
fn a_leader_that_may_have_lost_the_beginning_of_its_log_is_no_evidence() {
    let lacking = |r: Replica| polled(20)(r.rows(19));
    assert!(!evident(&away(lacking, polled(20))));
    assert!(evident(&away(lacking, polled(20)).ttl()), "where rows expire their number says nothing");
}

/// The leader serves, and was chosen at 20 without a look at the follower.
fn serving(follower: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition()
        .replica("a", |r| r.leader().alive().loaded(25).leads_to([]))
        .replica("b", |r| follower(r.with(|r| r.memory.leader_held = Some(Offset(20)))))
}

fn held(view: &Built, blocked: Option<Reason>, ours: bool) -> Vec<(String, WhyHeld)> {
    let blocked = blocked.map(|reason| Blocked::new(reason, "", ""));
    held_in(view, blocked.as_ref(), ours).into_iter().map(|(at, why)| (at.to_string(), why)).collect()
}

/// World 62006680: rows expire, so that the leader's count showed no hole in its log; that a third replica got nothing beyond it did.
#[test]
fn that_the_nameserver_had_seen_it_no_longer_says_nothing_once_others_get_nothing_from_its_leader() {
    let held_although = |why, blocked| {
        let known = move |r: Replica| r.out_of_reach().with(move |r| r.memory.replaceable = Some(why));
        !held(&serving(known), Some(blocked), false).is_empty()
    };
    assert!(!held_although(Replaceable::SeenNoLonger, Reason::NotRedundant));
    assert!(held_although(Replaceable::SeenNoLonger, Reason::NotCatchingUp));
    assert!(!held_although(Replaceable::Released, Reason::NotCatchingUp), "somebody has said so");
}

#[test]
fn what_nobody_has_looked_at_is_held_until_it_is_looked_at_or_said_to_be_gone() {
    let b = |why| vec![("b".to_owned(), why)];
    assert_eq!(held(&serving(|r| r.out_of_reach()), None, false), b(WhyHeld::Unseen));
    assert_eq!(held(&serving(|r| r), None, false), b(WhyHeld::Unseen), "it is not loaded");
    assert_eq!(held(&serving(|r| r.loaded(24)), None, false), b(WhyHeld::HoldsMore));
    let replaceable = |why, r: Replica| r.with(|r| r.memory.replaceable = Some(why));
    for why in [Replaceable::SeenNoLonger, Replaceable::SaidGone, Replaceable::Released] {
        assert_eq!(held(&serving(|r| replaceable(why, r.out_of_reach())), None, false), []);
    }
    assert_eq!(
        held(&serving(|r| replaceable(Replaceable::SaidGone, r.loaded(24))), None, false),
        b(WhyHeld::HoldsMore)
    );
    assert_eq!(held(&serving(|r| replaceable(Replaceable::Released, r.loaded(24))), None, false), []);
}

#[test]
fn what_was_looked_at_and_holds_more_is_held_where_a_run_chose_the_leader() {
    let view =
        a_partition().replica("a", |r| r.leader().alive().loaded(20).leads_to([])).replica("b", |r| r.loaded(24));
    let b = vec![("b".to_owned(), WhyHeld::HoldsMore)];
    assert_eq!(held(&view, Some(Reason::LongerThanLeader), true), b);
    assert_eq!(held(&view, Some(Reason::LongerThanLeader), false), [], "its leader was none of ours");
    assert_eq!(held(&view, Some(Reason::NotCatchingUp), true), [], "this says nothing of what it holds");
    let shorter =
        a_partition().replica("a", |r| r.leader().alive().loaded(20).leads_to([])).replica("b", |r| r.loaded(9));
    assert_eq!(held(&shorter, Some(Reason::LongerThanLeader), true), []);
}

#[test]
fn a_leader_that_came_back_with_less_holds_no_more_of_what_nobody_has_seen() {
    let mut memory = serving(|r| r.out_of_reach()).memory.clone();
    let mut choice = away(|r| r, |r| r).choice();
    choice.offset = Some(Offset(12));
    memory.choose(choice, None);
    assert_eq!(memory.replica(&"b".into()).leader_held, Some(Offset(12)));
}

#[test]
fn a_healthy_partition_holds_nothing_back() {
    let view = a_partition()
        .replica("a", |r| r.leader().alive().loaded(25).leads_to([("b", 25)]))
        .replica("b", |r| r.alive().loaded(25).with(|r| r.memory.leader_held = Some(Offset(20))));
    assert_eq!(held(&view, None, true), []);
    assert_eq!(held(&view, Some(Reason::LeaderLacksRows), true), [], "the nameserver has brought it back since");
}

/// Flags and connections are as they should be, and a tablet that is restarted would have its follower replaced all the same.
#[test]
fn a_connected_follower_of_which_its_leader_lacks_rows_is_held() {
    let with = |b: fn(Replica) -> Replica| {
        a_partition()
            .replica("a", |r| r.leader().alive().loaded(25).rows(20).leads_to([("b", 25)]))
            .replica("b", |r| b(r.alive().loaded(25)))
    };
    let b = vec![("b".to_owned(), WhyHeld::HoldsMore)];
    assert_eq!(held(&with(|r| r), Some(Reason::LeaderLacksRows), true), b);
    assert_eq!(held(&with(|r| r), Some(Reason::OutOfReach), true), [], "it was left alone for something else");
    // World 70002251: counts are the same, and rows are not.
    let equal = |rows: &[_]| {
        let a = |r: Replica| r.leader().alive().loaded(25).leads_to([("b", 25)]);
        let view = a_partition().replica("a", a).replica("b", |r| r.alive().loaded(25));
        after(view, seen(&[("a", 25), ("b", 25)], rows))
    };
    assert_eq!(held(&equal(&[("a", "b", 1)]), Some(Reason::LeaderLacksRows), true), b);
    assert_eq!(held(&equal(&[("b", "a", 1)]), Some(Reason::LeaderLacksRows), true), []);
    let mut once = equal(&[]);
    (once.0.memory.rows, once.0.memory.replica_mut(&"b".into()).fuller) = (None, true);
    assert_eq!(held(&once, Some(Reason::LeaderLacksRows), true), b, "and nobody has compared them since");
    let released = |r: Replica| r.with(|r| r.memory.replaceable = Some(Replaceable::Released));
    assert_eq!(held(&with(released), Some(Reason::LeaderLacksRows), true), []);
}

#[test]
fn a_tablet_that_was_said_to_be_gone_and_comes_back_is_held_for_again() {
    for (why, is_held) in
        [(Replaceable::SaidGone, true), (Replaceable::SeenNoLonger, false), (Replaceable::Released, false)]
    {
        let mut view = serving(|r| r.out_of_reach().with(|r| r.memory.replaceable = Some(why)));
        assert_eq!(held(&view, None, false), [], "{why:?}");
        view.memory.note_return(&"b".into());
        let expected = if is_held { vec![("b".to_owned(), WhyHeld::Unseen)] } else { Vec::new() };
        assert_eq!(held(&view, None, false), expected, "{why:?}");
    }
}

/// Found by the hunt (world 20074218): its tablet went away after it had been compared, and auto_failover was given back.
#[test]
fn what_was_seen_to_hold_more_is_held_while_nobody_can_look_at_it() {
    let a = |r: Replica| r.leader().alive().loaded(34).rows(32).leads_to([]);
    let lacks = |rows: &[_]| {
        let both = a_partition().replica("a", a).replica("b", |r| r.loaded(32));
        let both = after(both, seen(&[("a", 34), ("b", 32)], rows));
        let mut memory = both.0.memory.clone();
        memory.note_view(&both);
        let mut away = a_partition().replica("a", a).replica("b", |r| r.out_of_reach());
        away.0.memory = memory;
        held_in(&away, Some(&Blocked::new(Reason::NotRedundant, "b does not answer", "")), true)
    };
    assert_eq!(lacks(&[("a", "b", 2)]), [("b".into(), WhyHeld::HoldsMore)]);
    assert_eq!(lacks(&[("b", "a", 2)]), []);
}

/// The run ends before it has judged what it has compared.
#[test]
fn what_was_seen_to_hold_more_is_held_by_a_run_that_is_interrupted() {
    let interrupted = Blocked::new(Reason::Interrupted, "", "");
    let held = |rows: &[_]| {
        let a = |r: Replica| r.leader().alive().loaded(34).rows(32).leads_to([]);
        let both =
            after(a_partition().replica("a", a).replica("b", |r| r.loaded(32)), seen(&[("a", 34), ("b", 32)], rows));
        let (mut both, mut memory) = (both.clone(), both.0.memory.clone());
        memory.note_view(&both);
        both.0.memory = memory;
        held_in(&both, Some(&interrupted), true)
    };
    assert_eq!(held(&[("a", "b", 2)]), [("b".into(), WhyHeld::HoldsMore)]);
    assert_eq!(held(&[("b", "a", 2)]), []);
}
