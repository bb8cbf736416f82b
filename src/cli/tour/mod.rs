//! `sandbox tour`: shows commands, and runs each for real, on an embedded cluster. On a terminal it waits for Enter before each.

mod nights;

use std::env;
use std::io::{self, BufRead as _, IsTerminal as _};
use std::num::NonZeroU32;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;
use serde_json::Value;
use tempfile::TempDir;

use crate::sandbox::scenario::Scenario;
use crate::sandbox::{Options, Sandbox, TimeScale};
use crate::ui::Tone;

use super::args::practice;
use super::doors::{self, Posted};
use super::failure::{Exit, Failure};
use super::out::Out;
use super::record_dir::sandbox_record_dir;
use crate::sandbox::practice::Listening;
use nights::{NIGHTS, Night, Stop};

/// How often it is looked whether a command has ended.
const LOOK_EVERY: Duration = Duration::from_millis(10);
/// How much faster than a real cluster's the clock runs: slow enough for somebody to watch, or as fast as any sandbox's.
const TO_WATCH: u32 = 5;
const UNWATCHED: u32 = 20;

/// Something is to be known, or typed.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "tour")]
struct TourLine<'a> {
    night: Option<&'a str>,
    says: &'a str,
    command: Option<&'a str>,
}

/// What was typed has ended.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "tour_ran")]
struct TourRanLine<'a> {
    command: &'a str,
    exit_code: Option<i32>,
    as_expected: bool,
}

/// A night's cluster, and where its records are.
struct Place {
    sandbox: Sandbox,
    nameserver: String,
    records: TempDir,
    _orders: (Listening, Posted),
}

/// Runs the command.
///
/// # Errors
/// The sandbox cannot be started, or a command did not end as it should.
pub async fn run(args: &practice::Tour, out: &Out) -> Result<Exit, Failure> {
    let waits = !out.is_json() && io::stdin().is_terminal() && io::stdout().is_terminal();
    let mut exit = Exit::Healthy;
    for (number, night) in (1..).zip(&NIGHTS).filter(|(number, _)| args.night.is_none_or(|wanted| wanted == *number)) {
        let place = Place::open(if waits { TO_WATCH } else { UNWATCHED }).await?;
        introduce(number, night, &place, out)?;
        let played = play(night, &place, waits, out).await;
        place.sandbox.stop().await?;
        if !played? {
            exit = Exit::Error;
        }
    }
    let more = "\nThat was the tour. docs/runbook.md has these nights step by step, and the one in which ZooKeeper is lost.\n\
                `openmldb-ops sandbox serve` keeps a cluster to practise on; `sandbox list` names all that can have happened to it.\n";
    out.text_or(more, &TourLine { night: None, says: in_one_line(more).trim(), command: None })?;
    Ok(exit)
}

impl Place {
    async fn open(times: u32) -> Result<Self, Failure> {
        let time_scale = NonZeroU32::new(times).map_or_else(TimeScale::default, TimeScale);
        let options = Options { time_scale, ..Options::default() };
        let sandbox = Sandbox::start(Scenario::EverythingRestarted, &options).await?;
        let nameserver = sandbox.nameserver_address().ok_or_else(|| Failure::error(anyhow!("it has no nameserver")))?;
        let nameserver = nameserver.to_string();
        let listening = Listening::start(sandbox.live().clone(), nameserver.clone()).await?;
        let posted = doors::post(listening.door())?;
        let name = sandbox_record_dir();
        let mut records = tempfile::Builder::new();
        let records = records.prefix(name.file_name().unwrap_or_default()).rand_bytes(0).tempdir()?;
        Ok(Self { sandbox, nameserver, records, _orders: (listening, posted) })
    }

    /// This program, on this cluster.
    fn command(&self, words: &[String]) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.args(words).env("OPENMLDB_NAMESERVER", &self.nameserver);
        command.env("OPENMLDB_OPS_RECORD_DIR", self.records.path()).stdin(Stdio::null());
        // The environment names one cluster, this one.
        for other in ["OPENMLDB_ZK_CLUSTER", "OPENMLDB_ZK_ROOT_PATH", "OPENMLDB_AUTH", "OPENMLDB_AUTH_FILE"] {
            command.env_remove(other);
        }
        Ok(command)
    }

    /// A stop's words, with what is known only now.
    async fn typed(&self, stop: &Stop) -> Result<Vec<String>, Failure> {
        let mut words: Vec<String> = stop.types.split_whitespace().map(str::to_owned).collect();
        for word in &mut words {
            match word.as_str() {
                "PLAN" => *word = self.plan().await?,
                "TABLET3" => {
                    let third = self.sandbox.tablets().get(2);
                    *word = third.map_or_else(String::new, |(endpoint, _)| endpoint.to_string());
                }
                _ => {}
            }
        }
        Ok(words)
    }

    /// The id of what a dry run would do now.
    async fn plan(&self) -> Result<String, Failure> {
        let words = ["recover", "--all", "--dry-run", "--output", "json"].map(str::to_owned);
        let mut command = self.command(&words)?;
        let told = tokio::task::spawn_blocking(move || command.stderr(Stdio::null()).output()).await;
        let told = told.map_err(Failure::error)??;
        let mut events = told.stdout.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok());
        let plan = events.find(|event: &Value| event["event"] == "plan");
        let id = plan.and_then(|plan| plan["id"].as_str().map(str::to_owned));
        id.ok_or_else(|| Failure::error(anyhow!("the dry run gave no plan")))
    }
}

fn introduce(number: u8, night: &Night, place: &Place, out: &Out) -> Result<(), Failure> {
    let title = format!("Night {number}: {}", night.title);
    let says = "A cluster of three tablets, embedded in this program. Its commands find it by their environment; so do yours, typed in \
                another terminal, after:";
    let (nameserver, records) = (&place.nameserver, place.records.path().display());
    let text = format!(
        "\n{}\n{says}\n  export OPENMLDB_NAMESERVER={nameserver} OPENMLDB_OPS_RECORD_DIR={records}/\n",
        out.paint().tone(Tone::Strong, &title)
    );
    Ok(out.text_or(&text, &TourLine { night: Some(night.title), says, command: None })?)
}

/// Whether every command ended as it should.
async fn play(night: &Night, place: &Place, waits: bool, out: &Out) -> Result<bool, Failure> {
    let mut as_expected = true;
    for stop in night.stops {
        let mut words = place.typed(stop).await?;
        let command = format!("openmldb-ops {}", words.join(" "));
        let says = in_one_line(stop.says);
        let line = TourLine { night: Some(night.title), says: &says, command: Some(&command) };
        let shown = out.paint().tone(Tone::Strong, &format!("$ {command}"));
        out.text_or(&format!("\n{says}\n{shown}\n"), &line)?;
        if waits {
            enter(out).await?;
        }
        if out.is_json() {
            words.extend(["--output", "json"].map(str::to_owned));
        }
        let status = Running(place.command(&words)?.spawn()?).ends().await?;
        let line = TourRanLine {
            command: &command,
            exit_code: status.code(),
            as_expected: status.code() == Some(i32::from(stop.ends)),
        };
        as_expected &= line.as_expected;
        out.text_or(&ended(&line, stop), &line)?;
    }
    Ok(as_expected)
}

fn ended(line: &TourRanLine<'_>, stop: &Stop) -> String {
    match line.exit_code {
        Some(code) if line.as_expected => format!("(exit code {code})\n"),
        Some(code) => format!("(exit code {code}; the tour expected {})\n", stop.ends),
        None => "(ended by a signal)\n".to_owned(),
    }
}

fn in_one_line(says: &str) -> String {
    says.replace('\n', " ")
}

/// Waits until Enter is pressed, or nobody is there any more.
async fn enter(out: &Out) -> Result<(), Failure> {
    out.say()("press Enter to run it, Ctrl-C to leave");
    let read = tokio::task::spawn_blocking(|| io::stdin().lock().read_line(&mut String::new()));
    read.await.map_err(Failure::error)??;
    Ok(())
}

/// A command at work, which does not outlive the tour.
struct Running(Child);

impl Running {
    async fn ends(mut self) -> io::Result<ExitStatus> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(status);
            }
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It has ended, or the tour was left.
        let _ended = self.0.kill().and_then(|()| self.0.wait());
    }
}
