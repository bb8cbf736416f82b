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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::common::{ColumnDesc, ColumnKey};
    use openmldb_model::{Column, ColumnKind};

    const NAMES: [&str; 10] = [
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
    ];

    fn schema() -> Schema {
        let column = |name: &&str| Column { name: (*name).to_owned(), kind: ColumnKind::Text };
        Schema { columns: NAMES.iter().map(column).collect(), versions: Vec::new(), indexes: Vec::new() }
    }

    /// A row as a real tablet took it and gave it back.
    fn row(texts: [&str; 10]) -> Vec<u8> {
        let begin = 6 + 2 + texts.len();
        let starts = texts.iter().scan(begin, |at, text| Some(std::mem::replace(at, *at + text.len()) as u8));
        let starts: Vec<u8> = starts.collect();
        let body = texts.concat();
        let size = (begin + body.len()) as u32;
        [&[1, 1], size.to_le_bytes().as_slice(), &[0, 0], &starts, body.as_bytes()].concat()
    }

    fn base(keys: &[(&[&str], &str)]) -> nameserver::TableInfo {
        let key = |(columns, time): &(&[&str], &str)| ColumnKey {
            col_name: columns.iter().map(|column| (*column).to_owned()).collect(),
            ts_name: Some((*time).to_owned()),
            ..Default::default()
        };
        nameserver::TableInfo {
            tid: Some(7),
            name: Some("orders".to_owned()),
            column_desc: vec![ColumnDesc::default()],
            column_key: keys.iter().map(key).collect(),
            ..Default::default()
        }
    }

    #[test]
    fn a_request_says_what_the_deployment_said() {
        let texts = ["pre_sum", "__PRE_AGG_DB", "shop", "orders", "sum", "amt", "card,kind", "ts", "8", ""];
        let found = Aggregation::of(&row(texts), &schema()).unwrap();
        assert_eq!(
            (found.table.to_string(), found.base.to_string()),
            ("__PRE_AGG_DB.pre_sum".into(), "shop.orders".into())
        );
        let mut request = api::CreateAggregatorRequest { aggr_table_pid: Some(3), ..Default::default() };
        assert!(!found.clone().describe(&mut request, &base(&[(&["card"], "ts"), (&["card", "kind"], "at")])));
        assert_eq!(request.base_table_meta, None, "there is no index by these");
        assert!(found.describe(&mut request, &base(&[(&["card"], "ts"), (&["card", "kind"], "ts")])));
        let meta = request.base_table_meta.clone().unwrap();
        assert_eq!((meta.tid, meta.pid, meta.column_key.len()), (Some(7), Some(3), 2));
        assert_eq!((request.index_pos, request.bucket_size()), (Some(1), "8"));
        assert_eq!(request.filter_col, None);
    }

    #[test]
    fn a_row_of_another_form_is_none() {
        let texts = ["pre_sum", "__PRE_AGG_DB", "shop", "orders", "sum", "amt", "card", "ts", "8", "kind"];
        let fewer = Schema { columns: schema().columns[..9].to_vec(), ..schema() };
        assert_eq!(Aggregation::of(&row(texts), &fewer), None);
        assert_eq!(Aggregation::of(b"\x01\x01", &schema()), None);
    }
}
