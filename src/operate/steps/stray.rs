//! Making room where a replica is to be: a leader that replicates to a tablet without one, and what an operation that failed half way
//! has left on a tablet. Scaling takes these steps; the first may be typed, too, for a replica in another cluster.

use crate::model::{Action, Endpoint, OpId, PartitionId, Seen, Snapshot, Tablet};
use crate::run::{ToCompare, meant, some_of};

use super::super::effect::{Ask, Effect, EffectStatus, ask_leaders};
use super::super::known::Known;
use super::super::partition_context::{Going, PartitionContext, Planned, Refusal};
use super::super::partition_mut::PartitionMut;
use super::definition::{Definition, Target, typed_of};
use super::placement::{has_a_leader, is_free};
use super::{Disconnect, DropStray};

impl Definition for Disconnect<'_> {
    fn code(&self) -> &'static str {
        "replica_disconnect"
    }

    fn handbook(&self) -> String {
        format!("delreplica {} {} {} on its leader", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        typed_of("replica disconnect", self.table, self.pid, &[self.endpoint])
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// The tablet's own `delreplica`, to the leader.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?, self.endpoint);
        has_a_leader(&place)?;
        is_free(&place, endpoint, 317)?;
        let (partition, follower) = (place.id(), endpoint.clone());
        is_followed_or_known(&place, endpoint)?;
        let leader = place.leader().filter(|_| place.is_connected_to(endpoint)).cloned();
        let action = leader.map(|leader| Action::DelReplica { endpoint: leader, partition, follower });
        let (name, endpoint) = (place.name(), endpoint.clone());
        Ok(Planned::new(action, Disconnected { partition, name, endpoint }))
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.disconnect(self.endpoint);
    }
}

impl Definition for DropStray<'_> {
    fn code(&self) -> &'static str {
        "replica_drop"
    }

    fn handbook(&self) -> String {
        format!("drop {} {} on {}", self.table.table, self.pid, self.endpoint)
    }

    fn typed(&self) -> Option<String> {
        None
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    fn compares(&self, seen: &Snapshot, known: &Known) -> Vec<ToCompare> {
        let place = PartitionContext::find(seen, self.table, *self.pid).ok().map(|place| place.knowing(known));
        let place = place.filter(|place| place.stray(self.endpoint).is_some());
        place.and_then(|place| place.to_compare(self.endpoint, Going::Dropped)).into_iter().collect()
    }

    /// The tablet's own `drop`, of what no metadata names.
    fn plan(&self, seen: &Snapshot, known: &Known) -> Result<Planned, Refusal> {
        let (place, endpoint) = (PartitionContext::find(seen, self.table, *self.pid)?.knowing(known), self.endpoint);
        is_free(&place, endpoint, 317)?;
        let effect = Dropped { partition: place.id(), name: place.name(), endpoint: endpoint.clone() };
        if place.stray(endpoint).is_none() {
            return Ok(Planned::already(effect));
        }
        place.stray_may_be_dropped(endpoint).map_err(|blocked| Refusal::unsafe_now(blocked.text, blocked.hint))?;
        let remarks = vec![format!("{endpoint} holds leftovers of a failed operation; they go to its recycle bin")];
        let action = Action::DropTable { endpoint: endpoint.clone(), partition: place.id() };
        Ok(Planned::new(Some(action), effect).noting(remarks))
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.remove(self.endpoint);
    }
}

/// What the leader replicates to may be named, what metadata name, and any tablet of the cluster: anything else was mistyped.
fn is_followed_or_known(place: &PartitionContext<'_>, endpoint: &Endpoint) -> Result<(), Refusal> {
    let (name, seen) = (place.name(), place.seen);
    let Some(followers) = place.followers() else {
        let text = format!("the leader of {name} does not say whom it replicates to");
        return Err(Refusal::unsafe_now(text, "start that tablet, or find out why it does not answer"));
    };
    let remotes = || place.partition.remotes.iter().map(|remote| &remote.endpoint);
    if seen.tablets.contains_key(endpoint) || followers.contains(&endpoint) || remotes().any(|at| at == endpoint) {
        return Ok(());
    }
    let own = |at: &&Endpoint| place.partition.replicas.iter().any(|replica| replica.endpoint == **at);
    let mut others: Vec<&str> =
        followers.into_iter().chain(remotes()).filter(|at| !own(at)).map(Endpoint::as_str).collect();
    others.sort_unstable();
    others.dedup();
    let text = match &others[..] {
        [] => format!("the leader of {name} replicates to no other cluster, and there is no tablet {endpoint}"),
        others => {
            format!("no replica of {name} is on {endpoint}; in other clusters it has some on {}", some_of(others))
        }
    };
    let hint = match meant(endpoint.as_str(), others.into_iter().chain(seen.tablets.keys().map(Endpoint::as_str))) {
        Some(meant) => format!("did you mean {meant}?"),
        None => {
            "`openmldb-ops status` shows replicas in other clusters, `openmldb-ops show tablets` this one's".to_owned()
        }
    };
    Err(Refusal::unsafe_now(text, hint).mistyped())
}

/// The leader does not replicate to the tablet.
#[derive(Debug)]
struct Disconnected {
    partition: PartitionId,
    /// As it is typed.
    name: String,
    endpoint: Endpoint,
}

impl Effect for Disconnected {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { partition, name, endpoint } = self;
        let asked = |tablet: &'_ Tablet| tablet.probes(*partition).followers.known().cloned();
        let followers: Vec<_> = seen.tablets.values().filter_map(asked).collect();
        let is_followed =
            followers.iter().any(|known| known.followers.iter().any(|(follower, _)| follower == endpoint));
        match followers.is_empty() || is_followed {
            true => EffectStatus::Waiting(format!(
                "the leader of {name} still replicates to {endpoint}, or does not answer"
            )),
            false => EffectStatus::Reached(format!("the leader of {name} does not replicate to {endpoint} any more")),
        }
    }

    fn asks(&self, seen: &Snapshot) -> Vec<Ask> {
        ask_leaders([self.partition], seen)
    }
}

/// The tablet does not hold the partition.
#[derive(Debug)]
struct Dropped {
    partition: PartitionId,
    /// As it is typed.
    name: String,
    endpoint: Endpoint,
}

impl Effect for Dropped {
    fn effect_status(&self, seen: &Snapshot, _since: Option<OpId>) -> EffectStatus {
        let Self { partition, name, endpoint } = self;
        match seen.tablets.get(endpoint).map(|tablet| &tablet.held) {
            Some(Seen::Known(held)) if !held.contains_key(partition) => {
                EffectStatus::Reached(format!("{endpoint} does not hold {name} any more"))
            }
            _ => EffectStatus::Waiting(format!("{endpoint} still holds {name}, or does not answer")),
        }
    }
}
