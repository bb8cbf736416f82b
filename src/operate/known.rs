//! What is known of partitions beside what a look at the cluster shows: what comparing rows has shown, and whose history of terms is
//! from a backup.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::cluster::Cluster;
use crate::model::{PartitionId, counted};
use crate::playbook::COMPARE_ROWS_UP_TO;
use crate::recovery::RowsSeen;
use crate::run::{OldTerms, ToCompare, compare_all};

/// How often it is said that rows are still compared, in the cluster's time: a tablet's may be millions.
const SAID_EVERY: Duration = Duration::from_secs(10);

/// What is known beside a look.
#[derive(Debug, Clone, Default)]
pub struct Known {
    rows: BTreeMap<PartitionId, RowsSeen>,
    /// What was seen of rows, in sentences, in the order in which it was seen.
    compared: Vec<String>,
    old_terms: Option<OldTerms>,
}

impl Known {
    /// What ZooKeeper has of histories from a backup; nobody has compared rows.
    pub(super) fn before(old_terms: Option<OldTerms>) -> Self {
        Self { old_terms, ..Self::default() }
    }

    /// Whether a partition's history of terms is from a backup: elections may be missing in it.
    pub(super) fn doubts_terms(&self, partition: PartitionId) -> bool {
        self.old_terms.as_ref().is_some_and(|old| old.concern(partition))
    }

    /// What comparing a partition's replicas has shown.
    pub(super) fn rows(&self, partition: PartitionId) -> Option<&RowsSeen> {
        self.rows.get(&partition)
    }

    /// What was seen of rows, in sentences.
    pub(super) fn compared(&self) -> &[String] {
        &self.compared
    }

    /// Compares these, and knows it from then on. How far it is, and where rows differ, is said; `pace`: how much faster than ours
    /// the cluster's clock runs.
    pub(super) async fn compare(
        &mut self,
        cluster: &Cluster,
        wanted: Vec<ToCompare>,
        pace: f64,
        says: &(dyn Fn(&str) + Send + Sync),
    ) {
        let (of, done) = (wanted.len(), AtomicUsize::new(0));
        let compared = Mutex::new(Vec::with_capacity(of));
        let comparing = compare_all(cluster, wanted, COMPARE_ROWS_UP_TO, |ended, seen| {
            done.fetch_add(1, Ordering::Relaxed);
            let text = format!("{}/{}: {seen}", ended.table, ended.partition.pid);
            if seen.are_the_same() != Some(true) {
                says(&text);
            }
            compared.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        });
        let how_far = || format!("{} of {} done", done.load(Ordering::Relaxed), counted(of, "partition"));
        let all = saying(comparing, pace, |for_s| says(&format!("comparing rows for {for_s} s: {}", how_far()))).await;
        self.compared.extend(compared.into_inner().unwrap_or_else(PoisonError::into_inner));
        for (partition, seen) in all {
            let seen = seen.after(self.rows.get(&partition));
            self.rows.insert(partition, seen);
        }
    }

    #[cfg(test)]
    pub(super) fn of(partition: PartitionId, rows: RowsSeen) -> Self {
        Self { rows: BTreeMap::from([(partition, rows)]), ..Self::default() }
    }
}

/// Does work, and says every now and then for how many seconds it has been at it.
async fn saying<T>(work: impl Future<Output = T>, pace: f64, says: impl Fn(u64)) -> T {
    let (began, every) = (Instant::now(), SAID_EVERY.div_f64(pace));
    tokio::pin!(work);
    loop {
        match timeout(every, &mut work).await {
            Ok(done) => return done,
            Err(_) => says(began.elapsed().mul_f64(pace).as_secs()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn work_that_takes_long_is_said_to_and_other_work_is_not() {
        let said = Mutex::new(Vec::new());
        let says = |for_s| said.lock().unwrap_or_else(PoisonError::into_inner).push(for_s);
        assert_eq!(saying(std::future::ready(7), 1.0, says).await, 7);
        saying(tokio::time::sleep(Duration::from_millis(9_900)), 1.0, says).await;
        assert_eq!(*said.lock().unwrap_or_else(PoisonError::into_inner), Vec::<u64>::new());
        saying(tokio::time::sleep(Duration::from_secs(25)), 1.0, says).await;
        // On a clock that is ten times as fast.
        saying(tokio::time::sleep(Duration::from_millis(2_500)), 10.0, says).await;
        assert_eq!(*said.lock().unwrap_or_else(PoisonError::into_inner), [10, 20, 10, 20]);
    }
}
