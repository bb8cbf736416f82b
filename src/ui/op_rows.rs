//! The nameserver's operations, as showopstatus has them.

use serde::Serialize;

use crate::model::{Op, OpStatus, TimedOp};

use super::color::{Paint, Tone};
use super::columns::Cell;
use super::sheet::{Column, Layout, NoColumn, Sheet, Whose, essential, extra};
use super::words::{elapsed, moment, one_line};

/// An operation with its times.
#[derive(Debug, Serialize)]
pub struct OpRow {
    #[serde(flatten)]
    op: Op,
    /// In milliseconds since 1970; null for what has not come yet.
    start_time_ms: Option<u64>,
    end_time_ms: Option<u64>,
    /// How long it has taken, or takes by now; null where that is not known.
    execute_ms: Option<u64>,
    for_replica_cluster: bool,
}

impl OpRow {
    /// An operation, looked at at a time; none where the nameserver's clock runs at another speed than ours. It may be ahead of ours.
    pub fn of(timed: &TimedOp, now_ms: Option<u64>) -> Self {
        let ms = |seconds: u64| seconds.saturating_mul(1000);
        let (start, end) = (timed.started_s.map(ms), timed.ended_s.map(ms));
        let until = end.or(now_ms);
        Self {
            op: timed.op.clone(),
            start_time_ms: start,
            end_time_ms: end,
            execute_ms: start.zip(until).map(|(start, until)| until.saturating_sub(start)),
            for_replica_cluster: timed.for_replica_cluster,
        }
    }
}

/// As showopstatus heads them.
const COLUMNS: [Column; 10] = [
    essential(Whose::Ours, "op_id"),
    essential(Whose::Ours, "op_type"),
    essential(Whose::Ours, "name"),
    essential(Whose::Ours, "pid"),
    essential(Whose::Ours, "status"),
    extra(Whose::Ours, "start_time"),
    essential(Whose::Ours, "execute_time"),
    extra(Whose::Ours, "end_time"),
    essential(Whose::Ours, "cur_task"),
    extra(Whose::Ours, "for_replica_cluster"),
];

/// Operations by number, oldest first.
///
/// # Errors
/// A column that is named is none of these.
pub fn ops_text(rows: &[OpRow], layout: &Layout, paint: Paint) -> Result<String, NoColumn> {
    let mut sheet = Sheet::headed(&COLUMNS);
    let time = |ms: Option<u64>| Cell::from(ms.map_or("-".to_owned(), moment));
    for OpRow { op, start_time_ms, end_time_ms, execute_ms, for_replica_cluster } in rows {
        let (tone, state) = match op.status {
            OpStatus::Queued => (Tone::Usual, "queued"),
            OpStatus::Doing => (Tone::Warning, "doing"),
            OpStatus::Done => (Tone::Good, "done"),
            OpStatus::Failed => (Tone::Bad, "failed"),
            OpStatus::Canceled => (Tone::Usual, "canceled"),
        };
        sheet.row([
            op.id.to_string().into(),
            op.kind.name().into(),
            one_line(&op.table.to_string()).into(),
            op.pid.to_string().into(),
            Cell::new(tone, state),
            time(*start_time_ms),
            execute_ms.map_or("-".to_owned(), elapsed).into(),
            time(*end_time_ms),
            op.task.as_str().into(),
            if *for_replica_cluster { "yes" } else { "no" }.into(),
        ]);
    }
    let text = sheet.text(layout, paint)?;
    Ok(if rows.is_empty() { "no operations\n".to_owned() } else { text })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{OpId, OpKind, Pid, TableName};

    #[test]
    fn how_long_an_operation_takes_is_told_only_by_a_clock_that_is_like_ours() {
        let took = |ended_s: Option<u64>, now_ms: Option<u64>| {
            let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
            let (id, kind, status, task) = (OpId(7), OpKind::RecoverTable, OpStatus::Doing, "-".to_owned());
            let op = Op { id, kind, status, table, pid: Pid(0), task };
            let timed = TimedOp { op, started_s: Some(100), ended_s, for_replica_cluster: false };
            OpRow::of(&timed, now_ms).execute_ms
        };
        assert_eq!((took(None, Some(110_000)), took(Some(104), Some(110_000))), (Some(10_000), Some(4_000)));
        assert_eq!(took(None, Some(99_000)), Some(0), "it is ahead of ours");
        assert_eq!((took(None, None), took(Some(104), None)), (None, Some(4_000)), "a sandbox's");
    }
}
