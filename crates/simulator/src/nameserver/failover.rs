//! What a nameserver does about tablets that go and come back (docs/openmldb/auto-failover.md#when-a-tablet-goes), and
//! what OfflineEndpoint and RecoverEndpoint do on request. Ops are only queued here: OpenMLDB's threads queue all of them
//! before the lanes get far.

use super::Leading;
use super::change_leader::Candidate;
use super::engine::NewOp;
use super::metadata::{leader_of, replica_at};
use super::op::{EndpointStatusData, OpData};
use super::recover_table::OFFLINE_LEADER_ENDPOINT;
use super::timers::Event;
use openmldb_wire::api::OpType;

/// Why a tablet's absence is dealt with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Absence {
    /// It has been away for the heartbeat timeout.
    Lasting,
    /// It is back, but as a new process that holds nothing.
    Restarted,
}

/// A partition with a replica on the tablet in question, as it was when the walk began.
struct Hosted {
    db: String,
    name: String,
    pid: u32,
}

impl Leading<'_> {
    /// Has the absence of a tablet looked at when the heartbeat timeout is over. OpenMLDB looks every
    /// tablet_offline_check_interval, so the first look that finds it over is a multiple of that.
    pub(super) fn watch_absence(&mut self, endpoint: &str, since: u64) {
        let interval = self.settings.tablet_offline_check_interval_ms.max(1);
        let elapsed = self.now.saturating_sub(since);
        let left = self.settings.tablet_heartbeat_timeout_ms.saturating_sub(elapsed);
        let event = Event::TabletOffline { reign: self.memory.reign, endpoint: endpoint.to_owned(), since };
        self.timers.set(self.now + left.div_ceil(interval) * interval, event);
    }

    /// A tablet is gone: with auto_failover on, its replicas are no longer alive (but for a last one), and each of its
    /// partitions gets an op.
    pub(super) fn on_tablet_offline(&mut self, endpoint: &str, absence: Absence) {
        if absence == Absence::Lasting && self.memory.members.is_healthy(endpoint) {
            return;
        }
        if !self.zk.auto_failover || self.zk.tables.is_empty() {
            return;
        }
        self.clear_alive_flags(endpoint);
        self.offline_endpoint(endpoint, self.settings.task_concurrency);
    }

    /// A tablet that had been away is back.
    pub(super) fn on_tablet_online(&mut self, endpoint: &str) {
        if !self.zk.auto_failover {
            self.memory.members.forget_offline(endpoint);
            return;
        }
        let Some(since) = self.memory.members.went_offline(endpoint) else { return };
        let Some(restarted) = self.zk.nodes.get(endpoint).copied() else { return };
        if restarted {
            self.on_tablet_offline(endpoint, Absence::Restarted);
        } else if self.now.saturating_sub(since) < self.settings.tablet_heartbeat_timeout_ms {
            self.memory.members.forget_offline(endpoint);
            return;
        }
        self.recover_endpoint(endpoint, false, self.settings.task_concurrency);
        self.memory.members.forget_offline(endpoint);
    }

    /// UpdateEndpointTableAlive: no replica of the tablet is alive any more, except the last alive one of a partition.
    fn clear_alive_flags(&mut self, endpoint: &str) {
        for hosted in self.hosted_by(endpoint) {
            let Some(table) = self.zk.tables.find_mut(&hosted.db, &hosted.name) else { continue };
            let Some(partition) = table.partition(hosted.pid) else { continue };
            if partition.partition_meta.iter().filter(|meta| meta.is_alive()).count() == 1 {
                continue;
            }
            table.change(hosted.pid, |partition| {
                for meta in partition.partition_meta.iter_mut().filter(|meta| meta.endpoint == endpoint) {
                    meta.is_alive = Some(false);
                }
            });
            let Some(tid) = table.head.tid else { continue };
            self.write_table(tid);
        }
    }

    /// OfflineEndpointInternal: an op for each partition of the tablet. Flags are not cleared here.
    pub(super) fn offline_endpoint(&mut self, endpoint: &str, concurrency: u32) {
        for hosted in self.hosted_by(endpoint) {
            let Some(partition) = self.zk.tables.partition(&hosted.db, &hosted.name, hosted.pid) else { continue };
            let single = partition.partition_meta.len() == 1;
            let flagged = replica_at(partition, endpoint).is_some_and(|meta| meta.is_leader);
            let leader = leader_of(partition).map(|meta| meta.endpoint.clone());
            if single {
                let data = EndpointStatusData {
                    endpoint: Some(endpoint.to_owned()),
                    is_leader: Some(true),
                    is_alive: Some(false),
                };
                self.create_op(hosted.op(OpType::KUpdatePartitionStatusOp, OpData::Status(data), concurrency));
                continue;
            }
            match leader {
                Some(leader) if leader != endpoint && flagged => {}
                Some(leader) if leader != endpoint => {
                    let data = OpData::Endpoint(endpoint.to_owned());
                    self.create_op(hosted.op(OpType::KOfflineReplicaOp, data, concurrency));
                }
                _ => {
                    // Nobody hears of it if there is no follower to choose.
                    let _ = self.create_change_leader_op(hosted.place(), Candidate::Longest, concurrency);
                }
            }
        }
    }

    /// RecoverEndpointInternal: a kRecoverTableOP for each replica of the tablet that is not alive.
    pub(super) fn recover_endpoint(&mut self, endpoint: &str, need_restore: bool, concurrency: u32) {
        let delta = if need_restore { 0 } else { self.settings.binlog_sync_delta };
        for hosted in self.hosted_by(endpoint) {
            let Some(partition) = self.zk.tables.partition(&hosted.db, &hosted.name, hosted.pid) else { continue };
            let Some(meta) = replica_at(partition, endpoint) else { continue };
            let multi = partition.partition_meta.len() > 1;
            let is_leader = meta.is_leader;
            if multi && meta.is_alive() {
                continue;
            }
            self.create_recover_table_op(hosted.place(), endpoint, is_leader, delta, concurrency);
            if need_restore && is_leader {
                let _ = self.create_change_leader_op(hosted.place(), Candidate::Restored(endpoint), concurrency);
                self.create_recover_table_op(hosted.place(), OFFLINE_LEADER_ENDPOINT, true, delta, concurrency);
            }
        }
    }

    /// The partitions with a replica on a tablet, in the order of database, table and pid.
    fn hosted_by(&self, endpoint: &str) -> Vec<Hosted> {
        let mut hosted = Vec::new();
        for table in self.zk.tables.in_order() {
            let pids = table.partitions().filter(|partition| replica_at(partition, endpoint).is_some());
            hosted.extend(pids.map(|partition| Hosted {
                db: table.db().to_owned(),
                name: table.name().to_owned(),
                pid: partition.pid,
            }));
        }
        hosted
    }
}

impl Hosted {
    fn place(&self) -> (&str, &str, u32) {
        (&self.db, &self.name, self.pid)
    }

    fn op(&self, kind: OpType, data: OpData, concurrency: u32) -> NewOp {
        let (db, name, pid) = (self.db.clone(), self.name.clone(), self.pid);
        NewOp { kind, data, db, name, pid, concurrency, parent: None }
    }
}
