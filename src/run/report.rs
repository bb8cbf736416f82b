//! What a command has to say at its end.

use serde::Serialize;

use crate::cluster::RpcCounts;
use crate::model::{Endpoint, Pid, Term};
use crate::recovery::{Blocked, GivenUp, Loss};
use crate::verify::Verification;

use super::hold::HeldFor;
use super::service::Service;

/// The last line of every command that has read a cluster or a file.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "event", rename = "summary")]
pub struct Summary {
    /// In a word.
    pub verdict: Verdict,
    /// Whether clients can read and write, by the last look; absent where there was none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service: Option<Service>,
    /// The playbook, where there was one.
    pub playbook: Option<String>,
    /// auto_failover, before and after.
    pub auto_failover: AutoFailoverSeen,
    /// Partitions in scope.
    pub partitions: PartitionCounts,
    /// Replicas in scope.
    pub replicas: ReplicaCounts,
    /// What was given up at failovers, replica by replica.
    pub given_up: Vec<GivenUpEntry>,
    /// What was lost because somebody accepted it, replica by replica.
    pub accepted: Vec<AcceptedEntry>,
    /// Milliseconds from the first change until every partition that could did serve; null if nothing was changed.
    pub serving_after_ms: Option<u64>,
    /// Until every partition that could be was redundant.
    pub redundant_after_ms: Option<u64>,
    /// Calls attempted.
    pub rpc: Rpc,
    /// Partitions left alone.
    pub blocked: Vec<BlockedEntry>,
    /// Whether what was meant has come true; null where nothing was verified.
    pub verification: Option<Verification>,
    /// What came of comparing the rows of every partition in scope; absent where that was not asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rows_compared: Option<RowsCompared>,
    /// What a look found wrong beside partitions: for its sentence.
    #[serde(skip)]
    pub beside: Beside,
}

/// Partitions in scope whose replicas' rows were to be compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct RowsCompared {
    /// All replicas hold the same rows.
    pub same: usize,
    /// Some replica holds rows that another one does not.
    pub differ: usize,
    /// Their rows could not be compared, or are too many.
    pub not_compared: usize,
    /// Fewer than two of their replicas are loaded: there is nothing to compare.
    pub alone: usize,
}

/// What may be wrong although every partition in scope is healthy.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Beside {
    /// Tablets with a replica in scope and a problem.
    pub tablets_with_problems: usize,
    /// Who answers is not the cluster that was asked for.
    pub other_end: bool,
}

/// The end of it, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Something was unhealthy, and everything in scope is healthy now.
    Recovered,
    /// Everything in scope was healthy, or (for `status` and dry runs) is.
    Healthy,
    /// Some partitions in scope are blocked, not recovered or not redundant.
    Partial,
    /// The plan or the acknowledgement does not fit what is there.
    Refused,
    /// A signal or the deadline ended it before everything in scope was done.
    Interrupted,
    /// The command could not do its work.
    Failed,
}

impl Verdict {
    /// All of them.
    pub const ALL: &[Self] =
        &[Self::Recovered, Self::Healthy, Self::Partial, Self::Refused, Self::Interrupted, Self::Failed];
}

/// auto_failover before and after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AutoFailoverSeen {
    /// When the command began, or before an earlier run that did not finish.
    pub before: bool,
    /// At its end.
    pub after: bool,
    /// The replicas for which it is kept off.
    pub held_for: Vec<HeldFor>,
}

impl AutoFailoverSeen {
    /// What was seen, before and after, and for whom it is kept off.
    pub fn of(before: bool, after: bool, held_for: &[HeldFor]) -> Self {
        Self { before, after, held_for: held_for.to_vec() }
    }
}

/// Partitions in scope; the first is the sum of the others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct PartitionCounts {
    /// All.
    pub total: usize,
    /// Healthy when the command began.
    pub healthy_before: usize,
    /// Healthy now, and not before.
    pub recovered: usize,
    /// Left alone, or serving without being redundant.
    pub blocked: usize,
    /// Not finished.
    pub failed: usize,
}

/// Replicas in scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct ReplicaCounts {
    /// All.
    pub total: usize,
}

/// Calls attempted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize)]
pub struct Rpc {
    /// Those that change nothing.
    pub reads: u64,
    /// Those that may have.
    pub mutations: u64,
}

/// Entries of one replica that a failover had given up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GivenUpEntry {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
    /// Partition.
    pub pid: Pid,
    /// Replica.
    pub endpoint: Endpoint,
    /// How many; the most there can be if `at_most`.
    pub entries: u64,
    /// Whether that is an upper bound.
    pub at_most: bool,
    /// The term of the last of them, if known.
    pub term: Option<Term>,
    /// Where the replica's directory goes.
    pub directory: String,
}

/// A loss that was accepted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AcceptedEntry {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
    /// Partition.
    pub pid: Pid,
    /// What.
    #[serde(flatten)]
    pub loss: Loss,
}

/// A partition left alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct BlockedEntry {
    /// Database.
    pub db: String,
    /// Table.
    pub table: String,
    /// Partition.
    pub pid: Pid,
    /// The stable code.
    pub reason: &'static str,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub hint: String,
    /// What would be lost by going on, if that is what blocks it.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
}

impl From<RpcCounts> for Rpc {
    fn from(counts: RpcCounts) -> Self {
        Self { reads: counts.reads, mutations: counts.mutations }
    }
}

impl BlockedEntry {
    /// A partition with its reason.
    pub fn new(table: &crate::model::TableName, pid: Pid, blocked: &Blocked) -> Self {
        Self {
            db: table.db.clone(),
            table: table.table.clone(),
            pid,
            reason: blocked.reason.code(),
            text: blocked.text.clone(),
            hint: blocked.hint.clone(),
            losses: blocked.loss.clone(),
        }
    }
}

impl GivenUpEntry {
    /// A replica's entry.
    pub fn new(table: &crate::model::TableName, pid: Pid, given_up: &GivenUp) -> Self {
        Self {
            db: table.db.clone(),
            table: table.table.clone(),
            pid,
            endpoint: given_up.endpoint.clone(),
            entries: given_up.entries,
            at_most: given_up.at_most,
            term: given_up.term,
            directory: given_up.directory.clone(),
        }
    }
}
