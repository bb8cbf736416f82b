//! `record follow`: how far a run has come, from the record that it writes, until it ends.

use std::fs::{self, File};
use std::io::{self, BufRead as _, BufReader, Seek as _, SeekFrom};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::anyhow;
use serde::Serialize;

use crate::run::{Archive as _, Directory, Event, Line, Liveness, RecordedRun, Retold, RunHeader, RunId};
use crate::ui::followed_text;

use super::super::failure::{Exit, Failure};
use super::super::out::Out;

/// How often it is looked for more.
const PAUSE: Duration = Duration::from_millis(200);
/// How long the process of a run may take to write its exit code once its record has ended: it looks at the cluster and prints first. A
/// guard's process goes on and writes none, so this is how long its runs are followed in vain.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// How a run that was followed ended.
#[derive(Serialize)]
struct FollowedLine<'a> {
    event: &'static str,
    run: RunId,
    ended: Option<&'a str>,
    exit_code: Option<u8>,
}

/// Runs the command.
///
/// # Errors
/// The record cannot be read, or its run was killed.
pub(super) async fn follow(archive: &Directory, run: RunId, out: &Out) -> Result<Exit, Failure> {
    let place = archive.place(run);
    let failed = |error: io::Error| Failure::error(anyhow!("{place}: {error}"));
    let mut lines = Growing::open(PathBuf::from(&place)).map_err(failed)?;
    let begun = begun(&mut lines, &place).await?;
    out.learn(&begun.snapshot);
    let mut retold = Retold::default();
    let mut told = RecordedRun { begun, lines: Vec::new(), unreadable: 0 };
    out.say()(&followed_text(&told));
    let mut missed = retold.begun(&told.begun, &place);
    // What came before is shown as it stands now, not told again.
    while let Some(line) = lines.next().map_err(failed)? {
        missed.extend(heard(&mut told, &mut retold, &line).map(|(event, _)| event));
    }
    if told.ended().is_some() {
        out.say()(
            "it has ended already; a run that is only just beginning has no record yet: type this again in a moment",
        );
    }
    if told.ended().is_none() || out.is_json() {
        out.catch_up(missed);
    }
    while told.ended().is_none() {
        let lives = told.begun.caller.liveness();
        match lines.next().map_err(failed)? {
            Some(line) => heard(&mut told, &mut retold, &line)
                .into_iter()
                .for_each(|(event, is_call)| out.hear_another(event, is_call)),
            // What it wrote before it was gone has been read.
            None if lives == Liveness::Gone => return Err(killed(run, out)),
            None => tokio::time::sleep(PAUSE).await,
        }
    }
    let ended = Instant::now();
    while told.exit_code().is_none() {
        let may_tell = ended.elapsed() < LAST_WORDS && told.begun.caller.liveness() == Liveness::Lives;
        match lines.next().map_err(failed)? {
            Some(line) => drop(heard(&mut told, &mut retold, &line)),
            None if may_tell => tokio::time::sleep(PAUSE).await,
            // What it wrote before it was gone has been read.
            None => break,
        }
    }
    out.finish();
    let exit_code = told.exit_code();
    // Of an undertaking the record says no more than that.
    let verdict =
        told.verdict().filter(|verdict| *verdict != "ended").map_or(String::new(), |verdict| format!(": {verdict}"));
    let code = exit_code.map_or(String::new(), |code| format!(", exit code {code}"));
    let text = format!("run {run} has ended{verdict}{code}; `openmldb-ops record show {run}` tells its story\n");
    out.text_or(&text, &FollowedLine { event: "record_followed", run, ended: told.verdict(), exit_code })?;
    Ok(Exit::Healthy)
}

/// The first line, as soon as it is whole.
async fn begun(lines: &mut Growing, place: &str) -> Result<RunHeader, Failure> {
    let began = Instant::now();
    loop {
        match lines.next().map_err(|error| Failure::error(anyhow!("{place}: {error}")))? {
            Some(line) => {
                let recorded_run = RecordedRun::read(line.as_slice());
                return recorded_run
                    .map(|recorded_run| recorded_run.begun)
                    .map_err(|error| Failure::error(anyhow!("{place}: {error}")));
            }
            None if began.elapsed() > LAST_WORDS => {
                return Err(Failure::error(anyhow!("{place}: it has no first line")));
            }
            None => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// What a line tells, and whether that is of a call that only steps send. Only what says how the run ended is kept.
fn heard(told: &mut RecordedRun, retold: &mut Retold, line: &[u8]) -> Option<(Event, bool)> {
    let line: Line = serde_json::from_slice(line).ok()?;
    let is_call = matches!(line, Line::Command { .. });
    let event = retold.event(&line).map(|event| (event, is_call));
    if RecordedRun::is_about_the_end(&line) {
        told.lines.push(line);
    }
    event
}

fn killed(run: RunId, out: &Out) -> Failure {
    out.finish();
    Failure::error(anyhow!("run {run} was killed: its process is gone, and its record has no end"))
        .hint("run the same command again: it goes on")
}

/// The lines of a file that grows.
struct Growing {
    path: PathBuf,
    file: BufReader<File>,
    /// What there is of the next line.
    begun: Vec<u8>,
    /// How much was read.
    read: u64,
}

impl Growing {
    fn open(path: PathBuf) -> io::Result<Self> {
        let file = BufReader::new(File::open(&path)?);
        Ok(Self { path, file, begun: Vec::new(), read: 0 })
    }

    /// The next line, if it is whole.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.read += self.file.read_until(b'\n', &mut self.begun)? as u64;
        if self.begun.last() == Some(&b'\n') {
            return Ok(Some(std::mem::take(&mut self.begun)));
        }
        // A run whose disk is full takes back what it could not write: the rest of that line never comes.
        let length = fs::metadata(&self.path)?.len();
        if length < self.read {
            self.read = length;
            self.begun.clear();
            self.file.seek(SeekFrom::Start(length))?;
        }
        Ok(None)
    }
}
