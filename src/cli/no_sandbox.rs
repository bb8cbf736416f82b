//! In place of `embedded` and `sandbox` in a build without the simulator (`--no-default-features`): what asks for one is refused in a
//! sentence.

use std::io;

use serde::Serialize;

use crate::cluster::Options;

use super::args::no_sandbox::{Absent, Embedded, NONE};
use super::connection_args::Carries;
use super::failure::Failure;
use super::opened::Opened;
use super::session::Session;

impl Embedded {
    /// There is none.
    ///
    /// # Errors
    /// Never: what is typed was refused before.
    pub async fn open(&self, _options: &Options, _carries: &Carries) -> Result<Option<(Opened, Running)>, Failure> {
        Ok(None)
    }
}

/// An embedded cluster that runs: none does.
pub enum Running {}

impl Running {
    /// Stops it.
    ///
    /// # Errors
    /// Never.
    pub async fn stop(self) -> Result<(), Failure> {
        match self {}
    }
}

/// Whether a nameserver is that of a sandbox that is served on this host: none is by this build.
pub(super) fn is_served_here(_nameserver: &str) -> bool {
    false
}

/// What became of a sandbox's rows: there are none.
#[derive(Debug, Serialize)]
pub enum SandboxLine {}

/// The line about the session's sandbox.
pub(super) fn rows_of(_session: &Session) -> Option<SandboxLine> {
    None
}

/// What the session's sandbox is.
pub(super) fn introduction(_session: &Session) -> Option<String> {
    None
}

/// The rows, for people.
pub(super) fn rows_text(line: &SandboxLine) -> String {
    match *line {}
}

/// Whether an error is about an embedded cluster.
pub fn is_of_a_sandbox(_error: &anyhow::Error) -> bool {
    false
}

/// Nothing asks for it.
///
/// # Errors
/// No thread can be started.
pub(super) fn on_its_clock<F: Future>(command: F) -> io::Result<F::Output> {
    super::to_its_end(command)
}

impl Absent {
    /// What comes of it.
    pub fn refused(&self) -> Failure {
        Failure::usage(anyhow::anyhow!(NONE))
    }
}
