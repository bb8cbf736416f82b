//! Replicas whose offset promises more rows than they hold
//! (docs/openmldb/load-table.md#loads-that-succeed-and-lack-rows).

use openmldb_model::{Endpoint, Offset, counted};

use super::base::{another_is_as_it_was, is_written_while_loading};
use super::rows::{
    cannot_be_compared, lacking, seen_to_agree_with_another, seen_to_have_deleted, seen_to_hold_all, seen_to_lack,
    seen_to_lack_what_it_deleted,
};
use super::view::{ReplicaView, View};

/// Why a replica is not believed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Suspicion {
    /// Its MANIFEST names a snapshot file that was not there before loading.
    SnapshotFileMissing,
    /// It lacks more rows than another replica, by more than their offsets differ.
    FewerRows {
        /// Its rows.
        rows: u64,
        /// Its offset.
        offset: Offset,
        /// The replica that shows it.
        than: Endpoint,
        /// That one's rows.
        than_rows: u64,
        /// That one's offset.
        than_offset: Offset,
    },
    /// Its aggregator wrote to it while it was loading, and another one holds what it had before.
    WrittenWhileLoading {
        /// Its rows.
        rows: u64,
        /// Its offset.
        offset: Offset,
    },
    /// It was compared with another replica, and lacks rows that one holds.
    LacksRows {
        /// How many, beyond those that may be behind the end of its log.
        rows: u64,
        /// The replica that shows it.
        than: Endpoint,
    },
}

impl std::fmt::Display for Suspicion {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::SnapshotFileMissing => f.write_str("its MANIFEST names a snapshot file that is missing"),
            Self::FewerRows { rows, offset, than, than_rows, than_offset } => {
                write!(
                    f,
                    "it holds {} at offset {offset}, {than} holds {than_rows} at {than_offset}",
                    counted(*rows, "row")
                )
            }
            Self::WrittenWhileLoading { rows, offset } => write!(
                f,
                "it holds {} at offset {offset}: its aggregator wrote to it while it was loading, so its log does not \
                 match its rows",
                counted(*rows, "row")
            ),
            Self::LacksRows { rows, than } => write!(f, "it lacks {} that {than} holds", counted(*rows, "row")),
        }
    }
}

/// Why the replica is suspect, if it is: missing(x) = offset - rows exceeds another's by more than their offsets
/// differ; where rows may expire or were deleted and nobody has compared the two, its rows are below 90 % of what the other lets
/// expect. Not if the two were compared row by row, and it lacks none of the other's but what it may have deleted since the other
/// one's log ends.
pub fn suspicion(view: &View, x: &ReplicaView) -> Option<Suspicion> {
    let x_offset = x.offset()?;
    if x.memory.snapshot_file_missing {
        return Some(Suspicion::SnapshotFileMissing);
    }
    if another_is_as_it_was(view, x) {
        return Some(Suspicion::WrittenWhileLoading { rows: x.rows(), offset: x_offset });
    }
    let lenient = view.has_ttl || rows_were_deleted(view);
    // What an aggregator wrote while it was loaded nobody else has to hold.
    let others = view.replicas.iter().filter(|y| y.endpoint != x.endpoint && !is_written_while_loading(view, y));
    let others = others.filter_map(|y| Some((y, y.offset()?)));
    // What the other one holds beside may be a tail that was given up: rows tell that none is missing, not that one is.
    let is_excused = |y: &ReplicaView| {
        seen_to_lack(view, x, y) == Some(0)
            || seen_to_lack_what_it_deleted(view, x, y)
            || seen_to_agree_with_another(view, x, y)
    };
    let mut others = others.filter(|(y, _)| !is_excused(y));
    let fuller = others.find(|(y, y_offset)| {
        let lag = y_offset.0.saturating_sub(x_offset.0);
        if lenient && seen_to_lack(view, x, y).is_none() {
            let expected = y.rows().saturating_sub(lag);
            u128::from(x.rows()) * 10 < u128::from(expected) * 9
        } else {
            counts_less(x, y)
        }
    });
    fuller.map(|(y, y_offset)| match seen_to_lack(view, x, y) {
        Some(rows) => Suspicion::LacksRows { rows, than: y.endpoint.clone() },
        None => Suspicion::FewerRows {
            rows: x.rows(),
            offset: x_offset,
            than: y.endpoint.clone(),
            than_rows: y.rows(),
            than_offset: y_offset,
        },
    })
}

/// Whether more of its log is without a row than of the other's, by more than their offsets differ.
fn counts_less(x: &ReplicaView, y: &ReplicaView) -> bool {
    let (Some(x_offset), Some(y_offset)) = (x.offset(), y.offset()) else { return false };
    missing(x, x_offset) > missing(y, y_offset).saturating_add(y_offset.0.abs_diff(x_offset.0))
}

/// Whether `x` counts fewer rows than `y` where equal replicas may, since rows may expire or were deleted: only rows tell, and
/// nobody has looked at them yet.
pub(super) fn may_lack_rows_of(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let lenient = view.has_ttl || rows_were_deleted(view);
    lenient && counts_less(x, y) && are_unread(view, x, y)
}

/// Whether `follower`, whose log is the beginning of its leader's, counts fewer rows than that allows where equal replicas may. That it
/// is behind is no excuse: what it lacks for that, it lacks of its log, too.
pub(super) fn may_lack_some_of_its_log(view: &View, follower: &ReplicaView, leader: &ReplicaView) -> bool {
    may_lack_rows_of(view, follower, leader) || may_lack_more_of_its_log(view, follower, leader)
}

/// Whether nobody has compared the two yet, or tried to.
fn are_unread(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    lacking(view, x, y).is_none() && !cannot_be_compared(view, x, y)
}

/// Whether more of the log of `x` is without a row than of that of `y` where rows may expire or were deleted, and nobody has looked
/// yet whether those are the ones.
pub(super) fn may_lack_more_of_its_log(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let (Some(x_offset), Some(y_offset)) = (x.offset(), y.offset()) else { return false };
    let lenient = view.has_ttl || rows_were_deleted(view);
    lenient && missing(x, x_offset) > missing(y, y_offset) && are_unread(view, x, y)
}

/// Whether counts of any two are in doubt.
pub(super) fn counts_are_in_doubt(view: &View) -> bool {
    view.replicas.iter().any(|x| view.replicas.iter().any(|y| may_lack_rows_of(view, x, y)))
}

/// Whether the replica is suspect.
pub fn is_suspect(view: &View, replica: &ReplicaView) -> bool {
    suspicion(view, replica).is_some()
}

/// Whether `x` lacks rows that `y` may hold: more of its log is without a row. How far their offsets differ does not
/// excuse it here, since what `y` holds is about to be discarded. Where rows may expire and nobody has compared the two, or were
/// deleted, counts say nothing; where `x` was seen to hold every row of `y`, or to have deleted the others, they say nothing either.
pub fn lacks_rows_of(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    let (Some(x_offset), Some(y_offset)) = (x.offset(), y.offset()) else { return false };
    !seen_to_hold_all(view, x, y)
        && !seen_to_have_deleted(view, x, y)
        && (!(view.has_ttl || rows_were_deleted(view)) || lacking(view, x, y).is_some())
        && missing(x, x_offset) > missing(y, y_offset)
}

/// Whether `x` has fewer rows than `y` at the same offset; where rows may expire, fewer than 90 % of them. While clients
/// write, offsets are hardly ever the same: then, whether it lacks more of its log. Where the two were compared row by row, their
/// rows decide.
pub(super) fn has_fewer_rows(view: &View, x: &ReplicaView, y: &ReplicaView) -> bool {
    if let Some(rows) = seen_to_lack(view, x, y) {
        return rows > 0;
    }
    if x.offset().is_none() || x.offset() != y.offset() {
        return lacks_rows_of(view, x, y);
    }
    let (mine, others) = (u128::from(x.rows()), u128::from(y.rows()));
    if view.has_ttl { mine * 10 < others * 9 } else { mine < others }
}

fn missing(replica: &ReplicaView, offset: Offset) -> u64 {
    offset.0.saturating_sub(replica.rows())
}

/// No call tells whether rows were ever deleted. If every replica with entries lacks some, they probably were.
fn rows_were_deleted(view: &View) -> bool {
    let mut with_entries = view.replicas.iter().filter_map(|r| r.offset().filter(|o| o.0 > 0).map(|o| missing(r, o)));
    let first = with_entries.next();
    first.is_some_and(|missing| missing > 0) && with_entries.all(|missing| missing > 0)
}
