//! The handbook's single steps: one command each.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use crate::model::{Endpoint, OpId, Pid, TableName};
use crate::operate::{Call, Closed, OperateError, Outcome, Performed, Refusal, Single, StateDir, Step};
use crate::run::{Directory, Selector};
use crate::ui::{Numbers, command};

use super::failure::{Exit, Failure};
use super::out::Out;
use super::recover::{caller, exit_of_stop, now_ms};
use super::session::{Session, sandbox_record_dir};
use super::signal::{Signals, Words};
use super::step_args::{LeaderCommand, OneReplica, OpCommand, ReplicaCommand, TabletCommand, Working, YesNo};
use super::{diff, record, show, undertake};

/// What it says when it is stopped.
const WORDS: Words = Words {
    first: "waiting for the call under way, not for its effect",
    second: "The call may still take effect: `openmldb-ops status` tells",
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
pub async fn cancel(command: &OpCommand, out: &Out) -> Result<Exit, Failure> {
    let OpCommand::Cancel { op, working } = command;
    take(Step::CancelOp { op: OpId(*op) }, working, out).await
}

/// `leader`.
///
/// # Errors
/// As [`take`].
pub async fn change_leader(command: &LeaderCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        LeaderCommand::Handover { partition, to, how } => {
            let ((table, pid), to) = (partition_of(partition)?, endpoint_of(to)?);
            undertake::run(crate::operate::Undertaking::Handover { table, pid, to }, how, out).await
        }
        LeaderCommand::Change { partition, to, working } => {
            let (table, pid) = partition_of(partition)?;
            take(Step::ChangeLeader { table, pid, to: to.as_deref().map(endpoint_of).transpose()? }, working, out).await
        }
    }
}

/// `tablet`.
///
/// # Errors
/// As [`take`].
pub async fn tablet(command: &TabletCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        TabletCommand::Offline { endpoint, allow_unavailable, working } => {
            let step = Step::OfflineTablet { endpoint: endpoint_of(endpoint)? };
            take_even_if(*allow_unavailable, step, working, out).await
        }
        TabletCommand::Recover { endpoint, working } => {
            take(Step::RecoverTablet { endpoint: endpoint_of(endpoint)? }, working, out).await
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
        ReplicaCommand::Load(OneReplica { partition, endpoint, working }) => {
            let ((table, pid), endpoint) = (partition_of(partition)?, endpoint_of(endpoint)?);
            take(Step::LoadReplica { table, pid, endpoint }, working, out).await
        }
        ReplicaCommand::Recover(OneReplica { partition, endpoint, working }) => {
            let ((table, pid), endpoint) = (partition_of(partition)?, endpoint_of(endpoint)?);
            take(Step::RecoverReplica { table, pid, endpoint, led_until: None }, working, out).await
        }
        ReplicaCommand::Add(OneReplica { partition, endpoint, working }) => {
            let ((table, pid), endpoint) = (partition_of(partition)?, endpoint_of(endpoint)?);
            take(Step::AddReplica { table, pid, endpoint }, working, out).await
        }
        ReplicaCommand::Remove(OneReplica { partition, endpoint, working }) => {
            let ((table, pid), endpoint) = (partition_of(partition)?, endpoint_of(endpoint)?);
            take(Step::RemoveReplica { table, pid, endpoint }, working, out).await
        }
        ReplicaCommand::Aggregate(OneReplica { partition, endpoint, working }) => {
            let ((table, pid), endpoint) = (partition_of(partition)?, endpoint_of(endpoint)?);
            take(Step::Aggregate { table, pid, endpoint }, working, out).await
        }
        ReplicaCommand::Migrate { partition, from, to, working } => {
            let (table, pid) = partition_of(partition)?;
            let (from, to) = (endpoint_of(from)?, endpoint_of(to)?);
            take(Step::MigrateReplica { table, pid, from, to }, working, out).await
        }
        ReplicaCommand::Alive { which, endpoint, alive, allow_unavailable, working } => {
            let (table, pid) = match which.contains('/') {
                true => partition_of(which).map(|(table, pid)| (table, Some(pid)))?,
                false => (name_of(&Selector::table(which)?), None),
            };
            let (endpoint, alive) = (endpoint_of(endpoint)?, *alive == YesNo::Yes);
            take_even_if(*allow_unavailable, Step::MarkAlive { table, pid, endpoint, alive }, working, out).await
        }
    }
}

/// Takes a step, or says what it would be.
///
/// # Errors
/// What is in the way, or that the effect was not seen.
pub async fn take(step: Step, working: &Working, out: &Out) -> Result<Exit, Failure> {
    take_even_if(false, step, working, out).await
}

/// The same, even if what clients use now becomes unavailable by it, where somebody has said so.
async fn take_even_if(allow_unavailable: bool, step: Step, working: &Working, out: &Out) -> Result<Exit, Failure> {
    let signals = if working.dry_run { Signals::unheard() } else { Signals::listen(None, WORDS, out)? };
    let opened = signals.unless_stopped(Session::open(&working.at, &working.embedded, out.waits())).await;
    let session = opened??;
    signals.found(&session.reach);
    let taken = take_on(step, allow_unavailable, working, &session, &signals, out).await;
    let closed = session.close().await;
    let exit = taken?;
    closed.map(|()| exit)
}

pub(super) async fn take_on(
    step: Step,
    allow_unavailable: bool,
    working: &Working,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Exit, Failure> {
    let dir = match session.sandbox {
        Some(_) => sandbox_record_dir(),
        None => record::dir(working.record_dir.clone())?,
    };
    let closed = match Closed::concerns(&step) {
        true => StateDir::new(&dir, &session.name).closed()?,
        false => Closed::default(),
    };
    let single = Single {
        step,
        allow_unavailable,
        closed,
        cluster_name: session.name.clone(),
        lock: session.lock(&dir)?,
        archive: Arc::new(Directory(dir)),
        caller: caller(),
        wait: (!working.no_wait).then(|| Duration::from_secs(working.timeout)),
        pace: session.pace,
        stop: signals.stop.clone(),
        record: signals.record.clone(),
        now_ms: now_ms(),
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

/// A call, as the handbook writes it.
pub(super) fn sends(call: &Call) -> String {
    match call {
        Call::Action(action) => command(action, Numbers::Known),
        Call::RecoverEndpoint(endpoint) => format!("recoverendpoint {endpoint}"),
        Call::AddReplica(table, pid, endpoint) => format!("addreplica {} {pid} {endpoint}", table.table),
        Call::DelReplica(table, pid, endpoint) => format!("delreplica {} {pid} {endpoint}", table.table),
        Call::Migrate(table, pid, from, to) => format!("migrate {from} {} {pid} {to}", table.table),
        Call::StandDown(endpoint, id) => format!("changerole {} {} follower on {endpoint}", id.tid, id.pid),
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let hint = refusal.hint.clone();
        Self { exit: Exit::Refused, ..Self::error(anyhow!("nothing was sent: {refusal}")) }.hint(hint)
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

/// `DATABASE.TABLE/PID`.
///
/// # Errors
/// It is not of that form.
pub(super) fn partition_of(text: &str) -> Result<(TableName, Pid), Failure> {
    let selector = Selector::partition(text)?;
    let pid = selector.pid.unwrap_or(Pid(0));
    Ok((name_of(&selector), pid))
}

fn name_of(selector: &Selector) -> TableName {
    TableName { db: selector.db.clone(), table: selector.table.clone().unwrap_or_default() }
}

/// `HOST:PORT`, or the name a server goes by.
///
/// # Errors
/// It cannot be either.
pub(super) fn endpoint_of(text: &str) -> Result<Endpoint, Failure> {
    let fits = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '/');
    fits.then(|| Endpoint::from(text))
        .ok_or_else(|| Failure::usage(anyhow!("`{text}` is no tablet's HOST:PORT or name")))
}
