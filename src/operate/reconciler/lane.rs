//! A partition on its way to its goal: looks at its own servers, asks what is next, does it, and waits until it shows.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;

use crate::cluster::{CallError, Hold};
use crate::model::{Action, Endpoint, Role, Snapshot};
use crate::run::{AUTO_FAILOVER_IS_ON, Looked, NameserverSilence, Pauses, Said, Stop, Waiter, some_of, until};
use crate::snapshot::{OnePartition, look_at_partition};

use super::super::arrange::{Next, next};
use super::super::call::{SentStep, noted, unless_not_done, write_down};
use super::super::goal::Goal;
use super::super::known::Known;
use super::super::partition_context::{PartitionContext, Refusal};
use super::super::plan::plan_knowing;
use super::super::{EffectStatus, Step};
use super::ready::{Ready, ready};
use super::vacancy::{End, Vacancy, Why};
use super::{Shared, StepEvent, StepOutcome};

/// Tries of one partition: about one operation in twenty fails for no reason
/// (docs/openmldb/operations.md#operations-fail-for-no-reason).
const TRIES: u32 = 4;
/// How often a leader is told to follow too early before it is left to lead.
const STAND_DOWNS: u32 = 20;
/// After a leader leads again, times the tries so far: clients write in bursts.
const RETRY_PAUSE: Duration = Duration::from_millis(100);
/// After a leader leads again because no other was elected in time: what was slow may still be.
const RECOVERS: Duration = Duration::from_secs(5);
/// Between two looks: half of what the nameserver's own polls take, ...
const POLL: Duration = Duration::from_secs(1);
/// ... or more: where another tablet hangs, the nameserver ends no operation for as long as it does.
const PAUSES: Pauses = Pauses { first: POLL, most: POLL, still: Duration::from_secs(10) };
/// How long a server may take to answer at a look while the partition has a leader.
const ANSWERS: Duration = Duration::from_secs(5);
/// Looks, one after another, at which somebody does not answer.
const SILENCES: u32 = 30;
/// While an operation of the nameserver is waited for, and is as it was, nothing else is asked for so long.
const ASKED_AGAIN: Duration = Duration::from_secs(30);
/// How long what was sent is waited for once everything is to end.
const LET_GO: Duration = Duration::from_secs(6);

/// A partition under way.
pub(super) struct Lane {
    shared: Arc<Shared>,
    goal: Goal,
    under_way: Option<SentStep>,
    /// What is waited for, as the look says that is under way.
    waits_for: Option<String>,
    /// The last look, if an operation has to get on before anything can be done.
    stands_still: Option<StandsStill>,
    /// What has been compared for the next step.
    known: Known,
    /// Ours of the nameserver's lanes.
    turn: Option<OwnedSemaphorePermit>,
    failed: u32,
    silences: u32,
    stood_up: u32,
    /// Since when nothing could be done.
    idle: Instant,
    /// Before that its leader is not told to follow again.
    rests_until: Instant,
    /// An election had to wait in the nameserver.
    alone: bool,
    /// Of nameservers.
    silence: NameserverSilence,
    ending: Option<Instant>,
    said: Said,
}

/// A partition for which an operation is under way, and nothing could be done but wait.
struct StandsStill {
    at: Instant,
    seen: Snapshot,
    text: String,
}

/// How a lane ended.
pub(super) enum LaneEnd {
    /// The partition is where it is to be, or it is not for a reason.
    Ended(Option<Refusal>),
    /// Nothing more may be done anywhere.
    Stopped(Stop),
    /// No nameserver answers.
    Blind(CallError),
}

/// What becomes of a partition that is given up.
fn given_up(refusal: Refusal) -> Looked<LaneEnd> {
    Looked::Ends(LaneEnd::Ended(Some(refusal)))
}

impl Waiter for Lane {
    type End = LaneEnd;

    async fn look(&mut self) -> Looked<LaneEnd> {
        if *self.shared.session.hold.borrow() == Hold::Lost {
            return Looked::Ends(LaneEnd::Stopped(Stop::LockLost));
        }
        if self.shared.is_ending() {
            self.ending.get_or_insert_with(Instant::now);
        }
        if let Some(then) = self.stands_still().await {
            return then;
        }
        let at = Instant::now();
        match self.see().await {
            Ok(seen) => {
                self.silence.ends();
                self.waits_for = None;
                let then = self.reconcile(&seen).await;
                let is_at_work = seen.ops.iter().any(|op| op.status.is_in_flight());
                let waits_for = self.waits_for.take().filter(|_| is_at_work);
                self.stands_still = waits_for.map(|text| StandsStill { at, seen, text });
                then
            }
            Err(error) => self.is_blind(error).await,
        }
    }
}

impl Lane {
    pub(super) fn new(shared: Arc<Shared>, goal: Goal) -> Self {
        let (now, known) = (Instant::now(), shared.known.clone());
        Self {
            shared,
            goal,
            under_way: None,
            waits_for: None,
            stands_still: None,
            known,
            turn: None,
            failed: 0,
            silences: 0,
            stood_up: 0,
            idle: now,
            rests_until: now,
            alone: false,
            silence: NameserverSilence::default(),
            ending: None,
            said: Said::now(),
        }
    }

    /// Until it is at its goal or given up, or everything is to end.
    pub(super) async fn run(self) -> LaneEnd {
        let (pauses, ending) = (PAUSES.on_its_clock(self.shared.pace), self.shared.ending.subscribe());
        until(self, pauses, ending).await
    }

    /// Nothing can be done now. Told to end, it looks often.
    fn later(&self) -> Looked<LaneEnd> {
        Looked::Waits(match (&self.ending, &self.under_way) {
            (Some(_), _) => Instant::now(),
            (None, Some(under_way)) => under_way.at,
            (None, None) => self.idle,
        })
    }

    /// Waits on, if the operations of the partition are as they were when nothing could be done but wait. Only they are asked for: where
    /// another tablet hangs, the nameserver ends none for as long as it does. Nothing is decided on what was seen then.
    async fn stands_still(&mut self) -> Option<Looked<LaneEnd>> {
        let StandsStill { at, seen, text } = self.stands_still.take()?;
        let is_over = match &self.under_way {
            Some(under_way) => {
                let status = under_way.status(&seen, self.shared.pace, self.shared.step_timeout);
                !matches!(status, EffectStatus::Waiting(_))
            }
            None => self.idle.elapsed() >= self.shared.step_timeout,
        };
        if is_over || self.ending.is_some() || at.elapsed() >= ASKED_AGAIN.div_f64(self.shared.pace) {
            return None;
        }
        let ops = self.shared.cluster.once(ANSWERS).ops_of(&self.goal.table, self.goal.pid).await.ok()?;
        if ops != seen.ops {
            return None;
        }
        self.waits(text.clone());
        self.stands_still = Some(StandsStill { at, seen, text });
        Some(self.later())
    }

    async fn see(&self) -> Result<Snapshot, CallError> {
        let beside = self.beside();
        look_at_partition(&self.shared.cluster.once(ANSWERS), &self.one(&beside)).await
    }

    fn one<'a>(&'a self, beside: &'a [Endpoint]) -> OnePartition<'a> {
        OnePartition {
            cluster: &self.shared.cluster_name,
            table: &self.goal.table,
            pid: self.goal.pid,
            beside,
            now_ms: self.shared.now_ms,
        }
    }

    /// Tablets that are asked although metadata may name no replica there.
    fn beside(&self) -> Vec<Endpoint> {
        let mut beside = self.goal.replicas.clone();
        beside.extend(self.goal.leader.clone());
        beside
    }

    /// The nameserver did not answer: another one may lead by now.
    async fn is_blind(&mut self, error: CallError) -> Looked<LaneEnd> {
        // What is waited for is said anyway.
        let _said = self.silence.goes_on(self.shared.pace);
        if let Some(ending) = self.ending
            && ending.elapsed() >= LET_GO.div_f64(2.0)
        {
            return given_up(super::no_answer(&error));
        }
        if self.silence.is_too_long(self.shared.pace) {
            return Looked::Ends(LaneEnd::Blind(error));
        }
        self.waits(error.to_string());
        let cluster = self.shared.cluster.clone();
        let _whoever = tokio::time::timeout(ANSWERS, cluster.look_up_leader()).await;
        self.later()
    }

    async fn reconcile(&mut self, seen: &Snapshot) -> Looked<LaneEnd> {
        let silent = seen.tablets.iter().filter(|(_, tablet)| tablet.held.error().is_some()).map(|(at, _)| at.as_str());
        let silent: Vec<&str> = silent.collect();
        self.shared.tally().silent(&self.goal.name(), (!silent.is_empty()).then(|| some_of(&silent)));
        if is_leaderless(seen, &self.goal) {
            let vacancy = |told| Vacancy::new(self.shared.clone(), &self.goal, seen.clone(), told);
            let (told, heard) = mpsc::unbounded_channel();
            return match vacancy(told) {
                Ok(vacancy) => self.until_led(vacancy.found(), heard).await,
                Err(refusal) => given_up(refusal),
            };
        }
        if let Some(under_way) = self.under_way.take() {
            match under_way.status(seen, self.shared.pace, self.shared.step_timeout) {
                EffectStatus::Waiting(text) => {
                    let let_go = self.ending.is_some_and(|ending| ending.elapsed() >= LET_GO);
                    if let_go {
                        return given_up(super::still_under_way(&under_way.step, &text));
                    }
                    self.under_way = Some(under_way);
                    self.waits(text);
                    return self.later();
                }
                EffectStatus::Reached(text) => self.reached(&under_way.step, text, seen),
                EffectStatus::Missed { text, hint } => {
                    self.tell(&under_way.step, None, StepOutcome::Missed(text.clone()));
                    self.turn = None;
                    if let then @ Looked::Ends(_) = self.fail(Refusal::unsafe_now(text, hint)) {
                        return then;
                    }
                }
            }
        }
        if self.ending.is_some() {
            return Looked::Ends(LaneEnd::Ended(None));
        }
        if self.stood_up >= STAND_DOWNS {
            return given_up(super::never_a_pause(STAND_DOWNS));
        }
        let holds = *self.shared.session.hold.borrow() == Hold::Held;
        if seen.auto_failover && holds && self.shared.session.switches_off_again(&self.shared.cluster).await {
            return Looked::Again;
        }
        let step = match self.step(seen) {
            Ok(step) => step,
            Err(then) => return then,
        };
        // Nobody knows whether the lock is still held: what was sent is watched, and nothing more is sent.
        if *self.shared.session.hold.borrow() != Hold::Held {
            return self.later();
        }
        let rests = matches!(step, Step::StandDown { .. }) && Instant::now() < self.rests_until;
        if rests {
            tokio::time::sleep_until(self.rests_until.min(Instant::now() + POLL)).await;
            return Looked::Again;
        }
        if self.turn.is_none() && begins_an_operation(&step) {
            // What was seen is old by the time that it is ours.
            self.shared.tally().waits(&self.goal.name(), "an operation of another partition comes first");
            self.turn = self.shared.turn(&step, self.goal.pid).await;
            return Looked::Again;
        }
        match step {
            Step::StandDown { .. } => self.hand_over().await,
            step => self.take(step, seen).await,
        }
    }

    fn reached(&mut self, step: &Step, text: String, seen: &Snapshot) {
        self.idle = Instant::now();
        self.turn = None;
        self.tell(step, None, StepOutcome::Reached(text));
        if let Step::RecoverReplica { endpoint, .. } = step {
            self.shared.stood_down().is_back(seen, &self.goal, endpoint);
        }
    }

    /// Once more, unless it has failed too often.
    fn fail(&mut self, refusal: Refusal) -> Looked<LaneEnd> {
        self.failed += 1;
        if self.failed >= TRIES { given_up(refusal) } else { self.later() }
    }

    /// The next step of a partition; or what becomes of it without one.
    fn step(&mut self, seen: &Snapshot) -> Result<Step, Looked<LaneEnd>> {
        let found = next(seen, &self.goal);
        if !matches!(found, Next::Silence(_) | Next::Take(Step::StandDown { .. })) {
            self.silences = 0;
        }
        match found {
            Next::Silence(text) => Err(self.is_silent(text)),
            Next::Done => Err(Looked::Ends(LaneEnd::Ended(None))),
            Next::Blocked(refusal) => Err(given_up(refusal)),
            Next::Wait(text) => Err(self.has_to_wait(text)),
            Next::Take(Step::RecoverReplica { table, pid, endpoint, .. }) => {
                let led_until = self.shared.stood_down().led_until(seen, &self.goal, &endpoint);
                Ok(Step::RecoverReplica { table, pid, endpoint, led_until })
            }
            Next::Take(step) => Ok(step),
        }
    }

    fn is_silent(&mut self, text: String) -> Looked<LaneEnd> {
        self.silences += 1;
        if self.silences >= SILENCES {
            let hint = "start that tablet, or find out why it does not answer; then run this again";
            return given_up(Refusal::unsafe_now(text, hint));
        }
        self.turn = None;
        self.waits(text);
        // It is asked.
        self.waits_for = None;
        self.later()
    }

    fn has_to_wait(&mut self, text: String) -> Looked<LaneEnd> {
        if self.idle.elapsed() >= self.shared.step_timeout {
            let hint = "check `openmldb-ops show ops` and `openmldb-ops status`, then run this again";
            return given_up(Refusal::unsafe_now(text, hint));
        }
        self.turn = None;
        self.waits(text);
        self.later()
    }

    /// Another one leads, if everybody who is needed for that answers right now.
    async fn hand_over(&mut self) -> Looked<LaneEnd> {
        let beside = self.beside();
        let (seen, successor) = match ready(&self.shared, &self.goal, &beside, self.alone).await {
            Ready::Now(seen, successor) => (*seen, successor),
            Ready::Silent(text) => return self.is_silent(text),
            Ready::Busy(text) => return self.has_to_wait(text),
            Ready::Changed => {
                self.turn = None;
                return self.later();
            }
            Ready::Refused(refusal) => {
                self.turn = None;
                return self.fail(refusal);
            }
        };
        self.silences = 0;
        let (told, heard) = mpsc::unbounded_channel();
        match Vacancy::new(self.shared.clone(), &self.goal, seen, told) {
            Ok(vacancy) => self.until_led(vacancy.stand_down(successor), heard).await,
            Err(refusal) => given_up(refusal),
        }
    }

    /// In a task of its own: whatever becomes of this one, somebody leads in the end.
    async fn until_led(
        &mut self,
        vacancy: impl Future<Output = End> + Send + 'static,
        mut heard: mpsc::UnboundedReceiver<StepEvent>,
    ) -> Looked<LaneEnd> {
        let counted = self.shared.vacancy();
        let ended = tokio::spawn(async move {
            let end = vacancy.await;
            drop(counted);
            end
        });
        while let Some(moved) = heard.recv().await {
            self.shared.tell(&moved);
        }
        let end = match ended.await {
            Ok(end) => end,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        self.turn = None;
        self.idle = Instant::now();
        match end {
            End::NewLeader(_) => Looked::Again,
            // The loop sees why.
            End::LeadsAgain(Why::Ending) => Looked::Again,
            End::LeadsAgain(Why::Unrecorded) => Looked::Ends(LaneEnd::Stopped(Stop::Unrecorded)),
            End::LeadsAgain(Why::TooEarly) => {
                self.stood_up += 1;
                self.rests_until = Instant::now() + (RETRY_PAUSE * self.stood_up).div_f64(self.shared.pace);
                Looked::Again
            }
            End::LeadsAgain(Why::NotDone(refusal)) => {
                self.alone = true;
                self.rests_until = Instant::now() + RECOVERS.div_f64(self.shared.pace);
                self.fail(refusal)
            }
            End::Unled(refusal) => given_up(refusal),
        }
    }

    /// Sends a step, written down before it is.
    async fn take(&mut self, step: Step, seen: &Snapshot) -> Looked<LaneEnd> {
        let wanted = step.definition().compares(seen, &self.known);
        if !wanted.is_empty() {
            self.shared.tally().waits(&self.goal.name(), "its replicas are compared row by row");
            self.shared.compare(&mut self.known, wanted).await;
            // What was seen is old by then.
            return Looked::Again;
        }
        let known = std::mem::replace(&mut self.known, self.shared.known.clone());
        let planned = match plan_knowing(&step, seen, &known) {
            Ok(planned) => planned,
            // What it rests on may not have been answered at this look.
            Err(refusal) => {
                self.turn = None;
                return self.fail(refusal);
            }
        };
        let Some(call) = planned.call.clone() else {
            let text = format!("`{}` would change nothing, but the goal is not reached", step.code());
            self.turn = None;
            return self.fail(Refusal::unsafe_now(text, "see `openmldb-ops status`"));
        };
        let (record, about) = (&self.shared.session.record, self.goal.id(seen));
        known.compared().iter().for_each(|text| record.note(text));
        let Ok(number) = write_down(record, (&step, about), &call, &self.goal.why) else {
            return Looked::Ends(LaneEnd::Stopped(Stop::Unrecorded));
        };
        self.tell(&step, Some(call.clone()), StepOutcome::Sent);
        let sent = self.shared.cluster.once(ANSWERS).act(&call).await;
        if let Err(error) = unless_not_done(noted(&self.shared.session.record, number, sent)) {
            let text = error.to_string();
            self.tell(&step, None, StepOutcome::Missed(text.clone()));
            let is_gated = error.code() == Some(AUTO_FAILOVER_IS_ON);
            if is_gated && self.shared.session.switches_off_again(&self.shared.cluster).await {
                return Looked::Again;
            }
            self.turn = None;
            let hint = "check `openmldb-ops status`, then run this again";
            return self.fail(Refusal::unsafe_now(text, hint));
        }
        self.under_way = Some(SentStep::now(step, planned, seen));
        Looked::Again
    }

    fn tell(&mut self, step: &Step, call: Option<Action>, how: StepOutcome) {
        self.said = Said::now();
        let (partition, text) = (self.goal.name(), step.to_string());
        self.shared.tell(&StepEvent { partition, step: step.code(), text, call, how });
    }

    /// Says what is waited for, once that has taken long.
    fn waits(&mut self, text: String) {
        self.shared.tally().waits(&self.goal.name(), &text);
        self.waits_for = Some(text.clone());
        if self.said.is_due(self.shared.pace) {
            let step = self.under_way.as_ref().map(|under_way| &under_way.step);
            let (partition, how) = (self.goal.name(), StepOutcome::Waits(text));
            let (step, text) = (step.map_or("wait", Step::code), step.map_or(String::new(), ToString::to_string));
            self.shared.tell(&StepEvent { partition, step, text, call: None, how });
        }
    }
}

fn begins_an_operation(step: &Step) -> bool {
    matches!(
        step,
        Step::StandDown { .. }
            | Step::RecoverReplica { .. }
            | Step::AddReplica { .. }
            | Step::RemoveReplica { .. }
            | Step::MigrateReplica { .. }
    )
}

/// Whether the leader that metadata names follows on its tablet.
fn is_leaderless(seen: &Snapshot, goal: &Goal) -> bool {
    let Ok(place) = PartitionContext::find(seen, &goal.table, goal.pid) else { return false };
    let held = place.leader().and_then(|leader| place.loaded(leader));
    held.is_some_and(|held| held.role == Role::Follower)
}
