//! `partition show|set`: what the nameserver's metadata have of a partition (gettablepartition), and its history of terms put back
//! from a backup (settablepartition).

use std::path::{Path, PathBuf};

use anyhow::anyhow;

use crate::metadata::{self, given_out, terms_of};
use crate::operate::{Fault, Refusal, Step};
use crate::run::{METADATA, Scope, Selector};
use crate::snapshot;
use crate::ui::{PartitionLine, partition_text};

use super::args::look::PartitionCommand;
use super::args::step::{Looking, Working};
use super::args::steps::Asked;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::metadata::Place;
use super::named::partitions_of;
use super::out::Out;
use super::session::Session;
use super::{record_dir, step};

/// Runs the command.
///
/// # Errors
/// The nameserver does not answer, there is no such partition, or something is in the way.
pub async fn run(command: &PartitionCommand, out: &Out) -> Result<Exit, Failure> {
    match command {
        PartitionCommand::Show { partition, looking } => show(partition, looking, out).await,
        PartitionCommand::Set { partition, terms_from, working } => set(partition, terms_from, working, out).await,
    }
}

async fn show(partition: &str, looking: &Looking, out: &Out) -> Result<Exit, Failure> {
    let wanted = Scope::Some(Selector::partitions(partition)?);
    let session = Session::open(&looking.at, &looking.embedded, out.waits()).await?;
    let seen = snapshot::metadata(&session.cluster, &session.name, now_ms()).await;
    let seen = session.end(seen.map_err(Failure::from)).await?;
    wanted.check(&seen)?;
    for line in PartitionLine::all(&seen).filter(|line| wanted.covers(line.of, line.id())) {
        out.text_or(&partition_text(&line), &line)?;
    }
    Ok(Exit::Healthy)
}

/// The counter of terms is in ZooKeeper, and so is what tells later recoveries that these histories are from a backup.
async fn set(partitions: &str, from: &Path, working: &Working, out: &Out) -> Result<Exit, Failure> {
    let wanted = partitions_of(partitions)?;
    if working.embedded.sandbox.is_some() {
        let text = "an embedded cluster has no ZooKeeper, and its terms are in no backup";
        return Err(
            Failure::usage(anyhow!(text)).hint("`openmldb-ops sandbox serve` with --zk-cluster serves one that has")
        );
    }
    let file = backup_at(from, working)?;
    let (backup, called) = (metadata::read(&file)?, file.display().to_string());
    let unusable = |text: String| {
        Failure::usage(anyhow!(text)).hint("nothing was sent; `openmldb-ops metadata check FILE` reads a backup, too")
    };
    let kept = wanted.into_iter().map(|(table, pid)| {
        let kept = terms_of(&backup.tree, &called, &table, pid).map_err(unusable)?;
        Ok((table, pid, kept))
    });
    let kept = kept.collect::<Result<Vec<_>, Failure>>()?;
    let place = Place::open(&working.at, out).await?;
    if place.name != backup.cluster {
        out.say()(&format!("{called} is a backup of {}, and this is {}", backup.cluster, place.name));
    }
    let tree = place.seen().await?.tree;
    let mut steps = Vec::with_capacity(kept.len());
    for (table, pid, kept) in kept {
        given_out(&tree, &kept).map_err(|text| {
            let hint = "the backup is newer than the counter, or of another cluster; see `openmldb-ops metadata check`"
                .to_owned();
            Failure::from(Refusal { code: None, fault: Fault::Cluster, text, hint })
        })?;
        steps.push(Step::SetTerms { table, pid, kept });
    }
    step::take(Asked { steps, allow_unavailable: false, working }, out).await
}

/// A backup, or what a recovery saved beside its record: named by its file, its record's file, or its id.
fn backup_at(from: &Path, working: &Working) -> Result<PathBuf, Failure> {
    if from.extension().is_some_and(|extension| extension == "jsonl") {
        return Ok(from.with_extension(METADATA));
    }
    if from.exists() || from.components().count() > 1 {
        return Ok(from.to_owned());
    }
    let saved = record_dir::dir(working.record_dir.clone())?.join(format!("run-{}.{METADATA}", from.display()));
    Ok(if saved.exists() { saved } else { from.to_owned() })
}
