//! `cancelop` and `deleteop`.

use crate::model::{Action, Manual, OpId, OpStatus, Snapshot, Verb, WhichOps, counted_that};

use super::super::effect::{Effect, EffectStatus};
use super::super::known::Known;
use super::super::partition_context::{Planned, Refusal, failover_is_off};
use super::definition::{Definition, Target};
use super::{CancelOp, DeleteOps};

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

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let op = *self.op;
        failover_is_off(seen)?;
        let found = seen.ops.iter().find(|found| found.id == op).ok_or_else(|| is_unknown(op, 312))?;
        if !found.status.is_in_flight() {
            let text = format!("operation {op} ({}) has ended", found.kind.name());
            return Err(Refusal::of(312, text, "only what is queued or under way can be cancelled"));
        }
        let remarks = vec!["what a tablet has already started for it, such as a load, continues".to_owned()];
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

impl Definition for DeleteOps<'_> {
    fn code(&self) -> &'static str {
        "op_delete"
    }

    fn handbook(&self) -> String {
        format!("deleteop {}", self.which)
    }

    fn typed(&self) -> Option<String> {
        Some(format!("op delete {}", self.which))
    }

    fn target(&self) -> Target<'_> {
        Target::Cluster
    }

    /// auto_failover may be on. By its number OpenMLDB would forget one that is under way, too.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let which = *self.which;
        let ids = match which {
            WhichOps::One(op) => {
                let found = seen.ops.iter().find(|found| found.id == op).ok_or_else(|| is_unknown(op, 136))?;
                if found.status.is_in_flight() {
                    let text = format!(
                        "operation {op} ({}) {}: deleted, it would be forgotten half way, with what it has changed until now",
                        found.kind.name(),
                        found.progress()
                    );
                    let hint = format!("wait for its end, or end it with `openmldb-ops op cancel {op}`");
                    return Err(Refusal::unsafe_now(text, hint));
                }
                vec![op]
            }
            WhichOps::Ended(end) => seen.ops.iter().filter(|op| op.status == end.status()).map(|op| op.id).collect(),
        };
        let action = (!ids.is_empty()).then_some(Manual::DeleteOps { which });
        Ok(Planned::new(action, Forgotten(ids)))
    }
}

fn is_unknown(op: OpId, code: i32) -> Refusal {
    Refusal::of(code, format!("there is no operation {op} (any more)"), "see `openmldb-ops show ops`")
}

/// The operations are not known any more.
#[derive(Debug)]
struct Forgotten(Vec<OpId>);

impl Effect for Forgotten {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let left = seen.ops.iter().filter(|op| self.0.contains(&op.id)).count();
        match (left, self.0.as_slice()) {
            (0, [one]) => EffectStatus::Reached(format!("operation {one} is deleted")),
            (0, []) => EffectStatus::Reached("all of them are deleted".to_owned()),
            (0, all) => EffectStatus::Reached(format!("{} deleted", counted_that(all.len(), "operation", Verb::Be))),
            (left, _) => EffectStatus::Waiting(format!("{} still known", counted_that(left, "operation", Verb::Be))),
        }
    }
}
