//! `record list|show|dismiss`, and where records are kept.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Serialize;

use crate::operate::{self, DismissError, Dismissed};
use crate::run::{Archive, Directory, Line, RecordedRun, RecordedRunError, RunHeader, RunId, RunState, Work};
use crate::ui::{Recorded, records_text, story_text};

use super::args::RecordCommand;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::recover::{caller, now_ms};

/// Runs the command.
///
/// # Errors
/// There is no such record, or it cannot be read.
pub fn run(command: &RecordCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        RecordCommand::List { record_dir } => list(&Directory(dir(record_dir.clone())?), out),
        RecordCommand::Show { run, record_dir } => show(run, &Directory(dir(record_dir.clone())?), out),
        RecordCommand::Dismiss { run, record_dir } => dismiss(run, dir(record_dir.clone())?, out),
    }
}

/// Where records are kept: as told, or in the XDG state directory.
///
/// # Errors
/// Nobody knows where that is.
pub(super) fn dir(told: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(dir) = told {
        return Ok(dir);
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::usage(anyhow!("neither XDG_STATE_HOME nor HOME is set")).hint("use --record-dir DIR")
    })?;
    Ok(state.join("openmldb-ops"))
}

/// A record in a list.
#[derive(Serialize)]
struct Listed<'a> {
    event: &'static str,
    run: RunId,
    path: String,
    cluster: Option<&'a str>,
    work: Option<Work>,
    name: Option<&'a str>,
    state: Option<RunState>,
    ended: Option<&'a str>,
    finished: bool,
    auto_failover_given_back: bool,
    error: Option<&'a str>,
}

fn list(archive: &Directory, out: &Out) -> Result<Exit, Failure> {
    let runs = runs(archive)?;
    let told = |recorded_run: RecordedRun| {
        let state = RunState::of(&recorded_run);
        (recorded_run, state)
    };
    let recorded =
        |run| Recorded { run, recorded_run: read(archive, run).map(told).map_err(|error| error.to_string()) };
    let stories: Vec<Recorded> = runs.into_iter().map(recorded).collect();
    if !out.is_json() {
        out.text_or(&records_text(&stories, out.paint()), &())?;
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

/// What came of a dismissal.
#[derive(Serialize)]
struct DismissedLine<'a> {
    event: &'static str,
    run: RunId,
    dismissed: bool,
    text: &'a str,
}

fn dismiss(name: &str, dir: PathBuf, out: &Out) -> Result<Exit, Failure> {
    let run = known(name, &Directory(dir.clone()))?;
    let (dismissed, text) = match operate::dismiss(&dir, run, &caller(), now_ms())? {
        Dismissed::Now(typed) => (true, format!("`{typed}`, begun by run {run}, is dismissed: nobody goes on with it")),
        Dismissed::Nothing(why) => (false, format!("there is nothing to dismiss of run {run}: {why}")),
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

/// A line of a record, as one of ours.
#[derive(Serialize)]
struct ShownLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    line: &'a Line,
}

/// The run of that name that has a record; `last` is the newest.
fn known(name: &str, archive: &Directory) -> Result<RunId, Failure> {
    let known = runs(archive)?;
    let run = if name == "last" {
        let none = || Failure::usage(anyhow!("there are no records in {}", archive.home()));
        known.last().copied().ok_or_else(none)?
    } else {
        RunId::try_from(name.to_owned()).map_err(|error| Failure::usage(anyhow!(error)))?
    };
    if !known.contains(&run) {
        let error = anyhow!("there is no record of run {run} in {}", archive.home());
        return Err(Failure::usage(error).hint("`openmldb-ops record list` names those there are"));
    }
    Ok(run)
}

fn show(name: &str, archive: &Directory, out: &Out) -> Result<Exit, Failure> {
    let run = known(name, archive)?;
    let recorded_run =
        read(archive, run).map_err(|error| Failure::error(anyhow!("{}: {error}", archive.place(run))))?;
    if !out.is_json() {
        out.text_or(&story_text(&recorded_run, RunState::of(&recorded_run), out.paint()), &())?;
        return Ok(Exit::Healthy);
    }
    let begun: RunHeader = recorded_run.begun.clone();
    let first = Line::Begun(Box::new(begun));
    for line in std::iter::once(&first).chain(&recorded_run.lines) {
        out.text_or("", &ShownLine { event: "record_line", line })?;
    }
    Ok(Exit::Healthy)
}

fn runs(archive: &Directory) -> Result<Vec<RunId>, Failure> {
    archive.runs().map_err(|error| Failure::error(anyhow!("{}: {error}", archive.home())))
}

fn read(archive: &Directory, run: RunId) -> Result<RecordedRun, RecordedRunError> {
    RecordedRun::read(archive.read(run)?)
}
