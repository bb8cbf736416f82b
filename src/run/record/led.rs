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
    touch: Touch,
}

/// Whether the leader was seen to replicate there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Touch {
    /// It was chosen, and nobody has seen whether it does: what an older record says of it counts, too.
    Unseen,
    /// It was not, since then.
    Lost,
    /// It was told to: both come further together, and nothing from before counts any more.
    Regained,
}

impl Led {
    /// The same with what an older record says.
    pub(super) fn with_older(&mut self, older: Self) {
        match (self.touch, older.touch) {
            (Touch::Unseen, Touch::Regained) => self.touch = Touch::Lost,
            (Touch::Unseen, touch) => (self.from, self.touch) = (self.from.min(older.from), touch),
            (Touch::Lost | Touch::Regained, _) => {}
        }
    }

    /// Whether it says anything of a leader that does not replicate there now.
    pub(super) fn lost_touch(&self) -> bool {
        self.touch != Touch::Regained
    }
}

/// What is known of each partition, for each of its replicas in other clusters.
pub type LedBeside = BTreeMap<(PartitionId, Endpoint), Led>;

impl RecordedRun {
    /// What a run says of the leaders of partitions.
    pub(super) fn led(&self) -> LedBeside {
        let mut led = LedBeside::new();
        let mut attaching: BTreeMap<u64, ((PartitionId, Endpoint), Led)> = BTreeMap::new();
        for line in &self.lines {
            match line {
                Line::Chosen { partition, choice, .. } => {
                    for remote in self.remotes(*partition) {
                        let mut chosen =
                            Led { leader: choice.leader.clone(), from: choice.offset, touch: Touch::Unseen };
                        // Clients may have written to it since it was chosen first.
                        led.remove(&(*partition, remote.clone()))
                            .into_iter()
                            .for_each(|before| chosen.with_older(before));
                        led.insert((*partition, remote.clone()), chosen);
                    }
                }
                Line::Detached { partition, remote, leader, led_from, .. } => {
                    let detached = Led { leader: leader.clone(), from: *led_from, touch: Touch::Lost };
                    led.insert((*partition, remote.clone()), detached);
                }
                Line::Sending { number, action: Action::AttachRemote { endpoint, partition, remote, .. }, .. } => {
                    let attached = Led { leader: endpoint.clone(), from: None, touch: Touch::Regained };
                    attaching.insert(*number, ((*partition, remote.clone()), attached));
                }
                Line::Sending { action: Action::DelReplica { endpoint, partition, follower }, .. } => {
                    let let_go = self.let_go(endpoint, *partition, follower);
                    led.extend(let_go.map(|led| ((*partition, follower.clone()), led)));
                }
                Line::Went { number, outcome: Outcome::Applied, .. } => {
                    led.extend(attaching.remove(number));
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
        followed.then(|| Led { leader: leader.clone(), from: Some(known.leader_offset), touch: Touch::Lost })
    }

    /// The replicas that a partition had in other clusters.
    fn remotes(&self, partition: PartitionId) -> impl Iterator<Item = &Endpoint> {
        let tables = self.begun.snapshot.tables.iter().filter(move |table| table.tid == partition.tid);
        let partitions = tables.flat_map(|table| &table.partitions).filter(move |found| found.pid == partition.pid);
        partitions.flat_map(|found| &found.remotes).map(|remote| &remote.endpoint)
    }
}
