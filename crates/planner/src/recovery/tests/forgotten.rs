//! What goes with a tablet that is gone for good.

use openmldb_model::{Endpoint, Offset};

use super::builder::{Built, Replica, a_partition};
use crate::recovery::{Blocked, Loss, LossKind, Reason, may_be_forgotten};

fn forgotten(view: &Built) -> Result<(), Blocked> {
    may_be_forgotten(view, &Endpoint::from("gone"))
}

/// Led by `a`, elected when the log ended at 20; it has come to 50 since.
fn led_since(gone: impl FnOnce(Replica) -> Replica) -> Built {
    let leads = |r: Replica| r.leader().alive().loaded(50).leads_to([("b", 50)]);
    a_partition()
        .terms([(1, 0), (3, 21)])
        .replica("a", leads)
        .replica("b", |r| r.alive().loaded(50))
        .replica("gone", gone)
}

fn accepting(mut view: Built, entries: Option<u64>) -> Built {
    let loss = Loss { endpoint: "gone".into(), kind: LossKind::OutOfReach, entries, directory: None };
    view.memory.accepted.push(loss);
    view
}

#[test]
fn a_follower_that_was_known_no_longer_than_its_leader_is_forgotten() {
    for known in [0, 20, 35, 50] {
        assert_eq!(forgotten(&led_since(|r| r.out_of_reach().known_at(known))), Ok(()), "known at {known}");
    }
}

#[test]
fn what_only_it_is_known_to_have_held_is_a_loss_that_has_to_be_accepted() {
    let view = led_since(|r| r.out_of_reach().known_at(57));
    let blocked = forgotten(&view).unwrap_err();
    assert_eq!(blocked.reason, Reason::OutOfReach);
    assert_eq!(
        blocked.loss.iter().map(|loss| (loss.kind, loss.entries)).collect::<Vec<_>>(),
        [(LossKind::OutOfReach, Some(7))]
    );
    assert!(forgotten(&accepting(view.clone(), Some(6))).is_err(), "one entry more than was accepted");
    assert_eq!(forgotten(&accepting(view.clone(), Some(7))), Ok(()));
    assert_eq!(forgotten(&accepting(view, None)), Ok(()), "as `recover --without` accepts it");
}

/// What is accepted of what it had beyond the leader does not stand for the rows that the leader lacks.
#[test]
fn what_goes_with_it_where_its_leader_lacks_rows_nobody_can_count() {
    let lacking = |known: u64| {
        let leads = |r: Replica| r.leader().alive().loaded(50).rows(30).leads_to([("b", 50)]);
        a_partition()
            .terms([(1, 0), (3, 21)])
            .replica("a", leads)
            .replica("b", |r| r.alive().loaded(50))
            .replica("gone", |r| r.out_of_reach().known_at(known))
    };
    for known in [20, 57] {
        let view = lacking(known);
        let blocked = forgotten(&view).unwrap_err();
        assert!(blocked.text.contains("lacks rows"), "{blocked}");
        assert_eq!(blocked.loss.iter().map(|loss| loss.entries).collect::<Vec<_>>(), [None]);
        assert!(forgotten(&accepting(view.clone(), Some(known))).is_err(), "known at {known}");
        assert_eq!(forgotten(&accepting(view, None)), Ok(()), "known at {known}");
    }
}

/// Of one that nobody could look at when the leader was chosen, the leader holds what it held then.
#[test]
fn what_the_leader_has_taken_since_it_was_chosen_is_nothing_that_the_other_held() {
    let chosen_at =
        |then: u64| led_since(|r| r.out_of_reach().known_at(35).with(|r| r.memory.leader_held = Some(Offset(then))));
    assert_eq!(forgotten(&chosen_at(35)), Ok(()));
    assert_eq!(forgotten(&chosen_at(30)).unwrap_err().loss[0].entries, Some(5));
}

/// What it wrote after the others had lost touch with it was written a second time by whoever was elected.
#[test]
fn what_an_old_leader_wrote_beyond_the_election_is_a_loss_however_far_the_new_one_has_come() {
    assert_eq!(forgotten(&led_since(|r| r.leader().out_of_reach().known_at(20))), Ok(()));
    let blocked = forgotten(&led_since(|r| r.leader().out_of_reach().known_at(26))).unwrap_err();
    assert_eq!(blocked.loss[0].entries, Some(6));
}

/// `gone` died, `b` was elected, which died later, and then `a`: what `gone` wrote beyond the first election is still nobody else's.
#[test]
fn what_an_old_leader_wrote_is_a_loss_however_many_were_elected_since() {
    let since = |known: u64, b: fn(Replica) -> Replica| {
        let leads = |r: Replica| r.leader().alive().loaded(50).leads_to([]);
        a_partition()
            .terms([(1, 0), (3, 21), (5, 41)])
            .replica("a", leads)
            .replica("b", b)
            .replica("gone", |r| r.leader().out_of_reach().known_at(known))
    };
    let led: fn(Replica) -> Replica = |r| r.leader().out_of_reach().known_at(40);
    assert_eq!(forgotten(&since(26, led)).unwrap_err().loss[0].entries, Some(6));
    assert_eq!(forgotten(&since(20, led)), Ok(()));
    assert_eq!(forgotten(&since(40, |r| r.alive().loaded(50))), Ok(()), "it led until the last election");
    // Or not: `b` may have been elected, and have come back as a follower.
    assert_eq!(forgotten(&since(26, |r| r.alive().loaded(50))).unwrap_err().loss[0].entries, Some(6));
    assert_eq!(forgotten(&since(20, |r| r.alive().loaded(50))), Ok(()), "whenever it led");
}

/// The one elected first lost everything, so that the next term begins further down: nobody else has what was there.
#[test]
fn what_an_old_leader_wrote_is_a_loss_from_where_the_first_of_all_later_terms_begins() {
    let view = a_partition()
        .terms([(1, 0), (3, 21), (5, 11)])
        .replica("a", |r| r.leader().alive().loaded(50).leads_to([]))
        .replica("b", |r| r.leader().out_of_reach().known_at(12))
        .replica("gone", |r| r.leader().out_of_reach().known_at(15));
    assert_eq!(forgotten(&view).unwrap_err().loss[0].entries, Some(5));
}

#[test]
fn what_answers_is_not_gone_and_without_a_leader_nobody_knows() {
    assert!(forgotten(&led_since(|r| r.loaded(50))).unwrap_err().text.contains("answers"));
    assert!(forgotten(&led_since(|r| r)).unwrap_err().text.contains("answers"));
    let leaderless = a_partition().replica("a", |r| r.loaded(9)).replica("gone", |r| r.leader().alive().out_of_reach());
    assert!(forgotten(&leaderless).unwrap_err().hint.contains("--without gone"));
}
