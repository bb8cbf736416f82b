//! The calls a nameserver takes, each with its checks in OpenMLDB's order (docs/openmldb/calls.md#what-they-check).

use super::Leading;
use super::change_leader::{Candidate, NotQueued};
use super::metadata::{leader_of, replica_at};
use super::op::Op;
use super::refusal::{Refusal, general};
use openmldb_wire::api;
use openmldb_wire::call::{NameserverAnswer as Answer, NameserverCall as Call, TabletCall};
use openmldb_wire::nameserver::{
    CancelOpRequest, ChangeLeaderRequest, ConfGetResponse, ConfSetRequest, DeleteOpRequest, GetTablePartitionResponse,
    OfflineEndpointRequest, RecoverEndpointRequest, RecoverTableRequest, ShowDatabaseResponse, ShowOpStatusResponse,
    ShowReplicaClusterResponse, ShowTableResponse, ShowTabletResponse, UpdateTableAliveRequest,
};

/// What a nameserver answers that does not lead: 300 to everything.
pub(super) fn answer_of_standby(call: &Call) -> Answer {
    let refusal = Refusal::NotLeader;
    let (code, msg) = (refusal.code(), Some(refusal.to_string()));
    let refused = general(Err(refusal));
    match call {
        Call::ShowTable(_) => Answer::ShowTable(ShowTableResponse { code, msg, ..ShowTableResponse::default() }),
        Call::ShowTablet(_) => {
            Answer::ShowTablet(ShowTabletResponse { code: Some(code), msg, ..ShowTabletResponse::default() })
        }
        Call::ShowDatabase(_) => {
            Answer::ShowDatabase(ShowDatabaseResponse { code: Some(code), msg, ..ShowDatabaseResponse::default() })
        }
        Call::ShowOpStatus(_) => {
            Answer::ShowOpStatus(ShowOpStatusResponse { code: Some(code), msg, ..ShowOpStatusResponse::default() })
        }
        Call::ConfGet(_) => Answer::ConfGet(ConfGetResponse { code, msg, ..ConfGetResponse::default() }),
        Call::ConfSet(_) => Answer::ConfSet(refused),
        Call::CancelOp(_) => Answer::CancelOp(refused),
        Call::DeleteOp(_) => Answer::DeleteOp(refused),
        Call::ChangeLeader(_) => Answer::ChangeLeader(refused),
        Call::RecoverTable(_) => Answer::RecoverTable(refused),
        Call::UpdateTableAliveStatus(_) => Answer::UpdateTableAliveStatus(refused),
        Call::OfflineEndpoint(_) => Answer::OfflineEndpoint(refused),
        Call::RecoverEndpoint(_) => Answer::RecoverEndpoint(refused),
        Call::Migrate(_) => Answer::Migrate(refused),
        Call::AddReplicaNs(_) => Answer::AddReplicaNs(refused),
        Call::DelReplicaNs(_) => Answer::DelReplicaNs(refused),
        Call::ShowReplicaCluster(_) => Answer::ShowReplicaCluster(ShowReplicaClusterResponse {
            code: Some(code),
            msg,
            ..ShowReplicaClusterResponse::default()
        }),
        Call::GetTablePartition(_) => Answer::GetTablePartition(GetTablePartitionResponse {
            code: Some(code),
            msg,
            ..GetTablePartitionResponse::default()
        }),
        Call::SetTablePartition(_) => Answer::SetTablePartition(refused),
    }
}

impl Leading<'_> {
    /// Takes a call, and lets the ops it created run as far as they go.
    pub(super) fn answer(&mut self, call: Call) -> Answer {
        let answer = match call {
            Call::ShowTable(request) => return Answer::ShowTable(self.show_table(&request)),
            Call::ShowTablet(_) => return Answer::ShowTablet(self.show_tablet()),
            Call::ShowDatabase(_) => return Answer::ShowDatabase(self.show_database()),
            Call::ShowOpStatus(request) => return Answer::ShowOpStatus(self.show_op_status(&request)),
            Call::ConfGet(_) => return Answer::ConfGet(self.conf_get()),
            Call::ShowReplicaCluster(_) => return Answer::ShowReplicaCluster(self.show_replica_cluster()),
            Call::ConfSet(request) => Answer::ConfSet(general(self.conf_set(&request))),
            Call::CancelOp(request) => Answer::CancelOp(general(self.cancel_op(&request))),
            Call::DeleteOp(request) => Answer::DeleteOp(general(self.delete_op(&request))),
            Call::ChangeLeader(request) => Answer::ChangeLeader(general(self.ask_change_leader(&request))),
            Call::RecoverTable(request) => Answer::RecoverTable(general(self.ask_recover_table(&request))),
            Call::UpdateTableAliveStatus(request) => {
                Answer::UpdateTableAliveStatus(general(self.update_table_alive(&request)))
            }
            Call::OfflineEndpoint(request) => Answer::OfflineEndpoint(general(self.ask_offline_endpoint(&request))),
            Call::RecoverEndpoint(request) => Answer::RecoverEndpoint(general(self.ask_recover_endpoint(&request))),
            Call::Migrate(request) => Answer::Migrate(general(self.ask_migrate(&request))),
            Call::AddReplicaNs(request) => Answer::AddReplicaNs(general(self.ask_add_replica(&request))),
            Call::DelReplicaNs(request) => Answer::DelReplicaNs(general(self.ask_del_replica(&request))),
            Call::GetTablePartition(request) => {
                return Answer::GetTablePartition(self.get_table_partition(&request));
            }
            Call::SetTablePartition(request) => Answer::SetTablePartition(general(self.set_table_partition(request))),
        };
        self.run_lanes();
        answer
    }

    pub(super) fn auto_failover_is_off(&self) -> Result<(), Refusal> {
        if self.zk.auto_failover { Err(Refusal::AutoFailoverIsOn) } else { Ok(()) }
    }

    pub(super) fn is_known(&self, endpoint: &str) -> Result<(), Refusal> {
        if self.memory.members.is_known(endpoint) { Ok(()) } else { Err(Refusal::NoSuchEndpoint) }
    }

    pub(super) fn tablet_is_healthy(&self, endpoint: &str) -> Result<(), Refusal> {
        if self.memory.members.is_healthy(endpoint) { Ok(()) } else { Err(Refusal::TabletNotHealthy) }
    }

    /// Nothing running is stopped by it, and nothing starts.
    fn conf_set(&mut self, request: &ConfSetRequest) -> Result<(), Refusal> {
        let value = match request.conf.value.to_ascii_lowercase().as_str() {
            "true" => true,
            "false" => false,
            _ => return Err(Refusal::InvalidParameter),
        };
        if request.conf.key != "auto_failover" {
            return Err(Refusal::InvalidParameter);
        }
        self.zk.auto_failover = value;
        Ok(())
    }

    /// Tasks already running on tablets go on.
    fn cancel_op(&mut self, request: &CancelOpRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        let op = self.memory.lanes.find_queued_mut(request.op_id()).filter(|op| !op.is_over());
        let op = op.ok_or(Refusal::OpNotRunning)?;
        op.record.status = api::TaskStatus::KCanceled;
        for task in &mut op.tasks {
            task.state = api::TaskStatus::KCanceled;
        }
        let healthy: Vec<_> = self.memory.members.healthy().map(str::to_owned).collect();
        for endpoint in healthy {
            // Whether they heard of it changes nothing here.
            let cancel = api::CancelOpRequest { op_id: request.op_id };
            let _ = self.tablets.call(&endpoint, TabletCall::CancelOp(cancel));
        }
        Ok(())
    }

    /// By number one in whatever state, or all that have ended like this. auto_failover may be on.
    fn delete_op(&mut self, request: &DeleteOpRequest) -> Result<(), Refusal> {
        let is_over = !matches!(request.status(), api::TaskStatus::KInited | api::TaskStatus::KDoing);
        if request.op_id.is_none() && !is_over {
            return Err(Refusal::OpNotOver);
        }
        let is_meant = |op: &Op| match request.op_id {
            Some(id) => op.record.id == id,
            None => op.record.status == request.status() && request.db.as_ref().is_none_or(|db| *db == op.record.db),
        };
        let deleted = self.memory.lanes.delete(is_meant);
        for id in &deleted {
            self.zk.ops.remove(id);
        }
        match request.op_id {
            Some(_) if deleted.is_empty() => Err(Refusal::NoSuchOp),
            _ => Ok(()),
        }
    }

    fn ask_change_leader(&mut self, request: &ChangeLeaderRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        let place = (request.db(), request.name.as_str(), request.pid);
        let table = self.zk.tables.find(request.db(), &request.name).ok_or(Refusal::NoSuchTable)?;
        let partition = table.partition(request.pid).ok_or(Refusal::NoSuchPid)?;
        if partition.partition_meta.len() == 1 {
            return Err(Refusal::NoFollower);
        }
        if leader_of(partition).is_some() && request.candidate_leader.is_none() {
            return Err(Refusal::LeaderIsAlive);
        }
        if !partition.partition_meta.iter().any(|meta| meta.is_alive() && !meta.is_leader) {
            return Err(Refusal::NoAliveFollower);
        }
        let candidate = match request.candidate_leader() {
            "" | "auto" => Candidate::Longest,
            endpoint => Candidate::This(endpoint),
        };
        match self.create_change_leader_op(place, candidate, self.settings.task_concurrency) {
            Ok(()) | Err(NotQueued::NoFollower) => Ok(()),
            Err(NotQueued::Impossible) => Err(Refusal::CreateOpFailed),
        }
    }

    /// Ok even if no op could be created.
    fn ask_recover_table(&mut self, request: &RecoverTableRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        self.is_known(&request.endpoint)?;
        self.tablet_is_healthy(&request.endpoint)?;
        let table = self.zk.tables.find(request.db(), &request.name).ok_or(Refusal::NoSuchTable)?;
        let partition = table.partition(request.pid).ok_or(Refusal::NoSuchPid)?;
        let meta = replica_at(partition, &request.endpoint).ok_or(Refusal::NoSuchPid)?;
        if meta.is_alive() {
            return Err(Refusal::AlreadyAlive);
        }
        let place = (request.db(), request.name.as_str(), request.pid);
        let (is_leader, delta) = (meta.is_leader, self.settings.binlog_sync_delta);
        self.create_recover_table_op(place, &request.endpoint, is_leader, delta, self.settings.task_concurrency);
        Ok(())
    }

    /// One write, however many partitions.
    fn update_table_alive(&mut self, request: &UpdateTableAliveRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        self.is_known(request.endpoint())?;
        let tid = self.zk.tables.tid(request.db(), request.name()).ok_or(Refusal::NoSuchTable)?;
        let table = self.zk.tables.get_mut(tid).ok_or(Refusal::NoSuchTable)?;
        let all = u32::try_from(table.len()).unwrap_or(u32::MAX);
        let pids = request.pid.map_or(0..all, |pid| pid..pid.saturating_add(1));
        let mut updated = false;
        for pid in pids {
            let hosted =
                table.partition(pid).is_some_and(|partition| replica_at(partition, request.endpoint()).is_some());
            if !hosted {
                continue;
            }
            table.change(pid, |partition| {
                for meta in partition.partition_meta.iter_mut().filter(|meta| meta.endpoint == request.endpoint()) {
                    meta.is_alive = Some(request.is_alive());
                }
            });
            updated = true;
        }
        if !updated {
            return Err(Refusal::NoPidUpdated);
        }
        self.write_table(tid);
        Ok(())
    }

    fn ask_offline_endpoint(&mut self, request: &OfflineEndpointRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        let concurrency = self.concurrency(request.concurrency)?;
        self.is_known(&request.endpoint)?;
        self.offline_endpoint(&request.endpoint, concurrency);
        Ok(())
    }

    fn ask_recover_endpoint(&mut self, request: &RecoverEndpointRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        let concurrency = self.concurrency(request.concurrency)?;
        self.is_known(&request.endpoint)?;
        self.tablet_is_healthy(&request.endpoint)?;
        self.recover_endpoint(&request.endpoint, request.need_restore(), concurrency);
        Ok(())
    }

    fn concurrency(&self, asked: Option<u32>) -> Result<u32, Refusal> {
        match asked {
            Some(asked) if asked > self.settings.task_max_concurrency => Err(Refusal::InvalidParameter),
            Some(asked) => Ok(asked),
            None => Ok(self.settings.task_concurrency),
        }
    }
}
