//! What a step needs (docs/openmldb/calls.md#what-they-check), what is sent for it, and what that is to bring about.

use crate::model::Snapshot;

use super::Step;
use super::known::Known;
use super::partition_context::{Planned, Refusal};

/// What is to be sent for a step, or why nothing is, where nobody has compared rows.
///
/// # Errors
/// What is in the way.
pub fn plan(step: &Step, seen: &Snapshot) -> Result<Planned, Refusal> {
    plan_knowing(step, seen, &Known::default())
}

/// The same with what is known beside.
///
/// # Errors
/// What is in the way.
pub(super) fn plan_knowing(step: &Step, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
    step.definition().plan(seen, known)
}

/// Why a step must not be taken unless somebody has said that what it makes unavailable may be.
pub(super) fn outage(step: &Step, seen: &Snapshot) -> Option<Refusal> {
    step.definition().outage(seen)
}
