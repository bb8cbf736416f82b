//! Before a loss that somebody accepted: what can still be read of it is kept in a file beside the records.

use std::path::Path;

use super::caller::now_ms;
use super::diff::{Export, compare_index, replicas};
use super::failure::Failure;
use super::out::Out;
use super::session::Session;
use crate::model::{Endpoint, PartitionId, Pid, TableName, counted};
use crate::recovery::LossKind;
use crate::rows::{BYTES_PER_SECOND, Compared, Limits, not_too_many};
use crate::run::Prepared;
use crate::ui::{OddRowLine, RowsComparedLine};

/// Writes the rows that not every replica holds into one file a partition, in `given-up` below the directory of records. What cannot
/// be read is named.
///
/// # Errors
/// A file that cannot be written. Nothing has been changed then.
pub(super) async fn keep(
    prepared: &Prepared,
    up_to: u64,
    session: &Session,
    dir: &Path,
    out: &Out,
) -> Result<(), Failure> {
    for (id, losses) in prepared.accepted() {
        // The others cannot be read, or hold nothing.
        let is_there = |kind| matches!(kind, LossKind::StaleLeader | LossKind::Follower | LossKind::LacksRows);
        let Some(table) = prepared.snapshot.tables.iter().find(|table| table.tid == id.tid) else { continue };
        if !losses.iter().any(|loss| is_there(loss.kind)) {
            continue;
        }
        let name = format!("{}/{}", table.name, id.pid);
        let Pid(pid) = id.pid;
        let dir = dir.join("given-up");
        let file = dir.join(format!("{}-{}.{}-{pid}.jsonl", now_ms(), table.name.db, table.name.table));
        match rows_of(prepared, &table.name, id, up_to, session).await {
            Ok(lines) => {
                std::fs::create_dir_all(&dir).map_err(Failure::error)?;
                let mut export = Export::to(&file)?;
                lines.iter().try_for_each(|line| export.write(line))?;
                let rows = counted(export.finish()?, "row");
                out.say()(&format!("{name}: {rows} that not every replica holds, kept in {}", file.display()));
            }
            Err(why) => out.say()(&format!("{name}: what is given up could not be read, and is not kept: {why}")),
        }
    }
    Ok(())
}

/// The rows of a partition that not every loaded replica holds, or why nobody can say.
async fn rows_of(
    prepared: &Prepared,
    table: &TableName,
    id: PartitionId,
    up_to: u64,
    session: &Session,
) -> Result<Vec<OddRowLine>, String> {
    let Pid(pid) = id.pid;
    let seen = &prepared.snapshot;
    let (_, replicas) = replicas(seen, table, pid, &[]).map_err(|failure| failure.error.to_string())?;
    let endpoints: Vec<Endpoint> = replicas.iter().map(|(at, _)| at.clone()).collect();
    not_too_many(endpoints.iter().filter_map(|at| seen.tablets.get(at)?.held.known()?.get(&id)), up_to)?;
    let schema = session.cluster.schema(table).await.map_err(|error| error.to_string())?;
    let schema = schema.ok_or_else(|| format!("the nameserver does not show {table} any more"))?;
    let limits = Limits { bytes_per_second: Some(BYTES_PER_SECOND), ..Limits::default() };
    let mut lines = Vec::new();
    for index in &schema.indexes {
        let compared = compare_index(session, id, &index.name, &endpoints, &limits).await;
        let Compared { read, odd } = compared.map_err(|error| error.to_string())?;
        let line = RowsComparedLine::of(table, pid, &index.name, &replicas, &read, odd.len());
        lines.extend(odd.iter().map(|odd| OddRowLine::of(&line, odd, &schema)));
    }
    Ok(lines)
}
