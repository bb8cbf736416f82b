//! Tables to be created: the shape, and where each replica goes.

use thiserror::Error;

use crate::tablet::Ttl;
use openmldb_wire::common::{ColumnDesc, ColumnKey, StorageMode, TtlSt};
use openmldb_wire::nameserver::TableInfo;
use openmldb_wire::r#type::{DataType, TtlType};

/// A table to create, with the placement of every replica. What is absent stays absent in the metadata, as it does in
/// OpenMLDB's: its own tables carry no storage mode, SQL's carry all of them.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct TableSpec {
    /// The database.
    pub db: String,
    /// The table.
    pub name: String,
    /// Where rows live.
    pub storage_mode: Option<StorageMode>,
    /// `format_version`; SQL's CREATE TABLE sends 1.
    pub format_version: Option<u32>,
    /// Columns.
    pub columns: Vec<ColumnDesc>,
    /// Indexes.
    pub keys: Vec<ColumnKey>,
    /// The table it aggregates, for a pre-aggregate table.
    pub base_table_tid: Option<u32>,
    /// One entry per partition, by pid.
    pub placement: Vec<Placement>,
}

/// A partition's replicas, in metadata order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Placement {
    /// Endpoints.
    pub replicas: Vec<String>,
    /// Which of them leads, by place in the list.
    pub leader: usize,
}

impl Placement {
    /// Replicas at `endpoints`, the first one leading.
    pub fn at<E: AsRef<str>>(endpoints: &[E]) -> Self {
        Self { replicas: endpoints.iter().map(|endpoint| endpoint.as_ref().to_owned()).collect(), leader: 0 }
    }

    /// The same with another leader, by place in the list.
    #[must_use]
    pub fn led_by(mut self, leader: usize) -> Self {
        self.leader = leader;
        self
    }
}

/// Why a table or database was not created or dropped, with OpenMLDB's code where it has one.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum SpecError {
    /// 300.
    #[error("no nameserver leads")]
    NoLeader,
    /// 801.
    #[error("database {0} already exists")]
    DatabaseExists(String),
    /// 802.
    #[error("database {0} not found")]
    NoSuchDatabase(String),
    /// 101.
    #[error("table {0} already exists")]
    TableExists(String),
    /// 100.
    #[error("table {0} does not exist")]
    NoSuchTable(String),
    /// 314: a replica on a tablet that is not healthy, no replica, or a leader that is none of the replicas.
    #[error("partition {0} cannot be placed as asked")]
    BadPlacement(usize),
}

impl TableSpec {
    /// A table of the shape the recordings have: a card, an amount and a time, one index.
    pub fn sql(db: &str, name: &str, storage_mode: StorageMode, placement: Vec<Placement>) -> Self {
        let columns = [("card", DataType::KString), ("amt", DataType::KDouble), ("ts", DataType::KTimestamp)];
        Self {
            db: db.to_owned(),
            name: name.to_owned(),
            storage_mode: Some(storage_mode),
            format_version: Some(1),
            columns: columns.map(column).into(),
            keys: vec![ColumnKey {
                ts_name: Some("ts".to_owned()),
                ttl: Some(TtlSt { ttl_type: Some(TtlType::KAbsoluteTime.into()), abs_ttl: Some(0), lat_ttl: None }),
                ..key("idx", &["card"])
            }],
            base_table_tid: None,
            placement,
        }
    }

    /// The pre-aggregate table that a deployment makes of a base table.
    #[must_use]
    pub fn aggregating(self, base_table_tid: u32) -> Self {
        use DataType::{KBigInt, KInt, KString, KTimestamp};
        let columns = [
            ("key", KString),
            ("ts_start", KTimestamp),
            ("ts_end", KTimestamp),
            ("num_rows", KInt),
            ("agg_val", KString),
            ("binlog_offset", KBigInt),
            ("filter_key", KString),
        ];
        let keys = self.keys.into_iter().map(|index| ColumnKey {
            ts_name: Some("ts_start".to_owned()),
            ttl: index.ttl,
            ..key("key_index", &["key"])
        });
        Self { columns: columns.map(column).into(), keys: keys.collect(), base_table_tid: Some(base_table_tid), ..self }
    }

    /// The same with rows that expire.
    #[must_use]
    pub fn keeping(mut self, ttl: Ttl) -> Self {
        for key in &mut self.keys {
            key.ttl = Some(ttl.to_wire());
        }
        self
    }

    /// The number of replicas of the fullest partition, leaders included.
    pub fn replicas(&self) -> usize {
        self.placement.iter().map(|placement| placement.replicas.len()).max().unwrap_or(0)
    }

    /// What the table was made with: none where its places were given by hand, so many here and so many there.
    fn replica_num(&self) -> Option<u32> {
        let copies = self.replicas();
        let is_so = self.placement.iter().all(|placement| placement.replicas.len() == copies);
        u32::try_from(copies).ok().filter(|_| is_so)
    }

    /// The table's metadata but for its partitions.
    pub(super) fn head(&self, tid: u32) -> TableInfo {
        TableInfo {
            name: Some(self.name.clone()),
            tid: Some(tid),
            partition_num: u32::try_from(self.placement.len()).ok(),
            replica_num: self.replica_num(),
            column_desc: self.columns.clone(),
            column_key: self.keys.clone(),
            format_version: self.format_version,
            db: Some(self.db.clone()),
            storage_mode: self.storage_mode.map(i32::from),
            base_table_tid: self.base_table_tid,
            ..TableInfo::default()
        }
    }
}

/// OpenMLDB's databases of its own. ShowDatabase leaves them out.
pub const SYSTEM_DATABASES: [&str; 3] = ["INFORMATION_SCHEMA", "__INTERNAL_DB", "__PRE_AGG_DB"];

/// OpenMLDB's own tables in the order in which they are created, so with tids 2 to 6
/// (docs/openmldb/nameserver.md#system-tables); placed on the endpoints that `place` gives for each name, the first one
/// leading.
pub fn system_tables(place: impl Fn(&str) -> Vec<String>) -> Vec<TableSpec> {
    use DataType::{KBigInt, KInt, KString, KTimestamp};
    let strings = |names: &[&'static str]| names.iter().map(|name| (*name, KString)).collect::<Vec<_>>();
    let mut user = strings(&["Host", "User", "authentication_string"]);
    user.extend([
        ("password_last_changed", KTimestamp),
        ("password_expired", KTimestamp),
        ("Create_user_priv", KString),
    ]);
    let mut job = vec![("id", KInt)];
    job.extend(strings(&["job_type", "state"]));
    job.extend([("start_time", KTimestamp), ("end_time", KTimestamp)]);
    job.extend(strings(&["parameter", "cluster", "application_id", "error"]));
    let aggregate = strings(&[
        "aggr_table",
        "aggr_db",
        "base_db",
        "base_table",
        "aggr_func",
        "aggr_col",
        "partition_cols",
        "order_by_col",
        "bucket_size",
        "filter_col",
    ]);
    let unique = ["base_db", "base_table", "aggr_func", "aggr_col", "partition_cols", "order_by_col", "filter_col"];
    let forever = |key| ColumnKey {
        ttl: Some(TtlSt { ttl_type: Some(TtlType::KAbsoluteTime.into()), abs_ttl: Some(0), lat_ttl: None }),
        ..key
    };
    let mut response = strings(&["DEPLOY_NAME", "TIME"]);
    response.extend([("COUNT", KBigInt), ("TOTAL", KString)]);
    let tables = [
        ("__INTERNAL_DB", "USER", user, vec![key("index", &["Host", "User"])]),
        ("__INTERNAL_DB", "JOB_INFO", job, vec![key("id", &["id"])]),
        (
            "__INTERNAL_DB",
            "PRE_AGG_META_INFO",
            aggregate,
            vec![forever(key("aggr_table", &["aggr_table"])), forever(key("unique_key", &unique))],
        ),
        (
            "INFORMATION_SCHEMA",
            "GLOBAL_VARIABLES",
            strings(&["Variable_name", "Variable_value"]),
            vec![key("Variable_name", &["Variable_name"])],
        ),
        ("INFORMATION_SCHEMA", "DEPLOY_RESPONSE_TIME", response, vec![key("index", &["DEPLOY_NAME", "TIME"])]),
    ];
    let spec = |(db, name, columns, keys): (&str, &str, Vec<(&str, DataType)>, Vec<ColumnKey>)| TableSpec {
        db: db.to_owned(),
        name: name.to_owned(),
        columns: columns.into_iter().map(column).collect(),
        keys,
        placement: vec![Placement::at(&place(name))],
        ..TableSpec::default()
    };
    tables.map(spec).into()
}

fn column((name, data_type): (&str, DataType)) -> ColumnDesc {
    ColumnDesc { name: name.to_owned(), data_type: Some(data_type.into()), ..ColumnDesc::default() }
}

/// An index that keeps the newest row, as most of OpenMLDB's own tables do.
fn key(name: &str, columns: &[&str]) -> ColumnKey {
    ColumnKey {
        index_name: Some(name.to_owned()),
        col_name: columns.iter().map(|column| (*column).to_owned()).collect(),
        ttl: Some(TtlSt { ttl_type: Some(TtlType::KLatestTime.into()), abs_ttl: None, lat_ttl: Some(1) }),
        ..ColumnKey::default()
    }
}
