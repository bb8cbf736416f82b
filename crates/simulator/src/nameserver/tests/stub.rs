//! Scripted tablets: what they hold is set by tests, their tasks are done at once, nothing replicates.

use std::collections::{BTreeMap, BTreeSet};

use super::super::{PartitionKey, TableSpec, TabletPort, Unreachable};
use openmldb_wire::api::{self, TaskInfo, TaskStatus};
use openmldb_wire::call::{TabletAnswer as A, TabletCall as C};

/// A replica in a tablet's memory, or on its disk only.
#[derive(Debug, Clone, Default)]
pub(super) struct Replica {
    pub(super) loaded: bool,
    pub(super) leads: bool,
    /// The log's end; what is loaded or would be.
    pub(super) offset: u64,
    pub(super) record_byte_size: u64,
    /// Term last heard of since it was loaded.
    pub(super) term: u64,
    pub(super) snapshot: Option<(u64, u64)>,
    pub(super) paused: bool,
    pub(super) followers: BTreeSet<String>,
}

#[derive(Debug, Default)]
pub(super) struct Tablet {
    pub(super) up: bool,
    pub(super) replicas: BTreeMap<PartitionKey, Replica>,
    pub(super) tasks: Vec<TaskInfo>,
    /// Tasks of that type are never reported done.
    pub(super) stuck: Option<api::TaskType>,
}

#[derive(Debug, Default)]
pub(super) struct Stub {
    pub(super) tablets: BTreeMap<String, Tablet>,
    /// Every call that changes something, as `endpoint Method`.
    pub(super) changes: Vec<String>,
}

impl Stub {
    pub(super) fn replica(&mut self, endpoint: &str, tid: u32, pid: u32) -> &mut Replica {
        let tablet = self.tablets.get_mut(endpoint).expect("a tablet of the cluster");
        tablet.replicas.entry(PartitionKey { tid, pid }).or_default()
    }

    /// The process dies and with it its memory; disks stay.
    pub(super) fn kill(&mut self, endpoint: &str) {
        let tablet = self.tablets.get_mut(endpoint).expect("a tablet of the cluster");
        tablet.up = false;
        tablet.tasks.clear();
        for replica in tablet.replicas.values_mut() {
            replica.loaded = false;
            replica.leads = false;
            replica.term = 0;
            replica.paused = false;
            replica.followers.clear();
        }
    }

    pub(super) fn load(&mut self, endpoint: &str, tid: u32, pid: u32, leads: bool) {
        let replica = self.replica(endpoint, tid, pid);
        replica.loaded = true;
        replica.leads = leads;
        replica.term = u64::from(leads);
    }
}

impl TabletPort for Stub {
    fn call(&mut self, endpoint: &str, call: C) -> Result<A, Unreachable> {
        if call.effect() == openmldb_wire::call::Effect::Mutate {
            self.changes.push(format!("{endpoint} {}", call.name()));
        }
        if let C::SendSnapshot(request) = &call {
            let sent = self.replica(endpoint, request.tid, request.pid).offset;
            self.replica(&request.endpoint, request.tid, request.pid).offset = sent;
        }
        let tablet = self.tablets.get_mut(endpoint).filter(|tablet| tablet.up).ok_or(Unreachable)?;
        Ok(tablet.answer(call))
    }

    fn create_table(
        &mut self,
        endpoint: &str,
        partition: PartitionKey,
        _: &TableSpec,
        leader: bool,
        term: u64,
        replicas: &[String],
    ) {
        let replica = self.replica(endpoint, partition.tid, partition.pid);
        replica.loaded = true;
        replica.leads = leader;
        replica.term = term;
        replica.followers = replicas.iter().cloned().collect();
    }
}

impl Tablet {
    fn answer(&mut self, call: C) -> A {
        match call {
            C::GetTableStatus(_) => A::GetTableStatus(self.status()),
            C::GetTaskStatus(_) => A::GetTaskStatus(api::TaskStatusResponse {
                code: Some(0),
                task: self.tasks.clone(),
                ..Default::default()
            }),
            C::DeleteOpTask(request) => {
                self.tasks.retain(|task| !request.op_id.contains(&task.op_id));
                A::DeleteOpTask(general(0))
            }
            C::CancelOp(_) => A::CancelOp(general(0)),
            C::GetTableFollower(request) => {
                let Some(replica) = self.loaded(request.tid(), request.pid()) else {
                    return A::GetTableFollower(api::GetTableFollowerResponse {
                        code: Some(100),
                        ..Default::default()
                    });
                };
                let follower = |endpoint: &String| api::FollowerInfo { endpoint: Some(endpoint.clone()), offset: None };
                let code = if !replica.leads {
                    103
                } else if replica.followers.is_empty() {
                    134
                } else {
                    0
                };
                let follower_info = replica.followers.iter().map(follower).collect();
                let (code, offset) = (Some(code), Some(replica.offset));
                A::GetTableFollower(api::GetTableFollowerResponse { code, offset, follower_info, msg: None })
            }
            C::GetTermPair(request) => A::GetTermPair(self.term_pair(request.tid(), request.pid())),
            C::GetManifest(request) => {
                let (offset, term) = self.on_disk(request.tid(), request.pid()).snapshot.unwrap_or_default();
                let manifest = api::Manifest { offset: Some(offset), term: Some(term), ..Default::default() };
                A::GetManifest(api::GetManifestResponse { code: Some(0), msg: None, manifest: Some(manifest) })
            }
            C::AppendEntries(request) => {
                let mut answer = api::AppendEntriesResponse { code: Some(100), ..Default::default() };
                if let Some(replica) = self.loaded(request.tid(), request.pid()) {
                    answer.code = Some(if replica.leads { 102 } else { 0 });
                    answer.log_offset = Some(replica.offset);
                    replica.term = replica.term.max(request.term());
                }
                A::AppendEntries(answer)
            }
            C::ChangeRole(request) => {
                let code = match self.loaded(request.tid(), request.pid()) {
                    None => 100,
                    Some(replica) => {
                        replica.leads = request.mode() == api::TableMode::KTableLeader;
                        if replica.leads {
                            replica.term = request.term();
                            replica.followers = request.replicas.iter().cloned().collect();
                        }
                        0
                    }
                };
                A::ChangeRole(api::ChangeRoleResponse { code: Some(code), msg: None })
            }
            C::LoadTable(request) => A::LoadTable(general(self.load_table(request))),
            C::DropTable(request) => {
                let code =
                    self.with_task(request.task_info, request.tid, request.pid, |replica| replica.loaded = false);
                A::DropTable(api::DropTableResponse { code: Some(code), msg: None })
            }
            C::AddReplica(request) => {
                let (tid, pid) = (request.tid.map(|tid| tid as i32), request.pid.map(|pid| pid as i32));
                let follower = request.endpoint().to_owned();
                let code = self.with_task(request.task_info, tid, pid, |replica| {
                    replica.followers.insert(follower);
                });
                A::AddReplica(api::AddReplicaResponse { code: Some(code), msg: None })
            }
            C::DelReplica(request) => {
                let (tid, pid) = (request.tid.map(|tid| tid as i32), request.pid.map(|pid| pid as i32));
                let follower = request.endpoint().to_owned();
                A::DelReplica(general(self.with_task(request.task_info, tid, pid, |replica| {
                    replica.followers.remove(&follower);
                })))
            }
            C::PauseSnapshot(request) => {
                let (tid, pid) = (Some(request.tid), Some(request.pid));
                A::PauseSnapshot(general(self.with_task(request.task_info, tid, pid, |it| it.paused = true)))
            }
            C::RecoverSnapshot(request) => {
                let (tid, pid) = (Some(request.tid), Some(request.pid));
                A::RecoverSnapshot(general(self.with_task(request.task_info, tid, pid, |it| it.paused = false)))
            }
            C::SendSnapshot(request) => {
                let (tid, pid) = (Some(request.tid as i32), Some(request.pid as i32));
                A::SendSnapshot(general(self.with_task(request.task_info, tid, pid, |_| ())))
            }
            C::DeleteBinlog(request) => {
                let disk = self.on_disk(request.tid as u32, request.pid as u32);
                disk.offset = disk.snapshot.map_or(0, |(offset, _)| offset);
                A::DeleteBinlog(general(0))
            }
            other => panic!("nameservers do not call {}", other.name()),
        }
    }

    fn status(&self) -> api::GetTableStatusResponse {
        let loaded = self.replicas.iter().filter(|(_, replica)| replica.loaded);
        let status = |(key, replica): (&PartitionKey, &Replica)| api::TableStatus {
            tid: Some(key.tid),
            pid: Some(key.pid),
            offset: Some(replica.offset),
            record_cnt: Some(replica.offset),
            record_byte_size: Some(replica.record_byte_size),
            ..Default::default()
        };
        api::GetTableStatusResponse { all_table_status: loaded.map(status).collect(), code: Some(0), msg: None }
    }

    fn term_pair(&mut self, tid: u32, pid: u32) -> api::GetTermPairResponse {
        let disk = self.on_disk(tid, pid);
        let snapshot = disk.snapshot.unwrap_or_default();
        let (offset, term) = if disk.loaded { (disk.offset, disk.term) } else { snapshot };
        api::GetTermPairResponse {
            code: Some(0),
            msg: None,
            term: Some(term),
            offset: Some(offset),
            has_table: Some(disk.loaded),
            is_leader: disk.loaded.then_some(disk.leads),
        }
    }

    fn load_table(&mut self, request: api::LoadTableRequest) -> i32 {
        let meta = request.table_meta.unwrap_or_default();
        let key = PartitionKey { tid: meta.tid() as u32, pid: meta.pid() as u32 };
        let replica = self.replicas.entry(key).or_default();
        if replica.loaded {
            return 101;
        }
        replica.loaded = true;
        replica.leads = meta.mode() == api::TableMode::KTableLeader;
        self.note(request.task_info);
        0
    }

    fn with_task(
        &mut self,
        task: Option<TaskInfo>,
        tid: Option<i32>,
        pid: Option<i32>,
        work: impl FnOnce(&mut Replica),
    ) -> i32 {
        let Some(replica) = self.loaded(tid.unwrap_or(0) as u32, pid.unwrap_or(0) as u32) else { return 100 };
        work(replica);
        self.note(task);
        0
    }

    fn note(&mut self, task: Option<TaskInfo>) {
        let Some(mut task) = task else { return };
        let stuck = self.stuck.is_some_and(|stuck| i32::from(stuck) == task.task_type);
        task.status = i32::from(if stuck { TaskStatus::KDoing } else { TaskStatus::KDone });
        self.tasks.push(task);
    }

    fn loaded(&mut self, tid: u32, pid: u32) -> Option<&mut Replica> {
        self.replicas.get_mut(&PartitionKey { tid, pid }).filter(|replica| replica.loaded)
    }

    fn on_disk(&mut self, tid: u32, pid: u32) -> &mut Replica {
        self.replicas.entry(PartitionKey { tid, pid }).or_default()
    }
}

fn general(code: i32) -> api::GeneralResponse {
    api::GeneralResponse { code: Some(code), ..Default::default() }
}
