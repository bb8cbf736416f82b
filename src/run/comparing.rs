//! Comparing rows while a run is at work: partitions side by side, but at each tablet one replica at a time, since clients are
//! served there too.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::model::{Endpoint, PartitionId, TableName};
use crate::recovery::RowsSeen;
use crate::rows::rows_seen;

use super::driver::{Driver, Report};
use super::event::Event;

/// Replicas of a partition that are to be compared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ToCompare {
    /// Of which partition.
    pub partition: PartitionId,
    /// Its table.
    pub table: TableName,
    /// On these tablets.
    pub replicas: Vec<Endpoint>,
}

impl ToCompare {
    /// What came of it, as an event.
    pub(super) fn checked(&self, seen: &RowsSeen) -> Event {
        Event::RowsChecked {
            table: self.table.clone(),
            pid: self.partition.pid.0,
            replicas: self.replicas.clone(),
            same: seen.are_the_same(),
            text: seen.to_string(),
        }
    }
}

/// What is to be compared, and what is.
#[derive(Debug, Default)]
pub(super) struct Comparing {
    waiting: VecDeque<ToCompare>,
    reading: Vec<ToCompare>,
}

impl Comparing {
    pub(super) fn of(waiting: impl IntoIterator<Item = ToCompare>) -> Self {
        Self { waiting: waiting.into_iter().collect(), reading: Vec::new() }
    }

    /// Those that can begin: at none of their tablets anything is read, nor will be for one that has waited longer.
    pub(super) fn begin(&mut self) -> Vec<ToCompare> {
        let mut claimed: BTreeSet<&Endpoint> = self.reading.iter().flat_map(|next| &next.replicas).collect();
        let mut free = Vec::with_capacity(self.waiting.len());
        for next in &self.waiting {
            free.push(next.replicas.iter().all(|at| !claimed.contains(at)));
            claimed.extend(&next.replicas);
        }
        let (mut free, mut begun) = (free.into_iter(), Vec::new());
        self.waiting.retain(|next| {
            let is_free = free.next() == Some(true);
            begun.extend(is_free.then(|| next.clone()));
            !is_free
        });
        self.reading.extend(begun.iter().cloned());
        begun
    }

    pub(super) fn ended(&mut self, ended: PartitionId) {
        self.reading.retain(|next| next.partition != ended);
    }

    /// The replicas that are compared, or will be, by partition.
    pub(super) fn by_partition(&self) -> BTreeMap<PartitionId, &[Endpoint]> {
        self.reading.iter().chain(&self.waiting).map(|next| (next.partition, next.replicas.as_slice())).collect()
    }

    /// Forgets what has not begun: whose it was.
    pub(super) fn clear(&mut self) -> Vec<PartitionId> {
        self.waiting.drain(..).map(|next| next.partition).collect()
    }
}

/// Compares all of that, if none holds more than `up_to` rows, and gives what was seen of each partition, which it tells as it goes.
/// Asks, and changes nothing.
pub async fn compare_all(
    cluster: &Cluster,
    wanted: Vec<ToCompare>,
    up_to: u64,
    tell: impl Fn(&ToCompare, &RowsSeen),
) -> BTreeMap<PartitionId, RowsSeen> {
    let mut comparing = Comparing::of(wanted);
    let (mut tasks, mut all) = (JoinSet::new(), BTreeMap::new());
    loop {
        for next in comparing.begin() {
            let cluster = cluster.clone();
            tasks.spawn(async move {
                let seen = rows_seen(&cluster, &next.table, next.partition, &next.replicas, up_to).await;
                (next, seen)
            });
        }
        match tasks.join_next().await {
            Some(Ok((ended, seen))) => {
                comparing.ended(ended.partition);
                tell(&ended, &seen);
                all.insert(ended.partition, seen);
            }
            Some(Err(error)) => std::panic::resume_unwind(error.into_panic()),
            None => return all,
        }
    }
}

impl Driver {
    /// Has these replicas compared, once their tablets are free for it.
    pub(super) fn compare(&mut self, partition: PartitionId, replicas: Vec<Endpoint>) {
        let Some((table, _)) = self.index.find(&self.snapshot.tables, partition) else { return };
        let table = table.name.clone();
        if let Some(task) = self.partitions.get_mut(&partition) {
            task.under_way += 1;
        }
        self.comparing.waiting.push_back(ToCompare { partition, table, replicas });
        self.begin_comparing();
    }

    fn begin_comparing(&mut self) {
        let up_to = self.settings.playbook.compare_rows_up_to();
        for next in self.comparing.begin() {
            let cluster = self.cluster.clone();
            self.tasks.spawn(async move {
                let seen = rows_seen(&cluster, &next.table, next.partition, &next.replicas, up_to).await;
                Report::Compared(next, Box::new(seen))
            });
        }
    }

    pub(super) fn note_compared(&mut self, ended: &ToCompare, seen: RowsSeen) {
        self.comparing.ended(ended.partition);
        self.begin_comparing();
        let name = format!("{}/{}", ended.table, ended.partition.pid);
        self.settings.record.note(&format!("{name}: {seen}"));
        (self.settings.listener)(&ended.checked(&seen));
        let Some(task) = self.partitions.get_mut(&ended.partition) else { return };
        task.under_way -= 1;
        task.memory.rows = Some(seen.after(task.memory.rows.as_ref()));
        // What was read may have taken long: what is decided on now is looked at first.
        self.now += 1;
        task.outdate(self.now);
        self.stirred.insert(ended.partition);
        self.hurry();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, Tid};

    fn wanted(pid: u32, replicas: &[&str]) -> ToCompare {
        ToCompare {
            partition: PartitionId { tid: Tid(7), pid: Pid(pid) },
            table: super::super::made_up::orders(),
            replicas: replicas.iter().map(|at| Endpoint::from(*at)).collect(),
        }
    }

    #[test]
    fn one_replica_of_a_tablet_is_read_at_a_time_and_nobody_is_passed_for_ever() {
        let pids = |begun: Vec<ToCompare>| begun.iter().map(|next| next.partition.pid.0).collect::<Vec<_>>();
        let all = [wanted(0, &["a", "b"]), wanted(1, &["b", "c"]), wanted(2, &["c", "d"]), wanted(3, &["e", "f"])];
        let mut comparing = Comparing::of(all.clone());
        assert_eq!(pids(comparing.begin()), [0, 3], "2 would take c from 1, which has waited longer");
        assert_eq!(pids(comparing.begin()), Vec::<u32>::new());
        comparing.ended(all[0].partition);
        assert_eq!(pids(comparing.begin()), [1]);
        comparing.ended(all[1].partition);
        assert_eq!(pids(comparing.begin()), [2]);
        assert_eq!(
            comparing.by_partition(),
            BTreeMap::from([
                (all[2].partition, all[2].replicas.as_slice()),
                (all[3].partition, all[3].replicas.as_slice())
            ])
        );
        assert_eq!(comparing.clear(), Vec::new());
    }
}
