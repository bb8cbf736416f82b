//! Tasks that the nameserver's operations gave a tablet, kept in memory until DeleteOPTask.

use std::collections::BTreeMap;

use super::refusal::{ADD_TASK_FAILED, Refusal};
use openmldb_wire::api::{self, TaskStatus, TaskType};

/// A tablet's tasks, by operation.
#[derive(Debug, Clone, Default)]
pub(super) struct Tasks(BTreeMap<u64, Vec<api::TaskInfo>>);

/// What tells a task from the others (docs/openmldb/tablet.md#tasks).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TaskKey {
    op_id: u64,
    task_type: i32,
    tid: Option<u32>,
    pid: Option<u32>,
    task_id: u64,
}

impl TaskKey {
    fn of(task: &api::TaskInfo) -> Self {
        Self { op_id: task.op_id, task_type: task.task_type, tid: task.tid, pid: task.pid, task_id: task.task_id() }
    }
}

impl Tasks {
    /// Notes the task a request carries, if any, as being worked on.
    ///
    /// # Errors
    /// -1 if it is known already or of another type than the request's.
    pub(super) fn begin(
        &mut self,
        info: Option<api::TaskInfo>,
        expected: TaskType,
    ) -> Result<Option<TaskKey>, Refusal> {
        let Some(mut info) = info else { return Ok(None) };
        let key = TaskKey::of(&info);
        if info.task_type != expected as i32 || self.find(key).is_some() {
            return Err(ADD_TASK_FAILED);
        }
        info.set_status(TaskStatus::KDoing);
        self.0.entry(info.op_id).or_default().push(info);
        Ok(Some(key))
    }

    /// Sets a task's outcome.
    pub(super) fn end(&mut self, key: Option<TaskKey>, done: bool) {
        if let Some(task) = key.and_then(|key| self.find(key)) {
            task.set_status(if done { TaskStatus::KDone } else { TaskStatus::KFailed });
        }
    }

    /// GetTaskStatus.
    pub(super) fn list(&self) -> api::TaskStatusResponse {
        let task = self.0.values().flatten().cloned().collect();
        api::TaskStatusResponse { code: Some(0), msg: Some("ok".to_owned()), task }
    }

    /// DeleteOPTask.
    pub(super) fn delete(&mut self, op_ids: &[u64]) {
        for op_id in op_ids {
            self.0.remove(op_id);
        }
    }

    /// CancelOP. What a task has begun goes on (docs/openmldb/operations.md#cancelling).
    pub(super) fn cancel(&mut self, op_id: u64) {
        for task in self.0.get_mut(&op_id).into_iter().flatten() {
            if matches!(task.status(), TaskStatus::KInited | TaskStatus::KDoing) {
                task.set_status(TaskStatus::KCanceled);
            }
        }
    }

    fn find(&mut self, key: TaskKey) -> Option<&mut api::TaskInfo> {
        self.0.get_mut(&key.op_id)?.iter_mut().find(|task| TaskKey::of(task) == key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn info(op_id: u64, task_type: TaskType) -> Option<api::TaskInfo> {
        Some(api::TaskInfo {
            op_id,
            op_type: api::OpType::KReAddReplicaOp as i32,
            task_type: task_type as i32,
            status: TaskStatus::KInited as i32,
            ..Default::default()
        })
    }

    fn statuses(tasks: &Tasks) -> Vec<TaskStatus> {
        tasks.list().task.iter().map(api::TaskInfo::status).collect()
    }

    #[test]
    fn a_task_is_known_until_its_operation_is_deleted() {
        let mut tasks = Tasks::default();
        let key = tasks.begin(info(7, TaskType::KLoadTable), TaskType::KLoadTable);
        assert!(key.is_ok_and(|key| key.is_some()));
        assert_eq!(tasks.begin(info(7, TaskType::KLoadTable), TaskType::KLoadTable), Err(ADD_TASK_FAILED));
        assert_eq!(statuses(&tasks), [TaskStatus::KDoing]);
        tasks.delete(&[7]);
        assert!(tasks.begin(info(7, TaskType::KLoadTable), TaskType::KLoadTable).is_ok());
    }

    #[test]
    fn a_task_of_another_type_is_refused() {
        let refused = Tasks::default().begin(info(7, TaskType::KAddReplica), TaskType::KLoadTable);
        assert_eq!(refused, Err(ADD_TASK_FAILED));
    }

    #[test]
    fn cancelling_leaves_finished_tasks_alone() {
        let mut tasks = Tasks::default();
        let loaded = tasks.begin(info(7, TaskType::KLoadTable), TaskType::KLoadTable).unwrap_or_default();
        tasks.end(loaded, true);
        assert!(tasks.begin(info(7, TaskType::KAddReplica), TaskType::KAddReplica).is_ok());
        tasks.cancel(7);
        assert_eq!(statuses(&tasks), [TaskStatus::KDone, TaskStatus::KCanceled]);
    }
}
