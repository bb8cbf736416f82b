//! Spreading replicas, and leaders, over the tablets there are.
//!
//! Replicas are spread by what they take, so that bytes are even, and not heads: those of memory tables by their memory, those of disk
//! tables by their disk ([`Sizes`]). Each move goes from a tablet to one that has less by more than the replica takes, so
//! the sum of the squares gets smaller with each; or by just as much, if all in all that one has less by more. So there is an end: when
//! no two tablets differ by more than a replica, or when nothing that would fit is left.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Endpoint, Pid, Snapshot, StorageMode, Table, TableName, Tid, counted};
use crate::run::{Sizes, some_of};

use super::super::goal::{Arrangement, Goal};
use super::super::partition_context::Refusal;
use super::closed::Closed;
use super::replica_counts::{Piece, ReplicaCounts};

/// A partition while it is being thought about.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Placed {
    piece: Piece,
    replicas: Vec<Endpoint>,
    leader: Option<Endpoint>,
}

type Places = BTreeMap<(TableName, Pid), Placed>;

/// The replicas of each user database spread over all healthy tablets, and their leaders.
///
/// # Errors
/// There is nobody to spread them over.
pub(super) fn scale_out(
    seen: &Snapshot,
    leaders: bool,
    closed: &Closed,
    sizes: &Sizes,
) -> Result<Arrangement, Refusal> {
    let healthy = seen.tablets.keys().filter(|at| seen.hears_from(at) && !closed.has(at)).count();
    if healthy < 2 {
        let text = format!(
            "the nameserver considers only {} healthy; spreading replicas needs two",
            counted(healthy, "tablet")
        );
        return Err(Refusal::unsafe_now(text, "start the new tablets; see `openmldb-ops show tablets`"));
    }
    let mut arrangement = Arrangement { remarks: closed.remarks(&[]), ..Arrangement::default() };
    let closed: Vec<Endpoint> = closed.tablets().into_iter().collect();
    let bound = bound_together(seen);
    arrangement.remarks.extend(left_alone(seen, &bound));
    let moves = |table: &Table| !table.is_system() && !bound.contains(&table.tid);
    let mut before = Places::new();
    let mut whole = ReplicaCounts::of(seen, &closed, sizes, |table| !table.is_system());
    for table in seen.tables.iter().filter(|table| moves(table)) {
        for partition in &table.partitions {
            let piece = whole.piece(table, partition);
            let placed = Placed { piece, replicas: partition.places(), leader: partition.leader().cloned() };
            before.insert((table.name.clone(), partition.pid), placed);
        }
    }
    let mut after = before.clone();
    let databases: BTreeSet<String> = before.keys().map(|(table, _)| table.db.clone()).collect();
    for db in &databases {
        let mut replica_counts = ReplicaCounts::of(seen, &closed, sizes, |table| table.name.db == *db && moves(table));
        spread_replicas(db, &mut after, &mut replica_counts, &mut whole);
        arrangement.remarks.extend(uneven(db, &after, &replica_counts));
        if leaders {
            spread_leaders(db, &mut after, &mut replica_counts);
        }
    }
    for ((table, pid), placed) in after {
        let was = &before[&(table.clone(), pid)];
        if *was == placed {
            continue;
        }
        let why = if was.replicas == placed.replicas { "its leaders are being spread" } else { "it is being spread" };
        let leader = if was.leader == placed.leader { None } else { placed.leader };
        arrangement.goals.push(Goal {
            table,
            pid,
            replicas: placed.replicas,
            leader,
            beside: None,
            successor_holds_all: false,
            replaces: None,
            why: why.to_owned(),
        });
    }
    Ok(arrangement)
}

/// Pairs of tablets, the fullest giving to the emptiest first, that differ by something.
fn pairs(tablets: &[Endpoint], has: impl Fn(&Endpoint) -> (u64, u64)) -> Vec<(Endpoint, Endpoint)> {
    let mut pairs: Vec<(Endpoint, Endpoint)> = Vec::new();
    for from in tablets {
        let has_less = |to: &&Endpoint| has(from).0 > has(to).0;
        pairs.extend(tablets.iter().filter(has_less).map(|to| (from.clone(), to.clone())));
    }
    let differ = |pair: &(Endpoint, Endpoint)| {
        let ((from, all_from), (to, all_to)) = (has(&pair.0), has(&pair.1));
        (from - to, i128::from(all_from) - i128::from(all_to))
    };
    pairs.sort_by(|a, b| differ(b).cmp(&differ(a)).then_with(|| a.cmp(b)));
    pairs
}

/// Whether a replica that goes from one tablet to another makes them more even.
fn evens(replica_counts: &ReplicaCounts, piece: Piece, from: &Endpoint, to: &Endpoint) -> bool {
    let more = |of: &dyn Fn(&Endpoint) -> u64| of(from).saturating_sub(of(to));
    let of_its_kind = more(&|at| replica_counts.weight(at, piece.storage));
    let of_all = more(&|at| replica_counts.whole(at));
    of_its_kind > piece.weight || of_its_kind == piece.weight && of_all > piece.weight
}

fn spread_replicas(db: &str, places: &mut Places, replica_counts: &mut ReplicaCounts, whole: &mut ReplicaCounts) {
    // The kinds have a tablet's memory and its disk to themselves.
    while [StorageMode::Memory, StorageMode::Hdd]
        .into_iter()
        .any(|kind| move_one(db, kind, places, replica_counts, whole))
    {}
}

/// Moves the replica of a kind that makes tablets most even; whether there was one.
fn move_one(
    db: &str,
    kind: StorageMode,
    places: &mut Places,
    replica_counts: &mut ReplicaCounts,
    whole: &mut ReplicaCounts,
) -> bool {
    let tablets = replica_counts.tablets();
    let has = |at: &Endpoint| (replica_counts.weight(at, kind), whole.weight(at, kind));
    let found = pairs(&tablets, has).into_iter().find_map(|(from, to)| {
        let fits = |placed: &Placed| {
            placed.piece.storage.is_disk() == kind.is_disk()
                && placed.replicas.contains(&from)
                && !placed.replicas.contains(&to)
                && evens(replica_counts, placed.piece, &from, &to)
        };
        let differ = replica_counts.weight(&from, kind) - replica_counts.weight(&to, kind);
        // A follower first: its move needs no other leader. Then the one that leaves the two most even.
        let which = places
            .iter()
            .filter(|((table, _), placed)| table.db == db && fits(placed))
            .min_by_key(|(name, placed)| {
                let leads = placed.leader.as_ref() == Some(&from);
                (leads, differ.abs_diff(placed.piece.weight.saturating_mul(2)), *name)
            })
            .map(|(name, _)| name.clone())?;
        Some((which, from, to))
    });
    let Some((which, from, to)) = found else { return false };
    let Some(placed) = places.get_mut(&which) else { return false };
    placed.replicas.iter_mut().filter(|at| **at == from).for_each(|at| *at = to.clone());
    if placed.leader.as_ref() == Some(&from) {
        // A replica that already has the rows leads, if there is one on a tablet that may lead.
        let successors = placed.replicas.iter().filter(|at| **at != to && tablets.contains(at));
        let successor = replica_counts.leads_least(successors).cloned().unwrap_or_else(|| to.clone());
        replica_counts.leader(&from, -1);
        replica_counts.leader(&successor, 1);
        placed.leader = Some(successor);
    }
    for replica_counts in [replica_counts, whole] {
        replica_counts.take(&from, placed.piece);
        replica_counts.give(&to, placed.piece);
    }
    true
}

fn spread_leaders(db: &str, places: &mut Places, replica_counts: &mut ReplicaCounts) {
    let tablets = replica_counts.tablets();
    loop {
        let leads = |at: &Endpoint| (replica_counts.leaders(at) as u64, 0);
        let pairs = pairs(&tablets, leads).into_iter();
        let mut pairs = pairs.filter(|(from, to)| replica_counts.leaders(from) >= replica_counts.leaders(to) + 2);
        let found = pairs.find_map(|(from, to)| {
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
    (!names.is_empty())
        .then(|| format!("{} stay where they are: a pre-aggregate table belongs with its base table", some_of(&names)))
}

/// What would still make tablets more even, and cannot be moved.
fn uneven(db: &str, places: &Places, replica_counts: &ReplicaCounts) -> Option<String> {
    let tablets = replica_counts.tablets();
    let of_it = || places.iter().filter(|((table, _), _)| table.db == db).map(|(_, placed)| placed);
    let stays = |from: &Endpoint, to: &Endpoint| {
        of_it().any(|placed| placed.replicas.contains(from) && evens(replica_counts, placed.piece, from, to))
    };
    let most = tablets.iter().max_by_key(|at| (replica_counts.whole(at), replica_counts.replicas(at)))?;
    let least = tablets.iter().min_by_key(|at| (replica_counts.whole(at), replica_counts.replicas(at)))?;
    stays(most, least).then(|| {
        format!(
            "{db} cannot be spread any further: {most} keeps {} and {least} {}, and nothing that {most} has is not on {least} already",
            counted(replica_counts.replicas(most), "replica"),
            replica_counts.replicas(least)
        )
    })
}
