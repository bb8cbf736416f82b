//! The way to a sandbox's servers, over its sockets or in memory: it knows every nameserver, keeps what was sent to change
//! something, and tells a test before each of those calls.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use openmldb_ops::cluster::{CallError, Credentials, Grpc, Pending, Rpc, Target, Transport};
use openmldb_ops::model::{Endpoint, Zone};
use openmldb_ops::sandbox::{InProcess, Live, Sandbox};
use openmldb_ops::wire::call::{Effect, NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_ops::wire::encode::Addressed;

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Then {
    /// It is sent.
    Go,
    /// Nothing is sent any more, and nobody is answered any more: the process that calls is as good as dead.
    Dead,
}

/// Told of every mutating call before it is sent; it is the last of those given.
pub type Hook = Box<dyn Fn(&[Addressed]) -> Then + Send + Sync>;

/// Every server of a sandbox.
pub struct Relay {
    servers: Servers,
    sent: Mutex<Vec<Addressed>>,
    dead: AtomicBool,
    hook: Hook,
}

enum Servers {
    InMemory(InProcess),
    OverSockets { nameservers: Vec<(String, Grpc)>, leading: AtomicUsize, searches: AtomicUsize },
}

impl Servers {
    fn rpc(&self) -> &dyn Rpc {
        match self {
            Self::InMemory(servers) => servers,
            Self::OverSockets { nameservers, leading, .. } => &nameservers[leading.load(Ordering::Relaxed)].1,
        }
    }

    async fn find_nameserver(&self) -> Result<String, CallError> {
        match self {
            Self::InMemory(servers) => servers.find_nameserver().await,
            // Without ZooKeeper nobody knows who leads: whoever asks again tries the next one, which says 300 if it does not.
            Self::OverSockets { nameservers, leading, searches } => {
                let next = searches.fetch_add(1, Ordering::Relaxed) % nameservers.len();
                leading.store(next, Ordering::Relaxed);
                Ok(nameservers[next].0.clone())
            }
        }
    }
}

impl Relay {
    pub async fn to(sandbox: &Sandbox, transport: Transport, hook: Hook) -> Self {
        let mut nameservers = Vec::new();
        for (_, address) in sandbox.nameservers() {
            let target = Target::Nameserver(address.to_string());
            let grpc = Grpc::new(target, &Credentials::Service, transport.clone()).await.unwrap();
            nameservers.push((address.to_string(), grpc));
        }
        let (leading, searches) = (AtomicUsize::new(0), AtomicUsize::new(0));
        Self::over(Servers::OverSockets { nameservers, leading, searches }, hook)
    }

    pub fn within(live: &Arc<Live>, hook: Hook) -> Self {
        Self::over(Servers::InMemory(InProcess::new(live.clone())), hook)
    }

    fn over(servers: Servers, hook: Hook) -> Self {
        Self { servers, sent: Mutex::default(), dead: AtomicBool::new(false), hook }
    }

    /// The mutating calls so far.
    pub fn sent(&self) -> Vec<Addressed> {
        self.sent.lock().unwrap().clone()
    }

    async fn pass(&self, call: Option<Addressed>) {
        if let Some(call) = call {
            let mut sent = self.sent.lock().unwrap();
            sent.push(call);
            if (self.hook)(&sent) == Then::Dead {
                self.dead.store(true, Ordering::Relaxed);
            }
        }
        if self.dead.load(Ordering::Relaxed) {
            std::future::pending::<()>().await;
        }
    }
}

impl Rpc for Relay {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(async move {
            self.pass((call.effect() == Effect::Mutate).then(|| Addressed::Nameserver(call.clone()))).await;
            self.servers.rpc().nameserver(call).await
        })
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        Box::pin(async move {
            let changes = call.effect() == Effect::Mutate;
            self.pass(changes.then(|| Addressed::Tablet(endpoint.clone(), call.clone()))).await;
            self.servers.rpc().tablet(endpoint, call).await
        })
    }

    fn zone(&self) -> Pin<Box<dyn Future<Output = Zone> + Send + '_>> {
        self.servers.rpc().zone()
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        Box::pin(async {
            self.pass(None).await;
            self.servers.find_nameserver().await
        })
    }
}

/// The method of a call.
pub fn method(call: &Addressed) -> &'static str {
    match call {
        Addressed::Nameserver(call) => call.name(),
        Addressed::Tablet(_, call) => call.name(),
    }
}

/// How many of the calls are of that method.
pub fn count(calls: &[Addressed], name: &str) -> usize {
    calls.iter().filter(|call| method(call) == name).count()
}
