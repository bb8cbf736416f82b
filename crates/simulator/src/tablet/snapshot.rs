//! Making, pausing and sending snapshots (docs/openmldb/tablet.md#snapshots).

use std::sync::Arc;

use super::disk::{ManifestFile, Snapshot};
use super::entry::{partition_id, signed_partition_id};
use super::expiry::rows_now;
use super::job::{Job, Work};
use super::machine::Machine;
use super::refusal::{
    NOT_NORMAL, NOT_PAUSED, OK, Outcome, Refusal, SNAPSHOT_DOES_NOT_EXIST, SNAPSHOT_IS_SENDING, TABLE_DOES_NOT_EXIST,
    TABLE_IS_FOLLOWER, general,
};
use super::replica::Replica;
use super::stamp::stamp;
use super::task::TaskKey;
use super::{Entry, Millis, Tablets};
use openmldb_model::{PartitionId, Role, State, StorageMode};
use openmldb_wire::api::{self, TaskType};

impl Tablets {
    pub(super) fn make_snapshot(&mut self, at: usize, request: api::GeneralRequest) -> api::GeneralResponse {
        let (id, end) = (signed_partition_id(request.tid, request.pid), request.offset());
        let machine = &mut self.machines[at];
        let task = match machine.tasks.begin(request.task_info, TaskType::KMakeSnapshot) {
            Ok(task) => task,
            Err(refusal) => return general(Err(refusal)),
        };
        let outcome = match machine.replicas.get(&id) {
            None => Err(SNAPSHOT_DOES_NOT_EXIST),
            Some(replica) if replica.state != State::Normal => Err(NOT_NORMAL),
            Some(replica) => {
                let work = Work::Snapshot { generation: replica.generation, end };
                machine.snapshot_pool.add(Job { partition: id, task, work });
                OK
            }
        };
        if outcome.is_err() {
            machine.tasks.end(task, false);
        }
        self.run_pools(at);
        general(outcome)
    }

    /// A snapshot job begins. One that is not worth it takes no time, and its task is done
    /// (docs/openmldb/tablet.md#snapshots).
    pub(super) fn start_snapshot(&mut self, at: usize, id: PartitionId, generation: u64, end: u64) -> Millis {
        let settings = &self.settings;
        let machine = &mut self.machines[at];
        let Some(replica) = machine.same_replica(id, generation) else { return 0 };
        if replica.state != State::Normal {
            return 0;
        }
        let (offset, storage, entries) = (replica.offset, replica.storage(), replica.rows.len() as u64);
        let manifest = machine.disk.directory(storage, id).and_then(|directory| directory.manifest());
        let folded = manifest.map_or(0, |manifest| manifest.offset);
        if end == 0 && offset < folded + settings.make_snapshot_threshold_offset {
            return 0;
        }
        machine.snapshot_began = self.now;
        if let Some(replica) = machine.same_replica(id, generation) {
            replica.state = State::MakingSnapshot;
        }
        settings.snapshot_fixed_ms + settings.snapshot_ns_per_entry * entries / 1_000_000
    }

    pub(super) fn finish_snapshot(
        &mut self,
        at: usize,
        id: PartitionId,
        generation: u64,
        end: u64,
        task: Option<TaskKey>,
    ) {
        let now = self.now;
        let machine = &mut self.machines[at];
        let done = match machine.same_replica(id, generation).map(|replica| replica.state) {
            Some(State::MakingSnapshot) => write_snapshot(machine, id, end, (machine.snapshot_began, now)),
            Some(State::Normal) => true,
            _ => false,
        };
        if let Some(replica) =
            machine.same_replica(id, generation).filter(|replica| replica.state == State::MakingSnapshot)
        {
            replica.state = State::Normal;
        }
        machine.tasks.end(task, done);
    }

    /// Makes a snapshot of a loaded replica on the spot, up to its offset, as the nightly job would over time. Says
    /// whether there is one now.
    pub fn make_snapshot_now(&mut self, endpoint: &str, tid: u32, pid: u32) -> bool {
        let (id, now) = (partition_id(tid, pid), self.now);
        let Some(machine) = self.machine_mut(endpoint) else { return false };
        let is_normal = machine.replicas.get(&id).is_some_and(|replica| replica.state == State::Normal);
        is_normal && write_snapshot(machine, id, 0, (now, now))
    }

    /// Has a tablet begin a snapshot of a loaded replica, up to its offset, as the nightly job does. Says whether it makes one now.
    pub fn begin_snapshot(&mut self, endpoint: &str, id: PartitionId) -> bool {
        let Some(at) = self.resolve(endpoint) else { return false };
        let offset = self.machines[at].replicas.get(&id).map(|replica| replica.offset);
        let (tid, pid) = (id.tid.0.cast_signed(), id.pid.0.cast_signed());
        self.make_snapshot(at, api::GeneralRequest { tid, pid, offset, ..api::GeneralRequest::default() });
        self.machines[at].replicas.get(&id).is_some_and(|replica| replica.state == State::MakingSnapshot)
    }

    pub(super) fn pause_snapshot(&mut self, at: usize, request: api::GeneralRequest) -> api::GeneralResponse {
        self.change_state(at, request, TaskType::KPauseSnapshot, |replica| match replica.state {
            State::Normal | State::SnapshotPaused => {
                replica.state = State::SnapshotPaused;
                OK
            }
            State::Queued | State::Loading | State::MakingSnapshot => Err(NOT_NORMAL),
        })
    }

    pub(super) fn recover_snapshot(&mut self, at: usize, request: api::GeneralRequest) -> api::GeneralResponse {
        self.change_state(at, request, TaskType::KRecoverSnapshot, |replica| match replica.state {
            State::Normal | State::SnapshotPaused => {
                replica.state = State::Normal;
                OK
            }
            State::Queued | State::Loading | State::MakingSnapshot => Err(NOT_PAUSED),
        })
    }

    fn change_state(
        &mut self,
        at: usize,
        request: api::GeneralRequest,
        task_type: TaskType,
        change: impl Fn(&mut Replica) -> Outcome,
    ) -> api::GeneralResponse {
        let machine = &mut self.machines[at];
        let task = match machine.tasks.begin(request.task_info, task_type) {
            Ok(task) => task,
            Err(refusal) => return general(Err(refusal)),
        };
        let outcome = machine.replica_mut(signed_partition_id(request.tid, request.pid)).and_then(change);
        machine.tasks.end(task, outcome.is_ok());
        general(outcome)
    }

    pub(super) fn send_snapshot(&mut self, at: usize, request: api::SendSnapshotRequest) -> api::GeneralResponse {
        let id = partition_id(request.tid, request.pid);
        let machine = &mut self.machines[at];
        let task = match machine.tasks.begin(request.task_info, TaskType::KSendSnapshot) {
            Ok(task) => task,
            Err(refusal) => return general(Err(refusal)),
        };
        let outcome = accept_send(machine, id, &request.endpoint).map(|generation| {
            machine.sending.push((id, request.endpoint.clone()));
            machine.pool.add(Job { partition: id, task, work: Work::Send { generation, to: request.endpoint } });
            "ok"
        });
        if outcome.is_err() {
            machine.tasks.end(task, false);
        }
        self.run_pools(at);
        general(outcome)
    }

    pub(super) fn sending_takes(&self, at: usize, id: PartitionId) -> Millis {
        let directory = self.machines[at].disk.find(id).map(|(_, directory)| directory);
        let rows = directory.and_then(|directory| directory.snapshot_rows()).map_or(0, |rows| rows.len() as u64);
        self.settings.send_fixed_ms + self.settings.send_ns_per_entry * rows / 1_000_000
    }

    /// The last file arrives, or nothing does: MANIFEST is sent last, so half a sending changes nothing that a load
    /// would notice.
    pub(super) fn finish_send(&mut self, at: usize, id: PartitionId, generation: u64, to: &str, task: Option<TaskKey>) {
        let done = self.deliver(at, id, generation, to).is_some();
        let machine = &mut self.machines[at];
        machine.sending.retain(|(sent, endpoint)| (*sent, endpoint.as_str()) != (id, to));
        machine.tasks.end(task, done);
    }

    /// Copies table_meta.txt and the snapshot. Without a MANIFEST only table_meta.txt goes over, and a snapshot that the
    /// receiver has of its own stays. None if it did not work: a tablet that has the table loaded takes nothing (101).
    fn deliver(&mut self, at: usize, id: PartitionId, generation: u64, to: &str) -> Option<()> {
        let to = self.reach(to)?;
        let sender = &mut self.machines[at];
        let storage = sender.same_replica(id, generation)?.storage();
        let directory = sender.disk.directory(storage, id)?;
        let (meta, snapshot) = (directory.meta.clone()?, directory.snapshot.clone());
        let receiver = &mut self.machines[to];
        if receiver.replicas.contains_key(&id) {
            return None;
        }
        let target = receiver.disk.make_directory(storage, id);
        target.meta = Some(meta);
        if let Some(snapshot) = snapshot {
            snapshot.manifest.as_ref()?;
            snapshot.rows.as_ref()?;
            target.snapshot = Some(snapshot);
        }
        Some(())
    }
}

fn accept_send(machine: &Machine, id: PartitionId, to: &str) -> Result<u64, Refusal> {
    let replica = machine.replicas.get(&id).ok_or(TABLE_DOES_NOT_EXIST)?;
    if replica.role == Role::Follower {
        return Err(TABLE_IS_FOLLOWER);
    }
    if replica.state != State::SnapshotPaused {
        return Err(NOT_PAUSED);
    }
    if machine.sending.iter().any(|(sent, endpoint)| *sent == id && endpoint == to) {
        return Err(SNAPSHOT_IS_SENDING);
    }
    Ok(replica.generation)
}

/// Writes a snapshot up to `end` (0: to the end of the log), out of the snapshot before and the log behind it; a disk
/// table's is a copy of what is in the table, and has no end. Says whether it worked: not if the snapshot before is missing its file.
/// What was left under its name by one that was cut off comes first, and what is behind that is not read.
fn write_snapshot(machine: &mut Machine, id: PartitionId, end: u64, (began, now): (Millis, Millis)) -> bool {
    let Some(replica) = machine.replicas.get(&id) else { return false };
    let storage = replica.storage();
    let schema = replica.schema.clone();
    let (rows, offset, term): (Arc<[Entry]>, u64, u64) = if storage.is_disk() {
        if end > 0 {
            return false;
        }
        (replica.rows.as_slice().into(), replica.offset, replica.term)
    } else {
        let Some(directory) = machine.disk.directory(storage, id) else { return false };
        if directory.snapshot.is_some() && directory.snapshot_rows().is_none() {
            return false;
        }
        let (before, (kept, behind)) = (directory.manifest(), directory.to_fold(end));
        let Some(last) = behind.last() else { return true };
        // Deletes are passed over before an entry's term is taken (docs/openmldb/logs-and-terms.md#the-term-of-a-replicas-last-entry).
        let last_put = behind.iter().rev().find(|entry| entry.deletes.is_none()).map(|entry| entry.term);
        let term = last_put.or(before.map(|manifest| manifest.term)).unwrap_or(replica.term);
        ([kept, behind].concat().into(), last.index, term)
    };
    if offset == 0 {
        return true;
    }
    // A disk table's is what it estimates.
    let count = if storage.is_disk() { replica.record_cnt(now) } else { rows_now(&rows, &schema, now).len() as u64 };
    let name = stamp(began, 12) + if storage.is_disk() { "" } else { ".sdb" };
    let directory = machine.disk.make_directory(storage, id);
    let left = directory.cut_off.take_if(|(of, _)| *of == name);
    let rows = left.map_or(rows, |(_, left)| left);
    let manifest = ManifestFile { offset, name, count, term };
    directory.snapshot = Some(Snapshot { manifest: Some(manifest), rows: Some(rows) });
    true
}

/// The process ends: of the snapshot that it makes the first half has been written, and stays.
pub(super) fn cut_off_snapshots(machine: &mut Machine) {
    let is_made = |replica: &Replica| replica.state == State::MakingSnapshot && !replica.storage().is_disk();
    let made: Vec<PartitionId> =
        machine.replicas.iter().filter(|(_, replica)| is_made(replica)).map(|(id, _)| *id).collect();
    for id in made {
        let Some(directory) = machine.disk.directory_mut(StorageMode::Memory, id) else { continue };
        let (kept, behind) = directory.to_fold(0);
        let all = [kept, behind].concat();
        directory.cut_off = Some((stamp(machine.snapshot_began, 12) + ".sdb", all[..all.len() / 2].into()));
    }
}
