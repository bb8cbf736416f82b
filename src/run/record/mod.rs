//! What a run writes down: everything as it was before its first change, every decision and its reason, every mutating
//! call before and after, what it has to remember, how it ended. Lines are only ever added. A call is on disk before it is
//! sent; how it went is in the file at once, and on disk before the next call is sent.

mod archive;
mod buffer;
mod cluster_names;
mod led;
mod line;
mod outline;
mod prune;
mod recorded_run;
mod retold;
mod state;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::time::Instant;

use crate::model::{Action, Endpoint, Offset, PartitionId, TableName, Tid};
use crate::recovery::{Blocked, Choice, Load, Memory, Outcome, PersistedMemory, Wait};

pub use archive::{Archive, Directory, MemoryArchive, RecordWriter, Unread};
pub use cluster_names::ClusterNames;
pub(super) use cluster_names::is_loopback;
pub use led::LedBeside;
pub use line::{By, Caller, Line, RunHeader, Work, note_exit};
pub use outline::{Calls, LeftAlone, Lost, Outline};
pub use prune::{Kept, Needed, leaves_the_same, needed};
pub use recorded_run::{FailoverSet, LeftBefore, RecordedRun, RecordedRunError, UnfinishedWork, left_by_runs};
pub use retold::Retold;
pub use state::RunState;

use buffer::{Called, Owes, RecordBuffer};

use super::arranging::Arranging;
use super::event::Milestone;
use super::hold::HeldFor;
use super::outstanding::OutstandingWork;
use super::progress::{Expected, Progress};
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
    /// What tables were called when it began.
    tables: Arc<BTreeMap<Tid, TableName>>,
    buffer: Arc<Mutex<RecordBuffer>>,
}

impl Record {
    /// Begins one: the first line is on disk, or nothing must be changed.
    ///
    /// # Errors
    /// The archive cannot be written to.
    pub fn begin(archive: &dyn Archive, mut begun: RunHeader) -> Result<Self, RecordError> {
        let (run, paper) = archive.create(begun.run).map_err(at(&archive.place(begun.run)))?;
        begun.run = run;
        let mut buffer = RecordBuffer::new(paper);
        // An earlier run may have left it off.
        let is_off = begun.auto_failover && !begun.snapshot.auto_failover;
        buffer.owes = match (begun.work(), is_off) {
            (Work::Step, _) => Owes::Nothing,
            (_, true) => Owes::Failover,
            (_, false) if begun.auto_failover => Owes::FailoverOnceOff,
            _ => Owes::Nothing,
        };
        let tables = begun.snapshot.tables.iter().map(|table| (table.tid, table.name.clone())).collect();
        buffer.note(&Line::Begun(Box::new(begun)));
        let place = archive.place(run);
        let record =
            Self { run, place, began: Instant::now(), tables: Arc::new(tables), buffer: Arc::new(Mutex::new(buffer)) };
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

    /// A partition as it is typed; by its numbers where the table was not there when the run began.
    pub fn name_of(&self, partition: PartitionId) -> String {
        match self.tables.get(&partition.tid) {
            Some(table) => format!("{table}/{}", partition.pid),
            None => partition.to_string(),
        }
    }

    /// Notes a choice.
    pub(super) fn chosen(&self, table: &TableName, partition: PartitionId, choice: &Choice) {
        let (at_ms, table, choice) = (self.at_ms(), table.clone(), Box::new(choice.clone()));
        self.buffer().note(&Line::Chosen { at_ms, table, partition, choice });
    }

    /// Notes that something is waited for.
    pub(super) fn waiting(&self, partition: PartitionId, wait: &Wait) {
        let (at_ms, what, seen) = (self.at_ms(), wait.what.clone(), wait.seen.clone());
        self.buffer().note(&Line::Waiting { at_ms, partition, what, seen });
    }

    /// Notes that a partition reached a milestone.
    pub(super) fn reached(&self, table: &TableName, partition: PartitionId, state: Milestone, why: Option<&Blocked>) {
        let (at_ms, table, blocked) = (self.at_ms(), table.clone(), why.cloned());
        let mut buffer = self.buffer();
        if state == Milestone::Redundant {
            // Whoever reads forgets what was remembered of it: should it come to harm again, that is noted anew.
            buffer.remembered.remove(&partition);
        }
        buffer.note(&Line::Reached { at_ms, table, partition, state, blocked });
    }

    /// Notes what the run is expected to take.
    pub(super) fn expects(&self, expected: &Expected) {
        self.buffer().note(&Line::Expected { at_ms: self.at_ms(), expected: expected.clone() });
    }

    /// Notes how far it has come.
    pub(super) fn progress(&self, progress: &Progress) {
        self.buffer().note(&Line::Progress { at_ms: self.at_ms(), progress: Box::new(progress.clone()) });
    }

    /// Notes how far an undertaking has come, and writes it.
    pub(super) fn arranging(&self, arranging: &Arranging) {
        self.buffer().note(&Line::Arranging { at_ms: self.at_ms(), arranging: Box::new(arranging.clone()) });
        self.write();
    }

    /// Notes something to know.
    pub fn note(&self, text: &str) {
        self.buffer().note(&Line::Note { at_ms: self.at_ms(), text: text.to_owned() });
    }

    /// Notes something to know, and writes it.
    pub fn remark(&self, text: &str) {
        self.note(text);
        self.write();
    }

    /// Notes a call that is about to be sent. It must not be sent before [`Record::sync`] has succeeded.
    pub fn sending(&self, step: &str, partition: Option<PartitionId>, action: &Action, why: &str) -> u64 {
        let (at_ms, step, why) = (self.at_ms(), step.to_owned(), why.to_owned());
        let line = |number| Line::Sending { at_ms, number, step, partition, action: action.clone(), why };
        let mut buffer = self.buffer();
        if buffer.owes == Owes::FailoverOnceOff && *action == (Action::SetAutoFailover { on: false }) {
            buffer.owes = Owes::Failover;
        }
        buffer.note_call(Called::Action(partition, action.clone()), line)
    }

    /// The same of a call that recovery never makes, as the handbook writes it.
    pub fn commanding(&self, step: &str, command: &str, why: &str) -> u64 {
        let (at_ms, step, why) = (self.at_ms(), step.to_owned(), why.to_owned());
        let line = |number| Line::Command { at_ms, number, step, command: command.to_owned(), why };
        self.buffer().note_call(Called::Command(command.to_owned()), line)
    }

    /// Notes a call that is sent whether or not that can be written down.
    pub(super) fn sending_all_the_same(&self, step: &str, action: &Action, why: &str) -> u64 {
        let number = self.sending(step, None, action, why);
        let mut buffer = self.buffer();
        // An error is kept, and told at the end.
        let _kept = buffer.sync();
        buffer.is_sent(number, Called::Action(None, action.clone()));
        number
    }

    /// Notes how a call went.
    pub fn went(&self, number: u64, outcome: &Outcome) {
        let mut buffer = self.buffer();
        buffer.went(number, outcome);
        buffer.note(&Line::Went { at_ms: self.at_ms(), number, outcome: outcome.clone() });
    }

    /// Notes what has changed of what has to be remembered of a partition. Replicas with a call under way are as
    /// [`Record::remember_unless_heard`] has them, until it is heard of.
    pub(super) fn remember(&self, partition: PartitionId, memory: &Memory) {
        let mut buffer = self.buffer();
        for (endpoint, replica) in memory.replicas.iter() {
            if !buffer.is_unheard(partition, endpoint) {
                buffer.remember(partition, endpoint, PersistedMemory::of(replica), None);
            }
        }
    }

    /// Notes what has to be remembered if nothing is ever heard of a call: what it changes of a memory.
    pub(super) fn remember_unless_heard(&self, call: u64, partition: PartitionId, before: &Memory, unheard: &Memory) {
        let mut buffer = self.buffer();
        for (endpoint, replica) in unheard.replicas.iter() {
            let memory = PersistedMemory::of(replica);
            if before.replicas.get(endpoint).map(|replica| PersistedMemory::of(replica)).as_ref() != Some(&memory) {
                buffer.remember(partition, endpoint, memory, Some(call));
            }
        }
    }

    /// auto_failover is kept off for these: the last line says so.
    pub(super) fn keeps_off_for(&self, held_for: &[HeldFor]) {
        self.buffer().held_for = held_for.to_vec();
    }

    /// Whether a ConfSet of auto_failover that was sent may still be carried out, whatever is read now.
    pub(super) fn is_failover_in_doubt(&self) -> bool {
        self.buffer().failover_in_doubt
    }

    /// Notes that somebody else has switched auto_failover on.
    pub(super) fn wants_failover_on(&self) {
        let mut buffer = self.buffer();
        if !std::mem::replace(&mut buffer.failover_wanted, true) {
            buffer.note(&Line::FailoverWanted { at_ms: self.at_ms() });
        }
    }

    /// Whether somebody else has.
    pub(super) fn is_failover_wanted_on(&self) -> bool {
        self.buffer().failover_wanted
    }

    /// Notes that the nameserver may replace a replica.
    pub(super) fn released(&self, partition: PartitionId, endpoint: &Endpoint) {
        self.buffer().note(&Line::Released { at_ms: self.at_ms(), partition, endpoint: endpoint.clone() });
    }

    /// Notes that a leader does not replicate to another cluster, and how far it was when that began.
    pub(super) fn detached(
        &self,
        partition: PartitionId,
        remote: &Endpoint,
        leader: &Endpoint,
        led_from: Option<Offset>,
    ) {
        let (at_ms, remote, leader) = (self.at_ms(), remote.clone(), leader.clone());
        self.buffer().note(&Line::Detached { at_ms, partition, remote, leader, led_from });
    }

    /// Replicas that nobody had looked at when a leader was chosen, as far as it is remembered.
    pub fn unseen(&self) -> BTreeSet<(PartitionId, Endpoint)> {
        let buffer = self.buffer();
        let replicas = buffer.remembered.iter().flat_map(|(id, replicas)| replicas.iter().map(move |r| (*id, r)));
        let unseen = replicas.filter(|(_, (_, then))| then.leader_held.is_some() && then.replaceable.is_none());
        unseen.map(|(id, (endpoint, _))| (id, endpoint.clone())).collect()
    }

    /// Writes what was noted.
    pub fn write(&self) {
        // An error is kept, and stops the run at its next call.
        let _kept = self.buffer().write();
    }

    /// Writes what was noted and makes sure that it is on disk.
    ///
    /// # Errors
    /// It is not; then nothing more must be changed.
    pub fn sync(&self) -> Result<(), RecordError> {
        self.buffer().sync().map_err(|error| at(&self.place)(io::Error::other(error)))
    }

    /// Calls that were sent and not answered.
    pub fn unanswered(&self) -> Vec<OutstandingWork> {
        self.buffer().unanswered()
    }

    /// auto_failover is as it was before.
    pub(super) fn gave_failover_back(&self) {
        self.buffer().owes = Owes::Nothing;
    }

    /// Whether it has, or may have, switched auto_failover off and not restored it.
    pub fn owes_failover(&self) -> bool {
        self.buffer().owes == Owes::Failover
    }

    /// Replicas that were told to load and have not been seen loaded.
    pub fn loading(&self) -> Vec<(PartitionId, Endpoint)> {
        let buffer = self.buffer();
        let replicas = buffer.remembered.iter().flat_map(|(id, replicas)| replicas.iter().map(move |r| (*id, r)));
        let loading = replicas.filter(|(_, (_, memory))| matches!(memory.load, Load::Accepted | Load::Seen));
        loading.map(|(id, (endpoint, _))| (id, endpoint.clone())).collect()
    }

    /// Why it can be written no more, if so.
    pub fn broken(&self) -> Option<String> {
        self.buffer().broken.clone()
    }

    /// The last line.
    ///
    /// # Errors
    /// It cannot be written; the cluster is as it is, and the next run takes this one for unfinished.
    pub fn end(
        &self,
        verdict: &str,
        restored: bool,
        finished: bool,
        still_going_on: Vec<OutstandingWork>,
    ) -> Result<(), RecordError> {
        let (at_ms, verdict) = (self.at_ms(), verdict.to_owned());
        let mut buffer = self.buffer();
        let held_for = std::mem::take(&mut buffer.held_for);
        let line = Line::Ended { at_ms, verdict, restored, held_for, finished, still_going_on };
        buffer.end(&line).map_err(|error| at(&self.place)(io::Error::other(error)))
    }

    fn at_ms(&self) -> u64 {
        u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn buffer(&self) -> MutexGuard<'_, RecordBuffer> {
        self.buffer.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests;
