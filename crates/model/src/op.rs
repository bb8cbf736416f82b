//! Nameserver operations (ShowOPStatus).

use serde::{Deserialize, Serialize};

use super::{OpId, Pid, TableName};

/// An operation of the nameserver.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Op {
    /// Its number.
    pub id: OpId,
    /// What it does.
    pub kind: OpKind,
    /// How far it is.
    pub status: OpStatus,
    /// The table it works on.
    pub table: TableName,
    /// The partition it works on.
    pub pid: Pid,
    /// The task it is at or ended with, as OpenMLDB names it; `-` for none.
    pub task: String,
}

/// An operation with its times, as the nameserver's clock has them, in seconds since 1970. None for what has not come yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimedOp {
    /// The operation.
    pub op: Op,
    /// When it began.
    pub started_s: Option<u64>,
    /// When it ended.
    pub ended_s: Option<u64>,
    /// Whether it is about a replica in another cluster.
    pub for_replica_cluster: bool,
}

/// An operation's type. Only those that recovery meets are told apart.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpKind {
    /// kRecoverTableOP: decides how a replica comes back and queues one of the next five.
    RecoverTable,
    /// kReAddReplicaOP: the leader's snapshot is sent to an unloaded replica.
    ReAdd,
    /// kReAddReplicaNoSendOP: an unloaded replica is loaded from its own snapshot.
    ReAddNoSend,
    /// kReAddReplicaWithDropOP: a loaded replica is dropped and the leader's snapshot sent.
    ReAddWithDrop,
    /// kReAddReplicaSimplifyOP: a loaded replica is connected as it is.
    ReAddSimplify,
    /// kReLoadTableOP: a single replica is loaded.
    ReLoad,
    /// kChangeLeaderOP.
    ChangeLeader,
    /// Any other, by OpenMLDB's name.
    Other(String),
}

impl Op {
    /// How far it is, in words.
    pub fn progress(&self) -> String {
        match (self.task.as_str(), self.status) {
            // The nameserver names no task after the last one, either.
            ("-", OpStatus::Doing) => "has done its tasks, and has not ended".to_owned(),
            ("-", _) => "has not begun".to_owned(),
            (task, _) => format!("is at {task}"),
        }
    }

    /// Whether it may be dropping what a replica holds.
    pub fn replaces(&self) -> bool {
        self.status.is_in_flight() && self.kind == OpKind::ReAddWithDrop
    }
}

impl OpKind {
    /// OpenMLDB's name of the type.
    pub fn name(&self) -> &str {
        match self {
            Self::RecoverTable => "kRecoverTableOP",
            Self::ReAdd => "kReAddReplicaOP",
            Self::ReAddNoSend => "kReAddReplicaNoSendOP",
            Self::ReAddWithDrop => "kReAddReplicaWithDropOP",
            Self::ReAddSimplify => "kReAddReplicaSimplifyOP",
            Self::ReLoad => "kReLoadTableOP",
            Self::ChangeLeader => "kChangeLeaderOP",
            Self::Other(name) => name,
        }
    }
}

impl From<&str> for OpKind {
    fn from(name: &str) -> Self {
        match name {
            "kRecoverTableOP" => Self::RecoverTable,
            "kReAddReplicaOP" => Self::ReAdd,
            "kReAddReplicaNoSendOP" => Self::ReAddNoSend,
            "kReAddReplicaWithDropOP" => Self::ReAddWithDrop,
            "kReAddReplicaSimplifyOP" => Self::ReAddSimplify,
            "kReLoadTableOP" => Self::ReLoad,
            "kChangeLeaderOP" => Self::ChangeLeader,
            other => Self::Other(other.to_owned()),
        }
    }
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OpStatus {
    /// kInited: queued.
    Queued,
    /// kDoing.
    Doing,
    /// kDone. Says nothing about success: a parent is done whether or not its child was created.
    Done,
    /// kFailed. About one in twenty does for no reason (docs/openmldb/operations.md#operations-fail-for-no-reason).
    Failed,
    /// kCanceled.
    Canceled,
}

impl OpStatus {
    /// Whether the operation may still change something.
    pub fn is_in_flight(self) -> bool {
        matches!(self, Self::Queued | Self::Doing)
    }
}
