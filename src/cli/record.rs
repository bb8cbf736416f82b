//! `record list|show`, and where records are kept.

use std::path::PathBuf;

use anyhow::anyhow;
use serde::Serialize;

use crate::run::{Archive, Begun, Directory, Line, RunId, Story, StoryError};
use crate::ui::{records_text, story_text};

use super::args::RecordCommand;
use super::failure::{Exit, Failure};
use super::out::Out;

/// Runs the command.
///
/// # Errors
/// There is no such record, or it cannot be read.
pub fn run(command: &RecordCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        RecordCommand::List { record_dir } => list(&Directory(dir(record_dir.clone())?), out),
        RecordCommand::Show { run, record_dir } => show(run, &Directory(dir(record_dir.clone())?), out),
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
    ended: Option<&'a str>,
    finished: bool,
    auto_failover_given_back: bool,
    error: Option<&'a str>,
}

fn list(archive: &Directory, out: &Out) -> Result<Exit, Failure> {
    let runs = runs(archive)?;
    let stories: Vec<(RunId, Result<Story, String>)> =
        runs.into_iter().map(|run| (run, read(archive, run).map_err(|error| error.to_string()))).collect();
    if !out.is_json() {
        out.text_or(&records_text(&stories, out.paint()), &())?;
        return Ok(Exit::Healthy);
    }
    for (run, story) in &stories {
        let read = story.as_ref().ok();
        let verdict = match read.and_then(Story::ended) {
            Some(Line::Ended { verdict, .. }) => Some(verdict.as_str()),
            _ => None,
        };
        let listed = Listed {
            event: "record",
            run: *run,
            path: archive.place(*run),
            cluster: read.map(|story| story.begun.cluster.as_str()),
            ended: verdict,
            finished: read.is_some_and(Story::is_finished),
            auto_failover_given_back: read.is_some_and(|story| story.owed().is_none()),
            error: story.as_ref().err().map(String::as_str),
        };
        out.text_or("", &listed)?;
    }
    Ok(Exit::Healthy)
}

/// A line of a record, as one of ours.
#[derive(Serialize)]
struct Told<'a> {
    event: &'static str,
    #[serde(flatten)]
    line: &'a Line,
}

fn show(name: &str, archive: &Directory, out: &Out) -> Result<Exit, Failure> {
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
    let story = read(archive, run).map_err(|error| Failure::error(anyhow!("{}: {error}", archive.place(run))))?;
    if !out.is_json() {
        out.text_or(&story_text(&story, out.paint()), &())?;
        return Ok(Exit::Healthy);
    }
    let begun: Begun = story.begun.clone();
    let first = Line::Begun(Box::new(begun));
    for line in std::iter::once(&first).chain(&story.lines) {
        out.text_or("", &Told { event: "record_line", line })?;
    }
    Ok(Exit::Healthy)
}

fn runs(archive: &Directory) -> Result<Vec<RunId>, Failure> {
    archive.runs().map_err(|error| Failure::error(anyhow!("{}: {error}", archive.home())))
}

fn read(archive: &Directory, run: RunId) -> Result<Story, StoryError> {
    Story::read(archive.read(run)?)
}
