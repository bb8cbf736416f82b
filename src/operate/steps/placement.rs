//! Where replicas are: one more (`addreplica`), one less (`delreplica`), or another tablet (`migrate`).

use std::time::Duration;

use crate::model::{Endpoint, Manual, OpId, PartitionId, Pid, Snapshot, TableName, Verb, counted_that};
use crate::run::ToCompare;

use super::super::effect::{
    Ask, Effect, EffectStatus, Vain, after_ops, ask_leaders, is_gone, is_recovered, nothing_began,
};
use super::super::known::Known;
use super::super::partition_context::{
    Given, Going, PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy, tablet_is_known,
};
use super::super::partition_mut::PartitionMut;
use super::definition::{Definition, Target, typed_of};
use super::recover::Recovered;
use super::{AddReplica, MigrateReplica, RemoveReplica};

impl Definition for AddReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_add"
    }

    fn handbook(&self) -> String {
        format!("addreplica {} {} {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica add", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// auto_failover may be on.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint);
        is_free(&place, endpoint, 317)?;
        tablet_is_healthy(seen, endpoint)?;
        has_a_leader(&place)?;
        let (table, pid) = (self.table.clone(), *self.pid);
        let effect = Recovered { table: table.clone(), partition: place.id(), endpoint: endpoint.clone() };
        let action = Manual::AddReplica { table, pid, endpoint: endpoint.clone() };
        Ok(Planned::new(Some(action), effect).giving(Given::replica(endpoint)))
    }

    fn gives(&self) -> bool {
        true
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.follow(self.endpoint);
    }
}

impl Definition for RemoveReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_remove"
    }

    fn handbook(&self) -> String {
        format!("delreplica {} {} {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica remove", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn asks_last(&self, seen: &Snapshot) -> Vec<Ask> {
        leader_of(seen, self.table, *self.pid)
    }

    fn compares(&self, seen: &Snapshot, known: &Known) -> Vec<ToCompare> {
        let place = PartitionContext::find(seen, self.table, *self.pid).ok().map(|place| place.knowing(known));
        let place = place.filter(|place| place.replica(self.endpoint).is_ok_and(|flags| !flags.is_leader));
        place.and_then(|place| place.to_compare(self.endpoint, Going::TakenAway)).into_iter().collect()
    }

    /// auto_failover may be on.
    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?.knowing(known), self.endpoint);
        let (name, flags) = (place.name(), place.replica(endpoint)?);
        tablet_is_healthy(seen, endpoint)?;
        if flags.is_leader {
            let hint = format!("move the leader first: `openmldb-ops leader change {name} --to ENDPOINT`");
            return Err(Refusal::of(102, format!("{endpoint} is flagged leader of {name}"), hint));
        }
        has_a_leader(&place)?;
        place.may_be_taken_away(endpoint)?;
        let word = counted_that(place.partition.replicas.len() - 1, "replica", Verb::Be);
        let remarks = vec![format!("{word} left of {name}; what {endpoint} holds goes to its recycle bin")];
        let (table, pid) = (self.table.clone(), *self.pid);
        let effect = Gone { table: table.clone(), partition: place.id(), endpoint: endpoint.clone() };
        let action = Manual::RemoveReplica { table, pid, endpoint: endpoint.clone() };
        Ok(Planned::new(Some(action), effect).noting(remarks))
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.remove(self.endpoint);
    }
}

impl Definition for MigrateReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_migrate"
    }

    fn handbook(&self) -> String {
        format!("migrate {} {} {} {}", self.from, self.table.table, self.pid, self.to)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica migrate", self.table, self.pid, &[self.from, self.to])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn asks_last(&self, seen: &Snapshot) -> Vec<Ask> {
        leader_of(seen, self.table, *self.pid)
    }

    fn compares(&self, seen: &Snapshot, known: &Known) -> Vec<ToCompare> {
        let place = PartitionContext::find(seen, self.table, *self.pid).ok().filter(|_| !seen.auto_failover);
        let place = place.map(|place| place.knowing(known));
        let alive =
            place.filter(|place| place.replica(self.from).is_ok_and(|flags| flags.is_alive && !flags.is_leader));
        alive.and_then(|place| place.to_compare(self.from, Going::Emptied)).into_iter().collect()
    }

    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let place = PartitionContext::find(seen, self.table, *self.pid)?.knowing(known);
        let (from, to) = (self.from, self.to);
        let (name, flags) = (place.name(), place.replica(from)?);
        tablet_is_known(seen, to).map_err(|unknown| Refusal { code: Some(319), ..unknown })?;
        failover_is_off(seen)?;
        for (endpoint, code) in [(from, 318), (to, 319)] {
            if !seen.hears_from(endpoint) {
                let text = format!("the nameserver does not hear from {endpoint}");
                return Err(Refusal::of(code, text, "start that tablet; see `openmldb-ops show tablets`"));
            }
        }
        is_free(&place, to, 320)?;
        if flags.is_leader {
            let hint = format!("move the leader first: `openmldb-ops leader change {name} --to ENDPOINT`");
            return Err(Refusal::of(320, format!("{from} is flagged leader of {name}"), hint));
        }
        if !flags.is_alive {
            let hint = format!("bring it back first: `openmldb-ops replica recover {name} {from}`");
            return Err(Refusal::of(320, format!("{from} of {name} is not alive"), hint));
        }
        has_a_leader(&place)?;
        place.may_be_emptied(from)?;
        let (table, partition) = (self.table.clone(), place.id());
        let action =
            Manual::MigrateReplica { table: table.clone(), pid: *self.pid, from: from.clone(), to: to.clone() };
        let effect = Migrated { table, partition, from: from.clone(), to: to.clone() };
        let remarks = vec![format!("what {from} holds goes to its recycle bin once {to} has caught up")];
        Ok(Planned::new(Some(action), effect).giving(Given::replica(to)).noting(remarks))
    }

    fn gives(&self) -> bool {
        true
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.follow(self.to);
        at.remove(self.from);
    }
}

/// How far the leader is, asked last: clients may write meanwhile, and what a follower holds by then it has from there.
fn leader_of(seen: &Snapshot, table: &TableName, pid: Pid) -> Vec<Ask> {
    let place = PartitionContext::find(seen, table, pid);
    place.map_or(Vec::new(), |place| ask_leaders([place.id()], seen))
}

/// # Errors
/// Nobody serves the partition, so nobody could give a new replica its data.
pub(super) fn has_a_leader(place: &PartitionContext<'_>) -> Result<(), Refusal> {
    let name = place.name();
    match place.leader() {
        Some(_) => Ok(()),
        None => Err(Refusal::unsafe_now(
            format!("{name} has no live leader, so there is no source for a replica's data"),
            format!("`openmldb-ops recover --partition {name}` brings it back"),
        )),
    }
}

/// # Errors
/// It has a replica there.
pub(super) fn is_free(place: &PartitionContext<'_>, endpoint: &Endpoint, code: i32) -> Result<(), Refusal> {
    if place.partition.replicas.iter().all(|replica| replica.endpoint != *endpoint) {
        return Ok(());
    }
    let text = format!("{} has a replica on {endpoint} already", place.name());
    Err(Refusal::of(code, text, "see `openmldb-ops show tables` for where its replicas are"))
}

/// There is no such replica any more, neither for the nameserver nor on the tablet.
#[derive(Debug)]
pub(super) struct Gone {
    pub(super) table: TableName,
    pub(super) partition: PartitionId,
    pub(super) endpoint: Endpoint,
}

impl Effect for Gone {
    fn effect_status(&self, seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, endpoint } = self;
        let text = format!("{endpoint} has no replica of {table}/{} any more", partition.pid);
        let reached = is_gone(seen, table, *partition, endpoint).then_some(text);
        after_ops(seen, table, partition.pid, since, reached, endpoint)
    }

    fn in_vain(&self, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
        nothing_began(seen, &self.table, self.partition.pid, since, waited)
    }
}

/// The replica is gone from one tablet, and alive on another.
#[derive(Debug)]
struct Migrated {
    table: TableName,
    partition: PartitionId,
    from: Endpoint,
    to: Endpoint,
}

impl Effect for Migrated {
    fn effect_status(&self, seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, from, to } = self;
        let is_there = is_gone(seen, table, *partition, from) && is_recovered(seen, table, *partition, to);
        let text = format!("the replica of {table}/{} on {from} is on {to} now", partition.pid);
        after_ops(seen, table, partition.pid, since, is_there.then_some(text), to)
    }

    fn asks(&self, seen: &Snapshot) -> Vec<Ask> {
        ask_leaders([self.partition], seen)
    }

    fn in_vain(&self, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
        nothing_began(seen, &self.table, self.partition.pid, since, waited)
    }
}
