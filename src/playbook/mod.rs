//! Playbooks: which steps a recovery takes, in which order, with which parameters. A playbook carries policy only; the
//! rules that keep rows from being lost are not among its words, and neither is an acknowledgement of loss.
//!
//! The text is YAML 1.2 with a closed vocabulary: version 1, every key required, everything unknown rejected at its line
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
    AutoFailover, ClusterStep, Connect, Goal, LeaderBy, LoadMode, Loaded, OnConflict, PartitionStep, Promote, ProveBy,
    SettleThen, Which, WhichTablets,
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

impl Playbook {
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
