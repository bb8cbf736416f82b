//! In place of `embedded` and `sandbox` in a build without the simulator (`--no-default-features`): what asks for one is refused in a
//! sentence.

use std::io;

use clap::Args;
use serde::Serialize;

use crate::cluster::Options;

use super::failure::Failure;
use super::session::{Session, Waits};

/// What is said.
const NONE: &str = "this build has no sandbox: it was made without the feature `sandbox`";

/// `--sandbox`.
#[derive(Debug, Clone, Args)]
pub struct Embedded {
    #[arg(long, hide = true, value_parser = none, num_args = 0..=1, default_missing_value = "", conflicts_with_all = [
        "zk_cluster", "nameserver", "flagfile", "cluster"])]
    /// Not in this build.
    pub sandbox: Option<String>,
}

fn none(_: &str) -> Result<String, String> {
    Err(NONE.to_owned())
}

impl Embedded {
    /// There is none.
    ///
    /// # Errors
    /// Never: what is typed was refused before.
    pub async fn open(&self, _options: &Options, _waits: &Waits) -> Result<Option<Session>, Failure> {
        Ok(None)
    }
}

/// `sandbox` and `rehearse`, with whatever follows.
#[derive(Debug, Args)]
pub struct Absent {
    #[arg(hide = true, trailing_var_arg = true, allow_hyphen_values = true)]
    words: Vec<String>,
}

impl Absent {
    /// What comes of it.
    pub fn refused(&self) -> Failure {
        Failure::usage(anyhow::anyhow!(NONE))
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
