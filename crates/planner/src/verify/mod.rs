//! Whether what was meant has come true: not flags alone, but roles, connections, offsets that converge and rows that
//! agree. Pure: two looks at the cluster, some time apart, and what a run remembers; findings out.

mod finding;
mod partition;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use crate::recovery::{Memory, replica_count};
use openmldb_model::{Endpoint, PartitionId, Snapshot, Table, Tablet, TabletState, Tid};

use partition::{Look, count, findings_of};

pub use finding::{Finding, FindingKind, Persistence, Standing, Verification};

/// Compares two looks, the second begun after the first had ended. `memories` is what a run knows; empty if there was none.
pub fn verify(
    first: &Snapshot,
    second: &Snapshot,
    in_scope: impl Fn(&Table, PartitionId) -> bool,
    memories: &BTreeMap<PartitionId, Memory>,
) -> Verification {
    let tables_then: BTreeMap<Tid, &Table> = first.tables.iter().map(|table| (table.tid, table)).collect();
    let mut findings = Vec::new();
    let mut used = BTreeSet::new();
    for table in &second.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if !in_scope(table, id) {
                continue;
            }
            used.extend(partition.replicas.iter().map(|replica| &replica.endpoint));
            let memory = memories.get(&id).cloned().unwrap_or_default();
            let now = Look::of(second, table, partition, &memory);
            let then = tables_then.get(&id.tid).and_then(|table| {
                let partition = table.partitions.iter().find(|partition| partition.pid == id.pid)?;
                Some(Look::of(first, table, partition, &memory))
            });
            findings.extend(findings_of(then.as_ref(), &now));
            findings.extend(replica_count(table, partition).map(|problem| count(&now.view, &problem)));
        }
    }
    let tablets = second.tablets.iter().filter(|(endpoint, _)| used.contains(endpoint));
    findings.extend(tablets.filter_map(|(endpoint, tablet)| registration(endpoint, tablet)));
    Verification::of(findings)
}

/// What ZooKeeper and the nameserver say of a tablet, held against each other. A registration that the nameserver missed
/// stays missed until another nameserver leads (docs/openmldb/nameserver.md#a-registration-that-the-nameserver-missed).
fn registration(endpoint: &Endpoint, tablet: &Tablet) -> Option<Finding> {
    let (kind, text) = match (tablet.state, tablet.in_zookeeper) {
        (Some(TabletState::Offline) | None, Some(true)) => {
            (FindingKind::TabletOffline, "registered in ZooKeeper, and offline to the nameserver")
        }
        (Some(TabletState::Healthy), Some(false)) => (
            FindingKind::RegistrationGone,
            "its registration in ZooKeeper is gone, but the nameserver still considers it healthy",
        ),
        _ => return None,
    };
    Some(Finding {
        kind,
        table: None,
        pid: None,
        endpoint: Some(endpoint.clone()),
        nature: Persistence::Stays,
        text: text.to_owned(),
        hint: kind.hint().to_owned(),
    })
}
