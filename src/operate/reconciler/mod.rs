//! Takes partitions to their goals, a few at a time, each in a lane of its own that looks at nothing but its partition's own
//! servers: asks what is next, writes it down, sends it, and waits until its effect is seen. So no lane waits for another one's
//! servers, and what a look costs does not depend on how big the cluster is.

mod lane;
mod ready;
mod stood_down;
mod tally;
mod vacancy;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use crate::cluster::{CallError, Cluster};
use crate::model::{Action, Endpoint, Pid};
use crate::run::{Ended, SessionHandle, Stop, ToCompare};

use super::Step;
use super::goal::Goal;
use super::known::Known;
use super::partition_context::Refusal;
use lane::{Lane, LaneEnd};

use tally::Tally;

pub(super) use stood_down::StoodDowns;

/// Partitions under way at a time: the nameserver's own lanes for such operations (docs/openmldb/operations.md#lanes).
const LANES: usize = 2;

/// Hears of each step.
pub type StepListener = Arc<dyn Fn(&StepEvent) + Send + Sync>;

/// A step of an undertaking, as it is sent or has ended.
#[derive(Debug, Clone, PartialEq)]
pub struct StepEvent {
    /// Of which partition.
    pub partition: String,
    /// The step's code.
    pub step: &'static str,
    /// The step as the handbook writes it, as far as that is known before it is planned.
    pub text: String,
    /// What is sent for it.
    pub call: Option<Action>,
    /// How it went.
    pub how: StepOutcome,
}

/// How a step of an undertaking went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepOutcome {
    /// It is sent.
    Sent,
    /// It waits, for so long already that somebody should know for what.
    Waits(String),
    /// Its effect was seen.
    Reached(String),
    /// Its effect was not seen, or it was refused.
    Missed(String),
    /// The partition is done with, as so many of all.
    Done {
        /// How many are.
        done: usize,
        /// How many there are.
        of: usize,
    },
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Reconciled {
    /// Why partitions are not where they are to be, by name.
    pub(super) given_up: BTreeMap<String, Refusal>,
    /// Why it stopped early, if it did.
    pub(super) stopped: Option<Stop>,
}

impl Ended for Reconciled {
    fn ended(&self) -> &'static str {
        match self.stopped {
            Some(Stop::Signal(_) | Stop::Deadline) => "interrupted",
            Some(Stop::Unrecorded | Stop::LockLost | Stop::NoNameserver) => "failed",
            Some(Stop::No) | None if self.given_up.is_empty() => "ended",
            Some(Stop::No) | None => "partial",
        }
    }
}

/// Who does it.
pub(super) struct Reconciler {
    pub(super) cluster: Cluster,
    pub(super) cluster_name: String,
    pub(super) goals: Vec<Goal>,
    /// What was known before any row was compared.
    pub(super) known: Known,
    /// The steps that each takes, by its name, as far as a dry run can tell.
    pub(super) steps: BTreeMap<String, usize>,
    pub(super) stood_down: StoodDowns,
    pub(super) pace: f64,
    pub(super) step_timeout: Duration,
    /// How long a partition may be without a leader.
    pub(super) leaderless_limit: Duration,
    /// Tablets that are not to lead anything more.
    pub(super) barred: BTreeSet<Endpoint>,
    pub(super) told: StepListener,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) now_ms: u64,
}

/// What all lanes share.
struct Shared {
    cluster: Cluster,
    cluster_name: String,
    known: Known,
    pace: f64,
    step_timeout: Duration,
    limit: Duration,
    barred: BTreeSet<Endpoint>,
    now_ms: u64,
    told: StepListener,
    tally: Mutex<Tally>,
    session: SessionHandle,
    stood_down: Mutex<StoodDowns>,
    /// Everything is to end.
    ending: watch::Sender<bool>,
    /// The nameserver's lanes: one step of ours at a time in each. It would queue the second, and a leader must not have stopped
    /// leading by then.
    turns: [Arc<Semaphore>; 2],
    /// Held while rows are compared: of one partition at a time, since clients are served beside it.
    comparing: tokio::sync::Mutex<()>,
    /// Partitions that are without a leader because of us.
    vacancies: watch::Sender<usize>,
}

impl Shared {
    fn is_ending(&self) -> bool {
        *self.ending.borrow()
    }

    fn stood_down(&self) -> MutexGuard<'_, StoodDowns> {
        self.stood_down.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells a step.
    fn tell(&self, event: &StepEvent) {
        self.tally().hears(event);
        (self.told)(event);
    }

    fn tell_how_far(&self) {
        let told = self.tally().told();
        self.session.tell_arranging(told);
    }

    /// One more partition is without a leader, as long as what is given is kept.
    fn vacancy(self: &Arc<Self>) -> Counted {
        self.vacancies.send_modify(|count| *count += 1);
        Counted(self.clone())
    }

    /// Compares rows, unless everything is to end before.
    async fn compare(&self, known: &mut Known, wanted: Vec<ToCompare>) {
        let mut ending = self.ending.subscribe();
        let compared = async {
            let _one_at_a_time = self.comparing.lock().await;
            // That it is waited for is told with everything else that is.
            known.compare(&self.cluster, wanted, self.pace, &|_| {}).await;
        };
        tokio::select! {
            () = compared => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
    }

    /// Waits for the nameserver's lane of a step; none once everything is to end.
    async fn turn(&self, step: &Step, pid: Pid) -> Option<OwnedSemaphorePermit> {
        // AddReplicaNS has a concurrency of 1: the first lane, whatever the partition
        // (docs/openmldb/operations.md#lanes).
        let lane = if matches!(step, Step::AddReplica { .. }) { 0 } else { (pid.0 % 2) as usize };
        let mut ending = self.ending.subscribe();
        tokio::select! {
            turn = self.turns[lane].clone().acquire_owned() => turn.ok(),
            _ = ending.wait_for(|ending| *ending) => None,
        }
    }
}

/// A partition without a leader, as long as it is kept.
struct Counted(Arc<Shared>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.vacancies.send_modify(|count| *count -= 1);
    }
}

impl Reconciler {
    /// Until every partition is at its goal or given up, or it is told to stop: then no partition is left without a leader
    /// that has one to give, even if something here panics.
    pub(super) async fn work(self, session: SessionHandle) -> Reconciled {
        let Self { mut stop, goals, .. } = self;
        let steps = |goal: &Goal| (goal.name(), self.steps.get(&goal.name()).copied().unwrap_or(1));
        let tally = Mutex::new(Tally::new(goals.iter().map(steps).collect(), self.pace));
        let every = tally::EVERY.div_f64(self.pace);
        let shared = Arc::new(Shared {
            cluster: self.cluster,
            cluster_name: self.cluster_name,
            known: self.known,
            pace: self.pace,
            step_timeout: self.step_timeout,
            limit: self.leaderless_limit,
            barred: self.barred,
            now_ms: self.now_ms,
            told: self.told,
            tally,
            session,
            stood_down: Mutex::new(self.stood_down),
            ending: watch::Sender::new(false),
            turns: std::array::from_fn(|_| Arc::new(Semaphore::new(1))),
            comparing: tokio::sync::Mutex::new(()),
            vacancies: watch::Sender::new(0),
        });
        let mut worked = Reconciled::default();
        let (mut done, of) = (0, goals.len());
        let mut waiting: VecDeque<Goal> = goals.into();
        let mut running: BTreeMap<tokio::task::Id, Goal> = BTreeMap::new();
        let mut lanes: JoinSet<LaneEnd> = JoinSet::new();
        let (mut panicked, mut deaf) = (None, false);
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            let told = *stop.borrow_and_update();
            if told != Stop::No {
                worked.stopped.get_or_insert(told);
            }
            if worked.stopped.is_some() || panicked.is_some() {
                shared.ending.send_replace(true);
                waiting.clear();
            }
            while let Some(goal) = next_goal(&mut waiting, &running) {
                shared.tally().begins(goal.name());
                let lane = Lane::new(shared.clone(), goal.clone());
                running.insert(lanes.spawn(lane.run()).id(), goal);
            }
            let ended = tokio::select! {
                ended = lanes.join_next_with_id() => ended,
                _ = ticks.tick() => {
                    shared.tell_how_far();
                    continue;
                }
                changed = stop.changed(), if !deaf => {
                    deaf = changed.is_err();
                    continue;
                }
            };
            match ended {
                None => break,
                Some(Ok((id, end))) => {
                    let Some(goal) = running.remove(&id) else { continue };
                    if matches!(end, LaneEnd::Ended(Some(_)) | LaneEnd::Blind(_)) {
                        worked.give_up_those_behind(&goal, &mut waiting);
                    }
                    worked.note(goal.name(), end);
                    done += 1;
                    let (how, partition) = (StepOutcome::Done { done, of }, goal.name());
                    {
                        let mut tally = shared.tally();
                        tally.are_skipped(worked.given_up.keys());
                        tally.is_done(&partition);
                    }
                    shared.tell(&StepEvent { partition, step: "done", text: String::new(), call: None, how });
                }
                Some(Err(error)) => {
                    running.remove(&error.id());
                    panicked = panicked.or(Some(error));
                }
            }
        }
        shared.tell_how_far();
        // What a lane that panicked has begun is seen to without it.
        let _seen_to = shared.vacancies.subscribe().wait_for(|count| *count == 0).await.is_ok();
        if let Some(error) = panicked {
            std::panic::resume_unwind(error.into_panic());
        }
        worked
    }
}

impl Reconciled {
    /// What was to come to its goal beside one that did not is left where it is.
    fn give_up_those_behind(&mut self, goal: &Goal, waiting: &mut VecDeque<Goal>) {
        let mut behind = vec![goal.clone()];
        while let Some(goal) = behind.pop() {
            let (held_up, others) = waiting.drain(..).partition(|other| comes_before(&goal, other));
            *waiting = others;
            for other in Vec::from(held_up) {
                let hint = "run this again once that one is fixed".to_owned();
                let text = format!("{} comes before it, and did not reach its goal", goal.name());
                self.given_up.insert(other.name(), Refusal::unsafe_now(text, hint));
                behind.push(other);
            }
        }
    }

    fn note(&mut self, name: String, end: LaneEnd) {
        match end {
            LaneEnd::Ended(refusal) => self.given_up.extend(refusal.map(|refusal| (name, refusal))),
            LaneEnd::Stopped(stop) => drop(self.stopped.get_or_insert(stop)),
            LaneEnd::Blind(error) => {
                self.stopped.get_or_insert(Stop::NoNameserver);
                self.given_up.insert(name, no_answer(&error));
            }
        }
    }
}

fn no_answer(error: &CallError) -> Refusal {
    let text = format!("the cluster does not answer any more: {error}");
    Refusal::unsafe_now(text, "once it answers, run this again")
}

fn still_under_way(step: &Step, text: &str) -> Refusal {
    let text = format!("`{step}` was sent, but its effect was not seen before the end: {text}");
    Refusal::unsafe_now(text, "it may still take effect: check `openmldb-ops show ops`, then run this again")
}

fn never_a_pause(stand_downs: u32) -> Refusal {
    let text = format!("its leader stepped down {stand_downs} times, but no follower ever had all of its entries");
    Refusal::unsafe_now(text, "clients write to it without a pause: let them pause for a moment, then run this again")
}

fn comes_before(one: &Goal, other: &Goal) -> bool {
    other.beside.as_ref() == Some(&one.table) && one.pid == other.pid
}

/// The goal that is seen to next, if there is room: one that another lane of the nameserver works on, if there is any, because the
/// same would have it wait; and none that has to wait for a goal before it.
fn next_goal(waiting: &mut VecDeque<Goal>, running: &BTreeMap<tokio::task::Id, Goal>) -> Option<Goal> {
    if running.len() >= LANES {
        return None;
    }
    let is_held_up = |at: usize, goal: &Goal| {
        let before = waiting.iter().take(at).chain(running.values());
        before.into_iter().any(|one| comes_before(one, goal))
    };
    let busy: BTreeSet<u32> = running.values().map(|goal| goal.pid.0 % 2).collect();
    let free = || waiting.iter().enumerate().filter(|(at, goal)| !is_held_up(*at, goal));
    let at = free().find(|(_, goal)| !busy.contains(&(goal.pid.0 % 2))).or_else(|| free().next()).map(|(at, _)| at)?;
    waiting.remove(at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::TableName;

    fn goal(table: &str, beside: Option<&str>, pid: u32) -> Goal {
        let name = |table: &str| TableName { db: "shop".to_owned(), table: table.to_owned() };
        Goal {
            table: name(table),
            pid: Pid(pid),
            replicas: Vec::new(),
            leader: None,
            beside: beside.map(name),
            successor_holds_all: false,
            replaces: None,
            why: String::new(),
        }
    }

    #[test]
    fn what_is_behind_a_goal_that_was_not_reached_is_left_where_it_is() {
        let base = goal("orders", None, 0);
        let behind = [goal("first", Some("orders"), 0), goal("second", Some("first"), 0)];
        let others = [goal("first", Some("orders"), 1), goal("clicks", None, 0)];
        let mut waiting: VecDeque<Goal> = behind.iter().chain(&others).cloned().collect();
        let mut worked = Reconciled::default();
        worked.give_up_those_behind(&base, &mut waiting);
        assert_eq!(Vec::from(waiting), others);
        assert_eq!(worked.given_up.keys().collect::<Vec<_>>(), ["shop.first/0", "shop.second/0"]);
        assert!(worked.given_up["shop.second/0"].text.starts_with("shop.first/0 comes before it"));
    }
}
