//! Why a partition is left alone.

use std::fmt;

use serde::{Deserialize, Serialize};

use super::loss::Loss;

/// A partition that will not be touched further: the reason, what was seen, what to do.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The stable code.
    pub reason: Reason,
    /// What was seen, with endpoints and numbers.
    pub text: String,
    /// What the operator can do next.
    pub hint: String,
    /// What continuing would lose; if there is anything, it may be accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub loss: Vec<Loss>,
}

impl Blocked {
    /// A blocked partition.
    pub fn new(reason: Reason, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { reason, text: text.into(), hint: hint.into(), loss: Vec::new() }
    }
}

impl fmt::Display for Blocked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.reason, self.text)
    }
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)*) => {
        /// The reasons, as stable codes that scripts may rely on.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum Reason { $($(#[doc = $doc])+ #[serde(rename = $code)] $variant,)* }

        impl Reason {
            /// All of them, for the documentation.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// The code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What it says of a partition, whichever it is.
            pub fn means(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_start(),)* }
            }
        }
    };
}

reasons! {
    /// A replica that was or may have been elected last, or held more, does not answer.
    OutOfReach = "out_of_reach",
    /// It serves, but a replica's tablet does not answer, so it is not redundant.
    NotRedundant = "not_redundant",
    /// It has fewer, or more, replicas than its table was made with.
    ReplicaCount = "replica_count",
    /// A replica's tablet answers, but the nameserver considers it offline, so RecoverTable would answer 303.
    TabletOffline = "tablet_offline",
    /// The only replica has nothing usable in place; starting with an empty partition can be accepted.
    OnlyReplicaLost = "only_replica_lost",
    /// Every replica is empty although entries were known.
    EverythingEmpty = "everything_empty",
    /// Nothing usable is in place of any replica; starting with an empty partition can be accepted.
    NoData = "no_data",
    /// A replica is longer than the leader and not proven to continue it.
    LongerFollower = "longer_follower",
    /// A replica that is not leader-flagged holds entries of a later term than the leader-flagged ones, or may end
    /// with deletes of one.
    NewerTerm = "newer_term",
    /// A replica that lacks rows has a larger offset than every complete one, or may hold what was written instead of
    /// a complete one's end.
    SuspectIsLongest = "suspect_is_longest",
    /// A replica holds entries of a term below where that term began: it became leader (`changeleader`) without entries
    /// that others held, so its log conflicts with theirs.
    WrittenBeside = "written_beside",
    /// A pre-aggregate table's leader was written to by its aggregator while it was loading, so its log does not match its
    /// rows; or its only replica would be, since its base table is loaded there already.
    WrittenWhileLoading = "written_while_loading",
    /// Several leader flags, and the playbook says to block, or the longer one may hold less of the history than one
    /// that was elected later, or that may end with deletes of a later term.
    LeaderConflict = "leader_conflict",
    /// A replica has seen a later term than the metadata knows, and no follower can be promoted.
    TermAboveHistory = "term_above_history",
    /// The partition has no term history.
    NoTermHistory = "no_term_history",
    /// Another replica is flagged leader and alive, and its flag cannot be cleared.
    TwoLeaders = "two_leaders",
    /// Resending a replica would discard entries that its leader does not hold.
    LongerThanLeader = "longer_than_leader",
    /// Another replica may hold entries that the one named with `recover --leader` does not.
    NamedLeader = "named_leader",
    /// The serving leader holds fewer rows than a follower at the same offset.
    LeaderLacksRows = "leader_lacks_rows",
    /// A replica did not finish loading in time, or never appeared, although its tablet answers.
    LoadTimeout = "load_timeout",
    /// An operation did not end in time.
    OpTimeout = "op_timeout",
    /// A call was refused repeatedly.
    Refused = "refused",
    /// An operation failed repeatedly.
    OpFailed = "op_failed",
    /// A follower does not catch up with its leader.
    NotCatchingUp = "not_catching_up",
    /// A replica other than the planned one would lead.
    NotAsPlanned = "not_as_planned",
    /// This playbook does not bring followers back.
    NotInPlaybook = "not_in_playbook",
    /// The run ended before the partition was done.
    Interrupted = "interrupted",
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.code())
    }
}
