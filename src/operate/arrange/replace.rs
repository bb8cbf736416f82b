//! A tablet that is gone for good: its replicas come up elsewhere, and metadata forget it.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Snapshot, Table};
use crate::run::{Sizes, some_of};

use super::super::goal::{Arrangement, Goal, Replaces};
use super::super::partition_context::{Refusal, tablet_is_gone, tablet_is_healthy, tablet_is_known};
use super::closed::Closed;
use super::replica_counts::ReplicaCounts;
use super::scale_in::{enough_are_left, moved_away};

/// Every partition with a replica on the tablet has one on another instead: on `with`, unless it has one there already.
///
/// # Errors
/// The tablet is not gone, or there is nobody to take its place.
pub(super) fn replace(
    seen: &Snapshot,
    gone: &Endpoint,
    with: Option<&Endpoint>,
    closed: &Closed,
    sizes: &Sizes,
) -> Result<Arrangement, Refusal> {
    with.map_or(Ok(()), |with| tablet_is_known(seen, with))?;
    tablet_is_gone(seen, gone)?;
    if let Some(with) = with {
        tablet_is_healthy(seen, with)?;
        closed.refuse(with)?;
    }
    let leaving = [gone.clone()];
    let away: Vec<Endpoint> = closed.tablets().into_iter().collect();
    let mut replica_counts = ReplicaCounts::of(seen, &away, sizes, |_| true);
    let hint = "start a new tablet first: it gets the replicas that the dead one had";
    enough_are_left(seen, &leaving, replica_counts.tablets().len(), hint)?;
    let mut arrangement = Arrangement { remarks: closed.remarks(&leaving), ..Arrangement::default() };
    let (bases, aggregates): (Vec<&Table>, Vec<&Table>) =
        seen.tables.iter().partition(|table| table.base_table.is_none());
    let (mut elsewhere, mut unled) = (BTreeSet::new(), Vec::new());
    for table in bases.into_iter().chain(aggregates) {
        for partition in table.partitions_on(gone) {
            let like = Goal::of_base(seen, table, partition, &arrangement.goals).cloned();
            let taken = (&leaving[..], closed);
            let Some(mut goal) = moved_away(table, partition, taken, &mut replica_counts, like.as_ref(), with) else {
                continue;
            };
            // Who leads in its place is a recovery's to find: nobody hands over for one that is gone.
            goal.leader = None;
            goal.why = format!("{gone} is gone for good");
            goal.replaces = Some(Replaces { gone: gone.clone(), unseen: false, accepted: Vec::new() });
            if with.is_some_and(|with| partition.places().contains(with))
                && goal.replicas.len() >= partition.replicas.len()
            {
                elsewhere.insert(goal.name());
            }
            let is_led = partition.leader().is_some_and(|leader| leader != gone);
            if !is_led && partition.replicas.len() > 1 {
                unled.push(goal.name());
            }
            arrangement.goals.push(goal);
        }
    }
    if !unled.is_empty() {
        arrangement.remarks.push(format!(
            "nobody leads {} yet: `openmldb-ops recover --all --dry-run` says who can, and what is lost by it, under an id; then \
             `openmldb-ops recover --all --accept-data-loss ID --without {gone}`, and this again",
            some_of(&unled)
        ));
    }
    if let (Some(with), false) = (with, elsewhere.is_empty()) {
        let names: Vec<&String> = elsewhere.iter().collect();
        arrangement.remarks.push(format!(
            "{with} has a replica of {} already: another tablet gets the one that {gone} had",
            some_of(&names)
        ));
    }
    Ok(arrangement)
}
