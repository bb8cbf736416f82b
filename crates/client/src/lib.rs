//! A cluster's servers, spoken to in the words of [`openmldb_model`]. The only place, beside the sandbox, that opens sockets.
//!
//! [`Cluster`] is what everybody uses. Below it lies the seam [`Rpc`]: one call, one attempt, messages in and out.
//! [`Grpc`] implements it over sockets; a test or an embedded cluster may implement it over anything.
//!
//! What is repeated, and what is not: a read is repeated a few times whatever went wrong on the way. A mutation is
//! repeated only when it certainly was not applied; when that is unknown the caller gets the error and looks again
//! (docs/design/calls.md#outcomes). A nameserver that stopped leading is searched for, in bounded time.
//!
//! ```no_run
//! use openmldb_client::{Cluster, Credentials, Options, Target, Transport};
//!
//! # async fn look() -> Result<(), Box<dyn std::error::Error>> {
//! let target = Target::Nameserver("10.0.0.1:7527".to_owned());
//! let cluster = Cluster::connect(target, &Credentials::Service, Transport::default(), Options::default()).await?;
//! for table in cluster.tables().await? {
//!     println!("{}: {} partitions", table.name, table.partitions.len());
//! }
//! assert_eq!(cluster.rpc_counts().mutations, 0);
//! # Ok(())
//! # }
//! ```

mod act;
#[cfg(test)]
mod act_tests;
mod aggregator;
mod channel;
#[cfg(test)]
mod cluster_tests;
mod credentials;
mod discovery;
mod dispatch;
mod ending;
mod error;
mod grpc;
mod guards;
mod hanging;
mod identity;
mod leader;
mod local;
mod lock;
mod probe;
mod read;
mod registry;
mod rpc;
#[cfg(test)]
mod schema_tests;
mod status;
#[cfg(test)]
mod transport_tests;
mod tree;
mod wipe;
mod zookeeper;

use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_model::{Endpoint, Identity};
use openmldb_wire::call::{Effect, NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

pub use act::done_codes;
pub use channel::{Transport, Vantage};
pub use credentials::{AUTH_ENV, Credentials, CredentialsError, Pair, Secret, ZK_CERT_ENV, zookeeper_credentials};
pub use discovery::{DiscoveryError, Target};
pub use error::{CallError, CallErrorKind, NOT_LEADER, Outcome};
pub use grpc::Grpc;
pub use guards::{GuardNodes, Kept, Standing};
pub use lock::{HeldNode, Hold, LOCK_SESSION, LockNodes};
pub use registry::{NoAddress, Registry};
pub use rpc::{Pending, Rpc};
pub use tree::Created;
pub use wipe::Removed;
pub use zookeeper::ZooKeeper;

use ending::Ending;
use hanging::Hanging;
pub use leader::Patience;
use leader::Search;

/// Called with service, method and effect of every attempt, before it is made: a test that wants to know that nothing
/// was changed looks here.
pub type Trace = Arc<dyn Fn(&str, &str, Effect) + Send + Sync>;

/// Called with a sentence for the operator whenever something is waited for.
pub type Progress = Arc<dyn Fn(&str) + Send + Sync>;

/// How patient a [`Cluster`] is, and who watches it.
#[derive(Clone)]
pub struct Options {
    /// How long a leading nameserver is waited for, at the start and whenever it is lost: 60 s by default. A standby takes
    /// over in about 4 s (docs/openmldb/timings.md#measured), a restarted nameserver needs its tablets first.
    pub leader_wait: Duration,
    /// Whether one that is not registered is waited for at the start, too: no by default.
    pub patience: Patience,
    /// How often it is looked for meanwhile: every 500 ms by default.
    pub poll: Duration,
    /// How often a call is attempted at most: 4 times by default. A deadline that passed counts double, because it cost
    /// its whole length.
    pub attempts: u32,
    /// The pause before the second attempt; it doubles with every further one. 100 ms by default.
    pub backoff: Duration,
    /// Who is there, if that is known: else it is asked before anything is changed.
    pub identity: Option<Identity>,
    /// Sees every attempt.
    pub trace: Option<Trace>,
    /// Hears what is waited for.
    pub progress: Option<Progress>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            leader_wait: Duration::from_secs(60),
            patience: Patience::Registered,
            poll: Duration::from_millis(500),
            attempts: 4,
            backoff: Duration::from_millis(100),
            identity: None,
            trace: None,
            progress: None,
        }
    }
}

/// How many calls were attempted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RpcCounts {
    /// Those that change nothing.
    pub reads: u64,
    /// Those that may have changed something.
    pub mutations: u64,
}

/// A cluster's servers. Cheap to clone; clones share counts and what is known of the leader.
#[derive(Clone)]
pub struct Cluster {
    shared: Arc<Shared>,
    /// Every call is attempted once, and given up after so long; none: as [`Options`] have it.
    once: Option<Duration>,
}

struct Shared {
    rpc: Arc<dyn Rpc>,
    options: Options,
    reads: AtomicU64,
    mutations: AtomicU64,
    /// The leading nameserver's address, for messages; empty until one was found.
    leader: Mutex<String>,
    search: Search,
    ending: Ending,
    hanging: Hanging,
    /// Who was there when last looked; none if nobody has looked yet.
    identity: Mutex<Option<Identity>>,
}

impl fmt::Debug for Cluster {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Cluster").field("leader", &self.leader()).field("rpc_counts", &self.rpc_counts()).finish()
    }
}

impl Cluster {
    /// A cluster behind any [`Rpc`]. Calls nobody.
    pub fn new(rpc: Arc<dyn Rpc>, options: Options) -> Self {
        let identity = options.identity.clone();
        let shared = Shared {
            rpc,
            options,
            reads: AtomicU64::new(0),
            mutations: AtomicU64::new(0),
            leader: Mutex::default(),
            search: Search::default(),
            ending: Ending::default(),
            hanging: Hanging::default(),
            identity: Mutex::new(identity),
        };
        Self { shared: Arc::new(shared), once: None }
    }

    /// The same cluster for those who poll or cannot wait: every call is attempted once and given up after `deadline`, and
    /// nobody is searched for.
    pub fn once(&self, deadline: Duration) -> Self {
        Self { shared: self.shared.clone(), once: Some(deadline) }
    }

    /// A cluster over sockets, with its leading nameserver found and answering.
    ///
    /// # Errors
    /// Every way in which that can fail. A nameserver that is registered but does not serve yet is waited for first,
    /// for [`Options::leader_wait`].
    pub async fn connect(
        target: Target,
        credentials: &Credentials,
        transport: Transport,
        options: Options,
    ) -> Result<Self, DiscoveryError> {
        let cluster = Self::new(Arc::new(Grpc::new(target, credentials, transport).await?), options);
        cluster.find_leader().await?;
        Ok(cluster)
    }

    /// Finds the leading nameserver and waits until it answers as one. Gives its address.
    ///
    /// # Errors
    /// As [`Cluster::connect`].
    pub async fn find_leader(&self) -> Result<String, DiscoveryError> {
        self.search_again(self.shared.search.finished(), self.shared.options.patience).await
    }

    /// The address of the leading nameserver, as far as is known; empty until one was found.
    pub fn leader(&self) -> String {
        self.shared.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// How many calls were attempted so far.
    pub fn rpc_counts(&self) -> RpcCounts {
        RpcCounts {
            reads: self.shared.reads.load(Ordering::Relaxed),
            mutations: self.shared.mutations.load(Ordering::Relaxed),
        }
    }

    /// The process was told to end: from now on no answer is waited for longer than a moment, and no call is repeated that got
    /// none.
    pub fn tell_to_end(&self) {
        self.shared.ending.tell();
    }

    /// Waits until it is told to end, and as much longer.
    pub async fn told_and(&self, longer: Duration) {
        self.shared.ending.told_and(longer).await;
    }

    fn is_ending(&self) -> bool {
        self.shared.ending.told().is_some()
    }

    fn set_leader(&self, address: &str) {
        address.clone_into(&mut self.shared.leader.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn progress(&self, sentence: &str) {
        tracing::info!("{sentence}");
        if let Some(progress) = &self.shared.options.progress {
            progress(sentence);
        }
    }

    /// Counts and traces an attempt.
    fn attempt(&self, service: &str, method: &str, effect: Effect) {
        let count = match effect {
            Effect::Read => &self.shared.reads,
            Effect::Mutate => &self.shared.mutations,
        };
        count.fetch_add(1, Ordering::Relaxed);
        tracing::trace!(service, method, ?effect, "call");
        if let Some(trace) = &self.shared.options.trace {
            trace(service, method, effect);
        }
    }

    /// Waits for an answer, and says so where that takes long: once, until it has answered.
    async fn heard<T>(&self, server: impl Fn() -> String, method: &str, calling: impl Future<Output = T>) -> T {
        let mut calling = std::pin::pin!(calling);
        if let Ok(answered) = tokio::time::timeout(hanging::SLOW, &mut calling).await {
            return answered;
        }
        let (name, hanging) = (server(), &self.shared.hanging);
        if !self.is_ending() && hanging.is_slow(&name) {
            let seconds = hanging::SLOW.as_secs();
            self.progress(&format!("{name} has not answered {method} for {seconds} s; still waiting"));
        }
        calling.await
    }

    /// One attempt at the nameserver that leads as far as is known. Any code but 0 is an error.
    async fn nameserver_once(&self, call: NameserverCall) -> Result<NameserverAnswer, CallError> {
        self.attempt(NameserverCall::SERVICE, call.name(), call.effect());
        let method = call.name();
        let calling = self.shared.ending.within(self.shared.rpc.nameserver(call));
        let answer = self.heard(|| self.nameserver_name(), method, calling).await;
        let late =
            |after| Err(CallError::new(self.nameserver_name(), method, CallErrorKind::DeadlineExceeded { after }));
        let answer = answer.unwrap_or_else(late)?;
        self.shared.hanging.is_over(|| self.nameserver_name());
        check(|| self.nameserver_name(), answer.name(), answer.code(), answer.msg(), &[])?;
        Ok(answer)
    }

    /// One attempt at a tablet. Any code but 0 and those in `fine` is an error.
    async fn tablet_once(
        &self,
        endpoint: &Endpoint,
        call: TabletCall,
        fine: &[i32],
    ) -> Result<TabletAnswer, CallError> {
        self.attempt(TabletCall::SERVICE, call.name(), call.effect());
        let (method, effect) = (call.name(), call.effect());
        let hanging = &self.shared.hanging;
        let hangs = (effect == Effect::Read).then(|| hanging.patience(endpoint)).flatten();
        let limit = self.once.into_iter().chain(hangs).min();
        let calling = self.shared.ending.within(self.shared.rpc.tablet(endpoint, call));
        let late =
            |after| CallError::new(format!("tablet {endpoint}"), method, CallErrorKind::DeadlineExceeded { after });
        let answered = match limit {
            None => {
                let heard = self.heard(|| format!("tablet {endpoint}"), method, calling).await;
                heard.unwrap_or_else(|after| Err(late(after)))
            }
            Some(after) => match tokio::time::timeout(after, calling).await {
                Ok(answered) => answered.unwrap_or_else(|after| Err(late(after))),
                Err(_) => {
                    self.shared.rpc.give_up_on_tablet(endpoint);
                    return Err(late(after));
                }
            },
        };
        let answer = match answered {
            Err(error) if matches!(error.kind, CallErrorKind::DeadlineExceeded { .. }) => {
                if limit.is_none() && effect == Effect::Read && !self.is_ending() && hanging.begins(endpoint) {
                    let patience = hanging::PATIENCE.as_secs();
                    self.progress(&format!(
                        "tablet {endpoint} did not answer {method} in time; until it does, each call to it gets {patience} s"
                    ));
                }
                return Err(error);
            }
            answered => {
                hanging.ends(endpoint);
                hanging.is_over(|| format!("tablet {endpoint}"));
                answered?
            }
        };
        check(|| format!("tablet {endpoint}"), answer.name(), answer.code(), answer.msg(), fine)?;
        Ok(answer)
    }

    /// The nameserver in messages.
    fn nameserver_name(&self) -> String {
        match self.leader() {
            leader if leader.is_empty() => "nameserver".to_owned(),
            leader => format!("nameserver {leader}"),
        }
    }

    /// Calls the leading nameserver, searching for it if need be.
    async fn nameserver(&self, call: NameserverCall) -> Result<NameserverAnswer, CallError> {
        if call.effect() == Effect::Mutate {
            Box::pin(self.must_be_ours(call.name())).await?;
        }
        if let Some(after) = self.once {
            let method = call.name();
            return match tokio::time::timeout(after, self.nameserver_once(call)).await {
                Ok(answered) => answered,
                Err(_) => {
                    self.shared.rpc.give_up_on_nameserver();
                    let kind = CallErrorKind::DeadlineExceeded { after };
                    Err(CallError::new(self.nameserver_name(), method, kind))
                }
            };
        }
        let mut spent = 0;
        loop {
            let seen = self.shared.search.finished();
            let error = match self.nameserver_once(call.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            spent += cost(&error);
            let gave_none = self.is_ending() && matches!(error.kind, CallErrorKind::DeadlineExceeded { .. });
            if gave_none || !may_repeat(call.effect(), &error) || spent >= self.shared.options.attempts {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            // Whatever passes may mean that another nameserver leads by now; a deadline too, if the host lost its power.
            if let Err(error) = self.search_again(seen, Patience::Anything).await {
                return Err(CallError::discovery(call.name(), error));
            }
            self.pause(spent).await;
        }
    }

    /// Calls a tablet.
    async fn tablet(&self, endpoint: &Endpoint, call: TabletCall, fine: &[i32]) -> Result<TabletAnswer, CallError> {
        if call.effect() == Effect::Mutate {
            Box::pin(self.must_be_ours(call.name())).await?;
        }
        if self.once.is_some() {
            return self.tablet_once(endpoint, call, fine).await;
        }
        let hangs = self.shared.hanging.patience(endpoint).is_some();
        let mut spent = 0;
        loop {
            let error = match self.tablet_once(endpoint, call.clone(), fine).await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            spent += cost(&error);
            let late = matches!(error.kind, CallErrorKind::DeadlineExceeded { .. });
            let gave_none = late && (self.is_ending() || hangs);
            if gave_none || !may_repeat(call.effect(), &error) || spent >= self.shared.options.attempts {
                return Err(error);
            }
            tracing::debug!(%error, "trying again");
            self.pause(spent).await;
        }
    }

    async fn pause(&self, spent: u32) {
        let doublings = spent.saturating_sub(1).min(16);
        tokio::time::sleep(self.shared.options.backoff.saturating_mul(1 << doublings)).await;
    }
}

/// An answer's code: 0 and the codes in `fine` pass.
fn check(
    server: impl Fn() -> String,
    method: &'static str,
    code: Option<i32>,
    msg: &str,
    fine: &[i32],
) -> Result<(), CallError> {
    match code {
        Some(0) => Ok(()),
        Some(code) if fine.contains(&code) => Ok(()),
        Some(code) => Err(CallError::new(server(), method, CallErrorKind::Refused { code, msg: msg.to_owned() })),
        None => {
            let seen = "code is missing".to_owned();
            Err(CallError::new(server(), method, CallErrorKind::Garbage { seen }))
        }
    }
}

/// A read may be repeated after anything that passes; a mutation only if it was certainly not applied.
fn may_repeat(effect: Effect, error: &CallError) -> bool {
    error.is_passing() && (effect == Effect::Read || error.outcome() == Outcome::NotApplied)
}

/// How many attempts a failure uses up.
fn cost(error: &CallError) -> u32 {
    if matches!(error.kind, CallErrorKind::DeadlineExceeded { .. }) { 2 } else { 1 }
}
