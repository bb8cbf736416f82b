//! A cluster made up for tests: one partition that is led on `a`, and whose follower on `b` does not answer.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{
    Endpoint, Followers, Held, Identity, Offset, Partition, PartitionId, Pid, Probes, Replica, Role, Seen, Snapshot,
    State, StorageMode, Table, TableName, Tablet, TabletState, Term, TermStart, Tid,
};

use super::lock::Note;
use super::record::{Caller, MemoryArchive, Record, RunHeader, Work};
use super::run_id::RunId;

pub(super) const ID: PartitionId = PartitionId { tid: Tid(7), pid: Pid(0) };
const RUN: RunId = RunId { began_ms: 5, number: 0 };

pub(super) fn orders() -> TableName {
    TableName { db: "shop".to_owned(), table: "orders".to_owned() }
}

/// `shop.orders/0`: its leader on `a` serves at offset 20; `b` is away.
pub(super) fn seen() -> Snapshot {
    let replica = |at: &str, leads| Replica { endpoint: at.into(), is_leader: leads, is_alive: leads, offset: None };
    let partition = Partition {
        pid: Pid(0),
        terms: vec![TermStart { term: Term(1), start: Offset(0) }],
        replicas: vec![replica("a", true), replica("b", false)],
        remotes: Vec::new(),
    };
    let table = Table {
        name: orders(),
        tid: Tid(7),
        storage: StorageMode::Memory,
        has_ttl: false,
        replica_num: None,
        base_table: None,
        partitions: vec![partition],
    };
    let (role, state, index_rows) = (Role::Leader, State::Normal, Vec::new());
    let held = Held { partition: ID, role, state, offset: Offset(20), record_cnt: 20, index_rows };
    let healthy = || Tablet { state: Some(TabletState::Healthy), ..Tablet::unknown() };
    let followers = Seen::Known(Followers { leader_offset: Offset(20), followers: Vec::new() });
    let leads = Tablet {
        held: Seen::Known(BTreeMap::from([(ID, held)])),
        probes: BTreeMap::from([(ID, Probes { followers, ..Probes::UNASKED })]),
        ..healthy()
    };
    let away = Tablet { held: Seen::Failed("connection refused".to_owned()), ..healthy() };
    Snapshot {
        cluster: "test".to_owned(),
        taken_at_ms: 0,
        zone: crate::model::Zone::Alone,
        identity: Identity::Cluster,
        auto_failover: false,
        tables: vec![table],
        tablets: BTreeMap::from([(Endpoint::from("a"), leads), (Endpoint::from("b"), away)]),
        ops: Vec::new(),
    }
}

/// The first line of a recovery's record.
pub(in crate::run) fn begun(run: RunId, cluster: &str, snapshot: Snapshot) -> RunHeader {
    let (cluster, all, auto_failover) = (cluster.to_owned(), true, true);
    let seen = RunHeader::new(run.began_ms, &Caller::default(), Work::Recovery, "recover".to_owned(), snapshot);
    RunHeader { run, cluster, all, auto_failover, ..seen }
}

/// A record that nobody reads.
pub(super) fn record() -> Record {
    Record::begin(&MemoryArchive::default(), begun(RUN, "test", seen())).unwrap()
}

/// What the run leaves for others.
pub(super) fn note() -> Note {
    Note {
        run: RUN,
        host: "h".to_owned(),
        record: String::new(),
        auto_failover: Some(true),
        work: Some(Work::Recovery),
        ended: None,
        serves_early: false,
        unseen: Vec::new(),
        held_for: Vec::new(),
    }
}

/// Some tablets, by their names.
pub(super) fn tablets<const N: usize>(names: [&str; N]) -> BTreeSet<Endpoint> {
    names.into_iter().map(Endpoint::from).collect()
}
