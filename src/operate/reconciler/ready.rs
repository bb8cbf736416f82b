//! Whether a leader may be told to follow: everybody who is needed for another one to lead answers right now, and the
//! nameserver has nothing else to do first.

use crate::model::{Endpoint, Op, OpKind, Pid, Snapshot};
use crate::snapshot::{OnePartition, look_at_partition};

use super::super::Step;
use super::super::arrange::{Next, next};
use super::super::goal::Goal;
use super::super::partition_context::{PartitionContext, Refusal};
use super::super::plan::plan;
use super::Shared;
use super::vacancy::CALL;

/// What a look right before says.
pub(super) enum Ready {
    /// It may: the partition as it was seen, and who is to lead.
    Now(Box<Snapshot>, Endpoint),
    /// Somebody who is needed does not answer, or takes too long.
    Silent(String),
    /// Something else comes first.
    Busy(String),
    /// It is not what is to be done any more.
    Changed,
    /// It may not.
    Refused(Refusal),
}

/// Looks whether the leader of a goal's partition may be told to follow. `alone`: nothing at all may be under way in the nameserver.
pub(super) async fn ready(shared: &Shared, goal: &Goal, beside: &[Endpoint], alone: bool) -> Ready {
    let brief = shared.cluster.once(CALL);
    let one = OnePartition {
        cluster: &shared.cluster_name,
        table: &goal.table,
        pid: goal.pid,
        beside,
        now_ms: shared.now_ms,
    };
    let (seen, ops) = tokio::join!(look_at_partition(&brief, &one), brief.ops());
    let (seen, ops) = match (seen, ops) {
        (Ok(seen), Ok(ops)) => (seen, ops),
        (Err(error), _) | (_, Err(error)) => return Ready::Silent(error.to_string()),
    };
    if let Some(silent) = who_is_silent(&seen, goal) {
        return Ready::Silent(silent);
    }
    if let Some(op) = ops.iter().find(|op| op.status.is_in_flight() && comes_first(op, goal.pid, alone)) {
        return Ready::Busy(format!(
            "the nameserver would have an election wait for operation {} ({}) of {}/{}, which {}",
            op.id,
            op.kind.name(),
            op.table,
            op.pid,
            op.progress()
        ));
    }
    let step = match next(&seen, goal) {
        Next::Take(step) => step,
        // It answers within the time of another look, and not within this one's: that alone changes nothing.
        Next::Silence(text) => return Ready::Silent(text),
        Next::Done | Next::Wait(_) | Next::Blocked(_) => return Ready::Changed,
    };
    let Step::StandDown { successor, .. } = &step else { return Ready::Changed };
    match plan(&step, &seen) {
        Ok(planned) if planned.call.is_some() => Ready::Now(Box::new(seen), successor.clone()),
        Ok(_) => Ready::Changed,
        Err(refusal) => Ready::Refused(refusal),
    }
}

/// The leader has to answer, and every follower that an election asks.
fn who_is_silent(seen: &Snapshot, goal: &Goal) -> Option<String> {
    let place = PartitionContext::find(seen, &goal.table, goal.pid).ok()?;
    let needed = place
        .partition
        .replicas
        .iter()
        .filter(|replica| replica.is_alive && (replica.is_leader || seen.hears_from(&replica.endpoint)));
    let silent = needed.map(|replica| &replica.endpoint).find(|at| !place.answers(at))?;
    let error = seen.tablets.get(silent).and_then(|tablet| tablet.held.error()).unwrap_or("it was not asked");
    Some(error.to_owned())
}

/// Whether an operation is in the lane that an election of the partition would be queued in. The nameserver has two (pid modulo
/// 2), unless it was configured otherwise, and adds replicas in the first.
fn comes_first(op: &Op, pid: Pid, alone: bool) -> bool {
    let adds = matches!(&op.kind, OpKind::Other(name) if name == "kAddReplicaOP");
    alone || op.pid.0 % 2 == pid.0 % 2 || adds && pid.0.is_multiple_of(2)
}
