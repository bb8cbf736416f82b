//! `show` and `replica status`: what the servers say, without judging it.

use anyhow::anyhow;
use serde::Serialize;

use crate::model::{OpStatus, PartitionId, Seen, Snapshot};
use crate::run::{Scope, Selector, Status};
use crate::snapshot;
use crate::ui::{ReplicaRow, TableRow, ops_text, replicas_text, tables_text, tablets_text};

use super::failure::{Exit, Failure};
use super::out::Out;
use super::recover::now_ms;
use super::session::Session;
use super::step::{endpoint_of, partition_of};
use super::step_args::{Looking, OpState, ShowCommand, ShowOps};

/// Lines of one kind.
#[derive(Serialize)]
struct Lines<'a, T: Serialize> {
    event: &'static str,
    #[serde(flatten)]
    row: &'a T,
}

/// `show`.
///
/// # Errors
/// The cluster does not answer, or something asked for does not exist.
pub async fn run(command: &ShowCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        ShowCommand::Tablets(looking) => {
            let seen = look(looking, out).await?;
            let status = Status::of(&seen, &Scope::All);
            rows(out, "tablet", &status.tablets, |tablets| tablets_text(tablets, out.paint()))
        }
        ShowCommand::Tables { which, looking } => tables(which.as_deref(), looking, out).await,
        ShowCommand::Ops(args) => ops(args, out).await,
    }
}

async fn tables(which: Option<&str>, looking: &Looking, out: &Out) -> Result<Exit, Failure> {
    let scope = match which {
        None => Scope::All,
        Some(text) if text.contains('.') => Scope::Some(vec![Selector::table(text)?]),
        Some(db) => Scope::Some(vec![Selector::database(db)]),
    };
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = snapshot::collect(&session.cluster, &session.name, now_ms()).await;
    let polled = session.cluster.polled().await;
    let closed = session.close().await;
    let (seen, polled) = (seen?, polled?);
    closed?;
    scope.check(&seen)?;
    let status = Status::of(&seen, &scope);
    let found = TableRow::all(&status.partitions, &polled);
    rows(out, "table", &found, |rows| tables_text(rows, out.paint()))
}

async fn ops(args: &ShowOps, out: &Out) -> Result<Exit, Failure> {
    let mut selectors: Vec<Selector> = args.db.iter().map(|db| Selector::database(db)).collect();
    if let Some(table) = &args.table {
        selectors.push(Selector::table(table)?);
    }
    let scope = if selectors.is_empty() { Scope::All } else { Scope::Some(selectors) };
    let mut seen = look(&args.looking, out).await?;
    scope.check(&seen)?;
    let Snapshot { tables, ops, .. } = &mut seen;
    ops.retain(|op| {
        let in_state = args.state.is_empty() || args.state.iter().any(|state| status_of(*state) == op.status);
        let in_scope = tables
            .iter()
            .find(|table| table.name == op.table)
            .map_or(scope == Scope::All, |table| scope.covers(table, PartitionId { tid: table.tid, pid: op.pid }));
        in_state && in_scope
    });
    rows(out, "op", ops, |ops| ops_text(ops, out.paint()))
}

fn status_of(state: OpState) -> OpStatus {
    match state {
        OpState::Queued => OpStatus::Queued,
        OpState::Doing => OpStatus::Doing,
        OpState::Done => OpStatus::Done,
        OpState::Failed => OpStatus::Failed,
        OpState::Canceled => OpStatus::Canceled,
    }
}

/// `replica status`.
///
/// # Errors
/// As [`run`]; or what is named cannot be what it should.
pub async fn replicas(of: &[String], looking: &Looking, out: &Out) -> Result<Exit, Failure> {
    let (partitions, tablets): (Vec<&String>, Vec<&String>) = of.iter().partition(|text| text.contains('/'));
    if partitions.len() > 1 || tablets.len() > 1 {
        return Err(Failure::usage(anyhow!("name one tablet, one partition, or one of each")));
    }
    let partition = partitions.first().map(|text| partition_of(text)).transpose()?;
    let endpoint = tablets.first().map(|text| endpoint_of(text)).transpose()?;
    let seen = look(looking, out).await?;
    if let Some(text) = partitions.first() {
        Scope::Some(vec![Selector::partition(text)?]).check(&seen)?;
    }
    if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !seen.tablets.contains_key(*endpoint)) {
        let hint = "see `openmldb-ops show tablets` for the ones there are";
        return Err(Failure::usage(anyhow!("there is no tablet {endpoint}")).hint(hint));
    }
    let mut found = Vec::new();
    for (at, tablet) in seen.tablets.iter().filter(|(at, _)| endpoint.as_ref().is_none_or(|wanted| wanted == *at)) {
        let held = match &tablet.held {
            Seen::Known(held) => held,
            Seen::Failed(error) => {
                out.say()(&format!("{at} does not answer: {error}"));
                continue;
            }
            Seen::Unasked => continue,
        };
        for (id, held) in held {
            let table = seen.tables.iter().find(|table| table.tid == id.tid).map(|table| &table.name);
            let is_wanted = partition.as_ref().is_none_or(|(name, pid)| Some(name) == table && *pid == id.pid);
            if is_wanted {
                found.push(ReplicaRow::of(at, table, held));
            }
        }
    }
    rows(out, "replica", &found, |rows| replicas_text(rows, out.paint()))
}

async fn look(looking: &Looking, out: &Out) -> Result<Snapshot, Failure> {
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = snapshot::glance(&session.cluster, &session.name, now_ms()).await;
    let closed = session.close().await;
    let seen = seen?;
    closed.map(|()| seen)
}

/// A table for people, or a JSON line for each of its rows.
fn rows<T: Serialize>(
    out: &Out,
    event: &'static str,
    rows: &[T],
    text: impl FnOnce(&[T]) -> String,
) -> Result<Exit, Failure> {
    if !out.is_json() {
        out.text_or(&text(rows), &())?;
        return Ok(Exit::Healthy);
    }
    for row in rows {
        out.text_or("", &Lines { event, row })?;
    }
    Ok(Exit::Healthy)
}
