//! `changeleader`: another replica leads, at once. What it lacks of what others hold would be lost.

use crate::model::{Action, Endpoint, Held, Role};

use super::Call;
use super::effect::Effect;
use super::partition_context::{PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy};
use super::replica::loaded;

/// `changeleader`.
pub(super) fn change(place: &PartitionContext<'_>, to: Option<&Endpoint>) -> Result<Planned, Refusal> {
    failover_is_off(place.seen)?;
    let name = place.name();
    if place.partition.replicas.len() < 2 {
        return Err(Refusal::of(134, format!("{name} has a single replica"), "add one first, or recover that one"));
    }
    let leader = place.leader();
    if let Some(leader) = leader.filter(|_| to.is_none()) {
        let hint = "name who is to lead with --to";
        return Err(Refusal::of(309, format!("{name} has a leader that is alive, {leader}"), hint));
    }
    let leads = |endpoint: &Endpoint| Effect::Leads {
        table: place.table.name.clone(),
        partition: place.id(),
        endpoint: endpoint.clone(),
    };
    if let Some(leader) = leader.filter(|leader| to == Some(*leader)) {
        return Ok(Planned { call: None, effect: leads(leader), remarks: Vec::new() });
    }
    let candidate = candidate(place, to)?;
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let effect = leads(&candidate);
    let mut remarks = Vec::new();
    if let Some(leader) = leader {
        remarks.push(format!(
            "{leader} is not alive afterwards: bring it back with `openmldb-ops replica recover {name} {leader}`"
        ));
        remarks.push(format!(
            "what clients write at that moment and no follower has yet may be given up; `openmldb-ops leader handover {name} --to {candidate}` gives up nothing"
        ));
    }
    Ok(Planned { call: Some(Call::Action(Action::ChangeLeader { table, pid, candidate })), effect, remarks })
}

/// Who is to lead: the one that was named, or the longest of the followers. OpenMLDB lets whoever is named lead, even if it
/// lacks what others hold (docs/openmldb/operations.md#changeleader).
fn candidate(place: &PartitionContext<'_>, to: Option<&Endpoint>) -> Result<Endpoint, Refusal> {
    let name = place.name();
    let at = electable(place)?;
    let longest = at.iter().max_by(|a, b| a.1.offset.cmp(&b.1.offset).then_with(|| b.0.cmp(a.0)));
    let Some(longest) = longest else {
        let hint = format!("bring one back first, or `openmldb-ops recover --partition {name}`");
        return Err(Refusal::of(310, format!("{name} has no follower that is alive on a healthy tablet"), hint));
    };
    if place.leader().is_none() {
        nobody_holds_more(place, longest)?;
    }
    let Some(to) = to else { return Ok(longest.0.clone()) };
    let named = named_among(place, &at, to)?;
    if named.1.offset < longest.1.offset {
        let (behind, at) = (named.1.offset, longest.1.offset);
        let text = format!(
            "{to} is at offset {behind} of {name}, {} at {at}: it would lead all the same, and what it lacks be lost",
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
/// Whoever was named is none of them.
pub(super) fn named_among<'a>(
    place: &PartitionContext<'a>,
    at: &[(&'a Endpoint, &'a Held)],
    to: &Endpoint,
) -> Result<(&'a Endpoint, &'a Held), Refusal> {
    let name = place.name();
    place.replica(to)?;
    at.iter().find(|(endpoint, _)| *endpoint == to).copied().ok_or_else(|| {
        let text = format!("{to} is no follower of {name} that is alive on a healthy tablet");
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
            let text = format!("nobody knows what {at} holds of {name}: {}", unknown.text);
            Refusal::unsafe_now(text, format!("`openmldb-ops recover --partition {name}` looks at all of them"))
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
