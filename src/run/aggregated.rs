//! Pre-aggregate tables that are ahead of their base tables: no call shows it, and each Put would
//! (docs/openmldb/load-table.md#pre-aggregate-tables).

use std::collections::BTreeMap;

use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::model::{Endpoint, Held, Partition, PartitionId, Schema, Snapshot, Table, TableName, counted};
use crate::rows::aggregated_up_to;
use crate::verify::{Finding, FindingKind, Persistence, Verification};

use super::scope::Scope;

/// Adds to what was found the partitions in scope that are ahead, and those of which nobody can tell: they have more rows than are
/// read, or do not answer. At each tablet one replica is read at a time.
pub(super) async fn with_aggregates(
    cluster: &Cluster,
    seen: &Snapshot,
    scope: &Scope,
    up_to: u64,
    found: Verification,
) -> Verification {
    let mut by_leader: BTreeMap<Endpoint, Vec<Aggregate>> = BTreeMap::new();
    for aggregate in aggregates_in(seen, scope) {
        by_leader.entry(aggregate.leader.clone()).or_default().push(aggregate);
    }
    let mut reading = JoinSet::new();
    for aggregates in by_leader.into_values() {
        let cluster = cluster.clone();
        reading.spawn(async move {
            let mut schemas: BTreeMap<TableName, Option<Schema>> = BTreeMap::new();
            let mut findings = Vec::new();
            for aggregate in aggregates {
                findings.extend(ahead(&cluster, &mut schemas, &aggregate, up_to).await);
            }
            findings
        });
    }
    let mut ahead = Vec::new();
    while let Some(read) = reading.join_next().await {
        ahead.extend(read.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic())));
    }
    ahead.sort_by_key(|finding: &Finding| (finding.table.clone(), finding.pid));
    let findings = found.findings.into_iter().chain(ahead).collect();
    Verification::of(findings)
}

/// A partition of a pre-aggregate table that is led, as is what it aggregates.
struct Aggregate {
    table: TableName,
    id: PartitionId,
    leader: Endpoint,
    rows: u64,
    base: String,
    base_id: PartitionId,
    base_leader: Endpoint,
}

fn aggregates_in(seen: &Snapshot, scope: &Scope) -> Vec<Aggregate> {
    let mut found = Vec::new();
    for table in seen.tables.iter().filter(|table| table.base_table.is_some()) {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if scope.covers(table, id) {
                found.extend(aggregate(seen, table, partition));
            }
        }
    }
    found
}

/// None where a tablet did not answer at this look, or does not have it loaded: that is found without reading.
fn aggregate(seen: &Snapshot, table: &Table, partition: &Partition) -> Option<Aggregate> {
    let (base, found) = seen.base_of(table, partition.pid)?;
    let (leader, base_leader) = (partition.leader()?.clone(), found.leader()?.clone());
    let id = PartitionId { tid: table.tid, pid: partition.pid };
    let base_id = PartitionId { tid: base.tid, pid: found.pid };
    let loaded = |at, id| seen.tablets.get(at)?.held.known()?.get(id).filter(|held: &&Held| held.state.is_loaded());
    let rows = loaded(&leader, &id)?.record_cnt;
    loaded(&base_leader, &base_id)?;
    let (table, base) = (table.name.clone(), format!("{}/{}", base.name, found.pid));
    Some(Aggregate { table, id, leader, rows, base, base_id, base_leader })
}

async fn ahead(
    cluster: &Cluster,
    schemas: &mut BTreeMap<TableName, Option<Schema>>,
    aggregate: &Aggregate,
    up_to: u64,
) -> Option<Finding> {
    let Aggregate { table, id, leader, rows, base, base_id, base_leader } = aggregate;
    let finding = |nature, text| {
        let kind = FindingKind::AggregateAhead;
        let (table, pid, endpoint) = (Some(table.clone()), Some(id.pid), Some(leader.clone()));
        Some(Finding { kind, table, pid, endpoint, nature, text, hint: kind.hint().to_owned() })
    };
    let unread = |why: String| {
        let text = format!("it is unknown whether it is ahead of {base}, which would make every Put there fail: {why}");
        finding(Persistence::Remark, text)
    };
    if *rows > up_to {
        return unread(format!("it has {}", counted(*rows, "row")));
    }
    if !schemas.contains_key(table) {
        match cluster.schema(table).await {
            Ok(schema) => schemas.insert(table.clone(), schema),
            Err(error) => return unread(error.to_string()),
        };
    }
    let schema = schemas.get(table)?.as_ref()?;
    let reaches = match aggregated_up_to(cluster, schema, *id, leader).await {
        Ok(reaches) => reaches?,
        Err(error) => return unread(error.to_string()),
    };
    // Asked afterwards: what was put meanwhile is in its log before it is aggregated.
    match cluster.replica_status_once(base_leader, *base_id).await {
        Ok(Some(held)) if reaches > held.offset.0 => {
            let end = held.offset;
            let text = format!(
                "is made of {base} up to offset {reaches}, and {base_leader} holds that up to {end}: every Put there is kept, and \
                 answered with \"update aggr failed\""
            );
            finding(Persistence::Stays, text)
        }
        Ok(_) => None,
        Err(error) => unread(error.to_string()),
    }
}

#[cfg(test)]
#[path = "aggregated_tests.rs"]
mod tests;
