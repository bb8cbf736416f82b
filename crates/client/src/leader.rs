//! The search for the nameserver that leads. One search at a time, however many calls want one: those that come to wait
//! for it share what it found.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::time::Instant;

use openmldb_wire::call::NameserverCall;
use openmldb_wire::nameserver;

use super::{CallError, CallErrorKind, Cluster, DiscoveryError};

/// A leader that closes this many connections in a row without an answer is given up on: it will not come to like our
/// credentials, and one that merely died is not hanging up but gone.
const HANG_UPS: u32 = 5;

/// Searches made so far, and what the last one found.
#[derive(Debug, Default)]
pub(super) struct Search {
    finished: AtomicU64,
    last: tokio::sync::Mutex<Option<Result<String, DiscoveryError>>>,
}

impl Search {
    /// How many searches have finished: to be noted before a call, so that [`Cluster::search_again`] knows whether
    /// somebody searched since.
    pub(super) fn finished(&self) -> u64 {
        self.finished.load(Ordering::Acquire)
    }
}

/// Whether a nameserver that is not there yet is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Patience {
    /// Only for one that is registered and not up yet. A cluster we come to for the first time without any nameserver,
    /// or without ZooKeeper, is an error to be shown at once.
    Registered,
    /// Also for one that is not registered yet: we were started together with the cluster. ZooKeeper and the root path
    /// are there, so no mistyped address costs time.
    Starting,
    /// For anything: we knew a leader, so another one is about to be elected.
    Anything,
}

impl Cluster {
    /// Searches, unless a search has finished since `seen` was noted: then what that one found holds.
    pub(super) async fn search_again(&self, seen: u64, patience: Patience) -> Result<String, DiscoveryError> {
        let search = &self.shared.search;
        let mut last = search.last.lock().await;
        if search.finished() > seen
            && let Some(found) = &*last
        {
            return found.clone();
        }
        let found = self.search(patience).await;
        search.finished.fetch_add(1, Ordering::AcqRel);
        *last = Some(found.clone());
        found
    }

    /// Looks up who leads and asks it something harmless, until it answers or `leader_wait` is over.
    async fn search(&self, mut patience: Patience) -> Result<String, DiscoveryError> {
        let began = Instant::now();
        let wait = self.shared.options.leader_wait;
        let mut hang_ups = 0;
        let mut told = String::new();
        loop {
            let error = match self.look_once().await {
                Ok(address) => return Ok(address),
                Err(error) => error,
            };
            hang_ups = if matches!(error, DiscoveryError::LeaderHangsUp { .. }) { hang_ups + 1 } else { 0 };
            if hang_ups >= HANG_UPS || !is_worth_waiting(&error, patience) || began.elapsed() >= wait {
                return Err(after_waiting(error, wait));
            }
            // One that is registered and does not answer may be dead: its node goes before another one's comes.
            if patience == Patience::Registered {
                patience = Patience::Starting;
            }
            // Said once per thing seen, not once per look.
            let saying = so_far(&error);
            if saying != told {
                self.progress(&format!("waiting up to {wait:?} for the leading nameserver: {saying}"));
                told = saying;
            }
            tokio::time::sleep(self.shared.options.poll).await;
        }
    }

    /// Looks up who leads, once: neither waits for one nor asks again.
    ///
    /// # Errors
    /// What was seen.
    pub async fn look_up_leader(&self) -> Result<String, DiscoveryError> {
        self.look_once().await
    }

    /// Who leads, and whether it answers as a leader does.
    async fn look_once(&self) -> Result<String, DiscoveryError> {
        let found = self.shared.ending.within(self.shared.rpc.find_nameserver()).await;
        let address = match found.unwrap_or_else(|_| Ok(self.leader())) {
            Ok(address) => address,
            Err(CallError { kind: CallErrorKind::Discovery(error), .. }) => return Err(*error),
            Err(error) => {
                let address = error.server.clone();
                return Err(DiscoveryError::LeaderUnusable { address, error: Box::new(error) });
            }
        };
        self.set_leader(&address);
        let Err(error) = self.nameserver_once(NameserverCall::ConfGet(nameserver::ConfGetRequest {})).await else {
            return Ok(address);
        };
        let waited = Duration::ZERO;
        Err(match error.kind {
            CallErrorKind::Refused { code: super::NOT_LEADER, .. } => DiscoveryError::NotLeading { address, waited },
            CallErrorKind::Unreachable { seen } => DiscoveryError::LeaderUnreachable { address, waited, seen },
            CallErrorKind::DeadlineExceeded { after } => {
                let seen = format!("it did not answer within {after:?}");
                DiscoveryError::LeaderUnreachable { address, waited, seen }
            }
            CallErrorKind::HungUp { seen } => DiscoveryError::LeaderHangsUp { address, seen },
            _ => DiscoveryError::LeaderUnusable { address, error: Box::new(error) },
        })
    }
}

fn is_worth_waiting(error: &DiscoveryError, patience: Patience) -> bool {
    match error {
        DiscoveryError::LeaderUnreachable { .. }
        | DiscoveryError::NotLeading { .. }
        | DiscoveryError::LeaderHangsUp { .. } => true,
        DiscoveryError::NoNameserver { .. } | DiscoveryError::NoAddress { .. } => patience != Patience::Registered,
        DiscoveryError::ZooKeeperLost { .. }
        | DiscoveryError::NothingListens { .. }
        | DiscoveryError::NoSession { .. }
        | DiscoveryError::NoZooKeeper { .. } => patience == Patience::Anything,
        _ => false,
    }
}

/// The last thing seen, with how long it was waited for.
fn after_waiting(error: DiscoveryError, waited: Duration) -> DiscoveryError {
    match error {
        DiscoveryError::LeaderUnreachable { address, seen, .. } => {
            DiscoveryError::LeaderUnreachable { address, waited, seen }
        }
        DiscoveryError::NotLeading { address, .. } => DiscoveryError::NotLeading { address, waited },
        other => other,
    }
}

/// What was seen, while it is still waited for.
fn so_far(error: &DiscoveryError) -> String {
    match error {
        DiscoveryError::LeaderUnreachable { address, seen, .. } => format!("{address} cannot be reached yet: {seen}"),
        DiscoveryError::NotLeading { address, .. } => format!("{address} answers that it is not the leader (code 300)"),
        other => other.to_string(),
    }
}
