//! Partitions of which nothing is left, as far as anybody can see: what is said about them, and how one begins empty.

use std::cmp::Reverse;

use openmldb_model::{Directory, Offset, Seen, StorageMode};

use super::blocked::{Blocked, Reason};
use super::condition::condition;
use super::decision::Decision;
use super::loading;
use super::loss::{Loss, unless_accepted};
use super::memory::Load;
use super::reach;
use super::view::{ReplicaView, View};

/// Where nothing is left of any replica, and that was accepted, the leader begins empty. An error is why it may not.
pub(super) fn begin_empty(view: &View, step: &'static str, seg_cnt: u32) -> Option<Result<Decision, Blocked>> {
    let nothing_left = view.replicas.iter().all(|r| r.has_no_data() && !r.memory.told_schema);
    let named = view.memory.named_leader.as_ref().and_then(|named| view.replica(named));
    let flagged = view.replicas.iter().filter(|r| r.is_leader);
    let leader = named.or_else(|| flagged.max_by_key(|r| (r.memory.alive_before, Reverse(&r.endpoint))))?;
    nothing_left.then(|| {
        nothing_is_left(view)?;
        let why = "no replica has any data left, as accepted: it starts empty";
        // Somebody may have put a description there meanwhile.
        let is_bare = leader.memory.load == Load::NotSent && leader.directory == Seen::Known(Directory::Bare);
        let load = if is_bare { loading::load_one } else { loading::load_with_schema };
        Ok(Decision::Act(vec![load(view, step, leader, seg_cnt, why)]))
    })
}

/// Where nothing is left of any replica, nobody can lead unless that was accepted: what each was known to hold is gone.
///
/// # Errors
/// It was not.
fn nothing_is_left(view: &View) -> Result<(), Blocked> {
    unless_accepted(view, nothing_loaded(view), view.replicas.iter().map(|r| Loss::everything(view, r)).collect())
}

/// The replicas that are loaded are empty, and this one was known not to be, or may not have been.
pub(super) fn everything_empty(view: &View, known: &ReplicaView) -> Blocked {
    let entries = known.largest_known_offset();
    if let Some(missing) = reach::unproven(view).next() {
        let known = match entries {
            Offset(0) => String::new(),
            entries => format!(", although {} was known to hold {entries} entries", known.endpoint),
        };
        let text = format!("{} {}, and the others are empty{known}", missing.endpoint, condition(view, missing));
        return Blocked::new(reach::why_unproven(missing), text, "bring that replica back, then run again");
    }
    let was = match entries {
        Offset(0) => format!("{}, leader-flagged too, {}", known.endpoint, condition(view, known)),
        entries => format!("{} was known to hold {entries} entries", known.endpoint),
    };
    let text = format!("every replica that could be loaded is empty, but {was}");
    let hint = format!("look for its binlog and snapshot: {}; then restart that tablet", in_the_bin(view));
    Blocked::new(Reason::EverythingEmpty, text, hint)
}

/// No replica could be loaded: why, and what to do about it.
pub(super) fn nothing_loaded(view: &View) -> Blocked {
    let states: Vec<String> = view.replicas.iter().map(|r| format!("{} {}", r.endpoint, condition(view, r))).collect();
    let out_of_reach = view.replicas.iter().any(|r| r.out_of_reach().is_some());
    let put_back = || {
        let bin = in_the_bin(view);
        format!(
            "see whether the disks are mounted; or {bin}; then run again, or accept that the partition starts empty"
        )
    };
    let (reason, hint) = if out_of_reach {
        (Reason::OutOfReach, "start that tablet, or see why it does not answer, then run again".to_owned())
    } else if reach::unproven(view).next().is_some() {
        let never = reach::unproven(view).any(|r| r.memory.load == Load::NeverAppeared);
        let cure = if never { reach::NEVER_APPEARED } else { "see the tablet's log, then run again" };
        (Reason::LoadTimeout, cure.to_owned())
    } else if view.replicas.len() == 1 {
        (Reason::OnlyReplicaLost, put_back())
    } else {
        (Reason::NoData, put_back())
    };
    Blocked::new(reason, format!("no replica could be loaded: {}", states.join(", ")), hint)
}

/// How to look on a tablet for what a drop or a failed load has moved away, and to put it back, by the names that OpenMLDB's templates
/// give its directories (docs/openmldb/tablet.md#dropping-and-the-recycle-bin).
fn in_the_bin(view: &View) -> String {
    let (bin, root, of) = match view.storage {
        StorageMode::Memory => ("recycle_bin_root_path", "db_root_path", ""),
        StorageMode::Ssd => ("recycle_bin_ssd_root_path", "ssd_root_path", "_ssd"),
        StorageMode::Hdd => ("recycle_bin_hdd_root_path", "hdd_root_path", "_hdd"),
    };
    let name = view.partition;
    format!(
        "in the tablet's directory `ls -d recycle{of}/{name}_*`, and `mv recycle{of}/{name}_<time> db{of}/{name}` with the newest (its flags {bin} \
         and {root} say where; of several directories, from the n-th of one to the n-th of the other)"
    )
}
