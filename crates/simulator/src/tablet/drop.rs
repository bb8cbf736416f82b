//! DropTable and DeleteBinlog: what they take away goes to the recycle bin
//! (docs/openmldb/tablet.md#dropping-and-the-recycle-bin).

use super::Tablets;
use super::entry::{signed_partition_id, storage_of};
use super::job::{Job, Work};
use super::refusal::{MAKING_SNAPSHOT, NO_ROOT, OK, Outcome, Refusal, code_and_msg, general};
use super::task::TaskKey;
use openmldb_model::{PartitionId, State};
use openmldb_wire::api::{self, TaskType};

impl Tablets {
    pub(super) fn drop_table(&mut self, at: usize, request: api::DropTableRequest) -> api::DropTableResponse {
        let id = signed_partition_id(request.tid(), request.pid());
        let outcome = self.try_drop(at, id, request.task_info);
        self.run_pools(at);
        let (code, msg) = code_and_msg(outcome.map(|()| "ok"));
        api::DropTableResponse { code, msg }
    }

    /// Allowed in every state but one, so a replica may be dropped in the middle of its load.
    fn try_drop(&mut self, at: usize, id: PartitionId, info: Option<api::TaskInfo>) -> Result<(), Refusal> {
        let machine = &mut self.machines[at];
        let task = machine.tasks.begin(info, TaskType::KDropTable)?;
        let checked = machine.replica(id).and_then(|replica| {
            if replica.state == State::MakingSnapshot { Err(MAKING_SNAPSHOT) } else { Ok(replica.generation) }
        });
        if checked.is_err() {
            machine.tasks.end(task, false);
        }
        let generation = checked?;
        machine.pool.add(Job { partition: id, task, work: Work::Drop { generation } });
        Ok(())
    }

    pub(super) fn finish_drop(&mut self, at: usize, id: PartitionId, generation: u64, task: Option<TaskKey>) {
        let (now, keep) = (self.now, self.settings.recycle_bin_enabled);
        let machine = &mut self.machines[at];
        let is_there = machine.same_replica(id, generation).is_some();
        if is_there {
            machine.discard(id, keep, now);
        }
        machine.tasks.end(task, is_there);
    }

    pub(super) fn delete_binlog(&mut self, at: usize, request: &api::GeneralRequest) -> api::GeneralResponse {
        general(self.try_delete_binlog(at, request))
    }

    /// Nobody asks whether the table is loaded.
    fn try_delete_binlog(&mut self, at: usize, request: &api::GeneralRequest) -> Outcome {
        let storage = storage_of(request.storage_mode()).ok_or(NO_ROOT)?;
        self.check_root(storage)?;
        let id = signed_partition_id(request.tid, request.pid);
        self.machines[at].disk.recycle_binlog(storage, id, self.settings.recycle_bin_enabled, self.now);
        OK
    }
}
