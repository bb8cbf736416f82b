//! What a step sends.

use crate::cluster::{CallError, Cluster};
use crate::model::{Action, Endpoint, Pid, TableName};
use crate::wire::encode::Addressed;

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
