//! Tablets (showtablet), and how replicas and bytes are spread over them.

use std::collections::HashMap;

use serde::Serialize;

use crate::model::{Endpoint, Polled, Snapshot, TabletState, counted};
use crate::run::TabletStatus;

use super::color::{Paint, Tone};
use super::columns::Cell;
use super::sheet::{Column, Layout, NoColumn, Sheet, Whose, essential, extra};
use super::words::{bytes, one_line, roughly};

/// A tablet.
#[derive(Debug, Serialize)]
pub struct TabletRow {
    #[serde(flatten)]
    status: TabletStatus,
    /// For how long the nameserver has thought so of it; null if it does not say.
    age_ms: Option<u64>,
    /// How many partitions it leads, as the flags say.
    leaders: usize,
    /// What the nameserver last polled of its replicas, in all.
    memory_bytes: u64,
    disk_bytes: u64,
}

impl TabletRow {
    /// Every tablet.
    pub fn all(tablets: &[TabletStatus], seen: &Snapshot, polled: &[Polled]) -> Vec<Self> {
        let mut bytes_of: HashMap<&Endpoint, (u64, u64)> = HashMap::new();
        for polled in polled {
            let (memory, disk) = bytes_of.entry(&polled.endpoint).or_default();
            *memory = memory.saturating_add(polled.memory_bytes.unwrap_or(0));
            *disk = disk.saturating_add(polled.disk_bytes.unwrap_or(0));
        }
        let mut leads: HashMap<&Endpoint, usize> = HashMap::new();
        let leaders = seen.tables.iter().flat_map(|table| &table.partitions).filter_map(|partition| partition.leader());
        leaders.for_each(|leader| *leads.entry(leader).or_default() += 1);
        let row = |status: &TabletStatus| {
            let (memory_bytes, disk_bytes) = bytes_of.get(&status.endpoint).copied().unwrap_or_default();
            Self {
                age_ms: seen.tablets.get(&status.endpoint).and_then(|tablet| tablet.unchanged_ms),
                leaders: leads.get(&status.endpoint).copied().unwrap_or(0),
                memory_bytes,
                disk_bytes,
                status: status.clone(),
            }
        };
        tablets.iter().map(row).collect()
    }
}

/// As showtablet heads them, then where it is registered, and what there is on it.
const COLUMNS: [Column; 10] = [
    essential(Whose::Nameserver, "endpoint"),
    extra(Whose::Nameserver, "real_endpoint"),
    essential(Whose::Nameserver, "state"),
    essential(Whose::Nameserver, "age"),
    essential(Whose::Nameserver, "replicas"),
    extra(Whose::Nameserver, "leaders"),
    extra(Whose::Nameserver, "memused"),
    extra(Whose::Nameserver, "diskused"),
    essential(Whose::Tablet, "holds"),
    essential(Whose::ZooKeeper, "registered"),
];

/// Tablets, how evenly what there is is spread over them, and what is wrong with each.
///
/// # Errors
/// A column that is named is none of these.
pub fn tablets_text(rows: &[TabletRow], layout: &Layout, paint: Paint) -> Result<String, NoColumn> {
    let mut sheet = Sheet::headed(&COLUMNS);
    for row in rows {
        let tablet = &row.status;
        sheet.row([
            tablet.endpoint.as_str().into(),
            tablet.real_endpoint.as_deref().unwrap_or("-").into(),
            match tablet.nameserver {
                Some(TabletState::Healthy) => "healthy".into(),
                Some(TabletState::Offline) => Cell::new(Tone::Bad, "offline"),
                None => Cell::new(Tone::Bad, "not listed"),
            },
            row.age_ms.map_or("-".to_owned(), roughly).into(),
            tablet.replicas_placed.to_string().into(),
            row.leaders.to_string().into(),
            bytes(row.memory_bytes).into(),
            bytes(row.disk_bytes).into(),
            tablet.replicas_held.map_or_else(|| Cell::new(Tone::Bad, "no answer"), |held| held.to_string().into()),
            match tablet.in_zookeeper {
                Some(true) => "yes".into(),
                Some(false) => Cell::new(Tone::Bad, "no"),
                None => "not asked".into(),
            },
        ]);
    }
    let mut out = sheet.text(layout, paint)?;
    out += &spread(rows);
    for TabletRow { status, .. } in rows {
        for problem in &status.problems {
            let label = paint.tone(Tone::Bad, status.endpoint.as_str());
            out += &format!("{label}: {}\n  hint: {}\n", one_line(&problem.text), one_line(&problem.hint));
        }
    }
    Ok(out)
}

/// The least and the most that a tablet has.
fn spread(rows: &[TabletRow]) -> String {
    if rows.len() < 2 {
        return String::new();
    }
    let between = |of: fn(&TabletRow) -> u64, word: fn(u64) -> String| {
        let (least, most) = (rows.iter().map(of).min().unwrap_or(0), rows.iter().map(of).max().unwrap_or(0));
        if least == most { word(least) } else { format!("{} to {}", word(least), word(most)) }
    };
    let count = |number: u64| number.to_string();
    format!(
        "Spread over {}: {} replicas, {} leaders, {} in memory, {} on disk\n",
        counted(rows.len(), "tablet"),
        between(|row| row.status.replicas_placed as u64, count),
        between(|row| row.leaders as u64, count),
        between(|row| row.memory_bytes, bytes),
        between(|row| row.disk_bytes, bytes),
    )
}
