//! How far a run has come, added up from its events: what progress bars show.

use std::collections::BTreeSet;

use crate::model::{TableName, counted};
use crate::run::{Event, Milestone};

/// Counts, by partition, so that an event told twice counts once.
#[derive(Debug, Default)]
pub(super) struct RunCounts {
    unhealthy: usize,
    serving: BTreeSet<(TableName, u32)>,
    redundant: BTreeSet<(TableName, u32)>,
    blocked: BTreeSet<(TableName, u32)>,
    failures: usize,
}

/// What the bars show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bars {
    /// Partitions that were not healthy at the start: the length of both bars.
    pub(super) length: u64,
    /// Of these, those that serve.
    pub(super) serving: u64,
    /// Of these, those that are as they should be.
    pub(super) redundant: u64,
}

impl RunCounts {
    /// Adds an event.
    pub(super) fn add(&mut self, event: &Event) {
        match event {
            Event::Observed { partitions, healthy, .. } => self.unhealthy = partitions.saturating_sub(*healthy),
            Event::Partition { table, pid, state, .. } => {
                let partition = (table.clone(), *pid);
                match state {
                    Milestone::Serving => drop(self.serving.insert(partition)),
                    Milestone::Redundant => {
                        // It may have been left alone for something that is not so any more.
                        self.blocked.remove(&partition);
                        self.serving.insert(partition.clone());
                        self.redundant.insert(partition);
                    }
                    Milestone::Blocked => drop(self.blocked.insert(partition)),
                }
            }
            Event::ActionFailed { .. } => self.failures += 1,
            Event::Recorded { .. }
            | Event::Note { .. }
            | Event::Waiting { .. }
            | Event::StillGoingOn { .. }
            | Event::LeaderChosen { .. }
            | Event::RowsChecked { .. }
            | Event::Action { .. } => {}
        }
    }

    /// The bars as they stand.
    pub(super) fn bars(&self) -> Bars {
        let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
        Bars {
            length: number(self.unhealthy),
            serving: number(self.serving.len()),
            redundant: number(self.redundant.len()),
        }
    }

    /// What stands beside the bars; empty if nothing is amiss.
    pub(super) fn trouble(&self) -> String {
        let blocked = (!self.blocked.is_empty()).then(|| format!("{} blocked", self.blocked.len()));
        let failures = match self.failures {
            0 => None,
            1 => Some("1 call failed".to_owned()),
            more => Some(format!("{} failed", counted(more, "call"))),
        };
        blocked.into_iter().chain(failures).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(pid: u32, state: Milestone) -> Event {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        Event::Partition { table, pid, state, after_ms: 1, blocked: None }
    }

    #[test]
    fn bars_count_partitions_that_were_not_healthy_each_once() {
        let mut run_counts = RunCounts::default();
        assert_eq!(run_counts.bars(), Bars { length: 0, serving: 0, redundant: 0 });
        run_counts.add(&Event::Observed { partitions: 6, replicas: 18, healthy: 2, auto_failover: true });
        run_counts.add(&partition(0, Milestone::Serving));
        run_counts.add(&partition(0, Milestone::Serving));
        run_counts.add(&partition(0, Milestone::Redundant));
        run_counts.add(&partition(1, Milestone::Redundant));
        run_counts.add(&partition(2, Milestone::Serving));
        run_counts.add(&partition(2, Milestone::Blocked));
        assert_eq!(run_counts.bars(), Bars { length: 4, serving: 3, redundant: 2 });
        assert_eq!(run_counts.trouble(), "1 blocked");
    }
}
