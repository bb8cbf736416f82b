//! `record list|show|follow|dismiss|prune`.

mod dismiss;
mod follow;
mod list;
mod prune;
mod show;

use std::path::Path;

use anyhow::anyhow;

use crate::run::{Archive as _, Directory, RecordedRun, RecordedRunError, RunId};

use super::args::record::RecordCommand;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::record_dir;

/// Runs the command.
///
/// # Errors
/// There is no such record, or it cannot be read.
pub async fn run(command: &RecordCommand, out: &Out) -> Result<Exit, Failure> {
    let archive = || Ok::<_, Failure>(Directory(record_dir::dir(command.kept().record_dir.clone())?));
    match command {
        RecordCommand::List(_) => list::list(&archive()?, out),
        RecordCommand::Show(args) => {
            let (archive, run) = known(&args.run, archive)?;
            show::show(args, &archive, run, out)
        }
        RecordCommand::Follow { run, .. } => {
            let (archive, run) = known(run, archive)?;
            follow::follow(&archive, run, out).await
        }
        RecordCommand::Dismiss { run, .. } => {
            let (archive, run) = known(run, archive)?;
            dismiss::dismiss(archive.0, run, out)
        }
        RecordCommand::Prune(args) => prune::prune(args, &archive()?, out),
    }
}

/// The run of that name that has a record, and where that is: `last` is the newest; a file is one wherever it is.
fn known(name: &str, archive: impl FnOnce() -> Result<Directory, Failure>) -> Result<(Directory, RunId), Failure> {
    let path = Path::new(name);
    let within = path.parent().filter(|dir| !dir.as_os_str().is_empty());
    let archive = match within {
        Some(dir) => Directory(dir.to_owned()),
        None => archive()?,
    };
    let known = runs(&archive)?;
    let run = if name == "last" {
        let none = || {
            let error = anyhow!("there are no records in {}", archive.home());
            Failure::usage(error)
                .hint("a command writes one once it changes something; a sandbox's go with it; --record-dir names another directory")
        };
        known.last().copied().ok_or_else(none)?
    } else {
        run_named(name)?
    };
    if !known.contains(&run) {
        let error = anyhow!("there is no record of run {run} in {}", archive.home());
        return Err(Failure::usage(error).hint("`openmldb-ops record list` names those there are"));
    }
    Ok((archive, run))
}

/// A run as it is named anywhere: its id, its record's file, or a file beside that.
fn run_named(name: &str) -> Result<RunId, Failure> {
    let file = name.rsplit('/').next().unwrap_or(name);
    let id = file.split_once('.').map_or(file, |(id, _)| id);
    let id = id.strip_prefix("run-").unwrap_or(id);
    RunId::try_from(id.to_owned()).map_err(|_| {
        let error =
            anyhow!("`{name}` is not a run; a run is named like 1795341600000-0, by its record's file, or `last`");
        Failure::usage(error).hint("`openmldb-ops record list` names those there are")
    })
}

fn runs(archive: &Directory) -> Result<Vec<RunId>, Failure> {
    archive.runs().map_err(|error| Failure::error(anyhow!("{}: {error}", archive.home())))
}

fn read(archive: &Directory, run: RunId) -> Result<RecordedRun, RecordedRunError> {
    RecordedRun::read(archive.read(run)?)
}

/// The same for whoever can do nothing without it.
fn read_whole(archive: &Directory, run: RunId) -> Result<RecordedRun, Failure> {
    read(archive, run).map_err(|error| Failure::error(anyhow!("{}: {error}", archive.place(run))))
}
