//! What a run writes down: everything as it was before its first change, every decision and its reason, every mutating
//! call before and after, what it has to remember, how it ended. Lines are only ever added. A call is on disk before it is
//! sent; how it went is in the file at once, and on disk before the next call is sent.

mod archive;
mod line;
mod story;

use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::model::{Action, Endpoint, PartitionId, TableName};
use crate::recovery::{Blocked, Choice, Load, Memory, Outcome, Remembered, Wait};

pub use archive::{Archive, Directory, Paper, Shelf};
pub use line::{Begun, Caller, Line, VERSION};
pub use story::{Left, Story, StoryError, left_by_runs};

use super::event::Milestone;
use super::going_on::GoingOn;
use super::run_id::RunId;

/// A record that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the record {place}: {source}")]
pub struct RecordError {
    place: String,
    source: io::Error,
}

fn at(place: &str) -> impl FnOnce(io::Error) -> RecordError + use<> {
    let place = place.to_owned();
    move |source| RecordError { place, source }
}

/// A run's record while it runs.
#[derive(Clone)]
pub struct Record {
    run: RunId,
    place: String,
    began: Instant,
    pages: Arc<Mutex<Pages>>,
}

struct Pages {
    paper: Box<dyn Paper>,
    /// Lines not written yet.
    buffer: Vec<u8>,
    unsynced: bool,
    calls: u64,
    /// Calls sent and not answered.
    under_way: BTreeMap<u64, (Option<PartitionId>, Action)>,
    remembered: BTreeMap<PartitionId, BTreeMap<Endpoint, Remembered>>,
    /// Replicas that are remembered as if their call had not been heard of again, with the call.
    unheard: BTreeMap<PartitionId, Vec<(u64, Endpoint)>>,
    /// Why it can be written no more.
    broken: Option<String>,
}

impl Record {
    /// Begins one: the first line is on disk, or nothing must be changed.
    ///
    /// # Errors
    /// The archive cannot be written to.
    pub fn begin(archive: &dyn Archive, mut begun: Begun) -> Result<Self, RecordError> {
        let (run, paper) = archive.create(begun.run).map_err(at(&archive.place(begun.run)))?;
        begun.run = run;
        let pages = Pages {
            paper,
            buffer: Line::Begun(Box::new(begun)).text(),
            unsynced: true,
            calls: 0,
            under_way: BTreeMap::new(),
            remembered: BTreeMap::new(),
            unheard: BTreeMap::new(),
            broken: None,
        };
        let place = archive.place(run);
        let record = Self { run, place, began: Instant::now(), pages: Arc::new(Mutex::new(pages)) };
        record.sync()?;
        Ok(record)
    }

    /// The run.
    pub fn run(&self) -> RunId {
        self.run
    }

    /// Where it is.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Notes a choice.
    pub(super) fn chosen(&self, table: &TableName, partition: PartitionId, choice: &Choice) {
        let (at_ms, table, choice) = (self.at_ms(), table.clone(), Box::new(choice.clone()));
        self.pages().note(&Line::Chosen { at_ms, table, partition, choice });
    }

    /// Notes that something is waited for.
    pub(super) fn waiting(&self, partition: PartitionId, wait: &Wait) {
        let (at_ms, what, seen) = (self.at_ms(), wait.what.clone(), wait.seen.clone());
        self.pages().note(&Line::Waiting { at_ms, partition, what, seen });
    }

    /// Notes that a partition reached a milestone.
    pub(super) fn reached(&self, table: &TableName, partition: PartitionId, state: Milestone, why: Option<&Blocked>) {
        let (at_ms, table, blocked) = (self.at_ms(), table.clone(), why.cloned());
        let mut pages = self.pages();
        if state == Milestone::Redundant {
            // Whoever reads forgets what was remembered of it: should it come to harm again, that is noted anew.
            pages.remembered.remove(&partition);
        }
        pages.note(&Line::Reached { at_ms, table, partition, state, blocked });
    }

    /// Notes something to know.
    pub(super) fn note(&self, text: &str) {
        self.pages().note(&Line::Note { at_ms: self.at_ms(), text: text.to_owned() });
    }

    /// Notes a call that is about to be sent. It must not be sent before [`Record::sync`] has succeeded.
    pub(super) fn sending(&self, step: &str, partition: Option<PartitionId>, action: &Action, why: &str) -> u64 {
        let (at_ms, step, why) = (self.at_ms(), step.to_owned(), why.to_owned());
        let mut pages = self.pages();
        pages.calls += 1;
        let number = pages.calls;
        pages.under_way.insert(number, (partition, action.clone()));
        pages.note(&Line::Sending { at_ms, number, step, partition, action: action.clone(), why });
        number
    }

    /// Notes how a call went.
    pub(super) fn went(&self, number: u64, outcome: &Outcome) {
        let mut pages = self.pages();
        let partition = pages.under_way.remove(&number).and_then(|(partition, _)| partition);
        if let Some(partition) = partition
            && let Some(unheard) = pages.unheard.get_mut(&partition)
        {
            unheard.retain(|(call, _)| *call != number);
            if unheard.is_empty() {
                pages.unheard.remove(&partition);
            }
        }
        pages.note(&Line::Went { at_ms: self.at_ms(), number, outcome: outcome.clone() });
    }

    /// Notes what has changed of what has to be remembered of a partition. Replicas with a call under way are as
    /// [`Record::remember_unless_heard`] has them, until it is heard of.
    pub(super) fn remember(&self, partition: PartitionId, memory: &Memory) {
        let mut pages = self.pages();
        for (endpoint, replica) in &memory.replicas {
            let mut unheard = pages.unheard.get(&partition).into_iter().flatten();
            if !unheard.any(|(_, replica)| replica == endpoint) {
                pages.remember(partition, endpoint, Remembered::of(replica));
            }
        }
    }

    /// Notes what has to be remembered if nothing is ever heard of a call: what it changes of a memory.
    pub(super) fn remember_unless_heard(&self, call: u64, partition: PartitionId, before: &Memory, unheard: &Memory) {
        let mut pages = self.pages();
        for (endpoint, replica) in &unheard.replicas {
            let memory = Remembered::of(replica);
            if before.replicas.get(endpoint).map(Remembered::of).as_ref() != Some(&memory) {
                pages.unheard.entry(partition).or_default().push((call, endpoint.clone()));
                pages.remember(partition, endpoint, memory);
            }
        }
    }

    /// Writes what was noted.
    pub(super) fn write(&self) {
        // An error is kept, and stops the run at its next call.
        let _ = self.pages().write();
    }

    /// Writes what was noted and makes sure that it is on disk.
    ///
    /// # Errors
    /// It is not; then nothing more must be changed.
    pub(super) fn sync(&self) -> Result<(), RecordError> {
        self.pages().sync().map_err(|error| at(&self.place)(io::Error::other(error)))
    }

    /// Calls that were sent and not answered.
    pub fn unanswered(&self) -> Vec<Action> {
        self.pages().under_way.values().map(|(_, action)| action.clone()).collect()
    }

    /// Replicas that were told to load and have not been seen loaded.
    pub fn loading(&self) -> Vec<(PartitionId, Endpoint)> {
        let pages = self.pages();
        let replicas = pages.remembered.iter().flat_map(|(id, replicas)| replicas.iter().map(move |r| (*id, r)));
        let loading = replicas.filter(|(_, (_, memory))| matches!(memory.load, Load::Accepted | Load::Seen));
        loading.map(|(id, (endpoint, _))| (id, endpoint.clone())).collect()
    }

    /// Why it can be written no more, if so.
    pub(super) fn broken(&self) -> Option<String> {
        self.pages().broken.clone()
    }

    /// The last line.
    ///
    /// # Errors
    /// It cannot be written; the cluster is as it is, and the next run takes this one for unfinished.
    pub(super) fn end(
        &self,
        verdict: &str,
        restored: bool,
        finished: bool,
        still_going_on: Vec<GoingOn>,
    ) -> Result<(), RecordError> {
        let (at_ms, verdict) = (self.at_ms(), verdict.to_owned());
        self.pages().note(&Line::Ended { at_ms, verdict, restored, finished, still_going_on });
        self.sync()
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pages {
    fn note(&mut self, line: &Line) {
        self.buffer.extend(line.text());
    }

    fn remember(&mut self, partition: PartitionId, endpoint: &Endpoint, memory: Remembered) {
        let replicas = self.remembered.entry(partition).or_default();
        if replicas.get(endpoint).map_or(memory == Remembered::default(), |known| *known == memory) {
            return;
        }
        replicas.insert(endpoint.clone(), memory.clone());
        self.note(&Line::Remembered { partition, endpoint: endpoint.clone(), memory });
    }

    fn write(&mut self) -> Result<(), String> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        if self.buffer.is_empty() {
            return Ok(());
        }
        let written = self.paper.write(&std::mem::take(&mut self.buffer));
        self.unsynced = true;
        self.unless_broken(written)
    }

    fn sync(&mut self) -> Result<(), String> {
        self.write()?;
        if !std::mem::take(&mut self.unsynced) {
            return Ok(());
        }
        let synced = self.paper.sync();
        self.unless_broken(synced)
    }

    /// After an error nobody knows what is on disk: nothing is added any more (a line may be there in part).
    fn unless_broken(&mut self, done: io::Result<()>) -> Result<(), String> {
        done.map_err(|error| self.broken.get_or_insert(error.to_string()).clone())
    }
}

#[cfg(test)]
mod tests;
