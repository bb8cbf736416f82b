//! A history of terms from a backup may lack elections: what was written after one is not discarded for what was given up by it.

use super::builder::{Built, Replica, a_partition};
use super::rows::{after, seen};
use crate::recovery::{Decision, LossKind, Reason};

/// `a` led first, and holds a tail that was given up when `b` was elected, in term 3 from offset 21. The history, and the flags, are
/// from before that.
fn restored(a: impl FnOnce(Replica) -> Replica, b: impl FnOnce(Replica) -> Replica) -> Built {
    let mut view = a_partition()
        .replica("a", |r| a(r.leader().alive_before().loaded(30)))
        .replica("b", |r| b(r.alive_before().loaded(25)));
    view.0.memory.terms_in_doubt = true;
    view
}

#[test]
fn each_replica_is_asked_for_its_last_term_although_the_history_has_one() {
    assert_eq!(restored(|r| r, |r| r).acts(), ["make_snapshot a 30", "make_snapshot b 25"]);
    let mut known = restored(|r| r, |r| r);
    known.0.memory.terms_in_doubt = false;
    assert!(matches!(known.decided(), Decision::Choose(_)), "of a history that is whole nobody is asked");
}

#[test]
fn rows_of_a_later_term_keep_the_old_leader_from_leading() {
    for doubted in [true, false] {
        let mut view = restored(|r| r.last_term(1), |r| r.last_term(3));
        view.0.memory.terms_in_doubt = doubted;
        assert_eq!(view.blocked().reason, Reason::NewerTerm, "its MANIFEST shows it, whoever restored what");
        view.get_mut("b").is_leader = true;
        assert_eq!(view.chooses(), "b", "of two flags the one of the later term leads");
    }
}

#[test]
fn what_nobody_is_known_to_have_written_after_an_election_is_recovered_as_ever() {
    let view = restored(|r| r.last_term(1), |r| r.last_term(1));
    assert_eq!(view.chooses(), "a");
    assert_eq!(view.choice().proven.len(), 1, "b begins a's log");
    let with_deletes = restored(|r| r.last_put(1, 20), |r| r.last_put(1, 20));
    assert_eq!(with_deletes.chooses(), "a");
}

#[test]
fn where_no_call_shows_terms_nothing_is_discarded_before_rows_were_compared() {
    let served = |a_lacks: Option<u64>| {
        let mut view = restored(|r| r.alive().leads_to([]).in_term(1), |r| r);
        view.0.storage = openmldb_model::StorageMode::Ssd;
        match a_lacks {
            Some(lacks) => after(view, seen(&[("a", 30), ("b", 25)], &[("a", "b", lacks)])),
            None => view,
        }
    };
    assert_eq!(served(None).blocked().reason, Reason::LeaderLacksRows);
    assert_eq!(served(Some(2)).blocked().reason, Reason::LeaderLacksRows);
    assert!(matches!(served(Some(0)).decided(), Decision::Act(_)), "its leader holds all of it");
}

#[test]
fn of_two_flags_on_disk_nobody_leads() {
    let mut view = restored(|r| r, |r| r.leader());
    view.0.storage = openmldb_model::StorageMode::Ssd;
    assert_eq!(view.blocked().reason, Reason::LeaderConflict);
    view.0.memory.terms_in_doubt = false;
    assert_eq!(view.chooses(), "a", "with a whole history the larger offset decides");
}

#[test]
fn whoever_is_away_may_have_been_elected_since() {
    let away = restored(|r| r.last_term(1), |r| r.out_of_reach());
    let blocked = away.nobody();
    assert_eq!((blocked.reason, blocked.loss[0].kind), (Reason::OutOfReach, LossKind::OutOfReach));
}
