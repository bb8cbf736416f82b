//! How far a run has come, added up from its events: what progress bars show.

use std::collections::{BTreeSet, VecDeque};

use crate::model::{TableName, counted};
use crate::run::{Arranging, Event, Expected, Milestone, Progress};

/// Counts, by partition, so that an event told twice counts once.
#[derive(Debug, Default, Clone)]
pub(super) struct RunCounts {
    unhealthy: usize,
    serving: BTreeSet<(TableName, u32)>,
    redundant: BTreeSet<(TableName, u32)>,
    blocked: BTreeSet<(TableName, u32)>,
    failures: usize,
    /// Partitions that came to serve and do not any more, as was last said: their tablet is gone again, or hangs.
    lost: usize,
    /// Partitions that were left alone and are not any more, as was last said: what that rested on has changed.
    resumed: usize,
    expected: Option<Expected>,
    progress: Option<Progress>,
    /// How far an undertaking is; one may follow a recovery.
    arranging: Option<Arranging>,
    /// Replicas loaded and followers back, by time, of the last minutes.
    history: VecDeque<(u64, usize, usize)>,
}

/// Over how long a rate is taken, in milliseconds.
const RATE_MS: u64 = 60_000;
/// The shortest time that says something about a rate.
const LEAST_MS: u64 = 5_000;

/// What the bars show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Bars {
    /// Partitions that were not healthy at the start: the length of both bars.
    pub(super) length: usize,
    /// Of these, those that serve.
    pub(super) serving: usize,
    /// Of these, those that are as they should be.
    pub(super) redundant: usize,
}

/// In a second.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Rates {
    /// Replicas that were loaded.
    pub(super) loaded: f64,
    /// Followers that came back.
    pub(super) back: f64,
}

impl RunCounts {
    /// Adds an event.
    pub(super) fn add(&mut self, event: &Event) {
        match event {
            // A guard's next recovery begins with nothing of the one before.
            Event::Observed { partitions, healthy, .. } => {
                let unhealthy = partitions.saturating_sub(*healthy);
                *self = Self { unhealthy, expected: self.expected.take(), ..Self::default() };
            }
            Event::Partition { table, pid, state, .. } => {
                let partition = (table.clone(), *pid);
                match state {
                    Milestone::Serving => drop(self.serving.insert(partition)),
                    Milestone::Redundant => {
                        // It may have been left alone for something that is not so any more.
                        let was_blocked = self.blocked.remove(&partition);
                        self.resumed = self.resumed.saturating_sub(usize::from(was_blocked));
                        self.serving.insert(partition.clone());
                        self.redundant.insert(partition);
                    }
                    Milestone::Blocked => {
                        let was_blocked = !self.blocked.insert(partition);
                        self.resumed = self.resumed.saturating_sub(usize::from(was_blocked));
                    }
                }
            }
            Event::ActionFailed { .. } => self.failures += 1,
            Event::Expected(expected) => self.expected = Some(expected.clone()),
            Event::Progress(progress) => self.note(progress),
            Event::Arranging(arranging) => self.arranging = Some((**arranging).clone()),
            Event::Recorded { .. }
            | Event::Note { .. }
            | Event::Waiting { .. }
            | Event::StillGoingOn { .. }
            | Event::LeaderChosen { .. }
            | Event::RowsChecked { .. }
            | Event::Action { .. } => {}
        }
    }

    /// The bars as they stand.
    pub(super) fn bars(&self) -> Bars {
        let serving = self.serving.len().saturating_sub(self.lost);
        Bars { length: self.unhealthy, serving, redundant: self.redundant.len() }
    }

    fn note(&mut self, progress: &Progress) {
        let Progress { after_ms, loaded, followers_back, .. } = *progress;
        self.history.push_back((after_ms, loaded, followers_back));
        while self.history.front().is_some_and(|(at, ..)| at.saturating_add(RATE_MS) < after_ms) {
            self.history.pop_front();
        }
        self.lost = self.serving.len().saturating_sub(progress.serving);
        self.resumed = self.blocked.len().saturating_sub(progress.blocked);
        self.progress = Some(progress.clone());
    }

    /// How far it has come in numbers, as was last said.
    pub(super) fn progress(&self) -> Option<&Progress> {
        self.progress.as_ref()
    }

    /// How far an undertaking has come.
    pub(super) fn arranging(&self) -> Option<&Arranging> {
        self.arranging.as_ref()
    }

    /// How many partitions there is something to do for.
    pub(super) fn partitions(&self) -> usize {
        self.arranging.as_ref().map_or(self.unhealthy, |arranging| arranging.partitions)
    }

    /// How long after the run began to act that was, in milliseconds.
    pub(super) fn after_ms(&self) -> Option<u64> {
        let arranging = self.arranging.as_ref().map(|arranging| arranging.after_ms);
        arranging.or_else(|| self.progress.as_ref().map(|progress| progress.after_ms))
    }

    /// What it is expected to take.
    pub(super) fn expected(&self) -> Option<&Expected> {
        self.expected.as_ref()
    }

    /// How many replicas have been loaded, and how many followers have come back, in a second of the last minute.
    pub(super) fn rates(&self) -> Option<Rates> {
        let ((began, loaded, back), (now, loaded_now, back_now)) = (self.history.front()?, self.history.back()?);
        let took = now.saturating_sub(*began);
        let seconds = took as f64 / 1000.0;
        let rate = |then: usize, now: usize| now.saturating_sub(then) as f64 / seconds;
        let is_long = took >= LEAST_MS;
        is_long.then(|| Rates { loaded: rate(*loaded, *loaded_now), back: rate(*back, *back_now) })
    }

    /// The partitions that are left alone, as far as it is known which of them still are.
    pub(super) fn blocked(&self) -> Option<&BTreeSet<(TableName, u32)>> {
        (self.blocked.len() > self.resumed).then_some(&self.blocked)
    }

    /// What stands beside the bars; empty if nothing is amiss.
    pub(super) fn trouble(&self) -> String {
        let lost = (self.lost > 0).then(|| format!("{} no longer serving", self.lost));
        let blocked = self.blocked.len().saturating_sub(self.resumed);
        let blocked = (blocked > 0).then(|| format!("{blocked} blocked"));
        let failures = match self.failures {
            0 => None,
            1 => Some("1 call failed".to_owned()),
            more => Some(format!("{} failed", counted(more, "call"))),
        };
        lost.into_iter().chain(blocked).chain(failures).collect::<Vec<_>>().join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partition(pid: u32, state: Milestone) -> Event {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        Event::Partition { table, pid, state, after_ms: 1, blocked: None }
    }

    #[test]
    fn bars_count_partitions_that_were_not_healthy_each_once() {
        let mut run_counts = RunCounts::default();
        assert_eq!(run_counts.bars(), Bars { length: 0, serving: 0, redundant: 0 });
        run_counts.add(&Event::Observed { partitions: 6, replicas: 18, healthy: 2, auto_failover: true });
        run_counts.add(&partition(0, Milestone::Serving));
        run_counts.add(&partition(0, Milestone::Serving));
        run_counts.add(&partition(0, Milestone::Redundant));
        run_counts.add(&partition(1, Milestone::Redundant));
        run_counts.add(&partition(2, Milestone::Serving));
        run_counts.add(&partition(2, Milestone::Blocked));
        assert_eq!(run_counts.bars(), Bars { length: 4, serving: 3, redundant: 2 });
        assert_eq!(run_counts.trouble(), "1 blocked");
    }

    #[test]
    fn what_came_to_serve_and_does_not_any_more_is_not_counted_as_serving() {
        let mut run_counts = RunCounts::default();
        run_counts.add(&Event::Observed { partitions: 4, replicas: 12, healthy: 0, auto_failover: true });
        (0..3).for_each(|pid| run_counts.add(&partition(pid, Milestone::Serving)));
        let progress = |serving| Event::Progress(Box::new(Progress { partitions: 4, serving, ..Progress::default() }));
        run_counts.add(&progress(1));
        assert_eq!((run_counts.bars().serving, run_counts.trouble()), (1, "2 no longer serving".to_owned()));
        run_counts.add(&partition(3, Milestone::Serving));
        assert_eq!(run_counts.bars().serving, 2, "one more since");
        run_counts.add(&progress(4));
        assert_eq!((run_counts.bars().serving, run_counts.trouble()), (4, String::new()), "its tablet answers again");
    }

    #[test]
    fn a_second_run_begins_with_nothing_of_the_first() {
        let mut run_counts = RunCounts::default();
        let observed = |healthy| Event::Observed { partitions: 4, replicas: 12, healthy, auto_failover: true };
        run_counts.add(&observed(0));
        [Milestone::Redundant, Milestone::Blocked]
            .into_iter()
            .zip(0..)
            .for_each(|(state, pid)| run_counts.add(&partition(pid, state)));
        run_counts.add(&observed(1));
        assert_eq!(run_counts.bars(), Bars { length: 3, serving: 0, redundant: 0 });
        run_counts.add(&Event::Progress(Box::new(Progress { partitions: 4, serving: 1, ..Progress::default() })));
        assert_eq!(run_counts.trouble(), "");
    }

    #[test]
    fn what_was_left_alone_and_is_not_any_more_is_not_counted_as_blocked() {
        let mut run_counts = RunCounts::default();
        let told = |blocked| Progress { partitions: 4, serving: 4, blocked, ..Progress::default() };
        let progress = |blocked| Event::Progress(Box::new(told(blocked)));
        (0..3).for_each(|pid| run_counts.add(&partition(pid, Milestone::Blocked)));
        run_counts.add(&progress(3));
        assert_eq!((run_counts.trouble().as_str(), run_counts.blocked().map(BTreeSet::len)), ("3 blocked", Some(3)));
        run_counts.add(&progress(1));
        assert_eq!(run_counts.trouble(), "1 blocked", "a tablet answers again, and two are resumed");
        run_counts.add(&partition(1, Milestone::Redundant));
        assert_eq!(run_counts.trouble(), "1 blocked");
        run_counts.add(&progress(0));
        assert_eq!((run_counts.trouble().as_str(), run_counts.blocked()), ("", None));
        run_counts.add(&partition(3, Milestone::Blocked));
        assert_eq!(run_counts.trouble(), "1 blocked", "one more since");
        run_counts.add(&partition(0, Milestone::Blocked));
        assert_eq!(run_counts.trouble(), "2 blocked", "the same again, for something else");
    }
}
