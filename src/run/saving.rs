//! What ZooKeeper keeps for the cluster is saved beside a run's record before the run changes anything: should ZooKeeper lose its
//! data one day, the newest of these is there to be put back.

use std::time::Duration;

use tokio::time::timeout;

use crate::metadata::{Backup, write};
use crate::model::counted;

use super::event::Event;
use super::record::Record;
use super::recover::Recovery;
use super::work_session::WorkSession;

/// What the file is called behind the run's name.
pub const METADATA: &str = "metadata.json";
/// What the run is called that deletes metadata: what it has saved is all that is left of them.
pub const WIPES_METADATA: &str = "metadata wipe";
/// How long reading it may take: nobody waits any longer for a copy.
const PATIENCE: Duration = Duration::from_secs(30);

impl Recovery {
    /// Saves the metadata beside the record. That it cannot be done is said, and stops nothing.
    pub(super) async fn save_metadata(&self, record: &Record) {
        let saved = self.session.unless_stopped(timeout(PATIENCE, self.metadata_beside(record))).await;
        let text = match saved {
            Ok(Ok(Ok(None))) | Err(_) => return,
            Ok(Ok(Ok(Some(saved)))) => return record.remark(&saved),
            Ok(Ok(Err(seen))) => seen,
            Ok(Err(_)) => format!("it took longer than {} s to read", PATIENCE.as_secs()),
        };
        let text = format!("the metadata in ZooKeeper could not be saved beside the record: {text}");
        record.remark(&text);
        (self.session.listener)(&Event::Note { text });
    }

    /// Where it is and what it holds, in a sentence; none where there is no ZooKeeper.
    async fn metadata_beside(&self, record: &Record) -> Result<Option<String>, String> {
        let WorkSession { cluster_name, archive, lock, now_ms, .. } = &self.session;
        let Some(seen) = lock.metadata().await.map_err(|error| error.to_string())? else { return Ok(None) };
        let backup = Backup::of(cluster_name, *now_ms, seen);
        let text = write(&backup).map_err(|error| error.to_string())?;
        let place = archive.keep_beside(record.run(), METADATA, text.as_bytes());
        let Some(place) = place.map_err(|error| format!("{}: {error}", archive.home()))? else { return Ok(None) };
        let nodes = counted(backup.tree.len(), "node");
        let consistent = if backup.is_consistent() { "" } else { ", not consistent: it changed while being read" };
        Ok(Some(format!("the metadata in ZooKeeper ({nodes}{consistent}) is saved in {place}")))
    }
}
