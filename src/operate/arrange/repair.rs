//! As many replicas as there should be: what is lacking is added where there is most room, and what is too much is taken away where
//! there is least.

use crate::model::{Endpoint, Partition, Snapshot, Table, Verb, counted, counted_that};
use crate::run::{Sizes, some_of};

use super::super::goal::{Arrangement, Goal};
use super::super::partition_context::{PartitionContext, Refusal};
use super::closed::Closed;
use super::replica_counts::ReplicaCounts;

/// Each partition has as many replicas as its table was made with. Those on tablets that the nameserver does not hear from count as
/// they are: whoever comes back has them, and of whoever does not somebody has to say so (`tablet replace`). A partition with a
/// replica on a tablet that is being upgraded may have one more until `upgrade post`, which takes that one away, not the tablet's own.
pub(super) fn repair(seen: &Snapshot, closed: &Closed, sizes: &Sizes) -> Arrangement {
    let away: Vec<Endpoint> = closed.tablets().into_iter().collect();
    let mut replica_counts = ReplicaCounts::of(seen, &away, sizes, |_| true);
    let mut arrangement = Arrangement { remarks: closed.remarks(&[]), ..Arrangement::default() };
    let mut silent: Vec<Endpoint> = Vec::new();
    let mut lent: Vec<String> = Vec::new();
    let (bases, aggregates): (Vec<&Table>, Vec<&Table>) =
        seen.tables.iter().partition(|table| table.base_table.is_none());
    for table in bases.into_iter().chain(aggregates) {
        let Some(wanted) = table.replica_num.and_then(|count| usize::try_from(count).ok()).filter(|count| *count > 0)
        else {
            continue;
        };
        for partition in &table.partitions {
            silent.extend(partition.places().into_iter().filter(|at| !seen.hears_from(at)));
            if partition.replicas.len() > wanted && partition.places().iter().any(|at| closed.is_upgraded(at)) {
                lent.push(format!("{}/{}", table.name, partition.pid));
                continue;
            }
            let base = places_of_base(seen, table, partition, &arrangement.goals);
            let replicas = match partition.replicas.len() {
                now if now < wanted => with_more(table, partition, wanted, &base, &mut replica_counts),
                now if now > wanted => with_fewer(seen, table, partition, wanted, &base, &mut replica_counts),
                _ => continue,
            };
            let beside = Goal::of_base(seen, table, partition, &arrangement.goals).map(|goal| goal.table.clone());
            let is_as_it_is = replicas == partition.places();
            let goal = Goal {
                table: table.name.clone(),
                pid: partition.pid,
                beside,
                leader: None,
                successor_holds_all: false,
                replaces: None,
                why: format!(
                    "it has {}, and its table was made with {wanted}",
                    counted(partition.replicas.len(), "replica")
                ),
                replicas,
            };
            if goal.replicas.len() < wanted {
                let text = format!(
                    "{} {} too few: no other healthy tablet is without one",
                    counted_that(wanted - goal.replicas.len(), "replica", Verb::Be),
                    goal.name()
                );
                let refusal = Refusal::unsafe_now(text, "start another tablet, and run this again");
                arrangement.beyond.push((goal.clone(), refusal));
            }
            if !is_as_it_is {
                arrangement.goals.push(goal);
            }
        }
    }
    if !lent.is_empty() {
        arrangement.remarks.push(format!(
            "{} {} one more replica until the upgrade is over: none is taken away there",
            some_of(&lent),
            Verb::Have.after(lent.len())
        ));
    }
    silent.sort();
    silent.dedup();
    if !silent.is_empty() {
        let names: Vec<&str> = silent.iter().map(Endpoint::as_str).collect();
        arrangement.remarks.push(format!(
            "the nameserver does not hear from {}: replicas there are counted as they are; `openmldb-ops tablet replace {}` if it is \
             gone for good",
            some_of(&names),
            silent[0]
        ));
    }
    arrangement
}

/// Where the partition that a pre-aggregate table's partition aggregates is, or is to be.
fn places_of_base(seen: &Snapshot, table: &Table, partition: &Partition, goals: &[Goal]) -> Vec<Endpoint> {
    let planned = Goal::of_base(seen, table, partition, goals).map(|goal| goal.replicas.clone());
    let there = || seen.base_of(table, partition.pid).map(|(_, base)| base.places());
    planned.or_else(there).unwrap_or_default()
}

/// Beside the base table's first, then where there is most room.
fn with_more(
    table: &Table,
    partition: &Partition,
    wanted: usize,
    base: &[Endpoint],
    replica_counts: &mut ReplicaCounts,
) -> Vec<Endpoint> {
    let mut replicas = partition.places();
    let (piece, open) = (replica_counts.piece(table, partition), replica_counts.tablets());
    while replicas.len() < wanted {
        let beside = base.iter().find(|at| !replicas.contains(at) && open.contains(at)).cloned();
        let Some(to) = beside.or_else(|| replica_counts.emptiest(&replicas, table.storage)) else { break };
        replica_counts.give(&to, piece);
        replicas.push(to);
    }
    replicas
}

/// Those go first that are not alive or that their tablet has not loaded, then those that are not beside the base table's, then those on the fullest tablet; the leader
/// stays. Only as long as enough are left on tablets that the nameserver hears from.
fn with_fewer(
    seen: &Snapshot,
    table: &Table,
    partition: &Partition,
    wanted: usize,
    base: &[Endpoint],
    replica_counts: &mut ReplicaCounts,
) -> Vec<Endpoint> {
    let mut replicas = partition.places();
    let piece = replica_counts.piece(table, partition);
    let heard = |replicas: &[Endpoint]| replicas.iter().filter(|at| seen.hears_from(at)).count();
    let place = PartitionContext::of(seen, table, partition);
    // A tablet that was started anew is flagged alive, and holds nothing before it is told to load.
    let is_there = |at: &Endpoint| {
        partition.replicas.iter().any(|replica| replica.endpoint == *at && replica.is_alive)
            && place.loaded(at).is_some()
    };
    while heard(&replicas) > wanted {
        let may_go: Vec<&Endpoint> =
            replicas.iter().filter(|at| partition.leader() != Some(at) && seen.hears_from(at)).collect();
        let not_there = may_go.iter().copied().filter(|at| !is_there(at));
        let apart = may_go.iter().copied().filter(|at| !base.is_empty() && !base.contains(at));
        let first = |among: Vec<&Endpoint>| replica_counts.fullest(among, table.storage).cloned();
        let goes = first(not_there.collect()).or_else(|| first(apart.collect())).or_else(|| first(may_go.clone()));
        let Some(goes) = goes else { break };
        replica_counts.take(&goes, piece);
        replicas.retain(|at| *at != goes);
    }
    replicas
}
