//! `partition show`: what the nameserver's metadata have of a partition (gettablepartition).

use crate::run::{Scope, Selector};
use crate::snapshot;
use crate::ui::{PartitionLine, partition_text};

use super::args::look::PartitionCommand;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::session::Session;

/// Runs the command.
///
/// # Errors
/// The nameserver does not answer, or there is no such partition.
pub async fn run(command: &PartitionCommand, out: &Out) -> Result<Exit, Failure> {
    let PartitionCommand::Show { partition, looking } = command;
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
