//! `record dismiss`: nobody goes on with an undertaking.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Serialize;

use crate::operate::{self, DismissError, Dismissed};
use crate::run::RunId;

use super::super::caller::{caller, now_ms};
use super::super::failure::{Exit, Failure};
use super::super::out::Out;

/// What came of a dismissal.
#[derive(Serialize)]
struct DismissedLine<'a> {
    event: &'static str,
    run: RunId,
    dismissed: bool,
    text: &'a str,
}

/// Runs the command.
///
/// # Errors
/// It would be wrong to.
pub(super) fn dismiss(dir: PathBuf, run: RunId, out: &Out) -> Result<Exit, Failure> {
    let (dismissed, text) = match operate::dismiss(&dir, run, &caller(), now_ms())? {
        Dismissed::Now(typed) => {
            (true, format!("`{typed}`, begun by run {run}, is dismissed: it will not be continued"))
        }
        Dismissed::Nothing(why) => (false, format!("run {run} has nothing to dismiss: {why}")),
    };
    out.text_or(&format!("{text}\n"), &DismissedLine { event: "record_dismissed", run, dismissed, text: &text })?;
    Ok(Exit::Healthy)
}

impl From<DismissError> for Failure {
    fn from(error: DismissError) -> Self {
        match error {
            DismissError::Refused { ref text, hint } => {
                Self { exit: Exit::Refused, ..Self::error(anyhow!("nothing was dismissed: {text}")) }.hint(hint)
            }
            DismissError::Record { .. } | DismissError::Kept(_) => Self::error(anyhow!("{error}")),
        }
    }
}
