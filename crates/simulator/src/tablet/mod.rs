//! All tablets of a simulated cluster: disks, memory, loading, roles, replication. Pure, synchronous and seeded: time
//! passes only in [`Tablets::advance_to`], and the same calls at the same times give the same answers.
//!
//! What tablets do is in docs/openmldb/README.md; where source and experiment disagree, the experiment is right. What is not
//! modelled: [`NOT_MODELLED`](crate::NOT_MODELLED).

mod aggregate;
mod disk;
mod drop;
mod entry;
mod expiry;
mod job;
mod load;
mod machine;
mod refusal;
mod remote;
mod replica;
mod replicate;
mod restored;
mod role;
mod scenario;
mod settings;
mod snapshot;
mod stamp;
mod status;
mod task;
#[cfg(test)]
mod tests;
mod traverse;
mod ttl;

use std::collections::BTreeMap;
use std::sync::Arc;

pub use disk::Recycled;
pub use entry::{Entry, RowId, Schema, TableSpec};
pub use expiry::rows_now;
pub use refusal::Refusal;
pub use restored::Files;
pub use settings::Settings;
pub use status::Counts;
pub use ttl::Ttl;

use job::{Agenda, Due, Event, PoolKind, Work};
use machine::{Machine, Machines, Power};
use openmldb_wire::api;
use openmldb_wire::call::{TabletAnswer, TabletCall};

/// World time in OpenMLDB's own milliseconds. It starts at 0.
pub type Millis = u64;

/// A tablet did not answer: it is down, frozen, or there is none of that endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{endpoint} does not answer")]
pub struct Unreachable {
    /// The endpoint that was called.
    pub endpoint: String,
}

/// All tablets of a cluster.
#[derive(Debug, Clone)]
pub struct Tablets {
    settings: Settings,
    /// State of the random numbers (splitmix64).
    random: u64,
    now: Millis,
    machines: Machines,
    by_endpoint: BTreeMap<Arc<str>, usize>,
    names: BTreeMap<String, String>,
    agenda: Agenda,
    /// Source of generations and target ids.
    next_id: u64,
}

impl Tablets {
    /// A world without tablets.
    pub fn new(settings: Settings, seed: u64) -> Self {
        Self {
            settings,
            random: seed,
            now: 0,
            machines: Machines::default(),
            by_endpoint: BTreeMap::new(),
            names: BTreeMap::new(),
            agenda: Agenda::default(),
            next_id: 0,
        }
    }

    /// From now on they run without a ZooKeeper.
    pub fn stand_alone(&mut self) {
        self.settings.standalone = true;
    }

    /// A new tablet machine with an empty disk, not started yet. An endpoint that exists already stays as it is.
    pub fn add(&mut self, endpoint: &str) {
        if !self.by_endpoint.contains_key(endpoint) {
            let endpoint: Arc<str> = Arc::from(endpoint);
            self.by_endpoint.insert(endpoint.clone(), self.machines.len());
            self.machines.push(Machine::new(endpoint, self.machines.len() + 1));
        }
    }

    /// Starts a tablet's process: its memory is empty, its disk as it was left. Nothing loads by itself.
    pub fn start(&mut self, endpoint: &str) {
        if let Some(machine) = self.machine_mut(endpoint).filter(|machine| machine.power == Power::Down) {
            machine.power = Power::Up;
        }
    }

    /// SIGKILL: memory is gone, the disk stays. Nothing acknowledged is lost.
    pub fn kill(&mut self, endpoint: &str) {
        if let Some(machine) = self.machine_mut(endpoint) {
            machine.stop();
        }
    }

    /// SIGSTOP, and SIGCONT again: a frozen tablet answers nothing and does nothing; what came due meanwhile
    /// happens when it goes on.
    pub fn freeze(&mut self, endpoint: &str, frozen: bool) {
        let now = self.now;
        let Some(machine) = self.machine_mut(endpoint).filter(|machine| machine.power != Power::Down) else { return };
        machine.power = if frozen { Power::Frozen } else { Power::Up };
        if !frozen {
            for event in std::mem::take(&mut machine.deferred) {
                self.agenda.plan(now, event);
            }
        }
    }

    /// Whether a tablet answers calls: started and not frozen.
    pub fn is_up(&self, endpoint: &str) -> bool {
        self.machine(endpoint).is_some_and(|machine| machine.power == Power::Up)
    }

    /// Every tablet's endpoint, in the order they were added.
    pub fn endpoints(&self) -> impl Iterator<Item = &str> {
        self.machines.iter().map(|machine| &*machine.endpoint)
    }

    /// What tablets know of server names (use_name): name -> address. While any is known, a replica whose name is
    /// not among them is refused with 155.
    pub fn set_names(&mut self, names: BTreeMap<String, String>) {
        self.names = names;
    }

    /// The time up to which everything has been done.
    pub fn now(&self) -> Millis {
        self.now
    }

    /// When something is due next. It may turn out to be nothing: what a killed process planned stays listed.
    pub fn next_event(&self) -> Option<Millis> {
        self.agenda.next()
    }

    /// Does everything due up to `now`, in the order of time.
    pub fn advance_to(&mut self, now: Millis) {
        while let Some((at, event)) = self.agenda.pop(now) {
            self.now = self.now.max(at);
            self.happen(event);
        }
        self.now = self.now.max(now);
    }

    /// Calls a tablet, at the present time. `endpoint` is its name in metadata, or its address where names are in use.
    ///
    /// # Errors
    /// If the tablet does not answer. A refusal is an answer.
    pub fn call(&mut self, endpoint: &str, call: TabletCall) -> Result<TabletAnswer, Unreachable> {
        let at = self.reach(endpoint).ok_or_else(|| Unreachable { endpoint: endpoint.to_owned() })?;
        Ok(match call {
            TabletCall::Put(request) => TabletAnswer::Put(self.put(at, &request)),
            TabletCall::LoadTable(request) => TabletAnswer::LoadTable(self.load_table(at, request)),
            TabletCall::DropTable(request) => TabletAnswer::DropTable(self.drop_table(at, request)),
            TabletCall::GetTableStatus(request) => TabletAnswer::GetTableStatus(self.table_status(at, &request)),
            TabletCall::GetTableFollower(request) => TabletAnswer::GetTableFollower(self.table_follower(at, &request)),
            TabletCall::AppendEntries(request) => TabletAnswer::AppendEntries(self.append_entries(at, &request)),
            TabletCall::AddReplica(request) => TabletAnswer::AddReplica(self.add_replica(at, request)),
            TabletCall::DelReplica(request) => TabletAnswer::DelReplica(self.del_replica(at, request)),
            TabletCall::ChangeRole(request) => TabletAnswer::ChangeRole(self.change_role(at, &request)),
            TabletCall::MakeSnapshot(request) => TabletAnswer::MakeSnapshot(self.make_snapshot(at, request)),
            TabletCall::PauseSnapshot(request) => TabletAnswer::PauseSnapshot(self.pause_snapshot(at, request)),
            TabletCall::RecoverSnapshot(request) => TabletAnswer::RecoverSnapshot(self.recover_snapshot(at, request)),
            TabletCall::SendSnapshot(request) => TabletAnswer::SendSnapshot(self.send_snapshot(at, request)),
            TabletCall::CreateAggregator(request) => TabletAnswer::CreateAggregator(self.answer_create(at, &request)),
            TabletCall::DeleteBinlog(request) => TabletAnswer::DeleteBinlog(self.delete_binlog(at, &request)),
            TabletCall::GetTaskStatus(_) => TabletAnswer::GetTaskStatus(self.machines[at].tasks.list()),
            TabletCall::DeleteOpTask(request) => {
                self.machines.tasks_mut(at).delete(&request.op_id);
                TabletAnswer::DeleteOpTask(refusal::general(refusal::OK))
            }
            TabletCall::CancelOp(api::CancelOpRequest { op_id }) => {
                self.machines[at].tasks.cancel(op_id.unwrap_or(0));
                TabletAnswer::CancelOp(refusal::general(refusal::OK))
            }
            TabletCall::GetTableSchema(request) => TabletAnswer::GetTableSchema(self.table_schema(at, &request)),
            TabletCall::GetTermPair(request) => TabletAnswer::GetTermPair(self.term_pair(at, &request)),
            TabletCall::GetManifest(request) => TabletAnswer::GetManifest(self.manifest(at, &request)),
            TabletCall::CheckFile(request) => TabletAnswer::CheckFile(self.check_file(at, &request)),
            TabletCall::Traverse(request) => TabletAnswer::Traverse(self.traverse(at, &request)),
        })
    }

    fn happen(&mut self, event: Event) {
        let machine = &mut self.machines[event.tablet];
        if machine.run != event.run || machine.power == Power::Down {
            return;
        }
        if machine.power == Power::Frozen {
            machine.deferred.push(event);
            return;
        }
        let at = event.tablet;
        match event.what {
            Due::Job(kind, job) => self.finish(at, kind, job),
            Due::Offset { partition, generation, offset, task } => {
                self.set_offset(at, partition, generation, offset, task)
            }
            Due::Sync { partition, target } => self.sync(at, partition, target),
            Due::Collect { partition, generation } => self.collect(at, partition, generation),
        }
    }

    /// Starts what a tablet's pools have threads for.
    fn run_pools(&mut self, at: usize) {
        for kind in [PoolKind::Tasks, PoolKind::Snapshots] {
            loop {
                let machine = &mut self.machines[at];
                let next = match kind {
                    PoolKind::Tasks => machine.pool.take(self.settings.task_pool_size),
                    PoolKind::Snapshots => machine.snapshot_pool.take(1),
                };
                let Some(mut job) = next else { break };
                let millis = match job.work {
                    Work::Load { generation } => self.start_load(at, job.partition, generation),
                    Work::LoadDisk { .. } => self.start_load_disk(at, &mut job),
                    Work::Drop { .. } => self.settings.drop_ms,
                    Work::Send { .. } => self.sending_takes(at, job.partition),
                    Work::Snapshot { generation, end } => self.start_snapshot(at, job.partition, generation, end),
                    Work::ReadDisk { .. } | Work::Fail => 0,
                };
                let millis = self.vary(millis);
                self.plan(at, millis, Due::Job(kind, job));
            }
        }
    }

    fn finish(&mut self, at: usize, kind: PoolKind, job: job::Job) {
        match job.work {
            Work::Load { generation } | Work::ReadDisk { generation } => {
                self.finish_load(at, job.partition, generation, job.task);
            }
            Work::LoadDisk { .. } | Work::Fail => self.machines[at].tasks.end(job.task, false),
            Work::Drop { generation } => self.finish_drop(at, job.partition, generation, job.task),
            Work::Send { generation, to } => self.finish_send(at, job.partition, generation, &to, job.task),
            Work::Snapshot { generation, end } => self.finish_snapshot(at, job.partition, generation, end, job.task),
        }
        let machine = &mut self.machines[at];
        match kind {
            PoolKind::Tasks => machine.pool.give_back(),
            PoolKind::Snapshots => machine.snapshot_pool.give_back(),
        }
        self.run_pools(at);
    }

    fn plan(&mut self, at: usize, in_millis: Millis, what: Due) {
        let event = Event { tablet: at, run: self.machines[at].run, what };
        self.agenda.plan(self.now + in_millis, event);
    }

    fn next_id(&mut self) -> u64 {
        self.next_id += 1;
        self.next_id
    }

    /// A duration, off by up to `jitter_percent`; at least a millisecond if it was not nothing.
    fn vary(&mut self, millis: Millis) -> Millis {
        let off = self.settings.jitter_percent.min(100);
        if millis == 0 || off == 0 {
            return millis;
        }
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^= z >> 31;
        (millis * (100 - off + z % (2 * off + 1)) / 100).max(1)
    }

    fn machine(&self, endpoint: &str) -> Option<&Machine> {
        self.resolve(endpoint).map(|at| &self.machines[at])
    }

    fn machine_mut(&mut self, endpoint: &str) -> Option<&mut Machine> {
        self.resolve(endpoint).map(|at| &mut self.machines[at])
    }

    /// A tablet that answers.
    fn reach(&self, endpoint: &str) -> Option<usize> {
        self.resolve(endpoint).filter(|at| self.machines[*at].power == Power::Up)
    }

    /// A tablet by its endpoint, or by its address where names are in use.
    fn resolve(&self, endpoint: &str) -> Option<usize> {
        if let Some(at) = self.by_endpoint.get(endpoint) {
            return Some(*at);
        }
        let address = self.names.get(endpoint).map(String::as_str);
        let name = self.names.iter().find(|(_, address)| *address == endpoint).map(|(name, _)| name.as_str());
        address.or(name).and_then(|other| self.by_endpoint.get(other)).copied()
    }

    /// Whether a tablet can tell where a replica is (docs/openmldb/metadata-in-zookeeper.md#server-names: 155
    /// otherwise).
    fn knows_name(&self, endpoint: &str) -> bool {
        self.names.is_empty() || self.names.contains_key(endpoint)
    }
}
