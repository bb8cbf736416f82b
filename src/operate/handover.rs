//! How leadership goes from one replica to another without a row that a client was told is written being lost.
//!
//! `changeleader` alone does not do that: it never asks the old leader, which takes writes until clients have heard of the new
//! one, and clients go on writing to where a leader last was, whatever its alive flag says
//! (docs/openmldb/clients.md#clients-do-not-wait). So the leader stands down first, by ChangeRole: from then on it takes no
//! writes, and what it holds is all there is. A follower that holds as much is made leader; if none does, the leader stands up
//! again, and it is tried once more.

use std::collections::BTreeSet;

use crate::model::{Action, Endpoint, Held, Offset, Role, Seen};

use super::goal::Goal;
use super::partition_context::{PartitionContext, Refusal};

/// Entries a follower may lack when its leader stands down: they are on their way, or the leader stands up again.
const CLOSE: u64 = 1_000;

/// How a partition stands whose leader is to hand over.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Standing {
    /// It leads.
    Up,
    /// It has stepped down, and this follower holds all that it does.
    Down(Endpoint),
    /// It has stepped down, and no follower holds all that it does.
    TooEarly,
    /// Its tablet did not answer at this look.
    Silent,
}

/// Who is to lead.
#[derive(Debug, Clone, Copy)]
pub(super) struct Successor<'a> {
    pub(super) at: &'a Endpoint,
    /// It was seen to hold every row that the leader does, so that it may hold more.
    pub(super) holds_all: bool,
}

impl<'a> Successor<'a> {
    /// One that nobody has compared with its leader.
    pub(super) fn unread(at: &'a Endpoint) -> Self {
        Self { at, holds_all: false }
    }

    /// The one that a goal names.
    pub(super) fn of(goal: &'a Goal) -> Option<Self> {
        goal.leader.as_ref().map(|at| Self { at, holds_all: goal.successor_holds_all })
    }
}

impl PartitionContext<'_> {
    /// Whether a tablet said at this look what it holds.
    pub(super) fn answers(&self, endpoint: &Endpoint) -> bool {
        self.seen.tablets.get(endpoint).is_some_and(|tablet| tablet.held.known().is_some())
    }

    /// What a tablet has loaded of the partition.
    pub(super) fn loaded(&self, endpoint: &Endpoint) -> Option<&Held> {
        let held = self.seen.tablets.get(endpoint)?.held.known()?.get(&self.id())?;
        held.state.is_loaded().then_some(held)
    }

    /// Followers that could lead: alive, loaded, on tablets that the nameserver hears of.
    pub(super) fn successors(&self) -> impl Iterator<Item = (&Endpoint, &Held)> {
        self.partition
            .replicas
            .iter()
            .filter(move |r| r.is_alive && !r.is_leader && self.seen.hears_from(&r.endpoint))
            .filter_map(|replica| {
                let held = self.loaded(&replica.endpoint)?;
                (held.role == Role::Follower).then_some((&replica.endpoint, held))
            })
    }
}

/// How far a handover from `leader`, preferably to `successor` and to none of `barred`, has come.
///
/// # Errors
/// It cannot be handed over.
pub(super) fn standing(
    place: &PartitionContext<'_>,
    leader: &Endpoint,
    successor: Option<Successor<'_>>,
    barred: &BTreeSet<Endpoint>,
) -> Result<Standing, Refusal> {
    let name = place.name();
    let hint = format!("`openmldb-ops recover --partition {name}` brings it back");
    if !place.answers(leader) {
        return Ok(Standing::Silent);
    }
    let Some(held) = place.loaded(leader) else {
        let text = format!("{leader} is flagged leader of {name} and alive, but does not have it loaded");
        return Err(Refusal::unsafe_now(text, hint));
    };
    if held.role == Role::Leader {
        return Ok(Standing::Up);
    }
    let may_be_longer = |at: &Endpoint| successor.is_some_and(|successor| successor.holds_all && successor.at == at);
    let is_longer = |(at, theirs): &(&Endpoint, &Held)| theirs.offset > held.offset && !may_be_longer(at);
    if let Some((longer, theirs)) = place.successors().find(is_longer) {
        let text = format!(
            "{longer} is at offset {} of {name}, but {leader}, which is flagged leader and does not lead, is at {}",
            theirs.offset, held.offset
        );
        return Err(Refusal::unsafe_now(text, hint));
    }
    let wanted = successor.map(|successor| successor.at);
    let may_lead = |at: &Endpoint| wanted == Some(at) || !barred.contains(at);
    let holds_as_much =
        |at: &Endpoint, theirs: &Held| theirs.offset == held.offset || theirs.offset > held.offset && may_be_longer(at);
    let equals =
        || place.successors().filter(|(at, theirs)| holds_as_much(at, theirs) && may_lead(at)).map(|(at, _)| at);
    let found = equals().find(|at| Some(*at) == wanted).or_else(|| equals().next());
    Ok(found.map_or(Standing::TooEarly, |successor| Standing::Down(successor.clone())))
}

/// Whether a leader that stepped down at this offset, and was written to by nobody since, holds the beginning of what
/// its successor holds, and nothing else: the successor's term began right behind it.
pub(super) fn is_its_leaders_beginning(
    place: &PartitionContext<'_>,
    endpoint: &Endpoint,
    stood_down_at: Offset,
) -> bool {
    let began = place.partition.terms.last().is_some_and(|last| last.start == stood_down_at.next());
    let is_as_it_was =
        place.loaded(endpoint).is_some_and(|held| held.role == Role::Follower && held.offset == stood_down_at);
    let leads = place.leader().and_then(|leader| place.loaded(leader));
    began && is_as_it_was && leads.is_some_and(|held| held.role == Role::Leader && held.offset >= stood_down_at)
}

/// Whether a follower has come close enough to its leader for it to stand down.
pub(super) fn is_close(place: &PartitionContext<'_>, leader: &Endpoint, successor: &Endpoint) -> bool {
    let offset = |at: &Endpoint| place.loaded(at).map(|held| held.offset.0);
    match (offset(leader), offset(successor)) {
        (Some(leader), Some(successor)) => leader.saturating_sub(successor) <= CLOSE,
        _ => false,
    }
}

/// `changerole ... leader` to one that has stopped leading, under the term it led in, with the followers it had.
pub(super) fn lead_again(place: &PartitionContext<'_>, leader: &Endpoint) -> Result<Action, Refusal> {
    let name = place.name();
    let Some(last) = place.partition.terms.last() else {
        let hint = format!("`openmldb-ops recover --partition {name}` brings it back");
        return Err(Refusal::unsafe_now(format!("{name} has no term"), hint));
    };
    let replicas = followers_of(place, leader);
    let (endpoint, partition) = (leader.clone(), place.id());
    // An election that came to nothing has raised their terms, and they take nothing of an older one.
    let heard = replicas.iter().filter_map(|at| {
        let pair = place.seen.tablets.get(at)?.probes(partition).term_pair.known()?;
        Some(pair.term)
    });
    let term = heard.max().map_or(last.term, |heard| heard.max(last.term));
    Ok(Action::ChangeRole { endpoint, partition, term, replicas })
}

/// Whom it is to replicate to: followers that are alive and loaded. One whose tablet does not answer is among them, unless it is
/// known that it was not before: it is flagged alive, and would be elected one day with what it had missed.
fn followers_of(place: &PartitionContext<'_>, leader: &Endpoint) -> Vec<Endpoint> {
    let was_asked = place.seen.tablets.get(leader).and_then(|tablet| tablet.probes(place.id()).followers.known());
    let follows = |at: &Endpoint| match place.seen.tablets.get(at).map(|tablet| &tablet.held) {
        Some(Seen::Known(_)) => place.loaded(at).is_some_and(|held| held.role == Role::Follower),
        Some(Seen::Failed(_)) => was_asked.is_none() || place.is_connected_to(at),
        Some(Seen::Unasked) | None => false,
    };
    let alive = place.partition.replicas.iter().filter(|replica| replica.is_alive && !replica.is_leader);
    alive.map(|replica| &replica.endpoint).filter(|at| *at != leader && follows(at)).cloned().collect()
}
