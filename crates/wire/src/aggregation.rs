//! What a pre-aggregate table is made of, as a deployment wrote it down (`__INTERNAL_DB.PRE_AGG_META_INFO`).

use openmldb_model::{Schema, TableName};

use super::{Value, api, nameserver, values};

/// One row of it: what is aggregated, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Aggregation {
    /// The pre-aggregate table.
    pub table: TableName,
    /// What it aggregates.
    pub base: TableName,
    func: String,
    col: String,
    partition_cols: String,
    order_by_col: String,
    bucket_size: String,
    filter_col: String,
}

impl Aggregation {
    /// The table that has them.
    pub const TABLE: (&str, &str) = ("__INTERNAL_DB", "PRE_AGG_META_INFO");

    /// A row; none if it is not of that form.
    pub fn of(row: &[u8], schema: &Schema) -> Option<Self> {
        let values = values(row, schema)?;
        let text = |name: &str| {
            let at = schema.columns.iter().position(|column| column.name == name)?;
            match values.get(at)? {
                Value::Text(text) => Some(text.clone()),
                Value::Null => Some(String::new()),
                _ => None,
            }
        };
        let name = |db: &str, table: &str| Some(TableName { db: text(db)?, table: text(table)? });
        Some(Self {
            table: name("aggr_db", "aggr_table")?,
            base: name("base_db", "base_table")?,
            func: text("aggr_func")?,
            col: text("aggr_col")?,
            partition_cols: text("partition_cols")?,
            order_by_col: text("order_by_col")?,
            bucket_size: text("bucket_size")?,
            filter_col: text("filter_col")?,
        })
    }

    /// Adds to a request what a deployment says in it (`sql_cluster_router.cc`: `HandleLongWindows`). Whether the base table has an
    /// index by these columns.
    pub fn describe(self, request: &mut api::CreateAggregatorRequest, base: &nameserver::TableInfo) -> bool {
        let is_it = |key: &super::common::ColumnKey| {
            key.col_name.join(",") == self.partition_cols && key.ts_name() == self.order_by_col
        };
        // A deployment takes the last one that fits.
        let Some(index) = base.column_key.iter().rposition(is_it).and_then(|index| u32::try_from(index).ok()) else {
            return false;
        };
        request.base_table_meta = Some(api::TableMeta {
            db: base.db.clone(),
            name: base.name.clone(),
            tid: base.tid.and_then(|tid| i32::try_from(tid).ok()),
            pid: request.aggr_table_pid.and_then(|pid| i32::try_from(pid).ok()),
            column_desc: base.column_desc.clone(),
            column_key: base.column_key.clone(),
            ..Default::default()
        });
        request.index_pos = Some(index);
        request.aggr_func = Some(self.func);
        request.aggr_col = Some(self.col);
        request.order_by_col = Some(self.order_by_col);
        request.bucket_size = Some(self.bucket_size);
        request.filter_col = Some(self.filter_col).filter(|filter| !filter.is_empty());
        true
    }
}
