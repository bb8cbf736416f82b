//! Playbooks without RecoverTable.

use super::builder::{Built, recover};
use super::followers::serving;
use crate::recovery::{Decision, Gates, Reason, decide};
use openmldb_model::Seen;

fn without(key: &str, view: &Built) -> Decision {
    let mut playbook = recover();
    playbook.partition.retain(|step| step.key() != key);
    decide(view, &playbook, Gates::OPEN)
}

#[test]
fn a_playbook_that_brings_no_follower_back_says_so() {
    let Decision::Blocked(blocked) = without("recover_table", &serving([], |r| r.loaded(20))) else { panic!() };
    assert_eq!(blocked.reason, Reason::NotInPlaybook);
}

#[test]
fn connected_followers_that_caught_up_are_marked_alive() {
    use crate::playbook::{PartitionStep, Which};
    let mut playbook = recover();
    let at = playbook.partition.iter().position(|step| step.key() == "recover_table").unwrap();
    playbook.partition.insert(at, PartitionStep::MarkAlive { replicas: Which::Connected, alive: true });
    let marked = |view: &Built| matches!(decide(view, &playbook, Gates::OPEN), Decision::Act(intents) if super::builder::said(&intents[0]) == "mark b yes");
    assert!(marked(&serving([("b", 20)], |r| r.loaded(20).heard(1))));
    assert!(!marked(&serving([("b", 19)], |r| r.loaded(19).heard(1))), "not caught up");
    assert!(!marked(&serving([("b", 20)], |r| r.leader().loaded(20).heard(1))), "only RecoverTable clears its flag");
    assert!(!marked(&serving([("b", 20)], |r| r.loaded(20).rows(17).heard(1))), "it lacks rows");
    assert!(!marked(&serving([("b", 20)], |r| r.loaded(20).heard(1).with(|r| r.memory.recovery.must_drop = true))));
    assert!(!marked(&serving([("b", 20)], |r| r.loaded(20).heard(1).with(|r| r.memory.flag_stuck = true))));
    assert!(!marked(&serving([("b", 20)], |r| r.loaded(20).leads_to([]))), "it leads");
    assert!(!marked(&serving([], |r| r.loaded(20))), "not connected");
    let mut unasked = serving([], |r| r.loaded(20));
    unasked.get_mut("a").followers = Seen::Unasked;
    assert!(matches!(decide(&unasked, &playbook, Gates::OPEN), Decision::Look(_)));
}
