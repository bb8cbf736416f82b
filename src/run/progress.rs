//! How far a run has come, in numbers: told every few seconds, and written down, so that another shell can show it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::model::{Endpoint, PartitionId, Seen};
use crate::recovery::{Forecast, Plan, forecast};

use super::driver::Driver;
use super::event::Event;
use super::partition_task::PartitionTask;
use super::waits::{Awaited, Named, SHOWN, millis};

/// How often it is told, on the cluster's clock; and where so many partitions are at work that counting them takes a while.
const EVERY: Duration = Duration::from_secs(2);
const EVERY_OF_MANY: Duration = Duration::from_secs(5);
const MANY: usize = 300;

/// How far a run has come. Counts are of the partitions that it brings back.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Progress {
    /// Since the run began to act, in milliseconds.
    pub after_ms: u64,
    /// Partitions.
    pub partitions: usize,
    /// Of these, those that serve.
    pub serving: usize,
    /// Of these, those that are as they should be.
    pub redundant: usize,
    /// Of these, those that are left alone for now.
    pub blocked: usize,
    /// Their replicas.
    pub replicas: usize,
    /// Of these, those that are loaded.
    pub loaded: usize,
    /// Replicas that do not lead.
    pub followers: usize,
    /// Of these, those that are loaded and marked alive.
    pub followers_back: usize,
    /// Operations that the nameserver was told to do and has done.
    pub ops_done: usize,
    /// Those that it has not done yet.
    pub ops_under_way: usize,
    /// Those that it will be told to do, as far as that is decided.
    pub ops_queued: usize,
    /// Tablets that have something to load.
    pub tablets: Vec<Queue>,
    /// What has been waited for for more than a few seconds.
    pub waits: Vec<WaitedFor>,
}

/// What a tablet has to load.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Queue {
    /// Which tablet.
    pub endpoint: Endpoint,
    /// Replicas that it was told to load and has not loaded.
    pub loading: usize,
    /// Replicas that it will be told to load, once it has room.
    pub queued: usize,
}

/// Something that is waited for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct WaitedFor {
    /// What.
    pub what: Awaited,
    /// At which tablets; empty if it is at none in particular.
    pub endpoints: Vec<Endpoint>,
    /// How many partitions wait for it.
    pub partitions: usize,
    /// The one that has been waiting longest.
    #[serde(flatten)]
    pub partition: Option<Named>,
    /// For how long, in milliseconds of the cluster's clock.
    pub for_ms: u64,
    /// After how many it is waited for no longer; none: as long as it takes.
    pub at_most_ms: Option<u64>,
}

/// What a run is expected to take, as its plan has it, from when it begins to act.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expected {
    /// The playbook.
    pub playbook: String,
    /// Milliseconds until every partition that can serve does.
    pub serving_after_ms: u64,
    /// Milliseconds until every one that can be is redundant.
    pub redundant_after_ms: u64,
    /// Operations of the nameserver.
    pub operations: usize,
}

impl Expected {
    /// What a plan is expected to take on a cluster whose clock runs this much faster than ours.
    pub(super) fn of(plan: &Plan, pace: f64) -> Self {
        let Forecast { playbook, serving_after_ms, redundant_after_ms, recovered, resent, .. } = forecast(plan);
        let ours = |ms: u64| (ms as f64 / pace) as u64;
        Self {
            playbook,
            serving_after_ms: ours(serving_after_ms),
            redundant_after_ms: ours(redundant_after_ms),
            operations: recovered + resent,
        }
    }
}

impl Driver {
    /// Tells how far it has come, if that is due.
    pub(super) fn tell_progress(&mut self) {
        let now = Instant::now();
        if now >= self.next_progress {
            let every = if self.open > MANY { EVERY_OF_MANY } else { EVERY };
            self.next_progress = now + every.div_f64(self.settings.pace);
            self.tell_progress_now();
        }
    }

    pub(super) fn tell_progress_now(&self) {
        let progress = Box::new(self.progress());
        self.settings.record.progress(&progress);
        (self.settings.listener)(&Event::Progress(progress));
    }

    fn progress(&self) -> Progress {
        let (ops_done, ops_under_way, ops_queued) = self.lanes.ops();
        let mut progress = Progress {
            after_ms: millis(self.began.elapsed()),
            ops_done,
            ops_under_way,
            ops_queued,
            tablets: self.lanes.queues().collect(),
            ..Progress::default()
        };
        for (id, task) in self.partitions.iter().filter(|(_, task)| !task.healthy_before) {
            progress.count(task);
            if !task.is_watched() {
                let followers = task.endpoints.len().saturating_sub(1);
                progress.replicas += task.endpoints.len();
                progress.loaded += task.endpoints.len();
                progress.followers += followers;
                progress.followers_back += followers;
                continue;
            }
            let Some((_, partition)) = self.index.find(&self.snapshot.tables, *id) else { continue };
            for replica in &partition.replicas {
                let held = self.snapshot.tablets.get(&replica.endpoint).map(|tablet| &tablet.held);
                let is_loaded = match held {
                    Some(Seen::Known(held)) => held.get(id).is_some_and(|held| held.state.is_loaded()),
                    _ => false,
                };
                progress.replicas += 1;
                progress.loaded += usize::from(is_loaded);
                progress.followers += usize::from(!replica.is_leader);
                progress.followers_back += usize::from(!replica.is_leader && replica.is_alive && is_loaded);
            }
        }
        let missing = self.missing_waits();
        let unanswered = self.unanswered(missing.as_ref());
        progress.waits.extend(missing.into_iter().chain(unanswered));
        for (what, waiting) in self.all_waits(SHOWN) {
            let Some((waited, id, at_most)) = waiting.longest else { continue };
            let found = self.index.find(&self.snapshot.tables, id);
            progress.waits.push(WaitedFor {
                what,
                endpoints: waiting.endpoints.into_iter().collect(),
                partitions: waiting.partitions,
                partition: found.map(|(table, _)| Named { table: table.name.clone(), pid: id.pid.0 }),
                for_ms: millis(waited),
                at_most_ms: at_most.map(millis),
            });
        }
        progress
    }

    /// The tablets that were asked and have not answered for a while: what is there is not known to be as it was.
    fn unanswered(&self, missing: Option<&WaitedFor>) -> Option<WaitedFor> {
        let is_told = |at: &Endpoint| missing.is_some_and(|missing| missing.endpoints.contains(at));
        let waited = |since: &Instant| since.elapsed().mul_f64(self.settings.pace);
        let silent = self.unanswered.iter().filter(|(at, since)| waited(since) >= SHOWN && !is_told(at));
        let silent: BTreeMap<&Endpoint, Duration> = silent.map(|(at, since)| (at, waited(since))).collect();
        let longest = silent.values().max().copied()?;
        let placed = silent.keys().flat_map(|at| self.placed.get(*at).into_iter().flatten());
        let open = placed.filter(|id| self.partitions.get(id).is_some_and(PartitionTask::is_open));
        Some(WaitedFor {
            what: Awaited::Answer,
            partitions: open.collect::<BTreeSet<_>>().len(),
            endpoints: silent.into_keys().cloned().collect(),
            partition: None,
            for_ms: millis(longest),
            at_most_ms: None,
        })
    }

    /// The tablets that the run stays open for.
    fn missing_waits(&self) -> Option<WaitedFor> {
        let missing = self.missing();
        let partitions: BTreeSet<&PartitionId> = missing.values().flatten().collect();
        (!missing.is_empty()).then(|| WaitedFor {
            what: Awaited::Tablet,
            endpoints: missing.keys().cloned().collect(),
            partitions: partitions.len(),
            partition: None,
            for_ms: millis(self.settings.awaiting.since.elapsed().mul_f64(self.settings.pace)),
            at_most_ms: Some(millis(self.settings.awaiting.time)),
        })
    }
}

impl Progress {
    fn count(&mut self, task: &PartitionTask) {
        self.partitions += 1;
        self.serving += usize::from(task.serves);
        self.redundant += usize::from(!task.is_watched());
        self.blocked += usize::from(task.blocked().is_some());
    }
}
