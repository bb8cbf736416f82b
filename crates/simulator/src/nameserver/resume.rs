//! Ops taken over from the nameserver that led before (docs/openmldb/nameserver.md#operations-taken-over).

use super::Leading;
use super::op::{Op, OpRecord};
use super::task::Task;
use openmldb_wire::api::TaskStatus;

impl Leading<'_> {
    /// Rebuilds every op that ZooKeeper holds from the metadata as it is now. One that cannot be rebuilt, or had all of its
    /// tasks done, is passed over and its node stays.
    pub(super) fn resume_ops(&mut self) {
        let records: Vec<_> = self.zk.ops.values().cloned().collect();
        for record in records {
            let Some(tasks) = self.task_list(&record) else { continue };
            let Some(op) = resumed(record, tasks) else { continue };
            match op.record.status {
                TaskStatus::KFailed => self.memory.lanes.finish(op),
                _ => self.memory.lanes.push(op),
            }
        }
        self.memory.lanes.sort_for_resumption();
    }
}

fn resumed(record: OpRecord, mut tasks: std::collections::VecDeque<Task>) -> Option<Op> {
    if record.status == TaskStatus::KInited {
        return Some(Op { record, tasks });
    }
    let done = usize::try_from(record.task_index).ok()?;
    if done >= tasks.len() {
        return None;
    }
    tasks.drain(..done);
    if let Some(current) = tasks.front_mut() {
        current.state = current.work.state_when_resumed();
    }
    Some(Op { record, tasks })
}
