//! Snapshots that an operation paused and did not resume: RecoverSnapshot lets them be made again
//! (docs/openmldb/operations.md#paused-snapshots).

use std::collections::{BTreeMap, BTreeSet};

use crate::cluster::{CallError, Cluster};
use crate::model::{Action, Endpoint, Held, Op, PartitionId, Seen, Snapshot, State};

use super::event::Event;
use super::failover::{StepError, Told, act};

/// Why they are resumed.
pub(super) const PAUSED: &str = "a failed operation left them in kSnapshotPaused";
/// The step's code.
const STEP: &str = "resume_snapshots";

/// What lets every replica on a tablet that is paused make snapshots again.
pub(super) fn resuming(at: &Endpoint, held: &BTreeMap<PartitionId, Held>) -> impl Iterator<Item = Action> {
    let paused = held.values().filter(|held| held.state == State::SnapshotPaused);
    paused.map(|held| Action::RecoverSnapshot { endpoint: at.clone(), partition: held.partition })
}

/// Leaders that a failed or cancelled operation left in kSnapshotPaused make snapshots again.
pub(super) async fn resume(cluster: &Cluster, snapshot: &Snapshot, told: &Told<'_>) -> Result<(), StepError> {
    for endpoint in snapshot.tablets.keys() {
        let Seen::Known(held) = crate::snapshot::look_at_tablet(cluster, endpoint).await else { continue };
        for action in resuming(endpoint, &held) {
            act(cluster, STEP, action, PAUSED, told).await?;
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
    for (endpoint, held) in held_now(cluster, snapshot, mine).await? {
        for action in resuming(&endpoint, &held) {
            act(cluster, STEP, action, PAUSED, told).await?;
        }
    }
    Ok(())
}

/// What tablets hold now that is paused, in scope, with no operation on it under way.
async fn held_now(
    cluster: &Cluster,
    snapshot: &Snapshot,
    mine: &BTreeSet<PartitionId>,
) -> Result<Vec<(Endpoint, BTreeMap<PartitionId, Held>)>, CallError> {
    let mut found = Vec::new();
    for endpoint in snapshot.tablets.keys() {
        let Seen::Known(mut held) = crate::snapshot::look_at_tablet(cluster, endpoint).await else { continue };
        held.retain(|id, held| held.state == State::SnapshotPaused && mine.contains(id));
        if !held.is_empty() {
            found.push((endpoint.clone(), held));
        }
    }
    if !found.is_empty() {
        // Asked after the tablets: an operation that ended meanwhile pauses nothing any more.
        let ops = cluster.ops().await?;
        found.iter_mut().for_each(|(_, held)| held.retain(|id, _| !is_worked_on(&ops, snapshot, *id)));
    }
    Ok(found)
}

/// Whether an operation on the partition is queued or running.
pub(super) fn is_worked_on(ops: &[Op], snapshot: &Snapshot, id: PartitionId) -> bool {
    let table = snapshot.tables.iter().find(|table| table.tid == id.tid);
    let on = |op: &Op| op.pid == id.pid && table.is_some_and(|table| table.name == op.table);
    ops.iter().any(|op| op.status.is_in_flight() && on(op))
}
