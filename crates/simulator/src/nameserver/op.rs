//! Operations: what each one is for, and how far it is.

use prost::Message;

use super::task::Task;
use openmldb_wire::api::{OpType, TaskStatus};
use openmldb_wire::common::EndpointAndTid;
use openmldb_wire::nameserver::{AddReplicaNsRequest, OpStatus};
use openmldb_wire::node::OpInfo;

/// What ZooKeeper holds of an op (`R/op/op_data/<op_id>`).
#[derive(Debug, Clone)]
pub(super) struct OpRecord {
    pub(super) id: u64,
    pub(super) kind: OpType,
    pub(super) data: OpData,
    pub(super) status: TaskStatus,
    /// Tasks finished so far.
    pub(super) task_index: u32,
    /// Unix seconds; 0 until it starts.
    pub(super) start_time: u64,
    /// Unix seconds; 0 until it ends.
    pub(super) end_time: u64,
    pub(super) db: String,
    pub(super) name: String,
    pub(super) pid: u32,
    /// The op that queued this one.
    pub(super) parent: Option<u64>,
    pub(super) lane: usize,
}

/// An op in the leading nameserver's memory.
#[derive(Debug, Clone)]
pub(super) struct Op {
    pub(super) record: OpRecord,
    /// What is left to do; the first is under way.
    pub(super) tasks: std::collections::VecDeque<Task>,
}

/// What an op works with, as it is serialized into `OPInfo.data` (docs/openmldb/metadata-in-zookeeper.md#operations).
#[derive(Debug, Clone, PartialEq)]
pub(super) enum OpData {
    /// kRecoverTableOP and kReAddReplica*OP.
    Recover(RecoverTableData),
    ChangeLeader(ChangeLeaderData),
    /// kUpdatePartitionStatusOP.
    Status(EndpointStatusData),
    /// kOfflineReplicaOP, kDelReplicaOP, kReLoadTableOP.
    Endpoint(String),
    AddReplica(AddReplicaNsRequest),
    Migrate(MigrateInfo),
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct RecoverTableData {
    #[prost(string, optional, tag = "1")]
    pub(super) endpoint: Option<String>,
    #[prost(uint64, optional, tag = "2")]
    pub(super) offset_delta: Option<u64>,
    #[prost(bool, optional, tag = "3")]
    pub(super) is_leader: Option<bool>,
    #[prost(uint32, optional, tag = "4")]
    pub(super) concurrency: Option<u32>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct ChangeLeaderData {
    #[prost(string, optional, tag = "1")]
    pub(super) name: Option<String>,
    #[prost(uint32, optional, tag = "2")]
    pub(super) tid: Option<u32>,
    #[prost(uint32, optional, tag = "3")]
    pub(super) pid: Option<u32>,
    #[prost(uint64, optional, tag = "4")]
    pub(super) term: Option<u64>,
    #[prost(uint64, optional, tag = "5")]
    pub(super) offset: Option<u64>,
    #[prost(string, optional, tag = "6")]
    pub(super) leader: Option<String>,
    #[prost(string, repeated, tag = "7")]
    pub(super) follower: Vec<String>,
    #[prost(string, optional, tag = "8")]
    pub(super) candidate_leader: Option<String>,
    #[prost(message, repeated, tag = "9")]
    pub(super) remote_follower: Vec<EndpointAndTid>,
    #[prost(string, optional, tag = "10")]
    pub(super) db: Option<String>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct EndpointStatusData {
    #[prost(string, optional, tag = "1")]
    pub(super) endpoint: Option<String>,
    #[prost(bool, optional, tag = "2")]
    pub(super) is_leader: Option<bool>,
    #[prost(bool, optional, tag = "3")]
    pub(super) is_alive: Option<bool>,
}

#[derive(Clone, PartialEq, Message)]
pub(super) struct MigrateInfo {
    #[prost(string, optional, tag = "1")]
    pub(super) src_endpoint: Option<String>,
    #[prost(string, optional, tag = "2")]
    pub(super) des_endpoint: Option<String>,
}

impl OpData {
    fn encode(&self) -> Vec<u8> {
        match self {
            Self::Recover(data) => data.encode_to_vec(),
            Self::ChangeLeader(data) => data.encode_to_vec(),
            Self::Status(data) => data.encode_to_vec(),
            Self::Endpoint(endpoint) => endpoint.clone().into_bytes(),
            Self::AddReplica(request) => request.encode_to_vec(),
            Self::Migrate(data) => data.encode_to_vec(),
        }
    }
}

impl OpRecord {
    /// The bytes of its node.
    pub(super) fn encode(&self) -> Vec<u8> {
        let some_time = |time| if time == 0 { None } else { Some(time) };
        let info = OpInfo {
            op_id: self.id,
            op_type: self.kind.into(),
            task_index: self.task_index,
            data: self.data.encode(),
            task_status: Some(self.status.into()),
            start_time: some_time(self.start_time),
            end_time: some_time(self.end_time),
            name: Some(self.name.clone()),
            pid: Some(self.pid),
            parent_id: Some(self.parent.unwrap_or(u64::MAX)),
            vec_idx: u32::try_from(self.lane).ok(),
            db: Some(self.db.clone()),
        };
        info.encode_to_vec()
    }

    /// Where it stands among ops resumed by another nameserver: children first, by parent
    /// (docs/openmldb/nameserver.md#operations-taken-over).
    pub(super) fn resume_order(&self) -> (u64, u64) {
        (self.parent.unwrap_or(u64::MAX), self.id)
    }
}

impl Op {
    /// Whether nothing more will be done for it.
    pub(super) fn is_over(&self) -> bool {
        self.tasks.is_empty() || matches!(self.record.status, TaskStatus::KFailed | TaskStatus::KCanceled)
    }

    /// Its line in ShowOPStatus.
    pub(super) fn line(&self) -> OpStatus {
        let record = &self.record;
        let task = match self.tasks.front() {
            Some(task) if record.status != TaskStatus::KInited => task.work.kind().as_str_name(),
            _ => "-",
        };
        OpStatus {
            op_id: record.id,
            op_type: record.kind.as_str_name().to_owned(),
            status: record.status.as_str_name().to_owned(),
            start_time: record.start_time,
            end_time: record.end_time,
            task_type: task.to_owned(),
            name: Some(record.name.clone()),
            pid: Some(record.pid),
            for_replica_cluster: Some(0),
            db: Some(record.db.clone()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `R/op/op_data/4` and `12` of tests/recordings/04-followers-recovering.
    #[test]
    fn op_nodes_have_the_recorded_bytes() {
        let recover = OpRecord {
            id: 4,
            kind: OpType::KRecoverTableOp,
            data: OpData::Recover(RecoverTableData {
                endpoint: Some("127.0.0.1:11921".to_owned()),
                offset_delta: Some(100_000),
                is_leader: Some(false),
                concurrency: Some(2),
            }),
            status: TaskStatus::KInited,
            task_index: 0,
            start_time: 0,
            end_time: 0,
            db: "shop".to_owned(),
            name: "orders".to_owned(),
            pid: 0,
            parent: None,
            lane: 0,
        };
        let mut expected =
            b"\x08\x04\x10\x0e\x18\x00\x22\x19\n\x0f127.0.0.1:11921\x10\xa0\x8d\x06\x18\x00 \x02".to_vec();
        expected.extend(b"(\x01B\x06ordersH\x00P\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01X\x00r\x04shop");
        assert_eq!(recover.encode(), expected);
    }
}
