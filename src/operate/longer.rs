//! Copies of a pre-aggregate table that are longer than their leader, because the base table's leader writes into them
//! (docs/openmldb/load-table.md#pre-aggregate-tables): one of them may lead if it holds every row of the leader, which only rows
//! show. Terms do not: both copies have entries of the same one.

use crate::cluster::Cluster;
use crate::model::{Endpoint, Snapshot};
use crate::playbook::COMPARE_ROWS_UP_TO;
use crate::rows::rows_seen;

use super::goal::{Arrangement, Goal};
use super::partition_context::{PartitionContext, Refusal};

/// Notes of each goal whether its longer successor holds all that its leader does. The goals of successors that do not are taken out.
///
/// # Errors
/// One of them was asked for by itself.
pub(super) async fn compare_longer_successors(
    cluster: &Cluster,
    seen: &Snapshot,
    arrangement: &mut Arrangement,
    is_asked_for: bool,
) -> Result<(), Refusal> {
    let mut kept = Vec::new();
    for mut goal in std::mem::take(&mut arrangement.goals) {
        let Some((place, leader, successor)) = longer_successor(seen, &goal) else {
            kept.push(goal);
            continue;
        };
        let (leader, successor, id) = (leader.clone(), successor.clone(), place.id());
        let both = [leader.clone(), successor.clone()];
        let rows = rows_seen(cluster, &goal.table, id, &both, COMPARE_ROWS_UP_TO).await;
        goal.successor_holds_all = rows.holds_all(&successor, &leader);
        if goal.successor_holds_all {
            kept.push(goal);
            continue;
        }
        let name = goal.name();
        let text = format!(
            "{successor} has a longer log than {leader}, which leads {name}, but is not known to hold all of its rows: \
             {rows}"
        );
        let hint = format!("`openmldb-ops replica diff {name}` shows how they differ");
        if is_asked_for {
            return Err(Refusal::unsafe_now(text, hint));
        }
        arrangement.remarks.push(format!("{text}; {hint}"));
    }
    arrangement.goals = kept;
    Ok(())
}

fn longer_successor<'a>(
    seen: &'a Snapshot,
    goal: &'a Goal,
) -> Option<(PartitionContext<'a>, &'a Endpoint, &'a Endpoint)> {
    let place = PartitionContext::find(seen, &goal.table, goal.pid).ok()?;
    place.table.base_table?;
    let (leader, successor) = (place.leader()?, goal.leader.as_ref()?);
    let is_longer = place.loaded(successor)?.offset > place.loaded(leader)?.offset;
    is_longer.then_some((place, leader, successor))
}
