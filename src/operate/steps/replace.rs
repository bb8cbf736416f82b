//! What becomes of the replica of a tablet that is gone for good: metadata forget it, or another tablet has its place. Nobody types these
//! steps: `tablet replace` takes them, in an order in which no partition is without its data for them.

use crate::model::{Manual, Replica, Snapshot};

use super::super::known::Known;
use super::super::partition_context::{
    Given, PartitionContext, Planned, Refusal, failover_is_off, tablet_is_gone, tablet_is_healthy,
};
use super::super::partition_mut::PartitionMut;
use super::definition::{Definition, Target};
use super::placement::{Gone, has_a_leader};
use super::{ForgetReplica, ReplaceOnly};

impl Definition for ForgetReplica<'_> {
    fn code(&self) -> &'static str {
        "replica_forget"
    }

    fn handbook(&self) -> String {
        format!("settablepartition {} {} without {}", self.table.table, self.pid, self.replaces.gone)
    }

    fn typed(&self) -> Option<String> {
        None
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// `delreplica` is refused (303) where the tablet is away.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, gone) = (PartitionContext::find(seen, self.table, *self.pid)?, &self.replaces.gone);
        failover_is_off(seen)?;
        place.replica(gone)?;
        tablet_is_gone(seen, gone)?;
        has_a_leader(&place)?;
        place.may_be_forgotten(self.replaces)?;
        let (table, pid) = (self.table.clone(), *self.pid);
        let effect = Gone { table: table.clone(), partition: place.id(), endpoint: gone.clone() };
        Ok(Planned::new(Some(Manual::ForgetReplica { table, pid, gone: gone.clone() }), effect))
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.remove(&self.replaces.gone);
    }
}

impl Definition for ReplaceOnly<'_> {
    fn code(&self) -> &'static str {
        "replica_replace"
    }

    fn handbook(&self) -> String {
        format!("settablepartition {} {} on {} instead of {}", self.table.table, self.pid, self.to, self.replaces.gone)
    }

    fn typed(&self) -> Option<String> {
        None
    }

    fn target(&self) -> Target<'_> {
        Target::Table(self.table)
    }

    /// What the only replica held is lost, and somebody has accepted it; who serves the partition, and from what, is a
    /// recovery's to decide.
    fn plan(&self, seen: &Snapshot, _known: &Known) -> Result<Planned, Refusal> {
        let (place, gone) = (PartitionContext::find(seen, self.table, *self.pid)?, &self.replaces.gone);
        failover_is_off(seen)?;
        let name = place.name();
        place.replica(gone)?;
        tablet_is_gone(seen, gone)?;
        tablet_is_healthy(seen, self.to)?;
        if place.partition.replicas.len() > 1 || self.replaces.accepted.is_empty() {
            let text = format!("{gone} does not have the only replica of {name}, or its loss was not accepted");
            return Err(Refusal::unsafe_now(text, format!("see `openmldb-ops status --partition {name}`")));
        }
        let (table, pid) = (self.table.clone(), *self.pid);
        let effect = Gone { table: table.clone(), partition: place.id(), endpoint: gone.clone() };
        let change = Manual::ReplaceOnly { table, pid, gone: gone.clone(), to: self.to.clone() };
        Ok(Planned::new(Some(change), effect).giving(Given::replica(self.to)))
    }

    fn gives(&self) -> bool {
        true
    }

    fn predict(&self, now: &mut Snapshot) {
        let Some(mut at) = PartitionMut::of(now, self.table, *self.pid) else { return };
        at.remove(&self.replaces.gone);
        let endpoint = self.to.clone();
        at.replicas().push(Replica { endpoint, is_leader: true, is_alive: false, offset: None });
    }
}
