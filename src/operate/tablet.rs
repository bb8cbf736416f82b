//! A whole tablet taken out of service and brought back: `offlineendpoint` and `recoverendpoint`.

use crate::model::{Action, Endpoint, Partition, Pid, Replica, Snapshot, Table, TableName, Verb, counted_that};
use crate::run::some_of;

use super::Call;
use super::effect::Effect;
use super::partition_context::{
    PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy, unknown_tablet,
};

/// Every replica on a tablet, with what it is a replica of.
fn replicas<'a>(seen: &'a Snapshot, at: &'a Endpoint) -> impl Iterator<Item = (&'a Table, &'a Partition, &'a Replica)> {
    seen.tables.iter().flat_map(move |table| {
        let there = move |partition: &'a Partition| {
            let replica = partition.replicas.iter().find(|replica| replica.endpoint == *at)?;
            Some((table, partition, replica))
        };
        table.partitions.iter().filter_map(there)
    })
}

fn name(table: &Table, partition: &Partition) -> String {
    format!("{}/{}", table.name, partition.pid)
}

/// Whether another replica of a partition is alive on a tablet that the nameserver hears of.
fn has_another(seen: &Snapshot, partition: &Partition, but: &Endpoint) -> bool {
    let stands_in = |at: &Endpoint| at != but && seen.hears_from(at);
    partition.replicas.iter().any(|replica| replica.is_alive && stands_in(&replica.endpoint))
}

/// `offlineendpoint`.
pub(super) fn offline(seen: &Snapshot, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    failover_is_off(seen)?;
    if seen.tablets.get(endpoint).is_none_or(|tablet| tablet.state.is_none()) {
        return Err(unknown_tablet(seen, endpoint));
    }
    let alive: Vec<_> = replicas(seen, endpoint).filter(|(.., replica)| replica.is_alive).collect();
    // The nameserver leaves the flag of a replica that nobody can stand in for, unless it is the only one there is.
    let alone = |partition: &Partition| !has_another(seen, partition, endpoint);
    let but: Vec<(TableName, Pid)> = alive
        .iter()
        .filter(|(_, partition, _)| partition.replicas.len() > 1 && alone(partition))
        .map(|(table, partition, _)| (table.name.clone(), partition.pid))
        .collect();
    let without: Vec<String> = alive
        .iter()
        .filter(|(_, partition, _)| alone(partition))
        .map(|(table, partition, _)| name(table, partition))
        .collect();
    let mut remarks = Vec::new();
    if !without.is_empty() {
        remarks.push(format!("nobody stands in for {}: unavailable until {endpoint} is back", some_of(&without)));
    }
    if seen.tablets.get(endpoint).is_some_and(|tablet| tablet.held.known().is_some()) {
        remarks.push(format!(
            "{endpoint} runs: what clients write to it at that moment and no follower has yet may be given up"
        ));
    }
    remarks.push(format!(
        "bring it back with `openmldb-ops tablet recover {endpoint}`, or `openmldb-ops recover --all` if it is restarted"
    ));
    let nothing_to_do = alive.len() == but.len();
    let call = (!nothing_to_do).then(|| Call::Action(Action::OfflineEndpoint { endpoint: endpoint.clone() }));
    Ok(Planned { call, effect: Effect::Offlined { endpoint: endpoint.clone(), but }, remarks })
}

/// `recoverendpoint`: RecoverTable for everything there that is not alive, so each has to be one that may be recovered.
pub(super) fn recover(seen: &Snapshot, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    failover_is_off(seen)?;
    tablet_is_healthy(seen, endpoint)?;
    let effect = Effect::TabletRecovered { endpoint: endpoint.clone() };
    let (alive, down): (Vec<_>, Vec<_>) = replicas(seen, endpoint).partition(|(.., replica)| replica.is_alive);
    let holds = seen.tablets.get(endpoint).and_then(|tablet| tablet.held.known());
    let is_loaded = |table: &Table, partition: &Partition| {
        let id = crate::model::PartitionId { tid: table.tid, pid: partition.pid };
        holds.and_then(|held| held.get(&id)).is_some_and(|held| held.state.is_loaded())
    };
    let only_flagged: Vec<String> = alive
        .iter()
        .filter(|(table, partition, _)| !is_loaded(table, partition))
        .map(|(table, partition, _)| name(table, partition))
        .collect();
    if !only_flagged.is_empty() {
        let text = format!(
            "{} on {endpoint} is flagged alive and not loaded: recoverendpoint passes over what is alive",
            some_of(&only_flagged)
        );
        return Err(Refusal::unsafe_now(
            text,
            format!("take it out of service first: `openmldb-ops tablet offline {endpoint}`"),
        ));
    }
    let (mut in_the_way, mut resent) = (Vec::new(), 0);
    for (table, partition, _) in down.iter().filter(|(_, partition, _)| partition.replicas.len() > 1) {
        let place = PartitionContext { seen, table, partition };
        match place.leader().map(|_| place.may_be_resent(endpoint)) {
            Some(Ok(resends)) => resent += usize::from(resends),
            Some(Err(blocked)) => in_the_way.push(format!("{}: {}", place.name(), blocked.text)),
            None => in_the_way.push(format!("{} has no leader that is alive", place.name())),
        }
    }
    if let Some(first) = in_the_way.first() {
        let text = match in_the_way.len() {
            1 => first.clone(),
            more => format!("{first}; and {} more", more - 1),
        };
        let hint = "`openmldb-ops recover --all` brings back what can be without losing a row, and says what cannot";
        return Err(Refusal::unsafe_now(text, hint));
    }
    let mut remarks = Vec::new();
    if resent > 0 {
        remarks.push(format!(
            "{} its leader's data; what it holds goes to the recycle bin",
            counted_that(resent, "replica", Verb::Regular("get"))
        ));
    }
    let call = (!down.is_empty()).then(|| Call::RecoverEndpoint(endpoint.clone()));
    Ok(Planned { call, effect, remarks })
}
