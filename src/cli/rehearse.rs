//! `rehearse`: the real recovery on a simulated cluster in the likeness of a real or made-up one, in virtual time.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::anyhow;

use super::out::Out;
use crate::model::Snapshot;
use crate::playbook::{Playbook, alternatives};
use crate::rehearse::{Generate, Rehearsal, RehearseError, Rehearsed};
use crate::run::{Event, Listener, Progress, Verdict};
use crate::sandbox::scenario::{Likeness, likeness};
use crate::sandbox::world::Settings;
use crate::snapshot;
use crate::ui::RehearsalLine;

use super::failure::{Exit, Failure};
use super::practice_args;

/// The word that stands for every playbook that comes with the program.
const EVERY: &str = "all";

/// Runs the command. Nothing of a real cluster is touched, and no socket is opened.
///
/// # Errors
/// The snapshot, the sizes, the playbook or a parameter is wrong.
pub async fn run(args: &practice_args::Rehearse, out: &Out) -> Result<Exit, Failure> {
    let playbooks = playbooks(&args.playbook)?;
    let snapshot = snapshot_of(args)?;
    let settings = settings(args)?;
    let like = likeness(&snapshot, settings).map_err(Failure::usage)?;
    let mut exit = Exit::Healthy;
    let all = playbooks.len();
    for (nth, playbook) in playbooks.into_iter().enumerate() {
        let which = if all > 1 { format!(" ({} of {all})", nth + 1) } else { String::new() };
        out.say()(&format!(
            "rehearsing {}{which} in virtual time: tablets {}, partitions {}",
            playbook.name,
            like.tablets().len(),
            snapshot.tables.iter().map(|table| table.partitions.len()).sum::<usize>(),
        ));
        let rehearsed = rehearse(&like, &playbook, args, telling(&playbook.name, out)).await;
        out.in_place()("");
        let rehearsed = rehearsed?;
        if !matches!(rehearsed.recovered.summary.verdict, Verdict::Recovered | Verdict::Healthy) {
            exit = Exit::Partial;
        }
        out.rehearsal(&RehearsalLine::new(&rehearsed, &like, &snapshot.cluster))?;
    }
    Ok(exit)
}

/// On a thread of its own: virtual time is a runtime's, and this one's is real.
async fn rehearse(
    like: &Likeness,
    playbook: &Playbook,
    args: &practice_args::Rehearse,
    told: Listener,
) -> Result<Rehearsed, Failure> {
    let (like, playbook) = (like.clone(), playbook.clone());
    let (faults, seed) = (args.faults.faults.clone(), args.seed);
    let work = move || Rehearsal { likeness: &like, playbook: &playbook, faults: &faults, seed }.run_told(&told);
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(|error| Failure::error(anyhow!("the rehearsal broke off: {error}")))?.map_err(Failure::from)
}

/// Shows on a terminal how far it has come: one that takes long is not taken for one that hangs.
fn telling(playbook: &str, out: &Out) -> Listener {
    const EVERY: Duration = Duration::from_millis(200);
    let (show, playbook, shown) = (out.in_place(), playbook.to_owned(), Mutex::new(Instant::now()));
    Arc::new(move |event: &Event| {
        let Event::Progress(progress) = event else { return };
        let mut shown = shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.elapsed() >= EVERY {
            *shown = Instant::now();
            let Progress { redundant, partitions, .. } = **progress;
            show(&format!("rehearsing {playbook}: {redundant} of {partitions} partitions are redundant"));
        }
    })
}

fn playbooks(name: &str) -> Result<Vec<Playbook>, Failure> {
    if name != EVERY {
        return Ok(vec![Playbook::find(name)?]);
    }
    alternatives().map(|name| Ok(Playbook::find(name)?)).collect()
}

fn snapshot_of(args: &practice_args::Rehearse) -> Result<Snapshot, Failure> {
    match &args.snapshot {
        Some(file) => Ok(snapshot::read(file)?),
        None => Ok(args.generate.unwrap_or_default().snapshot()),
    }
}

fn settings(args: &practice_args::Rehearse) -> Result<Settings, Failure> {
    let bounded = |flag: &str, value: u64, most: u64| match (1..=most).contains(&value) {
        true => Ok(value),
        false => Err(Failure::usage(anyhow!("{flag} must be from 1 to {most}"))),
    };
    let mut settings = Settings { seed: args.seed, ..Settings::default() };
    if let Some(rate) = args.load_rate {
        settings.tablet.load_ns_per_entry = 1_000_000_000 / bounded("--load-rate", rate, 1_000_000_000)?;
    }
    if let Some(ms) = args.load_fixed {
        settings.tablet.load_fixed_ms = bounded("--load-fixed", ms, 3_600_000)?;
    }
    if let Some(threads) = args.task_pool_size {
        settings.tablet.task_pool_size = bounded("--task-pool-size", threads, 256)? as usize;
    }
    if let Some(ms) = args.task_poll {
        settings.nameserver.get_task_status_interval_ms = bounded("--task-poll", ms, 3_600_000)?;
    }
    if let Some(ms) = args.table_poll {
        settings.nameserver.get_table_status_interval_ms = bounded("--table-poll", ms, 3_600_000)?;
    }
    if let Some(lanes) = args.task_concurrency {
        settings.nameserver.task_concurrency = bounded("--task-concurrency", lanes, 8)? as u32;
    }
    Ok(settings)
}

/// Sizes of a made-up cluster, for clap.
pub(super) fn generate(text: &str) -> Result<Generate, String> {
    text.parse().map_err(|error: crate::rehearse::GenerateError| error.to_string())
}

impl From<RehearseError> for Failure {
    fn from(error: RehearseError) -> Self {
        match error {
            RehearseError::Runtime(error) => error.into(),
            RehearseError::Recover(error) => (*error).into(),
        }
    }
}
