//! What would be lost, and whether the operator has accepted it. Nothing discards data otherwise: the partition stays
//! blocked, with the losses listed. Said is exact: that replica, that kind, no more entries than listed.

use serde::{Deserialize, Serialize};

use openmldb_model::{Endpoint, Offset};

use super::blocked::{Blocked, Reason};
use super::rows;
use super::term::shared_up_to;
use super::view::{ReplicaView, View};

/// Something that would be lost.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Loss {
    /// Whose data.
    pub endpoint: Endpoint,
    /// In which way.
    pub kind: LossKind,
    /// How many entries (rows, for `lacks_rows`), or the most there can be; none if nobody can know.
    pub entries: Option<u64>,
    /// Where its directory goes, if it is dropped.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub directory: Option<String>,
}

/// The kinds of loss. Each is accepted separately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LossKind {
    /// The leader-flagged replica holds entries that the leader does not hold and did not write: it is resent, and they
    /// are lost.
    StaleLeader,
    /// The same of a follower.
    Follower,
    /// The replica was known to hold entries, and every replica came back empty: an empty one leads.
    EmptyLeader,
    /// The replica holds rows that its leader lacks: it is resent, and they go.
    LacksRows,
    /// The replica cannot be looked at, and may hold what nobody else does: the partition goes on without it.
    OutOfReach,
}

impl LossKind {
    /// The kind, as a stable code.
    pub fn code(self) -> &'static str {
        match self {
            Self::StaleLeader => "stale_leader",
            Self::Follower => "follower",
            Self::EmptyLeader => "empty_leader",
            Self::LacksRows => "lacks_rows",
            Self::OutOfReach => "out_of_reach",
        }
    }
}

impl Loss {
    /// A replica's entries beyond what it shares with a leader; no fewer than rows of it that the leader was seen to lack.
    pub(super) fn beyond(view: &View, replica: &ReplicaView, leader: &ReplicaView) -> Self {
        // What is not loaded is judged by the most that was ever known of it.
        let held = match replica.offset() {
            Some(offset) => offset.max(replica.manifest_offset()),
            None => replica.largest_known_offset(),
        };
        let shared = match replica.offset() {
            Some(offset) => shared_up_to(view, replica, leader).min(offset),
            None => leader.offset().unwrap_or(Offset(0)),
        };
        // What a leader took since it was chosen without a look at it is not what the replica has in that place.
        let shared = replica.memory.leader_held.map_or(shared, |then| shared.min(then));
        let seen = rows::lacking(view, leader, replica).map_or(0, |lack| lack.rows);
        let kind = if replica.is_leader { LossKind::StaleLeader } else { LossKind::Follower };
        Self::resent(view, replica, kind, Some(held.0.saturating_sub(shared.0).max(seen)))
    }

    /// A replica's rows that its leader lacks.
    pub(super) fn rows(view: &View, replica: &ReplicaView, leader: &ReplicaView) -> Self {
        let rows = replica.rows().saturating_sub(leader.rows());
        // Where the leader lacks more of its log, the difference in rows may hide behind rows of its own.
        let lacking = leader.entries_without_row();
        let seen = rows::lacking(view, leader, replica).map(|lack| lack.rows).filter(|rows| *rows > 0);
        Self::resent(view, replica, LossKind::LacksRows, Some(seen.unwrap_or(rows.max(lacking))))
    }

    /// All that was known of a replica.
    pub(super) fn everything(view: &View, replica: &ReplicaView) -> Self {
        let known = replica.largest_known_offset();
        let entries = (known > Offset(0)).then_some(known.0);
        Self { directory: None, ..Self::resent(view, replica, LossKind::EmptyLeader, entries) }
    }

    /// What a replica that cannot be looked at may hold beyond a leader.
    pub(super) fn out_of_reach(view: &View, replica: &ReplicaView) -> Self {
        Self { directory: None, ..Self::resent(view, replica, LossKind::OutOfReach, None) }
    }

    fn resent(view: &View, replica: &ReplicaView, kind: LossKind, entries: Option<u64>) -> Self {
        Self { endpoint: replica.endpoint.clone(), kind, entries, directory: Some(view.recycled_as()) }
    }

    /// Whether accepting `accepted` also accepts this.
    fn is_covered_by(&self, accepted: &Self) -> bool {
        let no_more = match (self.entries, accepted.entries) {
            (Some(entries), Some(accepted)) => entries <= accepted,
            (None, None) => true,
            // Whatever it holds was accepted if it was unreachable; not if nothing was known.
            (Some(_), None) => accepted.kind == LossKind::OutOfReach,
            (None, Some(_)) => false,
        };
        // An election takes an old leader's flag, and what goes stays the same.
        let of_one = |kind| if kind == LossKind::Follower { LossKind::StaleLeader } else { kind };
        // To go on without what nobody can look at is not to have its directory replaced.
        let is_left_alone = |loss: &Self| loss.kind == LossKind::OutOfReach && loss.directory.is_none();
        if is_left_alone(accepted) && !is_left_alone(self) {
            return false;
        }
        self.endpoint == accepted.endpoint && of_one(self.kind) == of_one(accepted.kind) && no_more
    }
}

/// Whether all that was known of a replica was given up, and nothing of it is there: what takes its place replaces nothing.
pub(super) fn is_gone_as_accepted(view: &View, replica: &ReplicaView) -> bool {
    let all = Loss::everything(view, replica);
    replica.has_no_data() && view.memory.accepted.iter().any(|accepted| all.is_covered_by(accepted))
}

/// Lets through what was accepted, loss by loss.
///
/// # Errors
/// The partition stays blocked, with the losses listed.
pub(super) fn unless_accepted(view: &View, blocked: Blocked, losses: Vec<Loss>) -> Result<(), Blocked> {
    let accepted = |loss: &Loss| view.memory.accepted.iter().any(|accepted| loss.is_covered_by(accepted));
    if losses.iter().all(accepted) {
        return Ok(());
    }
    Err(Blocked { loss: losses, ..blocked })
}

/// The reasons for which a partition can be blocked by a loss that may be accepted.
pub const LOSSES: &[Reason] = &[
    Reason::OutOfReach,
    Reason::OnlyReplicaLost,
    Reason::NoData,
    Reason::EverythingEmpty,
    Reason::LongerFollower,
    Reason::NewerTerm,
    Reason::SuspectIsLongest,
    Reason::LongerThanLeader,
    Reason::LeaderLacksRows,
    Reason::NamedLeader,
];
