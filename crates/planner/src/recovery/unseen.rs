//! Replicas that the nameserver must not get its hands on: nobody had looked at them when their leader was chosen, or they hold
//! what their leader is not proven to hold. While auto_failover is on the nameserver replaces what a replica holds as soon as its
//! tablet comes back, without comparing anything (docs/openmldb/auto-failover.md#when-a-tablet-comes-back). So auto_failover
//! stays off as long as there is one.

use serde::{Deserialize, Serialize};

use openmldb_model::{Endpoint, Offset, Seen};

use super::blocked::{Blocked, Reason};
use super::discard::may_discard;
use super::health::{Health, health};
use super::reach;
use super::rows::seen_to_lack_keys;
use super::suspect::lacks_rows_of;
use super::view::{ReplicaView, View};

/// Why the nameserver may replace what a replica holds, although nobody has looked at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Replaceable {
    /// The nameserver had seen it no longer than its leader is.
    SeenNoLonger,
    /// Somebody has said that its tablet is gone for good. Should it come back all the same, that is void.
    SaidGone,
    /// Somebody has said that it may, whatever it holds.
    Released,
}

/// Why the nameserver must not replace what a replica holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WhyHeld {
    /// Nobody has looked at it since its leader was chosen.
    Unseen,
    /// It was looked at, and its leader is not proven to hold all of its entries.
    HoldsMore,
}

/// Of the replicas that nobody can look at now, those that the nameserver had seen no longer than the leader is.
///
/// Its number is from its last look, up to two seconds before the tablet went, or from ZooKeeper and of any age
/// (docs/openmldb/nameserver.md#where-its-numbers-come-from); nothing tells which. What tells is the leader: it came back at
/// exactly the number that the nameserver had for it, taken in the same look. A number that was older than the last writes would
/// be below, and a leader that lost what the nameserver had seen would be below its number. What remains is what was written
/// after the nameserver's last look, lost by the leader down to the last entry, and kept by the other one. A leader-flagged
/// replica may have taken writes that it sent to nobody: its number says nothing.
///
/// A leader that lost the beginning of its log has the right number and not the rows. Where rows expire nothing tells; elsewhere
/// it has to have a row for each entry. That rows were deleted is no excuse: without another replica to compare it with nobody
/// knows.
pub(super) fn seen_no_longer(view: &View, leader: &ReplicaView) -> Vec<Endpoint> {
    let has_its_rows = view.has_ttl || leader.offset().is_some_and(|offset| leader.rows() >= offset.0);
    let is_as_known =
        leader.is_leader && has_its_rows && leader.offset().is_some() && leader.memory.polled == leader.offset();
    let no_longer =
        |r: &&ReplicaView| !r.is_leader && r.memory.polled.is_some_and(|polled| Some(polled) <= leader.offset());
    reach::unproven(view).filter(|_| is_as_known).filter(no_longer).map(|r| r.endpoint.clone()).collect()
}

/// The replicas of a partition that the nameserver must not replace. `blocked` is why a run left the partition alone; `ours` whether
/// its leader was chosen by a run, this one or one that still keeps auto_failover off.
pub fn held_in(view: &View, blocked: Option<&Blocked>, ours: bool) -> Vec<(Endpoint, WhyHeld)> {
    let leader = view.serving_leader();
    match health(view) {
        Health::Unknown(_) => return Vec::new(),
        // That its replicas are alive and connected says nothing of rows that a leader lacks.
        Health::Healthy => {
            let leader = leader.filter(|_| blocked.is_some_and(|blocked| blocked.reason == Reason::LeaderLacksRows));
            let Some(leader) = leader else { return Vec::new() };
            let is_kept = |r: &&ReplicaView| {
                let is_released = view.memory.replica(&r.endpoint).replaceable == Some(Replaceable::Released);
                r.endpoint != leader.endpoint && !is_released && holds_more(view, leader, r)
            };
            let kept = view.replicas.iter().filter(is_kept);
            return kept.map(|r| (r.endpoint.clone(), WhyHeld::HoldsMore)).collect();
        }
        Health::Serving(_) | Health::Down(_) => {}
    }
    let chosen = view.memory.choice.as_ref().map(|choice| &choice.leader);
    let leads = |r: &ReplicaView| match leader {
        Some(leader) => leader.endpoint == r.endpoint,
        None => chosen == Some(&r.endpoint),
    };
    // A plan has chosen since the view was made: the partition's memory knows, its replicas' copies do not.
    let memory = |r: &ReplicaView| view.memory.replica(&r.endpoint);
    let followers = view.replicas.iter().filter(|r| !leads(r) && memory(r).replaceable != Some(Replaceable::Released));
    let why = |r: &ReplicaView| match (memory(r).leader_held, r.loaded()) {
        (Some(_), None) => (!may_be_replaced(memory(r).replaceable, blocked)).then_some(WhyHeld::Unseen),
        // It was looked at, and holds more than its leader did then.
        (Some(_), Some(_)) => Some(WhyHeld::HoldsMore),
        // It was compared. Whatever the partition waits for now, that counts until the two are seen to hold the same.
        (None, data) if memory(r).fuller => {
            leader.filter(|leader| data.is_none() || holds_more(view, leader, r)).map(|_| WhyHeld::HoldsMore)
        }
        (None, _) => {
            let leader = leader.filter(|_| (ours || chosen.is_some()) && blocked.is_some_and(is_about_data))?;
            holds_more(view, leader, r).then_some(WhyHeld::HoldsMore)
        }
    };
    followers.filter_map(|r| Some((r.endpoint.clone(), why(r)?))).collect()
}

/// Whether somebody or something excuses that nobody has looked at a replica. That the nameserver had seen it no longer than its leader says
/// nothing once others get nothing from that leader: its log has lost entries, and where rows expire nothing else shows it.
fn may_be_replaced(replaceable: Option<Replaceable>, blocked: Option<&Blocked>) -> bool {
    match replaceable {
        None => false,
        Some(Replaceable::SeenNoLonger) => blocked.is_none_or(|blocked| blocked.reason != Reason::NotCatchingUp),
        Some(Replaceable::SaidGone | Replaceable::Released) => true,
    }
}

/// Whether a replica that an earlier run kept from the nameserver, since it holds more than its leader, still does as far as counts tell,
/// although its partition has become healthy.
pub fn still_holds_more(view: &View, endpoint: &Endpoint) -> bool {
    let both = view.serving_leader().zip(view.replica(endpoint));
    both.is_some_and(|(leader, replica)| leader.endpoint != replica.endpoint && holds_more(view, leader, replica))
}

/// Whether a partition was left alone because its replicas do not hold the same.
fn is_about_data(blocked: &Blocked) -> bool {
    use Reason::{LeaderLacksRows, LoadTimeout, LongerThanLeader, OutOfReach, WrittenBeside};
    matches!(blocked.reason, LeaderLacksRows | LoadTimeout | LongerThanLeader | OutOfReach | WrittenBeside)
}

/// Whether a replica may hold what its leader does not. One that follows it is ahead for a moment when it is looked at later, while
/// clients write: there the leader's own answer counts.
fn holds_more(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    if !leader.is_followed_by(replica) {
        return may_discard(view, leader, replica).is_err();
    }
    let Seen::Known(answer) = &leader.followers else { return true };
    let reached = answer.followers.iter().find(|(at, _)| *at == replica.endpoint).map_or(Offset(0), |(_, at)| *at);
    // Where the two were compared counts say nothing, and neither does that it has caught up since.
    let was_fuller = view.memory.replica(&replica.endpoint).fuller;
    let is_fuller = seen_to_lack_keys(view, leader, replica).map_or(was_fuller, |keys| keys > 0);
    reached > answer.leader_offset || is_fuller || lacks_rows_of(view, leader, replica)
}
