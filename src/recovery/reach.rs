//! What a replica that does not answer forbids.

use crate::model::{Offset, TabletState};

use super::blocked::{Blocked, Reason};
use super::election::Way;
use super::suspect::is_suspect;
use super::term::settled_term;
use super::view::{Data, ReplicaView, View};

/// Replicas whose data nobody can know now: their tablet does not answer, or they did not finish loading.
pub(super) fn unproven(view: &View) -> impl Iterator<Item = &ReplicaView> {
    view.replicas.iter().filter(|r| matches!(r.data, Data::OutOfReach(_) | Data::Loading(_)))
}

/// Whether `leader` may lead although some replicas do not answer. One of those blocks the partition only if it is or may
/// be the one elected last, if it was known to be longer, or if the leader shows that something was lost.
///
/// # Errors
/// Which replica blocks it, and why.
pub(super) fn allows(view: &View, leader: &ReplicaView, way: Way) -> Result<(), Blocked> {
    let loss = loss_of(view, leader, way);
    for missing in unproven(view) {
        let why = if missing.is_leader && may_be_elected_last(view, missing, leader) {
            "it may be the leader elected last".to_owned()
        } else if missing.largest_known_offset() > leader.offset().unwrap_or(Offset(0)) {
            let known = missing.largest_known_offset();
            format!(
                "it was known at offset {known}, beyond {} of {}",
                leader.offset().unwrap_or(Offset(0)),
                leader.endpoint
            )
        } else if let Some(loss) = &loss {
            format!("it may hold what others lost: {loss}")
        } else {
            continue;
        };
        let state = match &missing.data {
            Data::OutOfReach(error) => format!("does not answer ({error})"),
            _ => "did not finish loading".to_owned(),
        };
        let cure = match missing.tablet_state {
            Some(TabletState::Healthy) => "see why the tablet does not answer, then run again",
            Some(TabletState::Offline) | None => "start that tablet, then run again",
        };
        return Err(Blocked::new(Reason::OutOfReach, format!("{} {state}, and {why}", missing.endpoint), cure));
    }
    Ok(())
}

/// Whether a leader-flagged replica out of reach may have been elected after `leader`. Not if the leader's entries reach
/// into the last term there was; nor if the leader's flag was alive and the other's was not: an election clears the
/// alive flag of the leader before, and recovering that one takes its leader flag.
fn may_be_elected_last(view: &View, missing: &ReplicaView, leader: &ReplicaView) -> bool {
    let last = view.terms.last().map(|start| start.term);
    let in_last_term = view.terms.len() > 1 && last.is_some() && settled_term(view, leader) == last;
    let outlived = leader.is_leader && leader.memory.alive_before && !missing.memory.alive_before;
    !(in_last_term || outlived)
}

/// How the leader shows that entries were lost, if it does.
fn loss_of(view: &View, leader: &ReplicaView, way: Way) -> Option<String> {
    let offset = leader.offset().unwrap_or(Offset(0));
    let known = leader.memory.largest_offset.max(leader.manifest_offset());
    if offset < known {
        return Some(format!("{} was known at offset {known} and came back at {offset}", leader.endpoint));
    }
    if way == Way::ChangeLeader {
        return Some("no leader-flagged replica came back whole".to_owned());
    }
    let longer = view.replicas.iter().find(|r| r.offset() > leader.offset() && !is_suspect(view, r));
    longer.map(|longer| format!("{} is longer than {}", longer.endpoint, leader.endpoint))
}
