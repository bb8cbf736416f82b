//! Last term, official logs, elected last, proven prefix.

use super::builder::{Built, a_partition};
use crate::recovery::term::{shared_up_to, term_above_history};
use crate::recovery::{LastTerm, elected_last, is_on_history, is_proven_prefix, last_term, settled_term};
use openmldb_model::{Offset, Term};

/// Terms 1 and 3, the latter from offset 15: an old leader with a tail, the new leader, its follower.
fn diverged() -> Built {
    a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("old", |r| r.leader().loaded(21).last_term(1))
        .replica("new", |r| r.leader().alive_before().loaded(17).last_term(3))
        .replica("follower", |r| r.alive_before().loaded(17).last_term(3))
}

fn prefix(view: &Built, x: &str, y: &str) -> bool {
    is_proven_prefix(view, view.get(x), view.get(y))
}

#[test]
fn one_term_ever_is_everybodys_last() {
    let view = a_partition().replica("a", |r| r.loaded(5));
    assert_eq!(last_term(&view, view.get("a")), LastTerm::Known(Term(1)));
}

#[test]
fn manifest_that_reaches_the_offset_names_the_last_term() {
    let view = diverged();
    assert_eq!(last_term(&view, view.get("old")), LastTerm::Known(Term(1)));
    assert_eq!(last_term(&view, view.get("new")), LastTerm::Known(Term(3)));
}

#[test]
fn manifest_below_the_offset_is_a_lower_bound() {
    let view = a_partition().terms([(1, 0), (3, 15)]).replica("a", |r| r.loaded(21).manifest(16, 3));
    assert_eq!(last_term(&view, view.get("a")), LastTerm::AtLeast(Term(3)));
    assert_eq!(settled_term(&view, view.get("a")), Some(Term(3)), "no later term ever began");
}

#[test]
fn without_manifest_the_first_term_is_the_bound() {
    let view = a_partition().terms([(1, 0), (3, 15)]).replica("a", |r| r.loaded(14)).replica("b", |r| r.loaded(15));
    assert_eq!(last_term(&view, view.get("a")), LastTerm::AtLeast(Term(1)));
    assert_eq!(settled_term(&view, view.get("a")), Some(Term(1)), "it ends before term 3 began");
    assert_eq!(settled_term(&view, view.get("b")), None, "its last entry may be of either term");
}

#[test]
fn a_replaced_leader_that_still_runs_wrote_its_end_itself() {
    let old = |offset, term| {
        a_partition()
            .terms([(1, 0), (3, 15), (5, 30)])
            .replica("old", |r| r.leader().loaded(offset).heard(term).leads_to([]))
    };
    let last = |view: &Built| last_term(view, view.get("old"));
    assert_eq!(last(&old(40, 3)), LastTerm::Known(Term(3)));
    assert_eq!(last(&old(40, 3).on_disk()), LastTerm::Known(Term(3)), "it is not MANIFEST that tells");
    assert_eq!(last(&old(14, 3)), LastTerm::AtLeast(Term(1)), "it wrote nothing as leader");
    assert_eq!(last(&old(40, 5)), LastTerm::AtLeast(Term(1)), "ChangeRole gives the last term to any leader");
}

#[test]
fn manifest_of_a_replica_that_is_not_loaded_is_a_lower_bound() {
    let view = a_partition().terms([(1, 0), (3, 15)]).replica("a", |r| r.manifest(16, 3));
    assert_eq!(last_term(&view, view.get("a")), LastTerm::AtLeast(Term(3)), "its binlog may hold more");
}

#[test]
fn manifest_of_a_disk_table_says_nothing_about_terms() {
    let view = a_partition().on_disk().terms([(1, 0), (3, 15)]).replica("a", |r| r.loaded(21).manifest(21, 3));
    assert_eq!(last_term(&view, view.get("a")), LastTerm::AtLeast(Term(1)));
}

#[test]
fn without_term_history_nothing_is_known() {
    let view = a_partition().terms([]).replica("a", |r| r.loaded(5)).replica("b", |r| r.loaded(5));
    assert_eq!(last_term(&view, view.get("a")), LastTerm::Unknown);
    assert!(!is_on_history(&view, view.get("a")) && !prefix(&view, "a", "b"));
}

#[test]
fn a_log_is_official_up_to_the_first_term_it_did_not_see() {
    let at = |offset| {
        let view = a_partition().terms([(1, 0), (3, 15), (5, 30)]).replica("a", |r| r.loaded(offset).last_term(1));
        is_on_history(&view, view.get("a"))
    };
    assert!(at(14) && !at(15) && !at(30));
}

#[test]
fn elected_last_is_of_the_newest_term() {
    assert_eq!(elected_last(&diverged()).unwrap().endpoint.as_str(), "new");
}

#[test]
fn elected_last_is_leader_flagged_has_data_and_an_official_log() {
    let mut view = diverged();
    view.get_mut("new").is_leader = false;
    assert_eq!(elected_last(&view), None, "the old leader's log is not official, the others carry no flag");
    let view = a_partition().replica("a", |r| r.leader().loaded(0)).replica("b", |r| r.leader().loaded(1));
    assert_eq!(elected_last(&view).unwrap().endpoint.as_str(), "b");
}

#[test]
fn elected_last_of_one_term_was_alive_before_then_is_the_longest() {
    let of = |a: u64, b: u64, alive: &str| {
        let view = a_partition()
            .replica("a", |r| r.leader().loaded(a).with(|r| r.memory.alive_before = alive == "a"))
            .replica("b", |r| r.leader().loaded(b).with(|r| r.memory.alive_before = alive == "b"));
        elected_last(&view).unwrap().endpoint.to_string()
    };
    assert_eq!([of(9, 5, "b"), of(5, 9, ""), of(9, 5, ""), of(5, 5, "")], ["b", "b", "a", "a"]);
}

#[test]
fn nothing_is_a_prefix_of_anything() {
    let mut view = diverged();
    view = view.replica("empty", |r| r.loaded(0));
    assert!(prefix(&view, "empty", "old") && prefix(&view, "empty", "new"));
}

#[test]
fn a_longer_log_is_no_prefix() {
    let view = a_partition().replica("a", |r| r.leader().loaded(6)).replica("b", |r| r.loaded(5));
    assert!(prefix(&view, "b", "a") && !prefix(&view, "a", "b"));
}

#[test]
fn a_log_that_parted_from_the_history_is_no_prefix() {
    let view = diverged().replica("longer", |r| r.loaded(40).last_term(3));
    assert!(!prefix(&view, "old", "longer") && prefix(&view, "new", "longer"));
}

#[test]
fn equal_offsets_of_different_terms_are_no_prefix() {
    // Four partitions with equal offsets and different rows (docs/openmldb/experiments.md#divergence-made-on-purpose).
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("old", |r| r.leader().loaded(17).last_term(1))
        .replica("new", |r| r.leader().loaded(17).last_term(3));
    assert!(!prefix(&view, "old", "new") && !prefix(&view, "new", "old"));
}

#[test]
fn nobody_is_a_prefix_of_a_log_that_is_not_official() {
    let view = diverged().replica("short", |r| r.loaded(10));
    assert!(prefix(&view, "short", "new") && !prefix(&view, "short", "old") && !prefix(&view, "follower", "old"));
}

#[test]
fn alive_before_proves_nothing() {
    let mut view = diverged();
    view.get_mut("old").memory.alive_before = true;
    view = view.replica("longer", |r| r.loaded(40).last_term(3));
    assert!(!prefix(&view, "old", "longer"));
}

#[test]
fn a_replica_that_is_not_loaded_proves_nothing() {
    let view = a_partition().replica("a", |r| r.manifest(5, 1)).replica("b", |r| r.leader().loaded(9));
    assert!(!prefix(&view, "a", "b") && !prefix(&view, "b", "a") && !is_on_history(&view, view.get("a")));
}

#[test]
fn two_logs_share_what_both_hold_of_the_history() {
    let view = diverged();
    assert_eq!(shared_up_to(&view, view.get("old"), view.get("new")), Offset(14));
    assert_eq!(shared_up_to(&view, view.get("follower"), view.get("new")), Offset(17));
}

#[test]
fn a_term_above_the_history_is_seen_on_loaded_replicas_only() {
    let view = a_partition().replica("a", |r| r.loaded(5).heard(3));
    assert_eq!(term_above_history(&view).unwrap().1, Term(3));
    let view = a_partition().replica("a", |r| r.loaded(5).heard(1));
    assert!(term_above_history(&view).is_none());
    let unloaded = |r: super::builder::Replica| {
        r.heard(3).with(|r| match &mut r.term_pair {
            openmldb_model::Seen::Known(pair) => pair.has_table = false,
            _ => unreachable!(),
        })
    };
    assert!(term_above_history(&a_partition().replica("a", unloaded)).is_none());
}

/// Both hold more than the leader held when it was chosen without a look at the other: that was written twice.
#[test]
fn what_was_written_beside_an_unseen_replica_is_no_prefix() {
    let prefix = |held: u64, unseen: u64, leader: u64| {
        let mut view = a_partition().replica("a", |r| r.leader().loaded(leader)).replica("b", |r| r.loaded(unseen));
        view.get_mut("b").memory.leader_held = Some(Offset(held));
        let (a, b) = (view.0.replica(&"a".into()).unwrap(), view.0.replica(&"b".into()).unwrap());
        (is_proven_prefix(&view.0, b, a), is_proven_prefix(&view.0, a, b))
    };
    assert_eq!(prefix(11, 12, 21), (false, false));
    assert_eq!(prefix(11, 12, 11), (false, true), "the leader took nothing yet");
    assert_eq!(prefix(11, 11, 21), (true, false), "the other one holds nothing that the leader had not");
}
