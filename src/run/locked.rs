//! What every command that changes a cluster does around its work: it takes the lock, unless it is told to stop while
//! it waits for it, and restores it however the work ends.

use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

use crate::cluster::Cluster;

use super::driver::Stop;
use super::lock::{Holder, Lock, LockError};
use super::record::Caller;
use super::run_id::RunId;
use super::stopping::{Hurry, NOTES, unless_stopped, within_budget};

impl Holder {
    /// Whoever begins now.
    pub fn beginning(now_ms: u64, caller: &Caller) -> Self {
        Self { run: RunId { began_ms: now_ms, number: 0 }, caller: caller.clone() }
    }
}

/// Does work with the lock held. The work is boxed, because moving all of a run overflows the stack where it is compiled without
/// optimisation. As soon as it is told to stop, the cluster's calls are not waited for any longer than a moment.
///
/// # Errors
/// Another run has the lock, it was told to stop before it had it (`stopped`), or what the work gives.
pub async fn locked<T, E: From<LockError>>(
    cluster: &Cluster,
    (lock, holder): (&dyn Lock, &Holder),
    stop: &watch::Receiver<Stop>,
    stopped: impl FnOnce(Stop) -> E,
    work: Pin<Box<impl Future<Output = Result<T, E>>>>,
) -> Result<T, E> {
    let _hurry = Hurry::of(stop, cluster);
    let done = match unless_stopped(stop, lock.acquire(holder)).await {
        Ok(Ok(())) => work.await,
        // Somebody else has it, and restores it.
        Ok(Err(error)) => return Err(error.into()),
        // It may have come just then.
        Err(stop) => Err(stopped(stop)),
    };
    within_budget(cluster, NOTES, lock.release()).await;
    done
}
