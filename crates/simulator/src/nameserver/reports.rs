//! What tablets last reported, kept so that a pass costs what has changed, and not what there is.

use std::collections::{BTreeMap, BTreeSet};

use super::PartitionKey;
use crate::tablet::Counts;

/// The reports that count, by tablet.
#[derive(Debug, Clone, Default)]
pub(super) struct Reports {
    by_tablet: BTreeMap<String, Report>,
    /// Partitions of which something else is reported than was noted.
    news: BTreeSet<PartitionKey>,
    /// Whether anything was noted yet.
    begun: bool,
}

#[derive(Debug, Clone)]
struct Report {
    held: Vec<(PartitionKey, Counts)>,
    /// The tablet's count of changes; none if its numbers may change by themselves.
    changes: Option<u64>,
}

impl Reports {
    /// A tablet's count of changes when it last reported.
    pub(super) fn changes(&self, endpoint: &str) -> Option<u64> {
        self.by_tablet.get(endpoint)?.changes
    }

    /// A tablet reports, in the order of partitions.
    pub(super) fn note(&mut self, endpoint: &str, held: Vec<(PartitionKey, Counts)>, changes: Option<u64>) {
        let report = Report { held, changes };
        let before = self.by_tablet.get(endpoint).map_or(&[][..], |before| &before.held);
        self.news.extend(differences(before, &report.held));
        self.by_tablet.insert(endpoint.to_owned(), report);
    }

    /// A tablet does not report.
    pub(super) fn forget(&mut self, endpoint: &str) {
        if let Some(report) = self.by_tablet.remove(endpoint) {
            self.news.extend(report.held.iter().map(|(partition, _)| *partition));
        }
    }

    /// Those that are not asked any more do not report.
    pub(super) fn keep(&mut self, is_asked: impl Fn(&str) -> bool) {
        let gone: Vec<String> = self.by_tablet.keys().filter(|endpoint| !is_asked(endpoint)).cloned().collect();
        gone.iter().for_each(|endpoint| self.forget(endpoint));
    }

    /// Whether nobody reports anything.
    pub(super) fn are_empty(&self) -> bool {
        self.by_tablet.values().all(|report| report.held.is_empty())
    }

    /// Whether nothing was noted before.
    pub(super) fn begin(&mut self) -> bool {
        !std::mem::replace(&mut self.begun, true)
    }

    /// The partitions of which something else was reported since this was last asked.
    pub(super) fn take_news(&mut self) -> BTreeSet<PartitionKey> {
        std::mem::take(&mut self.news)
    }

    /// What a tablet reports of a partition.
    pub(super) fn of(&self, endpoint: &str, partition: PartitionKey) -> Option<Counts> {
        let held = &self.by_tablet.get(endpoint)?.held;
        let at = held.binary_search_by_key(&partition, |(partition, _)| *partition).ok()?;
        Some(held[at].1)
    }
}

/// The partitions of which two reports differ; both are in their order.
fn differences(before: &[(PartitionKey, Counts)], now: &[(PartitionKey, Counts)]) -> Vec<PartitionKey> {
    let (mut before, mut now) = (before.iter().peekable(), now.iter().peekable());
    let mut differ = Vec::new();
    loop {
        let next = match (before.peek(), now.peek()) {
            (None, None) => return differ,
            (Some((one, _)), None) | (None, Some((one, _))) => *one,
            (Some((one, _)), Some((other, _))) => *one.min(other),
        };
        let was = before.next_if(|(partition, _)| *partition == next);
        let is = now.next_if(|(partition, _)| *partition == next);
        if was != is {
            differ.push(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn report(held: &[(u32, u64)]) -> Vec<(PartitionKey, Counts)> {
        let counts = |offset| Counts { offset, record_cnt: 0, record_byte_size: 0, diskused: 0, first_index: None };
        held.iter().map(|(pid, offset)| (PartitionKey { tid: 1, pid: *pid }, counts(*offset))).collect()
    }

    fn pids(news: BTreeSet<PartitionKey>) -> Vec<u32> {
        news.into_iter().map(|partition| partition.pid).collect()
    }

    #[test]
    fn what_came_went_or_changed_is_news_until_it_was_taken() {
        let mut reports = Reports::default();
        reports.note("a", report(&[(0, 5), (1, 5), (3, 5)]), Some(1));
        assert_eq!(pids(reports.take_news()), [0, 1, 3]);
        reports.note("a", report(&[(0, 5), (1, 6), (2, 5)]), Some(2));
        reports.note("a", report(&[(0, 5), (1, 6), (2, 5)]), Some(3));
        assert_eq!(pids(reports.take_news()), [1, 2, 3]);
        reports.keep(|_| false);
        assert_eq!((pids(reports.take_news()), reports.are_empty()), (vec![0, 1, 2], true));
    }
}
