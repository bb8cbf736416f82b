//! Rehearsals: the real recovery, on a simulated cluster in the likeness of a real or made-up one, in virtual time.
//!
//! ```text
//!  snapshot of a cluster ─┐
//!                         ├──> Likeness (a world after a full restart) ──> the run itself ──> Rehearsed
//!  tablets=3,tables=10,… ─┘          │                                                          │
//!                                    └── Limit: what the tablets alone would need <──compared───┘
//! ```

mod generate;
mod limit;
mod timeline;
mod waits;

use std::io;
use std::sync::{Arc, Mutex, PoisonError};

use serde::Serialize;
use tokio::sync::watch;
use tokio::time::Instant;

pub use generate::{Generate, GenerateError};
pub use limit::{Busiest, Limit, limit};
pub use timeline::{Timeline, Times};

use crate::cluster::{Cluster, Options, Rpc};
use crate::playbook::Playbook;
use crate::run::{
    Caller, Consent, Event, InMemoryLock, RecoverError, Recovered, Recovery, Scope, Stop, Unread, Widths, WorkSession,
};
use crate::sandbox::fault::Fault;
use crate::sandbox::scenario::Likeness;
use crate::sandbox::world::RowCount;
use crate::sandbox::{InProcess, World, in_virtual_time};

/// One playbook's run, to be rehearsed.
pub struct Rehearsal<'a> {
    /// What on.
    pub likeness: &'a Likeness,
    /// With which steps.
    pub playbook: &'a Playbook,
    /// What goes wrong meanwhile.
    pub faults: &'a [Fault],
    /// Decides what is left to chance.
    pub seed: u64,
}

/// What came of a rehearsal.
#[derive(Debug)]
pub struct Rehearsed {
    /// The run's own result.
    pub recovered: Recovered,
    /// When what had been reached.
    pub timeline: Timeline,
    /// What the tablets alone would have needed, and the nameserver's lanes where the playbook uses them.
    pub limit: Limit,
    /// The run over that.
    pub ratio_to_limit: Ratio,
    /// What became of the rows.
    pub rows: RowCount,
}

/// A run, and the world it left.
#[derive(Debug)]
pub struct Played {
    /// The world.
    pub world: World,
    /// The run's own result.
    pub recovered: Recovered,
    /// When what had been reached.
    pub timeline: Timeline,
}

/// A run's times over the limit's: 1 is as fast as can be. None where nothing came that far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ratio {
    /// Until every partition that could serve did, over what loading leaders alone takes.
    pub serving: Option<f64>,
    /// Until every partition that could be was redundant, over what loading everything takes.
    pub redundant: Option<f64>,
}

/// How far a rehearsal has come, for whoever waits for it. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Heard(Arc<Mutex<Timeline>>);

impl Heard {
    /// What was reached by now.
    pub fn so_far(&self) -> Timeline {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// Why a rehearsal came to nothing.
#[derive(Debug, thiserror::Error)]
pub enum RehearseError {
    /// No runtime for it.
    #[error("the rehearsal cannot be run: {0}")]
    Runtime(#[from] io::Error),
    /// The run did nothing.
    #[error(transparent)]
    Recover(Box<RecoverError>),
}

impl From<RecoverError> for RehearseError {
    fn from(error: RecoverError) -> Self {
        Self::Recover(Box::new(error))
    }
}

impl Rehearsal<'_> {
    /// Runs it, on a copy of the likeness. Blocks: not to be called from asynchronous code.
    ///
    /// # Errors
    /// See [`RehearseError`].
    pub fn run(&self) -> Result<Rehearsed, RehearseError> {
        self.run_heard(&Heard::default())
    }

    /// The same; how far it has come can be seen meanwhile.
    ///
    /// # Errors
    /// See [`RehearseError`].
    pub fn run_heard(&self, heard: &Heard) -> Result<Rehearsed, RehearseError> {
        let played = self.play_heard(self.world(), heard, |calls| Arc::new(calls))?;
        let Played { mut world, recovered, timeline } = played;
        let limit = limit(self.likeness, self.playbook);
        let over = |took: Option<u64>, limit_ms: u64| took.map(|took| took as f64 / limit_ms.max(1) as f64);
        let ratio_to_limit = Ratio {
            serving: over(timeline.serving.all_ms, limit.serving_ms),
            redundant: over(timeline.redundant.all_ms, limit.redundant_ms),
        };
        Ok(Rehearsed { recovered, timeline, limit, ratio_to_limit, rows: world.settle() })
    }

    /// A world for it.
    pub fn world(&self) -> World {
        let mut world = self.likeness.world.clone();
        world.set_faults(self.faults.to_vec(), self.seed);
        world
    }

    /// The run alone, in that world; its calls go through what `through` makes of them.
    ///
    /// # Errors
    /// See [`RehearseError`].
    pub fn play(&self, world: World, through: impl FnOnce(InProcess) -> Arc<dyn Rpc>) -> Result<Played, RehearseError> {
        self.play_heard(world, &Heard::default(), through)
    }

    fn play_heard(
        &self,
        world: World,
        heard: &Heard,
        through: impl FnOnce(InProcess) -> Arc<dyn Rpc>,
    ) -> Result<Played, RehearseError> {
        let (world, recovered) = in_virtual_time(world, async |live| {
            let began = Instant::now();
            let hears = heard.clone();
            let listener = Arc::new(move |event: &Event| {
                hears.0.lock().unwrap_or_else(PoisonError::into_inner).note(event, began.elapsed());
            });
            let (_stop, stopped) = watch::channel(Stop::No);
            let recovery = self.recovery(live.now(), stopped, listener);
            let cluster = Cluster::new(through(InProcess::new(live.clone())), Options::default());
            let prepared = recovery.look(&cluster).await?;
            recovery.run(&cluster, prepared).await
        })?;
        Ok(Played { world, recovered: recovered?, timeline: heard.so_far() })
    }

    fn recovery(&self, now_ms: u64, stop: watch::Receiver<Stop>, listener: crate::run::Listener) -> Recovery {
        let session = WorkSession {
            cluster_name: "rehearsal".to_owned(),
            archive: Arc::new(Unread),
            caller: Caller::default(),
            lock: Arc::new(InMemoryLock::keeping_notes()),
            pace: 1.0,
            listener,
            stop,
            record: Arc::default(),
            now_ms,
        };
        Recovery {
            session,
            scope: Scope::All,
            playbook: self.playbook.clone(),
            playbook_text: String::new(),
            only_plans: false,
            consent: Consent::default(),
            widths: Widths::default(),
        }
    }
}
