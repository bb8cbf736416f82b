//! Calls into a world under eyes that see whom they go to, and hands that do something to the world at one of them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use openmldb_ops::cluster::{Pending, Rpc};
use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::{InProcess, Live, Millis, World};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

use super::addressed;

/// No work in these worlds takes nearly as many calls.
const AT_MOST: u64 = 1_000_000;

/// Something done to the world.
type Deed = Arc<dyn Fn(&mut World) + Send + Sync>;

/// When it is done.
#[derive(Clone, Copy, PartialEq)]
enum When {
    Before,
    After,
}

/// Eyes and hands. Clones share what was seen.
#[derive(Clone, Default)]
pub struct Eyes {
    deed: Option<(When, &'static str, Deed)>,
    /// When ZooKeeper was asked for something.
    zookeeper: Arc<Mutex<Vec<Millis>>>,
}

impl Eyes {
    /// Does that once, when the first call of that name is about to be made.
    pub fn before(call: &'static str, deed: impl Fn(&mut World) + Send + Sync + 'static) -> Self {
        Self { deed: Some((When::Before, call, Arc::new(deed))), ..Self::default() }
    }

    /// Does that once, when the first call of that name has been answered.
    pub fn after(call: &'static str, deed: impl Fn(&mut World) + Send + Sync + 'static) -> Self {
        Self { deed: Some((When::After, call, Arc::new(deed))), ..Self::default() }
    }

    /// When ZooKeeper was asked for something.
    pub fn asked_zookeeper(&self) -> Vec<Millis> {
        self.zookeeper.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Calls into that world.
    pub fn on(&self, live: &Arc<Live>) -> impl Rpc + use<> {
        Watching {
            inner: InProcess::new(live.clone()),
            deed: Mutex::new(self.deed.clone()),
            zookeeper: self.zookeeper.clone(),
            calls: AtomicU64::new(0),
        }
    }
}

struct Watching {
    inner: InProcess,
    deed: Mutex<Option<(When, &'static str, Deed)>>,
    zookeeper: Arc<Mutex<Vec<Millis>>>,
    calls: AtomicU64,
}

impl Watching {
    fn meets(&self, when: When, call: &str) {
        // Whoever asks without a pause stops the clock: it goes on only while nobody has anything to do.
        assert!(
            self.calls.fetch_add(1, Ordering::Relaxed) < AT_MOST,
            "{call} is asked again and again without a pause"
        );
        let due = |(at, name, _): &mut (When, &'static str, Deed)| *at == when && *name == call;
        let deed = self.deed.lock().unwrap_or_else(PoisonError::into_inner).take_if(due);
        if let Some((.., deed)) = deed {
            self.inner.live().with(|world| deed(world));
        }
    }

    fn asks_zookeeper(&self) {
        let now = self.inner.live().now();
        self.zookeeper.lock().unwrap_or_else(PoisonError::into_inner).push(now);
    }
}

impl Rpc for Watching {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(async move {
            let name = call.name();
            self.meets(When::Before, name);
            let answer = self.inner.nameserver(call).await;
            self.meets(When::After, name);
            answer
        })
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        Box::pin(async move {
            let name = call.name();
            self.meets(When::Before, name);
            let answer = addressed::call(&self.inner, endpoint, call).await;
            self.meets(When::After, name);
            answer
        })
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        self.asks_zookeeper();
        self.inner.find_nameserver()
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        self.asks_zookeeper();
        self.inner.registered_tablets()
    }
}
