//! One partition in a run: its memory, what is under way for it, how long it has been waiting.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Action, Endpoint, PartitionId, Server, Snapshot, StorageMode};
use crate::recovery::{Blocked, ByEndpoint, Decision, Health, Memory, Place, Stage, View, Wait, WaitFor, health};

use super::beside::Watched;
use super::partition_poll::Pace;

/// Order of everything a run begins; a look counts only if it began after what it is to show.
pub(super) type Sequence = u64;

/// A partition in scope.
#[derive(Debug)]
pub(super) struct PartitionTask {
    pub(super) memory: Memory,
    pub(super) endpoints: Vec<Endpoint>,
    /// Actions and questions sent or queued, not answered yet.
    pub(super) under_way: usize,
    /// When what is queued or sent was decided on.
    pub(super) decided: Instant,
    /// What it had queued was too old to be sent: what it decides next does not queue up again.
    pub(super) recalled: bool,
    /// When its last action on a tablet ended.
    pub(super) tablet_acted: Sequence,
    /// When its last action on the nameserver ended.
    pub(super) nameserver_acted: Sequence,
    /// The last one had the nameserver queue an operation.
    pub(super) asked_for_op: bool,
    /// When looks at it alone last began, in the nameserver's tables and ...
    pub(super) tables_seen: Sequence,
    /// ... on its replicas' tablets.
    pub(super) seen: ByEndpoint<Sequence>,
    /// When looks at replicas that showed what may be an instant of a load were last counted.
    pub(super) odd: BTreeMap<Endpoint, Instant>,
    /// When to look at it alone.
    pub(super) pace: Pace,
    /// Since when it has been serving, since the run began to act.
    pub(super) serving_after: Option<Duration>,
    /// Its end, for now: one that is blocked is decided again when what it rests on changes.
    pub(super) end: Option<End>,
    /// When it came to that end, since the run began to act.
    pub(super) ended_after: Option<Duration>,
    /// Why it was last said to be left alone.
    pub(super) told: Option<Blocked>,
    /// A call of this run's was made for it.
    pub(super) acted_on: bool,
    /// Its leader served when it was last looked at.
    pub(super) serves: bool,
    /// Whether there was nothing to do from the start: then it is not touched, whatever becomes of it.
    pub(super) healthy_before: bool,
    /// What it waits for.
    pub(super) waiting: Option<WaitFor>,
    /// What others may change of it.
    pub(super) beside: Watched,
    clocks: HashMap<WaitFor, Clock>,
}

/// How a partition ended.
#[derive(Debug, Clone)]
pub(super) enum End {
    /// Healthy, now or from the start.
    Healthy,
    /// Left alone.
    Blocked(Blocked),
}

#[derive(Debug)]
struct Clock {
    since: Instant,
    changed: Instant,
    seen: String,
    timeout: Duration,
}

impl PartitionTask {
    pub(super) fn new(memory: Memory, endpoints: Vec<Endpoint>) -> Self {
        Self {
            memory,
            endpoints,
            under_way: 0,
            decided: Instant::now(),
            recalled: false,
            tablet_acted: 0,
            nameserver_acted: 0,
            asked_for_op: false,
            tables_seen: 0,
            seen: ByEndpoint::default(),
            odd: BTreeMap::new(),
            pace: Pace::new(),
            serving_after: None,
            end: None,
            ended_after: None,
            told: None,
            acted_on: false,
            serves: false,
            healthy_before: false,
            waiting: None,
            beside: Watched::default(),
            clocks: HashMap::new(),
        }
    }

    /// Whether something may still happen to it by itself.
    pub(super) fn is_open(&self) -> bool {
        self.end.is_none()
    }

    /// Why it is left alone, if it is.
    pub(super) fn blocked(&self) -> Option<&Blocked> {
        match &self.end {
            Some(End::Blocked(why)) => Some(why),
            Some(End::Healthy) | None => None,
        }
    }

    /// Whether its replicas are looked at: until it is healthy.
    pub(super) fn is_watched(&self) -> bool {
        !matches!(self.end, Some(End::Healthy))
    }

    /// Whether the run stays open for a tablet of its that is away: it is down, or the run has worked on it. What serves and has
    /// nothing to be done keeps nobody waiting.
    pub(super) fn waits_for_tablets(&self) -> bool {
        !self.healthy_before && (self.acted_on || !self.serves)
    }

    /// Notes the end of an action of ours: what was seen before it does not count any more.
    pub(super) fn acted(&mut self, action: &Action, now: Sequence) {
        self.pace.quicken();
        self.acted_on = true;
        self.asked_for_op = matches!(action, Action::RecoverTable { .. } | Action::ChangeLeader { .. });
        match action.server() {
            Server::Nameserver => self.nameserver_acted = now,
            Server::Tablet(_) => self.tablet_acted = now,
        }
        self.clocks.retain(|wait, _| {
            matches!(wait, WaitFor::Loading | WaitFor::SlowLoad | WaitFor::Appearing(_) | WaitFor::Turn(_))
        });
    }

    /// Notes a decision to wait. `pace` is how much faster than ours the cluster's clock runs. True if the wait has
    /// expired, so that it has to be decided again.
    pub(super) fn wait(&mut self, storage: StorageMode, wait: Wait, pace: f64) -> bool {
        let now = Instant::now();
        self.waiting = Some(wait.what.clone());
        let fresh = || Clock { since: now, changed: now, seen: wait.seen.clone(), timeout: wait.timeout };
        let clock = self.clocks.entry(wait.what.clone()).or_insert_with(fresh);
        if clock.seen != wait.seen {
            clock.changed = now;
            clock.seen.clone_from(&wait.seen);
        }
        clock.timeout = wait.timeout;
        let elapsed = |since: Instant| now.duration_since(since).mul_f64(pace);
        let expired = elapsed(clock.since) > wait.timeout || elapsed(clock.changed) > wait.stall;
        if let (WaitFor::CatchUp(endpoint), Some(target)) = (&wait.what, wait.catch_up_to) {
            self.memory.replica_mut(endpoint).recovery.catch_up_to.get_or_insert(target);
        }
        if let WaitFor::CatchUp(endpoint) = &wait.what {
            let stands_still = expired && elapsed(clock.changed) > wait.stall;
            self.memory.replica_mut(endpoint).recovery.stood_still |= stands_still;
        }
        if expired {
            let clock = self.clocks.remove(&wait.what);
            // Whatever waits for the same load longer has waited for it since then.
            if wait.what == WaitFor::SlowLoad {
                clock.map(|clock| self.clocks.entry(WaitFor::Loading).or_insert(clock));
            }
            self.memory.note_expired(storage, wait.what, wait.seen);
        }
        expired
    }

    /// For how long it has been waiting, and how long it may in all. On our clock, and on the cluster's.
    pub(super) fn waited(&self) -> Option<(Duration, Duration)> {
        let clock = self.clocks.get(self.waiting.as_ref()?)?;
        Some((clock.since.elapsed(), clock.timeout))
    }

    /// Whether it has waited for its turn for as long as it has to.
    pub(super) fn turn_is_over(&self, pace: f64) -> bool {
        let is_turn = self.waiting.as_ref().is_some_and(WaitFor::is_turn);
        is_turn && self.waited().is_some_and(|(since, timeout)| since.mul_f64(pace) > timeout)
    }

    /// Notes the end, at that time since the run began to act. Whether that is news: one that was looked at again may be left
    /// alone for the same reason as before.
    pub(super) fn end(&mut self, end: End, after: Duration) -> bool {
        self.waiting = None;
        if matches!(end, End::Healthy) {
            self.clocks = HashMap::new();
        }
        self.end = Some(end);
        let blocked = self.blocked().cloned();
        let is_news = blocked.is_none() || blocked != self.told;
        if is_news {
            self.ended_after = Some(after);
            self.told = blocked;
        }
        is_news
    }

    /// What was seen of it up to now is too old.
    pub(super) fn outdate(&mut self, now: Sequence) {
        (self.tablet_acted, self.nameserver_acted) = (now, now);
        self.pace.quicken();
    }

    /// Begins again with a partition that was brought back and has come to harm since, or that was left alone for what is not so
    /// any more. Whether there is anything to begin.
    pub(super) fn reopen(&mut self, now: Sequence) -> bool {
        if self.is_open() || self.healthy_before {
            return false;
        }
        self.end = None;
        // What was compared may be so no more.
        self.memory.rows = None;
        self.clocks.clear();
        self.outdate(now);
        true
    }

    /// Whether it wants the nameserver's tables and operations looked at.
    pub(super) fn wants_nameserver(&self, tables_seen: Sequence) -> bool {
        self.is_open()
            && (self.nameserver_acted >= tables_seen.max(self.tables_seen)
                || matches!(
                    self.waiting,
                    Some(
                        WaitFor::Ops
                            | WaitFor::OthersOps
                            | WaitFor::Flags
                            | WaitFor::CatchUp(_)
                            | WaitFor::Registered(_)
                    )
                ))
    }
}

/// Whether a decision ends the case, and how.
pub(super) fn end_of(decision: &Decision) -> Option<End> {
    match decision {
        Decision::Done => Some(End::Healthy),
        Decision::Blocked(blocked) => Some(End::Blocked(blocked.clone())),
        Decision::Look(_)
        | Decision::Compare { .. }
        | Decision::Choose(_)
        | Decision::Act(_)
        | Decision::Wait(_)
        | Decision::Unknown => None,
    }
}

/// An intent with its partition, on its way to a lane.
pub(super) type Ordered = (PartitionId, crate::recovery::Intent);

/// A case for every partition with a memory, and where each stands in the order.
pub(super) fn partitions(
    snapshot: &Snapshot,
    memories: BTreeMap<PartitionId, Memory>,
) -> (BTreeMap<PartitionId, PartitionTask>, BTreeMap<PartitionId, Place>) {
    let (mut partitions, mut places) = (BTreeMap::new(), BTreeMap::new());
    for table in &snapshot.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            let Some(memory) = memories.get(&id) else { continue };
            let endpoints = partition.replicas.iter().map(|replica| replica.endpoint.clone()).collect();
            let mut task = PartitionTask::new(memory.clone(), endpoints);
            let view = View::of(snapshot, table, partition, memory);
            task.serves = view.serving_leader().is_some();
            let looks_healthy = health(&view) == Health::Healthy;
            let healthy = looks_healthy && !memory.was_bringing_back();
            if healthy {
                task.end(End::Healthy, Duration::ZERO);
                task.healthy_before = true;
            }
            let stage = if healthy { Stage::Settled } else { Stage::Coming };
            places.insert(id, Place { system: table.is_system(), base_table: table.base_table, stage });
            partitions.insert(id, task);
        }
    }
    (partitions, places)
}
