//! Snapshots that an operation paused and did not resume: RecoverSnapshot lets them be made again
//! (docs/openmldb/operations.md#paused-snapshots).

use std::collections::BTreeSet;

use crate::cluster::{CallError, Cluster};
use crate::model::{Action, Endpoint, Op, PartitionId, Seen, Snapshot, State};

use super::event::Event;
use super::failover::{StepError, Told, act};

/// Leaders that a failed or cancelled operation left in kSnapshotPaused make snapshots again.
pub(super) async fn resume(cluster: &Cluster, snapshot: &Snapshot, told: &Told<'_>) -> Result<(), StepError> {
    for (endpoint, tablet) in &snapshot.tablets {
        let Seen::Known(held) = crate::snapshot::look_at_tablet(cluster, endpoint).await else { continue };
        debug_assert!(snapshot.tablets.contains_key(endpoint), "{tablet:?}");
        for paused in held.values().filter(|held| held.state == State::SnapshotPaused) {
            let (endpoint, partition) = (endpoint.clone(), paused.partition);
            let why = "a failed operation left it in kSnapshotPaused";
            act(cluster, "resume_snapshots", Action::RecoverSnapshot { endpoint, partition }, why, told).await?;
        }
    }
    Ok(())
}

/// At the end of a run, whatever in scope an operation of ours left in kSnapshotPaused makes snapshots again; while one is
/// under way it may be meant. What cannot be done is told, and seen by the last look.
pub(super) async fn resume_left(cluster: &Cluster, snapshot: &Snapshot, mine: &BTreeSet<PartitionId>, told: &Told<'_>) {
    if let Err(error) = try_to_resume_left(cluster, snapshot, mine, told).await {
        let text = format!("whether an operation left a replica in kSnapshotPaused is unknown: {error}");
        (told.listener)(&Event::Note { text });
    }
}

async fn try_to_resume_left(
    cluster: &Cluster,
    snapshot: &Snapshot,
    mine: &BTreeSet<PartitionId>,
    told: &Told<'_>,
) -> Result<(), StepError> {
    for (endpoint, partition) in paused(cluster, snapshot, mine).await? {
        let why = "a failed operation left it in kSnapshotPaused";
        let action = Action::RecoverSnapshot { endpoint, partition };
        act(cluster, "resume_snapshots", action, why, told).await?;
    }
    Ok(())
}

async fn paused(
    cluster: &Cluster,
    snapshot: &Snapshot,
    mine: &BTreeSet<PartitionId>,
) -> Result<Vec<(Endpoint, PartitionId)>, CallError> {
    let mut found = Vec::new();
    for endpoint in snapshot.tablets.keys() {
        let Seen::Known(held) = crate::snapshot::look_at_tablet(cluster, endpoint).await else { continue };
        let paused = held.values().filter(|held| held.state == State::SnapshotPaused && mine.contains(&held.partition));
        found.extend(paused.map(|held| (endpoint.clone(), held.partition)));
    }
    if !found.is_empty() {
        // Asked after the tablets: an operation that ended meanwhile pauses nothing any more.
        let ops = cluster.ops().await?;
        found.retain(|(_, id)| !is_worked_on(&ops, snapshot, *id));
    }
    Ok(found)
}

/// Whether an operation on the partition is queued or running.
pub(super) fn is_worked_on(ops: &[Op], snapshot: &Snapshot, id: PartitionId) -> bool {
    let table = snapshot.tables.iter().find(|table| table.tid == id.tid);
    let on = |op: &Op| op.pid == id.pid && table.is_some_and(|table| table.name == op.table);
    ops.iter().any(|op| op.status.is_in_flight() && on(op))
}
