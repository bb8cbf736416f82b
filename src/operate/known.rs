//! What is known of partitions beside what a look at the cluster shows: what comparing rows has shown, and whose history of terms is
//! from a backup.

use std::collections::BTreeMap;

use crate::cluster::Cluster;
use crate::model::PartitionId;
use crate::playbook::COMPARE_ROWS_UP_TO;
use crate::recovery::RowsSeen;
use crate::run::{OldTerms, ToCompare, compare_all};

/// What is known beside a look.
#[derive(Debug, Clone, Default)]
pub struct Known {
    rows: BTreeMap<PartitionId, RowsSeen>,
    old_terms: Option<OldTerms>,
}

impl Known {
    /// What ZooKeeper has of histories from a backup; nobody has compared rows.
    pub(super) fn before(old_terms: Option<OldTerms>) -> Self {
        Self { rows: BTreeMap::new(), old_terms }
    }

    /// Whether a partition's history of terms is from a backup: elections may be missing in it.
    pub(super) fn doubts_terms(&self, partition: PartitionId) -> bool {
        self.old_terms.as_ref().is_some_and(|old| old.concern(partition))
    }

    /// What comparing a partition's replicas has shown.
    pub(super) fn rows(&self, partition: PartitionId) -> Option<&RowsSeen> {
        self.rows.get(&partition)
    }

    /// Compares these, and knows it from then on.
    pub(super) async fn compare(&mut self, cluster: &Cluster, wanted: Vec<ToCompare>) {
        for (partition, seen) in compare_all(cluster, wanted, COMPARE_ROWS_UP_TO, |_, _| {}).await {
            let seen = seen.after(self.rows.get(&partition));
            self.rows.insert(partition, seen);
        }
    }

    #[cfg(test)]
    pub(super) fn of(partition: PartitionId, rows: RowsSeen) -> Self {
        Self { rows: BTreeMap::from([(partition, rows)]), old_terms: None }
    }
}
