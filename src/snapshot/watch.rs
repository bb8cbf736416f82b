//! Followers that are behind their leader, watched until they move. One that stays where it is, while its leader was further all
//! that time, gets nothing from it: no flag, no connection and no single look shows that.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::Cluster;
use crate::model::{Endpoint, Held, Offset, PartitionId, Probes, Role, Snapshot};

use super::collect::{About, poll_tablet};

/// The pause between two looks, at first; it doubles.
const PAUSE: Duration = Duration::from_millis(50);
/// How long a follower is watched that does not move. A leader that lost the connection to one tries again every second.
const WATCHED: Duration = Duration::from_secs(5);

type Behind = BTreeMap<(Endpoint, PartitionId), Offset>;

/// Notes which followers stay where they are. Where nobody is behind nothing is asked; usually the first look at those who are
/// shows that they have moved.
pub(super) async fn watch(cluster: &Cluster, seen: &mut Snapshot, about: Option<&About>) {
    let mut behind = who_is_behind(seen);
    behind.retain(|(_, id), _| about.is_none_or(|about| about.contains(id)));
    let (began, mut pause) = (Instant::now(), PAUSE);
    while !behind.is_empty() && began.elapsed() < WATCHED {
        tokio::time::sleep(pause.min(WATCHED.saturating_sub(began.elapsed()))).await;
        pause *= 2;
        let tablets: BTreeSet<Endpoint> = behind.keys().map(|(at, _)| at.clone()).collect();
        for at in tablets {
            let now = poll_tablet(cluster, &at).await;
            // A replica that does not answer is not reported as stuck.
            let stays = |id: &PartitionId, offset: Offset| {
                now.known().and_then(|held| held.get(id)).is_some_and(|held| held.offset == offset)
            };
            behind.retain(|(on, id), offset| *on != at || stays(id, *offset));
        }
    }
    for ((at, id), offset) in behind {
        if let Some(tablet) = seen.tablets.get_mut(&at) {
            tablet.probes.entry(id).or_insert(Probes::UNASKED).stalled_at = Some(offset);
        }
    }
}

/// Followers that are alive, loaded and behind a leader that leads. What an operation works on is on its way.
fn who_is_behind(seen: &Snapshot) -> Behind {
    let mut behind = Behind::new();
    let loaded = |at: &Endpoint, id: PartitionId| -> Option<&Held> {
        seen.tablets.get(at)?.held.known()?.get(&id).filter(|held| held.state.is_loaded())
    };
    let worked_on: BTreeSet<_> =
        seen.ops.iter().filter(|op| op.status.is_in_flight()).map(|op| (&op.table, op.pid)).collect();
    for table in &seen.tables {
        for partition in table.partitions.iter().filter(|found| !worked_on.contains(&(&table.name, found.pid))) {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            let leads =
                partition.leader().and_then(|leader| loaded(leader, id)).filter(|held| held.role == Role::Leader);
            let Some(leader) = leads else { continue };
            for replica in partition.replicas.iter().filter(|replica| replica.is_alive && !replica.is_leader) {
                let follows = loaded(&replica.endpoint, id).filter(|held| held.role == Role::Follower);
                if let Some(held) = follows.filter(|held| held.offset < leader.offset) {
                    behind.insert((replica.endpoint.clone(), id), held.offset);
                }
            }
        }
    }
    behind
}
