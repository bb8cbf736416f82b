//! [`Rpc`] over sockets: gRPC on the port OpenMLDB already serves.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use crate::model::Endpoint;
use crate::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use crate::wire::{decode, nameserver};

use super::channel::Channels;
use super::dispatch::Dispatch;
use super::rpc::Pending;
use super::status::kind_of;
use super::{CallError, CallErrorKind, Credentials, DiscoveryError, Rpc, Target, Transport, ZooKeeper};

/// Names are looked up again no more often than this: a poll that meets an unknown name would do nothing else.
const NAMES_EVERY: Duration = Duration::from_secs(1);

/// The servers of one cluster, over sockets.
#[derive(Debug)]
pub struct Grpc {
    source: Source,
    transport: Transport,
    channels: Channels,
    authorization: MetadataValue<Ascii>,
    /// The address of the leading nameserver, once found.
    leader: Mutex<Option<String>>,
    /// Server names and their addresses; empty in a cluster without server names.
    names: Mutex<HashMap<Endpoint, String>>,
    names_read: tokio::sync::Mutex<Option<Instant>>,
}

#[derive(Debug)]
enum Source {
    ZooKeeper(Box<ZooKeeper>),
    Nameserver(String),
}

impl Grpc {
    /// Sets up calls to a cluster. Talks to ZooKeeper if that is the target, to no other server yet.
    ///
    /// # Errors
    /// ZooKeeper gave no session, or the user's name cannot be sent.
    pub async fn new(target: Target, credentials: &Credentials, transport: Transport) -> Result<Self, DiscoveryError> {
        let mut authorization =
            MetadataValue::try_from(credentials.header().reveal()).map_err(|_| DiscoveryError::UnsendableUser)?;
        authorization.set_sensitive(true);
        let source = match target {
            Target::ZooKeeper { servers, root, credentials } => {
                Source::ZooKeeper(Box::new(ZooKeeper::connect(servers, root, credentials).await?))
            }
            Target::Nameserver(address) => Source::Nameserver(address),
        };
        Ok(Self {
            source,
            channels: Channels::new(transport.connect_timeout),
            transport,
            authorization,
            leader: Mutex::default(),
            names: Mutex::default(),
            names_read: tokio::sync::Mutex::default(),
        })
    }

    async fn leader(&self) -> Result<String, DiscoveryError> {
        let address = match &self.source {
            Source::ZooKeeper(zookeeper) => zookeeper.leader().await?,
            Source::Nameserver(address) => address.clone(),
        };
        *lock(&self.leader) = Some(address.clone());
        Ok(address)
    }

    /// One call to one address. `server` is what messages call it.
    async fn call<C: Dispatch>(&self, server: String, address: &str, call: C) -> Result<C::Answer, CallError> {
        let method = call.method();
        let fail = |kind| CallError::new(server.clone(), method, kind);
        let channel = self.channels.to(address).map_err(|seen| fail(CallErrorKind::Unreachable { seen }))?;
        let after = self.transport.deadline(method);
        let answer = call.send(channel, self.authorization.clone(), self.transport.answer_limit);
        let kind = match tokio::time::timeout(after, answer).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(status)) => kind_of(&status, after, self.transport.answer_limit),
            Err(_) => CallErrorKind::DeadlineExceeded { after },
        };
        if matches!(kind, CallErrorKind::DeadlineExceeded { .. }) {
            self.channels.forget(address);
        }
        Err(fail(kind))
    }

    async fn call_nameserver(&self, call: NameserverCall) -> Result<NameserverAnswer, CallError> {
        let known = lock(&self.leader).clone();
        let address = match known {
            Some(address) => address,
            None => self.leader().await.map_err(|error| CallError::discovery(call.name(), error))?,
        };
        self.call(format!("nameserver {address}"), &address, call).await
    }

    async fn call_tablet(&self, endpoint: &Endpoint, call: TabletCall) -> Result<TabletAnswer, CallError> {
        let Some(address) = self.address(endpoint).await else {
            let seen = "no address is known for this server name, neither in ZooKeeper's map/names nor from ShowTablet";
            let kind = CallErrorKind::Unreachable { seen: seen.to_owned() };
            return Err(CallError::new(format!("tablet {endpoint}"), call.name(), kind));
        };
        let server = if address == endpoint.as_str() {
            format!("tablet {endpoint}")
        } else {
            format!("tablet {endpoint} ({address})")
        };
        let answer = self.call(server, &address, call).await;
        if let Err(CallError { kind: CallErrorKind::Unreachable { .. }, .. }) = &answer
            && address != endpoint.as_str()
        {
            // A server name outlives an address: the tablet may have come back elsewhere.
            self.read_names().await;
        }
        answer
    }

    /// The address behind an endpoint: what its name maps to, else itself if it is an address.
    async fn address(&self, endpoint: &Endpoint) -> Option<String> {
        let known = || lock(&self.names).get(endpoint).cloned();
        if let Some(address) = known() {
            return Some(address);
        }
        if endpoint.as_str().contains(':') {
            return Some(endpoint.to_string());
        }
        self.read_names().await;
        known()
    }

    /// Reads server names again, from ZooKeeper and where that knows none from ShowTablet. What cannot be read leaves what
    /// is known as it is.
    async fn read_names(&self) {
        let mut read = self.names_read.lock().await;
        if read.is_some_and(|at| at.elapsed() < NAMES_EVERY) {
            return;
        }
        let mut names = match &self.source {
            Source::ZooKeeper(zookeeper) => zookeeper.names().await.unwrap_or_else(|error| {
                tracing::warn!(%error, "server names could not be read");
                HashMap::new()
            }),
            Source::Nameserver(_) => HashMap::new(),
        };
        if names.is_empty() {
            names = self.names_from_nameserver().await;
        }
        lock(&self.names).extend(names);
        *read = Some(Instant::now());
    }

    async fn names_from_nameserver(&self) -> HashMap<Endpoint, String> {
        let call = NameserverCall::ShowTablet(nameserver::ShowTabletRequest {});
        let tablets = match self.call_nameserver(call).await {
            Ok(NameserverAnswer::ShowTablet(answer)) => decode::registrations(&answer).unwrap_or_default(),
            Ok(_) => Vec::new(),
            Err(error) => {
                tracing::warn!(%error, "server names could not be read");
                Vec::new()
            }
        };
        tablets.into_iter().filter_map(|tablet| Some((tablet.endpoint, tablet.real_endpoint?))).collect()
    }
}

impl Rpc for Grpc {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(self.call_nameserver(call))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        Box::pin(self.call_tablet(endpoint, call))
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(async { self.leader().await.map_err(|error| CallError::discovery("find_nameserver", error)) })
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        Box::pin(async {
            match &self.source {
                Source::ZooKeeper(zookeeper) => {
                    let nodes = zookeeper.nodes().await;
                    nodes.map(Some).map_err(|error| CallError::discovery("registered_tablets", error))
                }
                Source::Nameserver(_) => Ok(None),
            }
        })
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
