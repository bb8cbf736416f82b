//! One run of the tool, under faults, in virtual time.

use std::num::NonZeroU32;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use openmldb_ops::cluster::{Cluster, Hold, Options};
use openmldb_ops::model::PartitionId;
use openmldb_ops::playbook::Playbook;
use openmldb_ops::run::{Alone, Caller, Consent, Event, RecoverError, Recovered, Recovery, Scope, Shelf, Stop, Widths};
use openmldb_ops::sandbox::fault::{Fault, ToolFate};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, InProcess, Live, TimeScale, World};
use openmldb_ops::wire::call::Effect;
use tokio::sync::watch;

/// No run takes longer, in virtual time.
const FOREVER: Duration = Duration::from_secs(6 * 60 * 60);

/// How long the lock is shaky.
const SHAKY_FOR: Duration = Duration::from_secs(5);

/// A run to be.
pub struct Run<'a> {
    pub playbook: &'a str,
    pub scope: Scope,
    pub faults: Vec<Fault>,
    pub archive: &'a Shelf,
    /// For the names of records.
    pub number: u64,
}

/// How a run ended.
pub enum Ended {
    Killed,
    Itself(Box<Result<Recovered, RecoverError>>),
    Never,
}

/// What came of a run.
pub struct Ran {
    pub ended: Ended,
    pub told: Vec<String>,
    pub took: Duration,
    /// Partitions seen with two alive leaders.
    pub two_leaders: Vec<PartitionId>,
}

/// The result of a run that had one.
pub fn recovered(ran: &Ran) -> Option<&Recovered> {
    match &ran.ended {
        Ended::Itself(result) => result.as_ref().as_ref().ok(),
        Ended::Killed | Ended::Never => None,
    }
}

/// What a run sends, in order: each call's name and whether it may change something.
pub fn calls(world: &World) -> Vec<(&'static str, Effect)> {
    world.trace().calls().map(|call| (call.method, call.effect)).collect()
}

impl Run<'_> {
    /// Runs in that world, and gives it back.
    pub fn on(self, mut world: World) -> (World, Ran) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
        world.set_faults(self.faults.clone(), self.number);
        let (live, ran) = runtime.block_on(async {
            let live = Arc::new(Live::new(world, TimeScale(NonZeroU32::MIN)));
            let ran = self.in_runtime(&live).await;
            (live, ran)
        });
        let _guard = runtime.enter();
        let empty = World::new(Settings::default(), &Addresses::recorded(1, 1));
        let mut world = live.with(|world| std::mem::replace(world, empty));
        world.set_faults(Vec::new(), 1);
        (world, ran)
    }

    async fn in_runtime(self, live: &Arc<Live>) -> Ran {
        let began = tokio::time::Instant::now();
        let told: Arc<Mutex<Vec<String>>> = Arc::default();
        let tell = told.clone();
        let listener = Arc::new(move |event: &Event| {
            let text = format!("{:>8.2}s {}", began.elapsed().as_secs_f64(), serde_json::to_string(event).unwrap());
            tell.lock().unwrap().push(text);
        });
        let lock = Arc::new(Alone::default());
        let (_stop, stopped) = watch::channel(Stop::No);
        let recovery = Recovery {
            cluster_name: "matrix".to_owned(),
            scope: self.scope,
            playbook: Playbook::find(self.playbook).unwrap(),
            playbook_text: String::new(),
            consent: Consent::default(),
            archive: Arc::new(self.archive.clone()),
            caller: Caller::default(),
            lock: lock.clone(),
            widths: Widths::default(),
            pace: 1.0,
            listener,
            stop: stopped,
            record: Arc::default(),
            now_ms: self.number,
        };
        let two_leaders = Arc::new(Mutex::new(Vec::new()));
        tokio::spawn(watch_leaders(live.clone(), two_leaders.clone()));
        let cluster = Cluster::new(Arc::new(InProcess::new(live.clone())), Options::default());
        let run = async {
            let prepared = recovery.look(&cluster).await?;
            recovery.run(&cluster, prepared).await
        };
        let ended = tokio::select! {
            result = run => Ended::Itself(Box::new(result)),
            () = tool_trouble(live, &lock) => Ended::Killed,
            () = tokio::time::sleep(FOREVER) => Ended::Never,
        };
        let (told, two_leaders) = (told.lock().unwrap().clone(), two_leaders.lock().unwrap().clone());
        Ran { ended, told, took: began.elapsed(), two_leaders }
    }
}

/// What befalls the tool itself; returns when it is killed.
async fn tool_trouble(live: &Live, lock: &Alone) {
    let mut fate = live.tool_fate();
    loop {
        let next = *fate.wait_for(Option::is_some).await.unwrap();
        match next {
            Some(ToolFate::KilledBefore | ToolFate::KilledAfter) => return,
            Some(ToolFate::LockLost) => lock.becomes(Hold::Lost),
            Some(ToolFate::LockShaky) => {
                lock.becomes(Hold::Shaky);
                tokio::time::sleep(SHAKY_FOR).await;
                lock.becomes(Hold::Held);
            }
            None => {}
        }
        fate.changed().await.unwrap();
    }
}

async fn watch_leaders(live: Arc<Live>, found: Arc<Mutex<Vec<PartitionId>>>) {
    loop {
        for (id, metas) in live.look(|world| world.metadata()) {
            let alive = metas.partition_meta.iter().filter(|meta| meta.is_leader && meta.is_alive()).count();
            let mut found = found.lock().unwrap();
            if alive > 1 && !found.contains(&id) {
                found.push(id);
            }
        }
        tokio::time::sleep(Duration::from_millis(350)).await;
    }
}
