//! Clients that never stop writing.

use std::collections::BTreeMap;

use super::Millis;
use super::tablet::RowId;
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::api::{Dimension, PutRequest};
use openmldb_wire::nameserver::TableInfo;

/// Clients that put rows into user tables, at a steady rate, to the leaders they know. As OpenMLDB's SDK does, they learn
/// leaders from the nameserver's metadata whenever it changes, and never ask whether anybody is recovering anything: a
/// partition without an alive leader is still written to where its leader last was
/// (docs/openmldb/clients.md#clients-do-not-wait).
#[derive(Debug, Clone)]
pub struct Writers {
    every: Millis,
    next: Millis,
    leaders: BTreeMap<PartitionId, Endpoint>,
    learned: Option<u64>,
    dice: u64,
    acknowledged: u64,
    refused: u64,
}

/// One row on its way.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Write {
    pub(super) partition: PartitionId,
    pub(super) leader: Endpoint,
    pub(super) row: RowId,
}

impl Write {
    pub(super) fn request(&self) -> PutRequest {
        PutRequest {
            tid: Some(self.partition.tid.0),
            pid: Some(self.partition.pid.0),
            time: Some(i64::try_from(self.row.0).unwrap_or_default()),
            value: Some(self.row.to_value()),
            dimensions: vec![Dimension { key: Some(self.row.key()), idx: Some(0) }],
            ..PutRequest::default()
        }
    }
}

impl Writers {
    /// Clients that put a row every `every` milliseconds of world time, from `now` on.
    pub fn new(every: Millis, now: Millis, seed: u64) -> Self {
        Self {
            every: every.max(1),
            next: now,
            leaders: BTreeMap::new(),
            learned: None,
            dice: seed,
            acknowledged: 0,
            refused: 0,
        }
    }

    /// Rows acknowledged so far.
    pub fn acknowledged(&self) -> u64 {
        self.acknowledged
    }

    /// Rows refused, or put to a server that was not there.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    /// When the next row is due.
    pub(super) fn next_event(&self) -> Millis {
        self.next
    }

    /// Whether metadata of this version has not been read yet.
    pub(super) fn is_behind(&self, version: u64) -> bool {
        self.learned != Some(version)
    }

    /// Reads the metadata.
    pub(super) fn learn<'a>(&mut self, version: u64, tables: impl IntoIterator<Item = &'a TableInfo>) {
        self.learned = Some(version);
        for table in tables.into_iter().filter(|table| !is_system(table.db()) && table.base_table_tid() == 0) {
            for partition in &table.table_partition {
                let leader = partition.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive());
                if let Some(leader) = leader {
                    let id = super::world::partition(table.tid(), partition.pid);
                    self.leaders.insert(id, leader.endpoint.as_str().into());
                }
            }
        }
    }

    /// The row that is due, if there is anywhere to put it. Its number is `row`.
    pub(super) fn write(&mut self, row: RowId) -> Option<Write> {
        self.next += self.every;
        let target = usize::try_from(self.roll() % (self.leaders.len().max(1) as u64)).unwrap_or_default();
        let (partition, leader) = self.leaders.iter().nth(target)?;
        Some(Write { partition: *partition, leader: leader.clone(), row })
    }

    /// What became of the last row.
    pub(super) fn answered(&mut self, acknowledged: bool) {
        if acknowledged {
            self.acknowledged += 1;
        } else {
            self.refused += 1;
        }
    }

    /// SplitMix64.
    fn roll(&mut self) -> u64 {
        self.dice = self.dice.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.dice;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

/// Whether a database is the servers' own.
pub(super) fn is_system(db: &str) -> bool {
    matches!(db, "__INTERNAL_DB" | "INFORMATION_SCHEMA")
}
