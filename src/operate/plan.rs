//! What a step needs (docs/openmldb/calls.md#what-they-check), what is sent for it, and what that is to bring about.

use crate::model::{Action, OpId, Snapshot, Verb, counted_that};

use super::effect::Effect;
use super::partition_context::{PartitionContext, Planned, Refusal, failover_is_off};
use super::{Call, Step, aggregate, handover, leader, placement, replica, tablet};

/// What is to be sent for a step, or why nothing is.
///
/// # Errors
/// What is in the way.
pub fn plan(step: &Step, seen: &Snapshot) -> Result<Planned, Refusal> {
    match step {
        Step::SetAutoFailover { on } => Ok(set_auto_failover(*on, seen)),
        Step::CancelOp { op } => cancel(*op, seen),
        Step::MarkAlive { table, pid, endpoint, alive } => replica::mark_alive(seen, table, *pid, endpoint, *alive),
        Step::LoadReplica { table, pid, endpoint } => {
            replica::load(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::RecoverReplica { table, pid, endpoint, led_until } => {
            replica::recover(&PartitionContext::find(seen, table, *pid)?, endpoint, *led_until)
        }
        Step::AddReplica { table, pid, endpoint } => {
            placement::add(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::RemoveReplica { table, pid, endpoint } => {
            placement::remove(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::MigrateReplica { table, pid, from, to } => {
            placement::migrate(&PartitionContext::find(seen, table, *pid)?, from, to)
        }
        Step::Aggregate { table, pid, endpoint } => {
            aggregate::create(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::OfflineTablet { endpoint } => tablet::offline(seen, endpoint),
        Step::RecoverTablet { endpoint } => tablet::recover(seen, endpoint),
        Step::Disconnect { table, pid, endpoint } => {
            placement::disconnect(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::DropStray { table, pid, endpoint } => {
            placement::drop_stray(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::StandDown { table, pid, endpoint, successor } => {
            handover::stand_down(&PartitionContext::find(seen, table, *pid)?, endpoint, successor)
        }
        Step::StandUp { table, pid, endpoint } => {
            handover::stand_up(&PartitionContext::find(seen, table, *pid)?, endpoint)
        }
        Step::ChangeLeader { table, pid, to } => {
            leader::change(&PartitionContext::find(seen, table, *pid)?, to.as_ref())
        }
    }
}

fn set_auto_failover(on: bool, seen: &Snapshot) -> Planned {
    let mut remarks = Vec::new();
    let running = seen.ops.iter().filter(|op| op.status.is_in_flight()).count();
    if !on && running > 0 {
        remarks.push(format!(
            "{} under way; switching auto_failover off ends none",
            counted_that(running, "operation", Verb::Be)
        ));
    }
    if on {
        remarks.push(
            "switching it on brings back nothing that is down now; `openmldb-ops status` says what is".to_owned(),
        );
    }
    let call = (seen.auto_failover != on).then_some(Call::Action(Action::SetAutoFailover { on }));
    Planned { call, effect: Effect::AutoFailover(on), remarks }
}

fn cancel(op: OpId, seen: &Snapshot) -> Result<Planned, Refusal> {
    failover_is_off(seen)?;
    let Some(found) = seen.ops.iter().find(|found| found.id == op) else {
        let text = format!("there is no operation {op} (any more)");
        return Err(Refusal::of(312, text, "see `openmldb-ops show ops`"));
    };
    if !found.status.is_in_flight() {
        let text = format!("operation {op} ({}) has ended", found.kind.name());
        return Err(Refusal::of(312, text, "only what is queued or under way can be cancelled"));
    }
    let remarks = vec!["what a tablet has begun for it, a load for instance, goes on".to_owned()];
    Ok(Planned { call: Some(Call::Action(Action::CancelOp { op })), effect: Effect::OpOver(op), remarks })
}
