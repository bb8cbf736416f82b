//! How far a run is: what its record says, and where that does not say, what its process does.

use serde::Serialize;

use super::super::process::Liveness;
use super::recorded_run::RecordedRun;

/// How far a run is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RunState {
    /// It is at work.
    Running,
    /// It ended, and its record says how.
    Ended,
    /// It did not come to its end: its process is gone.
    Killed,
    /// Its record has no end, and its process is not seen from here.
    Unknown,
    /// Somebody has said that nobody goes on with it.
    Dismissed,
}

impl RunState {
    /// The state of a run, as far as can be told from here.
    pub fn of(recorded_run: &RecordedRun) -> Self {
        if recorded_run.is_dismissed() {
            return Self::Dismissed;
        }
        if recorded_run.ended().is_some() {
            return Self::Ended;
        }
        match recorded_run.begun.caller.liveness() {
            Liveness::Lives => Self::Running,
            Liveness::Gone => Self::Killed,
            Liveness::Unknown => Self::Unknown,
        }
    }
}
