//! How far an undertaking of many steps has come, in numbers: told every few seconds, and written down, so that another shell can show
//! it.

use serde::{Deserialize, Serialize};

/// How far such an undertaking has come.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Arranging {
    /// Since it began to act, in milliseconds.
    pub after_ms: u64,
    /// Partitions that have a goal.
    pub partitions: usize,
    /// Of these, those that have reached it.
    pub done: usize,
    /// Of these, those that are left where they are, for a reason.
    pub skipped: usize,
    /// Steps there are to take, as far as a dry run can tell.
    pub steps: usize,
    /// Of these, those whose effect was seen.
    pub steps_done: usize,
    /// The partitions that something is done for now.
    pub under_way: Vec<PartitionUnderWay>,
}

/// A partition on its way to its goal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionUnderWay {
    /// `db.table/pid`.
    pub partition: String,
    /// The step that was sent, or what is waited for before one is.
    pub text: String,
    /// For how long, in milliseconds of the cluster's clock.
    pub for_ms: u64,
}
