//! `scale` and `upgrade`: plan, and unless it is a dry run, carry it out.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use crate::operate::{
    self, Job, JobError, JobReport, StateDir, StateDirError, StepEvent, StepListener, StepOutcome, dry_run,
};
use crate::run::{RecoverError, Room};
use crate::ui::{ArrangedLine, ArrangementLine, MoveLine, Moved, arrangement_text, by_hand, undertaken_text};

use super::args::undertake::{ScaleCommand, Undertaking, UpgradeCommand};
use super::failure::exit_of_stop;
use super::failure::{Exit, Failure};
use super::named::{endpoint_of, sends};
use super::out::Out;
use super::sandbox::{introduction, rows_of};
use super::session::Session;
use super::signal::{Signals, Words};

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "waiting for steps in progress, then restoring auto_failover",
    second: "A step in progress may still take effect, a leader may have stepped down, and auto_failover may be off. \
        Run the same command to continue",
    goes_on: true,
};

/// `scale`.
///
/// # Errors
/// What is in the way.
pub async fn scale(command: &ScaleCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        ScaleCommand::Out { replicas_only, room, how } => {
            run_within(operate::Undertaking::ScaleOut { leaders: !replicas_only }, how, room.tablet_room, out).await
        }
        ScaleCommand::Repair { room, how } => {
            run_within(operate::Undertaking::Repair, how, room.tablet_room, out).await
        }
        ScaleCommand::In { endpoints, room, how } => {
            let mut endpoints = endpoints.iter().map(|text| endpoint_of(text)).collect::<Result<Vec<_>, _>>()?;
            // The same tablets in another order are the same undertaking.
            endpoints.sort();
            endpoints.dedup();
            run_within(operate::Undertaking::ScaleIn { endpoints }, how, room.tablet_room, out).await
        }
    }
}

/// `upgrade`.
///
/// # Errors
/// What is in the way.
pub async fn upgrade(command: &UpgradeCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        UpgradeCommand::Pre { endpoint, allow_unavailable, how } => {
            let (endpoint, allow_unavailable) = (endpoint_of(endpoint)?, *allow_unavailable);
            run(operate::Undertaking::UpgradePre { endpoint, allow_unavailable }, how, out).await
        }
        UpgradeCommand::Post { endpoint, gone, how } => {
            run(operate::Undertaking::UpgradePost { endpoint: endpoint_of(endpoint)?, gone: *gone }, how, out).await
        }
    }
}

/// Carries an undertaking out, or says what it would be.
///
/// # Errors
/// What is in the way.
pub(super) async fn run(undertaking: operate::Undertaking, how: &Undertaking, out: &Out) -> Result<Exit, Failure> {
    run_within(undertaking, how, Room::default(), out).await
}

/// The same on tablets with so much room.
///
/// # Errors
/// What is in the way.
pub(super) async fn run_within(
    undertaking: operate::Undertaking,
    how: &Undertaking,
    room: Room,
    out: &Out,
) -> Result<Exit, Failure> {
    let timeout = how.timeout.map(Duration::from_secs);
    let signals = if how.dry_run { Signals::unheard() } else { Signals::listen(timeout, WORDS, out)? };
    let session = Session::open_to_change(&how.at, &how.embedded, &signals, out).await?;
    let done = on_cluster((undertaking, room), how, &session, &signals, out).await;
    session.end(done).await
}

async fn on_cluster(
    (undertaking, room): (operate::Undertaking, Room),
    how: &Undertaking,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Exit, Failure> {
    let dir = session.record_dir(how.record_dir.as_deref())?;
    let job = Job {
        undertaking,
        room,
        session: session.work(&dir, signals, out.listener())?,
        state_dir: StateDir::new(&dir, &session.name),
        step_timeout: Duration::from_secs(how.step_timeout),
        leaderless_limit: how.leaderless_limit,
        told: told(out),
    };
    introduction(session).iter().for_each(|text| out.say()(text));
    if how.dry_run {
        return look(&job, session, out).await;
    }
    let ended = job.perform(&session.cluster).await;
    out.finish();
    let report = ended.map_err(|error| failure_of(error, session))?;
    let line = ArrangedLine::of(&job.undertaking, &report);
    out.ends().serves(&line.service);
    out.text_or(&undertaken_text(&line, out.lists_each(), out.paint()), &line)?;
    if let Some(rows) = rows_of(session) {
        out.sandbox(&rows)?;
    }
    exit_of(&report, session)
}

async fn look(job: &Job, session: &Session, out: &Out) -> Result<Exit, Failure> {
    let drawn = job.look(&session.cluster).await.map_err(|error| failure_of(error, session))?;
    let (walks, after) = dry_run(&drawn.arrangement, &drawn.seen);
    let line = ArrangementLine::of(&job.undertaking, &drawn, &walks, &after);
    out.ends().serves(&line.service);
    out.text_or(&arrangement_text(&line, out.lists_each(), out.paint()), &line)?;
    let stops = walks.iter().any(|dry_run| dry_run.stops_at.is_some()) || !drawn.arrangement.beyond.is_empty();
    Ok(if stops { Exit::Partial } else { Exit::Healthy })
}

/// Each step on stderr; in JSON, as a line.
pub(super) fn told(out: &Out) -> StepListener {
    let (tell, lines) = (out.moves(), out.steps());
    Arc::new(move |moved: &StepEvent| {
        let StepEvent { partition, step, call, how, .. } = moved;
        let sends = call.as_ref().map(sends);
        let (outcome, text, well) = match how {
            StepOutcome::Sent => ("sent", sends.clone().unwrap_or_default(), Moved::Well),
            StepOutcome::Waits(text) => ("waiting", format!("waiting: {text}"), Moved::Slowly),
            StepOutcome::Reached(text) => ("reached", text.clone(), Moved::Well),
            StepOutcome::Missed(text) => ("missed", text.clone(), Moved::Badly),
            StepOutcome::Done { done, of } => ("done", format!("done, {done} of {of}"), Moved::Well),
        };
        tell(&format!("{partition}: {text}"), well);
        lines(&MoveLine { event: "move", partition, step, sends: sends.as_deref(), outcome, text: &text });
    })
}

/// The exit code that says how it went. auto_failover that could not be restored wins, and is said last.
fn exit_of(report: &JobReport, session: &Session) -> Result<Exit, Failure> {
    if let Some(error) = &report.not_restored {
        let on = if report.auto_failover { "on" } else { "off" };
        let error = anyhow!("auto_failover could not be restored; it was {on} before: {error}");
        let hint = by_hand(&session.reach, report.auto_failover);
        return Err(Failure { exit: Exit::NotRestored, ..Failure::error(error) }.hint(hint));
    }
    if let Some(panic) = &report.panicked {
        let error = anyhow!("it hit an internal error: {panic}");
        return Err(Failure::error(error).hint("run the same command again; please report this with the record file"));
    }
    if let Some(error) = &report.unrecorded {
        let error = anyhow!("the record could not be written ({error}), so nothing more was sent");
        return Err(
            Failure::error(error).hint("make room on its disk, or choose another with --record-dir, and run again")
        );
    }
    Ok(match report.stopped {
        Some(stop) => exit_of_stop(stop),
        None if report.left.is_empty() && report.held_for.is_empty() => Exit::Healthy,
        None => Exit::Partial,
    })
}

impl From<StateDirError> for Failure {
    fn from(error: StateDirError) -> Self {
        Self::error(error).hint("see that file, or choose another directory with --record-dir")
    }
}

pub(super) fn failure_of(error: JobError, session: &Session) -> Failure {
    match error {
        JobError::Call(error) => error.into(),
        JobError::Lock(error) => error.into(),
        JobError::Refused(refusal) => refusal.into(),
        JobError::Kept(error) => error.into(),
        JobError::Run(error) => {
            let owed = matches!(
                &*error,
                RecoverError::Step { not_restored: Some(_), .. }
                    | RecoverError::NotSeenAgain { not_restored: Some(_), .. }
            );
            let failure: Failure = (*error).into();
            if owed { failure.hint(by_hand(&session.reach, true)) } else { failure }
        }
    }
}
