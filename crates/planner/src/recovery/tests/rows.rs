//! Rows decide, not counts: where counts differ and a decision rests on them, the rows are compared first.

use std::collections::BTreeMap;

use super::builder::{Built, Replica, a_partition, recover, said};
use super::followers::{different, serving as led_by_a};
use super::loading::expired;
use crate::playbook::{Playbook, built_in};
use crate::recovery::{
    Choice, Data, Decision, Gates, Intent, Lack, Outcome, Read, Reason, RowsSeen, Suspicion, WaitFor, decide, suspicion,
};
use openmldb_model::{Action, Endpoint, Offset, Term};

pub fn read(at: &str, end: u64, hidden: u64) -> (Endpoint, Read) {
    (at.into(), Read { asked: Offset(end), to: Offset(end), hidden })
}

/// What replicas of these names, offsets and lacks were seen to hold: `("b", "a", 3)` is three rows of `a` that `b` lacks.
pub fn seen(ends: &[(&str, u64)], lacking: &[(&str, &str, u64)]) -> RowsSeen {
    let ends = ends.iter().map(|(at, end)| read(at, *end, 0));
    let lacking = lacking.iter().map(|(x, y, rows)| {
        ((Endpoint::from(*x), Endpoint::from(*y)), Lack { rows: *rows, keys: *rows, ..Lack::default() })
    });
    RowsSeen::compared(ends.collect(), lacking.collect())
}

pub fn after(mut view: Built, rows: RowsSeen) -> Built {
    view.0.memory.rows = Some(rows);
    view
}

pub fn decided(view: &Built) -> Decision {
    decide(view, &recover(), Gates::OPEN)
}

pub fn compares(view: &Built) -> Vec<String> {
    match decided(view) {
        Decision::Compare { replicas, .. } => replicas.iter().map(ToString::to_string).collect(),
        other => panic!("nothing is compared: {other:?}"),
    }
}

pub fn blocked(view: &Built) -> (Reason, String) {
    match decided(view) {
        Decision::Blocked(blocked) => (blocked.reason, blocked.text),
        other => panic!("not blocked: {other:?}"),
    }
}

/// 800 rows were put, 400 of them deleted, three put; the leader loaded a snapshot, which leaves deleted rows out, the follower
/// its log (docs/openmldb/experiments.md#row-counts-after-a-delete).
fn after_a_delete() -> Built {
    let a = |r: Replica| r.leader().loaded(1203).rows(403).last_term(1);
    a_partition().replica("a", a).replica("b", |r| r.loaded(1200).rows(800).last_term(1))
}

#[test]
fn a_leader_whose_snapshot_left_deleted_rows_out_leads_once_the_rows_were_compared() {
    let view = after_a_delete();
    assert_eq!(view.reason(), Reason::SuspectIsLongest, "by counts nobody can lead");
    assert_eq!(compares(&view), ["a", "b"]);
    let view = after(view, seen(&[("a", 1203), ("b", 1200)], &[("b", "a", 3)]));
    assert_eq!(view.chooses(), "a");
    assert_eq!(view.choice().proven, [Endpoint::from("b")], "and takes the follower as it is");
    assert!(matches!(decided(&view), Decision::Choose(_)));
}

#[test]
fn one_that_lacks_rows_stays_suspect_and_it_is_said_which() {
    let view = after(after_a_delete(), seen(&[("a", 1203), ("b", 1200)], &[("a", "b", 20)]));
    let (reason, text) = blocked(&view);
    assert_eq!(reason, Reason::SuspectIsLongest);
    assert!(text.ends_with("; the rows of a, b differ: a lacks 20 rows of b"), "{text}");
    let same_end = a_partition()
        .replica("a", |r| r.leader().loaded(1200).rows(403).last_term(1))
        .replica("b", |r| r.loaded(1200).rows(800).last_term(1));
    let view = after(same_end, seen(&[("a", 1200), ("b", 1200)], &[("a", "b", 20)]));
    let lacks = Suspicion::LacksRows { rows: 20, than: Endpoint::from("b") };
    assert_eq!((suspicion(&view, view.get("a")), suspicion(&view, view.get("b"))), (Some(lacks), None));
    assert_eq!(view.chooses(), "b", "the leader flag moves to the one that holds them");
}

#[test]
fn what_cannot_be_compared_is_decided_by_counts_and_that_is_said() {
    let rows = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "b does not answer");
    let (reason, text) = blocked(&after(after_a_delete(), rows));
    assert_eq!(reason, Reason::SuspectIsLongest);
    assert!(text.ends_with("; the rows of a, b could not be compared: b does not answer"), "{text}");
}

/// The other way round: the follower loaded the snapshot.
fn with_a_poorer_follower() -> Built {
    let a = |r: Replica| r.leader().loaded(1203).rows(800).last_term(1);
    a_partition().replica("a", a).replica("b", |r| r.loaded(1200).rows(400).last_term(1))
}

#[test]
fn who_leads_is_not_kept_waiting_for_what_is_about_a_follower_only() {
    let view = with_a_poorer_follower();
    let Decision::Choose(choice) = decided(&view) else { panic!("{:?}", decided(&view)) };
    assert_eq!((choice.leader, choice.proven, choice.doubted), ("a".into(), Vec::new(), vec!["b".into()]));
}

/// The leader serves, without the follower.
fn serving(offset: u64, rows: u64) -> Built {
    let choice = with_a_poorer_follower().choice();
    let a = |r: Replica| r.leader().alive().loaded(offset).rows(rows).leads_to([]);
    let mut view = a_partition().replica("a", a).replica("b", |r| r.loaded(1200).rows(400).last_term(1));
    view.0.memory.choice = Some(choice.into());
    view
}

#[test]
fn a_follower_is_resent_only_if_it_lacks_rows() {
    let view = serving(1203, 800);
    assert_eq!(compares(&view), ["a", "b"]);
    let ends = [("a", 1203), ("b", 1200)];
    assert_eq!(after(view.clone(), seen(&ends, &[("b", "a", 3)])).acts(), ["add_replica a b"]);
    assert_eq!(after(view, seen(&ends, &[("b", "a", 4)])).acts(), ["recover_table b (resend)"]);
}

/// Three replicas of a table whose rows expire, at the same offset: up to a tenth fewer rows may be those that expired.
fn expiring(leader: u64, follower: u64) -> Built {
    let held = |rows| move |r: Replica| r.loaded(67).rows(rows).last_term(1);
    let a = |r: Replica| held(leader)(r).leader();
    a_partition().replica("a", a).replica("b", held(67)).replica("c", held(follower)).ttl()
}

/// Found by the hunt (world 708): a leader whose log had a hole led without six rows that every follower held.
#[test]
fn where_rows_expire_a_leader_with_fewer_is_compared_before_it_leads() {
    let view = expiring(61, 67);
    assert_eq!(compares(&view), ["a", "b", "c"]);
    let ends = [("a", 67), ("b", 67), ("c", 67)];
    assert_eq!(after(view.clone(), seen(&ends, &[])).chooses(), "a", "they had expired");
    let with_a_hole = after(view.clone(), seen(&ends, &[("a", "b", 6), ("a", "c", 6)]));
    assert_eq!(with_a_hole.chooses(), "b");
    assert!(matches!(decided(&with_a_hole), Decision::Choose(_)));
    let unknown = after(view, RowsSeen::unknown(["a", "b", "c"].map(Endpoint::from), "too many rows"));
    assert_eq!(unknown.chooses(), "a", "what cannot be compared is believed up to a tenth");
    assert!(matches!(decided(&unknown), Decision::Choose(_)));
}

/// Found by the hunt (world 5010217): the leader is ahead by more entries than its log lacks.
#[test]
fn where_rows_expire_a_leader_that_may_lack_some_is_compared_before_a_follower_is_connected() {
    let led = a_partition().replica("a", |r| r.leader().alive().loaded(41).rows(38).leads_to([]));
    let choice =
        a_partition().replica("a", |r| r.leader().loaded(41).rows(38)).replica("b", |r| r.loaded(35)).ttl().choice();
    let mut view = led.replica("b", |r| r.loaded(35)).ttl();
    view.0.memory.choice = Some(choice.into());
    assert_eq!(compares(&view), ["a", "b"]);
    let ends = [("a", 41), ("b", 35)];
    let lacking = |rows| after(view.clone(), seen(&ends, &[("a", "b", rows), ("b", "a", 6)]));
    assert_eq!(lacking(0).acts(), ["add_replica a b"]);
    assert_eq!(blocked(&lacking(3)).0, Reason::LeaderLacksRows);
}

/// Found by the hunt (world 2561): a follower whose log had a hole was connected as one that holds the same.
#[test]
fn where_rows_expire_a_follower_with_fewer_is_compared_before_it_is_connected() {
    let view = expiring(67, 62);
    assert!(matches!(decided(&view), Decision::Choose(_)), "who leads is not kept waiting");
    let choice = view.choice();
    let c = |r: Replica| r.loaded(67).rows(62).last_term(1);
    let led = a_partition().replica("a", |r| r.leader().alive().loaded(67).last_term(1).leads_to([("b", 67)]));
    let mut view = led.replica("b", |r| r.alive().loaded(67).last_term(1)).replica("c", c).ttl();
    view.0.memory.choice = Some(choice.into());
    assert_eq!(compares(&view), ["a", "b", "c"]);
    let ends = [("a", 67), ("b", 67), ("c", 67)];
    assert_eq!(after(view.clone(), seen(&ends, &[])).acts(), ["add_replica a c"]);
    assert_eq!(after(view, seen(&ends, &[("c", "a", 5), ("c", "b", 5)])).acts(), ["recover_table c (resend)"]);
}

/// Its tablet was restarted, and nobody had to choose a leader.
#[test]
fn under_a_leader_that_served_all_along_a_follower_that_holds_the_same_is_connected() {
    let view = |end| led_by_a([], move |r| r.loaded(end));
    let same = |view: Built, end| after(view, seen(&[("a", 20), ("b", end)], &[]));
    assert_eq!(compares(&view(20)), ["a", "b"]);
    assert_eq!(same(view(20), 20).acts(), ["add_replica a b"]);
    assert_eq!(same(view(19), 19).acts(), ["recover_table b (resend)"], "it may end in entries of its own");
    let lacking = after(view(20), seen(&[("a", 20), ("b", 20)], &[("b", "a", 1)]));
    assert_eq!(lacking.acts(), ["recover_table b (resend)"]);
    let meant_to_go = led_by_a([], |r| r.loaded(20).with(|r| r.memory.recovery.must_drop = true));
    assert_eq!(same(meant_to_go, 20).acts(), ["drop b"]);
    let connects_nobody = built_in("recover").unwrap().replace("connect: proven_prefixes", "connect: nobody");
    let playbook = Playbook::parse("connects_nobody", &connects_nobody).unwrap();
    let Decision::Act(intents) = decide(&same(view(20), 20), &playbook, Gates::OPEN) else { panic!() };
    assert_eq!(intents.iter().map(said).collect::<Vec<_>>(), ["recover_table b (resend)"]);
}

#[test]
fn what_its_leader_has_taken_since_is_not_what_a_follower_lacks() {
    let view = serving(1303, 900);
    let ends = [("a", 1303), ("b", 1200)];
    let decided = |lacking| after(view.clone(), seen(&ends, &[("b", "a", lacking)])).acts();
    assert_eq!(decided(103), ["add_replica a b"], "a row for each entry");
    assert_eq!(decided(60), ["add_replica a b"], "it was read while clients wrote");
    assert_eq!(decided(104), ["recover_table b (resend)"]);
}

#[test]
fn a_caught_up_follower_is_neither_resent_nor_left_alone_for_its_row_count() {
    let settled = |view| expired(view, WaitFor::Rows("b".into()));
    for (follower, leader) in [(17, 20), (20, 17)] {
        let view = settled(different(follower, leader));
        assert_eq!(compares(&view), ["a", "b"]);
        let rows = |lacking: &[_]| seen(&[("a", 20), ("b", 20)], lacking);
        assert_eq!(decided(&after(view.clone(), rows(&[]))), Decision::Done);
        match follower < leader {
            true => assert_eq!(after(view, rows(&[("b", "a", 3)])).acts(), ["mark b no"]),
            false => assert_eq!(blocked(&after(view, rows(&[("a", "b", 3)]))).0, Reason::LeaderLacksRows),
        }
    }
}

#[test]
fn what_is_the_same_row_by_row_may_be_replaced_whatever_the_counts_and_offsets_say() {
    let ends = [("a", 20), ("b", 25)];
    let longer = led_by_a([], |r| r.loaded(25));
    assert_eq!(compares(&longer), ["a", "b"]);
    assert_eq!(after(longer.clone(), seen(&ends, &[])).acts(), ["recover_table b (resend)"]);
    for lacking in [("a", "b", 1), ("b", "a", 1)] {
        let view = after(longer.clone(), seen(&ends, &[lacking]));
        assert_eq!(blocked(&view).0, Reason::LongerThanLeader, "{lacking:?}: what it holds beyond may be a delete");
    }
    let mut fuller = led_by_a([], |r| r.loaded(12));
    let Data::Loaded(leader) = &mut fuller.get_mut("a").data else { panic!("a is loaded") };
    leader.rows = 10;
    assert_eq!(compares(&fuller), ["a", "b"]);
    let ends = [("a", 20), ("b", 12)];
    assert_eq!(after(fuller.clone(), seen(&ends, &[("b", "a", 5)])).acts(), ["recover_table b (resend)"]);
    let deleted = after(fuller.clone(), seen(&ends, &[("a", "b", 1)]));
    assert_eq!(deleted.acts(), ["add_replica a b"], "one of eight entries may have deleted it");
    let only_rows = after(fuller, seen(&ends, &[("a", "b", 1), ("b", "a", 8)]));
    assert_eq!(blocked(&only_rows).0, Reason::LeaderLacksRows);
}

#[test]
fn what_a_replica_held_says_nothing_once_it_is_loaded_anew() {
    let view = after(after_a_delete(), seen(&[("a", 1203), ("b", 1200)], &[("b", "a", 3)]));
    let mut gone = view.clone();
    gone.get_mut("b").data = Data::Absent;
    let mut memory = view.memory.clone();
    memory.note_view(&gone);
    let again = Built(crate::recovery::View { memory, ..view.0.clone() });
    assert_eq!(compares(&again), ["a", "b"]);
    let fewer = after(after_a_delete(), seen(&[("a", 1204), ("b", 1200)], &[]));
    assert_eq!(
        fewer.reason(),
        Reason::SuspectIsLongest,
        "one that is shorter than when it was read is not what was read"
    );
}

#[test]
fn a_plan_says_what_it_would_have_to_compare() {
    let planned = crate::recovery::plan::walk(after_a_delete().0, &recover());
    assert_eq!(planned.to_compare, [Endpoint::from("a"), Endpoint::from("b")]);
    assert!(planned.notes[0].starts_with("a, b: their rows were not compared"), "{:?}", planned.notes);
    let known = after(after_a_delete(), seen(&[("a", 1203), ("b", 1200)], &[("b", "a", 3)]));
    let planned = crate::recovery::plan::walk(known.0, &recover());
    assert_eq!((planned.to_compare, planned.blocked), (Vec::new(), None));
}

fn after_a_delete_is_known() -> Built {
    after(after_a_delete(), seen(&[("a", 1203), ("b", 1200)], &[("b", "a", 3)]))
}

/// Two terms, the last of which began behind a follower's end. Nobody can tell the term of its last entry: it is resent.
pub fn of_an_unknown_term(offset: u64) -> Built {
    let view = led_by_a([], |r| r.loaded(offset)).terms([(1, 0), (3, offset + 1)]);
    expired(view, WaitFor::Snapshot("b".into()))
}

#[test]
fn what_a_loaded_replica_holds_is_compared_before_it_is_discarded() {
    let view = of_an_unknown_term(18);
    assert_eq!(compares(&view), ["a", "b"], "although their row counts say nothing");
    let ends = [("a", 20), ("b", 18)];
    let resent = ["recover_table b (resend)"];
    assert_eq!(after(view.clone(), seen(&ends, &[("b", "a", 2)])).acts(), resent);
    let unknown = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    assert_eq!(after(view.clone(), unknown).acts(), resent, "by offsets and terms, as ever");
    let (reason, text) = blocked(&after(view.clone(), seen(&ends, &[("a", "b", 3)])));
    assert_eq!(reason, Reason::LeaderLacksRows, "no term and no offset shows it");
    assert!(text.starts_with("b holds rows of 3 keys that its leader a does not hold"), "{text}");
    assert_eq!(blocked(&after(view.clone().ttl(), seen(&ends, &[("a", "b", 3)]))).0, Reason::LeaderLacksRows);
    let ends = BTreeMap::from([read("a", 20, 0), read("b", 18, 0)]);
    let lack = Lack { rows: 1, keys: 1, superseded: 1, superseded_keys: 1, ..Lack::default() };
    let superseded = RowsSeen::compared(ends, BTreeMap::from([(("a".into(), "b".into()), lack)]));
    assert_eq!(after(view.ttl(), superseded).acts(), resent, "a newer row of its key let it expire");
}

/// It took 20 rows; a follower has 18 of them. Six entries more deleted some.
#[test]
fn what_the_leader_was_seen_to_have_deleted_is_not_what_it_lacks() {
    let mut view = of_an_unknown_term(18);
    let Data::Loaded(leader) = &mut view.get_mut("a").data else { panic!("a is loaded") };
    (leader.offset, leader.rows) = (Some(Offset(26)), 20);
    let decided_of = |view: &Built, rows, keys, hidden| {
        let lack = |rows, keys| Lack { rows, keys, ..Lack::default() };
        let pairs = [(("a".into(), "b".into()), lack(rows, keys)), (("b".into(), "a".into()), lack(2, 2))];
        let ends = [read("a", 26, hidden), read("b", 18, 1)];
        decided(&after(view.clone(), RowsSeen::compared(ends.into(), pairs.into())))
    };
    let decided = |rows, keys, hidden| decided_of(&view, rows, keys, hidden);
    let is_blocked =
        |decision| matches!(decision, Decision::Blocked(blocked) if blocked.reason == Reason::LeaderLacksRows);
    let does = |decision, what| matches!(decision, Decision::Act(intents) if said(&intents[0]) == what);
    // Nothing of it is discarded by that.
    let connects = |decision| does(decision, "add_replica a b");
    assert!(does(decided(9, 6, 10), "recover_table b (resend)"), "nine rows of six keys, which it still counts");
    assert!(connects(decided(9, 6, 9)), "the follower has deleted a row, too, which it still counts");
    assert!(is_blocked(decided(9, 7, 10)), "six deletes take rows of six keys at most");
    assert!(connects(decided(9, 6, 0)), "they may be lost");
    let mut folded = view.clone();
    let Data::Loaded(follower) = &mut folded.get_mut("b").data else { panic!("b is loaded") };
    follower.rows = 15;
    assert!(connects(decided_of(&folded, 9, 6, 10)), "it may have deleted a row that its snapshot has left out");
    let expiring = view.clone().ttl();
    assert!(connects(decided_of(&expiring, 9, 6, 10)), "what it counts and does not show may have expired");
    let on_disk = view.clone().on_disk();
    assert!(connects(decided_of(&on_disk, 9, 6, 10)), "on disk counts are estimates");
    assert!(is_blocked(decided_of(&on_disk, 9, 7, 10)), "more keys than deletes");
    let mut parted = on_disk;
    parted.get_mut("b").memory.shared_up_to = Some(Offset(16));
    assert!(is_blocked(decided_of(&parted, 9, 6, 10)), "its end was written twice");
}

#[test]
fn as_many_entries_and_the_same_rows_are_as_good_as_a_proven_prefix() {
    let mut view = of_an_unknown_term(20);
    view.0.memory.choice = Some(
        Choice { proven: Vec::new(), doubted: Vec::new(), unread: Vec::new(), ..after_a_delete_is_known().choice() }
            .into(),
    );
    assert_eq!(compares(&view), ["a", "b"]);
    assert_eq!(after(view.clone(), seen(&[("a", 20), ("b", 20)], &[])).acts(), ["add_replica a b"]);
    let moving = RowsSeen::compared(
        [("a".into(), Read { to: Offset(21), ..read("a", 20, 0).1 }), read("b", 20, 0)].into(),
        [].into(),
    );
    assert_eq!(after(view, moving).acts(), ["recover_table b (resend)"], "it may lack what was written meanwhile");
    // It follows from the first moment on.
    let loaded = a_partition().terms([(1, 0), (3, 21)]).replica("a", |r| r.leader().loaded(20));
    let mut loaded = loaded.replica("b", |r| r.loaded(20));
    loaded.0.memory.choice = Some(Choice { proven: Vec::new(), ..loaded.choice() }.into());
    let loaded = expired(expired(loaded, WaitFor::Snapshot("a".into())), WaitFor::Snapshot("b".into()));
    let same = after(loaded.clone(), seen(&[("a", 20), ("b", 20)], &[]));
    assert_eq!(
        (same.acts(), loaded.acts()),
        (vec!["change_role a term 3 replicas [b]".to_owned()], vec!["change_role a term 3 replicas []".to_owned()])
    );
}

/// It was brought back, and is further than its leader by entries without rows: deletes of what nobody holds.
#[test]
fn one_that_is_ahead_of_its_leader_and_holds_the_same_is_not_left_alone() {
    let view = a_partition()
        .replica("a", |r| r.leader().alive().loaded(20).in_term(1).leads_to([("b", 24)]))
        .replica("b", |r| r.alive().loaded(24).rows(20).heard(1).with(|r| r.memory.recovery.tries = 1));
    let view = expired(view, WaitFor::Rows("b".into()));
    let with = |lacking: &[_]| decided(&after(view.clone(), seen(&[("a", 20), ("b", 24)], lacking)));
    assert_eq!(with(&[]), Decision::Done);
    let Decision::Blocked(blocked) = with(&[("b", "a", 1)]) else { panic!("{:?}", with(&[("b", "a", 1)])) };
    assert_eq!(blocked.reason, Reason::LongerThanLeader);
}

#[test]
fn whether_a_row_that_the_leader_lacks_was_given_up_its_term_tells() {
    let old = |r: Replica| r.leader().loaded(18);
    let view = led_by_a([], old).terms([(1, 0), (3, 17)]);
    let ends = [("a", 20), ("b", 18)];
    let mut view = after(view, seen(&ends, &[("a", "b", 2)]));
    view.get_mut("a").manifest = a_partition().replica("a", |r| r.loaded(20).last_term(3)).get("a").manifest.clone();
    assert_eq!(view.acts(), ["make_snapshot b 18"], "nobody knows the term of its last entry");
    let mut parted = view.clone();
    parted.get_mut("b").manifest = a_partition().replica("b", |r| r.loaded(18).last_term(1)).get("b").manifest.clone();
    assert_eq!(parted.acts(), ["recover_table b (resend)"], "17 and 18 were given up when term 3 began");
    let asked = expired(view, WaitFor::Snapshot("b".into()));
    assert_eq!(blocked(&asked).0, Reason::LeaderLacksRows, "nobody can tell");
}

#[test]
fn on_disk_a_row_may_have_been_overwritten() {
    let decided_of = |view: Built, overwritten| {
        let lack = Lack { rows: 5, keys: 4, overwritten, ..Lack::default() };
        let ends = [read("a", 20, 0), read("b", 18, 0)];
        let rows = RowsSeen::compared(ends.into(), [(("a".into(), "b".into()), lack)].into());
        decided(&after(view, rows))
    };
    let is_blocked =
        |decision| matches!(decision, Decision::Blocked(blocked) if blocked.reason == Reason::LeaderLacksRows);
    assert!(matches!(decided_of(of_an_unknown_term(18).on_disk(), 4), Decision::Act(_)));
    assert!(is_blocked(decided_of(of_an_unknown_term(18).on_disk(), 1)), "two deletes take rows of two keys at most");
    assert!(is_blocked(decided_of(of_an_unknown_term(18), 4)), "in memory both rows are held");
}

/// 26 rows on both; then the leader deleted seven of them, and everything went down before the follower heard of it.
fn before_the_follower_heard_of_deletes() -> Built {
    let a = |r: Replica| r.leader().loaded(33).rows(26).last_term(1);
    a_partition().replica("a", a).replica("b", |r| r.loaded(26).last_term(1))
}

#[test]
fn a_follower_that_has_not_heard_of_deletes_is_connected_as_it_is() {
    let choice = before_the_follower_heard_of_deletes().choice();
    assert_eq!(choice.proven, [Endpoint::from("b")]);
    let a = |r: Replica| r.leader().alive().loaded(33).rows(26).leads_to([]);
    let mut view = a_partition().replica("a", a).replica("b", |r| r.loaded(26).last_term(1));
    view.0.memory.choice = Some(choice.into());
    assert_eq!(compares(&view), ["a", "b"], "by counts the leader lacks rows");
    let ends = [("a", 33), ("b", 26)];
    let decided = |lacking: &[_]| decided(&after(view.clone(), seen(&ends, lacking)));
    let connects = |decision| matches!(decision, Decision::Act(intents) if said(&intents[0]) == "add_replica a b");
    assert!(connects(decided(&[("a", "b", 7)])), "seven entries without a row");
    assert!(connects(decided(&[("a", "b", 3), ("b", "a", 4)])), "three of them");
    assert!(connects(decided(&[("a", "b", 8)])), "a delete by time takes any number of keys");
    assert!(connects(decided(&[("a", "b", 4), ("b", "a", 6)])), "one of them");
    let all_rows = decided(&[("a", "b", 4), ("b", "a", 7)]);
    assert!(matches!(all_rows, Decision::Blocked(blocked) if blocked.reason == Reason::LeaderLacksRows));
}

#[test]
fn what_a_replica_held_says_nothing_once_it_gets_what_its_leader_has() {
    let view = after(after_a_delete(), seen(&[("a", 1203), ("b", 1200)], &[("b", "a", 3)]));
    let (leader, follower): (Endpoint, Endpoint) = ("a".into(), "b".into());
    let (table, partition, term) = (view.table.clone(), view.partition, Term(1));
    let of_b = [
        Action::AddReplica { endpoint: leader.clone(), partition, follower: follower.clone() },
        Action::ChangeRole { endpoint: leader, partition, term, replicas: vec![follower.clone()] },
        Action::DropTable { endpoint: follower.clone(), partition },
        Action::RecoverTable { table: table.clone(), pid: partition.pid, endpoint: follower.clone() },
    ];
    let knows = |action: &Action, outcome: &Outcome| {
        let mut memory = view.memory.clone();
        let intent = Intent { step: "recover_table", action: action.clone(), why: String::new(), resends: true };
        memory.note_outcome(&view, &intent, outcome, None);
        memory.rows.unwrap().covers([&follower].into_iter())
    };
    for action in &of_b {
        assert!(!knows(action, &Outcome::Applied), "{action:?}");
        assert!(!knows(action, &Outcome::Unknown("no answer".to_owned())), "{action:?}: it may have been done");
        assert!(knows(action, &Outcome::NotApplied("not sent".to_owned())), "{action:?}");
    }
    let mark = Action::MarkAlive { table, pid: Some(partition.pid), endpoint: follower.clone(), alive: false };
    assert!(knows(&mark, &Outcome::Applied), "a flag changes no rows");
}

/// A snapshot left out what the leader had deleted; a follower that holds the same rows still counts them. A third one was away
/// meanwhile.
#[test]
fn who_holds_the_same_as_the_leader_tells_what_it_has_deleted() {
    let leads = |r: Replica| r.leader().alive().loaded(620).rows(220).leads_to([("c", 620)]);
    let other = |r: Replica| r.alive().loaded(620).rows(420).heard(1);
    let view = a_partition().replica("a", leads).replica("b", |r| r.loaded(400)).replica("c", other);
    let view = expired(view, WaitFor::Rows("c".into()));
    assert_eq!(compares(&view), ["a", "b", "c"]);
    let seen_with = |hidden| {
        let lack = |rows| Lack { rows, keys: rows, ..Lack::default() };
        let of_b = |x: &str| ((Endpoint::from(x), Endpoint::from("b")), lack(200));
        let by_b = |y: &str| ((Endpoint::from("b"), Endpoint::from(y)), lack(20));
        let ends = [read("a", 620, 0), read("b", 400, 0), read("c", 620, hidden)];
        after(view.clone(), RowsSeen::compared(ends.into(), [of_b("a"), of_b("c"), by_b("a"), by_b("c")].into()))
    };
    assert_eq!(suspicion(&seen_with(0), view.get("a")), None, "200 of the 220 entries it is ahead by brought no row");
    assert_eq!(seen_with(200).acts(), ["recover_table b (resend)"], "it has deleted them");
    assert_eq!(seen_with(0).acts(), ["add_replica a b"], "nobody can tell, and nothing of it is discarded by that");
}

/// It was away when its leader was chosen, which had lost its end; both go on to the same place in other ways.
#[test]
fn a_loss_is_told_no_smaller_than_it_was_seen_to_be() {
    let mut view = led_by_a([], |r| r.loaded(18));
    view.get_mut("b").memory.leader_held = Some(Offset(12));
    let entries = |view: &Built| match decided(view) {
        Decision::Blocked(blocked) => (blocked.reason, blocked.loss[0].entries),
        other => panic!("not blocked: {other:?}"),
    };
    let unknown = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    assert_eq!(entries(&after(view.clone(), unknown)), (Reason::LongerThanLeader, Some(6)));
    let ends = [("a", 20), ("b", 18)];
    assert_eq!(
        entries(&after(view, seen(&ends, &[("a", "b", 7), ("b", "a", 9)]))),
        (Reason::LongerThanLeader, Some(7))
    );
}
