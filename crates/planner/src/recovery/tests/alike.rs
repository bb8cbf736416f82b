//! What two replicas that hold the same tell of a third: what it has was deleted, or its log is damaged.

use std::collections::BTreeMap;

use super::builder::{Built, Replica, a_partition, said};
use super::loading::expired;
use super::rows::{after, blocked, compares, decided, read, seen};
use crate::recovery::{Decision, Intent, Lack, Load, Outcome, Reason, RowsSeen, WaitFor, suspicion};
use openmldb_model::{Action, Endpoint, Term};

/// 60 rows of 20 keys, one delete of all up to some time, five rows more; `a` lost the last six entries, and `b` and `c` loaded a snapshot
/// that leaves out what was deleted.
fn deleted_by_time(c: impl FnOnce(Replica) -> Replica) -> Built {
    let whole = |r: Replica| r.loaded(64).rows(18).last_term(1);
    a_partition().replica("a", |r| r.leader().loaded(58).rows(58)).replica("b", whole).replica("c", |r| c(whole(r)))
}

fn lacks(rows: u64, keys: u64) -> Lack {
    Lack { rows, keys, ..Lack::default() }
}

/// What was seen of them: `b`, and `c` if it holds the same, lack 45 rows of 20 keys.
fn read_by_time(c_is_like_b: bool) -> RowsSeen {
    let ends = [read("a", 58, 0), read("b", 64, 0), read("c", 64, 0)];
    let pair = |x: &str, y: &str, rows, keys| ((x.into(), y.into()), lacks(rows, keys));
    let mut lacking = vec![pair("b", "a", 45, 20), pair("a", "b", 5, 5), pair("c", "a", 45, 20), pair("a", "c", 5, 5)];
    if !c_is_like_b {
        lacking.push(pair("c", "b", 1, 1));
    }
    RowsSeen::compared(ends.into(), lacking.into_iter().collect())
}

/// Seen on real servers: every such partition was left without a leader.
#[test]
fn rows_that_two_replicas_alike_have_deleted_with_one_entry_keep_neither_from_leading() {
    let view = after(deleted_by_time(|r| r), read_by_time(true));
    assert_eq!(view.chooses(), "b");
    let alone = after(deleted_by_time(|r| r), read_by_time(false));
    assert_eq!(alone.reason(), Reason::SuspectIsLongest, "they do not hold the same: one of them has lost rows");
    let sent = |r: Replica| r.with(|r| r.memory.load = Load::HandedOver);
    let copied = after(deleted_by_time(sent), read_by_time(true));
    assert_eq!(copied.reason(), Reason::SuspectIsLongest, "a copy lacks what its leader lacks");
    let mut one_server = after(deleted_by_time(|r| r), read_by_time(true));
    for at in ["b", "c"] {
        one_server.get_mut(at).address = Some("10.0.0.2:1".to_owned());
    }
    assert_eq!(one_server.reason(), Reason::SuspectIsLongest, "it is the same log under another name");
    let mut ends = [read("a", 58, 0), read("b", 64, 0), read("c", 64, 0)];
    let pair = |x: &str, y: &str, rows, keys| ((x.into(), y.into()), lacks(rows, keys));
    let lacking =
        |new| [pair("b", "a", 45, 20), pair("a", "b", new, 5), pair("c", "a", 45, 20), pair("a", "c", new, 5)];
    let only_rows = after(deleted_by_time(|r| r), RowsSeen::compared(ends.clone().into(), lacking(6).into()));
    assert_eq!(only_rows.reason(), Reason::SuspectIsLongest, "no entry is left that could be a delete");
    ends[2] = read("c", 63, 0);
    let elsewhere = after(deleted_by_time(|r| r.loaded(63)), RowsSeen::compared(ends.into(), lacking(5).into()));
    assert_eq!(elsewhere.reason(), Reason::SuspectIsLongest, "its log ends elsewhere, so it is another one");
}

/// That two hold the same decides who leads, and not what may go: the third one's rows are on nobody else.
#[test]
fn what_two_replicas_alike_lack_of_a_third_is_not_discarded() {
    let led = |a: fn(Replica) -> Replica| {
        let leads = |r: Replica| r.leader().alive().loaded(64).rows(18).last_term(3).in_term(3).leads_to([("c", 64)]);
        let view = a_partition()
            .terms([(1, 0), (3, 30)])
            .replica("a", |r| a(r.loaded(58).rows(58).last_term(1).with(|r| r.memory.recovery.must_drop = true)))
            .replica("b", leads)
            .replica("c", |r| r.alive().loaded(64).rows(18).last_term(3).heard(3));
        after(view, read_by_time(true))
    };
    // Nor where it led, and has a tail of 29 entries that was given up.
    for view in [led(|r| r), led(Replica::leader)] {
        assert_eq!(suspicion(&view, view.get("b")), None);
        let (reason, text) = blocked(&view);
        assert_eq!(reason, Reason::LeaderLacksRows);
        assert!(text.starts_with("a holds 58 rows, its leader b 18"), "{text}");
    }
}

/// It gets the delete, too, and is read again then.
#[test]
fn a_follower_whose_rows_one_entry_may_have_deleted_is_taken_as_it_is_and_read_again() {
    let mut view = a_partition()
        .terms([(1, 0), (3, 65)])
        .replica("a", |r| r.leader().loaded(58))
        .replica("b", |r| r.leader().alive().loaded(64).rows(63).heard(3).leads_to([]));
    let choice = a_partition().replica("a", |r| r.leader().loaded(58)).replica("b", |r| r.loaded(64).rows(63)).choice();
    view.0.memory.choice = Some(choice.into());
    let pairs = [(("b".into(), "a".into()), lacks(45, 20)), (("a".into(), "b".into()), lacks(5, 5))];
    let rows = RowsSeen::compared([read("a", 58, 0), read("b", 64, 45)].into(), pairs.into());
    let view = after(view, rows);
    assert_eq!(view.acts(), ["add_replica b a"]);
    let Decision::Act(intents) = decided(&view) else { panic!() };
    let mut memory = view.memory.clone();
    memory.note_outcome(&view, &intents[0], &Outcome::Applied, None);
    assert_eq!(memory.choice.unwrap().unread, [Endpoint::from("a")]);
    // The same where it is connected as its leader begins to lead.
    let (endpoint, partition, term) = (Endpoint::from("b"), view.partition, Term(3));
    let action = Action::ChangeRole { endpoint, partition, term, replicas: vec!["a".into()] };
    let mut memory = view.memory.clone();
    memory.note_outcome(&view, &Intent { action, ..intents[0].clone() }, &Outcome::Applied, None);
    assert_eq!(memory.choice.unwrap().unread, [Endpoint::from("a")]);
}

/// Seen on real servers: nobody can make a snapshot of the leader's damaged log, so the term of its last entry stays unknown. Followers with
/// whole logs were dropped, and the leader could not send them what is behind the damage.
#[test]
fn followers_that_hold_the_same_are_kept_where_nobody_knows_the_leaders_last_term() {
    let view = || {
        a_partition()
            .terms([(1, 0), (11, 230)])
            .replica("a", |r| r.leader().alive().loaded(260).rows(259).leads_to([]))
            .replica("b", |r| r.loaded(260).rows(200).last_put(11, 200))
    };
    let same = RowsSeen::compared([read("a", 260, 0), read("b", 260, 0)].into(), BTreeMap::new());
    assert_eq!(after(view(), same).acts(), ["add_replica a b"]);
    let other = RowsSeen::compared(
        [read("a", 260, 0), read("b", 260, 0)].into(),
        [(("b".into(), "a".into()), lacks(1, 1))].into(),
    );
    let failed = expired(after(view(), other), WaitFor::Snapshot("a".into()));
    assert_eq!(blocked(&failed).0, Reason::LeaderLacksRows, "it could not be sent");
}

/// World 70002251: of two leaders of a disk table the longer one was chosen. What its follower held of the other one, it may have deleted by what
/// that shows, too.
#[test]
fn a_follower_that_may_be_of_the_leader_that_was_given_up_is_not_connected_for_deletes() {
    let chosen = |two: bool| {
        let a = |r: Replica| r.leader().loaded(16);
        let c = |r: Replica| if two { r.leader().loaded(12) } else { r.loaded(12) };
        let view = |a: fn(Replica) -> Replica| {
            let view = a_partition().on_disk().terms([(1, 0), (3, 12)]);
            view.replica("a", a).replica("b", |r| r.loaded(12)).replica("c", c)
        };
        let choice = view(a).choice();
        assert_eq!(choice.given_up.is_empty(), !two, "{choice:?}");
        let mut view = view(|r| r.leader().alive().loaded(16).leads_to([]));
        view.0.memory.choice = Some(choice.into());
        after(view, seen(&[("a", 16), ("b", 12), ("c", 12)], &[("a", "b", 1), ("a", "c", 1)]))
    };
    let connects = |view: &Built| match decided(view) {
        Decision::Act(intents) => intents.iter().any(|intent| said(intent) == "add_replica a b"),
        _ => false,
    };
    assert!(connects(&chosen(false)));
    assert!(!connects(&chosen(true)));
}

/// Nobody had to choose the leader, so that no choice says what is to be read again.
#[test]
fn a_follower_that_missed_deletes_is_read_again_once_it_has_them() {
    let leads = |r: Replica| r.leader().alive().loaded(40).rows(30).leads_to([]);
    let view = a_partition().replica("a", leads).replica("b", |r| r.loaded(30)).ttl();
    assert_eq!(compares(&view), ["a", "b"]);
    let as_long = a_partition().replica("a", leads).replica("b", |r| r.loaded(40).rows(30)).ttl();
    let as_long = after(as_long, seen(&[("a", 40), ("b", 40)], &[("a", "b", 7)]));
    assert_eq!(blocked(&as_long).0, Reason::LeaderLacksRows, "it has missed nothing that its leader could send it");
    let view = after(view, seen(&[("a", 40), ("b", 30)], &[("a", "b", 7), ("b", "a", 4)]));
    assert_eq!(view.acts(), ["add_replica a b"]);
    let Decision::Act(intents) = decided(&view) else { panic!() };
    let mut memory = view.memory.clone();
    memory.note_outcome(&view, &intents[0], &Outcome::Applied, None);
    let leads = |r: Replica| r.leader().alive().loaded(40).rows(30).in_term(1).leads_to([("b", 40)]);
    let mut caught_up =
        a_partition().replica("a", leads).replica("b", |r| r.alive().loaded(40).rows(33).heard(1)).ttl();
    for at in ["a", "b"] {
        caught_up.get_mut(at).memory = memory.replica(&at.into()).clone();
    }
    caught_up.0.memory = memory;
    assert_eq!(compares(&caught_up), ["a", "b"]);
    let same = seen(&[("a", 40), ("b", 40)], &[]);
    assert_eq!(decided(&after(caught_up.clone(), same)), Decision::Done);
    let fuller = after(caught_up, seen(&[("a", 40), ("b", 40)], &[("a", "b", 1)]));
    assert_eq!(blocked(&expired(fuller, WaitFor::Rows("b".into()))).0, Reason::LeaderLacksRows, "it was not deleted");
}
