//! What each tablet had under way, by time: replicas that load, operations on replicas, what was waited for.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::{Action, Endpoint, PartitionId};
use crate::recovery::Load;
use crate::run::{Line, RecordedRun};

/// Into so many parts a run's time is cut, at most.
const BUCKETS: u64 = 240;

/// Something that was under way at a tablet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Load = 0,
    Op = 1,
    Wait = 2,
}

/// How many things of each kind were under way at each tablet: numbers of parts, each with the most there were in it.
pub(super) struct Timeline {
    pub(super) buckets: u64,
    pub(super) bucket_ms: u64,
    pub(super) took_ms: u64,
    pub(super) lanes: BTreeMap<Endpoint, [Vec<u64>; 3]>,
}

/// When something began.
#[derive(Default)]
struct Open {
    loads: BTreeMap<(PartitionId, Endpoint), u64>,
    ops: BTreeMap<PartitionId, (Endpoint, u64)>,
    waits: BTreeMap<PartitionId, (Endpoint, u64)>,
}

type Span = (Endpoint, Kind, u64, u64);

impl Timeline {
    /// The timeline of a record.
    pub(super) fn of(recorded_run: &RecordedRun) -> Self {
        let spans = spans(recorded_run);
        let last = recorded_run.lines.iter().filter_map(at_ms).max().unwrap_or(0);
        let took_ms = recorded_run.took_ms().unwrap_or(last).max(1);
        let bucket_ms = took_ms.div_ceil(BUCKETS).max(1);
        let buckets = took_ms.div_ceil(bucket_ms).max(1);
        let mut changes: BTreeMap<Endpoint, [BTreeMap<u64, i64>; 3]> = BTreeMap::new();
        for (endpoint, kind, from, to) in spans {
            let changes = &mut changes.entry(endpoint).or_default()[kind as usize];
            let (first, last) = ((from / bucket_ms).min(buckets - 1), (to / bucket_ms).min(buckets - 1));
            *changes.entry(first).or_default() += 1;
            *changes.entry(last + 1).or_default() -= 1;
        }
        let lanes = changes.into_iter().map(|(at, kinds)| (at, kinds.map(|changes| runs(&changes, buckets))));
        Self { buckets, bucket_ms, took_ms, lanes: lanes.collect() }
    }
}

/// Lengths and values, one after the other.
fn runs(changes: &BTreeMap<u64, i64>, buckets: u64) -> Vec<u64> {
    let mut runs = Vec::new();
    let (mut since, mut value) = (0, 0_i64);
    let ends = changes.iter().map(|(at, change)| (*at, *change)).chain([(buckets, 0)]);
    for (at, change) in ends {
        let at = at.min(buckets);
        if at > since {
            runs.extend([at - since, u64::try_from(value).unwrap_or(0)]);
            since = at;
        }
        value += change;
    }
    runs
}

fn spans(recorded_run: &RecordedRun) -> Vec<Span> {
    let (mut spans, mut open, mut now) = (Vec::new(), Open::default(), 0);
    for line in &recorded_run.lines {
        now = at_ms(line).unwrap_or(now);
        let partition = match line {
            Line::Chosen { partition, .. } | Line::Waiting { partition, .. } | Line::Reached { partition, .. } => {
                Some(*partition)
            }
            Line::Sending { partition, .. } => *partition,
            _ => None,
        };
        if let Some((endpoint, from)) = partition.and_then(|partition| open.waits.remove(&partition)) {
            spans.push((endpoint, Kind::Wait, from, now));
        }
        match line {
            Line::Sending { partition: Some(id), action, .. } => {
                // What it was told before is over.
                if let Some((endpoint, from)) = open.ops.remove(id) {
                    spans.push((endpoint, Kind::Op, from, now));
                }
                match action {
                    Action::LoadTable { endpoint, .. } | Action::LoadWithSchema { endpoint, .. } => {
                        open.loads.insert((*id, endpoint.clone()), now);
                    }
                    Action::RecoverTable { endpoint, .. } | Action::ChangeLeader { candidate: endpoint, .. } => {
                        open.ops.insert(*id, (endpoint.clone(), now));
                    }
                    _ => {}
                }
            }
            Line::Remembered { partition, endpoint, memory } => {
                let is_under_way = matches!(memory.load, Load::NotSent | Load::Accepted | Load::Seen);
                let begun = (!is_under_way).then(|| open.loads.remove(&(*partition, endpoint.clone()))).flatten();
                spans.extend(begun.map(|from| (endpoint.clone(), Kind::Load, from, now)));
            }
            Line::Waiting { partition, what, .. } => {
                let at = what.endpoint().cloned();
                open.waits.extend(at.map(|endpoint| (*partition, (endpoint, now))));
            }
            Line::Reached { partition, .. } => {
                spans.extend(open.ops.remove(partition).map(|(endpoint, from)| (endpoint, Kind::Op, from, now)));
            }
            _ => {}
        }
    }
    spans.extend(open.loads.into_iter().map(|((_, endpoint), from)| (endpoint, Kind::Load, from, now)));
    spans.extend(open.ops.into_values().map(|(endpoint, from)| (endpoint, Kind::Op, from, now)));
    spans.extend(open.waits.into_values().map(|(endpoint, from)| (endpoint, Kind::Wait, from, now)));
    spans
}

/// When a line was written, in milliseconds since the run began.
pub(super) fn at_ms(line: &Line) -> Option<u64> {
    match line {
        Line::Chosen { at_ms, .. }
        | Line::Waiting { at_ms, .. }
        | Line::Sending { at_ms, .. }
        | Line::Command { at_ms, .. }
        | Line::Went { at_ms, .. }
        | Line::Reached { at_ms, .. }
        | Line::Released { at_ms, .. }
        | Line::Detached { at_ms, .. }
        | Line::FailoverWanted { at_ms }
        | Line::Expected { at_ms, .. }
        | Line::Progress { at_ms, .. }
        | Line::Arranging { at_ms, .. }
        | Line::Note { at_ms, .. }
        | Line::Ended { at_ms, .. } => Some(*at_ms),
        // These are said on the calendar, or not at all.
        Line::Begun(_) | Line::Remembered { .. } | Line::Exited { .. } | Line::Dismissed { .. } => None,
    }
}

/// The tablets there are anything to say of.
pub(super) fn tablets(recorded_run: &RecordedRun) -> BTreeSet<Endpoint> {
    let placed = recorded_run.begun.snapshot.tables.iter().flat_map(|table| &table.partitions);
    let placed = placed.flat_map(|partition| partition.replicas.iter().map(|replica| replica.endpoint.clone()));
    recorded_run.begun.snapshot.tablets.keys().cloned().chain(placed).collect()
}
