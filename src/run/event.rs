//! What a run tells while it runs. The edge draws it or prints it as JSON Lines; a run itself prints nothing.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::model::{Action, Endpoint, PartitionId, TableName};
use crate::recovery::{Blocked, Choice};

use super::arranging::Arranging;
use super::outstanding::OutstandingWork;
use super::progress::{Expected, Progress};
use super::waits::{Awaited, Named};

/// Hears events, in order.
pub type Listener = Arc<dyn Fn(&Event) + Send + Sync>;

/// Something that happened. Serialised with its kind in `event`.
#[derive(Debug, Clone, Serialize)]
#[serde(tag = "event", rename_all = "snake_case")]
pub enum Event {
    /// The cluster was looked at; work begins if anything is unhealthy.
    Observed {
        /// Partitions in scope.
        partitions: usize,
        /// Replicas in scope.
        replicas: usize,
        /// Healthy partitions in scope.
        healthy: usize,
        /// Whether auto_failover was on.
        auto_failover: bool,
    },
    /// The snapshot was written before the first change.
    Recorded {
        /// The file.
        path: String,
    },
    /// Something to know, in a sentence.
    Note {
        /// The sentence.
        text: String,
    },
    /// A leader was chosen.
    LeaderChosen {
        /// Database and table.
        #[serde(flatten)]
        table: TableName,
        /// Partition number.
        pid: u32,
        /// The choice and its reasons.
        choice: Box<Choice>,
    },
    /// Replicas were compared row by row, because their row counts differ and a decision would rest on them.
    RowsChecked {
        /// Database and table.
        #[serde(flatten)]
        table: TableName,
        /// Partition number.
        pid: u32,
        /// Where they are.
        replicas: Vec<Endpoint>,
        /// Whether they hold the same rows; null if they could not be compared.
        same: Option<bool>,
        /// What was seen, in a sentence.
        text: String,
    },
    /// A mutating call is sent.
    Action {
        /// The playbook's step.
        step: &'static str,
        /// Which partition; none for the cluster's steps.
        partition: Option<PartitionId>,
        /// The call.
        action: Action,
        /// Why.
        why: String,
    },
    /// A mutating call did not simply succeed.
    ActionFailed {
        /// The playbook's step.
        step: &'static str,
        /// Which partition; none for the cluster's steps.
        partition: Option<PartitionId>,
        /// The call.
        action: Action,
        /// What was seen.
        error: String,
    },
    /// Something has been waited for for a while, and still is. Times are on the cluster's clock.
    Waiting {
        /// What.
        what: Awaited,
        /// At which tablets; empty if it is at none in particular.
        endpoints: Vec<Endpoint>,
        /// How many partitions wait for it.
        partitions: usize,
        /// The one that has been waiting longest, where each waits for itself.
        #[serde(flatten)]
        partition: Option<Named>,
        /// For how long, in milliseconds.
        for_ms: u64,
        /// After how many it is waited for no longer; none: as long as it takes.
        at_most_ms: Option<u64>,
    },
    /// What the run is expected to take.
    Expected(Expected),
    /// How far the run has come.
    Progress(Box<Progress>),
    /// How far an undertaking has come.
    Arranging(Box<Arranging>),
    /// The cluster still does something because of the run, which ends.
    StillGoingOn {
        /// What.
        #[serde(flatten)]
        going_on: OutstandingWork,
    },
    /// A partition reached a milestone.
    Partition {
        /// Database and table.
        #[serde(flatten)]
        table: TableName,
        /// Partition number.
        pid: u32,
        /// Which milestone.
        state: Milestone,
        /// Milliseconds since the run began to act.
        after_ms: u64,
        /// Why it is left alone, if it is.
        #[serde(skip_serializing_if = "Option::is_none")]
        blocked: Option<Blocked>,
    },
}

/// How far a partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Milestone {
    /// Its leader is loaded and alive.
    Serving,
    /// Every replica is as it should be.
    Redundant,
    /// It is left alone.
    Blocked,
}
