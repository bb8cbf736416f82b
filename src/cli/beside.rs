//! The end of a recovery: pre-aggregate tables that serve, and are led by other tablets than what they aggregate, are handed over.
//! An undertaking of its own, with a record of its own.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::cluster::CallError;
use crate::model::{PartitionId, Snapshot};
use crate::operate::{Job, JobError, StateDir, Undertaking};
use crate::run::{Checking, Compares, Recovered, Room, Scope, unhealthy_in};
use crate::snapshot::collect;
use crate::ui::{ArrangedLine, arranged_text};
use crate::verify::Verification;

use super::args::undertake::{LEADERLESS_LIMIT, STEP_TIMEOUT_S};
use super::caller::now_ms;
use super::failure::Failure;
use super::out::Out;
use super::session::Session;
use super::signal::Signals;
use super::undertake::{failure_of, told};

/// Hands over what the last look of a recovery found led apart. What cannot be handed over stays among its findings.
///
/// # Errors
/// It was begun, and how auto_failover or the cluster is at its end is not known.
pub(super) async fn lead_beside(
    recovered: Recovered,
    (scope, up_to): (&Scope, u64),
    dir: &Path,
    session: &Session,
    signals: &Signals,
    out: &Out,
) -> Result<Recovered, Failure> {
    let partitions = recovered.led_apart();
    if partitions.is_empty() {
        return Ok(recovered);
    }
    let state_dir = StateDir::new(dir, &session.name);
    if let Some(why) = why_not_now(&state_dir) {
        out.say()(&format!("pre-aggregate tables stay where they are led: {why}"));
        return Ok(recovered);
    }
    let job = Job {
        undertaking: Undertaking::LeadBeside { partitions },
        room: Room::default(),
        session: session.work(dir, signals, out.listener())?,
        state_dir,
        step_timeout: Duration::from_secs(STEP_TIMEOUT_S),
        leaderless_limit: LEADERLESS_LIMIT,
        told: told(out),
    };
    let report = match job.perform(&session.cluster).await {
        Ok(report) => report,
        // Something may have been sent.
        Err(error @ JobError::Run(_)) => return Err(failure_of(error, session)),
        Err(error) => {
            out.say()(&format!("pre-aggregate tables stay where they are led: {error}"));
            return Ok(recovered);
        }
    };
    out.finish();
    let line = ArrangedLine::of(&job.undertaking, &report);
    out.text_or(&arranged_text(&line, out.lists_each(), out.paint()), &line)?;
    let is_stopped = report.stopped.is_some();
    let recovered = recovered.with_handovers(report.stopped, report.not_restored, report.panicked, report.held_for);
    let recovered = Recovered { unrecorded: report.unrecorded, ..recovered };
    if is_stopped {
        return Ok(recovered);
    }
    match look_again(scope, up_to, session, signals).await {
        Ok(found) => Ok(recovered.seen_again(found)),
        Err(error) => {
            out.say()(&format!("the result could not be checked: {error}"));
            Ok(recovered)
        }
    }
}

/// The goals of an unfinished undertaking would be lost.
fn why_not_now(state_dir: &StateDir) -> Option<String> {
    match state_dir.unfinished() {
        Ok(None) => None,
        Ok(Some(unfinished)) => Some(format!("`openmldb-ops {}` has not finished", unfinished.of)),
        Err(error) => Some(error.to_string()),
    }
}

/// What is found once they have been handed over.
async fn look_again(
    scope: &Scope,
    up_to: u64,
    session: &Session,
    signals: &Signals,
) -> Result<Verification, CallError> {
    let seen = collect(&session.cluster, &session.name, now_ms()).await?;
    let checking = Checking {
        scope,
        memories: &BTreeMap::new(),
        known: unhealthy_in(&seen, scope),
        pace: session.pace,
        compares: Compares::WhereCountsDiffer,
        compare_rows_up_to: up_to,
        stop: signals.stop.clone(),
    };
    Ok(checking.until_it_stands(&session.cluster, seen).await?.1)
}

/// What a dry run says of it.
pub(super) fn would_lead_beside(seen: &Snapshot, scope: &Scope) -> Vec<String> {
    let mut texts = Vec::new();
    for (table, partition) in seen.tables.iter().flat_map(|t| t.partitions.iter().map(move |p| (t, p))) {
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        let base = seen.base_of(table, partition.pid).and_then(|(base, found)| Some((base, found.leader()?)));
        let (Some(leader), Some((base, at))) = (partition.leader(), base) else { continue };
        if leader != at && scope.covers(table, id) {
            let (name, pid) = (&table.name, partition.pid);
            texts.push(format!(
                "{name}/{pid} is led by {leader}, and {at} leads {}/{pid}, which it aggregates: at the end it is handed over to {at}",
                base.name
            ));
        }
    }
    texts
}
