//! Tasks: the steps of an op.

use crate::fault::OpFate;
use openmldb_wire::api::{TableMode, TaskStatus, TaskType};

/// One step of an op.
#[derive(Debug, Clone)]
pub(super) struct Task {
    pub(super) work: Work,
    pub(super) state: TaskStatus,
    /// Answers to GetTaskStatus, of any tablet, seen since it was sent.
    pub(super) answers: u32,
    /// Done, but overwritten to kDoing by a race, so that nobody will ever report it
    /// (docs/openmldb/operations.md#operations-fail-for-no-reason).
    pub(super) lost: bool,
}

/// What a task does. Those with a tablet to ask carry the endpoints they were made for when the op was created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Work {
    PauseSnapshot { leader: String },
    RecoverSnapshot { leader: String },
    SendSnapshot { leader: String, follower: String },
    LoadTable { on: String, mode: TableMode },
    AddReplica { leader: String, follower: String },
    DelReplica { leader: String, follower: String },
    DropTable { on: String },
    RecoverTable,
    UpdatePartitionStatus { endpoint: String, is_leader: bool, is_alive: bool },
    SelectLeader,
    ChangeLeader,
    UpdateLeaderInfo,
    CheckBinlogSyncProgress { follower: String, delta: u64 },
    AddTableInfo { endpoint: String },
    DelTableInfo { endpoint: String },
    UpdateTableInfo { src: String, des: String },
}

impl Task {
    pub(super) fn new(work: Work) -> Self {
        Self { work, state: TaskStatus::KInited, answers: 0, lost: false }
    }

    /// Goes wrong before it has begun.
    pub(super) fn meet(&mut self, fate: OpFate) {
        match fate {
            OpFate::Fails => self.state = TaskStatus::KFailed,
            OpFate::Sticks => (self.state, self.lost) = (TaskStatus::KDoing, true),
            OpFate::NotCreated => {}
        }
    }
}

impl Work {
    pub(super) fn kind(&self) -> TaskType {
        match self {
            Self::PauseSnapshot { .. } => TaskType::KPauseSnapshot,
            Self::RecoverSnapshot { .. } => TaskType::KRecoverSnapshot,
            Self::SendSnapshot { .. } => TaskType::KSendSnapshot,
            Self::LoadTable { .. } => TaskType::KLoadTable,
            Self::AddReplica { .. } => TaskType::KAddReplica,
            Self::DelReplica { .. } => TaskType::KDelReplica,
            Self::DropTable { .. } => TaskType::KDropTable,
            Self::RecoverTable => TaskType::KRecoverTable,
            Self::UpdatePartitionStatus { .. } => TaskType::KUpdatePartitionStatus,
            Self::SelectLeader => TaskType::KSelectLeader,
            Self::ChangeLeader => TaskType::KChangeLeader,
            Self::UpdateLeaderInfo => TaskType::KUpdateLeaderInfo,
            Self::CheckBinlogSyncProgress { .. } => TaskType::KCheckBinlogSyncProgress,
            Self::AddTableInfo { .. } => TaskType::KAddTableInfo,
            Self::DelTableInfo { .. } => TaskType::KDelTableInfo,
            Self::UpdateTableInfo { .. } => TaskType::KUpdateTableInfo,
        }
    }

    /// The tablet that runs it and reports its end; none for what the nameserver does by itself.
    pub(super) fn tablet(&self) -> Option<&str> {
        match self {
            Self::PauseSnapshot { leader }
            | Self::RecoverSnapshot { leader }
            | Self::SendSnapshot { leader, .. }
            | Self::AddReplica { leader, .. }
            | Self::DelReplica { leader, .. } => Some(leader),
            Self::LoadTable { on, .. } | Self::DropTable { on } => Some(on),
            _ => None,
        }
    }

    /// The state in which another nameserver takes it over if it was the op's current task: work of tablets is assumed
    /// to be running; so are two tasks that nothing will ever finish
    /// (docs/openmldb/nameserver.md#operations-taken-over).
    pub(super) fn state_when_resumed(&self) -> TaskStatus {
        match self {
            Self::ChangeLeader | Self::DelTableInfo { .. } => TaskStatus::KDoing,
            work if work.tablet().is_some() => TaskStatus::KDoing,
            _ => TaskStatus::KInited,
        }
    }
}
