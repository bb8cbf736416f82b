//! What a partition needs next to be as it is to be.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Snapshot};

use super::super::Step;
use super::super::goal::Goal;
use super::super::handover::{Standing, Successor, is_close, standing};
use super::super::partition_context::{PartitionContext, Refusal};
use super::super::plan::plan;

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
    let gone = goal.replaces.as_ref().map(|replaces| &replaces.gone);
    if let Some(gone) = gone.filter(|gone| place.leader().is_none_or(|leader| leader == *gone)) {
        return led_by_nobody(&place, goal, gone);
    }
    let Some(leader) = place.leader() else {
        let hint = format!("`openmldb-ops recover --partition {}` brings it back", goal.name());
        return Next::Blocked(Refusal::unsafe_now(format!("{} has no live leader", goal.name()), hint));
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

/// Who leads in place of one that is gone is for a recovery to find, which looks at what the others hold. Where there are no others,
/// the partition begins empty, if that was accepted.
fn led_by_nobody(place: &PartitionContext<'_>, goal: &Goal, gone: &Endpoint) -> Next {
    let name = goal.name();
    let blocked = |text: String, hint: String| Next::Blocked(Refusal::unsafe_now(text, hint));
    match (&place.partition.replicas[..], &goal.replaces, goal.replicas.first()) {
        ([only], Some(replaces), Some(to)) if only.endpoint == *gone && !replaces.accepted.is_empty() => {
            let (table, pid, replaces, to) = (goal.table.clone(), goal.pid, replaces.clone(), to.clone());
            Next::Take(Step::ReplaceOnly { table, pid, replaces, to })
        }
        ([only], ..) if only.endpoint == *gone => blocked(
            format!("the only replica of {name} is on {gone}: nobody else has a row of it"),
            format!(
                "start that tablet with its disks if that can be done. If not, `openmldb-ops tablet replace {gone} --dry-run` lists it under an \
                 id for --accept-data-loss, and it can begin empty elsewhere"
            ),
        ),
        ([only], ..) => blocked(
            format!("{name} is placed on {} now, and has not begun there", only.endpoint),
            format!(
                "`openmldb-ops recover --partition {name} --dry-run` lists that it begins empty under an id, with which `openmldb-ops recover \
                 --partition {name} --accept-data-loss ID` has it begin"
            ),
        ),
        _ => blocked(
            format!("{name} has no leader: {gone} led it, or may have led it last"),
            format!(
                "`openmldb-ops recover --all --dry-run` says who can lead and what is lost by it, under an id; then `openmldb-ops recover --all \
                 --accept-data-loss ID --without {gone}`, and run this again"
            ),
        ),
    }
}

fn silence(goal: &Goal, at: &Endpoint) -> Next {
    Next::Silence(format!("{at} does not report what it holds of {}", goal.name()))
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
    let down = || place.partition.replicas.iter().filter(|replica| !replica.is_alive).map(|replica| &replica.endpoint);
    let now: Vec<&Endpoint> = place.partition.replicas.iter().map(|replica| &replica.endpoint).collect();
    let missing = goal.replicas.iter().find(|at| !now.contains(at)).cloned();
    // Of one whose tablet is away nothing comes: what is lacking is there first.
    let back = down().find(|at| place.seen.hears_from(at));
    let back = back.or_else(|| down().find(|at| missing.is_none() && goal.replicas.contains(at)));
    if let Some(endpoint) = back.cloned() {
        return Next::Take(Step::RecoverReplica { table, pid, endpoint, led_until: None });
    }
    if let Some(clearing) = missing.as_ref().and_then(|to| clearing(place, goal, to)) {
        return clearing;
    }
    let is_gone = |at: &Endpoint| goal.replaces.as_ref().is_some_and(|replaces| replaces.gone == *at);
    let superfluous =
        now.iter().find(|at| !goal.replicas.contains(at) && **at != leader && !is_gone(at)).map(|at| (*at).clone());
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
                Next::Silence(format!("{successor}, the next leader of {}, is offline", goal.name()))
            }
            (Some(successor), _) => {
                Next::Wait(format!("{successor} has not caught up with {leader} in {}", goal.name()))
            }
            (None, Some(endpoint)) => Next::Take(Step::AddReplica { table, pid, endpoint }),
            (None, None) => {
                let hint = format!("see `openmldb-ops status --partition {}`", goal.name());
                Next::Blocked(Refusal::unsafe_now(
                    format!("no other replica can lead {} instead of {leader}", goal.name()),
                    hint,
                ))
            }
        };
    }
    match (missing, superfluous) {
        (Some(endpoint), _) => Next::Take(Step::AddReplica { table, pid, endpoint }),
        (None, Some(endpoint)) => Next::Take(Step::RemoveReplica { table, pid, endpoint }),
        (None, None) => forgotten(place, goal),
    }
}

/// Once others have its place, metadata forget the replica of a tablet that is gone for good, and its leader sends it nothing more.
fn forgotten(place: &PartitionContext<'_>, goal: &Goal) -> Next {
    let Some(replaces) = &goal.replaces else { return Next::Done };
    let (table, pid, endpoint) = (goal.table.clone(), goal.pid, replaces.gone.clone());
    let is_placed = place.partition.replicas.iter().any(|replica| replica.endpoint == endpoint);
    if !is_placed && place.is_connected_to(&endpoint) {
        return Next::Take(Step::Disconnect { table, pid, endpoint });
    }
    if !is_placed {
        return Next::Done;
    }
    match place.may_be_forgotten(replaces) {
        Ok(()) => Next::Take(Step::ForgetReplica { table, pid, replaces: replaces.clone() }),
        Err(refusal) => Next::Blocked(refusal),
    }
}
