//! Pre-aggregate tables go where their base tables are led: who leads a base table's partition puts aggregates into the copy on its
//! own tablet, and into no other (docs/openmldb/load-table.md#pre-aggregate-tables).

use crate::model::{Aggregator, Endpoint, Partition, PartitionId, Pid, Snapshot, Table, TableName};

use super::super::goal::{Arrangement, Goal};
use super::super::partition_context::{PartitionContext, Refusal, tablet_is_healthy};
use super::closed::Closed;
use super::next::{Next, next};

/// One of a partition's replicas leads it, and the same partitions of its pre-aggregate tables.
pub(super) fn handover(seen: &Snapshot, table: &TableName, pid: Pid, to: &Endpoint) -> Result<Arrangement, Refusal> {
    let place = PartitionContext::find(seen, table, pid)?;
    place.replica(to)?;
    tablet_is_healthy(seen, to)?;
    let mut arrangement = Arrangement::default();
    let mut goals = vec![goal(table, place.partition, to, format!("{to} will lead"))];
    let mut writes_there = false;
    for (aggregate, partition) in aggregates_of(seen, place.table.tid, pid) {
        let name = format!("{}/{pid}", aggregate.name);
        let id = PartitionId { tid: aggregate.tid, pid };
        let writers = aggregators(seen, id, partition);
        writes_there |= writers.contains(&to);
        if let (false, [one, ..]) = (writers.contains(&to), writers.as_slice()) {
            arrangement.remarks.push(format!(
                "only {one} aggregates {table}/{pid} into {name}: what is written while {to} leads is not aggregated"
            ));
        }
        if partition.places().contains(to) {
            goals.push(goal(
                &aggregate.name,
                partition,
                to,
                format!("{to} will lead {table}/{pid}, which it aggregates"),
            ));
        } else {
            arrangement.remarks.push(format!("{to} has no replica of {name}, which aggregates {table}/{pid}"));
        }
    }
    // While the two are apart nobody is to aggregate: only the later leader's tablet may, or only the earlier one's.
    if writes_there {
        goals.rotate_left(1);
    }
    goals.retain(|goal| next(seen, goal) != Next::Done);
    arrangement.goals = one_after_the_other(goals);
    Ok(arrangement)
}

/// Where a tablet aggregates, it leads the pre-aggregate tables before it leads their base tables again.
pub(super) fn first_where_written(seen: &Snapshot, to: &Endpoint, goals: Vec<Goal>) -> Vec<Goal> {
    let base_of = |goal: &Goal| {
        let (table, partition) = seen.partition(&goal.table, goal.pid)?;
        let id = PartitionId { tid: table.tid, pid: goal.pid };
        let is_written = aggregators(seen, id, partition).contains(&to);
        seen.base_of(table, goal.pid).filter(|_| is_written).map(|(base, _)| base.name.clone())
    };
    let (aggregates, mut others): (Vec<Goal>, Vec<Goal>) = goals.into_iter().partition(|goal| base_of(goal).is_some());
    for other in &mut others {
        let of_it = |goal: &&Goal| goal.pid == other.pid && base_of(goal).as_ref() == Some(&other.table);
        other.beside = aggregates.iter().rfind(of_it).map(|goal| goal.table.clone());
    }
    aggregates.into_iter().chain(others).collect()
}

/// Each of these pre-aggregate partitions is led beside its base table's.
pub(super) fn beside(seen: &Snapshot, partitions: &[(TableName, Pid)], closed: &Closed) -> Arrangement {
    let mut arrangement = Arrangement::default();
    for (name, pid) in partitions {
        let Some((table, partition)) = seen.partition(name, *pid) else { continue };
        let Some((base, Some(to))) = seen.base_of(table, *pid).map(|(base, found)| (base, found.leader())) else {
            continue;
        };
        if partition.leader() == Some(to) {
            continue;
        }
        let why = format!("{to} leads {}/{pid}, which it aggregates", base.name);
        if !partition.places().contains(to) {
            arrangement.remarks.push(format!("{name}/{pid} has no replica on {to}, which leads {}/{pid}", base.name));
        } else if closed.has(to) {
            arrangement.remarks.push(format!("nothing is moved to {to}, so {name}/{pid} keeps its leader"));
        } else {
            arrangement.goals.push(goal(name, partition, to, why));
        }
    }
    arrangement
}

fn goal(table: &TableName, partition: &Partition, to: &Endpoint, why: String) -> Goal {
    Goal {
        table: table.clone(),
        pid: partition.pid,
        replicas: partition.places(),
        leader: Some(to.clone()),
        beside: None,
        successor_holds_all: false,
        replaces: None,
        why,
    }
}

/// The same partition of every pre-aggregate table of a table.
fn aggregates_of(seen: &Snapshot, tid: crate::model::Tid, pid: Pid) -> impl Iterator<Item = (&Table, &Partition)> {
    let of_it = seen.tables.iter().filter(move |table| table.base_table == Some(tid));
    of_it.filter_map(move |table| Some((table, table.partitions.iter().find(|found| found.pid == pid)?)))
}

/// The tablets that aggregate into their replica, as far as they said.
fn aggregators<'a>(seen: &Snapshot, id: PartitionId, partition: &'a Partition) -> Vec<&'a Endpoint> {
    let aggregates = |at: &&Endpoint| {
        let asked = seen.tablets.get(*at).map(|tablet| &tablet.probes(id).aggregator);
        asked.and_then(|asked| asked.known()) == Some(&Aggregator::Present)
    };
    partition.replicas.iter().map(|replica| &replica.endpoint).filter(aggregates).collect()
}

/// None begins before the one in front of it has come to its goal.
fn one_after_the_other(mut goals: Vec<Goal>) -> Vec<Goal> {
    for at in 1..goals.len() {
        goals[at].beside = Some(goals[at - 1].table.clone());
    }
    goals
}
