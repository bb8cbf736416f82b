//! A partition on its way to its goal: what was sent for it, and how often it has failed.

use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Endpoint, Offset, OpId, PartitionId, Snapshot};

use super::super::arrange::Goal;
use super::super::handover::{Standing, standing};
use super::super::perform::judged;
use super::super::place::{Place, Planned, Refusal};
use super::super::{Sight, Step};

/// Tries of one partition: about one operation in twenty fails for no reason (observed 2).
const TRIES: u32 = 4;
/// Between a leader's standing up again and its next try, times the tries so far: clients write in bursts.
const BREATH: Duration = Duration::from_millis(100);

/// A partition under way.
pub(super) struct Lane {
    pub(super) goal: Goal,
    pub(super) under_way: Option<UnderWay>,
    pub(super) failed: u32,
    /// Looks, one after another, at which somebody did not answer.
    pub(super) silences: u32,
    pub(super) stood_up: u32,
    /// Where its leader's log ended at the last look, once it had stood down.
    pub(super) end: Option<Offset>,
    /// Since when nothing could be done.
    pub(super) idle: Instant,
    /// It is given up as soon as it has a leader.
    pub(super) giving_up: Option<Refusal>,
}

/// A step that was sent.
pub(super) struct UnderWay {
    pub(super) step: Step,
    pub(super) planned: Planned,
    pub(super) since: Option<OpId>,
    pub(super) sent: Instant,
}

/// Whether a partition stays under way.
pub(super) enum Then {
    Stays,
    Ends(Option<Refusal>),
}

impl Lane {
    pub(super) fn new(goal: Goal) -> Self {
        Self {
            goal,
            under_way: None,
            failed: 0,
            silences: 0,
            stood_up: 0,
            end: None,
            idle: Instant::now(),
            giving_up: None,
        }
    }

    /// Whether a pre-aggregate table's goal has to wait for this one, of its base table.
    pub(super) fn comes_before(&self, goal: &Goal) -> bool {
        goal.beside.as_ref() == Some(&self.goal.table) && goal.pid == self.goal.pid
    }

    pub(super) fn fail(&mut self, refusal: Refusal) {
        self.failed += 1;
        if self.failed >= TRIES {
            self.giving_up = Some(refusal);
        }
    }

    /// Whether the log of a leader that stood down ends where it ended at the look before this one.
    pub(super) fn has_come_to_rest(&mut self, seen: &Snapshot) -> bool {
        let place = Place::find(seen, &self.goal.table, self.goal.pid).ok();
        let end = place.and_then(|place| Some(place.loaded(place.leader()?)?.offset));
        std::mem::replace(&mut self.end, end) == end
    }

    /// Whether its leader has only just stood up again.
    pub(super) fn is_out_of_breath(&self, pace: f64) -> bool {
        self.idle.elapsed().mul_f64(pace) < BREATH * self.stood_up
    }

    /// Once more, unless it has failed too often and nobody waits for a leader.
    pub(super) fn goes_on(&mut self, leads: bool) -> Then {
        match self.giving_up.take_if(|_| leads || self.failed >= 2 * TRIES) {
            Some(refusal) => Then::Ends(Some(refusal)),
            None => Then::Stays,
        }
    }
}

impl UnderWay {
    /// What is seen of it. `pace` is how much faster than ours the cluster's clock runs.
    pub(super) fn outcome(&self, seen: &Snapshot, pace: f64, timeout: Duration) -> Sight {
        let waited = self.sent.elapsed();
        match judged(&self.planned.effect, seen, self.since, waited.mul_f64(pace)) {
            Sight::Waiting(text) if waited >= timeout => Sight::Missed {
                text: format!("its effect was not seen within {} s: {text}", timeout.as_secs()),
                hint: "it may still come: `openmldb-ops show ops` tells; run this again".to_owned(),
            },
            seen => seen,
        }
    }
}

/// Which partition a goal is about.
pub(super) fn id_of(seen: &Snapshot, goal: &Goal) -> Option<PartitionId> {
    let table = seen.table(&goal.table)?;
    Some(PartitionId { tid: table.tid, pid: goal.pid })
}

/// Who is flagged leader and alive.
pub(super) fn flagged(seen: &Snapshot, goal: &Goal) -> Option<Endpoint> {
    Place::find(seen, &goal.table, goal.pid).ok()?.leader().cloned()
}

/// Whether a partition has a leader that leads, or none that could be had back by standing up, as far as that is known.
pub(super) fn leads(seen: &Snapshot, goal: &Goal) -> bool {
    let Ok(place) = Place::find(seen, &goal.table, goal.pid) else { return true };
    let Some(leader) = place.leader() else { return true };
    !matches!(standing(&place, leader, None), Ok(Standing::Down(_) | Standing::TooEarly | Standing::Silent))
}
