//! What a wait that has expired is called is what was seen; and what is forgotten of it when a tablet comes back.

use super::builder::{Built, Replica, a_partition};
use super::loading::expired;
use crate::recovery::{Ahead, Load, Reason, ReplicaMemory, WaitFor};
use openmldb_model::{Manifest, Offset, Term, TermPair};

/// The reason that an expired wait for loads comes to.
fn reason(view: Built) -> Reason {
    expired(view, WaitFor::Loading).blocked().reason
}

#[test]
fn a_load_that_does_not_end_is_no_tablet_out_of_reach() {
    let leader_loads = |r: Replica| r.leader().queued();
    let view = || a_partition().replica("a", leader_loads);
    assert_eq!(reason(view().replica("b", |r| r.loaded(9))), Reason::LoadTimeout, "it may be the one elected last");
    assert_eq!(reason(view().replica("b", |r| r.loaded(0))), Reason::LoadTimeout, "the others are empty");
    assert_eq!(reason(view()), Reason::LoadTimeout, "nothing else is there");
    let known = a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", |r| r.known_at(20).queued());
    assert_eq!(reason(known), Reason::LoadTimeout, "it was known to be longer");
    let away = a_partition().replica("a", |r| r.leader().out_of_reach()).replica("b", |r| r.loaded(9));
    assert_eq!(reason(away), Reason::OutOfReach);
}

#[test]
fn no_message_shows_a_name_of_the_program_s_own() {
    let view = || a_partition().replica("a", |r| r.leader().alive().loaded(9).leads_to([]));
    let loading = expired(view().replica("b", |r| r.queued()), WaitFor::Loading).blocked();
    assert_eq!(loading.text, "b has it queued to load");
    let decided = format!("{:?}", view().replica("b", |r| r.queued()).decided());
    assert!(decided.contains("b has it queued to load"), "{decided}");
}

#[test]
fn what_was_tried_in_vain_is_tried_again_when_its_tablet_comes_back() {
    let mut view = a_partition()
        .replica("a", |r| r.leader().alive().loaded(9).leads_to([]))
        .replica("b", |r| r.loaded(9).with(|r| (r.memory.refusals, r.memory.recovery.tries) = (5, 5)));
    assert_eq!(view.blocked().reason, Reason::Refused);
    let of_b = [WaitFor::Loading, WaitFor::SlowLoad, WaitFor::CatchUp("b".into())];
    for wait in of_b.into_iter().chain([WaitFor::CatchUp("a".into()), WaitFor::Ops]) {
        view.memory.expired.insert(wait, String::new());
    }
    view.memory.note_return(&"b".into());
    let left: Vec<&WaitFor> = view.memory.expired.keys().collect();
    assert_eq!(left, [&WaitFor::Ops, &WaitFor::CatchUp("a".into())], "an operation that hangs still does");
    view.get_mut("b").memory = view.memory.replica(&"b".into());
    view.memory.expired.insert(WaitFor::Begun("b".into()), String::new());
    assert_eq!(view.acts(), ["recover_table b (resend)"]);
    assert_eq!(view.get("b").memory.recovery.tries, 1, "what it led to is still judged");
}

#[test]
fn what_a_returned_tablet_s_disk_shows_counts_as_at_a_run_s_start() {
    let manifest = Manifest { offset: Offset(30), term: None, count: 30 };
    let pair = |offset| TermPair { has_table: false, is_leader: false, term: Term(0), offset: Offset(offset) };
    let noted = |load: Load, pair: &TermPair| {
        let mut memory = ReplicaMemory { load, largest_offset: Offset(20), ..ReplicaMemory::new() };
        memory.note_evidence(Some(&manifest), Some(pair));
        (memory.largest_offset.0, memory.snapshot_before.0, memory.snapshot_file_missing)
    };
    assert_eq!(noted(Load::NotSent, &pair(30)), (30, 30, false));
    assert_eq!(noted(Load::NotSent, &pair(0)), (30, 30, true), "the file that MANIFEST names is not there");
    assert_eq!(noted(Load::HandedOver, &pair(0)), (20, 0, false), "it is its leader's");
}

#[test]
fn what_is_waited_for_is_said_in_words() {
    let all = [
        WaitFor::Turn(Ahead::SystemTables),
        WaitFor::Turn(Ahead::BaseTable),
        WaitFor::Turn(Ahead::Aggregates),
        WaitFor::Turn(Ahead::Leaders),
        WaitFor::Loading,
        WaitFor::SlowLoad,
        WaitFor::Appearing("b".into()),
        WaitFor::Snapshot("b".into()),
        WaitFor::UpForAMinute,
        WaitFor::Ops,
        WaitFor::OthersOps,
        WaitFor::CatchUp("b".into()),
        WaitFor::Rows("b".into()),
        WaitFor::Stuck("b".into()),
        WaitFor::Dropping("b".into()),
        WaitFor::Answer("b".into()),
        WaitFor::Registered("b".into()),
        WaitFor::Begun("b".into()),
        WaitFor::Flags,
    ];
    for what in all {
        let said = what.to_string();
        let ours = format!("{what:?}");
        let names = ours.split(|c: char| !c.is_alphanumeric()).filter(|name| name.len() > 1);
        names.for_each(|name| assert!(!said.contains(name), "{name}: {said}"));
        assert!(said.contains(' ') && !said.contains(['_', '(', '{', ':']), "{said}");
        assert_eq!(said.contains("come first"), what.is_turn(), "{said}");
        assert_eq!(said.split(' ').any(|word| word == "b"), what.endpoint().is_some(), "it says where: {said}");
    }
}
