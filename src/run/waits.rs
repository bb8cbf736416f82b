//! What is waited for is said while it is: first after half a minute, then ever more rarely, and as one line for all that wait for
//! the same.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;

use crate::model::{Endpoint, PartitionId, TableName};
use crate::recovery::{Ahead, WaitFor};

use super::driver::Driver;
use super::event::Event;
use super::partition_task::PartitionTask;

/// How long something is waited for before it is said. On the cluster's clock, like all of this.
pub(super) const FIRST: Duration = Duration::from_secs(30);
/// How long something is waited for before it is shown among the rows of a run, which go away by themselves.
pub(super) const SHOWN: Duration = Duration::from_secs(5);
/// It is said again when it has taken twice as long, or so much longer.
const AT_LEAST: Duration = Duration::from_secs(10 * 60);
/// How often it is looked for what there is to say.
const EVERY: Duration = Duration::from_secs(5);

/// What is waited for, as a stable code.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Awaited {
    /// A tablet that metadata names and that does not answer, to be there.
    Tablet,
    /// OpenMLDB's own tables, which must come first.
    SystemTables,
    /// Who leads the base table of a pre-aggregate table.
    BaseTable,
    /// The pre-aggregate tables of a base table, which must come first.
    Aggregates,
    /// The leaders of other partitions, which must come first.
    Leaders,
    /// A call to be sent, since others are under way there, or answered.
    Call,
    /// Replicas to be compared row by row.
    Comparison,
    /// A replica to load.
    Load,
    /// A replica to appear, which its tablet was told to load.
    Appear,
    /// A snapshot to be made.
    Snapshot,
    /// Tablets to have been up for long enough to be asked for one.
    Uptime,
    /// An operation of the nameserver to end.
    Op,
    /// A follower to catch up with its leader.
    CatchUp,
    /// A follower and its leader to agree on their rows.
    Rows,
    /// A follower to take what its leader sends.
    Progress,
    /// A replica to be dropped.
    Drop,
    /// A server to answer a question.
    Answer,
    /// The nameserver to take a tablet that answers for healthy.
    Registration,
    /// Flags to show what was changed.
    Flags,
}

impl Awaited {
    /// Whether it is a partition's turn, or a call's: others come first, and nothing is slow.
    pub fn is_turn(self) -> bool {
        matches!(self, Self::SystemTables | Self::BaseTable | Self::Aggregates | Self::Leaders | Self::Call)
    }
}

impl From<&WaitFor> for Awaited {
    fn from(what: &WaitFor) -> Self {
        match what {
            WaitFor::Turn(Ahead::SystemTables) => Self::SystemTables,
            WaitFor::Turn(Ahead::BaseTable) => Self::BaseTable,
            WaitFor::Turn(Ahead::Aggregates) => Self::Aggregates,
            WaitFor::Turn(Ahead::Leaders) => Self::Leaders,
            WaitFor::Loading | WaitFor::SlowLoad => Self::Load,
            WaitFor::Appearing(_) => Self::Appear,
            WaitFor::Snapshot(_) => Self::Snapshot,
            WaitFor::UpForAMinute => Self::Uptime,
            WaitFor::Ops | WaitFor::OthersOps | WaitFor::Begun(_) => Self::Op,
            WaitFor::CatchUp(_) => Self::CatchUp,
            WaitFor::Rows(_) => Self::Rows,
            WaitFor::Stuck(_) => Self::Progress,
            WaitFor::Dropping(_) | WaitFor::MovedAway(_) => Self::Drop,
            WaitFor::Answer(_) => Self::Answer,
            WaitFor::Registered(_) => Self::Registration,
            WaitFor::Flags => Self::Flags,
        }
    }
}

/// A partition, by its name.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Named {
    /// Database and table.
    #[serde(flatten)]
    pub table: TableName,
    /// Partition number.
    pub pid: u32,
}

/// What has been said of each thing that is waited for, and when more is to be said.
#[derive(Debug)]
pub(super) struct Waits {
    next: Instant,
    /// How long each has to take before it is said again.
    due: BTreeMap<Awaited, Duration>,
}

/// All that wait for the same.
#[derive(Debug, Default)]
pub(super) struct Waiting {
    pub(super) partitions: usize,
    /// The longest that one of them has waited, which one, and how long it may take.
    pub(super) longest: Option<(Duration, PartitionId, Option<Duration>)>,
    pub(super) endpoints: BTreeSet<Endpoint>,
}

impl Waits {
    pub(super) fn new() -> Self {
        Self { next: Instant::now(), due: BTreeMap::new() }
    }

    /// Whether something that has taken so long is to be said now; then it is not again before it has taken longer.
    pub(super) fn is_due(&mut self, what: Awaited, waited: Duration) -> bool {
        let first = if what == Awaited::Tablet { Duration::ZERO } else { FIRST };
        let due = self.due.entry(what).or_insert(first);
        if waited < *due {
            return false;
        }
        *due = (waited + waited.min(AT_LEAST)).max(FIRST);
        true
    }
}

impl Driver {
    /// Says what has been waited for for a while.
    pub(super) fn tell_waits(&mut self) {
        let now = Instant::now();
        if now < self.waits.next {
            return;
        }
        self.waits.next = now + EVERY.div_f64(self.settings.pace);
        self.tell_missing();
        let all = self.all_waits(FIRST);
        self.waits.due.retain(|what, _| *what == Awaited::Tablet || all.contains_key(what));
        for (what, Waiting { partitions, longest, endpoints }) in all {
            let Some((waited, id, at_most)) = longest else { continue };
            if !self.waits.is_due(what, waited) {
                continue;
            }
            let found = self.index.find(&self.snapshot.tables, id);
            let partition = found.map(|(table, _)| Named { table: table.name.clone(), pid: id.pid.0 });
            (self.settings.listener)(&Event::Waiting {
                what,
                endpoints: endpoints.into_iter().collect(),
                partitions,
                partition,
                for_ms: millis(waited),
                at_most_ms: at_most.map(millis),
            });
        }
    }

    /// All that has been waited for for so long at least, on the cluster's clock.
    pub(super) fn all_waits(&self, least: Duration) -> BTreeMap<Awaited, Waiting> {
        let mut all: BTreeMap<Awaited, Waiting> = BTreeMap::new();
        let places = Places { queued: self.lanes.queued(), compared: self.comparing.by_partition() };
        for (id, task) in self.partitions.iter().filter(|(_, task)| task.is_open()) {
            let Some((what, waited, at_most)) = waits_for(*id, task, &places) else { continue };
            let waited = waited.mul_f64(self.settings.pace);
            if waited < least {
                continue;
            }
            let waiting = all.entry(what).or_default();
            waiting.partitions += 1;
            for endpoint in self.waited_at(*id, task, &places) {
                // Thousands of partitions wait at the same few tablets.
                if !waiting.endpoints.contains(endpoint) {
                    waiting.endpoints.insert(endpoint.clone());
                }
            }
            if waiting.longest.as_ref().is_none_or(|(longest, ..)| *longest < waited) {
                waiting.longest = Some((waited, *id, at_most));
            }
        }
        all
    }

    /// For whom the run stays open: at once, so that somebody can start it.
    fn tell_missing(&mut self) {
        let missing = self.missing();
        if missing.is_empty() {
            self.waits.due.remove(&Awaited::Tablet);
            return;
        }
        let waited = self.settings.awaiting.since.elapsed().mul_f64(self.settings.pace);
        if !self.waits.is_due(Awaited::Tablet, waited) {
            return;
        }
        let partitions: BTreeSet<&PartitionId> = missing.values().flatten().collect();
        (self.settings.listener)(&Event::Waiting {
            what: Awaited::Tablet,
            partitions: partitions.len(),
            endpoints: missing.keys().cloned().collect(),
            partition: None,
            for_ms: millis(waited),
            at_most_ms: Some(millis(self.settings.awaiting.time)),
        });
    }

    /// Where what a partition waits for has to happen, as far as that is at tablets.
    fn waited_at<'a>(&'a self, id: PartitionId, task: &'a PartitionTask, places: &Places<'a>) -> Vec<&'a Endpoint> {
        let is_loading = |at: &&Endpoint| {
            let held = self.snapshot.tablets.get(*at).and_then(|tablet| tablet.held.known());
            held.and_then(|held| held.get(&id)).is_some_and(|held| !held.state.is_loaded())
        };
        if let Some(replicas) = places.compared.get(&id) {
            return replicas.iter().collect();
        }
        match &task.waiting {
            Some(WaitFor::Loading | WaitFor::SlowLoad) => task.endpoints.iter().filter(is_loading).collect(),
            Some(other) => other.endpoint().into_iter().collect(),
            None => places.queued.get(&id).into_iter().flatten().copied().collect(),
        }
    }
}

/// Where partitions wait for their turn: collected once for all of them.
struct Places<'a> {
    /// The tablets to which something is to be sent.
    queued: BTreeMap<PartitionId, BTreeSet<&'a Endpoint>>,
    /// The replicas that are compared, or will be.
    compared: BTreeMap<PartitionId, &'a [Endpoint]>,
}

/// What a partition waits for, for how long by now (on our clock), and how long it may take (on the cluster's).
fn waits_for(
    id: PartitionId,
    task: &PartitionTask,
    places: &Places<'_>,
) -> Option<(Awaited, Duration, Option<Duration>)> {
    if task.under_way > 0 {
        let compared = places.compared.get(&id).map(|_| Awaited::Comparison);
        return Some((compared.unwrap_or(Awaited::Call), task.decided.elapsed(), None));
    }
    let (waited, at_most) = task.waited()?;
    Some((task.waiting.as_ref()?.into(), waited, Some(at_most).filter(|at_most| *at_most < Duration::MAX)))
}

pub(super) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_waited_for_is_said_after_half_a_minute_and_then_ever_more_rarely() {
        let mut waits = Waits::new();
        let said = (0..7_200).step_by(5).filter(|at| waits.is_due(Awaited::Load, Duration::from_secs(*at)));
        let said: Vec<u64> = said.collect();
        assert_eq!(said[..6], [30, 60, 120, 240, 480, 960]);
        assert!(said.len() < 20 && said.windows(2).all(|pair| pair[1] - pair[0] <= 600), "{said:?}");
        assert!(waits.is_due(Awaited::Tablet, Duration::ZERO), "somebody can start it at once");
        assert!(!waits.is_due(Awaited::Tablet, Duration::from_secs(29)));
    }
}
