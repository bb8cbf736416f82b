//! `metadata rebuild`: what tablets that still run know of a cluster's metadata, as a backup that `metadata restore` takes.

use std::path::Path;
use std::sync::Arc;

use anyhow::anyhow;
use serde::Serialize;

use crate::cluster::{CallError, Cluster, Grpc, Options, Target, Transport};
use crate::metadata::{self, Backup, Described, Origin, Rebuilt, rebuild};
use crate::model::{Endpoint, Held, Role, StorageMode, counted};
use crate::ui::{MetadataSavedLine, metadata_saved_text};

use super::args::shared::Where;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::named::endpoint_of;
use super::named::must_be_new;
use super::out::Out;
use super::session::{credentials, named};

/// What is written beside the line about the file.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(flatten)]
    saved: MetadataSavedLine<'a>,
    remarks: &'a [String],
    left_out_tables: &'a [String],
}

/// Runs the command.
///
/// # Errors
/// A tablet does not answer, or the file cannot be written.
pub async fn run(tablets: &[String], file: &Path, at: &Where, out: &Out) -> Result<Exit, Failure> {
    must_be_new(file)?;
    let mut tablets = tablets.iter().map(|text| endpoint_of(text)).collect::<Result<Vec<_>, _>>()?;
    tablets.sort();
    tablets.dedup();
    let Some(first) = tablets.first() else { return Err(Failure::usage(anyhow!("no tablet is named"))) };
    // No nameserver is asked: there is none.
    let target = Target::Nameserver(first.to_string());
    let credentials = credentials(&named(at, &out.waits())?)?;
    let rpc = Grpc::new(target, &credentials, Transport::default()).await?;
    let cluster = Cluster::new(Arc::new(rpc), Options { progress: Some(out.say()), ..Options::default() });
    let mut described = Vec::new();
    for tablet in &tablets {
        for held in cluster.table_status(tablet).await? {
            if !held.state.is_loaded() {
                let name = format!("{tablet} has not finished loading {}", held.partition);
                return Err(Failure::error(anyhow!("{name}: what is not loaded cannot be described"))
                    .hint("wait, then run it again"));
            }
            described.push(describe(&cluster, tablet, &held).await?);
        }
    }
    if described.is_empty() {
        let hint = "tablets that were restarted cannot describe what they have on disk; use a backup";
        return Err(Failure::error(anyhow!("{} loaded nothing", counted(tablets.len(), "tablet"))).hint(hint));
    }
    let Rebuilt { tree, remarks, left_out } = rebuild(&described);
    let cluster = format!("tablets {}", tablets.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(","));
    let backup = Backup { cluster, taken_at_ms: now_ms(), origin: Origin::Rebuilt, changed: Vec::new(), tree };
    metadata::save(&backup, file)?;
    let line = Line { saved: MetadataSavedLine::of(&backup, 0, file), remarks: &remarks, left_out_tables: &left_out };
    let mut text = metadata_saved_text(&line.saved);
    remarks.iter().for_each(|remark| text += &format!("guessed or missing: {remark}\n"));
    left_out.iter().for_each(|table| text += &format!("left out: {table}\n"));
    out.text_or(&text, &line)?;
    Ok(if left_out.is_empty() { Exit::Healthy } else { Exit::Partial })
}

async fn describe(cluster: &Cluster, tablet: &Endpoint, held: &Held) -> Result<Described, CallError> {
    let partition = held.partition;
    let meta = cluster.table_meta(tablet, partition).await?;
    let pair = cluster.term_pair(tablet, partition, StorageMode::Memory).await?;
    let followers = match held.role {
        Role::Leader => cluster.followers(tablet, partition).await?.followers,
        Role::Follower => Vec::new(),
    };
    let (endpoint, role, term, offset) = (tablet.clone(), held.role, pair.term, pair.offset);
    Ok(Described { endpoint, partition, role, term, offset, followers, meta })
}
