//! Spreading replicas, and leaders, over the tablets there are.
//!
//! Each move goes from a tablet to one that has at least two fewer, so the sum of the squares gets smaller with each, and
//! there is an end: when no two tablets differ by more than one, or when nothing that would fit is left.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Endpoint, Pid, Snapshot, Table, TableName, Tid, counted};
use crate::run::some_of;

use super::super::partition_context::Refusal;
use super::replica_counts::ReplicaCounts;
use super::{Arrangement, Closed, Goal};

/// A partition while it is being thought about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    replicas: Vec<Endpoint>,
    leader: Option<Endpoint>,
}

type Places = BTreeMap<(TableName, Pid), Placed>;

/// The replicas of each user database spread over all healthy tablets, and their leaders.
///
/// # Errors
/// There is nobody to spread them over.
pub(super) fn scale_out(seen: &Snapshot, leaders: bool, closed: &Closed) -> Result<Arrangement, Refusal> {
    let healthy = seen.tablets.keys().filter(|at| seen.hears_from(at) && !closed.has(at)).count();
    if healthy < 2 {
        let text =
            format!("the nameserver takes {} for healthy; to spread replicas takes two", counted(healthy, "tablet"));
        return Err(Refusal::unsafe_now(text, "start the new tablets; see `openmldb-ops show tablets`"));
    }
    let mut arrangement = Arrangement { goals: Vec::new(), remarks: closed.remarks(&[]) };
    let closed: Vec<Endpoint> = closed.tablets().into_iter().collect();
    let bound = bound_together(seen);
    arrangement.remarks.extend(left_alone(seen, &bound));
    let moves = |table: &Table| !table.is_system() && !bound.contains(&table.tid);
    let mut before = Places::new();
    for table in seen.tables.iter().filter(|table| moves(table)) {
        for partition in &table.partitions {
            let placed = Placed { replicas: partition.places(), leader: partition.leader().cloned() };
            before.insert((table.name.clone(), partition.pid), placed);
        }
    }
    let mut after = before.clone();
    let databases: BTreeSet<String> = before.keys().map(|(table, _)| table.db.clone()).collect();
    let mut whole = ReplicaCounts::of(seen, &closed, |table| !table.is_system());
    for db in &databases {
        let mut replica_counts = ReplicaCounts::of(seen, &closed, |table| table.name.db == *db && moves(table));
        spread_replicas(db, &mut after, &mut replica_counts, &mut whole);
        arrangement.remarks.extend(uneven(db, &replica_counts));
        if leaders {
            spread_leaders(db, &mut after, &mut replica_counts);
        }
    }
    for ((table, pid), placed) in after {
        let was = &before[&(table.clone(), pid)];
        if *was == placed {
            continue;
        }
        let why = if was.replicas == placed.replicas { "its leaders are to be spread" } else { "it is to be spread" };
        let leader = if was.leader == placed.leader { None } else { placed.leader };
        arrangement.goals.push(Goal {
            table,
            pid,
            replicas: placed.replicas,
            leader,
            beside: None,
            heir_holds_all: false,
            why: why.to_owned(),
        });
    }
    Ok(arrangement)
}

/// Pairs of tablets, the fullest giving to the emptiest first, that differ by two or more.
fn pairs(tablets: &[Endpoint], count: impl Fn(&Endpoint) -> (usize, usize)) -> Vec<(Endpoint, Endpoint)> {
    let mut pairs: Vec<(Endpoint, Endpoint)> = Vec::new();
    for from in tablets {
        let fits = |to: &&Endpoint| count(from).0 >= count(to).0 + 2;
        pairs.extend(tablets.iter().filter(fits).map(|to| (from.clone(), to.clone())));
    }
    let differ = |pair: &(Endpoint, Endpoint)| {
        let ((from, all_from), (to, all_to)) = (count(&pair.0), count(&pair.1));
        (from - to, all_from as isize - all_to as isize)
    };
    pairs.sort_by(|a, b| differ(b).cmp(&differ(a)).then_with(|| a.cmp(b)));
    pairs
}

fn spread_replicas(db: &str, places: &mut Places, replica_counts: &mut ReplicaCounts, whole: &mut ReplicaCounts) {
    let tablets = replica_counts.tablets();
    loop {
        let count = |at: &Endpoint| (replica_counts.replicas(at), whole.replicas(at));
        let found = pairs(&tablets, count).into_iter().find_map(|(from, to)| {
            let fits = |placed: &Placed| placed.replicas.contains(&from) && !placed.replicas.contains(&to);
            // A follower first: its move needs no other leader.
            let which = places
                .iter()
                .filter(|((table, _), placed)| table.db == db && fits(placed))
                .min_by_key(|(name, placed)| (placed.leader.as_ref() == Some(&from), *name))
                .map(|(name, _)| name.clone())?;
            Some((which, from, to))
        });
        let Some((which, from, to)) = found else { return };
        let Some(placed) = places.get_mut(&which) else { return };
        placed.replicas.iter_mut().filter(|at| **at == from).for_each(|at| *at = to.clone());
        if placed.leader.as_ref() == Some(&from) {
            // Whoever has its rows already leads, if anybody does that may be given something.
            let successors = placed.replicas.iter().filter(|at| **at != to && tablets.contains(at));
            let successor = replica_counts.leads_least(successors).cloned().unwrap_or_else(|| to.clone());
            replica_counts.leader(&from, -1);
            replica_counts.leader(&successor, 1);
            placed.leader = Some(successor);
        }
        for replica_counts in [&mut *replica_counts, &mut *whole] {
            replica_counts.replica(&from, -1);
            replica_counts.replica(&to, 1);
        }
    }
}

fn spread_leaders(db: &str, places: &mut Places, replica_counts: &mut ReplicaCounts) {
    let tablets = replica_counts.tablets();
    loop {
        let found = pairs(&tablets, |at| (replica_counts.leaders(at), 0)).into_iter().find_map(|(from, to)| {
            let fits = |placed: &Placed| placed.leader.as_ref() == Some(&from) && placed.replicas.contains(&to);
            let mut fitting = places.iter().filter(|((table, _), placed)| table.db == db && fits(placed));
            fitting.next().map(|(name, _)| (name.clone(), from, to))
        });
        let Some((which, from, to)) = found else { return };
        let Some(placed) = places.get_mut(&which) else { return };
        replica_counts.leader(&from, -1);
        replica_counts.leader(&to, 1);
        placed.leader = Some(to);
    }
}

/// Tables with a pre-aggregate table, and these: the replicas of one are attached to those of the other as they load.
fn bound_together(seen: &Snapshot) -> BTreeSet<Tid> {
    let aggregates = seen.tables.iter().filter_map(|table| Some((table.tid, table.base_table?)));
    aggregates.flat_map(|(aggregate, base)| [aggregate, base]).collect()
}

fn left_alone(seen: &Snapshot, bound: &BTreeSet<Tid>) -> Option<String> {
    let names: Vec<String> =
        seen.tables.iter().filter(|table| bound.contains(&table.tid)).map(|table| table.name.to_string()).collect();
    (!names.is_empty()).then(|| {
        format!("{} stay where they are: a pre-aggregate table belongs beside its base table", some_of(&names))
    })
}

fn uneven(db: &str, replica_counts: &ReplicaCounts) -> Option<String> {
    let tablets = replica_counts.tablets();
    let most = tablets.iter().max_by_key(|at| replica_counts.replicas(at))?;
    let least = tablets.iter().min_by_key(|at| replica_counts.replicas(at))?;
    let (more, fewer) = (replica_counts.replicas(most), replica_counts.replicas(least));
    (more > fewer + 1).then(|| {
        format!("{db} cannot be spread any further: {most} keeps {} and {least} {fewer}, and nothing that {most} has is not on {least} already", counted(more, "replica"))
    })
}
