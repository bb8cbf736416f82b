//! [`Rpc`] over sockets: gRPC on the port OpenMLDB already serves.

use std::future::Future;
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;
use tonic::metadata::{Ascii, MetadataValue};

use openmldb_model::{Endpoint, TabletState, Zone};
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::{decode, nameserver};

use super::channel::Channels;
use super::dispatch::{Dispatch, send};
use super::local::{all_on_other_hosts, is_loopback};
use super::registry::{NoAddress, Registry};
use super::rpc::Pending;
use super::status::kind_of;
use super::{CallError, CallErrorKind, Credentials, DiscoveryError, Rpc, Target, Transport, Vantage, ZooKeeper, probe};

/// Names that are older than this are read again before anybody is called by one: a server that was started anew may have
/// been given another's address. What a name that nobody knows costs is bounded by it, too.
const NAMES_EVERY: Duration = Duration::from_secs(1);
/// A call waits no longer for that; then what was known holds, ...
const NAMES_WITHIN: Duration = Duration::from_secs(1);
/// ... and is not asked for again for so long: where ZooKeeper does not answer, no call should wait for it each time.
const NAMES_RETRY: Duration = Duration::from_secs(10);

/// The servers of one cluster, over sockets.
#[derive(Debug)]
pub struct Grpc {
    source: Source,
    transport: Transport,
    channels: Channels,
    authorization: MetadataValue<Ascii>,
    /// The address of the leading nameserver, once found.
    leader: Mutex<Option<String>>,
    /// Server names and their addresses, and who is registered; empty in a cluster without server names.
    registry: Mutex<Registry>,
    /// When it may be read again; none if it never was.
    next_reading: Mutex<Option<Instant>>,
    reading: tokio::sync::Mutex<()>,
    /// Whether the machine that the cluster was found through is another one than this; asked where it makes a difference.
    on_another_host: tokio::sync::OnceCell<bool>,
    /// Whether it follows another cluster, once somebody has said.
    zone: tokio::sync::OnceCell<Zone>,
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
            registry: Mutex::default(),
            next_reading: Mutex::default(),
            reading: tokio::sync::Mutex::default(),
            on_another_host: tokio::sync::OnceCell::new(),
            zone: tokio::sync::OnceCell::new(),
        })
    }

    async fn leader(&self) -> Result<String, DiscoveryError> {
        let address = match &self.source {
            Source::ZooKeeper(zookeeper) => {
                let address = zookeeper.leader().await?;
                if is_loopback(&address) && self.is_elsewhere().await {
                    let servers = zookeeper.servers().to_owned();
                    return Err(DiscoveryError::LeaderOnOtherHost { address, servers });
                }
                address
            }
            Source::Nameserver(address) => address.clone(),
        };
        *lock(&self.leader) = Some(address.clone());
        Ok(address)
    }

    /// Whether the machine that the cluster was found through is another one than this.
    async fn is_elsewhere(&self) -> bool {
        let look = || async {
            match (&self.transport.vantage, &self.source) {
                (Vantage::OtherHost, _) => true,
                (Vantage::Found, Source::ZooKeeper(zookeeper)) => {
                    let addresses = probe::addresses(zookeeper.servers()).unwrap_or_default();
                    all_on_other_hosts(&addresses).await
                }
                (Vantage::Found, Source::Nameserver(address)) => {
                    all_on_other_hosts(std::slice::from_ref(address)).await
                }
            }
        };
        *self.on_another_host.get_or_init(look).await
    }

    /// One call to one address. `server` is what messages call it.
    async fn call<C: Dispatch>(&self, server: String, address: &str, call: C) -> Result<C::Answer, CallError> {
        let method = call.method();
        let fail = |kind| CallError::new(server.clone(), method, kind);
        let channel = self.channels.to(address).map_err(|seen| fail(CallErrorKind::Unreachable { seen }))?;
        let after = self.transport.deadline(method);
        let answer = send(channel, call.request(), self.authorization.clone(), self.transport.answer_limit);
        let kind = match tokio::time::timeout(after, answer).await {
            Ok(answer) => match answer.and_then(|bytes| call.read(bytes)) {
                Ok(answer) => return Ok(answer),
                Err(status) => kind_of(&status, after, self.transport.answer_limit),
            },
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
        let address = self
            .address(endpoint)
            .await
            .map_err(|why| CallError::new(format!("tablet {endpoint}"), call.name(), why.into()))?;
        let server = if address == endpoint.as_str() {
            format!("tablet {endpoint}")
        } else {
            format!("tablet {endpoint} ({address})")
        };
        self.call(server, &address, call).await
    }

    /// Where a server may be called in its name.
    async fn address(&self, endpoint: &Endpoint) -> Result<String, NoAddress> {
        if self.depends_on_names(endpoint)
            && tokio::time::timeout(NAMES_WITHIN, self.read_names(endpoint)).await.is_err()
        {
            tracing::warn!("server names could not be read within {NAMES_WITHIN:?}");
            self.read_again_after(NAMES_RETRY);
        }
        let address = lock(&self.registry).address(endpoint)?;
        if is_loopback(&address) && self.is_elsewhere().await {
            return Err(NoAddress::OnOtherHost { address });
        }
        Ok(address)
    }

    /// Whether an endpoint may be a name. Whether servers go by names at all, ZooKeeper is asked once.
    fn depends_on_names(&self, endpoint: &Endpoint) -> bool {
        let registry = lock(&self.registry);
        let never_read = lock(&self.next_reading).is_none() && matches!(self.source, Source::ZooKeeper(_));
        never_read || registry.has_names() || registry.address(endpoint) == Err(NoAddress::Unknown)
    }

    /// Reads server names and who is registered again, if it is time. What cannot be read leaves what is known as it is.
    async fn read_names(&self, wanted: &Endpoint) {
        let _one_at_a_time = self.reading.lock().await;
        if lock(&self.next_reading).is_some_and(|next| Instant::now() < next) {
            return;
        }
        let is_name = !wanted.as_str().contains(':');
        let registry = match &self.source {
            Source::ZooKeeper(zookeeper) => match registry_in(zookeeper).await {
                Ok(registry) => (!is_name || registry.address(wanted) != Err(NoAddress::Unknown)).then_some(registry),
                Err(error) => {
                    tracing::warn!(%error, "server names could not be read");
                    None
                }
            },
            Source::Nameserver(_) => None,
        };
        let registry = match registry {
            None if is_name || matches!(self.source, Source::Nameserver(_)) => self.registry_of_nameserver().await,
            registry => registry,
        };
        let is_known = registry.is_some() || *lock(&self.registry) == Registry::default();
        if let Some(registry) = registry {
            *lock(&self.registry) = registry;
        }
        self.read_again_after(if is_known { NAMES_EVERY } else { NAMES_RETRY });
    }

    fn read_again_after(&self, pause: Duration) {
        *lock(&self.next_reading) = Some(Instant::now() + pause);
    }

    /// A cluster that follows another one refuses to say who follows it, in words of its own.
    async fn zone_of_nameserver(&self) -> Result<Zone, String> {
        let call = NameserverCall::ShowReplicaCluster(nameserver::GeneralRequest {});
        match self.call_nameserver(call).await {
            Ok(NameserverAnswer::ShowReplicaCluster(answer)) => Ok(decode::zone_shown(&answer)),
            Ok(_) => Err("the answer to another call".to_owned()),
            Err(error) => Err(error.to_string()),
        }
    }

    /// Names as the nameserver has them; who is registered is its opinion.
    async fn registry_of_nameserver(&self) -> Option<Registry> {
        let call = NameserverCall::ShowTablet(nameserver::ShowTabletRequest {});
        let tablets = match self.call_nameserver(call).await {
            Ok(NameserverAnswer::ShowTablet(answer)) => decode::registrations(&answer).ok()?,
            Ok(_) => return None,
            Err(error) => {
                tracing::warn!(%error, "server names could not be read");
                return None;
            }
        };
        let healthy = tablets.iter().filter(|tablet| tablet.state == TabletState::Healthy);
        let registered: Vec<Endpoint> = healthy.map(|tablet| tablet.endpoint.clone()).collect();
        let names = tablets.into_iter().filter_map(|tablet| Some((tablet.endpoint, tablet.real_endpoint?)));
        Some(Registry::new(names, Some(registered)))
    }
}

/// Names and registrations as ZooKeeper has them.
async fn registry_in(zookeeper: &ZooKeeper) -> Result<Registry, DiscoveryError> {
    // In this order: who is registered has written its address before.
    let registered = zookeeper.nodes().await?;
    Ok(Registry::new(zookeeper.names().await?, Some(registered)))
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

    fn give_up_on_nameserver(&self) {
        if let Some(address) = &*lock(&self.leader) {
            self.channels.forget(address);
        }
    }

    fn give_up_on_tablet(&self, endpoint: &Endpoint) {
        let named = lock(&self.registry).named(endpoint).map(str::to_owned);
        self.channels.forget(named.as_deref().unwrap_or(endpoint.as_str()));
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        Box::pin(async {
            match &self.source {
                Source::ZooKeeper(zookeeper) => {
                    let registry = registry_in(zookeeper).await;
                    let registry = registry.map_err(|error| CallError::discovery("registered_tablets", error))?;
                    let registered = registry.registered();
                    *lock(&self.registry) = registry;
                    self.read_again_after(NAMES_EVERY);
                    Ok(registered)
                }
                Source::Nameserver(_) => Ok(None),
            }
        })
    }

    fn zone(&self) -> Pin<Box<dyn Future<Output = Zone> + Send + '_>> {
        Box::pin(async {
            let ask = || async {
                match &self.source {
                    Source::ZooKeeper(zookeeper) => zookeeper.zone().await.map_err(|error| error.to_string()),
                    Source::Nameserver(_) => self.zone_of_nameserver().await,
                }
            };
            let seen = self.zone.get_or_try_init(ask).await;
            seen.cloned().unwrap_or_else(|error| {
                tracing::warn!(%error, "whether it follows another cluster is unknown");
                Zone::Alone
            })
        })
    }

    fn is_on_another_host(&self) -> Pin<Box<dyn Future<Output = bool> + Send + '_>> {
        Box::pin(self.is_elsewhere())
    }

    fn address_of(&self, endpoint: &Endpoint) -> Option<String> {
        lock(&self.registry).named(endpoint).map(str::to_owned)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
