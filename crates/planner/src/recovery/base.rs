//! Pre-aggregate tables: what is known of the partition that one aggregates, and what follows for who leads it and for what
//! terms prove (docs/openmldb/load-table.md#pre-aggregate-tables).

use openmldb_model::{Endpoint, Partition, Snapshot, Table};

use crate::playbook::Promote;

use super::election::Way;
use super::health::{Problem, ProblemKind};
use super::term::is_proven_prefix;
use super::view::{ReplicaView, View};

/// The partition that a pre-aggregate table's partition aggregates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Base {
    /// Its name, as it is typed.
    pub name: String,
    /// Who leads it, or will as far as can be told; none if nobody knows.
    pub leader: Option<Endpoint>,
    /// Whether the two may have been led by different tablets at some time: then aggregates were written into a copy that did not
    /// lead, under a term that was not its own.
    pub was_apart: bool,
}

impl Base {
    /// What a snapshot's metadata says of it.
    pub fn of(snapshot: &Snapshot, table: &Table, partition: &Partition) -> Option<Self> {
        let (base, found) = snapshot.base_of(table, partition.pid)?;
        Some(Self::among(base, found, partition))
    }

    /// The same from the partitions themselves.
    pub fn among(table: &Table, base: &Partition, aggregate: &Partition) -> Self {
        let flagged = |partition: &Partition| -> Vec<Endpoint> {
            partition.replicas.iter().filter(|r| r.is_leader).map(|r| r.endpoint.clone()).collect()
        };
        let never_changed = base.terms.len() <= 1 && aggregate.terms.len() <= 1 && flagged(base) == flagged(aggregate);
        let name = format!("{}/{}", table.name, base.pid);
        Self { name, leader: base.leader().cloned(), was_apart: !never_changed }
    }
}

/// A leader of a pre-aggregate table's partition that is not beside the leader of what that aggregates: nothing new comes into it.
pub fn led_apart(view: &View) -> Option<Problem> {
    let (base, leader) = (view.base.as_ref()?, view.serving_leader()?);
    let at = base.leader.as_ref().filter(|at| **at != leader.endpoint)?;
    let text = format!("leads it, and {at} leads {}, which it aggregates", base.name);
    Some(Problem { endpoint: leader.endpoint.clone(), kind: ProblemKind::LedApart, text })
}

/// Whether terms prove nothing about a partition's logs. An aggregator writes into the copy on its own tablet whether that leads or
/// not, under the term it last heard of: two copies may hold different entries of one term at the same places.
pub(super) fn terms_prove_nothing(view: &View) -> bool {
    view.base.as_ref().is_some_and(|base| base.was_apart)
}

/// The replica beside the base table's leader, if it can lead in place of `leader` without anything being given up: what leads the
/// base table writes there, and nowhere else.
pub(super) fn beside<'a>(
    view: &'a View,
    usable: &[&'a ReplicaView],
    leader: &'a ReplicaView,
    promote: Promote,
) -> Option<(&'a ReplicaView, Way, String)> {
    let base = view.base.as_ref()?;
    let at = base.leader.as_ref().filter(|at| **at != leader.endpoint && promote == Promote::WhenProven)?;
    let beside = usable.iter().copied().find(|r| r.endpoint == *at)?;
    // One that leads in memory may have taken writes since, which nobody else has.
    if !is_proven_prefix(view, leader, beside) || leader.leads_in_memory() {
        return None;
    }
    let way = if beside.is_leader { Way::ChangeRole } else { Way::ChangeLeader };
    let why = format!("{at} leads {}, which it aggregates, and holds all that {} does", base.name, leader.endpoint);
    Some((beside, way, why))
}
