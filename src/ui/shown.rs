//! What tablets say of the replicas that they hold, as a table.

use serde::Serialize;

use crate::model::{Endpoint, Held, PartitionId, Role, State, TableName};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
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
