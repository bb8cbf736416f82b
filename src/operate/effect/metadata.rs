//! How a replica stands, as the nameserver and its tablet have it.

use crate::model::{Endpoint, Partition, PartitionId, Pid, Role, Snapshot, TableName, Tablet};

/// What the nameserver says of a replica.
pub(in super::super) struct Flags {
    pub(in super::super) leader: bool,
    pub(in super::super) alive: bool,
}

pub(in super::super) fn flags(seen: &Snapshot, table: &TableName, pid: Pid, endpoint: &Endpoint) -> Option<Flags> {
    let (_, partition) = seen.partition(table, pid)?;
    let replica = partition.replicas.iter().find(|replica| replica.endpoint == *endpoint)?;
    Some(Flags { leader: replica.is_leader, alive: replica.is_alive })
}

/// The role that a tablet has a partition loaded in.
pub(in super::super) fn role(seen: &Snapshot, partition: PartitionId, endpoint: &Endpoint) -> Option<Role> {
    let held = seen.tablets.get(endpoint)?.held.known()?.get(&partition)?;
    held.state.is_loaded().then_some(held.role)
}

/// Whether a replica is alive, loaded as follower, and its leader replicates to it.
pub(in super::super) fn is_recovered(
    seen: &Snapshot,
    table: &TableName,
    partition: PartitionId,
    endpoint: &Endpoint,
) -> bool {
    let is_alive = flags(seen, table, partition.pid, endpoint).is_some_and(|flags| flags.alive && !flags.leader);
    let follows = role(seen, partition, endpoint) == Some(Role::Follower);
    let is_followed = |tablet: &Tablet| {
        let followers = tablet.probes(partition).followers.known();
        followers.is_some_and(|all| all.followers.iter().any(|(follower, _)| follower == endpoint))
    };
    is_alive && follows && seen.tablets.values().any(is_followed)
}

/// Whether there is no such replica, neither for the nameserver nor on the tablet.
pub(in super::super) fn is_gone(
    seen: &Snapshot,
    table: &TableName,
    partition: PartitionId,
    endpoint: &Endpoint,
) -> bool {
    let held = seen.tablets.get(endpoint).and_then(|tablet| tablet.held.known());
    flags(seen, table, partition.pid, endpoint).is_none() && held.is_none_or(|held| !held.contains_key(&partition))
}

/// Partitions with a replica on a tablet.
pub(in super::super) fn placed<'a>(
    seen: &'a Snapshot,
    endpoint: &'a Endpoint,
) -> impl Iterator<Item = (&'a TableName, PartitionId)> {
    seen.tables.iter().flat_map(move |table| {
        let id = |partition: &Partition| PartitionId { tid: table.tid, pid: partition.pid };
        table.partitions_on(endpoint).map(move |partition| (&table.name, id(partition)))
    })
}
