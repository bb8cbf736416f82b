//! One run of the recovery in virtual time, as a process of its own: it may be killed, and nothing of it goes on.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Hold, Options, Pending, Rpc, Trace};
use openmldb_ops::model::Endpoint;
use openmldb_ops::playbook::Playbook;
use openmldb_ops::run::stopping::unless_stopped;
use openmldb_ops::run::{
    Caller, Consent, Event, InMemoryLock, KeptPlan, Lock, MemoryArchive, PlanId, RecoverError, Recovered, Recovery,
    Scope, Stop, Widths, WorkSession,
};
use openmldb_ops::sandbox::fault::{Fault, ToolFate};
use openmldb_ops::sandbox::{InProcess, Live, World, in_virtual_time};
use openmldb_ops::wire::call::{Effect, NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use tokio::sync::watch;
use tokio::time::Instant;

use super::addressed;
use super::judge::Judge;

/// No run takes longer, in virtual time.
const FOREVER: Duration = Duration::from_secs(6 * 60 * 60);

/// How long the lock is shaky.
const SHAKY_FOR: Duration = Duration::from_secs(5);

/// What a run shares with those before and after it.
#[derive(Debug, Clone)]
pub struct Host {
    /// Its records.
    pub archive: MemoryArchive,
    /// What keeps runs apart, and their notes.
    pub lock: Arc<InMemoryLock>,
}

/// A run to be.
pub struct Run<'a> {
    pub playbook: &'a str,
    pub scope: Scope,
    pub consent: Consent,
    pub faults: Vec<Fault>,
    pub host: Host,
    /// For chance.
    pub number: u64,
    /// It is killed then.
    pub killed_after: Option<Duration>,
    /// It gets a signal then.
    pub signal_after: Option<Duration>,
    /// How the playbook is changed.
    pub changed: fn(Playbook) -> Playbook,
    /// How long it stays open for tablets that are away; none: as the playbook has it.
    pub waits: Option<Duration>,
    /// Whether what it says is kept.
    pub tell: bool,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    Killed,
    Itself(Box<Result<Recovered, RecoverError>>),
    Never,
}

/// What came of a run.
#[derive(Debug)]
pub struct Ran {
    pub ended: Ended,
    pub told: Vec<String>,
    pub took: Duration,
    /// From its signal to its end.
    pub stopping: Option<Duration>,
}

impl Host {
    /// A new one. `keeps_notes`: it has a ZooKeeper to leave notes in.
    pub fn new(keeps_notes: bool) -> Self {
        let lock = if keeps_notes { InMemoryLock::keeping_notes() } else { InMemoryLock::default() };
        Self { archive: MemoryArchive::default(), lock: Arc::new(lock) }
    }

    /// Another one of the same cluster, which has none of the records.
    pub fn another(&self) -> Self {
        Self { archive: MemoryArchive::default(), lock: self.lock.clone() }
    }
}

impl Ran {
    /// The result of a run that had one.
    pub fn recovered(&self) -> Option<&Recovered> {
        match &self.ended {
            Ended::Itself(result) => result.as_ref().as_ref().ok(),
            Ended::Killed | Ended::Never => None,
        }
    }

    /// How it ended, in words.
    pub fn ending(&self) -> String {
        match &self.ended {
            Ended::Killed => "killed".to_owned(),
            Ended::Never => "it does not end".to_owned(),
            Ended::Itself(result) => match result.as_ref() {
                Ok(recovered) => format!("{recovered:#?}"),
                Err(error) => format!("error: {error}"),
            },
        }
    }
}

/// What a run sent, in order: each call's name and whether it may change something.
pub fn calls(world: &World) -> Vec<(&'static str, Effect)> {
    world.trace().calls().map(|call| (call.method, call.effect)).collect()
}

impl<'a> Run<'a> {
    /// A run of everything that nothing disturbs.
    pub fn calm(playbook: &'a str, host: &Host, number: u64) -> Self {
        Self {
            playbook,
            scope: Scope::All,
            consent: Consent::default(),
            faults: Vec::new(),
            host: host.clone(),
            number,
            killed_after: None,
            signal_after: None,
            changed: |playbook| playbook,
            waits: None,
            tell: true,
        }
    }

    /// Runs in that world under those eyes, and gives the world back.
    pub fn on(self, mut world: World, judge: &Arc<Mutex<Judge>>) -> (World, Ran) {
        world.set_faults(self.faults.clone(), self.number);
        in_virtual_time(world, async |live| self.in_runtime(live, judge).await).unwrap()
    }

    /// What only looks: a dry run.
    pub fn look(self, world: World, judge: &Arc<Mutex<Judge>>) -> World {
        let (world, ()) = in_virtual_time(world, async |live| {
            let (_stop, stopped) = watch::channel(Stop::No);
            let recovery = self.recovery(live.now(), stopped, Arc::new(|_: &Event| {}));
            let _ = recovery.look(&watched(live, judge, None)).await;
        })
        .unwrap();
        world
    }

    /// The id of the plan that a dry run shows.
    pub fn plan(self, world: World) -> (World, PlanId) {
        in_virtual_time(world, async |live| {
            let (_stop, stopped) = watch::channel(Stop::No);
            let recovery = self.recovery(live.now(), stopped, Arc::new(|_: &Event| {}));
            let prepared = recovery.look(&watched(live, &Arc::default(), None)).await.unwrap();
            KeptPlan::of(&prepared, &recovery.playbook_text, &self.scope).id()
        })
        .unwrap()
    }

    async fn in_runtime(self, live: &Arc<Live>, judge: &Arc<Mutex<Judge>>) -> Ran {
        judge.lock().unwrap().a_run_begins(&self.faults);
        let began = Instant::now();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let (tell, hears, tells) = (told.clone(), judge.clone(), self.tell);
        let listener = Arc::new(move |event: &Event| {
            hears.lock().unwrap_or_else(PoisonError::into_inner).hears(event);
            if tells {
                let text = format!("{:>8.2}s {}", began.elapsed().as_secs_f64(), serde_json::to_string(event).unwrap());
                tell.lock().unwrap_or_else(PoisonError::into_inner).push(text);
            }
        });
        let (stop, stopped) = watch::channel(Stop::No);
        let signal_after = self.signal_after;
        tokio::spawn(async move {
            tokio::time::sleep(signal_after.unwrap_or(FOREVER)).await;
            stop.send_replace(Stop::Signal(15));
            std::future::pending::<()>().await;
        });
        let (lock, killed_after) = (self.host.lock.clone(), self.killed_after);
        lock.becomes(Hold::Held);
        let recovery = self.recovery(live.now(), stopped, listener);
        let cluster = watched(live, judge, None);
        let looks = recovery.session.stop.clone();
        let run = async {
            // As the command line does it.
            let looked = unless_stopped(&looks, recovery.look(&cluster)).await;
            let prepared = looked.map_err(|stop| RecoverError::Stopped { stop })??;
            recovery.run(&cluster, prepared).await
        };
        let ended = tokio::select! {
            result = run => Ended::Itself(Box::new(result)),
            () = tool_trouble(live, &lock) => Ended::Killed,
            () = tokio::time::sleep(killed_after.unwrap_or(FOREVER)) => match killed_after {
                Some(_) => Ended::Killed,
                None => Ended::Never,
            },
        };
        live.with(|world| judge.lock().unwrap_or_else(PoisonError::into_inner).leaders_are_single(world));
        let told = std::mem::take(&mut *told.lock().unwrap_or_else(PoisonError::into_inner));
        let took = began.elapsed();
        Ran { ended, told, took, stopping: signal_after.and_then(|after| took.checked_sub(after)) }
    }

    /// The recovery itself.
    pub fn recovery(
        &self,
        now_ms: u64,
        stop: watch::Receiver<Stop>,
        listener: Arc<impl Fn(&Event) + Send + Sync + 'static>,
    ) -> Recovery {
        let playbook = (self.changed)(Playbook::find(self.playbook).unwrap());
        let playbook = match self.waits {
            Some(time) => playbook.waiting_for_tablets(time),
            None => playbook,
        };
        let session = work_session(&self.host.archive, self.host.lock.clone(), stop, now_ms);
        Recovery {
            session: WorkSession { listener, ..session },
            scope: self.scope.clone(),
            playbook,
            playbook_text: String::new(),
            only_plans: false,
            consent: self.consent.clone(),
            widths: Widths::default(),
        }
    }
}

/// What work is done within, as whoever hears nothing has it.
pub fn work_session(
    archive: &MemoryArchive,
    lock: Arc<dyn Lock>,
    stop: watch::Receiver<Stop>,
    now_ms: u64,
) -> WorkSession {
    WorkSession {
        cluster_name: "in memory".to_owned(),
        archive: Arc::new(archive.clone()),
        caller: Caller::default(),
        lock,
        pace: 1.0,
        listener: Arc::new(|_| {}),
        stop,
        record: Arc::default(),
        now_ms,
    }
}

/// What befalls the tool itself; returns when it is killed.
pub async fn tool_trouble(live: &Live, lock: &InMemoryLock) {
    let mut fate = live.tool_fate();
    loop {
        let next = *fate.wait_for(Option::is_some).await.unwrap();
        match next {
            Some(ToolFate::KilledBefore | ToolFate::KilledAfter) => return,
            Some(ToolFate::LockLost) => lock.becomes(Hold::Lost),
            Some(ToolFate::LockShaky) => {
                lock.becomes(Hold::Suspended);
                tokio::time::sleep(SHAKY_FOR).await;
                lock.becomes(Hold::Held);
            }
            None => {}
        }
        fate.changed().await.unwrap();
    }
}

/// Calls into a world, each change under the judge's eyes.
struct Watched {
    inner: InProcess,
    judge: Arc<Mutex<Judge>>,
}

pub fn watched(live: &Arc<Live>, judge: &Arc<Mutex<Judge>>, trace: Option<Trace>) -> Cluster {
    let rpc = Watched { inner: InProcess::new(live.clone()), judge: judge.clone() };
    Cluster::new(Arc::new(rpc), Options { trace, ..Options::default() })
}

impl Watched {
    fn judged(&self, judging: impl FnOnce(&mut Judge, &mut World)) {
        self.inner.live().with(|world| judging(&mut self.judge.lock().unwrap_or_else(PoisonError::into_inner), world));
    }
}

impl Rpc for Watched {
    fn nameserver(&self, call: NameserverCall) -> Pending<'_, NameserverAnswer> {
        Box::pin(async move {
            let changes = call.effect() == Effect::Mutate;
            if changes {
                self.judged(|judge, world| judge.nameserver_is_told(world, &call));
            }
            let answer = self.inner.nameserver(call).await;
            if changes {
                self.judged(|judge, world| judge.leaders_are_single(world));
            }
            answer
        })
    }

    fn tablet<'a>(&'a self, endpoint: &'a Endpoint, call: TabletCall) -> Pending<'a, TabletAnswer> {
        if call.effect() == Effect::Mutate {
            self.judged(|judge, world| judge.tablet_is_told(world, endpoint, &call));
        }
        Box::pin(addressed::call(&self.inner, endpoint, call))
    }

    fn find_nameserver(&self) -> Pending<'_, String> {
        self.inner.find_nameserver()
    }

    fn registered_tablets(&self) -> Pending<'_, Option<Vec<Endpoint>>> {
        self.inner.registered_tablets()
    }
}
