//! Messages into [`openmldb_model`]. What a server left out stays unknown where the model can say so; what makes no sense is an
//! error that names the field, never a default. Codes are the caller's business: these functions read answers whose
//! code was looked at.
//!
//! One thing cannot be seen from here: prost reads a *required* scalar that is absent from the wire as its zero, so a
//! missing `is_leader` reads as false. OpenMLDB's own servers cannot leave such a field out.

use openmldb_model::{
    Column, ColumnKind, Endpoint, FollowedBy, Followers, Held, Index, Manifest, Offset, Op, OpId, OpKind, OpStatus,
    Partition, PartitionId, Pid, Registration, RemoteReplica, Replica, Role, Row, RowCursor, RowPage, Schema, State,
    StorageMode, Table, TableName, TabletState, Term, TermPair, TermStart, Tid, TimedOp, Zone,
};

use prost::Message as _;

use super::call::{NameserverAnswer, TabletAnswer};
use super::{api, common, nameserver, r#type};

/// A field of an answer that makes no sense.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{field} {problem}")]
pub struct Garbage {
    /// Path of the field from the top of the answer, like `table_info[3].tid`.
    pub field: String,
    /// What is wrong with it.
    pub problem: Problem,
}

/// What is wrong with a field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Problem {
    /// It is absent or empty, and the rest cannot be understood without it.
    #[error("is missing")]
    Missing,
    /// Its enum has no such number.
    #[error("holds {0}, which is no number of its enum")]
    UnknownNumber(i32),
    /// It is none of the words it may be.
    #[error("holds \"{0}\", which is none of the words it may hold")]
    UnknownWord(String),
    /// Its bytes end within something.
    #[error("is cut short")]
    CutShort,
    /// It holds another number of rows than the answer says.
    #[error("holds {held} rows, and the answer says {said}")]
    OtherCount {
        /// What the answer says.
        said: u32,
        /// What is there.
        held: usize,
    },
}

impl Garbage {
    fn new(field: &str, problem: Problem) -> Self {
        Self { field: field.to_owned(), problem }
    }

    fn within(self, outer: &str, index: usize) -> Self {
        Self { field: format!("{outer}[{index}].{}", self.field), ..self }
    }
}

macro_rules! read_codes {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        impl $answer {
            /// The answer's code: 0 is success, docs/openmldb/calls.md#codes lists the others. None where the server
            /// sent none.
            pub fn code(&self) -> Option<i32> {
                match self { $(Self::$variant(answer) => Option::from(answer.code),)* }
            }

            /// The text that came with the code; empty where there is none.
            pub fn msg(&self) -> &str {
                match self { $(Self::$variant(answer) => answer.msg.as_deref().unwrap_or_default(),)* }
            }

            /// The method that was answered.
            pub fn name(&self) -> &'static str {
                match self { $(Self::$variant(_) => stringify!($variant),)* }
            }
        }
    };
}

nameserver_methods!(read_codes);
tablet_methods!(read_codes);

/// ShowTable: every table of the answer.
///
/// # Errors
/// The first field that makes no sense.
pub fn tables(answer: &nameserver::ShowTableResponse) -> Result<Vec<Table>, Garbage> {
    each("table_info", &answer.table_info, table)
}

/// A table's metadata, from ShowTable or from its znode under `table/db_table_data`.
///
/// # Errors
/// The first field that makes no sense.
pub fn table(info: &nameserver::TableInfo) -> Result<Table, Garbage> {
    Ok(Table {
        name: TableName { db: info.db().to_owned(), table: text("name", info.name.as_deref())?.to_owned() },
        tid: Tid(present("tid", info.tid)?),
        storage: storage_mode(info.storage_mode)?,
        has_ttl: info.column_key.iter().any(lets_rows_expire),
        replica_num: info.replica_num,
        base_table: match info.base_table_tid() {
            0 => None,
            tid => Some(Tid(tid)),
        },
        partitions: each("table_partition", &info.table_partition, partition)?,
    })
}

/// A table's columns and indexes.
///
/// # Errors
/// The first field that makes no sense.
pub fn schema(info: &nameserver::TableInfo) -> Result<Schema, Garbage> {
    let columns =
        [each("column_desc", &info.column_desc, column)?, each("added_column_desc", &info.added_column_desc, column)?];
    let versions = info.schema_versions.iter();
    let versions = versions.filter_map(|pair| Some((pair.id().try_into().ok()?, pair.field_count().try_into().ok()?)));
    let indexes = info.column_key.iter().filter(|key| key.flag() == 0);
    let indexes = indexes.map(|key| Index {
        name: key.index_name().to_owned(),
        columns: key.col_name.clone(),
        time: key.ts_name.clone().filter(|name| !name.is_empty()),
        has_ttl: lets_rows_expire(key),
        keeps_newest: keeps_newest(key),
    });
    Ok(Schema { columns: columns.concat(), versions: versions.collect(), indexes: indexes.collect() })
}

fn column(column: &common::ColumnDesc) -> Result<Column, Garbage> {
    use r#type::DataType;
    let kind = match column.data_type.and_then(|number| DataType::try_from(number).ok()) {
        Some(DataType::KBool) => ColumnKind::Bool,
        Some(DataType::KSmallInt) => ColumnKind::SmallInt,
        Some(DataType::KInt) => ColumnKind::Int,
        Some(DataType::KBigInt) => ColumnKind::BigInt,
        Some(DataType::KFloat) => ColumnKind::Float,
        Some(DataType::KDouble) => ColumnKind::Double,
        Some(DataType::KDate) => ColumnKind::Date,
        Some(DataType::KTimestamp) => ColumnKind::Timestamp,
        Some(DataType::KVarchar | DataType::KString) => ColumnKind::Text,
        Some(DataType::KArray | DataType::KMap) | None => ColumnKind::Other,
    };
    Ok(Column { name: text("name", Some(&column.name))?.to_owned(), kind })
}

/// An index that is not deleted (flag 0) and whose rows expire by age (minutes) or by number.
pub(super) fn lets_rows_expire(key: &common::ColumnKey) -> bool {
    key.flag() == 0 && key.ttl.as_ref().is_some_and(|ttl| ttl.abs_ttl() > 0 || ttl.lat_ttl() > 0)
}

/// How many newer rows let an older one of their key expire by themselves.
fn keeps_newest(key: &common::ColumnKey) -> Option<u64> {
    use r#type::TtlType::{KAbsOrLat, KLatestTime};
    let ttl = key.ttl.as_ref().filter(|ttl| matches!(ttl.ttl_type(), KLatestTime | KAbsOrLat))?;
    Some(ttl.lat_ttl()).filter(|newest| *newest > 0)
}

fn partition(found: &nameserver::TablePartition) -> Result<Partition, Garbage> {
    Ok(Partition {
        pid: Pid(found.pid),
        terms: found
            .term_offset
            .iter()
            .map(|pair| TermStart { term: Term(pair.term), start: Offset(pair.offset) })
            .collect(),
        replicas: each("partition_meta", &found.partition_meta, replica)?,
        remotes: each("remote_partition_meta", &found.remote_partition_meta, remote)?,
    })
}

fn remote(meta: &nameserver::PartitionMeta) -> Result<RemoteReplica, Garbage> {
    Ok(RemoteReplica {
        endpoint: text("endpoint", Some(&meta.endpoint))?.into(),
        tid: Tid(present("remote_tid", meta.remote_tid)?),
        alias: meta.alias().to_owned(),
        is_alive: meta.is_alive(),
    })
}

fn replica(meta: &nameserver::PartitionMeta) -> Result<Replica, Garbage> {
    Ok(Replica {
        endpoint: text("endpoint", Some(&meta.endpoint))?.into(),
        is_leader: meta.is_leader,
        is_alive: meta.is_alive(),
        offset: meta.offset.map(Offset),
    })
}

/// `R/cluster/follower`: a cluster's part in replication between clusters. What is no ZoneInfo says nothing.
pub fn zone(node: &[u8]) -> Zone {
    let Ok(info) = nameserver::ZoneInfo::decode(node) else { return Zone::Alone };
    match info.mode() {
        nameserver::ServerMode::KNormal => Zone::Alone,
        nameserver::ServerMode::KLeader => Zone::Leads { followed_by: Vec::new() },
        nameserver::ServerMode::KFollower => Zone::Follows { leader: info.zone_name, alias: info.replica_alias },
    }
}

/// ShowReplicaCluster: who follows; a cluster that follows refuses and says so.
pub fn zone_shown(answer: &nameserver::ShowReplicaClusterResponse) -> Zone {
    if answer.msg().contains("is follower cluster") {
        return Zone::Follows { leader: None, alias: None };
    }
    let followed_by: Vec<FollowedBy> = answer.replicas.iter().map(followed_by).collect();
    if followed_by.is_empty() { Zone::Alone } else { Zone::Leads { followed_by } }
}

fn followed_by(shown: &nameserver::ClusterAddAge) -> FollowedBy {
    let at = shown.replica.clone().unwrap_or_default();
    FollowedBy {
        alias: at.alias().to_owned(),
        zk_cluster: at.zk_endpoints().to_owned(),
        zk_root_path: at.zk_path().to_owned(),
        is_healthy: shown.state() == "kClusterHealthy",
    }
}

/// ShowTablet: every tablet the nameserver knows.
///
/// # Errors
/// The first field that makes no sense.
pub fn registrations(answer: &nameserver::ShowTabletResponse) -> Result<Vec<Registration>, Garbage> {
    each("tablets", &answer.tablets, |tablet| {
        Ok(Registration {
            endpoint: text("endpoint", tablet.endpoint.as_deref())?.into(),
            state: match text("state", tablet.state.as_deref())? {
                "kHealthy" => TabletState::Healthy,
                "kOffline" => TabletState::Offline,
                other => return Err(Garbage::new("state", Problem::UnknownWord(other.to_owned()))),
            },
            unchanged_ms: tablet.age,
            // "-" is how the nameserver says that it has no address for the name
            // (docs/openmldb/calls.md#what-they-check).
            real_endpoint: tablet.real_endpoint.clone().filter(|address| !matches!(address.as_str(), "" | "-")),
        })
    })
}

/// ShowOPStatus: every operation of the answer.
///
/// # Errors
/// The first field that makes no sense.
pub fn ops(answer: &nameserver::ShowOpStatusResponse) -> Result<Vec<Op>, Garbage> {
    each("op_status", &answer.op_status, op)
}

/// ShowOPStatus with the times of each operation, in the nameserver's order.
///
/// # Errors
/// The first field that makes no sense.
pub fn timed_ops(answer: &nameserver::ShowOpStatusResponse) -> Result<Vec<TimedOp>, Garbage> {
    let time = |seconds: u64| Some(seconds).filter(|seconds| *seconds > 0);
    each("op_status", &answer.op_status, |status| {
        Ok(TimedOp {
            op: op(status)?,
            started_s: time(status.start_time),
            ended_s: time(status.end_time),
            for_replica_cluster: status.for_replica_cluster() == 1,
        })
    })
}

fn op(op: &nameserver::OpStatus) -> Result<Op, Garbage> {
    Ok(Op {
        id: OpId(op.op_id),
        kind: OpKind::from(text("op_type", Some(&op.op_type))?),
        status: match op.status.as_str() {
            "kInited" => OpStatus::Queued,
            "kDoing" => OpStatus::Doing,
            "kDone" => OpStatus::Done,
            "kFailed" => OpStatus::Failed,
            "kCanceled" => OpStatus::Canceled,
            "" => return Err(Garbage::new("status", Problem::Missing)),
            other => return Err(Garbage::new("status", Problem::UnknownWord(other.to_owned()))),
        },
        table: TableName { db: op.db().to_owned(), table: text("name", op.name.as_deref())?.to_owned() },
        pid: Pid(present("pid", op.pid)?),
        task: text("task_type", Some(&op.task_type))?.to_owned(),
    })
}

/// ConfGet: whether auto_failover is on.
///
/// # Errors
/// It is missing, or neither `true` nor `false`.
pub fn auto_failover(answer: &nameserver::ConfGetResponse) -> Result<bool, Garbage> {
    let Some(pair) = answer.conf.iter().find(|pair| pair.key == "auto_failover") else {
        return Err(Garbage::new("conf.auto_failover", Problem::Missing));
    };
    match pair.value.as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        other => Err(Garbage::new("conf.auto_failover", Problem::UnknownWord(other.to_owned()))),
    }
}

/// GetTableStatus: every replica of the answer, in any state.
///
/// # Errors
/// The first field that makes no sense.
pub fn held(answer: &api::GetTableStatusResponse) -> Result<Vec<Held>, Garbage> {
    each("all_table_status", &answer.all_table_status, |status| {
        let state = state(present("state", status.state)?)?;
        Ok(Held {
            partition: PartitionId { tid: Tid(present("tid", status.tid)?), pid: Pid(present("pid", status.pid)?) },
            role: role(present("mode", status.mode)?)?,
            state,
            offset: Offset(once_loaded("offset", status.offset, state)?),
            record_cnt: once_loaded("record_cnt", record_cnt(status), state)?,
            index_rows: if state.is_loaded() { index_rows(status).collect() } else { Vec::new() },
        })
    })
}

/// Rows as the nameserver counts them (docs/openmldb/nameserver.md#where-its-numbers-come-from): of the first index
/// where the tablet counts by index (memory tables do), else the tablet's own number.
fn record_cnt(status: &api::TableStatus) -> Option<u64> {
    index_rows(status).next().or(status.record_cnt)
}

fn index_rows(status: &api::TableStatus) -> impl Iterator<Item = u64> {
    let rows = |index: &api::TsIdxStatus| index.seg_cnts.iter().fold(0, |sum: u64, rows| sum.saturating_add(*rows));
    status.ts_idx_status.iter().map(rows)
}

/// A number that a replica has once it is loaded. Before that it is 0, said or unsaid
/// (docs/openmldb/tablet.md#gettablestatus).
fn once_loaded(field: &str, number: Option<u64>, state: State) -> Result<u64, Garbage> {
    if state.is_loaded() { present(field, number) } else { Ok(number.unwrap_or(0)) }
}

/// GetManifest: the newest snapshot on disk. No MANIFEST reads as offset 0
/// (docs/openmldb/tablet.md#what-can-be-known-before-loading).
///
/// # Errors
/// A MANIFEST without an offset.
pub fn manifest(answer: &api::GetManifestResponse) -> Result<Manifest, Garbage> {
    match &answer.manifest {
        None => Ok(Manifest { offset: Offset(0), term: None, count: 0 }),
        Some(found) => Ok(Manifest {
            offset: Offset(present("manifest.offset", found.offset)?),
            term: found.term.map(Term),
            count: found.count(),
        }),
    }
}

/// What CheckFile says of a file, asked whether it has 0 bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileSeen {
    /// It is not there.
    Missing,
    /// It is there, and empty.
    Empty,
    /// It is there, with something in it.
    Written,
}

/// CheckFile, of code 0 or -1, which stands for a file that is not there and for one of another size
/// (docs/openmldb/tablet.md#what-can-be-known-before-loading).
///
/// # Errors
/// A -1 that says neither.
pub fn file(answer: &api::GeneralResponse) -> Result<FileSeen, Garbage> {
    match (answer.code(), answer.msg()) {
        (0, _) => Ok(FileSeen::Empty),
        (_, "check size failed") => Ok(FileSeen::Written),
        (_, "get size failed") => Ok(FileSeen::Missing),
        (_, msg) => Err(Garbage::new("msg", Problem::UnknownWord(msg.to_owned()))),
    }
}

/// GetTermPair.
///
/// # Errors
/// The first field that makes no sense.
pub fn term_pair(answer: &api::GetTermPairResponse) -> Result<TermPair, Garbage> {
    let has_table = present("has_table", answer.has_table)?;
    Ok(TermPair {
        has_table,
        is_leader: if has_table { present("is_leader", answer.is_leader)? } else { answer.is_leader() },
        term: Term(present("term", answer.term)?),
        offset: Offset(present("offset", answer.offset)?),
    })
}

/// GetTableFollower, of code 0 or 134 ("has no follower", which carries the leader's offset all the same).
///
/// # Errors
/// The first field that makes no sense.
pub fn followers(answer: &api::GetTableFollowerResponse) -> Result<Followers, Garbage> {
    Ok(Followers {
        leader_offset: Offset(present("offset", answer.offset)?),
        followers: each("follower_info", &answer.follower_info, |follower| {
            let endpoint = Endpoint::from(text("endpoint", follower.endpoint.as_deref())?);
            Ok((endpoint, Offset(present("offset", follower.offset)?)))
        })?,
    })
}

/// Traverse: some rows, and where to go on.
///
/// # Errors
/// `pairs` is cut short, or holds another number of rows than `count` says.
pub fn rows(answer: &api::TraverseResponse) -> Result<RowPage, Garbage> {
    let broken = |problem| Garbage::new("pairs", problem);
    let mut rest = answer.pairs();
    let mut rows = Vec::new();
    while !rest.is_empty() {
        rows.push(row(&mut rest).ok_or_else(|| broken(Problem::CutShort))?);
    }
    let count = answer.count.unwrap_or_default();
    if rows.len() != usize::try_from(count).unwrap_or(usize::MAX) {
        return Err(broken(Problem::OtherCount { said: count, held: rows.len() }));
    }
    let next = (!answer.is_finish()).then(|| RowCursor {
        key: answer.pk().to_vec(),
        time: answer.ts(),
        seen: answer.ts_pos(),
    });
    Ok(RowPage { rows, next })
}

/// One row of `pairs`: the length of what follows the two lengths, the key's length, the time, the key, the value. Little-endian.
fn row(rest: &mut &[u8]) -> Option<Row> {
    let length = usize::try_from(u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?)).ok()?;
    let key_length = usize::try_from(u32::from_le_bytes(*rest.split_off(..4)?.first_chunk()?)).ok()?;
    let mut body = rest.split_off(..length)?;
    let time = u64::from_le_bytes(*body.split_off(..8)?.first_chunk()?);
    let key = body.split_off(..key_length)?;
    Some(Row { key: key.to_vec(), time, value: body.to_vec() })
}

fn storage_mode(number: Option<i32>) -> Result<StorageMode, Garbage> {
    let number = number.unwrap_or(common::StorageMode::KMemory as i32);
    match common::StorageMode::try_from(number) {
        Ok(common::StorageMode::KMemory) => Ok(StorageMode::Memory),
        Ok(common::StorageMode::KSsd) => Ok(StorageMode::Ssd),
        Ok(common::StorageMode::KHdd) => Ok(StorageMode::Hdd),
        Ok(common::StorageMode::KUnknown) | Err(_) => Err(Garbage::new("storage_mode", Problem::UnknownNumber(number))),
    }
}

fn role(number: i32) -> Result<Role, Garbage> {
    match api::TableMode::try_from(number) {
        Ok(api::TableMode::KTableLeader) => Ok(Role::Leader),
        Ok(api::TableMode::KTableFollower) => Ok(Role::Follower),
        Err(_) => Err(Garbage::new("mode", Problem::UnknownNumber(number))),
    }
}

fn state(number: i32) -> Result<State, Garbage> {
    match api::TableState::try_from(number) {
        Ok(api::TableState::KTableUndefined) => Ok(State::Queued),
        Ok(api::TableState::KTableLoading) => Ok(State::Loading),
        Ok(api::TableState::KTableNormal) => Ok(State::Normal),
        Ok(api::TableState::KMakingSnapshot) => Ok(State::MakingSnapshot),
        Ok(api::TableState::KSnapshotPaused) => Ok(State::SnapshotPaused),
        Err(_) => Err(Garbage::new("state", Problem::UnknownNumber(number))),
    }
}

pub(super) fn each<A, B>(field: &str, items: &[A], read: impl Fn(&A) -> Result<B, Garbage>) -> Result<Vec<B>, Garbage> {
    items.iter().enumerate().map(|(index, item)| read(item).map_err(|error| error.within(field, index))).collect()
}

/// How a tablet describes a table that it has loaded.
///
/// # Errors
/// It describes none.
pub fn table_meta(answer: &api::GetTableSchemaResponse) -> Result<api::TableMeta, Garbage> {
    present("table_meta", answer.table_meta.clone())
}

fn present<T>(field: &str, value: Option<T>) -> Result<T, Garbage> {
    value.ok_or_else(|| Garbage::new(field, Problem::Missing))
}

pub(super) fn text<'a>(field: &str, value: Option<&'a str>) -> Result<&'a str, Garbage> {
    present(field, value.filter(|text| !text.is_empty()))
}

#[cfg(test)]
#[path = "decode_tests.rs"]
mod tests;
