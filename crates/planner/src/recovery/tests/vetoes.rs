//! What offsets alone would get wrong: several leaders, one of which never held what the others do.

use super::builder::{Built, Replica, a_partition};
use crate::playbook::{OnConflict, Promote};
use crate::recovery::{Load, Reason, choose, is_proven_prefix};
use openmldb_model::{Directory, Endpoint, Seen, StorageMode};

/// Somebody named a leader that was behind: its term begins behind the longest, and it wrote from where it was.
#[test]
fn who_was_made_leader_while_behind_and_wrote_is_left_to_a_person() {
    let behind = |last_term| {
        a_partition()
            .terms([(1, 0), (9, 19)])
            .replica("old", |r| r.leader().loaded(18).last_term(1))
            .replica("named", |r| r.leader().alive_before().loaded(9).last_term(last_term))
    };
    let blocked = behind(9).nobody();
    assert_eq!(blocked.reason, Reason::WrittenBeside);
    assert!(blocked.text.contains("ends at offset 9 with an entry of term 9, which began at 19"), "{}", blocked.text);
    assert_eq!(behind(1).chooses(), "old", "it wrote nothing in its term, so it holds the beginning of the other one");
    let alone = a_partition().terms([(1, 0), (9, 19)]).replica("named", |r| r.leader().loaded(9).last_term(9));
    assert_eq!(alone.replica("empty", |r| r.loaded(0)).chooses(), "named", "nobody holds anything else");
}

/// The same of a disk table, whose entries do not tell their terms: that its alive leader ends below where its term began does.
#[test]
fn a_disk_tables_leader_that_ends_before_its_term_began_is_left_to_a_person() {
    let named_at = |offset| {
        a_partition()
            .on_disk()
            .terms([(1, 0), (5, 18)])
            .replica("old", |r| r.leader().loaded(17))
            .replica("named", |r| r.leader().alive_before().loaded(offset))
    };
    assert_eq!(named_at(10).nobody().reason, Reason::WrittenBeside);
    assert_eq!(named_at(17).chooses(), "named", "it holds all that there was before its term");
    assert_eq!(named_at(0).chooses(), "old", "it wrote nothing");
}

/// Worlds 40016596 and 40031652: it may also have written just as much as it lacked. Then it ends where the others do, and only rows show it.
#[test]
fn a_log_that_ends_right_before_a_term_is_connected_to_another_only_once_rows_were_looked_at() {
    let unread = |end: u64, build: fn(Built) -> Built| {
        let named = |r: Replica| r.leader().alive_before().loaded(end);
        let b = |r: Replica| r.leader().loaded(17);
        let view = build(a_partition().on_disk().terms([(1, 0), (5, 18)]));
        let choice = view.replica("named", named).replica("b", b).replica("c", |r| r.loaded(16)).choice();
        assert_eq!(choice.leader.as_str(), "named");
        let names = |all: &[Endpoint]| all.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ");
        (names(&choice.proven), names(&choice.unread))
    };
    let (all, none) = ("b c".to_owned(), String::new());
    assert_eq!(unread(17, |view| view), (none.clone(), all.clone()));
    let in_memory = |mut view: Built| {
        view.0.storage = StorageMode::Memory;
        view
    };
    assert_eq!(unread(17, in_memory), (none.clone(), all.clone()), "nor has anybody shown what it ends with");
    assert_eq!(unread(17, |view| view.terms([(1, 0)])), (all, none));
    let told = |r: Replica| r.loaded(17).last_term(1);
    let view = a_partition().terms([(1, 0), (5, 18)]).replica("a", |r| told(r.leader())).replica("b", told);
    assert_eq!(view.choice().proven.len(), 1, "an entry of the first term was written by nobody who was named later");
}

/// Once a leader was chosen, or serves, the last term may be its own: then it says nothing about the one before.
#[test]
fn a_term_that_began_with_the_new_leader_is_not_held_against_the_old_one() {
    let old = |r: Replica| r.leader().alive_before().loaded(27);
    let serving = |r: Replica| r.leader().alive().loaded(28).leads_to([]);
    let view = a_partition().on_disk().terms([(1, 0), (3, 29)]).replica("new", serving).replica("old", old);
    assert_eq!(view.acts(), ["recover_table old (resend)"]);
}

/// The tablet of the old leader was spared, so no snapshot tells the last term of what it holds.
#[test]
fn a_longer_log_of_unknown_end_does_not_lead_over_one_that_was_elected_later() {
    let spared = |newer| {
        a_partition()
            .terms([(1, 0), (9, 1)])
            .replica("spared", |r| r.leader().loaded(18).heard(9))
            .replica("elected", |r| r.leader().alive_before().loaded(9).last_term(newer))
    };
    let blocked = spared(9).nobody();
    assert_eq!(blocked.reason, Reason::LeaderConflict);
    assert_eq!(blocked.loss.len(), 1, "which somebody may accept");
    let by_offset = choose(&spared(9), OnConflict::MaxOffset, Promote::WhenProven).unwrap();
    assert_eq!(by_offset.leader.as_str(), "spared", "a playbook may say so");
}

/// 16 entries on both; the last four of the complete one were given up, those of the other may be the ones written instead.
#[test]
fn an_incomplete_replica_may_hold_what_was_written_instead_of_its_leaders_end() {
    let parted = |end| {
        a_partition()
            .terms([(3, 0), (5, 13)])
            .replica("old", |r| r.leader().loaded(end).rows(end).last_term(3))
            .replica("hollow", |r| r.leader().alive_before().loaded(end).rows(4))
    };
    let blocked = parted(16).nobody();
    assert_eq!(blocked.reason, Reason::SuspectIsLongest);
    assert!(blocked.text.contains("from offset 13 on"), "{}", blocked.text);
    assert_eq!(parted(12).chooses(), "old", "before it parts from the history nobody wrote anything else");
}

/// A disk table loads unseen: one that was told to and has not shown may hold anything.
#[test]
fn an_empty_leader_waits_for_the_other_one_that_may_still_appear() {
    let beside = |load| {
        a_partition()
            .on_disk()
            .terms([(1, 0), (3, 1)])
            .replica("empty", |r| r.leader().loaded(0))
            .replica("unseen", |r| r.leader().load(load))
    };
    let mut gone = beside(Load::Vanished);
    gone.get_mut("unseen").directory = Seen::Known(Directory::Missing);
    assert_eq!(gone.reason(), Reason::EverythingEmpty);
    assert_eq!(beside(Load::NeverAppeared).reason(), Reason::LoadTimeout, "its directory is in place");
    assert_eq!(beside(Load::Interrupted).reason(), Reason::LoadTimeout, "its tablet answers");
}

/// 40 entries on both, and a disk table tells no term of any: the incomplete one was leader too, and alive to the end.
#[test]
fn on_disk_an_incomplete_leader_may_hold_what_was_written_instead() {
    let parted = |suspect_leads: bool| {
        let hollow = |r: Replica| if suspect_leads { r.leader().alive_before() } else { r };
        a_partition()
            .on_disk()
            .terms([(1, 0), (3, 33)])
            .replica("old", |r| r.leader().loaded(40))
            .replica("hollow", |r| hollow(r.loaded(40).rows(38)))
    };
    assert_eq!(parted(true).reason(), Reason::SuspectIsLongest);
    assert!(parted(true).nobody().text.contains("may have been given up"));
    assert_eq!(parted(false).chooses(), "old", "who was never leader wrote nothing instead");
}

/// Whichever of the two serves, RecoverTable would throw away what only the other one holds.
#[test]
fn what_was_written_beside_is_not_discarded_by_either() {
    let serving = |old: fn(Replica) -> Replica, named: fn(Replica) -> Replica| {
        a_partition()
            .terms([(1, 0), (9, 19)])
            .replica("old", |r| old(r.leader().loaded(18).last_term(1)))
            .replica("named", |r| named(r.leader().loaded(9).last_term(9)))
    };
    let leads = |r: Replica| r.alive().leads_to([]);
    for view in [serving(leads, |r| r), serving(|r| r, leads)] {
        assert_eq!(view.blocked().reason, Reason::WrittenBeside);
    }
}

/// As an official log it would be connected, or taken for the beginning of another one.
#[test]
fn what_was_written_beside_is_nobodys_prefix() {
    let view = a_partition()
        .terms([(1, 0), (9, 19)])
        .replica("named", |r| r.loaded(9).last_term(9))
        .replica("other", |r| r.leader().loaded(20).last_term(9));
    assert!(!is_proven_prefix(&view, view.get("named"), view.get("other")));
}

/// Somebody emptied the partition between two elections, so that the later term begins below the earlier one.
#[test]
fn a_log_parts_from_the_history_where_the_first_of_all_later_terms_begins() {
    let view = a_partition()
        .terms([(1, 0), (3, 27), (7, 5)])
        .replica("old", |r| r.leader().loaded(11).last_term(1))
        .replica("elected", |r| r.leader().alive_before().loaded(6).last_term(7));
    let choice = view.choice();
    assert_eq!(choice.leader.as_str(), "elected");
    assert!(!is_proven_prefix(&view, view.get("elected"), view.get("old")));
    let given_up: Vec<_> = choice.given_up.iter().map(|given| (given.endpoint.as_str(), given.entries)).collect();
    assert_eq!(given_up, [("old", 7)]);
}
