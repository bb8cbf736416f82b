//! What remains once a run was told to stop: everything against one budget, which begins at that instant. Whoever told it kills it
//! after 30 s (systemd, docker, kubernetes), so it is gone well before, whatever hangs.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::cluster::Cluster;

use super::driver::Stop;

/// Calls under way have ended by then, or are given up.
pub const CALLS: Duration = Duration::from_secs(5);
/// Every leader that had stepped down leads again by then, or it is said that it does not.
pub const LEADERS: Duration = Duration::from_secs(9);
/// auto_failover is restored by then, or it is said that it is not.
pub const FAILOVER: Duration = Duration::from_secs(16);
/// The cluster was looked at again by then, as far as it answers.
pub const LOOKS: Duration = Duration::from_secs(19);
/// ZooKeeper has been told by then.
pub const NOTES: Duration = Duration::from_secs(21);
/// And the process is ended then, wherever it is.
pub const END: Duration = Duration::from_secs(23);

/// Tells a cluster's calls to hurry as soon as its run is told to stop, for as long as this exists.
pub struct Hurry(JoinHandle<()>);

impl Hurry {
    /// For this run, on this cluster.
    pub fn of(stop: &watch::Receiver<Stop>, cluster: &Cluster) -> Self {
        let (mut stop, cluster) = (stop.clone(), cluster.clone());
        Self(tokio::spawn(async move {
            if stop.wait_for(|stop| *stop != Stop::No).await.is_ok() {
                cluster.tell_to_end();
            }
        }))
    }
}

impl Drop for Hurry {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Does what changes nothing; gives what stopped it, if it is told to stop meanwhile.
///
/// # Errors
/// Why it was stopped.
pub async fn unless_stopped<T>(stop: &watch::Receiver<Stop>, work: impl Future<Output = T>) -> Result<T, Stop> {
    let mut stop = stop.clone();
    let told = async {
        let told = stop.wait_for(|stop| *stop != Stop::No).await.map(|stop| *stop);
        match told {
            Ok(stop) => stop,
            // Nobody is left to tell.
            Err(_) => std::future::pending().await,
        }
    };
    tokio::select! {
        biased;
        stop = told => Err(stop),
        done = work => Ok(done),
    }
}

/// Does what may hang, until the budget for it is over; none then.
pub async fn within_budget<T>(cluster: &Cluster, budget: Duration, work: impl Future<Output = T>) -> Option<T> {
    tokio::select! {
        biased;
        done = work => Some(done),
        () = cluster.told_and(budget) => None,
    }
}
