//! A look at one partition: what the leading nameserver says of it, and the tablets it is on. Nobody else is asked, so nobody
//! else can hold it up.

use std::collections::{BTreeMap, BTreeSet};

use tokio::task::JoinSet;

use crate::cluster::{CallError, Cluster};
use crate::model::{
    Endpoint, Held, PartitionId, Pid, Probes, Registration, Seen, Snapshot, StorageMode, Table, TableName, Tablet, Zone,
};
use crate::recovery::{Probe, Question};

use super::collect::{EVERYTHING, Subject, probe};

/// What a look at one partition is about, and what it calls the cluster.
#[derive(Debug, Clone, Copy)]
pub struct OnePartition<'a> {
    /// What the snapshot calls the cluster.
    pub cluster: &'a str,
    /// The table.
    pub table: &'a TableName,
    /// The partition.
    pub pid: Pid,
    /// Tablets that are to be asked although metadata may name no replica there.
    pub beside: &'a [Endpoint],
    /// Milliseconds since 1970, only written down.
    pub now_ms: u64,
}

/// Looks at one partition. In the snapshot there is its table with this partition alone, its operations, and the tablets it is on and
/// those beside it; none of that if there is no such table.
///
/// # Errors
/// The nameserver's. A tablet that does not answer is a value in the snapshot.
pub async fn look_at_partition(cluster: &Cluster, one: &OnePartition<'_>) -> Result<Snapshot, CallError> {
    // Operations first: what one has done before it is seen ended shows in a table read after it.
    let ops = cluster.ops_of(one.table, one.pid).await?;
    let (table, registrations, auto_failover) =
        tokio::try_join!(cluster.table(one.table), cluster.tablets(), cluster.auto_failover())?;
    let identity = match cluster.identity() {
        Some(identity) => identity,
        None => {
            let registered = cluster.registered_tablets().await.unwrap_or_default();
            cluster.identify(table.as_slice(), &registrations, registered.as_deref()).await
        }
    };
    let table = table.map(|table| only(table, one.pid));
    let mut tablets = of_interest(table.as_ref(), one.beside, registrations);
    for (endpoint, tablet) in &mut tablets {
        // The nameserver may not have heard of a new address yet.
        tablet.real_endpoint = cluster.address_of(endpoint).or(tablet.real_endpoint.take());
    }
    let partition = table.as_ref().and_then(|table| {
        let partition = table.partitions.first()?;
        Some((PartitionId { tid: table.tid, pid: partition.pid }, table.storage))
    });
    if let Some((id, storage)) = partition {
        let mut asked = JoinSet::new();
        for endpoint in tablets.keys().cloned() {
            asked.spawn(ask(cluster.clone(), endpoint, id, storage));
        }
        while let Some(answered) = asked.join_next().await {
            let Ok((endpoint, held, probes)) = answered else { continue };
            if let Some(tablet) = tablets.get_mut(&endpoint) {
                tablet.held = held;
                tablet.probes.insert(id, probes);
            }
        }
        // After everybody: what a follower has said that it holds its leader has by now, or never had.
        for (endpoint, tablet) in &mut tablets {
            let subject = Subject { partition: id, storage, is_aggregate: false };
            let held = tablet.held.known().and_then(|held| held.get(&id));
            if subject.is_worth_asking(Question::Followers, held)
                && let Some(probes) = tablet.probes.get_mut(&id)
            {
                let probe_of = Probe { endpoint: endpoint.clone(), question: Question::Followers };
                probe(cluster, &probe_of, id, storage, probes).await;
            }
        }
    }
    let (cluster, taken_at_ms) = (one.cluster.to_owned(), one.now_ms);
    Ok(Snapshot {
        cluster,
        taken_at_ms,
        identity,
        zone: Zone::Alone,
        auto_failover,
        tables: table.into_iter().collect(),
        tablets,
        ops,
    })
}

/// A table with one of its partitions.
pub fn only(mut table: Table, pid: Pid) -> Table {
    table.partitions.retain(|partition| partition.pid == pid);
    table
}

/// The tablets that a partition is on, and others, as the nameserver lists them.
fn of_interest(
    table: Option<&Table>,
    beside: &[Endpoint],
    registrations: Vec<Registration>,
) -> BTreeMap<Endpoint, Tablet> {
    let places = table.into_iter().flat_map(|table| &table.partitions).flat_map(|partition| partition.places());
    let asked: BTreeSet<Endpoint> = places.chain(beside.iter().cloned()).collect();
    let mut tablets: BTreeMap<Endpoint, Tablet> = asked.into_iter().map(|at| (at, Tablet::unknown())).collect();
    for registration in registrations {
        if let Some(tablet) = tablets.get_mut(&registration.endpoint) {
            tablet.state = Some(registration.state);
            tablet.unchanged_ms = registration.unchanged_ms;
            tablet.real_endpoint = registration.real_endpoint;
        }
    }
    tablets
}

/// What a tablet holds of a partition, as an answer to a question about everything has it.
pub async fn held_of(cluster: &Cluster, endpoint: &Endpoint, id: PartitionId) -> Seen<BTreeMap<PartitionId, Held>> {
    match cluster.replica_status_once(endpoint, id).await {
        Ok(held) => Seen::Known(held.into_iter().map(|held| (id, held)).collect()),
        Err(error) => Seen::Failed(error.to_string()),
    }
}

/// What a tablet holds of a partition, and what it has to say about that.
async fn ask(
    cluster: Cluster,
    endpoint: Endpoint,
    id: PartitionId,
    storage: StorageMode,
) -> (Endpoint, Seen<BTreeMap<PartitionId, Held>>, Probes) {
    let held = held_of(&cluster, &endpoint, id).await;
    let mut probes = Probes::UNASKED;
    let subject = Subject { partition: id, storage, is_aggregate: false };
    if let Seen::Known(known) = &held {
        for question in EVERYTHING.iter().copied().filter(|question| *question != Question::Followers) {
            if subject.is_worth_asking(question, known.get(&id)) {
                probe(&cluster, &Probe { endpoint: endpoint.clone(), question }, id, storage, &mut probes).await;
            }
        }
    }
    (endpoint, held, probes)
}
