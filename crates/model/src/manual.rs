//! What only somebody's command makes OpenMLDB do, and recovery never does.

use std::fmt;

use super::{Endpoint, OpId, OpStatus, PartitionId, Pid, TableName, TermStart};

/// One mutating call that only single steps and undertakings make. Records have the words of its step.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Manual {
    /// NameServer.DeleteOP.
    DeleteOps {
        /// Which operations it forgets.
        which: WhichOps,
    },
    /// NameServer.AddReplicaNS: one replica more.
    AddReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Where.
        endpoint: Endpoint,
    },
    /// NameServer.DelReplicaNS: one replica less.
    RemoveReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Where.
        endpoint: Endpoint,
    },
    /// NameServer.Migrate: a replica on another tablet.
    MigrateReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Where it is.
        from: Endpoint,
        /// Where it is to be.
        to: Endpoint,
    },
    /// NameServer.RecoverEndpoint: RecoverTable for everything on a tablet that is not alive.
    RecoverEndpoint {
        /// The tablet.
        endpoint: Endpoint,
    },
    /// NameServer.SetTablePartition of what was read just before: without the replica of a tablet that is gone for good.
    ForgetReplica {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The tablet that is gone.
        gone: Endpoint,
    },
    /// The same of a partition's only replica: another tablet has its place.
    ReplaceOnly {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The tablet that is gone.
        gone: Endpoint,
        /// The tablet that has its place.
        to: Endpoint,
    },
    /// The same with all of its replicas, and a history of terms from a backup.
    SetTerms {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// When each term began, oldest first.
        terms: Vec<TermStart>,
    },
    /// TabletServer.ChangeRole to follower (docs/openmldb/logs-and-terms.md#addreplica-delreplica-changerole): the replica takes no
    /// more writes, and replicates to nobody.
    Follow {
        /// The tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
    },
    /// TabletServer.MakeSnapshot of a disk table's replica, which takes no offset.
    MakeDiskSnapshot {
        /// The tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
    },
}

/// Which operations are to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichOps {
    /// One of them.
    One(OpId),
    /// All that have ended like this.
    Ended(OpEnd),
}

/// How an operation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpEnd {
    /// kDone.
    Done,
    /// kFailed.
    Failed,
    /// kCanceled.
    Canceled,
}

impl OpEnd {
    /// The status of those that have ended like this.
    pub fn status(self) -> OpStatus {
        match self {
            Self::Done => OpStatus::Done,
            Self::Failed => OpStatus::Failed,
            Self::Canceled => OpStatus::Canceled,
        }
    }
}

impl fmt::Display for WhichOps {
    /// As `deleteop` has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(op) => write!(f, "{op}"),
            Self::Ended(OpEnd::Done) => f.write_str("done"),
            Self::Ended(OpEnd::Failed) => f.write_str("failed"),
            Self::Ended(OpEnd::Canceled) => f.write_str("canceled"),
        }
    }
}
