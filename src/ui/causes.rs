//! What is wrong, each cause once, whatever number of partitions it is wrong with.

use std::collections::BTreeMap;

use crate::model::{Endpoint, counted};
use crate::recovery::ProblemKind;
use crate::run::{PartitionState, PartitionStatus};

use super::color::{Paint, Tone};
use super::named::named;

/// So many tablets are named for a cause.
const TABLETS: usize = 4;

/// A line for each kind of problem: with how many replicas, on which tablets, of which partitions.
pub(super) fn causes(partitions: &[PartitionStatus], paint: Paint) -> String {
    let mut found: BTreeMap<ProblemKind, Vec<(&PartitionStatus, &Endpoint)>> = BTreeMap::new();
    for partition in partitions.iter().filter(|partition| partition.state != PartitionState::Healthy) {
        // Where a tablet does not answer, nothing else about it is a cause.
        let is_silent = |at: &Endpoint| {
            partition.problems.iter().any(|other| other.kind == ProblemKind::NoAnswer && other.endpoint == *at)
        };
        let is_cause = |kind| !matches!(kind, ProblemKind::NotAlive | ProblemKind::NotConnected);
        let told = partition.problems.iter().filter(|problem| is_cause(problem.kind) || !is_silent(&problem.endpoint));
        for problem in told {
            let of_kind = found.entry(problem.kind).or_default();
            if of_kind.last().is_none_or(|(last, at)| !std::ptr::eq(*last, partition) || **at != problem.endpoint) {
                of_kind.push((partition, &problem.endpoint));
            }
        }
    }
    let blank = if found.is_empty() { "" } else { "\n" };
    let lines = found.into_iter().map(|(kind, replicas)| cause(kind, &replicas, paint));
    lines.collect::<String>() + blank
}

fn cause(kind: ProblemKind, replicas: &[(&PartitionStatus, &Endpoint)], paint: Paint) -> String {
    let mut on: BTreeMap<&Endpoint, usize> = BTreeMap::new();
    replicas.iter().for_each(|(_, endpoint)| *on.entry(endpoint).or_default() += 1);
    let mut on: Vec<(&Endpoint, usize)> = on.into_iter().collect();
    on.sort_by(|(a, most), (b, other)| other.cmp(most).then_with(|| a.cmp(b)));
    let more = on.len().saturating_sub(TABLETS);
    let told: Vec<String> = on.iter().take(TABLETS).map(|(endpoint, count)| format!("{endpoint} ({count})")).collect();
    let more = if more == 0 { String::new() } else { format!(" and {}", counted(more, "more tablet")) };
    let mut partitions: Vec<&PartitionStatus> = replicas.iter().map(|(partition, _)| *partition).collect();
    partitions.dedup_by(|a, b| std::ptr::eq(*a, *b));
    // These are told of their leaders, and are about nobody's replica.
    if matches!(kind, ProblemKind::TooFewReplicas | ProblemKind::TooManyReplicas) {
        return format!(
            "{} {}\n  {}\n",
            paint.tone(Tone::Bad, &format!("{}:", words(kind))),
            counted(partitions.len(), "partition"),
            named(partitions.iter().map(|partition| (&partition.table, partition.pid)))
        );
    }
    format!(
        "{} {} of {} on {}{more}\n  {}\n",
        paint.tone(Tone::Bad, &format!("{}:", words(kind))),
        counted(replicas.len(), "replica"),
        counted(partitions.len(), "partition"),
        told.join(", "),
        named(partitions.iter().map(|partition| (&partition.table, partition.pid)))
    )
}

fn words(kind: ProblemKind) -> &'static str {
    match kind {
        ProblemKind::NoAnswer => "no answer",
        ProblemKind::NotAlive => "not flagged alive",
        ProblemKind::NotLoaded => "not loaded",
        ProblemKind::Loading => "loading",
        ProblemKind::WrongRole => "its role does not match its flag",
        ProblemKind::SecondLeader => "a second leader",
        ProblemKind::NotConnected => "its leader does not replicate to it",
        ProblemKind::Stuck => "accepts nothing from its leader",
        ProblemKind::WrittenWhileLoading => "written to by its aggregator while it was loaded",
        ProblemKind::LedApart => "not led by its base table's leader",
        ProblemKind::TooFewReplicas => "fewer replicas than the table was made with",
        ProblemKind::TooManyReplicas => "more replicas than the table was made with",
    }
}
