//! What a replica that does not answer forbids.

use openmldb_model::{Offset, StorageMode, TabletState};

use super::blocked::{Blocked, Reason};
use super::choice::PromotionMethod;
use super::loss::{Loss, unless_accepted};
use super::memory::Load;
use super::suspect::is_suspect;
use super::term::settled_term;
use super::view::{Data, ReplicaView, View};

/// What to do about a disk table's replica that does not load. After a load that was cut off, what it had begun is in the way of
/// every later one, and all of it is made anew from the snapshot and the binlog
/// (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice). Told to load without a description, a tablet has written one
/// that says nothing; without it the replica is loaded with the table's columns.
pub(super) const NEVER_APPEARED: &str = "check that tablet's log for why it does not load; if renaming `data` failed, \
    move `data` and `old_data` out of its directory; if its `table_meta.txt` names no columns, remove that file; \
    restart that tablet, then run again";

/// The same of a replica whose LoadTable was refused although something of it is there.
pub(super) const REFUSED: &str = "check that tablet's log for why it does not load, then run again";

/// The same of a load that does not end. Some never do, whenever the tablet is told to load that directory
/// (docs/openmldb/load-table.md#a-load-that-never-ends).
pub(super) fn where_a_load_does_not_end(view: &View) -> String {
    let root = match view.storage {
        StorageMode::Memory => "db_root_path",
        StorageMode::Ssd => "ssd_root_path",
        StorageMode::Hdd => "hdd_root_path",
    };
    format!(
        "see its log for why the load does not end: where that repeats `no log part matched` it never will, so stop that tablet, move \
         {} out of its {root}, and start it again; else restart it; then run again",
        view.partition
    )
}

/// Replicas whose data nobody can know now: their tablet does not answer, or they are not loaded, or not yet, and not
/// known to have nothing in place.
pub(super) fn unproven(view: &View) -> impl Iterator<Item = &ReplicaView> {
    view.replicas.iter().filter(|r| match r.data {
        Data::OutOfReach(_) | Data::Loading(_) => true,
        Data::Absent => !r.has_no_data() && r.memory.load != Load::HandedOver,
        Data::Loaded(_) => false,
    })
}

/// Why nobody can know what it holds: its tablet does not answer, or answers and has not loaded it.
pub(super) fn why_unproven(replica: &ReplicaView) -> Reason {
    match replica.data {
        Data::OutOfReach(_) => Reason::OutOfReach,
        Data::Absent | Data::Loading(_) | Data::Loaded(_) => Reason::LoadTimeout,
    }
}

/// Whether `leader` may lead although some replicas do not answer. One of those blocks the partition only if it is or may
/// be the one elected last, if it was known to be longer, or if the leader shows that something was lost.
///
/// # Errors
/// Which replica blocks it, and why.
pub(super) fn allows(view: &View, leader: &ReplicaView, way: PromotionMethod) -> Result<(), Blocked> {
    let loss = loss_of(view, leader, way);
    for missing in unproven(view) {
        let why = if (missing.is_leader || view.memory.terms_in_doubt) && may_be_elected_last(view, missing, leader) {
            "it may be the leader elected last".to_owned()
        } else if missing.largest_known_offset() > leader.offset().unwrap_or(Offset(0)) {
            let known = missing.largest_known_offset();
            format!(
                "it was known at offset {known}, ahead of offset {} on {}",
                leader.offset().unwrap_or(Offset(0)),
                leader.endpoint
            )
        } else if let Some(loss) = &loss {
            format!("it may hold what others lost: {loss}")
        } else {
            continue;
        };
        let does_not_end = where_a_load_does_not_end(view);
        let cure = match (&missing.data, missing.tablet_state) {
            (Data::Absent, _) if missing.memory.load == Load::NeverAppeared => NEVER_APPEARED,
            (Data::Absent, _) if missing.was_refused_in_place() || missing.vanished_in_place() => REFUSED,
            // It may be loading unseen, and must not be told twice.
            (Data::Absent, _) => "restart that tablet, then run again",
            (Data::Loading(_) | Data::Loaded(_), _) => does_not_end.as_str(),
            (Data::OutOfReach(_), Some(TabletState::Healthy)) => "see why the tablet does not answer, then run again",
            (Data::OutOfReach(_), Some(TabletState::Offline) | None) => "start that tablet, then run again",
        };
        let state = match &missing.data {
            Data::OutOfReach(error) => format!("does not answer ({error})"),
            Data::Absent if missing.memory.load == Load::NeverAppeared => "never appeared after LoadTable".to_owned(),
            Data::Absent => "was not loaded".to_owned(),
            Data::Loading(_) | Data::Loaded(_) => "did not finish loading".to_owned(),
        };
        let text = format!("{} {state}, and {why}", missing.endpoint);
        let blocked = Blocked::new(why_unproven(missing), text, cure);
        unless_accepted(view, blocked, vec![Loss::out_of_reach(view, missing)])?;
    }
    Ok(())
}

/// Whether a leader-flagged replica whose data cannot be looked at may have been elected after `leader`. Not if that one is
/// leader-flagged too and its entries reach into the last term there was (a follower's entries may be the other's own); nor
/// if its flag was alive and the other's was not: an election clears the alive flag of the leader before, and recovering
/// that one takes its leader flag. Flags and terms from a backup tell nothing of elections since.
pub(super) fn may_be_elected_last(view: &View, missing: &ReplicaView, leader: &ReplicaView) -> bool {
    let last = view.terms.last().map(|start| start.term);
    let in_last_term = view.terms.len() > 1 && last.is_some() && settled_term(view, leader) == last;
    let outlived = leader.memory.alive_before && !missing.memory.alive_before;
    view.memory.terms_in_doubt || !(leader.is_leader && (in_last_term || outlived))
}

/// A leader-flagged replica without usable data that may have been elected after `leader`, if that is leader-flagged too.
pub(super) fn later_leader_lost<'a>(view: &'a View, leader: &ReplicaView) -> Option<&'a ReplicaView> {
    let with_data = |r: &ReplicaView| r.offset() > Some(Offset(0)) && !is_suspect(view, r);
    let lost = |r: &&ReplicaView| r.is_leader && r.endpoint != leader.endpoint && !with_data(r);
    view.replicas.iter().filter(|_| leader.is_leader).filter(lost).find(|r| may_be_elected_last(view, r, leader))
}

/// How it shows that what is to lead was not always as short as it is.
pub(super) fn own_loss(leader: &ReplicaView) -> Option<String> {
    let offset = leader.offset().unwrap_or(Offset(0));
    let known = leader.memory.largest_offset.max(leader.manifest_offset());
    let lost = || format!("{} was known at offset {known} and came back at {offset}", leader.endpoint);
    (offset < known).then(lost)
}

/// How it shows that entries were lost, if it does.
fn loss_of(view: &View, leader: &ReplicaView, way: PromotionMethod) -> Option<String> {
    // A follower leads because the leader-flagged ones are shorter or came back with less than they had.
    let promoted =
        || (way == PromotionMethod::ChangeLeader).then(|| "no leader-flagged replica came back complete".to_owned());
    let later = || later_leader_lost(view, leader).map(|r| format!("the leader {} lost its data", r.endpoint));
    own_loss(leader).or_else(promoted).or_else(later)
}
