//! Tasks a nameserver does by itself: they change metadata, or look at it.

use super::Leading;
use super::engine::{Job, Outcome};
use super::metadata::{leader_of, replica_at};
use super::timers::Event;
use openmldb_wire::api::{TaskStatus, TaskType};
use openmldb_wire::nameserver::{PartitionMeta, TablePartition};

impl Leading<'_> {
    /// Rewrites a table's node, and tells whoever watches.
    pub(super) fn write_table(&mut self, tid: u32) {
        let Some(table) = self.zk.tables.get_mut(tid) else { return };
        table.written();
        if table.name() == "GLOBAL_VARIABLES" {
            self.zk.global_notify += 1;
        }
        self.zk.table_notify += 1;
    }

    /// Sets both flags of a replica.
    pub(super) fn update_partition_status(
        &mut self,
        job: &Job,
        endpoint: &str,
        is_leader: bool,
        is_alive: bool,
    ) -> Outcome {
        self.change_partition(job, |partition| {
            let meta = partition.partition_meta.iter_mut().find(|meta| meta.endpoint == endpoint)?;
            meta.is_leader = is_leader;
            meta.is_alive = Some(is_alive);
            Some(())
        })
    }

    /// A new replica: follower, not alive.
    pub(super) fn add_table_info(&mut self, job: &Job, endpoint: &str) -> Outcome {
        self.change_partition(job, |partition| {
            partition.partition_meta.push(PartitionMeta {
                endpoint: endpoint.to_owned(),
                is_leader: false,
                is_alive: Some(false),
                ..PartitionMeta::default()
            });
            Some(())
        })
    }

    /// A replica is forgotten.
    pub(super) fn del_table_info(&mut self, job: &Job, endpoint: &str) -> Outcome {
        self.change_partition(job, |partition| {
            let before = partition.partition_meta.len();
            partition.partition_meta.retain(|meta| meta.endpoint != endpoint);
            (partition.partition_meta.len() < before).then_some(())
        })
    }

    /// A migrated replica: the old place is forgotten, the new one alive.
    pub(super) fn update_table_info(&mut self, job: &Job, src: &str, des: &str) -> Outcome {
        self.change_partition(job, |partition| {
            let moved = partition.partition_meta.iter_mut().find(|meta| meta.endpoint == des)?;
            moved.is_alive = Some(true);
            partition.partition_meta.retain(|meta| meta.endpoint != src);
            Some(())
        })
    }

    fn change_partition(&mut self, job: &Job, change: impl FnOnce(&mut TablePartition) -> Option<()>) -> Outcome {
        let Some(table) = self.zk.tables.get_mut(job.partition.tid) else { return Outcome::Failed };
        match table.change(job.partition.pid, change) {
            Some(Some(())) => {
                self.write_table(job.partition.tid);
                Outcome::Done
            }
            _ => Outcome::Failed,
        }
    }

    /// Done once the follower is close enough by cached offsets; looks again as often as those are polled.
    pub(super) fn check_binlog(&mut self, job: &Job, follower: &str, delta: u64) -> Outcome {
        let Some(partition) =
            self.zk.tables.get(job.partition.tid).and_then(|table| table.partition(job.partition.pid))
        else {
            return Outcome::Failed;
        };
        if is_caught_up(partition, follower, delta) {
            return Outcome::Done;
        }
        let event = Event::CheckBinlog { reign: self.memory.reign, op: job.op };
        self.timers.set(self.now + self.settings.get_table_status_interval_ms, event);
        Outcome::Waiting
    }

    /// The time has come to look again.
    pub(super) fn recheck_binlog(&mut self, op_id: u64) {
        let waiting =
            self.memory.lanes.heads_mut().find(|op| op.record.id == op_id).and_then(|op| op.tasks.front_mut());
        if let Some(task) = waiting
            && task.state == TaskStatus::KDoing
            && task.work.kind() == TaskType::KCheckBinlogSyncProgress
        {
            task.state = TaskStatus::KInited;
            self.run_lanes();
        }
    }
}

/// Whether a follower counts as caught up. It does whenever there is nothing to compare: a single replica, a replica whose
/// tablet does not have the partition, no alive leader, no offset of it
/// (docs/openmldb/operations.md#alive-before-it-has-caught-up).
fn is_caught_up(partition: &TablePartition, follower: &str, delta: u64) -> bool {
    let metas = &partition.partition_meta;
    if metas.len() == 1 || metas.iter().any(|meta| !meta.tablet_has_partition()) {
        return true;
    }
    let leader_offset = leader_of(partition).map_or(0, PartitionMeta::offset);
    let follower_offset = replica_at(partition, follower).map_or(0, PartitionMeta::offset);
    leader_offset <= follower_offset.saturating_add(delta)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(offsets: &[(u64, bool)]) -> TablePartition {
        let meta = |(at, (offset, has)): (usize, &(u64, bool))| PartitionMeta {
            endpoint: format!("t{at}"),
            is_leader: at == 0,
            offset: Some(*offset),
            tablet_has_partition: Some(*has),
            ..PartitionMeta::default()
        };
        TablePartition { partition_meta: offsets.iter().enumerate().map(meta).collect(), ..TablePartition::default() }
    }

    #[test]
    fn a_follower_within_the_delta_is_caught_up() {
        let behind = partition(&[(300, true), (100, true)]);
        assert!(is_caught_up(&behind, "t1", 200));
        assert!(!is_caught_up(&behind, "t1", 199));
    }

    #[test]
    fn nothing_is_compared_while_any_replica_is_missing() {
        assert!(is_caught_up(&partition(&[(300, true), (0, true), (0, false)]), "t1", 0));
        assert!(!is_caught_up(&partition(&[(300, true), (0, true), (0, true)]), "t1", 0));
    }

    #[test]
    fn nothing_is_compared_without_an_alive_leader_or_its_offset() {
        let mut leaderless = partition(&[(300, true), (0, true)]);
        leaderless.partition_meta[0].is_alive = Some(false);
        assert!(is_caught_up(&leaderless, "t1", 0));

        let mut unknown = partition(&[(300, true), (0, true)]);
        unknown.partition_meta[0].offset = None;
        assert!(is_caught_up(&unknown, "t1", 0));
    }
}
