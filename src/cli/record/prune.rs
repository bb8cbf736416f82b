//! `record prune`: old records that nobody needs are removed.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use anyhow::anyhow;
use serde::Serialize;

use crate::model::counted;
use crate::run::{Archive as _, Directory, Kept, Needed, RunId, leaves_the_same, needed};
use crate::ui::bytes;

use super::super::args::record::Prune;
use super::super::caller::now_ms;
use super::super::failure::{Exit, Failure};
use super::super::out::Out;

/// A record that was asked for.
#[derive(Serialize)]
struct PrunedLine {
    event: &'static str,
    run: RunId,
    path: String,
    bytes: u64,
    removed: bool,
    needed: Option<&'static str>,
}

/// Runs the command.
///
/// # Errors
/// A record cannot be removed.
pub(super) fn prune(args: &Prune, archive: &Directory, out: &Out) -> Result<Exit, Failure> {
    let unreadable = |error| Failure::error(anyhow!("{}: {error}", archive.home()));
    // The newest first.
    let all = needed(archive).map_err(unreadable)?;
    let is_old = |kept: &Kept, nth: usize| {
        let age = Duration::from_millis(now_ms().saturating_sub(kept.run.began_ms));
        args.keep.is_none_or(|keep| nth >= keep) && args.older_than.is_none_or(|older_than| age > older_than)
    };
    let asked: Vec<&Kept> =
        all.iter().enumerate().filter(|(nth, kept)| is_old(kept, *nth)).map(|(_, kept)| kept).collect();
    let chosen: BTreeSet<RunId> = asked.iter().filter(|kept| kept.needed.is_none()).map(|kept| kept.run).collect();
    if !leaves_the_same(archive, &chosen).map_err(Failure::error)? {
        let error = anyhow!(
            "nothing was removed: without these {} a later run would know less",
            counted(chosen.len(), "record")
        );
        return Err(
            Failure::error(error).hint("please report this with the list of `openmldb-ops record list --output json`")
        );
    }
    let mut freed = 0;
    for kept in asked.iter().rev() {
        let files = archive.files_of(kept.run).map_err(unreadable)?;
        let size: u64 = files.iter().map(|(_, bytes)| bytes).sum();
        let removed = kept.needed.is_none() && !args.dry_run;
        if kept.needed.is_none() {
            freed += size;
        }
        if removed {
            let stays = |error| Failure::error(anyhow!("{} cannot be removed: {error}", archive.place(kept.run)));
            archive.remove(kept.run).map_err(stays)?;
        }
        if out.is_json() {
            let (path, needed) = (archive.place(kept.run), kept.needed.map(Needed::why));
            out.text_or("", &PrunedLine { event: "record_pruned", run: kept.run, path, bytes: size, removed, needed })?;
        }
    }
    if !out.is_json() {
        out.text(&text(args.dry_run, &all, &asked, (chosen.len(), freed)))?;
    }
    Ok(Exit::Healthy)
}

fn text(dry_run: bool, all: &[Kept], asked: &[&Kept], (removed, freed): (usize, u64)) -> String {
    let does = if dry_run { "would remove" } else { "removed" };
    let mut out = format!("{does} {removed} of {} ({})\n", counted(all.len(), "record"), bytes(freed));
    let mut stay: BTreeMap<Needed, usize> = BTreeMap::new();
    asked.iter().filter_map(|kept| kept.needed).for_each(|needed| *stay.entry(needed).or_default() += 1);
    for (needed, records) in stay {
        out += &format!("  stays: {} {}\n", counted(records, "record"), needed.why());
    }
    out
}
