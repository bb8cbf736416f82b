//! `rehearse`: the real recovery on a simulated cluster in the likeness of a real or made-up one, in virtual time.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::anyhow;
use tokio::task::JoinHandle;

use super::out::Out;
use crate::model::{Snapshot, counted};
use crate::playbook::{Playbook, alternatives};
use crate::rehearse::{Heard, Rehearsal, RehearseError, Rehearsed, Timeline};
use crate::run::Verdict;
use crate::sandbox::scenario::{Likeness, likeness};
use crate::sandbox::world::Settings;
use crate::snapshot;
use crate::ui::RehearsalLine;

use super::args::practice;
use super::failure::{Exit, Failure};

/// The word that stands for every playbook that comes with the program.
const EVERY: &str = "all";

/// After how long it is said how far it has come, and the longest time until it is said again.
const FIRST_WORD: Duration = Duration::from_secs(2);
const LONGEST_SILENCE: Duration = Duration::from_secs(60);

/// Runs the command. Nothing of a real cluster is touched, and no socket is opened.
///
/// # Errors
/// The snapshot, the sizes, the playbook or a parameter is wrong.
pub async fn run(args: &practice::Rehearse, out: &Out) -> Result<Exit, Failure> {
    let playbooks = playbooks(&args.playbook)?;
    let snapshot = snapshot_of(args)?;
    let settings = settings(args)?;
    let like = likeness(&snapshot, settings).map_err(Failure::usage)?;
    out.say()(&format!(
        "rehearsing {} in virtual time: {}, {}",
        playbooks.iter().map(|playbook| playbook.name.as_str()).collect::<Vec<_>>().join(", "),
        counted(like.tablets().len(), "tablet"),
        counted(partitions_of(&snapshot), "partition"),
    ));
    let heard: Vec<Heard> = playbooks.iter().map(|_| Heard::default()).collect();
    let done = Arc::new(AtomicUsize::new(0));
    let rehearsing: Vec<_> =
        playbooks.iter().zip(&heard).map(|(playbook, heard)| rehearse(&like, playbook, args, (heard, &done))).collect();
    let progress = tell(&playbooks, (&heard, &done), partitions_of(&snapshot), out);
    let rehearsed = tokio::select! {
        rehearsed = all(rehearsing) => rehearsed?,
        never = progress => match never {},
    };
    let lines: Vec<RehearsalLine<'_>> =
        rehearsed.iter().map(|rehearsed| RehearsalLine::new(rehearsed, &like, &snapshot.cluster)).collect();
    out.rehearsals(&lines)?;
    let is_well =
        |rehearsed: &Rehearsed| matches!(rehearsed.recovered.summary.verdict, Verdict::Recovered | Verdict::Healthy);
    Ok(if rehearsed.iter().all(is_well) { Exit::Healthy } else { Exit::Partial })
}

fn partitions_of(snapshot: &Snapshot) -> usize {
    snapshot.tables.iter().map(|table| table.partitions.len()).sum()
}

/// A rehearsal at work.
type Rehearsing = JoinHandle<Result<Rehearsed, RehearseError>>;

/// On a thread of its own: virtual time is a runtime's, and this one's is real.
fn rehearse(
    like: &Likeness,
    playbook: &Playbook,
    args: &practice::Rehearse,
    (heard, done): (&Heard, &Arc<AtomicUsize>),
) -> Rehearsing {
    let (like, playbook, heard, done) = (like.clone(), playbook.clone(), heard.clone(), done.clone());
    let (faults, seed) = (args.faults.faults.clone(), args.seed);
    tokio::task::spawn_blocking(move || {
        let rehearsed = Rehearsal { likeness: &like, playbook: &playbook, faults: &faults, seed }.run_heard(&heard);
        done.fetch_add(1, Ordering::Relaxed);
        rehearsed
    })
}

/// What came of all of them, in their order.
async fn all(rehearsing: Vec<Rehearsing>) -> Result<Vec<Rehearsed>, Failure> {
    let mut done = Vec::new();
    for rehearsal in rehearsing {
        let ended = rehearsal.await.map_err(|error| Failure::error(anyhow!("the rehearsal broke off: {error}")))?;
        done.push(ended.map_err(Failure::from)?);
    }
    Ok(done)
}

/// Says how far they have come, ever more rarely.
async fn tell(
    playbooks: &[Playbook],
    (heard, done): (&[Heard], &AtomicUsize),
    partitions: usize,
    out: &Out,
) -> Infallible {
    let mut pause = FIRST_WORD;
    loop {
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(LONGEST_SILENCE);
        let so_far = playbooks.iter().zip(heard).map(|(playbook, heard)| {
            let Timeline { serving, redundant, .. } = heard.so_far();
            format!("{}: {} serve, {} redundant", playbook.name, serving.partitions, redundant.partitions)
        });
        let (done, of) = (done.load(Ordering::Relaxed), counted(playbooks.len(), "playbook"));
        let partitions = counted(partitions, "partition");
        out.say()(&format!("{done} of {of} done; of {partitions}: {}", so_far.collect::<Vec<_>>().join("; ")));
    }
}

fn playbooks(name: &str) -> Result<Vec<Playbook>, Failure> {
    if name != EVERY {
        return Ok(vec![Playbook::find(name)?]);
    }
    alternatives().map(|name| Ok(Playbook::find(name)?)).collect()
}

fn snapshot_of(args: &practice::Rehearse) -> Result<Snapshot, Failure> {
    match &args.snapshot {
        Some(file) => Ok(snapshot::read(file)?),
        None => Ok(args.generate.unwrap_or_default().snapshot()),
    }
}

fn settings(args: &practice::Rehearse) -> Result<Settings, Failure> {
    let bounded = |flag: &str, value: u64, most: u64| match (1..=most).contains(&value) {
        true => Ok(value),
        false => Err(Failure::usage(anyhow!("{flag} must be from 1 to {most}"))),
    };
    let time = |flag: &str, ms: u64| match (1..=3_600_000).contains(&ms) {
        true => Ok(ms),
        false => Err(Failure::usage(anyhow!("{flag} must be from 1ms to 1h"))),
    };
    let mut settings = Settings { seed: args.seed, ..Settings::default() };
    if let Some(rate) = args.load_rate {
        settings.tablet.load_ns_per_entry = 1_000_000_000 / bounded("--load-rate", rate, 1_000_000_000)?;
    }
    if let Some(ms) = args.load_fixed {
        settings.tablet.load_fixed_ms = time("--load-fixed", ms)?;
    }
    if let Some(threads) = args.task_pool_size {
        settings.tablet.task_pool_size = bounded("--task-pool-size", threads, 256)? as usize;
    }
    if let Some(ms) = args.task_poll {
        settings.nameserver.get_task_status_interval_ms = time("--task-poll", ms)?;
    }
    if let Some(ms) = args.table_poll {
        settings.nameserver.get_table_status_interval_ms = time("--table-poll", ms)?;
    }
    if let Some(lanes) = args.task_concurrency {
        settings.nameserver.task_concurrency = bounded("--task-concurrency", lanes, 8)? as u32;
    }
    Ok(settings)
}

impl From<RehearseError> for Failure {
    fn from(error: RehearseError) -> Self {
        match error {
            RehearseError::Runtime(error) => error.into(),
            RehearseError::Recover(error) => (*error).into(),
        }
    }
}
