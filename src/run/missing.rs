//! Tablets that metadata names and that are not there: a run may be started together with the cluster, so it stays open for them
//! for a while. Everything else goes on meanwhile.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::model::{Endpoint, PartitionId, Snapshot, Tablet};
use crate::playbook::{Playbook, WhichTablets};
use crate::recovery::{LeaderPlan, PartitionPlan, Plan};

use super::cluster_steps::lost_tablets;
use super::driver::Driver;
use super::scope::some_of;

/// How long a run stays open for tablets that are away, and for which.
#[derive(Debug, Clone)]
pub struct Awaiting {
    /// Since when: the run's start.
    pub since: Instant,
    /// For how long, on the cluster's clock.
    pub time: Duration,
    /// Tablets that are waited for whatever has to be done: the playbook takes others for lost.
    pub always: BTreeSet<Endpoint>,
    /// Tablets that somebody has said are gone for good.
    pub gone: BTreeSet<Endpoint>,
}

impl Awaiting {
    /// From now on, as a playbook has it.
    pub(super) fn from_now(playbook: &Playbook, snapshot: &Snapshot) -> Self {
        let (which, time) = playbook.wait_for_tablets();
        let always = match which {
            WhichTablets::Lost => lost_tablets(snapshot).into_iter().collect(),
            WhichTablets::Missing => BTreeSet::new(),
        };
        Self { since: Instant::now(), time, always, gone: BTreeSet::new() }
    }

    /// How long is left, on the cluster's clock; none once the time is over.
    fn left(&self, pace: f64) -> Option<Duration> {
        self.time.checked_sub(self.since.elapsed().mul_f64(pace)).filter(|left| !left.is_zero())
    }
}

/// The tablets that a run with that plan stays open for, each with the partitions that it concerns: those that are down or that the
/// run works on. Where nothing has to be done and nothing is down because of it, nobody is waited for.
pub(super) fn missing_tablets(
    snapshot: &Snapshot,
    playbook: &Playbook,
    plan: &Plan,
) -> BTreeMap<Endpoint, BTreeSet<PartitionId>> {
    let Awaiting { time, always, .. } = Awaiting::from_now(playbook, snapshot);
    let mut missing: BTreeMap<Endpoint, BTreeSet<PartitionId>> = BTreeMap::new();
    if time.is_zero() {
        return missing;
    }
    for planned in plan.partitions.iter().filter(|planned| is_concerned(planned)) {
        for at in planned.evidence.iter().map(|replica| &replica.endpoint) {
            if snapshot.tablets.get(at).is_none_or(is_away) {
                missing.entry(at.clone()).or_default().insert(planned.partition);
            }
        }
    }
    for at in always {
        missing.entry(at).or_default();
    }
    missing
}

/// What to know before a run that can do nothing yet: no tablet that anything is placed on answers. `waits` is how long it waits.
pub fn nobody_answers(snapshot: &Snapshot, waits: Duration) -> Option<String> {
    let placed: BTreeSet<Endpoint> =
        snapshot.tables.iter().flat_map(|table| &table.partitions).flat_map(|partition| partition.places()).collect();
    let is_there = |at: &Endpoint| snapshot.tablets.get(at).is_some_and(|tablet| !is_away(tablet));
    if placed.is_empty() || placed.iter().any(is_there) {
        return None;
    }
    let names: Vec<String> = placed.iter().map(ToString::to_string).collect();
    let then = match waits.as_secs() {
        0 => "the run does not wait for them (--wait-for-tablets)".to_owned(),
        seconds => {
            let time = if seconds % 60 == 0 { format!("{} min", seconds / 60) } else { format!("{seconds} s") };
            format!("the run waits {time} for them (--wait-for-tablets), and begins with each as it answers")
        }
    };
    Some(format!("no tablet answers, so nothing can be loaded yet: start {}; {then}", some_of(&names)))
}

fn is_concerned(planned: &PartitionPlan) -> bool {
    let is_down = !matches!(planned.leader, LeaderPlan::Serving { .. });
    is_down || !planned.steps.is_empty() || planned.blocked.is_none()
}

fn is_away(tablet: &Tablet) -> bool {
    tablet.held.known().is_none()
}

impl Driver {
    /// The tablets that the run stays open for, and the partitions that each concerns. None once the time is over.
    pub(super) fn missing(&self) -> BTreeMap<Endpoint, BTreeSet<PartitionId>> {
        let mut missing = BTreeMap::new();
        let awaiting = &self.settings.awaiting;
        if awaiting.left(self.settings.pace).is_none() {
            return missing;
        }
        for at in self.snapshot.tablets.iter().filter(|(_, tablet)| is_away(tablet)).map(|(at, _)| at) {
            let waits = |id: &&PartitionId| self.partitions.get(id).is_some_and(|task| task.waits_for_tablets());
            let placed = self.placed.get(at).into_iter().flatten();
            let waiting: BTreeSet<PartitionId> = placed.filter(waits).copied().collect();
            let is_concerned = !waiting.is_empty() || awaiting.always.contains(at);
            if is_concerned && !awaiting.gone.contains(at) {
                missing.insert(at.clone(), waiting);
            }
        }
        missing
    }

    /// Whether something may still come that changes what is blocked: a tablet that is waited for.
    pub(super) fn is_anybody_missing(&self) -> bool {
        !self.missing().is_empty()
    }
}
