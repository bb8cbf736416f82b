//! What speaks against a choice that the offsets are for: entries of a later term elsewhere, terms that no leader would be
//! heard above, flags that stay.

use crate::playbook::Promote;

use super::blocked::{Blocked, Reason};
use super::election::{Way, condition, has_data, longest};
use super::loss::{Loss, unless_accepted};
use super::reach;
use super::term::{is_proven_prefix, settled_term, term_above_history};
use super::view::{ReplicaView, View};

/// A loaded follower whose entries are of a later term than the chosen one's holds rows acknowledged after it. So it may
/// where terms are unknown and a leader that may have been elected later lost its data.
pub(super) fn newer_term_elsewhere(view: &View, usable: &[&ReplicaView], leader: &ReplicaView) -> Result<(), Blocked> {
    // With `on_conflict: max_offset` the later leader is there and lost the choice, and so did what it wrote.
    let lost_by_policy = |term| {
        usable.iter().any(|r| r.is_leader && has_data(r) && settled_term(view, r).is_some_and(|own| own >= term))
    };
    let followers = usable.iter().filter(|r| !r.is_leader && has_data(r) && r.endpoint != leader.endpoint);
    let later = followers.filter(|r| !is_proven_prefix(view, r, leader)).filter_map(|r| {
        let (of_leader, of_follower) = (settled_term(view, leader), settled_term(view, r));
        let text = match (of_leader, of_follower, reach::later_leader_lost(view, leader)) {
            (Some(term), Some(newer), _) => (newer > term && !lost_by_policy(newer)).then(|| {
                format!(
                    "{} would lead with last term {term}, but the follower {} holds entries of term {newer}, written later",
                    leader.endpoint, r.endpoint
                )
            }),
            (_, _, Some(lost)) => Some(format!(
                "{} would lead, but {}, which may have been elected after it, {}, and the follower {} may hold what that one wrote",
                leader.endpoint,
                lost.endpoint,
                condition(view, lost),
                r.endpoint
            )),
            _ => None,
        };
        text.map(|text| (r, text))
    });
    let hint = "the leader of the later term lost its data; compare the replicas' rows, both are loaded as followers";
    for (follower, text) in later {
        let loss = Loss::stale_leader(view, follower, leader);
        unless_accepted(view, Blocked::new(Reason::NewerTerm, text, hint), vec![loss])?;
    }
    Ok(())
}

/// What ChangeRole cannot cure: followers above their leader's term never replicate, and we never invent a term, but
/// ChangeLeader begins one; and a leader flag that is alive and cannot be cleared (302), but ChangeLeader clears it.
fn only_changeleader_helps(view: &View, leader: &ReplicaView) -> Option<(Reason, String)> {
    let stuck = |r: &&ReplicaView| r.is_leader && r.is_alive && r.flag_is_stuck() && r.endpoint != leader.endpoint;
    if let Some((above, term)) = term_above_history(view).filter(|_| view.replicas.len() > 1) {
        let seen = "has heard of a term that the metadata does not know (a failed election)";
        return Some((Reason::TermAboveHistory, format!("{} {seen}: {term}", above.endpoint)));
    }
    let stuck = view.replicas.iter().find(stuck)?;
    let seen = "is still flagged leader and alive, and its flag cannot be changed (302)";
    Some((Reason::TwoLeaders, format!("{} {seen}", stuck.endpoint)))
}

/// Where ChangeRole does not do, a follower that is proven equal leads by ChangeLeader.
pub(super) fn heed_what_changerole_cannot<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    way: Way,
    why: String,
    promote: Promote,
) -> Result<(&'a ReplicaView, Way, String), Blocked> {
    let Some((reason, seen)) = only_changeleader_helps(view, leader).filter(|_| way == Way::ChangeRole) else {
        return Ok((leader, way, why));
    };
    let equals = usable.iter().copied().filter(|r| {
        // Two leaders in memory have nothing in common from the first write on.
        let leads = r.leads_in_memory();
        !leads
            && !r.is_leader
            && r.offset() == leader.offset()
            && r.rows() == leader.rows()
            && is_proven_prefix(view, leader, r)
    });
    match longest(equals).filter(|_| promote == Promote::WhenProven) {
        Some(equal) => Ok((
            equal,
            Way::ChangeLeader,
            format!("{seen}; {} equals the leader-flagged {}", equal.endpoint, leader.endpoint),
        )),
        None => {
            let hint = "only changeleader cures that, and no follower is proven equal to the leader-flagged replica";
            Err(Blocked::new(reason, seen, hint))
        }
    }
}
