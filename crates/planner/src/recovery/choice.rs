//! The leader of a partition once it is chosen, and what follows from that.

use serde::{Deserialize, Serialize};

use openmldb_model::{Endpoint, Offset, Term};

/// A leader and what follows from choosing it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Choice {
    /// Who leads.
    pub leader: Endpoint,
    /// How it becomes leader.
    pub way: PromotionMethod,
    /// Its offset when it was chosen.
    pub offset: Option<Offset>,
    /// Why it.
    pub why: String,
    /// Why none of the others.
    pub rejected: Vec<Rejected>,
    /// The replicas whose data is known to be the beginning of the leader's: these may be connected as they are.
    pub proven: Vec<Endpoint>,
    /// Those of the others whose log is known to be so, and whose row counts speak against them: these may be once they were
    /// compared.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub doubted: Vec<Endpoint>,
    /// Those whose log is known to be so, where counts say nothing: these may be once their rows were looked at. Later on counts tell
    /// less, since clients write and delete.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub unread: Vec<Endpoint>,
    /// What the other leader-flagged replicas give up.
    pub given_up: Vec<GivenUp>,
    /// Replicas that did not answer when it was chosen: these are judged once they are loaded.
    pub out_of_reach: Vec<Endpoint>,
    /// Those of them that the nameserver had seen no longer than the leader is.
    #[serde(default)]
    pub seen_no_longer: Vec<Endpoint>,
}

/// How the chosen replica becomes leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PromotionMethod {
    /// It is leader-flagged: ChangeRole, under the last term.
    ChangeRole,
    /// It is a follower: ChangeLeader, which begins a new term and moves the flag.
    ChangeLeader,
}

/// A replica that was not chosen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rejected {
    /// Where it is.
    pub endpoint: Endpoint,
    /// Why not.
    pub why: String,
}

/// Entries that a replica holds beyond what it shares with the chosen leader, and that are discarded when it is resent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUp {
    /// Where it is.
    pub endpoint: Endpoint,
    /// How many entries; the most there can be if `at_most`.
    pub entries: u64,
    /// Whether `entries` is an upper bound, because the terms of its last entries are unknown.
    pub at_most: bool,
    /// The term of its last entry, if known.
    pub term: Option<Term>,
    /// Where the replica's directory goes.
    pub directory: String,
}
