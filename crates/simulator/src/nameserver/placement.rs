//! Calls that move replicas: AddReplicaNS, DelReplicaNS, Migrate
//! (docs/openmldb/operations.md#adding-removing-and-migrating-replicas); and those that read and replace a partition's metadata.

use super::Leading;
use super::engine::NewOp;
use super::metadata::replica_at;
use super::op::{MigrateInfo, OpData};
use super::refusal::{Refusal, general};
use openmldb_wire::api::OpType;
use openmldb_wire::nameserver::{
    AddReplicaNsRequest, DelReplicaNsRequest, GetTablePartitionRequest, GetTablePartitionResponse, MigrateRequest,
    SetTablePartitionRequest, TablePartition,
};

/// AddReplicaNS puts all of its ops into one lane.
const ONE_LANE: u32 = 1;

impl Leading<'_> {
    /// auto_failover may be on.
    pub(super) fn ask_add_replica(&mut self, request: &AddReplicaNsRequest) -> Result<(), Refusal> {
        self.tablet_is_healthy(&request.endpoint)?;
        let table = self.zk.tables.find(request.db(), &request.name).ok_or(Refusal::NoSuchTable)?;
        let pids = group(request.pid, &request.pid_group);
        for pid in &pids {
            let partition = table.partition(*pid).ok_or(Refusal::InvalidParameter)?;
            if replica_at(partition, &request.endpoint).is_some() {
                return Err(Refusal::PidIsThere { pid: *pid, endpoint: request.endpoint.clone() });
            }
        }
        for pid in pids {
            let data = OpData::AddReplica(AddReplicaNsRequest { pid, ..request.clone() });
            self.queue(OpType::KAddReplicaOp, data, (request.db(), &request.name, pid), ONE_LANE)?;
        }
        Ok(())
    }

    /// auto_failover may be on.
    pub(super) fn ask_del_replica(&mut self, request: &DelReplicaNsRequest) -> Result<(), Refusal> {
        let table = self.zk.tables.find(request.db(), &request.name).ok_or(Refusal::NoSuchTable)?;
        self.tablet_is_healthy(&request.endpoint)?;
        let pids = group(request.pid, &request.pid_group);
        for pid in &pids {
            table.partition(*pid).ok_or(Refusal::PidTooLarge)?;
        }
        for pid in &pids {
            let endpoint = || request.endpoint.clone();
            let meta = table.partition(*pid).and_then(|partition| replica_at(partition, &request.endpoint));
            let meta = meta.ok_or_else(|| Refusal::PidNotThere { pid: *pid, endpoint: endpoint() })?;
            if meta.is_leader {
                return Err(Refusal::IsLeader { pid: *pid, endpoint: endpoint() });
            }
        }
        for pid in pids {
            let data = OpData::Endpoint(request.endpoint.clone());
            let place = (request.db(), request.name.as_str(), pid);
            self.queue(OpType::KDelReplicaOp, data, place, self.settings.task_concurrency)?;
        }
        Ok(())
    }

    /// Ok even if no op could be created.
    pub(super) fn ask_migrate(&mut self, request: &MigrateRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        self.tablet_is_healthy(&request.src_endpoint).map_err(|_| Refusal::SrcNotHealthy)?;
        self.tablet_is_healthy(&request.des_endpoint).map_err(|_| Refusal::DesNotHealthy)?;
        let table = self.zk.tables.find(request.db(), &request.name).ok_or(Refusal::NoSuchTable)?;
        for pid in &request.pid {
            let partition = table.partition(*pid).ok_or(Refusal::MigrateFailed("leader endpoint is empty"))?;
            self.may_migrate(partition, &request.src_endpoint, &request.des_endpoint)?;
        }
        for pid in &request.pid {
            let data = OpData::Migrate(MigrateInfo {
                src_endpoint: Some(request.src_endpoint.clone()),
                des_endpoint: Some(request.des_endpoint.clone()),
            });
            let place = (request.db(), request.name.as_str(), *pid);
            let _ = self.queue(OpType::KMigrateOp, data, place, self.settings.task_concurrency);
        }
        Ok(())
    }

    /// Code 0 and nothing else where the table has no such partition.
    pub(super) fn get_table_partition(&self, request: &GetTablePartitionRequest) -> GetTablePartitionResponse {
        let table = self.zk.tables.find(request.db(), request.name());
        let answer = general(table.map(|_| ()).ok_or(Refusal::NoSuchTable));
        let table_partition = table.and_then(|table| table.partition(request.pid())).cloned();
        GetTablePartitionResponse { code: Some(answer.code), msg: answer.msg, table_partition }
    }

    /// Replaces the whole of it, whatever the request says; ok even if the table has no such partition.
    pub(super) fn set_table_partition(&mut self, request: SetTablePartitionRequest) -> Result<(), Refusal> {
        self.auto_failover_is_off()?;
        let tid = self.zk.tables.tid(request.db(), request.name()).ok_or(Refusal::NoSuchTable)?;
        let Some(wanted) = request.table_partition else { return Ok(()) };
        let table = self.zk.tables.get_mut(tid).ok_or(Refusal::NoSuchTable)?;
        if table.change(wanted.pid, |partition| *partition = wanted.clone()).is_some() {
            self.write_table(tid);
        }
        Ok(())
    }

    /// Only alive replicas are looked at.
    fn may_migrate(&self, partition: &TablePartition, src: &str, des: &str) -> Result<(), Refusal> {
        let alive = || partition.partition_meta.iter().filter(|meta| meta.is_alive());
        let refuse = |text| Err(Refusal::MigrateFailed(text));
        let Some(leader) = alive().find(|meta| meta.is_leader) else { return refuse("leader endpoint is empty") };
        if leader.endpoint == src {
            return refuse("cannot migrate leader");
        }
        if !self.memory.members.is_healthy(&leader.endpoint) {
            return refuse("leader offline");
        }
        if !alive().any(|meta| meta.endpoint == src) {
            return refuse("src_endpoint has not partition");
        }
        if alive().any(|meta| meta.endpoint == des) {
            return refuse("partition is already in des_endpoint");
        }
        Ok(())
    }

    fn queue(
        &mut self,
        kind: OpType,
        data: OpData,
        (db, name, pid): (&str, &str, u32),
        concurrency: u32,
    ) -> Result<(), Refusal> {
        let (db, name) = (db.to_owned(), name.to_owned());
        let new = NewOp { kind, data, db, name, pid, concurrency, parent: None };
        self.create_op(new).map(|_| ()).ok_or(Refusal::CreateOpFailed)
    }
}

/// A group of pids, where given, replaces the single one.
fn group(pid: u32, pids: &[u32]) -> Vec<u32> {
    if pids.is_empty() { vec![pid] } else { pids.to_vec() }
}
