//! Where replicas are: one more, one less, or another tablet.

use crate::model::{Action, Endpoint, Verb, counted_that};

use super::Call;
use super::arrange::{Replaces, is_gone};
use super::effect::Effect;
use super::partition_context::{PartitionContext, Planned, Refusal, failover_is_off, tablet_is_healthy};

/// # Errors
/// Nobody serves the partition, so nobody could give a new replica its data.
fn has_a_leader(place: &PartitionContext<'_>) -> Result<(), Refusal> {
    let name = place.name();
    match place.leader() {
        Some(_) => Ok(()),
        None => Err(Refusal::unsafe_now(
            format!("{name} has no leader that is alive, so nobody can give a replica its data"),
            format!("`openmldb-ops recover --partition {name}` brings it back"),
        )),
    }
}

/// # Errors
/// It has a replica there.
fn is_free(place: &PartitionContext<'_>, endpoint: &Endpoint, code: i32) -> Result<(), Refusal> {
    if place.partition.replicas.iter().all(|replica| replica.endpoint != *endpoint) {
        return Ok(());
    }
    let text = format!("{} has a replica on {endpoint} already", place.name());
    Err(Refusal::of(code, text, "see `openmldb-ops show tables` for where its replicas are"))
}

/// What a replica holds goes to the recycle bin: only if its leader holds it, too.
fn may_go(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<(), Refusal> {
    let allowed = place.may_be_resent(endpoint);
    allowed.map(drop).map_err(|blocked| Refusal::unsafe_now(blocked.text, blocked.hint))
}

/// `addreplica`. auto_failover may be on.
pub(super) fn add(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    is_free(place, endpoint, 317)?;
    tablet_is_healthy(place.seen, endpoint)?;
    has_a_leader(place)?;
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let effect = Effect::Recovered { table: table.clone(), partition: place.id(), endpoint: endpoint.clone() };
    Ok(Planned { call: Some(Call::AddReplica(table, pid, endpoint.clone())), effect, remarks: Vec::new() })
}

/// `delreplica`. auto_failover may be on.
pub(super) fn remove(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    let (name, flags) = (place.name(), place.replica(endpoint)?);
    tablet_is_healthy(place.seen, endpoint)?;
    if flags.is_leader {
        let hint = format!("have another one lead first: `openmldb-ops leader change {name} --to ENDPOINT`");
        return Err(Refusal::of(102, format!("{endpoint} is flagged leader of {name}"), hint));
    }
    has_a_leader(place)?;
    may_go(place, endpoint)?;
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let left = place.partition.replicas.len() - 1;
    let word = counted_that(left, "replica", Verb::Be);
    let remarks = vec![format!("{word} left of {name}; what {endpoint} holds goes to its recycle bin")];
    let effect = Effect::Gone { table: table.clone(), partition: place.id(), endpoint: endpoint.clone() };
    Ok(Planned { call: Some(Call::DelReplica(table, pid, endpoint.clone())), effect, remarks })
}

/// `migrate`.
pub(super) fn migrate(place: &PartitionContext<'_>, from: &Endpoint, to: &Endpoint) -> Result<Planned, Refusal> {
    failover_is_off(place.seen)?;
    let (name, flags) = (place.name(), place.replica(from)?);
    for (endpoint, code) in [(from, 318), (to, 319)] {
        if !place.seen.hears_from(endpoint) {
            let text = format!("the nameserver does not hear from {endpoint}, or knows no such tablet");
            return Err(Refusal::of(code, text, "start that tablet; see `openmldb-ops show tablets`"));
        }
    }
    is_free(place, to, 320)?;
    if flags.is_leader {
        let hint = format!("have another one lead first: `openmldb-ops leader change {name} --to ENDPOINT`");
        return Err(Refusal::of(320, format!("{from} is flagged leader of {name}"), hint));
    }
    if !flags.is_alive {
        let hint = format!("bring it back first: `openmldb-ops replica recover {name} {from}`");
        return Err(Refusal::of(320, format!("{from} of {name} is not alive"), hint));
    }
    has_a_leader(place)?;
    may_go(place, from)?;
    let (table, pid, partition) = (place.table.name.clone(), place.partition.pid, place.id());
    let (from, to) = (from.clone(), to.clone());
    let effect = Effect::Migrated { table: table.clone(), partition, from: from.clone(), to: to.clone() };
    let remarks = vec![format!("what {from} holds goes to its recycle bin once {to} has caught up")];
    Ok(Planned { call: Some(Call::Migrate(table, pid, from, to)), effect, remarks })
}

/// `settablepartition`, without the replica of a tablet that is gone for good: `delreplica` is refused (303) where the tablet is away.
pub(super) fn forget(place: &PartitionContext<'_>, replaces: &Replaces) -> Result<Planned, Refusal> {
    failover_is_off(place.seen)?;
    let gone = &replaces.gone;
    place.replica(gone)?;
    is_gone(place.seen, gone)?;
    has_a_leader(place)?;
    place.may_be_forgotten(replaces)?;
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let effect = Effect::Gone { table: table.clone(), partition: place.id(), endpoint: gone.clone() };
    Ok(Planned { call: Some(Call::ForgetReplica(table, pid, gone.clone())), effect, remarks: Vec::new() })
}

/// `settablepartition`, with another tablet in the place of the one that is gone for good and had the only replica. What that one held
/// is lost, and somebody has said yes to it; who serves the partition, and from what, is a recovery's to decide.
pub(super) fn replace_only(
    place: &PartitionContext<'_>,
    replaces: &Replaces,
    to: &Endpoint,
) -> Result<Planned, Refusal> {
    failover_is_off(place.seen)?;
    let (name, gone) = (place.name(), &replaces.gone);
    place.replica(gone)?;
    is_gone(place.seen, gone)?;
    tablet_is_healthy(place.seen, to)?;
    if place.partition.replicas.len() > 1 || replaces.accepted.is_empty() {
        let text = format!("{gone} does not have the only replica of {name}, or its loss was not accepted");
        return Err(Refusal::unsafe_now(text, format!("see `openmldb-ops status --partition {name}`")));
    }
    let (table, pid) = (place.table.name.clone(), place.partition.pid);
    let effect = Effect::Gone { table: table.clone(), partition: place.id(), endpoint: gone.clone() };
    let call = Call::ReplaceOnly(table, pid, gone.clone(), to.clone());
    Ok(Planned { call: Some(call), effect, remarks: Vec::new() })
}

/// The tablet's own `delreplica`, to the leader.
pub(super) fn disconnect(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    has_a_leader(place)?;
    is_free(place, endpoint, 317)?;
    let effect = Effect::Disconnected { partition: place.id(), endpoint: endpoint.clone() };
    let leader = place.leader().filter(|_| place.is_connected_to(endpoint)).cloned();
    let call = leader.map(|leader| {
        let (partition, follower) = (place.id(), endpoint.clone());
        Call::Action(Action::DelReplica { endpoint: leader, partition, follower })
    });
    Ok(Planned { call, effect, remarks: Vec::new() })
}

/// The tablet's own `drop`, of what no metadata names.
pub(super) fn drop_stray(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<Planned, Refusal> {
    is_free(place, endpoint, 317)?;
    let effect = Effect::Dropped { partition: place.id(), endpoint: endpoint.clone() };
    if place.stray(endpoint).is_none() {
        return Ok(Planned { call: None, effect, remarks: Vec::new() });
    }
    place.stray_may_be_dropped(endpoint).map_err(|blocked| Refusal::unsafe_now(blocked.text, blocked.hint))?;
    let remarks = vec![format!("{endpoint} holds what an operation that failed has left; it goes to its recycle bin")];
    let action = Action::DropTable { endpoint: endpoint.clone(), partition: place.id() };
    Ok(Planned { call: Some(Call::Action(action)), effect, remarks })
}
