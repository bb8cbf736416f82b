//! `recovertable`: a replica that is not alive comes back as its leader's follower.

use std::time::Duration;

use crate::model::{Action, Endpoint, OpId, PartitionId, Snapshot, TableName};
use crate::run::ToCompare;

use super::super::effect::{Ask, Effect, EffectStatus, Vain, after_ops, ask_leaders, is_recovered, nothing_began};
use super::super::handover;
use super::super::known::Known;
use super::super::partition_context::{Going, PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy};
use super::super::partition_mut::PartitionMut;
use super::RecoverReplica;
use super::definition::{Definition, Target, typed_of};

impl Definition for RecoverReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_recover"
    }

    fn handbook(&self) -> String {
        format!("recovertable {} {} {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica recover", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn compares(&self, seen: &Snapshot, known: &Known) -> Vec<ToCompare> {
        let place = PartitionContext::find(seen, self.table, *self.pid).ok().filter(|_| !seen.auto_failover);
        let place = place.map(|place| place.knowing(known)).filter(|place| !self.is_handed_over(place));
        let down = place.filter(|place| place.replica(self.endpoint).is_ok_and(|flags| !flags.is_alive));
        down.and_then(|place| place.to_compare(self.endpoint, Going::Recovered)).into_iter().collect()
    }

    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?.knowing(known), self.endpoint);
        let (name, flags) = (place.name(), place.replica(endpoint)?);
        failover_is_off(seen)?;
        tablet_is_healthy(seen, endpoint)?;
        if flags.is_alive {
            let text = format!("{endpoint} of {name} is flagged alive, so it would not be recovered");
            let hint =
                format!("if it is unhealthy, clear its flag first: `openmldb-ops replica alive {name} {endpoint} no`");
            return Err(Refusal::of(311, text, hint));
        }
        let whole = format!("`openmldb-ops recover --partition {name}` brings the whole partition back");
        if place.partition.replicas.len() == 1 {
            let text = format!("{endpoint} is the only replica of {name}");
            return Err(Refusal::unsafe_now(text, whole));
        }
        if place.leader().is_none() {
            let text = format!("{name} has no live leader: the nameserver would answer 0 and do nothing");
            return Err(Refusal::unsafe_now(text, whole));
        }
        let is_handed_over = self.is_handed_over(&place);
        let remarks = match if is_handed_over { Ok(false) } else { place.may_be_resent(endpoint) } {
            Ok(true) => {
                let resent =
                    format!("what {endpoint} holds goes to its recycle bin and is replaced with its leader's data");
                [Some(resent), place.not_compared()].into_iter().flatten().collect()
            }
            Ok(false) => Vec::new(),
            Err(blocked) => return Err(Refusal::unsafe_now(blocked.text, format!("{}; or {whole}", blocked.hint))),
        };
        let (table, pid) = (place.table.name.clone(), place.partition.pid);
        let effect = Recovered { table: table.clone(), partition: place.id(), endpoint: endpoint.clone() };
        let action = Action::RecoverTable { table, pid, endpoint: endpoint.clone() };
        Ok(Planned::new(Some(action), effect).noting(remarks))
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.follow(self.endpoint);
    }
}

impl RecoverReplica<'_> {
    /// Whether what it holds is known to be the beginning of its leader's log because it led itself until that one did.
    fn is_handed_over(&self, place: &PartitionContext<'_>) -> bool {
        self.led_until.is_some_and(|end| handover::is_its_leaders_beginning(place, self.endpoint, end))
    }
}

/// The replica is alive, loaded as follower, and its leader replicates to it.
#[derive(Debug)]
pub(in super::super) struct Recovered {
    pub(in super::super) table: TableName,
    pub(in super::super) partition: PartitionId,
    pub(in super::super) endpoint: Endpoint,
}

impl Effect for Recovered {
    fn effect_status(&self, seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, endpoint } = self;
        let reached = is_recovered(seen, table, *partition, endpoint);
        let text = format!("{endpoint} is alive and follows the leader of {table}/{}", partition.pid);
        after_ops(seen, table, partition.pid, since, reached.then_some(text), endpoint)
    }

    fn asks(&self, seen: &Snapshot) -> Vec<Ask> {
        ask_leaders([self.partition], seen)
    }

    fn in_vain(&self, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
        nothing_began(seen, &self.table, self.partition.pid, since, waited)
    }
}
