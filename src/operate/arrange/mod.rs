//! Where replicas are to be, and who is to lead: scaling out and in, and a tablet's upgrade.
//!
//! An [`Undertaking`] is what somebody asks for. [`arrange`] makes an [`Arrangement`] of it: a [`Goal`] for each partition
//! concerned, from one look, the same for the same look. [`next`] says what a partition needs next on its way to its goal, from
//! whatever state it is in, so that a run after a crash goes on; [`dry_run`] follows it in thought, for a dry run.

mod aggregates;
mod balance;
mod closed;
mod dry_run;
mod next;
mod replica_counts;
mod scale_in;
#[cfg(test)]
mod tests;
mod upgrade;

pub use closed::Closed;
pub use dry_run::{DryRun, dry_run};
pub use next::{Next, next};
pub use upgrade::{Led, UpgradeNote};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Partition, PartitionId, Pid, Snapshot, Table, TableName};

use super::partition_context::{PartitionContext, Refusal};

/// What somebody asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "undertaking", rename_all = "snake_case")]
pub enum Undertaking {
    /// Replicas of user tables spread over all healthy tablets.
    ScaleOut {
        /// And their leaders, too.
        leaders: bool,
    },
    /// Tablets emptied.
    ScaleIn {
        /// Which.
        endpoints: Vec<Endpoint>,
    },
    /// Another leader, without a row lost.
    Handover {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Who is to lead.
        to: Endpoint,
    },
    /// Pre-aggregate tables led beside their base tables: the end of a recovery.
    LeadBeside {
        /// Which partitions of them.
        partitions: Vec<(TableName, Pid)>,
    },
    /// A tablet that leads nothing.
    UpgradePre {
        /// Which.
        endpoint: Endpoint,
        /// Partitions with a single replica are left where they are.
        allow_unavailable: bool,
    },
    /// A tablet that leads again what it led before.
    UpgradePost {
        /// Which.
        endpoint: Endpoint,
        /// It never comes back: its upgrade is over, and nothing is led by it again.
        #[serde(default)]
        gone: bool,
    },
}

impl Undertaking {
    /// Its name, as a stable code and for people.
    pub fn name(&self) -> &'static str {
        match self {
            Self::ScaleOut { .. } => "scale out",
            Self::ScaleIn { .. } => "scale in",
            Self::Handover { .. } => "leader handover",
            Self::LeadBeside { .. } => "recover",
            Self::UpgradePre { .. } => "upgrade pre",
            Self::UpgradePost { .. } => "upgrade post",
        }
    }
}

impl fmt::Display for Undertaking {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ScaleOut { leaders: true } => Ok(()),
            Self::ScaleOut { leaders: false } => f.write_str(" --replicas-only"),
            Self::ScaleIn { endpoints } => endpoints.iter().try_for_each(|endpoint| write!(f, " {endpoint}")),
            Self::Handover { table, pid, to } => write!(f, " {table}/{pid} --to {to}"),
            Self::LeadBeside { .. } => f.write_str(" --all"),
            Self::UpgradePre { endpoint, allow_unavailable: true } => write!(f, " {endpoint} --allow-unavailable"),
            Self::UpgradePost { endpoint, gone: true } => write!(f, " {endpoint} --gone"),
            Self::UpgradePre { endpoint, .. } | Self::UpgradePost { endpoint, .. } => write!(f, " {endpoint}"),
        }
    }
}

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
    /// Who is to lead; none for whoever does, if that one stays.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader: Option<Endpoint>,
    /// The base table whose partition of the same number has to be there first, for a pre-aggregate table.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub beside: Option<TableName>,
    /// Who is to lead was seen to hold every row that the leader does, and may hold more.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub heir_holds_all: bool,
    /// Why.
    pub why: String,
}

impl Goal {
    /// `db.table/pid`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.table, self.pid)
    }

    /// Its partition, if a tablet where it is to have a replica holds what no metadata names.
    pub fn with_stray(&self, seen: &Snapshot) -> Option<PartitionId> {
        let place = PartitionContext::find(seen, &self.table, self.pid).ok()?;
        self.replicas.iter().any(|at| place.stray(at).is_some()).then(|| place.id())
    }
}

/// What an undertaking comes to.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Arrangement {
    /// The partitions that are not as they are to be, in the order in which they are seen to.
    pub goals: Vec<Goal>,
    /// What somebody should know of it before or after.
    pub remarks: Vec<String>,
}

/// The goals of an undertaking. `noted` is what an earlier `upgrade pre` wrote down; `closed` are the tablets that are being emptied or
/// upgraded, which are given nothing.
///
/// # Errors
/// What is in the way of the whole of it.
pub fn arrange(
    undertaking: &Undertaking,
    seen: &Snapshot,
    noted: Option<&UpgradeNote>,
    closed: &Closed,
) -> Result<Arrangement, Refusal> {
    match undertaking {
        Undertaking::ScaleOut { leaders } => balance::scale_out(seen, *leaders, closed),
        Undertaking::ScaleIn { endpoints } => scale_in::scale_in(seen, endpoints, closed),
        Undertaking::Handover { table, pid, to } => {
            closed.refuse(to)?;
            aggregates::handover(seen, table, *pid, to)
        }
        Undertaking::LeadBeside { partitions } => Ok(aggregates::beside(seen, partitions, closed)),
        Undertaking::UpgradePre { endpoint, allow_unavailable } => {
            closed.refuse_second_upgrade(endpoint)?;
            upgrade::pre(seen, endpoint, *allow_unavailable, closed)
        }
        Undertaking::UpgradePost { endpoint, gone: true } => upgrade::gone(seen, endpoint, noted),
        Undertaking::UpgradePost { endpoint, gone: false } => upgrade::post(seen, endpoint, noted),
    }
}

/// The goal of the same partition of a pre-aggregate table's base table, if that has one.
fn goal_of_base<'a>(seen: &Snapshot, table: &Table, partition: &Partition, goals: &'a [Goal]) -> Option<&'a Goal> {
    let tid = table.base_table?;
    let base = seen.tables.iter().find(|base| base.tid == tid)?;
    goals.iter().find(|goal| goal.table == base.name && goal.pid == partition.pid)
}
