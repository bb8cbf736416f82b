//! `failover`: reads and sets auto_failover, and restores it after a run that could not.

use std::path::Path;

use anyhow::anyhow;
use serde::Serialize;

use crate::operate::Step;
use crate::run::{FailoverRestore, HeldFor, RecoverError, why_held};
use crate::ui::by_hand;

use super::args::failover::{self, FailoverCommand};
use super::args::step::{Looking, OnOff, Working};
use super::failure::{Exit, Failure};
use super::out::Out;
use super::record_dir;
use super::session::Session;
use super::signal::{Signals, Words};
use super::step;

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "restoring auto_failover",
    second: "auto_failover may be off. Run the same command to continue",
    goes_on: true,
};

/// What came of it.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    was: Option<bool>,
    is: bool,
    by: Option<&'a str>,
    held_for: &'a [HeldFor],
    dry_run: bool,
}

/// Runs the command.
///
/// # Errors
/// Another run is at work, or it could not be restored.
pub async fn run(command: &FailoverCommand, out: &Out) -> Result<Exit, Failure> {
    let args = match command {
        FailoverCommand::Get(looking) => return get(looking, out).await,
        FailoverCommand::Set { state, release, working } => {
            return set(*state == OnOff::On, *release, working, out).await;
        }
        FailoverCommand::Restore(args) => args,
    };
    let signals = if args.dry_run { Signals::unheard() } else { Signals::listen(None, WORDS, out)? };
    let session = signals.unless_stopped(Session::at(&args.at, out.waits())).await??;
    signals.found(&session.reach);
    let done = restore(args, &session, &signals, out).await;
    session.end(done).await
}

/// Switched on, it must not lose what nobody has looked at.
async fn set(on: bool, release: bool, working: &Working, out: &Out) -> Result<Exit, Failure> {
    let signals = if working.dry_run { Signals::unheard() } else { Signals::listen(None, WORDS, out)? };
    let session = Session::open_to_change(&working.at, &working.embedded, &signals, out).await?;
    let done = set_on(on, release, working, &session, &signals, out).await;
    session.end(done).await
}

async fn set_on(
    on: bool,
    release: bool,
    working: &Working,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Exit, Failure> {
    // Nobody else has a record of an embedded cluster.
    if on && session.sandbox.is_none() {
        let giving = failover_restore(&record_dir::dir(working.record_dir.clone())?, session, signals, out)?;
        let held_for = signals.unless_stopped(giving.look(&session.cluster)).await??.held_for;
        match (held_for.is_empty(), release) {
            (true, _) => {}
            (false, true) if !working.dry_run => giving.release(&session.cluster).await?,
            (false, true) => {}
            (false, false) => return Err(RecoverError::KeptOff { held_for: held_for.into() }.into()),
        }
    }
    step::take_on(Step::SetAutoFailover { on }, false, working, session, signals, out).await
}

fn failover_restore(dir: &Path, session: &Session, signals: &Signals, out: &Out) -> Result<FailoverRestore, Failure> {
    Ok(FailoverRestore { session: session.work(dir, signals, out.listener())? })
}

/// What `failover get` says.
#[derive(Serialize)]
struct Setting {
    event: &'static str,
    auto_failover: bool,
}

async fn get(looking: &Looking, out: &Out) -> Result<Exit, Failure> {
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = session.cluster.auto_failover().await;
    let closed = session.close().await;
    let line = Setting { event: "auto_failover", auto_failover: seen? };
    out.text_or(&format!("auto_failover is {}\n", if line.auto_failover { "on" } else { "off" }), &line)?;
    closed.map(|()| Exit::Healthy)
}

async fn restore(
    args: &failover::FailoverRestore,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Exit, Failure> {
    let giving = failover_restore(&record_dir::dir(args.record_dir.clone())?, session, signals, out)?;
    let owed = signals.unless_stopped(giving.look(&session.cluster)).await??;
    let (now, by) = (if owed.is { "on" } else { "off" }, owed.by.as_deref());
    let held_for = owed.held_for.as_slice();
    let Some(was) = owed.was else {
        let line = Line { event: "failover_restored", was: None, is: owed.is, by, held_for, dry_run: args.dry_run };
        out.text_or(&format!("nothing to restore: no run left auto_failover changed; it is {now}\n"), &line)?;
        return Ok(Exit::Healthy);
    };
    let (before, who) = (if was { "on" } else { "off" }, by.unwrap_or("a run"));
    if args.dry_run {
        let line = Line { event: "failover_restored", was: Some(was), is: owed.is, by, held_for, dry_run: true };
        let kept_off = match (was, owed.held_for.is_empty()) {
            (true, false) => format!("it must stay off: {}\n", why_held(&owed.held_for)),
            _ => String::new(),
        };
        let text = format!("{who} found auto_failover {before} and did not restore it; it is {now} now\n{kept_off}");
        out.text_or(&text, &line)?;
        return Ok(Exit::Healthy);
    }
    match giving.run(&session.cluster, args.release).await {
        Ok(Some(was)) => {
            let line = Line { event: "failover_restored", was: Some(was), is: was, by, held_for: &[], dry_run: false };
            out.text_or(&format!("auto_failover is {before} again, as it was before {who}\n"), &line)?;
        }
        Ok(None) => {
            let line =
                Line { event: "failover_restored", was: None, is: owed.is, by: None, held_for: &[], dry_run: false };
            out.text_or("nothing to restore any more: another run has restored it\n", &line)?;
        }
        Err(RecoverError::NotGivenBack { was, seen }) => {
            let error = anyhow!("auto_failover could not be restored; it was {before} before: {seen}");
            let hint = Some(by_hand(&session.reach, was));
            return Err(Failure { exit: Exit::NotRestored, hint, ..Failure::error(error) });
        }
        Err(error) => return Err(error.into()),
    }
    Ok(Exit::Healthy)
}
