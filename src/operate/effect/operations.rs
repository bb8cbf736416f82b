//! What the nameserver's operations tell of an effect (docs/openmldb/operations.md#an-answer-of-0-is-not-an-effect).

use std::time::Duration;

use crate::model::{Endpoint, Op, OpId, OpKind, OpStatus, Pid, Snapshot, TableName};

use super::{EffectStatus, Vain};

/// How long an operation that was asked for may take to show itself: RecoverTable answers 0 whether or not it began one.
pub(in super::super) const OP_SHOWS: Duration = Duration::from_secs(10);

/// How many operations are under way that were begun since.
pub(in super::super) fn under_way(seen: &Snapshot, since: Option<OpId>) -> usize {
    seen.ops.iter().filter(|op| op.status.is_in_flight() && Some(op.id) > since).count()
}

fn of_partition<'a>(
    seen: &'a Snapshot,
    table: &TableName,
    pid: Pid,
    since: Option<OpId>,
) -> impl Iterator<Item = &'a Op> {
    seen.ops.iter().filter(move |op| op.table == *table && op.pid == pid && Some(op.id) > since)
}

/// Why what an operation on a partition was to bring about is waited for in vain.
pub(in super::super) fn nothing_began(
    seen: &Snapshot,
    table: &TableName,
    pid: Pid,
    since: Option<OpId>,
    waited: Duration,
) -> Option<Vain> {
    let runs = of_partition(seen, table, pid, since).any(|op| op.status.is_in_flight());
    (waited >= OP_SHOWS && !runs).then(|| Vain {
        because: "the nameserver answered 0 but did nothing: ",
        hint: format!("`openmldb-ops recover --partition {table}/{pid}` does what the nameserver does not"),
    })
}

/// What an operation is to bring about: it may end without, and the one that was asked for begins another.
pub(in super::super) fn after_ops(
    seen: &Snapshot,
    table: &TableName,
    pid: Pid,
    since: Option<OpId>,
    reached: Option<String>,
    endpoint: &Endpoint,
) -> EffectStatus {
    if let Some(text) = reached {
        return EffectStatus::Reached(text);
    }
    let mine: Vec<&Op> = of_partition(seen, table, pid, since).collect();
    if let Some(op) = mine.iter().find(|op| op.status.is_in_flight()) {
        return EffectStatus::Waiting(format!("operation {} ({}) {}", op.id, op.kind.name(), op.progress()));
    }
    let name = format!("{table}/{pid}");
    let hint =
        format!("check `openmldb-ops status --partition {name}`; about one operation in twenty fails for no reason");
    match mine.iter().rfind(|op| op.status != OpStatus::Done) {
        Some(op) => EffectStatus::Missed {
            text: format!("operation {} ({}) {:?} at {}", op.id, op.kind.name(), op.status, op.task),
            hint,
        },
        None if mine.iter().any(|op| !matches!(op.kind, OpKind::RecoverTable)) => {
            EffectStatus::Waiting(format!("the operations of {name} have ended, {endpoint} is not there yet"))
        }
        None if mine.is_empty() => EffectStatus::Waiting(format!("no operation of {name} shows yet")),
        None => EffectStatus::Waiting(format!("operation {} has ended, what it began does not show yet", mine[0].id)),
    }
}
