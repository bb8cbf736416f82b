//! A tablet that is gone for good: its replicas come up elsewhere, and metadata forget it.

use std::collections::BTreeSet;

use crate::model::{Endpoint, Snapshot, Table};
use crate::run::{Sizes, meant, some_of};

use super::super::partition_context::{Refusal, tablet_is_healthy};
use super::replica_counts::ReplicaCounts;
use super::scale_in::{enough_are_left, moved_away};
use super::{Arrangement, Closed, Replaces, goal_of_base};

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
    is_gone(seen, gone)?;
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
            let like = goal_of_base(seen, table, partition, &arrangement.goals).cloned();
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

/// # Errors
/// It is not, as far as anybody can tell; or nobody knows it.
pub(in super::super) fn is_gone(seen: &Snapshot, at: &Endpoint) -> Result<(), Refusal> {
    let Some(tablet) = seen.tablets.get(at) else {
        let others = seen.tablets.keys().map(Endpoint::as_str);
        let meant = meant(at.as_str(), others).map_or(String::new(), |meant| format!("did you mean {meant}? "));
        let text = format!("nobody knows a tablet {at}, and nothing is placed on it");
        return Err(Refusal::unsafe_now(text, format!("{meant}see `openmldb-ops show tablets`")));
    };
    let back = "`openmldb-ops recover --all` brings back what is placed on it, and gives it its leaders' data where its own are lost";
    let (text, hint) = if tablet.held.known().is_some() {
        (format!("{at} is there: it answers"), back)
    } else if seen.hears_from(at) {
        (
            format!("the nameserver takes {at} for healthy"),
            "stop that tablet for good, and wait until the nameserver misses it",
        )
    } else if tablet.in_zookeeper == Some(true) {
        (
            format!("{at} is registered in ZooKeeper"),
            "stop that tablet for good, and wait until its registration is gone",
        )
    } else {
        return Ok(());
    };
    Err(Refusal::unsafe_now(format!("{text}, so it is not gone for good"), hint))
}
