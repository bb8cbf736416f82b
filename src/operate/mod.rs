//! The handbook's single steps, one at a time: mark a replica, load it, recover it, change a leader, cancel an operation.
//!
//! A [`Step`] is what somebody asks for. [`plan`] looks at a snapshot and says what to send for it and which [`Effect`] that is
//! to have, or why OpenMLDB would refuse it, or why it could lose rows: before anything is sent. [`Single::perform`] sends it and
//! waits until the effect is seen; an answer of 0 is none (docs/openmldb/operations.md#an-answer-of-0-is-not-an-effect).
//!
//! An [`Undertaking`] takes many of them: [`arrange`] says how each partition is to be, [`Job`] takes it there.

mod aggregate;
mod arrange;
mod dismissal;
mod effect;
mod handover;
mod job;
mod leader;
mod longer;
mod outage;
mod partition_context;
mod perform;
mod placement;
mod plan;
mod put_back;
mod reconciler;
mod replica;
mod state_dir;
mod tablet;
#[cfg(test)]
mod tests;
mod typed;

pub use arrange::{Arrangement, Closed, DryRun, Goal, Led, Undertaking, UpgradeNote, arrange, dry_run};
pub use dismissal::{DismissError, Dismissed, dismiss};
pub use effect::{Effect, EffectStatus, effect_status};
pub use job::{Job, JobError, JobPlan, JobReport};
pub use partition_context::{Planned, Refusal};
pub use perform::{OperateError, Outcome, Performed, Single};
pub use plan::plan;
pub use put_back::{PutBack, PutBackError, lacking};
pub use reconciler::{StepEvent, StepListener, StepOutcome};
pub use state_dir::{StateDir, StateDirError, Unfinished};

use std::fmt;

use crate::model::{Action, Endpoint, Offset, OpId, PartitionId, Pid, TableName};

/// A call that a step sends: one of recovery's, or one that recovery never makes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Call {
    /// One of recovery's.
    Action(Action),
    /// `recoverendpoint`.
    RecoverEndpoint(Endpoint),
    /// `addreplica`.
    AddReplica(TableName, Pid, Endpoint),
    /// `delreplica`.
    DelReplica(TableName, Pid, Endpoint),
    /// `migrate`, from one tablet to another.
    Migrate(TableName, Pid, Endpoint, Endpoint),
    /// `changerole ... follower`: a leader takes no more writes, and replicates to nobody.
    StandDown(Endpoint, PartitionId),
}

/// One of the handbook's steps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Step {
    /// `confset auto_failover`.
    SetAutoFailover {
        /// The value.
        on: bool,
    },
    /// `cancelop`.
    CancelOp {
        /// The operation.
        op: OpId,
    },
    /// `updatetablealive`.
    MarkAlive {
        /// The table.
        table: TableName,
        /// The partition; none for all of the table's partitions there.
        pid: Option<Pid>,
        /// The replica's tablet.
        endpoint: Endpoint,
        /// The flag's value.
        alive: bool,
    },
    /// `loadtable`.
    LoadReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The replica's tablet.
        endpoint: Endpoint,
    },
    /// `recovertable`.
    RecoverReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The replica's tablet.
        endpoint: Endpoint,
        /// It led until it stood down at this offset, for a follower that held as much.
        led_until: Option<Offset>,
    },
    /// `changeleader`.
    ChangeLeader {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Who becomes leader; none for the longest follower.
        to: Option<Endpoint>,
    },
    /// `changerole ... follower` to a leader whose place another is to take: what it holds then is all there is.
    StandDown {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Who leads.
        endpoint: Endpoint,
        /// Who is to lead.
        successor: Endpoint,
    },
    /// `changerole ... leader` to one that stood down too early.
    StandUp {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Who led.
        endpoint: Endpoint,
    },
    /// `delreplica` to a leader that replicates to a tablet without a replica: added again it would be refused (119).
    Disconnect {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The tablet without one.
        endpoint: Endpoint,
    },
    /// `drop` to a tablet that holds what no metadata names, where a replica is to be: it would take nothing.
    DropStray {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The tablet.
        endpoint: Endpoint,
    },
    /// `addreplica`.
    AddReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Where.
        endpoint: Endpoint,
    },
    /// `delreplica`.
    RemoveReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Where.
        endpoint: Endpoint,
    },
    /// `migrate`.
    MigrateReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// From where.
        from: Endpoint,
        /// To where.
        to: Endpoint,
    },
    /// CreateAggregator: what the tablet takes as leader of the base table's partition goes into its replica.
    Aggregate {
        /// The pre-aggregate table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The tablet that leads both.
        endpoint: Endpoint,
    },
    /// `offlineendpoint`.
    OfflineTablet {
        /// The tablet.
        endpoint: Endpoint,
    },
    /// `recoverendpoint`.
    RecoverTablet {
        /// The tablet.
        endpoint: Endpoint,
    },
}

impl Step {
    /// The step's name, as a stable code.
    pub fn code(&self) -> &'static str {
        match self {
            Self::SetAutoFailover { .. } => "failover_set",
            Self::CancelOp { .. } => "op_cancel",
            Self::MarkAlive { .. } => "replica_alive",
            Self::LoadReplica { .. } => "replica_load",
            Self::RecoverReplica { .. } => "replica_recover",
            Self::ChangeLeader { .. } => "leader_change",
            Self::Disconnect { .. } => "replica_disconnect",
            Self::DropStray { .. } => "replica_drop",
            Self::StandDown { .. } => "leader_stand_down",
            Self::StandUp { .. } => "leader_stand_up",
            Self::AddReplica { .. } => "replica_add",
            Self::RemoveReplica { .. } => "replica_remove",
            Self::MigrateReplica { .. } => "replica_migrate",
            Self::Aggregate { .. } => "replica_aggregate",
            Self::OfflineTablet { .. } => "tablet_offline",
            Self::RecoverTablet { .. } => "tablet_recover",
        }
    }
}

impl fmt::Display for Step {
    /// As the handbook writes it, as far as it is known before it is planned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SetAutoFailover { on } => write!(f, "confset auto_failover {on}"),
            Self::CancelOp { op } => write!(f, "cancelop {op}"),
            Self::MarkAlive { table, pid, endpoint, alive } => {
                let pid = pid.map_or("*".to_owned(), |pid| pid.to_string());
                write!(f, "updatetablealive {} {pid} {endpoint} {}", table.table, if *alive { "yes" } else { "no" })
            }
            Self::LoadReplica { table, pid, endpoint } => write!(f, "loadtable {} {pid} on {endpoint}", table.table),
            Self::RecoverReplica { table, pid, endpoint, .. } => {
                write!(f, "recovertable {} {pid} {endpoint}", table.table)
            }
            Self::ChangeLeader { table, pid, to } => {
                write!(f, "changeleader {} {pid} {}", table.table, to.as_ref().map_or("auto", Endpoint::as_str))
            }
            Self::StandDown { table, pid, endpoint, .. } => {
                write!(f, "changerole {} {pid} follower on {endpoint}", table.table)
            }
            Self::StandUp { table, pid, endpoint } => {
                write!(f, "changerole {} {pid} leader on {endpoint}", table.table)
            }
            Self::Disconnect { table, pid, endpoint } => {
                write!(f, "delreplica {} {pid} {endpoint} on its leader", table.table)
            }
            Self::DropStray { table, pid, endpoint } => write!(f, "drop {} {pid} on {endpoint}", table.table),
            Self::AddReplica { table, pid, endpoint } => write!(f, "addreplica {} {pid} {endpoint}", table.table),
            Self::RemoveReplica { table, pid, endpoint } => write!(f, "delreplica {} {pid} {endpoint}", table.table),
            Self::MigrateReplica { table, pid, from, to } => write!(f, "migrate {from} {} {pid} {to}", table.table),
            Self::Aggregate { table, pid, endpoint } => {
                write!(f, "createaggregator {} {pid} on {endpoint}", table.table)
            }
            Self::OfflineTablet { endpoint } => write!(f, "offlineendpoint {endpoint}"),
            Self::RecoverTablet { endpoint } => write!(f, "recoverendpoint {endpoint}"),
        }
    }
}
