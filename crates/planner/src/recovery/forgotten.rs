//! What goes with a replica that metadata forget, because its tablet is gone for good: what only that one is known to have held.

use openmldb_model::{Endpoint, Offset, counted};

use super::blocked::{Blocked, Reason};
use super::discard::proven_offset;
use super::loss::{Loss, unless_accepted};
use super::suspect::is_suspect;
use super::view::{ReplicaView, View};

/// Whether a partition's metadata may forget the replica on a tablet that nobody can reach any more: its leader holds
/// all that is known of it, or exactly that loss was accepted.
///
/// # Errors
/// What would be lost, or that it is not gone.
pub fn may_be_forgotten(view: &View, endpoint: &Endpoint) -> Result<(), Blocked> {
    let name = view.name();
    let Some(leader) = view.serving_leader() else {
        let text = format!("{name} has no leader that serves, so nobody knows what goes with {endpoint}");
        let hint = format!("`openmldb-ops recover --partition {name} --without {endpoint}` finds one");
        return Err(Blocked::new(Reason::NotRedundant, text, hint));
    };
    let Some(replica) = view.replica(endpoint) else { return Ok(()) };
    if replica.out_of_reach().is_none() {
        let text = format!("{endpoint} answers: it is not gone");
        let hint = format!("`openmldb-ops recover --partition {name}` brings its replica back");
        return Err(Blocked::new(Reason::NotRedundant, text, hint));
    }
    let hint = format!(
        "start that tablet if that can be done: nothing is lost by waiting. If not, `openmldb-ops tablet replace {endpoint} --dry-run` \
         lists what is lost under an id for --accept-data-loss"
    );
    // What it may have held of a leader that lacks rows is no number, and more than what is known beyond that one.
    if is_suspect(view, leader) {
        let text = format!("its leader {} lacks rows, and {endpoint} may have held them", leader.endpoint);
        let loss = Loss::out_of_reach(view, replica);
        unless_accepted(view, Blocked::new(Reason::OutOfReach, text, hint.clone()), vec![loss])?;
    }
    let known = replica.largest_known_offset();
    let beyond = known_beyond(view, leader, replica);
    if beyond > 0 {
        let text = format!(
            "{endpoint} was known at offset {known}, and its leader {} is not known to hold {} of that",
            leader.endpoint,
            counted(beyond, "entry")
        );
        let loss = Loss { entries: Some(beyond), ..Loss::out_of_reach(view, replica) };
        return unless_accepted(view, Blocked::new(Reason::OutOfReach, text, hint), vec![loss]);
    }
    Ok(())
}

/// How many entries are known to have been there and not to be the leader's. One that led before holds nothing of what was written
/// since the next leader was elected, and may have written itself in those places.
fn known_beyond(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> u64 {
    let shared = proven_offset(leader, replica);
    let elected_since = elected_after(view, leader, replica).filter(|_| replica.is_leader);
    let shared = elected_since.map_or(shared, |end| shared.min(end));
    replica.largest_known_offset().0.saturating_sub(shared.0)
}

/// Where the log ended when another one was elected in place of an old leader: at the last election, if it is the only one flagged and
/// is known to have come that far. Else it may have led before any of them: one elected in between is flagged leader no more once it
/// has come back as a follower.
fn elected_after(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Option<Offset> {
    let ends = view.terms.iter().map(|term| Offset(term.start.0.saturating_sub(1)));
    let last = ends.clone().next_back()?;
    let old_leaders = view.replicas.iter().filter(|r| r.is_leader && r.endpoint != leader.endpoint).count();
    let led_last = old_leaders == 1 && replica.largest_known_offset() >= last;
    if led_last { Some(last) } else { ends.skip(1).min().or(Some(last)) }
}
