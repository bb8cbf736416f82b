//! Tablets that have let a deadline pass. One that hangs is asked in every look, and everybody waits for the look to end:
//! so until it answers it gets one attempt and a few seconds, not its full patience again and again.

use std::collections::BTreeSet;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use openmldb_model::Endpoint;

/// How long a hanging tablet has for an answer: more than one that is merely busy needs, and little beside what a look takes.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

/// How long a server may take before somebody is told that it is waited for.
pub(super) const SLOW: Duration = Duration::from_secs(5);

/// Which tablets hang.
#[derive(Debug, Default)]
pub(super) struct Hanging {
    tablets: Mutex<BTreeSet<Endpoint>>,
    /// Servers of which it was told that they take long, and that have not answered since.
    slow: Mutex<BTreeSet<String>>,
}

impl Hanging {
    /// How long it has for an answer; none: as long as anybody.
    pub(super) fn patience(&self, endpoint: &Endpoint) -> Option<Duration> {
        self.tablets().contains(endpoint).then_some(PATIENCE)
    }

    /// It let a full deadline pass. True if that is news.
    pub(super) fn begins(&self, endpoint: &Endpoint) -> bool {
        self.tablets().insert(endpoint.clone())
    }

    /// It answered, or there is nobody any more to answer.
    pub(super) fn ends(&self, endpoint: &Endpoint) {
        self.tablets().remove(endpoint);
    }

    /// A server takes long to answer. True if that is news.
    pub(super) fn is_slow(&self, server: &str) -> bool {
        self.slow().insert(server.to_owned())
    }

    /// A server that took long has answered, or will not.
    pub(super) fn is_over(&self, server: impl Fn() -> String) {
        let mut slow = self.slow();
        if !slow.is_empty() {
            slow.remove(&server());
        }
    }

    fn slow(&self) -> MutexGuard<'_, BTreeSet<String>> {
        self.slow.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tablets(&self) -> MutexGuard<'_, BTreeSet<Endpoint>> {
        self.tablets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicBool, Ordering};

    use tokio::time::Instant;

    use super::*;
    use crate::{CallError, CallErrorKind, Cluster, Options, Pending, Rpc};
    use openmldb_model::{Identity, PartitionId, Pid, Tid};
    use openmldb_wire::api;
    use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

    const FULL: Duration = Duration::from_secs(20);

    /// Tablets of which `t1` lets every deadline pass, as long as it hangs.
    struct Tablets {
        hangs: AtomicBool,
    }

    impl Rpc for Tablets {
        fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
            panic!("nobody expected {}", call.name());
        }

        fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
            Box::pin(async move {
                if endpoint.as_str() == "t1" && self.hangs.load(Ordering::Relaxed) {
                    tokio::time::sleep(FULL).await;
                    let kind = CallErrorKind::DeadlineExceeded { after: FULL };
                    return Err(CallError::new(format!("tablet {endpoint}"), call.name(), kind));
                }
                let (code, msg) = (Some(0), None);
                Ok(match call {
                    TabletCall::DropTable(_) => TabletAnswer::DropTable(api::DropTableResponse { code, msg }),
                    _ => TabletAnswer::GetTableStatus(api::GetTableStatusResponse {
                        all_table_status: Vec::new(),
                        code,
                        msg,
                    }),
                })
            })
        }

        fn find_nameserver(&self) -> Pending<'_, String> {
            Box::pin(std::future::ready(Ok("ns:1".into())))
        }
    }

    /// How long a question takes.
    async fn asking(cluster: &Cluster, endpoint: &str) -> Duration {
        let began = Instant::now();
        // Whether it answered is what the time tells.
        let _ = cluster.table_status(&endpoint.into()).await;
        began.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn a_tablet_that_hangs_costs_its_full_deadline_once_and_a_few_seconds_from_then_on() {
        let tablets = Arc::new(Tablets { hangs: AtomicBool::new(true) });
        let said = Arc::new(Mutex::new(Vec::new()));
        let hears = said.clone();
        let progress: crate::Progress =
            Arc::new(move |text: &str| hears.lock().unwrap().push((Instant::now(), text.to_owned())));
        let options = Options { identity: Some(Identity::Cluster), progress: Some(progress), ..Options::default() };
        let cluster = Cluster::new(tablets.clone(), options);
        let began = Instant::now();
        let first = asking(&cluster, "t1").await;
        assert!((FULL..FULL + PATIENCE + Duration::from_secs(1)).contains(&first), "not twice: {first:?}");
        let heard = said.lock().unwrap().clone();
        let [(slow, text), (hangs, _)] = &heard[..] else { panic!("{heard:?}") };
        assert_eq!((*slow - began, *hangs - began), (SLOW, FULL), "who is waited for is said while it is");
        assert_eq!(text, "tablet t1 has not answered GetTableStatus for 5 s; still waiting");
        assert_eq!(asking(&cluster, "t1").await, PATIENCE);
        assert_eq!(said.lock().unwrap().len(), 2, "once");
        assert_eq!(asking(&cluster, "t2").await, Duration::ZERO, "the others are none of its business");
        assert_eq!(asking(&cluster, "t1").await, PATIENCE, "nor does their answer count for it");

        let (began, partition) = (Instant::now(), PartitionId { tid: Tid(7), pid: Pid(0) });
        let dropping = openmldb_model::Action::DropTable { endpoint: "t1".into(), partition };
        cluster.act(&dropping).await.unwrap_err();
        assert_eq!(began.elapsed(), FULL, "what may take effect is waited for as ever");

        tablets.hangs.store(false, Ordering::Relaxed);
        assert_eq!(asking(&cluster, "t1").await, Duration::ZERO);
        tablets.hangs.store(true, Ordering::Relaxed);
        assert!(asking(&cluster, "t1").await >= FULL, "it had answered since");
    }
}
