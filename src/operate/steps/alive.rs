//! `updatetablealive`, of one partition or of all that a table has on a tablet.

use crate::model::{Action, Endpoint, OpId, Partition, Pid, Role, Snapshot, Table, TableName, counted};
use crate::run::some_of;

use super::super::effect::{Effect, EffectStatus, flags};
use super::super::known::Known;
use super::super::partition_context::{
    PartitionContext, Planned, Refusal, failover_is_off, find_table, unknown_tablet,
};
use super::MarkAlive;
use super::definition::{Definition, Target};
use super::holding::{led, loaded};

impl Definition for MarkAlive<'_> {
    fn code(&self) -> &'static str {
        "replica_alive"
    }

    fn handbook(&self) -> String {
        let pid = self.pid.map_or("*".to_owned(), |pid| pid.to_string());
        format!("updatetablealive {} {pid} {} {}", self.table.table, self.endpoint, word(*self.alive))
    }

    fn typed(&self) -> Option<String> {
        let pid = self.pid.map_or(String::new(), |pid| format!("/{pid}"));
        Some(format!("replica alive {}{pid} {} {}", self.table, self.endpoint, word(*self.alive)))
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let Self { table: name, pid, endpoint, alive } = self;
        let (pid, alive) = (**pid, **alive);
        // Nobody switches auto_failover off for what was mistyped.
        if seen.tablets.get(*endpoint).is_none_or(|tablet| tablet.state.is_none()) {
            return Err(unknown_tablet(seen, endpoint));
        }
        let table = find_table(seen, name)?;
        if let Some(pid) = pid {
            PartitionContext::find(seen, name, pid)?.replica(endpoint)?;
        }
        failover_is_off(seen)?;
        let there: Vec<&Partition> =
            table.partitions_on(endpoint).filter(|partition| pid.is_none_or(|pid| partition.pid == pid)).collect();
        if there.is_empty() {
            let text = format!("{name} has no partition on {endpoint}");
            return Err(Refusal::of(321, text, "see `openmldb-ops status --full` for where it has some"));
        }
        let mut remarks = Vec::new();
        for partition in &there {
            let place = PartitionContext::of(seen, table, partition);
            if alive {
                may_serve(&place, endpoint)?;
            } else if place.leader() == Some(*endpoint) {
                remarks.push(format!(
                    "{endpoint} leads {}: no client can write to it until a leader is alive",
                    place.name()
                ));
            }
        }
        let is_so = |partition: &&Partition| {
            partition.replicas.iter().any(|replica| replica.endpoint == **endpoint && replica.is_alive == alive)
        };
        let pids = there.iter().map(|partition| partition.pid).collect();
        let (table, endpoint) = ((*name).clone(), (*endpoint).clone());
        let effect = Flagged { table: table.clone(), pids, endpoint: endpoint.clone(), alive };
        let action = Action::MarkAlive { table, pid, endpoint, alive };
        Ok(Planned::new((!there.iter().all(is_so)).then_some(action), effect).noting(remarks))
    }

    fn outage(&self, seen: &Snapshot) -> Option<Refusal> {
        if *self.alive {
            return None;
        }
        let is_meant = |of: &Table, partition: &Partition| {
            of.name == *self.table && self.pid.is_none_or(|pid| partition.pid == pid)
        };
        let led = led(seen, self.endpoint, is_meant);
        if led.is_empty() {
            return None;
        }
        let text = format!(
            "{} leads {}: no client is sent there until it is marked alive again",
            self.endpoint,
            some_of(&led)
        );
        let hint = format!(
            "move the leader with `openmldb-ops leader handover {} --to ENDPOINT`; or allow it with --allow-unavailable",
            led[0]
        );
        Some(Refusal::unsafe_now(text, hint))
    }
}

/// The alive flags are so.
#[derive(Debug)]
struct Flagged {
    table: TableName,
    pids: Vec<Pid>,
    endpoint: Endpoint,
    alive: bool,
}

impl Effect for Flagged {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { table, pids, endpoint, alive } = self;
        let left: Vec<String> = pids
            .iter()
            .filter(|pid| flags(seen, table, **pid, endpoint).is_none_or(|flags| flags.alive != *alive))
            .map(|pid| format!("{table}/{pid}"))
            .collect();
        let word = if *alive { "alive" } else { "not alive" };
        match left.is_empty() {
            true => EffectStatus::Reached(format!("{endpoint} is {word} in {}", counted(pids.len(), "partition"))),
            false => EffectStatus::Waiting(format!("{endpoint} is not {word} yet in {}", left.join(", "))),
        }
    }
}

fn word(alive: bool) -> &'static str {
    if alive { "yes" } else { "no" }
}

/// Whether clients may be sent to a replica. One that is flagged alive can be elected at the next failover, whatever it lacks.
fn may_serve(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<(), Refusal> {
    let (name, flags) = (place.name(), place.replica(endpoint)?);
    let held = loaded(place, endpoint)?;
    let recover = format!("`openmldb-ops recover --partition {name}` brings the whole partition back");
    if flags.is_leader {
        if let Some(other) = place.leader().filter(|other| *other != endpoint) {
            let text =
                format!("{other} already leads {name}: with two leaders, each takes writes that the other never gets");
            return Err(Refusal::unsafe_now(
                text,
                format!("bring it back: `openmldb-ops replica recover {name} {endpoint}`"),
            ));
        }
        if held.role != Role::Leader {
            let text =
                format!("{endpoint} is flagged leader of {name} and has it loaded as follower: it would refuse writes");
            return Err(Refusal::unsafe_now(text, recover));
        }
        return Ok(());
    }
    let Some(leader) = place.leader() else {
        let text = format!("{name} has no live leader, so it is unknown what {endpoint} lacks");
        return Err(Refusal::unsafe_now(text, recover));
    };
    let followers = place.seen.tablets.get(leader).and_then(|tablet| tablet.probes(place.id()).followers.known());
    let reached = followers.and_then(|all| {
        let own = all.followers.iter().find(|(follower, _)| follower == endpoint)?;
        Some((own.1, all.leader_offset))
    });
    let ahead = reached.filter(|(at, of_leader)| at > of_leader);
    match reached.map(|(at, of_leader)| (at.max(held.offset), of_leader)) {
        Some((offset, of_leader)) if ahead.is_some() => {
            let text = format!(
                "{endpoint} holds entries of {name} up to offset {offset}, its leader {leader} only up to {of_leader}"
            );
            Err(Refusal::unsafe_now(text, format!("`openmldb-ops replica diff {name}` shows how they differ")))
        }
        Some((offset, of_leader)) if offset >= of_leader => Ok(()),
        Some((offset, of_leader)) => {
            let text = format!("{endpoint} is at offset {offset} of {name}, its leader {leader} at {of_leader}");
            Err(Refusal::unsafe_now(text, "wait until it has caught up"))
        }
        None => {
            let text = format!("the leader {leader} of {name} does not replicate to {endpoint}");
            Err(Refusal::unsafe_now(text, format!("`openmldb-ops replica recover {name} {endpoint}` connects it")))
        }
    }
}
