//! What is wrong with partitions whose tablets are there.

use crate::model::{Verb, counted_that};
use crate::recovery::ProblemKind;

use super::super::scope::some_of;
use super::super::status::{PartitionState, PartitionStatus, Status};
use super::{Case, Diagnosis};

pub(super) fn followers_stuck(status: &Status) -> Option<Diagnosis> {
    let of = |found: &PartitionStatus| {
        let stuck = found.problems.iter().filter(|problem| problem.kind == ProblemKind::Stuck);
        stuck.map(|problem| format!("{}/{} on {}", found.table, found.pid, problem.endpoint)).collect::<Vec<_>>()
    };
    let stuck: Vec<String> = status.partitions.iter().flat_map(of).collect();
    (!stuck.is_empty()).then(|| Diagnosis {
        case: Case::FollowersStuck,
        seen: format!("followers that accept nothing from their leader and keep falling behind: {}", some_of(&stuck)),
        promise: "no automatic recovery: a follower that has seen a later term, for example after a failed change of \
            leader, refuses its leader, and OpenMLDB does not notice; if the leader is lost, what the follower lacks \
            is lost too",
        next: vec!["openmldb-ops recover --all --dry-run".to_owned(), "openmldb-ops recover --all".to_owned()],
    })
}

pub(super) fn not_redundant(status: &Status) -> Option<Diagnosis> {
    let counts = &status.counts;
    let is_lacking =
        |found: &&PartitionStatus| found.state != PartitionState::Healthy && !is_apart(found) && !found.only_counts();
    let of: Vec<&PartitionStatus> = status.partitions.iter().filter(is_lacking).collect();
    let lacking = of.len();
    (lacking > 0).then(|| Diagnosis {
        case: Case::NotRedundant,
        seen: format!("{} not redundant, {} of them down", counted_that(lacking, "partition", Verb::Be), counts.down),
        promise: match of.into_iter().flat_map(|found| &found.problems).all(|problem| is_unnoticed(problem.kind)) {
            true => "no automatic repair: OpenMLDB does not notice, as the nameserver compares neither roles nor rows",
            false => {
                "a failed operation is not retried automatically; about one in twenty of the nameserver's operations \
                 fails for no reason"
            }
        },
        next: vec!["openmldb-ops recover --all --dry-run".to_owned(), "openmldb-ops recover --all".to_owned()],
    })
}

/// Whether nothing that the nameserver looks at shows it, so that none of its operations can have been about it.
fn is_unnoticed(kind: ProblemKind) -> bool {
    match kind {
        ProblemKind::WrongRole
        | ProblemKind::SecondLeader
        | ProblemKind::Stuck
        | ProblemKind::LedApart
        | ProblemKind::WrittenWhileLoading
        | ProblemKind::TooFewReplicas
        | ProblemKind::TooManyReplicas => true,
        ProblemKind::NoAnswer
        | ProblemKind::NotAlive
        | ProblemKind::NotLoaded
        | ProblemKind::Loading
        | ProblemKind::NotConnected => false,
    }
}

pub(super) fn replica_count(status: &Status) -> Option<Diagnosis> {
    let with = |kind| {
        let is_so = move |found: &&PartitionStatus| found.problems.iter().any(|problem| problem.kind == kind);
        status.partitions.iter().filter(is_so).map(|found| format!("{}/{}", found.table, found.pid)).collect::<Vec<_>>()
    };
    let (few, many) = (with(ProblemKind::TooFewReplicas), with(ProblemKind::TooManyReplicas));
    let said = [("fewer", few), ("more", many)].into_iter().filter(|(_, names)| !names.is_empty());
    let said: Vec<String> = said
        .map(|(word, names)| {
            format!("{word} replicas than their tables were made with (replica_num): {}", some_of(&names))
        })
        .collect();
    (!said.is_empty()).then(|| Diagnosis {
        case: Case::ReplicaCount,
        seen: said.join("; "),
        promise: "none: the nameserver brings replicas back that it knows, and never adds one, whatever replica_num says",
        next: vec!["openmldb-ops scale repair --dry-run".to_owned(), "openmldb-ops scale repair".to_owned()],
    })
}

/// Whether nothing is wrong with it but where it is led.
fn is_apart(found: &PartitionStatus) -> bool {
    !found.problems.is_empty() && found.problems.iter().all(|problem| problem.kind == ProblemKind::LedApart)
}

pub(super) fn led_apart(status: &Status) -> Option<Diagnosis> {
    let apart = status.partitions.iter().filter(|found| is_apart(found));
    let names: Vec<String> = apart.map(|found| format!("{}/{}", found.table, found.pid)).collect();
    (!names.is_empty()).then(|| Diagnosis {
        case: Case::LedApart,
        seen: format!(
            "pre-aggregate tables that are not led by the same tablet as their base tables: \
            {}",
            some_of(&names)
        ),
        promise: "no automatic repair: the base table's leader writes aggregates into its own copy, even if another \
            tablet leads that table, and no other copy gets them; OpenMLDB does not notice",
        next: vec!["openmldb-ops recover --all # makes the same tablets lead both".to_owned()],
    })
}
