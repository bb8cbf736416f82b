//! Playbooks: which steps a recovery takes, in which order, with which parameters. A playbook carries policy only; the
//! rules that keep rows from being lost are not among its words, and neither is an acknowledgement of loss.
//!
//! The text is YAML 1.2 with a closed vocabulary: version 1, every key but `turn` required, everything unknown rejected at its line
//! and column. Reading goes in three passes: `node` makes a tree, `read` turns it into typed steps, `rules` looks at
//! the steps together. All of it is pure; only [`load`] opens a file.

use std::time::Duration;

mod built_in;
mod error;
mod keys;
mod node;
mod read;
mod rules;
mod show;
mod span;
mod step;
#[cfg(test)]
mod tests;
mod word;

pub use built_in::{DEFAULT, Listed, Source, alternatives, built_in, built_in_names, list, load};
pub use error::{PlaybookError, Position, Problem};
pub use show::{Summary, check};
pub use step::{
    AutoFailover, COMPARE_ROWS_UP_TO, ClusterStep, Connect, Goal, LeaderBy, LoadMode, Loaded, OnConflict,
    PartitionStep, Promote, ProveBy, SettleThen, TURN, Which, WhichTablets,
};
pub use word::Word;

/// Reads a time as playbooks spell it: `500ms`, `60s`, `5m`, `2h`. None if the text is none.
pub fn duration(text: &str) -> Option<Duration> {
    span::read(text)
}

/// The version of the vocabulary that this build reads.
pub const VERSION: u64 = 1;

/// A playbook that obeys every rule of the vocabulary: read with [`Playbook::parse`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Playbook {
    /// What it calls itself: small letters, digits and hyphens.
    pub name: String,
    /// One line on what it does and for which cluster.
    pub description: String,
    /// Steps on the whole cluster, before any partition; `auto_failover: off` first.
    pub before: Vec<ClusterStep>,
    /// Steps of every partition, each partition at its own pace.
    pub partition: Vec<PartitionStep>,
    /// Steps on the whole cluster at the end, however the run ended; `auto_failover: restore` last.
    pub after: Vec<ClusterStep>,
}

/// How long a run stays open for tablets that metadata names and that are not there, where nobody says.
pub const WAIT_FOR_TABLETS: Duration = Duration::from_secs(5 * 60);

impl Playbook {
    /// For which tablets a run stays open that are not there, and for how long from its start.
    pub fn wait_for_tablets(&self) -> (WhichTablets, Duration) {
        let said = self.before.iter().find_map(|step| match step {
            ClusterStep::WaitForTablets { which, timeout } => Some((*which, *timeout)),
            _ => None,
        });
        said.unwrap_or((WhichTablets::Missing, WAIT_FOR_TABLETS))
    }

    /// The same playbook with another time for them.
    #[must_use]
    pub fn waiting_for_tablets(mut self, time: Duration) -> Self {
        let (which, _) = self.wait_for_tablets();
        let step = ClusterStep::WaitForTablets { which, timeout: time };
        match self.before.iter_mut().find(|step| matches!(step, ClusterStep::WaitForTablets { .. })) {
            Some(said) => *said = step,
            None => {
                let first = |step: &ClusterStep| {
                    matches!(step, ClusterStep::AutoFailover(_) | ClusterStep::OfflineTablets { .. })
                };
                let at = self.before.iter().rposition(first).map_or(0, |last| last + 1);
                self.before.insert(at, step);
            }
        }
        self
    }

    /// Up to how many rows of a replica are compared row by row.
    pub fn compare_rows_up_to(&self) -> u64 {
        let said = self.partition.iter().find_map(|step| match step {
            PartitionStep::PickLeader { compare_rows_up_to, .. } => Some(*compare_rows_up_to),
            _ => None,
        });
        said.unwrap_or(COMPARE_ROWS_UP_TO)
    }

    /// The same playbook with another bound for that.
    #[must_use]
    pub fn comparing_rows_up_to(mut self, rows: u64) -> Self {
        for step in &mut self.partition {
            if let PartitionStep::PickLeader { compare_rows_up_to, .. } = step {
                *compare_rows_up_to = rows;
            }
        }
        self
    }

    /// Reads and validates a playbook. `file` is what errors call the text, usually its path.
    ///
    /// # Errors
    /// The first thing wrong with it, at its line and column.
    pub fn parse(file: &str, text: &str) -> Result<Self, PlaybookError> {
        let tree = node::parse(text).map_err(|(at, problem)| PlaybookError { file: file.to_owned(), at, problem })?;
        read::playbook(&tree).and_then(rules::checked).map_err(|fault| PlaybookError {
            file: file.to_owned(),
            at: node::locate(text, &fault.place),
            problem: fault.problem,
        })
    }
}
