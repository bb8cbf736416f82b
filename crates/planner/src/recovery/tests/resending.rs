//! What has to be known of a replica before RecoverTable is sent for it: what its directory holds may be all there is.

use super::builder::{Replica, a_partition};
use super::followers::{serving, tried};
use super::loading::{asks, expired, waits};
use crate::recovery::{
    Decision, Intent, Load, Memory, Outcome, PersistedMemory, Probe, Question, Reason, WaitFor, may_be_resent,
};
use openmldb_model::{Action, Endpoint, Seen, StorageMode};

#[test]
fn a_directory_that_loading_left_in_place_is_not_replaced_unless_that_is_accepted() {
    for led in [false, true] {
        let unread = |r: Replica| r.known_at(3).load(Load::NeverAppeared).with(|r| r.memory.led = led);
        let blocked = serving([], unread).blocked();
        assert_eq!(blocked.reason, Reason::LoadTimeout, "its tablet answers");
        assert!(blocked.loss[0].directory.is_some(), "{blocked:?}");
        let mut accepted = serving([], unread);
        accepted.memory.accepted = blocked.loss;
        assert_eq!(accepted.acts(), ["recover_table b (resend)"]);
        accepted.memory.accepted[0].directory = None;
        assert_eq!(accepted.blocked().reason, Reason::LoadTimeout, "to go on without it is not to replace it");
    }
}

/// LoadTable would make one, and a disk table's never says that there was none.
#[test]
fn a_replica_without_a_directory_is_resent_without_being_loaded() {
    let mut view = serving([], Replica::no_directory);
    view.0.storage = StorageMode::Ssd;
    assert_eq!(view.acts(), ["recover_table b (resend)"]);
    view.get_mut("b").manifest = Seen::Failed("timeout".to_owned());
    assert_eq!(view.acts(), ["load b"], "one file is missing, and what else is there nobody knows");
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

/// The directory is moved away later than the replica is gone (docs/openmldb/experiments.md#loading-right-after-dropping): what was
/// loaded from it meanwhile would never end loading.
#[test]
fn a_directory_that_is_about_to_go_is_not_loaded() {
    let view = serving([], |r| r.loaded(3));
    let action = Action::DropTable { endpoint: "b".into(), partition: view.partition };
    let drop = Intent { step: "recover_table", action, why: String::new(), resends: false };
    let mut memory = view.memory.clone();
    memory.note_outcome(&view, &drop, &Outcome::Applied, None);
    let gone = |memory: &Memory| {
        let mut gone = serving([], |r| r.load(Load::HandedOver).manifest(3, 1));
        gone.get_mut("b").memory = memory.replica(&"b".into());
        gone.get_mut("b").memory.recovery.dropping = false;
        gone.acts()
    };
    assert_eq!(gone(&memory), ["recover_table b (resend)"]);
    memory.replica_mut(&"b".into()).note_restart();
    assert_eq!(gone(&memory), ["load b"], "its tablet was restarted: what is there now stays");
}

/// Clients are faster than our next look, so it counts from the moment it is marked alive; and a later run knows.
#[test]
fn a_leader_is_remembered_to_have_served_until_it_is_seen_as_a_follower() {
    let mut view = a_partition().replica("a", |r| r.leader().loaded(20).leads_to([])).replica("b", |r| r.loaded(20));
    let (a, mut memory) = (Endpoint::from("a"), Memory::default());
    memory.choice = Some(view.choice().into());
    let table = view.table.clone();
    let mark = |endpoint: &str, alive| Intent {
        step: "mark_alive",
        action: Action::MarkAlive {
            table: table.clone(),
            pid: Some(view.partition.pid),
            endpoint: endpoint.into(),
            alive,
        },
        why: String::new(),
        resends: false,
    };
    memory.note_outcome(&view, &mark("b", true), &Outcome::Applied, None);
    memory.note_outcome(&view, &mark("a", true), &Outcome::Refused { code: 301, error: String::new() }, None);
    assert!(!memory.replica(&a).led && !memory.replica(&"b".into()).led, "neither is a leader that serves");
    memory.note_outcome(&view, &mark("a", true), &Outcome::Unknown("hung up".to_owned()), None);
    memory.note_view(&view);
    assert!(memory.replica(&a).led && PersistedMemory::of(&memory.replica(&a)).led);
    view.get_mut("a").data = view.get("b").data.clone();
    memory.note_view(&view);
    assert!(!memory.replica(&a).led, "what it holds now was looked at");
}

#[test]
fn a_leader_is_asked_what_it_has_before_a_directory_that_may_be_its_own_copy_is_replaced() {
    let mut view = serving([], |r| r.load(Load::HandedOver).manifest(5, 1));
    assert_eq!(view.acts(), ["load b"], "what it has is not what its leader has: it is looked at first");
    view.get_mut("a").manifest = Seen::Unasked;
    let Decision::Look(probes) = view.decided() else { panic!("{:?}", view.decided()) };
    assert_eq!(probes, [Probe { endpoint: "a".into(), question: Question::Manifest }]);
}

#[test]
fn the_same_rows_are_no_proof_where_the_last_entries_are_of_another_term() {
    let mut view = serving([], |r| r.loaded(20).last_term(1)).terms([(1, 0), (3, 15)]);
    view.get_mut("a").manifest = a_partition().replica("a", |r| r.loaded(20).last_term(3)).get("a").manifest.clone();
    view.0.memory.rows = Some(super::rows::seen(&[("a", 20), ("b", 20)], &[]));
    assert_eq!(view.acts(), ["recover_table b (resend)"]);
}

#[test]
fn a_connected_follower_ahead_of_its_leader_blocks() {
    for alive in [true, false] {
        let ahead = |leaders_word| {
            serving([("b", leaders_word)], |r| tried(r.loaded(25).heard(1)).with(|r| r.is_alive = alive))
        };
        let wait = waits(&ahead(25));
        assert_eq!(wait.what, WaitFor::Rows("b".into()), "while clients write, a moment shows nothing");
        assert_eq!(expired(ahead(25), wait.what).blocked().reason, Reason::LongerThanLeader);
        let written_since = ahead(20);
        let doubts = matches!(written_since.decided(), Decision::Wait(wait) if wait.what == WaitFor::Rows("b".into()));
        assert!(!doubts, "its leader does not say so");
    }
}

#[test]
fn what_is_to_be_loaded_first_is_named_in_the_command_that_loads_it() {
    let view = serving([], |r| r);
    let refused = may_be_resent(&view, &"b".into()).unwrap_err();
    assert_eq!(refused.hint, format!("load it first: `openmldb-ops replica load {} b`", view.name()));
}
