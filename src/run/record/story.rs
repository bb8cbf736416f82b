//! Reading records: what a run tells, and what unfinished ones leave to the next.

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader};

use crate::model::PartitionId;
use crate::recovery;

use super::super::event::Milestone;
use super::super::kept::PlanId;
use super::super::run_id::RunId;
use super::archive::Archive;
use super::line::{Begun, Line, VERSION};
use super::{RecordError, at};

/// The longest line read, in bytes: the snapshot of a million replicas is a tenth of it.
const LONGEST: u64 = 4 << 30;

/// A record as it can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct Story {
    /// The first line.
    pub begun: Begun,
    /// The others, in order.
    pub lines: Vec<Line>,
    /// Lines that cannot be read. The last line of a process that was killed may be one.
    pub unreadable: usize,
}

/// Why a file is no record that can be used.
#[derive(Debug, thiserror::Error)]
pub enum StoryError {
    /// It cannot be read at all.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its first line is not one.
    #[error("its first line is no beginning of a record: {0}")]
    NotARecord(String),
    /// It is from another version of the program.
    #[error("its lines have version {0}, and this program reads version {VERSION}")]
    Version(u32),
}

/// What unfinished runs left.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Left {
    /// The newest one.
    pub run: Option<RunId>,
    /// The newest one of all, finished or not.
    pub newest: Option<RunId>,
    /// Where the record of the newest unfinished one is.
    pub place: String,
    /// What auto_failover was, if it was not given back.
    pub auto_failover: Option<bool>,
    /// The plan that the newest unfinished one was told to apply, or to accept the losses of.
    pub plan: Option<PlanId>,
    /// The losses that were accepted for it.
    pub accepted: BTreeMap<PartitionId, Vec<recovery::Loss>>,
    /// What is known of each partition.
    pub partitions: BTreeMap<PartitionId, recovery::Earlier>,
    /// Records of this cluster that cannot be used, and why.
    pub unusable: Vec<String>,
}

impl Story {
    /// Reads a record. What cannot be understood is counted and skipped; only a first line that cannot be is an error.
    ///
    /// # Errors
    /// See [`StoryError`].
    pub fn read(text: impl io::Read) -> Result<Self, StoryError> {
        let mut lines = Lines { text: BufReader::new(text) };
        let first = lines.next()?.unwrap_or_default();
        let begun = first_line(&first)?;
        let mut story = Self { begun, lines: Vec::new(), unreadable: 0 };
        while let Some(line) = lines.next()? {
            match serde_json::from_slice(&line) {
                Ok(line) => story.lines.push(line),
                Err(_) => story.unreadable += 1,
            }
        }
        Ok(story)
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<&Line> {
        self.lines.iter().rev().find(|line| matches!(line, Line::Ended { .. }))
    }

    /// Whether nothing of it matters to a later run.
    pub fn is_finished(&self) -> bool {
        matches!(self.ended(), Some(Line::Ended { finished: true, .. }))
    }

    /// What auto_failover was, if it was not given back.
    pub fn owed(&self) -> Option<bool> {
        let restored = matches!(self.ended(), Some(Line::Ended { restored: true, .. }));
        (!restored).then_some(self.begun.auto_failover)
    }

    /// What the run left of every partition in its scope. A partition that it brought back leaves nothing.
    fn partitions(&self) -> BTreeMap<PartitionId, recovery::Earlier> {
        let mut partitions: BTreeMap<PartitionId, recovery::Earlier> = BTreeMap::new();
        for before in &self.begun.before {
            let partition = partitions.entry(before.partition).or_default();
            let tablet = self.begun.snapshot.tablets.get(&before.endpoint);
            let manifest = tablet.and_then(|tablet| tablet.probes(before.partition).manifest.known());
            if manifest.is_some_and(|manifest| manifest.offset.0 > 0) {
                partition.had_snapshot.insert(before.endpoint.clone());
            }
            if let Some(since) = recovery::healthy_since(&self.begun.snapshot, &before.endpoint) {
                partition.healthy_since.insert(before.endpoint.clone(), since);
            }
            partition.before.push(before.clone());
        }
        for line in &self.lines {
            match line {
                Line::Chosen { partition, choice, .. } => {
                    partitions.entry(*partition).or_default().choice = Some((**choice).clone());
                }
                Line::Remembered { partition, endpoint, memory } => {
                    let partition = partitions.entry(*partition).or_default();
                    partition.remembered.insert(endpoint.clone(), memory.clone());
                }
                Line::Reached { partition, state: Milestone::Redundant, .. } => {
                    partitions.entry(*partition).or_default().settle();
                }
                _ => {}
            }
        }
        partitions
    }
}

/// Lines of bytes, each with a limit.
struct Lines<R> {
    text: R,
}

impl<R: BufRead> Lines<R> {
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        let mut line = Vec::new();
        let read = io::Read::take(&mut self.text, LONGEST).read_until(b'\n', &mut line)?;
        Ok((read > 0).then_some(line))
    }
}

fn first_line(text: &[u8]) -> Result<Begun, StoryError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let no_record = |error: serde_json::Error| StoryError::NotARecord(error.to_string());
    let Versioned { version } = serde_json::from_slice(text).map_err(no_record)?;
    if version != VERSION {
        return Err(StoryError::Version(version));
    }
    match serde_json::from_slice(text).map_err(no_record)? {
        Line::Begun(begun) => Ok(*begun),
        _ => Err(StoryError::NotARecord("another line comes first".to_owned())),
    }
}

/// What the runs on this cluster left that did not finish: of each partition what the newest of them knew that had it in
/// scope. Runs before one that finished all of the cluster are of no interest.
///
/// # Errors
/// The archive cannot be read.
pub fn left_by_runs(archive: &dyn Archive, cluster: &str) -> Result<Left, RecordError> {
    let mut left = Left::default();
    let mut settled: BTreeMap<PartitionId, ()> = BTreeMap::new();
    let mut newest = true;
    for run in archive.runs().map_err(at(&archive.home()))?.into_iter().rev() {
        let story = match archive.read(run).map_err(StoryError::from).and_then(Story::read) {
            Ok(story) => story,
            Err(error @ StoryError::Version(_)) => {
                left.unusable.push(format!("{}: {error}", archive.place(run)));
                continue;
            }
            // Nothing was changed before the first line was complete.
            Err(StoryError::NotARecord(_)) => continue,
            Err(StoryError::Io(error)) => {
                left.unusable.push(format!("{}: {error}", archive.place(run)));
                continue;
            }
        };
        if story.begun.cluster != cluster {
            continue;
        }
        let finished = story.is_finished();
        if !finished && left.run.is_none() {
            left.run = Some(run);
            left.place = archive.place(run);
            (left.plan, left.accepted) = (story.begun.plan.clone(), story.begun.accepted.clone());
        }
        left.newest.get_or_insert(run);
        // Whoever came later took over what was owed.
        if std::mem::take(&mut newest) {
            left.auto_failover = story.owed();
        }
        for (id, partition) in story.partitions() {
            if settled.insert(id, ()).is_none() && !finished && partition != recovery::Earlier::default() {
                left.partitions.insert(id, partition);
            }
        }
        if finished && story.begun.all {
            break;
        }
    }
    Ok(left)
}
