//! Replicas whose files are there and whose description is not, and partitions of which nothing is left.

use crate::playbook::{OnConflict, Promote};
use crate::recovery::{Data, Decision, Load, Loss, LossKind, Outcome, Question, Reason, choose};
use openmldb_model::{Directory, Seen, StorageMode};

use super::builder::{Built, a_partition, by_counts, recover, said};
use crate::recovery::Gates;

fn loads(view: &Built) -> Vec<String> {
    view.acts()
}

#[test]
fn a_refused_load_is_asked_about_before_the_replica_is_taken_for_gone() {
    let of = |seen| {
        a_partition().replica("a", |r| r.leader().refused().with(|r| r.directory = seen)).replica("b", |r| r.loaded(9))
    };
    let Decision::Look(probes) = of(Seen::Unasked).decided() else { panic!("nothing was asked") };
    assert_eq!(probes.len(), 1);
    assert_eq!((probes[0].endpoint.as_str(), probes[0].question), ("a", Question::Directory));
    let wait_for_unreachable_leader = of(Seen::Failed("no root path".to_owned()));
    let Decision::Wait(wait) = wait_for_unreachable_leader.decided() else {
        panic!("{:?}", wait_for_unreachable_leader.decided())
    };
    let mut wait_for_unreachable_leader = wait_for_unreachable_leader;
    wait_for_unreachable_leader.memory.note_expired(StorageMode::Memory, wait.what, wait.seen);
    assert_eq!(wait_for_unreachable_leader.blocked().reason, Reason::LoadTimeout, "nobody knows what it has");
}

#[test]
fn files_without_a_description_are_loaded_with_the_tables_schema() {
    let leader = a_partition().replica("a", |r| r.leader().undescribed()).replica("b", |r| r.loaded(9));
    assert_eq!(loads(&leader), ["load a with its schema"]);
    let undescribed = |r: &mut crate::recovery::ReplicaView| r.directory = Seen::Known(Directory::Undescribed);
    let on_disk = a_partition().on_disk().replica("a", |r| r.leader().with(undescribed));
    assert_eq!(loads(&on_disk), ["load a with its schema"], "a disk table is asked about before it is told anything");
    let follower = a_partition()
        .replica("a", |r| r.leader().alive().loaded(20).in_term(1).leads_to([]))
        .replica("b", |r| r.undescribed());
    assert_eq!(loads(&follower), ["load b with its schema"]);
}

/// Columns that are sent along are added to those of a description that has some.
#[test]
fn a_load_that_was_refused_for_something_else_is_not_given_a_schema() {
    let other = Load::Refused("131 fail init replicator for table".to_owned());
    let view = a_partition().replica("a", |r| r.leader().undescribed().load(other)).replica("b", |r| r.loaded(9));
    let blocked = view.blocked();
    assert_eq!(blocked.reason, Reason::LoadTimeout);
    assert!(blocked.text.contains("a was not loaded"), "{}", blocked.text);
}

#[test]
fn it_is_told_once_and_what_it_holds_is_not_replaced_if_that_did_not_help() {
    let serving = || {
        a_partition()
            .replica("a", |r| r.leader().alive().loaded(20).in_term(1).leads_to([]))
            .replica("b", |r| r.undescribed().known_at(5))
    };
    let mut view = serving();
    let Decision::Act(intents) = view.decided() else { panic!() };
    let refused = Outcome::Refused { code: 131, error: "131 fail to init table".to_owned() };
    let before = view.clone();
    view.memory.note_outcome(&before, &intents[0], &refused, None);
    let memory = view.memory.replica(&"b".into());
    view.get_mut("b").memory = memory;
    let blocked = view.blocked();
    assert_eq!(blocked.reason, Reason::LoadTimeout, "{}", blocked.text);
    assert_eq!(blocked.loss[0].kind, LossKind::OutOfReach);
    assert!(blocked.loss[0].directory.is_some(), "to accept that is to have it replaced");

    // Nobody heard whether it came: whatever is so now is asked.
    let mut wait_for_unreachable_leader = serving();
    wait_for_unreachable_leader.memory.note_outcome(&before, &intents[0], &Outcome::Unknown(String::new()), None);
    let memory = wait_for_unreachable_leader.memory.replica(&"b".into());
    assert_eq!((&memory.load, memory.told_schema), (&Load::NotSent, false));
}

#[test]
fn where_nothing_is_left_of_any_replica_that_can_be_accepted() {
    let gone = |endpoint: &str, entries| Loss {
        endpoint: endpoint.into(),
        kind: LossKind::EmptyLeader,
        entries,
        directory: None,
    };
    let mut view = a_partition()
        .replica("a", |r| r.leader().refused().known_at(30))
        .replica("b", |r| r.vanished())
        .replica("c", |r| r.refused());
    let losses = vec![gone("a", Some(30)), gone("b", None), gone("c", None)];
    let blocked = view.blocked();
    assert_eq!((blocked.reason, &blocked.loss), (Reason::NoData, &losses));
    view.memory.accepted = losses[..2].to_vec();
    assert_eq!(view.blocked().reason, Reason::NoData, "not all of it was accepted");
    view.memory.accepted = losses;
    assert_eq!(view.acts(), ["load a with its schema"], "the others come from it");

    // It is empty now, and leads; what was accepted is not asked for again.
    let before = view.clone();
    let Decision::Act(intents) = by_counts(&view, &recover(), Gates::OPEN) else { panic!() };
    view.memory.note_outcome(&before, &intents[0], &Outcome::Applied, None);
    let empty = a_partition().replica("x", |r| r.loaded(0)).get("x").data.clone();
    let memory = view.memory.replica(&"a".into());
    let leader = view.get_mut("a");
    (leader.memory, leader.data) = (memory, empty);
    leader.memory.load = Load::Loaded;
    assert_eq!(choose(&view, OnConflict::LastElected, Promote::WhenProven).unwrap().leader.as_str(), "a");
    assert_eq!(intents.iter().map(said).collect::<Vec<_>>(), ["load a with its schema"]);

    // What the others were known to hold is gone, and was accepted; not so what comes back after all.
    let of_leader = |r: super::builder::Replica| r.leader().alive().loaded(0).in_term(1).leads_to([]);
    let mut serving = a_partition().replica("a", of_leader).replica("b", |r| r.refused().known_at(30));
    assert_eq!(serving.blocked().reason, Reason::LongerThanLeader);
    serving.memory.accepted = vec![gone("b", Some(30))];
    assert_eq!(serving.acts(), ["recover_table b (resend)"]);
    let mut back = a_partition().replica("a", of_leader).replica("b", |r| r.loaded(30));
    back.memory.accepted = vec![gone("b", None)];
    assert_eq!(back.blocked().reason, Reason::LongerThanLeader);
}

#[test]
fn nothing_begins_empty_while_something_may_be_left() {
    let accepted = |view: Built| {
        let mut view = view;
        let all = |r: &crate::recovery::ReplicaView| Loss {
            endpoint: r.endpoint.clone(),
            kind: LossKind::EmptyLeader,
            entries: None,
            directory: None,
        };
        view.memory.accepted = view.replicas.iter().map(all).collect();
        view
    };
    let others: [fn(super::builder::Replica) -> super::builder::Replica; 4] = [
        |r| r.out_of_reach(),
        |r| r.queued(),
        |r| r.undescribed().with(|r| r.memory.told_schema = true),
        |r| r.load(Load::Interrupted),
    ];
    for other in others {
        let view = accepted(a_partition().replica("a", |r| r.leader().refused()).replica("b", other));
        assert!(!matches!(view.decided(), Decision::Act(_)), "{:?}", view.decided());
    }
    let view = accepted(a_partition().replica("a", |r| r.leader().refused()).replica("b", |r| r.loaded(3)));
    assert_eq!(view.chooses(), "b");
    assert_eq!(view.get("a").data, Data::Absent);
}

/// The old script tells every replica to load, and leaves a description without columns where nothing is.
#[test]
fn what_a_refused_load_has_left_is_nothing_and_what_was_never_written_to_is_something() {
    let bare = |refused_before| {
        let of = move |r: &mut crate::recovery::ReplicaView| {
            r.directory = Seen::Known(Directory::Bare);
            r.memory.refused_before = refused_before;
        };
        a_partition().replica("a", move |r| r.leader().with(of))
    };
    assert_eq!(bare(false).acts(), ["load a"], "an empty table has no more than that");
    let mut known = bare(true);
    let blocked = known.blocked();
    assert_eq!(blocked.reason, Reason::OnlyReplicaLost);
    known.memory.accepted = blocked.loss;
    assert_eq!(known.acts(), ["load a"], "somebody may have put a description there");
    known.get_mut("a").memory.load = Load::Refused("131 fail to init table".to_owned());
    assert_eq!(known.acts(), ["load a with its schema"]);
}

/// A disk table's LoadTable says nothing: that it never shows is not enough, and with nothing there it is.
#[test]
fn a_disk_table_that_never_showed_and_has_no_files_is_gone() {
    let never = |directory| {
        let of = move |r: &mut crate::recovery::ReplicaView| r.directory = Seen::Known(directory);
        a_partition().on_disk().replica("a", move |r| r.leader().load(Load::NeverAppeared).with(of))
    };
    assert_eq!(never(Directory::InPlace).blocked().reason, Reason::LoadTimeout);
    let mut bare = never(Directory::Bare);
    bare.memory.accepted = bare.blocked().loss;
    assert_eq!(bare.acts(), ["load a with its schema"]);
}

/// A tablet may have come back with another disk: what it refused before says nothing about that one.
#[test]
fn what_was_refused_is_asked_again_of_a_tablet_that_was_away() {
    let mut view = a_partition().replica("a", |r| r.leader().undescribed());
    assert_eq!(view.acts(), ["load a with its schema"]);
    view.get_mut("a").memory.forget_refusal();
    assert_eq!(view.acts(), ["load a"], "it has a description, as far as anybody knows");
}

#[test]
fn what_nobody_knew_of_is_not_accepted_whatever_it_is() {
    let gone = |entries| Loss { endpoint: "a".into(), kind: LossKind::EmptyLeader, entries, directory: None };
    let mut view = a_partition().replica("a", |r| r.leader().refused().known_at(30));
    view.memory.accepted = vec![gone(None)];
    assert_eq!(view.blocked().reason, Reason::OnlyReplicaLost, "30 entries became known since");
    view.memory.accepted = vec![gone(Some(30))];
    assert_eq!(view.acts(), ["load a with its schema"]);
}

/// Nothing is in place where LoadTable was refused for another reason, as far as files go: what that is has to be put right first.
#[test]
fn a_bare_directory_that_was_refused_for_something_else_does_not_begin_empty() {
    let bare = |r: &mut crate::recovery::ReplicaView| r.directory = Seen::Known(Directory::Bare);
    let refused = Load::Refused("127 write data failed".to_owned());
    let view = a_partition().replica("a", |r| r.leader().load(refused).with(bare));
    assert_eq!(view.blocked().reason, Reason::LoadTimeout);
}
