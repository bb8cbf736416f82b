//! Everything that is done to a cluster: a closed list, one RPC each.

use serde::{Deserialize, Serialize};

use super::{Endpoint, Manual, Offset, OpId, PartitionId, Pid, StorageMode, TableName, Term, Tid};

/// One mutating RPC, with its arguments.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "call", rename_all = "snake_case")]
pub enum Action {
    /// NameServer.ConfSet of auto_failover.
    SetAutoFailover {
        /// The value to set.
        on: bool,
    },
    /// NameServer.OfflineEndpoint: others lead what the tablet leads, and nothing on it is alive any more.
    OfflineEndpoint {
        /// The tablet.
        endpoint: Endpoint,
    },
    /// NameServer.CancelOP.
    CancelOp {
        /// The operation.
        op: OpId,
    },
    /// NameServer.UpdateTableAliveStatus.
    MarkAlive {
        /// The table.
        table: TableName,
        /// The partition; none means all of the table's partitions on that endpoint.
        pid: Option<Pid>,
        /// The replica's endpoint.
        endpoint: Endpoint,
        /// The flag's new value.
        alive: bool,
    },
    /// NameServer.ChangeLeader with an explicit candidate.
    ChangeLeader {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Who becomes leader.
        candidate: Endpoint,
    },
    /// NameServer.RecoverTable.
    RecoverTable {
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// The follower to bring back.
        endpoint: Endpoint,
    },
    /// TabletServer.LoadTable, always with mode follower (docs/openmldb/load-table.md#writes-before-it-is-loaded).
    LoadTable {
        /// The tablet.
        endpoint: Endpoint,
        /// The table's name, which the tablet demands.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// Segments per index; the documented 8.
        seg_cnt: u32,
        /// Which of the tablet's directories to look in.
        storage: StorageMode,
    },
    /// The same LoadTable with the table's columns and indexes, as the nameserver has them: for a replica whose description
    /// (`table_meta.txt`) is lost. What else is in its directory is loaded; where nothing is, it is empty
    /// (docs/openmldb/load-table.md#no-directory).
    LoadWithSchema {
        /// The tablet.
        endpoint: Endpoint,
        /// The table's name, by which its columns are asked for.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// Segments per index; the documented 8.
        seg_cnt: u32,
        /// Which of the tablet's directories to look in.
        storage: StorageMode,
    },
    /// TabletServer.ChangeRole to leader.
    ChangeRole {
        /// The tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
        /// The last term of term_offset.
        term: Term,
        /// The followers to replicate to from the start.
        replicas: Vec<Endpoint>,
    },
    /// TabletServer.AddReplica: the leader starts replicating to one more follower.
    AddReplica {
        /// The leader's tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
        /// The follower.
        follower: Endpoint,
    },
    /// TabletServer.AddReplica with a remote_tid: the leader starts replicating to a replica of a cluster that follows this one.
    AttachRemote {
        /// The leader's tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
        /// The tablet of the other cluster.
        remote: Endpoint,
        /// The table's number there.
        remote_tid: Tid,
    },
    /// TabletServer.DelReplica: the leader stops replicating to a follower.
    DelReplica {
        /// The leader's tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
        /// The follower.
        follower: Endpoint,
    },
    /// TabletServer.DropTable: the replica's directory goes to the recycle bin.
    DropTable {
        /// The tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
    },
    /// TabletServer.MakeSnapshot up to the replica's own offset, after which MANIFEST names its last term.
    MakeSnapshot {
        /// The tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
        /// The replica's own offset, which skips the threshold of 100,000 new entries.
        offset: Offset,
        /// Where its rows live.
        storage: StorageMode,
    },
    /// TabletServer.CreateAggregator: what the tablet takes as leader of the base table's partition it puts into its replica of the
    /// pre-aggregate table. Sent twice, it puts everything twice (docs/openmldb/load-table.md#pre-aggregate-tables).
    CreateAggregator {
        /// The tablet.
        endpoint: Endpoint,
        /// The pre-aggregate table, by which it is asked what is aggregated, and how.
        table: TableName,
        /// Which of its partitions.
        partition: PartitionId,
    },
    /// TabletServer.RecoverSnapshot: out of kSnapshotPaused.
    RecoverSnapshot {
        /// The tablet.
        endpoint: Endpoint,
        /// Which partition.
        partition: PartitionId,
    },
    /// What recovery never does. No record has it in this form.
    #[serde(skip)]
    Manual(Manual),
}

/// Who is told to do something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Server<'a> {
    /// The nameserver that leads.
    Nameserver,
    /// This tablet.
    Tablet(&'a Endpoint),
}

impl Action {
    /// Who is told to do it.
    pub fn server(&self) -> Server<'_> {
        match self {
            Self::SetAutoFailover { .. }
            | Self::OfflineEndpoint { .. }
            | Self::CancelOp { .. }
            | Self::MarkAlive { .. }
            | Self::ChangeLeader { .. }
            | Self::RecoverTable { .. } => Server::Nameserver,
            Self::LoadTable { endpoint, .. }
            | Self::LoadWithSchema { endpoint, .. }
            | Self::ChangeRole { endpoint, .. }
            | Self::AddReplica { endpoint, .. }
            | Self::AttachRemote { endpoint, .. }
            | Self::DelReplica { endpoint, .. }
            | Self::DropTable { endpoint, .. }
            | Self::MakeSnapshot { endpoint, .. }
            | Self::CreateAggregator { endpoint, .. }
            | Self::RecoverSnapshot { endpoint, .. } => Server::Tablet(endpoint),
            Self::Manual(manual) => match manual {
                Manual::DeleteOps { .. }
                | Manual::AddReplica { .. }
                | Manual::RemoveReplica { .. }
                | Manual::MigrateReplica { .. }
                | Manual::RecoverEndpoint { .. }
                | Manual::ForgetReplica { .. }
                | Manual::ReplaceOnly { .. }
                | Manual::SetTerms { .. } => Server::Nameserver,
                Manual::Follow { endpoint, .. } | Manual::MakeDiskSnapshot { endpoint, .. } => Server::Tablet(endpoint),
            },
        }
    }
}

impl From<Manual> for Action {
    fn from(manual: Manual) -> Self {
        Self::Manual(manual)
    }
}
