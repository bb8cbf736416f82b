//! Polling tablets for what they hold (docs/openmldb/nameserver.md#where-its-numbers-come-from): the numbers ShowTable
//! shows.

use super::metadata::Table;
use super::{CountsSince, Leading, Memory, PartitionKey};
use crate::tablet::Counts;
use openmldb_wire::common::StorageMode;
use openmldb_wire::nameserver::{PartitionMeta, TablePartition};

/// A replica's numbers as its table counts them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stats {
    offset: u64,
    record_cnt: u64,
    record_byte_size: u64,
    diskused: u64,
}

impl Leading<'_> {
    /// One pass of GetTableStatus. It changes nothing if no tablet reports any table. What is reported as it was, in tables that
    /// nobody has touched, would be noted as it is.
    pub(super) fn update_table_status(&mut self) {
        let Memory { members, reports, .. } = &mut *self.memory;
        reports.keep(|endpoint| members.is_healthy(endpoint));
        for endpoint in members.healthy() {
            match self.tablets.counts_since(endpoint, reports.changes(endpoint)) {
                Ok(CountsSince::Same) => {}
                Ok(CountsSince::Now { held, changes }) => reports.note(endpoint, held, changes),
                Err(_) => reports.forget(endpoint),
            }
        }
        if reports.are_empty() {
            return;
        }
        let mut touched = self.zk.tables.take_touched();
        if reports.begin() {
            touched.extend(self.zk.tables.by_tid().map(|(tid, _)| tid));
        }
        let mut due = reports.take_news();
        for tid in touched {
            let pids = self.zk.tables.get(tid).map_or(0, |table| u32::try_from(table.len()).unwrap_or(0));
            due.extend((0..pids).map(|pid| PartitionKey { tid, pid }));
        }
        for partition in due {
            let Some(table) = self.zk.tables.get_to_note(partition.tid) else { continue };
            let in_memory = table.head.storage_mode() == StorageMode::KMemory;
            let reports = &self.memory.reports;
            update_partition(table, partition.pid, |endpoint| {
                Some(counted(reports.of(endpoint, partition)?, in_memory))
            });
        }
    }
}

/// As a table of that kind is counted.
fn counted(counts: Counts, in_memory: bool) -> Stats {
    let Counts { offset, record_cnt, record_byte_size, diskused, first_index } = counts;
    let record_cnt = first_index.filter(|_| in_memory).unwrap_or(record_cnt);
    Stats { offset, record_cnt, record_byte_size, diskused }
}

/// Caches what was reported of a partition's replicas. One that nobody reported keeps its old numbers.
fn update_partition(table: &mut Table, pid: u32, report: impl Fn(&str) -> Option<Stats>) {
    let Some(partition) = table.partition(pid) else { return };
    let news: Vec<_> = partition.partition_meta.iter().map(|meta| meta.endpoint.as_str()).map(report).collect();
    if partition.partition_meta.iter().zip(&news).all(|(meta, news)| is_known(partition, meta, *news)) {
        return;
    }
    table.change(pid, |partition| {
        for (meta, news) in partition.partition_meta.iter_mut().zip(news) {
            meta.tablet_has_partition = Some(news.is_some());
            let Some(news) = news else { continue };
            meta.offset = Some(news.offset);
            meta.record_cnt = Some(news.record_cnt);
            meta.record_byte_size = Some(news.record_byte_size);
            meta.diskused = Some(news.diskused);
            if meta.is_leader && meta.is_alive() {
                partition.record_cnt = Some(news.record_cnt);
                partition.record_byte_size = Some(news.record_byte_size);
                partition.diskused = Some(news.diskused);
            }
        }
    });
}

fn is_known(partition: &TablePartition, meta: &PartitionMeta, news: Option<Stats>) -> bool {
    let Some(news) = news else { return meta.tablet_has_partition == Some(false) };
    let leads = meta.is_leader && meta.is_alive();
    meta.tablet_has_partition == Some(true)
        && meta.offset == Some(news.offset)
        && (meta.record_cnt, meta.record_byte_size, meta.diskused)
            == (Some(news.record_cnt), Some(news.record_byte_size), Some(news.diskused))
        && (!leads
            || (partition.record_cnt, partition.record_byte_size, partition.diskused)
                == (Some(news.record_cnt), Some(news.record_byte_size), Some(news.diskused)))
}
