//! What goes with a tablet that is gone for good: listed under an id, and accepted by that id, or not done.

use serde::Serialize;

use crate::model::{Pid, Snapshot, TableName, counted};
use crate::recovery::{Loss, LossKind};
use crate::run::{PlanId, SessionStart};

use super::goal::{Arrangement, Replaces};
use super::partition_context::{PartitionContext, Refusal};
use super::undertaking::Undertaking;

/// Something that only the tablet is known to have held, or may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Lost {
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Partition.
    pub pid: Pid,
    /// Whose data, and how much.
    #[serde(flatten)]
    pub loss: Loss,
    /// The largest offset that was known of it.
    #[serde(skip)]
    known: Option<u64>,
}

impl Lost {
    /// The partition, and what of it.
    pub fn in_words(&self) -> String {
        let name = format!("{}/{}", self.table, self.pid);
        match self.loss.entries {
            Some(0) => format!("{name}: the only replica, of which no entry is known"),
            Some(entries) => {
                format!("{name}: {} that only {} is known to have held", counted(entries, "entry"), self.loss.endpoint)
            }
            None => format!("{name}: whatever only {} held; nobody knows how much", self.loss.endpoint),
        }
    }
}

/// The name of what would be lost, by which it is accepted: the same losses give the same one.
pub fn losses_id(seen: &Snapshot, lost: &[Lost]) -> PlanId {
    let facts: Vec<_> =
        lost.iter().map(|lost| (&lost.table, lost.pid, &lost.loss.endpoint, lost.loss.kind, lost.known)).collect();
    PlanId::of(&("tablet replace", env!("CARGO_PKG_VERSION"), &seen.cluster, facts))
}

/// What would be lost with the tablet that an undertaking replaces, but for what was accepted before; noted in the goals where it is
/// accepted now.
///
/// # Errors
/// What is accepted is not what would be lost.
pub(super) fn consent(
    undertaking: &Undertaking,
    arrangement: &mut Arrangement,
    seen: &Snapshot,
    found: &SessionStart,
) -> Result<Vec<Lost>, Refusal> {
    let Undertaking::Replace { endpoint, accepts, .. } = undertaking else { return Ok(Vec::new()) };
    let mut lost = Vec::new();
    for goal in &mut arrangement.goals {
        let (Some(replaces), Ok(place)) = (&mut goal.replaces, PartitionContext::find(seen, &goal.table, goal.pid))
        else {
            continue;
        };
        let is_held = found.held.iter().any(|held| held.endpoint == replaces.gone && held.partition == place.id());
        // It may have been elected since the backup was taken.
        let may_have_led = found.old_terms().is_some_and(|old| old.concern(place.id()));
        replaces.unseen |= is_held || may_have_led;
        let known = place.replica(&replaces.gone).ok().and_then(|replica| replica.offset).map(|offset| offset.0);
        let of_it = |loss| Lost { table: goal.table.clone(), pid: goal.pid, loss, known };
        lost.extend(losses(&place, replaces).into_iter().map(of_it));
    }
    let Some(named) = accepts.as_ref().filter(|_| !lost.is_empty()) else { return Ok(lost) };
    let now = losses_id(seen, &lost);
    if *named != now {
        let text = format!("{named} is not what would be lost with {endpoint} now; that is {now}");
        return Err(Refusal::unsafe_now(
            text,
            format!("read it again: `openmldb-ops tablet replace {endpoint} --dry-run`"),
        ));
    }
    for goal in &mut arrangement.goals {
        let Some(replaces) = &mut goal.replaces else { continue };
        let mine = lost.iter().filter(|lost| lost.table == goal.table && lost.pid == goal.pid);
        replaces.accepted.extend(mine.map(|lost| lost.loss.clone()));
    }
    Ok(lost)
}

fn losses(place: &PartitionContext<'_>, replaces: &Replaces) -> Vec<Loss> {
    // Nobody else has a row of it.
    if let [only] = &place.partition.replicas[..]
        && only.endpoint == replaces.gone
        && replaces.accepted.is_empty()
    {
        let (endpoint, entries) = (replaces.gone.clone(), only.offset.map(|offset| offset.0));
        return vec![Loss { endpoint, kind: LossKind::OutOfReach, entries, directory: None }];
    }
    if replaces.unseen && replaces.accepted.is_empty() && place.leader().is_some_and(|leader| *leader != replaces.gone)
    {
        let (endpoint, kind) = (replaces.gone.clone(), LossKind::OutOfReach);
        return vec![Loss { endpoint, kind, entries: None, directory: None }];
    }
    place.lost_with(replaces)
}
