//! What a run remembers: flags before the first change, how far loading is, how actions went, the order of tables.

use std::collections::BTreeMap;

use super::builder::{Built, a_partition};
use crate::recovery::{
    Ahead, Before, Data, Gates, Intent, Load, Loaded, Memory, Next, Order, Outcome, Place, ReplicaMemory, Shared,
    Stage, View, WaitFor,
};
use openmldb_model::{
    Action, Endpoint, Held, Manifest, Offset, OpId, Partition, PartitionId, Pid, Probes, Role, Seen, Snapshot, State,
    StorageMode, Table, Tablet, Term, TermPair, TermStart, Tid,
};

const MEMORY: StorageMode = StorageMode::Memory;
const DISK: StorageMode = StorageMode::Ssd;

fn loaded() -> Data {
    Data::Loaded(Loaded { role: Role::Follower, state: State::Normal, offset: Some(Offset(7)), rows: 7 })
}

fn gone() -> Data {
    Data::OutOfReach("connection refused".to_owned())
}

/// How far loading is after these looks.
fn after(storage: StorageMode, load: Load, looks: &[Data]) -> Load {
    let mut memory = ReplicaMemory { load, ..ReplicaMemory::new() };
    looks.iter().for_each(|data| memory.note_held(storage, data));
    memory.load
}

#[test]
fn a_replica_that_is_gone_after_an_accepted_load_has_vanished() {
    assert_eq!(after(MEMORY, Load::Accepted, &[Data::Absent]), Load::Vanished);
    assert_eq!(after(MEMORY, Load::Accepted, &[Data::Loading(State::Queued), Data::Absent]), Load::Vanished);
    assert_eq!(after(MEMORY, Load::Vanished, &[gone(), Data::Absent]), Load::Vanished);
}

#[test]
fn a_replica_of_a_tablet_that_was_restarted_is_loaded_again() {
    for load in [Load::Accepted, Load::Seen, Load::Loaded] {
        assert_eq!(after(MEMORY, load, &[gone(), Data::Absent]), Load::NotSent);
    }
    assert_eq!(after(MEMORY, Load::NotSent, &[loaded(), Data::Absent]), Load::NotSent, "restarted between two looks");
    assert_eq!(after(DISK, Load::Accepted, &[loaded(), gone(), Data::Absent]), Load::NotSent);
}

#[test]
fn a_disk_table_that_may_still_be_loading_is_not_loaded_again() {
    assert_eq!(after(DISK, Load::Accepted, &[Data::Absent]), Load::Accepted, "it loads unseen");
    assert_eq!(after(DISK, Load::Accepted, &[gone(), Data::Absent]), Load::Interrupted);
    assert_eq!(after(DISK, Load::Interrupted, &[gone(), Data::Absent, loaded()]), Load::Loaded);
}

#[test]
fn what_was_handed_to_the_nameserver_stays_with_it() {
    assert_eq!(after(MEMORY, Load::HandedOver, &[loaded(), gone(), Data::Absent]), Load::HandedOver);
}

#[test]
fn what_appears_after_all_is_there() {
    for load in [Load::NeverAppeared, Load::Refused("131".to_owned()), Load::Vanished, Load::Accepted] {
        assert_eq!(after(MEMORY, load, &[loaded()]), Load::Loaded);
    }
}

#[test]
fn the_largest_offset_seen_is_kept_and_a_drop_ends_when_it_is_gone() {
    let mut memory = ReplicaMemory::new();
    memory.recovery.dropping = true;
    memory.note_held(MEMORY, &loaded());
    assert!(memory.recovery.dropping && memory.largest_offset == Offset(7));
    memory.snapshot_asked = true;
    memory.note_held(MEMORY, &Data::Absent);
    assert!(!memory.recovery.dropping && memory.largest_offset == Offset(7));
    assert!(!memory.snapshot_asked, "the tablet forgot it");
}

#[test]
fn only_a_replica_that_was_sent_for_can_fail_to_appear() {
    for (load, expected) in [
        (Load::Accepted, Load::NeverAppeared),
        (Load::NotSent, Load::NotSent),
        (Load::Interrupted, Load::Interrupted),
        (Load::Loaded, Load::Loaded),
    ] {
        let mut memory = Memory::default();
        memory.replica_mut(&"a".into()).load = load;
        memory.note_expired(DISK, WaitFor::Appearing("a".into()), String::new());
        assert_eq!(memory.replica(&"a".into()).load, expected);
    }
    let mut memory = Memory::default();
    memory.replica_mut(&"a".into()).load = Load::Accepted;
    memory.note_expired(MEMORY, WaitFor::Appearing("a".into()), String::new());
    assert_eq!(memory.replica(&"a".into()).load, Load::Vanished, "it was registered before LoadTable answered");
}

// How actions went.

fn view() -> Built {
    a_partition()
        .replica("a", |r| r.leader().alive().loaded(20).leads_to([]))
        .replica("b", |r| r.loaded(9))
        .replica("c", |r| r)
}

fn noted(memory: &mut Memory, action: Action, resends: bool, outcome: &Outcome) {
    let intent = Intent { step: "test", action, why: String::new(), resends };
    memory.note_outcome(&view(), &intent, outcome, Some(OpId(4)));
}

fn refused(code: i32) -> Outcome {
    Outcome::Refused { code, error: format!("{code}") }
}

fn of(view: &View, build: impl FnOnce(PartitionId, Endpoint) -> Action) -> Action {
    build(view.partition, "b".into())
}

fn load_table() -> Action {
    of(&view(), |partition, endpoint| Action::LoadTable {
        endpoint,
        table: view().table.clone(),
        partition,
        seg_cnt: 8,
        storage: MEMORY,
    })
}

fn recover_table() -> Action {
    of(&view(), |partition, endpoint| Action::RecoverTable {
        table: view().table.clone(),
        pid: partition.pid,
        endpoint,
    })
}

fn mark_alive() -> Action {
    let (table, endpoint) = (view().table.clone(), "b".into());
    Action::MarkAlive { table, pid: Some(Pid(0)), endpoint, alive: true }
}

fn make_snapshot() -> Action {
    of(&view(), |partition, endpoint| Action::MakeSnapshot { endpoint, partition, offset: Offset(9), storage: MEMORY })
}

#[test]
fn a_load_is_accepted_refused_or_not_sent() {
    let load = |outcome: Outcome| {
        let mut memory = Memory::default();
        noted(&mut memory, load_table(), false, &outcome);
        let replica = memory.replica(&"b".into());
        (replica.load.clone(), replica.loads, replica.refusals)
    };
    assert_eq!(load(Outcome::Applied), (Load::Accepted, 1, 0));
    assert_eq!(load(Outcome::Unknown("timeout".to_owned())), (Load::NotSent, 1, 1), "the next look shows it");
    assert_eq!(load(refused(101)), (Load::Accepted, 1, 0), "loaded or loading");
    assert_eq!(load(refused(131)), (Load::Refused("131".to_owned()), 1, 0), "an answer about the replica");
    assert_eq!(load(Outcome::NotApplied("refused".to_owned())), (Load::NotSent, 0, 1));
}

#[test]
fn recovertable_hands_over_what_it_resends_and_begins_a_new_wait() {
    let mut memory = Memory::default();
    for what in [WaitFor::Ops, WaitFor::CatchUp("b".into()), WaitFor::Rows("b".into()), WaitFor::Begun("b".into())] {
        memory.note_expired(MEMORY, what, String::new());
    }
    memory.replica_mut(&"b".into()).recovery.must_drop = true;
    noted(&mut memory, recover_table(), true, &Outcome::Applied);
    let replica = memory.replica(&"b".into());
    assert_eq!((&replica.load, replica.recovery.tries), (&Load::HandedOver, 1));
    assert_eq!((replica.recovery.after_op, replica.recovery.catch_up_to), (Some(OpId(4)), Some(Offset(20))));
    assert!(replica.recovery.resend_meant && replica.recovery.resent_for_rows && !replica.recovery.must_drop);
    assert!(memory.expired.is_empty());
    noted(&mut memory, recover_table(), false, &Outcome::Applied);
    assert!(!memory.replica(&"b".into()).recovery.resend_meant);
}

#[test]
fn recovertable_of_a_connected_replica_hands_nothing_over() {
    let mut memory = Memory::default();
    noted(&mut memory, recover_table(), false, &Outcome::Unknown("timeout".to_owned()));
    assert_eq!((&memory.replica(&"b".into()).load, memory.replica(&"b".into()).recovery.tries), (&Load::NotSent, 1));
    noted(&mut memory, recover_table(), true, &refused(303));
    assert_eq!((&memory.replica(&"b".into()).load, memory.replica(&"b".into()).recovery.tries), (&Load::NotSent, 1));
}

#[test]
fn a_dropped_or_disconnected_replica_has_to_be_resent() {
    let mut memory = Memory::default();
    noted(
        &mut memory,
        of(&view(), |partition, endpoint| Action::DropTable { endpoint, partition }),
        false,
        &Outcome::Applied,
    );
    let replica = memory.replica(&"b".into());
    assert!(replica.recovery.dropping && replica.recovery.must_drop && replica.load == Load::HandedOver);
    let must_drop = |follower: &str, is_resent: bool, outcome: Outcome| {
        let mut memory = Memory::default();
        let (endpoint, partition, follower) = ("a".into(), view().partition, Endpoint::from(follower));
        noted(&mut memory, Action::DelReplica { endpoint, partition, follower: follower.clone() }, is_resent, &outcome);
        memory.replica(&follower).recovery.must_drop
    };
    assert!(must_drop("b", true, Outcome::Applied) && !must_drop("b", true, refused(103)));
    assert!(!must_drop("b", false, Outcome::Applied), "it was disconnected for RecoverTable to take it as it is");
    assert!(!must_drop("c", true, Outcome::Applied), "it is not loaded: it was disconnected to be loaded");
}

#[test]
fn refusals_in_a_row_are_counted() {
    let mut memory = Memory::default();
    let refusals = |memory: &Memory| memory.replica(&"b".into()).refusals;
    noted(&mut memory, mark_alive(), false, &refused(304));
    noted(&mut memory, mark_alive(), false, &Outcome::NotApplied("refused".to_owned()));
    assert_eq!(refusals(&memory), 2);
    noted(&mut memory, mark_alive(), false, &Outcome::Applied);
    assert_eq!(refusals(&memory), 0);
}

#[test]
fn a_flag_of_an_endpoint_unknown_to_the_nameserver_is_stuck() {
    let mut memory = Memory::default();
    noted(&mut memory, mark_alive(), false, &refused(302));
    let replica = memory.replica(&"b".into());
    assert!(replica.flag_stuck && replica.refusals == 0);
    noted(&mut memory, mark_alive(), false, &refused(301));
    assert_eq!(memory.replica(&"b".into()).refusals, 1);
}

#[test]
fn a_snapshot_that_cannot_be_made_blocks_nothing() {
    let mut memory = Memory::default();
    noted(&mut memory, make_snapshot(), false, &refused(105));
    let replica = memory.replica(&"b".into());
    assert_eq!((replica.snapshot_tries, replica.snapshot_asked, replica.refusals), (1, false, 0));
    noted(&mut memory, make_snapshot(), false, &Outcome::Applied);
    assert!(memory.replica(&"b".into()).snapshot_asked);
}

#[test]
fn tries_to_change_the_leader_are_counted() {
    let change = || Action::ChangeLeader { table: view().table.clone(), pid: Pid(0), candidate: "b".into() };
    let mut memory = Memory::default();
    memory.note_expired(MEMORY, WaitFor::Ops, String::new());
    noted(&mut memory, change(), false, &Outcome::Applied);
    assert_eq!((memory.leader_tries, memory.has_expired(&WaitFor::Ops)), (1, false));
    noted(&mut memory, change(), false, &refused(305));
    assert_eq!((memory.leader_tries, memory.leader_error.as_deref()), (1, Some("305")));
    assert_eq!(memory.replica(&"b".into()).refusals, 1);
}

// The start of a run.

fn snapshot(alive: bool, manifest: u64, pair: (bool, u64)) -> (Snapshot, Table) {
    let id = PartitionId { tid: Tid(7), pid: Pid(0) };
    let replica =
        openmldb_model::Replica { endpoint: "a".into(), is_leader: true, is_alive: alive, offset: Some(Offset(5)) };
    let terms = vec![TermStart { term: Term(1), start: Offset(0) }];
    let table = Table {
        name: view().table.clone(),
        tid: Tid(7),
        storage: MEMORY,
        has_ttl: false,
        replica_num: None,
        base_table: None,
        partitions: vec![Partition { pid: Pid(0), terms, replicas: vec![replica], remotes: Vec::new() }],
    };
    let pair = TermPair { has_table: pair.0, is_leader: false, term: Term(0), offset: Offset(pair.1) };
    let manifest = Seen::Known(Manifest { offset: Offset(manifest), term: None, count: 0 });
    let probes = Probes { manifest, term_pair: Seen::Known(pair), ..Probes::UNASKED };
    let held: BTreeMap<PartitionId, Held> = BTreeMap::new();
    let tablet = Tablet { held: Seen::Known(held), probes: BTreeMap::from([(id, probes)]), ..Tablet::unknown() };
    let snapshot = Snapshot {
        cluster: "test".to_owned(),
        taken_at_ms: 0,
        zone: openmldb_model::Zone::Alone,
        identity: openmldb_model::Identity::Cluster,
        auto_failover: false,
        tables: vec![table.clone()],
        tablets: BTreeMap::from([("a".into(), tablet)]),
        ops: Vec::new(),
    };
    (snapshot, table)
}

fn at_start(alive: bool, manifest: u64, pair: (bool, u64), before: &[Before]) -> Shared<ReplicaMemory> {
    let (snapshot, table) = snapshot(alive, manifest, pair);
    Memory::at_start(&snapshot, &table, &table.partitions[0], before).replica(&"a".into())
}

fn before(terms: usize) -> [Before; 1] {
    let partition = PartitionId { tid: Tid(7), pid: Pid(0) };
    let (endpoint, largest_offset) = ("a".into(), Offset(30));
    [Before {
        partition,
        endpoint,
        alive: true,
        found_alive: false,
        largest_offset,
        terms,
        snapshot_file_missing: false,
    }]
}

#[test]
fn alive_before_comes_from_the_cluster_or_an_unfinished_run() {
    assert!(at_start(true, 0, (false, 0), &[]).alive_before);
    assert!(!at_start(false, 0, (false, 0), &[]).alive_before);
    assert!(at_start(false, 0, (false, 0), &before(1)).alive_before);
    assert!(!at_start(false, 0, (false, 0), &before(2)).alive_before, "a leader was elected since");
    assert!(!at_start(true, 0, (false, 0), &before(1)).found_alive, "the run before this one has set it");
    assert!(at_start(true, 0, (false, 0), &before(2)).found_alive);
}

#[test]
fn the_largest_offset_known_is_the_nameservers_manifests_or_an_unfinished_runs() {
    let known = |manifest, before: &[Before]| at_start(true, manifest, (false, manifest), before).largest_offset.0;
    assert_eq!([known(0, &[]), known(9, &[]), known(9, &before(1)), known(9, &before(2))], [5, 9, 30, 30]);
}

/// Found by the hunt: the leader changed in between, and what the unloaded replica once held was forgotten, and discarded.
#[test]
fn what_an_unloaded_replica_once_held_is_known_whoever_has_led_since() {
    let (mut snapshot, table) = snapshot(true, 9, (false, 9));
    let known =
        |snapshot: &Snapshot| Memory::at_start(snapshot, &table, &table.partitions[0], &before(2)).replica(&"a".into());
    assert_eq!(known(&snapshot).largest_offset, Offset(30));
    let id = PartitionId { tid: Tid(7), pid: Pid(0) };
    let held = Held {
        partition: id,
        role: Role::Follower,
        state: State::Normal,
        offset: Offset(9),
        record_cnt: 9,
        index_rows: Vec::new(),
    };
    snapshot.tablets.values_mut().for_each(|tablet| tablet.held = Seen::Known(BTreeMap::from([(id, held.clone())])));
    assert_eq!(known(&snapshot).largest_offset, Offset(9), "it is loaded: its offset is proven");
}

#[test]
fn a_snapshot_file_is_missing_if_manifest_names_one_and_gettermpair_does_not() {
    assert!(at_start(true, 9, (false, 0), &[]).snapshot_file_missing);
    assert!(!at_start(true, 9, (false, 9), &[]).snapshot_file_missing);
    assert!(!at_start(true, 0, (false, 0), &[]).snapshot_file_missing);
    assert!(!at_start(true, 9, (true, 0), &[]).snapshot_file_missing, "loaded: the log's offset, not the file's");
}

#[test]
fn a_missing_snapshot_file_is_remembered_once_what_was_left_is_loaded() {
    let [found] = before(1);
    let found = Before { snapshot_file_missing: true, ..found };
    assert!(at_start(true, 9, (true, 9), &[found]).snapshot_file_missing, "the unfinished run saw it before loading");
}

// Order among tables.

fn may_load(gates: Gates) -> bool {
    gates.comes_first.is_none()
}

fn gates(places: &[(u32, bool, Option<u32>, Stage)], of: u32) -> Gates {
    let id = |tid| PartitionId { tid: Tid(tid), pid: Pid(0) };
    let places: BTreeMap<PartitionId, Place> = places
        .iter()
        .map(|&(tid, system, base, stage)| (id(tid), Place { system, base_table: base.map(Tid), stage }))
        .collect();
    Order::of(places).gates(id(of))
}

#[test]
fn system_tables_come_first() {
    let with = |stage| [(1, true, None, stage), (2, false, None, Stage::Coming)];
    assert!(may_load(gates(&with(Stage::Coming), 1)) && !may_load(gates(&with(Stage::Coming), 2)));
    assert!(may_load(gates(&with(Stage::Settled), 2)));
}

#[test]
fn a_base_table_comes_after_what_aggregates_it() {
    let with = |base, aggregate| [(2, false, None, base), (3, false, Some(2), aggregate)];
    let coming = with(Stage::Coming, Stage::Coming);
    assert!(may_load(gates(&coming, 3)) && !may_load(gates(&coming, 2)));
    assert!(!gates(&coming, 3).base_is_chosen && !gates(&coming, 2).is_aggregated);
    let settled = gates(&with(Stage::Coming, Stage::Settled), 2);
    assert!(may_load(settled) && settled.is_aggregated);
    assert!(gates(&with(Stage::Settled, Stage::Coming), 3).base_is_chosen);
    assert!(may_load(gates(&coming[..1], 2)), "what aggregates it is out of scope");
    assert!(gates(&coming[1..], 3).base_is_chosen, "its base is out of scope");
}

#[test]
fn serving_everywhere_comes_before_redundancy_anywhere() {
    let with = |stage| [(2, false, None, stage), (3, false, None, Stage::Settled)];
    assert!(!gates(&with(Stage::Coming), 3).may_recover_followers);
    assert!(gates(&with(Stage::Settled), 3).may_recover_followers);
}

#[test]
fn what_becomes_of_a_base_table_or_of_what_aggregates_it_may_give_the_other_its_turn() {
    let id = |tid| PartitionId { tid: Tid(tid), pid: Pid(0) };
    let place = |base: Option<u32>| Place { system: false, base_table: base.map(Tid), stage: Stage::Coming };
    let of = || Order::of([(id(2), place(None)), (id(3), place(Some(2))), (id(4), place(None))].into());
    assert!(matches!(of().settle(id(2)), Next::These(ids) if ids == [id(3)]));
    assert!(matches!(of().settle(id(3)), Next::These(ids) if ids == [id(2)]));
    assert!(matches!(of().settle(id(4)), Next::Nobody));
}

/// It is looked for in all that a tablet holds, so only where something is waited for.
#[test]
fn whether_a_tablet_makes_a_snapshot_is_known_where_one_is_waited_for() {
    let makes = |alive: bool, state: State, memory: &Memory| {
        let (mut snapshot, table) = snapshot(alive, 0, (true, 0));
        let partition = PartitionId { tid: Tid(9), pid: Pid(0) };
        let (role, offset) = (Role::Follower, Offset(5));
        let another = Held { partition, role, state, offset, record_cnt: 5, index_rows: Vec::new() };
        let tablet = snapshot.tablets.get_mut(&Endpoint::from("a")).unwrap();
        tablet.held = Seen::Known([(partition, another)].into());
        View::of(&snapshot, &table, &table.partitions[0], memory).replica(&"a".into()).unwrap().tablet_makes_snapshot
    };
    let mut memory = Memory::default();
    assert!(!makes(false, State::MakingSnapshot, &memory), "nobody asked for one");
    memory.replica_mut(&"a".into()).snapshot_asked = true;
    assert!(makes(true, State::MakingSnapshot, &memory) && !makes(true, State::Normal, &memory));
    memory.choice = Some(a_partition().replica("a", |r| r.leader().loaded(5)).choice().into());
    assert!(makes(false, State::MakingSnapshot, &memory), "its term may still be asked for");
    assert!(!makes(true, State::MakingSnapshot, &memory), "it serves");
}

#[test]
fn whoever_waits_for_a_silent_server_holds_up_only_what_it_aggregates_or_what_aggregates_it() {
    let id = |tid| PartitionId { tid: Tid(tid), pid: Pid(0) };
    let place = |system, base: Option<u32>| Place { system, base_table: base.map(Tid), stage: Stage::Coming };
    let (system, base) = (place(true, None), place(false, None));
    let mut order = Order::of([(id(1), system), (id(2), base), (id(3), place(false, Some(2))), (id(4), base)].into());
    assert!(matches!(order.step_aside(id(1)), Next::Everybody), "no other system table is coming");
    assert!(matches!(order.step_aside(id(1)), Next::Nobody), "it has done so already");
    assert_eq!(order.gates(id(4)).comes_first, None);
    assert!(matches!(order.step_aside(id(3)), Next::Nobody));
    assert!(matches!(order.step_aside(id(2)), Next::Nobody));
    assert_eq!(order.gates(id(2)).comes_first, Some(Ahead::Aggregates));
    assert!(!order.gates(id(3)).base_is_chosen && !order.gates(id(4)).may_recover_followers);
    assert!(matches!(order.step_aside(id(4)), Next::Everybody));
    assert!(order.gates(id(4)).may_recover_followers);
    assert!(matches!(order.settle(id(3)), Next::These(ids) if ids == [id(2)]), "its tablet has answered");
    assert!(matches!(order.settle(id(1)), Next::Nobody));
    assert!(order.gates(id(2)).is_aggregated);
}
