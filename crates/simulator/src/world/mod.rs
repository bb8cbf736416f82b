//! The world: nameservers, tablets, their ZooKeeper sessions, the clients that write, and one clock for all of them.
//!
//! Pure and synchronous. Nothing happens but in [`World::advance_to`], [`World::call_nameserver`], [`World::call_tablet`]
//! and the methods that do something to a server; the same history with the same seed gives the same world.

mod faults;
mod health;
mod leaderless;
mod power;
mod reach;
mod recoverdata;
mod remote;
mod rows;
mod settings;
mod trace;

use std::collections::{BTreeMap, BTreeSet};

pub use leaderless::Leaderless;
pub use power::Started;
pub use rows::{RowCount, Rows};
pub use settings::Settings;
pub(super) use trace::partition;
pub use trace::{Trace, Traced};

use super::Millis;
use super::fault::Script;
use super::nameserver::{self, Nameservers};
use super::tablet::{RowId, Tablets};
use super::writers::{Write, Writers};
use faults::ScheduledFault;
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::call::{Effect, NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::nameserver::{TableInfo, TablePartition};
use power::Session;
use reach::Reach;
use rows::RowLedger;

/// A server that does not answer: it is down, or there is none of that endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint} does not answer")]
pub struct Unreachable {
    /// The endpoint called.
    pub endpoint: Endpoint,
}

/// Where a world's servers listen: `ip:port` each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    /// The nameservers.
    pub nameservers: Vec<Endpoint>,
    /// The tablets.
    pub tablets: Vec<Endpoint>,
}

impl Addresses {
    /// The recordings' own: nameservers from port 8527, tablets from port 11921. For worlds without sockets.
    pub fn recorded(nameservers: usize, tablets: usize) -> Self {
        let from = |first: usize, count: usize| (first..first + count).map(|port| format!("127.0.0.1:{port}").into());
        Self { nameservers: from(8527, nameservers).collect(), tablets: from(11_921, tablets).collect() }
    }
}

/// A simulated OpenMLDB cluster.
#[derive(Debug, Clone)]
pub struct World {
    now: Millis,
    session_timeout: Millis,
    nameservers: Nameservers,
    tablets: Tablets,
    /// Server names and their addresses; empty unless use_name.
    names: BTreeMap<Endpoint, Endpoint>,
    nameserver_endpoints: Vec<Endpoint>,
    tablet_endpoints: Vec<Endpoint>,
    sessions: BTreeMap<Endpoint, Session>,
    frozen: BTreeSet<Endpoint>,
    /// Tablets whose every answer takes so long.
    slow: BTreeMap<Endpoint, Millis>,
    leaderless: Vec<Leaderless>,
    writers: Option<Writers>,
    ledger: RowLedger,
    trace: Trace,
    last_row: u64,
    /// Faults that wait for their moment.
    faults: Script,
    /// What faults that have begun still do, by time.
    deeds: Vec<(Millis, ScheduledFault)>,
    /// Partitions that a second recovery has lost rows of.
    ruined: BTreeSet<PartitionId>,
}

impl World {
    /// Servers at those addresses, none of them started, nothing created.
    pub fn new(settings: Settings, addresses: &Addresses) -> Self {
        let name = |at: usize, address: &Endpoint| match settings.use_name {
            true => Endpoint::from(server_name(at)),
            false => address.clone(),
        };
        let tablet_endpoints: Vec<Endpoint> =
            addresses.tablets.iter().enumerate().map(|(at, address)| name(at, address)).collect();
        let tablet_count = tablet_endpoints.len();
        let nameserver_endpoints: Vec<Endpoint> =
            addresses.nameservers.iter().enumerate().map(|(at, address)| name(tablet_count + at, address)).collect();
        let mut names = BTreeMap::new();
        if settings.use_name {
            names.extend(tablet_endpoints.iter().cloned().zip(addresses.tablets.iter().cloned()));
            names.extend(nameserver_endpoints.iter().cloned().zip(addresses.nameservers.iter().cloned()));
        }
        let mut tablets = Tablets::new(settings.tablet, settings.seed);
        for endpoint in &tablet_endpoints {
            tablets.add(endpoint.as_str());
        }
        tablets.set_names(names.iter().map(|(name, at)| (name.to_string(), at.to_string())).collect());
        let endpoints: Vec<&str> = nameserver_endpoints.iter().map(Endpoint::as_str).collect();
        let mut nameservers = Nameservers::new(&endpoints, settings.nameserver, settings.seed);
        for (name, address) in &names {
            nameservers.register_name(name.as_str(), address.as_str());
        }
        Self {
            now: 0,
            session_timeout: settings.session_timeout_ms,
            nameservers,
            tablets,
            names,
            nameserver_endpoints,
            tablet_endpoints,
            sessions: BTreeMap::new(),
            frozen: BTreeSet::new(),
            slow: BTreeMap::new(),
            leaderless: Vec::new(),
            writers: None,
            ledger: RowLedger::default(),
            trace: Trace::default(),
            last_row: 0,
            faults: Script::default(),
            deeds: Vec::new(),
            ruined: BTreeSet::new(),
        }
    }

    /// The time the world has reached.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// When something happens next by itself.
    pub fn next_event(&self) -> Option<Millis> {
        [
            self.tablets.next_event(),
            self.nameservers.next_event(),
            self.sessions.values().filter_map(Session::ends).min(),
            self.writers.as_ref().map(Writers::next_event),
            self.next_fault(),
        ]
        .into_iter()
        .flatten()
        .min()
    }

    /// Lets everything happen that is due up to `until`, in the order of time. What is due at the same time happens in
    /// this order: tablets, nameservers, sessions, faults, writers.
    pub fn advance_to(&mut self, until: Millis) {
        while let Some(next) = self.next_event().filter(|next| *next <= until) {
            self.step(next.max(self.now));
        }
        if until > self.now {
            self.step(until);
        }
    }

    /// As [`World::advance_to`], by a duration in milliseconds.
    pub fn advance_by(&mut self, millis: Millis) {
        self.advance_to(self.now.saturating_add(millis));
    }

    fn step(&mut self, at: Millis) {
        self.now = at;
        self.tablets.advance_to(at);
        self.nameservers.advance_to(at, &mut Reach(&mut self.tablets));
        self.end_sessions();
        self.inject_due();
        while self.writers.as_ref().is_some_and(|writers| writers.next_event() <= at) {
            self.write_row();
        }
        self.watch_leaderless();
    }

    /// A client calls a nameserver, by its endpoint or its address.
    ///
    /// # Errors
    /// If that server does not answer. A refusal is an answer.
    pub fn call_nameserver(
        &mut self,
        endpoint: &Endpoint,
        call: NameserverCall,
    ) -> Result<NameserverAnswer, Unreachable> {
        let endpoint = self.endpoint_at(endpoint.as_str()).unwrap_or_else(|| endpoint.clone());
        let partitions = match call.effect() {
            Effect::Mutate => trace::named_by_nameserver_call(&call, &self.nameservers),
            Effect::Read => Vec::new(),
        };
        self.traced(&endpoint, NameserverCall::SERVICE, call.name(), call.effect(), partitions);
        if self.nameservers.dies_of(&call) {
            self.kill_nameserver(&endpoint);
            return Err(Unreachable { endpoint });
        }
        let answer = self.nameservers.call(endpoint.as_str(), self.now, call, &mut Reach(&mut self.tablets));
        self.watch_leaderless();
        answer.map_err(|_| Unreachable { endpoint })
    }

    /// A client calls a tablet, by its endpoint or its address.
    ///
    /// # Errors
    /// If that server does not answer. A refusal is an answer.
    pub fn call_tablet(&mut self, endpoint: &Endpoint, call: TabletCall) -> Result<TabletAnswer, Unreachable> {
        let endpoint = self.endpoint_at(endpoint.as_str()).unwrap_or_else(|| endpoint.clone());
        self.traced(&endpoint, TabletCall::SERVICE, call.name(), call.effect(), trace::named_by_tablet_call(&call));
        let told = matches!(call, TabletCall::ChangeRole(_)).then(|| call.clone());
        let answer = self.tablets.call(endpoint.as_str(), call);
        if let Some(told) = told {
            self.note_told(&endpoint, &told);
        }
        self.watch_leaderless();
        answer.map_err(|_| Unreachable { endpoint })
    }

    fn traced(
        &mut self,
        server: &Endpoint,
        service: &'static str,
        method: &'static str,
        effect: Effect,
        partitions: Vec<PartitionId>,
    ) {
        if effect == Effect::Mutate {
            let healthy = partitions.iter().filter(|id| self.ledger.healthy.contains(*id));
            self.ledger.touched.extend(healthy);
        }
        self.trace.push(Traced { at: self.now, server: server.clone(), service, method, effect, partitions });
    }

    /// What clients called since the books were opened.
    pub fn trace(&self) -> &Trace {
        &self.trace
    }

    /// The nameserver that leads.
    pub fn leader(&self) -> Option<Endpoint> {
        self.nameservers.leader().map(Endpoint::from)
    }

    /// Every nameserver's endpoint.
    pub fn nameserver_endpoints(&self) -> &[Endpoint] {
        &self.nameserver_endpoints
    }

    /// Every tablet's endpoint.
    pub fn tablet_endpoints(&self) -> &[Endpoint] {
        &self.tablet_endpoints
    }

    /// What metadata calls the server at an address (or of that name).
    pub fn endpoint_at(&self, address: &str) -> Option<Endpoint> {
        let named = self.names.iter().find(|(name, at)| at.as_str() == address || name.as_str() == address);
        let known = || self.nameserver_endpoints.iter().chain(&self.tablet_endpoints).find(|at| at.as_str() == address);
        named.map(|(name, _)| name).or_else(known).cloned()
    }

    /// Where a server listens.
    pub fn address_of(&self, endpoint: &Endpoint) -> Endpoint {
        self.names.get(endpoint).unwrap_or(endpoint).clone()
    }

    /// Server names and addresses; empty unless servers go by names.
    pub fn names(&self) -> &BTreeMap<Endpoint, Endpoint> {
        &self.names
    }

    /// Writes what a server's name stands for into `map/names`, as a server does when it registers. Without names nobody looks
    /// there.
    pub fn map_name(&mut self, name: &Endpoint, address: &str) {
        if !self.names.is_empty() {
            self.nameservers.register_name(name.as_str(), address);
        }
    }

    /// What `map/names` holds: what a server of that name wrote when it registered.
    pub fn map_of_names(&self) -> &BTreeMap<String, String> {
        self.nameservers.map_of_names()
    }

    /// Every table with its metadata, as the nameservers have it.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.nameservers.tables()
    }

    /// Every partition's metadata.
    pub fn metadata(&self) -> BTreeMap<PartitionId, TablePartition> {
        let tables = self.tables().into_iter();
        tables
            .flat_map(|table| {
                let tid = table.tid();
                table.table_partition.into_iter().map(move |found| (partition(tid, found.pid), found))
            })
            .collect()
    }

    /// Makes a standalone OpenMLDB of the world as it is.
    pub fn stand_alone(&mut self) {
        self.nameservers.stand_alone();
        self.tablets.stand_alone();
    }

    /// A row that nobody has written before.
    pub fn new_row(&mut self) -> RowId {
        self.last_row += 1;
        RowId(self.last_row)
    }

    /// Lets clients write a row every `every` milliseconds, to random partitions of user tables, from now on.
    pub fn start_writers(&mut self, every: Millis, seed: u64) {
        self.writers = Some(Writers::new(every, self.now, seed));
    }

    /// Ends the writing; gives what the clients know of it.
    pub fn stop_writers(&mut self) -> Option<Writers> {
        self.writers.take()
    }

    fn write_row(&mut self) {
        let Some(mut writers) = self.writers.take() else { return };
        let version = self.nameservers.table_notify();
        if self.leader().is_some() && writers.is_behind(version) {
            writers.learn(version, &self.tables());
        }
        let row = self.new_row();
        if let Some(write) = writers.write(row) {
            let acknowledged = self.put(&write);
            writers.answered(acknowledged);
            if acknowledged {
                self.ledger.acknowledge(write.partition, row);
            }
        }
        self.writers = Some(writers);
    }

    /// Puts a new row to a replica, as a client would; whether it was acknowledged.
    pub fn put_row(&mut self, endpoint: &Endpoint, id: PartitionId) -> bool {
        let row = self.new_row();
        self.put_to(endpoint, id, row)
    }

    fn put_to(&mut self, endpoint: &Endpoint, id: PartitionId, row: RowId) -> bool {
        let write = Write { partition: id, leader: endpoint.clone(), row };
        let acknowledged = self.put(&write);
        if acknowledged {
            self.ledger.acknowledge(id, row);
        }
        acknowledged
    }

    /// The same under a key that other rows may have.
    pub fn put_row_under(&mut self, endpoint: &Endpoint, id: PartitionId, key: u64) -> bool {
        let row = RowId::under_key(key, self.new_row().0);
        self.put_to(endpoint, id, row)
    }

    /// Puts the oldest row that a replica has once more; a disk table overwrites it.
    pub fn overwrite_row(&mut self, endpoint: &Endpoint, id: PartitionId) -> bool {
        let log = self.tablets.log(endpoint.as_str(), id.tid.0, id.pid.0).unwrap_or_default();
        let Some(row) = log.iter().find(|entry| entry.deletes.is_none()).map(|entry| entry.row) else { return false };
        self.put_to(endpoint, id, row)
    }

    /// Deletes the oldest row that a replica has left, as a client would; whether it was acknowledged. The delete is expected from
    /// then on as a row is.
    pub fn delete_row(&mut self, endpoint: &Endpoint, id: PartitionId) -> bool {
        let delete = self.new_row();
        let acknowledged = self.tablets.delete_oldest(endpoint.as_str(), id.tid.0, id.pid.0, delete);
        if acknowledged {
            self.ledger.acknowledge(id, delete);
        }
        acknowledged
    }

    fn put(&mut self, write: &Write) -> bool {
        let answer = self.tablets.call(write.leader.as_str(), TabletCall::Put(write.request()));
        matches!(answer, Ok(TabletAnswer::Put(answer)) if answer.code() == 0)
    }

    /// Creates a database.
    ///
    /// # Errors
    /// As CREATE DATABASE.
    pub fn create_database(&mut self, db: &str) -> Result<(), nameserver::SpecError> {
        self.nameservers.create_database(db)
    }

    /// Creates a table; gives its tid.
    ///
    /// # Errors
    /// As CREATE TABLE.
    pub fn create_table(&mut self, spec: &nameserver::TableSpec) -> Result<u32, nameserver::SpecError> {
        self.nameservers.create_table(self.now, spec, &mut Reach(&mut self.tablets))
    }

    /// Puts a table into metadata as if it had always been there; no tablet hears of it.
    pub(crate) fn restore_table(&mut self, tid: u32, spec: &nameserver::TableSpec, partitions: Vec<TablePartition>) {
        self.nameservers.restore_table(tid, spec, partitions);
    }

    /// Makes a snapshot of a loaded replica on the spot; whether there is one now.
    pub fn make_snapshot(&mut self, endpoint: &Endpoint, id: PartitionId) -> bool {
        self.tablets.make_snapshot_now(endpoint.as_str(), id.tid.0, id.pid.0)
    }

    /// Has a snapshot of a loaded replica begun; whether it is being made now.
    pub fn begin_snapshot(&mut self, endpoint: &Endpoint, id: PartitionId) -> bool {
        self.tablets.begin_snapshot(endpoint.as_str(), id)
    }

    /// The tablets, for damaging their disks and looking into their recycle bins.
    pub fn tablets_mut(&mut self) -> &mut Tablets {
        &mut self.tablets
    }

    /// The nameservers' flags, for experiments.
    pub fn nameserver_settings_mut(&mut self) -> &mut nameserver::Settings {
        self.nameservers.settings_mut()
    }

    /// From now on nameservers that become leader wait until [`World::metadata_read`] says what ZooKeeper holds.
    pub fn read_metadata_back(&mut self) {
        self.nameservers.read_metadata_back();
    }

    /// Whether one waits for that.
    pub fn waits_for_metadata(&self) -> bool {
        self.nameservers.waits_for_metadata()
    }

    /// What ZooKeeper holds, for the nameserver that waits for it.
    pub fn metadata_read(&mut self, nodes: &nameserver::Nodes) {
        self.nameservers.metadata_read(nodes, self.now, &mut Reach(&mut self.tablets));
    }

    /// What the world would have in ZooKeeper under the root path.
    pub fn zookeeper_tree(&self) -> Vec<nameserver::Znode> {
        self.nameservers.zookeeper_tree()
    }
}

/// A server's name as OpenMLDB generates it: a long number, rising. The first four are those of
/// tests/recordings/11-server-names.
fn server_name(at: usize) -> String {
    const RECORDED: [u64; 4] =
        [7_353_896_297_468_489_728, 7_353_896_298_343_247_872, 7_353_896_299_220_533_248, 7_353_896_300_148_744_192];
    let beyond = |at: usize| 7_353_896_301_000_000_000 + 900_000_000 * at as u64;
    RECORDED.get(at).copied().unwrap_or_else(|| beyond(at - RECORDED.len())).to_string()
}
