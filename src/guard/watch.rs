//! Looking, deciding, and running the recovery: what a guard does in a tick.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{SetOnce, watch};

use crate::cluster::Cluster;
use crate::model::{Endpoint, Verb, counted_that};
use crate::operate::{StateDir, StateDirError};
use crate::playbook::Playbook;
use crate::run::{
    Abandoned, Archive, Caller, ClusterNames, Consent, LeftBefore, Listener, Lock, LockError, Pause, Prepared, Record,
    RecoverError, Recovered, Recovery, Runs, Scope, Status, Stop, Widths, WorkSession, known_runs_again,
};
use crate::snapshot;

use super::attempts::Attempt;
use super::decision::{Decision, decide};
use super::limits::Limits;
use super::memory::Memory;
use super::post::Post;
use super::pulse::Pulse;
use super::question::Question;
use super::seen::{Seen, Shape, Undertakings};

/// While nothing is wrong, and nothing happens, everything is looked at this often.
const QUIET: Duration = Duration::from_secs(60);
/// Something that is wrong is looked at in every tick for so long; if nothing moves, as often as in quiet times from then on.
const CLOSELY: Duration = Duration::from_secs(10 * 60);

/// A guard of one cluster.
pub struct Watch {
    /// What records and errors call the cluster.
    pub cluster_name: String,
    /// Which partitions it recovers.
    pub scope: Scope,
    /// The steps.
    pub playbook: Playbook,
    /// Their text.
    pub playbook_text: String,
    /// How patient it is.
    pub limits: Limits,
    /// Where records are kept.
    pub archive: Arc<dyn Archive>,
    /// Where undertakings keep their files; none where there are none.
    pub state_dir: Option<StateDir>,
    /// What keeps runs apart.
    pub lock: Arc<dyn Lock>,
    /// What guards share.
    pub post: Arc<dyn Post>,
    /// Who runs the recoveries.
    pub caller: Caller,
    /// How much faster than ours the cluster's clock runs.
    pub pace: f64,
    /// Hears what a run tells.
    pub listener: Listener,
    /// What it remembers.
    pub memory: Memory,
    last: Option<Last>,
    left: LeftBefore,
}

/// The last look.
struct Last {
    at_ms: u64,
    pulse: Option<Pulse>,
    paused: Option<Pause>,
    seen: Seen,
    decision: Decision,
}

/// A moment, on two clocks.
#[derive(Debug, Clone, Copy)]
pub struct Now {
    /// On one that nobody sets.
    pub steady_ms: u64,
    /// In milliseconds since 1970.
    pub wall_ms: u64,
}

/// What would be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Would {
    /// Partitions that would be worked on.
    pub partitions: usize,
    /// Those that would be left alone, with what somebody has to decide.
    pub blocked: usize,
    /// Whether there is anything to do.
    pub something: bool,
}

/// What was done.
#[derive(Debug)]
pub enum Acted {
    /// Nothing: nobody but a person can.
    Nothing,
    /// Nothing: another run was faster.
    Overtaken(String),
    /// A recovery was run.
    Recovered(Box<Recovered>),
}

impl Watch {
    /// One that has seen nothing yet.
    #[allow(clippy::too_many_arguments)]
    pub fn new(
        (cluster_name, caller): (String, Caller),
        (playbook, playbook_text): (Playbook, String),
        scope: Scope,
        limits: Limits,
        (archive, state_dir): (Arc<dyn Archive>, Option<StateDir>),
        (lock, post): (Arc<dyn Lock>, Arc<dyn Post>),
        (pace, listener): (f64, Listener),
    ) -> Self {
        Self {
            cluster_name,
            scope,
            playbook,
            playbook_text,
            limits,
            archive,
            state_dir,
            lock,
            post,
            caller,
            pace,
            listener,
            memory: Memory::default(),
            last: None,
            left: LeftBefore::default(),
        }
    }

    /// Looks, as closely as it has to, and decides.
    ///
    /// # Errors
    /// The cluster, ZooKeeper or the records cannot be read. What is known is kept.
    pub async fn tick(&mut self, cluster: &Cluster, now: Now) -> Result<Decision, RecoverError> {
        let paused = self.lock.pause().await?.filter(|pause| pause.lasts(now.wall_ms));
        let pulse = match &self.last {
            Some(last) if !self.is_due(last, paused.as_ref(), now) => {
                let pulse = Pulse::take(cluster).await?;
                match last.pulse.as_ref().is_some_and(|before| !pulse.differs(before)) {
                    true => return Ok(last.decision.clone()),
                    false => Some(pulse),
                }
            }
            _ => None,
        };
        let pulse = match pulse {
            Some(pulse) => pulse,
            None => Pulse::take(cluster).await?,
        };
        let began = tokio::time::Instant::now();
        let mut seen = self.look(cluster, now).await?;
        // A tablet that hangs is waited for: what is counted from now on begins now.
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or_default();
        (seen.now_ms, seen.at_ms) = (seen.now_ms.saturating_add(took), seen.at_ms.saturating_add(took));
        let had_tried = !self.memory.attempts.is_empty();
        self.memory.notes(&seen, &self.limits);
        let lasts = self.notes_that_the_row_lasts(&seen);
        if lasts || had_tried && self.memory.attempts.is_empty() {
            self.tell().await;
        }
        let decision = decide(&seen, &self.memory, &self.limits);
        let (at_ms, pulse) = (now.steady_ms, Some(pulse));
        self.last = Some(Last { at_ms, pulse, paused, seen, decision: decision.clone() });
        Ok(decision)
    }

    /// Whoever takes over knows by it that nobody has seen the row end. Not told of each look.
    fn notes_that_the_row_lasts(&mut self, seen: &Seen) -> bool {
        let due = u64::try_from(self.limits.calm.as_millis() / 2).unwrap_or(u64::MAX);
        let Some(last) = self.memory.attempts.last_mut().filter(|_| !seen.shape.is_well()) else { return false };
        let is_due = seen.at_ms.saturating_sub(last.lasted_until_ms()) >= due;
        if is_due {
            last.ill_ms = Some(seen.at_ms);
        }
        is_due
    }

    /// Whether everything is to be looked at again, whatever has happened.
    fn is_due(&self, last: &Last, paused: Option<&Pause>, now: Now) -> bool {
        let since = Duration::from_millis(now.steady_ms.saturating_sub(last.at_ms));
        let is_close = match &last.decision {
            Decision::Well => false,
            Decision::Waits(_) | Decision::Acts(_) => true,
            Decision::HoldsBack(_) | Decision::Asks(_) => self.memory.still(now.steady_ms) < CLOSELY,
        };
        is_close || since >= QUIET || paused != last.paused.as_ref()
    }

    /// Everything at a glance: four calls to the nameserver and one to each tablet, however many partitions there are. Records are
    /// read only where something is wrong.
    async fn look(&mut self, cluster: &Cluster, now: Now) -> Result<Seen, RecoverError> {
        let snapshot = snapshot::collect_state(cluster, &self.cluster_name, now.wall_ms).await?;
        // A scope that names nothing would look well whatever happens.
        self.scope.check(&snapshot)?;
        if snapshot.auto_failover && Shape::of(&snapshot, &Status::at_a_glance(&snapshot, &self.scope)).is_well() {
            let paused = self.lock.pause().await?.filter(|pause| pause.lasts(now.wall_ms));
            let at_work = self.lock.holder().await?.map(|holder| holder.text());
            let runs = Runs { paused, at_work, ..Runs::default() };
            return Ok(Seen::of(&snapshot, &self.scope, now.steady_ms, runs, Undertakings::default()));
        }
        let names = ClusterNames::seen(&self.cluster_name, &snapshot, &self.caller.host);
        let known = known_runs_again(&*self.lock, &*self.archive, &names, &snapshot, &mut self.left).await?;
        let (undertaking, undertakings) = match self.state_dir.as_ref().map(undertakings) {
            None => (None, Undertakings::default()),
            Some(Ok((unfinished, upgrades))) => (unfinished, Undertakings { upgrades, unknown: None }),
            Some(Err(error)) => (None, Undertakings { upgrades: Vec::new(), unknown: Some(error.to_string()) }),
        };
        Ok(Seen::of(&snapshot, &self.scope, now.steady_ms, Runs { undertaking, ..known }, undertakings))
    }

    /// What was seen last.
    pub fn seen(&self) -> Option<&Seen> {
        self.last.as_ref().map(|last| &last.seen)
    }

    /// Learns what guards have tried: from whoever acted before.
    ///
    /// # Errors
    /// ZooKeeper cannot be read.
    pub async fn takes_over(&mut self, now: Now) -> Result<(), RecoverError> {
        let attempts = self.post.attempts().await.map_err(LockError::from)?;
        // Of a row of which nobody has seen for long that it lasts, nobody was there to see the end.
        let since = |last: &Attempt| Duration::from_millis(now.wall_ms.saturating_sub(last.lasted_until_ms()));
        let is_over = attempts.last().is_none_or(|last| since(last) > self.limits.calm + self.limits.again_at_most);
        self.memory.attempts = if is_over { Vec::new() } else { attempts };
        Ok(())
    }

    /// What would be done now, by a plan as a dry run makes it. Where nothing would be, that is remembered.
    ///
    /// # Errors
    /// The cluster cannot be looked at.
    pub async fn plan(&mut self, cluster: &Cluster, now: Now) -> Result<Would, RecoverError> {
        let recovery = self.recovery(now, watch::channel(Stop::No).1, Arc::default(), true);
        let prepared = recovery.look(cluster).await?;
        Ok(self.would(&prepared))
    }

    fn would(&mut self, prepared: &Prepared) -> Would {
        let planned = &prepared.plan.partitions;
        let would = Would {
            partitions: planned.iter().filter(|planned| planned.blocked.is_none()).count(),
            blocked: planned.iter().filter(|planned| planned.blocked.is_some()).count(),
            something: prepared.would_do_something(),
        };
        if !would.something
            && let Some(shape) = self.memory.shape().cloned()
        {
            self.memory.is_stuck(shape, left_alone(prepared));
        }
        would
    }

    /// Runs the recovery, as somebody who types it does, if it has something to do: then `begins` is told. Nothing is accepted, and
    /// nobody given up.
    ///
    /// # Errors
    /// Why nothing was done to any partition.
    pub async fn act(
        &mut self,
        cluster: &Cluster,
        now: Now,
        stop: watch::Receiver<Stop>,
        record: Arc<SetOnce<Record>>,
        begins: impl FnOnce(),
    ) -> Result<Acted, RecoverError> {
        let recovery = self.recovery(now, stop.clone(), record, false);
        let looked = crate::run::stopping::unless_stopped(&stop, recovery.look(cluster)).await;
        let prepared = looked.map_err(|stop| RecoverError::Stopped { stop })??;
        if !self.would(&prepared).something {
            return Ok(Acted::Nothing);
        }
        begins();
        self.memory.attempts.push(Attempt { began_ms: now.wall_ms, ended_ms: None, verdict: None, ill_ms: None });
        // Should this be the end of this process, whoever takes over counts on.
        if let Err(error) = self.post.tell_attempts(&self.memory.attempts).await {
            self.memory.attempts.pop();
            return Err(LockError::from(error).into());
        }
        let began = tokio::time::Instant::now();
        let ended = recovery.run(cluster, prepared).await;
        if let Err(RecoverError::Lock(LockError::HeldBy { holder })) = &ended {
            self.memory.attempts.pop();
            self.tell().await;
            return Ok(Acted::Overtaken(holder.text()));
        }
        let took = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        if let Some(attempt) = self.memory.attempts.last_mut() {
            attempt.ended_ms = Some(now.wall_ms.saturating_add(took));
            let verdict = ended.as_ref().map_or("failed", |recovered| recovered.summary.verdict.word());
            attempt.verdict = Some(verdict.to_owned());
        }
        self.tell().await;
        // Whatever it was is looked at anew.
        self.memory.has_tried(*stop.borrow() == Stop::No);
        self.last = None;
        ended.map(|recovered| Acted::Recovered(Box::new(recovered)))
    }

    /// What is not told now is told with the next attempt.
    async fn tell(&self) {
        if let Err(error) = self.post.tell_attempts(&self.memory.attempts).await {
            tracing::warn!(%error, "other guards are not told what was tried");
        }
    }

    fn recovery(
        &self,
        now: Now,
        stop: watch::Receiver<Stop>,
        record: Arc<SetOnce<Record>>,
        only_plans: bool,
    ) -> Recovery {
        let session = WorkSession {
            cluster_name: self.cluster_name.clone(),
            archive: self.archive.clone(),
            caller: self.caller.clone(),
            lock: self.lock.clone(),
            pace: self.pace,
            listener: self.listener.clone(),
            stop,
            record,
            now_ms: now.wall_ms,
        };
        Recovery {
            session,
            scope: self.scope.clone(),
            playbook: self.playbook.clone(),
            playbook_text: self.playbook_text.clone(),
            consent: Consent::default(),
            only_plans,
            widths: Widths::default(),
        }
    }
}

/// What this host's files say of undertakings.
fn undertakings(state_dir: &StateDir) -> Result<(Option<Abandoned>, Vec<Endpoint>), StateDirError> {
    let unfinished = state_dir.unfinished()?;
    let abandoned = unfinished.map(|unfinished| Abandoned { typed: unfinished.of.to_string(), run: unfinished.run });
    Ok((abandoned, state_dir.open_upgrades()?))
}

/// What somebody has to decide about partitions that a plan leaves alone; none if there are none.
fn left_alone(prepared: &Prepared) -> Option<Question> {
    let blocked: Vec<_> =
        prepared.plan.partitions.iter().filter_map(|planned| Some((planned, planned.blocked.as_ref()?))).collect();
    let (first, why) = blocked.first()?;
    let (name, why_text) = (format!("{}/{}", first.table, first.partition.pid), &why.text);
    let seen = match blocked.len() {
        1 => format!("{name} is blocked: {why_text}"),
        all => format!("{} blocked; {name}: {why_text}", counted_that(all, "partition", Verb::Be)),
    };
    Some(Question {
        seen,
        next: vec![
            "openmldb-ops recover --all --dry-run # every reason, and what would be lost".to_owned(),
            why.hint.clone(),
        ],
    })
}
