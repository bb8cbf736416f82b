//! What a single look is worth.

use std::collections::BTreeMap;

use crate::recovery::{Data, Intent, Load, Memory, Outcome, View};
use openmldb_model::Action;
use openmldb_model::{
    Endpoint, Held, Offset, Partition, PartitionId, Pid, Replica, Role, Seen, Snapshot, State, StorageMode, Table,
    TableName, Tablet, TabletState, Term, TermStart, Tid,
};

/// A partition 7_0 with one replica on `a`, which holds it loaded and empty.
fn loaded_and_empty(role: Role) -> Snapshot {
    loaded_at_0(role, 0)
}

/// The same with rows.
fn loaded_at_0(role: Role, record_cnt: u64) -> Snapshot {
    let (a, id) = (Endpoint::from("a"), PartitionId { tid: Tid(7), pid: Pid(0) });
    let held =
        Held { partition: id, role, state: State::Normal, offset: Offset(0), record_cnt, index_rows: Vec::new() };
    let tablet = Tablet {
        state: Some(TabletState::Healthy),
        held: Seen::Known(BTreeMap::from([(id, held)])),
        ..Tablet::unknown()
    };
    let replica = Replica { endpoint: a.clone(), is_leader: true, is_alive: false, offset: None };
    let terms = vec![TermStart { term: Term(1), start: Offset(0) }];
    let table = Table {
        name: TableName { db: "db".to_owned(), table: "t".to_owned() },
        tid: Tid(7),
        storage: StorageMode::Memory,
        has_ttl: false,
        replica_num: None,
        base_table: None,
        partitions: vec![Partition { pid: Pid(0), terms, replicas: vec![replica], remotes: Vec::new() }],
    };
    Snapshot {
        cluster: "test".to_owned(),
        taken_at_ms: 0,
        zone: openmldb_model::Zone::Alone,
        identity: openmldb_model::Identity::Cluster,
        auto_failover: false,
        tables: vec![table],
        tablets: BTreeMap::from([(a, tablet)]),
        ops: Vec::new(),
    }
}

fn data(snapshot: &Snapshot, load: Load, odd_looks: u32) -> Data {
    let mut memory = Memory::default();
    let replica = memory.replica_mut(&Endpoint::from("a"));
    replica.load = load;
    replica.odd_looks = odd_looks;
    let table = &snapshot.tables[0];
    View::of(snapshot, table, &table.partitions[0], &memory).replicas[0].data.clone()
}

#[test]
fn a_replica_just_loaded_is_not_believed_to_be_empty_at_the_first_look() {
    let snapshot = loaded_and_empty(Role::Follower);
    assert_eq!(data(&snapshot, Load::Accepted, 1), Data::Loading(State::Loading));
    assert!(matches!(data(&snapshot, Load::Seen, 2), Data::Loaded(_)));
}

#[test]
fn a_load_that_may_have_arrived_is_not_believed_to_have_ended_empty_at_the_first_look() {
    for load in [Load::Interrupted, Load::InDoubt, Load::NeverAppeared] {
        assert_eq!(data(&loaded_and_empty(Role::Follower), load, 1), Data::Loading(State::Loading));
    }
}

#[test]
fn a_replica_that_shows_rows_is_not_believed_to_be_empty_at_any_look() {
    for load in [Load::Seen, Load::NotSent] {
        assert_eq!(data(&loaded_at_0(Role::Follower, 8), load, 2), Data::Loading(State::Loading));
    }
}

/// Worlds 20031467, 20071104 and three more: its aggregator writes into a replica of a pre-aggregate table while that is loaded. It shows more rows
/// than entries, first of them some, then those of its log, of which there may be none.
#[test]
fn a_pre_aggregate_replica_into_which_its_aggregator_wrote_is_what_it_shows_once_that_lasts() {
    let of_aggregate = |offset: u64, role| {
        let mut snapshot = loaded_at_0(role, 3);
        snapshot.tables[0].base_table = Some(Tid(6));
        let Some(Seen::Known(held)) = snapshot.tablets.get_mut(&Endpoint::from("a")).map(|tablet| &mut tablet.held)
        else {
            panic!("it is loaded")
        };
        held.values_mut().for_each(|held| held.offset = Offset(offset));
        snapshot
    };
    for offset in [0, 2] {
        let snapshot = of_aggregate(offset, Role::Follower);
        let seen = [0, 1, 2, 3].map(|looks| matches!(data(&snapshot, Load::Seen, looks), Data::Loaded(_)));
        assert_eq!(seen, [false, false, false, true], "3 rows at offset {offset}");
        assert!(matches!(data(&of_aggregate(offset, Role::Leader), Load::Seen, 1), Data::Loaded(_)));
    }
    let seen = [1, 3].map(|looks| matches!(data(&of_aggregate(3, Role::Follower), Load::Seen, looks), Data::Loaded(_)));
    assert_eq!(seen, [false, true], "a row an entry may have been made, too, and be gone in the end");
    assert!(matches!(data(&of_aggregate(2, Role::Follower), Load::NotSent, 0), Data::Loaded(_)), "nobody loads it");
}

#[test]
fn an_empty_replica_that_this_run_did_not_load_is_what_it_shows() {
    assert!(matches!(data(&loaded_and_empty(Role::Follower), Load::NotSent, 1), Data::Loaded(_)));
    assert!(matches!(data(&loaded_and_empty(Role::Leader), Load::Accepted, 1), Data::Loaded(_)));
}

#[test]
fn a_load_that_may_not_have_arrived_is_sent_again_to_a_memory_table_only() {
    let snapshot = loaded_and_empty(Role::Follower);
    let table = &snapshot.tables[0];
    for (storage, expected) in [(StorageMode::Memory, Load::NotSent), (StorageMode::Hdd, Load::Interrupted)] {
        let mut memory = Memory::default();
        let mut view = View::of(&snapshot, table, &table.partitions[0], &memory);
        view.storage = storage;
        let (endpoint, partition) = (Endpoint::from("a"), view.partition);
        let action =
            Action::LoadTable { endpoint: endpoint.clone(), table: view.table.clone(), partition, seg_cnt: 8, storage };
        let intent = Intent { step: "load_table", action, why: String::new(), resends: false };
        memory.note_outcome(&view, &intent, &Outcome::Unknown("hung up".to_owned()), None);
        assert_eq!(memory.replica(&endpoint).load, expected, "{storage:?}");
    }
}
