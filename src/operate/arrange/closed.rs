//! Tablets that are being emptied or upgraded: they are given no leaders and no replicas until that is over.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Endpoint;

use super::super::partition_context::{Gift, Given, Refusal};
use super::super::undertaking::Undertaking;

/// Which they are, and why.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Closed(BTreeMap<Endpoint, Why>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Why {
    Upgraded,
    Emptied,
}

impl Closed {
    /// `upgraded`: tablets of which an `upgrade pre` was begun and no `upgrade post` has come to its end. `unfinished`: an undertaking that
    /// did not come to its end.
    pub fn new(upgraded: impl IntoIterator<Item = Endpoint>, unfinished: Option<&Undertaking>) -> Self {
        let mut closed: BTreeMap<Endpoint, Why> = upgraded.into_iter().map(|at| (at, Why::Upgraded)).collect();
        if let Some(Undertaking::ScaleIn { endpoints }) = unfinished {
            closed.extend(endpoints.iter().map(|at| (at.clone(), Why::Emptied)));
        }
        Self(closed)
    }

    /// The same for an undertaking that is about some of them itself.
    pub fn beside(mut self, undertaking: &Undertaking) -> Self {
        match undertaking {
            Undertaking::UpgradePost { endpoint, .. } => drop(self.0.remove(endpoint)),
            Undertaking::UpgradePre { endpoint, .. } => drop(self.0.insert(endpoint.clone(), Why::Upgraded)),
            Undertaking::ScaleIn { endpoints } => self.0.extend(endpoints.iter().map(|at| (at.clone(), Why::Emptied))),
            Undertaking::ScaleOut { .. }
            | Undertaking::Handover { .. }
            | Undertaking::LeadBeside { .. }
            | Undertaking::Repair
            | Undertaking::Replace { .. } => {}
        }
        self
    }

    /// The tablets.
    pub fn tablets(&self) -> BTreeSet<Endpoint> {
        self.0.keys().cloned().collect()
    }

    /// Whether a tablet is one of them.
    pub fn has(&self, at: &Endpoint) -> bool {
        self.0.contains_key(at)
    }

    /// Whether a tablet is being upgraded.
    pub(super) fn is_upgraded(&self, at: &Endpoint) -> bool {
        self.0.get(at) == Some(&Why::Upgraded)
    }

    /// What is said of those that are left out.
    pub(super) fn remarks(&self, but: &[Endpoint]) -> Vec<String> {
        let others = self.0.iter().filter(|(at, _)| !but.contains(at));
        others.map(|(at, why)| format!("nothing is moved to {at}: {}", why.said(at))).collect()
    }

    /// # Errors
    /// It is to be given a leader.
    pub(super) fn refuse(&self, at: &Endpoint) -> Result<(), Refusal> {
        let Some(why) = self.0.get(at) else { return Ok(()) };
        Err(Refusal::unsafe_now(format!("no leaders are moved to {at}: {}", why.said(at)), why.ends(at)))
    }

    /// # Errors
    /// A single step would move something to it. The new leader may have been chosen rather than named.
    pub(in super::super) fn refuse_given(&self, given: &Given) -> Result<(), Refusal> {
        let (at, what) = match given {
            Given { what: Gift::Leader, to } => (to, "leaders"),
            Given { what: Gift::Replica, to } => (to, "replicas"),
        };
        let Some(why) = self.0.get(at) else { return Ok(()) };
        Err(Refusal::unsafe_now(format!("no {what} are moved to {at}: {}", why.said(at)), why.ends(at)))
    }

    /// # Errors
    /// Another tablet's upgrade is open.
    pub(super) fn refuse_second_upgrade(&self, endpoint: &Endpoint) -> Result<(), Refusal> {
        let other = self.0.iter().find(|(at, why)| **why == Why::Upgraded && *at != endpoint);
        let Some((at, why)) = other else { return Ok(()) };
        let text = format!("{}; with {endpoint} two tablets would be without leaders at once", why.said(at));
        Err(Refusal::unsafe_now(text, why.ends(at)))
    }
}

impl Why {
    fn said(self, at: &Endpoint) -> String {
        match self {
            Self::Upgraded => format!("`upgrade pre {at}` was started, and `upgrade post {at}` has not finished"),
            Self::Emptied => format!("a `scale in` of {at} was started but did not finish"),
        }
    }

    fn ends(self, at: &Endpoint) -> String {
        match self {
            Self::Upgraded => format!(
                "`openmldb-ops upgrade post {at}` ends it; or, if that tablet is gone for good, `openmldb-ops upgrade post {at} --gone`"
            ),
            Self::Emptied => "run that again; or, if it is no longer wanted, `openmldb-ops record dismiss`".to_owned(),
        }
    }
}
