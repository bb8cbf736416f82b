//! Polling tablets for what became of tasks (docs/openmldb/operations.md#tasks-and-polls).

use super::Leading;
use openmldb_wire::api::{TaskInfo, TaskStatus, TaskStatusRequest};
use openmldb_wire::call::{TabletAnswer, TabletCall};

/// Answers that may leave out a task before it is given up (docs/openmldb/operations.md#tasks-and-polls).
const ANSWERS_BEFORE_GIVING_UP: u32 = 5;

/// Why tablets are asked for their tasks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Round {
    /// It is time.
    Regular,
    /// This nameserver just became leader: a task its tablet does not report fails at once.
    TakingOver,
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
                if sends_more && self.rng.below(100) < self.settings.rounds_cut_short_percent {
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
}
