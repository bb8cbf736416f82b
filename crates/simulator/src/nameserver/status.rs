//! Polling tablets for what they hold (docs/openmldb/nameserver.md#where-its-numbers-come-from): the numbers ShowTable
//! shows.

use super::metadata::Table;
use super::{Leading, PartitionKey};
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

/// One tablet's report, by partition, read from front to back.
#[derive(Debug)]
struct Report {
    endpoint: String,
    held: Vec<(PartitionKey, Counts)>,
    next: usize,
}

impl Leading<'_> {
    /// One pass of GetTableStatus. It changes nothing if no tablet reports any table.
    pub(super) fn update_table_status(&mut self) {
        let healthy: Vec<_> = self.memory.members.healthy().map(str::to_owned).collect();
        let mut reports = Vec::with_capacity(healthy.len());
        for endpoint in healthy {
            let Ok(held) = self.tablets.counts(&endpoint) else { continue };
            reports.push(Report { endpoint, held, next: 0 });
        }
        if reports.iter().all(|report| report.held.is_empty()) {
            return;
        }
        for (tid, table) in self.zk.tables.all_mut() {
            let in_memory = table.head.storage_mode() == StorageMode::KMemory;
            for pid in 0..u32::try_from(table.len()).unwrap_or(0) {
                let partition = PartitionKey { tid, pid };
                let report = |endpoint: &str| {
                    let report = reports.iter_mut().find(|report| report.endpoint == endpoint)?;
                    report.take(partition).map(|reported| counted(reported, in_memory))
                };
                update_partition(table, pid, report);
            }
        }
    }
}

impl Report {
    /// What was reported of a partition; asked for in the order of partitions.
    fn take(&mut self, partition: PartitionKey) -> Option<Counts> {
        while let Some((held, reported)) = self.held.get(self.next) {
            match held.cmp(&partition) {
                std::cmp::Ordering::Less => self.next += 1,
                std::cmp::Ordering::Equal => return Some(*reported),
                std::cmp::Ordering::Greater => break,
            }
        }
        None
    }
}

/// As a table of that kind is counted.
fn counted(counts: Counts, in_memory: bool) -> Stats {
    let Counts { offset, record_cnt, record_byte_size, diskused, first_index } = counts;
    let record_cnt = first_index.filter(|_| in_memory).unwrap_or(record_cnt);
    Stats { offset, record_cnt, record_byte_size, diskused }
}

/// Caches what was reported of a partition's replicas. One that nobody reported keeps its old numbers.
fn update_partition(table: &mut Table, pid: u32, report: impl FnMut(&str) -> Option<Stats>) {
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
