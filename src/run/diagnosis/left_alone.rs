//! Where a run has left partitions alone, the same command again does no better: its record says why, and what helps.

use super::{Case, Diagnosis, Runs};

/// Says where that is written, after the command that would leave them alone again.
pub(super) fn point_to_why(found: &mut [Diagnosis], runs: &Runs) {
    let Some(run) = runs.left_alone_by else { return };
    let is_about_partitions = |case| {
        matches!(case, Case::EverythingRestarted | Case::PartitionLost | Case::TabletRestarted | Case::NotRedundant)
    };
    for diagnosis in found.iter_mut().filter(|diagnosis| is_about_partitions(diagnosis.case)) {
        diagnosis
            .next
            .push(format!("openmldb-ops record show {run} (why that run skipped partitions, and what to do)"));
    }
}
