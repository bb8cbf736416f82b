//! An old leader whose log is the beginning of its leader's keeps its data: nothing has to be discarded for its flag to go.

use super::builder::{Built, Replica, a_partition, recover};
use super::loading::expired;
use super::rows::{after, seen};
use crate::playbook::{Connect, PartitionStep};
use crate::recovery::{Choice, Data, Decision, Gates, PromotionMethod, Reason, RowsSeen, WaitFor, decide};
use openmldb_model::{Endpoint, Offset};

/// `b` lost the end of its log, and `a`, which has it, was made leader in term 2 and has deleted a row since.
fn replaced(lost: u64, connected: Option<u64>, b: impl FnOnce(Replica) -> Replica) -> Built {
    let choice = a_partition()
        .ttl()
        .replica("a", |r| r.loaded(40 + lost))
        .replica("b", |r| r.leader().loaded(40).rows(40))
        .choice();
    assert_eq!((choice.leader.as_str(), choice.way), ("a", PromotionMethod::ChangeLeader));
    let start = 41 + lost;
    let leads = |r: Replica| match connected {
        Some(at) => r.alive().loaded(start).rows(start - 1).leads_to([("b", at)]),
        None => r.alive().loaded(start).rows(start - 1).leads_to([]),
    };
    let mut view = a_partition()
        .ttl()
        .terms([(1, 0), (2, start)])
        .replica("a", |r| leads(r.leader()).heard(2))
        .replica("b", |r| b(r.leader().loaded(connected.unwrap_or(40))));
    view.0.memory.choice = Some(choice.into());
    view
}

/// What each was seen to lack of the other.
fn compared(view: Built, b_holds: u64, a_lacks: u64) -> Built {
    let end = view.get("a").offset().unwrap().0;
    after(view, seen(&[("a", end), ("b", b_holds)], &[("a", "b", a_lacks)]))
}

#[test]
fn one_that_lacks_what_follows_takes_it_from_its_leader_and_then_loses_its_flag() {
    let behind = |heard, connected| replaced(4, connected, move |r| r.heard(heard));
    assert_eq!(compared(behind(0, None), 40, 0).acts(), ["add_replica a b"]);
    let waits = match decide(&compared(behind(2, Some(43)), 40, 0), &recover(), Gates::OPEN) {
        Decision::Wait(wait) => wait.what,
        other => panic!("{other:?}"),
    };
    assert_eq!(waits, WaitFor::CatchUp("b".into()), "it is not disconnected before it has caught up");
    assert_eq!(compared(behind(2, Some(45)), 45, 0).acts(), ["del_replica a b"]);
    let apart = replaced(4, None, |r| r.loaded(45).heard(2));
    assert_eq!(compared(apart, 45, 0).acts(), ["recover_table b"], "which takes it as it is");
}

#[test]
fn rows_that_the_rest_of_the_log_may_have_deleted_are_no_reason_to_leave_it_alone() {
    assert_eq!(compared(replaced(4, None, |r| r), 40, 1).acts(), ["add_replica a b"]);
}

#[test]
fn rows_that_it_still_holds_alone_once_it_has_caught_up_are_never_discarded() {
    let caught_up = || compared(replaced(4, Some(45), |r| r.heard(2).rows(45)), 45, 1);
    let lasting = expired(caught_up(), WaitFor::Rows("b".into()));
    assert_eq!(lasting.blocked().reason, Reason::LeaderLacksRows);
}

#[test]
fn one_that_takes_nothing_from_its_leader_is_resent() {
    let mut stands_still = compared(replaced(4, Some(40), |r| r.heard(2)), 40, 0);
    stands_still.get_mut("b").memory.recovery.stood_still = true;
    assert_eq!(stands_still.acts(), ["del_replica a b"]);
    let refuses = compared(replaced(4, None, |r| r.heard(9)), 40, 0);
    assert_eq!(refuses.acts(), ["recover_table b (resend)"], "it has heard a later term than its leader's");
}

#[test]
fn one_that_holds_nothing_is_sent_everything() {
    let mut empty = replaced(4, None, |r| r);
    if let Data::Loaded(data) = &mut empty.get_mut("b").data {
        (data.offset, data.rows) = (Some(Offset(0)), 0);
    }
    assert_eq!(empty.acts(), ["recover_table b (resend)"]);
}

fn waits_for(view: &Built) -> WaitFor {
    match decide(view, &recover(), Gates::OPEN) {
        Decision::Wait(wait) => wait.what,
        other => panic!("{other:?}"),
    }
}

#[test]
fn its_leader_goes_on_until_it_has_heard_its_term_and_has_all_that_is_from_before_it() {
    let heard_early = compared(replaced(4, None, |r| r.heard(2)), 40, 0);
    assert_eq!(heard_early.acts(), ["add_replica a b"], "RecoverTable would not take it as it is");
    let not_heard = compared(replaced(4, Some(45), |r| r.heard(0)), 45, 0);
    assert_eq!(waits_for(&not_heard), WaitFor::CatchUp("b".into()));
    let behind = compared(replaced(4, Some(44), |r| r.heard(2)), 44, 0);
    assert_eq!(waits_for(&behind), WaitFor::CatchUp("b".into()), "the leader is at 45");
}

#[test]
fn one_that_counts_far_more_rows_than_its_leader_stays_connected() {
    let mut view = replaced(4, Some(45), |r| r.heard(2));
    let Data::Loaded(leads) = &mut view.get_mut("a").data else { panic!() };
    leads.rows = 40;
    let too_many = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    let view = expired(after(view, too_many), WaitFor::Rows("b".into()));
    assert_eq!(view.blocked().reason, Reason::LeaderLacksRows);
}

#[test]
fn its_data_goes_where_it_is_not_known_to_begin_this_leaders_log() {
    let mut of_another = compared(replaced(4, None, |r| r), 40, 0);
    let choice = Choice::clone(&of_another.0.memory.choice.take().unwrap());
    of_another.0.memory.choice = Some(Choice { leader: "c".into(), ..choice }.into());
    assert_eq!(of_another.acts(), ["recover_table b (resend)"], "it was proven to begin the log of another one");
    let mut without_binlog = compared(replaced(4, None, |r| r), 40, 0);
    without_binlog.get_mut("a").manifest = a_partition().replica("a", |r| r.manifest(43, 1)).get("a").manifest.clone();
    assert_eq!(without_binlog.acts(), ["recover_table b (resend)"], "what follows is in its leader's snapshot alone");
    let mut went_wrong = compared(replaced(4, None, |r| r), 40, 0);
    went_wrong.get_mut("b").memory.recovery.must_drop = true;
    assert_eq!(went_wrong.acts(), ["drop b"]);
}

#[test]
fn where_the_playbook_connects_nobody_it_is_not_connected() {
    let mut playbook = recover();
    for step in &mut playbook.partition {
        if let PartitionStep::ChangeRole { connect, .. } = step {
            *connect = Connect::Nobody;
        }
    }
    let view = compared(replaced(4, None, |r| r), 40, 0);
    let Decision::Act(intents) = decide(&view, &playbook, Gates::OPEN) else { panic!() };
    assert_eq!(super::builder::said(&intents[0]), "recover_table b (resend)");
}
