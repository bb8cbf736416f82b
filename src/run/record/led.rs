//! How far leaders had come when the replicas of other clusters lost touch with them: what is held there beyond that is not theirs, and
//! nobody sees that later, once clients have written on (docs/design/followers.md#replicas-of-other-clusters).

use std::collections::BTreeMap;

use crate::model::{Action, Endpoint, Offset, PartitionId};
use crate::recovery::Outcome;

use super::line::Line;
use super::recorded_run::RecordedRun;

/// How far a leader was.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Led {
    /// Which one.
    pub leader: Endpoint,
    /// Where its log ended; none where nobody knows.
    pub from: Option<Offset>,
    /// What an older record says of it counts, too: it was chosen, and not seen to replicate there.
    goes_on: bool,
}

impl Led {
    /// The same with what an older record says.
    pub(super) fn with_older(&mut self, older: Self) {
        if self.goes_on {
            self.from = self.from.min(older.from);
            self.goes_on = older.goes_on;
        }
    }
}

/// What is known of each partition, for each of its replicas in other clusters.
pub type LedBeside = BTreeMap<(PartitionId, Endpoint), Led>;

impl RecordedRun {
    /// What a run says of the leaders of partitions.
    pub(super) fn led(&self) -> LedBeside {
        let mut led = LedBeside::new();
        let mut attaching: BTreeMap<u64, (PartitionId, Endpoint)> = BTreeMap::new();
        for line in &self.lines {
            match line {
                Line::Chosen { partition, choice, .. } => {
                    for remote in self.remotes(*partition) {
                        let mut chosen = Led { leader: choice.leader.clone(), from: choice.offset, goes_on: true };
                        // Clients may have written to it since it was chosen first.
                        led.remove(&(*partition, remote.clone()))
                            .into_iter()
                            .for_each(|before| chosen.with_older(before));
                        led.insert((*partition, remote.clone()), chosen);
                    }
                }
                Line::Detached { partition, remote, leader, led_from, .. } => {
                    let detached = Led { leader: leader.clone(), from: *led_from, goes_on: false };
                    led.insert((*partition, remote.clone()), detached);
                }
                Line::Sending { number, action: Action::AttachRemote { partition, remote, .. }, .. } => {
                    attaching.insert(*number, (*partition, remote.clone()));
                }
                Line::Sending { action: Action::DelReplica { endpoint, partition, follower }, .. } => {
                    let let_go = self.let_go(endpoint, *partition, follower);
                    led.extend(let_go.map(|led| ((*partition, follower.clone()), led)));
                }
                Line::Went { number, outcome: Outcome::Applied, .. } => {
                    let attached = attaching.get(number).and_then(|remote| led.get_mut(remote));
                    attached.into_iter().for_each(|led| led.goes_on = false);
                }
                _ => {}
            }
        }
        led
    }

    /// A leader that replicated to a follower before the run, and was told to let go of it.
    fn let_go(&self, leader: &Endpoint, partition: PartitionId, follower: &Endpoint) -> Option<Led> {
        self.remotes(partition).find(|remote| *remote == follower)?;
        let known = self.begun.snapshot.tablets.get(leader)?.probes(partition).followers.known().cloned()?;
        let followed = known.followers.iter().any(|(endpoint, at)| endpoint == follower && *at <= known.leader_offset);
        followed.then(|| Led { leader: leader.clone(), from: Some(known.leader_offset), goes_on: false })
    }

    /// The replicas that a partition had in other clusters.
    fn remotes(&self, partition: PartitionId) -> impl Iterator<Item = &Endpoint> {
        let tables = self.begun.snapshot.tables.iter().filter(move |table| table.tid == partition.tid);
        let partitions = tables.flat_map(|table| &table.partitions).filter(move |found| found.pid == partition.pid);
        partitions.flat_map(|found| &found.remotes).map(|remote| &remote.endpoint)
    }
}
