//! Going on after a run that did not finish.

use std::collections::{BTreeMap, BTreeSet};

use crate::playbook::Playbook;
use crate::recovery::{
    Choice, Decision, Gates, Intent, Load, Memory, PersistedMemory, PriorRun, ProcessContinuity, PromotionMethod,
    ReplicaMemory, View, WaitFor, decide,
};
use openmldb_model::{
    Action, Directory, Endpoint, Followers, Held, Manifest, Offset, Op, OpId, OpKind, OpStatus, Partition, PartitionId,
    Pid, Probes, Replica, Role, Seen, Snapshot, State, StorageMode, Table, TableName, Tablet, TabletState, Term,
    TermStart, Tid,
};

const MEMORY: StorageMode = StorageMode::Memory;
pub(super) const DISK: StorageMode = StorageMode::Hdd;

fn id(pid: u32) -> PartitionId {
    PartitionId { tid: Tid(7), pid: Pid(pid) }
}

/// A table with partitions 0, 1 and 2 on tablets `a` (its leader) and `b`.
pub(super) struct Found {
    pub(super) storage: StorageMode,
    /// What `b` holds, by pid.
    pub(super) held: Vec<u32>,
    /// Whether `b` has a snapshot of partition 0 in place.
    pub(super) snapshot: bool,
    /// What else `b` has in place of it.
    pub(super) directory: Seen<Directory>,
    /// Whether `a` serves partition 0.
    pub(super) served: bool,
    /// Whether the tablet has registered anew since.
    pub(super) registered_anew: bool,
    /// A partition that an operation works on.
    pub(super) op_on: Option<u32>,
    /// Whether `b` did not say what it has in place.
    pub(super) silent: bool,
    /// Whether `b` does not answer at all.
    pub(super) out_of_reach: bool,
    /// Whether what is known of partition 0 is of an older run than the rest, before the tablet registered anew.
    pub(super) older: bool,
}

pub(super) const NOTHING: Found = Found {
    storage: MEMORY,
    held: Vec::new(),
    snapshot: false,
    directory: Seen::Unasked,
    served: false,
    registered_anew: false,
    op_on: None,
    silent: false,
    out_of_reach: false,
    older: false,
};

impl Found {
    pub(super) fn snapshot(&self) -> Snapshot {
        let replica = |endpoint: &str, is_leader| Replica {
            endpoint: endpoint.into(),
            is_leader,
            is_alive: is_leader && self.served,
            offset: None,
        };
        let partition = |pid| Partition {
            pid: Pid(pid),
            terms: vec![TermStart { term: Term(1), start: Offset(0) }],
            replicas: vec![replica("a", true), replica("b", false)],
            remotes: Vec::new(),
        };
        let table = Table {
            name: TableName { db: "shop".to_owned(), table: "orders".to_owned() },
            tid: Tid(7),
            storage: self.storage,
            has_ttl: false,
            replica_num: None,
            base_table: None,
            partitions: (0..3).map(partition).collect(),
        };
        let held = |pid, role| Held {
            partition: id(pid),
            role,
            state: State::Normal,
            offset: Offset(9),
            record_cnt: 9,
            index_rows: Vec::new(),
        };
        let b: BTreeMap<PartitionId, Held> =
            self.held.iter().map(|pid| (id(*pid), held(*pid, Role::Follower))).collect();
        let a: BTreeMap<PartitionId, Held> = self.served.then(|| (id(0), held(0, Role::Leader))).into_iter().collect();
        let op = |pid| Op {
            id: OpId(9),
            kind: OpKind::ReAddWithDrop,
            status: OpStatus::Doing,
            table: table.name.clone(),
            pid: Pid(pid),
            task: "-".to_owned(),
        };
        let ops = self.op_on.map(op).into_iter().collect();
        let manifest = Manifest { offset: Offset(if self.snapshot { 5 } else { 0 }), term: None, count: 0 };
        let manifest = if self.silent { Seen::Failed("reset".to_owned()) } else { Seen::Known(manifest) };
        let directory = Seen::Known(Directory::InPlace);
        let probes = Probes { manifest, directory: self.directory.clone(), ..Probes::UNASKED };
        let followers = Seen::Known(Followers { leader_offset: Offset(9), followers: Vec::new() });
        let none = Seen::Known(Manifest { offset: Offset(0), term: None, count: 0 });
        let leads = Probes { followers, manifest: none, directory, ..Probes::UNASKED };
        let tablet = |held, probes| Tablet {
            held: Seen::Known(held),
            probes: BTreeMap::from([(id(0), probes)]),
            state: Some(TabletState::Healthy),
            unchanged_ms: Some(100_000),
            ..Tablet::unknown()
        };
        let b = match self.out_of_reach {
            true => Tablet { held: Seen::Failed("garbage".to_owned()), ..tablet(BTreeMap::new(), Probes::UNASKED) },
            false => tablet(b, probes),
        };
        Snapshot {
            cluster: "test".to_owned(),
            taken_at_ms: 1_000_000,
            zone: openmldb_model::Zone::Alone,
            identity: openmldb_model::Identity::Cluster,
            auto_failover: false,
            tables: vec![table],
            tablets: BTreeMap::from([("a".into(), tablet(a, leads)), ("b".into(), b)]),
            ops,
        }
    }

    /// What is remembered of `b`'s replica of partition 0, if `earlier` is what was remembered of all of `b`'s.
    pub(super) fn carried(&self, had_snapshot: bool, earlier: [PersistedMemory; 3]) -> Memory {
        let b = || Endpoint::from("b");
        let mut partitions: BTreeMap<PartitionId, PriorRun> = BTreeMap::new();
        for (pid, remembered) in (0..).zip(earlier) {
            let had_snapshot = if had_snapshot { BTreeSet::from([b()]) } else { BTreeSet::new() };
            let remembered = BTreeMap::from([(b(), remembered)]);
            let before = self.registered_anew || self.older && pid == 0;
            let healthy_since = BTreeMap::from([(b(), if before { 500_000 } else { 900_000 })]);
            partitions.insert(id(pid), PriorRun { remembered, had_snapshot, healthy_since, ..PriorRun::default() });
        }
        let snapshot = self.snapshot();
        let tablets = ProcessContinuity::of(&snapshot, &partitions);
        let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
        let mut memory = Memory::at_start(&snapshot, table, partition, &[]);
        memory.resume_from(&snapshot, table, partition, &partitions[&id(0)], &tablets);
        memory
    }

    pub(super) fn load(&self, had_snapshot: bool, earlier: [PersistedMemory; 3]) -> Load {
        self.carried(had_snapshot, earlier).replica(&"b".into()).load.clone()
    }
}

/// A replica that was told to load, and how far that had come.
pub(super) fn told(load: Load) -> PersistedMemory {
    let held = load == Load::Loaded;
    PersistedMemory { load, held, loads: 1, ..PersistedMemory::default() }
}

pub(super) fn none() -> PersistedMemory {
    PersistedMemory::default()
}

/// The tablet has not been restarted: it holds partition 1, as the earlier run saw.
pub(super) fn same(storage: StorageMode) -> Found {
    Found { storage, held: vec![1], ..NOTHING }
}

/// The tablet has been restarted: it holds nothing of what it held.
pub(super) fn restarted(storage: StorageMode) -> Found {
    Found { storage, ..NOTHING }
}

pub(super) fn loaded() -> PersistedMemory {
    told(Load::Loaded)
}

#[test]
fn a_replica_that_vanished_is_not_loaded_again_by_the_next_run() {
    for load in [Load::Accepted, Load::Seen, Load::Vanished] {
        assert_eq!(same(MEMORY).load(false, [told(load), loaded(), none()]), Load::Vanished);
    }
    assert_eq!(same(DISK).load(false, [told(Load::Seen), loaded(), none()]), Load::Vanished);
    assert_eq!(same(DISK).load(false, [told(Load::NeverAppeared), loaded(), none()]), Load::NeverAppeared);
}

/// Found by the hunt: a load stuck, the tablet was restarted, and auto failover loaded another of its replicas before the next
/// run looked. The data was taken for gone, and a shorter replica led.
#[test]
fn a_tablet_that_registered_anew_proves_no_load_failed_whatever_it_holds() {
    let anew = Found { registered_anew: true, ..same(MEMORY) };
    assert_eq!(anew.load(false, [told(Load::Seen), loaded(), none()]), Load::Interrupted);
    assert_eq!(same(MEMORY).load(false, [told(Load::Interrupted), loaded(), none()]), Load::Interrupted);
    let disk = Found { registered_anew: true, ..same(DISK) };
    assert_eq!(disk.load(false, [told(Load::Seen), loaded(), none()]), Load::Interrupted);
    assert_eq!(anew.load(true, [told(Load::Seen), loaded(), none()]), Load::Vanished, "its snapshot went with it");
}

/// Found by the hunt: one run was killed, the tablet restarted, and another run on one table alone began and ended.
#[test]
fn a_process_that_another_run_knew_is_not_the_one_that_was_told_to_load() {
    let older = Found { older: true, ..same(MEMORY) };
    assert_eq!(older.load(false, [told(Load::Seen), loaded(), none()]), Load::Interrupted);
}

#[test]
fn a_disk_table_that_was_perhaps_told_to_load_is_in_doubt() {
    assert_eq!(same(DISK).load(false, [told(Load::InDoubt), loaded(), none()]), Load::InDoubt);
    assert_eq!(restarted(DISK).load(false, [told(Load::InDoubt), loaded(), none()]), Load::NotSent);
}

#[test]
fn a_load_that_nobody_heard_of_is_in_doubt_for_a_disk_table() {
    for (storage, expected) in [(MEMORY, Load::NotSent), (DISK, Load::InDoubt)] {
        let snapshot = Found { storage, ..NOTHING }.snapshot();
        let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
        let mut memory = Memory::at_start(&snapshot, table, partition, &[]);
        let view = View::of(&snapshot, table, partition, &memory);
        let action = Action::LoadTable {
            endpoint: "b".into(),
            table: table.name.clone(),
            partition: id(0),
            seg_cnt: 8,
            storage,
        };
        let intent = Intent { step: "load_table", action, why: String::new(), resends: false };
        memory.note_unheard(&view, &intent, None);
        let replica = memory.replica(&"b".into());
        assert_eq!((&replica.load, replica.loads), (&expected, 1));
    }
}

#[test]
fn a_disk_table_in_doubt_is_told_once_it_has_not_appeared() {
    let snapshot = Found { storage: DISK, directory: Seen::Known(Directory::InPlace), ..NOTHING }.snapshot();
    let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
    let b = Endpoint::from("b");
    let mut memory = Memory::at_start(&snapshot, table, partition, &[]);
    for endpoint in ["a", "b"] {
        memory.replica_mut(&endpoint.into()).load = Load::InDoubt;
    }
    let view = |memory: &Memory| View::of(&snapshot, table, partition, memory);
    let playbook = Playbook::find("recover").unwrap();
    let decided = |memory: &Memory| decide(&view(memory), &playbook, Gates::OPEN);
    let Decision::Wait(wait) = decided(&memory) else { panic!("{:?}", decided(&memory)) };
    assert!(matches!(&wait.what, WaitFor::Appearing(_)));
    memory.note_expired(DISK, WaitFor::Appearing("a".into()), String::new());
    memory.note_expired(DISK, WaitFor::Appearing(b.clone()), String::new());
    assert_eq!(memory.replica(&b).load, Load::NotSent);
    let Decision::Act(intents) = decided(&memory) else { panic!("{:?}", decided(&memory)) };
    assert!(intents.iter().all(|intent| matches!(intent.action, Action::LoadTable { .. })) && intents.len() == 2);
    assert!(!memory.has_expired(&WaitFor::Appearing(b.clone())), "it is waited for again");
    let told = ReplicaMemory { load: Load::Accepted, loads: 2, ..ReplicaMemory::default() };
    *memory.replica_mut(&b) = told;
    memory.note_expired(DISK, WaitFor::Appearing(b.clone()), String::new());
    assert_eq!(
        memory.replica(&b).load,
        Load::Interrupted,
        "the first call may have been heard, so its data is not known to be gone"
    );
}

#[test]
fn a_disk_table_that_was_told_to_load_is_not_told_again() {
    for load in [Load::Accepted, Load::Interrupted, Load::NotSent] {
        assert_eq!(same(DISK).load(false, [told(load.clone()), loaded(), none()]), Load::Interrupted);
        let unknown = Found { storage: DISK, ..NOTHING };
        assert_eq!(unknown.load(false, [told(load), none(), none()]), Load::Interrupted, "for all that is known");
    }
}

#[test]
fn a_restarted_tablet_is_told_again() {
    for load in [Load::Accepted, Load::Seen, Load::Interrupted, Load::NotSent, Load::HandedOver] {
        for storage in [MEMORY, DISK] {
            assert_eq!(restarted(storage).load(false, [told(load.clone()), loaded(), none()]), Load::NotSent);
        }
    }
    assert_eq!(restarted(MEMORY).load(false, [told(Load::Accepted), told(Load::Seen), none()]), Load::NotSent);
    assert_eq!(restarted(MEMORY).load(false, [loaded(), none(), none()]), Load::NotSent, "what is loaded stays");
}

/// Found by the hunt: two replicas that RecoverTable replaces are dropped at the same time.
#[test]
fn replicas_that_the_nameserver_replaces_are_no_sign_of_a_restart() {
    let replaced = || PersistedMemory { held: true, ..told(Load::HandedOver) };
    assert_eq!(restarted(DISK).load(false, [told(Load::Interrupted), replaced(), replaced()]), Load::Interrupted);
    let worked_on = Found { op_on: Some(1), ..restarted(DISK) };
    assert_eq!(worked_on.load(false, [told(Load::Interrupted), loaded(), none()]), Load::Interrupted);
    assert_eq!(worked_on.load(false, [told(Load::Interrupted), loaded(), loaded()]), Load::NotSent);
}

/// Found by the hunt: its leader died in the middle of the resend, and nobody brought it back for as long as its tablet lived.
#[test]
fn a_resend_that_is_over_leaves_a_partition_without_leader_to_be_loaded() {
    assert_eq!(same(MEMORY).load(false, [told(Load::HandedOver), loaded(), none()]), Load::NotSent);
    let under_way = Found { op_on: Some(0), ..same(MEMORY) };
    assert_eq!(under_way.load(false, [told(Load::HandedOver), loaded(), none()]), Load::HandedOver);
    let served = Found { served: true, ..same(MEMORY) };
    assert_eq!(served.load(false, [told(Load::HandedOver), loaded(), none()]), Load::HandedOver);
}

/// Found by the hunt (worlds 333393 and 333486): a replica that was brought back and written to was taken for empty, by a later
/// run, once its tablet had been restarted; and so was one whose tablet did not answer when that run began.
#[test]
fn what_was_handed_over_once_is_not_taken_for_empty_for_ever() {
    let handed = || [told(Load::HandedOver), none(), none()];
    let there = || Found { held: vec![0], served: true, ..NOTHING };
    assert_eq!(there().load(false, handed()), Load::Loaded);
    assert_eq!(Found { op_on: Some(0), ..there() }.load(false, handed()), Load::HandedOver, "it is not over");
    let away = || Found { out_of_reach: true, ..NOTHING };
    assert_eq!(away().load(false, handed()), Load::NotSent);
    assert_eq!(Found { op_on: Some(0), ..away() }.load(false, handed()), Load::HandedOver, "it is not over");
    assert_eq!(Found { served: true, ..away() }.load(false, handed()), Load::HandedOver, "its leader has everything");
}

#[test]
fn that_a_replica_served_as_leader_is_known_to_the_next_run() {
    let led = PersistedMemory { led: true, ..told(Load::NeverAppeared) };
    assert!(same(DISK).carried(false, [led, loaded(), none()]).replica(&"b".into()).led);
}

/// Found by the hunt: its tablet was restarted before it was dropped, and the snapshot in its directory was taken for its leader's.
#[test]
fn what_was_to_be_resent_and_has_a_snapshot_is_loaded_and_looked_at() {
    let in_place = Found { served: true, snapshot: true, ..same(MEMORY) };
    assert_eq!(in_place.load(false, [told(Load::HandedOver), loaded(), none()]), Load::NotSent);
    let under_way = Found { op_on: Some(0), ..in_place };
    assert_eq!(under_way.load(false, [told(Load::HandedOver), loaded(), none()]), Load::HandedOver);
}

#[test]
fn one_missing_replica_is_no_proof_that_its_tablet_was_restarted() {
    let alone = |load| restarted(MEMORY).load(false, [told(load), none(), none()]);
    assert_eq!([alone(Load::Accepted), alone(Load::Seen)], [Load::Interrupted, Load::Interrupted]);
}

#[test]
fn disk_tables_that_were_told_to_load_and_do_not_show_yet_are_no_sign_of_a_restart() {
    let told_twice = |load: Load| restarted(DISK).load(false, [told(load.clone()), told(load), none()]);
    assert_eq!(told_twice(Load::Accepted), Load::Interrupted, "both may be loading unseen");
    assert_eq!(told_twice(Load::Seen), Load::NotSent);
}

/// Found by the hunt: the tablet died between two questions.
#[test]
fn a_snapshot_that_nobody_was_told_of_is_not_known_to_be_gone() {
    let silent = Found { silent: true, ..NOTHING };
    assert_eq!(silent.load(true, [told(Load::Seen), none(), none()]), Load::Interrupted);
}

#[test]
fn a_snapshot_in_place_shows_that_the_directory_is() {
    let found = Found { snapshot: true, ..NOTHING };
    for load in [Load::Accepted, Load::Seen, Load::Vanished, Load::NotSent] {
        assert_eq!(found.load(true, [told(load), none(), none()]), Load::NotSent);
    }
    for load in [Load::Accepted, Load::Seen, Load::NotSent] {
        assert_eq!(NOTHING.load(true, [told(load), none(), none()]), Load::Vanished, "its snapshot went with it");
    }
}

#[test]
fn a_call_that_was_perhaps_never_sent_may_be_sent() {
    assert_eq!(same(MEMORY).load(false, [told(Load::NotSent), loaded(), none()]), Load::NotSent);
    assert_eq!(same(MEMORY).load(false, [none(), loaded(), none()]), Load::NotSent);
    assert_eq!(same(DISK).load(false, [none(), loaded(), none()]), Load::NotSent);
}

#[test]
fn what_vanished_may_have_been_put_back_unless_its_tablet_or_its_leader_went_on() {
    for load in [Load::Vanished, Load::NeverAppeared] {
        assert_eq!(NOTHING.load(false, [told(load.clone()), none(), none()]), Load::Interrupted);
        let served = Found { served: true, ..NOTHING };
        assert_eq!(served.load(false, [told(load.clone()), none(), none()]), load);
    }
    let after_a_restart = |storage, load| restarted(storage).load(false, [told(load), loaded(), none()]);
    assert_eq!(after_a_restart(MEMORY, Load::Vanished), Load::Interrupted);
    assert_eq!(after_a_restart(DISK, Load::NeverAppeared), Load::NotSent, "what was in its way may be gone");
    let with_snapshot = Found { snapshot: true, served: true, ..same(DISK) };
    let told_twice = with_snapshot.load(false, [told(Load::NeverAppeared), loaded(), none()]);
    assert_eq!(told_twice, Load::NeverAppeared, "it may be loading unseen");
    let put_back = Found { directory: Seen::Known(Directory::InPlace), served: true, ..same(MEMORY) };
    assert_eq!(put_back.load(false, [told(Load::Vanished), loaded(), none()]), Load::NotSent, "its files are there");
}

#[test]
fn what_was_handed_over_to_the_nameserver_is_so_only_while_a_leader_serves() {
    let handed = || [told(Load::HandedOver), none(), none()];
    assert_eq!(Found { served: true, ..NOTHING }.load(false, handed()), Load::HandedOver);
    assert_eq!(NOTHING.load(false, handed()), Load::NotSent, "it may have been brought back, and be the longest now");
}

#[test]
fn a_refusal_is_asked_for_again() {
    assert_eq!(same(MEMORY).load(false, [told(Load::Refused("131".to_owned())), loaded(), none()]), Load::NotSent);
}

#[test]
fn what_is_there_is_as_it_was_remembered() {
    let found = Found { held: vec![0], ..NOTHING };
    assert_eq!(found.load(false, [loaded(), none(), none()]), Load::Loaded);
    assert_eq!(found.load(false, [told(Load::HandedOver), none(), none()]), Load::HandedOver);
}

#[test]
fn a_resend_that_was_meant_is_checked_by_the_next_run() {
    let meant = PersistedMemory {
        recover_tries: 3,
        after_op: Some(OpId(8)),
        resend_meant: true,
        must_drop: true,
        ..told(Load::HandedOver)
    };
    let memory = Found { held: vec![0, 1], served: true, ..NOTHING }.carried(false, [meant.clone(), loaded(), none()]);
    assert!(memory.was_bringing_back());
    let recovery = memory.replica(&"b".into()).recovery.clone();
    assert_eq!(
        (recovery.tries, recovery.after_op, recovery.resend_meant, recovery.must_drop),
        (1, Some(OpId(8)), true, true)
    );
    let memory = restarted(MEMORY).carried(false, [meant, loaded(), none()]);
    assert!(!memory.was_bringing_back(), "nothing of it is left in memory");
}

fn choice(leader: &str) -> Choice {
    Choice {
        leader: leader.into(),
        way: PromotionMethod::ChangeRole,
        offset: Some(Offset(9)),
        why: String::new(),
        rejected: Vec::new(),
        proven: vec!["b".into()],
        doubted: vec!["b".into()],
        unread: vec!["b".into()],
        given_up: Vec::new(),
        out_of_reach: vec!["c".into()],
        seen_no_longer: Vec::new(),
    }
}

#[test]
fn a_choice_holds_while_its_leader_serves_and_proves_nothing_any_more() {
    let kept = |found: Found, leader: &str| {
        let snapshot = found.snapshot();
        let earlier = PriorRun { choice: Some(choice(leader)), ..PriorRun::default() };
        let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
        let mut memory = Memory::default();
        memory.resume_from(&snapshot, table, partition, &earlier, &ProcessContinuity::default());
        memory.choice
    };
    let served = || Found { served: true, ..NOTHING };
    let choice = kept(served(), "a").unwrap();
    assert_eq!((&choice.proven, &choice.out_of_reach), (&Vec::new(), &vec!["c".into()]));
    assert_eq!((&choice.doubted, &choice.unread), (&Vec::new(), &Vec::new()));
    assert_eq!(kept(served(), "b"), None, "another one leads");
    assert_eq!(kept(NOTHING, "a"), None, "it does not serve");
}

#[test]
fn without_a_record_disk_tables_may_be_loading_unseen() {
    for (storage, expected) in [(MEMORY, Load::NotSent), (DISK, Load::Interrupted)] {
        let snapshot = Found { storage, ..NOTHING }.snapshot();
        let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
        let mut memory = Memory::at_start(&snapshot, table, partition, &[]);
        memory.resume_without_record(&snapshot, table, partition, false);
        assert_eq!(memory.replica(&"b".into()).load, expected);
    }
    // One that has nothing to load has nothing to lose by being told again, if it has not shown in time.
    let snapshot = Found { storage: DISK, directory: Seen::Known(Directory::Bare), ..NOTHING }.snapshot();
    let (table, partition) = (&snapshot.tables[0], &snapshot.tables[0].partitions[0]);
    let mut memory = Memory::at_start(&snapshot, table, partition, &[]);
    memory.resume_without_record(&snapshot, table, partition, false);
    assert_eq!(memory.replica(&"b".into()).load, Load::InDoubt);
}

#[test]
fn what_is_back_leaves_only_what_its_tablets_held() {
    let remembered = BTreeMap::from([("a".into(), loaded()), ("b".into(), told(Load::Vanished))]);
    let mut earlier = PriorRun { remembered, choice: Some(choice("a")), ..PriorRun::default() };
    earlier.settle();
    let held = PersistedMemory { held: true, ..PersistedMemory::default() };
    let remembered = BTreeMap::from([("a".into(), held)]);
    assert_eq!(earlier, PriorRun { remembered, ..PriorRun::default() });
}
