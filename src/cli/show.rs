//! `show` and `replica status`: what the servers say, without judging it.

use anyhow::anyhow;
use serde::Serialize;

use crate::model::{OpStatus, PartitionId, Seen, Snapshot, Table, TimedOp};
use crate::run::{Scope, Selector, Status, names_a_table};
use crate::snapshot;
use crate::ui::{
    HealthRow, Layout, NoColumn, OpRow, ReplicaRow, TableRow, TabletRow, health_text, ops_text, replicas_text,
    stdout_width, tables_text, tablets_text,
};

use super::args::step::{Columns, Looking, OpState, ShowCommand, ShowOps, Width};
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::named::{endpoint_of, no_such_tablet};
use super::out::Out;
use super::session::Session;

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
        ShowCommand::Tablets { columns, looking } => tablets(&layout(columns), looking, out).await,
        ShowCommand::Tables { which, health, like, db_like, columns, looking } => {
            let row = match health {
                true => Row::Table { like: like.as_deref(), db_like: db_like.as_deref() },
                false => Row::Replica(layout(columns)),
            };
            tables(which.as_deref(), row, looking, out).await
        }
        ShowCommand::Ops(args) => ops(args, out).await,
    }
}

/// Which columns are shown.
fn layout(columns: &Columns) -> Layout {
    match columns.layout {
        Some(Width::Wide) => Layout::Wide,
        Some(Width::Narrow) => Layout::Narrow,
        None if columns.columns.is_empty() => Layout::Fitting(stdout_width()),
        None => Layout::Named(columns.columns.clone()),
    }
}

impl From<NoColumn> for Failure {
    fn from(error: NoColumn) -> Self {
        Self::usage(error)
    }
}

async fn tablets(layout: &Layout, looking: &Looking, out: &Out) -> Result<Exit, Failure> {
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = snapshot::collect_state(&session.cluster, &session.name, now_ms()).await;
    let polled = session.cluster.polled().await;
    let closed = session.close().await;
    let (seen, polled) = (seen?, polled?);
    closed?;
    let found = TabletRow::all(&Status::of(&seen, &Scope::All).tablets, &seen, &polled);
    rows(out, "tablet", &found, |rows| Ok(tablets_text(rows, layout, out.paint())?))
}

/// What `show tables` has a row for.
enum Row<'a> {
    /// Each replica.
    Replica(Layout),
    /// Each table, or those whose names, and their databases' names, are like these.
    Table { like: Option<&'a str>, db_like: Option<&'a str> },
}

async fn tables(which: Option<&str>, row: Row<'_>, looking: &Looking, out: &Out) -> Result<Exit, Failure> {
    let scope = match which {
        None => Scope::All,
        Some(text) if names_a_table(text) => Scope::Some(match Selector::partitions(text) {
            Ok(partitions) => partitions,
            // What has neither form is told how a table is named.
            Err(error) if text.ends_with(|c: char| c.is_ascii_digit()) && text.contains('/') => {
                return Err(error.into());
            }
            Err(_) => vec![Selector::table(text)?],
        }),
        Some(db) => Scope::Some(vec![Selector::database(db)]),
    };
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = snapshot::collect_serving(&session.cluster, &session.name, now_ms()).await;
    let polled = session.cluster.polled().await;
    let closed = session.close().await;
    let (seen, polled) = (seen?, polled?);
    closed?;
    scope.check(&seen)?;
    let status = Status::of(&seen, &scope);
    match row {
        Row::Replica(layout) => {
            let found = TableRow::all(&status.partitions, &polled);
            rows(out, "table", &found, |rows| Ok(tables_text(rows, &layout, out.paint())?))
        }
        Row::Table { like, db_like } => {
            let fits = |name: &str, pattern: Option<&str>| pattern.is_none_or(|pattern| is_like(name, pattern));
            let is_wanted = |table: &&Table| fits(&table.name.table, like) && fits(&table.name.db, db_like);
            let wanted: Vec<Table> = seen.tables.iter().filter(is_wanted).cloned().collect();
            let found = HealthRow::all(&wanted, &status.partitions, &polled);
            rows(out, "table_health", &found, |rows| Ok(health_text(rows, out.paint())))
        }
    }
}

/// SQL's LIKE: `%` for any characters, `_` for one.
fn is_like(text: &str, pattern: &str) -> bool {
    let mut rest = pattern.chars();
    match rest.next() {
        None => text.is_empty(),
        Some('%') => {
            let ends = text.char_indices().map(|(at, _)| at).chain([text.len()]);
            ends.into_iter().any(|at| is_like(&text[at..], rest.as_str()))
        }
        Some(wanted) => {
            let mut left = text.chars();
            left.next().is_some_and(|found| wanted == '_' || found == wanted) && is_like(left.as_str(), rest.as_str())
        }
    }
}

async fn ops(args: &ShowOps, out: &Out) -> Result<Exit, Failure> {
    let mut selectors: Vec<Selector> = args.db.iter().map(|db| Selector::database(db)).collect();
    if let Some(table) = &args.table {
        selectors.push(Selector::table(table)?);
    }
    let scope = if selectors.is_empty() { Scope::All } else { Scope::Some(selectors) };
    let session = Session::open(&args.looking.at, &args.looking.embedded, out.waits()).await?;
    let seen = snapshot::collect_state(&session.cluster, &session.name, now_ms()).await;
    let ops = session.cluster.timed_ops().await;
    let now_ms = session.is_on_our_clock().then(now_ms);
    let closed = session.close().await;
    let (Snapshot { tables, .. }, mut ops) = (checked(seen?, &scope)?, ops?);
    closed?;
    ops.retain(|TimedOp { op, .. }| {
        let in_state = args.state.is_empty() || args.state.iter().any(|state| status_of(*state) == op.status);
        let in_scope = tables
            .iter()
            .find(|table| table.name == op.table)
            .map_or(scope == Scope::All, |table| scope.covers(table, PartitionId { tid: table.tid, pid: op.pid }));
        in_state && in_scope
    });
    ops.sort_by_key(|timed| timed.op.id);
    let found: Vec<OpRow> = ops.iter().map(|timed| OpRow::of(timed, now_ms)).collect();
    rows(out, "op", &found, |rows| Ok(ops_text(rows, &layout(&args.columns), out.paint())?))
}

/// A look at a cluster that has everything asked for.
fn checked(seen: Snapshot, scope: &Scope) -> Result<Snapshot, Failure> {
    scope.check(&seen)?;
    Ok(seen)
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
    let wanted = partitions.first().map(|text| Selector::partitions(text)).transpose()?.map(Scope::Some);
    let endpoint = tablets.first().map(|text| endpoint_of(text)).transpose()?;
    let seen = look(looking, out).await?;
    if let Some(wanted) = &wanted {
        wanted.check(&seen)?;
    }
    if let Some(endpoint) = endpoint.as_ref().filter(|endpoint| !seen.tablets.contains_key(*endpoint)) {
        return Err(no_such_tablet(endpoint, &seen));
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
            let table = seen.tables.iter().find(|table| table.tid == id.tid);
            let is_wanted = wanted.as_ref().is_none_or(|wanted| table.is_some_and(|table| wanted.covers(table, *id)));
            if is_wanted {
                found.push(ReplicaRow::of(at, table.map(|table| &table.name), held));
            }
        }
    }
    rows(out, "replica", &found, |rows| Ok(replicas_text(rows, out.paint())))
}

async fn look(looking: &Looking, out: &Out) -> Result<Snapshot, Failure> {
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = snapshot::collect_state(&session.cluster, &session.name, now_ms()).await;
    session.end(seen.map_err(Failure::from)).await
}

/// A table for people, or a JSON line for each of its rows.
fn rows<T: Serialize>(
    out: &Out,
    event: &'static str,
    rows: &[T],
    text: impl FnOnce(&[T]) -> Result<String, Failure>,
) -> Result<Exit, Failure> {
    if !out.is_json() {
        out.text_or(&text(rows)?, &())?;
        return Ok(Exit::Healthy);
    }
    for row in rows {
        out.text_or("", &Lines { event, row })?;
    }
    Ok(Exit::Healthy)
}

#[cfg(test)]
mod tests {
    use super::is_like;

    #[test]
    fn names_are_matched_as_sql_does() {
        let like = [
            ("orders", "orders"),
            ("orders", "o%"),
            ("orders", "%"),
            ("orders", "_rder_"),
            ("a%", "a%"),
            ("größe", "gr__e"),
        ];
        assert!(like.iter().all(|(text, pattern)| is_like(text, pattern)));
        let unlike = [("orders", "order"), ("orders", "O%"), ("orders", "_"), ("", "_"), ("orders", "")];
        assert!(!unlike.iter().any(|(text, pattern)| is_like(text, pattern)));
    }
}
