//! What the nodes of a cluster's metadata hold (docs/openmldb/metadata-in-zookeeper.md#paths): messages that no call carries.

use prost::{DecodeError, Message};

use crate::api::{OpType, TaskStatus};
use crate::nameserver::TableInfo;

/// `openmldb.api.OPInfo`, what a node below `op/op_data` holds. Only nameservers and ZooKeeper ever see it, so the contract in
/// `proto/` leaves it out.
#[derive(Clone, PartialEq, Message)]
pub struct OpInfo {
    /// Its number.
    #[prost(uint64, required, tag = "1")]
    pub op_id: u64,
    /// What it does.
    #[prost(enumeration = "OpType", required, tag = "2")]
    pub op_type: i32,
    /// Tasks finished so far.
    #[prost(uint32, required, tag = "3")]
    pub task_index: u32,
    /// What it works with.
    #[prost(bytes = "vec", required, tag = "4")]
    pub data: Vec<u8>,
    /// How far it is.
    #[prost(enumeration = "TaskStatus", optional, tag = "5")]
    pub task_status: Option<i32>,
    /// Unix seconds.
    #[prost(uint64, optional, tag = "6")]
    pub start_time: Option<u64>,
    /// Unix seconds.
    #[prost(uint64, optional, tag = "7")]
    pub end_time: Option<u64>,
    /// The table.
    #[prost(string, optional, tag = "8")]
    pub name: Option<String>,
    /// The partition.
    #[prost(uint32, optional, tag = "9")]
    pub pid: Option<u32>,
    /// The op that queued it; the largest number if none did.
    #[prost(uint64, optional, tag = "10")]
    pub parent_id: Option<u64>,
    /// Its lane.
    #[prost(uint32, optional, tag = "11")]
    pub vec_idx: Option<u32>,
    /// The database.
    #[prost(string, optional, tag = "14")]
    pub db: Option<String>,
}

/// What a node below `table/db_table_data` or `table/table_data` holds.
///
/// # Errors
/// It is no table. A nameserver that reads it passes it over.
pub fn table(data: &[u8]) -> Result<TableInfo, DecodeError> {
    TableInfo::decode(data)
}

/// What a node below `op/op_data` holds.
///
/// # Errors
/// It is no operation. A nameserver that reads it passes it over.
pub fn op(data: &[u8]) -> Result<OpInfo, DecodeError> {
    OpInfo::decode(data)
}

/// The data of a table's node.
pub fn table_data(table: &TableInfo) -> Vec<u8> {
    table.encode_to_vec()
}
