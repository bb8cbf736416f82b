//! Logs that may end with deletes: MANIFEST names the term of the last put, and the last entry may be of a later one
//! (docs/openmldb/logs-and-terms.md#the-term-of-a-replicas-last-entry). Neither is such a log called foreign, nor is it given up
//! where it may hold what was acknowledged last.

use super::builder::{Built, Replica, a_partition};
use super::rows::{after, decided, of_an_unknown_term, read, seen};
use crate::recovery::{
    Data, Decision, Lack, LastTerm, Reason, RowsSeen, is_on_history, last_term, seen_to_lack, settled_term,
};
use openmldb_model::Term;

/// Two terms, the second from offset 15.
fn twice_led() -> Built {
    a_partition().terms([(1, 0), (3, 15)])
}

/// Offset 18, no put since term 3 began.
fn with_later_deletes(r: Replica) -> Replica {
    r.loaded(18).rows(14).last_put(1, 12)
}

/// Offset 25, every entry a put, the last ones given up when term 3 began.
fn with_a_tail_of_rows(r: Replica) -> Replica {
    r.leader().loaded(25).last_term(1)
}

/// Offset 25, some of them deletes, nobody knows which.
fn with_a_tail_or_deletes(r: Replica) -> Replica {
    r.loaded(25).rows(20).last_put(1, 15)
}

fn last(view: &Built, endpoint: &str) -> LastTerm {
    last_term(view, view.get(endpoint))
}

#[test]
fn a_snapshot_with_fewer_rows_than_entries_does_not_show_the_last_entrys_term() {
    let view = twice_led().replica("a", with_later_deletes);
    assert_eq!(last(&view, "a"), LastTerm::AtLeast(Term(1)));
    assert_eq!(settled_term(&view, view.get("a")), None);
    let view = a_partition().replica("a", with_later_deletes);
    assert_eq!(last(&view, "a"), LastTerm::Known(Term(1)), "there never was another term");
}

#[test]
fn a_log_that_ends_with_deletes_before_a_later_term_began_is_official() {
    let view = a_partition().terms([(1, 0), (3, 19)]).replica("a", with_later_deletes);
    assert!(is_on_history(&view, view.get("a")));
}

#[test]
fn a_put_of_the_newest_term_is_enough_whatever_follows() {
    let view = twice_led().replica("a", |r| r.loaded(18).rows(14).last_put(3, 12));
    assert_eq!(settled_term(&view, view.get("a")), Some(Term(3)));
    assert!(is_on_history(&view, view.get("a")));
}

#[test]
fn a_snapshot_without_any_row_says_nothing_about_terms() {
    let view = twice_led().replica("a", |r| r.loaded(18).rows(14).last_put(3, 0));
    assert_eq!(last(&view, "a"), LastTerm::AtLeast(Term(1)), "it may be the replicator's term");
}

#[test]
fn a_log_long_enough_for_a_put_of_the_newest_term_and_without_it_has_nothing_of_that_term() {
    let beside = |end, terms: &[(u64, u64)]| {
        let partition = match terms {
            [one, two] => a_partition().terms([*one, *two]),
            _ => a_partition().terms([(1, 0), (2, 9), (3, 15)]),
        };
        let view = partition
            .replica("a", |r| r.loaded(end).rows(14).last_put(1, 12))
            .replica("b", |r| r.loaded(18).last_term(3));
        last(&view, "a")
    };
    assert_eq!(beside(18, &[(1, 0), (3, 15)]), LastTerm::Known(Term(1)));
    assert_eq!(beside(17, &[(1, 0), (3, 15)]), LastTerm::AtLeast(Term(1)), "it may end just before that put");
    assert_eq!(beside(18, &[]), LastTerm::AtLeast(Term(1)), "it may be of term 2");
}

/// docs/openmldb/experiments.md#a-log-that-ends-with-deletes
#[test]
fn equal_logs_that_end_with_deletes_give_up_nothing() {
    let equal = |r: Replica| r.loaded(226).rows(89).last_put(1, 43);
    let view = a_partition()
        .terms([(1, 0), (223, 90), (247, 90)])
        .replica("a", |r| equal(r.leader().alive_before()))
        .replica("b", |r| equal(r.alive_before()))
        .replica("c", |r| equal(r.alive_before()));
    let choice = view.choice();
    assert_eq!(choice.leader.as_str(), "a");
    assert_eq!(choice.given_up, [], "nobody knows of anything that is not the history's");
}

#[test]
fn deletes_of_the_leader_elected_last_are_not_given_up_for_the_longer_tail_of_an_old_one() {
    let view = twice_led()
        .replica("old", with_a_tail_of_rows)
        .replica("new", |r| with_later_deletes(r.leader().alive_before()));
    let choice = view.choice();
    assert_eq!(choice.leader.as_str(), "new");
    let given_up: Vec<_> = choice.given_up.iter().map(|g| (g.endpoint.as_str(), g.entries, g.term)).collect();
    assert_eq!(given_up, [("old", 11, Some(Term(1)))]);
    assert_eq!(choice.proven, [], "what nobody can prove is not connected");
}

#[test]
fn where_both_leader_flagged_may_end_with_deletes_of_the_later_term_nobody_leads() {
    for [old, new] in [["a", "b"], ["b", "a"]] {
        let view = twice_led()
            .replica(old, |r| with_a_tail_or_deletes(r.leader()))
            .replica(new, |r| with_later_deletes(r.leader().alive_before()));
        assert_eq!(view.reason(), Reason::LeaderConflict);
        let losses: Vec<_> = view.nobody().loss.into_iter().map(|loss| loss.endpoint).collect();
        assert_eq!(losses, [new.into()], "which can be accepted");
    }
}

#[test]
fn a_follower_that_may_hold_deletes_of_the_later_term_is_not_given_up_for_a_tail() {
    let view = twice_led().replica("old", with_a_tail_of_rows).replica("follower", with_later_deletes);
    assert_eq!(view.reason(), Reason::NewerTerm);
}

#[test]
fn a_follower_that_holds_later_rows_than_a_log_that_may_end_with_deletes_is_not_given_up() {
    let view = a_partition()
        .terms([(1, 0), (3, 15), (5, 22)])
        .replica("old", |r| with_a_tail_or_deletes(r.leader()))
        .replica("follower", |r| r.loaded(25).rows(20).last_put(3, 15));
    assert_eq!(view.reason(), Reason::NewerTerm);
}

#[test]
fn an_old_leader_without_a_row_of_the_newest_term_loses_to_a_shorter_one_that_has_some() {
    let view = a_partition()
        .terms([(1, 0), (3, 15), (5, 16)])
        .replica("old", |r| with_a_tail_or_deletes(r.leader()))
        .replica("new", |r| r.leader().alive_before().loaded(20).rows(15).last_put(5, 12));
    assert_eq!(view.chooses(), "new");
}

#[test]
fn who_wrote_a_row_before_its_term_began_and_ends_with_deletes_wrote_beside() {
    let view = twice_led()
        .replica("a", |r| r.leader().loaded(13).rows(10).last_put(3, 9))
        .replica("b", |r| r.loaded(13).rows(10).last_put(1, 9));
    assert_eq!(view.reason(), Reason::WrittenBeside);
}

#[test]
fn an_incomplete_replica_may_hold_what_was_written_instead_of_deletes() {
    let view = twice_led().replica("a", |r| with_a_tail_or_deletes(r.leader())).replica("b", |r| r.loaded(25).rows(5));
    assert_eq!(view.reason(), Reason::SuspectIsLongest);
}

#[test]
fn a_snapshot_that_shows_no_term_is_not_asked_for_again() {
    let view = twice_led().replica("a", |r| with_later_deletes(r.leader())).replica("b", with_later_deletes);
    assert!(matches!(view.decided(), Decision::Choose(_)), "{:?}", view.decided());
}

/// Its leader at 20, and a follower at 18, with so many rows.
fn counting(rows_of_leader: u64, rows_of_follower: u64) -> Built {
    let mut view = of_an_unknown_term(18).ttl();
    for (at, rows) in [("a", rows_of_leader), ("b", rows_of_follower)] {
        let Data::Loaded(loaded) = &mut view.get_mut(at).data else { panic!("{at} is loaded") };
        loaded.rows = rows;
    }
    view
}

/// World 40012160: of a table that keeps the newest rows of a key a leader had lost deletes; what they had deleted was shown again, newer than
/// what it lacked, and the followers that had deleted it were resent.
#[test]
fn a_newer_row_that_others_have_deleted_explains_nothing() {
    let lacked_by_leader = |view: Built, lacked_by_follower| {
        let superseded = Lack { rows: 1, keys: 1, superseded: 1, superseded_keys: 1, ..Lack::default() };
        let lacks = Lack { rows: lacked_by_follower, keys: lacked_by_follower, ..Lack::default() };
        let pairs = [(("a".into(), "b".into()), superseded), (("b".into(), "a".into()), lacks)];
        let view = after(view, RowsSeen::compared([read("a", 20, 0), read("b", 18, 0)].into(), pairs.into()));
        seen_to_lack(&view.0, view.get("a"), view.get("b"))
    };
    assert_eq!(lacked_by_leader(counting(15, 18), 2), Some(0), "as many rows may be behind the end of its log");
    assert_eq!(lacked_by_leader(counting(15, 18), 3), Some(1), "the leader has lost more of its log");
    assert_eq!(lacked_by_leader(counting(20, 15), 3), Some(0), "the follower has lost them");
    assert_eq!(lacked_by_leader(counting(20, 15).on_disk(), 3), Some(1), "on disk counts are estimates");
}

/// The same world: a leader that has lost deletes shows rows that its followers do not.
#[test]
fn rows_that_only_the_leader_shows_may_be_deleted_ones() {
    let resends = |view, lacks| {
        let decision = decided(&after(view, seen(&[("a", 20), ("b", 18)], &[("b", "a", lacks)])));
        matches!(decision, Decision::Act(intents) if intents.iter().all(|intent| intent.resends))
    };
    assert!(resends(counting(15, 18), 2), "they may be behind the end of its log");
    assert!(!resends(counting(15, 18), 3), "the leader has lost more of its log");
    assert!(resends(counting(18, 18), 3), "as much may be deleted by what the leader is ahead by");
    assert!(resends(counting(20, 15), 3), "the follower has lost them");
}
