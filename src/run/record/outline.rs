//! A run in numbers, from its record: what was sent and how it went, how far partitions came, what was given up.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use crate::model::{PartitionId, TableName, Tid};
use crate::recovery::{Blocked, GivenUp, Loss, Outcome};

use super::super::event::Milestone;
use super::super::progress::Expected;
use super::super::report::AcceptedEntry;
use super::line::Line;
use super::recorded_run::RecordedRun;

/// The numbers.
#[derive(Debug, Clone, PartialEq, Serialize, Default)]
pub struct Outline {
    /// Partitions in scope.
    pub partitions: usize,
    /// Replicas in scope.
    pub replicas: usize,
    /// Partitions of which a leader was chosen.
    pub leaders_chosen: usize,
    /// Partitions that came to serve.
    pub serving: usize,
    /// When the last of them did, in milliseconds since the run began.
    pub serving_after_ms: Option<u64>,
    /// Partitions that became as they should be.
    pub redundant: usize,
    /// When the last of them did.
    pub redundant_after_ms: Option<u64>,
    /// What it was expected to take.
    pub expected: Option<Expected>,
    /// Partitions that were left alone.
    pub blocked: Vec<LeftAlone>,
    /// What somebody accepted to lose before the run began, replica by replica.
    pub accepted: Vec<AcceptedEntry>,
    /// What replicas lost when they were resent.
    pub given_up: Vec<Lost>,
    /// Calls, by step.
    pub calls: BTreeMap<String, Calls>,
}

/// A partition that was left alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct LeftAlone {
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Which partition.
    pub partition: PartitionId,
    /// Why.
    pub blocked: Blocked,
}

/// What a replica lost.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Lost {
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Which partition.
    pub partition: PartitionId,
    /// What.
    pub given_up: GivenUp,
}

/// The calls of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Default)]
pub struct Calls {
    /// All of them.
    pub sent: usize,
    /// Those that did not simply succeed.
    pub failed: usize,
    /// Those of which it is not recorded how they went.
    pub unheard: usize,
}

impl Outline {
    /// The outline of a record.
    pub fn of(recorded_run: &RecordedRun) -> Self {
        let before = &recorded_run.begun.before;
        let partitions: BTreeSet<PartitionId> = before.iter().map(|before| before.partition).collect();
        let mut outline = Self { partitions: partitions.len(), replicas: before.len(), ..Self::default() };
        outline.accepted = accepted(recorded_run);
        let mut under_way: BTreeMap<u64, String> = BTreeMap::new();
        let mut choices = BTreeMap::new();
        let (mut serving, mut redundant) = (BTreeMap::new(), BTreeMap::new());
        let mut blocked = BTreeMap::new();
        for line in &recorded_run.lines {
            match line {
                Line::Chosen { table, partition, choice, .. } => drop(choices.insert(*partition, (table, choice))),
                Line::Sending { number, step, .. } | Line::Command { number, step, .. } => {
                    under_way.insert(*number, step.clone());
                    outline.calls.entry(step.clone()).or_default().sent += 1;
                }
                Line::Went { number, outcome, .. } => {
                    let step = under_way.remove(number);
                    if let (Some(step), true) = (step, *outcome != Outcome::Applied) {
                        outline.calls.entry(step).or_default().failed += 1;
                    }
                }
                Line::Reached { at_ms, partition, state: Milestone::Serving, .. } => {
                    serving.entry(*partition).or_insert(*at_ms);
                }
                Line::Reached { at_ms, partition, state: Milestone::Redundant, .. } => {
                    serving.entry(*partition).or_insert(*at_ms);
                    redundant.insert(*partition, *at_ms);
                    blocked.remove(partition);
                }
                Line::Reached { table, partition, state: Milestone::Blocked, blocked: why, .. } => {
                    redundant.remove(partition);
                    blocked.extend(why.iter().map(|why| (*partition, (table, why))));
                }
                Line::Expected { expected, .. } => outline.expected = Some(expected.clone()),
                Line::Begun(_)
                | Line::Waiting { .. }
                | Line::Remembered { .. }
                | Line::Released { .. }
                | Line::Detached { .. }
                | Line::FailoverWanted { .. }
                | Line::Progress { .. }
                | Line::Arranging { .. }
                | Line::Note { .. }
                | Line::Ended { .. }
                | Line::Exited { .. }
                | Line::Dismissed { .. } => {}
            }
        }
        for step in under_way.into_values() {
            outline.calls.entry(step).or_default().unheard += 1;
        }
        (outline.serving, outline.serving_after_ms) = (serving.len(), serving.into_values().max());
        (outline.redundant, outline.redundant_after_ms) = (redundant.len(), redundant.into_values().max());
        outline.leaders_chosen = choices.len();
        outline.given_up = choices
            .into_iter()
            .flat_map(|(partition, (table, choice))| {
                let lost =
                    move |given_up: &GivenUp| Lost { table: table.clone(), partition, given_up: given_up.clone() };
                choice.given_up.iter().map(lost)
            })
            .collect();
        let left_alone = |(partition, (table, blocked)): (PartitionId, (&TableName, &Blocked))| LeftAlone {
            table: table.clone(),
            partition,
            blocked: blocked.clone(),
        };
        outline.blocked = blocked.into_iter().map(left_alone).collect();
        outline
    }
}

/// What was accepted, by the names of tables as they were then.
fn accepted(recorded_run: &RecordedRun) -> Vec<AcceptedEntry> {
    let begun = &recorded_run.begun;
    let tables: BTreeMap<Tid, &TableName> =
        begun.snapshot.tables.iter().map(|table| (table.tid, &table.name)).collect();
    let named = |(id, losses): (&PartitionId, &Vec<Loss>)| {
        let unknown = TableName { db: String::new(), table: id.tid.to_string() };
        let TableName { db, table } = tables.get(&id.tid).copied().unwrap_or(&unknown).clone();
        let entry =
            |loss: &Loss| AcceptedEntry { db: db.clone(), table: table.clone(), pid: id.pid, loss: loss.clone() };
        losses.iter().map(entry).collect::<Vec<_>>()
    };
    begun.accepted.iter().flat_map(named).collect()
}
