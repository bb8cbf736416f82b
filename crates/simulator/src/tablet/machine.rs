//! One tablet: a disk that stays, a process that comes and goes.

use std::collections::BTreeMap;
use std::ops::{Index, IndexMut};
use std::sync::Arc;

use super::Millis;
use super::aggregate::Aggregator;
use super::disk::Disk;
use super::job::{Event, Pool};
use super::refusal::{Refusal, TABLE_DOES_NOT_EXIST};
use super::replica::Replica;
use super::snapshot::cut_off_snapshots;
use super::task::Tasks;
use crate::fault::LoadFate;
use openmldb_model::{PartitionId, StorageMode};

/// All machines. Whatever is given out to be changed counts as changed.
#[derive(Debug, Clone, Default)]
pub(super) struct Machines {
    all: Vec<Machine>,
    changes: Vec<u64>,
}

impl Machines {
    pub(super) fn push(&mut self, machine: Machine) {
        self.all.push(machine);
        self.changes.push(0);
    }

    pub(super) fn len(&self) -> usize {
        self.all.len()
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Machine> {
        self.all.iter()
    }

    /// How often one may have been changed.
    pub(super) fn changes(&self, at: usize) -> u64 {
        self.changes[at]
    }

    /// One's tasks, which are no part of what it holds.
    pub(super) fn tasks_mut(&mut self, at: usize) -> &mut Tasks {
        &mut self.all[at].tasks
    }
}

impl Index<usize> for Machines {
    type Output = Machine;

    fn index(&self, at: usize) -> &Machine {
        &self.all[at]
    }
}

impl IndexMut<usize> for Machines {
    fn index_mut(&mut self, at: usize) -> &mut Machine {
        self.changes[at] += 1;
        &mut self.all[at]
    }
}

/// A tablet's machine.
#[derive(Debug, Clone)]
pub(super) struct Machine {
    pub(super) endpoint: Arc<str>,
    /// Its number in file paths; the first is 1.
    pub(super) number: usize,
    pub(super) power: Power,
    /// Counts the process's runs, so that what an earlier one planned does not happen in a later one.
    pub(super) run: u64,
    pub(super) disk: Disk,
    pub(super) replicas: BTreeMap<PartitionId, Replica>,
    /// What writes into pre-aggregate tables.
    pub(super) aggregators: Vec<Aggregator>,
    pub(super) tasks: Tasks,
    /// The task pool.
    pub(super) pool: Pool,
    /// The snapshot pool, of one thread.
    pub(super) snapshot_pool: Pool,
    /// When the snapshot that it makes was begun.
    pub(super) snapshot_began: Millis,
    /// What came due while frozen.
    pub(super) deferred: Vec<Event>,
    /// Snapshots being sent: to whom, of what.
    pub(super) sending: Vec<(PartitionId, String)>,
    /// Its cluster follows another one (SetMode): it takes no writes, and entries in any role and of any term.
    pub(super) follows: bool,
    /// How the next load of a replica goes wrong.
    pub(super) load_fates: BTreeMap<PartitionId, LoadFate>,
}

/// Whether a tablet's process runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Power {
    Down,
    Up,
    /// Stopped by SIGSTOP: answers nothing, does nothing, loses nothing.
    Frozen,
}

impl Machine {
    pub(super) fn new(endpoint: Arc<str>, number: usize) -> Self {
        Self {
            endpoint,
            number,
            power: Power::Down,
            run: 0,
            disk: Disk::default(),
            replicas: BTreeMap::new(),
            aggregators: Vec::new(),
            tasks: Tasks::default(),
            pool: Pool::default(),
            snapshot_pool: Pool::default(),
            snapshot_began: 0,
            deferred: Vec::new(),
            sending: Vec::new(),
            follows: false,
            load_fates: BTreeMap::new(),
        }
    }

    /// Ends the process: memory is gone, the disk is as it was.
    pub(super) fn stop(&mut self) {
        cut_off_snapshots(self);
        let disk = std::mem::take(&mut self.disk);
        let (endpoint, number, run) = (self.endpoint.clone(), self.number, self.run + 1);
        *self = Self { disk, run, ..Self::new(endpoint, number) };
    }

    pub(super) fn replica(&self, id: PartitionId) -> Result<&Replica, Refusal> {
        self.replicas.get(&id).ok_or(TABLE_DOES_NOT_EXIST)
    }

    pub(super) fn replica_mut(&mut self, id: PartitionId) -> Result<&mut Replica, Refusal> {
        self.replicas.get_mut(&id).ok_or(TABLE_DOES_NOT_EXIST)
    }

    /// The replica a job was asked for, unless it was dropped meanwhile.
    pub(super) fn same_replica(&mut self, id: PartitionId, generation: u64) -> Option<&mut Replica> {
        self.replicas.get_mut(&id).filter(|replica| replica.generation == generation)
    }

    /// A replica together with its log on disk, for appending. The log is made where it is missing.
    pub(super) fn replica_and_binlog(
        &mut self,
        id: PartitionId,
    ) -> Result<(&mut Replica, &mut Vec<super::Entry>), Refusal> {
        let replica = self.replicas.get_mut(&id).ok_or(TABLE_DOES_NOT_EXIST)?;
        let binlog = self.disk.make_directory(replica.storage(), id).binlog.get_or_insert_default();
        Ok((replica, binlog))
    }

    /// Takes a table out of memory and its directory to the recycle bin (OpenMLDB's DeleteTableInternal).
    pub(super) fn discard(&mut self, id: PartitionId, keep: bool, now: super::Millis) {
        if let Some(replica) = self.replicas.remove(&id) {
            self.aggregators.retain(|aggregator| aggregator.aggregate != id);
            self.disk.recycle(replica.storage(), id, keep, now);
        }
    }

    /// The directory a disk table's files are in, as GetTableStatus shows it.
    pub(super) fn path(&self, root: &str, storage: StorageMode, id: PartitionId, what: &str) -> String {
        let tree = if storage == StorageMode::Ssd { "db_ssd" } else { "db_hdd" };
        format!("{root}/tablet{}/{tree}/{id}/{what}/", self.number)
    }
}
