//! How replicas differ, row by row.

use serde::Serialize;

use crate::model::{Endpoint, Row, Schema, TableName};
use crate::rows::{OddRow, RowsRead};
use crate::wire::{Value, values};

use super::color::{Paint, Tone};
use super::words::one_line;
use crate::model::{counted, hex};

/// Rows of each kind that a text names; all of them are in JSON and in an export.
const NAMED: usize = 10;

/// One index of a partition, compared.
#[derive(Debug, Serialize)]
pub struct RowsComparedLine {
    /// `rows_compared`.
    pub event: &'static str,
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Partition number.
    pub pid: u32,
    /// The index's name.
    pub index: String,
    /// What was read of each replica.
    pub replicas: Vec<ReplicaRead>,
    /// Rows that not every replica holds.
    pub different: usize,
}

/// What was read of one replica.
#[derive(Debug, Serialize)]
pub struct ReplicaRead {
    /// Where.
    pub endpoint: Endpoint,
    /// Whether it leads.
    pub leads: bool,
    /// Rows.
    pub rows: u64,
    /// Their bytes.
    pub bytes: u64,
}

/// A row that not every replica holds, or not equally often.
#[derive(Debug, Serialize)]
pub struct OddRowLine {
    /// `odd_row`.
    pub event: &'static str,
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Partition number.
    pub pid: u32,
    /// The index's name.
    pub index: String,
    /// The index's key, as text; what is not UTF-8 is replaced.
    pub key: String,
    /// The index's time.
    pub time: u64,
    /// How often each replica holds it.
    pub held: Vec<Held>,
    /// Its columns, where the table's schema tells them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub columns: Option<serde_json::Map<String, serde_json::Value>>,
    /// The key's bytes, in hexadecimal.
    pub key_hex: String,
    /// The row's bytes as OpenMLDB encodes them, in hexadecimal.
    pub value_hex: String,
}

/// How often a replica holds a row.
#[derive(Debug, Serialize)]
pub struct Held {
    /// Where.
    pub endpoint: Endpoint,
    /// How often.
    pub times: u32,
}

impl RowsComparedLine {
    /// The line for what was read of some replicas.
    pub fn of(
        table: &TableName,
        pid: u32,
        index: &str,
        replicas: &[(Endpoint, bool)],
        read: &[RowsRead],
        odd: usize,
    ) -> Self {
        let read = replicas.iter().zip(read).map(|((endpoint, leads), read)| ReplicaRead {
            endpoint: endpoint.clone(),
            leads: *leads,
            rows: read.rows,
            bytes: read.bytes,
        });
        let (table, index) = (table.clone(), index.to_owned());
        Self { event: "rows_compared", table, pid, index, replicas: read.collect(), different: odd }
    }
}

impl OddRowLine {
    /// A row, with its columns as far as they can be read.
    pub fn of(compared: &RowsComparedLine, odd: &OddRow, schema: &Schema) -> Self {
        let replicas = compared.replicas.iter().zip(&odd.held);
        let held = replicas.map(|(replica, times)| Held { endpoint: replica.endpoint.clone(), times: *times });
        let columns = values(&odd.row.value, schema).map(|values| {
            let names = schema.columns.iter().map(|column| column.name.clone());
            names.zip(values.iter().map(json_of)).collect()
        });
        Self {
            event: "odd_row",
            table: compared.table.clone(),
            pid: compared.pid,
            index: compared.index.clone(),
            key: String::from_utf8_lossy(&odd.row.key).into_owned(),
            time: odd.row.time,
            held: held.collect(),
            columns,
            key_hex: hex(&odd.row.key),
            value_hex: hex(&odd.row.value),
        }
    }
}

fn json_of(value: &Value) -> serde_json::Value {
    match value {
        Value::Null => serde_json::Value::Null,
        Value::Bool(truth) => (*truth).into(),
        Value::Int(number) | Value::Timestamp(number) => (*number).into(),
        Value::Number(number) => (*number).into(),
        Value::Date(year, month, day) => format!("{year:04}-{month:02}-{day:02}").into(),
        Value::Text(text) => text.as_str().into(),
    }
}

/// Whether replicas hold the same, and if not, what which of them holds: only here, not there, another value.
pub fn rows_text(compared: &RowsComparedLine, odd: &[OddRow], schema: &Schema, paint: Paint) -> String {
    let name = one_line(&format!("{}/{}, index {}", compared.table, compared.pid, compared.index));
    let read: Vec<String> = compared
        .replicas
        .iter()
        .map(|replica| {
            let role = if replica.leads { "leader" } else { "follower" };
            format!(
                "{} on {} ({role})",
                counted(usize::try_from(replica.rows).unwrap_or(usize::MAX), "row"),
                replica.endpoint
            )
        })
        .collect();
    let read = read.join(", ");
    if odd.is_empty() {
        return format!("{name}: {}; {read}\n", paint.tone(Tone::Good, "the replicas hold the same rows"));
    }
    let differ = format!("the replicas differ in {}", counted(odd.len(), "row"));
    let mut text = format!("{name}: {}; {read}\n", paint.tone(Tone::Bad, &differ));
    for (heading, rows) in kinds(compared, odd) {
        text += &format!("  {heading}: {}\n", counted(rows.len(), "row"));
        for odd in rows.iter().take(NAMED) {
            text += &format!("    {}\n", row_text(&odd.row, schema));
        }
        if rows.len() > NAMED {
            text += &format!("    and {} more; --export FILE writes all of them\n", rows.len() - NAMED);
        }
    }
    text
}

/// Rows by who holds them, and those of one key and time that differ in their values by themselves.
fn kinds<'a>(compared: &RowsComparedLine, odd: &'a [OddRow]) -> Vec<(String, Vec<&'a OddRow>)> {
    let mut kinds: Vec<(String, Vec<&OddRow>)> = Vec::new();
    for (at, row) in odd.iter().enumerate() {
        let same = |other: &OddRow| other.row.key == row.row.key && other.row.time == row.row.time;
        // Sorted by key and time, so that rows that differ only in the value are neighbours.
        let beside = [at.checked_sub(1).and_then(|at| odd.get(at)), odd.get(at + 1)];
        let holders = holders(compared, row);
        let heading = match beside.into_iter().flatten().any(same) {
            true => format!("same key and time, another value, on {holders}"),
            false => format!("only on {holders}"),
        };
        match kinds.iter_mut().find(|(known, _)| *known == heading) {
            Some((_, rows)) => rows.push(row),
            None => kinds.push((heading, vec![row])),
        }
    }
    kinds
}

fn holders(compared: &RowsComparedLine, odd: &OddRow) -> String {
    let most = odd.held.iter().max().copied().unwrap_or_default();
    let least = odd.held.iter().min().copied().unwrap_or_default();
    let holders: Vec<String> = compared
        .replicas
        .iter()
        .zip(&odd.held)
        .filter(|(_, times)| **times > least)
        .map(|(replica, times)| match most {
            1 => replica.endpoint.to_string(),
            _ => format!("{} ({times} times, elsewhere {least})", replica.endpoint),
        })
        .collect();
    holders.join(", ")
}

fn row_text(row: &Row, schema: &Schema) -> String {
    let key = String::from_utf8_lossy(&row.key);
    let columns = values(&row.value, schema).map(|values| {
        let columns = schema.columns.iter().zip(&values);
        columns.map(|(column, value)| format!("{}={}", column.name, json_of(value))).collect::<Vec<_>>().join(" ")
    });
    let columns = columns.unwrap_or_else(|| format!("{} bytes {}", row.value.len(), hex(&row.value)));
    let text: String = one_line(&format!("key {key} at {}: {columns}", row.time));
    text.chars().take(200).collect()
}
