//! When what had been reached, from the events of a run.

use std::time::Duration;

use serde::Serialize;

use crate::run::{Event, Milestone};

/// The milestones of a run's partitions, by time.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Timeline {
    /// Serving.
    pub serving: Times,
    /// Redundant.
    pub redundant: Times,
    /// Left alone.
    pub blocked: usize,
    /// Calls that did not simply succeed.
    pub failed_calls: usize,
}

/// When partitions came that far, in milliseconds since the run's first look; none while nobody has.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Times {
    /// The first.
    pub first_ms: Option<u64>,
    /// The last of all that did.
    pub all_ms: Option<u64>,
    /// How many did.
    pub partitions: usize,
}

impl Timeline {
    /// Notes an event, so long after the run's first look.
    pub fn note(&mut self, event: &Event, after: Duration) {
        let after_ms = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        match event {
            Event::Partition { state: Milestone::Serving, .. } => self.serving.note(after_ms),
            Event::Partition { state: Milestone::Redundant, .. } => self.redundant.note(after_ms),
            Event::Partition { state: Milestone::Blocked, .. } => self.blocked += 1,
            Event::ActionFailed { .. } => self.failed_calls += 1,
            _ => {}
        }
    }
}

impl Times {
    fn note(&mut self, after_ms: u64) {
        self.first_ms.get_or_insert(after_ms);
        self.all_ms = Some(after_ms);
        self.partitions += 1;
    }
}
