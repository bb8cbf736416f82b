//! Reading records: what a run tells, and what unfinished ones leave to the next.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, BufRead, BufReader};

use crate::model::{Action, Endpoint, PartitionId};
use crate::recovery::{self, Outcome};

use super::super::event::Milestone;
use super::super::hold::HeldFor;
use super::super::kept::PlanId;
use super::super::old_terms::OldTerms;
use super::super::run_id::RunId;
use super::archive::Archive;
use super::cluster_names::ClusterNames;
use super::led::LedBeside;
use super::line::{By, Line, RunHeader, VERSION, Work};
use super::{RecordError, at};

/// The longest line read, in bytes: the snapshot of a million replicas is a tenth of it.
const LONGEST: u64 = 4 << 30;

/// A record as it can be read.
#[derive(Debug, Clone, PartialEq)]
pub struct RecordedRun {
    /// The first line.
    pub begun: RunHeader,
    /// The others, in order.
    pub lines: Vec<Line>,
    /// Lines that cannot be read. The last line of a process that was killed may be one.
    pub unreadable: usize,
}

/// Why a file is no record that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RecordedRunError {
    /// It cannot be read at all.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Its first line is not one.
    #[error("its first line is not the beginning of a record: {0}")]
    NotARecord(String),
    /// It is from another version of the program.
    #[error("its lines have version {0}, and this program reads version {VERSION}")]
    Version(u32),
}

/// What the runs on a cluster left.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct UnfinishedWork {
    /// The newest recovery that did not bring everything back.
    pub run: Option<RunId>,
    /// How that one ended; none if it did not, because it was killed or is at work.
    pub ended: Option<String>,
    /// Who had it run.
    pub by: By,
    /// Where its record is.
    pub place: String,
    /// The plan that it was told to apply, or to accept the losses of.
    pub plan: Option<PlanId>,
    /// The losses that were accepted for it.
    pub accepted: BTreeMap<PartitionId, Vec<recovery::Loss>>,
    /// Every run on this cluster whose record is here; of those before a recovery that brought everything back, of whatever cluster.
    pub known: BTreeSet<RunId>,
    /// What auto_failover was, if it was not restored.
    pub auto_failover: Option<bool>,
    /// Who has not restored it.
    pub owed_by: Option<RunId>,
    /// The newest change of auto_failover that any of them made.
    pub failover_set: Option<FailoverSet>,
    /// What is known of each partition.
    pub partitions: BTreeMap<PartitionId, recovery::PriorRun>,
    /// The replicas for which it is kept off, as the newest run left it.
    pub held_for: Vec<HeldFor>,
    /// How far leaders were when replicas of other clusters lost touch with them.
    pub led: LedBeside,
    /// Records of this cluster that cannot be used, and why.
    pub unusable: Vec<String>,
    /// Whose history of terms is from a backup. Not from records: ZooKeeper has it.
    pub old_terms: Option<OldTerms>,
}

/// A change of auto_failover.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FailoverSet {
    /// What it was set to.
    pub on: bool,
    /// When, in milliseconds since 1970.
    pub at_ms: u64,
    /// By which run.
    pub run: RunId,
    /// On which host.
    pub host: String,
    /// What that run was for.
    pub work: Work,
    /// What it is called: a step as it is typed, a playbook.
    pub name: String,
}

impl UnfinishedWork {
    /// Another host has gone on since: what was left here is of no interest any more.
    pub(in super::super) fn settled_elsewhere(self) -> Self {
        Self { known: self.known, failover_set: self.failover_set, unusable: self.unusable, ..Self::default() }
    }

    /// Whether the newest recovery broke off: it was killed, interrupted, or came to a fault.
    pub fn broke_off(&self) -> bool {
        self.run.is_some() && self.ended.as_deref() != Some("partial")
    }
}

impl RecordedRun {
    /// Reads a record. What cannot be understood is counted and skipped; only a first line that cannot be is an error.
    ///
    /// # Errors
    /// See [`RecordedRunError`].
    pub fn read(text: impl io::Read) -> Result<Self, RecordedRunError> {
        let mut lines = Lines { text: BufReader::new(text) };
        let first = lines.next()?.unwrap_or_default();
        let begun = first_line(&first)?;
        let mut recorded_run = Self { begun, lines: Vec::new(), unreadable: 0 };
        while let Some(line) = lines.next()? {
            match serde_json::from_slice(&line) {
                Ok(line) => recorded_run.lines.push(line),
                Err(_) => recorded_run.unreadable += 1,
            }
        }
        Ok(recorded_run)
    }

    /// How it ended, if it did.
    pub fn ended(&self) -> Option<&Line> {
        self.lines.iter().rev().find(|line| matches!(line, Line::Ended { .. }))
    }

    /// How it ended, in a word, if it did.
    pub fn verdict(&self) -> Option<&str> {
        match self.ended() {
            Some(Line::Ended { verdict, .. }) => Some(verdict),
            _ => None,
        }
    }

    /// Whether a line says how the run ended, or what is owed after it.
    pub fn is_about_the_end(line: &Line) -> bool {
        matches!(line, Line::Ended { .. } | Line::Exited { .. } | Line::Dismissed { .. } | Line::FailoverWanted { .. })
    }

    /// With which exit code its process ended, if that is known.
    pub fn exit_code(&self) -> Option<u8> {
        self.lines.iter().rev().find_map(|line| match line {
            Line::Exited { code, .. } => Some(*code),
            _ => None,
        })
    }

    /// How long it took, in milliseconds, if it ended.
    pub fn took_ms(&self) -> Option<u64> {
        match self.ended() {
            Some(Line::Ended { at_ms, .. }) => Some(*at_ms),
            _ => None,
        }
    }

    /// Whether nothing of it matters to a later run.
    pub fn is_finished(&self) -> bool {
        matches!(self.ended(), Some(Line::Ended { finished: true, .. }))
    }

    /// Whether somebody has said that nobody goes on with it.
    pub fn is_dismissed(&self) -> bool {
        self.lines.iter().any(|line| matches!(line, Line::Dismissed { .. }))
    }

    /// What auto_failover was, or what somebody else wanted it to be meanwhile, if it was not restored. A step changes
    /// it for good, or not at all.
    pub fn owed(&self) -> Option<bool> {
        let restored = matches!(self.ended(), Some(Line::Ended { restored: true, .. }));
        let wanted = self.lines.iter().any(|line| matches!(line, Line::FailoverWanted { .. }));
        (!restored && self.begun.work() != Work::Step).then_some(self.begun.auto_failover || wanted)
    }

    /// The last change of auto_failover that it made, or may have made.
    pub fn failover_set(&self) -> Option<FailoverSet> {
        let mut sets: Vec<(u64, u64, bool)> = Vec::new();
        for line in &self.lines {
            match line {
                Line::Sending { at_ms, number, action: Action::SetAutoFailover { on }, .. } => {
                    sets.push((*number, *at_ms, *on));
                }
                Line::Went { number, outcome: Outcome::Refused { .. } | Outcome::NotApplied(_), .. } => {
                    sets.retain(|(sent, ..)| sent != number);
                }
                _ => {}
            }
        }
        let (_, after_ms, on) = sets.pop()?;
        let begun = &self.begun;
        Some(FailoverSet {
            on,
            at_ms: begun.run.began_ms.saturating_add(after_ms),
            run: begun.run,
            host: begun.caller.host.clone(),
            work: begun.work(),
            name: begun.playbook.clone(),
        })
    }

    /// The replicas for which auto_failover is kept off, by it or by a run before it.
    pub fn held_for(&self) -> &[HeldFor] {
        match self.ended() {
            Some(Line::Ended { held_for, .. }) => held_for,
            _ => &self.begun.held_for,
        }
    }

    /// The replicas that the nameserver may replace, because somebody has said so.
    fn released(&self) -> impl Iterator<Item = (PartitionId, Endpoint)> {
        self.lines.iter().filter_map(|line| match line {
            Line::Released { partition, endpoint, .. } => Some((*partition, endpoint.clone())),
            _ => None,
        })
    }

    /// What the run left of every partition in its scope. A partition that it brought back leaves nothing.
    fn partitions(&self) -> BTreeMap<PartitionId, recovery::PriorRun> {
        let mut partitions: BTreeMap<PartitionId, recovery::PriorRun> = BTreeMap::new();
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

fn first_line(text: &[u8]) -> Result<RunHeader, RecordedRunError> {
    #[derive(serde::Deserialize)]
    struct Versioned {
        version: u32,
    }
    let no_record = |error: serde_json::Error| RecordedRunError::NotARecord(error.to_string());
    let Versioned { version } = serde_json::from_slice(text).map_err(no_record)?;
    if version != VERSION {
        return Err(RecordedRunError::Version(version));
    }
    match serde_json::from_slice(text).map_err(no_record)? {
        Line::Begun(begun) => Ok(*begun),
        _ => Err(RecordedRunError::NotARecord("another line comes first".to_owned())),
    }
}

/// What runs left, as it was read last: for whoever asks again and again while nothing is written.
#[derive(Debug, Default)]
pub struct LeftBefore(Option<(ClusterNames, Sizes, UnfinishedWork)>);

/// How long the record of each run was.
type Sizes = Vec<(RunId, u64)>;

impl LeftBefore {
    /// As [`left_by_runs`], read anew only where a record has come, gone or grown.
    ///
    /// # Errors
    /// The archive cannot be read.
    pub fn read(&mut self, archive: &dyn Archive, cluster: &ClusterNames) -> Result<UnfinishedWork, RecordError> {
        let runs = archive.runs().map_err(at(&archive.home()))?;
        // If it is being removed just now, its size is not known, and everything is read.
        let sizes: Option<Sizes> = runs.into_iter().map(|run| Some((run, archive.size(run).ok()?))).collect();
        if let (Some((of, then, left)), Some(sizes)) = (&self.0, &sizes)
            && (of, then) == (cluster, sizes)
        {
            return Ok(left.clone());
        }
        let left = left_by_runs(archive, cluster)?;
        self.0 = sizes.map(|sizes| (cluster.clone(), sizes, left.clone()));
        Ok(left)
    }
}

/// What the runs on this cluster left: of each partition what the newest recovery knew that had it in scope and did not bring
/// everything back. Other work in between leaves nothing of partitions. What came before a recovery that brought all of the cluster
/// back is of no interest.
///
/// # Errors
/// The archive cannot be read.
pub fn left_by_runs(archive: &dyn Archive, cluster: &ClusterNames) -> Result<UnfinishedWork, RecordError> {
    let mut left = UnfinishedWork::default();
    let mut settled: BTreeSet<PartitionId> = BTreeSet::new();
    let mut released: BTreeSet<(PartitionId, Endpoint)> = BTreeSet::new();
    let mut is_owed = true;
    let mut runs = archive.runs().map_err(at(&archive.home()))?;
    while let Some(run) = runs.pop() {
        let recorded_run = match archive.read(run).map_err(RecordedRunError::from).and_then(RecordedRun::read) {
            Ok(recorded_run) => recorded_run,
            // Nothing was changed before the first line was complete.
            Err(RecordedRunError::NotARecord(_)) => continue,
            Err(error @ (RecordedRunError::Version(_) | RecordedRunError::Io(_))) => {
                left.unusable.push(format!("{}: {error}", archive.place(run)));
                continue;
            }
        };
        if !cluster.is_of(&recorded_run.begun) {
            continue;
        }
        left.known.insert(run);
        let set = recorded_run.failover_set();
        if left.failover_set.is_none() {
            left.failover_set.clone_from(&set);
        }
        // Whoever came later took over what was owed, or has set it anew; a step that is about something else has not.
        if is_owed && (recorded_run.begun.work() != Work::Step || set.is_some()) {
            is_owed = false;
            left.auto_failover = recorded_run.owed();
            left.owed_by = left.auto_failover.map(|_| run);
            left.held_for = recorded_run.held_for().to_vec();
        }
        released.extend(recorded_run.released());
        for (beside, led) in recorded_run.led() {
            match left.led.entry(beside) {
                Entry::Vacant(entry) => drop(entry.insert(led)),
                Entry::Occupied(mut entry) => entry.get_mut().with_older(led),
            }
        }
        if recorded_run.begun.work() != Work::Recovery {
            continue;
        }
        let finished = recorded_run.is_finished();
        if !finished && left.run.is_none() {
            left.run = Some(run);
            left.ended = recorded_run.verdict().map(str::to_owned);
            left.by = recorded_run.begun.caller.by;
            left.place = archive.place(run);
            (left.plan, left.accepted) = (recorded_run.begun.plan.clone(), recorded_run.begun.accepted.clone());
        }
        for (id, mut partition) in recorded_run.partitions() {
            for (_, endpoint) in released.range((id, Endpoint::from(""))..).take_while(|(of, _)| *of == id) {
                let remembered = partition.remembered.entry(endpoint.clone()).or_default();
                remembered.replaceable = Some(recovery::Replaceable::Released);
            }
            if settled.insert(id) && !finished && partition != recovery::PriorRun::default() {
                left.partitions.insert(id, partition);
            }
        }
        if finished && recorded_run.begun.all {
            // A note of theirs may have stayed in a ZooKeeper that this one was not found through: it is settled all the same.
            left.known.extend(runs);
            break;
        }
    }
    left.led.retain(|_, led| led.lost_touch());
    Ok(left)
}
