//! `cancelop` and `deleteop`.

use std::fmt;

use crate::model::{Action, OpId, OpStatus, Snapshot, Verb, counted_that};
use crate::wire::api::TaskStatus;
use crate::wire::call::NameserverCall;
use crate::wire::encode::Addressed;
use crate::wire::nameserver::DeleteOpRequest;

use super::super::call::Command;
use super::super::effect::{Effect, EffectStatus};
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

    fn plan(&self, seen: &Snapshot) -> Result<Planned, Refusal> {
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

/// Which operations are to be forgotten.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhichOps {
    /// One of them.
    One(OpId),
    /// All that have ended like this.
    Ended(OpEnd),
}

/// How an operation has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OpEnd {
    /// kDone.
    Done,
    /// kFailed.
    Failed,
    /// kCanceled.
    Canceled,
}

impl OpEnd {
    fn status(self) -> OpStatus {
        match self {
            Self::Done => OpStatus::Done,
            Self::Failed => OpStatus::Failed,
            Self::Canceled => OpStatus::Canceled,
        }
    }

    fn on_the_wire(self) -> TaskStatus {
        match self {
            Self::Done => TaskStatus::KDone,
            Self::Failed => TaskStatus::KFailed,
            Self::Canceled => TaskStatus::KCanceled,
        }
    }
}

impl fmt::Display for WhichOps {
    /// As `deleteop` has them.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::One(op) => write!(f, "{op}"),
            Self::Ended(OpEnd::Done) => f.write_str("done"),
            Self::Ended(OpEnd::Failed) => f.write_str("failed"),
            Self::Ended(OpEnd::Canceled) => f.write_str("canceled"),
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
    fn plan(&self, seen: &Snapshot) -> Result<Planned, Refusal> {
        let (ids, request) = match *self.which {
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
                (vec![op], DeleteOpRequest { op_id: Some(op.0), ..DeleteOpRequest::default() })
            }
            WhichOps::Ended(end) => {
                let ended = seen.ops.iter().filter(|op| op.status == end.status());
                let status = Some(end.on_the_wire().into());
                (ended.map(|op| op.id).collect(), DeleteOpRequest { status, ..DeleteOpRequest::default() })
            }
        };
        let call = Addressed::Nameserver(NameserverCall::DeleteOp(request));
        let command = (!ids.is_empty()).then(|| Command::new(self.handbook(), call));
        Ok(Planned::new(command, Forgotten(ids)))
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
