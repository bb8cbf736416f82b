//! A leader that somebody has named: nothing is weighed but what goes with the others.

use super::builder::{Built, Replica, a_partition, said};
use super::rows::{after, seen};
use crate::playbook::{OnConflict, Playbook, Promote};
use crate::recovery::{Blocked, Choice, Decision, Gates, Loss, LossKind, PromotionMethod, Reason, choose, decide};

fn named(mut view: Built, leader: &str) -> Built {
    view.0.memory.named_leader = Some(leader.into());
    view
}

fn choice(view: &Built) -> Result<Choice, Blocked> {
    choose(view, OnConflict::Block, Promote::Never)
}

fn losses(blocked: &Blocked) -> Vec<(&str, LossKind, Option<u64>)> {
    blocked.loss.iter().map(|loss| (loss.endpoint.as_str(), loss.kind, loss.entries)).collect()
}

/// By the rules nobody leads: the follower is longer and not proven to continue the leader.
fn longer_follower() -> Built {
    a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.leader().alive_before().loaded(17).last_term(3))
        .replica("b", |r| r.loaded(21).last_term(1))
}

#[test]
fn either_of_two_leads_once_what_goes_with_the_other_was_accepted() {
    assert_eq!(longer_follower().reason(), Reason::LongerFollower);
    for (leader, way, lost) in [
        ("a", PromotionMethod::ChangeRole, ("b", LossKind::Follower, Some(7))),
        ("b", PromotionMethod::ChangeLeader, ("a", LossKind::StaleLeader, Some(3))),
    ] {
        let mut view = named(longer_follower(), leader);
        let blocked = choice(&view).unwrap_err();
        assert_eq!((blocked.reason, losses(&blocked)), (Reason::NamedLeader, vec![lost]));
        view.0.memory.accepted = blocked.loss;
        let choice = choice(&view).unwrap();
        assert_eq!((choice.leader.as_str(), choice.way), (leader, way));
    }
}

#[test]
fn several_leader_flags_are_answered_whatever_the_playbook_says() {
    let flagged = |r: Replica, offset| r.leader().loaded(offset);
    let view = a_partition().replica("a", |r| flagged(r, 9)).replica("b", |r| flagged(r, 7));
    assert_eq!(choice(&view).unwrap_err().reason, Reason::LeaderConflict);
    let chosen = choice(&named(view.clone(), "a")).unwrap();
    assert_eq!((chosen.leader.as_str(), chosen.proven), ("a", vec!["b".into()]), "it has all that the other one has");
    assert_eq!(losses(&choice(&named(view, "b")).unwrap_err()), [("a", LossKind::StaleLeader, Some(2))]);
}

#[test]
fn what_nobody_can_look_at_is_a_loss_of_its_own() {
    let view = a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", Replica::out_of_reach);
    assert_eq!(losses(&choice(&named(view.clone(), "a")).unwrap_err()), [("b", LossKind::OutOfReach, None)]);
    let blocked = choice(&named(view, "b")).unwrap_err();
    assert_eq!((blocked.reason, blocked.loss), (Reason::OutOfReach, Vec::new()), "nor can it lead");
}

#[test]
fn what_the_named_one_was_seen_to_hold_is_no_loss() {
    let view = named(longer_follower(), "b");
    assert!(choice(&after(view.clone(), seen(&[("a", 17), ("b", 21)], &[("a", "b", 4)]))).is_ok());
    let lacking = after(view.clone(), seen(&[("a", 17), ("b", 21)], &[("b", "a", 2)]));
    assert_eq!(losses(&choice(&lacking).unwrap_err()), [("a", LossKind::StaleLeader, Some(3))]);
    let decided = decide(&view, &Playbook::find("recover").unwrap(), Gates::OPEN);
    assert!(matches!(decided, Decision::Compare { .. }), "{decided:?}");
}

/// It was sent all that its followers hold, and lost some of it since.
#[test]
fn what_the_named_one_has_lost_of_its_own_log_is_a_loss_too() {
    let view = a_partition().replica("a", |r| r.leader().loaded(25).rows(7)).replica("b", |r| r.loaded(20));
    let view = named(view, "a");
    assert_eq!(losses(&choice(&view).unwrap_err()), [("b", LossKind::LacksRows, Some(18))]);
    let seen_to_lack = after(view.clone(), seen(&[("a", 25), ("b", 20)], &[("a", "b", 15)]));
    assert_eq!(losses(&choice(&seen_to_lack).unwrap_err()), [("b", LossKind::LacksRows, Some(15))]);
    assert!(choice(&after(view, seen(&[("a", 25), ("b", 20)], &[("b", "a", 2)]))).is_ok(), "they were deleted");
}

/// Two that lack as many rows of one log may lack others.
#[test]
fn what_counts_do_not_show_is_a_loss_where_rows_do() {
    let view = a_partition().replica("a", |r| r.leader().loaded(25)).replica("b", |r| r.loaded(25));
    let view = named(view, "a");
    assert!(choice(&view).is_ok());
    let lacks = after(view, seen(&[("a", 25), ("b", 25)], &[("a", "b", 2)]));
    assert_eq!(losses(&choice(&lacks).unwrap_err()), [("b", LossKind::LacksRows, Some(2))]);
}

/// Where rows may expire counts say nothing, so the rows are looked at.
#[test]
fn one_that_is_not_complete_does_not_lead_before_its_rows_were_compared() {
    let hollow = |r: Replica| r.leader().loaded(300).rows(30).with(|r| r.memory.snapshot_file_missing = true);
    let view = a_partition().ttl().replica("a", hollow).replica("b", |r| r.loaded(299).rows(290));
    let view = named(view, "a");
    assert_eq!(losses(&choice(&view).unwrap_err())[0].1, LossKind::LacksRows);
    let decided = decide(&view, &Playbook::find("recover").unwrap(), Gates::OPEN);
    assert!(matches!(decided, Decision::Compare { .. }), "{decided:?}");
    assert!(choice(&after(view, seen(&[("a", 300), ("b", 299)], &[]))).is_ok());
}

/// Made leader while it was behind, it wrote in the later term what the other one holds otherwise.
#[test]
fn what_was_written_beside_the_named_one_is_listed_whole() {
    let view = a_partition()
        .terms([(1, 0), (2, 101)])
        .replica("a", |r| r.leader().loaded(100).last_term(1))
        .replica("b", |r| r.leader().loaded(60).last_term(2));
    let lost =
        |leader| losses(&choice(&named(view.clone(), leader)).unwrap_err()).iter().map(|l| l.2).collect::<Vec<_>>();
    assert_eq!((lost("a"), lost("b")), (vec![Some(60)], vec![Some(100)]));
}

#[test]
fn what_was_accepted_beside_the_named_one_is_not_for_whoever_serves_instead() {
    let view =
        a_partition().replica("a", |r| r.leader().alive().loaded(20).leads_to([])).replica("b", |r| r.loaded(25));
    let mut view = named(view, "b");
    view.0.memory.accepted = view.0.replicas.iter().map(|r| loss_of(r.endpoint.as_str())).collect();
    assert_eq!(view.blocked().reason, Reason::NotAsPlanned);
}

fn loss_of(endpoint: &str) -> Loss {
    Loss { endpoint: endpoint.into(), kind: LossKind::Follower, entries: Some(1_000), directory: None }
}

/// The flag has moved with the election.
#[test]
fn what_was_accepted_of_a_leader_is_accepted_of_the_follower_that_it_is_then() {
    let mut view = a_partition()
        .terms([(1, 0), (3, 15), (5, 22)])
        .replica("a", |r| r.loaded(25).last_term(3))
        .replica("b", |r| r.leader().alive().loaded(21).leads_to([]).in_term(5));
    let blocked = view.blocked();
    assert_eq!((blocked.reason, blocked.loss[0].kind), (Reason::LongerThanLeader, LossKind::Follower));
    view.0.memory.accepted = blocked.loss;
    view.0.memory.accepted[0].kind = LossKind::StaleLeader;
    let Decision::Act(intents) = view.decided() else { panic!("{:?}", view.decided()) };
    assert_eq!(intents.iter().map(said).collect::<Vec<_>>(), ["recover_table a (resend)"]);
}
