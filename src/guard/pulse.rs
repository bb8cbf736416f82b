//! The cheapest look: whether anything has come, gone or been switched since the last one. Two calls to the nameserver and one to
//! ZooKeeper, however many tablets and partitions there are.

use std::collections::BTreeMap;

use crate::cluster::{CallError, Cluster};
use crate::model::{Endpoint, TabletState};

/// What it sees.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pulse {
    tablets: BTreeMap<Endpoint, (TabletState, Option<u64>)>,
    registered: Option<Vec<Endpoint>>,
    auto_failover: bool,
    leader: String,
}

impl Pulse {
    /// Looks.
    ///
    /// # Errors
    /// The nameserver does not answer.
    pub async fn take(cluster: &Cluster) -> Result<Self, CallError> {
        let (tablets, auto_failover) = tokio::try_join!(cluster.tablets(), cluster.auto_failover())?;
        // Where ZooKeeper does not answer, the nameserver's opinion has to do.
        let registered = cluster.registered_tablets().await.unwrap_or_default();
        let of = |one: crate::model::Registration| (one.endpoint, (one.state, one.unchanged_ms));
        Ok(Self { tablets: tablets.into_iter().map(of).collect(), registered, auto_failover, leader: cluster.leader() })
    }

    /// Whether something has happened in between. A tablet that came and went is known by the time for which it is as it is.
    pub fn differs(&self, before: &Self) -> bool {
        let is_as_before = |(at, (state, since)): (&Endpoint, &(TabletState, Option<u64>))| {
            before.tablets.get(at).is_some_and(|(then, since_then)| then == state && since >= since_then)
        };
        self.tablets.len() != before.tablets.len()
            || !self.tablets.iter().all(is_as_before)
            || (&self.registered, self.auto_failover, &self.leader)
                != (&before.registered, before.auto_failover, &before.leader)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pulse(state: TabletState, unchanged_ms: u64) -> Pulse {
        let at = || Endpoint::from("a:1");
        let tablets = BTreeMap::from([(at(), (state, Some(unchanged_ms)))]);
        Pulse { tablets, registered: Some(vec![at()]), auto_failover: true, leader: "ns:1".to_owned() }
    }

    #[test]
    fn a_tablet_that_came_and_went_between_two_looks_is_noticed() {
        let before = pulse(TabletState::Healthy, 60_000);
        assert!(!pulse(TabletState::Healthy, 70_000).differs(&before));
        assert!(pulse(TabletState::Healthy, 3_000).differs(&before), "it is healthy for less long");
        assert!(pulse(TabletState::Offline, 70_000).differs(&before));
        assert!(Pulse { registered: Some(Vec::new()), ..pulse(TabletState::Healthy, 70_000) }.differs(&before));
        assert!(Pulse { auto_failover: false, ..pulse(TabletState::Healthy, 70_000) }.differs(&before));
    }
}
