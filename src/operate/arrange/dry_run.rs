//! An arrangement followed in thought: what each step becomes if it works.

use crate::model::Snapshot;

use super::super::Step;
use super::super::goal::{Arrangement, Goal};
use super::super::partition_context::Refusal;
use super::super::plan::plan;
use super::next::{Next, next};

/// No partition needs more steps: one more replica, a leader changed and brought back, two taken away.
const MOST_STEPS: usize = 20;

/// A goal, and the way to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DryRun {
    /// The goal.
    pub goal: Goal,
    /// The steps, as far as they can be told.
    pub steps: Vec<Step>,
    /// Why it cannot be reached, or what has to end first.
    pub stops_at: Option<String>,
}

/// The steps of an arrangement, and the cluster as it is after them.
pub fn dry_run(arrangement: &Arrangement, seen: &Snapshot) -> (Vec<DryRun>, Snapshot) {
    // It is switched off first.
    let mut now = Snapshot { auto_failover: false, ..seen.clone() };
    let mut walks = Vec::new();
    for goal in &arrangement.goals {
        let mut found = DryRun { goal: goal.clone(), steps: Vec::new(), stops_at: None };
        while found.steps.len() < MOST_STEPS {
            let step = match next(&now, goal) {
                Next::Done => break,
                Next::Wait(text) | Next::Silence(text) => {
                    found.stops_at = Some(text);
                    break;
                }
                Next::Blocked(refusal) => {
                    found.stops_at = Some(refusal.text);
                    break;
                }
                Next::Take(step) => step,
            };
            // Later steps rest on what is not there yet.
            if found.steps.is_empty()
                && let Err(Refusal { text, .. }) = plan(&step, &now)
            {
                found.stops_at = Some(text);
                break;
            }
            step.predict(&mut now);
            found.steps.push(step);
        }
        walks.push(found);
    }
    (walks, now)
}
