//! `record list`: a line for each run.

use serde::Serialize;

use crate::run::{Archive as _, Directory, RecordedRun, RunId, RunState, Work};
use crate::ui::{Recorded, records_text};

use super::super::caller::now_ms;
use super::super::failure::{Exit, Failure};
use super::super::out::Out;
use super::{read, runs};

/// A record in a list.
#[derive(Serialize)]
struct Listed<'a> {
    event: &'static str,
    run: RunId,
    path: String,
    cluster: Option<&'a str>,
    work: Option<Work>,
    name: Option<&'a str>,
    command: Option<&'a str>,
    host: Option<&'a str>,
    took_ms: Option<u64>,
    exit_code: Option<u8>,
    state: Option<RunState>,
    ended: Option<&'a str>,
    finished: bool,
    auto_failover_given_back: bool,
    error: Option<&'a str>,
}

/// Runs the command.
///
/// # Errors
/// The directory cannot be read.
pub(super) fn list(archive: &Directory, out: &Out) -> Result<Exit, Failure> {
    let told = |mut recorded_run: RecordedRun| {
        let state = RunState::of(&recorded_run);
        // Many are held at once.
        (recorded_run.begun.before, recorded_run.begun.snapshot.tables) = (Vec::new(), Vec::new());
        recorded_run.begun.snapshot.tablets.clear();
        recorded_run.lines.retain(RecordedRun::is_about_the_end);
        (recorded_run, state)
    };
    let recorded =
        |run| Recorded { run, recorded_run: read(archive, run).map(told).map_err(|error| error.to_string()) };
    let stories: Vec<Recorded> = runs(archive)?.into_iter().map(recorded).collect();
    if !out.is_json() {
        out.text_or(&records_text(&stories, now_ms(), out.paint()), &())?;
        return Ok(Exit::Healthy);
    }
    for Recorded { run, recorded_run } in &stories {
        let (read, state) =
            recorded_run.as_ref().map_or((None, None), |(recorded_run, state)| (Some(recorded_run), Some(*state)));
        let listed = Listed {
            event: "record",
            run: *run,
            path: archive.place(*run),
            cluster: read.map(|recorded_run| recorded_run.begun.cluster.as_str()),
            work: read.map(|recorded_run| recorded_run.begun.work()),
            name: read.map(|recorded_run| recorded_run.begun.playbook.as_str()),
            command: read.map(|recorded_run| recorded_run.begun.caller.command.as_str()),
            host: read.map(|recorded_run| recorded_run.begun.caller.host.as_str()),
            took_ms: read.and_then(RecordedRun::took_ms),
            exit_code: read.and_then(RecordedRun::exit_code),
            state,
            ended: read.and_then(RecordedRun::verdict),
            finished: read.is_some_and(RecordedRun::is_finished),
            auto_failover_given_back: read.is_some_and(|recorded_run| recorded_run.owed().is_none()),
            error: recorded_run.as_ref().err().map(String::as_str),
        };
        out.text_or("", &listed)?;
    }
    Ok(Exit::Healthy)
}
