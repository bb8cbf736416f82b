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
    /// How long it has taken, or takes by now.
    execute_ms: Option<u64>,
    for_replica_cluster: bool,
}

impl OpRow {
    /// An operation, looked at at a time. The nameserver's clock may be ahead of ours.
    pub fn of(timed: &TimedOp, now_ms: u64) -> Self {
        let ms = |seconds: u64| seconds.saturating_mul(1000);
        let (start, end) = (timed.started_s.map(ms), timed.ended_s.map(ms));
        let until = end.unwrap_or(now_ms);
        Self {
            op: timed.op.clone(),
            start_time_ms: start,
            end_time_ms: end,
            execute_ms: start.map(|start| until.saturating_sub(start)),
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
