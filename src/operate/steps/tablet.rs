//! A whole tablet taken out of service and brought back: `offlineendpoint` and `recoverendpoint`.

use std::time::Duration;

use crate::model::{
    Action, Endpoint, Manual, OpId, Partition, PartitionId, Pid, Replica, Role, Snapshot, Table, TableName, Verb,
    counted_that,
};
use crate::run::{ToCompare, some_of};

use super::super::effect::{
    Ask, Effect, EffectStatus, OP_SHOWS, Vain, ask_leaders, flags, is_recovered, placed, role, under_way,
};
use super::super::known::Known;
use super::super::partition_context::{
    Going, PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy, tablet_is_known, unknown_tablet,
};
use super::definition::{Definition, Target};
use super::holding::led;
use super::{OfflineTablet, RecoverTablet};

impl Definition for OfflineTablet<'_> {
    fn code(&self) -> &'static str {
        "tablet_offline"
    }

    fn handbook(&self) -> String {
        format!("offlineendpoint {}", self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        Some(format!("tablet offline {}", self.endpoint))
    }

    fn target(&self) -> Target<'_> {
        Target::Tablet
    }

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let endpoint = self.endpoint;
        if seen.tablets.get(endpoint).is_none_or(|tablet| tablet.state.is_none()) {
            return Err(unknown_tablet(seen, endpoint));
        }
        failover_is_off(seen)?;
        let alive: Vec<_> = replicas(seen, endpoint).filter(|(.., replica)| replica.is_alive).collect();
        // The nameserver leaves the flag of a replica that nobody can stand in for, unless it is the only one there is.
        let alone = |partition: &Partition| !has_another(seen, partition, endpoint);
        let but: Vec<(TableName, Pid)> = alive
            .iter()
            .filter(|(_, partition, _)| partition.replicas.len() > 1 && alone(partition))
            .map(|(table, partition, _)| (table.name.clone(), partition.pid))
            .collect();
        let without: Vec<String> = alive
            .iter()
            .filter(|(_, partition, _)| alone(partition))
            .map(|(table, partition, _)| name(table, partition))
            .collect();
        let mut remarks = Vec::new();
        if !without.is_empty() {
            remarks
                .push(format!("no other replica can lead {}: unavailable until {endpoint} is back", some_of(&without)));
        }
        if seen.tablets.get(endpoint).is_some_and(|tablet| tablet.held.known().is_some()) {
            remarks.push(format!("{endpoint} runs: writes no follower has received yet may be lost"));
        }
        remarks.push(format!(
            "bring it back with `openmldb-ops tablet recover {endpoint}`, or `openmldb-ops recover --all` if it is restarted"
        ));
        let nothing_to_do = alive.len() == but.len();
        let action = (!nothing_to_do).then(|| Action::OfflineEndpoint { endpoint: endpoint.clone() });
        Ok(Planned::new(action, Offlined { endpoint: endpoint.clone(), but }).noting(remarks))
    }

    fn outage(&self, seen: &Snapshot) -> Option<Refusal> {
        let endpoint = self.endpoint;
        let led = led(seen, endpoint, |_, _| true);
        let text = match led.is_empty() {
            true if !runs(seen, endpoint) => return None,
            true => format!("{endpoint} runs, and clients read from its replicas"),
            false => format!(
                "{endpoint} runs and leads {}: others become leaders at once, and writes no follower has received are \
                 lost",
                some_of(&led)
            ),
        };
        let hint = format!(
            "`openmldb-ops upgrade pre {endpoint}` makes others lead first, without losing a row; or allow it with \
             --allow-unavailable"
        );
        Some(Refusal::unsafe_now(text, hint))
    }
}

impl Definition for RecoverTablet<'_> {
    fn code(&self) -> &'static str {
        "tablet_recover"
    }

    fn handbook(&self) -> String {
        format!("recoverendpoint {}", self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        Some(format!("tablet recover {}", self.endpoint))
    }

    fn target(&self) -> Target<'_> {
        Target::Tablet
    }

    fn compares(&self, seen: &Snapshot, known: &Known) -> Vec<ToCompare> {
        let down = replicas(seen, self.endpoint).filter(|(_, partition, replica)| {
            !seen.auto_failover && !replica.is_alive && partition.replicas.len() > 1 && partition.leader().is_some()
        });
        let compares = |(table, partition, _): (_, _, &Replica)| {
            let place = PartitionContext::of(seen, table, partition);
            place.knowing(known).to_compare(self.endpoint, Going::Recovered)
        };
        down.filter_map(compares).collect()
    }

    /// RecoverTable for everything there that is not alive, so each has to be one that may be recovered. It answers 0 whatever comes
    /// of it.
    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let endpoint = self.endpoint;
        tablet_is_known(seen, endpoint)?;
        failover_is_off(seen)?;
        tablet_is_healthy(seen, endpoint)?;
        let effect = TabletRecovered { endpoint: endpoint.clone() };
        let (alive, down): (Vec<_>, Vec<_>) = replicas(seen, endpoint).partition(|(.., replica)| replica.is_alive);
        let holds = seen.tablets.get(endpoint).and_then(|tablet| tablet.held.known());
        let is_loaded = |table: &Table, partition: &Partition| {
            let id = crate::model::PartitionId { tid: table.tid, pid: partition.pid };
            holds.and_then(|held| held.get(&id)).is_some_and(|held| held.state.is_loaded())
        };
        let only_flagged: Vec<String> = alive
            .iter()
            .filter(|(table, partition, _)| !is_loaded(table, partition))
            .map(|(table, partition, _)| name(table, partition))
            .collect();
        if !only_flagged.is_empty() {
            let text = format!(
                "on {endpoint} these are flagged alive but not loaded, and recoverendpoint skips what is alive: {}",
                some_of(&only_flagged)
            );
            return Err(Refusal::unsafe_now(
                text,
                format!("take it out of service first: `openmldb-ops tablet offline {endpoint}`"),
            ));
        }
        let (mut in_the_way, mut resent, mut not_compared) = (Vec::new(), 0, Vec::new());
        for (table, partition, _) in down.iter().filter(|(_, partition, _)| partition.replicas.len() > 1) {
            let place = PartitionContext::of(seen, table, partition).knowing(known);
            match place.leader().map(|_| place.may_be_resent(endpoint)) {
                Some(Ok(resends)) => {
                    resent += usize::from(resends);
                    not_compared.extend(place.not_compared().filter(|_| resends));
                }
                Some(Err(blocked)) => in_the_way.push(format!("{}: {}", place.name(), blocked.text)),
                None => in_the_way.push(format!("{} has no live leader", place.name())),
            }
        }
        if let Some(first) = in_the_way.first() {
            let text = match in_the_way.len() {
                1 => first.clone(),
                more => format!("{first}; and {} more", more - 1),
            };
            let hint = "`openmldb-ops recover --all` recovers what it can without losing a row, and lists the rest";
            return Err(Refusal::unsafe_now(text, hint));
        }
        let mut remarks = Vec::new();
        if resent > 0 {
            remarks.push(format!(
                "{} its leader's data; what it holds goes to the recycle bin",
                counted_that(resent, "replica", Verb::Regular("get"))
            ));
        }
        remarks.extend(not_compared);
        let action = (!down.is_empty()).then(|| Manual::RecoverEndpoint { endpoint: endpoint.clone() });
        Ok(Planned::new(action, effect).noting(remarks))
    }
}

/// Every replica on a tablet, with what it is a replica of.
fn replicas<'a>(seen: &'a Snapshot, at: &'a Endpoint) -> impl Iterator<Item = (&'a Table, &'a Partition, &'a Replica)> {
    seen.tables.iter().flat_map(move |table| {
        let there = move |partition: &'a Partition| {
            let replica = partition.replicas.iter().find(|replica| replica.endpoint == *at)?;
            Some((table, partition, replica))
        };
        table.partitions.iter().filter_map(there)
    })
}

fn name(table: &Table, partition: &Partition) -> String {
    format!("{}/{}", table.name, partition.pid)
}

/// Whether another replica of a partition is alive on a tablet that the nameserver hears of.
fn has_another(seen: &Snapshot, partition: &Partition, but: &Endpoint) -> bool {
    let stands_in = |at: &Endpoint| at != but && seen.hears_from(at);
    partition.replicas.iter().any(|replica| replica.is_alive && stands_in(&replica.endpoint))
}

fn runs(seen: &Snapshot, endpoint: &Endpoint) -> bool {
    seen.tablets.get(endpoint).is_some_and(|tablet| tablet.held.known().is_some_and(|held| !held.is_empty()))
}

/// No replica on the tablet is flagged alive, but for those that nobody can stand in for.
#[derive(Debug)]
struct Offlined {
    endpoint: Endpoint,
    /// Partitions of which no other replica is alive.
    but: Vec<(TableName, Pid)>,
}

impl Effect for Offlined {
    fn effect_status(&self, seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
        let Self { endpoint, but } = self;
        let is_left = |(name, id): &(&TableName, PartitionId)| {
            let is_spared = but.iter().any(|(table, pid)| table == *name && *pid == id.pid);
            !is_spared && flags(seen, name, id.pid, endpoint).is_some_and(|flags| flags.alive)
        };
        let left: Vec<String> =
            placed(seen, endpoint).filter(is_left).map(|(name, id)| format!("{name}/{}", id.pid)).collect();
        match (left.is_empty(), under_way(seen, since)) {
            (true, 0) => EffectStatus::Reached(format!("{endpoint} is offline: nothing on it is alive")),
            (true, running) => {
                EffectStatus::Waiting(format!("{} under way", counted_that(running, "operation", Verb::Be)))
            }
            (false, _) => EffectStatus::Waiting(format!("{} on {endpoint} is still alive", some_of(&left))),
        }
    }

    fn in_vain(&self, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
        nothing_under_way(seen, since, waited)
    }
}

/// Everything on the tablet is alive, loaded, and leads or is replicated to.
#[derive(Debug)]
struct TabletRecovered {
    endpoint: Endpoint,
}

impl Effect for TabletRecovered {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let endpoint = &self.endpoint;
        let leads = |name: &TableName, id: PartitionId| {
            let flagged = flags(seen, name, id.pid, endpoint).is_some_and(|flags| flags.leader && flags.alive);
            flagged && role(seen, id, endpoint) == Some(Role::Leader)
        };
        let is_back =
            |(name, id): &(&TableName, PartitionId)| leads(name, *id) || is_recovered(seen, name, *id, endpoint);
        let left: Vec<String> = placed(seen, endpoint)
            .filter(|placed| !is_back(placed))
            .map(|(name, id)| format!("{name}/{}", id.pid))
            .collect();
        match left.is_empty() {
            true => EffectStatus::Reached(format!("everything on {endpoint} is back")),
            false => EffectStatus::Waiting(format!("{} on {endpoint} is not back yet", some_of(&left))),
        }
    }

    fn asks(&self, seen: &Snapshot) -> Vec<Ask> {
        ask_leaders(placed(seen, &self.endpoint).map(|(_, id)| id), seen)
    }

    fn in_vain(&self, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
        nothing_under_way(seen, since, waited)
    }
}

fn nothing_under_way(seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
    (waited >= OP_SHOWS && under_way(seen, since) == 0).then(|| Vain {
        because: "the nameserver has finished, but ",
        hint: "`openmldb-ops show ops --state failed` names what failed; run it again, or `openmldb-ops recover --all`"
            .to_owned(),
    })
}
