//! What a step sends, and how that is written down: whoever takes the step, by itself or as a part of more.

use crate::cluster::{CallError, Cluster};
use crate::model::{Action, Endpoint, PartitionId, Pid, TableName};
use crate::run::{Record, RecordError, outcome_of};
use crate::wire::encode::Addressed;

use super::Step;

/// A call that a step sends: one of recovery's, or one that recovery never makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// One of recovery's.
    Action(Action),
    /// One that only steps send.
    Command(Command),
    /// `settablepartition`, of what was read just before.
    Metadata(MetadataChange),
}

/// A partition's metadata without the replica of a tablet that is gone for good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataChange {
    /// The table.
    pub table: TableName,
    /// The partition.
    pub pid: Pid,
    /// The tablet that is gone.
    pub gone: Endpoint,
    /// The tablet that has its place, where it had the only replica.
    pub to: Option<Endpoint>,
}

impl MetadataChange {
    /// As the handbook writes it.
    pub fn words(&self) -> String {
        let Self { table, pid, gone, to } = self;
        match to {
            None => format!("settablepartition {} {pid} without {gone}", table.table),
            Some(to) => format!("settablepartition {} {pid} on {to} instead of {gone}", table.table),
        }
    }
}

/// A call that recovery never makes. Only a step's own file makes one.
#[derive(Debug, Clone, PartialEq)]
pub struct Command {
    words: String,
    call: Box<Addressed>,
}

impl Command {
    /// `words` is how the handbook writes it.
    pub(super) fn new(words: String, call: Addressed) -> Self {
        Self { words, call: Box::new(call) }
    }

    /// As the handbook writes it.
    pub fn words(&self) -> &str {
        &self.words
    }
}

impl From<Action> for Call {
    fn from(action: Action) -> Self {
        Self::Action(action)
    }
}

impl From<Command> for Call {
    fn from(command: Command) -> Self {
        Self::Command(command)
    }
}

impl From<MetadataChange> for Call {
    fn from(change: MetadataChange) -> Self {
        Self::Metadata(change)
    }
}

/// Writes a step's call down: it is on disk, or it must not be sent. Gives its number in the record. `about`: the partition, where the
/// step is taken for one.
///
/// # Errors
/// It is not on disk.
pub(super) fn write_down(
    record: &Record,
    (step, about): (&Step, Option<PartitionId>),
    call: &Call,
    why: &str,
) -> Result<u64, RecordError> {
    let number = match call {
        Call::Action(action) => record.sending(step.code(), about, action, why),
        Call::Command(_) | Call::Metadata(_) => record.commanding(step.code(), &step.to_string(), why),
    };
    record.sync().map(|()| number)
}

/// Notes how the call of that number went, and gives it on.
///
/// # Errors
/// As the call.
pub(super) fn noted(record: &Record, number: u64, sent: Result<(), CallError>) -> Result<(), CallError> {
    record.went(number, &outcome_of(&sent));
    record.write();
    sent
}

/// Sends a call.
///
/// # Errors
/// What was seen.
pub(super) async fn send(cluster: &Cluster, call: &Call) -> Result<(), CallError> {
    match call {
        Call::Action(action) => cluster.act(action).await,
        Call::Command(command) => cluster.command((*command.call).clone()).await,
        Call::Metadata(MetadataChange { table, pid, gone, to: None }) => {
            cluster.forget_replica(table, *pid, gone).await
        }
        Call::Metadata(MetadataChange { table, pid, gone, to: Some(to) }) => {
            cluster.replace_only_replica(table, *pid, gone, to).await
        }
    }
}
