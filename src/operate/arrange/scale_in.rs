//! Emptying tablets: everything they have goes to the others.

use crate::model::{Endpoint, Partition, PartitionId, Snapshot, Table, counted};
use crate::run::{Sizes, some_of};

use super::super::goal::{Arrangement, Goal};
use super::super::partition_context::{Refusal, tablet_is_healthy};
use super::closed::Closed;
use super::replica_counts::ReplicaCounts;

/// Every partition with a replica on one of `leaving` has it on another tablet.
///
/// # Errors
/// A tablet that is not there, or fewer left than some table has replicas.
pub(super) fn scale_in(
    seen: &Snapshot,
    leaving: &[Endpoint],
    closed: &Closed,
    sizes: &Sizes,
) -> Result<Arrangement, Refusal> {
    leaving.iter().try_for_each(|endpoint| may_leave(seen, endpoint))?;
    let away: Vec<Endpoint> = leaving.iter().cloned().chain(closed.tablets()).collect();
    let mut replica_counts = ReplicaCounts::of(seen, &away, sizes, |_| true);
    let left = replica_counts.tablets();
    enough_are_left(seen, leaving, left.len(), "add a tablet first, or remove fewer")?;
    let mut arrangement = Arrangement { remarks: unknown(seen, leaving), ..Arrangement::default() };
    arrangement.remarks.extend(closed.remarks(leaving));
    // A pre-aggregate table's replica is attached to its base table's on the same tablet as it loads
    // (docs/openmldb/load-table.md#pre-aggregate-tables).
    let (bases, aggregates): (Vec<&Table>, Vec<&Table>) =
        seen.tables.iter().partition(|table| table.base_table.is_none());
    for table in bases.into_iter().chain(aggregates) {
        for partition in &table.partitions {
            let like = Goal::of_base(seen, table, partition, &arrangement.goals);
            let goal = moved_away(table, partition, (leaving, closed), &mut replica_counts, like, None);
            arrangement.goals.extend(goal);
        }
    }
    Ok(arrangement)
}

/// One that does not answer has nothing to move; what it held is somewhere else, or gone with it.
fn may_leave(seen: &Snapshot, endpoint: &Endpoint) -> Result<(), Refusal> {
    tablet_is_healthy(seen, endpoint).map_err(|refusal| match seen.tablets.get(endpoint) {
        Some(_) => Refusal {
            hint: format!(
                "{}; if it is gone for good, `openmldb-ops tablet replace {endpoint}` brings its replicas up elsewhere",
                refusal.hint
            ),
            ..refusal
        },
        None => refusal,
    })
}

/// A partition without its replicas on tablets that leave; none if it has none there. Others go where those of its base table go, or
/// to the tablet that is `preferred`, or to the emptiest.
pub(super) fn moved_away(
    table: &Table,
    partition: &Partition,
    (leaving, closed): (&[Endpoint], &Closed),
    replica_counts: &mut ReplicaCounts,
    like: Option<&Goal>,
    preferred: Option<&Endpoint>,
) -> Option<Goal> {
    let now = partition.places();
    if !now.iter().any(|at| leaving.contains(at)) {
        return None;
    }
    let mut replicas: Vec<Endpoint> = now.iter().filter(|at| !leaving.contains(at)).cloned().collect();
    let staying = replicas.len();
    let piece = replica_counts.piece(table, partition);
    while replicas.len() < wanted(table, partition) {
        let is_free = |at: &&Endpoint| !replicas.contains(at);
        let named = preferred.into_iter().chain(like.into_iter().flat_map(|goal| &goal.replicas)).find(is_free);
        let Some(to) = named.cloned().or_else(|| replica_counts.emptiest(&replicas, table.storage)) else { break };
        replica_counts.give(&to, piece);
        replicas.push(to);
    }
    let leads = partition.leader().filter(|leader| leaving.contains(leader));
    let leader = leads.and_then(|_| {
        let with_base = like.and_then(|goal| goal.leader.as_ref()).filter(|at| replicas.contains(at));
        // A replica that already has the rows, if there is one.
        let successors = if staying > 0 { &replicas[..staying] } else { &replicas[..] };
        let is_open = |at: &&Endpoint| !closed.has(at);
        let open = || replica_counts.leads_least(successors.iter().filter(is_open));
        // Before one that is being upgraded or emptied, one that is to have them.
        let new = || replica_counts.leads_least(replicas.iter().filter(is_open));
        with_base.or_else(open).or_else(new).or_else(|| replica_counts.leads_least(successors)).cloned()
    });
    leader.iter().for_each(|at| replica_counts.leader(at, 1));
    let from: Vec<&str> = now.iter().filter(|at| leaving.contains(at)).map(Endpoint::as_str).collect();
    let why = format!("{} is being emptied", from.join(", "));
    Some(Goal {
        table: table.name.clone(),
        pid: partition.pid,
        replicas,
        leader,
        beside: like.map(|goal| goal.table.clone()),
        successor_holds_all: false,
        replaces: None,
        why,
    })
}

/// How many replicas a partition is to have: what its table was made with, and where nobody knows, as many as now. What an
/// interrupted move left beyond that is not moved on.
pub(super) fn wanted(table: &Table, partition: &Partition) -> usize {
    table.replica_num.and_then(|count| usize::try_from(count).ok()).unwrap_or(partition.replicas.len()).max(1)
}

/// `hint` is what to do where they are not.
pub(super) fn enough_are_left(seen: &Snapshot, leaving: &[Endpoint], left: usize, hint: &str) -> Result<(), Refusal> {
    let wants = |table: &&Table| table.partitions.iter().map(|partition| wanted(table, partition)).max().unwrap_or(0);
    let too_wide = |table: &&Table| {
        wants(table) > left && leaving.iter().any(|endpoint| table.partitions_on(endpoint).next().is_some())
    };
    let names: Vec<String> = seen
        .tables
        .iter()
        .filter(too_wide)
        .map(|table| format!("{} ({})", table.name, counted(wants(&table), "replica")))
        .collect();
    if names.is_empty() {
        return Ok(());
    }
    let text = format!("{} would be left, too few for {}", counted(left, "healthy tablet"), some_of(&names));
    Err(Refusal::unsafe_now(text, hint))
}

/// Replicas that no table knows of: nobody moves them.
fn unknown(seen: &Snapshot, leaving: &[Endpoint]) -> Vec<String> {
    let is_placed = |at: &Endpoint, id: PartitionId| {
        let table = seen.tables.iter().find(|table| table.tid == id.tid);
        table.is_some_and(|table| table.partitions_on(at).any(|partition| partition.pid == id.pid))
    };
    let mut remarks = Vec::new();
    for at in leaving {
        let held = seen.tablets.get(at).and_then(|tablet| tablet.held.known());
        let strangers: Vec<String> = held
            .into_iter()
            .flat_map(|held| held.values())
            .filter(|held| !is_placed(at, held.partition))
            .map(|held| format!("{} ({})", held.partition, counted(held.record_cnt, "row")))
            .collect();
        if !strangers.is_empty() {
            remarks.push(format!(
                "{at} holds replicas that the nameserver does not know: {}; they stay there",
                strangers.join(", ")
            ));
        }
    }
    remarks
}
