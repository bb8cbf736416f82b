//! Accepted losses, and nothing beyond them.

use crate::playbook::{OnConflict, Promote};
use crate::recovery::tests::builder::{Built, a_partition};
use crate::recovery::{Blocked, Loss, LossKind, PromotionMethod, Reason, choose};

fn blocked(view: &Built) -> Blocked {
    choose(view, OnConflict::LastElected, Promote::WhenProven).unwrap_err()
}

fn loss(endpoint: &str, kind: LossKind, entries: Option<u64>) -> Loss {
    Loss { endpoint: endpoint.into(), kind, entries, directory: None }
}

/// What a loss comes to, without its directory.
fn listed(blocked: &Blocked) -> Vec<Loss> {
    blocked.loss.iter().map(|loss| Loss { directory: None, ..loss.clone() }).collect()
}

fn accepting(mut view: Built, losses: &[Loss]) -> Built {
    view.memory.accepted = losses.to_vec();
    view
}

/// Blocked by exactly this loss; nothing less lets it go on; and then this one leads.
fn is_led_once_accepted(view: Built, reason: Reason, wanted: &Loss, leader: &str) {
    assert_eq!(blocked(&view).reason, reason);
    assert_eq!(listed(&blocked(&view)), std::slice::from_ref(wanted));
    let others = [
        loss("z", wanted.kind, wanted.entries),
        Loss { kind: other(wanted.kind), ..wanted.clone() },
        Loss { entries: wanted.entries.map_or(Some(1_000), |entries| Some(entries - 1)), ..wanted.clone() },
    ];
    assert_eq!(blocked(&accepting(view.clone(), &others)).reason, reason, "none of these is what would be lost");
    let view = accepting(view, std::slice::from_ref(wanted));
    assert_eq!((view.chooses().as_str(), view.choice().way), (leader, PromotionMethod::ChangeRole));
}

fn other(kind: LossKind) -> LossKind {
    if kind == LossKind::EmptyLeader { LossKind::StaleLeader } else { LossKind::EmptyLeader }
}

#[test]
fn the_tail_of_a_longer_follower() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.leader().alive_before().loaded(17).last_term(3))
        .replica("b", |r| r.loaded(21).last_term(1));
    is_led_once_accepted(view, Reason::LongerFollower, &loss("b", LossKind::Follower, Some(7)), "a");
}

#[test]
fn a_playbook_that_would_keep_it_all_is_no_loss_to_say_yes_to() {
    let view = a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", |r| r.loaded(12));
    assert_eq!(choose(&view, OnConflict::LastElected, Promote::Never).unwrap_err().loss, []);
}

#[test]
fn entries_of_a_later_term() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("old", |r| r.leader().loaded(35).last_term(1))
        .replica("new", |r| r.leader().alive_before().refused())
        .replica("follower", |r| r.alive_before().loaded(30).last_term(3));
    is_led_once_accepted(view, Reason::NewerTerm, &loss("follower", LossKind::Follower, Some(16)), "old");
}

#[test]
fn the_end_of_a_replica_that_lacks_rows() {
    let view = a_partition().replica("a", |r| r.leader().loaded(20)).replica("b", |r| r.loaded(25).rows(5));
    is_led_once_accepted(view, Reason::SuspectIsLongest, &loss("b", LossKind::Follower, Some(5)), "a");
}

#[test]
fn everything() {
    let view = a_partition().replica("a", |r| r.leader().loaded(0)).replica("b", |r| r.refused().known_at(5));
    is_led_once_accepted(view, Reason::EverythingEmpty, &loss("b", LossKind::EmptyLeader, Some(5)), "a");
}

#[test]
fn whatever_a_replica_out_of_reach_holds() {
    let view = a_partition().replica("a", |r| r.leader().loaded(20)).replica("b", |r| r.out_of_reach().known_at(30));
    is_led_once_accepted(view, Reason::OutOfReach, &loss("b", LossKind::OutOfReach, None), "a");
}

#[test]
fn each_of_several() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.leader().loaded(17).last_term(3))
        .replica("b", |r| r.loaded(19).last_term(1))
        .replica("c", |r| r.loaded(21).last_term(1));
    let losses = listed(&blocked(&view));
    assert_eq!(losses, [loss("b", LossKind::Follower, Some(5)), loss("c", LossKind::Follower, Some(7))]);
    for one in &losses {
        assert_eq!(blocked(&accepting(view.clone(), std::slice::from_ref(one))).reason, Reason::LongerFollower);
    }
    assert_eq!(accepting(view, &losses).chooses(), "a");
}

fn serving(b: impl FnOnce(super::builder::Replica) -> super::builder::Replica) -> Built {
    let leads = |r: super::builder::Replica| r.leader().alive().loaded(20).leads_to([]);
    a_partition().replica("a", leads).replica("b", b)
}

fn recover(view: &Built) -> crate::recovery::Decision {
    super::builder::by_counts(view, &super::builder::recover(), crate::recovery::Gates::OPEN)
}

#[test]
fn a_resend_discards_only_what_was_said_yes_to() {
    let view = serving(|r| r.loaded(25));
    let blocked = view.blocked();
    assert_eq!(
        (blocked.reason, listed(&blocked)),
        (Reason::LongerThanLeader, vec![loss("b", LossKind::Follower, Some(5))])
    );
    for little in [loss("b", LossKind::Follower, Some(4)), loss("b", LossKind::LacksRows, Some(5))] {
        assert_eq!(accepting(view.clone(), &[little]).blocked().reason, Reason::LongerThanLeader);
    }
    let view = accepting(view, &blocked.loss);
    assert_eq!(view.acts(), ["recover_table b (resend)"], "{:?}", recover(&view));
}

#[test]
fn rows_that_a_leader_lacks_are_listed_as_rows() {
    let mut view = serving(|r| r.loaded(12));
    if let crate::recovery::Data::Loaded(loaded) = &mut view.get_mut("a").data {
        loaded.rows = 16;
    }
    let blocked = view.blocked();
    assert_eq!(
        (blocked.reason, listed(&blocked)),
        (Reason::LeaderLacksRows, vec![loss("b", LossKind::LacksRows, Some(4))])
    );
    assert_eq!(accepting(view, &blocked.loss).acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_plan_goes_on_past_a_loss_and_lists_what_would_follow() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.leader().alive_before().loaded(17).last_term(3))
        .replica("b", |r| r.loaded(21).last_term(1));
    let planned = crate::recovery::plan::walk(view.0, &super::builder::recover());
    assert_eq!(planned.blocked.as_ref().unwrap().reason, Reason::LongerFollower);
    assert_eq!(planned.losses.iter().map(|loss| loss.kind.code()).collect::<Vec<_>>(), ["follower"]);
    assert_eq!(planned.losses[0].directory.as_deref(), Some("7_0_<time> in the tablet's recycle bin"));
    let steps: Vec<&str> = planned.if_accepted.iter().map(|step| step.step).collect();
    assert_eq!((planned.steps.len(), steps.first(), steps.last()), (0, Some(&"change_role"), Some(&"recover_table")));
}

#[test]
fn what_nobody_may_say_yes_to_lists_no_loss() {
    for view in [
        a_partition().replica("a", |r| r.leader().refused()),
        a_partition().replica("a", |r| r.leader().refused()).replica("b", |r| r.refused()),
    ] {
        assert_eq!(blocked(&view).loss, [], "there is nothing to go on with");
    }
}

#[test]
fn a_guess_is_nothing_to_say_yes_to() {
    let cold =
        a_partition().replica("a", |r| r.known_at(20)).replica("b", |r| r.leader().alive_before().out_of_reach());
    let planned = crate::recovery::plan::walk(cold.0, &super::builder::recover());
    assert_eq!(planned.blocked.as_ref().unwrap().reason, Reason::OutOfReach);
    assert_eq!((planned.blocked.unwrap().loss, planned.losses, planned.if_accepted.len()), (vec![], vec![], 0));
}
