//! The two ends of a handover: a leader is told to follow, and leads again if it was too early. Nobody types these steps: a handover
//! takes them.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Manual, OpId, PartitionId, Role, Snapshot, TableName};

use super::super::effect::{Effect, EffectStatus, role};
use super::super::handover::{Standing, Successor, lead_again, standing};
use super::super::known::Known;
use super::super::partition_context::{PartitionContext, Planned, Refusal, failover_is_off};
use super::super::partition_mut::PartitionMut;
use super::definition::{Definition, Target};
use super::leader::{Leads, electable, named_among};
use super::{StandDown, StandUp};

impl Definition for StandDown<'_> {
    fn code(&self) -> &'static str {
        "leader_stand_down"
    }

    fn handbook(&self) -> String {
        format!("changerole {} {} follower on {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        None
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, leader, successor) =
            (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint, self.successor);
        failover_is_off(seen)?;
        leads(&place, leader)?;
        // Whatever would keep the other one from leading is better known before; but for an entry that is on its way.
        named_among(&place, &electable(&place)?, successor)?;
        let effect = StoodDown { table: self.table.clone(), partition: place.id(), endpoint: leader.clone() };
        match standing(&place, leader, Some(Successor::unread(successor)), &BTreeSet::new())? {
            Standing::Up => {
                let action = Manual::Follow { endpoint: leader.clone(), partition: place.id() };
                Ok(Planned::new(Some(action), effect))
            }
            Standing::Down(_) | Standing::TooEarly => Ok(Planned::already(effect)),
            Standing::Silent => Err(silent(leader)),
        }
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.take_from_the_furthest(self.endpoint);
        at.set_role(self.endpoint, Role::Follower);
        at.catch_up(self.successor, self.endpoint);
    }
}

impl Definition for StandUp<'_> {
    fn code(&self) -> &'static str {
        "leader_stand_up"
    }

    fn handbook(&self) -> String {
        format!("changerole {} {} leader on {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        None
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// Under the term it led in: nothing was written since.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, leader) = (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint);
        leads(&place, leader)?;
        let effect = Leads { table: self.table.clone(), partition: place.id(), endpoint: leader.clone() };
        match standing(&place, leader, None, &BTreeSet::new())? {
            Standing::Up => Ok(Planned::already(effect)),
            Standing::Silent => Err(silent(leader)),
            Standing::Down(_) | Standing::TooEarly => Ok(Planned::new(Some(lead_again(&place, leader)?), effect)),
        }
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.lead(self.endpoint);
    }
}

/// # Errors
/// It is not the one that metadata names.
fn leads(place: &PartitionContext<'_>, leader: &Endpoint) -> Result<(), Refusal> {
    if place.leader() == Some(leader) {
        return Ok(());
    }
    Err(Refusal::unsafe_now(format!("{leader} does not lead {}", place.name()), "see `openmldb-ops status`"))
}

fn silent(leader: &Endpoint) -> Refusal {
    Refusal::unsafe_now(format!("{leader} does not answer"), "start that tablet, or find out why it does not answer")
}

/// The replica is loaded as follower: it takes no writes.
#[derive(Debug)]
struct StoodDown {
    table: TableName,
    partition: PartitionId,
    endpoint: Endpoint,
}

impl Effect for StoodDown {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, endpoint } = self;
        match role(seen, *partition, endpoint) {
            Some(Role::Follower) => {
                EffectStatus::Reached(format!("{endpoint} accepts no more writes to {table}/{}", partition.pid))
            }
            _ => EffectStatus::Waiting(format!("{endpoint} has not stepped down from {table}/{} yet", partition.pid)),
        }
    }
}
