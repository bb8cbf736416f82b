//! Pre-aggregate tables that are ahead of their base tables: no call shows it, and each Put would
//! (docs/openmldb/load-table.md#pre-aggregate-tables).

use crate::cluster::Cluster;
use crate::model::{Partition, PartitionId, Snapshot, Table, counted};
use crate::rows::aggregated_up_to;
use crate::verify::{Finding, FindingKind, Nature, Verification};

use super::scope::Scope;

/// Adds to what was found the partitions in scope that are ahead, and those of which nobody can tell: they have more rows than are
/// read, or do not answer.
pub(super) async fn with_aggregates(
    cluster: &Cluster,
    seen: &Snapshot,
    scope: &Scope,
    up_to: u64,
    found: Verification,
) -> Verification {
    let mut findings = found.findings;
    for (table, partition) in aggregates_in(seen, scope) {
        findings.extend(ahead(cluster, seen, (table, partition), up_to).await);
    }
    Verification::of(findings)
}

fn aggregates_in<'a>(seen: &'a Snapshot, scope: &Scope) -> Vec<(&'a Table, &'a Partition)> {
    let mut found = Vec::new();
    for table in seen.tables.iter().filter(|table| table.base_table.is_some()) {
        let is_in = |pid| scope.covers(table, PartitionId { tid: table.tid, pid });
        found.extend(
            table.partitions.iter().filter(|partition| is_in(partition.pid)).map(|partition| (table, partition)),
        );
    }
    found
}

async fn ahead(
    cluster: &Cluster,
    seen: &Snapshot,
    (table, partition): (&Table, &Partition),
    up_to: u64,
) -> Option<Finding> {
    let (base, found) = seen.base_of(table, partition.pid)?;
    let (leader, base_leader) = (partition.leader()?, found.leader()?);
    let id = PartitionId { tid: table.tid, pid: partition.pid };
    let held = seen.tablets.get(leader)?.held.known()?.get(&id).filter(|held| held.state.is_loaded())?;
    let base_name = format!("{}/{}", base.name, found.pid);
    let finding = |nature, text| {
        let kind = FindingKind::AggregateAhead;
        let (table, pid, endpoint) = (Some(table.name.clone()), Some(partition.pid), Some(leader.clone()));
        Some(Finding { kind, table, pid, endpoint, nature, text, hint: kind.hint().to_owned() })
    };
    let unread = |why: String| {
        let text =
            format!("whether it is ahead of {base_name}, so that every Put there would fail, is not known: {why}");
        finding(Nature::Remark, text)
    };
    if held.record_cnt > up_to {
        return unread(format!("it has {}", counted(held.record_cnt, "row")));
    }
    let reaches = match aggregated_up_to(cluster, &table.name, id, leader).await {
        Ok(reaches) => reaches?,
        Err(error) => return unread(error.to_string()),
    };
    // Asked afterwards: what was put meanwhile is in its log before it is aggregated.
    let base_id = PartitionId { tid: base.tid, pid: found.pid };
    match cluster.replica_status_once(base_leader, base_id).await {
        Ok(Some(held)) if reaches > held.offset.0 => {
            let end = held.offset;
            let text = format!(
                "is made of {base_name} up to offset {reaches}, and {base_leader} holds that up to {end}: every Put there is kept, and \
                 answered with \"update aggr failed\""
            );
            finding(Nature::Stays, text)
        }
        Ok(_) => None,
        Err(error) => unread(error.to_string()),
    }
}
