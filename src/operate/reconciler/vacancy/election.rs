//! What was begun to have somebody lead: an election that the nameserver was asked for, or the old leader told to lead again; and what
//! whether to begin it depends on.

use tokio::time::Instant;

use crate::model::{Endpoint, Op, OpId, OpKind};

use super::super::super::refusal::Refusal;
use super::end::Why;

/// What it depends on beside the partition's own servers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Circumstances {
    /// Since when everything is to end.
    pub(super) ending_since: Option<Instant>,
    /// Whether an election may be asked for: the lock is held, and it can be written down.
    pub(super) may_elect: bool,
    /// Another run has taken over.
    pub(super) taken_over: bool,
}

/// An election that was asked for.
#[derive(Debug, Clone)]
pub(super) struct Election {
    pub(super) to: Endpoint,
    /// The newest operation from before.
    pub(super) since: Option<OpId>,
    /// The nameserver that was asked.
    pub(super) nameserver: String,
    /// When it was.
    pub(super) at: Instant,
    /// Whether it said that it was heard.
    pub(super) heard: bool,
    /// When it was first seen that its operation is over.
    pub(super) over: Option<Instant>,
}

impl Election {
    pub(super) fn new(to: Endpoint, since: Option<OpId>, nameserver: String) -> Self {
        Self { to, since, nameserver, at: Instant::now(), heard: false, over: None }
    }

    /// Whether an operation is what it began.
    pub(super) fn is(&self, op: &Op) -> bool {
        op.kind == OpKind::ChangeLeader && Some(op.id) > self.since
    }
}

/// The old leader is to lead again.
#[derive(Debug, Clone)]
pub(super) struct Again {
    pub(super) why: Why,
    /// When it was told last.
    pub(super) told: Option<Instant>,
    /// Whether it may have heard it.
    pub(super) perhaps: bool,
    /// It refused.
    pub(super) refused: Option<Refusal>,
}

impl Again {
    pub(super) fn new(why: Why) -> Self {
        Self { why, told: None, perhaps: false, refused: None }
    }
}
