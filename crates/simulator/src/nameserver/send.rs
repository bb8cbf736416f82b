//! Tasks that tablets run: one call to start each; its end is seen by polling.

use super::Leading;
use super::engine::{Job, Outcome};
use super::task::Work;
use openmldb_wire::api::{
    DropTableRequest, GeneralRequest, GetTableFollowerRequest, LoadTableRequest, ReplicaRequest, SendSnapshotRequest,
    TableMeta, TableMode, TaskInfo, TaskStatus,
};
use openmldb_wire::call::{TabletAnswer, TabletCall};

/// Segments per index that a nameserver asks for when its metadata does not say (the field's default).
const SEG_CNT: i32 = 8;

/// kTableIsNotExist: NS takes it for success when it drops a table
/// (docs/openmldb/operations.md#what-each-operation-does).
const TABLE_DOES_NOT_EXIST: i32 = 100;

impl Leading<'_> {
    /// Starts a task on its tablet. A refusal, or no answer, fails it at once.
    pub(super) fn send(&mut self, job: &Job) -> Outcome {
        let Some(endpoint) = job.work.tablet().map(str::to_owned) else { return Outcome::Failed };
        if let Work::DelReplica { leader, follower } = &job.work {
            return self.del_replica(job, leader, follower);
        }
        let Some(call) = self.call_for(job) else { return Outcome::Failed };
        let code = match self.tablets.call(&endpoint, call) {
            Ok(answer) => code_of(&answer),
            Err(_) => return Outcome::Failed,
        };
        match (code, &job.work) {
            (Some(0), _) | (Some(TABLE_DOES_NOT_EXIST), Work::DropTable { .. }) => Outcome::Sent,
            _ => Outcome::Failed,
        }
    }

    /// Done at once if the leader has followers, but not this one; otherwise the tablet is asked
    /// (docs/openmldb/operations.md#recovertable).
    fn del_replica(&mut self, job: &Job, leader: &str, follower: &str) -> Outcome {
        let (tid, pid) = (Some(job.partition.tid), Some(job.partition.pid));
        let asked = self.tablets.call(leader, TabletCall::GetTableFollower(GetTableFollowerRequest { tid, pid }));
        let absent = match asked {
            Ok(TabletAnswer::GetTableFollower(answer)) => {
                answer.code() == 0 && answer.follower_info.iter().all(|info| info.endpoint() != follower)
            }
            _ => false,
        };
        let outcome = if absent {
            Outcome::Done
        } else {
            let request = replica_request(job, follower);
            match self.tablets.call(leader, TabletCall::DelReplica(request)) {
                Ok(TabletAnswer::DelReplica(answer)) if answer.code() == 0 => Outcome::Sent,
                _ => return Outcome::Failed,
            }
        };
        match self.settings.op_fails_for_no_reason {
            Some(one_in) if self.rng.below(one_in.get()) == 0 => Outcome::Lost,
            _ => outcome,
        }
    }

    fn call_for(&self, job: &Job) -> Option<TabletCall> {
        let storage_mode = self.zk.tables.get(job.partition.tid)?.head.storage_mode();
        let (tid, pid) = (job.partition.tid, job.partition.pid);
        let (signed_tid, signed_pid) = (i32::try_from(tid).ok()?, i32::try_from(pid).ok()?);
        let general = || GeneralRequest {
            tid: signed_tid,
            pid: signed_pid,
            task_info: Some(task_info(job)),
            offset: None,
            storage_mode: Some(storage_mode.into()),
        };
        Some(match &job.work {
            Work::PauseSnapshot { .. } => TabletCall::PauseSnapshot(general()),
            Work::RecoverSnapshot { .. } => TabletCall::RecoverSnapshot(general()),
            Work::SendSnapshot { follower, .. } => TabletCall::SendSnapshot(SendSnapshotRequest {
                tid,
                pid,
                endpoint: follower.clone(),
                task_info: Some(task_info(job)),
                remote_tid: None,
            }),
            Work::LoadTable { mode, .. } => TabletCall::LoadTable(LoadTableRequest {
                table_meta: Some(TableMeta {
                    tid: Some(signed_tid),
                    name: Some(job.name.clone()),
                    pid: Some(signed_pid),
                    seg_cnt: Some(SEG_CNT),
                    mode: Some(TableMode::into(*mode)),
                    storage_mode: Some(storage_mode.into()),
                    ..TableMeta::default()
                }),
                task_info: Some(task_info(job)),
            }),
            Work::AddReplica { follower, .. } => TabletCall::AddReplica(replica_request(job, follower)),
            Work::DropTable { .. } => TabletCall::DropTable(DropTableRequest {
                tid: Some(signed_tid),
                pid: Some(signed_pid),
                task_info: Some(task_info(job)),
            }),
            _ => return None,
        })
    }
}

fn replica_request(job: &Job, follower: &str) -> ReplicaRequest {
    ReplicaRequest {
        tid: Some(job.partition.tid),
        pid: Some(job.partition.pid),
        endpoint: Some(follower.to_owned()),
        task_info: Some(task_info(job)),
        remote_tid: None,
    }
}

fn task_info(job: &Job) -> TaskInfo {
    TaskInfo {
        op_id: job.op,
        op_type: job.kind.into(),
        task_type: job.work.kind().into(),
        status: TaskStatus::KInited.into(),
        endpoint: job.work.tablet().map(str::to_owned),
        ..TaskInfo::default()
    }
}

/// The code in an answer to a task's call.
fn code_of(answer: &TabletAnswer) -> Option<i32> {
    match answer {
        TabletAnswer::PauseSnapshot(answer)
        | TabletAnswer::RecoverSnapshot(answer)
        | TabletAnswer::SendSnapshot(answer)
        | TabletAnswer::LoadTable(answer) => Some(answer.code()),
        TabletAnswer::AddReplica(answer) => Some(answer.code()),
        TabletAnswer::DropTable(answer) => Some(answer.code()),
        _ => None,
    }
}
