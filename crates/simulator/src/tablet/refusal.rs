//! What a tablet says no with: OpenMLDB's codes and messages (docs/openmldb/calls.md#codes; texts as recorded, where
//! they were).

use openmldb_wire::api;

/// A code that is not 0, with its message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{msg} ({code})")]
pub struct Refusal {
    /// OpenMLDB's return code.
    pub code: i32,
    /// OpenMLDB's message.
    pub msg: &'static str,
}

const fn refusal(code: i32, msg: &'static str) -> Refusal {
    Refusal { code, msg }
}

pub(super) const ADD_TASK_FAILED: Refusal = refusal(-1, "add task failed");
pub(super) const NOT_CREATED: Refusal = refusal(-1, "create aggregator failed");
pub(super) const AGGREGATE_FAILED: Refusal = refusal(-1, "update aggr failed");
pub(super) const CHECK_SIZE_FAILED: Refusal = refusal(-1, "check size failed");
pub(super) const GET_SIZE_FAILED: Refusal = refusal(-1, "get size failed");
pub(super) const PARSE_MANIFEST_FAILED: Refusal = refusal(-1, "parse manifest failed");
pub(super) const TABLE_DOES_NOT_EXIST: Refusal = refusal(100, "table does not exist");
pub(super) const TABLE_ALREADY_EXISTS: Refusal = refusal(101, "table already exists");
pub(super) const TABLE_IS_LEADER: Refusal = refusal(102, "table is leader");
pub(super) const TABLE_IS_FOLLOWER: Refusal = refusal(103, "table is follower");
pub(super) const TABLE_IS_LOADING: Refusal = refusal(104, "table is loading");
pub(super) const NOT_NORMAL: Refusal = refusal(105, "table status is not kNormal");
pub(super) const MAKING_SNAPSHOT: Refusal = refusal(106, "table status is kMakingSnapshot");
pub(super) const NOT_PAUSED: Refusal = refusal(107, "table status is not kSnapshotPaused");
pub(super) const SNAPSHOT_DOES_NOT_EXIST: Refusal = refusal(111, "snapshot does not exist");
pub(super) const REPLICA_ALREADY_EXISTS: Refusal = refusal(119, "replica endpoint already exists");
pub(super) const FAIL_TO_ADD_REPLICA: Refusal = refusal(120, "fail to add replica endpoint");
pub(super) const FAIL_TO_APPEND: Refusal = refusal(122, "fail to append entries to replicator");
pub(super) const SNAPSHOT_IS_SENDING: Refusal = refusal(128, "snapshot is sending");
pub(super) const NAME_IS_EMPTY: Refusal = refusal(129, "table name is empty");
pub(super) const INVALID_TID: Refusal = refusal(129, "tid <= 0, invalid tid");
pub(super) const UNKNOWN_STORAGE: Refusal = refusal(129, "storage_mode is unknown");
pub(super) const REPEATED_COLUMN: Refusal = refusal(129, "has repeated column name");
pub(super) const FAIL_TO_INIT_TABLE: Refusal = refusal(131, "fail to init table");
pub(super) const LOAD_NAME_NOT_FOUND: Refusal = refusal(131, "name not found in real_ep_map");
pub(super) const NO_FOLLOWER: Refusal = refusal(134, "has no follower");
pub(super) const NO_ROOT: Refusal = refusal(138, "fail to get table db root path");
pub(super) const NAME_NOT_FOUND: Refusal = refusal(155, "name not found in real_ep_map");
pub(super) const IS_FOLLOWER_CLUSTER: Refusal = refusal(453, "is follower cluster");

/// Code and message of an answer whose only content they are; the message of success differs at times.
pub(super) type Outcome = Result<&'static str, Refusal>;

/// Success as most calls report it.
pub(super) const OK: Outcome = Ok("ok");

/// Code and message as every answer carries them.
pub(super) fn code_and_msg(outcome: Outcome) -> (Option<i32>, Option<String>) {
    match outcome {
        Ok(msg) => (Some(0), Some(msg.to_owned())),
        Err(refusal) => (Some(refusal.code), Some(refusal.msg.to_owned())),
    }
}

/// The answer most calls have.
pub(super) fn general(outcome: Outcome) -> api::GeneralResponse {
    let (code, msg) = code_and_msg(outcome);
    api::GeneralResponse { code, msg, ..Default::default() }
}
