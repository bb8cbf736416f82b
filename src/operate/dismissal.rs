//! Dismissing an undertaking that nobody is going on with: it is not waited for any more, and `status` does not point at it.

use std::path::Path;

use crate::run::{Archive as _, Caller, Directory, Line, Liveness, RecordedRun, RecordedRunError, RunId, Work};

use super::state_dir::{StateDir, StateDirError};

/// What came of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Dismissed {
    /// The undertaking, as it is typed, is dismissed.
    Now(String),
    /// There is nothing to dismiss: nobody is waited for.
    Nothing(&'static str),
}

/// Why a run is not dismissed.
#[derive(Debug, thiserror::Error)]
pub enum DismissError {
    /// Its record cannot be used.
    #[error("cannot use the record of run {run}: {error}")]
    Record {
        /// Which run.
        run: RunId,
        /// Why.
        error: RecordedRunError,
    },
    /// A file cannot be used.
    #[error(transparent)]
    Kept(#[from] StateDirError),
    /// It would be wrong.
    #[error("{text}")]
    Refused {
        /// Why.
        text: String,
        /// What to do instead.
        hint: &'static str,
    },
}

/// Dismisses the undertaking that a run began. What has stepped down for it stays written down: it is needed to bring
/// old leaders back as followers; and should the run have left auto_failover off, that is owed as before. `at_ms` is
/// milliseconds since 1970.
///
/// # Errors
/// It is at work, or is a recovery: what that wrote down keeps rows from being lost.
pub fn dismiss(dir: &Path, run: RunId, by: &Caller, at_ms: u64) -> Result<Dismissed, DismissError> {
    let archive = Directory(dir.to_owned());
    let unusable = |error: RecordedRunError| DismissError::Record { run, error };
    let recorded_run =
        archive.read(run).map_err(RecordedRunError::from).and_then(RecordedRun::read).map_err(unusable)?;
    match recorded_run.begun.work() {
        Work::Reconfiguration => {}
        Work::Recovery if recorded_run.is_finished() => return Ok(Dismissed::Nothing("it brought everything back")),
        Work::Recovery => {
            return Err(DismissError::Refused {
                text: format!("run {run} is a recovery, and what it wrote down keeps rows from being lost"),
                hint: "`openmldb-ops recover --all` continues it",
            });
        }
        Work::FailoverRestore | Work::Step => return Ok(Dismissed::Nothing("such a run is never continued")),
    }
    if recorded_run.begun.caller.liveness() == Liveness::Lives {
        let Caller { host, pid, .. } = &recorded_run.begun.caller;
        return Err(DismissError::Refused {
            text: format!("run {run} is at work: process {pid} on {host}"),
            hint: "let it end, or interrupt it",
        });
    }
    let state_dir = StateDir::new(dir, &recorded_run.begun.cluster);
    let Some(unfinished) = state_dir.unfinished()?.filter(|unfinished| unfinished.run == Some(run)) else {
        return Ok(Dismissed::Nothing("it finished, or another run has continued it since"));
    };
    let line = Line::Dismissed { at_ms, by: by.clone() };
    archive.append(run, &line).map_err(|error| unusable(error.into()))?;
    state_dir.end()?;
    Ok(Dismissed::Now(unfinished.of.to_string()))
}
