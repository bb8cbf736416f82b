//! What a decision can be.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::model::{Action, Endpoint, Offset};

use super::blocked::Blocked;
use super::election::Choice;

/// What is to happen to one partition next. `decide` makes it from a view; nothing else does.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Every step holds.
    Done,
    /// A fact is missing: ask for it and decide again.
    Look(Vec<Probe>),
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
    /// GetTableFollower.
    Followers,
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
    /// For RecoverTable: whether the replica's data is meant to be replaced by the leader's.
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
    Turn,
    /// Replicas being loaded.
    Loading,
    /// A disk table's replica to show at all.
    Appearing(Endpoint),
    /// A snapshot being made to learn a replica's last term.
    Snapshot(Endpoint),
    /// Operations of the nameserver on the partition.
    Ops,
    /// A follower to hear its leader's term and catch up with it.
    CatchUp(Endpoint),
    /// A difference from its leader, in rows or in offset, to be more than a moment between two looks.
    Rows(Endpoint),
    /// A follower to take what its leader sends, although it seems not to: somebody's election may be under way.
    Stuck(Endpoint),
    /// A dropped replica to be gone.
    Dropping(Endpoint),
    /// A server to answer a question again.
    Answer(Endpoint),
    /// The flags to show what was just done.
    Flags,
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
