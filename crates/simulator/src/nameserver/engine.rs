//! The op engine: ops are created into lanes, heads run task by task, finished ops are put away
//! (docs/openmldb/operations.md#lanes).

use super::lanes::{LANES, lane_of};
use super::op::{Op, OpData, OpRecord};
use super::task::Work;
use super::timers::Event;
use super::{Leading, PartitionKey};
use openmldb_wire::api::{DeleteTaskRequest, OpType, TaskStatus};
use openmldb_wire::call::{TabletAnswer, TabletCall};

/// An op to be created.
#[derive(Debug)]
pub(super) struct NewOp {
    pub(super) kind: OpType,
    pub(super) data: OpData,
    pub(super) db: String,
    pub(super) name: String,
    pub(super) pid: u32,
    /// How many lanes the op's partitions are spread over.
    pub(super) concurrency: u32,
    /// The running op that creates it, with its lane.
    pub(super) parent: Option<(u64, usize)>,
}

/// The task at the head of a lane, and what it needs to know of its op.
#[derive(Debug, Clone)]
pub(super) struct Job {
    pub(super) lane: usize,
    pub(super) op: u64,
    pub(super) kind: OpType,
    pub(super) db: String,
    pub(super) name: String,
    pub(super) partition: PartitionKey,
    pub(super) work: Work,
}

/// How running a task ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Outcome {
    Done,
    Failed,
    /// A tablet has it and will report.
    Sent,
    /// Nobody will report it, though it was done (docs/openmldb/operations.md#operations-fail-for-no-reason).
    Lost,
    /// It looks again later.
    Waiting,
}

impl Leading<'_> {
    /// Creates an op and queues it. Its number is taken before it is known whether it can be created, so that numbers
    /// have gaps (docs/openmldb/metadata-in-zookeeper.md#operations).
    pub(super) fn create_op(&mut self, new: NewOp) -> Option<u64> {
        self.zk.op_index += 1;
        let record = OpRecord {
            id: self.zk.op_index,
            kind: new.kind,
            data: new.data,
            status: TaskStatus::KInited,
            task_index: 0,
            start_time: 0,
            end_time: 0,
            db: new.db,
            name: new.name,
            pid: new.pid,
            parent: new.parent.map(|(id, _)| id),
            lane: new.parent.map_or_else(|| lane_of(new.pid, new.concurrency), |(_, lane)| lane),
        };
        let mut tasks = self.task_list(&record)?;
        if new.parent.is_none()
            && let (Some(fate), Some(first)) = (self.memory.op_fate.take(), tasks.front_mut())
        {
            first.meet(fate);
        }
        let id = record.id;
        self.zk.ops.insert(id, record.clone());
        let op = Op { record, tasks };
        match new.parent {
            Some((parent, _)) => self.memory.lanes.insert_behind(parent, op),
            None => self.memory.lanes.push(op),
        }
        self.memory.lanes.trim(self.settings.max_op_num);
        Some(id)
    }

    /// Runs every lane as far as it goes without an answer from somewhere else.
    pub(super) fn run_lanes(&mut self) {
        while self.now >= self.memory.reconnected_at {
            let mut moved = false;
            for lane in 0..LANES {
                moved |= self.step(lane);
            }
            if !(self.put_away_finished() || moved) {
                break;
            }
        }
    }

    /// One step of a lane's head; false if there is none to make.
    fn step(&mut self, lane: usize) -> bool {
        let now = self.unix_time();
        let Some(op) = self.memory.lanes.head_mut(lane) else { return false };
        if op.is_over() {
            return false;
        }
        if op.record.status == TaskStatus::KInited {
            op.record.status = TaskStatus::KDoing;
            op.record.start_time = now;
            self.zk.ops.insert(op.record.id, op.record.clone());
        }
        match op.tasks.front().map(|task| task.state) {
            Some(TaskStatus::KInited) => {
                self.run_task(lane);
                true
            }
            Some(TaskStatus::KDone) => {
                op.tasks.pop_front();
                op.record.task_index += 1;
                self.zk.ops.insert(op.record.id, op.record.clone());
                true
            }
            Some(TaskStatus::KFailed | TaskStatus::KCanceled) => {
                op.record.status = TaskStatus::KFailed;
                true
            }
            Some(TaskStatus::KDoing) | None => false,
        }
    }

    fn run_task(&mut self, lane: usize) {
        let Some(job) = self.job(lane) else { return };
        let outcome = match &job.work {
            work if work.tablet().is_some() => self.send(&job),
            Work::RecoverTable => self.recover_table(&job),
            Work::UpdatePartitionStatus { endpoint, is_leader, is_alive } => {
                self.update_partition_status(&job, endpoint, *is_leader, *is_alive)
            }
            Work::SelectLeader => self.select_leader(&job),
            Work::ChangeLeader => self.change_leader(&job),
            Work::UpdateLeaderInfo => self.update_leader_info(&job),
            Work::CheckBinlogSyncProgress { follower, delta } => self.check_binlog(&job, follower, *delta),
            Work::AddTableInfo { endpoint } => self.add_table_info(&job, endpoint),
            Work::DelTableInfo { endpoint } => self.del_table_info(&job, endpoint),
            Work::UpdateTableInfo { src, des } => self.update_table_info(&job, src, des),
            _ => Outcome::Failed,
        };
        if let Some(task) = self.memory.lanes.head_mut(lane).and_then(|op| op.tasks.front_mut()) {
            task.state = match outcome {
                Outcome::Done => TaskStatus::KDone,
                Outcome::Failed => TaskStatus::KFailed,
                Outcome::Sent | Outcome::Lost | Outcome::Waiting => TaskStatus::KDoing,
            };
            task.lost = outcome == Outcome::Lost;
        }
    }

    /// The task at the head of a lane; none if its table is gone, in which case it fails.
    fn job(&mut self, lane: usize) -> Option<Job> {
        let op = self.memory.lanes.head_mut(lane)?;
        let record = &op.record;
        let task = op.tasks.front_mut()?;
        let Some(tid) = self.zk.tables.tid(&record.db, &record.name) else {
            task.state = TaskStatus::KFailed;
            return None;
        };
        Some(Job {
            lane,
            op: record.id,
            kind: record.kind,
            db: record.db.clone(),
            name: record.name.clone(),
            partition: PartitionKey { tid, pid: record.pid },
            work: task.work.clone(),
        })
    }

    /// Has every healthy tablet forget the tasks of finished heads, then puts those away. A single tablet that does not
    /// answer keeps them all where they are.
    fn put_away_finished(&mut self) -> bool {
        let finished: Vec<_> =
            (0..LANES).filter(|lane| self.memory.lanes.head(*lane).is_some_and(Op::is_over)).collect();
        if finished.is_empty() {
            return false;
        }
        let op_id = finished.iter().filter_map(|lane| self.memory.lanes.head(*lane)).map(|op| op.record.id).collect();
        let request = DeleteTaskRequest { op_id };
        let healthy: Vec<_> = self.memory.members.healthy().map(str::to_owned).collect();
        let mut all_forgot = true;
        for endpoint in &healthy {
            let answer = self.tablets.call(endpoint, TabletCall::DeleteOpTask(request.clone()));
            all_forgot &= matches!(answer, Ok(TabletAnswer::DeleteOpTask(answer)) if answer.code() == 0);
        }
        if !all_forgot {
            self.retry_finish_later();
            return false;
        }
        let now = self.unix_time();
        for lane in finished {
            let Some(mut op) = self.memory.lanes.pop(lane) else { continue };
            op.record.end_time = now;
            match op.record.status {
                TaskStatus::KFailed => {
                    self.zk.ops.insert(op.record.id, op.record.clone());
                }
                TaskStatus::KCanceled => {
                    self.zk.ops.remove(&op.record.id);
                }
                _ => {
                    op.record.status = TaskStatus::KDone;
                    self.zk.ops.remove(&op.record.id);
                }
            }
            self.memory.lanes.finish(op);
        }
        true
    }

    fn retry_finish_later(&mut self) {
        if !self.memory.retrying_finish {
            self.memory.retrying_finish = true;
            let event = Event::RetryFinish { reign: self.memory.reign };
            self.timers.set(self.now + self.settings.retry_interval_ms, event);
        }
    }
}
