//! What is told of a run over many partitions: how far it has come, now and then, and of what is alike the first few.

use std::collections::BTreeMap;

use crate::run::{Arranging, Event, Milestone};

use super::arranging_rows;
use super::progress_rows::left;
use super::run_counts::RunCounts;
use super::words::elapsed;

/// If no more partitions than this are to be brought back, each is told on its own.
pub(super) const FEW: usize = 20;
/// How many lines of a kind are told; the end of the run lists all that they would be about.
const ALIKE: usize = 3;
/// How long after the last line another one says how far it has come, in ms of the cluster's clock.
const EVERY_MS: u64 = 5_000;

/// The same while no partition comes any further.
const AT_LEAST_EVERY_MS: u64 = 30_000;

/// What was told so far.
#[derive(Debug, Default)]
pub(super) struct Digest {
    told: BTreeMap<Kind, usize>,
    told_ms: u64,
    told_bars: (usize, usize),
    told_steps: usize,
}

/// Kinds of lines of which there may be as many as there are partitions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Leader,
    Rows,
    Blocked,
    Failure,
    GoingOn,
}

/// What becomes of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Told {
    /// It is told.
    Yes,
    /// It is told, and that no more of its kind are.
    Last,
    /// It is not.
    No,
}

impl Digest {
    /// Whether an event is told on its own.
    pub(super) fn told(&mut self, event: &Event, run_counts: &RunCounts) -> Told {
        if let Event::Observed { .. } = event {
            *self = Self::default();
        }
        let kind = match event {
            _ if run_counts.bars().length <= FEW => return Told::Yes,
            Event::LeaderChosen { choice, .. } if choice.given_up.is_empty() => return Told::No,
            Event::Partition { blocked: None, .. } | Event::RowsChecked { same: Some(true), .. } => return Told::No,
            Event::LeaderChosen { .. } => Kind::Leader,
            Event::RowsChecked { .. } => Kind::Rows,
            Event::Partition { .. } => Kind::Blocked,
            Event::ActionFailed { .. } => Kind::Failure,
            Event::StillGoingOn { .. } => Kind::GoingOn,
            _ => return Told::Yes,
        };
        self.told_of(kind)
    }

    fn told_of(&mut self, kind: Kind) -> Told {
        let told = self.told.entry(kind).or_default();
        *told += 1;
        match (*told).cmp(&ALIKE) {
            std::cmp::Ordering::Less => Told::Yes,
            std::cmp::Ordering::Equal => Told::Last,
            std::cmp::Ordering::Greater => Told::No,
        }
    }

    /// Whether a step of an undertaking that did not go well is told on its own.
    pub(super) fn told_missed(&mut self, run_counts: &RunCounts) -> Told {
        if run_counts.partitions() <= FEW { Told::Yes } else { self.told_of(Kind::Failure) }
    }

    /// How far an undertaking over many partitions has come, where that is to be said.
    fn arranging(&mut self, arranging: &Arranging) -> Option<String> {
        let Arranging { after_ms, partitions, done, skipped, steps_done, .. } = *arranging;
        let is_over = done + skipped == partitions;
        let every = if steps_done == self.told_steps && !is_over { AT_LEAST_EVERY_MS } else { EVERY_MS };
        if partitions <= FEW || after_ms < self.told_ms + every && !is_over {
            return None;
        }
        (self.told_ms, self.told_steps) = (after_ms, steps_done);
        Some(arranging_rows::said(arranging))
    }

    /// How far it has come, where that is to be said: now and then, once all serve, and once all are redundant.
    pub(super) fn progress(&mut self, event: &Event, run_counts: &RunCounts) -> Option<String> {
        let after_ms = match event {
            Event::Arranging(arranging) => return self.arranging(arranging),
            Event::Partition { after_ms, state: Milestone::Serving | Milestone::Redundant, .. } => after_ms,
            Event::Progress(progress) if progress.after_ms >= self.told_ms + AT_LEAST_EVERY_MS => &progress.after_ms,
            _ => return None,
        };
        let bars = run_counts.bars();
        let now = (bars.serving, bars.redundant);
        let reached = |now: usize, before: usize| now == bars.length && before < bars.length;
        let is_milestone = reached(now.0, self.told_bars.0) || reached(now.1, self.told_bars.1);
        let is_due = *after_ms >= self.told_ms + EVERY_MS;
        if bars.length <= FEW || !(is_milestone || is_due) {
            return None;
        }
        (self.told_ms, self.told_bars) = (*after_ms, now);
        Some(said(*after_ms, run_counts))
    }
}

/// How far it has come, in a line.
pub(super) fn said(after_ms: u64, run_counts: &RunCounts) -> String {
    if let Some(arranging) = run_counts.arranging() {
        return arranging_rows::said(arranging);
    }
    let bars = run_counts.bars();
    let trouble = run_counts.trouble();
    let trouble = if trouble.is_empty() { trouble } else { format!(", {trouble}") };
    let loaded = run_counts.progress().filter(|progress| progress.loaded < progress.replicas);
    let loaded = loaded.map_or(String::new(), |now| format!("{} of {} replicas loaded, ", now.loaded, now.replicas));
    let left = left(run_counts, after_ms).map_or(String::new(), |left| format!("; {left}"));
    format!(
        "after {}: {loaded}{} of {} serve, {} redundant{trouble}{left}",
        elapsed(after_ms),
        bars.serving,
        bars.length,
        bars.redundant
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Endpoint, Pid, TableName};
    use crate::run::OutstandingWork;

    fn reached(pid: u32, state: Milestone, after_ms: u64) -> Event {
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        Event::Partition { table, pid, state, after_ms, blocked: None }
    }

    /// What is told while so many partitions come to serve, one every 100 ms, and then become redundant.
    fn told_of(partitions: u32) -> (usize, Vec<String>) {
        let (mut digest, mut run_counts) = (Digest::default(), RunCounts::default());
        let all = usize::try_from(partitions).unwrap();
        run_counts.add(&Event::Observed { partitions: all, replicas: 3 * all, healthy: 0, auto_failover: true });
        let (mut lines, mut progress) = (0, Vec::new());
        let serving = (0..partitions).map(|pid| (pid, Milestone::Serving));
        let redundant = (0..partitions).map(|pid| (pid, Milestone::Redundant));
        for ((pid, state), after_ms) in serving.chain(redundant).zip((0..).step_by(100)) {
            let event = reached(pid, state, after_ms);
            run_counts.add(&event);
            lines += usize::from(digest.told(&event, &run_counts) != Told::No);
            progress.extend(digest.progress(&event, &run_counts));
        }
        (lines, progress)
    }

    #[test]
    fn of_a_few_each_is_told() {
        assert_eq!(told_of(20), (40, Vec::new()));
    }

    #[test]
    fn of_many_it_is_told_how_far_it_has_come() {
        let (lines, progress) = told_of(100);
        assert_eq!(lines, 0);
        assert_eq!(
            progress,
            [
                "after 5.0 s: 51 of 100 serve, 0 redundant",
                "after 9.9 s: 100 of 100 serve, 0 redundant",
                "after 14.9 s: 100 of 100 serve, 50 redundant",
                "after 19.9 s: 100 of 100 serve, 100 redundant",
            ]
        );
        assert!(told_of(10_000).1.len() < 450, "a line in five seconds");
    }

    #[test]
    fn of_what_is_alike_the_first_few_are_told() {
        let (mut digest, mut run_counts) = (Digest::default(), RunCounts::default());
        run_counts.add(&Event::Observed { partitions: 500, replicas: 500, healthy: 0, auto_failover: true });
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        let (same, text) = (Some(false), "they differ".to_owned());
        let differ =
            |pid| Event::RowsChecked { table: table.clone(), pid, replicas: Vec::new(), same, text: text.clone() };
        let loads = |pid| {
            let (endpoint, table) = (Endpoint::from("10.0.0.1:10921"), table.clone());
            Event::StillGoingOn { going_on: OutstandingWork::Load { endpoint, table, pid: Pid(pid), seen: true } }
        };
        for event in [&differ as &dyn Fn(u32) -> Event, &loads] {
            let told: Vec<Told> = (0..500).map(|pid| digest.told(&event(pid), &run_counts)).collect();
            assert_eq!(told.iter().filter(|told| **told == Told::Yes).count(), 2);
            assert_eq!(told.iter().filter(|told| **told == Told::Last).count(), 1);
        }
    }
}
