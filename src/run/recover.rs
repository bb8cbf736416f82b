//! A whole recovery: look, plan, write down what was, switch auto_failover off, drive, give auto_failover back, look again.

use std::collections::{BTreeMap, BTreeSet};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::sync::watch;

use crate::cluster::{CallError, Cluster};
use crate::model::{PartitionId, Pid, Snapshot, TableName};
use crate::playbook::Playbook;
use crate::recovery::{self, Blocked, Continuity, Health, Memory, Plan, Reason, View, health, plan};
use crate::snapshot::collect;

use super::driver::{Driven, Driver, Settings, Stop};
use super::event::{Event, Listener};
use super::failover::{Before, StepError, Told, prepare, restore};
use super::going_on::{GoingOn, still_going_on};
use super::lane::Widths;
use super::record::{Archive, Begun, Caller, Left, Record, RecordError, VERSION, left_by_runs};
use super::report::{AutoFailoverSeen, BlockedEntry, GivenUpEntry, PartitionCounts, ReplicaCounts, Summary, Verdict};
use super::run_id::RunId;
use super::scope::{Scope, ScopeError};

/// What a recovery needs beside the cluster.
pub struct Recovery {
    /// What errors and records call the cluster.
    pub cluster_name: String,
    /// Which partitions.
    pub scope: Scope,
    /// The steps.
    pub playbook: Playbook,
    /// Where records are kept.
    pub archive: Arc<dyn Archive>,
    /// Who runs it.
    pub caller: Caller,
    /// How wide the lanes are.
    pub widths: Widths,
    /// How much faster than ours the cluster's clock runs; 1 but for a sandbox.
    pub pace: f64,
    /// Hears what happens.
    pub listener: Listener,
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where the record is put once it has begun: who is told to end at once can then say what goes on.
    pub record: Arc<OnceLock<Record>>,
    /// The time, in milliseconds since 1970.
    pub now_ms: u64,
}

/// What came of it.
#[derive(Debug)]
pub struct Recovered {
    /// The summary.
    pub summary: Summary,
    /// Why the run stopped early, if it did.
    pub stopped: Option<Stop>,
    /// auto_failover could not be given back: what was seen last.
    pub not_restored: Option<String>,
    /// The run panicked, which is a bug: its message.
    pub panicked: Option<String>,
    /// The record could be written no more: why.
    pub unrecorded: Option<String>,
    /// What the cluster is still doing because of the run.
    pub still_going_on: Vec<GoingOn>,
}

/// Why a recovery did nothing.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The cluster did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Something asked for does not exist.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// What was could not be written down.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// The cluster has no tablets.
    #[error("the nameserver knows no tablets; start the tablets first")]
    NoTablets,
    /// The steps before any partition failed. auto_failover was given back, unless `not_restored` says otherwise.
    #[error("{error}")]
    Step {
        /// Why.
        error: StepError,
        /// auto_failover could not be given back either.
        not_restored: Option<String>,
    },
    /// The run came to its end, and the cluster does not answer any more.
    #[error("what came of it could not be looked at: {error}")]
    NotSeenAgain {
        /// Why.
        error: CallError,
        /// auto_failover could not be given back either.
        not_restored: Option<String>,
    },
}

/// Why the partitions were not driven to their end.
enum Interruption {
    /// A cluster step failed.
    Step(StepError),
    /// A fault of our own.
    Panic(String),
}

/// Everything known before anything is done.
#[derive(Debug)]
pub struct Prepared {
    /// The cluster as it was found.
    pub snapshot: Snapshot,
    /// What would be done.
    pub plan: Plan,
    /// What unfinished runs left.
    pub left: Left,
    memories: BTreeMap<PartitionId, Memory>,
}

/// Plans for a snapshot, live or from a file.
///
/// # Errors
/// Something asked for does not exist, or there are no tablets.
pub fn prepare_plan(
    snapshot: Snapshot,
    playbook: &Playbook,
    scope: &Scope,
    left: Left,
) -> Result<Prepared, RecoverError> {
    if snapshot.tablets.is_empty() {
        return Err(RecoverError::NoTablets);
    }
    scope.check(&snapshot)?;
    let tablets = Continuity::of(&snapshot, &left.partitions);
    let mut memories = BTreeMap::new();
    for table in &snapshot.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if !scope.covers(table, id) {
                continue;
            }
            let earlier = left.partitions.get(&id);
            let before = earlier.map_or(&[][..], |earlier| &earlier.before);
            let mut memory = Memory::at_start(&snapshot, table, partition, before);
            if let Some(earlier) = earlier {
                memory.carry_on(&snapshot, table, partition, earlier, &tablets);
            }
            memories.insert(id, memory);
        }
    }
    let remembered = |id: PartitionId| memories.get(&id).cloned().unwrap_or_default();
    let plan = plan(&snapshot, playbook, |table, id| scope.covers(table, id), remembered);
    Ok(Prepared { snapshot, plan, left, memories })
}

impl Prepared {
    /// auto_failover before anybody's change: an unfinished run may have left it off.
    pub fn auto_failover_before(&self) -> bool {
        self.snapshot.auto_failover || self.left.auto_failover == Some(true)
    }
}

impl Recovery {
    /// Looks at the cluster and plans. Changes nothing.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub async fn look(&self, cluster: &Cluster) -> Result<Prepared, RecoverError> {
        self.prepare(collect(cluster, &self.cluster_name, self.now_ms).await?)
    }

    /// Plans for what was seen of the cluster.
    ///
    /// # Errors
    /// See [`RecoverError`].
    pub fn prepare(&self, snapshot: Snapshot) -> Result<Prepared, RecoverError> {
        let left = left_by_runs(&*self.archive, &self.cluster_name)?;
        prepare_plan(snapshot, &self.playbook, &self.scope, left)
    }

    /// Does it.
    ///
    /// # Errors
    /// Why nothing was done to any partition.
    pub async fn run(self, cluster: &Cluster, prepared: Prepared) -> Result<Recovered, RecoverError> {
        let counts = prepared.plan.counts;
        (self.listener)(&Event::Observed {
            partitions: counts.total,
            replicas: counts.replicas,
            healthy: counts.healthy,
            auto_failover: prepared.snapshot.auto_failover,
        });
        self.tell_of_earlier(&prepared);
        let auto_failover = prepared.auto_failover_before();
        let needs_doing =
            prepared.plan.partitions.iter().any(|planned| !planned.steps.is_empty() || planned.blocked.is_none());
        if !needs_doing && auto_failover == prepared.snapshot.auto_failover {
            return Ok(nothing_to_do(cluster, &self.playbook, &prepared));
        }
        let record = self.begin_record(&prepared, auto_failover)?;
        let driven = if needs_doing { self.drive(cluster, &prepared, &record).await.map(Some) } else { Ok(None) };
        // The panic that ended the run may have been the listener's, which then panics again at whatever it is told.
        let listener = unbreakable(&self.listener);
        let restored = restore(cluster, auto_failover, &Told { listener: &listener, record: &record }).await;
        let unfinished = |going_on: Vec<GoingOn>| {
            // Whoever reads it takes the run for unfinished with or without this line.
            let _ = record.end("failed", restored.is_ok(), false, going_on);
        };
        let (driven, panicked) = match driven {
            Ok(driven) => (driven, None),
            Err(Interruption::Step(error)) => {
                unfinished(Vec::new());
                return Err(RecoverError::Step { error, not_restored: restored.err() });
            }
            Err(Interruption::Panic(panic)) => (None, Some(panic)),
        };
        let stopped = driven.as_ref().and_then(|driven| driven.stopped);
        let seen = match collect(cluster, &self.cluster_name, self.now_ms).await {
            Ok(seen) => seen,
            Err(error) => {
                unfinished(record.unanswered().into_iter().map(|action| GoingOn::Call { action }).collect());
                return Err(RecoverError::NotSeenAgain { error, not_restored: restored.err() });
            }
        };
        let summary = self.verify(cluster, &prepared, &seen, auto_failover, driven.as_ref());
        let finished = restored.is_ok() && matches!(summary.verdict, Verdict::Recovered | Verdict::Healthy);
        let memories = driven.as_ref().map_or(&prepared.memories, |driven| &driven.memories);
        let going_on = still_going_on(&seen, &self.scope, memories, record.unanswered());
        for going_on in &going_on {
            listener(&Event::StillGoingOn { going_on: going_on.clone() });
        }
        if let Err(error) = record.end(verdict_word(summary.verdict), restored.is_ok(), finished, going_on.clone()) {
            listener(&Event::Note { text: error.to_string() });
        }
        let unrecorded = record.broken();
        let not_restored = restored.err();
        Ok(Recovered { summary, stopped, not_restored, panicked, unrecorded, still_going_on: going_on })
    }

    /// Writes down everything as it is, before the first change.
    fn begin_record(&self, prepared: &Prepared, auto_failover: bool) -> Result<Record, RecordError> {
        let begun = Begun {
            version: VERSION,
            run: RunId { began_ms: self.now_ms, number: 0 },
            caller: self.caller.clone(),
            cluster: self.cluster_name.clone(),
            playbook: self.playbook.name.clone(),
            all: self.scope == Scope::All,
            auto_failover,
            after: prepared.left.run,
            before: earlier_flags(prepared),
            snapshot: Box::new(prepared.snapshot.clone()),
        };
        let record = Record::begin(&*self.archive, begun)?;
        for table in &prepared.snapshot.tables {
            for partition in &table.partitions {
                let id = PartitionId { tid: table.tid, pid: partition.pid };
                let Some(memory) = prepared.memories.get(&id) else { continue };
                record.remember(id, memory);
                memory.choice.iter().for_each(|choice| record.chosen(&table.name, id, choice));
            }
        }
        (self.listener)(&Event::Recorded { path: record.place().to_owned() });
        let _ = self.record.set(record.clone());
        Ok(record)
    }

    fn tell_of_earlier(&self, prepared: &Prepared) {
        let left = &prepared.left;
        for unusable in &left.unusable {
            (self.listener)(&Event::Note { text: format!("an earlier record cannot be used: {unusable}") });
        }
        if left.run.is_none() {
            return;
        }
        let place = &left.place;
        let text = if left.auto_failover == Some(true) && !prepared.snapshot.auto_failover {
            format!(
                "an earlier run did not finish ({place}) and left auto_failover off; it was on and will be given back"
            )
        } else {
            format!("an earlier run did not finish ({place}); what it wrote down is used")
        };
        (self.listener)(&Event::Note { text });
    }

    /// The cluster's steps, then the partitions: a task of its own, so that even a panic in it comes back as a value and
    /// the caller goes on to give auto_failover back.
    async fn drive(&self, cluster: &Cluster, prepared: &Prepared, record: &Record) -> Result<Driven, Interruption> {
        let unhealthy = prepared.plan.partitions.iter();
        let mine: BTreeSet<(TableName, Pid)> = unhealthy.map(|p| (p.table.clone(), p.partition.pid)).collect();
        let settings = Settings {
            playbook: self.playbook.clone(),
            widths: self.widths,
            pace: self.pace,
            listener: self.listener.clone(),
            stop: self.stop.clone(),
            record: record.clone(),
        };
        let (cluster, snapshot, memories) = (cluster.clone(), prepared.snapshot.clone(), prepared.memories.clone());
        let task = tokio::spawn(async move {
            let (listener, steps) = (settings.listener.clone(), settings.playbook.before.clone());
            let (pace, stop) = (settings.pace, settings.stop.clone());
            let record = settings.record.clone();
            let told = &Told { listener: &listener, record: &record };
            prepare(&cluster, &steps, &Before { snapshot: &snapshot, mine: &mine, pace, told, stop }).await?;
            Ok(Driver::new(cluster, settings, snapshot, memories).run().await)
        });
        match task.await {
            Ok(done) => done.map_err(Interruption::Step),
            Err(error) => Err(Interruption::Panic(panic_text(error))),
        }
    }

    /// Looks again with fresh eyes: what is seen decides, not what was done.
    fn verify(
        &self,
        cluster: &Cluster,
        prepared: &Prepared,
        seen: &Snapshot,
        auto_failover: bool,
        driven: Option<&Driven>,
    ) -> Summary {
        let mut partitions = PartitionCounts { total: prepared.plan.counts.total, ..PartitionCounts::default() };
        let mut blocked = Vec::new();
        let mut given_up = Vec::new();
        partitions.healthy_before = prepared.plan.counts.healthy;
        for planned in &prepared.plan.partitions {
            let id = planned.partition;
            let memory = driven.and_then(|driven| driven.memories.get(&id));
            let choice = memory.and_then(|memory| memory.choice.as_ref());
            given_up
                .extend(choice.iter().flat_map(|c| &c.given_up).map(|g| GivenUpEntry::new(&planned.table, id.pid, g)));
            let now = health_in(seen, id, memory);
            let driven_to = driven.and_then(|driven| driven.blocked.get(&id));
            // Flags and roles do not show these.
            let unseen = |why: &Blocked| matches!(why.reason, Reason::LeaderLacksRows | Reason::NotCatchingUp);
            let is_unseen = driven_to.is_some_and(unseen);
            let why = driven_to.cloned().or_else(|| planned.blocked.clone());
            let unfinished = why.as_ref().is_none_or(|why| why.reason == Reason::Interrupted);
            match now {
                Some(Health::Healthy) if !is_unseen => partitions.recovered += 1,
                None => partitions.recovered += 1,
                Some(health) => {
                    let why = why.unwrap_or_else(|| not_healthy(&health));
                    if unfinished {
                        partitions.failed += 1
                    } else {
                        partitions.blocked += 1
                    }
                    blocked.push(BlockedEntry::new(&planned.table, id.pid, &why));
                }
            }
        }
        let verdict = if blocked.is_empty() {
            if partitions.recovered > 0 { Verdict::Recovered } else { Verdict::Healthy }
        } else if driven.is_none_or(|driven| driven.stopped.is_some()) {
            Verdict::Failed
        } else {
            Verdict::Partial
        };
        Summary {
            verdict,
            playbook: Some(self.playbook.name.clone()),
            auto_failover: AutoFailoverSeen { before: auto_failover, after: seen.auto_failover },
            partitions,
            replicas: ReplicaCounts { total: prepared.plan.counts.replicas },
            given_up,
            serving_after_ms: driven.and_then(|driven| driven.serving_after).map(millis),
            redundant_after_ms: driven.and_then(|driven| driven.redundant_after).map(millis),
            rpc: cluster.rpc_counts().into(),
            blocked,
        }
    }
}

/// The summary of a plan or a look: nothing is changed.
pub fn summary_of_plan(plan: &Plan, auto_failover: bool, rpc: super::report::Rpc) -> Summary {
    let blocked: Vec<BlockedEntry> = plan
        .partitions
        .iter()
        .filter_map(|planned| {
            planned.blocked.as_ref().map(|why| BlockedEntry::new(&planned.table, planned.partition.pid, why))
        })
        .collect();
    let given_up = plan.partitions.iter().flat_map(|planned| {
        let choice = match &planned.leader {
            crate::recovery::LeaderPlan::Chosen(choice) => Some(choice),
            _ => None,
        };
        choice
            .into_iter()
            .flat_map(|choice| &choice.given_up)
            .map(|g| GivenUpEntry::new(&planned.table, planned.partition.pid, g))
    });
    let unhealthy = plan.counts.total - plan.counts.healthy;
    Summary {
        verdict: if unhealthy == 0 { Verdict::Healthy } else { Verdict::Partial },
        playbook: Some(plan.playbook.clone()),
        auto_failover: AutoFailoverSeen { before: auto_failover, after: auto_failover },
        partitions: PartitionCounts {
            total: plan.counts.total,
            healthy_before: plan.counts.healthy,
            recovered: 0,
            blocked: blocked.len(),
            failed: unhealthy - blocked.len(),
        },
        replicas: ReplicaCounts { total: plan.counts.replicas },
        given_up: given_up.collect(),
        serving_after_ms: None,
        redundant_after_ms: None,
        rpc,
        blocked,
    }
}

/// A listener that panics for itself alone: giving auto_failover back goes on without it.
fn unbreakable(listener: &Listener) -> Listener {
    let listener = listener.clone();
    Arc::new(move |event| {
        if catch_unwind(AssertUnwindSafe(|| listener(event))).is_err() {
            tracing::error!(?event, "the listener panicked");
        }
    })
}

fn nothing_to_do(cluster: &Cluster, playbook: &Playbook, prepared: &Prepared) -> Recovered {
    let rpc = cluster.rpc_counts().into();
    let summary = summary_of_plan(&prepared.plan, prepared.snapshot.auto_failover, rpc);
    debug_assert_eq!(summary.playbook.as_deref(), Some(playbook.name.as_str()));
    Recovered {
        summary,
        stopped: None,
        not_restored: None,
        panicked: None,
        unrecorded: None,
        still_going_on: Vec::new(),
    }
}

fn earlier_flags(prepared: &Prepared) -> Vec<recovery::Before> {
    let mut before = Vec::new();
    for table in &prepared.snapshot.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            before.extend(
                prepared.memories.get(&id).into_iter().flat_map(|memory| memory.before(id, partition.terms.len())),
            );
        }
    }
    before
}

fn health_in(seen: &Snapshot, id: PartitionId, memory: Option<&Memory>) -> Option<Health> {
    let table = seen.tables.iter().find(|table| table.tid == id.tid)?;
    let partition = table.partitions.iter().find(|partition| partition.pid == id.pid)?;
    Some(health(&View::of(seen, table, partition, memory.unwrap_or(&Memory::default()))))
}

fn not_healthy(health: &Health) -> Blocked {
    let problems: Vec<String> = health.problems().iter().map(|p| format!("{} {}", p.endpoint, p.text)).collect();
    Blocked::new(
        Reason::Interrupted,
        problems.join(", "),
        "run the same command again: it goes on where this run stopped",
    )
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn verdict_word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Recovered => "recovered",
        Verdict::Healthy => "healthy",
        Verdict::Partial => "partial",
        Verdict::Refused => "refused",
        Verdict::Failed => "failed",
    }
}

fn panic_text(error: tokio::task::JoinError) -> String {
    let Ok(payload) = error.try_into_panic() else { return "the run was cancelled".to_owned() };
    let text = payload.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}
