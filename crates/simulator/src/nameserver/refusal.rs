//! What a nameserver answers when it refuses: code and message (docs/openmldb/calls.md#what-they-check,
//! tests/recordings/09-refusals).

use thiserror::Error;

use openmldb_wire::nameserver::GeneralResponse;

/// A refusal. Displayed as OpenMLDB's message.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub(super) enum Refusal {
    #[error("table does not exist")]
    NoSuchTable,
    #[error("can not del leader. pid {pid} endpoint {endpoint}")]
    IsLeader { pid: u32, endpoint: String },
    #[error("no follower")]
    NoFollower,
    #[error("nameserver is not leader")]
    NotLeader,
    #[error("auto_failover is enabled")]
    AutoFailoverIsOn,
    #[error("endpoint does not exist")]
    NoSuchEndpoint,
    #[error("tablet is not healthy")]
    TabletNotHealthy,
    #[error("op id does not exist")]
    NoSuchOp,
    #[error("cannot delete the Inited OP")]
    OpNotOver,
    #[error("create op failed")]
    CreateOpFailed,
    #[error("invalid parameter")]
    InvalidParameter,
    #[error("max pid is greater than partition size")]
    PidTooLarge,
    #[error("pid does not exist")]
    NoSuchPid,
    #[error("pid {pid} is not in {endpoint}")]
    PidNotThere { pid: u32, endpoint: String },
    #[error("leader is alive")]
    LeaderIsAlive,
    #[error("no alive follower")]
    NoAliveFollower,
    #[error("table is alive, need not recover")]
    AlreadyAlive,
    #[error("op status is not kDoing or kInited")]
    OpNotRunning,
    #[error("pid {pid} is exist in {endpoint}")]
    PidIsThere { pid: u32, endpoint: String },
    #[error("src_endpoint does not exist or not healthy")]
    SrcNotHealthy,
    #[error("des_endpoint does not exist or not healthy")]
    DesNotHealthy,
    #[error("{0}")]
    MigrateFailed(&'static str),
    #[error("no pid has update")]
    NoPidUpdated,
}

impl Refusal {
    /// Its number in OpenMLDB's ReturnCode.
    pub(super) fn code(&self) -> i32 {
        match self {
            Self::NoSuchTable => 100,
            Self::IsLeader { .. } => 102,
            Self::NoFollower => 134,
            Self::NoSuchOp => 136,
            Self::NotLeader => 300,
            Self::AutoFailoverIsOn => 301,
            Self::NoSuchEndpoint => 302,
            Self::TabletNotHealthy => 303,
            Self::CreateOpFailed => 305,
            Self::InvalidParameter | Self::PidTooLarge | Self::OpNotOver => 307,
            Self::NoSuchPid | Self::PidNotThere { .. } => 308,
            Self::LeaderIsAlive => 309,
            Self::NoAliveFollower => 310,
            Self::AlreadyAlive => 311,
            Self::OpNotRunning => 312,
            Self::PidIsThere { .. } => 317,
            Self::SrcNotHealthy => 318,
            Self::DesNotHealthy => 319,
            Self::MigrateFailed(_) => 320,
            Self::NoPidUpdated => 321,
        }
    }
}

/// The answer most calls have.
pub(super) fn general(result: Result<(), Refusal>) -> GeneralResponse {
    match result {
        Ok(()) => GeneralResponse { code: 0, msg: Some("ok".to_owned()) },
        Err(refusal) => GeneralResponse { code: refusal.code(), msg: Some(refusal.to_string()) },
    }
}
