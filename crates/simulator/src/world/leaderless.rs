//! Partitions without a leader because a client told theirs to follow: since when, until when, and how much of that nobody could
//! have helped.

use super::World;
use crate::Millis;
use openmldb_model::{Endpoint, PartitionId, Role};
use openmldb_wire::api::TableMode;
use openmldb_wire::call::{NameserverCall, TabletCall};

/// A time without a leader.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leaderless {
    /// Which partition.
    pub partition: PartitionId,
    /// Who was told to follow.
    pub leader: Endpoint,
    /// World time from which on it followed.
    pub from: Millis,
    /// World time from which on it, or another one, led; none while nobody does.
    pub until: Option<Millis>,
    /// Time in it in which nobody but a server that did not answer could have helped: the old leader's tablet, or, once it was
    /// asked to have another one elected, the nameserver.
    pub beyond_help: Millis,
    /// Whether the nameserver was asked to.
    asked: bool,
    checked: Millis,
    was_beyond_help: bool,
}

impl Leaderless {
    /// How long somebody could have helped and nobody did.
    pub fn avoidable(&self, now: Millis) -> Millis {
        self.until.unwrap_or(now).saturating_sub(self.from).saturating_sub(self.beyond_help)
    }
}

impl World {
    /// Partitions that were without a leader because a client had told theirs to follow, or are, in the order in which that began.
    pub fn leaderless(&self) -> &[Leaderless] {
        &self.leaderless
    }

    /// A client has told a tablet something.
    pub(super) fn note_told(&mut self, at: &Endpoint, call: &TabletCall) {
        let TabletCall::ChangeRole(request) = call else { return };
        let id = super::partition(request.tid(), request.pid());
        let is_flagged = || self.flagged_leaders(id).iter().any(|leader| leader == at);
        if request.mode() != TableMode::KTableFollower || !is_flagged() || self.is_led(id) {
            return;
        }
        if self.leaderless.iter().any(|open| open.partition == id && open.until.is_none()) {
            return;
        }
        self.leaderless.push(Leaderless {
            partition: id,
            leader: at.clone(),
            from: self.now,
            until: None,
            beyond_help: 0,
            asked: false,
            checked: self.now,
            was_beyond_help: false,
        });
    }

    /// A client asks the nameserver for something; it may not have arrived yet.
    pub(super) fn note_asked(&mut self, call: &NameserverCall) {
        if !matches!(call, NameserverCall::ChangeLeader(_)) || self.leaderless.iter().all(|open| open.until.is_some()) {
            return;
        }
        let named = super::trace::named_by_nameserver_call(call, &self.nameservers);
        for open in self.leaderless.iter_mut().filter(|open| open.until.is_none() && named.contains(&open.partition)) {
            open.asked = true;
        }
    }

    /// Looks who leads by now.
    pub(super) fn watch_leaderless(&mut self) {
        if self.leaderless.iter().all(|open| open.until.is_some()) {
            return;
        }
        let now = self.now;
        let nameserver = self.leader().is_some_and(|leader| self.is_up(&leader));
        let mut all = std::mem::take(&mut self.leaderless);
        for open in all.iter_mut().filter(|open| open.until.is_none()) {
            if open.was_beyond_help {
                open.beyond_help += now - open.checked;
            }
            open.checked = now;
            open.was_beyond_help = !self.is_up(&open.leader) || (open.asked && !nameserver);
            if self.is_led(open.partition) {
                open.until = Some(now);
            }
        }
        self.leaderless = all;
    }

    fn flagged_leaders(&self, id: PartitionId) -> Vec<Endpoint> {
        let Some(partition) = self.nameservers.partition_of(id.tid.0, id.pid.0) else { return Vec::new() };
        let leads = partition.partition_meta.iter().filter(|meta| meta.is_leader && meta.is_alive());
        leads.map(|meta| Endpoint::from(meta.endpoint.as_str())).collect()
    }

    /// Whether clients have somebody to write to: flagged leader and alive, and leader in its tablet's memory.
    fn is_led(&self, id: PartitionId) -> bool {
        let leads = |at: &Endpoint| self.tablets.role(at.as_str(), id) == Some(Role::Leader);
        self.flagged_leaders(id).iter().any(leads)
    }
}
