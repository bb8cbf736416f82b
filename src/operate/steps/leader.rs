//! `changeleader`: another replica leads, at once. What it lacks of what others hold would be lost.

use std::time::Duration;

use crate::model::{Action, Endpoint, Held, OpId, PartitionId, Role, Snapshot, TableName};

use super::super::effect::{Effect, EffectStatus, Vain, after_ops, flags, nothing_began, role};
use super::super::known::Known;
use super::super::partition_context::{Given, PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy};
use super::super::partition_mut::PartitionMut;
use super::ChangeLeader;
use super::definition::{Definition, Target};
use super::holding::loaded;

impl Definition for ChangeLeader<'_> {
    fn code(&self) -> &'static str {
        "leader_change"
    }

    fn handbook(&self) -> String {
        let to = self.to.as_ref().map_or("auto", Endpoint::as_str);
        format!("changeleader {} {} {to}", self.table.table, self.pid)
    }

    fn typed(&self) -> Option<String> {
        let to = self.to.as_ref().map_or(String::new(), |to| format!(" --to {to}"));
        Some(format!("leader change {}/{}{to}", self.table, self.pid))
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let (place, to) = (PartitionContext::find(seen, self.table, *self.pid)?.knowing(known), self.to.as_ref());
        if let Some(to) = to.filter(|to| !seen.tablets.contains_key(*to)) {
            place.replica(to)?;
        }
        failover_is_off(seen)?;
        let name = place.name();
        if place.partition.replicas.len() < 2 {
            return Err(Refusal::of(134, format!("{name} has a single replica"), "add one first, or recover that one"));
        }
        let leader = place.leader();
        if let Some(leader) = leader.filter(|_| to.is_none()) {
            let hint = "name the new leader with --to";
            return Err(Refusal::of(309, format!("{name} has a live leader, {leader}"), hint));
        }
        let leads = |endpoint: &Endpoint| Leads {
            table: self.table.clone(),
            partition: place.id(),
            endpoint: endpoint.clone(),
        };
        if let Some(leader) = leader.filter(|leader| to == Some(*leader)) {
            return Ok(Planned::already(leads(leader)));
        }
        terms_tell(&place)?;
        let candidate = candidate(&place, to)?;
        let mut remarks = Vec::new();
        if let Some(leader) = leader {
            remarks.push(format!(
                "{leader} is not alive afterwards: bring it back with `openmldb-ops replica recover {name} {leader}`"
            ));
            remarks.push(format!(
                "writes no follower has received yet may be lost; `openmldb-ops leader handover {name} --to \
                 {candidate}` gives up nothing"
            ));
        }
        let (effect, given) = (leads(&candidate), Given::leader(&candidate));
        let action = Action::ChangeLeader { table: self.table.clone(), pid: *self.pid, candidate };
        Ok(Planned::new(Some(action), effect).giving(given).noting(remarks))
    }

    fn gives(&self) -> bool {
        true
    }

    fn predict(&self, now: &mut Snapshot) {
        if let (Some(to), Some(mut at)) = (self.to, PartitionMut::of(now, self.table, *self.pid)) {
            at.change_leader(to);
        }
    }
}

/// The longest replica is the one to lead only where the history of terms is whole: one that led before an election which is missing
/// in it may be longer than whoever was elected.
fn terms_tell(place: &PartitionContext<'_>) -> Result<(), Refusal> {
    let serves = |at: &Endpoint| place.loaded(at).is_some_and(|held| held.role == Role::Leader);
    if !place.terms_in_doubt || place.leader().is_some_and(serves) {
        return Ok(());
    }
    let name = place.name();
    let text = format!(
        "the history of terms of {name} is from a backup and may lack elections: the longest replica may not be the one elected last"
    );
    let hint = format!("`openmldb-ops recover --partition {name}` finds out first what each replica was written under");
    Err(Refusal::unsafe_now(text, hint))
}

/// Who is to lead: the one that was named, or the longest of the followers. OpenMLDB lets whoever is named lead, even if it
/// lacks what others hold (docs/openmldb/operations.md#changeleader).
fn candidate(place: &PartitionContext<'_>, to: Option<&Endpoint>) -> Result<Endpoint, Refusal> {
    let name = place.name();
    let at = electable(place)?;
    let longest = at.iter().max_by(|a, b| a.1.offset.cmp(&b.1.offset).then_with(|| b.0.cmp(a.0)));
    let Some(longest) = longest else {
        let hint = format!("bring one back first, or `openmldb-ops recover --partition {name}`");
        return Err(Refusal::of(310, format!("{name} has no live follower on a healthy tablet"), hint));
    };
    if place.leader().is_none() {
        nobody_holds_more(place, longest)?;
    }
    let Some(to) = to else { return Ok(longest.0.clone()) };
    let named = named_among(place, &at, to)?;
    if named.1.offset < longest.1.offset {
        let (behind, at) = (named.1.offset, longest.1.offset);
        let text = format!(
            "{to} is at offset {behind} of {name}, {} at {at}: it would become leader anyway, and what it lacks would \
             be lost",
            longest.0
        );
        return Err(Refusal::unsafe_now(text, format!("wait until it has caught up, or name {}", longest.0)));
    }
    Ok(to.clone())
}

/// The followers that an election considers: alive, on healthy tablets. One of them that is not loaded as follower fails it.
pub(super) fn electable<'a>(place: &PartitionContext<'a>) -> Result<Vec<(&'a Endpoint, &'a Held)>, Refusal> {
    let name = place.name();
    let is_heard_of = |endpoint: &Endpoint| tablet_is_healthy(place.seen, endpoint).is_ok();
    let followers = place.partition.replicas.iter().filter(|r| r.is_alive && !r.is_leader && is_heard_of(&r.endpoint));
    let mut at: Vec<(&Endpoint, &Held)> = Vec::new();
    for follower in followers {
        let held = loaded(place, &follower.endpoint)?;
        if held.role == Role::Leader {
            let text = format!("{} holds {name} as leader: the election would fail", follower.endpoint);
            return Err(Refusal::unsafe_now(text, format!("`openmldb-ops recover --partition {name}` brings it back")));
        }
        at.push((&follower.endpoint, held));
    }
    Ok(at)
}

/// # Errors
/// The replica that was named is not one of them.
pub(super) fn named_among<'a>(
    place: &PartitionContext<'a>,
    at: &[(&'a Endpoint, &'a Held)],
    to: &Endpoint,
) -> Result<(&'a Endpoint, &'a Held), Refusal> {
    let name = place.name();
    place.replica(to)?;
    at.iter().find(|(endpoint, _)| *endpoint == to).copied().ok_or_else(|| {
        let text = format!("{to} is not a live follower of {name} on a healthy tablet");
        let hint = format!("bring it back first: `openmldb-ops replica recover {name} {to}`");
        Refusal::of(305, text, hint)
    })
}

/// Without a leader to tell, whatever another replica holds beyond the new leader is given up with the election.
fn nobody_holds_more(place: &PartitionContext<'_>, (candidate, theirs): &(&Endpoint, &Held)) -> Result<(), Refusal> {
    let name = place.name();
    for other in place.partition.replicas.iter().filter(|replica| replica.endpoint != **candidate) {
        let at = &other.endpoint;
        let held = loaded(place, at).map_err(|unknown| {
            let text = format!("it is unknown what {at} holds of {name}: {}", unknown.text);
            Refusal::unsafe_now(text, format!("`openmldb-ops recover --partition {name}` checks all of them"))
        })?;
        if held.offset > theirs.offset {
            let text = format!(
                "{at} is at offset {} of {name}, {candidate}, the longest follower that is alive, at {}: what it lacks would be lost",
                held.offset, theirs.offset
            );
            return Err(Refusal::unsafe_now(
                text,
                format!("`openmldb-ops recover --partition {name}` chooses who leads"),
            ));
        }
    }
    Ok(())
}

/// The replica is flagged leader and alive, and leads in its tablet's memory.
#[derive(Debug)]
pub(super) struct Leads {
    pub(super) table: TableName,
    pub(super) partition: PartitionId,
    pub(super) endpoint: Endpoint,
}

impl Effect for Leads {
    fn effect_status(&self, seen: &Snapshot, since: Option<OpId>) -> EffectStatus {
        let Self { table, partition, endpoint } = self;
        let flags = flags(seen, table, partition.pid, endpoint);
        let flagged = flags.is_some_and(|flags| flags.leader && flags.alive);
        let leads = role(seen, *partition, endpoint) == Some(Role::Leader);
        let text = format!("{endpoint} leads {table}/{}", partition.pid);
        after_ops(seen, table, partition.pid, since, (flagged && leads).then_some(text), endpoint)
    }

    fn in_vain(&self, seen: &Snapshot, since: Option<OpId>, waited: Duration) -> Option<Vain> {
        nothing_began(seen, &self.table, self.partition.pid, since, waited)
    }
}
