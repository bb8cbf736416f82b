//! What a snapshot holds, in a few lines.

use crate::model::Snapshot;

use super::words::{moment, on_off, one_line};
use crate::model::counted;

/// What was seen, where it was written, and which tablets did not answer.
pub fn snapshot_text(snapshot: &Snapshot, path: Option<&str>) -> String {
    let partitions: usize = snapshot.tables.iter().map(|table| table.partitions.len()).sum();
    let replicas: usize = snapshot.tables.iter().flat_map(|table| &table.partitions).map(|p| p.replicas.len()).sum();
    let mut out = format!(
        "Snapshot of {}, taken {}: {}, {}, {}, {}, auto_failover {}.\n",
        one_line(&snapshot.cluster),
        moment(snapshot.taken_at_ms),
        counted(snapshot.tables.len(), "table"),
        counted(partitions, "partition"),
        counted(replicas, "replica"),
        counted(snapshot.tablets.len(), "tablet"),
        on_off(snapshot.auto_failover)
    );
    for (endpoint, tablet) in &snapshot.tablets {
        if let Some(error) = tablet.held.error() {
            out += &format!("{endpoint} does not answer: {}\n", one_line(error));
        }
    }
    if let Some(path) = path {
        out += &format!("Written to {path}.\n");
    }
    out
}
