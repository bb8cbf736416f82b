//! What servers say, as tables: operations, tablets, replicas.

use serde::Serialize;

use crate::model::{Endpoint, Held, Op, OpStatus, PartitionId, Role, State, TableName};
use crate::run::TabletStatus;

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::status::tablets;
use super::words::one_line;

/// A replica as its tablet holds it.
#[derive(Debug, Serialize)]
pub struct ReplicaRow {
    endpoint: Endpoint,
    /// `db.table`; none if the nameserver knows no such table.
    table: Option<String>,
    partition: PartitionId,
    role: Role,
    state: State,
    offset: u64,
    rows: u64,
}

impl ReplicaRow {
    /// What a tablet says of one of its replicas.
    pub fn of(endpoint: &Endpoint, table: Option<&TableName>, held: &Held) -> Self {
        Self {
            endpoint: endpoint.clone(),
            table: table.map(ToString::to_string),
            partition: held.partition,
            role: held.role,
            state: held.state,
            offset: held.offset.0,
            rows: held.record_cnt,
        }
    }
}

/// Tablets, each with what is wrong with it.
pub fn tablets_text(of: &[TabletStatus], paint: Paint) -> String {
    tablets(of, paint)
}

/// Operations, oldest first.
pub fn ops_text(ops: &[Op], paint: Paint) -> String {
    if ops.is_empty() {
        return "no operations\n".to_owned();
    }
    let mut columns = Columns::headed(&["op", "type", "partition", "state", "task"]);
    for op in ops {
        let (tone, state) = match op.status {
            OpStatus::Queued => (Tone::Usual, "queued"),
            OpStatus::Doing => (Tone::Warning, "doing"),
            OpStatus::Done => (Tone::Good, "done"),
            OpStatus::Failed => (Tone::Bad, "failed"),
            OpStatus::Canceled => (Tone::Usual, "canceled"),
        };
        columns.row([
            op.id.to_string().into(),
            op.kind.name().into(),
            format!("{}/{}", op.table, op.pid).into(),
            Cell::new(tone, state),
            op.task.as_str().into(),
        ]);
    }
    columns.text(0, paint)
}

/// Replicas as their tablets hold them.
pub fn replicas_text(rows: &[ReplicaRow], paint: Paint) -> String {
    if rows.is_empty() {
        return "no tablet holds such a replica\n".to_owned();
    }
    let mut columns = Columns::headed(&["tablet", "partition", "id", "role", "state", "offset", "rows"]);
    for row in rows {
        let partition = match &row.table {
            Some(table) => Cell::from(format!("{}/{}", one_line(table), row.partition.pid)),
            None => Cell::new(Tone::Bad, "unknown to the nameserver"),
        };
        let state = match row.state {
            State::Queued => Cell::new(Tone::Warning, "queued"),
            State::Loading => Cell::new(Tone::Warning, "loading"),
            State::Normal => "normal".into(),
            State::MakingSnapshot => "making a snapshot".into(),
            State::SnapshotPaused => Cell::new(Tone::Warning, "snapshots paused"),
        };
        columns.row([
            row.endpoint.as_str().into(),
            partition,
            row.partition.to_string().into(),
            row.role.to_string().into(),
            state,
            row.offset.to_string().into(),
            row.rows.to_string().into(),
        ]);
    }
    columns.text(0, paint)
}
