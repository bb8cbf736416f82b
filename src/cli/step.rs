//! The handbook's single steps: one command each.

use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use crate::operate::{Closed, Fault, OperateError, Outcome, Performed, Refusal, Single, StateDir, Step};
use crate::run::some_of;

use super::args::step::Working;
use super::args::steps::{Asked, LeaderCommand, OpCommand, ReplicaCommand, TabletCommand};
use super::failure::exit_of_stop;
use super::failure::{Exit, Failure};
use super::named::{endpoint_of, partitions_of, sends};
use super::out::Out;
use super::session::Session;
use super::signal::{Signals, Words};
use super::{diff, show, undertake};

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "nothing was changed",
    first: "waiting for the call under way, not for its effect",
    second: "The call may still take effect: check `openmldb-ops status`",
    goes_on: true,
};

/// How a step went.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    step: &'static str,
    /// The handbook's command for what is sent, if anything is.
    sends: Option<&'a str>,
    outcome: &'static str,
    text: &'a str,
    remarks: &'a [String],
    dry_run: bool,
}

/// `op`.
///
/// # Errors
/// As [`take`].
pub async fn op(command: &OpCommand, out: &Out) -> Result<Exit, Failure> {
    take(command.asked(), out).await
}

/// `leader`.
///
/// # Errors
/// As [`take`].
pub async fn leader(command: &LeaderCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        LeaderCommand::Handover { partition, to, how } => {
            let (partitions, to) = (partitions_of(partition)?, endpoint_of(to)?);
            let Some((table, _)) = partitions.first().cloned() else { return Ok(Exit::Healthy) };
            let pids = partitions.into_iter().map(|(_, pid)| pid).collect();
            undertake::run(crate::operate::Undertaking::Handover { table, pids, to }, how, out).await
        }
        LeaderCommand::Step(step) => take(step.asked()?, out).await,
    }
}

/// `tablet`.
///
/// # Errors
/// As [`take`].
pub async fn tablet(command: &TabletCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        TabletCommand::Step(step) => take(step.asked()?, out).await,
        TabletCommand::Replace { endpoint, with, accept_data_loss, room, how } => {
            let (endpoint, accepts) = (endpoint_of(endpoint)?, accept_data_loss.clone());
            let with = with.as_deref().map(endpoint_of).transpose()?;
            let replace = crate::operate::Undertaking::Replace { endpoint, with, accepts };
            undertake::run_within(replace, how, room.tablet_room, out).await
        }
    }
}

/// `replica`.
///
/// # Errors
/// As [`take`].
pub async fn replica(command: &ReplicaCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        ReplicaCommand::Status { of, looking } => show::replicas(of, looking, out).await,
        ReplicaCommand::Diff(args) => diff::run(args, out).await,
        ReplicaCommand::Step(step) => take(step.asked()?, out).await,
    }
}

/// Takes steps, one after another, or says what they would be. The first that fails is the last.
///
/// # Errors
/// What is in the way, or that an effect was not seen.
pub(super) async fn take(asked: Asked<'_>, out: &Out) -> Result<Exit, Failure> {
    let Asked { steps, allow_unavailable, working } = asked;
    let signals = if working.dry_run { Signals::unheard() } else { Signals::listen(None, WORDS, out)? };
    let session = Session::open_to_change(&working.at, &working.embedded, &signals, out).await?;
    let mut taken = Ok(Exit::Healthy);
    let mut left = steps.into_iter();
    while taken.is_ok() {
        let Some(step) = left.next() else { break };
        taken = take_on(step, allow_unavailable, working, &session, &signals, out).await;
    }
    let taken = taken.map_err(|failure| not_begun(failure, left.as_slice()));
    session.end(taken).await
}

/// The first that fails is the last: somebody has to look before the others are taken.
fn not_begun(failure: Failure, left: &[Step]) -> Failure {
    if left.is_empty() {
        return failure;
    }
    let left: Vec<String> = left.iter().map(|step| format!("`{}`", step.typed())).collect();
    let next = failure.next();
    Failure { error: anyhow!("{failure}; not begun: {}", some_of(&left)), ..failure }.hint(next)
}

pub(super) async fn take_on(
    step: Step,
    allow_unavailable: bool,
    working: &Working,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Exit, Failure> {
    let dir = session.record_dir(working.record_dir.as_deref())?;
    let closed = match step.gives() {
        true => StateDir::new(&dir, &session.name).closed()?,
        false => Closed::default(),
    };
    // A step says what it waits for, and nothing else.
    let work = session.work(&dir, signals, out.of_records())?;
    let single = Single {
        step,
        allow_unavailable,
        closed,
        session: work,
        wait: (!working.no_wait).then(|| Duration::from_secs(working.timeout)),
        says: out.say(),
    };
    let Performed { planned, outcome } = match working.dry_run {
        true => single.look(&session.cluster).await?,
        false => single.perform(&session.cluster).await?,
    };
    let sends = planned.call.as_ref().map(sends);
    let sent = sends.as_deref().unwrap_or_default();
    let (code, text) = match &outcome {
        Outcome::Already(text) => ("already", format!("{text} already: nothing is sent")),
        Outcome::Reached(text) => ("reached", text.clone()),
        Outcome::Sent => ("sent", format!("sent: {sent}")),
        Outcome::NotSent => ("not_sent", format!("would send: {sent}")),
    };
    let line = Line {
        event: "step",
        step: single.step.code(),
        sends: sends.as_deref(),
        outcome: code,
        text: &text,
        remarks: &planned.remarks,
        dry_run: working.dry_run,
    };
    let remarks: String = planned.remarks.iter().map(|remark| format!("note: {remark}\n")).collect();
    out.text_or(&format!("{text}\n{remarks}"), &line)?;
    Ok(Exit::Healthy)
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let hint = refusal.hint.clone();
        let exit = match refusal.fault {
            Fault::Cluster => Exit::Refused,
            Fault::Typed => Exit::Usage,
        };
        Self { exit, ..Self::error(anyhow!("nothing was sent: {refusal}")) }.hint(hint)
    }
}

impl From<OperateError> for Failure {
    fn from(error: OperateError) -> Self {
        match error {
            OperateError::Call(error) => error.into(),
            OperateError::Lock(error) => error.into(),
            OperateError::Record(_) => {
                let hint = "make room on its disk, or choose another with --record-dir";
                Self::error(anyhow!("{error}")).hint(hint)
            }
            OperateError::LockLost => Self { exit: Exit::Locked, ..Self::error(anyhow!("{error}")) },
            OperateError::Refused(refusal) => refusal.into(),
            OperateError::Stopped { stop, text } => Self { exit: exit_of_stop(stop), ..Self::error(anyhow!("{text}")) },
            OperateError::Missed { text, hint } => {
                Self { exit: Exit::Partial, ..Self::error(anyhow!("{text}")) }.hint(hint)
            }
        }
    }
}
