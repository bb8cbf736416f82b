//! Serving before everything is loaded: what speaks against it, and how followers are judged afterwards.

use super::super::early::is_late_prefix;
use super::aggregates::base;
use super::builder::{Built, a_partition, by_counts, said};
use super::rows::seen;
use crate::playbook::{Playbook, built_in};
use crate::recovery::{Choice, Data, Decision, Gates, Load, Question, Reason, RowsSeen};
use openmldb_model::{Manifest, Offset, Seen, Term};

fn decided(view: &Built) -> Decision {
    let playbook = Playbook::parse("leaders-first", built_in("leaders-first").unwrap()).unwrap();
    by_counts(view, &playbook, Gates::OPEN)
}

fn acts(view: &Built) -> Vec<String> {
    match decided(view) {
        Decision::Act(intents) => intents.iter().map(said).collect(),
        other => panic!("no action: {other:?}"),
    }
}

/// A leader-flagged replica that came back at 9, two followers that nobody has loaded.
fn leader_loaded() -> Built {
    a_partition().replica("a", |r| r.leader().loaded(9)).replica("b", |r| r).replica("c", |r| r)
}

/// It serves and took three writes; `b` was loaded then.
fn served(held_then: u64, follower: u64) -> Built {
    let Decision::Choose(choice) = decided(&leader_loaded()) else { panic!("nobody leads") };
    let mut view =
        a_partition().replica("a", |r| r.leader().alive().loaded(held_then + 3).leads_to([])).replica("b", |r| {
            r.loaded(follower).with(|r| {
                (r.memory.load, r.memory.loads) = (Load::Loaded, 1);
                r.memory.leader_held = Some(Offset(held_then));
            })
        });
    view.0.memory.choice = Some(Choice { offset: Some(Offset(held_then)), ..*choice }.into());
    view
}

#[test]
fn the_leader_flagged_replica_is_loaded_alone_and_leads() {
    let none = a_partition().replica("a", |r| r.leader()).replica("b", |r| r).replica("c", |r| r);
    assert_eq!(acts(&none), ["load a"]);
    let Decision::Choose(choice) = decided(&leader_loaded()) else { panic!("nobody leads") };
    assert_eq!((choice.leader.as_str(), choice.proven.len()), ("a", 0));
    assert_eq!(choice.out_of_reach.len(), 2, "nobody has looked at its followers");
}

#[test]
fn what_speaks_against_it_has_all_of_them_loaded_first() {
    let first = |change: &dyn Fn(&mut Built)| {
        let mut view = leader_loaded();
        change(&mut view);
        acts(&view)
    };
    let both = ["load b", "load c"];
    assert_eq!(first(&|view| view.get_mut("b").memory.largest_offset = Offset(10)), both, "b was known to hold more");
    assert_eq!(first(&|view| view.get_mut("a").memory.largest_offset = Offset(10)), both, "a lost its end");
    assert_eq!(first(&|view| view.get_mut("a").memory.snapshot_file_missing = true), both);
    assert_eq!(first(&|view| view.get_mut("a").memory.snapshot_before = Offset(9)), both, "where is its binlog?");
    assert_eq!(first(&|view| view.0.memory.load_all_first = true), both, "nobody elsewhere would know");
    let length = |offset, rows| {
        move |view: &mut Built| {
            let Data::Loaded(loaded) = &mut view.get_mut("a").data else { panic!("a is loaded") };
            (loaded.offset, loaded.rows) = (Some(Offset(offset)), rows);
        }
    };
    assert_eq!(first(&length(0, 0)), both, "empty");
    assert_eq!(first(&length(9, 8)), both, "a row is missing");
    assert_eq!(first(&|view| view.get_mut("b").manifest = Seen::Failed("?".to_owned())), both);
    assert_eq!(first(&|view| view.get_mut("b").is_leader = true), both, "two flags");
    assert_eq!(first(&|view| view.get_mut("b").memory.loads = 1), both, "an earlier run told it to load");
    assert_eq!(first(&|view| view.0.base = base("a", false)), both, "an aggregator may write into it as it is loaded");
}

#[test]
fn it_leads_only_if_its_last_entry_is_of_the_last_term() {
    let terms = |last: u64| {
        let mut view = leader_loaded().terms([(1, 0), (3, 5)]);
        view.get_mut("a").manifest = Seen::Known(Manifest { offset: Offset(9), term: Some(Term(last)), count: 9 });
        decided(&view)
    };
    assert!(matches!(terms(3), Decision::Choose(_)));
    assert!(matches!(terms(1), Decision::Act(intents) if said(&intents[0]) == "load b"));
}

#[test]
fn followers_are_loaded_once_it_serves() {
    let mut view = a_partition()
        .replica("a", |r| r.leader().alive().loaded(12).leads_to([]))
        .replica("b", |r| r)
        .replica("c", |r| r);
    assert_eq!(acts(&view), ["load b", "load c"]);
    *view.get_mut("b") = a_partition().replica("b", |r| r.vanished()).get("b").clone();
    assert_eq!(acts(&view), ["load c"], "never twice");
}

#[test]
fn a_follower_is_compared_with_what_its_leader_held_when_it_was_chosen() {
    assert_eq!(acts(&served(9, 9)), ["add_replica a b"]);
    assert_eq!(acts(&served(9, 8)), ["add_replica a b"], "it gets the rest");
    let mut lacks_a_row = served(9, 8);
    let Data::Loaded(loaded) = &mut lacks_a_row.get_mut("b").data else { panic!("b is loaded") };
    loaded.rows = 7;
    assert_eq!(acts(&lacks_a_row), ["recover_table b (resend)"], "its leader had a row for each entry");
    let Decision::Blocked(blocked) = decided(&served(9, 10)) else { panic!("not blocked") };
    assert_eq!(
        blocked.reason,
        Reason::LongerThanLeader,
        "its tenth entry is not the leader's tenth: that was written since"
    );
}

#[test]
fn a_leader_that_an_earlier_run_chose_is_asked_for_its_term_before_others_are_judged_by_it() {
    let mut view = served(9, 10).terms([(1, 0), (3, 5)]);
    view.get_mut("a").manifest = Seen::Unasked;
    let Decision::Look(probes) = decided(&view) else { panic!("no question: {:?}", decided(&view)) };
    assert_eq!(
        probes.iter().map(|p| (p.endpoint.as_str(), p.question)).collect::<Vec<_>>(),
        [("a", Question::Manifest)]
    );
}

/// It may have been named leader while it was behind, and have written as much as it lacked.
#[test]
fn a_late_follower_that_ends_right_before_a_term_is_taken_as_it_is_only_once_rows_were_looked_at() {
    let is_taken = |start: u64, rows: Option<RowsSeen>| {
        let mut view = served(9, 8).terms([(1, 0), (5, start)]);
        let leader = a_partition().replica("a", |r| r.leader().alive().loaded(12).last_term(5).leads_to([]));
        view.get_mut("a").manifest = leader.get("a").manifest.clone();
        view.0.memory.rows = rows;
        let choice = view.0.memory.choice.clone().unwrap();
        is_late_prefix(&view.0, &choice, view.get("a"), view.get("b"))
    };
    let same = seen(&[("a", 12), ("b", 8)], &[("b", "a", 0), ("a", "b", 4)]);
    assert!(is_taken(10, None), "the term began behind what it could have written");
    assert!(!is_taken(9, None));
    assert!(is_taken(9, Some(same)));
}
