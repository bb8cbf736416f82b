//! `replica diff`: what replicas of a partition really hold, compared row by row. Asks, and changes nothing.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use anyhow::{Context as _, anyhow};

use super::args::step::Diff;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::named::{endpoint_of, no_such_tablet, partitions_of};
use super::out::Out;
use super::session::Session;
use crate::model::{Endpoint, PartitionId, Pid, Role, Schema, Seen, Snapshot, TableName};
use crate::rows::{CompareError, Compared, Limits, RowsRead, SHOWN_BYTES, compare_rows};
use crate::run::{Scope, Selector};
use crate::snapshot;
use crate::ui::{OddRowLine, RowsComparedLine, rows_text};

/// Runs the command.
///
/// # Errors
/// What is named does not exist or is not loaded, or a server does not answer.
pub async fn run(args: &Diff, out: &Out) -> Result<Exit, Failure> {
    let partitions = partitions_of(&args.partition)?;
    let named = args.endpoints.iter().map(|text| endpoint_of(text)).collect::<Result<Vec<_>, _>>()?;
    if named.len() == 1 {
        return Err(Failure::usage(anyhow!(
            "one replica cannot be compared: name two or more, or none for all of them"
        )));
    }
    let session = Session::open(&args.looking.at, &args.looking.embedded, out.waits()).await?;
    let done = compare_all(args, &partitions, &named, &session, out).await;
    session.end(done).await
}

async fn compare_all(
    args: &Diff,
    partitions: &[(TableName, Pid)],
    named: &[Endpoint],
    session: &Session,
    out: &Out,
) -> Result<Exit, Failure> {
    let seen = snapshot::collect_state(&session.cluster, &session.name, now_ms()).await?;
    Scope::Some(Selector::partitions(&args.partition)?).check(&seen)?;
    let Some((table, _)) = partitions.first() else { return Ok(Exit::Healthy) };
    let schema = session.cluster.schema(table).await?;
    let schema = schema.ok_or_else(|| Failure::error(anyhow!("the nameserver does not show {table} any more")))?;
    let indexes = indexes(&schema, args.index.as_deref(), table)?;
    // What cannot be compared is said before anything takes long.
    let compared = partitions.iter().map(|(table, pid)| Ok((pid.0, replicas(&seen, table, pid.0, named)?)));
    let compared = compared.collect::<Result<Vec<_>, Failure>>()?;
    let mut export = args.export.as_deref().map(Export::to).transpose()?;
    let mut differ = false;
    for (pid, (id, replicas)) in compared {
        let of = Comparing { table, pid, id, replicas: &replicas, schema: &schema, indexes: &indexes };
        differ |= of.compare(args, session, &mut export, out).await?;
    }
    if let (Some(export), Some(file)) = (export, &args.export) {
        let rows = export.finish()?;
        out.say()(&format!("rows that not every replica holds, written to {}: {rows}", file.display()));
    }
    Ok(if differ { Exit::Unhealthy } else { Exit::Healthy })
}

/// A partition whose replicas are compared.
struct Comparing<'a> {
    table: &'a TableName,
    pid: u32,
    id: PartitionId,
    replicas: &'a [(Endpoint, bool)],
    schema: &'a Schema,
    indexes: &'a [String],
}

impl Comparing<'_> {
    /// Whether they differ, in any index.
    async fn compare(
        &self,
        args: &Diff,
        session: &Session,
        export: &mut Option<Export>,
        out: &Out,
    ) -> Result<bool, Failure> {
        let Self { table, pid, id, replicas, schema, indexes } = *self;
        let mut differ = false;
        let name = format!("{table}/{pid}");
        for index in indexes {
            let limits = Limits {
                kept_bytes: SHOWN_BYTES,
                bytes_per_second: args.rate.map(|megabytes| megabytes.saturating_mul(1 << 20)),
                ..Limits::default()
            };
            let endpoints: Vec<Endpoint> = replicas.iter().map(|(at, _)| at.clone()).collect();
            let compared = compare_index(session, id, index, &endpoints, &limits).await;
            let Compared { read, odd } = compared.map_err(|error| {
                let hint = format!("`openmldb-ops replica status {name}` says what is loaded");
                Failure::error(anyhow!("{name} cannot be compared: {error}")).hint(hint)
            })?;
            differ |= !odd.is_empty();
            let line = RowsComparedLine::of(table, pid, index, replicas, &read, odd.len());
            for odd in &odd {
                let line = OddRowLine::of(&line, odd, schema);
                if out.is_json() {
                    out.text_or("", &line)?;
                }
                export.iter_mut().try_for_each(|export| export.write(&line))?;
            }
            out.text_or(&rows_text(&line, &odd, schema, out.paint()), &line)?;
        }
        Ok(differ)
    }
}

/// What replicas hold in an index.
///
/// # Errors
/// One does not answer, or they differ in more than can be kept.
pub(super) async fn compare_index(
    session: &Session,
    id: PartitionId,
    index: &str,
    endpoints: &[Endpoint],
    limits: &Limits,
) -> Result<Compared, CompareError> {
    compare_rows(&session.cluster, id, Some(index), endpoints, limits, |_: &[RowsRead]| {}).await
}

/// The replicas that are compared, and whether each leads: those that are named, or all that are loaded.
///
/// # Errors
/// They are not there or not loaded.
pub(super) fn replicas(
    seen: &Snapshot,
    table: &TableName,
    pid: u32,
    named: &[Endpoint],
) -> Result<(PartitionId, Vec<(Endpoint, bool)>), Failure> {
    let name = format!("{table}/{pid}");
    let found = seen.partition(table, Pid(pid));
    let (tid, partition) = found
        .map(|(table, partition)| (table.tid, partition))
        .ok_or_else(|| Failure::error(anyhow!("there is no {name}")))?;
    let id = PartitionId { tid, pid: partition.pid };
    let role = |at: &Endpoint| match &seen.tablets.get(at)?.held {
        Seen::Known(held) => held.get(&id).filter(|held| held.state.is_loaded()).map(|held| held.role),
        Seen::Unasked | Seen::Failed(_) => None,
    };
    let is_loaded = |at: &Endpoint| role(at).map(|role| (at.clone(), role == Role::Leader));
    let loaded: Vec<(Endpoint, bool)> = match named {
        [] => partition.replicas.iter().filter_map(|replica| is_loaded(&replica.endpoint)).collect(),
        named => {
            if let Some(unknown) = named.iter().find(|at| !seen.tablets.contains_key(*at)) {
                return Err(no_such_tablet(unknown, seen));
            }
            let missing = named.iter().find(|at| role(at).is_none());
            if let Some(missing) = missing {
                let hint = format!("`openmldb-ops replica status {name}` says which tablets have it loaded");
                return Err(
                    Failure::error(anyhow!("{missing} does not have {name} loaded, or does not answer")).hint(hint)
                );
            }
            named.iter().filter_map(is_loaded).collect()
        }
    };
    if loaded.len() < 2 {
        let hint = format!(
            "only replicas that are loaded can be compared; `openmldb-ops recover --partition {name}` loads them"
        );
        let text = format!(
            "{name} has {} loaded: nothing to compare",
            match loaded.len() {
                0 => "no replica".to_owned(),
                _ => format!("only the replica on {}", loaded[0].0),
            }
        );
        return Err(Failure::error(anyhow!(text)).hint(hint));
    }
    Ok((id, loaded))
}

/// The indexes that are compared: each holds rows that another one may not.
fn indexes(schema: &Schema, named: Option<&str>, table: &TableName) -> Result<Vec<String>, Failure> {
    let all: Vec<String> = schema.indexes.iter().map(|index| index.name.clone()).collect();
    match named {
        None => Ok(all),
        Some(name) if all.iter().any(|index| index == name) => Ok(vec![name.to_owned()]),
        Some(name) => Err(Failure::usage(anyhow!("{table} has no index {name}; it has {}", all.join(", ")))),
    }
}

/// A file of rows, one JSON object a line.
pub(super) struct Export {
    file: BufWriter<File>,
    name: String,
    rows: usize,
}

impl Export {
    /// A new file.
    ///
    /// # Errors
    /// It is there already, or cannot be made.
    pub(super) fn to(path: &Path) -> Result<Self, Failure> {
        let name = path.display().to_string();
        // Rows that were given up may be nowhere else: nothing is written over. They are nobody else's to read.
        let file = File::options().write(true).create_new(true).mode(0o600).open(path);
        let file = file.with_context(|| format!("cannot write {name}"));
        Ok(Self { file: BufWriter::new(file.map_err(Failure::usage)?), name, rows: 0 })
    }

    /// One more row.
    ///
    /// # Errors
    /// It cannot be written.
    pub(super) fn write(&mut self, line: &OddRowLine) -> Result<(), Failure> {
        let text = serde_json::to_string(line).map_err(Failure::error)?;
        self.rows += 1;
        let written = writeln!(self.file, "{text}");
        written.with_context(|| format!("cannot write {}", self.name)).map_err(Failure::error)
    }

    /// How many rows are in it, once they are on the disk.
    ///
    /// # Errors
    /// They cannot be written.
    pub(super) fn finish(self) -> Result<usize, Failure> {
        let written =
            self.file.into_inner().map_err(std::io::IntoInnerError::into_error).and_then(|file| file.sync_all());
        written.with_context(|| format!("cannot write {}", self.name)).map_err(Failure::error)?;
        Ok(self.rows)
    }
}
