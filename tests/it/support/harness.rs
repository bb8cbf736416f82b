//! A sandbox, in memory or on loopback sockets, and runs against it as the command line makes them.

use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openmldb_ops::cluster::{self, Cluster, Trace, Transport};
use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::playbook::{Playbook, built_in};
use openmldb_ops::run::{
    Caller, Consent, Directory, Event, InMemoryLock, Listener, Lock, RecoverError, Recovered, Recovery, Scope, Stop,
    Widths, WorkSession,
};
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::world::{RowCount, Traced};
use openmldb_ops::sandbox::{Addresses, Live, Options, Sandbox, SandboxError, TimeScale, World};
use openmldb_ops::wire::encode::Addressed;
use tokio::sync::watch;

use super::relay::{Hook, Relay, Then};

/// No run and no condition of these tests takes nearly as long, on any machine.
pub const PATIENCE: Duration = Duration::from_secs(300);
/// The same in virtual time, where loads and operations take as long as they do in a cluster.
const VIRTUAL_PATIENCE: Duration = Duration::from_secs(12 * 60 * 60);
/// Longer than the busiest machine takes to answer. A test in which a server hangs sets a deadline of its own.
const DEADLINE: Duration = Duration::from_secs(120);

/// A sandbox, and a directory for the records of the runs against it.
pub struct Harness {
    live: Arc<Live>,
    /// Its servers; none if it is in memory.
    sandbox: Option<Sandbox>,
    pub records: Records,
    pace: f64,
    /// The milliseconds since 1970 at which the next run begins.
    clock: AtomicU64,
}

/// A directory of its own, gone when dropped.
pub struct Records(PathBuf);

/// How a run differs from what the command line would do.
pub struct Setup {
    pub playbook: Playbook,
    pub consent: Consent,
    pub hook: Hook,
    pub transport: Transport,
    pub trace: Option<Trace>,
    pub listener: Listener,
    pub stop: watch::Receiver<Stop>,
    pub lock: Arc<dyn Lock>,
}

/// A run, with everything it told and sent.
pub struct Run {
    pub recovered: Recovered,
    pub events: Vec<Event>,
    pub sent: Vec<Addressed>,
}

/// Tablets that are away in these tests stay away, or come back for another run: the clock is a real one.
pub fn impatient(playbook: Playbook) -> Playbook {
    playbook.waiting_for_tablets(Duration::ZERO)
}

impl Setup {
    pub fn new() -> Self {
        Self {
            playbook: impatient(Playbook::find("recover").unwrap()),
            consent: Consent::default(),
            hook: Box::new(|_| Then::Go),
            transport: Transport { deadline: Some(DEADLINE), ..Transport::default() },
            trace: None,
            listener: Arc::new(|_| {}),
            stop: watch::channel(Stop::No).1,
            lock: Arc::new(InMemoryLock::default()),
        }
    }

    /// The default playbook with another rule for several leader flags.
    pub fn on_conflict(rule: &str) -> Self {
        let text = built_in("recover").unwrap();
        let changed = text.replace("on_conflict: last_elected", &format!("on_conflict: {rule}"));
        assert_ne!(text, changed, "the default has changed");
        Self { playbook: Playbook::parse("changed.yaml", &changed).unwrap(), ..Self::new() }
    }

    pub fn hook(hook: impl Fn(&[Addressed]) -> Then + Send + Sync + 'static) -> Self {
        Self { hook: Box::new(hook), ..Self::new() }
    }
}

/// A sandbox over sockets. A session of ZooKeeper is opened within its timeout, or not: on a busy machine another attempt may be needed.
pub async fn sandbox(scenario: Scenario, options: &Options) -> Sandbox {
    let began = Instant::now();
    loop {
        match Sandbox::start(scenario, options).await {
            Err(SandboxError::Registration(error)) if error.is_passing() && began.elapsed() < PATIENCE => {}
            started => return started.unwrap(),
        }
    }
}

impl Harness {
    /// Over sockets, on a real clock.
    pub async fn start(scenario: Scenario) -> Self {
        Self::start_with(scenario, &Options::default()).await
    }

    pub async fn start_with(scenario: Scenario, options: &Options) -> Self {
        let sandbox = sandbox(scenario, options).await;
        let pace = f64::from(options.time_scale.0.get());
        Self::of(sandbox.live().clone(), Some(sandbox), pace)
    }

    /// In memory, on the paused clock of the test (`start_paused = true`): the same on any machine, however busy it is.
    pub async fn in_memory(scenario: Scenario) -> Self {
        Self::in_memory_with(scenario, &Options::default()).await
    }

    /// The same; of the options, those that say how the cluster is made.
    pub async fn in_memory_with(scenario: Scenario, options: &Options) -> Self {
        let (shape, nameservers) = (options.shape, options.nameservers);
        // It has a clock of its own.
        let made = tokio::task::spawn_blocking(move || {
            scenario.bring_about(&shape, &Addresses::recorded(nameservers, shape.tablets + scenario.joining()))
        });
        let mut world = made.await.unwrap().unwrap();
        world.set_faults(options.faults.clone(), shape.seed);
        Self::of(Arc::new(Live::new(world, TimeScale(NonZeroU32::MIN))), None, 1.0)
    }

    fn of(live: Arc<Live>, sandbox: Option<Sandbox>, pace: f64) -> Self {
        Self { live, sandbox, records: Records::new(), pace, clock: AtomicU64::new(1_795_381_000_000) }
    }

    /// The world on its clock.
    pub fn live(&self) -> &Arc<Live> {
        &self.live
    }

    /// Its servers, where it listens.
    pub fn sandbox(&self) -> &Sandbox {
        self.sandbox.as_ref().expect("a sandbox over sockets")
    }

    pub fn tablets(&self) -> Vec<Endpoint> {
        self.world(|world| world.tablet_endpoints().to_vec())
    }

    /// Stops what it started.
    pub async fn stop(self) {
        let Some(sandbox) = self.sandbox else { return };
        sandbox.stop().await.unwrap();
    }

    /// Works on the world.
    pub fn world<R>(&self, work: impl FnOnce(&mut World) -> R) -> R {
        self.live.with(work)
    }

    /// Holds the clock once so many calls of these names were made: what is under way then stays under way until the test lets
    /// it go on, on any machine.
    pub fn hold_at(&self, names: &'static [&'static str], many: usize) {
        let is_one = move |call: &&Traced| names.contains(&call.method);
        self.live.hold_once(move |world| world.trace().calls().filter(is_one).count() >= many);
    }

    /// The same, at the first call of that name for a partition.
    pub fn hold_at_partition(&self, name: &'static str, id: PartitionId) {
        let is_it = move |call: &Traced| call.method == name && call.partitions.contains(&id);
        self.live.hold_once(move |world| world.trace().calls().any(is_it));
    }

    /// Lets the clock go on.
    pub fn release(&self) {
        self.live.release();
    }

    /// Ends the writing, lets replication come to rest, and counts.
    pub fn settle(&self) -> RowCount {
        self.world(World::settle)
    }

    pub async fn cluster(&self, setup: &mut Setup) -> (Cluster, Arc<Relay>) {
        let hook = std::mem::replace(&mut setup.hook, Box::new(|_| Then::Go));
        let relay = match &self.sandbox {
            Some(sandbox) => Relay::to(sandbox, setup.transport.clone(), hook).await,
            None => Relay::within(&self.live, hook),
        };
        let relay = Arc::new(relay);
        let options = cluster::Options {
            trace: setup.trace.clone(),
            // A dead server of a sandbox stays dead for less, too.
            poll: Duration::from_millis(50),
            backoff: Duration::from_millis(20),
            ..cluster::Options::default()
        };
        let cluster = Cluster::new(relay.clone(), options);
        cluster.find_leader().await.unwrap();
        (cluster, relay)
    }

    pub fn recovery(&self, setup: &Setup, listener: Listener) -> Recovery {
        let session = WorkSession {
            cluster_name: "sandbox".to_owned(),
            archive: Arc::new(Directory(self.records.path().to_owned())),
            caller: Caller::default(),
            lock: setup.lock.clone(),
            pace: self.pace,
            listener,
            stop: setup.stop.clone(),
            record: Arc::default(),
            now_ms: self.clock.fetch_add(1_000, Ordering::Relaxed),
        };
        Recovery {
            session,
            scope: Scope::All,
            playbook: setup.playbook.clone(),
            playbook_text: String::new(),
            only_plans: false,
            consent: setup.consent.clone(),
            widths: Widths::default(),
        }
    }

    /// A run as `recover --all` makes it.
    pub async fn run(&self) -> Run {
        self.run_with(Setup::new()).await
    }

    pub async fn run_with(&self, setup: Setup) -> Run {
        self.try_run(setup).await.unwrap()
    }

    pub async fn try_run(&self, mut setup: Setup) -> Result<Run, RecoverError> {
        let (cluster, relay) = self.cluster(&mut setup).await;
        let events = Arc::new(Mutex::new(Vec::new()));
        let (heard, also) = (events.clone(), setup.listener.clone());
        let listener: Listener = Arc::new(move |event| {
            heard.lock().unwrap().push(event.clone());
            also(event);
        });
        let recovery = self.recovery(&setup, listener);
        let run = async {
            let prepared = recovery.look(&cluster).await?;
            recovery.run(&cluster, prepared).await
        };
        let recovered = tokio::time::timeout(self.patience(), run).await.expect("a run that ends")?;
        let events = std::mem::take(&mut *events.lock().unwrap());
        Ok(Run { recovered, events, sent: relay.sent() })
    }

    /// Waits until something is so.
    pub async fn until(&self, what: &str, so: impl Fn(&mut World) -> bool) {
        let waiting = async {
            while !self.world(&so) {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        let patience = self.patience();
        tokio::time::timeout(patience, waiting).await.unwrap_or_else(|_| panic!("waited {patience:?} until {what}"));
    }

    fn patience(&self) -> Duration {
        if self.sandbox.is_some() { PATIENCE } else { VIRTUAL_PATIENCE }
    }
}

impl Records {
    fn new() -> Self {
        static MADE: AtomicU64 = AtomicU64::new(0);
        let number = MADE.fetch_add(1, Ordering::Relaxed);
        Self(std::env::temp_dir().join(format!("openmldb-ops-records-{}-{number}", std::process::id())))
    }

    pub fn path(&self) -> &Path {
        &self.0
    }

    /// How many records there are.
    pub fn count(&self) -> usize {
        std::fs::read_dir(&self.0).map_or(0, Iterator::count)
    }
}

impl Drop for Records {
    fn drop(&mut self) {
        // There may be none.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}
