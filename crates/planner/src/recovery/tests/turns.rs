//! What comes first among partitions is waited for, but what is sick holds up nobody else for longer than a turn.

use std::time::Duration;

use super::builder::{Built, Replica, a_partition, by_counts, recover};
use super::followers::serving;
use super::loading::expired;
use crate::playbook::{Playbook, TURN, built_in};
use crate::recovery::{Ahead, Decision, Gates, Wait, WaitFor, decide};

fn decided(view: &Built, gates: Gates) -> Decision {
    by_counts(view, &recover(), gates)
}

fn waits(view: &Built, gates: Gates) -> Wait {
    match decided(view, gates) {
        Decision::Wait(wait) => wait,
        other => panic!("{other:?}"),
    }
}

fn acts(view: &Built, gates: Gates) -> bool {
    matches!(decided(view, gates), Decision::Act(_))
}

const LEADERS: Gates = Gates { may_recover_followers: false, ..Gates::OPEN };

fn after(ahead: Ahead) -> Gates {
    Gates { comes_first: Some(ahead), ..Gates::OPEN }
}

#[test]
fn followers_wait_for_the_leaders_of_others_no_longer_than_their_turn() {
    let view = serving([], |r| r.loaded(20));
    let wait = waits(&view, LEADERS);
    assert_eq!((wait.what.clone(), wait.timeout), (WaitFor::Turn(Ahead::Leaders), TURN));
    assert!(acts(&expired(view, wait.what), LEADERS), "a leader that never comes holds up nobody else");
}

#[test]
fn tables_wait_for_system_tables_no_longer_than_their_turn() {
    let (view, gates) = (a_partition().replica("a", Replica::leader), after(Ahead::SystemTables));
    let wait = waits(&view, gates);
    assert_eq!((wait.what.clone(), wait.timeout), (WaitFor::Turn(Ahead::SystemTables), TURN));
    assert!(acts(&expired(view, wait.what), gates));
}

#[test]
fn a_base_table_is_loaded_after_what_aggregates_it_and_leads_after_that() {
    let (view, gates) = (a_partition().replica("a", Replica::leader), after(Ahead::Aggregates));
    let wait = waits(&view, gates);
    assert_eq!((wait.what.clone(), wait.timeout), (WaitFor::Turn(Ahead::Aggregates), TURN));
    assert!(acts(&expired(view, wait.what), gates), "one that never loads holds it up for a turn");
    let mut chosen = a_partition().replica("a", |r| r.leader().loaded(20).last_term(1));
    chosen.0.memory.choose(chosen.choice(), None);
    let gates = Gates { is_aggregated: false, ..Gates::OPEN };
    assert_eq!(waits(&chosen, gates).what, WaitFor::Turn(Ahead::Aggregates));
    assert!(acts(&chosen, Gates::OPEN));
    assert!(acts(&expired(chosen, WaitFor::Turn(Ahead::Aggregates)), gates));
    let mut serves = serving([], |r| r.loaded(20));
    serves.0.memory.choice = Some(a_partition().replica("a", |r| r.leader().loaded(20).last_term(1)).choice().into());
    assert!(acts(&serves, gates), "what serves waits for nobody");
}

#[test]
fn who_leads_a_pre_aggregate_table_is_chosen_after_its_base_tables_leader() {
    let view = a_partition().replica("a", |r| r.leader().loaded(20).last_term(1));
    let gates = Gates { base_is_chosen: false, ..Gates::OPEN };
    let wait = waits(&view, gates);
    assert_eq!((wait.what.clone(), wait.timeout), (WaitFor::Turn(Ahead::BaseTable), TURN));
    assert!(matches!(decided(&expired(view, wait.what), gates), Decision::Choose(_)));
    assert!(acts(&a_partition().replica("a", Replica::leader), gates), "it is loaded all the same");
}

#[test]
fn a_turn_that_is_over_says_nothing_about_another() {
    let view = expired(a_partition().replica("a", Replica::leader), WaitFor::Turn(Ahead::SystemTables));
    assert_eq!(waits(&view, after(Ahead::Aggregates)).what, WaitFor::Turn(Ahead::Aggregates));
}

#[test]
fn how_long_a_turn_may_take_is_the_playbook_s() {
    let text = built_in("recover").unwrap().replace("turn: 3m", "turn: 7s");
    let playbook = Playbook::parse("mine", &text).unwrap();
    let decided = |view: &Built, gates| match decide(view, &playbook, gates) {
        Decision::Wait(wait) => wait.timeout,
        other => panic!("{other:?}"),
    };
    let seven = Duration::from_secs(7);
    assert_eq!(decided(&serving([], |r| r.loaded(20)), LEADERS), seven);
    assert_eq!(decided(&a_partition().replica("a", Replica::leader), after(Ahead::SystemTables)), seven);
    let loaded = a_partition().replica("a", |r| r.leader().loaded(20).last_term(1));
    assert_eq!(decided(&loaded, Gates { base_is_chosen: false, ..Gates::OPEN }), seven);
    let unsaid = Playbook::parse("mine", &text.replace(", turn: 7s", "")).unwrap();
    let view = serving([], |r| r.loaded(20));
    assert!(matches!(decide(&view, &unsaid, LEADERS), Decision::Wait(wait) if wait.timeout == TURN));
}
