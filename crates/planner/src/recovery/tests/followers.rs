//! Bringing followers back: judged before contact, discarded only with proof, done only when caught up.

use super::builder::{Built, Replica, a_partition, recover};
use super::comparing::failed_each_time;
use super::loading::{asks, expired, waits};
use crate::recovery::{Ahead, Decision, Gates, Load, Reason, RowsSeen, WaitFor, decide};
use openmldb_model::{Endpoint, Offset, OpId, OpKind, OpStatus, Role, Seen, TabletState};
use std::time::Duration;

/// A serving leader at offset 20 that replicates to `connected`, and a follower.
pub fn serving<const N: usize>(connected: [(&str, u64); N], follower: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition().replica("a", |r| r.leader().alive().loaded(20).leads_to(connected)).replica("b", follower)
}

/// The same after two leaderships: term 3 began at 15.
fn later<const N: usize>(connected: [(&str, u64); N], follower: impl FnOnce(Replica) -> Replica) -> Built {
    let mut view = serving(connected, follower).terms([(1, 0), (3, 15)]);
    view.get_mut("a").manifest = a_partition().replica("a", |r| r.loaded(20).last_term(3)).get("a").manifest.clone();
    view
}

pub fn tried(r: Replica) -> Replica {
    r.with(|r| r.memory.recovery.tries = 1)
}

// Judge before contact.

#[test]
fn a_replica_that_no_leader_contacted_is_resent_by_recovertable() {
    assert_eq!(serving([], |r| r.loaded(20)).acts(), ["recover_table b (resend)"]);
    assert_eq!(serving([], |r| r.loaded(20).heard(9)).acts(), ["recover_table b (resend)"], "term unknown to history");
}

#[test]
fn a_contacted_unconnected_replica_is_dropped_first() {
    assert_eq!(serving([], |r| r.loaded(20).heard(1)).acts(), ["drop b"], "RecoverTable would accept it as it is");
}

#[test]
fn a_replica_that_leads_in_memory_is_dropped_first() {
    assert_eq!(serving([], |r| r.loaded(20).leads_to([])).acts(), ["drop b"]);
}

#[test]
fn a_connected_leader_flagged_replica_is_disconnected_first() {
    let flagged = |r: Replica| r.leader().loaded(20).heard(1);
    assert_eq!(serving([("b", 20)], flagged).acts(), ["del_replica a b"], "kReAddReplicaSimplifyOP would fail");
    let disconnected = |r: Replica| flagged(r).with(|r| r.memory.recovery.must_drop = true);
    assert_eq!(serving([], disconnected).acts(), ["drop b"]);
}

#[test]
fn a_leader_that_lacks_more_of_its_log_replaces_nobody() {
    let holes = |follower: fn(Replica) -> Replica| {
        let mut view = serving([], follower);
        view.get_mut("a").data = a_partition().replica("a", |r| r.loaded(20).rows(16)).get("a").data.clone();
        view.get_mut("a").data = leading(&view.get("a").data);
        view
    };
    // Not suspect: it lacks 4 rows, and the offsets differ by 8. But those may be rows that the follower holds.
    assert_eq!(holes(|r| r.loaded(12)).blocked().reason, Reason::LeaderLacksRows);
    assert_eq!(holes(|r| r.loaded(12).rows(8)).acts(), ["recover_table b (resend)"], "it lacks as many");
    let mut expiring = holes(|r| r.loaded(12));
    expiring.has_ttl = true;
    assert_eq!(expiring.acts(), ["recover_table b (resend)"], "rows that expired are not missing");
}

#[test]
fn a_dropped_replica_is_waited_for_then_resent() {
    let dropping = |r: Replica| {
        r.loaded(20).heard(1).load(Load::HandedOver).with(|r| {
            (r.memory.recovery.dropping, r.memory.recovery.must_drop) = (true, true);
        })
    };
    let view = serving([], dropping);
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Dropping("b".into()));
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::OpTimeout);
    assert_eq!(serving([], |r| r.load(Load::HandedOver)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_term_that_is_not_known_is_asked_for() {
    let view = serving([], |r| r.loaded(20).with(|r| r.term_pair = Seen::Unasked));
    assert_eq!(asks(&view), ["b TermPair"]);
    let view = serving([], |r| r.loaded(20).with(|r| r.term_pair = Seen::Failed("timeout".to_owned())));
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Answer("b".into()));
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::NotRedundant);
}

#[test]
fn whom_the_leader_replicates_to_is_asked_for() {
    let mut view = serving([], |r| r.loaded(20));
    view.get_mut("a").followers = Seen::Unasked;
    assert_eq!(asks(&view), ["a Followers"]);
    view.get_mut("a").followers = Seen::Failed("timeout".to_owned());
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Answer("a".into()));
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::NotRedundant);
}

#[test]
fn an_operation_that_kept_data_meant_to_be_replaced_is_an_error() {
    let resent = |kind| {
        let follower = |r: Replica| {
            tried(r.alive().loaded(20).heard(1)).with(|r| {
                (r.memory.recovery.resend_meant, r.memory.recovery.after_op) = (true, Some(OpId(5)));
            })
        };
        move |id| serving([("b", 20)], follower).op(id, kind, OpStatus::Done)
    };
    let (earlier, resent) = (resent, |kind| resent(kind)(7));
    assert_eq!(earlier(OpKind::ReAddSimplify)(5).decided(), Decision::Done, "it was there before");
    assert_eq!(resent(OpKind::ReAddWithDrop).decided(), Decision::Done);
    assert_eq!(resent(OpKind::ReAddSimplify).acts(), ["mark b no"]);
    assert_eq!(resent(OpKind::ReAddNoSend).acts(), ["mark b no"]);
    assert_eq!(
        resent(OpKind::ReAdd).decided(),
        Decision::Done,
        "it had nothing of its own, or its leader's snapshot is in its place"
    );
    let mut stayed = resent(OpKind::ReAdd);
    stayed.get_mut("b").memory.recovery.snapshot_may_stay = true;
    assert_eq!(stayed.acts(), ["mark b no"]);
    let mut view = resent(OpKind::ReAddSimplify);
    view.get_mut("b").is_alive = false;
    assert_eq!(view.acts(), ["del_replica a b"]);
}

#[test]
fn another_followers_operation_is_not_taken_for_ones_own() {
    let follower = |r: Replica| {
        tried(r.alive().loaded(20).heard(1)).with(|r| {
            (r.memory.recovery.resend_meant, r.memory.recovery.after_op) = (true, Some(OpId(5)));
        })
    };
    let other = |r: Replica| tried(r.alive().loaded(20).heard(1)).with(|r| r.memory.recovery.after_op = Some(OpId(7)));
    let view = serving([("b", 20), ("c", 20)], follower)
        .replica("c", other)
        .op(7, OpKind::ReAddWithDrop, OpStatus::Done)
        .op(9, OpKind::ReAddSimplify, OpStatus::Done);
    assert_eq!(view.decided(), Decision::Done);
    let older = view.clone().op(4, OpKind::ReAddSimplify, OpStatus::Done);
    assert_eq!(older.decided(), Decision::Done);
}

// RecoverTable after connecting.

#[test]
fn a_connected_follower_is_taken_as_it_is_once_it_heard_the_term_and_caught_up() {
    let follower = |r: Replica| r.loaded(20).heard(3);
    assert_eq!(later([("b", 20)], follower).acts(), ["recover_table b"]);
    let before = later([("b", 20)], |r| r.loaded(20).heard(1));
    assert_eq!(waits(&before).what, WaitFor::CatchUp("b".into()), "RecoverTable would drop it");
    let behind = later([("b", 18)], |r| r.loaded(19).heard(3));
    let wait = waits(&behind);
    assert_eq!((&wait.what, wait.catch_up_to), (&WaitFor::CatchUp("b".into()), Some(Offset(20))));
    assert_eq!(expired(behind, wait.what).blocked().reason, Reason::NotCatchingUp);
}

#[test]
fn a_follower_is_measured_by_where_its_leader_was_when_the_wait_began() {
    let follower = |r: Replica| r.loaded(19).heard(3).with(|r| r.memory.recovery.catch_up_to = Some(Offset(19)));
    assert_eq!(later([("b", 19)], follower).acts(), ["recover_table b"], "writers never stop");
}

#[test]
fn a_follower_that_ends_before_the_last_term_began_is_not_recovered_yet() {
    let follower = |r: Replica| r.loaded(13).heard(3).with(|r| r.memory.recovery.catch_up_to = Some(Offset(13)));
    assert_eq!(waits(&later([("b", 13)], follower)).what, WaitFor::CatchUp("b".into()));
    let follower = |r: Replica| r.loaded(14).heard(3).with(|r| r.memory.recovery.catch_up_to = Some(Offset(14)));
    assert_eq!(later([("b", 14)], follower).acts(), ["recover_table b"]);
}

#[test]
fn a_connected_follower_with_fewer_rows_is_resent_instead() {
    let view = serving([("b", 20)], |r| r.loaded(20).rows(15).heard(1)).ttl();
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Rows("b".into()));
    assert_eq!(expired(view, wait.what).acts(), ["del_replica a b"]);
}

#[test]
fn a_connected_follower_with_more_rows_than_its_leader_is_left_alone() {
    let mut view = serving([("b", 20)], |r| r.loaded(20).heard(1));
    let leader = a_partition().replica("a", |r| r.loaded(20).rows(17).with(|r| r.data = leading(&r.data)));
    view.get_mut("a").data = leader.get("a").data.clone();
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Rows("b".into()), "while clients write, a moment shows nothing");
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::LeaderLacksRows, "an operation may drop it");
}

#[test]
fn recovertable_that_fails_is_tried_again_but_not_for_ever() {
    let at = |tries| serving([], move |r| r.loaded(20).with(|r| r.memory.recovery.tries = tries));
    let waits_at = |tries| waits(&at(tries));
    assert_eq!(waits_at(1).what, WaitFor::Begun("b".into()), "the nameserver that answered may lead no more");
    assert!(waits_at(4).timeout > waits_at(1).timeout);
    assert_eq!(expired(at(4), WaitFor::Begun("b".into())).acts(), ["recover_table b (resend)"]);
    let failed = at(4).op(8, OpKind::ReAddWithDrop, OpStatus::Failed);
    assert_eq!(failed.acts(), ["recover_table b (resend)"], "an operation has shown");
    let view = at(5).op(8, OpKind::ReAddWithDrop, OpStatus::Failed);
    assert_eq!(view.blocked().reason, Reason::OpFailed);
    assert!(view.blocked().text.contains("operation 8 (kReAddReplicaWithDropOP) failed"));
}

// RecoverTable and DropTable destroy.

/// Two server names with one address: the process that holds the leader is the one that would drop it.
#[test]
fn nothing_is_dropped_where_leader_and_follower_have_one_address() {
    let at = |address: &'static str| move |r: &mut crate::recovery::ReplicaView| r.address = Some(address.to_owned());
    let shared = |follower: fn(Replica) -> Replica| {
        let mut view = serving([], |r| follower(r).with(at("10.0.0.2:1")));
        at("10.0.0.2:1")(view.get_mut("a"));
        view
    };
    let blocked = shared(|r| r.loaded(20).leads_to([])).blocked();
    assert_eq!((blocked.reason, blocked.loss), (Reason::OutOfReach, Vec::new()));
    assert!(blocked.text.contains("have the same address 10.0.0.2:1"), "{}", blocked.text);
    assert_eq!(shared(|r| r.loaded(20).heard(1)).blocked().reason, Reason::OutOfReach);
    // An address of its own each, as names or not.
    let mut apart = serving([], |r| r.loaded(20).heard(1).with(at("10.0.0.3:1")));
    at("10.0.0.2:1")(apart.get_mut("a"));
    assert_eq!(apart.acts(), ["drop b"]);
    // One goes by its address, and the other's name stands for it.
    let mixed = serving([], |r| r.loaded(20).heard(1).with(at("a")));
    assert_eq!(mixed.blocked().reason, Reason::OutOfReach);
}

#[test]
fn a_longer_replica_is_not_discarded() {
    for follower in
        [|r: Replica| r.loaded(21), |r: Replica| r.loaded(21).heard(1), |r: Replica| r.loaded(19).manifest(21, 1)]
    {
        assert_eq!(serving([], follower).blocked().reason, Reason::LongerThanLeader);
    }
    assert_eq!(serving([], |r| r.loaded(20)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn what_was_known_of_a_loaded_replica_is_settled_by_what_it_holds() {
    assert_eq!(serving([], |r| r.loaded(19).known_at(25)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_replica_without_data_is_resent_if_the_leader_has_all_it_was_known_to_hold() {
    assert_eq!(serving([], |r| r.refused().known_at(20)).acts(), ["recover_table b (resend)"]);
    assert_eq!(serving([], |r| r.refused().known_at(21)).blocked().reason, Reason::LongerThanLeader);
    assert_eq!(serving([], |r| r.refused().manifest(21, 1)).blocked().reason, Reason::LongerThanLeader);
}

#[test]
fn a_leader_that_is_not_complete_discards_nothing() {
    let mut view = serving([], |r| r.loaded(20));
    view.get_mut("a").memory.snapshot_file_missing = true;
    assert_eq!(view.blocked().reason, Reason::LeaderLacksRows);
}

#[test]
fn a_tail_given_up_by_the_choice_is_discarded() {
    let old = |r: Replica| r.leader().loaded(25);
    let mut view = later([], old).on_disk();
    assert_eq!(view.blocked().reason, Reason::LongerThanLeader);
    view.get_mut("a").memory.alive_before = true;
    let mut choice = view.choice();
    assert_eq!(choice.leader.as_str(), "b", "on disk the larger offset leads");
    (choice.leader, choice.offset) = ("a".into(), Some(Offset(20)));
    choice.given_up = vec![crate::recovery::GivenUp {
        endpoint: "b".into(),
        entries: 5,
        at_most: true,
        term: None,
        directory: String::new(),
    }];
    view.memory.choice = Some(choice.clone().into());
    assert_eq!(view.acts(), ["recover_table b (resend)"]);
    choice.offset = Some(Offset(21));
    view.memory.choice = Some(choice.clone().into());
    assert_eq!(view.blocked().reason, Reason::LongerThanLeader, "that leader had more than this one has");
    (choice.leader, choice.offset) = ("c".into(), Some(Offset(20)));
    view.memory.choice = Some(choice.into());
    assert_eq!(view.blocked().reason, Reason::LongerThanLeader, "given up for another leader");
}

#[test]
fn a_tail_that_parted_from_the_history_is_discarded_by_a_later_run_too() {
    assert_eq!(later([], |r| r.leader().loaded(25).last_term(1)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_longer_log_is_not_given_up_unless_it_parted_from_the_history_and_is_an_old_leaders() {
    let official = later([], |r| r.leader().loaded(25).last_term(3));
    let unknown = later([], |r| r.leader().loaded(25));
    let follower = later([], |r| r.loaded(25).last_term(1));
    let unloaded = later([], |r| r.leader().refused().manifest(25, 3));
    let mut not_elected_last = later([], |r| r.leader().loaded(25).last_term(1));
    not_elected_last.get_mut("a").manifest = Seen::Unasked;
    for view in [official, unknown, follower, unloaded, not_elected_last] {
        assert_eq!(view.blocked().reason, Reason::LongerThanLeader);
    }
}

// Once a leader serves.

#[test]
fn nobody_is_promoted_once_a_leader_serves() {
    assert_eq!(serving([], |r| r.loaded(30)).blocked().reason, Reason::LongerThanLeader);
}

#[test]
fn an_unconnected_replica_is_resent_whatever_its_flags() {
    assert_eq!(serving([], |r| r.alive().loaded(20)).acts(), ["mark b no"], "RecoverTable refuses an alive one (311)");
    assert_eq!(serving([], |r| r.leader().loaded(20)).acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_flag_that_is_wrong_and_stays_blocks() {
    let view = serving([], |r| r.alive().loaded(20).with(|r| r.memory.flag_stuck = true));
    assert_eq!(view.blocked().reason, Reason::NotRedundant);
}

#[test]
fn a_replica_out_of_reach_leaves_its_partition_serving_and_not_redundant() {
    assert_eq!(serving([], Replica::out_of_reach).blocked().reason, Reason::NotRedundant);
}

#[test]
fn a_tablet_that_the_nameserver_takes_for_offline_is_named() {
    let offline = |r: Replica| r.loaded(20).with(|r| r.tablet_state = Some(TabletState::Offline));
    let view = serving([], offline);
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Registered("b".into()), "it may have been started a moment ago");
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::TabletOffline);
}

/// Seen on real servers: a tablet that had been stopped for a while led, and five calls in half a second were answered with 0.
#[test]
fn nothing_is_recovered_while_the_leaders_tablet_is_taken_for_offline() {
    let mut view = serving([], |r| r.loaded(20));
    view.get_mut("a").tablet_state = Some(TabletState::Offline);
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Registered("a".into()));
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::TabletOffline);
}

#[test]
fn a_partition_without_a_blocked_follower_is_worked_on_first() {
    let view = serving([], Replica::out_of_reach).replica("c", |r| r.loaded(20));
    assert_eq!(view.acts(), ["recover_table c (resend)"]);
    let waiting = serving([], Replica::out_of_reach).replica("c", Replica::queued);
    assert_eq!(waits(&waiting).what, WaitFor::Loading);
}

#[test]
fn redundancy_waits_until_every_partition_serves() {
    let gates = Gates { may_recover_followers: false, ..Gates::OPEN };
    let Decision::Wait(wait) = decide(&serving([], |r| r.loaded(20)), &recover(), gates) else { panic!() };
    assert_eq!(wait.what, WaitFor::Turn(Ahead::Leaders));
}

#[test]
fn one_replica_of_a_partition_is_recovered_at_a_time() {
    let view = serving([], |r| r.loaded(20)).replica("c", |r| r.loaded(20));
    assert_eq!(view.acts(), ["recover_table b (resend)"]);
    let view = view.op(5, OpKind::RecoverTable, OpStatus::Queued);
    let wait = waits(&view);
    assert_eq!(wait.what, WaitFor::Ops);
    assert_eq!(expired(view, wait.what).blocked().reason, Reason::OpTimeout);
}

#[test]
fn a_loading_follower_is_waited_for() {
    let view = serving([], Replica::queued);
    assert_eq!(waits(&view).what, WaitFor::Loading);
    let blocked = expired(view, WaitFor::Loading).blocked();
    assert_eq!(blocked.reason, Reason::LoadTimeout);
    assert!(blocked.hint.contains("move 7_0 out of its db_root_path"), "{}", blocked.hint);
}

#[test]
fn a_follower_that_may_still_appear_is_waited_for_and_never_resent() {
    for load in [Load::Accepted, Load::Interrupted] {
        let view = serving([], |r| r.load(load.clone())).on_disk();
        assert_eq!(waits(&view).what, WaitFor::Appearing("b".into()));
        let view = expired(view, WaitFor::Appearing("b".into()));
        assert_eq!(view.blocked().reason, Reason::LoadTimeout, "it may hold more than the leader");
    }
}

#[test]
fn a_connected_flagged_replica_without_data_is_disconnected_first() {
    assert_eq!(serving([("b", 0)], |r| r.leader().refused()).acts(), ["del_replica a b"]);
    assert_eq!(serving([("b", 0)], Replica::refused).acts(), ["recover_table b (resend)"]);
}

// After catching up.

#[test]
fn a_recovered_follower_is_done_when_it_caught_up() {
    assert_eq!(serving([("b", 20)], |r| tried(r.alive().loaded(20).heard(1))).decided(), Decision::Done);
    let view = serving([("b", 12)], |r| tried(r.alive().loaded(12).heard(1)));
    assert_eq!(waits(&view).what, WaitFor::CatchUp("b".into()), "alive says nothing about offsets");
}

#[test]
fn a_partition_whose_leader_was_chosen_in_this_run_is_done_when_all_caught_up() {
    let mut view = serving([("b", 12)], |r| r.alive().loaded(12).heard(1));
    assert_eq!(view.decided(), Decision::Done, "healthy, and not worked on");
    let choice = a_partition().replica("a", |r| r.leader().loaded(20)).choice();
    view.memory.choice = Some(choice.into());
    assert_eq!(waits(&view).what, WaitFor::CatchUp("b".into()));
}

/// Recovered, caught up, and different from its leader in rows.
pub fn different(follower: u64, leader: u64) -> Built {
    let mut view = serving([("b", 20)], |r| tried(r.alive().loaded(20).rows(follower).heard(1))).ttl();
    view.get_mut("a").data = a_partition()
        .replica("a", |r| r.loaded(20).rows(leader).with(|r| r.data = leading(&r.data)))
        .get("a")
        .data
        .clone();
    view
}

fn leading(data: &crate::recovery::Data) -> crate::recovery::Data {
    let crate::recovery::Data::Loaded(loaded) = data else { panic!() };
    crate::recovery::Data::Loaded(crate::recovery::Loaded { role: Role::Leader, ..*loaded })
}

#[test]
fn a_follower_with_fewer_rows_is_resent_once() {
    assert_eq!(different(18, 20).decided(), Decision::Done, "with TTL a tenth may be missing");
    let view = different(17, 20);
    assert_eq!(waits(&view).what, WaitFor::Rows("b".into()), "while clients write, a moment shows nothing");
    let mut view = expired(view, WaitFor::Rows("b".into()));
    assert_eq!(view.acts(), ["mark b no"]);
    view.get_mut("b").memory.recovery.resent_for_rows = true;
    assert_eq!(view.blocked().reason, Reason::NotCatchingUp);
}

/// Seen on real servers: clients put and deleted, so the two numbers were never the same for five seconds; a partition that had come
/// back was waited for for four and a half minutes, and might have been for an hour.
#[test]
fn counts_that_differ_and_never_stand_still_are_no_reason_to_wait_for_long() {
    let view = different(17, 20);
    assert_eq!(waits(&view).timeout, Duration::from_secs(60), "then the rows are compared");
    let too_many = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    for in_vain in [too_many, failed_each_time()] {
        let mut view = different(17, 20);
        view.memory.rows = Some(in_vain);
        assert!(waits(&view).timeout > Duration::from_secs(600), "counts alone would decide");
    }
}

#[test]
fn without_ttl_no_row_may_be_missing() {
    let mut view = different(19, 20);
    view.has_ttl = false;
    assert_eq!(waits(&view).what, WaitFor::Rows("b".into()));
}

#[test]
fn a_leader_with_fewer_rows_blocks() {
    let view = different(20, 17);
    assert_eq!(waits(&view).what, WaitFor::Rows("b".into()));
    assert_eq!(expired(view, WaitFor::Rows("b".into())).blocked().reason, Reason::LeaderLacksRows);
}

#[test]
fn rows_are_compared_at_the_same_offset_only() {
    let mut view = different(17, 20);
    view.get_mut("b").data = a_partition().replica("b", |r| r.loaded(19).rows(17)).get("b").data.clone();
    view.get_mut("b").memory.recovery.catch_up_to = Some(Offset(19));
    assert_eq!(view.decided(), Decision::Done);
}

#[test]
fn while_clients_write_what_is_missing_from_the_logs_is_compared() {
    let behind = |rows| {
        let mut view = different(rows, 20);
        view.has_ttl = false;
        view.get_mut("b").data = a_partition().replica("b", |r| r.loaded(19).rows(rows)).get("b").data.clone();
        view.get_mut("b").memory.recovery.catch_up_to = Some(Offset(19));
        view
    };
    assert_eq!(behind(19).decided(), Decision::Done);
    let wait = waits(&behind(16));
    assert_eq!((wait.what, wait.seen.as_str()), (WaitFor::Rows("b".into()), "3 entries without a row, its leader 0"));
    assert_eq!(expired(behind(16), WaitFor::Rows("b".into())).acts(), ["mark b no"]);
}
