//! A record's lines as the events that its run told, for whoever follows it from elsewhere.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Action, PartitionId};
use crate::recovery::Outcome;

use super::super::event::Event;
use super::super::scope::Scope;
use super::super::status::{PartitionState, Status};
use super::line::{Line, RunHeader, Work};

/// Keys of steps that make calls.
const STEPS: [&str; 13] = [
    "auto_failover",
    "settle_ops",
    "resume_snapshots",
    "offline_tablets",
    "wait_for_tablets",
    "mark_alive",
    "load_table",
    "poll_table_status",
    "prove_terms",
    "pick_leader",
    "change_role",
    "recover_table",
    "wait_until",
];

/// Turns lines into events, in their order.
#[derive(Debug, Default)]
pub struct Retold {
    under_way: BTreeMap<u64, (&'static str, Option<PartitionId>, Action)>,
    /// When the run began to act, which is what it tells times by; its record was begun before that.
    acts_at_ms: Option<u64>,
}

impl Retold {
    /// The first line: what a run tells before it acts.
    pub fn begun(&mut self, begun: &RunHeader, place: &str) -> Vec<Event> {
        let mut events = Vec::new();
        if begun.work() == Work::Recovery {
            events.push(observed(begun));
        }
        events.push(Event::Recorded { path: place.to_owned() });
        events
    }

    /// What was told when a line was written, if it was.
    pub fn event(&mut self, line: &Line) -> Option<Event> {
        Some(match line {
            Line::Chosen { table, partition, choice, .. } => {
                Event::LeaderChosen { table: table.clone(), pid: partition.pid.0, choice: choice.clone() }
            }
            Line::Sending { number, step, partition, action, why, .. } => {
                let step = STEPS.into_iter().find(|known| known == step).unwrap_or("step");
                self.under_way.insert(*number, (step, *partition, action.clone()));
                Event::Action { step, partition: *partition, action: action.clone(), why: why.clone() }
            }
            Line::Went { number, outcome, .. } => {
                let (step, partition, action) = self.under_way.remove(number)?;
                let error = match outcome {
                    Outcome::Applied => return None,
                    Outcome::Refused { error, .. } | Outcome::NotApplied(error) | Outcome::Unknown(error) => {
                        error.clone()
                    }
                };
                Event::ActionFailed { step, partition, action, error }
            }
            Line::Reached { at_ms, table, partition, state, blocked } => Event::Partition {
                table: table.clone(),
                pid: partition.pid.0,
                state: *state,
                after_ms: at_ms.saturating_sub(self.acts_at_ms.unwrap_or(0)),
                blocked: blocked.clone(),
            },
            Line::Note { text, .. } => Event::Note { text: text.clone() },
            Line::Expected { at_ms, expected } => {
                self.acts_at_ms.get_or_insert(*at_ms);
                Event::Expected(expected.clone())
            }
            Line::Progress { at_ms, progress } => {
                self.acts_at_ms = Some(at_ms.saturating_sub(progress.after_ms));
                Event::Progress(progress.clone())
            }
            Line::Arranging { arranging, .. } => Event::Arranging(arranging.clone()),
            Line::Command { command, .. } => Event::Note { text: command.clone() },
            Line::Begun(_)
            | Line::Waiting { .. }
            | Line::Remembered { .. }
            | Line::Released { .. }
            | Line::Detached { .. }
            | Line::FailoverWanted { .. }
            | Line::Ended { .. }
            | Line::Exited { .. }
            | Line::Dismissed { .. } => return None,
        })
    }
}

fn observed(begun: &RunHeader) -> Event {
    let ids: BTreeSet<PartitionId> = begun.before.iter().map(|before| before.partition).collect();
    let status = Status::of(&begun.snapshot, &Scope::All);
    let healthy = status.partitions.iter().filter(|partition| {
        let id = PartitionId { tid: partition.tid, pid: partition.pid };
        partition.state == PartitionState::Healthy && ids.contains(&id)
    });
    Event::Observed {
        partitions: ids.len(),
        replicas: begun.before.len(),
        healthy: healthy.count(),
        auto_failover: begun.auto_failover,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, TableName, Tid};
    use crate::run::{Milestone, Progress};

    /// Tablets were waited for, and auto_failover was switched off, before it began to act.
    #[test]
    fn times_are_told_as_the_run_itself_told_them() {
        let mut retold = Retold::default();
        let after = |retold: &mut Retold, at_ms| {
            let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
            let partition = PartitionId { tid: Tid(7), pid: Pid(0) };
            let line = Line::Reached { at_ms, table, partition, state: Milestone::Serving, blocked: None };
            match retold.event(&line) {
                Some(Event::Partition { after_ms, .. }) => after_ms,
                other => panic!("{other:?}"),
            }
        };
        let progress = Box::new(Progress { after_ms: 2_000, ..Progress::default() });
        retold.event(&Line::Progress { at_ms: 302_000, progress });
        assert_eq!(after(&mut retold, 303_500), 3_500);
    }
}
