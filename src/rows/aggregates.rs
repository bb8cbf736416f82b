//! How much of its base table's log a pre-aggregate partition is made of: each of its rows says
//! (docs/openmldb/load-table.md#pre-aggregate-tables).
use crate::cluster::{CallError, Cluster};
use crate::model::{Endpoint, PartitionId, RowCursor, Schema};
use crate::wire::{Value, values};

/// The column of a pre-aggregate table that holds the base table's offset.
const OFFSET: &str = "binlog_offset";
/// Rows a page.
const PAGE: u32 = 5_000;

/// The largest offset of the base table's log that any row on this replica reaches to; none if its schema has no such column, or no row
/// is like that. Reads the whole replica, and changes nothing.
///
/// # Errors
/// See [`CallError`].
pub async fn aggregated_up_to(
    cluster: &Cluster,
    schema: &Schema,
    partition: PartitionId,
    at: &Endpoint,
) -> Result<Option<u64>, CallError> {
    let Some(column) = schema.columns.iter().position(|column| column.name == OFFSET) else { return Ok(None) };
    let mut reaches = None;
    let mut after: Option<RowCursor> = None;
    loop {
        let page = cluster.rows(at, partition, None, after.as_ref(), PAGE).await?;
        let offsets = page.rows.iter().filter_map(|row| match values(&row.value, schema)?.get(column)? {
            Value::Int(offset) => u64::try_from(*offset).ok(),
            _ => None,
        });
        reaches = reaches.max(offsets.max());
        // A page that leads nowhere would be asked for for ever.
        match page.next.filter(|next| after.as_ref() != Some(next)) {
            Some(next) => after = Some(next),
            None => return Ok(reaches),
        }
    }
}
