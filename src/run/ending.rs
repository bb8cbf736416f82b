//! How partitions end, and how the run does. A blocked one is not done with: it is decided again when what it rests on changes.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::model::PartitionId;
use crate::recovery::{Blocked, Reason, View};

use super::driver::{Driven, Driver, Stop};
use super::event::{Event, Milestone};
use super::partition_task::{End, PartitionTask};
use super::polling;
use super::stale;

impl Driver {
    pub(super) fn end(&mut self, id: PartitionId, view: &View, end: End) {
        let (state, blocked) = match &end {
            End::Healthy => (Milestone::Redundant, None),
            End::Blocked(blocked) => (Milestone::Blocked, Some(blocked.clone())),
        };
        self.lanes.ops_ended(id);
        if self.close(id, end) {
            self.settings.record.reached(&view.table, id, state, blocked.as_ref());
            (self.settings.listener)(&milestone(view, state, self.began, blocked));
        }
        self.settle(id);
    }

    /// Whether that end is news.
    fn close(&mut self, id: PartitionId, end: End) -> bool {
        let after = self.began.elapsed();
        let Some(task) = self.partitions.get_mut(&id) else { return false };
        let is_news = task.end(end, after);
        self.open -= 1;
        if !task.is_watched() {
            for endpoint in &task.endpoints {
                self.watched_at.entry(endpoint.clone()).and_modify(|watched| *watched -= 1);
            }
        }
        is_news
    }

    /// The table was dropped under our hands.
    pub(super) fn end_gone(&mut self, id: PartitionId) {
        let text = format!("{} is gone from the metadata", self.settings.record.name_of(id));
        (self.settings.listener)(&Event::Note { text });
        self.lanes.ops_ended(id);
        self.close(id, End::Healthy);
        self.settle(id);
    }

    /// Begins again with a partition whose end is not so any more, from fresh looks. Whether there is anything to begin.
    pub(super) fn reopen(&mut self, id: PartitionId) -> bool {
        let Some(task) = self.partitions.get_mut(&id) else { return false };
        let was_watched = task.is_watched();
        if !task.reopen(self.now) {
            return false;
        }
        for endpoint in &task.endpoints {
            let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
            probes.into_iter().for_each(stale::outdate);
            if !was_watched {
                *self.watched_at.entry(endpoint.clone()).or_insert(0) += 1;
            }
        }
        self.open += 1;
        self.stirred.insert(id);
        self.next_look.by(Instant::now() + polling::POLL_MIN);
        true
    }

    pub(super) fn finish(self, stopped: Option<Stop>) -> Driven {
        self.tell_of_others();
        self.tell_progress_now();
        let ends = self.partitions.iter().filter_map(|(id, task)| {
            let why = match &task.end {
                Some(End::Healthy) => return None,
                Some(End::Blocked(why)) => why.clone(),
                None => interrupted(task),
            };
            Some((*id, why))
        });
        let blocked: BTreeMap<PartitionId, Blocked> = ends.collect();
        let held = self.held();
        let serving_after = self.partitions.values().filter_map(|task| task.serving_after).max();
        let redundant_after = stopped.is_none().then(|| self.redundant_after());
        let memories = self.partitions.into_iter().map(|(id, task)| (id, task.memory)).collect();
        Driven { blocked, memories, serving_after, redundant_after, held, stopped }
    }

    /// When the last partition became redundant; if none did, when the last one was left alone. What was waited for in vain
    /// since does not count.
    fn redundant_after(&self) -> Duration {
        let driven = || self.partitions.values().filter(|task| !task.healthy_before);
        let redundant = driven().filter(|task| !task.is_watched()).filter_map(|task| task.ended_after).max();
        let last = || driven().filter_map(|task| task.ended_after).max();
        redundant.or_else(last).unwrap_or_else(|| self.began.elapsed())
    }
}

/// Why a partition is not done whose run has ended.
fn interrupted(task: &PartitionTask) -> Blocked {
    let waiting = task.waiting.as_ref().map_or(String::new(), |what| format!(", waiting for {what}"));
    Blocked::new(
        Reason::Interrupted,
        format!("the run ended before the partition was done{waiting}"),
        "run the same command again to continue",
    )
}

pub(super) fn milestone(view: &View, state: Milestone, began: Instant, blocked: Option<Blocked>) -> Event {
    let after_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Event::Partition { table: view.table.clone(), pid: view.partition.pid.0, state, after_ms, blocked }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Endpoint;
    use crate::recovery::{Ahead, Memory, WaitFor};

    /// Every one of them, and the compiler says so where one is added.
    fn all(at: &Endpoint) -> Vec<WaitFor> {
        let next = |what: &WaitFor| match what {
            WaitFor::Turn(Ahead::SystemTables) => Some(WaitFor::Turn(Ahead::BaseTable)),
            WaitFor::Turn(Ahead::BaseTable) => Some(WaitFor::Turn(Ahead::Aggregates)),
            WaitFor::Turn(Ahead::Aggregates) => Some(WaitFor::Turn(Ahead::Leaders)),
            WaitFor::Turn(Ahead::Leaders) => Some(WaitFor::Loading),
            WaitFor::Loading => Some(WaitFor::SlowLoad),
            WaitFor::SlowLoad => Some(WaitFor::Appearing(at.clone())),
            WaitFor::Appearing(_) => Some(WaitFor::Snapshot(at.clone())),
            WaitFor::Snapshot(_) => Some(WaitFor::UpForAMinute),
            WaitFor::UpForAMinute => Some(WaitFor::Ops),
            WaitFor::Ops => Some(WaitFor::OthersOps),
            WaitFor::OthersOps => Some(WaitFor::CatchUp(at.clone())),
            WaitFor::CatchUp(_) => Some(WaitFor::Rows(at.clone())),
            WaitFor::Rows(_) => Some(WaitFor::Stuck(at.clone())),
            WaitFor::Stuck(_) => Some(WaitFor::Dropping(at.clone())),
            WaitFor::Dropping(_) => Some(WaitFor::MovedAway(at.clone())),
            WaitFor::MovedAway(_) => Some(WaitFor::Answer(at.clone())),
            WaitFor::Answer(_) => Some(WaitFor::Registered(at.clone())),
            WaitFor::Registered(_) => Some(WaitFor::Begun(at.clone())),
            WaitFor::Begun(_) => Some(WaitFor::Flags),
            WaitFor::Flags => None,
        };
        std::iter::successors(Some(WaitFor::Turn(Ahead::SystemTables)), next).collect()
    }

    #[tokio::test]
    async fn what_an_interrupted_partition_waits_for_is_said_in_plain_words() {
        let at = Endpoint::from("a:1");
        let said = all(&at).into_iter().map(|what| {
            let mut task = PartitionTask::new(Memory::default(), vec![at.clone()]);
            task.waiting = Some(what);
            interrupted(&task).text.replace("the run ended before the partition was done, waiting for ", "")
        });
        let said: Vec<String> = said.collect();
        insta::assert_snapshot!(said.join("\n"), @r"
        OpenMLDB's own tables, which must come first
        the leader of its base table, which must come first
        its pre-aggregate tables, which must come first
        the leaders of other partitions, which must come first
        its replicas to load
        its replicas to load
        its replica on a:1 to appear after LoadTable
        a snapshot of its replica on a:1
        its tablets to have run long enough to be asked for snapshots
        an operation of the nameserver on it to end
        an operation of the nameserver on it to end
        its replica on a:1 to catch up with the leader
        its replica on a:1 to agree with the leader
        its replica on a:1 to accept what the leader sends
        a:1 to drop its replica
        a:1 to move away what it failed to load
        a:1 to answer
        the nameserver to consider a:1 healthy
        an operation for its replica on a:1 to show
        its flags to show what was changed
        ");
    }
}
