//! What is known of runs, for whoever only looks. Reads records and ZooKeeper; writes nothing.

use super::diagnosis::Runs;
use super::error::RecoverError;
use super::lock::Lock;
use super::record::{Archive, Left, left_by_runs};

/// What is known of runs on a cluster.
///
/// # Errors
/// ZooKeeper or the records cannot be read.
pub async fn known_runs(lock: &dyn Lock, archive: &dyn Archive, cluster: &str) -> Result<Runs, RecoverError> {
    let (note, holder) = (lock.note().await?, lock.holder().await?);
    let left = left_by_runs(archive, cluster)?;
    let settled = lock.keeps_notes() && note.is_none();
    let left = if settled { Left::default() } else { left };
    let noted = note.as_ref().and_then(|note| note.auto_failover);
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
        owes_failover: noted.or(left.auto_failover) == Some(true),
    })
}
