//! What a step needs (docs/openmldb/calls.md#what-they-check), what is sent for it, and what that is to bring about.

use crate::model::Snapshot;

use super::Step;
use super::partition_context::{Planned, Refusal};

/// What is to be sent for a step, or why nothing is.
///
/// # Errors
/// What is in the way.
pub fn plan(step: &Step, seen: &Snapshot) -> Result<Planned, Refusal> {
    step.definition().plan(seen)
}

/// Why a step must not be taken unless somebody has said that what it makes unavailable may be.
pub(super) fn outage(step: &Step, seen: &Snapshot) -> Option<Refusal> {
    step.definition().outage(seen)
}
