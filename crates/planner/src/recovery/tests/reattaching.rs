//! Playbook `fast`: followers that their leader takes as they are come back without the nameserver's operations.

use super::builder::{Built, Replica, a_partition, by_counts, said};
use crate::playbook::{Playbook, built_in};
use crate::recovery::{Ahead, Decision, Gates, Probe, Question, Reason, WaitFor};
use openmldb_model::{Offset, Seen};

/// A serving leader at offset 20 that replicates to `connected`, and a follower that was asked for its term.
fn serving<const N: usize>(connected: [(&str, u64); N], follower: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition()
        .replica("a", |r| r.leader().alive().loaded(20).leads_to(connected))
        .replica("b", |r| follower(r.loaded(20)))
}

fn decided(view: &Built) -> Decision {
    let fast = Playbook::parse("fast", built_in("fast").unwrap()).unwrap();
    by_counts(view, &fast, Gates { may_recover_followers: false, ..Gates::OPEN })
}

fn acts(view: &Built) -> Vec<String> {
    match decided(view) {
        Decision::Act(intents) => intents.iter().map(said).collect(),
        other => panic!("no action: {other:?}"),
    }
}

#[test]
fn a_connected_follower_that_caught_up_needs_only_its_flag() {
    assert_eq!(acts(&serving([("b", 20)], |r| r)), ["mark b yes"], "no other leader is waited for");
}

/// One that has heard of a later term accepts nothing from its leader, however equal the two are now.
#[test]
fn whether_it_takes_anything_from_its_leader_is_asked_first() {
    let mut view = serving([("b", 20)], |r| r);
    view.get_mut("b").term_pair = Seen::Unasked;
    let Decision::Look(probes) = decided(&view) else { panic!("not asked") };
    assert_eq!(probes, [Probe { endpoint: "b".into(), question: Question::TermPair }]);
}

#[test]
fn one_that_has_not_caught_up_is_waited_for() {
    let Decision::Wait(wait) = decided(&serving([("b", 12)], |r| r.loaded(12))) else { panic!("no wait") };
    assert_eq!((wait.what, wait.catch_up_to), (WaitFor::CatchUp("b".into()), Some(Offset(20))));
}

#[test]
fn one_that_is_not_connected_or_is_leader_flagged_goes_through_the_nameserver() {
    let turn =
        |view: &Built| matches!(decided(view), Decision::Wait(wait) if wait.what == WaitFor::Turn(Ahead::Leaders));
    assert!(turn(&serving([], |r| r)), "RecoverTable, once every leader serves");
    assert!(turn(&serving([("b", 20)], Replica::leader)), "disconnected first, since only RecoverTable clears a flag");
}

#[test]
fn one_with_other_rows_than_its_leader_is_not_marked() {
    let rows = |rows| serving([("b", 20)], move |r| r.rows(rows));
    let waits = |view: &Built| matches!(decided(view), Decision::Wait(wait) if wait.what == WaitFor::Rows("b".into()));
    assert!(waits(&rows(18)));
    let mut fuller = rows(20);
    let crate::recovery::Data::Loaded(leader) = &mut fuller.get_mut("a").data else { panic!("a is loaded") };
    leader.rows = 18;
    assert!(waits(&fuller));
    let expired = super::loading::expired(fuller, WaitFor::Rows("b".into()));
    let Decision::Blocked(blocked) = decided(&expired) else { panic!("not blocked") };
    assert_eq!(blocked.reason, Reason::LeaderLacksRows);
}

#[test]
fn one_whose_flag_cannot_be_set_is_recovered() {
    let view = serving([("b", 20)], |r| r.heard(1).with(|r| r.memory.flag_stuck = true));
    assert!(!matches!(decided(&view), Decision::Act(intents) if said(&intents[0]).starts_with("mark")));
}

#[test]
fn a_plan_that_is_kept_is_applied_with_its_leader_or_not_at_all() {
    let planned = |leader: &str| {
        let mut view = a_partition().replica("a", |r| r.leader().loaded(20)).replica("b", |r| r.loaded(20));
        view.0.memory.planned_leader = Some(leader.into());
        decided(&view)
    };
    assert!(matches!(planned("a"), Decision::Choose(choice) if choice.leader.as_str() == "a"));
    assert!(matches!(planned("b"), Decision::Blocked(blocked) if blocked.reason == Reason::NotAsPlanned));
}

#[test]
fn what_nobody_had_looked_at_is_discarded_only_as_far_as_the_leader_held_then() {
    let unseen = |held| {
        let view = a_partition()
            .replica("a", |r| r.leader().alive().loaded(20).leads_to([]))
            .replica("b", |r| r.loaded(15).with(|r| r.memory.leader_held = Some(Offset(held))));
        view.decided()
    };
    assert!(matches!(unseen(15), Decision::Act(intents) if said(&intents[0]) == "recover_table b (resend)"));
    assert!(matches!(unseen(14), Decision::Blocked(blocked) if blocked.reason == Reason::LongerThanLeader));
}
