//! What parts a replica from its leader within one term, and until when that has to be remembered.

use super::aggregates::{aggregating, base};
use super::builder::{Built, Replica, a_partition};
use super::carrying_on::{Found, none, restarted, same, told};
use crate::recovery::term::is_proven_prefix;
use crate::recovery::{Decision, Intent, Load, Memory, Outcome, PersistedMemory, Reason, ReplicaMemory};
use openmldb_model::{Action, Offset, OpId, OpKind, OpStatus, StorageMode};

/// What is remembered of how far `b` shares its leader's log, which it does up to 6.
fn shared(change: impl FnOnce(&mut Memory, &Built)) -> Option<Offset> {
    let mut view =
        a_partition().replica("a", |r| r.leader().alive().loaded(9).leads_to([])).replica("b", |r| r.loaded(7));
    view.get_mut("b").memory.shared_up_to = Some(Offset(6));
    view.0.memory.replica_mut(&"b".into()).shared_up_to = Some(Offset(6));
    let mut memory = view.0.memory.clone();
    change(&mut memory, &view);
    memory.replica(&"b".into()).shared_up_to
}

/// What is sent may not come, and what comes may fail.
#[test]
fn how_far_it_shares_its_leaders_log_is_not_forgotten_for_what_is_sent() {
    for outcome in
        [Outcome::Applied, Outcome::Unknown("no answer".to_owned()), Outcome::NotApplied("refused".to_owned())]
    {
        for resends in [true, false] {
            let recovered = shared(|memory, view| {
                let (table, pid, endpoint) = (view.table.clone(), view.partition.pid, "b".into());
                let intent = Intent::new("step", Action::RecoverTable { table, pid, endpoint }, "");
                memory.note_outcome(view, &Intent { resends, ..intent }, &outcome, None);
            });
            assert_eq!(recovered, Some(Offset(6)), "{outcome:?}, {resends}");
        }
        let dropped = shared(|memory, view| {
            let drop = Action::DropTable { endpoint: "b".into(), partition: view.partition };
            memory.note_outcome(view, &Intent::new("step", drop, ""), &outcome, None);
        });
        assert_eq!(dropped, Some(Offset(6)), "{outcome:?}");
    }
}

/// What is left of both bounds once `b`, which shares 6 entries, was seen like that. RecoverTable was to replace it.
fn left_of(build: fn(Built) -> Built) -> (Option<Offset>, Option<Offset>) {
    let b = |r: Replica| r.alive().loaded(9);
    let a = |r: Replica| r.leader().alive().loaded(9).leads_to([("b", 9)]);
    let mut view = a_partition().replica("a", a).replica("b", b);
    let bounds = |memory: &mut ReplicaMemory| {
        (memory.shared_up_to, memory.leader_held) = (Some(Offset(6)), Some(Offset(6)));
        (memory.recovery.resend_meant, memory.recovery.after_op) = (true, Some(OpId(7)));
    };
    bounds(&mut view.get_mut("b").memory);
    bounds(view.0.memory.replica_mut(&"b".into()));
    let view = build(view);
    let mut memory = view.0.memory.clone();
    memory.note_view(&view);
    let replica = memory.replica(&"b".into());
    (replica.shared_up_to, replica.leader_held)
}

#[test]
fn what_parts_a_replica_from_its_leader_is_forgotten_once_it_is_seen_replaced_and_not_before() {
    let (kept, gone) = ((Some(Offset(6)), Some(Offset(6))), (None, None));
    assert_eq!(left_of(|view| view), gone, "it is alive, and its leader replicates to it");
    assert_eq!(left_of(|view| view.op(8, OpKind::ReAdd, OpStatus::Done)), gone);
    assert_eq!(left_of(|view| view.op(8, OpKind::ReAddSimplify, OpStatus::Done)), kept, "its own was kept");
    assert_eq!(left_of(|view| view.op(8, OpKind::ReAddNoSend, OpStatus::Done)), kept, "its own was loaded");
    assert_eq!(left_of(|view| view.op(8, OpKind::ReAdd, OpStatus::Doing)), kept, "it is being worked on");
    let not_alive = |mut view: Built| {
        view.get_mut("b").is_alive = false;
        view
    };
    assert_eq!(left_of(not_alive), kept, "the operation failed");
    let not_meant = |mut view: Built| {
        view.get_mut("b").memory.recovery.resend_meant = false;
        view
    };
    assert_eq!(left_of(not_meant), kept, "nobody was to replace it");
    let apart = |mut view: Built| {
        view.get_mut("a").followers =
            a_partition().replica("a", |r| r.loaded(9).leads_to([])).get("a").followers.clone();
        view
    };
    assert_eq!(left_of(apart), kept, "its leader sends it nothing");
    let leads = |mut view: Built| {
        view.get_mut("b").is_leader = true;
        view.get_mut("b").is_alive = false;
        view
    };
    assert_eq!(left_of(leads), kept);
    let leads_in_memory = |mut view: Built| {
        view.get_mut("b").data = a_partition().replica("b", |r| r.loaded(9).leads_to([])).get("b").data.clone();
        view
    };
    assert_eq!(left_of(leads_in_memory), kept, "it takes writes of its own");
    let at = |offset: u64, looks: u32| {
        let mut view = a_partition()
            .replica("a", |r| r.leader().alive().loaded(9).leads_to([]))
            .replica("b", |r| r.loaded(offset).with(|r| r.memory.odd_looks = looks));
        view.get_mut("b").memory.shared_up_to = Some(Offset(6));
        view.0.memory.replica_mut(&"b".into()).shared_up_to = Some(Offset(6));
        let mut memory = view.0.memory.clone();
        memory.note_view(&view);
        memory.replica(&"b".into()).shared_up_to
    };
    assert_eq!([at(7, 0), at(6, 0)], [Some(Offset(6)), None]);
    assert_eq!([at(0, 1), at(0, 2)], [Some(Offset(6)), None], "one look that shows it empty is not believed");
}

#[test]
fn how_far_it_shares_its_leaders_log_is_forgotten_once_what_is_beyond_is_gone_and_not_before() {
    let seen = |b: fn(Replica) -> Replica| {
        shared(|memory, view| {
            let mut view = view.clone();
            view.get_mut("b").data = a_partition().replica("b", b).get("b").data.clone();
            memory.note_view(&view);
        })
    };
    assert_eq!((seen(|r| r.loaded(6)), seen(|r| r.loaded(7))), (None, Some(Offset(6))));
    assert_eq!(
        (seen(|r| r), seen(|r| r.out_of_reach())),
        (Some(Offset(6)), Some(Offset(6))),
        "nobody sees what it holds"
    );
    let chosen_again = shared(|memory, _| {
        let mut view = a_partition().replica("a", |r| r.leader().loaded(6)).replica("b", |r| r.loaded(7));
        view.0.memory.named_leader = Some("a".into());
        view.0.memory.accepted = view.nobody().loss;
        let choice = view.choice();
        memory.replica_mut(&"b".into()).shared_up_to = Some(Offset(4));
        memory.choose(choice, None);
    });
    assert_eq!(chosen_again, Some(Offset(4)), "it parted from an earlier one before");
}

#[test]
fn how_far_it_shares_its_leaders_log_is_remembered_by_a_later_run() {
    let shares = PersistedMemory::of(&ReplicaMemory { shared_up_to: Some(Offset(6)), ..ReplicaMemory::new() });
    let carried = same(StorageMode::Memory).carried(false, [shares, told(Load::Loaded), none()]);
    assert_eq!(carried.replica(&"b".into()).shared_up_to, Some(Offset(6)));
}

#[test]
fn what_was_doubted_or_may_have_kept_its_own_snapshot_is_so_for_a_later_run() {
    let mut seen = ReplicaMemory { doubted: true, ..ReplicaMemory::new() };
    (seen.recovery.resend_meant, seen.recovery.snapshot_may_stay) = (true, true);
    let carried = same(StorageMode::Memory).carried(false, [PersistedMemory::of(&seen), told(Load::Loaded), none()]);
    let b = carried.replica(&"b".into());
    assert!(b.doubted && b.recovery.snapshot_may_stay);
}

/// `b` was elected in term 5 by an operation that was to be settled, and is not marked alive yet; `a` was alive when the run began.
fn an_election_came_between(b: fn(Replica) -> Replica, is_news: bool) -> Built {
    let a = |r: Replica| r.leader().alive_before().loaded(9);
    let mut view = a_partition().on_disk().terms([(1, 0), (5, 11)]).replica("a", a).replica("b", b);
    let mut memory = view.0.memory.clone();
    memory.terms = if is_news { 1 } else { 2 };
    memory.note_view(&view);
    view.replicas.iter_mut().for_each(|r| r.memory = memory.replica(&r.endpoint));
    view.0.memory = memory;
    view
}

/// Found by the hunt (world 8102954): the leader of before was blamed for having been elected behind what others held.
#[test]
fn a_flag_from_before_an_election_does_not_say_who_was_elected_in_it() {
    let b = |r: Replica| r.leader().loaded(10);
    assert_eq!(an_election_came_between(b, false).reason(), Reason::WrittenBeside);
    let chosen = an_election_came_between(b, true);
    assert_eq!(chosen.chooses(), "b");
    // World 20017942: it may have been named leader while it was behind.
    let [a, b] = ["a", "b"].map(|at| chosen.get(at));
    assert!(!is_proven_prefix(&chosen, a, b), "which of the two was elected last does not show");
    let is_gone = |r: Replica| r.leader().out_of_reach();
    assert_eq!(an_election_came_between(is_gone, true).reason(), Reason::OutOfReach, "it may have taken writes");
    let again = an_election_came_between(|r| r.leader().alive().loaded(10), true);
    assert_eq!([again.get("a").memory.alive_before, again.get("b").memory.alive_before], [false, true]);
    let mut memory = again.0.memory.clone();
    let mut later = again.clone();
    later.get_mut("b").is_alive = false;
    memory.note_view(&later);
    assert!(memory.replica(&"b".into()).alive_before, "that is our own change");
}

/// Whether it is remembered that an aggregator wrote into `a` while it was loaded, after these looks.
fn remembers_writing(looks: &[fn(Replica) -> Replica]) -> bool {
    let mut memory = Memory::default();
    for look in looks {
        let mut view = aggregating(a_partition().replica("a", look), base("a", false));
        view.get_mut("a").memory = memory.replica(&"a".into());
        memory.note_view(&view);
    }
    memory.replica(&"a".into()).written_while_loading
}

/// Found by the hunt (world 9100871): once it led, two rows more than entries looked like puts under way, and its log was sent.
#[test]
fn that_an_aggregator_wrote_into_a_leader_is_known_from_before_it_led() {
    let written: fn(Replica) -> Replica = |r| r.leader().loaded(20).rows(22);
    let leads: fn(Replica) -> Replica = |r| r.leader().alive().loaded(30).rows(32).leads_to([]);
    assert!(!remembers_writing(&[leads]), "two rows may be under way");
    assert!(remembers_writing(&[written, leads]));
    assert!(remembers_writing(&[written, |r| r.out_of_reach(), leads]), "it may be the same process");
    assert!(remembers_writing(&[|r| r.leader().loaded(30).rows(90).leads_to([]), leads]), "so many are not");
    assert!(!remembers_writing(&[written, |r| r, |r| r.leader().loaded(20)]), "loaded anew it holds its log");
    assert!(!remembers_writing(&[written, |r| r.loaded(30)]));
    let remembered = PersistedMemory { written_while_loading: true, ..told(Load::Loaded) };
    let carried = |found: Found| {
        let earlier = [remembered.clone(), told(Load::Loaded), told(Load::Loaded)];
        found.carried(false, earlier).replica(&"b".into()).written_while_loading
    };
    let memory = StorageMode::Memory;
    assert_eq!([carried(same(memory)), carried(restarted(memory))], [true, false]);
}

/// World 62007487: its own log was empty, and its leader's, too.
#[test]
fn what_holds_rows_without_a_log_is_nobodys_beginning() {
    let beginning = |rows| {
        let view = a_partition().replica("a", |r| r.leader().loaded(0)).replica("b", |r| r.loaded(0).rows(rows));
        aggregating(view, base("a", false)).choice().proven
    };
    assert_eq!([beginning(0).len(), beginning(1).len()], [1, 0]);
}

#[test]
fn a_leader_into_which_its_aggregator_wrote_is_nobodys_source_however_few_rows_show_it() {
    let a = |r: Replica| r.leader().alive().loaded(30).rows(32).leads_to([]);
    let mut view = aggregating(a_partition().replica("a", a).replica("b", |r| r.loaded(20)), base("a", false));
    let reason = |view: &Built| match view.decided() {
        Decision::Blocked(blocked) => Some(blocked.reason),
        _ => None,
    };
    assert_ne!(reason(&view), Some(Reason::WrittenWhileLoading));
    view.get_mut("a").memory.written_while_loading = true;
    assert_eq!(reason(&view), Some(Reason::WrittenWhileLoading));
}
