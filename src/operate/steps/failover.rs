//! `confset auto_failover`.

use crate::model::{Action, OpId, Snapshot, Verb, counted_that};

use super::super::effect::{Effect, EffectStatus};
use super::super::known::Known;
use super::super::partition_context::{Planned, Refusal};
use super::SetAutoFailover;
use super::definition::{Definition, Target};

impl Definition for SetAutoFailover<'_> {
    fn code(&self) -> &'static str {
        "failover_set"
    }

    fn handbook(&self) -> String {
        format!("confset auto_failover {}", self.on)
    }

    fn typed(&self) -> Option<String> {
        Some(format!("failover set {}", word(*self.on)))
    }

    fn target(&self) -> Target<'_> {
        Target::Cluster
    }

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let on = *self.on;
        let mut remarks = Vec::new();
        let running = seen.ops.iter().filter(|op| op.status.is_in_flight()).count();
        if !on && running > 0 {
            remarks.push(format!(
                "{} under way; switching auto_failover off does not end them",
                counted_that(running, "operation", Verb::Be)
            ));
        }
        if on {
            remarks
                .push("switching it on does not recover what is down now; `openmldb-ops status` lists it".to_owned());
        }
        let action = (seen.auto_failover != on).then_some(Action::SetAutoFailover { on });
        Ok(Planned::new(action, AutoFailover(on)).noting(remarks))
    }
}

/// auto_failover is so.
#[derive(Debug)]
struct AutoFailover(bool);

impl Effect for AutoFailover {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let text = format!("auto_failover is {}", word(seen.auto_failover));
        if seen.auto_failover == self.0 { EffectStatus::Reached(text) } else { EffectStatus::Waiting(text) }
    }
}

fn word(on: bool) -> &'static str {
    if on { "on" } else { "off" }
}
