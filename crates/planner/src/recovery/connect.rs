//! Which replicas a leader may take as they are: what it replicates to them is written behind what they hold.

use openmldb_model::{Action, Offset, Role, Seen, State};

use crate::playbook::Connect;

use super::choice::Choice;
use super::decision::{ComparedBefore, Decision, Intent, Question};
use super::early;
use super::memory::Load;
use super::rows::{
    cannot_be_compared, comparing_failed, lacking, seen_identical, seen_to_lack, seen_to_lack_what_it_deleted,
    seen_to_lack_what_one_delete_may_take, was_read_at, with_data,
};
use super::suspect::{is_suspect, lacks_rows_of, may_lack_more_of_its_log, may_lack_some_of_its_log};
use super::term::{is_proven_prefix, may_be_prefix, settled_term};
use super::view::{ReplicaView, View};

/// How followers come back that hold what their leader holds, as the playbook has it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Returns {
    /// The leader takes them as they are.
    pub(super) connected: bool,
    /// They are marked alive without an operation of the nameserver.
    pub(super) marked: bool,
}

/// The replicas that the chosen leader may take as they are: proven prefixes that [`may_be_connected`]. One that nobody could look at when
/// the leader was chosen is judged once it is loaded.
pub(super) fn connectable<'a>(
    view: &'a View,
    choice: &'a Choice,
    connect: Connect,
) -> impl Iterator<Item = &'a ReplicaView> {
    let leader = view.replica(&choice.leader);
    let is_prefix = move |r: &ReplicaView| {
        let late = || leader.is_some_and(|leader| early::is_late_prefix(view, choice, leader, r));
        is_known_to_begin(view, choice, leader, r) || late()
    };
    let proven = view.replicas.iter().filter(move |r| connect == Connect::ProvenPrefixes && is_prefix(r));
    proven.filter(move |r| may_be_connected(view, leader, r))
}

/// Whether a replica's log is known to be the beginning of the chosen leader's, and counts do not speak against its rows, or these
/// were looked at.
fn is_known_to_begin(view: &View, choice: &Choice, leader: Option<&ReplicaView>, r: &ReplicaView) -> bool {
    // Clients may write while it is read: whether it holds the same in the end is seen once it has caught up.
    let holds_all = || leader.is_some_and(|leader| seen_to_lack(view, r, leader) == Some(0));
    let is_cleared = || choice.doubted.contains(&r.endpoint) && holds_all();
    // What nobody can compare is believed by its counts.
    let is_believed = || leader.is_some_and(|leader| holds_all() || cannot_be_compared(view, r, leader));
    let was_read = || choice.unread.contains(&r.endpoint) && is_believed();
    let is_identical = || leader.is_some_and(|leader| is_as_good_as_proven(view, leader, r));
    choice.proven.contains(&r.endpoint) || is_cleared() || was_read() || is_identical()
}

/// Whether nothing speaks against connecting a proven prefix, and it has no leader flag: only an operation clears one.
fn may_be_connected(view: &View, leader: Option<&ReplicaView>, r: &ReplicaView) -> bool {
    !r.is_leader && may_follow(view, leader, r)
}

/// Whether nothing speaks against a replica's following as it is: loaded and at rest, not suspect, with nothing missing from the leader's
/// binlog behind its snapshot, with no more of its log in rows than the leader has of its own, and with no fewer that nobody has looked
/// at.
fn may_follow(view: &View, leader: Option<&ReplicaView>, r: &ReplicaView) -> bool {
    let resting = r.loaded().is_some_and(|data| data.state == State::Normal && data.role == Role::Follower);
    let reaches =
        leader.is_none_or(|leader| r.offset().is_none_or(|offset| offset >= log_is_gone_up_to(view, leader, r)));
    let resent = r.memory.load == Load::HandedOver || r.memory.recovery.must_drop;
    // What it alone may hold is safe as long as no operation of a leader's touches it.
    let is_fuller = leader.is_some_and(|leader| {
        lacks_rows_of(view, leader, r) && !seen_to_lack_what_one_delete_may_take(view, leader, r)
    });
    let is_in_doubt = leader.is_some_and(|leader| counts_may_lie(view, leader, r));
    resting && reaches && !resent && !is_suspect(view, r) && !is_fuller && !is_in_doubt
}

/// Up to where a leader's log may be gone for a follower. Behind a snapshot it is deleted, but not within a minute of its loading
/// (docs/openmldb/logs-and-terms.md#a-log-that-begins-later): behind one that this run has asked for it is still there. Should it not be,
/// the follower does not move, and is waited for no longer than any other that does not. That counts only once rows were compared: a leader
/// that lost its log and was written to under a term that began further on (world 2709) shows rows that no log of its followers' has.
fn log_is_gone_up_to(view: &View, leader: &ReplicaView, r: &ReplicaView) -> Offset {
    let is_of_this_run = leader.memory.snapshot_tries > 0 && seen_to_lack(view, r, leader) == Some(0);
    if is_of_this_run { leader.memory.snapshot_before } else { leader.manifest_offset() }
}

/// Whether counts speak against a follower whose log is proven, or against its leader, where they may lie: only rows tell, and nobody
/// has looked at them yet.
pub(super) fn counts_may_lie(view: &View, leader: &ReplicaView, r: &ReplicaView) -> bool {
    may_lack_some_of_its_log(view, r, leader) || may_lack_more_of_its_log(view, leader, r)
}

/// Whether a follower was seen to hold all rows of its leader, and not only those that may have been behind the end of its own log: some
/// of these may have been deleted again since, and stand for others that it lacks.
pub(super) fn is_cleared_for_good(view: &View, leader: &ReplicaView, r: &ReplicaView) -> bool {
    let leads_to = leader.followers.known().map_or(leader.offset(), |followers| Some(followers.leader_offset));
    let caught_up_to = r.memory.recovery.catch_up_to.or(leads_to);
    seen_to_lack(view, r, leader) == Some(0) && caught_up_to.is_some_and(|to| was_read_at(view, r, leader, to))
}

/// To compare a follower that has caught up, and that counts spoke against when its leader was chosen, or that may have missed deletes,
/// where what was seen of its rows is from before that.
pub(super) fn read_again(view: &View, leader: &ReplicaView, r: &ReplicaView) -> Option<Decision> {
    let choice = view.memory.choice.as_ref().filter(|choice| choice.leader == leader.endpoint);
    let was_doubted =
        choice.is_some_and(|choice| [&choice.doubted, &choice.unread].into_iter().any(|at| at.contains(&r.endpoint)));
    // One that came late was compared as it had come, if at all: its leader may have deleted rows of it by then.
    let came_late = choice.is_some_and(|choice| choice.out_of_reach.contains(&r.endpoint));
    let came_late = came_late && lacking(view, leader, r).is_some();
    let was_doubted = was_doubted || came_late || r.memory.doubted;
    // One that was resent holds what its leader holds.
    let is_its_own = r.memory.load != Load::HandedOver;
    let is_known = cannot_be_compared(view, r, leader)
        || comparing_failed(view, r, leader)
        || seen_to_lack(view, r, leader).is_some_and(|lacks| lacks > 0)
        || is_cleared_for_good(view, leader, r);
    let replicas = with_data(view);
    let have_data = [leader, r].iter().all(|r| replicas.contains(&r.endpoint));
    let is_wanted = was_doubted && is_its_own && !is_known && have_data;
    is_wanted.then_some(Decision::Compare { replicas, before: ComparedBefore::Judging })
}

/// Where nobody knows the term of the last entry of one of the two, or it is the same: as many entries and the same rows are as good as a
/// proven prefix.
fn is_as_good_as_proven(view: &View, leader: &ReplicaView, r: &ReplicaView) -> bool {
    let (term, of_leader) = (settled_term(view, r), settled_term(view, leader));
    (term.is_none() || of_leader.is_none() || term == of_leader) && seen_identical(view, r, leader)
}

/// Whether a leader that nobody had to choose may take a follower as it is: nothing is known of that leader's log that the
/// follower's could be proven to begin, but the two were seen to hold the same.
pub(super) fn is_the_same(view: &View, leader: &ReplicaView, r: &ReplicaView) -> bool {
    is_as_good_as_proven(view, leader, r) && may_be_connected(view, Some(leader), r)
}

/// Whether a leader may take a follower as it is that would have to be left to a person otherwise, because nobody can tell whether the rows
/// that it holds and its leader does not were deleted while it was away. It holds every row of its leader but those behind its end, and as
/// far as terms show it is the beginning of that one's log; where they show nothing, each key may have been deleted by an entry of
/// its own. Nothing is discarded by that, it gets these deletes too, and is read again then.
pub(super) fn may_have_missed_deletes(view: &View, leader: &ReplicaView, r: &ReplicaView) -> bool {
    // Of several leaders of unknown terms the larger one was chosen: a follower may be of the other one, which was given up.
    let choice = view.memory.choice.as_ref().filter(|choice| choice.leader == leader.endpoint);
    let may_be_anothers = choice.is_some_and(|choice| !choice.given_up.is_empty());
    let begins = is_proven_prefix(view, r, leader)
        || !may_be_anothers && may_be_prefix(view, r, leader) && seen_to_lack_what_it_deleted(view, leader, r);
    // What is as long has nothing to get.
    let is_behind = r.offset() < leader.offset();
    is_behind && begins && seen_to_lack(view, r, leader) == Some(0) && may_be_connected(view, Some(leader), r)
}

/// Whether a replica may follow its serving leader as it is, but for a leader flag: its log is the beginning of that one's.
pub(super) fn begins_its_leaders_log(view: &View, leader: &ReplicaView, r: &ReplicaView) -> bool {
    let choice = view.memory.choice.as_ref().filter(|choice| choice.leader == leader.endpoint);
    let is_prefix = match choice {
        Some(choice) => is_known_to_begin(view, choice, Some(leader), r),
        None => is_as_good_as_proven(view, leader, r),
    };
    is_prefix && may_follow(view, Some(leader), r)
}

/// AddReplica for proven prefixes that the leader does not replicate to yet: after a promotion, or after a crash.
pub(super) fn connect_proven(view: &View, step: &'static str, choice: &Choice, whom: Connect) -> Option<Decision> {
    let leader = view.replica(&choice.leader).filter(|leader| leader.leads_in_memory())?;
    if !view.ops_in_flight.is_empty() {
        return None;
    }
    let mut candidates = connectable(view, choice, whom).peekable();
    candidates.peek()?;
    let followers = match &leader.followers {
        Seen::Unasked => return Some(Decision::look(&leader.endpoint, Question::Followers)),
        seen => seen.known()?,
    };
    let connected = |r: &ReplicaView| followers.followers.iter().any(|(endpoint, _)| *endpoint == r.endpoint);
    let intents: Vec<Intent> = candidates
        .filter(|r| !connected(r))
        .map(|r| Intent::new(step, connect(view, leader, r), "a proven prefix of the leader"))
        .collect();
    (!intents.is_empty()).then_some(Decision::Act(intents))
}

/// AddReplica.
pub(super) fn connect(view: &View, leader: &ReplicaView, r: &ReplicaView) -> Action {
    let (endpoint, partition, follower) = (leader.endpoint.clone(), view.partition, r.endpoint.clone());
    Action::AddReplica { endpoint, partition, follower }
}
