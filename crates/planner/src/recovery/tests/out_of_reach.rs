//! A replica that does not answer blocks its partition in the stated cases, and in no other.

use super::builder::{Built, Replica, a_partition};
use crate::recovery::{Load, Reason};
use openmldb_model::TabletState;

/// A leader and a follower at offset 20, and a third replica out of reach.
fn third(build: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition()
        .replica("a", |r| r.leader().alive_before().loaded(20))
        .replica("b", |r| r.loaded(20))
        .replica("c", |r| build(r.out_of_reach()))
}

fn blocks(view: &Built, why: &str) {
    blocks_for(Reason::OutOfReach, view, why);
}

fn blocks_for(reason: Reason, view: &Built, why: &str) {
    let blocked = view.nobody();
    assert_eq!(blocked.reason, reason);
    assert!(blocked.text.contains(why), "{}", blocked.text);
}

#[test]
fn a_follower_out_of_reach_does_not_block() {
    assert_eq!(third(|r| r).chooses(), "a");
    assert_eq!(third(|r| r.known_at(20)).chooses(), "a", "it is known to hold no more than the leader");
}

#[test]
fn a_replica_that_was_known_at_a_larger_offset_blocks() {
    blocks(&third(|r| r.known_at(21)), "c does not answer (connection refused), and it was known at offset 21");
    blocks(&third(|r| r.manifest(21, 1)), "it was known at offset 21");
}

#[test]
fn the_leader_out_of_reach_blocks() {
    let view = a_partition().replica("a", |r| r.leader().alive_before().out_of_reach()).replica("b", |r| r.loaded(20));
    blocks(&view, "it may be the leader elected last");
}

#[test]
fn a_leader_flag_out_of_reach_that_an_election_outlived_does_not_block() {
    let view = third(|r| r.leader());
    assert_eq!(view.chooses(), "a", "a was alive before and c was not");
    blocks(&third(|r| r.leader().alive_before()), "elected last");
    let mut view = third(|r| r.leader());
    view.get_mut("a").memory.alive_before = false;
    blocks(&view, "elected last");
}

#[test]
fn a_leader_flag_out_of_reach_does_not_block_a_leader_of_the_last_term() {
    let with_last_term = |term| {
        a_partition()
            .terms([(1, 0), (3, 15)])
            .replica("a", |r| r.leader().loaded(20).last_term(term))
            .replica("c", |r| r.leader().out_of_reach())
    };
    assert_eq!(with_last_term(3).chooses(), "a");
    blocks(&with_last_term(1), "elected last");
}

#[test]
fn a_follower_of_the_last_term_does_not_stand_in_for_its_leader() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("a", |r| r.loaded(20).last_term(3))
        .replica("c", |r| r.leader().out_of_reach());
    blocks(&view, "it may be the leader elected last");
}

#[test]
fn a_leader_that_lost_something_is_not_chosen_while_a_replica_is_out_of_reach() {
    let mut view = third(|r| r);
    view.get_mut("a").memory.largest_offset = openmldb_model::Offset(25);
    blocks(&view, "a was known at offset 25 and came back at 20");
    let below_manifest = a_partition().replica("a", |r| r.leader().loaded(20).manifest(25, 1));
    blocks(&below_manifest.replica("c", |r| r.out_of_reach()), "came back at 20");
}

#[test]
fn an_old_leader_does_not_lead_while_a_later_one_lost_its_data_and_a_replica_is_out_of_reach() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("old", |r| r.leader().loaded(14).last_term(1))
        .replica("new", |r| r.leader().alive_before().loaded(0));
    assert_eq!(view.chooses(), "old", "nobody holds more");
    blocks(&view.replica("c", |r| r.out_of_reach()), "the leader new lost its data");
}

#[test]
fn a_leader_that_lost_something_says_so() {
    let view = a_partition().replica("a", |r| r.leader().loaded(20).known_at(25));
    assert!(view.choice().why.ends_with("a was known at offset 25 and came back at 20"));
}

#[test]
fn nobody_is_promoted_while_a_replica_is_out_of_reach() {
    let longer = a_partition().replica("a", |r| r.leader().loaded(20)).replica("b", |r| r.loaded(21));
    let lost = a_partition().replica("a", |r| r.leader().refused()).replica("b", |r| r.loaded(21));
    let suspect = a_partition().replica("a", |r| r.leader().loaded(20).rows(5)).replica("b", |r| r.loaded(20));
    for view in [longer, lost, suspect] {
        assert_eq!(view.chooses(), "b");
        blocks(&view.replica("c", |r| r.out_of_reach()), "no leader-flagged replica came back complete");
    }
}

#[test]
fn a_longer_old_leader_is_no_sign_of_loss() {
    let view = a_partition()
        .terms([(1, 0), (3, 15)])
        .replica("old", |r| r.leader().loaded(21).last_term(1))
        .replica("new", |r| r.leader().alive_before().loaded(17).last_term(3))
        .replica("c", |r| r.out_of_reach());
    assert_eq!(view.chooses(), "new", "its tail was given up at the failover");
}

/// Its tablet answers, so nobody is sent to start it.
#[test]
fn what_is_not_loaded_and_not_known_to_have_nothing_blocks_for_its_load() {
    let with = |build: fn(Replica) -> Replica| {
        a_partition().replica("a", |r| r.leader().loaded(20)).replica("c", |r| build(r.known_at(21)))
    };
    let load = Reason::LoadTimeout;
    blocks_for(load, &with(Replica::queued), "c did not finish loading");
    blocks_for(load, &with(|r| r.load(Load::Interrupted)), "c was not loaded");
    blocks_for(load, &with(|r| r.load(Load::NotSent)), "c was not loaded");
    assert!(with(Replica::queued).nobody().hint.contains("why the load does not end: where that repeats"));
    assert_eq!(with(Replica::refused).chooses(), "a", "nothing is in place there");
    assert_eq!(with(|r| r.load(Load::HandedOver)).chooses(), "a", "it was dropped to be resent");
}

#[test]
fn the_cure_depends_on_what_the_nameserver_thinks_of_the_tablet() {
    let hint = |state| third(|r| r.known_at(21).with(|r| r.tablet_state = state)).nobody().hint;
    assert!(hint(Some(TabletState::Healthy)).starts_with("see why the tablet"));
    assert!(hint(Some(TabletState::Offline)).starts_with("start that tablet"));
}
