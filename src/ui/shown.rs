//! What servers say, as tables: operations, tablets, replicas.

use std::collections::HashMap;

use serde::Serialize;

use crate::model::{Endpoint, Held, Op, OpStatus, PartitionId, Pid, Polled, Role, State, TableName, Tid};
use crate::run::{PartitionStatus, ReplicaStatus, TabletStatus};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::plan::flags;
use super::status::{held, tablets};
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

/// A replica as the nameserver shows it, and as its tablet has it.
#[derive(Debug, Serialize)]
pub struct TableRow {
    #[serde(flatten)]
    table: TableName,
    tid: Tid,
    pid: Pid,
    /// Leader and alive flag, offset: the nameserver's; role, state, offset and rows: its tablet's.
    #[serde(flatten)]
    replica: ReplicaStatus,
    /// What the nameserver last polled: rows in the first index, ...
    nameserver_rows: Option<u64>,
    /// ... bytes in memory, ...
    memory_bytes: Option<u64>,
    /// ... and bytes on disk.
    disk_bytes: Option<u64>,
    /// Where the two disagree, or what else is wrong.
    problems: Vec<String>,
}

impl TableRow {
    /// Every replica of the partitions.
    pub fn all(partitions: &[PartitionStatus], polled: &[Polled]) -> Vec<Self> {
        let polled: HashMap<_, _> =
            polled.iter().map(|polled| ((&polled.table, polled.pid, &polled.endpoint), polled)).collect();
        let of = |partition: &PartitionStatus| -> Vec<Self> { Self::of(partition, &polled).collect() };
        partitions.iter().flat_map(of).collect()
    }

    fn of<'a>(
        partition: &'a PartitionStatus,
        polled: &'a HashMap<(&TableName, Pid, &Endpoint), &Polled>,
    ) -> impl Iterator<Item = Self> + 'a {
        partition.replicas.iter().map(move |replica| {
            let polled = polled.get(&(&partition.table, partition.pid, &replica.endpoint));
            let problems = partition.problems.iter().filter(|problem| problem.endpoint == replica.endpoint);
            Self {
                table: partition.table.clone(),
                tid: partition.tid,
                pid: partition.pid,
                replica: replica.clone(),
                nameserver_rows: polled.and_then(|polled| polled.rows),
                memory_bytes: polled.and_then(|polled| polled.memory_bytes),
                disk_bytes: polled.and_then(|polled| polled.disk_bytes),
                problems: problems.map(|problem| problem.text.clone()).collect(),
            }
        })
    }
}

/// Replicas, the nameserver's word beside the tablets'.
pub fn tables_text(rows: &[TableRow], paint: Paint) -> String {
    if rows.is_empty() {
        return "no tables\n".to_owned();
    }
    let names =
        ["partition", "id", "tablet", "flags", "offset", "rows", "memory", "disk", "held", "offset", "rows", "problem"];
    let mut columns = Columns::headed(&names);
    let number = |number: Option<u64>| Cell::from(number.map_or("-".to_owned(), |number| number.to_string()));
    for row in rows {
        let replica = &row.replica;
        columns.row([
            format!("{}/{}", one_line(&row.table.to_string()), row.pid).into(),
            format!("{}_{}", row.tid, row.pid).into(),
            replica.endpoint.as_str().into(),
            flags(replica.is_leader, replica.is_alive).into(),
            number(replica.nameserver_offset.map(|offset| offset.0)),
            number(row.nameserver_rows),
            number(row.memory_bytes),
            number(row.disk_bytes),
            held(replica).into(),
            number(replica.offset.map(|offset| offset.0)),
            number(replica.rows),
            Cell::new(Tone::Bad, row.problems.join("; ")),
        ]);
    }
    columns.text(0, paint)
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
