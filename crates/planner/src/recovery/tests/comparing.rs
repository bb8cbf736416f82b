//! What counts say when a leader is chosen is not forgotten before rows were looked at, and not answering is no answer.

use super::builder::{Built, Replica, a_partition, recover};
use super::loading::expired;
use super::rows::{after, seen};
use crate::playbook::{OnConflict, Promote};
use crate::recovery::limits::MAX_TRIES;
use crate::recovery::{Decision, Gates, Intent, Load, Memory, Outcome, Reason, RowsSeen, WaitFor, choose, decide};
use openmldb_model::{Action, Endpoint, Offset};

fn failed() -> RowsSeen {
    RowsSeen::failed(["a", "b"].map(Endpoint::from), "b does not answer")
}

pub fn failed_each_time() -> RowsSeen {
    (1..MAX_TRIES).fold(failed(), |before, _| failed().after(Some(&before)))
}

fn decided(view: &Built) -> Decision {
    decide(view, &recover(), Gates::OPEN)
}

fn wants_rows(view: &Built) -> bool {
    matches!(decided(view), Decision::Compare { .. })
}

/// The leader counts as few rows as those of an expiring table may be.
fn to_be_resent() -> Built {
    let a = |r: Replica| r.leader().alive().loaded(35).rows(18).leads_to([]);
    a_partition().replica("a", a).replica("b", |r| r.loaded(20)).ttl()
}

/// Found by the hunt (world 7008673): a tablet was out of reach for a moment while rows were compared, so that a leader with a hole was
/// believed to be complete, and replaced what its follower held.
#[test]
fn what_could_not_be_compared_this_time_is_compared_again_and_not_discarded() {
    let view = to_be_resent();
    assert!(wants_rows(&view));
    assert!(wants_rows(&after(view.clone(), failed())), "once is not always");
    let in_vain = after(view.clone(), failed_each_time());
    let blocked = in_vain.blocked();
    assert_eq!(blocked.reason, Reason::LeaderLacksRows);
    assert!(blocked.text.ends_with("; the rows of a, b could not be compared: b does not answer"), "{}", blocked.text);
    assert_eq!(blocked.loss.len(), 1, "it can be accepted");
    let too_many = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    assert_eq!(after(view, too_many).acts(), ["recover_table b (resend)"], "what nobody may compare counts decide");
}

#[test]
fn who_leads_is_decided_by_counts_where_comparing_failed_each_time() {
    let a = |r: Replica| r.leader().loaded(67).rows(61).last_term(1);
    let view = a_partition().replica("a", a).replica("b", |r| r.loaded(67).last_term(1)).ttl();
    let once = after(view.clone(), failed());
    assert!(wants_rows(&once), "{:?}", decided(&once));
    assert!(matches!(decided(&after(view, failed_each_time())), Decision::Choose(_)));
}

/// Rows were deleted, and the log of b has a hole of four entries, as world 7002218 had it.
fn after_deletes(leads: impl FnOnce(Replica) -> Replica) -> Built {
    a_partition().replica("a", leads).replica("b", |r| r.loaded(60).rows(44).last_term(1))
}

/// Its leader serves, and has taken so many entries more, of which so many are rows.
fn written_on(entries: u64, rows: u64, connected: Option<u64>) -> Built {
    let choice = after_deletes(|r| r.leader().loaded(60).rows(48).last_term(1)).choice();
    assert_eq!((&choice.proven, &choice.unread), (&vec![], &vec!["b".into()]));
    // Once deleted rows are collected counts show nothing.
    let rows = if connected.is_some() { 44 + rows } else { 48 + rows };
    let leads = |r: Replica| r.leader().alive().loaded(60 + entries).rows(rows);
    let mut view = match connected {
        Some(at) => after_deletes(|r| leads(r).leads_to([("b", at)])),
        None => after_deletes(|r| leads(r).leads_to([])),
    };
    if let Some(at) = connected {
        let caught_up = a_partition().replica("b", |r| r.loaded(at).rows(rows).heard(1));
        let b = view.get_mut("b");
        (b.data, b.term_pair) = (caught_up.get("b").data.clone(), caught_up.get("b").term_pair.clone());
    }
    view.0.memory.choice = Some(choice.into());
    view
}

#[test]
fn a_hole_that_counts_showed_is_not_forgotten_while_clients_write() {
    let view = written_on(20, 10, None);
    assert!(wants_rows(&view), "its leader is further ahead by now than its log is short of rows");
    let lacks = |rows| after(view.clone(), seen(&[("a", 80), ("b", 60)], &[("b", "a", rows)]));
    assert_eq!(lacks(10).acts(), ["add_replica a b"]);
    assert_eq!(lacks(25).acts(), ["recover_table b (resend)"]);
    let too_many = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    assert_eq!(after(view, too_many).acts(), ["add_replica a b"], "counts decide, as they did when it was chosen");
}

#[test]
fn one_that_was_compared_while_it_was_behind_is_compared_again_once_it_has_caught_up() {
    let mut view = written_on(20, 10, Some(80));
    view.get_mut("b").memory.recovery.catch_up_to = Some(Offset(80));
    assert!(
        wants_rows(&view),
        "{:?}: what it lacked may have been its hole, and deletes what it was behind by",
        decided(&view)
    );
    let seen_with = |lacks| after(view.clone(), seen(&[("a", 80), ("b", 80)], &[("b", "a", lacks)]));
    assert_eq!(seen_with(0).acts(), ["recover_table b"]);
    assert!(matches!(decided(&seen_with(5)), Decision::Wait(_)), "and then it is resent");
}

#[test]
fn one_that_was_seen_to_hold_the_same_is_not_compared_again() {
    let view = after(written_on(20, 10, None), seen(&[("a", 60), ("b", 60)], &[]));
    let Decision::Act(intents) = decided(&view) else { panic!("{:?}", decided(&view)) };
    assert!(matches!(intents[0].action, Action::AddReplica { .. }));
    let mut memory: Memory = view.0.memory.clone();
    memory.note_outcome(&view, &intents[0], &Outcome::Applied, None);
    assert_eq!(memory.choice.unwrap().unread, Vec::<Endpoint>::new());
}

/// Found by the hunt (world 7007298): a row was written once more, so that both show the same rows.
#[test]
fn a_longer_follower_that_is_proven_leads_although_it_shows_no_other_row() {
    let a = |r: Replica| r.leader().loaded(6).rows(6);
    let view = a_partition().on_disk().replica("a", a).replica("b", |r| r.loaded(7).rows(7));
    assert_eq!(view.chooses(), "b");
    assert_eq!(after(view, seen(&[("a", 6), ("b", 7)], &[])).chooses(), "b", "what a would write next is in b's way");
}

/// What was given up within a term: nobody can tell it from the leader's own once that one has written as far.
#[test]
fn what_was_given_up_is_no_beginning_of_what_was_written_instead() {
    let mut view = a_partition().replica("a", |r| r.leader().loaded(6)).replica("b", |r| r.loaded(7));
    view.0.memory.named_leader = Some("a".into());
    let loss = view.nobody().loss;
    view.0.memory.accepted = loss;
    let mut memory = view.0.memory.clone();
    memory.choose(view.choice(), None);
    assert_eq!(memory.replica(&"b".into()).shared_up_to, Some(Offset(6)));
    let mut later = a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", |r| r.loaded(7));
    assert_eq!(later.choice().proven, [Endpoint::from("b")]);
    later.get_mut("b").memory.shared_up_to = Some(Offset(6));
    assert_eq!(later.choice().proven, Vec::<Endpoint>::new());
}

/// `b` counted fewer rows than `a` when that was chosen, of a table in which nothing was deleted; `a` counts as few by now.
fn doubted(rows: RowsSeen) -> Built {
    let a = |r: Replica| r.leader().loaded(60).last_term(1);
    let choice = a_partition().replica("a", a).replica("b", |r| r.loaded(60).rows(44).last_term(1)).choice();
    assert_eq!(choice.doubted, [Endpoint::from("b")]);
    let a = |r: Replica| r.leader().alive().loaded(80).rows(64).leads_to([]);
    let mut view = a_partition().replica("a", a).replica("b", |r| r.loaded(60).rows(44).last_term(1));
    view.0.memory.choice = Some(choice.into());
    after(view, rows)
}

#[test]
fn one_that_counts_spoke_against_is_connected_only_once_it_was_seen_to_hold_every_row() {
    let lacks = |rows| doubted(seen(&[("a", 80), ("b", 60)], &[("b", "a", rows)]));
    assert_eq!(lacks(20).acts(), ["add_replica a b"]);
    assert_eq!(lacks(25).acts(), ["recover_table b (resend)"]);
    let too_many = RowsSeen::unknown(["a", "b"].map(Endpoint::from), "they are too many");
    assert_eq!(doubted(too_many).acts(), ["recover_table b (resend)"], "what nobody can compare does not clear it");
}

#[test]
fn one_that_was_not_answered_for_while_it_was_read_is_neither_connected_nor_discarded() {
    let view = after(written_on(20, 16, None), failed_each_time());
    assert_eq!(view.blocked().reason, Reason::LeaderLacksRows);
}

#[test]
fn one_whose_leader_counts_fewer_rows_by_now_is_compared_before_it_is_connected() {
    let of =
        |a: fn(Replica) -> Replica| a_partition().ttl().replica("a", a).replica("b", |r| r.loaded(60).last_term(1));
    let choice = of(|r| r.leader().loaded(60).last_term(1)).choice();
    assert_eq!(choice.proven, [Endpoint::from("b")]);
    let mut view = of(|r| r.leader().alive().loaded(70).rows(66).leads_to([]));
    view.0.memory.choice = Some(choice.into());
    assert!(wants_rows(&view), "{:?}", decided(&view));
}

/// What was doubted when its leader was chosen, as far as its leader by now, and how it was read.
fn caught_up(leads: u64, to: u64, rows: RowsSeen) -> Built {
    let mut view = written_on(leads - 60, leads - 60, Some(to));
    view.get_mut("b").memory.recovery.catch_up_to = Some(Offset(to));
    after(view, rows)
}

#[test]
fn rows_that_were_read_before_it_had_caught_up_clear_nobody() {
    let read_behind = || seen(&[("a", 80), ("b", 60)], &[("b", "a", 10)]);
    assert!(wants_rows(&caught_up(80, 80, read_behind())));
    let mut view = caught_up(80, 80, read_behind());
    let choice = view.0.memory.choice.as_mut().unwrap();
    choice.doubted = std::mem::take(&mut choice.unread);
    assert!(wants_rows(&view), "whatever counts said when its leader was chosen");
    // World 20015572: the choice was an earlier run's, and its leader was ahead by what clients had written since.
    view.0.memory.choice.as_mut().unwrap().doubted.clear();
    assert!(!wants_rows(&view));
    view.get_mut("b").memory.doubted = true;
    assert!(wants_rows(&view), "an earlier run doubted it");
    let mut resent = caught_up(80, 80, read_behind());
    resent.get_mut("b").memory.load = Load::HandedOver;
    assert!(!wants_rows(&resent), "what it holds is its leader's");
}

#[test]
fn one_that_was_read_where_it_was_to_catch_up_to_is_not_read_again_while_its_leader_goes_on() {
    let view = caught_up(90, 80, seen(&[("a", 90), ("b", 80)], &[("b", "a", 10)]));
    assert!(!wants_rows(&view), "{:?}", decided(&view));
    assert_eq!(view.acts(), ["recover_table b"]);
}

/// Its tablet was away while clients put and deleted: rows that its leader lacks may be deleted or lost, and where rows expire nobody can
/// tell before it has the deletes, too.
#[test]
fn one_that_comes_back_under_a_leader_that_nobody_chose_follows_and_is_read_once_it_has_caught_up() {
    let of = |offset, rows: RowsSeen| {
        let leads = |r: Replica| r.leader().alive().loaded(80).rows(60);
        let a = |r: Replica| if offset == 80 { leads(r).leads_to([("b", 80)]) } else { leads(r).leads_to([]) };
        let b = |r: Replica| if offset == 80 { r.loaded(80).heard(1) } else { r.loaded(offset) };
        let mut view = a_partition().ttl().replica("a", a).replica("b", b);
        let b = view.get_mut("b");
        (b.memory.load, b.memory.loads, b.memory.doubted) = (Load::Loaded, 1, offset == 80);
        after(view, rows)
    };
    let read_behind = |lacks| seen(&[("a", 80), ("b", 60)], &[("a", "b", 12), ("b", "a", lacks)]);
    assert_eq!(of(60, read_behind(8)).acts(), ["add_replica a b"]);
    assert_eq!(of(60, read_behind(21)).blocked().reason, Reason::LeaderLacksRows, "it lacks some of its own log");
    assert!(wants_rows(&of(80, read_behind(8))), "its leader may have lost some of the 12");
    let read_again = |lacks: &[(&str, &str, u64)]| of(80, seen(&[("a", 80), ("b", 80)], lacks));
    let lasts = expired(read_again(&[("a", "b", 2)]), WaitFor::Rows("b".into()));
    assert_eq!(lasts.blocked().reason, Reason::LeaderLacksRows);
    assert_eq!(read_again(&[]).acts(), ["recover_table b"]);
}

#[test]
fn what_was_seen_or_cannot_be_seen_is_not_looked_for_again() {
    for rows in [failed_each_time(), seen(&[("a", 80), ("b", 80)], &[("b", "a", 5)])] {
        let mut view = caught_up(80, 80, rows);
        view.get_mut("b").is_alive = true;
        assert!(!wants_rows(&view), "{:?}", decided(&view));
    }
}

#[test]
fn one_that_is_longer_and_shows_no_other_row_is_in_the_way_only_where_it_could_lead() {
    let same = |a: fn(Replica) -> Replica| {
        let view = a_partition().replica("a", a).replica("b", |r| r.loaded(7));
        after(view, seen(&[("a", 6), ("b", 7)], &[]))
    };
    assert_eq!(same(|r| r.leader().loaded(6).leads_to([])).chooses(), "a", "it may have taken writes since");
    let chosen = choose(&same(|r| r.leader().loaded(6)), OnConflict::LastElected, Promote::Never).unwrap();
    assert_eq!(chosen.leader, Endpoint::from("a"), "no follower is promoted, and no row given up");
}

#[test]
fn what_it_was_behind_by_is_no_excuse_for_a_hole_in_its_own_log() {
    let a = |r: Replica| r.leader().loaded(70).last_term(1);
    let choice = a_partition().ttl().replica("a", a).replica("b", |r| r.loaded(60).rows(55).last_term(1)).choice();
    assert_eq!((choice.proven, choice.unread), (vec![], vec!["b".into()]));
}

/// What is left of a doubt once its leader has taken it, or RecoverTable has.
fn left_after(view: &Built, action: Action) -> usize {
    let mut memory = view.0.memory.clone();
    memory.note_outcome(view, &Intent::new("step", action, ""), &Outcome::Applied, None);
    let choice = memory.choice.unwrap();
    choice.doubted.len() + choice.unread.len()
}

#[test]
fn a_doubt_ends_only_with_what_was_read_at_the_end_of_its_leaders_log() {
    let add = |view: &Built| {
        let (endpoint, follower, partition) = ("a".into(), "b".into(), view.partition);
        left_after(view, Action::AddReplica { endpoint, partition, follower })
    };
    let recover = |view: &Built| {
        let (table, pid, endpoint) = (view.table.clone(), view.partition.pid, "b".into());
        left_after(view, Action::RecoverTable { table, pid, endpoint })
    };
    let read = |view: Built, to: u64, lacks: u64| after(view, seen(&[("a", to), ("b", 60)], &[("b", "a", lacks)]));
    for view in [written_on(20, 10, None), doubted(failed())] {
        let (at_its_end, behind) = (read(view.clone(), 60, 0), read(view, 80, 10));
        assert_eq!((add(&at_its_end), recover(&at_its_end)), (0, 0));
        assert_eq!((add(&behind), recover(&behind)), (1, 1), "what it lacks may be in its own log");
    }
}
