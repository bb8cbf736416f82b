//! Where replicas are to be, and who is to lead: scaling out and in, and a tablet's upgrade.
//!
//! An [`Undertaking`] is what somebody asks for. [`arrange`] makes an [`Arrangement`] of it: a [`Goal`] for each partition
//! concerned, from one look, the same for the same look. [`next`] says what a partition needs next on its way to its goal, from
//! whatever state it is in, so that a run after a crash goes on; [`dry_run`] follows it in thought, for a dry run.

mod aggregates;
mod balance;
mod closed;
#[cfg(test)]
mod closed_tests;
mod dry_run;
mod next;
#[cfg(test)]
mod placing_tests;
mod repair;
mod replace;
mod replica_counts;
mod scale_in;
#[cfg(test)]
mod tests;
mod upgrade;

pub use closed::Closed;
pub use dry_run::{DryRun, dry_run};
pub use next::{Next, next};
pub(super) use replace::is_gone;
pub use upgrade::{Led, UpgradeNote};

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::{Endpoint, Partition, PartitionId, Pid, Snapshot, Table, TableName};
use crate::recovery::Loss;
use crate::run::{PlanId, Sizes};

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
    /// As many replicas of each partition as its table was made with.
    Repair,
    /// A tablet that is gone for good: its replicas elsewhere.
    Replace {
        /// Which.
        endpoint: Endpoint,
        /// On this one, where that is possible.
        #[serde(default)]
        with: Option<Endpoint>,
        /// The losses that a dry run has listed under this id are accepted. No part of what is undertaken.
        #[serde(skip)]
        accepts: Option<PlanId>,
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
            Self::Repair => "scale repair",
            Self::Replace { .. } => "tablet replace",
            Self::Handover { .. } => "leader handover",
            Self::LeadBeside { .. } => "recover",
            Self::UpgradePre { .. } => "upgrade pre",
            Self::UpgradePost { .. } => "upgrade post",
        }
    }
}

impl Undertaking {
    /// The same, whatever was accepted: what is begun with a loss not accepted is gone on with once it is.
    pub fn itself(&self) -> Self {
        match self {
            Self::Replace { endpoint, with, .. } => {
                Self::Replace { endpoint: endpoint.clone(), with: with.clone(), accepts: None }
            }
            other => other.clone(),
        }
    }
}

impl fmt::Display for Undertaking {
    /// As it is typed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())?;
        match self {
            Self::ScaleOut { leaders: true } | Self::Repair => Ok(()),
            Self::Replace { endpoint, with: None, .. } => write!(f, " {endpoint}"),
            Self::Replace { endpoint, with: Some(with), .. } => write!(f, " {endpoint} --with {with}"),
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
    /// Partitions that cannot be brought to where they should be, and why; what can be done for them is a goal all the same.
    pub beyond: Vec<(Goal, Refusal)>,
    /// What somebody should know of it before or after.
    pub remarks: Vec<String>,
}

/// The goals of an undertaking. `noted` is what an earlier `upgrade pre` wrote down; `closed` are the tablets that are being emptied or
/// upgraded, which are given nothing; `sizes` is what replicas take.
///
/// # Errors
/// What is in the way of the whole of it.
pub fn arrange(
    undertaking: &Undertaking,
    seen: &Snapshot,
    noted: Option<&UpgradeNote>,
    closed: &Closed,
    sizes: &Sizes,
) -> Result<Arrangement, Refusal> {
    match undertaking {
        Undertaking::ScaleOut { leaders } => balance::scale_out(seen, *leaders, closed, sizes),
        Undertaking::ScaleIn { endpoints } => scale_in::scale_in(seen, endpoints, closed, sizes),
        Undertaking::Repair => Ok(repair::repair(seen, closed, sizes)),
        Undertaking::Replace { endpoint, with, .. } => replace::replace(seen, endpoint, with.as_ref(), closed, sizes),
        Undertaking::Handover { table, pid, to } => {
            closed.refuse(to)?;
            aggregates::handover(seen, table, *pid, to)
        }
        Undertaking::LeadBeside { partitions } => Ok(aggregates::beside(seen, partitions, closed)),
        Undertaking::UpgradePre { endpoint, allow_unavailable } => {
            closed.refuse_second_upgrade(endpoint)?;
            upgrade::pre(seen, endpoint, *allow_unavailable, closed, sizes)
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
