//! Polling tablets: what became of tasks (reference 3.5), and what tables they hold (reference 3.8).

use std::collections::{BTreeMap, HashMap};

use super::metadata::Table;
use super::{Leading, PartitionKey};
use crate::wire::api::{GetTableStatusRequest, TableStatus, TaskInfo, TaskStatus, TaskStatusRequest};
use crate::wire::call::{TabletAnswer, TabletCall};
use crate::wire::common::StorageMode;
use crate::wire::nameserver::{PartitionMeta, TablePartition};

/// Answers that may leave out a task before it is given up (reference 3.5).
const ANSWERS_BEFORE_GIVING_UP: u32 = 5;

/// Why tablets are asked for their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// It is time.
    Regular,
    /// This nameserver just became leader: a task its tablet does not report fails at once.
    TakingOver,
}

/// A replica's cached numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Stats {
    offset: u64,
    record_cnt: u64,
    record_byte_size: u64,
    diskused: u64,
}

impl Leading<'_> {
    /// One round of GetTaskStatus. A task sent because of one answer may cut the round short: what other tablets had to
    /// report is then seen a round later.
    pub(super) fn poll_tasks(&mut self, round: Round) {
        self.fail_tasks_of_lost_tablets();
        if !self.memory.lanes.is_idle() {
            let healthy: Vec<_> = self.memory.members.healthy().map(str::to_owned).collect();
            for endpoint in healthy {
                let asked = self.tablets.call(&endpoint, TabletCall::GetTaskStatus(TaskStatusRequest {}));
                let Ok(TabletAnswer::GetTaskStatus(answer)) = asked else { continue };
                let sends_more = self.take_task_answer(&endpoint, &answer.task, round);
                if sends_more && self.rng.below(3) < self.settings.rounds_cut_short_of_three {
                    break;
                }
            }
        }
        self.run_lanes();
    }

    fn fail_tasks_of_lost_tablets(&mut self) {
        let timeout = self.settings.tablet_heartbeat_timeout_ms;
        let lost: Vec<_> = self
            .memory
            .members
            .offline()
            .filter(|(_, since)| self.now >= since + timeout)
            .map(|(endpoint, _)| endpoint.to_owned())
            .collect();
        for op in self.memory.lanes.heads_mut() {
            if let Some(task) = op.tasks.front_mut()
                && task.state == TaskStatus::KDoing
                && task.work.tablet().is_some_and(|tablet| lost.iter().any(|endpoint| endpoint == tablet))
            {
                task.state = TaskStatus::KFailed;
            }
        }
    }

    /// Takes in one tablet's answer. True if a task that it ended is followed by another for a tablet.
    fn take_task_answer(&mut self, endpoint: &str, reported: &[TaskInfo], round: Round) -> bool {
        let mut sends_more = false;
        for op in self.memory.lanes.heads_mut() {
            let id = op.record.id;
            let Some(task) = op.tasks.front_mut() else { continue };
            if task.state != TaskStatus::KDoing || task.work.tablet().is_none() {
                continue;
            }
            task.answers += 1;
            if task.work.tablet() != Some(endpoint) {
                continue;
            }
            let kind = i32::from(task.work.kind());
            let report = reported.iter().find(|info| info.op_id == id && info.task_type == kind);
            match report.map(TaskInfo::status) {
                Some(TaskStatus::KInited | TaskStatus::KDoing) => {}
                Some(end) if !task.lost => {
                    task.state = end;
                    let next = op.tasks.get(1).and_then(|next| next.work.tablet());
                    sends_more |= end == TaskStatus::KDone && next.is_some();
                }
                _ if round == Round::TakingOver || task.answers > ANSWERS_BEFORE_GIVING_UP => {
                    task.state = TaskStatus::KFailed;
                }
                _ => {}
            }
        }
        sends_more
    }

    /// One pass of GetTableStatus. It changes nothing if no tablet reports any table.
    pub(super) fn update_table_status(&mut self) {
        let healthy: Vec<_> = self.memory.members.healthy().map(str::to_owned).collect();
        let mut reports: BTreeMap<String, HashMap<PartitionKey, TableStatus>> = BTreeMap::new();
        for endpoint in healthy {
            let asked = self.tablets.call(&endpoint, TabletCall::GetTableStatus(GetTableStatusRequest::default()));
            let Ok(TabletAnswer::GetTableStatus(answer)) = asked else { continue };
            let key = |status: &TableStatus| PartitionKey { tid: status.tid(), pid: status.pid() };
            let held = answer.all_table_status.into_iter().map(|status| (key(&status), status)).collect();
            reports.insert(endpoint, held);
        }
        if reports.values().all(HashMap::is_empty) {
            return;
        }
        for (tid, table) in self.zk.tables.all_mut() {
            let in_memory = table.head.storage_mode() == StorageMode::KMemory;
            for pid in 0..u32::try_from(table.len()).unwrap_or(0) {
                let report = |endpoint: &str| {
                    let status = reports.get(endpoint)?.get(&PartitionKey { tid, pid })?;
                    Some(stats(status, in_memory))
                };
                update_partition(table, pid, report);
            }
        }
    }
}

/// Caches what was reported of a partition's replicas. One that nobody reported keeps its old numbers.
fn update_partition(table: &mut Table, pid: u32, report: impl Fn(&str) -> Option<Stats>) {
    let Some(partition) = table.partition(pid) else { return };
    let news: Vec<_> = partition.partition_meta.iter().map(|meta| report(&meta.endpoint)).collect();
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

/// A memory table's rows are counted in its first index.
fn stats(status: &TableStatus, in_memory: bool) -> Stats {
    let record_cnt = match status.ts_idx_status.first() {
        Some(index) if in_memory => index.seg_cnts.iter().sum(),
        _ => status.record_cnt(),
    };
    Stats {
        offset: status.offset(),
        record_cnt,
        record_byte_size: status.record_byte_size() + status.record_idx_byte_size(),
        diskused: status.diskused(),
    }
}
