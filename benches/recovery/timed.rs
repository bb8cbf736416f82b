//! Calls into a simulated cluster whose own time is taken, so that it can be told from the tool's.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use openmldb_ops::cluster::{Pending, Rpc};
use openmldb_ops::model::Endpoint;
use openmldb_ops::sandbox::InProcess;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};

/// The calls.
pub struct Timed {
    inner: InProcess,
    spent: Spent,
}

/// What a cluster has spent so far, and what for.
#[derive(Debug, Clone, Default)]
pub struct Spent {
    nanoseconds: Arc<AtomicU64>,
    calls: Arc<Mutex<BTreeMap<&'static str, u64>>>,
}

impl Spent {
    /// So long.
    pub fn so_far(&self) -> Duration {
        Duration::from_nanos(self.nanoseconds.load(Ordering::Relaxed))
    }

    /// The calls that were made, by method.
    pub fn calls(&self) -> BTreeMap<&'static str, u64> {
        self.calls.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn count(&self, method: &'static str) {
        *self.calls.lock().unwrap_or_else(PoisonError::into_inner).entry(method).or_insert(0) += 1;
    }
}

impl Timed {
    /// Calls whose time is added to `spent`.
    pub fn new(inner: InProcess, spent: &Spent) -> Self {
        Self { inner, spent: spent.clone() }
    }

    fn timed<'a, A: 'a>(&'a self, pending: Pending<'a, A>) -> Pending<'a, A> {
        Box::pin(Watched { pending, spent: self.spent.nanoseconds.clone() })
    }
}

struct Watched<'a, A> {
    pending: Pending<'a, A>,
    spent: Arc<AtomicU64>,
}

impl<A> Future for Watched<'_, A> {
    type Output = <Pending<'static, A> as Future>::Output;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let began = Instant::now();
        let polled = self.pending.as_mut().poll(context);
        let nanoseconds = u64::try_from(began.elapsed().as_nanos()).unwrap_or(u64::MAX);
        self.spent.fetch_add(nanoseconds, Ordering::Relaxed);
        polled
    }
}

impl Rpc for Timed {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        self.spent.count(call.name());
        self.timed(self.inner.nameserver(call))
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        self.spent.count(call.name());
        self.timed(self.inner.tablet(endpoint, call))
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        self.timed(self.inner.find_nameserver())
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        self.timed(self.inner.registered_tablets())
    }
}
