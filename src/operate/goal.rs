//! How partitions are to be.

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Partition, PartitionId, Pid, Snapshot, Table, TableName};
use crate::recovery::Loss;

use super::refusal::Refusal;

/// How a partition is to be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Goal {
    /// The table.
    pub table: TableName,
    /// The partition.
    pub pid: Pid,
    /// Where its replicas are to be, and nowhere else.
    pub replicas: Vec<Endpoint>,
    /// Which replica should lead; none if the leader stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Endpoint>,
    /// The base table whose partition of the same number has to be there first, for a pre-aggregate table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<TableName>,
    /// The tablet whose place is taken by another.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub replaces: Option<Replaces>,
    /// Who is to lead was seen to hold every row that the leader does, and may hold more.
    // Files have the name it had at first.
    #[serde(rename = "heir_holds_all", default, skip_serializing_if = "std::ops::Not::not")]
    pub successor_holds_all: bool,
    /// Why.
    pub why: String,
}

/// A tablet that is gone for good, as far as a partition is concerned.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replaces {
    /// Which.
    pub gone: Endpoint,
    /// Nobody has looked at its replica since its leader was chosen: auto_failover is kept off for it.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unseen: bool,
    /// What may be lost with it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub accepted: Vec<Loss>,
}

impl Goal {
    /// `db.table/pid`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.table, self.pid)
    }

    /// Which partition it is about.
    pub(super) fn id(&self, seen: &Snapshot) -> Option<PartitionId> {
        Some(PartitionId { tid: seen.table(&self.table)?.tid, pid: self.pid })
    }

    /// The goal of the same partition of a pre-aggregate table's base table, if that has one.
    pub(super) fn of_base<'a>(
        seen: &Snapshot,
        table: &Table,
        partition: &Partition,
        goals: &'a [Self],
    ) -> Option<&'a Self> {
        let tid = table.base_table?;
        let base = seen.tables.iter().find(|base| base.tid == tid)?;
        goals.iter().find(|goal| goal.table == base.name && goal.pid == partition.pid)
    }
}

/// What an undertaking comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrangement {
    /// The partitions that are not as they are to be, in the order in which they are seen to.
    pub goals: Vec<Goal>,
    /// Partitions that cannot be brought to where they should be, and why; what can be done for them is a goal all the same.
    pub beyond: Vec<(Goal, Refusal)>,
    /// What somebody should know of it before or after.
    pub remarks: Vec<String>,
}
