//! What a step sends.

use crate::cluster::{CallError, Cluster};
use crate::model::Action;
use crate::wire::encode::Addressed;

/// A call that a step sends: one of recovery's, or one that recovery never makes.
#[derive(Debug, Clone, PartialEq)]
pub enum Call {
    /// One of recovery's.
    Action(Action),
    /// One that only steps send.
    Command(Command),
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

/// Sends a call.
///
/// # Errors
/// What was seen.
pub(super) async fn send(cluster: &Cluster, call: &Call) -> Result<(), CallError> {
    match call {
        Call::Action(action) => cluster.act(action).await,
        Call::Command(command) => cluster.command((*command.call).clone()).await,
    }
}
