//! What the cluster's steps before and after come to: the calls, and why. A plan says it of the look that it rests on; a run looks
//! again before each step, and sends it.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::model::{Action, Endpoint, Op, OpStatus, Snapshot, Tablet, TabletState, Verb, counted_that};
use crate::playbook::{AutoFailover, ClusterStep, Playbook, SettleThen, WhichTablets};
use crate::recovery::{Plan, remotes};

use super::hold::{HeldFor, held_by_plan, why_held};
use super::missing::missing_tablets;
use super::remote::STEP;
use super::resume_snapshots::{PAUSED, resuming};

/// The cluster's steps around the partitions'. Both empty if nothing has to be done.
#[derive(Debug, Clone, PartialEq, Default, Serialize)]
pub struct ClusterSteps {
    /// Before any partition.
    pub before: Vec<PlannedClusterStep>,
    /// At the end, however the run ends.
    pub after: Vec<PlannedClusterStep>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PlannedClusterStep {
    /// The playbook's step.
    pub step: &'static str,
    /// The calls, as far as they can be told now.
    pub actions: Vec<Action>,
    /// Why, or why there is nothing to send.
    pub why: String,
}

/// The cluster's steps of a plan. `auto_failover_before` is what it was before anybody's change: an unfinished run may
/// have left it off. `stands`: the replicas that it is kept off for already.
pub fn cluster_steps(
    snapshot: &Snapshot,
    playbook: &Playbook,
    plan: &Plan,
    auto_failover_before: bool,
    stands: &[HeldFor],
) -> ClusterSteps {
    let needs_doing = stands_in_for_lost(playbook, snapshot)
        || !missing_tablets(snapshot, playbook, plan).is_empty()
        || plan.partitions.iter().any(|planned| !planned.steps.is_empty() || planned.blocked.is_none());
    let mut steps = ClusterSteps::default();
    if needs_doing {
        steps.before = playbook.before.iter().filter_map(|step| before(step, snapshot, playbook, plan)).collect();
    }
    if needs_doing || auto_failover_before != snapshot.auto_failover {
        let now = snapshot.auto_failover && !needs_doing;
        let held = if auto_failover_before { held_by_plan(plan, stands) } else { Vec::new() };
        steps.after = playbook.after.iter().map(|step| after(step, now, auto_failover_before, &held)).collect();
    }
    steps.after.splice(0..0, attaching(snapshot, plan));
    steps
}

/// Leaders replicate to other clusters again: those of the plan, and where it is about everything, those that were forgotten before.
/// Nothing without other clusters.
fn attaching(snapshot: &Snapshot, plan: &Plan) -> Option<PlannedClusterStep> {
    let all = snapshot.tables.iter().map(|table| table.partitions.len()).sum::<usize>();
    let in_plan = |id| plan.partitions.iter().any(|planned| planned.partition == id);
    let mut found = remotes(snapshot, |_, _| true);
    found.retain(|remote| in_plan(remote.partition) || plan.counts.total == all && remote.detached_from().is_some());
    let aliases: BTreeSet<&str> = found.iter().map(|remote| remote.replica.alias.as_str()).collect();
    let aliases: Vec<&str> = aliases.into_iter().collect();
    let why = format!(
        "{} replicated to {}: leaders that are made here know nothing of that, and are told where nothing speaks against it",
        counted_that(found.len(), "partition", Verb::Be),
        aliases.join(", ")
    );
    (!found.is_empty()).then_some(PlannedClusterStep { step: STEP, actions: Vec::new(), why })
}

/// Nothing for tablets that are all there.
fn before(step: &ClusterStep, snapshot: &Snapshot, playbook: &Playbook, plan: &Plan) -> Option<PlannedClusterStep> {
    let (actions, why) = match step {
        ClusterStep::AutoFailover(AutoFailover::Off) if snapshot.auto_failover => {
            let (off, why) = switching_off();
            (vec![off], why.to_owned())
        }
        ClusterStep::AutoFailover(_) => (Vec::new(), "it is off already".to_owned()),
        ClusterStep::SettleOps { timeout, then } => settle(snapshot, plan, timeout.as_secs(), *then),
        ClusterStep::ResumeSnapshots => resume(snapshot),
        ClusterStep::OfflineTablets { .. } => {
            let (actions, why) = offline(snapshot);
            (actions, why.to_owned())
        }
        ClusterStep::WaitForTablets { which, timeout } => {
            let missing: Vec<Endpoint> = missing_tablets(snapshot, playbook, plan).into_keys().collect();
            let names = missing.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(", ");
            let why = match (missing.len(), which) {
                (0, WhichTablets::Missing) => return None,
                (0, WhichTablets::Lost) => "no tablet is lost".to_owned(),
                (1, _) => format!(
                    "{names} has {} s to come back while everything else continues; its data is checked then",
                    timeout.as_secs()
                ),
                (_, _) => format!(
                    "{names} have {} s to come back while everything else continues; their data is checked then",
                    timeout.as_secs()
                ),
            };
            (Vec::new(), why)
        }
    };
    Some(PlannedClusterStep { step: step.key(), actions, why })
}

/// auto_failover off, and why.
pub(super) fn switching_off() -> (Action, &'static str) {
    let why = "while it is on, the nameserver acts on what is being repaired and refuses calls that are needed";
    (Action::SetAutoFailover { on: false }, why)
}

/// Others lead instead of lost tablets.
pub(super) fn offline(snapshot: &Snapshot) -> (Vec<Action>, &'static str) {
    let in_service = lost_in_service(snapshot);
    let why = match (in_service.is_empty(), lost_tablets(snapshot).is_empty()) {
        (false, _) => "other replicas become leaders; writes no follower had received are lost",
        (true, false) => "no replica on a lost tablet is flagged alive any more",
        (true, true) => "no tablet is lost",
    };
    (in_service.into_iter().map(|endpoint| Action::OfflineEndpoint { endpoint }).collect(), why)
}

/// Lost tablets with a replica that is flagged alive.
fn lost_in_service(snapshot: &Snapshot) -> Vec<Endpoint> {
    let mut lost = lost_tablets(snapshot);
    let replicas = || snapshot.tables.iter().flat_map(|table| &table.partitions).flat_map(|found| &found.replicas);
    lost.retain(|at| replicas().any(|replica| replica.endpoint == *at && replica.is_alive));
    lost
}

/// Tablets with replicas that do not answer and that the nameserver takes for offline. None where no other tablet holds
/// anything loaded: then nobody could stand in, and the whole cluster went down.
pub(super) fn lost_tablets(snapshot: &Snapshot) -> Vec<Endpoint> {
    let serves = |tablet: &Tablet| {
        let held = tablet.held.known().into_iter().flat_map(|held| held.values());
        held.into_iter().any(|held| held.state.is_loaded())
    };
    if !snapshot.tablets.values().any(serves) {
        return Vec::new();
    }
    let has_replicas = |at: &Endpoint| snapshot.tables.iter().any(|table| table.partitions_on(at).next().is_some());
    let is_lost = |(at, tablet): &(&Endpoint, &Tablet)| {
        tablet.held.known().is_none() && tablet.state == Some(TabletState::Offline) && has_replicas(at)
    };
    snapshot.tablets.iter().filter(is_lost).map(|(at, _)| at.clone()).collect()
}

/// Whether a playbook takes lost tablets out of service, and there are some.
pub(super) fn stands_in_for_lost(playbook: &Playbook, snapshot: &Snapshot) -> bool {
    let is_such = |step: &ClusterStep| matches!(step, ClusterStep::OfflineTablets { .. });
    playbook.before.iter().any(is_such) && !lost_in_service(snapshot).is_empty()
}

fn settle(snapshot: &Snapshot, plan: &Plan, seconds: u64, then: SettleThen) -> (Vec<Action>, String) {
    let in_flight: Vec<&Op> = snapshot.ops.iter().filter(|op| op.status.is_in_flight()).collect();
    let Some(first) = in_flight.first() else { return (Vec::new(), "no operation is under way".to_owned()) };
    let state = if first.status == OpStatus::Queued { "queued" } else { "doing" };
    let first = format!("first {} ({} on {}/{}, {state})", first.id, first.kind.name(), first.table, first.pid);
    let waits = format!("operations under way: {}, {first}; allowed {seconds} s to finish", in_flight.len());
    let mine =
        |op: &Op| plan.partitions.iter().any(|planned| planned.table == op.table && planned.partition.pid == op.pid);
    match then {
        SettleThen::Cancel => {
            let actions = cancelling(in_flight.into_iter().filter(|op| mine(op))).map(|(action, _)| action).collect();
            (actions, format!("{waits}, then those on partitions of this plan are cancelled"))
        }
        SettleThen::Block => (Vec::new(), format!("{waits}, then the run stops")),
    }
}

/// Operations that have not ended in time, each with why it is cancelled.
pub(super) fn cancelling<'a>(ops: impl Iterator<Item = &'a Op>) -> impl Iterator<Item = (Action, String)> {
    ops.map(|op| {
        let why = format!("{} on {}/{} has not ended on its own", op.kind.name(), op.table, op.pid);
        (Action::CancelOp { op: op.id }, why)
    })
}

fn resume(snapshot: &Snapshot) -> (Vec<Action>, String) {
    let held = snapshot.tablets.iter().filter_map(|(at, tablet)| Some((at, tablet.held.known()?)));
    let actions: Vec<Action> = held.flat_map(|(at, held)| resuming(at, held)).collect();
    let why = if actions.is_empty() { "no replica has its snapshots paused" } else { PAUSED };
    (actions, why.to_owned())
}

fn after(step: &ClusterStep, now: bool, auto_failover_before: bool, held: &[HeldFor]) -> PlannedClusterStep {
    let (actions, why) = match step {
        ClusterStep::AutoFailover(AutoFailover::Restore) if !held.is_empty() => {
            let off = now.then_some(Action::SetAutoFailover { on: false });
            (off.into_iter().collect(), format!("it stays off: {}", why_held(held)))
        }
        ClusterStep::AutoFailover(AutoFailover::Restore) if now != auto_failover_before => (
            vec![Action::SetAutoFailover { on: auto_failover_before }],
            "it is restored to what it was before".to_owned(),
        ),
        _ => (Vec::new(), "it was off before and stays off".to_owned()),
    };
    PlannedClusterStep { step: step.key(), actions, why }
}
