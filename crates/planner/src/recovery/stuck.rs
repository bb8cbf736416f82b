//! Followers that accept nothing from their leader although it replicates to them: connected, alive, and left behind
//! for ever.

use openmldb_model::{Offset, Role, Seen, Term};

use super::decision::{Probe, Question};
use super::view::{ReplicaView, View};

/// Why a follower takes nothing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stuck {
    /// It has heard of a later term than its leader leads in, as after an election that failed half way, and refuses whatever
    /// that one sends (docs/openmldb/logs-and-terms.md#a-follower-that-has-heard-a-later-term). It forgets the term only with its
    /// process, or with its data.
    LaterTerm {
        /// The term it has heard of.
        heard: Term,
        /// The one its leader leads in.
        leads: Term,
    },
    /// It has not moved while its leader was further.
    NoProgress {
        /// Where it is.
        at: Offset,
        /// Where its leader is.
        leader: Offset,
    },
}

impl std::fmt::Display for Stuck {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::LaterTerm { heard, leads } => {
                write!(f, "refuses its leader: it has seen term {heard}, but its leader leads in term {leads}")
            }
            Self::NoProgress { at, leader } => {
                write!(f, "gets nothing from its leader: it stays at offset {at} while its leader is at {leader}")
            }
        }
    }
}

/// Why a follower accepts nothing from its leader, if that is so. While an operation is under way nobody knows: an
/// election raises followers' terms first.
pub fn stuck(view: &View, leader: &ReplicaView, follower: &ReplicaView) -> Option<Stuck> {
    if !view.ops_in_flight.is_empty() || !follower.loaded().is_some_and(|data| data.role == Role::Follower) {
        return None;
    }
    refuses(leader, follower).or_else(|| stands_still(leader, follower))
}

fn refuses(leader: &ReplicaView, follower: &ReplicaView) -> Option<Stuck> {
    let leads = leads_in(leader)?;
    let heard = follower.term_pair.known().filter(|pair| pair.has_table && !pair.is_leader)?.term;
    (heard > leads).then_some(Stuck::LaterTerm { heard, leads })
}

/// The term a leader leads in, by its own account since it leads.
pub(super) fn leads_in(leader: &ReplicaView) -> Option<Term> {
    let pair = leader.term_pair.known().filter(|_| leader.leads_in_memory())?;
    (pair.has_table && pair.is_leader).then_some(pair.term)
}

/// It was watched for a while, and is still where it was then.
fn stands_still(leader: &ReplicaView, follower: &ReplicaView) -> Option<Stuck> {
    let (at, end) = (follower.offset()?, leader.offset()?);
    (follower.memory.stalled_at == Some(at) && at < end).then_some(Stuck::NoProgress { at, leader: end })
}

/// What has to be asked before it can be said that no follower refuses its leader.
pub(super) fn unasked_terms(view: &View) -> Vec<Probe> {
    if view.serving_leader().is_none() || view.replicas.len() < 2 {
        return Vec::new();
    }
    let loaded = view.replicas.iter().filter(|r| r.loaded().is_some() && r.term_pair == Seen::Unasked);
    loaded.map(|r| Probe { endpoint: r.endpoint.clone(), question: Question::TermPair }).collect()
}
