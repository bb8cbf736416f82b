//! Having a tablet aggregate again: CreateAggregator, which must not be sent where an aggregator is attached. A second one puts every
//! aggregate a second time, and no call shows whether there is one (docs/openmldb/load-table.md#pre-aggregate-tables).

use crate::model::{Action, Aggregator, Endpoint, OpId, PartitionId, Role, Seen, Snapshot, TableName};
use crate::recovery::{Probe, Question};

use super::super::effect::{Ask, Effect, EffectStatus};
use super::super::known::Known;
use super::super::partition_context::{PartitionContext, Planned, Refusal};
use super::Aggregate;
use super::definition::{Definition, Target, typed_of};
use super::holding::loaded;

impl Definition for Aggregate<'_> {
    fn code(&self) -> &'static str {
        "replica_aggregate"
    }

    fn handbook(&self) -> String {
        format!("createaggregator {} {} on {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica aggregate", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint);
        let (name, id) = (place.name(), place.id());
        place.replica(endpoint)?;
        let Some((base, partition)) = seen.base_of(place.table, place.partition.pid) else {
            let text = format!("{name} is not a pre-aggregate table");
            return Err(Refusal::unsafe_now(
                text,
                "name a pre-aggregate table's partition: `openmldb-ops show tables` has them",
            ));
        };
        let base = PartitionContext::of(seen, base, partition);
        for led in [&place, &base] {
            leads(led, endpoint, &base.name())?;
        }
        let held = loaded(&place, endpoint)?;
        if held.record_cnt > held.offset.0 {
            let text = format!(
                "{endpoint} holds {} rows of {name} at offset {}: an aggregator wrote to it while it was loading",
                held.record_cnt, held.offset
            );
            return Err(Refusal::unsafe_now(
                text,
                format!("`openmldb-ops recover --partition {name}` says what to do"),
            ));
        }
        let asked = seen.tablets.get(endpoint).map(|tablet| &tablet.probes(id).aggregator);
        match asked {
            Some(Seen::Known(Aggregator::Missing)) => {}
            Some(Seen::Known(Aggregator::Present)) => {
                let text = format!(
                    "{endpoint} has an aggregator of {name}, which may be attached: a second one would write \
                     everything twice"
                );
                let hint = format!(
                    "if it does not aggregate, restart that tablet and run `openmldb-ops recover --all`, which loads {name} \
                     before {} and recreates its aggregator",
                    base.name()
                );
                return Err(Refusal::unsafe_now(text, hint));
            }
            Some(Seen::Failed(_) | Seen::Unasked) | None => {
                let text = format!("{endpoint} does not say whether it has an aggregator of {name}");
                return Err(Refusal::unsafe_now(text, "see why it does not answer, then try again"));
            }
        }
        let effect = Aggregates { table: place.table.name.clone(), partition: id, endpoint: endpoint.clone() };
        let (endpoint, table) = (endpoint.clone(), place.table.name.clone());
        let remarks = vec![format!(
            "it catches up on everything in the log of {}; a row written at that very moment may be missed or counted \
             twice",
            base.name()
        )];
        let action = Action::CreateAggregator { endpoint, table, partition: id };
        Ok(Planned::new(Some(action), effect).noting(remarks))
    }
}

/// The tablet aggregates into its replica.
#[derive(Debug)]
struct Aggregates {
    table: TableName,
    partition: PartitionId,
    endpoint: Endpoint,
}

impl Effect for Aggregates {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, endpoint } = self;
        let asked = seen.tablets.get(endpoint).map(|tablet| &tablet.probes(*partition).aggregator);
        let name = format!("{table}/{}", partition.pid);
        match asked.and_then(|asked| asked.known()) {
            Some(Aggregator::Present) => EffectStatus::Reached(format!("{endpoint} aggregates into {name}")),
            _ => EffectStatus::Waiting(format!("{endpoint} has no aggregator of {name} yet, or does not answer")),
        }
    }

    fn asks(&self, _seen: &Snapshot) -> Vec<Ask> {
        let probe = Probe { endpoint: self.endpoint.clone(), question: Question::Aggregator };
        vec![Ask { probe, partition: self.partition }]
    }
}

fn leads(place: &PartitionContext<'_>, endpoint: &Endpoint, base: &str) -> Result<(), Refusal> {
    let name = place.name();
    match place.leader() {
        Some(leader) if leader == endpoint => {}
        other => {
            let text = match other {
                Some(leader) => format!("{leader} leads {name}, not {endpoint}"),
                None => format!("no replica leads {name}"),
            };
            let hint = format!(
                "`openmldb-ops leader handover {base} --to {endpoint}` makes it lead both; rows are aggregated there \
                 and nowhere else"
            );
            return Err(Refusal::unsafe_now(text, hint));
        }
    }
    let held = loaded(place, endpoint)?;
    if held.role != Role::Leader {
        let text = format!("{endpoint} is flagged leader of {name} and has it loaded as follower");
        return Err(Refusal::unsafe_now(text, format!("`openmldb-ops recover --partition {name}` brings it back")));
    }
    Ok(())
}

#[cfg(test)]
#[path = "aggregate_tests.rs"]
mod tests;
