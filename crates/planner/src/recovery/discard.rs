//! RecoverTable and DropTable destroy what a replica holds: what has to be so before they are sent.

use openmldb_model::{Offset, counted};

use super::base::{not_to_be_sent, what_was_written};
use super::blocked::{Blocked, Reason};
use super::decision::WaitFor;
use super::loss::{Loss, is_gone_as_accepted, unless_accepted};
use super::memory::Load;
use super::reach;
use super::rows::{self, seen_equal, seen_to_hold_all, seen_to_lack, seen_to_lack_keys};
use super::stuck::leads_in;
use super::suspect::{is_suspect, lacks_rows_of};
use super::term::{divergence_offset, elected_last, is_on_history, is_told, settled_term};
use super::veto;
use super::view::{Data, ReplicaView, View};

/// Whether the replica's data may be replaced by the leader's: the leader is loaded as leader, alive, complete, and
/// holds at least as much as was ever known of the replica; or what the replica holds beyond was given up at a
/// failover; or exactly that loss was accepted.
///
/// # Errors
/// What would be lost.
pub(super) fn may_discard(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    on_servers_of_their_own(leader, replica)?;
    left_in_place(view, replica)?;
    if is_gone_as_accepted(view, replica) {
        return Ok(());
    }
    not_to_be_sent(view, leader)?;
    if is_suspect(view, leader) {
        let text = format!("its leader {} is not complete itself", leader.endpoint);
        let hint = rows::diff(view, "nothing was discarded");
        let blocked = Blocked::new(Reason::LeaderLacksRows, text, hint);
        unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])?;
    }
    can_be_sent(view, leader, replica)?;
    aggregated_elsewhere(view, leader, replica)?;
    veto::forked_writes(view, &[leader, replica])?;
    of_a_later_term(view, leader, replica)?;
    of_a_missing_term(view, leader, replica)?;
    by_counts(view, leader, replica)?;
    deleted_here(view, leader, replica)?;
    up_to(view, leader, replica, proven_offset(leader, replica))
}

/// A replica that was seen to lack rows of its leader and that counts more of its log in rows than that one has not lost them: it has
/// deleted them, and the leader has lost the deletes with other entries. Sent what that one holds, they would be there again for good.
fn deleted_here(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    let lacked = seen_to_lack(view, replica, leader).filter(|rows| *rows > 0);
    let ahead = leader.offset().zip(replica.offset()).map_or(0, |(of_leader, own)| of_leader.0.saturating_sub(own.0));
    let is_fuller =
        replica.offset() <= leader.offset() && replica.entries_without_row() + ahead < leader.entries_without_row();
    let Some(rows) = lacked.filter(|_| is_fuller && !view.storage.is_disk()) else { return Ok(()) };
    if given_up_at_failover(view, leader, replica) {
        return Ok(());
    }
    let (at, by) = (&replica.endpoint, &leader.endpoint);
    let text = format!(
        "{by} shows {} that {at} does not, and has lost more of its log than {at}, perhaps deletes of these rows: resending would discard the deletes",
        counted(rows, "row")
    );
    let blocked = Blocked::new(Reason::LeaderLacksRows, text, rows::diff(view, "nothing was discarded"));
    unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])
}

fn by_counts(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    if lacks_rows_of(view, leader, replica) {
        let text = format!(
            "{} holds {}, its leader {} {}, and lacks more of its log: resending may discard rows",
            replica.endpoint,
            counted(replica.rows(), "row"),
            leader.endpoint,
            leader.rows()
        );
        let hint = rows::diff(view, "nothing was discarded");
        let blocked = Blocked::new(Reason::LeaderLacksRows, text, hint);
        unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])?;
    }
    Ok(())
}

/// Whether the leader, which is known to hold all that the replica may hold up to there, holds all of it.
fn up_to(view: &View, leader: &ReplicaView, replica: &ReplicaView, leads_to: Offset) -> Result<(), Blocked> {
    // What was evidence before loading is settled by proof: a loaded replica holds its offset, whatever was known of it.
    let held = match replica.offset() {
        Some(offset) => offset.max(replica.manifest_offset()),
        None => replica.largest_known_offset(),
    };
    if held <= leads_to || seen_equal(view, leader, replica) || given_up_at_failover(view, leader, replica) {
        return rows_elsewhere(view, leader, replica);
    }
    let (at, by) = (&replica.endpoint, &leader.endpoint);
    let text = match replica.memory.leader_held {
        Some(_) => format!(
            "{at} holds entries up to offset {held}; its leader {by} was chosen before it was checked, and is known to \
             have held only {leads_to} of them then: resending would discard the others"
        ),
        None => format!(
            "{at} holds entries up to offset {held}, its leader {by} only up to {leads_to}: resending would discard them"
        ),
    };
    let blocked = Blocked::new(Reason::LongerThanLeader, text, rows::diff_beside_leader(view));
    unless_accepted(view, blocked, vec![Loss::beyond(view, replica, leader)])
}

/// A leader of which no snapshot could be made has a log that cannot be read to its end: whoever is sent it gets no further, and what
/// the replica holds would be on its leader alone.
fn can_be_sent(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    let failed = view.memory.has_expired(&WaitFor::Snapshot(leader.endpoint.clone()));
    if !failed || replica.offset().is_none_or(|offset| offset == Offset(0)) {
        return Ok(());
    }
    let (at, by) = (&replica.endpoint, &leader.endpoint);
    let text = format!(
        "no snapshot of its leader {by} could be made: its log may be damaged, and {at} would be sent less than it holds"
    );
    let hint = rows::diff(view, "nothing was discarded; the tablet's log says why");
    let blocked = Blocked::new(Reason::LeaderLacksRows, text, hint);
    unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])
}

/// The same of a follower that its leader replicates to and that is to go. Where counts are estimated they are no reason to keep it:
/// nobody has compared rows.
pub(super) fn may_discard_connected(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    on_servers_of_their_own(leader, replica)?;
    veto::forked_writes(view, &[leader, replica])?;
    of_a_later_term(view, leader, replica)?;
    if !view.storage.is_disk() {
        by_counts(view, leader, replica)?;
    }
    // The leader is asked last: what its follower holds by then it has from there.
    let of_leader = reached(leader, replica).map_or(Offset(0), |(_, of_leader)| of_leader);
    up_to(view, leader, replica, proven_offset(leader, replica).max(of_leader))
}

/// How far a leader's follower had got when the leader was asked, and how far the leader was itself.
pub(super) fn reached(leader: &ReplicaView, follower: &ReplicaView) -> Option<(Offset, Offset)> {
    let known = leader.followers.known().filter(|_| leader.leads_in_memory())?;
    let own = known.followers.iter().find(|(endpoint, _)| *endpoint == follower.endpoint)?;
    Some((own.1, known.leader_offset))
}

/// What an aggregator wrote into a replica while it was loaded was given up by nobody, whatever its log says: its leader has to hold it.
fn aggregated_elsewhere(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    let Some(beside) = what_was_written(view, replica).filter(|_| !seen_to_hold_all(view, leader, replica)) else {
        return Ok(());
    };
    let (at, by) = (&replica.endpoint, &leader.endpoint);
    let text = format!("{at} holds {}, but its leader {by} is not known to hold them all", replica.rows_at());
    let blocked = Blocked::new(Reason::LeaderLacksRows, text, rows::diff(view, &beside));
    unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])
}

/// Rows that the leader was seen to lack, that its log cannot have deleted, and that nobody has given up. No term and no offset shows
/// what was written below the start of the last term (docs/openmldb/operations.md#changeleader); rows do.
fn rows_elsewhere(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    could_be_compared(view, leader, replica)?;
    let lacking = seen_to_lack_keys(view, leader, replica).filter(|keys| *keys > 0);
    // Each entry that was given up is a row at most.
    let beyond = |keys: &u64| *keys > entries_given_up(view, leader, replica);
    let Some(keys) = lacking.filter(beyond) else { return Ok(()) };
    let (at, by) = (&replica.endpoint, &leader.endpoint);
    let text = format!("{at} holds rows of {} that its leader {by} does not hold", counted(keys, "key"));
    let beside = match &view.base {
        Some(base) => {
            format!("nothing was discarded; the deployment that aggregates {} can be dropped and made anew", base.name)
        }
        None => "nothing was discarded".to_owned(),
    };
    let blocked = Blocked::new(Reason::LeaderLacksRows, text, rows::diff(view, &beside));
    unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])
}

/// Rows that can be compared decide, and not that somebody did not answer while they were.
fn could_be_compared(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    if !rows::comparing_failed(view, leader, replica) {
        return Ok(());
    }
    let (at, by) = (&replica.endpoint, &leader.endpoint);
    let text = format!("it is unknown whether {by} holds every row of {at}: resending may discard rows");
    let blocked = Blocked::new(Reason::LeaderLacksRows, text, rows::diff(view, "nothing was discarded"));
    unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])
}

/// Two names with one address are one server: what is dropped in one name is gone in the other, too.
fn on_servers_of_their_own(leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    if leader.address() != replica.address() {
        return Ok(());
    }
    let (at, by, address) = (&replica.endpoint, &leader.endpoint, leader.address());
    let text =
        format!("{at} and its leader {by} have the same address {address}: what is dropped there is dropped for both");
    let hint = "see ZooKeeper's map/names; a tablet that is started anew puts its own address there, then run again";
    Err(Blocked::new(Reason::OutOfReach, text, hint))
}

/// A replica whose last entry is of a later term than its leader leads in: somebody else led who is in no metadata, and what that one
/// wrote is nobody else's.
fn of_a_later_term(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    let Some(leads) = leads_in(leader).max(view.terms.last().map(|last| last.term)) else { return Ok(()) };
    let written = replica.manifest.known().filter(|_| !view.storage.is_disk() && replica.manifest_offset() > Offset(0));
    let Some(term) = written.and_then(|manifest| manifest.term).filter(|term| *term > leads) else { return Ok(()) };
    let text = format!(
        "{} holds entries of term {term}, and its leader {} leads in term {leads}: what another leader wrote would be discarded",
        replica.endpoint, leader.endpoint
    );
    let blocked = Blocked::new(Reason::NewerTerm, text, rows::diff(view, "nothing was discarded"));
    unless_accepted(view, blocked, vec![Loss::beyond(view, replica, leader)])
}

/// A replica that may hold what was written after an election that the history of terms lacks, because that is from a backup: its leader
/// may lack that whatever their offsets are.
fn of_a_missing_term(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> Result<(), Blocked> {
    let holds_rows = replica.loaded().is_some_and(|data| data.rows > 0);
    if !view.memory.terms_in_doubt || !holds_rows || is_told(view, replica) && is_told(view, leader) {
        return Ok(());
    }
    if seen_to_hold_all(view, leader, replica) {
        return Ok(());
    }
    let text = format!(
        "the history of terms is from a backup and may lack elections, and it cannot be determined whether {} holds rows written after \
         one: its leader {} is not known to hold them all",
        replica.endpoint, leader.endpoint
    );
    let blocked = Blocked::new(Reason::LeaderLacksRows, text, rows::diff(view, "nothing was discarded"));
    unless_accepted(view, blocked, vec![Loss::rows(view, replica, leader)])
}

/// What loading has neither read nor moved away (docs/openmldb/load-table.md#a-failed-load-takes-the-directory-away), of a disk table's
/// replica that never showed, or of one that refused to load: nobody can know what is in it.
fn left_in_place(view: &View, replica: &ReplicaView) -> Result<(), Blocked> {
    let (did, cure) = match replica.memory.load {
        Load::NeverAppeared => ("never appeared when it was told to load", reach::NEVER_APPEARED),
        Load::Vanished => ("vanished when it was told to load, and its directory may be in place", reach::REFUSED),
        Load::Refused(_) => ("refused to load it", reach::REFUSED),
        _ => return Ok(()),
    };
    if replica.data != Data::Absent || replica.has_no_data() {
        return Ok(());
    }
    let what = if replica.memory.led { "was written to it last" } else { "is in its directory" };
    let text = format!("{} {did}: it is unknown what {what}, and resending would replace that", replica.endpoint);
    let hint = format!("{cure}; the partition serves without it");
    let blocked = Blocked::new(reach::why_unproven(replica), text, hint);
    let loss = Loss { directory: Some(view.recycled_as()), ..Loss::out_of_reach(view, replica) };
    unless_accepted(view, blocked, vec![loss])
}

/// How far the leader is proven to hold what the replica holds. Of one that nobody could look at when the leader was chosen
/// it holds at most what it had then: what it took since was written beside whatever the other one has there.
pub(super) fn proven_offset(leader: &ReplicaView, replica: &ReplicaView) -> Offset {
    let now = leader.offset().unwrap_or(Offset(0));
    replica.memory.leader_held.map_or(now, |then| now.min(then))
}

/// Whether what the replica holds beyond its leader is given up by the rule for several leader flags: the choice said so,
/// or it is an old leader with a tail that parted from the history, and the serving one was elected last.
fn given_up_at_failover(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> bool {
    let chosen = view.memory.choice.as_ref().is_some_and(|choice| {
        choice.leader == leader.endpoint
            // A leader that has fewer entries than when it was chosen is not the one that was chosen.
            && leader.offset() >= choice.offset
            && choice.given_up.iter().any(|given| given.endpoint == replica.endpoint)
    });
    let elected = replica.is_leader
        && elected_last(view).is_some_and(|elected| elected.endpoint == leader.endpoint)
        && settled_term(view, replica).is_some()
        && replica.loaded().is_some()
        && !is_on_history(view, replica);
    chosen || elected
}

/// How many of the replica's entries are given up by that rule.
fn entries_given_up(view: &View, leader: &ReplicaView, replica: &ReplicaView) -> u64 {
    if !given_up_at_failover(view, leader, replica) {
        return 0;
    }
    let given = view.memory.choice.iter().flat_map(|choice| &choice.given_up);
    let chosen = given.filter(|given| given.endpoint == replica.endpoint).map(|given| given.entries).max();
    let parted = settled_term(view, replica).and_then(|term| divergence_offset(view, term));
    let tail = parted.zip(replica.offset()).map(|(from, end)| end.next().0.saturating_sub(from.0));
    chosen.max(tail).unwrap_or(u64::MAX)
}
