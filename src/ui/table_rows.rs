//! Replicas as the nameserver shows them (showtable), beside what their tablets hold.

use std::collections::HashMap;

use serde::Serialize;

use crate::model::{Compression, Endpoint, Pid, Polled, TableName, Tid};
use crate::run::{PartitionStatus, RemoteStatus, ReplicaState, ReplicaStatus};

use super::color::{Paint, Tone};
use super::columns::Cell;
use super::sheet::{Column, Layout, NoColumn, Sheet, Whose, essential, extra};
use super::status::held;
use super::words::{bytes, one_line};

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
    /// What lets rows expire; empty if nothing does, null if the nameserver did not show the replica.
    ttl: Option<Vec<String>>,
    compress_type: Option<Compression>,
    /// Where the two disagree, or what else is wrong.
    problems: Vec<String>,
    /// Of a replica in a cluster that follows this one: what this one calls that cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    remote: Option<String>,
}

impl TableRow {
    /// Every replica of the partitions.
    pub fn all(partitions: &[PartitionStatus], polled: &[Polled]) -> Vec<Self> {
        let polled: HashMap<_, _> =
            polled.iter().map(|polled| ((&polled.table, polled.pid, &polled.endpoint), polled)).collect();
        let of = |partition: &PartitionStatus| -> Vec<Self> {
            Self::of(partition, &polled)
                .chain(partition.remotes.iter().map(|remote| Self::remote(partition, remote)))
                .collect()
        };
        partitions.iter().flat_map(of).collect()
    }

    /// A replica in another cluster, which is not asked.
    fn remote(partition: &PartitionStatus, remote: &RemoteStatus) -> Self {
        let detached = (remote.attached == Some(false)).then(|| "its leader does not replicate to it".to_owned());
        let ahead = remote.ahead.then(|| "it holds more than its leader".to_owned());
        Self {
            table: partition.table.clone(),
            tid: remote.tid,
            pid: partition.pid,
            replica: ReplicaStatus {
                endpoint: remote.endpoint.clone(),
                is_leader: false,
                is_alive: true,
                role: None,
                state: ReplicaState::Elsewhere,
                offset: None,
                rows: None,
                replicated_to: remote.replicated_to,
                nameserver_offset: None,
            },
            nameserver_rows: None,
            memory_bytes: None,
            disk_bytes: None,
            ttl: None,
            compress_type: None,
            problems: detached.into_iter().chain(ahead).collect(),
            remote: Some(remote.alias.clone()),
        }
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
                ttl: polled.map(|polled| polled.ttl.iter().map(ToString::to_string).collect()),
                compress_type: polled.map(|polled| polled.compression),
                problems: problems.map(|problem| problem.text.clone()).collect(),
                remote: None,
            }
        })
    }
}

/// As showtable heads them, then what the tablet holds.
const COLUMNS: [Column; 16] = [
    essential(Whose::Nameserver, "name"),
    extra(Whose::Nameserver, "tid"),
    essential(Whose::Nameserver, "pid"),
    essential(Whose::Nameserver, "endpoint"),
    essential(Whose::Nameserver, "role"),
    extra(Whose::Nameserver, "ttl"),
    essential(Whose::Nameserver, "is_alive"),
    extra(Whose::Nameserver, "compress_type"),
    essential(Whose::Nameserver, "offset"),
    extra(Whose::Nameserver, "record_cnt"),
    extra(Whose::Nameserver, "memused"),
    extra(Whose::Nameserver, "diskused"),
    essential(Whose::Tablet, "held"),
    essential(Whose::Tablet, "held_offset"),
    essential(Whose::Tablet, "held_rows"),
    essential(Whose::Ours, "problem"),
];

/// Replicas, the nameserver's word beside the tablets'.
///
/// # Errors
/// A column that is named is none of these.
pub fn tables_text(rows: &[TableRow], layout: &Layout, paint: Paint) -> Result<String, NoColumn> {
    let mut sheet = Sheet::headed(&COLUMNS);
    let number = |number: Option<u64>| Cell::from(number.map_or("-".to_owned(), |number| number.to_string()));
    let size = |size: Option<u64>| Cell::from(size.map_or("-".to_owned(), bytes));
    for row in rows {
        let replica = &row.replica;
        let ttl = row.ttl.as_ref().map_or("-".to_owned(), |ttl| match ttl.is_empty() {
            true => "never".to_owned(),
            false => ttl.join(", "),
        });
        sheet.row([
            one_line(&row.table.to_string()).into(),
            row.tid.to_string().into(),
            row.pid.to_string().into(),
            replica.endpoint.as_str().into(),
            match &row.remote {
                Some(alias) => format!("in {}", one_line(alias)).into(),
                None => if replica.is_leader { "leader" } else { "follower" }.into(),
            },
            ttl.into(),
            if replica.is_alive { "yes".into() } else { Cell::new(Tone::Warning, "no") },
            match row.compress_type {
                Some(Compression::None) => "no",
                Some(Compression::Snappy) => "snappy",
                None => "-",
            }
            .into(),
            number(replica.nameserver_offset.map(|offset| offset.0)),
            number(row.nameserver_rows),
            size(row.memory_bytes),
            size(row.disk_bytes),
            held(replica).into(),
            number(replica.offset.or(row.remote.as_ref().and(replica.replicated_to)).map(|offset| offset.0)),
            number(replica.rows),
            Cell::new(Tone::Bad, row.problems.join("; ")),
        ]);
    }
    let text = sheet.text(layout, paint)?;
    Ok(if rows.is_empty() { "no tables\n".to_owned() } else { text })
}
