//! What a partition waits for that is not its own: other partitions, the nameserver and its operations.

use std::time::Duration;

use openmldb_model::{Endpoint, Op};

use super::blocked::{Blocked, Reason};
use super::decision::{Ahead, Decision, Wait, WaitFor};
use super::limits::{OP_STALL, OP_TIMEOUT, REGISTERING};
use super::view::View;

/// What other partitions allow. None of it is waited for longer than the playbook's `turn`: one that is sick holds up nobody
/// else.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gates {
    /// What is loaded before this one and is not yet: system tables; the pre-aggregate tables of a base table, since an aggregator
    /// that is attached while they load ruins their logs (docs/openmldb/load-table.md#pre-aggregate-tables).
    pub comes_first: Option<Ahead>,
    /// Who leads a pre-aggregate table's base table is chosen: that decides who leads it.
    pub base_is_chosen: bool,
    /// A base table's pre-aggregate tables are led, and their aggregators are there: it takes rows only then.
    pub is_aggregated: bool,
    /// Every partition in scope serves or is blocked, so that redundancy may begin.
    pub may_recover_followers: bool,
}

impl Gates {
    /// Everything allowed.
    pub const OPEN: Self =
        Self { comes_first: None, base_is_chosen: true, is_aggregated: true, may_recover_followers: true };

    /// Whom loading still has to wait for, for at most `turn`.
    pub(super) fn before_loading(self, view: &View, turn: Duration) -> Option<Decision> {
        self.comes_first.and_then(|ahead| unless_over(view, ahead, turn))
    }

    /// The same of choosing a leader.
    pub(super) fn before_choosing(self, view: &View, turn: Duration) -> Option<Decision> {
        (!self.base_is_chosen).then(|| unless_over(view, Ahead::BaseTable, turn))?
    }

    /// The same of leading.
    pub(super) fn before_leading(self, view: &View, turn: Duration) -> Option<Decision> {
        (!self.is_aggregated).then(|| unless_over(view, Ahead::Aggregates, turn))?
    }

    /// The same of followers that need the nameserver's operations: taking part in no election and serving nobody, they can
    /// wait until every leader serves.
    pub(super) fn before_followers(self, view: &View, turn: Duration) -> Option<Decision> {
        let is_over = self.may_recover_followers || view.memory.has_expired(&WaitFor::Turn(Ahead::Leaders));
        (!is_over).then(|| wait_for_turn(Ahead::Leaders, turn))
    }
}

fn unless_over(view: &View, ahead: Ahead, turn: Duration) -> Option<Decision> {
    (!view.memory.has_expired(&WaitFor::Turn(ahead))).then(|| wait_for_turn(ahead, turn))
}

pub(super) fn wait_for_turn(ahead: Ahead, turn: Duration) -> Decision {
    Decision::Wait(Wait::new(WaitFor::Turn(ahead), format!("{ahead} must come first"), turn, Duration::MAX))
}

/// A tablet that has just been started answers before the nameserver has heard of it; one whose registration it missed stays
/// as it is (docs/openmldb/nameserver.md#a-registration-that-the-nameserver-missed).
pub(super) fn until_registered(view: &View, endpoint: &Endpoint, seen: String, hint: &str) -> Decision {
    let what = WaitFor::Registered(endpoint.clone());
    if view.memory.has_expired(&what) {
        return Decision::Blocked(Blocked::new(Reason::TabletOffline, seen, hint));
    }
    Decision::Wait(Wait::new(what, seen, REGISTERING, REGISTERING))
}

/// An operation on it is queued or under way.
pub(super) fn ops_wait(view: &View, op: &Op) -> Decision {
    let seen = format!("operation {} ({}) {}", op.id, op.kind.name(), op.progress());
    if view.memory.has_expired(&WaitFor::Ops) {
        let hint = format!("cancelop {} if it hangs, then run again", op.id);
        return Decision::Blocked(Blocked::new(Reason::OpTimeout, seen, hint));
    }
    Decision::Wait(Wait::new(WaitFor::Ops, seen, OP_TIMEOUT, OP_STALL))
}
