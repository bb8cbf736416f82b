//! Plans of many partitions: those with the same plan are told together, what is blocked by its reasons.

use std::collections::BTreeMap;

use crate::model::{Action, Pid, TableName, Verb, counted, counted_that};
use crate::recovery::{LeaderPlan, Loss, LossKind, PartitionPlan, PlannedStep};

use super::color::{Paint, Tone};
use super::named::named;
use super::words::one_line;

/// A block for each plan that several partitions share, the largest first.
pub(super) fn blocks(planned: &[PartitionPlan], paint: Paint) -> String {
    let mut alike: BTreeMap<String, Vec<&PartitionPlan>> = BTreeMap::new();
    for partition in planned.iter().filter(|planned| planned.blocked.is_none()) {
        alike.entry(in_short(partition)).or_default().push(partition);
    }
    let mut alike: Vec<(String, Vec<&PartitionPlan>)> = alike.into_iter().collect();
    alike.sort_by(|(a, most), (b, other)| other.len().cmp(&most.len()).then_with(|| a.cmp(b)));
    let block = |(plan, partitions): &(String, Vec<&PartitionPlan>)| {
        let heading = paint.tone(Tone::Strong, &counted(partitions.len(), "partition"));
        format!("\n{heading}: {plan}\n  {}\n", names(partitions))
    };
    alike.iter().map(block).collect()
}

/// What is blocked, by its reason: with the first of them word for word.
pub(super) fn blocked(planned: &[PartitionPlan], paint: Paint) -> String {
    let mut by_reason: BTreeMap<&str, Vec<&PartitionPlan>> = BTreeMap::new();
    for partition in planned {
        if let Some(blocked) = &partition.blocked {
            by_reason.entry(blocked.reason.code()).or_default().push(partition);
        }
    }
    let mut out = String::new();
    for (reason, partitions) in by_reason {
        let Some(first) = partitions.first().and_then(|planned| planned.blocked.as_ref()) else { continue };
        let heading = counted_that(partitions.len(), "partition", Verb::Be);
        let label = paint.tone(Tone::Bad, &format!("{heading} blocked, {reason}:"));
        out += &format!("\n{label} {}\n", names(&partitions));
        let one = if partitions.len() > 1 { "the first: " } else { "" };
        out += &format!("  {one}{}\n  hint: {}\n", one_line(&first.text), one_line(&first.hint));
        for loss in lost(partitions.iter().flat_map(|planned| &planned.losses)) {
            out += &format!("  {} {loss}\n", paint.tone(Tone::Bad, "would be lost:"));
        }
    }
    out
}

fn names(partitions: &[&PartitionPlan]) -> String {
    named(partitions.iter().map(|planned| -> (&TableName, Pid) { (&planned.table, planned.partition.pid) }))
}

/// Losses of one kind, added up.
fn lost<'a>(losses: impl Iterator<Item = &'a Loss>) -> Vec<String> {
    let mut by_kind: BTreeMap<&str, Vec<&Loss>> = BTreeMap::new();
    losses.for_each(|loss| by_kind.entry(loss.kind.code()).or_default().push(loss));
    let told = by_kind.into_iter().map(|(code, losses)| {
        let replicas = counted(losses.len(), "replica");
        let held_by = counted_that(losses.len(), "replica", Verb::Regular("hold"));
        let known: u64 = losses.iter().filter_map(|loss| loss.entries).sum();
        let is_known = losses.iter().all(|loss| loss.entries.is_some());
        match losses.first().map(|loss| loss.kind) {
            Some(LossKind::OutOfReach) => format!("{code}: whatever {held_by} (it cannot be checked)"),
            Some(LossKind::LacksRows) => format!("{code}: up to {} of {replicas}", counted(known, "row")),
            _ if is_known => format!("{code}: {} of {replicas}", counted(known, "entry")),
            _ => format!("{code}: an unknown number of entries of {replicas}"),
        }
    });
    told.collect()
}

/// What is done to a partition, in a line: `mark 3 not alive, load 3, choose the leader, promote it, mark 1 alive,
/// recover 2`.
fn in_short(planned: &PartitionPlan) -> String {
    let is_chosen_later = matches!(planned.leader, LeaderPlan::AfterLoading { .. });
    let mut said: Vec<String> = Vec::new();
    let mut is_chosen = !is_chosen_later;
    for group in planned.steps.chunk_by(|a, b| verb(a) == verb(b)) {
        let Some(first) = group.first() else { continue };
        let leads = matches!(first.action, Action::ChangeRole { .. } | Action::ChangeLeader { .. });
        if leads && !is_chosen {
            said.push("choose the leader".to_owned());
            is_chosen = true;
        }
        said.push(verb(first).with(group.len()));
    }
    if !is_chosen {
        said.push("choose the leader".to_owned());
    }
    said.join(", ")
}

#[derive(PartialEq, Eq)]
enum Said {
    /// Something that is done to so many replicas.
    To(&'static str, &'static str),
    /// Something that is done once.
    Once(&'static str),
}

impl Said {
    fn with(self, count: usize) -> String {
        match self {
            Self::To(verb, "") => format!("{verb} {count}"),
            Self::To(verb, rest) => format!("{verb} {count} {rest}"),
            Self::Once(text) => text.to_owned(),
        }
    }
}

fn verb(step: &PlannedStep) -> Said {
    match &step.action {
        Action::MarkAlive { alive: false, .. } => Said::To("mark", "not alive"),
        Action::MarkAlive { alive: true, .. } => Said::To("mark", "alive"),
        Action::LoadTable { .. } => Said::To("load", ""),
        Action::LoadWithSchema { .. } => Said::To("load", "with the table's schema"),
        Action::ChangeRole { .. } => Said::Once("promote it"),
        Action::ChangeLeader { .. } => Said::Once("promote it"),
        Action::AddReplica { .. } => Said::To("connect", ""),
        Action::AttachRemote { .. } => Said::To("attach", "in another cluster"),
        Action::DelReplica { .. } => Said::To("disconnect", ""),
        Action::DropTable { .. } => Said::To("drop", "to be resent"),
        Action::RecoverTable { .. } => Said::To("recover", ""),
        Action::MakeSnapshot { .. } => Said::To("find out the last term of", ""),
        Action::RecoverSnapshot { .. } => Said::To("let", "make snapshots again"),
        Action::CreateAggregator { .. } => Said::Once("recreate its aggregator"),
        Action::SetAutoFailover { .. } => Said::Once("switch auto_failover"),
        Action::OfflineEndpoint { .. } => Said::To("take", "out of service"),
        Action::CancelOp { .. } => Said::To("cancel", "operations"),
        Action::Manual(_) => Said::Once("what no recovery does"),
    }
}
