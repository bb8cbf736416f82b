//! The cluster's own seam, straight into a world: no sockets, so that tests may pause the clock.

use std::sync::{Arc, Mutex, PoisonError};

use super::{Live, Unreachable, World};
use crate::cluster::{CallError, CallErrorKind, DiscoveryError, Pending, Rpc};
use crate::model::Endpoint;
use crate::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

/// Calls into a world on its clock. What the wire would refuse (credentials, missing fields) is not refused here.
#[derive(Debug, Clone)]
pub struct InProcess {
    live: Arc<Live>,
    /// The nameserver that led when last looked up.
    nameserver: Arc<Mutex<Option<Endpoint>>>,
}

impl InProcess {
    /// Calls into that world.
    pub fn new(live: Arc<Live>) -> Self {
        Self { live, nameserver: Arc::default() }
    }

    /// The world.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    async fn look_up(&self) -> Result<Endpoint, DiscoveryError> {
        tokio::task::yield_now().await;
        let found = self.live.look(|world| first_in_queue(world));
        let found = found
            .ok_or_else(|| DiscoveryError::NoNameserver { servers: "the sandbox".to_owned(), root: "/".to_owned() })?;
        *self.nameserver.lock().unwrap_or_else(PoisonError::into_inner) = Some(found.clone());
        Ok(found)
    }

    async fn call_nameserver(&self, call: NameserverCall) -> Result<NameserverAnswer, CallError> {
        let method = call.name();
        let known = self.nameserver.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let endpoint = match known {
            Some(endpoint) => endpoint,
            None => self.look_up().await.map_err(|error| no_leader(method, error))?,
        };
        tokio::task::yield_now().await;
        let answer = self.live.with(|world| world.call_nameserver(&endpoint, call));
        answer.map_err(|error| unreachable(format!("nameserver {endpoint}"), method, &error))
    }

    async fn call_tablet(&self, endpoint: &Endpoint, call: TabletCall) -> Result<TabletAnswer, CallError> {
        let method = call.name();
        tokio::task::yield_now().await;
        let answer = self.live.with(|world| world.call_tablet(endpoint, call));
        answer.map_err(|error| unreachable(format!("tablet {endpoint}"), method, &error))
    }
}

/// Whoever has the smallest node under `leader`: that process leads, or did until it died.
fn first_in_queue(world: &World) -> Option<Endpoint> {
    let tree = world.zookeeper_tree();
    let lock =
        tree.iter().filter(|node| node.path.starts_with("leader/")).min_by(|one, other| one.path.cmp(&other.path));
    lock.and_then(|lock| std::str::from_utf8(&lock.data).ok()).map(Endpoint::from)
}

fn unreachable(server: String, method: &'static str, error: &Unreachable) -> CallError {
    CallError::new(server, method, CallErrorKind::Unreachable { seen: error.to_string() })
}

fn no_leader(method: &'static str, error: DiscoveryError) -> CallError {
    CallError::new("nameserver", method, CallErrorKind::Discovery(Box::new(error)))
}

impl Rpc for InProcess {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(self.call_nameserver(call))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        Box::pin(self.call_tablet(endpoint, call))
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(async {
            let found = self.look_up().await.map_err(|error| no_leader("find_nameserver", error))?;
            Ok(self.live.look(|world| world.address_of(&found).to_string()))
        })
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        Box::pin(async { Ok(Some(self.live.look(|world| world.registered_tablets()))) })
    }
}
