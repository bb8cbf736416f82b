//! What is known of runs, for whoever only looks. Reads records and ZooKeeper; writes nothing.

use super::diagnosis::Runs;
use super::error::RecoverError;
use super::lock::{Lock, Note};
use super::record::{Archive, Left, left_by_runs};

/// What is known of runs on a cluster.
///
/// # Errors
/// ZooKeeper or the records cannot be read.
pub async fn known_runs(lock: &dyn Lock, archive: &dyn Archive, cluster: &str) -> Result<Runs, RecoverError> {
    let holder = lock.holder().await?;
    let (left, note) = unsettled(lock, archive, cluster).await?;
    let unfinished = match (&note, left.run) {
        (Some(note), _) => {
            Some(format!("run {} on {} did not finish; its record is there: {}", note.run, note.host, note.record))
        }
        (None, Some(run)) => Some(format!("run {run} did not finish; its record: {}", left.place)),
        (None, None) => None,
    };
    Ok(Runs {
        at_work: holder.map(|holder| holder.text()),
        unfinished,
        undertaking: None,
        owes_failover: owed(&left, note.as_ref()) == Some(true),
    })
}

/// What unfinished runs have left, and the note of the last of them. Where notes stay until they are removed and there is none,
/// a run on another host has settled it.
///
/// # Errors
/// ZooKeeper or the records cannot be read.
pub(super) async fn unsettled(
    lock: &dyn Lock,
    archive: &dyn Archive,
    cluster: &str,
) -> Result<(Left, Option<Note>), RecoverError> {
    let (note, left) = (lock.note().await?, left_by_runs(archive, cluster)?);
    let settled = lock.keeps_notes() && note.is_none();
    Ok((if settled { Left::default() } else { left }, note))
}

/// What auto_failover was before a run that has not given it back.
pub(super) fn owed(left: &Left, note: Option<&Note>) -> Option<bool> {
    note.and_then(|note| note.auto_failover).or(left.auto_failover)
}
