//! Questions to tablets about single replicas: to each tablet so many at a time. Each takes some kilobytes while it is under way, and
//! those of a big cluster come up all at once.

use std::collections::{BTreeMap, VecDeque};

use crate::model::{Endpoint, PartitionId, Probes, StorageMode};
use crate::recovery::{Probe, Question};
use crate::snapshot;

use super::driver::{Driver, Report};

/// To one tablet at a time: enough to fill its connection.
const AT_A_TIME: usize = 128;

/// A question about a partition's replica.
#[derive(Debug)]
struct ToAsk {
    partition: PartitionId,
    storage: StorageMode,
    question: Question,
}

/// What is to be asked, and how much is, by tablet.
#[derive(Debug, Default)]
pub(super) struct Asking(BTreeMap<Endpoint, Line>);

#[derive(Debug, Default)]
struct Line {
    under_way: usize,
    waiting: VecDeque<ToAsk>,
}

impl Asking {
    fn wait(&mut self, at: Endpoint, question: ToAsk) {
        self.0.entry(at).or_default().waiting.push_back(question);
    }

    /// What may be asked of a tablet now.
    fn begin(&mut self, at: &Endpoint) -> Vec<ToAsk> {
        let Some(line) = self.0.get_mut(at) else { return Vec::new() };
        let room = AT_A_TIME.saturating_sub(line.under_way).min(line.waiting.len());
        line.under_way += room;
        line.waiting.drain(..room).collect()
    }

    /// A question has been answered, or not. Where a tablet may have begun to hang the others wait for its deadline all at once, and
    /// not one after another.
    fn ended(&mut self, at: &Endpoint, is_answered: bool) -> Vec<ToAsk> {
        let Some(line) = self.0.get_mut(at) else { return Vec::new() };
        line.under_way = line.under_way.saturating_sub(1);
        if is_answered {
            return self.begin(at);
        }
        line.under_way += line.waiting.len();
        line.waiting.drain(..).collect()
    }

    /// Forgets what was not asked yet: whose it was.
    pub(super) fn clear(&mut self) -> Vec<PartitionId> {
        self.0.values_mut().flat_map(|line| line.waiting.drain(..)).map(|question| question.partition).collect()
    }
}

impl Driver {
    /// Has these questions asked, once their tablets have room for them.
    pub(super) fn ask(&mut self, id: PartitionId, probes: Vec<Probe>) {
        let found = self.index.find(&self.snapshot.tables, id);
        let Some(storage) = found.map(|(table, _)| table.storage) else { return };
        for Probe { endpoint, question } in probes {
            self.asking.wait(endpoint.clone(), ToAsk { partition: id, storage, question });
            let next = self.asking.begin(&endpoint);
            self.begin_asking(&endpoint, next);
        }
    }

    fn begin_asking(&mut self, at: &Endpoint, questions: Vec<ToAsk>) {
        for ToAsk { partition, storage, question } in questions {
            let (cluster, probe) = (self.cluster.clone(), Probe { endpoint: at.clone(), question });
            self.tasks.spawn(async move {
                let mut answer = Probes::UNASKED;
                snapshot::probe(&cluster, &probe, partition, storage, &mut answer).await;
                Report::Probed(partition, probe, Box::new(answer))
            });
        }
    }

    pub(super) fn note_probe(&mut self, id: PartitionId, probe: &Probe, answer: Probes) {
        let is_answered = match probe.question {
            Question::Manifest => answer.manifest.known().is_some(),
            Question::TermPair => answer.term_pair.known().is_some(),
            Question::Directory => answer.directory.known().is_some(),
            Question::Followers => answer.followers.known().is_some(),
            Question::Aggregator => answer.aggregator.known().is_some(),
        };
        let next = self.asking.ended(&probe.endpoint, is_answered);
        self.begin_asking(&probe.endpoint, next);
        if let Some(tablet) = self.snapshot.tablets.get_mut(&probe.endpoint) {
            let probes = tablet.probes.entry(id).or_insert(Probes::UNASKED);
            match probe.question {
                Question::Manifest => probes.manifest = answer.manifest,
                Question::TermPair => probes.term_pair = answer.term_pair,
                Question::Directory => probes.directory = answer.directory,
                Question::Followers => probes.followers = answer.followers,
                Question::Aggregator => probes.aggregator = answer.aggregator,
            }
        }
        if let Some(task) = self.partitions.get_mut(&id) {
            task.under_way -= 1;
            self.stirred.insert(id);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Pid, Tid};

    fn asking(count: usize) -> Asking {
        let mut asking = Asking::default();
        for pid in 0..count {
            let partition = PartitionId { tid: Tid(7), pid: Pid(u32::try_from(pid).unwrap()) };
            let question = Question::TermPair;
            asking.wait("a:1".into(), ToAsk { partition, storage: StorageMode::Memory, question });
        }
        asking
    }

    #[test]
    fn so_many_are_asked_at_a_time_and_each_answer_lets_the_next_one_begin() {
        let (at, mut asking) = (Endpoint::from("a:1"), asking(AT_A_TIME + 2));
        assert_eq!(asking.begin(&at).len(), AT_A_TIME);
        assert!(asking.begin(&at).is_empty());
        let next: Vec<u32> = asking.ended(&at, true).iter().map(|next| next.partition.pid.0).collect();
        assert_eq!(next, [128]);
        assert_eq!(asking.clear().len(), 1, "and what is left is forgotten when everything ends");
        assert!(asking.ended(&at, true).is_empty());
    }

    #[test]
    fn a_tablet_that_hangs_is_waited_for_by_all_at_once() {
        let (at, mut asking) = (Endpoint::from("a:1"), asking(AT_A_TIME * 10));
        asking.begin(&at);
        assert_eq!(asking.ended(&at, false).len(), AT_A_TIME * 9);
        assert!((0..AT_A_TIME * 10 - 1).all(|_| asking.ended(&at, false).is_empty()), "each was asked once");
        asking.wait(at.clone(), asking_one());
        assert_eq!(asking.begin(&at).len(), 1, "and nothing is left over that would be counted for ever");
    }

    fn asking_one() -> ToAsk {
        let partition = PartitionId { tid: Tid(7), pid: Pid(0) };
        ToAsk { partition, storage: StorageMode::Memory, question: Question::TermPair }
    }
}
