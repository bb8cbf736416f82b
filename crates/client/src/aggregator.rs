//! What CreateAggregator needs beside two numbers: what the deployment wrote down of a pre-aggregate table, and its base table.

use openmldb_model::{Endpoint, PartitionId, Pid, RowCursor, TableName, Tid};
use openmldb_wire::call::NameserverAnswer;
use openmldb_wire::{Aggregation, api, encode, nameserver};

use super::Cluster;

/// Rows a page.
const PAGE: u32 = 1_000;

impl Cluster {
    /// Adds what the deployment wrote down. What is wrong is said as text: nothing was sent that changes anything.
    pub(super) async fn describe_aggregator(
        &self,
        request: &mut api::CreateAggregatorRequest,
        table: &TableName,
        tid: Tid,
    ) -> Result<(), String> {
        let aggregate = self.described(table, tid).await.map_err(|error| error.to_string())?;
        let base = Tid(aggregate.base_table_tid());
        let (db, name) = Aggregation::TABLE;
        let written = TableName { db: db.to_owned(), table: name.to_owned() };
        let mut found = self.aggregations(&written).await?.into_iter().filter(|found| found.table == *table);
        let (Some(one), None) = (found.next(), found.next()) else {
            return Err(format!("{written} does not have one row of it"));
        };
        let described = self.described(&one.base, base).await.map_err(|error| error.to_string())?;
        let name = one.base.clone();
        match one.describe(request, &described) {
            true => Ok(()),
            false => Err(format!("{name} has no index by the columns that {written} names")),
        }
    }

    async fn aggregations(&self, written: &TableName) -> Result<Vec<Aggregation>, String> {
        let unreadable = || format!("{written} cannot be read");
        let schema = self.schema(written).await.map_err(|error| error.to_string())?.ok_or_else(unreadable)?;
        let answer = self.nameserver(encode::show_table(written)).await.map_err(|error| error.to_string())?;
        let NameserverAnswer::ShowTable(shown) = answer else { return Err(unreadable()) };
        let info = shown.table_info.iter().find(|info| info.name() == written.table && info.db() == written.db);
        let (leader, id) = info.and_then(led).ok_or_else(|| format!("{written} has no leader"))?;
        let (mut all, mut after): (Vec<Aggregation>, Option<RowCursor>) = (Vec::new(), None);
        loop {
            let page = self.rows(&leader, id, None, after.as_ref(), PAGE).await.map_err(|error| error.to_string())?;
            for row in &page.rows {
                all.push(Aggregation::of(&row.value, &schema).ok_or_else(unreadable)?);
            }
            // A page that leads nowhere would be asked for for ever.
            match page.next.filter(|next| after.as_ref() != Some(next)) {
                Some(next) => after = Some(next),
                None => return Ok(all),
            }
        }
    }
}

/// Who leads a table's only partition.
fn led(info: &nameserver::TableInfo) -> Option<(Endpoint, PartitionId)> {
    let [partition] = info.table_partition.as_slice() else { return None };
    let leader = partition.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive())?;
    let id = PartitionId { tid: Tid(info.tid()), pid: Pid(partition.pid) };
    Some((Endpoint::from(leader.endpoint.as_str()), id))
}
