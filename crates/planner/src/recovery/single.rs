//! What RecoverTable would do to a replica if it were sent by itself: the same rules as in a whole recovery, as one answer.

use openmldb_model::{Endpoint, Op, OpKind, Role};

use super::base::{is_written_while_loading, not_to_be_sent};
use super::blocked::{Blocked, Reason};
use super::discard::{may_discard, may_discard_connected, reached};
use super::rows::diff_beside_leader;
use super::term::is_on_history;
use super::view::{Data, ReplicaView, View};

/// Whether RecoverTable would replace what a replica holds by its leader's data (true) or take it as it is (false).
///
/// # Errors
/// What could be lost, or go wrong unseen: RecoverTable judges a replica by its term alone
/// (docs/openmldb/operations.md#how-recovertable-judges-a-replica).
pub fn may_be_resent(view: &View, endpoint: &Endpoint) -> Result<bool, Blocked> {
    let not_now = |text: String, hint: &str| Blocked::new(Reason::NotRedundant, text, hint);
    let leader = view.serving_leader().ok_or_else(|| {
        not_now("its leader is flagged alive, and does not serve".to_owned(), "see `openmldb-ops status`")
    })?;
    let Some(replica) = view.replica(endpoint) else {
        return Err(not_now(format!("there is no replica on {endpoint}"), "see `openmldb-ops status --full`"));
    };
    match &replica.data {
        Data::OutOfReach(error) => Err(not_now(
            format!("{endpoint} does not answer ({error})"),
            "start that tablet, or see why it does not answer",
        )),
        Data::Loading(_) => {
            let text = format!("{endpoint} {}, and would be dropped meanwhile", replica.data);
            Err(not_now(text, "wait until it is loaded"))
        }
        Data::Loaded(loaded) if loaded.role == Role::Follower && leader.replicates_to(endpoint) => {
            not_ahead(view, leader, replica).map(|()| false)
        }
        Data::Loaded(_) if is_taken_as_it_is(view, leader, replica) => {
            not_to_be_sent(view, leader)?;
            let is_its_log = !is_written_while_loading(view, replica);
            if is_its_log && is_on_history(view, replica) && replica.offset() <= leader.offset() {
                return Ok(false);
            }
            let text = format!(
                "{endpoint} would be accepted as it is by its term alone, but is not proven to be a prefix of its \
                 leader's log"
            );
            Err(not_now(text, "a whole recovery drops it first, if that loses nothing"))
        }
        Data::Loaded(_) => may_discard(view, leader, replica).map(|()| true),
        // A whole recovery loads it first, too: RecoverTable deletes a binlog that nobody has looked at
        // (docs/openmldb/operations.md#recovertable).
        Data::Absent => {
            let text =
                format!("{endpoint} is not loaded, so it is unknown what its binlog holds, and it would be deleted");
            Err(not_now(text, &format!("load it first: `openmldb-ops replica load {} {endpoint}`", view.name())))
        }
    }
}

/// A follower that holds entries which its leader lacks would be passed over by what that one writes in their places.
fn not_ahead(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    match reached(leader, replica).filter(|(at, of_leader)| at > of_leader) {
        None => Ok(()),
        Some((at, of_leader)) => {
            let text = format!(
                "{} holds entries up to offset {at}, its leader {} only up to {of_leader}",
                replica.endpoint, leader.endpoint
            );
            Err(Blocked::new(Reason::LongerThanLeader, text, diff_beside_leader(view)))
        }
    }
}

/// Whether a replica that metadata name may be taken away while its leader serves: that one holds what it holds, and it is not the
/// only one beside it that is loaded where metadata promise more.
///
/// # Errors
/// What could be lost, or is in the way.
pub fn may_be_taken_away(view: &View, endpoint: &Endpoint) -> Result<(), Blocked> {
    may_be_emptied(view, endpoint)?;
    let Some(leader) = view.serving_leader() else { return Ok(()) };
    let mut others = view.replicas.iter().filter(|r| r.endpoint != *endpoint && r.endpoint != leader.endpoint);
    let stands_in = |r: &ReplicaView| r.loaded().is_some() && leader.is_followed_by(r);
    let Some(first) = others.clone().next().filter(|_| !others.any(stands_in)) else { return Ok(()) };
    let text = format!(
        "beside {} and its leader {} no replica of {} is loaded and connected: {} {}",
        endpoint,
        leader.endpoint,
        view.name(),
        first.endpoint,
        first.data
    );
    let hint = format!("`openmldb-ops recover --partition {}` brings it back first", view.name());
    Err(Blocked::new(Reason::NotRedundant, text, hint))
}

/// Whether what a replica holds its leader holds, too, so that it may be dropped once another one has its place.
///
/// # Errors
/// What could be lost, or is in the way.
pub fn may_be_emptied(view: &View, endpoint: &Endpoint) -> Result<(), Blocked> {
    let connected = view.serving_leader().filter(|leader| leader.replicates_to(endpoint)).zip(view.replica(endpoint));
    match connected {
        Some((leader, replica)) if replica.loaded().is_some_and(|data| data.role == Role::Follower) => {
            may_discard_connected(view, leader, replica)
        }
        _ => may_be_resent(view, endpoint).map(drop),
    }
}

/// Whether a replica that no metadata names, in a view that names it, may be dropped: what it holds its leader holds, too.
///
/// # Errors
/// What could be lost, or is in the way.
pub fn may_be_dropped(view: &View, endpoint: &Endpoint) -> Result<(), Blocked> {
    let not_now = |text: String, hint: &str| Blocked::new(Reason::NotRedundant, text, hint);
    let serves = view.serving_leader().zip(view.replica(endpoint));
    let Some((leader, replica)) = serves else {
        return Err(not_now("its leader does not serve".to_owned(), "see `openmldb-ops status`"));
    };
    match &replica.data {
        Data::Loaded(loaded) if loaded.role == Role::Follower => may_discard(view, leader, replica),
        Data::Loaded(_) => {
            let text = format!(
                "{endpoint} leads a replica that the nameserver does not know, and takes what is written to it"
            );
            Err(not_now(text, "see who writes to it, and restart that tablet"))
        }
        other => Err(not_now(format!("{endpoint} {other}"), "wait until it is loaded")),
    }
}

/// Whether RecoverTable connects a loaded replica without dropping it: by the term it has heard, which it is in, and its offset
/// (docs/openmldb/operations.md#how-recovertable-judges-a-replica).
fn is_taken_as_it_is(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    let (Some(pair), Some(offset)) = (replica.term_pair.known(), replica.offset()) else { return true };
    let Some(at) = view.terms.iter().position(|start| start.term == pair.term) else { return false };
    let last = view.terms.len() - 1;
    let matches = match view.terms[at].start > offset {
        true => view.terms[last].start == offset.next(),
        false => at == last || view.terms[at + 1].start > offset,
    };
    matches && offset >= leader.manifest_offset()
}

/// RecoverTable was meant to replace a replica's data, and the operation it led to kept them.
pub fn resend_went_wrong(view: &View, follower: &ReplicaView) -> bool {
    let recovery = &follower.memory.recovery;
    let ops = view.ops_in_flight.iter().chain(&view.ops_ended);
    // Operations do not say whose they are, but one replica of a partition is recovered at a time.
    let others = view.replicas.iter().filter(|r| r.endpoint != follower.endpoint);
    let next = others.filter_map(|r| r.memory.recovery.after_op).filter(|op| Some(*op) > recovery.after_op).min();
    let mut later = ops.filter(|op| Some(op.id) > recovery.after_op && next.is_none_or(|next| op.id <= next));
    let kept = |op: &Op| match op.kind {
        OpKind::ReAddSimplify | OpKind::ReAddNoSend => true,
        OpKind::ReAdd => recovery.snapshot_may_stay,
        _ => false,
    };
    recovery.resend_meant && later.any(kept)
}

/// Whether a replica that RecoverTable was to replace has been: the operation marks it alive at its end, and its leader replicates to it.
pub(super) fn is_seen_replaced(view: &View, follower: &ReplicaView) -> bool {
    let follows = follower.is_alive
        && !follower.is_leader
        && follower.loaded().is_some_and(|loaded| loaded.role == Role::Follower)
        && view.serving_leader().is_some_and(|leader| leader.replicates_to(&follower.endpoint));
    let is_over = view.ops_in_flight.is_empty() && !resend_went_wrong(view, follower);
    follower.memory.recovery.resend_meant && follows && is_over
}
