//! `record show`: the story of a run, of a part of it, or the page for a browser.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;

use crate::files;
use crate::model::{PartitionId, Snapshot};
use crate::run::{Directory, Line, Outline, RecordedRun, RunId, RunState, Scope, Selector};
use crate::ui::{Part, bytes, outline_text, page, story_lines, story_text};

use super::super::args::record::Show;
use super::super::failure::{Exit, Failure};
use super::super::out::Out;
use super::read_whole;

/// A step's record has no more of the cluster than it was about.
const IN_THE_RECORD: &str = "what a run was about stands in its record: `openmldb-ops record show ID`";

/// A line of a record, as one of ours.
#[derive(Serialize)]
struct ShownLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    line: &'a Line,
}

/// A run in numbers.
#[derive(Serialize)]
struct SummaryLine<'a> {
    event: &'static str,
    run: RunId,
    cluster: &'a str,
    command: &'a str,
    host: &'a str,
    state: RunState,
    ended: Option<&'a str>,
    exit_code: Option<u8>,
    took_ms: Option<u64>,
    #[serde(flatten)]
    outline: &'a Outline,
}

/// A page that was written.
#[derive(Serialize)]
struct PageLine {
    event: &'static str,
    run: RunId,
    path: String,
    bytes: u64,
}

/// Runs the command.
///
/// # Errors
/// The record cannot be read, the partition is not in it, or the page cannot be written.
pub(super) fn show(args: &Show, archive: &Directory, run: RunId, out: &Out) -> Result<Exit, Failure> {
    let recorded_run = read_whole(archive, run)?;
    let state = RunState::of(&recorded_run);
    if let Some(file) = &args.html {
        return write_page(&recorded_run, state, file, out);
    }
    if args.summary {
        let outline = Outline::of(&recorded_run);
        out.text_or(
            &outline_text(&recorded_run, state, &outline, out.paint()),
            &summary_line(&recorded_run, state, &outline),
        )?;
        return Ok(Exit::Healthy);
    }
    let named = args.partition.as_ref().map(|name| partitions(name, &recorded_run.begun.snapshot)).transpose()?;
    let part = match &named {
        Some(named) => Part::Partitions(named),
        None if args.failed => Part::Failed,
        None => Part::All,
    };
    if !out.is_json() {
        out.text_or(&story_text(&recorded_run, state, part, out.paint()), &())?;
        return Ok(Exit::Healthy);
    }
    let first = Line::Begun(Box::new(recorded_run.begun.clone()));
    for line in std::iter::once(&first).chain(story_lines(&recorded_run, part)) {
        out.text_or("", &ShownLine { event: "record_line", line })?;
    }
    Ok(Exit::Healthy)
}

fn summary_line<'a>(recorded_run: &'a RecordedRun, state: RunState, outline: &'a Outline) -> SummaryLine<'a> {
    let begun = &recorded_run.begun;
    SummaryLine {
        event: "record_summary",
        run: begun.run,
        cluster: &begun.cluster,
        command: &begun.caller.command,
        host: &begun.caller.host,
        state,
        ended: recorded_run.verdict(),
        exit_code: recorded_run.exit_code(),
        took_ms: recorded_run.took_ms(),
        outline,
    }
}

/// Partitions by their names, or by the numbers that stand where a name is not known.
fn partitions(names: &str, seen: &Snapshot) -> Result<BTreeSet<PartitionId>, Failure> {
    if let Ok(id) = PartitionId::try_from(names.replacen('/', "_", 1)) {
        return Ok([id].into());
    }
    let scope = Scope::Some(Selector::partitions(names)?);
    if seen.tables.is_empty() {
        return Err(Failure::usage(anyhow!("the run was about no table")).hint(IN_THE_RECORD));
    }
    scope.check(seen).map_err(|error| Failure::usage(error).hint(IN_THE_RECORD))?;
    let ids = seen.tables.iter().flat_map(|table| {
        table.partitions.iter().map(move |partition| (table, PartitionId { tid: table.tid, pid: partition.pid }))
    });
    Ok(ids.filter(|(table, id)| scope.covers(table, *id)).map(|(_, id)| id).collect())
}

fn write_page(recorded_run: &RecordedRun, state: RunState, file: &Path, out: &Out) -> Result<Exit, Failure> {
    let text = page(recorded_run, state);
    let unwritten = |error| Failure::error(anyhow!("the page cannot be written to {}: {error}", file.display()));
    files::replace(file, text.as_bytes()).map_err(unwritten)?;
    let (path, length) = (file.display().to_string(), text.len() as u64);
    let said = format!("written: {path} ({}); any browser shows it, without a network\n", bytes(length));
    out.text_or(&said, &PageLine { event: "record_page", run: recorded_run.begun.run, path, bytes: length })?;
    Ok(Exit::Healthy)
}
