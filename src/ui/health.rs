//! Tables, one row each, as `show table status` has them: what they hold, and what is wrong with them.

use std::collections::{BTreeSet, HashMap};

use serde::Serialize;

use crate::model::{Endpoint, Pid, Polled, StorageMode, Table, TableName, Tid};
use crate::run::{PartitionState, PartitionStatus, ReplicaProblem};

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};
use super::words::{bytes, one_line};

/// A table.
#[derive(Debug, Serialize)]
pub struct HealthRow {
    #[serde(flatten)]
    table: TableName,
    tid: Tid,
    storage: StorageMode,
    /// Partitions in all, those without a leader that serves, and those that serve without being redundant.
    partitions: usize,
    partitions_down: usize,
    partitions_not_redundant: usize,
    /// Replicas in all, those not flagged alive, and how many each partition was made with.
    replicas: usize,
    replicas_not_alive: usize,
    replica_num: Option<u32>,
    /// What leaders that are flagged alive hold, as the nameserver last polled them.
    rows: u64,
    memory_bytes: u64,
    disk_bytes: u64,
    warnings: Vec<String>,
}

impl HealthRow {
    /// Every table with a partition among these.
    pub fn all(tables: &[Table], partitions: &[PartitionStatus], polled: &[Polled]) -> Vec<Self> {
        let polled: HashMap<(&TableName, Pid, &Endpoint), &Polled> =
            polled.iter().map(|polled| ((&polled.table, polled.pid, &polled.endpoint), polled)).collect();
        let mut of: HashMap<Tid, Vec<&PartitionStatus>> = HashMap::new();
        partitions.iter().for_each(|partition| of.entry(partition.tid).or_default().push(partition));
        let with = tables.iter().filter_map(|table| Some((table, of.get(&table.tid)?)));
        with.map(|(table, partitions)| Self::of(table, partitions, &polled)).collect()
    }

    fn of(
        table: &Table,
        partitions: &[&PartitionStatus],
        polled: &HashMap<(&TableName, Pid, &Endpoint), &Polled>,
    ) -> Self {
        let in_state = |state| partitions.iter().filter(|partition| partition.state == state).count();
        let replicas = || partitions.iter().flat_map(|partition| &partition.replicas);
        let leaders: Vec<&&Polled> = partitions
            .iter()
            .filter_map(|partition| {
                let leader = partition.replicas.iter().find(|replica| replica.is_leader && replica.is_alive)?;
                polled.get(&(&partition.table, partition.pid, &leader.endpoint))
            })
            .collect();
        Self {
            table: table.name.clone(),
            tid: table.tid,
            storage: table.storage,
            partitions: partitions.len(),
            partitions_down: in_state(PartitionState::Down),
            partitions_not_redundant: in_state(PartitionState::Serving),
            replicas: replicas().count(),
            replicas_not_alive: replicas().filter(|replica| !replica.is_alive).count(),
            replica_num: table.replica_num,
            rows: leaders.iter().filter_map(|polled| polled.rows).sum(),
            memory_bytes: leaders.iter().filter_map(|polled| polled.memory_bytes).sum(),
            disk_bytes: leaders.iter().filter_map(|polled| polled.disk_bytes).sum(),
            warnings: warnings(table, partitions),
        }
    }
}

fn warnings(table: &Table, partitions: &[&PartitionStatus]) -> Vec<String> {
    let mut warnings = Vec::new();
    for partition in partitions {
        let count = partition.replicas.len();
        if let Some(wanted) = table.replica_num.filter(|wanted| usize::try_from(*wanted) != Ok(count)) {
            warnings.push(format!("{}: {count} replicas, made with {wanted}", partition.pid));
        }
        // What is wrong with several replicas alike is said once, and how many there are is said above.
        let said = |problem: &ReplicaProblem| format!("{} {}", problem.endpoint, problem.text);
        let problems: BTreeSet<String> =
            partition.problems.iter().filter(|problem| !problem.is_count()).map(said).collect();
        warnings.extend(problems.into_iter().map(|problem| format!("{}: {problem}", partition.pid)));
    }
    warnings
}

/// Tables, each with its warnings below it.
pub fn health_text(rows: &[HealthRow], paint: Paint) -> String {
    if rows.is_empty() {
        return "no tables\n".to_owned();
    }
    let names = [
        "table",
        "tid",
        "storage",
        "partitions",
        "down",
        "not redundant",
        "replicas",
        "not alive",
        "rows",
        "memory",
        "disk",
    ];
    let mut columns = Columns::headed(&names);
    for row in rows {
        let bad = |count: usize| Cell::new(if count == 0 { Tone::Usual } else { Tone::Bad }, count.to_string());
        columns.row([
            one_line(&row.table.to_string()).into(),
            row.tid.to_string().into(),
            match row.storage {
                StorageMode::Memory => "memory",
                StorageMode::Ssd => "ssd",
                StorageMode::Hdd => "hdd",
            }
            .into(),
            row.partitions.to_string().into(),
            bad(row.partitions_down),
            bad(row.partitions_not_redundant),
            row.replicas.to_string().into(),
            bad(row.replicas_not_alive),
            row.rows.to_string().into(),
            bytes(row.memory_bytes).into(),
            bytes(row.disk_bytes).into(),
        ]);
    }
    let mut out = columns.text(0, paint);
    for row in rows {
        let name = one_line(&row.table.to_string());
        for warning in &row.warnings {
            out += &format!("{}/{}\n", paint.tone(Tone::Bad, &name), one_line(warning));
        }
    }
    out
}
