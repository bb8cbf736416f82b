//! `cancelop`.

use crate::model::{Action, OpId, OpStatus, Snapshot};

use super::super::effect::{Effect, EffectStatus};
use super::super::partition_context::{Planned, Refusal, failover_is_off};
use super::CancelOp;
use super::definition::{Definition, Target};

impl Definition for CancelOp<'_> {
    fn code(&self) -> &'static str {
        "op_cancel"
    }

    fn handbook(&self) -> String {
        format!("cancelop {}", self.op)
    }

    fn typed(&self) -> Option<String> {
        Some(format!("op cancel {}", self.op))
    }

    fn target(&self) -> Target<'_> {
        Target::Cluster
    }

    fn plan(&self, seen: &Snapshot) -> Result<Planned, Refusal> {
        let op = *self.op;
        failover_is_off(seen)?;
        let Some(found) = seen.ops.iter().find(|found| found.id == op) else {
            let text = format!("there is no operation {op} (any more)");
            return Err(Refusal::of(312, text, "see `openmldb-ops show ops`"));
        };
        if !found.status.is_in_flight() {
            let text = format!("operation {op} ({}) has ended", found.kind.name());
            return Err(Refusal::of(312, text, "only what is queued or under way can be cancelled"));
        }
        let remarks = vec!["what a tablet has begun for it, a load for instance, goes on".to_owned()];
        Ok(Planned::new(Some(Action::CancelOp { op }), Over(op)).noting(remarks))
    }
}

/// The operation has ended.
#[derive(Debug)]
struct Over(OpId);

impl Effect for Over {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let id = self.0;
        match seen.ops.iter().find(|op| op.id == id) {
            Some(op) if op.status.is_in_flight() => EffectStatus::Waiting(format!("operation {id} {}", op.progress())),
            Some(op) if op.status == OpStatus::Canceled => {
                EffectStatus::Reached(format!("operation {id} is cancelled"))
            }
            Some(op) => EffectStatus::Missed {
                text: format!("operation {id} ended before it was cancelled ({:?})", op.status),
                hint: "see `openmldb-ops status` for what it has changed".to_owned(),
            },
            None => EffectStatus::Reached(format!("operation {id} is gone")),
        }
    }
}
