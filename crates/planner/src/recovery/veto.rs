//! What speaks against a choice that the offsets are for: entries of a later term elsewhere, terms that no leader would be
//! heard above, flags that stay.

use crate::playbook::Promote;
use openmldb_model::Offset;

use super::blocked::{Blocked, Reason};
use super::choice::PromotionMethod;
use super::condition::{condition, has_data, longest};
use super::loss::{Loss, unless_accepted};
use super::reach;
use super::rows;
use super::suspect::is_suspect;
use super::term::{
    LastTerm, divergence_offset, is_on_history, is_proven_prefix, is_told, last_put, last_term, leads_in_the_last_term,
    may_end_with_deletes, settled_term, term_above_history, written_below_its_start,
};
use super::view::{ReplicaView, View, list};

/// A loaded follower whose entries are of a later term than the chosen one's holds rows acknowledged after it. So it may
/// where terms are unknown and a leader that may have been elected later lost its data.
pub(super) fn newer_term_elsewhere(view: &View, usable: &[&ReplicaView], leader: &ReplicaView) -> Result<(), Blocked> {
    // With `on_conflict: max_offset` the later leader is there and lost the choice, and so did what it wrote.
    let lost_by_policy = |term| {
        usable.iter().any(|r| r.is_leader && has_data(r) && settled_term(view, r).is_some_and(|own| own >= term))
    };
    let followers = usable.iter().filter(|r| !r.is_leader && has_data(r) && r.endpoint != leader.endpoint);
    let parts_at = settled_term(view, leader).and_then(|term| divergence_offset(view, term));
    let later = followers.filter(|r| !is_proven_prefix(view, r, leader)).filter_map(|r| {
        let (of_leader, of_follower) = (settled_term(view, leader), settled_term(view, r));
        let shown = last_term(view, r).lower_bound();
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
            // Its log may end with deletes, whose terms nobody can find out: but its puts show that it parted from the other's.
            (None, _, None) if last_put(view, leader).is_some_and(|put| shown > Some(put)) => {
                shown.filter(|newer| !lost_by_policy(*newer)).map(|newer| {
                    format!(
                        "{} would lead and holds no row of term {newer}, but the follower {} does, written later",
                        leader.endpoint, r.endpoint
                    )
                })
            }
            (Some(_), None, None) if may_end_with_deletes(view, r) && !is_on_history(view, leader) => {
                parts_at.filter(|start| r.offset() >= Some(*start)).map(|start| {
                    format!(
                        "{} would lead, but what it holds from offset {start} on was given up at a later election, and the log of the \
                         follower {} may end with deletes that were written instead: no call shows their terms",
                        leader.endpoint, r.endpoint
                    )
                })
            }
            _ => None,
        };
        text.map(|text| (r, text))
    });
    let hint = rows::diff(view, "the leader of the later term lost its data, and both are loaded as followers");
    for (follower, text) in later {
        let loss = Loss::beyond(view, follower, leader);
        unless_accepted(view, Blocked::new(Reason::NewerTerm, text, hint.clone()), vec![loss])?;
    }
    Ok(())
}

/// A leader whose end was given up by a later election, while a replica that lacks rows reaches as far: what that one holds there
/// may be what was written instead.
pub(super) fn incomplete_one_may_continue_the_history(view: &View, leader: &ReplicaView) -> Result<(), Blocked> {
    let shown = last_term(view, leader).lower_bound();
    let Some((term, parts_at)) = shown.and_then(|term| Some((term, divergence_offset(view, term)?))) else {
        return Ok(());
    };
    if leader.offset() < Some(parts_at) {
        return Ok(());
    }
    let settled = settled_term(view, leader).is_some() || may_end_with_deletes(view, leader);
    let reaches =
        |r: &&ReplicaView| r.endpoint != leader.endpoint && is_suspect(view, r) && r.offset() >= Some(parts_at);
    // Where nothing is known of the leader's own last term (a disk table's) only one that was leader too can have been elected later.
    let later = |r: &&ReplicaView| settled_term(view, r).is_none_or(|own| own > term) && (settled || r.is_leader);
    let was = if settled { "was" } else { "may have been" };
    for suspect in view.replicas.iter().filter(reaches).filter(later) {
        let text = format!(
            "{} would lead, but what it holds from offset {parts_at} on {was} given up at a later election, and {}, which {}, may \
             hold what was written instead",
            leader.endpoint,
            suspect.endpoint,
            condition(view, suspect)
        );
        let hint = "find the missing snapshot or binlog of that replica, or accept the loss of its entries";
        let blocked = Blocked::new(Reason::SuspectIsLongest, text, hint);
        unless_accepted(view, blocked, vec![Loss::beyond(view, suspect, leader)])?;
    }
    Ok(())
}

/// Where not all last terms are known the larger offset leads, but not over one that is known to hold entries of a later term
/// than the other shows, or that leads in a later one: that one was elected later, and what it wrote was acknowledged.
pub(super) fn later_flag_elsewhere(view: &View, flagged: &[&ReplicaView], leader: &ReplicaView) -> Result<(), Blocked> {
    let (settled, shown) = (settled_term(view, leader), last_term(view, leader).lower_bound());
    let wrote_later = |r: &ReplicaView| last_term(view, r).lower_bound() > shown;
    let is_of_the_last = settled.is_some() && settled == view.terms.last().map(|last| last.term);
    let was_later = |r: &&&ReplicaView| {
        r.endpoint != leader.endpoint
            && (settled.is_none() && wrote_later(r) || !is_of_the_last && leads_in_the_last_term(view, r))
    };
    let Some(later) = flagged.iter().find(was_later) else { return no_deletes_elsewhere(view, flagged, leader) };
    let unknown = if settled.is_none() { "; the term of its last entry cannot be determined" } else { "" };
    let text = format!("{} holds more than {}, which was elected later{unknown}", leader.endpoint, later.endpoint);
    let hint = rows::diff(view, "restarting the first one's tablet may reveal its last term");
    let blocked = Blocked::new(Reason::LeaderConflict, text, hint);
    unless_accepted(view, blocked, vec![Loss::beyond(view, later, leader)])
}

/// Nor where an election may be missing in the history of terms, and nobody can tell of both whether they hold rows written after it:
/// whichever leads, the other one's may be what was acknowledged last.
pub(super) fn untold_flag_elsewhere(
    view: &View,
    flagged: &[&ReplicaView],
    leader: &ReplicaView,
) -> Result<(), Blocked> {
    let untold = |r: &&&ReplicaView| {
        r.endpoint != leader.endpoint
            && !(is_told(view, leader) && is_told(view, r))
            && !rows::seen_to_hold_all(view, leader, r)
    };
    let Some(other) = flagged.iter().find(untold) else { return Ok(()) };
    let text = format!(
        "{} and {} have a leader flag, and which of them was elected last cannot be determined: their history of terms is from a backup, \
         and may lack elections",
        leader.endpoint, other.endpoint
    );
    let hint = rows::diff(view, "both are loaded as followers and not alive, nothing was discarded");
    let blocked = Blocked::new(Reason::LeaderConflict, text, hint);
    unless_accepted(view, blocked, vec![Loss::beyond(view, other, leader)])
}

/// Nor over one whose log may end with deletes of a later term, unless its own is all the partition's history: no call shows the
/// term of a delete, and both may have been elected last.
fn no_deletes_elsewhere(view: &View, flagged: &[&ReplicaView], leader: &ReplicaView) -> Result<(), Blocked> {
    let untold = |r: &&&ReplicaView| r.endpoint != leader.endpoint && may_end_with_deletes(view, r);
    let Some(other) = flagged.iter().filter(|_| !is_on_history(view, leader)).find(untold) else { return Ok(()) };
    let text = format!(
        "{} and {} have a leader flag, and which of them was elected last cannot be determined: their logs may end \
         with deletes, whose terms no call shows",
        leader.endpoint, other.endpoint
    );
    let hint = rows::diff(view, "both are loaded as followers and not alive, nothing was discarded");
    let blocked = Blocked::new(Reason::LeaderConflict, text, hint);
    unless_accepted(view, blocked, vec![Loss::beyond(view, other, leader)])
}

/// A replica that was made leader without what others held wrote beside them: whoever leads, acknowledged rows of the other one
/// would be given up, and no failover has done so.
pub(super) fn forked_writes(view: &View, among: &[&ReplicaView]) -> Result<(), Blocked> {
    let beside = among.iter().find_map(|r| Some((r, written_below_its_start(view, r)?)));
    let Some((replica, start)) = beside else { return Ok(()) };
    let holds_anything = |r: &&&ReplicaView| r.endpoint != replica.endpoint && r.largest_known_offset() > Offset(0);
    let Some(other) = among.iter().find(holds_anything) else { return Ok(()) };
    let (at, end) = (&replica.endpoint, replica.offset().unwrap_or(Offset(0)));
    let (term, began, holder) = (start.term, start.start, &other.endpoint);
    let ends_with_it = last_term(view, replica) == LastTerm::Known(term);
    let text = if ends_with_it || last_put(view, replica) == Some(term) {
        let with = if ends_with_it { "with" } else { "and holds" };
        format!(
            "{at} ends at offset {end} {with} an entry of term {term}, which began at {began}: it became leader \
             without entries that others held, so its log conflicts with that of {holder}"
        )
    } else {
        format!(
            "{at} was elected in term {term}, which began at {began}, and ends at offset {end}: it lost its end, or \
             became leader without entries that others held, so that its log conflicts with that of {holder}"
        )
    };
    let hint = rows::diff(view, "all are loaded as followers and not alive, nothing was discarded");
    Err(Blocked::new(Reason::WrittenBeside, text, hint))
}

/// What ChangeRole cannot cure: followers above their leader's term never replicate, and we never invent a term, but
/// ChangeLeader begins one; and a leader flag that is alive and cannot be cleared (302), but ChangeLeader clears it.
fn only_changeleader_helps(view: &View, leader: &ReplicaView) -> Option<(Reason, String)> {
    let stuck = |r: &&ReplicaView| r.is_leader && r.is_alive && r.flag_is_stuck() && r.endpoint != leader.endpoint;
    if let Some((above, term)) = term_above_history(view).filter(|_| view.replicas.len() > 1) {
        let seen = "has seen a term that the metadata does not know (a failed election)";
        return Some((Reason::TermAboveHistory, format!("{} {seen}: {term}", above.endpoint)));
    }
    let stuck = view.replicas.iter().find(stuck)?;
    let seen = "is still flagged leader and alive, and its flag cannot be changed (302)";
    Some((Reason::TwoLeaders, format!("{} {seen}", stuck.endpoint)))
}

/// Where ChangeRole does not do, a follower that is proven equal leads by ChangeLeader.
pub(super) fn fall_back_to_change_leader<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    way: PromotionMethod,
    why: String,
    promote: Promote,
) -> Result<(&'a ReplicaView, PromotionMethod, String), Blocked> {
    let Some((reason, seen)) = only_changeleader_helps(view, leader).filter(|_| way == PromotionMethod::ChangeRole)
    else {
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
            PromotionMethod::ChangeLeader,
            format!("{seen}; {} equals the leader-flagged {}", equal.endpoint, leader.endpoint),
        )),
        None => {
            let hint = "only changeleader fixes that, and no follower is proven equal to the leader-flagged replica";
            Err(Blocked::new(reason, seen, hint))
        }
    }
}

/// In a cluster that follows another one, logs have that one's terms: they do not tell who was elected last here.
pub(super) fn terms_of_another_cluster(view: &View, flagged: &[&ReplicaView]) -> Result<(), Blocked> {
    if !view.memory.follows {
        return Ok(());
    }
    let names = list(flagged.iter().map(|r| &r.endpoint));
    let text =
        format!("several leader flags: {names}, and the terms in their logs are those of the cluster that is followed");
    Err(Blocked::new(Reason::LeaderConflict, text, rows::name_one(view)))
}
