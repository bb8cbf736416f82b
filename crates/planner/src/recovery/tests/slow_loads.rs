//! A load that takes far longer than the others: a leader is chosen without it where that is proven right, and else it is waited for.

use std::time::Duration;

use super::builder::{Built, Replica, a_partition};
use super::loading::{expired, waits};
use super::rows::{decided, read};
use crate::recovery::{Base, Data, Decision, Loss, LossKind, Reason, RowsSeen, WaitFor};
use openmldb_model::{Offset, State};

/// `a` was the leader and is loaded at offset 9; `b` loads for longer than it should.
fn slow(a: fn(Replica) -> Replica, b: fn(Replica) -> Replica) -> Built {
    let loads = |r: Replica| b(r.queued().with(|r| r.data = Data::Loading(State::Loading)));
    let view = a_partition().replica("a", |r| a(r.leader().alive_before().loaded(9))).replica("b", loads);
    expired(view, WaitFor::SlowLoad)
}

#[test]
fn a_leader_is_chosen_without_a_load_that_lasts_and_what_that_one_holds_is_still_to_be_looked_at() {
    let mut view = slow(|r| r, |r| r);
    let Decision::Choose(choice) = view.decided() else { panic!("{:?}", view.decided()) };
    assert_eq!((choice.leader.as_str(), choice.out_of_reach.as_slice()), ("a", ["b".into()].as_slice()));
    view.memory.choose(*choice, None);
    assert_eq!(view.memory.replica(&"b".into()).leader_held, Some(Offset(9)));
}

/// The same rules as for one that does not answer. Whatever is discarded is discarded once it is known what the other one holds.
#[test]
fn where_it_may_hold_what_nobody_else_has_it_is_waited_for_as_long_as_any() {
    let waits_for = |view: &Built| {
        let wait = waits(view);
        assert_eq!((wait.what, wait.timeout, wait.stall), (WaitFor::Loading, wait.stall, wait.timeout));
        assert!(wait.seen.starts_with("b loads it; without that nobody may lead yet: "), "{}", wait.seen);
        wait.seen
    };
    assert!(waits_for(&slow(|r| r, |r| r.leader().alive_before())).contains("it may be the leader elected last"));
    assert!(waits_for(&slow(|r| r, |r| r.known_at(12))).contains("it was known at offset 12"));
    assert!(waits_for(&slow(|r| r.known_at(10), |r| r)).contains("it may hold what others lost"));
    let promoted = slow(|r| r.with(|r| r.is_leader = false), |r| r);
    assert!(waits_for(&promoted).contains("it may hold what others lost"));
    // It may have lost the beginning of its log, and clients would write on to what is left.
    let alone = slow(|r| r.rows(3), |r| r);
    assert!(waits_for(&alone).contains("a would lead, and has fewer rows than entries"));
    assert!(matches!(alone.ttl().decided(), Decision::Choose(_)), "they may have expired");
    // Which of two leaders was elected last is settled, and the other one would lose its tail.
    let conflict = slow(|r| r.last_term(3), |r| r).terms([(1, 0), (3, 5)]);
    let conflict = conflict.replica("c", |r| r.leader().loaded(12).last_term(1));
    assert!(waits_for(&conflict).contains("a would lead, and others give up entries"));
    let blocked = expired(conflict, WaitFor::Loading).decided();
    assert!(matches!(blocked, Decision::Choose(_)), "as it was once the time was over: {blocked:?}");
}

#[test]
fn nobody_is_chosen_early_by_what_somebody_has_said_nor_beside_an_aggregate() {
    let early = slow(|r| r, |r| r);
    let mut named = early.clone();
    named.memory.named_leader = Some("a".into());
    let mut accepted = early.clone();
    let (endpoint, kind) = ("b".into(), LossKind::OutOfReach);
    accepted.memory.accepted = vec![Loss { endpoint, kind, entries: None, directory: None }];
    let mut aggregate = early.clone();
    let (name, leader) = ("db.orders/0".to_owned(), Some("a".into()));
    let (was_apart, registered_at, takes_rows) = (false, [].into(), false);
    aggregate.0.base = Some(Base { name, leader, was_apart, registered_at, takes_rows });
    let empty = slow(|r| r.loaded(0), |r| r);
    for view in [named, accepted, aggregate, empty] {
        let wait = waits(&view);
        assert_eq!((wait.what, wait.seen.as_str()), (WaitFor::Loading, "b loads it"));
    }
}

/// A count is a reason to compare rows, not to wait for hours.
#[test]
fn what_is_loaded_is_compared_before_it_is_waited_for_longer() {
    let delete = |r: Replica| r.loaded(1203).rows(403).last_term(1);
    let of = |view: Built| view.replica("c", |r| r.loaded(1200).rows(800).last_term(1));
    let mut view = of(slow(delete, |r| r));
    assert!(matches!(decided(&view), Decision::Compare { .. }), "{:?}", decided(&view));
    let ends = [read("a", 1203, 0), read("c", 1200, 0)];
    view.0.memory.rows = Some(RowsSeen::compared(ends.into(), [].into()));
    assert!(matches!(decided(&view), Decision::Choose(_)), "{:?}", decided(&view));
}

/// Tables with more entries take longer.
#[test]
fn a_load_is_slow_once_nothing_has_changed_for_as_long_as_that_many_entries_take() {
    let of = |entries: u64| {
        let view = a_partition().replica("a", |r| r.leader().loaded(entries)).replica("b", Replica::queued);
        let wait = waits(&view);
        assert_eq!(wait.timeout, Duration::from_secs(7_200));
        (wait.what, wait.stall.as_secs())
    };
    assert_eq!((of(9), of(10_000_000)), ((WaitFor::SlowLoad, 600), (WaitFor::SlowLoad, 1_600)));
    assert_eq!(of(1_000_000_000), (WaitFor::Loading, 7_200), "all that the playbook gives it");
    let alone = a_partition().replica("a", |r| r.leader().queued()).replica("b", Replica::queued);
    assert_eq!(waits(&alone).what, WaitFor::Loading, "nobody could lead");
    assert_eq!(expired(alone, WaitFor::Loading).blocked().reason, Reason::LoadTimeout);
}
