//! Carries an undertaking out: looks, arranges, writes the goals down, switches auto_failover off, takes every
//! partition to its goal one step at a time, restores auto_failover, and looks again: what is said at the end comes
//! from that look.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::cluster::{CallError, Cluster};
use crate::model::{PartitionId, Pid, Snapshot, TableName};
use crate::run::stopping::{LOOKS, within_budget};
use crate::run::{
    HeldFor, LockError, NotDone, RecoverError, Room, RunId, Scope, SessionStart, Sizes, Stop, WorkSession, why_held,
};
use crate::snapshot::{About, collect_about, collect_evidence, collect_within};

use super::arrange::{Closed, Next, UpgradeNote, arrange, dry_run, next};
use super::goal::{Arrangement, Goal};
use super::known::Known;
use super::longer::compare_longer_successors;
use super::partition_context::{PartitionContext, Refusal};
use super::perform::of_a_cluster;
use super::reconciler::{Reconciler, StepListener, StoodDowns};
use super::replaced::{Lost, consent};
use super::state_dir::{StateDir, StateDirError};
use super::undertaking::Undertaking;

/// How long a tablet may take to say all that it holds, at the first look and the last: one that hangs holds up nothing else.
const ANSWERS: Duration = Duration::from_secs(10);

/// What an undertaking needs beside the cluster.
pub struct Job {
    /// The undertaking.
    pub undertaking: Undertaking,
    /// What tablets have room for, as far as somebody said so.
    pub room: Room,
    /// Within which it is done.
    pub session: WorkSession,
    /// Where its files are.
    pub state_dir: StateDir,
    /// How long one step may take.
    pub step_timeout: Duration,
    /// How long a partition may be without a leader before its old one leads again.
    pub leaderless_limit: Duration,
    /// Hears of each step.
    pub told: StepListener,
}

/// Everything known before anything is done.
#[derive(Debug)]
pub struct JobPlan {
    /// The cluster as it was found.
    pub seen: Snapshot,
    /// What is to be done.
    pub arrangement: Arrangement,
    /// What would be lost with a tablet that is replaced.
    pub lost: Vec<Lost>,
    /// What replicas take.
    pub sizes: Sizes,
    found: SessionStart,
    noted: Option<UpgradeNote>,
    closed: Closed,
}

/// What came of an undertaking.
#[derive(Debug)]
pub struct JobReport {
    /// The cluster at the end.
    pub seen: Snapshot,
    /// What was to be done.
    pub arrangement: Arrangement,
    /// What replicas take.
    pub sizes: Sizes,
    /// The goals that were not reached, and why.
    pub left: Vec<(Goal, Refusal)>,
    /// Why it stopped early, if it did.
    pub stopped: Option<Stop>,
    /// auto_failover before.
    pub auto_failover: bool,
    /// auto_failover could not be restored: what was seen last.
    pub not_restored: Option<String>,
    /// auto_failover was found on, although it has to be kept off for these; now it is off.
    pub held_for: Vec<HeldFor>,
    /// It panicked, which is a bug: its message.
    pub panicked: Option<String>,
    /// The record could be written no more: why.
    pub unrecorded: Option<String>,
    /// What is written down for later, and where.
    pub kept: Option<String>,
}

/// Why an undertaking was not begun, or its end was not seen.
#[derive(Debug, thiserror::Error)]
pub enum JobError {
    /// A call failed.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Another run is at work, or nobody knows.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// Something is in the way.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A file cannot be used.
    #[error(transparent)]
    Kept(#[from] StateDirError),
    /// The frame around it failed.
    #[error(transparent)]
    Run(Box<RecoverError>),
}

impl From<RecoverError> for JobError {
    fn from(error: RecoverError) -> Self {
        Self::Run(Box::new(error))
    }
}

impl JobPlan {
    /// Whether everything is as it is to be, and nothing is owed.
    pub fn has_nothing_to_do(&self) -> bool {
        self.arrangement.goals.is_empty() && !self.found.is_owed(self.seen.auto_failover)
    }
}

impl Job {
    /// Looks, and says what is to be done. Changes nothing.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn look(&self, cluster: &Cluster) -> Result<JobPlan, JobError> {
        let WorkSession { cluster_name, now_ms, .. } = &self.session;
        let about = |seen: &Snapshot| self.undertaking.concerns(seen);
        let looked = collect_about(cluster, cluster_name, *now_ms, ANSWERS, about).await?;
        let mut seen = of_a_cluster(looked)?;
        let mut found = self.session.start(&seen).await?;
        // Whether auto_failover may be restored rests on what those are that it is kept off for.
        if !found.held.is_empty() {
            seen = of_a_cluster(collect_within(cluster, cluster_name, *now_ms, ANSWERS).await?)?;
            found = self.session.start(&seen).await?;
        }
        let noted = match &self.undertaking {
            Undertaking::UpgradePre { endpoint, .. } | Undertaking::UpgradePost { endpoint, .. } => {
                self.state_dir.upgrade_note(endpoint)?
            }
            Undertaking::ScaleOut { .. }
            | Undertaking::ScaleIn { .. }
            | Undertaking::Repair
            | Undertaking::Replace { .. }
            | Undertaking::Handover { .. }
            | Undertaking::LeadBeside { .. } => None,
        };
        let closed = self.state_dir.closed()?.beside(&self.undertaking);
        let sizes = Sizes::of(&cluster.polled().await?).within(self.room);
        let mut arrangement = arrange(&self.undertaking, &seen, noted.as_ref(), &closed, &sizes)?;
        self.go_on(&mut arrangement, &seen)?;
        let lost = consent(&self.undertaking, &mut arrangement, &seen, &found)?;
        let is_asked_for = !matches!(self.undertaking, Undertaking::LeadBeside { .. });
        compare_longer_successors(cluster, &seen, &mut arrangement, is_asked_for).await?;
        let strays: Vec<PartitionId> = arrangement.goals.iter().filter_map(|goal| with_stray(&seen, goal)).collect();
        collect_evidence(cluster, &mut seen, &strays).await;
        if !found.held.is_empty() && found.auto_failover {
            let text = format!("auto_failover is kept off: {}", why_held(&found.held));
            arrangement.remarks.push(text);
        }
        if found.leaves_partitions() {
            arrangement.remarks.push("a recovery did not finish: `openmldb-ops recover --all` continues it".to_owned());
        }
        Ok(JobPlan { seen, arrangement, lost, sizes, found, noted, closed })
    }

    /// The goals of the same undertaking that did not come to its end are its goals still.
    fn go_on(&self, arrangement: &mut Arrangement, seen: &Snapshot) -> Result<(), JobError> {
        let Some(unfinished) = self.state_dir.unfinished()? else { return Ok(()) };
        if unfinished.of != self.undertaking.itself() {
            let name = unfinished.of.name();
            arrangement.remarks.push(format!("an unfinished `{name}` is abandoned, with its goals"));
            return Ok(());
        }
        let mut goals = Vec::new();
        for goal in unfinished.goals {
            let is_there = seen.partition(&goal.table, goal.pid).is_some();
            let can_be = goal.replicas.iter().chain(&goal.leader).all(|at| seen.hears_from(at));
            if is_there && can_be && next(seen, &goal) != Next::Done {
                goals.push(goal);
            }
        }
        if !goals.is_empty() {
            arrangement
                .remarks
                .push(format!("an earlier `{}` did not finish; this continues it", self.undertaking.name()));
        }
        match self.undertaking {
            // What it comes to was thought out as a whole.
            Undertaking::ScaleOut { .. } if !goals.is_empty() => arrangement.goals = goals,
            _ => {
                let is_new = |goal: &Goal| !goals.iter().any(|old| old.table == goal.table && old.pid == goal.pid);
                let new: Vec<Goal> = arrangement.goals.iter().filter(|goal| is_new(goal)).cloned().collect();
                goals.extend(new);
                arrangement.goals = goals;
            }
        }
        Ok(())
    }

    /// Does it.
    ///
    /// # Errors
    /// See [`JobError`].
    pub async fn perform(&self, cluster: &Cluster) -> Result<JobReport, JobError> {
        let stopped = |stop| JobError::from(RecoverError::Stopped { stop });
        self.session.locked(Some(cluster), stopped, Box::pin(self.perform_locked(cluster))).await
    }

    async fn perform_locked(&self, cluster: &Cluster) -> Result<JobReport, JobError> {
        let WorkSession { cluster_name, pace, stop, now_ms, .. } = &self.session;
        let drawn = self.session.unless_stopped(self.look(cluster)).await??;
        let auto_failover = drawn.found.auto_failover;
        if drawn.has_nothing_to_do() {
            let JobPlan { seen, arrangement, sizes, noted, .. } = drawn;
            self.archive_files(true)?;
            // There is nothing to give back either, and `upgrade post` is told so.
            let kept = match &self.undertaking {
                Undertaking::UpgradePre { endpoint, .. } if noted.is_none() => {
                    let note = UpgradeNote::with(None, cluster_name, endpoint, &[], &seen);
                    Some(self.state_dir.note_upgrade(&note)?)
                }
                _ => None,
            };
            return Ok(JobReport {
                seen,
                left: arrangement.beyond.clone(),
                arrangement,
                sizes,
                stopped: None,
                auto_failover,
                not_restored: None,
                held_for: Vec::new(),
                panicked: None,
                unrecorded: None,
                kept,
            });
        }
        let run = RunId { began_ms: *now_ms, number: 0 };
        self.state_dir.begin(run, &self.undertaking.itself(), &drawn.arrangement.goals)?;
        let kept = self.note_upgrade(&drawn)?;
        let reconciler = Reconciler {
            cluster: cluster.clone(),
            cluster_name: cluster_name.clone(),
            goals: drawn.arrangement.goals.clone(),
            known: Known::before(drawn.found.old_terms().cloned()),
            steps: steps_of(&drawn.arrangement, &drawn.seen),
            stood_down: StoodDowns::read(&self.state_dir)?,
            pace: *pace,
            step_timeout: self.step_timeout,
            leaderless_limit: self.leaderless_limit,
            barred: drawn.closed.tablets(),
            told: self.told.clone(),
            stop: stop.clone(),
            now_ms: *now_ms,
        };
        let JobPlan { seen, arrangement, sizes, found, .. } = drawn;
        let found_on = seen.auto_failover;
        let (name, work) = (self.undertaking.name(), move |handle| reconciler.work(handle));
        let worked = self.session.reconfigure((cluster, &seen), name, found, work).await?;
        let (mut arrangement, told) = (arrangement, *stop.borrow());
        let (given_up, mut stopped, panicked) = match worked.done {
            Ok(done) => (done.given_up, done.stopped, None),
            Err(NotDone::Panicked(panic)) => (BTreeMap::new(), None, Some(panic)),
            Err(NotDone::OutOfTime) => {
                arrangement.remarks.push(
                    "it was stopped before steps in progress could finish: a partition may have no leader; run this \
                     again, and check `openmldb-ops status`"
                        .to_owned(),
                );
                (BTreeMap::new(), Some(told), None)
            }
        };
        let (not_restored, mut held_for) = (worked.not_restored, worked.held_for);
        if let Undertaking::Replace { endpoint, .. } = &self.undertaking
            && !held_for.is_empty()
            && held_for.iter().all(|held| held.endpoint == *endpoint)
        {
            arrangement.remarks.push(format!(
                "auto_failover was kept off for {endpoint} alone: once metadata have forgotten it, `openmldb-ops \
                 failover restore` restores it"
            ));
        }
        held_for.retain(|_| found_on);
        let about = |seen: &Snapshot| Some(partitions_of(&arrangement.goals, seen));
        let looking = collect_about(cluster, cluster_name, *now_ms, ANSWERS, about);
        let seen = match within_budget(cluster, LOOKS, looking).await {
            Some(Ok(seen)) => seen,
            Some(Err(error)) if told == Stop::No => {
                return Err(RecoverError::NotSeenAgain { error, not_restored, held_for: held_for.into() }.into());
            }
            unseen => {
                let why = unseen.and_then(Result::err).map_or("no time is left".to_owned(), |error| error.to_string());
                arrangement.remarks.push(format!("the result could not be checked: {why}"));
                stopped = stopped.or(Some(told));
                seen
            }
        };
        let mut left = what_is_left(&arrangement.goals, &given_up, &seen);
        self.archive_files(left.is_empty())?;
        for (goal, refusal) in &arrangement.beyond {
            if !left.iter().any(|(other, _)| other.name() == goal.name()) {
                left.push((goal.clone(), refusal.clone()));
            }
        }
        Ok(JobReport {
            seen,
            arrangement,
            sizes,
            left,
            stopped,
            auto_failover,
            not_restored,
            held_for,
            panicked,
            unrecorded: worked.unrecorded,
            kept,
        })
    }

    /// What the tablet leads now is on disk before it is changed.
    fn note_upgrade(&self, drawn: &JobPlan) -> Result<Option<String>, JobError> {
        let Undertaking::UpgradePre { endpoint, .. } = &self.undertaking else { return Ok(None) };
        let (earlier, goals) = (drawn.noted.clone(), &drawn.arrangement.goals);
        let note = UpgradeNote::with(earlier, &self.session.cluster_name, endpoint, goals, &drawn.seen);
        Ok(Some(self.state_dir.note_upgrade(&note)?))
    }

    /// Removes what is of no use any more.
    fn archive_files(&self, is_done: bool) -> Result<(), StateDirError> {
        if !is_done {
            return Ok(());
        }
        self.state_dir.end()?;
        match &self.undertaking {
            Undertaking::UpgradePost { endpoint, .. } => self.state_dir.upgrade_is_over(endpoint),
            Undertaking::UpgradePre { .. }
            | Undertaking::ScaleOut { .. }
            | Undertaking::ScaleIn { .. }
            | Undertaking::Repair
            | Undertaking::Replace { .. }
            | Undertaking::Handover { .. }
            | Undertaking::LeadBeside { .. } => Ok(()),
        }
    }
}

/// The partitions of goals.
fn partitions_of(goals: &[Goal], seen: &Snapshot) -> About {
    goals.iter().filter_map(|goal| PartitionContext::find(seen, &goal.table, goal.pid).ok()).map(|it| it.id()).collect()
}

/// The partition of a goal, if a tablet where it is to have a replica holds what no metadata names.
fn with_stray(seen: &Snapshot, goal: &Goal) -> Option<PartitionId> {
    let place = PartitionContext::find(seen, &goal.table, goal.pid).ok()?;
    goal.replicas.iter().any(|at| place.stray(at).is_some()).then(|| place.id())
}

/// How many steps each goal takes, by its name.
fn steps_of(arrangement: &Arrangement, seen: &Snapshot) -> BTreeMap<String, usize> {
    dry_run(arrangement, seen).0.into_iter().map(|walk| (walk.goal.name(), walk.steps.len().max(1))).collect()
}

/// The goals that are not reached, as the last look has it: the partition arranged as it is to be, and healthy.
fn what_is_left(goals: &[Goal], given_up: &BTreeMap<String, Refusal>, seen: &Snapshot) -> Vec<(Goal, Refusal)> {
    let status = crate::run::Status::of(seen, &Scope::All);
    let found: BTreeMap<(&TableName, Pid), _> =
        status.partitions.iter().map(|found| ((&found.table, found.pid), found)).collect();
    let mut left = Vec::new();
    for goal in goals {
        let hint = format!("check `openmldb-ops status --partition {}`, then run this again", goal.name());
        let refusal = match next(seen, goal) {
            Next::Done => {
                let found = found.get(&(&goal.table, goal.pid));
                // How many replicas there are to be is the goal's to say.
                let problem = found.and_then(|found| found.problems.iter().find(|problem| !problem.is_count()));
                problem.map(|problem| Refusal::unsafe_now(format!("{} {}", problem.endpoint, problem.text), hint))
            }
            Next::Wait(text) | Next::Silence(text) => {
                Some(given_up.get(&goal.name()).cloned().unwrap_or_else(|| Refusal::unsafe_now(text, hint)))
            }
            Next::Blocked(refusal) => Some(given_up.get(&goal.name()).cloned().unwrap_or(refusal)),
            Next::Take(_) => Some(
                given_up
                    .get(&goal.name())
                    .cloned()
                    .unwrap_or_else(|| Refusal::unsafe_now("not started".to_owned(), hint)),
            ),
        };
        left.extend(refusal.map(|refusal| (goal.clone(), refusal)));
    }
    left
}
