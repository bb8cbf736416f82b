//! What a decision can be.

use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use openmldb_model::{Action, Endpoint, Offset};

use super::blocked::Blocked;
use super::choice::Choice;

/// What is to happen to one partition next. `decide` makes it from a view; nothing else does.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Every step holds.
    Done,
    /// A fact is missing: ask for it and decide again.
    Look(Vec<Probe>),
    /// What replicas hold has to be compared, row by row, and decided again.
    Compare {
        /// Where they are.
        replicas: Vec<Endpoint>,
        /// What would happen otherwise.
        before: ComparedBefore,
    },
    /// A leader is chosen: remember it and decide again.
    Choose(Box<Choice>),
    /// Send these; each is independent of the others.
    Act(Vec<Intent>),
    /// Something has to happen by itself first.
    Wait(Wait),
    /// Leave the partition alone.
    Blocked(Blocked),
    /// A prediction came to what only loading can tell: the rest depends on it.
    Unknown,
}

/// What rows are compared before.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ComparedBefore {
    /// A replica is kept from leading, or the partition is left alone, for what is counted.
    Judging,
    /// What a loaded replica holds is replaced by its leader's.
    Discarding,
}

/// A question to one tablet about one replica.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Probe {
    /// Whose tablet.
    pub endpoint: Endpoint,
    /// Which question.
    pub question: Question,
}

/// The questions a tablet answers one replica at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Question {
    /// GetManifest.
    Manifest,
    /// GetTermPair.
    TermPair,
    /// CheckFile of `table_meta.txt`.
    Directory,
    /// GetTableFollower.
    Followers,
    /// CheckFile of `aggr_info.txt`.
    Aggregator,
}

/// An action that is decided on, with the reason.
#[derive(Debug, Clone, PartialEq)]
pub struct Intent {
    /// The playbook's step that asks for it.
    pub step: &'static str,
    /// The RPC.
    pub action: Action,
    /// Why, in words for the operator.
    pub why: String,
    /// For RecoverTable, and DelReplica before it: whether the replica's data is meant to be replaced by the leader's.
    pub resends: bool,
}

/// A wait.
#[derive(Debug, Clone, PartialEq)]
pub struct Wait {
    /// For what; the deadline counts from when this first was waited for.
    pub what: WaitFor,
    /// What was seen last, for the message when the deadline passes; progress is a change of it.
    pub seen: String,
    /// How long to wait in all.
    pub timeout: Duration,
    /// How long to wait without any change of `seen`.
    pub stall: Duration,
    /// The offset that a follower has to reach, to be remembered from now on.
    pub catch_up_to: Option<Offset>,
}

/// What can be waited for.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitFor {
    /// The partitions that come before this one.
    Turn(Ahead),
    /// Replicas being loaded.
    Loading,
    /// The same, as long as a load may take that ends: then a leader may be chosen without them.
    SlowLoad,
    /// A disk table's replica to show at all.
    Appearing(Endpoint),
    /// A snapshot being made to learn a replica's last term.
    Snapshot(Endpoint),
    /// Its tablets to have been there for so long that they may be asked for snapshots.
    UpForAMinute,
    /// Operations of the nameserver on the partition.
    Ops,
    /// The same where this run has not asked for them, before a leader is chosen.
    OthersOps,
    /// A follower to hear its leader's term and catch up with it.
    CatchUp(Endpoint),
    /// A difference from its leader, in rows or in offset, to be more than a moment between two looks.
    Rows(Endpoint),
    /// A follower to take what its leader sends, although it seems not to: somebody's election may be under way.
    Stuck(Endpoint),
    /// A dropped replica to be gone.
    Dropping(Endpoint),
    /// The directory of a replica that vanished while it was loaded to be moved away.
    MovedAway(Endpoint),
    /// A server to answer a question again.
    Answer(Endpoint),
    /// The nameserver to take a tablet that answers for healthy.
    Registered(Endpoint),
    /// An operation to show that was asked for, before it is asked for again.
    Begun(Endpoint),
    /// The flags to show what was just done.
    Flags,
}

/// What comes before a partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Ahead {
    /// The tables that OpenMLDB itself needs.
    SystemTables,
    /// The partition of the table that its own one aggregates: who leads it decides who leads this one.
    BaseTable,
    /// The partitions that aggregate it: they are loaded before it, and led before it takes rows.
    Aggregates,
    /// The leaders of all other partitions.
    Leaders,
}

/// What is waited for, as it reads after "waiting for".
impl fmt::Display for WaitFor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Turn(ahead) => write!(f, "{ahead}, which must come first"),
            Self::Loading | Self::SlowLoad => f.write_str("its replicas to load"),
            Self::Appearing(at) => write!(f, "its replica on {at} to appear after LoadTable"),
            Self::Snapshot(at) => write!(f, "a snapshot of its replica on {at}"),
            Self::UpForAMinute => f.write_str("its tablets to have run long enough to be asked for snapshots"),
            Self::Ops | Self::OthersOps => f.write_str("an operation of the nameserver on it to end"),
            Self::CatchUp(at) => write!(f, "its replica on {at} to catch up with the leader"),
            Self::Rows(at) => write!(f, "its replica on {at} to agree with the leader"),
            Self::Stuck(at) => write!(f, "its replica on {at} to accept what the leader sends"),
            Self::Dropping(at) => write!(f, "{at} to drop its replica"),
            Self::MovedAway(at) => write!(f, "{at} to move away what it failed to load"),
            Self::Answer(at) => write!(f, "{at} to answer"),
            Self::Registered(at) => write!(f, "the nameserver to consider {at} healthy"),
            Self::Begun(at) => write!(f, "an operation for its replica on {at} to show"),
            Self::Flags => f.write_str("its flags to show what was changed"),
        }
    }
}

/// Who comes first.
impl fmt::Display for Ahead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SystemTables => "OpenMLDB's own tables",
            Self::BaseTable => "the leader of its base table",
            Self::Aggregates => "its pre-aggregate tables",
            Self::Leaders => "the leaders of other partitions",
        })
    }
}

impl WaitFor {
    /// Whether it is other partitions that are waited for.
    pub fn is_turn(&self) -> bool {
        matches!(self, Self::Turn(_))
    }

    /// The tablet at which it has to come true, if it is a single one.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        match self {
            Self::Turn(_)
            | Self::Loading
            | Self::SlowLoad
            | Self::UpForAMinute
            | Self::Ops
            | Self::OthersOps
            | Self::Flags => None,
            Self::Appearing(at)
            | Self::Snapshot(at)
            | Self::CatchUp(at)
            | Self::Rows(at)
            | Self::Stuck(at)
            | Self::Dropping(at)
            | Self::MovedAway(at)
            | Self::Answer(at)
            | Self::Registered(at)
            | Self::Begun(at) => Some(at),
        }
    }
}

impl Decision {
    /// One action.
    pub(super) fn act(intent: Intent) -> Self {
        Self::Act(vec![intent])
    }

    /// One question.
    pub(super) fn look(endpoint: &Endpoint, question: Question) -> Self {
        Self::Look(vec![Probe { endpoint: endpoint.clone(), question }])
    }
}

impl Intent {
    /// An intent that replaces nothing.
    pub(super) fn new(step: &'static str, action: Action, why: impl Into<String>) -> Self {
        Self { step, action, why: why.into(), resends: false }
    }
}

impl Wait {
    /// A wait that may take `timeout`, as long as something changes every `stall`.
    pub(super) fn new(what: WaitFor, seen: impl Into<String>, timeout: Duration, stall: Duration) -> Self {
        Self { what, seen: seen.into(), timeout, stall, catch_up_to: None }
    }
}
