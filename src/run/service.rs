//! Whether clients can read and write: what is asked first in a night, and answered first.

use std::collections::BTreeMap;

use serde::Serialize;

use crate::model::Endpoint;
use crate::recovery::ProblemKind;

use super::status::{PartitionState, PartitionStatus, Status};

/// The partitions in scope as clients meet them.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Service {
    /// All.
    pub partitions: usize,
    /// Those with a leader that serves.
    pub serving: usize,
    /// Those of them that lack a copy: some replica is not alive, loaded, connected or taking anything.
    pub lacking: usize,
    /// Where these copies are lacking, those with the most first.
    pub lacking_on: Vec<Lacking>,
    /// Those that serve with fewer replicas than their table was made with.
    #[serde(skip_serializing_if = "is_none")]
    pub fewer: usize,
}

/// A tablet on which copies are lacking of partitions that serve.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lacking {
    /// The tablet.
    pub endpoint: Endpoint,
    /// How many partitions lack one there.
    pub partitions: usize,
    /// Whether it is because the tablet does not answer.
    pub no_answer: bool,
}

impl Service {
    /// The service, by what was seen.
    pub fn of(status: &Status) -> Self {
        let serving = status.partitions.iter().filter(|partition| partition.state != PartitionState::Down);
        let mut on: BTreeMap<&Endpoint, Lacking> = BTreeMap::new();
        let mut lacking = 0;
        for partition in serving {
            let at = lacks(partition);
            lacking += usize::from(!at.is_empty());
            for (endpoint, no_answer) in at {
                let entry = on.entry(endpoint).or_insert_with(|| Lacking {
                    endpoint: endpoint.clone(),
                    partitions: 0,
                    no_answer: true,
                });
                entry.partitions += 1;
                entry.no_answer &= no_answer;
            }
        }
        let mut lacking_on: Vec<Lacking> = on.into_values().collect();
        lacking_on.sort_by(|a, b| b.partitions.cmp(&a.partitions).then_with(|| a.endpoint.cmp(&b.endpoint)));
        let counts = status.counts;
        let is_fewer = |found: &&PartitionStatus| {
            let mut problems = found.problems.iter();
            found.state != PartitionState::Down && problems.any(|problem| problem.kind == ProblemKind::TooFewReplicas)
        };
        let fewer = status.partitions.iter().filter(is_fewer).count();
        Self { partitions: counts.partitions, serving: counts.partitions - counts.down, lacking, lacking_on, fewer }
    }

    /// Whether every partition serves, and none lacks a copy.
    pub fn is_whole(&self) -> bool {
        self.serving == self.partitions && self.lacking == 0
    }
}

fn is_none(count: &usize) -> bool {
    *count == 0
}

/// The tablets on which a partition that serves lacks a copy, and whether they do not answer. Who leads it is not what it lacks.
fn lacks(partition: &PartitionStatus) -> BTreeMap<&Endpoint, bool> {
    let of_copies =
        partition.problems.iter().filter(|problem| problem.kind != ProblemKind::LedApart && !problem.is_count());
    let mut at: BTreeMap<&Endpoint, bool> = BTreeMap::new();
    for problem in of_copies {
        *at.entry(&problem.endpoint).or_default() |= problem.kind == ProblemKind::NoAnswer;
    }
    at
}
