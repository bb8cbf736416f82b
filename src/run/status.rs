//! How a cluster is, as plain data: every tablet, every partition in scope, what is wrong with each. A pure function of
//! a snapshot, by the same rules that decide whether recovery touches a partition.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::{
    Endpoint, Identity, Offset, Partition, PartitionId, Pid, RemoteReplica, Replica, Role, Seen, Snapshot, State,
    Table, TableName, Tablet, TabletState, Tid, Zone,
};
use crate::recovery::{
    Base, Blocked, Health, Link, Memory, Problem, ProblemKind, Reason, Remote, View, health, led_apart, remotes_of,
    replica_count,
};

use super::index::Index;
use super::report::{AutoFailoverSeen, Beside, BlockedEntry, PartitionCounts, ReplicaCounts, Rpc, Summary, Verdict};
use super::scope::Scope;
use super::service::Service;

/// A cluster's health.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename = "status")]
pub struct Status {
    /// Which cluster.
    pub cluster: String,
    /// When it was looked at, in milliseconds since 1970.
    pub taken_at_ms: u64,
    /// Whether auto_failover is on.
    pub auto_failover: bool,
    /// Every tablet that the nameserver, ZooKeeper or a table names, by endpoint.
    pub tablets: Vec<TabletStatus>,
    /// The partitions in scope, in the nameserver's order.
    pub partitions: Vec<PartitionStatus>,
    /// Numbers.
    pub counts: StatusCounts,
    /// Whether the cluster follows another one, or is followed.
    #[serde(skip_serializing_if = "Zone::is_alone")]
    pub zone: Zone,
    /// Who answers is not the cluster that was asked for.
    #[serde(skip)]
    pub other_end: bool,
}

/// A tablet's health.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TabletStatus {
    /// Its name in metadata.
    pub endpoint: Endpoint,
    /// Its address, where metadata holds server names.
    pub real_endpoint: Option<String>,
    /// The nameserver's opinion; null if it does not list the tablet.
    pub nameserver: Option<TabletState>,
    /// Whether it is registered in ZooKeeper; null without ZooKeeper.
    pub in_zookeeper: Option<bool>,
    /// How many replicas in scope metadata places on it.
    pub replicas_placed: usize,
    /// How many replicas it holds, loaded or loading, in scope or not; null if it does not answer.
    pub replicas_held: Option<usize>,
    /// Why it does not answer.
    pub error: Option<String>,
    /// What is wrong, and what cures it.
    pub problems: Vec<TabletProblem>,
}

/// Something wrong with a tablet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct TabletProblem {
    /// What is seen.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// A partition's health.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionStatus {
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Table number.
    pub tid: Tid,
    /// Partition number.
    pub pid: Pid,
    /// In a word.
    pub state: PartitionState,
    /// The leader that serves; null if none does.
    pub leader: Option<Endpoint>,
    /// Its replicas, in the nameserver's order.
    pub replicas: Vec<ReplicaStatus>,
    /// What is wrong.
    pub problems: Vec<ReplicaProblem>,
    /// Its replicas in clusters that follow this one.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub remotes: Vec<RemoteStatus>,
}

/// A partition's replica in another cluster. That cluster is not asked.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct RemoteStatus {
    /// What this cluster calls the other one.
    pub alias: String,
    /// The tablet there.
    pub endpoint: Endpoint,
    /// The table's number there.
    pub tid: Tid,
    /// Whether the leader replicates to it; null if no leader serves, or it does not say.
    pub attached: Option<bool>,
    /// How far its leader knows it to have come; null if it does not replicate to it.
    pub replicated_to: Option<Offset>,
    /// It holds more than its leader, which then sends it nothing of what it writes in these places.
    pub ahead: bool,
}

impl PartitionStatus {
    /// Whether nothing is wrong with it but how many replicas it has.
    pub fn only_counts(&self) -> bool {
        !self.problems.is_empty() && self.problems.iter().all(ReplicaProblem::is_count)
    }
}

impl ReplicaProblem {
    /// Whether it is how many replicas the partition has.
    pub fn is_count(&self) -> bool {
        matches!(self.kind, ProblemKind::TooFewReplicas | ProblemKind::TooManyReplicas)
    }
}

/// A partition's health, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum PartitionState {
    /// One alive leader; every replica alive, loaded, in its flagged role, connected, and none known to take nothing; as many replicas
    /// as the table was made with; a pre-aggregate table's beside its base table's leader.
    Healthy,
    /// Its leader is loaded and alive; some replicas are not as they should be.
    Serving,
    /// No leader serves.
    Down,
}

/// A replica, as metadata and its tablet have it.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ReplicaStatus {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Its leader flag.
    pub is_leader: bool,
    /// Its alive flag.
    pub is_alive: bool,
    /// Its role in memory; null if its tablet does not hold it.
    pub role: Option<Role>,
    /// What its tablet has of it.
    pub state: ReplicaState,
    /// The end of its log, in entries; null unless loaded.
    pub offset: Option<Offset>,
    /// Its rows, counted in the first index; null unless loaded.
    pub rows: Option<u64>,
    /// How far the serving leader knows it to have come; null for the leader, and if the leader does not replicate to it.
    pub replicated_to: Option<Offset>,
    /// What the nameserver last knew of its offset; null if it knows none.
    pub nameserver_offset: Option<Offset>,
}

/// What a tablet has of a replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ReplicaState {
    /// The tablet does not answer.
    OutOfReach,
    /// Not held.
    NotLoaded,
    /// Queued to load.
    Queued,
    /// Loading.
    Loading,
    /// Loaded.
    Normal,
    /// Loaded, writing a snapshot.
    MakingSnapshot,
    /// Loaded, kept from writing snapshots by an operation.
    SnapshotPaused,
    /// In a cluster that follows this one, which is not asked.
    Elsewhere,
}

/// Something wrong with a replica.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ReplicaProblem {
    /// Which replica.
    pub endpoint: Endpoint,
    /// Of which kind.
    #[serde(skip)]
    pub kind: ProblemKind,
    /// What.
    pub text: String,
}

/// A status in numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct StatusCounts {
    /// Partitions in scope; the sum of the next three.
    pub partitions: usize,
    /// See [`PartitionState::Healthy`].
    pub healthy: usize,
    /// See [`PartitionState::Serving`].
    pub serving: usize,
    /// See [`PartitionState::Down`].
    pub down: usize,
    /// Replicas in scope.
    pub replicas: usize,
    /// Tablets.
    pub tablets: usize,
    /// Tablets with a replica in scope and a problem.
    pub tablets_with_problems: usize,
    /// Operations of the nameserver that are queued or running.
    pub ops_in_flight: usize,
}

impl Status {
    /// The health of what is in scope.
    pub fn of(snapshot: &Snapshot, scope: &Scope) -> Self {
        Self::seen(snapshot, scope, PartitionState::Serving)
    }

    /// The same as far as it shows in a look that has not asked leaders whom they replicate to: partitions with which nothing else is
    /// wrong count as healthy.
    pub fn at_a_glance(snapshot: &Snapshot, scope: &Scope) -> Self {
        Self::seen(snapshot, scope, PartitionState::Healthy)
    }

    /// `unasked`: the state of partitions of which nothing but their connections is unknown.
    fn seen(snapshot: &Snapshot, scope: &Scope, unasked: PartitionState) -> Self {
        let mut partitions = Vec::new();
        let mut placed: BTreeMap<&Endpoint, usize> = BTreeMap::new();
        // Thousands that have ended are listed: no partition looks through all of them.
        let ops = Index::of(&[], snapshot.ops.clone(), None);
        for table in &snapshot.tables {
            for partition in &table.partitions {
                if scope.covers(table, PartitionId { tid: table.tid, pid: partition.pid }) {
                    partition.replicas.iter().for_each(|r| *placed.entry(&r.endpoint).or_default() += 1);
                    partitions.push(partition_status(snapshot, &ops, table, partition, unasked));
                }
            }
        }
        let placed_on = |endpoint: &Endpoint| placed.get(endpoint).copied().unwrap_or(0);
        let tablets: Vec<TabletStatus> =
            snapshot.tablets.iter().map(|(e, tablet)| tablet_status(e, tablet, placed_on(e))).collect();
        let counts = counts(&partitions, &tablets, snapshot);
        let (cluster, taken_at_ms) = (snapshot.cluster.clone(), snapshot.taken_at_ms);
        let other_end = !matches!(snapshot.identity, Identity::Cluster | Identity::Standalone { .. });
        let (auto_failover, zone) = (snapshot.auto_failover, snapshot.zone.clone());
        Self { cluster, taken_at_ms, auto_failover, tablets, partitions, counts, zone, other_end }
    }

    /// Whether every partition in scope is healthy, and every tablet that metadata places a replica in scope on; and they are
    /// those that were asked for.
    pub fn is_healthy(&self) -> bool {
        let counts = &self.counts;
        counts.healthy == counts.partitions && counts.tablets_with_problems == 0 && !self.other_end
    }
}

fn counts(partitions: &[PartitionStatus], tablets: &[TabletStatus], snapshot: &Snapshot) -> StatusCounts {
    let in_state = |state| partitions.iter().filter(|partition| partition.state == state).count();
    StatusCounts {
        partitions: partitions.len(),
        healthy: in_state(PartitionState::Healthy),
        serving: in_state(PartitionState::Serving),
        down: in_state(PartitionState::Down),
        replicas: partitions.iter().map(|partition| partition.replicas.len()).sum(),
        tablets: tablets.len(),
        tablets_with_problems: tablets.iter().filter(|t| t.replicas_placed > 0 && !t.problems.is_empty()).count(),
        ops_in_flight: snapshot.ops.iter().filter(|op| op.status.is_in_flight()).count(),
    }
}

fn tablet_status(endpoint: &Endpoint, tablet: &Tablet, replicas_placed: usize) -> TabletStatus {
    TabletStatus {
        endpoint: endpoint.clone(),
        real_endpoint: tablet.real_endpoint.clone(),
        nameserver: tablet.state,
        in_zookeeper: tablet.in_zookeeper,
        replicas_placed,
        replicas_held: tablet.held.known().map(BTreeMap::len),
        error: tablet.held.error().map(str::to_owned),
        problems: tablet_problems(tablet),
    }
}

/// What the nameserver, ZooKeeper and the tablet itself say, held against each other. A registration that the nameserver
/// missed stays missed until another nameserver leads
/// (docs/openmldb/nameserver.md#a-registration-that-the-nameserver-missed).
fn tablet_problems(tablet: &Tablet) -> Vec<TabletProblem> {
    let start = "start the tablet, and wait until it has registered";
    let restart = "restart the tablet, so that it registers again";
    let missed = "restart the leading nameserver, or make another one leader: a registration it missed stays missed";
    // One that hangs is still healthy to the nameserver; one that has just died is, too.
    let wake = match tablet.state {
        Some(TabletState::Healthy) => "start the tablet if it is not running, or restart it if it hangs",
        Some(TabletState::Offline) | None => start,
    };
    let error = tablet.held.error().map(|error| (format!("does not answer: {error}"), wake));
    let answers = tablet.held.known().is_some();
    let seen = match (tablet.state, tablet.in_zookeeper) {
        (Some(TabletState::Healthy), Some(false)) => {
            Some(("its registration in ZooKeeper is gone, but the nameserver still considers it healthy", restart))
        }
        (Some(TabletState::Healthy), _) => None,
        (Some(TabletState::Offline), Some(true)) => {
            Some(("registered in ZooKeeper, but kOffline to the nameserver", missed))
        }
        (None, Some(true)) => Some(("registered in ZooKeeper, but not listed by the nameserver", missed)),
        (Some(TabletState::Offline), None) if answers => Some(("answers, but is kOffline to the nameserver", missed)),
        // Nothing but what its silence says already.
        (Some(TabletState::Offline), _) if error.is_some() => None,
        (Some(TabletState::Offline), _) => {
            Some(("not registered in ZooKeeper, and kOffline to the nameserver", restart))
        }
        (None, _) if error.is_some() => Some(("tables are placed on it, but the nameserver does not list it", start)),
        (None, _) => Some(("tables are placed on it, but the nameserver does not list it", restart)),
    };
    let seen = seen.map(|(text, hint)| (text.to_owned(), hint));
    error.into_iter().chain(seen).map(|(text, hint)| TabletProblem { text, hint: hint.to_owned() }).collect()
}

fn partition_status(
    snapshot: &Snapshot,
    ops: &Index,
    table: &Table,
    partition: &Partition,
    unasked: PartitionState,
) -> PartitionStatus {
    let (base, memory) = (Base::of(snapshot, table, partition), Memory::at_start(snapshot, table, partition, &[]));
    let ops = ops.ops(&table.name, partition.pid);
    let view = View { base, ..View::with_ops(&snapshot.tablets, table, partition, &memory, ops) };
    let apart = led_apart(&view);
    let count = replica_count(table, partition);
    let (state, mut problems) = match health(&view) {
        Health::Healthy if apart.is_some() || count.is_some() => (PartitionState::Serving, Vec::new()),
        Health::Healthy => (PartitionState::Healthy, Vec::new()),
        Health::Serving(problems) => (PartitionState::Serving, problems),
        Health::Down(problems) => (PartitionState::Down, problems),
        Health::Unknown(_) if unasked == PartitionState::Healthy => match apart.is_some() || count.is_some() {
            true => (PartitionState::Serving, Vec::new()),
            false => (PartitionState::Healthy, Vec::new()),
        },
        Health::Unknown(probe) => {
            let text = "the snapshot does not report its followers".to_owned();
            (PartitionState::Serving, vec![Problem { endpoint: probe.endpoint, kind: ProblemKind::NoAnswer, text }])
        }
    };
    problems.extend(apart.into_iter().chain(count));
    let leader = view.serving_leader();
    let followers = leader.and_then(|leader| leader.followers.known());
    let replicated_to = |endpoint: &Endpoint| {
        let followers = followers.into_iter().flat_map(|followers| &followers.followers);
        followers.filter(|(follower, _)| follower == endpoint).map(|(_, offset)| *offset).next()
    };
    let id = view.partition;
    PartitionStatus {
        table: table.name.clone(),
        tid: table.tid,
        pid: partition.pid,
        state,
        leader: leader.map(|leader| leader.endpoint.clone()),
        replicas: partition
            .replicas
            .iter()
            .map(|replica| ReplicaStatus {
                replicated_to: replicated_to(&replica.endpoint),
                ..replica_status(snapshot, id, replica)
            })
            .collect(),
        problems: problems
            .into_iter()
            .map(|p| ReplicaProblem { endpoint: p.endpoint, kind: p.kind, text: p.text })
            .collect(),
        remotes: remotes_of(snapshot, table, partition).into_iter().map(remote_status).collect(),
    }
}

fn remote_status(remote: Remote) -> RemoteStatus {
    let ahead = remote.ahead().is_some();
    let (attached, replicated_to) = match remote.link {
        Link::Unled | Link::Unknown(_) => (None, None),
        Link::Attached { at, .. } => (Some(true), Some(at)),
        Link::Detached(_) => (Some(false), None),
    };
    let RemoteReplica { alias, endpoint, tid, .. } = remote.replica;
    RemoteStatus { alias, endpoint, tid, attached, replicated_to, ahead }
}

fn replica_status(snapshot: &Snapshot, id: PartitionId, replica: &Replica) -> ReplicaStatus {
    let held = snapshot.tablets.get(&replica.endpoint).map_or(&Seen::Unasked, |tablet| &tablet.held);
    let holds = held.known().map(|held| held.get(&id));
    let state = match holds {
        None => ReplicaState::OutOfReach,
        Some(None) => ReplicaState::NotLoaded,
        Some(Some(held)) => match held.state {
            State::Queued => ReplicaState::Queued,
            State::Loading => ReplicaState::Loading,
            State::Normal => ReplicaState::Normal,
            State::MakingSnapshot => ReplicaState::MakingSnapshot,
            State::SnapshotPaused => ReplicaState::SnapshotPaused,
        },
    };
    let loaded = holds.flatten().filter(|held| held.state.is_loaded());
    ReplicaStatus {
        endpoint: replica.endpoint.clone(),
        is_leader: replica.is_leader,
        is_alive: replica.is_alive,
        role: holds.flatten().map(|held| held.role),
        state,
        offset: loaded.map(|held| held.offset),
        rows: loaded.map(|held| held.record_cnt),
        replicated_to: None,
        nameserver_offset: replica.offset,
    }
}

/// The summary of a look: nothing is changed. A partition that serves without being redundant counts as blocked, one
/// that does not serve as failed.
pub fn summary_of_status(status: &Status, rpc: Rpc) -> Summary {
    let serving = status.partitions.iter().filter(|partition| partition.state == PartitionState::Serving);
    let blocked = serving.map(|partition| {
        let problems: Vec<String> = partition.problems.iter().map(|p| format!("{} {}", p.endpoint, p.text)).collect();
        let (reason, hint) = match partition.only_counts() {
            true => (Reason::ReplicaCount, "`openmldb-ops scale repair` puts it right; with --dry-run it says how"),
            false => {
                (Reason::NotRedundant, "run `openmldb-ops recover --all`; with --dry-run it says what it would do")
            }
        };
        let why = Blocked::new(reason, problems.join(", "), hint);
        BlockedEntry::new(&partition.table, partition.pid, &why)
    });
    Summary {
        verdict: if status.is_healthy() { Verdict::Healthy } else { Verdict::Partial },
        service: Some(Service::of(status)),
        playbook: None,
        auto_failover: AutoFailoverSeen::of(status.auto_failover, status.auto_failover, &[]),
        partitions: PartitionCounts {
            total: status.counts.partitions,
            healthy_before: status.counts.healthy,
            recovered: 0,
            blocked: status.counts.serving,
            failed: status.counts.down,
        },
        replicas: ReplicaCounts { total: status.counts.replicas },
        given_up: Vec::new(),
        accepted: Vec::new(),
        serving_after_ms: None,
        redundant_after_ms: None,
        rpc,
        blocked: blocked.collect(),
        verification: None,
        rows_compared: None,
        beside: Beside { tablets_with_problems: status.counts.tablets_with_problems, other_end: status.other_end },
    }
}
