//! What a step sends, and how that is written down: whoever takes the step, by itself or as a part of more.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{CallError, Outcome};
use crate::model::{Action, OpId, PartitionId, Snapshot};
use crate::run::{Record, RecordError, outcome_of};

use super::effect::status_in_time;
use super::partition_context::Planned;
use super::{EffectStatus, Step};

/// Writes a step's call down: it is on disk, or it must not be sent. Gives its number in the record. `about`: the partition, where the
/// step is taken for one.
///
/// # Errors
/// It is not on disk.
pub(super) fn write_down(
    record: &Record,
    (step, about): (&Step, Option<PartitionId>),
    call: &Action,
    why: &str,
) -> Result<u64, RecordError> {
    let number = match call {
        Action::Manual(_) => record.commanding(step.code(), &step.to_string(), why),
        action => record.sending(step.code(), about, action, why),
    };
    record.sync().map(|()| number)
}

/// Notes how the call of that number went, and gives it on.
///
/// # Errors
/// As the call.
pub(super) fn noted(record: &Record, number: u64, sent: Result<(), CallError>) -> Result<(), CallError> {
    record.went(number, &outcome_of(&sent));
    record.write();
    sent
}

/// What is left to do once a call has ended: nothing, if it may have been done, since whether it was shows.
///
/// # Errors
/// It certainly was not.
pub(super) fn unless_not_done(sent: Result<(), CallError>) -> Result<(), CallError> {
    sent.or_else(|error| if error.outcome() == Outcome::Unknown { Ok(()) } else { Err(error) })
}

/// A step that was sent.
pub(super) struct SentStep {
    pub(super) step: Step,
    pub(super) planned: Planned,
    /// The newest operation from before.
    pub(super) since: Option<OpId>,
    pub(super) at: Instant,
}

impl SentStep {
    /// Now. `seen`: what was seen right before.
    pub(super) fn now(step: Step, planned: Planned, seen: &Snapshot) -> Self {
        Self { step, planned, since: newest(seen), at: Instant::now() }
    }

    /// What is seen of its effect. `pace` is how much faster than ours the cluster's clock runs.
    pub(super) fn status(&self, seen: &Snapshot, pace: f64, timeout: Duration) -> EffectStatus {
        let waited = self.at.elapsed().mul_f64(pace);
        match status_in_time(&*self.planned.effect, seen, self.since, waited) {
            EffectStatus::Waiting(text) => self.in_time(text, timeout),
            clear => clear,
        }
    }

    /// What is said of an effect that is waited for: that it did not come in time, if so.
    pub(super) fn in_time(&self, text: String, timeout: Duration) -> EffectStatus {
        if self.at.elapsed() < timeout {
            return EffectStatus::Waiting(text);
        }
        EffectStatus::Missed {
            text: format!("it was sent, but its effect was not seen within {} s: {text}", timeout.as_secs()),
            hint: self.planned.effect.when_late().unwrap_or_else(|| {
                "it may still take effect: check `openmldb-ops status` and `openmldb-ops show ops`, then run this again"
                    .to_owned()
            }),
        }
    }
}

/// The newest operation that was seen.
pub(super) fn newest(seen: &Snapshot) -> Option<OpId> {
    seen.ops.iter().map(|op| op.id).max()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::CallErrorKind;

    /// Else it would be sent a second time while the first is still at work.
    #[test]
    fn what_may_have_been_done_is_looked_for_and_not_taken_for_failed() {
        let ended = |kind| unless_not_done(Err(CallError::new("nameserver", "Migrate", kind))).is_ok();
        assert!(ended(CallErrorKind::DeadlineExceeded { after: Duration::from_secs(5) }));
        assert!(ended(CallErrorKind::HungUp { seen: "closed".to_owned() }));
        assert!(!ended(CallErrorKind::Refused { code: 303, msg: String::new() }));
        assert!(!ended(CallErrorKind::Unreachable { seen: "refused".to_owned() }));
        assert!(!ended(CallErrorKind::NotPrepared { seen: "it is led by that one".to_owned() }));
    }
}
