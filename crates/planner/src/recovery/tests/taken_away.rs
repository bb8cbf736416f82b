//! What has to be so before somebody takes a replica away that metadata name.

use super::builder::{Built, Replica, a_partition};
use crate::recovery::{Reason, may_be_emptied, may_be_taken_away};

/// `a` leads `b` and `c`; all are well at offset 20 but for what is done to `b`.
fn well(b: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition()
        .terms([(1, 0), (3, 11)])
        .replica("a", |r| r.leader().alive().loaded(20).last_term(3).in_term(3).leads_to([("b", 20), ("c", 20)]))
        .replica("b", |r| b(r.alive().loaded(20).heard(3)))
        .replica("c", |r| r.alive().loaded(20).heard(3))
}

fn refused(view: &Built) -> Reason {
    let emptied = may_be_emptied(view, &"b".into()).unwrap_err();
    assert_eq!(may_be_taken_away(view, &"b".into()), Err(emptied.clone()), "whether or not another one gets its place");
    emptied.reason
}

#[test]
fn a_follower_goes_whose_leader_holds_what_it_holds() {
    assert_eq!(may_be_taken_away(&well(|r| r), &"b".into()), Ok(()));
    assert_eq!(may_be_emptied(&well(|r| r), &"b".into()), Ok(()));
}

#[test]
fn two_names_of_one_server_are_no_two_replicas() {
    let mut view = well(|r| r);
    for at in ["a", "b"] {
        view.get_mut(at).address = Some("10.0.0.2:1".to_owned());
    }
    assert_eq!(refused(&view), Reason::OutOfReach);
}

#[test]
fn what_another_leader_wrote_does_not_go() {
    assert_eq!(refused(&well(|r| r.last_term(9))), Reason::NewerTerm);
    assert_eq!(refused(&well(|r| r.loaded(9).last_term(3))), Reason::WrittenBeside, "it begins at 11");
}

/// Its leader sends it nothing, and offsets alone do not prove that the two share a log.
#[test]
fn one_that_its_leader_does_not_replicate_to_is_judged_as_before_it_is_resent() {
    let apart = |b: fn(Replica) -> Replica| {
        let mut view = well(b);
        view.get_mut("a").followers =
            a_partition().replica("a", |r| r.loaded(20).leads_to([("c", 20)])).get("a").followers.clone();
        view
    };
    assert_eq!(may_be_taken_away(&apart(|r| r.last_term(3)), &"b".into()), Ok(()), "its log begins its leader's");
    assert_eq!(refused(&apart(|r| r)), Reason::NotRedundant, "nobody knows whether it does");
}
