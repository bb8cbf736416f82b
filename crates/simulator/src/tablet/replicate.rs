//! Writing and replicating: Put, AppendEntries, and a leader's part in it
//! (docs/openmldb/logs-and-terms.md#how-a-leader-replicates).

use std::sync::Arc;

use super::entry::partition_id;
use super::expiry::rows_now;
use super::job::Due;
use super::load::id_of;
use super::refusal::{
    AGGREGATE_FAILED, FAIL_TO_APPEND, IS_FOLLOWER_CLUSTER, OK, Outcome, Refusal, TABLE_IS_FOLLOWER, TABLE_IS_LEADER,
    TABLE_IS_LOADING, code_and_msg,
};
use super::{Entry, Millis, RowId, Tablets};
use openmldb_model::{PartitionId, Role, Tid};
use openmldb_wire::api;

/// What a leader sends a follower.
struct Shipment {
    term: u64,
    /// The index before the first entry. 0 without entries asks for the follower's offset.
    pre: u64,
    entries: Vec<Entry>,
}

/// A leader's next move toward one follower.
enum Move {
    Send(Shipment),
    /// Everything is there, or the follower is longer, or what it needs is no longer in the log.
    Rest,
}

impl Tablets {
    pub(super) fn put(&mut self, at: usize, request: &api::PutRequest) -> api::PutResponse {
        let row = RowId::from_value(request.value());
        let (code, msg) = code_and_msg(self.try_write(at, id_of(request.tid, request.pid), row, None));
        api::PutResponse { code, msg }
    }

    /// A client's Delete of the oldest row that a replica has left; the entry's own number is `delete`. Whether it was taken.
    pub fn delete_oldest(&mut self, endpoint: &str, tid: u32, pid: u32, delete: RowId) -> bool {
        let id = partition_id(tid, pid);
        let Some(at) = self.reach(endpoint) else { return false };
        let Some(replica) = self.machines[at].replicas.get(&id) else { return false };
        let oldest = rows_now(&replica.rows, &replica.schema, self.now).first().map(|entry| entry.row);
        self.try_write(at, id, delete, Some(oldest.unwrap_or(delete))).is_ok()
    }

    fn try_write(&mut self, at: usize, id: PartitionId, row: RowId, deletes: Option<RowId>) -> Outcome {
        let now = self.now;
        if self.machines[at].follows {
            return Err(IS_FOLLOWER_CLUSTER);
        }
        let (replica, binlog) = self.machines[at].replica_and_binlog(id)?;
        if replica.role == Role::Follower {
            return Err(TABLE_IS_FOLLOWER);
        }
        if replica.is_loading() {
            return Err(TABLE_IS_LOADING);
        }
        let index = replica.offset + 1;
        replica.append(binlog, Entry { term: replica.term, index, row, deletes, at: now });
        self.plan_collection(at, id);
        self.wake_targets(at, id);
        let is_aggregated = deletes.is_some() || self.aggregate(at, id, index);
        if is_aggregated { OK } else { Err(AGGREGATE_FAILED) }
    }

    pub(super) fn append_entries(
        &mut self,
        at: usize,
        request: &api::AppendEntriesRequest,
    ) -> api::AppendEntriesResponse {
        let id = id_of(request.tid, request.pid);
        let entries = request
            .entries
            .iter()
            .map(|entry| Entry {
                at: self.now,
                ..Entry::put(entry.term(), entry.log_index(), RowId::from_value(entry.value()))
            })
            .collect();
        let shipment = Shipment { term: request.term(), pre: request.pre_log_index(), entries };
        match self.receive(at, id, &shipment) {
            Ok((offset, term)) => {
                let (code, msg) = code_and_msg(OK);
                api::AppendEntriesResponse { log_offset: Some(offset), code, msg, term: Some(term) }
            }
            Err(refusal) => {
                let (code, msg) = code_and_msg(Err(refusal));
                api::AppendEntriesResponse { code, msg, ..Default::default() }
            }
        }
    }

    /// A follower takes what its leader sends. Nobody checks that what it has before is the same. Returns its offset
    /// and term.
    fn receive(&mut self, at: usize, id: PartitionId, shipment: &Shipment) -> Result<(u64, u64), Refusal> {
        let follows = self.machines[at].follows;
        let (replica, binlog) = self.machines[at].replica_and_binlog(id)?;
        if replica.is_loading() {
            return Err(TABLE_IS_LOADING);
        }
        if replica.role == Role::Leader && !follows {
            return Err(TABLE_IS_LEADER);
        }
        if shipment.term < replica.term && !follows {
            return Err(FAIL_TO_APPEND);
        }
        replica.term = if follows { replica.term.max(shipment.term) } else { shipment.term };
        if shipment.pre > replica.offset && !follows {
            return Err(FAIL_TO_APPEND);
        }
        for entry in &shipment.entries {
            if entry.index > replica.offset {
                replica.append(binlog, *entry);
            }
        }
        let heard = (replica.offset, replica.term);
        self.plan_collection(at, id);
        Ok(heard)
    }

    /// Starts a leader's threads toward its followers, or wakes them where they run.
    pub(super) fn start_syncing(&mut self, at: usize, id: PartitionId) {
        self.wake(at, id, |_| true);
    }

    /// New entries are there: followers that are up to date are sent them. The others are on their way anyhow.
    pub(super) fn wake_targets(&mut self, at: usize, id: PartitionId) {
        self.wake(at, id, |is_matched| is_matched);
    }

    fn wake(&mut self, at: usize, id: PartitionId, which: impl Fn(bool) -> bool) {
        let Some(replica) = self.machines[at].replicas.get_mut(&id).filter(|replica| replica.role == Role::Leader)
        else {
            return;
        };
        let mut due = Vec::new();
        for target in replica.targets.iter_mut().filter(|target| !target.is_due && which(target.is_matched)) {
            target.is_due = true;
            due.push(target.id);
        }
        for target in due {
            self.plan(at, self.settings.sync_interval_ms, Due::Sync { partition: id, target });
        }
    }

    /// A leader's turn with one follower: they agree on an offset, then the leader sends what is behind it. Whatever
    /// goes wrong, it tries again after the interval, for ever.
    pub(super) fn sync(&mut self, at: usize, id: PartitionId, target_id: u64) {
        let Some((endpoint, there, is_matched)) = self.begin_turn(at, id, target_id) else { return };
        let to = self.reach(&endpoint);
        if !is_matched {
            let term = self.machines[at].replicas.get(&id).map_or(0, |replica| replica.term);
            let hello = Shipment { term, pre: 0, entries: Vec::new() };
            match to.map(|to| self.receive(to, there, &hello)) {
                Some(Ok((offset, _))) => self.note(at, id, target_id, Some(offset)),
                _ => return self.try_later(at, id, target_id),
            }
        }
        let Move::Send(shipment) = self.next_move(at, id, target_id) else { return };
        let last = shipment.entries.last().map(|entry| entry.index);
        match to.map(|to| self.receive(to, there, &shipment)) {
            Some(Ok(_)) => self.note(at, id, target_id, last),
            _ => return self.try_later(at, id, target_id),
        }
        if matches!(self.next_move(at, id, target_id), Move::Send(_)) {
            self.plan_turn(at, id, target_id, self.settings.sync_interval_ms);
        }
    }

    /// The follower, what it calls the partition, and whether it was agreed with; none if the leader or the follower is one no longer.
    fn begin_turn(&mut self, at: usize, id: PartitionId, target_id: u64) -> Option<(Arc<str>, PartitionId, bool)> {
        let target = self.machines[at].replicas.get_mut(&id)?.target_mut(target_id)?;
        target.is_due = false;
        let there = PartitionId { tid: target.remote_tid.map_or(id.tid, Tid), ..id };
        Some((target.endpoint.clone(), there, target.is_matched))
    }

    fn next_move(&self, at: usize, id: PartitionId, target_id: u64) -> Move {
        let machine = &self.machines[at];
        let Some(replica) = machine.replicas.get(&id) else { return Move::Rest };
        let Some(target) = replica.targets.iter().find(|target| target.id == target_id) else { return Move::Rest };
        let pre = target.synced;
        let binlog = machine.disk.directory(replica.storage(), id).and_then(|directory| directory.binlog.as_deref());
        let Some(binlog) = binlog.filter(|_| pre < replica.offset) else { return Move::Rest };
        let first = binlog.partition_point(|entry| entry.index <= pre);
        let entries: Vec<Entry> = binlog[first..]
            .iter()
            .zip(pre + 1..=replica.offset)
            .take_while(|(entry, index)| entry.index == *index)
            .take(self.settings.sync_batch.max(1))
            .map(|(entry, _)| *entry)
            .collect();
        if entries.is_empty() { Move::Rest } else { Move::Send(Shipment { term: replica.term, pre, entries }) }
    }

    /// Contact was made; the follower is known to be at `offset`.
    fn note(&mut self, at: usize, id: PartitionId, target_id: u64, offset: Option<u64>) {
        let target = self.machines[at].replicas.get_mut(&id).and_then(|replica| replica.target_mut(target_id));
        if let Some(target) = target {
            target.is_matched = true;
            target.synced = offset.unwrap_or(target.synced);
        }
    }

    fn try_later(&mut self, at: usize, id: PartitionId, target_id: u64) {
        let target = self.machines[at].replicas.get_mut(&id).and_then(|replica| replica.target_mut(target_id));
        if let Some(target) = target {
            // A leader asks once how far a replica of another cluster is
            // (docs/openmldb/remote-clusters.md#where-the-other-clusters-log-lost-its-end).
            target.is_matched &= target.remote_tid.is_some();
        }
        self.plan_turn(at, id, target_id, self.settings.match_offset_interval_ms);
    }

    fn plan_turn(&mut self, at: usize, id: PartitionId, target_id: u64, in_millis: Millis) {
        let target = self.machines[at].replicas.get_mut(&id).and_then(|replica| replica.target_mut(target_id));
        if let Some(target) = target.filter(|target| !target.is_due) {
            target.is_due = true;
            self.plan(at, in_millis, Due::Sync { partition: id, target: target_id });
        }
    }
}
