//! Takes partitions to their goals, a few at a time, one step each: looks, asks what is next, writes it down, sends it, and
//! waits until its effect is seen.

mod lane;
mod stood_down;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster, Hold, Outcome};
use crate::model::{PartitionId, Snapshot};
use crate::run::{AUTO_FAILOVER_IS_ON, Ended, Hands, Stop};
use crate::snapshot::{glance, look_closer};

use super::arrange::{Goal, Next, next};
use super::perform::{newest, send};
use super::place::Refusal;
use super::plan::plan;
use super::{Call, Sight, Step};
use lane::{Lane, Then, UnderWay, flagged, id_of, leads};

pub(super) use stood_down::StoodDowns;

/// Partitions under way at a time: the nameserver's own lanes for such operations (`name_server_task_concurrency`, reference 3.5).
const LANES: usize = 2;
/// How often a leader stands down too early before it is left to lead.
const STAND_DOWNS: u32 = 20;
/// Between two looks: half of what the nameserver's own polls take.
const POLL: Duration = Duration::from_secs(1);
/// Between two looks while a partition has no leader.
const POLL_LEADERLESS: Duration = Duration::from_millis(20);
/// Looks that may fail one after another.
const BLIND_LOOKS: u32 = 30;

/// Hears of each step.
pub type Told = Arc<dyn Fn(&Moved) + Send + Sync>;

/// A step of an undertaking, as it is sent or has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Moved {
    /// Of which partition.
    pub partition: String,
    /// The step's code.
    pub step: &'static str,
    /// What is sent for it.
    pub call: Option<Call>,
    /// How it went.
    pub how: How,
}

/// How a step of an undertaking went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum How {
    /// It is sent.
    Sent,
    /// Its effect was seen.
    Reached(String),
    /// Its effect was not seen, or it was refused.
    Missed(String),
}

/// What became of it.
#[derive(Debug, Default)]
pub(super) struct Worked {
    /// Why partitions are not where they are to be, by name.
    pub(super) given_up: BTreeMap<String, Refusal>,
    /// Why it stopped early, if it did.
    pub(super) stopped: Option<Stop>,
}

impl Ended for Worked {
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
pub(super) struct Steward {
    pub(super) cluster: Cluster,
    pub(super) cluster_name: String,
    pub(super) goals: Vec<Goal>,
    pub(super) stood_down: StoodDowns,
    pub(super) pace: f64,
    pub(super) step_timeout: Duration,
    pub(super) told: Told,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) now_ms: u64,
}

/// The step may not be sent.
enum Halt {
    Unrecorded,
}

impl Steward {
    /// Until every partition is at its goal or given up, or it is told to stop: then no partition is left without a leader
    /// that has one to give.
    pub(super) async fn work(mut self, hands: Hands) -> Worked {
        let mut worked = Worked::default();
        let mut waiting: VecDeque<Goal> = self.goals.iter().cloned().collect();
        let mut lanes: Vec<Lane> = Vec::new();
        let mut blind = 0;
        loop {
            match *hands.hold.borrow() {
                Hold::Lost => {
                    worked.stopped = Some(Stop::LockLost);
                    return worked;
                }
                Hold::Held | Hold::Shaky => {}
            }
            let stop = *self.stop.borrow();
            if stop != Stop::No {
                worked.stopped = Some(stop);
                waiting.clear();
            }
            while lanes.len() < LANES && waiting.front().is_some_and(|goal| !lanes.iter().any(|l| l.comes_before(goal)))
            {
                lanes.extend(waiting.pop_front().map(Lane::new));
            }
            if lanes.is_empty() {
                return worked;
            }
            let seen = match self.look(&lanes).await {
                Ok(seen) => seen,
                Err(error) => {
                    blind += 1;
                    if blind >= BLIND_LOOKS {
                        self.give_all_up(&lanes, &error, &mut worked);
                        return worked;
                    }
                    tokio::time::sleep(POLL.div_f64(self.pace)).await;
                    continue;
                }
            };
            blind = 0;
            let mut staying = Vec::new();
            for mut lane in lanes {
                // Nobody knows whether the lock is still held: what was sent is watched, and nothing more is sent.
                let may_send = *hands.hold.borrow() == Hold::Held;
                match self.see_to(&mut lane, &seen, stop != Stop::No, may_send, &hands).await {
                    Ok(Then::Stays) => staying.push(lane),
                    Ok(Then::Ends(refusal)) => {
                        worked.given_up.extend(refusal.map(|refusal| (lane.goal.name(), refusal)));
                    }
                    Err(Halt::Unrecorded) => {
                        worked.stopped = Some(Stop::Unrecorded);
                        return worked;
                    }
                }
            }
            lanes = staying;
            self.pause(&lanes).await;
        }
    }

    /// Everything's flags and what every tablet holds; evidence only of what is under way.
    async fn look(&self, lanes: &[Lane]) -> Result<Snapshot, CallError> {
        let mut seen = glance(&self.cluster, &self.cluster_name, self.now_ms).await?;
        let ids: Vec<PartitionId> = lanes.iter().filter_map(|lane| id_of(&seen, &lane.goal)).collect();
        look_closer(&self.cluster, &mut seen, &ids).await;
        Ok(seen)
    }

    async fn see_to(
        &mut self,
        lane: &mut Lane,
        seen: &Snapshot,
        stopping: bool,
        may_send: bool,
        hands: &Hands,
    ) -> Result<Then, Halt> {
        if let Some(under_way) = lane.under_way.take() {
            match under_way.outcome(seen, self.pace, self.step_timeout) {
                Sight::Waiting(_) => {
                    lane.under_way = Some(under_way);
                    return Ok(Then::Stays);
                }
                Sight::Reached(text) => self.reached(lane, &under_way.step, text, seen),
                Sight::Missed { text, hint } => {
                    self.tell(lane, &under_way.step, None, How::Missed(text.clone()));
                    lane.fail(Refusal::unsafe_now(text, hint));
                }
            }
        }
        let leads = leads(seen, &lane.goal);
        if let Then::Ends(refusal) = lane.goes_on(leads) {
            return Ok(Then::Ends(refusal));
        }
        if leads && (stopping || lane.stood_up >= STAND_DOWNS) {
            let too_often = (lane.stood_up >= STAND_DOWNS).then(never_a_pause);
            return Ok(Then::Ends(too_often));
        }
        let step = match self.step(lane, seen) {
            Ok(step) => step,
            Err(then) => return Ok(then),
        };
        if !may_send || matches!(step, Step::StandDown { .. }) && lane.is_out_of_breath(self.pace) {
            return Ok(Then::Stays);
        }
        // A write that had begun when the leader stood down may have ended since.
        if matches!(step, Step::ChangeLeader { .. }) && !lane.has_come_to_rest(seen) {
            return Ok(Then::Stays);
        }
        self.take(lane, step, seen, hands).await?;
        Ok(lane.goes_on(leads))
    }

    fn reached(&mut self, lane: &mut Lane, step: &Step, text: String, seen: &Snapshot) {
        lane.idle = Instant::now();
        lane.end = None;
        lane.stood_up += u32::from(matches!(step, Step::StandUp { .. }));
        self.tell(lane, step, None, How::Reached(text));
        if let Step::RecoverReplica { endpoint, .. } = step {
            self.stood_down.is_back(seen, &lane.goal, endpoint);
        }
    }

    /// The next step of a partition; or what becomes of it without one.
    fn step(&self, lane: &mut Lane, seen: &Snapshot) -> Result<Step, Then> {
        let found = next(seen, &lane.goal);
        lane.silences = if matches!(found, Next::Silence(_)) { lane.silences + 1 } else { 0 };
        match found {
            Next::Silence(text) if lane.silences >= BLIND_LOOKS => {
                let hint = "start that tablet, or see why it does not answer; then run this again";
                Err(Then::Ends(Some(Refusal::unsafe_now(text, hint))))
            }
            Next::Silence(_) => Err(Then::Stays),
            Next::Done => Err(Then::Ends(None)),
            Next::Blocked(refusal) => Err(Then::Ends(Some(lane.giving_up.take().unwrap_or(refusal)))),
            Next::Wait(text) => {
                let waited = lane.idle.elapsed() >= self.step_timeout;
                let hint = "`openmldb-ops show ops` and `openmldb-ops status` tell; run this again";
                Err(if waited { Then::Ends(Some(Refusal::unsafe_now(text, hint))) } else { Then::Stays })
            }
            // It was tried often enough: better the old leader than none.
            Next::Take(Step::ChangeLeader { table, pid, .. }) if lane.giving_up.is_some() => {
                match flagged(seen, &lane.goal) {
                    Some(endpoint) => Ok(Step::StandUp { table, pid, endpoint }),
                    None => Err(Then::Ends(lane.giving_up.take())),
                }
            }
            Next::Take(Step::RecoverReplica { table, pid, endpoint, .. }) => {
                let led_until = self.stood_down.led_until(seen, &lane.goal, &endpoint);
                Ok(Step::RecoverReplica { table, pid, endpoint, led_until })
            }
            Next::Take(step) => Ok(step),
        }
    }

    /// Sends a step, written down before it is.
    async fn take(&mut self, lane: &mut Lane, step: Step, seen: &Snapshot, hands: &Hands) -> Result<(), Halt> {
        let planned = match plan(&step, seen) {
            Ok(planned) => planned,
            // What it rests on may not have been answered at this look.
            Err(refusal) => {
                lane.fail(refusal);
                return Ok(());
            }
        };
        let Some(call) = planned.call.clone() else {
            let text = format!("`{}` would change nothing, and it is not as it is to be", step.code());
            lane.fail(Refusal::unsafe_now(text, "see `openmldb-ops status`"));
            return Ok(());
        };
        if let Step::ChangeLeader { .. } = &step {
            self.stood_down.note(seen, &lane.goal).map_err(|_| Halt::Unrecorded)?;
        }
        let text = format!("{}: {step}, because {}", lane.goal.name(), lane.goal.why);
        hands.write_down(&text).map_err(|_| Halt::Unrecorded)?;
        self.tell(lane, &step, Some(call.clone()), How::Sent);
        let since = newest(seen);
        match send(&self.cluster, &call).await {
            // Whether it was done shows.
            Err(error) if error.outcome() == Outcome::Unknown => {}
            Ok(()) => {}
            Err(error) => {
                let text = error.to_string();
                self.tell(lane, &step, None, How::Missed(text.clone()));
                let is_gated = error.code() == Some(AUTO_FAILOVER_IS_ON);
                if is_gated && hands.switches_off_again(&self.cluster).await {
                    return Ok(());
                }
                lane.fail(Refusal::unsafe_now(text, "run this again; `openmldb-ops status` says how it is"));
                return Ok(());
            }
        }
        lane.under_way = Some(UnderWay { step, planned, since, sent: Instant::now() });
        Ok(())
    }

    fn tell(&self, lane: &Lane, step: &Step, call: Option<Call>, how: How) {
        (self.told)(&Moved { partition: lane.goal.name(), step: step.code(), call, how });
    }

    fn give_all_up(&self, lanes: &[Lane], error: &CallError, worked: &mut Worked) {
        worked.stopped.get_or_insert(Stop::NoNameserver);
        for lane in lanes {
            let refusal = Refusal::unsafe_now(
                format!("the cluster does not answer any more: {error}"),
                "once it answers, run this again",
            );
            worked.given_up.insert(lane.goal.name(), refusal);
        }
    }

    async fn pause(&self, lanes: &[Lane]) {
        let is_leaderless = |lane: &Lane| {
            let step = lane.under_way.as_ref().map(|under_way| &under_way.step);
            let stands_down = lane.end.is_some() && step.is_none();
            stands_down
                || matches!(step, Some(Step::StandDown { .. } | Step::ChangeLeader { .. } | Step::StandUp { .. }))
        };
        let pause = if lanes.iter().any(is_leaderless) { POLL_LEADERLESS } else { POLL.div_f64(self.pace) };
        let mut stop = self.stop.clone();
        stop.mark_unchanged();
        if let Ok(Err(_nobody_tells)) = tokio::time::timeout(pause, stop.changed()).await {
            tokio::time::sleep(pause).await;
        }
    }
}

fn never_a_pause() -> Refusal {
    let text = format!("its leader stood down {STAND_DOWNS} times, and each time no follower had all its entries");
    Refusal::unsafe_now(text, "it is written to without a pause: let clients pause for a moment, and run this again")
}
