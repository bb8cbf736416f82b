//! Whether an aggregator is attached to a pre-aggregate table's replica: what is noted, remembered and planned of it.

use super::aggregates::{aggregates, aggregating, base, led};
use super::builder::{Built, Replica, a_partition, said};
use super::carrying_on::{loaded, none, restarted, same, told};
use crate::recovery::{
    Base, Decision, Intent, Load, Memory, Outcome, PersistedMemory, Probe, Question, ReplicaMemory, Shared,
    awaits_aggregator,
};
use openmldb_model::{Action, Aggregator, Endpoint, Seen, StorageMode};

/// What is noted of a replica of which so much is remembered, where its base table's partition is registered nowhere.
fn noted(view: &Built, change: impl FnOnce(&mut ReplicaMemory)) -> Shared<ReplicaMemory> {
    let mut memory = Memory { replicas: [("a".into(), view.get("a").memory.clone())].into(), ..Memory::default() };
    change(memory.replica_mut(&"a".into()));
    memory.note_unattached(view);
    memory.replica(&"a".into())
}

#[test]
fn an_aggregator_may_be_attached_to_what_somebody_else_loaded_or_was_asked_for() {
    let loaded_by_us = |r: &mut ReplicaMemory| r.loads = 1;
    let view = aggregating(a_partition().replica("a", |r| r.loaded(20).with(aggregates)), base("a", false));
    assert!(noted(&view, loaded_by_us).unattached);
    let others: [fn(&mut ReplicaMemory); 3] =
        [|r| r.load = Load::HandedOver, |r| r.loads_of_the_past = 1, |r| r.aggregator_asked = true];
    for (n, of_others) in others.into_iter().enumerate() {
        let noted = noted(&view, |r| {
            loaded_by_us(r);
            of_others(r);
        });
        assert!(!noted.unattached, "{n}");
    }
}

#[test]
fn an_aggregator_that_was_asked_for_is_asked_for_again_only_once_its_replica_is_gone() {
    let asked =
        |view: Built| noted(&aggregating(view, base("a", false)), |r| r.aggregator_asked = true).aggregator_asked;
    for still_there in [|r: Replica| r.loaded(20), |r: Replica| r.queued(), |r: Replica| r.out_of_reach()] {
        assert!(asked(a_partition().replica("a", still_there)));
    }
    assert!(!asked(a_partition().replica("a", |r| r)));
}

#[test]
fn a_base_table_waits_for_what_aggregates_it_as_long_as_nobody_leads_that() {
    let view = a_partition().replica("a", |r| r.leader().loaded(20));
    assert!(awaits_aggregator(&aggregating(view, base("a", false))));
}

#[test]
fn one_that_certainly_was_not_created_is_left_to_a_later_run() {
    let view = led(true, Seen::Known(Aggregator::Present));
    let Decision::Act(intents) = view.decided() else { panic!() };
    let mut memory = view.memory.clone();
    memory.note_outcome(&view, &intents[0], &Outcome::NotApplied(String::new()), None);
    let replica = memory.replica(&"a".into());
    assert!(replica.aggregator_asked && replica.unattached);
}

#[test]
fn that_none_is_attached_is_remembered_as_long_as_its_tablet_runs() {
    let unattached = PersistedMemory::of(&ReplicaMemory { unattached: true, ..ReplicaMemory::new() });
    assert!(unattached.unattached);
    let remembered = || PersistedMemory { unattached: true, ..loaded() };
    let after = |found: super::carrying_on::Found| {
        found.carried(false, [remembered(), told(Load::Loaded), none()]).replica(&"b".into()).unattached
    };
    assert!(after(same(StorageMode::Memory)));
    assert!(!after(restarted(StorageMode::Memory)), "who loads it then may attach one");
}

#[test]
fn a_plan_knows_to_what_none_will_be_attached() {
    let planned = |aggregator: Aggregator, registered: &[&str]| {
        let a = |r: Replica| r.leader().with(|r| r.aggregator = Seen::Known(aggregator));
        let mut view = a_partition().replica("a", a);
        let registered_at = registered.iter().map(|at| Endpoint::from(*at)).collect();
        view.0.base = base("a", false).map(|base| Base { registered_at, ..base });
        let (table, partition, storage) = (view.table.clone(), view.partition, view.storage);
        let load = Action::LoadTable { endpoint: "a".into(), table, partition, seg_cnt: 8, storage };
        view.0.predict(&Intent::new("load_table", load, ""));
        view.get("a").memory.unattached
    };
    assert!(planned(Aggregator::Present, &[]) && planned(Aggregator::Present, &["b"]));
    assert!(!planned(Aggregator::Present, &["a"]), "one may be attached");
    assert!(!planned(Aggregator::Missing, &[]), "there is none that could be");
}

#[test]
fn a_plan_has_one_created_once_and_asks_for_none_twice() {
    let mut view = led(true, Seen::Known(Aggregator::Present));
    let Decision::Act(intents) = view.decided() else { panic!() };
    assert_eq!(said(&intents[0]), "create_aggregator a");
    view.0.predict(&intents[0]);
    assert!(!awaits_aggregator(&view));
    let mut unasked = led(false, Seen::Unasked);
    unasked.0.predict_unanswered(&Probe { endpoint: "a".into(), question: Question::Aggregator });
    assert!(matches!(unasked.get("a").aggregator, Seen::Failed(_)) && !awaits_aggregator(&unasked));
}
