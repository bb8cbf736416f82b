//! What one look says that a guard needs: the cases of `status`, and what has to stay as it is before anything is done.

use std::collections::BTreeSet;

use crate::model::{Endpoint, PartitionId, Snapshot};
use crate::run::{Case, Diagnosis, PartitionState, PartitionStatus, ReplicaState, Runs, Scope, Status, diagnose};

/// One look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// When, on a clock that nobody sets: only what lies between two looks can be told by it, in milliseconds.
    pub now_ms: u64,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// As `status` names them.
    pub cases: Vec<Diagnosis>,
    /// What moves while something goes on.
    pub shape: Shape,
    /// What is known of runs.
    pub runs: Runs,
    /// What is known of undertakings beside.
    pub undertakings: Undertakings,
}

/// What this host's files say of undertakings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Undertakings {
    /// Tablets whose upgrade is open.
    pub upgrades: Vec<Endpoint>,
    /// Why nothing is known.
    pub unknown: Option<String>,
}

/// What moves while something goes on.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Shape {
    /// Tablets that something is placed on and that do not answer.
    pub away: BTreeSet<Endpoint>,
    /// Those that answer, and hold nothing of it.
    pub empty: BTreeSet<Endpoint>,
    /// Partitions.
    pub partitions: usize,
    /// Those that no leader serves.
    pub down: usize,
    /// Those that serve, and are not redundant.
    pub serving: usize,
    /// Replicas.
    pub replicas: usize,
    /// Those that are loaded.
    pub loaded: usize,
    /// Operations of the nameserver under way.
    pub ops: usize,
    /// Whether auto_failover is on.
    pub auto_failover: bool,
}

impl Seen {
    /// Of a look at everything (at a glance is enough). What is to be recovered is in `scope`.
    pub fn of(snapshot: &Snapshot, scope: &Scope, now_ms: u64, runs: Runs, undertakings: Undertakings) -> Self {
        let cases = diagnose(snapshot, &Status::at_a_glance(snapshot, &Scope::All), &runs);
        let (at_ms, shape) = (snapshot.taken_at_ms, Shape::of(snapshot, &Status::at_a_glance(snapshot, scope)));
        Self { now_ms, at_ms, cases, shape, runs, undertakings }
    }

    /// Whether a case is among those seen.
    pub fn is(&self, case: Case) -> bool {
        self.case(case).is_some()
    }

    /// One of the cases.
    pub fn case(&self, case: Case) -> Option<&Diagnosis> {
        self.cases.iter().find(|found| found.case == case)
    }
}

/// Whether it serves, and lacks more than replicas that it was never given: those no recovery adds.
fn is_for_a_recovery(partition: &PartitionStatus) -> bool {
    partition.state == PartitionState::Serving && !partition.only_counts()
}

impl Shape {
    /// Of a look and what it comes to.
    pub fn of(snapshot: &Snapshot, status: &Status) -> Self {
        let mut shape = Self {
            partitions: status.counts.partitions,
            down: status.counts.down,
            serving: status.partitions.iter().filter(|partition| is_for_a_recovery(partition)).count(),
            replicas: status.counts.replicas,
            ops: status.counts.ops_in_flight,
            auto_failover: status.auto_failover,
            ..Self::default()
        };
        for replica in status.partitions.iter().flat_map(|partition| &partition.replicas) {
            let loaded = matches!(
                replica.state,
                ReplicaState::Normal | ReplicaState::MakingSnapshot | ReplicaState::SnapshotPaused
            );
            shape.loaded += usize::from(loaded);
        }
        for (at, tablet) in &snapshot.tablets {
            let mut placed = snapshot.tables.iter().flat_map(|table| {
                table.partitions_on(at).map(move |partition| PartitionId { tid: table.tid, pid: partition.pid })
            });
            let Some(first) = placed.next() else { continue };
            match tablet.held.known() {
                None => {
                    shape.away.insert(at.clone());
                }
                Some(held) if !held.contains_key(&first) && !placed.any(|id| held.contains_key(&id)) => {
                    shape.empty.insert(at.clone());
                }
                Some(_) => {}
            }
        }
        shape
    }

    /// Whether every partition is served and redundant.
    pub fn is_well(&self) -> bool {
        self.down == 0 && self.serving == 0
    }
}
