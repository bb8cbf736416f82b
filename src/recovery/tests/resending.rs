//! What has to be known of a replica before RecoverTable is sent for it: what its directory holds may be all there is.

use super::builder::Replica;
use super::followers::serving;
use super::loading::asks;
use crate::model::Seen;
use crate::recovery::{Load, Reason};

#[test]
fn what_a_leader_wrote_last_is_not_moved_away_where_loading_left_it_in_place() {
    let never_appeared = |r: Replica| r.leader().known_at(20).load(Load::NeverAppeared);
    assert_eq!(serving([], never_appeared).acts(), ["recover_table b (resend)"], "all that is known of it is there");
    let led = |r: Replica| never_appeared(r).with(|r| r.memory.led = true);
    let blocked = serving([], led).blocked();
    assert_eq!(blocked.reason, Reason::OutOfReach);
    assert!(blocked.loss[0].directory.is_some(), "{blocked:?}");
    let mut accepted = serving([], led);
    accepted.memory.accepted = blocked.loss;
    assert_eq!(accepted.acts(), ["recover_table b (resend)"]);
}

/// Its tablet was restarted before the operation came to drop it: its snapshot would be taken for the leader's beginning.
#[test]
fn a_replica_that_was_to_be_resent_and_kept_its_directory_is_loaded_and_looked_at_first() {
    let left_over = |r: Replica| r.load(Load::HandedOver).manifest(3, 1);
    assert_eq!(serving([], left_over).acts(), ["load b"]);
    let mut sent = serving([], left_over);
    sent.get_mut("a").manifest = sent.get("b").manifest.clone();
    assert_eq!(sent.acts(), ["recover_table b (resend)"], "its leader's snapshot was sent to it");
    assert_eq!(serving([], |r| r.load(Load::HandedOver)).acts(), ["recover_table b (resend)"], "nothing is left");
    let mut unasked = serving([], |r| r.load(Load::HandedOver));
    unasked.get_mut("b").manifest = Seen::Unasked;
    assert_eq!(asks(&unasked), ["b Manifest"]);
}
