//! One run of the recovery, as a process of its own: it may be killed in the middle, and nothing of it goes on.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Options};
use openmldb_ops::model::{Endpoint, PartitionId, TableName};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::recovery::GivenUp;
use openmldb_ops::run::{Alone, Caller, Consent, Event, RecoverError, Recovered, Recovery, Scope, Shelf, Stop, Widths};
use openmldb_ops::sandbox::world::Started;
use openmldb_ops::sandbox::{Addresses, InProcess, Live, TimeScale, World};
use tokio::sync::watch;

use super::dice::Dice;
use super::ledger::Ledger;
use super::weather::{Stormy, Weather};

/// No run takes longer than this, in virtual time.
const FOREVER: Duration = Duration::from_secs(6 * 60 * 60);

/// Something that happens to the cluster meanwhile.
#[derive(Debug, Clone)]
pub enum Mishap {
    /// A tablet is killed and started again so much later.
    TabletRestarts(Endpoint, Duration),
    /// A tablet is stopped for so long.
    TabletFreezes(Endpoint, Duration),
    /// The leading nameserver is killed and started again so much later.
    NameserverRestarts(Duration),
}

/// How a run is disturbed.
#[derive(Debug, Clone, Default)]
pub struct Trouble {
    /// The way to the servers.
    pub weather: Weather,
    /// What happens when.
    pub mishaps: Vec<(Duration, Mishap)>,
    /// The process is killed then.
    pub killed_after: Option<Duration>,
    /// The process gets a signal then.
    pub signal_after: Option<Duration>,
}

/// How a run ended.
#[derive(Debug)]
pub enum Ended {
    /// It was killed.
    Killed,
    /// By itself.
    Itself(Box<Result<Recovered, RecoverError>>),
    /// It did not end.
    Never,
}

/// What there is to know of a run.
#[derive(Debug)]
pub struct Ran {
    /// How it ended.
    pub ended: Ended,
    /// What its choices gave up.
    pub given_up: Vec<(TableName, u32, GivenUp)>,
    /// What it said.
    pub told: Vec<String>,
    /// How long it took.
    pub took: Duration,
    /// From its signal to its end.
    pub stopping: Option<Duration>,
    /// Partitions that it meant to change something of.
    pub touched: BTreeSet<PartitionId>,
    /// Partitions with two alive leaders, seen at some time.
    pub two_leaders: Vec<PartitionId>,
}

/// Everything a run needs.
pub struct Process<'a> {
    pub archive: &'a Shelf,
    pub missing: &'a [Endpoint],
    pub trouble: Trouble,
    /// Which run it is, for the records' names.
    pub number: u64,
}

impl Process<'_> {
    /// Runs it in `world`, which is given back.
    pub fn run(self, world: World, ledger: &Arc<Mutex<Ledger>>, dice: Dice) -> (World, Ran) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        let (live, ran) = runtime.block_on(async {
            let live = Arc::new(Live::new(world, TimeScale(std::num::NonZeroU32::MIN)));
            let ran = self.in_runtime(&live, ledger, dice).await;
            (live, ran)
        });
        let empty = World::new(openmldb_ops::sandbox::world::Settings::default(), &Addresses::recorded(1, 1));
        // Moves the world to now before the clock stops.
        let world = {
            let _guard = runtime.enter();
            live.with(|world| std::mem::replace(world, empty))
        };
        drop(runtime);
        (world, ran)
    }

    async fn in_runtime(self, live: &Arc<Live>, ledger: &Arc<Mutex<Ledger>>, dice: Dice) -> Ran {
        let cluster = self.cluster(live, ledger, dice);
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let given_up: Arc<Mutex<Vec<(TableName, u32, GivenUp)>>> = Arc::default();
        let touched: Arc<Mutex<BTreeSet<PartitionId>>> = Arc::default();
        let touch = touched.clone();
        let (tell, gave, began) = (told.clone(), given_up.clone(), tokio::time::Instant::now());
        let listener = Arc::new(move |event: &Event| {
            if let Event::Action { partition: Some(id), .. } = event {
                touch.lock().unwrap_or_else(PoisonError::into_inner).insert(*id);
            }
            if let Event::LeaderChosen { table, pid, choice } = event {
                let mut gave = gave.lock().unwrap_or_else(PoisonError::into_inner);
                gave.extend(choice.given_up.iter().map(|given| (table.clone(), *pid, given.clone())));
            }
            let text = format!("{:>8.2}s {}", began.elapsed().as_secs_f64(), serde_json::to_string(event).unwrap());
            tell.lock().unwrap_or_else(PoisonError::into_inner).push(text);
        });
        let (stop, stopped) = watch::channel(Stop::No);
        let recovery = Recovery {
            cluster_name: "hunt".to_owned(),
            scope: Scope::All,
            playbook: Playbook::find("recover").unwrap(),
            playbook_text: String::new(),
            consent: Consent::default(),
            archive: Arc::new(self.archive.clone()),
            caller: Caller::default(),
            lock: Arc::new(Alone::default()),
            widths: Widths::default(),
            pace: 1.0,
            listener,
            stop: stopped,
            record: Arc::default(),
            now_ms: self.number,
        };
        for (at, mishap) in self.trouble.mishaps.clone() {
            tokio::spawn(happen(live.clone(), at, mishap, told.clone()));
        }
        if let Some(after) = self.trouble.signal_after {
            tokio::spawn(async move {
                tokio::time::sleep(after).await;
                stop.send_replace(Stop::Signal(15));
                std::future::pending::<()>().await;
            });
        } else {
            tokio::spawn(async move {
                let _stop = stop;
                std::future::pending::<()>().await;
            });
        }
        let two_leaders = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(watch_leaders(live.clone(), two_leaders.clone()));
        let run = async {
            let prepared = recovery.look(&cluster).await?;
            recovery.run(&cluster, prepared).await
        };
        let limit = self.trouble.killed_after.unwrap_or(FOREVER);
        let ended = match tokio::time::timeout(limit, run).await {
            Ok(result) => Ended::Itself(Box::new(result)),
            Err(_) if self.trouble.killed_after.is_some() => Ended::Killed,
            Err(_) => Ended::Never,
        };
        let took = began.elapsed();
        let touched = std::mem::take(&mut *touched.lock().unwrap());
        let told = std::mem::take(&mut *told.lock().unwrap());
        let given_up = std::mem::take(&mut *given_up.lock().unwrap());
        let two_leaders = std::mem::take(&mut *two_leaders.lock().unwrap());
        let stopping = self.trouble.signal_after.and_then(|after| took.checked_sub(after));
        Ran { ended, given_up, told, took, stopping, touched, two_leaders }
    }

    fn cluster(&self, live: &Arc<Live>, ledger: &Arc<Mutex<Ledger>>, dice: Dice) -> Cluster {
        let opened = Mutex::new(false);
        let (live_too, ledger, missing) = (live.clone(), ledger.clone(), self.missing.to_vec());
        let before = Arc::new(move |method: &'static str| {
            let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
            if !*opened && !matches!(method, "ConfSet" | "CancelOP" | "CancelOp") {
                *opened = true;
                live_too.with(|world| ledger.lock().unwrap_or_else(PoisonError::into_inner).open(world, &missing));
            }
        });
        let rpc = Stormy::new(InProcess::new(live.clone()), self.trouble.weather, dice, before);
        Cluster::new(Arc::new(rpc), Options::default())
    }
}

async fn happen(live: Arc<Live>, at: Duration, mishap: Mishap, told: Arc<Mutex<Vec<String>>>) {
    tokio::time::sleep(at).await;
    told.lock().unwrap().push(format!("{:>8.2}s MISHAP {mishap:?}", at.as_secs_f64()));
    match mishap {
        Mishap::TabletRestarts(tablet, after) => {
            live.with(|world| world.kill_tablet(&tablet));
            tokio::time::sleep(after).await;
            while let Started::Exited { free_at } = live.with(|world| world.start_tablet(&tablet)) {
                let wait = free_at.saturating_sub(live.now()) + 1;
                tokio::time::sleep(Duration::from_millis(wait)).await;
            }
        }
        Mishap::TabletFreezes(tablet, long) => {
            live.with(|world| world.freeze_tablet(&tablet, true));
            tokio::time::sleep(long).await;
            live.with(|world| world.freeze_tablet(&tablet, false));
        }
        Mishap::NameserverRestarts(after) => {
            let Some(leader) = live.look(|world| world.leader()) else { return };
            live.with(|world| world.kill_nameserver(&leader));
            tokio::time::sleep(after).await;
            live.with(|world| world.start_nameserver(&leader));
        }
    }
    told.lock().unwrap().push(format!("         over: {at:?}"));
}

async fn watch_leaders(live: Arc<Live>, found: Arc<Mutex<Vec<PartitionId>>>) {
    loop {
        let metadata = live.look(|world| world.metadata());
        for (id, metas) in metadata {
            let alive = metas.partition_meta.iter().filter(|meta| meta.is_leader && meta.is_alive()).count();
            let mut found = found.lock().unwrap();
            if alive > 1 && !found.contains(&id) {
                found.push(id);
            }
        }
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
}
