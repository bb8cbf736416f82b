//! The nameservers: one that leads, standbys, and what ZooKeeper keeps for them. Pure and synchronous: time is an argument,
//! tablets are reached through [`TabletPort`], chance comes from a seed. It follows OpenMLDB's nameserver rule by rule, in
//! its order and with its answers, and knows nothing of how anybody would recover a cluster.
//!
//! What happens by itself (polls, the op engine, failover, elections) happens in [`Nameservers::advance_to`]; the caller
//! steps time from one [`Nameservers::next_event`] to the next, and the tablets along with it.

mod change_leader;
mod create;
mod engine;
mod failover;
mod lanes;
mod local;
mod lock;
mod membership;
mod metadata;
mod op;
mod placement;
mod poll;
mod port;
mod read_back;
mod recover_table;
mod refusal;
mod remote;
mod reports;
mod restored;
mod resume;
mod rpc;
mod send;
mod settings;
mod show;
mod spec;
mod status;
mod task;
mod task_list;
#[cfg(test)]
mod tests;
mod timers;
mod zookeeper;

use std::collections::{BTreeMap, BTreeSet};

pub use port::{CountsSince, PartitionKey, TabletPort, Unreachable};
pub use read_back::Nodes;
pub use settings::Settings;
pub use spec::{Placement, SYSTEM_DATABASES, SpecError, TableSpec, system_tables};
pub use zookeeper::Znode;

use super::fault::OpFate;
use crate::rng::Rng;
use lanes::Lanes;
use lock::Process;
use membership::{Arrival, Members};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::nameserver::{OpStatus, TableInfo, TablePartition};
use poll::Round;
use reports::Reports;
use timers::{Event, Timers};
use zookeeper::Kept;

/// World time in milliseconds.
pub type Millis = u64;

/// All nameserver processes of a cluster, and what ZooKeeper holds for them.
#[derive(Debug, Clone)]
pub struct Nameservers {
    settings: Settings,
    rng: Rng,
    now: Millis,
    timers: Timers,
    processes: Vec<Process>,
    zk: Kept,
    memory: Option<Memory>,
    reigns: u64,
    /// Tablets whose next registration no nameserver notices.
    to_be_missed: BTreeSet<String>,
    /// Tablets registered without any nameserver having noticed.
    missed: BTreeSet<String>,
    /// What came due while its process was frozen.
    deferred: Vec<Event>,
    /// Whether whoever becomes leader is told what ZooKeeper holds. If not, it holds what it was last given.
    reads_back: bool,
    /// Who has the lock and waits for that.
    reading: Option<String>,
}

/// What only the leading nameserver's process knows. Gone when it dies.
#[derive(Debug, Clone)]
struct Memory {
    endpoint: String,
    reign: u64,
    members: Members,
    lanes: Lanes,
    retrying_finish: bool,
    /// How the next op that a call creates goes wrong.
    op_fate: Option<OpFate>,
    /// Until then connections to tablets that came back are being made again: lanes stand still, and so does the one thread
    /// that deals with tablets coming back.
    reconnected_at: Millis,
    /// What tablets last told of what they hold.
    reports: Reports,
}

/// The leading nameserver at work, at one moment.
struct Leading<'a> {
    settings: &'a Settings,
    rng: &'a mut Rng,
    now: Millis,
    timers: &'a mut Timers,
    zk: &'a mut Kept,
    memory: &'a mut Memory,
    tablets: &'a mut dyn TabletPort,
}

/// For what a nameserver does without asking any tablet.
struct NoTablets;

impl TabletPort for NoTablets {
    fn call(&mut self, _: &str, _: TabletCall) -> Result<TabletAnswer, Unreachable> {
        Err(Unreachable)
    }

    fn create_table(&mut self, _: &str, _: PartitionKey, _: &TableSpec, _: bool, _: u64, _: &[String]) {}
}

impl Leading<'_> {
    fn unix_time(&self) -> u64 {
        self.settings.unix_time_base + self.now / 1000
    }
}

impl Nameservers {
    /// A cluster that just came up: every process runs, the first one leads, no tablet is registered and no table exists.
    pub fn new(endpoints: &[&str], settings: Settings, seed: u64) -> Self {
        let zk = Kept::new(settings.auto_failover);
        let mut nameservers = Self {
            rng: Rng::new(seed),
            now: 0,
            timers: Timers::default(),
            processes: endpoints.iter().map(|endpoint| Process::running(endpoint)).collect(),
            zk,
            memory: None,
            reigns: 0,
            to_be_missed: BTreeSet::new(),
            missed: BTreeSet::new(),
            deferred: Vec::new(),
            reads_back: false,
            reading: None,
            settings,
        };
        for endpoint in endpoints {
            nameservers.zk.queue_for_lock(endpoint);
        }
        if let Some(first) = endpoints.first() {
            nameservers.lead(first, &mut NoTablets);
        }
        nameservers
    }

    /// One RPC to one process: served if it leads, refused with 300 if it does not.
    ///
    /// # Errors
    /// [`Unreachable`] if that process is not running, or frozen.
    pub fn call(
        &mut self,
        endpoint: &str,
        now: Millis,
        call: NameserverCall,
        tablets: &mut dyn TabletPort,
    ) -> Result<NameserverAnswer, Unreachable> {
        self.advance_to(now, tablets);
        if !self.is_running(endpoint) {
            return Err(Unreachable);
        }
        match self.leading(tablets) {
            Some(mut leading) if leading.memory.endpoint == endpoint => Ok(leading.answer(call)),
            _ => Ok(rpc::answer_of_standby(&call)),
        }
    }

    /// Lets everything happen that is due by `now`.
    pub fn advance_to(&mut self, now: Millis, tablets: &mut dyn TabletPort) {
        while let Some((at, event)) = self.timers.take_due(now) {
            self.now = self.now.max(at);
            self.happen(event, tablets);
        }
        self.now = self.now.max(now);
    }

    /// When something happens by itself next.
    pub fn next_event(&self) -> Option<Millis> {
        self.timers.next()
    }

    /// The process that leads.
    pub fn leader(&self) -> Option<&str> {
        self.memory.as_ref().map(|memory| memory.endpoint.as_str())
    }

    /// A tablet's node appeared under `R/nodes`: with `startup_` in it if the process is new, without if it only lost its
    /// session. What follows from that happens at the next [`Nameservers::advance_to`].
    pub fn tablet_registered(&mut self, endpoint: &str, now: Millis, startup: bool) {
        self.now = self.now.max(now);
        self.zk.nodes.insert(endpoint.to_owned(), startup);
        if self.to_be_missed.remove(endpoint) {
            self.missed.insert(endpoint.to_owned());
            return;
        }
        for process in self.processes.iter_mut().filter(|process| process.running) {
            process.members.arrive(endpoint, self.now);
        }
        let Some(memory) = &mut self.memory else { return };
        match memory.members.arrive(endpoint, self.now) {
            Arrival::New => self.zk.table_notify += 1,
            Arrival::Back => {
                let (reign, endpoint) = (memory.reign, endpoint.to_owned());
                self.timers.set(self.now.max(memory.reconnected_at), Event::TabletOnline { reign, endpoint });
                memory.reconnected_at = self.now + self.settings.reconnect_ms;
                self.timers.set(memory.reconnected_at, Event::Reconnected { reign });
            }
            Arrival::Known => {}
        }
    }

    /// No nameserver will notice the next registration of this tablet: it stays kOffline, or unknown, until another
    /// nameserver becomes leader or it registers once more
    /// (docs/openmldb/nameserver.md#a-registration-that-the-nameserver-missed).
    pub fn miss_next_registration(&mut self, endpoint: &str) {
        self.to_be_missed.insert(endpoint.to_owned());
    }

    /// A tablet's node vanished from `R/nodes`: its session expired.
    pub fn tablet_session_lost(&mut self, endpoint: &str, now: Millis) {
        self.now = self.now.max(now);
        self.zk.nodes.remove(endpoint);
        self.missed.remove(endpoint);
        for process in &mut self.processes {
            process.members.leave(endpoint, self.now);
        }
        let now = self.now;
        if let Some(leading) = &mut self.leading(&mut NoTablets)
            && leading.memory.members.leave(endpoint, now)
        {
            leading.watch_absence(endpoint, now);
        }
    }

    /// How the next op that a call creates is to go wrong. Another nameserver that leads knows nothing of it.
    pub fn set_op_fate(&mut self, fate: OpFate) {
        if let Some(memory) = &mut self.memory {
            memory.op_fate = Some(fate);
        }
    }

    /// A server name of `R/map/names`: metadata speaks of `name`, which is at `address`.
    pub fn register_name(&mut self, name: &str, address: &str) {
        self.zk.names.insert(name.to_owned(), address.to_owned());
    }

    /// `R/map/names`.
    pub fn map_of_names(&self) -> &BTreeMap<String, String> {
        &self.zk.names
    }

    /// Makes a standalone nameserver of it: without a ZooKeeper there is nobody to count terms.
    pub fn stand_alone(&mut self) {
        self.settings.standalone = true;
        (self.zk.term, self.zk.auto_failover) = (0, false);
        for (_, table) in self.zk.tables.all_mut() {
            for pid in (0..).take(table.len()) {
                table.change(pid, |partition| partition.term_offset.iter_mut().for_each(|began| began.term = 0));
            }
            table.written();
        }
    }

    /// The term by which an election fences the leader before.
    pub fn begin_term(&mut self) -> u64 {
        self.zk.term += 2;
        self.zk.term - 1
    }

    /// Whether a call kills it: without a ZooKeeper, one that would write there
    /// (docs/openmldb/other-servers.md#standalone).
    pub fn dies_of(&self, call: &NameserverCall) -> bool {
        self.settings.standalone && matches!(call, NameserverCall::ConfSet(_))
    }

    /// The flags, to change them in mid-run as an experiment; a real nameserver would have to be restarted.
    pub fn settings_mut(&mut self) -> &mut Settings {
        &mut self.settings
    }

    /// What `R` holds in ZooKeeper, parents before children.
    pub fn zookeeper_tree(&self) -> Vec<Znode> {
        self.zk.tree()
    }

    /// Every table as the leading nameserver has it, in the order of ShowTable.
    pub fn tables(&self) -> Vec<TableInfo> {
        self.zk.tables.in_order().map(metadata::Table::live).collect()
    }

    /// One of them.
    pub fn table(&self, db: &str, name: &str) -> Option<TableInfo> {
        self.zk.tables.find(db, name).map(metadata::Table::live)
    }

    /// `R/table/notify`: it rises with every change of metadata that clients are told of.
    pub fn table_notify(&self) -> u64 {
        self.zk.table_notify
    }

    /// A table's number.
    pub fn tid(&self, db: &str, name: &str) -> Option<u32> {
        self.zk.tables.tid(db, name)
    }

    /// One partition as the leading nameserver has it.
    pub fn partition(&self, db: &str, name: &str, pid: u32) -> Option<&TablePartition> {
        self.zk.tables.partition(db, name, pid)
    }

    /// The same, by its table's number.
    pub fn partition_of(&self, tid: u32, pid: u32) -> Option<&TablePartition> {
        self.zk.tables.get(tid)?.partition(pid)
    }

    /// Every op the leading nameserver remembers, by number.
    pub fn ops(&self) -> Vec<OpStatus> {
        let Some(memory) = &self.memory else { return Vec::new() };
        let mut ops: Vec<_> = memory.lanes.all().map(op::Op::line).collect();
        ops.sort_by_key(|op| op.op_id);
        ops
    }

    fn leading<'a>(&'a mut self, tablets: &'a mut dyn TabletPort) -> Option<Leading<'a>> {
        Some(Leading {
            settings: &self.settings,
            rng: &mut self.rng,
            now: self.now,
            timers: &mut self.timers,
            zk: &mut self.zk,
            memory: self.memory.as_mut()?,
            tablets,
        })
    }

    fn happen(&mut self, event: Event, tablets: &mut dyn TabletPort) {
        let whose = match &event {
            Event::LockNodesExpire => None,
            Event::AskForLock { endpoint, .. } => Some(endpoint.as_str()),
            _ => self.leader(),
        };
        if whose.is_some_and(|endpoint| self.is_frozen(endpoint)) {
            self.deferred.push(event);
            return;
        }
        match event {
            Event::AskForLock { endpoint, life } => self.ask_for_lock(&endpoint, life, tablets),
            Event::LockNodesExpire => self.expire_lock_nodes(tablets),
            Event::StatusPass { reign }
            | Event::TaskPoll { reign }
            | Event::TabletOffline { reign, .. }
            | Event::TabletOnline { reign, .. }
            | Event::CheckBinlog { reign, .. }
            | Event::Reconnected { reign }
            | Event::RetryFinish { reign } => match self.leading(tablets) {
                Some(mut leading) if leading.memory.reign == reign => leading.happen(event),
                _ => {}
            },
        }
    }
}

impl Leading<'_> {
    fn happen(&mut self, event: Event) {
        match event {
            Event::StatusPass { .. } => {
                self.update_table_status();
                self.timers.set(self.now + self.settings.get_table_status_interval_ms.max(1), event);
            }
            Event::TaskPoll { .. } => {
                self.poll_tasks(Round::Regular);
                self.timers.set(self.now + self.settings.get_task_status_interval_ms.max(1), event);
            }
            Event::TabletOffline { endpoint, since, .. } => {
                if self.memory.members.offline_since(&endpoint) == Some(since) {
                    self.on_tablet_offline(&endpoint, failover::Absence::Lasting);
                    self.run_lanes();
                }
            }
            Event::TabletOnline { endpoint, .. } => {
                self.on_tablet_online(&endpoint);
                self.run_lanes();
            }
            Event::CheckBinlog { op, .. } => self.recheck_binlog(op),
            Event::Reconnected { .. } => self.run_lanes(),
            Event::RetryFinish { .. } => {
                self.memory.retrying_finish = false;
                self.run_lanes();
            }
            Event::AskForLock { .. } | Event::LockNodesExpire => {}
        }
    }
}
