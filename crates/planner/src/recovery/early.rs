//! Serving before everything is loaded (`pick_leader: by: evidence`): when a leader may lead although nobody has looked at
//! its followers yet, and what that means for them. Where anything speaks against it, everything is loaded first.

use crate::playbook::{PartitionStep, Playbook, Which};
use openmldb_model::{Offset, Seen};

use super::choice::Choice;
use super::memory::Load;
use super::rows::seen_to_lack;
use super::term::{is_proven_prefix, may_have_parted_before_a_term, settled_term, term_above_history};
use super::view::{Data, ReplicaView, View};

/// Whether the playbook lets a partition serve before its followers are loaded.
pub fn serves_early(playbook: &Playbook) -> bool {
    let leaders_alone =
        |step: &PartitionStep| matches!(step, PartitionStep::LoadTable { replicas: Which::LeaderFlagged, .. });
    playbook.partition.iter().any(leaders_alone)
}

/// The only leader-flagged replica, if the others can be left for later: nothing was done to them, and what their tablets
/// have on disk is known.
///
/// # Errors
/// Why all have to be loaded first.
pub(super) fn alone(view: &View) -> Result<&ReplicaView, String> {
    if let Some(base) = &view.base {
        return Err(format!("all of its replicas are loaded before {}, which it aggregates", base.name));
    }
    if view.memory.load_all_first || view.memory.terms_in_doubt {
        return Err("other hosts could not know that its followers were not checked".to_owned());
    }
    let mut flagged = view.replicas.iter().filter(|r| r.is_leader);
    let leader = flagged.next().ok_or("no replica has a leader flag")?;
    if let Some(second) = flagged.next() {
        return Err(format!("{} and {} have a leader flag", leader.endpoint, second.endpoint));
    }
    for other in view.replicas.iter().filter(|r| r.endpoint != leader.endpoint) {
        let untouched = other.data == Data::Absent && other.memory.load == Load::NotSent && other.memory.loads == 0;
        if !untouched {
            return Err(format!("{} is already loaded, or was told to load", other.endpoint));
        }
        if !matches!(other.manifest, Seen::Known(_)) {
            return Err(format!("{} does not say what it has on disk", other.endpoint));
        }
    }
    Ok(leader)
}

/// Whether the only leader-flagged replica, loaded now, may lead although the others are not: it is complete by itself, as long
/// as anything that was ever known of any of them, and of the last term there was.
///
/// # Errors
/// Why all have to be loaded first.
pub(super) fn may_lead(view: &View) -> Result<(), String> {
    let leader = alone(view)?;
    let Some(offset) = leader.offset() else { return Err(format!("{} is not loaded", leader.endpoint)) };
    if offset == Offset(0) {
        return Err(format!("{} is empty", leader.endpoint));
    }
    if leader.rows() < offset.0 || leader.memory.snapshot_file_missing {
        return Err(format!("{} holds {}", leader.endpoint, leader.rows_at()));
    }
    // Without its binlog a replica ends where its snapshot does.
    if offset == leader.memory.snapshot_before {
        return Err(format!(
            "{} holds nothing beyond its snapshot at {offset}, so its binlog may be gone",
            leader.endpoint
        ));
    }
    if let Some(longer) = view.replicas.iter().find(|r| r.largest_known_offset() > offset) {
        let known = longer.largest_known_offset();
        return Err(format!(
            "{} was known at offset {known}, ahead of offset {offset} on {}",
            longer.endpoint, leader.endpoint
        ));
    }
    let last = view.terms.last().map(|start| start.term);
    if view.terms.len() > 1 && settled_term(view, leader) != last {
        return Err(format!("{} is not known to hold an entry of the last term", leader.endpoint));
    }
    if let Some((above, term)) = term_above_history(view) {
        return Err(format!("{} has seen term {term}, which the metadata does not know", above.endpoint));
    }
    Ok(())
}

/// Whether a follower that was loaded after its leader was chosen, because that served early or the follower's tablet was away, holds the
/// beginning of what that one held then, and nothing beside. The leader may have taken writes since, so its offset now proves nothing.
pub(super) fn is_late_prefix(view: &View, choice: &Choice, leader: &ReplicaView, follower: &ReplicaView) -> bool {
    let loaded_by_us = follower.memory.load == Load::Loaded && follower.memory.loads > 0;
    let within = follower.offset() <= choice.offset;
    // Where it has not a row for each entry only its leader's rows tell whether it lacks some, however far that one is ahead by now.
    let is_seen_whole = || seen_to_lack(view, follower, leader) == Some(0);
    let is_complete = follower.offset().is_some_and(|offset| follower.rows() >= offset.0) || is_seen_whole();
    loaded_by_us
        && within
        && is_complete
        && choice.out_of_reach.contains(&follower.endpoint)
        && choice.leader == leader.endpoint
        && is_proven_prefix(view, follower, leader)
        && (!may_have_parted_before_a_term(view, follower, leader) || is_seen_whole())
}
