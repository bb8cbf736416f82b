//! What a partition needs next to be as it is to be.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Snapshot};

use super::super::Step;
use super::super::handover::{Standing, Successor, is_close, standing};
use super::super::partition_context::{PartitionContext, Refusal};
use super::super::plan::plan;
use super::Goal;

/// What a partition needs next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Next {
    /// It is as it is to be.
    Done,
    /// Something goes on that has to end first.
    Wait(String),
    /// Somebody who has to be asked did not answer at this look.
    Silence(String),
    /// One step.
    Take(Step),
    /// It cannot be brought there.
    Blocked(Refusal),
}

/// What a partition needs next, from whatever state it is in. A replica is added before another is taken away, and a leader
/// stands down only for one that may lead.
pub fn next(seen: &Snapshot, goal: &Goal) -> Next {
    let place = match PartitionContext::find(seen, &goal.table, goal.pid) {
        Ok(place) => place,
        Err(refusal) => return Next::Blocked(refusal),
    };
    let mine = seen.ops.iter().find(|op| op.table == goal.table && op.pid == goal.pid && op.status.is_in_flight());
    if let Some(op) = mine {
        return Next::Wait(format!("operation {} ({}) of {} {}", op.id, op.kind.name(), goal.name(), op.progress()));
    }
    let Some(leader) = place.leader() else {
        let hint = format!("`openmldb-ops recover --partition {}` brings it back", goal.name());
        return Next::Blocked(Refusal::unsafe_now(format!("{} has no leader that is alive", goal.name()), hint));
    };
    let wanted = Successor::of(goal).or_else(|| successor(&place, leader, goal).map(Successor::unread));
    match standing(&place, leader, wanted, &BTreeSet::new()) {
        Err(refusal) => Next::Blocked(refusal),
        Ok(Standing::TooEarly) => Next::Take(stand_up(goal, leader)),
        Ok(Standing::Down(to)) => {
            let step = Step::ChangeLeader { table: goal.table.clone(), pid: goal.pid, to: Some(to) };
            // Whatever is in the way now: better this leader than none.
            Next::Take(if plan(&step, seen).is_ok() { step } else { stand_up(goal, leader) })
        }
        Ok(Standing::Silent) => silence(goal, leader),
        Ok(Standing::Up) => {
            // One that the nameserver does not hear from either is not waited for.
            let places = place.partition.replicas.iter().map(|replica| &replica.endpoint).chain(&goal.replicas);
            let silent = places.into_iter().find(|at| !place.answers(at) && seen.hears_from(at));
            silent.map_or_else(|| next_under_a_leader(&place, leader, goal), |at| silence(goal, at))
        }
    }
}

fn silence(goal: &Goal, at: &Endpoint) -> Next {
    Next::Silence(format!("{at} does not say what it holds of {}", goal.name()))
}

fn stand_up(goal: &Goal, leader: &Endpoint) -> Step {
    Step::StandUp { table: goal.table.clone(), pid: goal.pid, endpoint: leader.clone() }
}

/// Who is to lead after one that does not stay.
fn successor<'a>(place: &'a PartitionContext<'_>, leader: &Endpoint, goal: &Goal) -> Option<&'a Endpoint> {
    place.successors().map(|(at, _)| at).find(|at| *at != leader && goal.replicas.contains(at))
}

/// A tablet where a replica is to be has to be free of what an operation that failed has left: it would take nothing, and
/// the leader would refuse to be told of it again.
fn clearing(place: &PartitionContext<'_>, goal: &Goal, to: &Endpoint) -> Option<Next> {
    let (table, pid, endpoint) = (goal.table.clone(), goal.pid, to.clone());
    if place.is_connected_to(to) {
        return Some(Next::Take(Step::Disconnect { table, pid, endpoint }));
    }
    place.stray(to).map(|_| Next::Take(Step::DropStray { table, pid, endpoint }))
}

fn next_under_a_leader(place: &PartitionContext<'_>, leader: &Endpoint, goal: &Goal) -> Next {
    let (table, pid) = (goal.table.clone(), goal.pid);
    if let Some(down) = place.partition.replicas.iter().find(|replica| !replica.is_alive) {
        let endpoint = down.endpoint.clone();
        if place.seen.hears_from(&endpoint) || goal.replicas.contains(&endpoint) {
            return Next::Take(Step::RecoverReplica { table, pid, endpoint, led_until: None });
        }
    }
    let now: Vec<&Endpoint> = place.partition.replicas.iter().map(|replica| &replica.endpoint).collect();
    let missing = goal.replicas.iter().find(|at| !now.contains(at)).cloned();
    if let Some(clearing) = missing.as_ref().and_then(|to| clearing(place, goal, to)) {
        return clearing;
    }
    let superfluous = now.iter().find(|at| !goal.replicas.contains(at) && **at != leader).map(|at| (*at).clone());
    if let (Some(from), Some(to)) = (&superfluous, &missing) {
        return Next::Take(Step::MigrateReplica { table, pid, from: from.clone(), to: to.clone() });
    }
    let stays = goal.replicas.contains(leader) && goal.leader.as_ref().is_none_or(|wanted| wanted == leader);
    if !stays {
        let wanted = match &goal.leader {
            Some(wanted) => now.contains(&wanted).then(|| wanted.clone()),
            None => successor(place, leader, goal).cloned(),
        };
        return match (wanted, goal.leader.clone().or_else(|| missing.clone())) {
            (Some(successor), _) if is_close(place, leader, &successor) => {
                Next::Take(Step::StandDown { table, pid, endpoint: leader.clone(), successor })
            }
            (Some(successor), _) if !place.seen.hears_from(&successor) => {
                Next::Silence(format!("{successor}, which is to lead {}, is offline", goal.name()))
            }
            (Some(successor), _) => {
                Next::Wait(format!("{successor} has not caught up with {leader} in {}", goal.name()))
            }
            (None, Some(endpoint)) => Next::Take(Step::AddReplica { table, pid, endpoint }),
            (None, None) => {
                let hint = format!("see `openmldb-ops status --partition {}`", goal.name());
                Next::Blocked(Refusal::unsafe_now(
                    format!("nobody could lead {} in place of {leader}", goal.name()),
                    hint,
                ))
            }
        };
    }
    match (missing, superfluous) {
        (Some(endpoint), _) => Next::Take(Step::AddReplica { table, pid, endpoint }),
        (None, Some(endpoint)) => Next::Take(Step::RemoveReplica { table, pid, endpoint }),
        (None, None) => Next::Done,
    }
}
