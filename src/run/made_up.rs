//! A cluster made up for tests: one partition that is led on `a`, and whose follower on `b` does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{Cluster, Options, Pending, Rpc};
use crate::model::{
    Endpoint, Followers, Held, Identity, Offset, Partition, PartitionId, Pid, Probes, Replica, Role, Seen, Snapshot,
    State, StorageMode, Table, TableName, Tablet, TabletState, Term, TermStart, Tid,
};

use crate::playbook::Playbook;
use crate::recovery::Memory;
use crate::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

use super::driver::{Driver, Settings, Stop};
use super::early_leader_note::EarlyLeaderNote;
use super::lane::Widths;
use super::lock::{InMemoryLock, Lock as _, Note};
use super::missing::Awaiting;
use super::record::{Archive, By, Caller, MemoryArchive, Record, RecordWriter, RunHeader, Work};
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

/// Where each record takes so many writes and syncs.
pub(super) struct Drawer(pub(super) fn() -> Short);

pub(super) struct Short {
    pub(super) writes: usize,
    pub(super) syncs: usize,
}

impl RecordWriter for Short {
    fn write(&mut self, _text: &[u8]) -> io::Result<()> {
        self.writes = self.writes.checked_sub(1).ok_or_else(|| io::Error::other("no space left"))?;
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.syncs = self.syncs.checked_sub(1).ok_or_else(|| io::Error::other("input/output error"))?;
        Ok(())
    }

    fn take_back(&mut self) -> io::Result<()> {
        Err(io::Error::other("input/output error"))
    }
}

impl Archive for Drawer {
    fn create(&self, run: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)> {
        Ok((run, Box::new((self.0)())))
    }

    fn runs(&self) -> io::Result<Vec<RunId>> {
        Ok(Vec::new())
    }

    fn read(&self, _run: RunId) -> io::Result<Box<dyn io::Read>> {
        Err(io::ErrorKind::NotFound.into())
    }

    fn place(&self, _run: RunId) -> String {
        "drawer".to_owned()
    }

    fn home(&self) -> String {
        "desk".to_owned()
    }
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
        by: By::Person,
        serves_early: false,
        unseen: Vec::new(),
        held_for: Vec::new(),
    }
}

/// Some tablets, by their names.
pub(super) fn tablets<const N: usize>(names: [&str; N]) -> BTreeSet<Endpoint> {
    names.into_iter().map(Endpoint::from).collect()
}

/// Servers that nobody is to call.
struct Nobody;

impl Rpc for Nobody {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        panic!("nobody expected {}", call.name());
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        panic!("nobody expected {} to {endpoint}", call.name());
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        panic!("nobody looks for the nameserver");
    }
}

/// A driver that calls nobody, of the first partition of every table. It stays open for so long.
pub(super) fn driver_of(snapshot: Snapshot, open_for: Duration) -> Driver {
    let memory = |table: &Table| {
        let partition = &table.partitions[0];
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        (id, Memory::at_start(&snapshot, table, partition, &[]))
    };
    let memories = snapshot.tables.iter().map(memory).collect();
    let lock = Arc::new(InMemoryLock::default());
    let (_, stop) = watch::channel(Stop::No);
    let settings = Settings {
        playbook: Playbook::find("recover").unwrap(),
        widths: Widths::default(),
        pace: 1.0,
        listener: Arc::new(|_| {}),
        stop,
        record: record(),
        hold: lock.hold(),
        early_leader_note: EarlyLeaderNote { lock, note: note(), told: false },
        awaiting: Awaiting { since: Instant::now(), time: open_for, always: BTreeSet::new(), gone: BTreeSet::new() },
    };
    Driver::new(Cluster::new(Arc::new(Nobody), Options::default()), settings, snapshot, memories)
}
