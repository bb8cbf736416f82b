//! Takes partitions to their goals, a few at a time, one step each: looks, asks what is next, writes it down, sends it, and
//! waits until its effect is seen.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster, Hold, Outcome};
use crate::model::{Endpoint, Offset, OpId, PartitionId, Snapshot};
use crate::run::{Hands, Stop};
use crate::snapshot::{glance, look_closer};

use super::arrange::{Goal, Next, next};
use super::handover::{Standing, standing};
use super::kept::{Desk, KeptError, StoodDown};
use super::perform::{ask_leaders, is_in_vain, newest, send};
use super::plan::{Place, Planned, Refusal, plan};
use super::{Call, Sight, Step, sight};

/// Partitions under way at a time: the nameserver's own lanes for such operations (`name_server_task_concurrency`, reference 3.5).
const LANES: usize = 2;
/// Tries of one partition: about one operation in twenty fails for no reason (observed 2).
const TRIES: u32 = 4;
/// How often a leader stands down too early before it is left to lead.
const STAND_DOWNS: u32 = 20;
/// Between a leader's standing up again and its next try, times the tries so far: clients write in bursts.
const BREATH: Duration = Duration::from_millis(100);
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

/// Who does it.
pub(super) struct Steward {
    pub(super) cluster: Cluster,
    pub(super) cluster_name: String,
    pub(super) goals: Vec<Goal>,
    pub(super) desk: Desk,
    pub(super) stood_down: Vec<StoodDown>,
    pub(super) pace: f64,
    pub(super) step_timeout: Duration,
    pub(super) told: Told,
    pub(super) stop: watch::Receiver<Stop>,
    pub(super) now_ms: u64,
}

/// A partition under way.
struct Lane {
    goal: Goal,
    under_way: Option<UnderWay>,
    failed: u32,
    stood_up: u32,
    /// Since when nothing could be done.
    idle: Instant,
    /// It is given up as soon as it has a leader.
    giving_up: Option<Refusal>,
}

/// A step that was sent.
struct UnderWay {
    step: Step,
    planned: Planned,
    since: Option<OpId>,
    sent: Instant,
}

/// Whether a partition stays under way.
enum Then {
    Stays,
    Ends(Option<Refusal>),
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
        for under_way in lanes.iter().filter_map(|lane| lane.under_way.as_ref()) {
            ask_leaders(&self.cluster, &under_way.planned.effect, &mut seen).await;
        }
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
            match self.outcome(&under_way, seen) {
                None => {
                    lane.under_way = Some(under_way);
                    return Ok(Then::Stays);
                }
                Some(Ok(text)) => {
                    lane.idle = Instant::now();
                    lane.stood_up += u32::from(matches!(under_way.step, Step::StandUp { .. }));
                    self.tell(lane, &under_way.step, None, How::Reached(text));
                    if let Step::RecoverReplica { endpoint, .. } = &under_way.step {
                        self.is_back(seen, &lane.goal, endpoint);
                    }
                }
                Some(Err((text, hint))) => {
                    self.tell(lane, &under_way.step, None, How::Missed(text.clone()));
                    lane.fail(Refusal::unsafe_now(text, hint));
                }
            }
        }
        let leads = leads(seen, &lane.goal);
        if let Then::Ends(refusal) = lane.goes_on(leads) {
            return Ok(Then::Ends(refusal));
        }
        if leads && stopping {
            return Ok(Then::Ends(None));
        }
        if leads && lane.stood_up >= STAND_DOWNS {
            let text =
                format!("its leader stood down {STAND_DOWNS} times, and each time no follower had all its entries");
            let hint =
                "it is written to without a pause: let clients pause for a moment, and run this again".to_owned();
            return Ok(Then::Ends(Some(Refusal::unsafe_now(text, hint))));
        }
        let step = match next(seen, &lane.goal) {
            Next::Done => return Ok(Then::Ends(None)),
            Next::Blocked(refusal) => return Ok(Then::Ends(Some(lane.giving_up.take().unwrap_or(refusal)))),
            Next::Wait(text) => {
                let waited = lane.idle.elapsed() >= self.step_timeout;
                let hint = "`openmldb-ops show ops` and `openmldb-ops status` tell; run this again";
                return Ok(if waited { Then::Ends(Some(Refusal::unsafe_now(text, hint))) } else { Then::Stays });
            }
            // It was tried often enough: better the old leader than none.
            Next::Take(Step::ChangeLeader { table, pid, .. }) if lane.giving_up.is_some() => {
                let Some(endpoint) = flagged(seen, &lane.goal) else { return Ok(Then::Ends(lane.giving_up.take())) };
                Step::StandUp { table, pid, endpoint }
            }
            Next::Take(Step::RecoverReplica { table, pid, endpoint, .. }) => {
                let led_until = self.led_until(seen, &lane.goal, &endpoint);
                Step::RecoverReplica { table, pid, endpoint, led_until }
            }
            Next::Take(step) => step,
        };
        if !may_send || matches!(step, Step::StandDown { .. }) && lane.is_out_of_breath(self.pace) {
            return Ok(Then::Stays);
        }
        let planned = match plan(&step, seen) {
            Ok(planned) => planned,
            Err(refusal) => return Ok(Then::Ends(Some(refusal))),
        };
        let Some(call) = planned.call.clone() else {
            let text = format!("`{}` would change nothing, and it is not as it is to be", step.code());
            lane.fail(Refusal::unsafe_now(text, "see `openmldb-ops status`"));
            return Ok(lane.goes_on(leads));
        };
        let text = format!("{}: {}, because {}", lane.goal.name(), said(&call), lane.goal.why);
        if let Step::ChangeLeader { .. } = &step {
            self.note_who_stood_down(seen, &lane.goal).map_err(|_| Halt::Unrecorded)?;
        }
        hands.write_down(&text).map_err(|_| Halt::Unrecorded)?;
        self.tell(lane, &step, Some(call.clone()), How::Sent);
        let since = newest(seen);
        match send(&self.cluster, &call).await {
            // Whether it was done shows.
            Err(error) if error.outcome() == Outcome::Unknown => {}
            Ok(()) => {}
            Err(error) => {
                self.tell(lane, &step, None, How::Missed(error.to_string()));
                lane.fail(Refusal::unsafe_now(
                    error.to_string(),
                    "run this again; `openmldb-ops status` says how it is",
                ));
                return Ok(lane.goes_on(leads));
            }
        }
        lane.under_way = Some(UnderWay { step, planned, since, sent: Instant::now() });
        Ok(Then::Stays)
    }

    fn led_until(&self, seen: &Snapshot, goal: &Goal, endpoint: &Endpoint) -> Option<Offset> {
        let id = id_of(seen, goal)?;
        self.stood_down.iter().find(|old| old.partition == id && old.endpoint == *endpoint).map(|old| old.at)
    }

    /// Nobody but this process and its file knows that the old leader holds nothing that the new one does not.
    fn note_who_stood_down(&mut self, seen: &Snapshot, goal: &Goal) -> Result<(), KeptError> {
        let Ok(place) = Place::find(seen, &goal.table, goal.pid) else { return Ok(()) };
        let Some(endpoint) = place.leader().cloned() else { return Ok(()) };
        let Some(at) = place.loaded(&endpoint).map(|held| held.offset) else { return Ok(()) };
        let partition = place.id();
        self.stood_down.retain(|old| old.partition != partition);
        self.stood_down.push(StoodDown { partition, endpoint, at });
        self.desk.note_stood_down(&self.stood_down)
    }

    fn is_back(&mut self, seen: &Snapshot, goal: &Goal, endpoint: &Endpoint) {
        let (before, id) = (self.stood_down.len(), id_of(seen, goal));
        self.stood_down.retain(|old| Some(old.partition) != id || old.endpoint != *endpoint);
        if self.stood_down.len() < before {
            // What is written down once too often is held against what is there before it is believed.
            let _ = self.desk.note_stood_down(&self.stood_down);
        }
    }

    /// What came of a step; none while that is not clear.
    fn outcome(&self, under_way: &UnderWay, seen: &Snapshot) -> Option<Result<String, (String, String)>> {
        let UnderWay { planned, since, sent, .. } = under_way;
        let waited = sent.elapsed();
        let text = match sight(&planned.effect, seen, *since) {
            Sight::Reached(text) => return Some(Ok(text)),
            Sight::Missed { text, hint } => return Some(Err((text, hint))),
            Sight::Waiting(text) => text,
        };
        if let Some(vain) = is_in_vain(&planned.effect, seen, *since, waited.mul_f64(self.pace), &text) {
            return Some(Err(vain));
        }
        (waited >= self.step_timeout).then(|| {
            let text = format!("its effect was not seen within {} s: {text}", self.step_timeout.as_secs());
            Err((text, "it may still come: `openmldb-ops show ops` tells; run this again".to_owned()))
        })
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
            matches!(step, Some(Step::StandDown { .. } | Step::ChangeLeader { .. } | Step::StandUp { .. }))
        };
        let pause = if lanes.iter().any(is_leaderless) { POLL_LEADERLESS } else { POLL.div_f64(self.pace) };
        let mut stop = self.stop.clone();
        stop.mark_unchanged();
        if let Ok(Err(_nobody_tells)) = tokio::time::timeout(pause, stop.changed()).await {
            tokio::time::sleep(pause).await;
        }
    }
}

impl Lane {
    fn new(goal: Goal) -> Self {
        Self { goal, under_way: None, failed: 0, stood_up: 0, idle: Instant::now(), giving_up: None }
    }

    /// Whether a pre-aggregate table's goal has to wait for this one, of its base table.
    fn comes_before(&self, goal: &Goal) -> bool {
        goal.beside.as_ref() == Some(&self.goal.table) && goal.pid == self.goal.pid
    }

    fn fail(&mut self, refusal: Refusal) {
        self.failed += 1;
        if self.failed >= TRIES {
            self.giving_up = Some(refusal);
        }
    }

    /// Whether its leader has only just stood up again.
    fn is_out_of_breath(&self, pace: f64) -> bool {
        self.idle.elapsed().mul_f64(pace) < BREATH * self.stood_up
    }

    /// Once more, unless it has failed too often and nobody waits for a leader.
    fn goes_on(&mut self, leads: bool) -> Then {
        match self.giving_up.take_if(|_| leads || self.failed >= 2 * TRIES) {
            Some(refusal) => Then::Ends(Some(refusal)),
            None => Then::Stays,
        }
    }
}

fn id_of(seen: &Snapshot, goal: &Goal) -> Option<PartitionId> {
    let table = seen.tables.iter().find(|table| table.name == goal.table)?;
    Some(PartitionId { tid: table.tid, pid: goal.pid })
}

/// Who is flagged leader and alive.
fn flagged(seen: &Snapshot, goal: &Goal) -> Option<Endpoint> {
    Place::find(seen, &goal.table, goal.pid).ok()?.leader().cloned()
}

/// Whether a partition has a leader that leads, or none that could be had back by standing up.
fn leads(seen: &Snapshot, goal: &Goal) -> bool {
    let Ok(place) = Place::find(seen, &goal.table, goal.pid) else { return true };
    let Some(leader) = place.leader() else { return true };
    !matches!(standing(&place, leader, None), Ok(Standing::Down(_) | Standing::TooEarly))
}

/// A call in the record.
fn said(call: &Call) -> String {
    match call {
        Call::Action(action) => serde_json::to_string(action).unwrap_or_default(),
        other => format!("{other:?}"),
    }
}
