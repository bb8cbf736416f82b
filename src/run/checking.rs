//! The last look, and as many more as it takes: what goes on by itself is given time, what is wrong is seen twice.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster};
use crate::model::{PartitionId, Snapshot};
use crate::recovery::Memory;
use crate::snapshot::look_again;
use crate::verify::{Standing, Verification, verify};

use super::driver::Stop;
use super::scope::Scope;

/// The pause before the next look: at first, ...
const PAUSE: Duration = Duration::from_millis(100);
/// ... and at most. The nameserver asks its tablets every 2 s (reference 3.8).
const PAUSE_MAX: Duration = Duration::from_secs(2);
/// What goes on is given so long without any change, ...
const STALL: Duration = Duration::from_secs(10);
/// ... and so long in all.
const PATIENCE: Duration = Duration::from_secs(60);
/// Looks that have to show something wrong, or a server silent, before it is believed.
const CONFIRMED: u32 = 3;

/// What is to be verified.
pub struct Checking<'a> {
    /// Which partitions.
    pub scope: &'a Scope,
    /// What a run remembers of them; empty if there was none.
    pub memories: &'a BTreeMap<PartitionId, Memory>,
    /// How much faster than ours the cluster's clock runs.
    pub pace: f64,
    /// Tells when to look no more.
    pub stop: watch::Receiver<Stop>,
}

impl Checking<'_> {
    /// Looks again until everything is as it should be, or nothing more is to be expected. Gives the last look, too.
    ///
    /// # Errors
    /// A nameserver that does not answer.
    pub async fn until_it_stands(
        mut self,
        cluster: &Cluster,
        first: Snapshot,
    ) -> Result<(Snapshot, Verification), CallError> {
        let paced = |duration: Duration| duration.div_f64(self.pace);
        let (stall, patience, longest) = (paced(STALL), paced(PATIENCE), paced(PAUSE_MAX));
        let (began, mut pause, mut before) = (Instant::now(), paced(PAUSE), first);
        let (mut changed, mut last, mut same) = (began, None, 0);
        loop {
            let told = *self.stop.borrow_and_update() != Stop::No;
            if !told && let Ok(Err(_nobody_tells)) = tokio::time::timeout(pause, self.stop.changed()).await {
                tokio::time::sleep(pause).await;
            }
            pause = (pause * 3 / 2).min(longest);
            let seen = look_again(cluster, &before).await?;
            let covers = |table: &_, id| self.scope.covers(table, id);
            let found = verify(&before, &seen, covers, self.memories);
            let stands = |last: &Verification| last.is_the_same(&found);
            same = if last.as_ref().is_some_and(stands) { same + 1 } else { 1 };
            if last.as_ref() != Some(&found) {
                changed = Instant::now();
            }
            let goes_on = match found.verdict {
                Standing::Complete => false,
                Standing::NotFinished => changed.elapsed() < stall && began.elapsed() < patience,
                Standing::NotFullySucceeded | Standing::Undetermined => same < CONFIRMED && began.elapsed() < patience,
            };
            if told || !goes_on {
                return Ok((seen, found));
            }
            (before, last) = (seen, Some(found));
        }
    }
}
