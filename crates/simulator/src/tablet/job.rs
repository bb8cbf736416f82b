//! Work that takes time: a tablet's two pools, and what is due when.

use std::collections::{BTreeMap, VecDeque};

use super::Millis;
use super::task::TaskKey;
use openmldb_model::{PartitionId, StorageMode};

/// Something a pool works on.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) partition: PartitionId,
    /// The task to report to.
    pub(super) task: Option<TaskKey>,
    pub(super) work: Work,
}

/// What a job does. `generation` names the replica it was asked for: one that was dropped meanwhile is left alone.
#[derive(Debug, Clone)]
pub(super) enum Work {
    /// Reads a memory table, registered by the call.
    Load { generation: u64 },
    /// Registers and reads a disk table.
    LoadDisk { storage: StorageMode, replicas: Vec<String> },
    /// As [`Work::LoadDisk`], once it is registered.
    ReadDisk { generation: u64 },
    /// Nothing more to do, and it did not work.
    Fail,
    /// Drops a table and recycles its directory.
    Drop { generation: u64 },
    /// Sends the snapshot to another tablet.
    Send { generation: u64, to: String },
    /// Writes a snapshot up to an offset; 0 for all there is, if that is worth it.
    Snapshot { generation: u64, end: u64 },
}

/// Which of a tablet's pools.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PoolKind {
    /// The task pool, `task_pool_size` threads.
    Tasks,
    /// The snapshot pool, one thread.
    Snapshots,
}

/// Threads with an endless queue, first come first served.
#[derive(Debug, Clone, Default)]
pub(super) struct Pool {
    running: usize,
    queue: VecDeque<Job>,
}

impl Pool {
    pub(super) fn add(&mut self, job: Job) {
        self.queue.push_back(job);
    }

    /// The next job, if a thread is free for it.
    pub(super) fn take(&mut self, threads: usize) -> Option<Job> {
        if self.running >= threads {
            return None;
        }
        let job = self.queue.pop_front()?;
        self.running += 1;
        Some(job)
    }

    /// A thread has become free.
    pub(super) fn give_back(&mut self) {
        self.running = self.running.saturating_sub(1);
    }
}

/// Something that is due on a tablet.
#[derive(Debug, Clone)]
pub(super) struct Event {
    pub(super) tablet: usize,
    /// The run of the tablet's process it belongs to; none of another one's business.
    pub(super) run: u64,
    pub(super) what: Due,
}

#[derive(Debug, Clone)]
pub(super) enum Due {
    /// A job is finished.
    Job(PoolKind, Job),
    /// A loaded replica gets its offset.
    Offset { partition: PartitionId, generation: u64, offset: u64, task: Option<TaskKey> },
    /// Garbage collection passes over a replica.
    Collect { partition: PartitionId, generation: u64 },
    /// A leader's turn with one follower.
    Sync { partition: PartitionId, target: u64 },
}

/// Everything that is due, in order of time and then of being planned.
#[derive(Debug, Clone, Default)]
pub(super) struct Agenda {
    events: BTreeMap<(Millis, u64), Event>,
    planned: u64,
}

impl Agenda {
    pub(super) fn plan(&mut self, at: Millis, event: Event) {
        self.planned += 1;
        self.events.insert((at, self.planned), event);
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.events.first_key_value().map(|((at, _), _)| *at)
    }

    /// The first event due by `now`, with its time.
    pub(super) fn pop(&mut self, now: Millis) -> Option<(Millis, Event)> {
        let entry = self.events.first_entry().filter(|entry| entry.key().0 <= now)?;
        let at = entry.key().0;
        Some((at, entry.remove()))
    }
}
