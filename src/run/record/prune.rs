//! Which records may be removed: those that nobody needs any more, and no others. A later run reads records back to the newest
//! recovery that brought all of a cluster back (`left_by_runs`): what it reads stays.

use std::collections::BTreeSet;
use std::fs;
use std::io::{self, Read};
use std::path::PathBuf;

use crate::files;
use crate::model::{Action, Tablet};

use super::super::run_id::RunId;
use super::super::saving::WIPES_METADATA;
use super::archive::{Archive, Directory};
use super::cluster_names::ClusterNames;
use super::line::{Line, Work};
use super::recorded_run::{RecordedRun, RecordedRunError, UnfinishedWork, left_by_runs};
use super::{RecordError, RecordWriter, at};

/// Why a record stays.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Needed {
    /// It has no end: it is at work, or was killed.
    Unfinished,
    /// Its run left something to a later one.
    LeavesSomething,
    /// It is the newest recovery that brought all of its cluster back.
    BroughtAllBack,
    /// It settles something that an older run has left.
    Settles,
    /// It was the last to change auto_failover, and `status` tells so.
    SetFailover,
    /// All that is left of deleted metadata is saved beside it.
    SavedMetadata,
    /// It says how far leaders were when replicas of other clusters lost touch with them.
    Led,
    /// It cannot be read, so nobody knows.
    Unreadable,
}

impl Needed {
    /// The reason, as it follows a number of records.
    pub fn why(self) -> &'static str {
        match self {
            Self::Unfinished => "without an end: at work, or killed",
            Self::LeavesSomething => "whose run left something to a later one",
            Self::BroughtAllBack => "of the newest recovery of its cluster that brought everything back",
            Self::Settles => "that settles what an older run left",
            Self::SetFailover => "that says who last changed auto_failover",
            Self::SavedMetadata => "beside which deleted metadata are saved",
            Self::Led => "that say how far leaders were when another cluster lost touch with them",
            Self::Unreadable => "that cannot be read",
        }
    }
}

/// A record, and why it stays; none if nobody needs it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Kept {
    /// Which run it is of.
    pub run: RunId,
    /// Why it is needed.
    pub needed: Option<Needed>,
}

/// What a record says as far as others need it.
struct Told {
    run: RunId,
    recorded_run: Result<RecordedRun, RecordedRunError>,
    /// How far leaders were.
    led: bool,
}

/// Every record there is, the newest first.
///
/// # Errors
/// The archive cannot be read.
pub fn needed(archive: &dyn Archive) -> io::Result<Vec<Kept>> {
    let mut runs = archive.runs()?;
    runs.reverse();
    let read = |run| {
        let recorded_run = archive.read(run).map_err(RecordedRunError::from).and_then(RecordedRun::read);
        let led = recorded_run.as_ref().is_ok_and(|recorded_run| !recorded_run.led().is_empty());
        Told { run, recorded_run: recorded_run.map(light), led }
    };
    let told: Vec<Told> = runs.into_iter().map(read).collect();
    Ok((0..told.len()).map(|at| Kept { run: told[at].run, needed: why(&told, at) }).collect())
}

/// Without the lines that nobody here asks for: many records are held at once.
fn light(mut recorded_run: RecordedRun) -> RecordedRun {
    let sets_failover = recorded_run.failover_set().is_some();
    recorded_run.lines.retain(|line| match line {
        Line::Ended { .. } | Line::Dismissed { .. } => true,
        Line::Went { .. } | Line::Sending { action: Action::SetAutoFailover { .. }, .. } => sets_failover,
        _ => false,
    });
    let seen = &mut recorded_run.begun.snapshot;
    (recorded_run.begun.before, seen.tables, seen.ops) = (Vec::new(), Vec::new(), Vec::new());
    for tablet in seen.tablets.values_mut() {
        *tablet = Tablet { real_endpoint: tablet.real_endpoint.take(), ..Tablet::unknown() };
    }
    recorded_run
}

fn why(told: &[Told], at: usize) -> Option<Needed> {
    let Ok(recorded_run) = &told[at].recorded_run else { return Some(Needed::Unreadable) };
    if recorded_run.ended().is_none() && !recorded_run.is_dismissed() {
        return Some(Needed::Unfinished);
    }
    if !recorded_run.is_finished() && !recorded_run.is_dismissed() {
        return Some(Needed::LeavesSomething);
    }
    let names = ClusterNames::of(&recorded_run.begun);
    let of_it = |told: &Told| told.recorded_run.as_ref().is_ok_and(|other| names.is_of(&other.begun));
    let brought_all_back = |recorded_run: &RecordedRun| {
        recorded_run.is_finished() && recorded_run.begun.work() == Work::Recovery && recorded_run.begun.all
    };
    let newer = || told[..at].iter().filter(|told| of_it(told)).filter_map(|told| told.recorded_run.as_ref().ok());
    if newer().any(brought_all_back) {
        return None;
    }
    if brought_all_back(recorded_run) {
        return Some(Needed::BroughtAllBack);
    }
    // Until what was deleted is no longer missed.
    if recorded_run.begun.work() == Work::Step && recorded_run.begun.playbook == WIPES_METADATA {
        return Some(Needed::SavedMetadata);
    }
    let leaves = |told: &Told| match &told.recorded_run {
        Ok(older) => names.is_of(&older.begun) && !older.is_finished(),
        Err(_) => true,
    };
    if told[at + 1..].iter().any(leaves) {
        return Some(Needed::Settles);
    }
    if told[at].led {
        return Some(Needed::Led);
    }
    let is_newest = recorded_run.failover_set().is_some() && !newer().any(|newer| newer.failover_set().is_some());
    is_newest.then_some(Needed::SetFailover)
}

/// Whether later runs are left the same without these records.
///
/// # Errors
/// The archive cannot be read.
pub fn leaves_the_same(archive: &dyn Archive, without: &BTreeSet<RunId>) -> Result<bool, RecordError> {
    let mut clusters: Vec<ClusterNames> = Vec::new();
    for run in archive.runs().map_err(at(&archive.home()))? {
        let Ok(recorded_run) = archive.read(run).map_err(RecordedRunError::from).and_then(RecordedRun::read) else {
            continue;
        };
        let names = ClusterNames::of(&recorded_run.begun);
        if !clusters.contains(&names) {
            clusters.push(names);
        }
    }
    let rest = Without { archive, without };
    for cluster in &clusters {
        let left = |archive: &dyn Archive| left_by_runs(archive, cluster);
        // Which runs are known matters for what they have left, and these have left nothing.
        let of_interest = |left: UnfinishedWork| UnfinishedWork { known: BTreeSet::new(), ..left };
        if of_interest(left(archive)?) != of_interest(left(&rest)?) {
            return Ok(false);
        }
    }
    Ok(true)
}

/// An archive as if some of its records were removed.
struct Without<'a> {
    archive: &'a dyn Archive,
    without: &'a BTreeSet<RunId>,
}

impl Archive for Without<'_> {
    fn create(&self, _: RunId) -> io::Result<(RunId, Box<dyn RecordWriter>)> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn runs(&self) -> io::Result<Vec<RunId>> {
        Ok(self.archive.runs()?.into_iter().filter(|run| !self.without.contains(run)).collect())
    }

    fn read(&self, run: RunId) -> io::Result<Box<dyn Read>> {
        self.archive.read(run)
    }

    fn place(&self, run: RunId) -> String {
        self.archive.place(run)
    }

    fn home(&self) -> String {
        self.archive.home()
    }
}

impl Directory {
    /// A record's files: itself, and what was kept beside it.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn files_of(&self, run: RunId) -> io::Result<Vec<(PathBuf, u64)>> {
        let begins = format!("run-{run}.");
        let mut files = Vec::new();
        for entry in fs::read_dir(&self.0)? {
            let entry = entry?;
            if entry.file_name().to_string_lossy().starts_with(&begins) && entry.file_type()?.is_file() {
                files.push((entry.path(), entry.metadata()?.len()));
            }
        }
        // The record goes last: as long as it is there, what is beside it is found.
        files.sort_by_key(|(path, _)| path.extension().is_some_and(|extension| extension == "jsonl"));
        Ok(files)
    }

    /// Removes a record and what was kept beside it.
    ///
    /// # Errors
    /// Something of it is still there.
    pub fn remove(&self, run: RunId) -> io::Result<()> {
        self.files_of(run)?.iter().try_for_each(|(path, _)| files::remove(path).map(drop))
    }
}

#[cfg(test)]
#[path = "prune_tests.rs"]
mod tests;
