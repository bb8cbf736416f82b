//! A partition without a leader because its own was told to follow: from then on nobody is asked but its own servers (the
//! nameserver that leads, and the tablets it is on), each again and again by itself, with a short deadline, so that none waits
//! for another. If no other one leads in time, the old one leads again: that takes nobody but its own tablet.
//!
//! Whether it may is the rule in [`decide`]: never while an election that was asked for may still come about, because then two
//! would lead. What is done is decided there; here it is sent, written down and told.

mod decide;
mod election;
mod end;
mod known;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::mpsc::UnboundedSender;
use tokio::task::JoinSet;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster, Hold, Outcome};
use crate::model::{Action, Endpoint, Held, Manual, Op, OpId, Snapshot, StorageMode, Table, TermPair};

use super::super::Step;
use super::super::call::{newest, noted, write_down};
use super::super::goal::Goal;
use super::super::handover;
use super::super::partition_context::{PartitionContext, Refusal};
use super::{Shared, StepEvent, StepOutcome};
use decide::Do;
use election::{Circumstances, Election};
pub(in super::super) use end::{End, Why};
pub(in super::super) use known::{CALL, Known};

/// Between an answer and the next question to the same server.
const POLL: Duration = Duration::from_millis(20);
/// How long it may take to hear who has the lock now.
const ASK_FOR_THE_LOCK: Duration = Duration::from_secs(2);

/// The partition, and what handles it.
pub(super) struct Vacancy {
    shared: Arc<Shared>,
    known: Known,
    goal: Goal,
    told: UnboundedSender<StepEvent>,
    storage: StorageMode,
    /// Something could not be written down: nothing is begun any more.
    unrecorded: bool,
    /// The lock is lost: whether somebody else has it, once that was asked.
    taken_over: Option<bool>,
    ending_since: Option<Instant>,
}

/// What a server said.
enum Answer {
    Replica { at: Endpoint, began: Instant, held: Result<Option<Held>, CallError>, term: Option<TermPair> },
    Nameserver { began: Instant, said: Result<(Vec<Op>, Option<Table>), CallError> },
    LookedUp,
}

/// The questions under way.
#[derive(Default)]
struct Asked {
    asks: JoinSet<Answer>,
    nameserver: bool,
    looking_up: bool,
}

impl Vacancy {
    /// The partition as it was seen last: somebody is flagged leader there.
    pub(super) fn new(
        shared: Arc<Shared>,
        goal: &Goal,
        seen: Snapshot,
        told: UnboundedSender<StepEvent>,
    ) -> Result<Self, Refusal> {
        let storage = PartitionContext::find(&seen, &goal.table, goal.pid)?.table.storage;
        let known = Known::new(goal, seen, &shared.barred, shared.limit)?;
        let goal = goal.clone();
        Ok(Self { shared, known, goal, told, storage, unrecorded: false, taken_over: None, ending_since: None })
    }

    /// Tells the leader to follow, and sees to it that one leads.
    pub(super) async fn stand_down(mut self, successor: Endpoint) -> End {
        let (table, pid, endpoint) = (self.goal.table.clone(), self.goal.pid, self.known.old.clone());
        let step = Step::StandDown { table, pid, endpoint: endpoint.clone(), successor };
        let call = Action::Manual(Manual::Follow { endpoint: endpoint.clone(), partition: self.known.id });
        let Some(number) = self.write_down(&step, &call) else { return End::LeadsAgain(Why::Unrecorded) };
        self.tell(&step, Some(call.clone()), StepOutcome::Sent);
        let began = Instant::now();
        match self.send(Some(number), &call).await {
            Err(error) if error.outcome() == Outcome::NotApplied => {
                let text = error.to_string();
                self.tell(&step, None, StepOutcome::Missed(text.clone()));
                let hint = "check `openmldb-ops status`, then run this again";
                return End::LeadsAgain(Why::NotDone(Refusal::unsafe_now(text, hint)));
            }
            Ok(()) => self.known.was_told_to_follow(began, Some(Instant::now())),
            // Whether it follows shows.
            Err(_) => self.known.was_told_to_follow(began, None),
        }
        self.until_led(Some(step)).await
    }

    /// Makes sure that some replica leads, whatever made the leader step down.
    pub(super) async fn found(self) -> End {
        self.until_led(None).await
    }

    async fn until_led(mut self, mut down: Option<Step>) -> End {
        let mut asked = Asked::default();
        for at in self.known.tablets() {
            self.ask_replica(&mut asked, at, Duration::ZERO);
        }
        loop {
            if let Some(step) = down.take_if(|_| self.known.follows()) {
                let text = format!("{} accepts no more writes to {}", self.known.old, self.goal.name());
                self.tell(&step, None, StepOutcome::Reached(text));
            }
            let circumstances = self.circumstances().await;
            match self.known.decide(Instant::now(), &circumstances) {
                Do::Over(end) => {
                    self.tell_end(&end);
                    return match end {
                        End::LeadsAgain(Why::Ending) if self.unrecorded => End::LeadsAgain(Why::Unrecorded),
                        end => end,
                    };
                }
                Do::Elect(to) => {
                    self.elect(to).await;
                    continue;
                }
                Do::Cancel(op) => {
                    self.cancel(op).await;
                    continue;
                }
                Do::Demote(at) => {
                    self.demote(&at).await;
                    continue;
                }
                Do::LeadAgain => {
                    self.lead_again().await;
                    continue;
                }
                Do::LookUp if !asked.looking_up => {
                    asked.looking_up = true;
                    let cluster = self.brief();
                    asked.asks.spawn(async move {
                        let _whoever = tokio::time::timeout(CALL, cluster.look_up_leader()).await;
                        tokio::time::sleep(CALL).await;
                        Answer::LookedUp
                    });
                }
                Do::LookUp | Do::Look => {}
            }
            if self.known.wants_nameserver() && !asked.nameserver {
                self.ask_nameserver(&mut asked);
            }
            tokio::select! {
                Some(answer) = asked.asks.join_next() => self.note(&mut asked, answer),
                () = tokio::time::sleep(POLL) => {}
            }
        }
    }

    fn brief(&self) -> Cluster {
        self.shared.cluster.once(CALL)
    }

    fn note(&mut self, asked: &mut Asked, answer: Result<Answer, tokio::task::JoinError>) {
        match answer {
            Ok(Answer::Replica { at, began, held, term }) => {
                self.known.note_replica(&at, began, held, term);
                self.ask_replica(asked, at, POLL);
            }
            Ok(Answer::Nameserver { began, said }) => {
                asked.nameserver = false;
                self.known.note_nameserver(began, said, &self.shared.cluster.leader());
            }
            Ok(Answer::LookedUp) => asked.looking_up = false,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }

    fn ask_replica(&self, asked: &mut Asked, at: Endpoint, pause: Duration) {
        let (cluster, id, storage) = (self.brief(), self.known.id, self.storage);
        let is_old = at == self.known.old;
        asked.asks.spawn(async move {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            let held = cluster.replica_status_once(&at, id).await;
            // What followers have heard of decides under which term the old leader leads again.
            let term = match held {
                Ok(Some(_)) if !is_old => cluster.term_pair(&at, id, storage).await.ok(),
                _ => None,
            };
            Answer::Replica { at, began, held, term }
        });
    }

    fn ask_nameserver(&self, asked: &mut Asked) {
        asked.nameserver = true;
        let (cluster, table, pid) = (self.brief(), self.goal.table.clone(), self.goal.pid);
        // One that is not there says so at once: it is asked again and again, too, and not without a pause.
        let pause = if self.known.nameserver_was_asked() { POLL } else { Duration::ZERO };
        asked.asks.spawn(async move {
            tokio::time::sleep(pause).await;
            let began = Instant::now();
            // Operations first: what one has done before it is seen ended shows in a table read after it.
            let said = match cluster.ops_of(&table, pid).await {
                Ok(ops) => cluster.table(&table).await.map(|table| (ops, table)),
                Err(error) => Err(error),
            };
            Answer::Nameserver { began, said }
        });
    }

    /// What the decision depends on beside the partition's servers.
    async fn circumstances(&mut self) -> Circumstances {
        let hold = *self.shared.session.hold.borrow();
        if hold == Hold::Lost && self.taken_over.is_none() {
            // As with auto_failover: another run that has taken over sees to it. If nobody has, or nobody knows, it is still ours.
            let holder = tokio::time::timeout(ASK_FOR_THE_LOCK, self.shared.session.lock.holder()).await;
            self.taken_over = Some(matches!(holder, Ok(Ok(Some(_)))));
        }
        if self.shared.is_ending() || hold == Hold::Lost || self.unrecorded {
            self.ending_since.get_or_insert_with(Instant::now);
        }
        Circumstances {
            ending_since: self.ending_since,
            may_elect: hold == Hold::Held && !self.unrecorded,
            taken_over: self.taken_over == Some(true),
        }
    }

    /// ChangeLeader, once it is written down where the old leader's log ended.
    async fn elect(&mut self, to: Endpoint) {
        let (table, pid) = (self.goal.table.clone(), self.goal.pid);
        let step = Step::ChangeLeader { table: table.clone(), pid, to: Some(to.clone()) };
        let stood_down = self.shared.stood_down().note(&self.known.seen, &self.goal);
        let call = Action::ChangeLeader { table, pid, candidate: to.clone() };
        let number = stood_down.ok().and_then(|()| self.write_down(&step, &call));
        if number.is_none() {
            self.unrecorded = true;
            return;
        }
        self.tell(&step, Some(call.clone()), StepOutcome::Sent);
        let (since, nameserver) = (newest(&self.known.seen), self.shared.cluster.leader());
        let sent = self.send(number, &call).await;
        let election = Election::new(to, since, nameserver);
        if let Err(error) = &sent {
            // Where auto_failover is on again (301), the old one leads again first: switching it off waits for others.
            self.tell(&step, None, StepOutcome::Missed(error.to_string()));
        }
        self.known.was_asked_to_elect(election, sent);
    }

    async fn cancel(&mut self, op: OpId) {
        let step = Step::CancelOp { op };
        let call = Action::CancelOp { op };
        let number = self.write_down(&step, &call);
        self.tell(&step, Some(call.clone()), StepOutcome::Sent);
        // Whether it is over shows.
        let _ = self.send(number, &call).await;
        self.known.was_told_to_cancel();
    }

    /// One that leads in its tablet's memory, and whom no metadata names: it follows again, as clients expect.
    async fn demote(&mut self, at: &Endpoint) {
        let step = Step::StandDown {
            table: self.goal.table.clone(),
            pid: self.goal.pid,
            endpoint: at.clone(),
            successor: self.known.old.clone(),
        };
        let call = Action::Manual(Manual::Follow { endpoint: at.clone(), partition: self.known.id });
        let number = self.write_down(&step, &call);
        self.tell(&step, Some(call.clone()), StepOutcome::Sent);
        let _ = self.send(number, &call).await;
        self.known.was_demoted();
    }

    /// ChangeRole to the old leader's own tablet.
    async fn lead_again(&mut self) {
        let call = match PartitionContext::find(&self.known.seen, &self.goal.table, self.goal.pid) {
            Ok(place) => handover::lead_again(&place, &self.known.old),
            Err(refusal) => Err(refusal),
        };
        let call = match call {
            Ok(action) => action,
            Err(refusal) => return self.known.cannot_lead_again(refusal),
        };
        let step = self.stand_up();
        let mut number = None;
        if self.known.leads_again_first_time() {
            // Even if that cannot be written down: it restores what was.
            number = self.write_down(&step, &call);
            self.tell(&step, Some(call.clone()), StepOutcome::Sent);
        }
        let sent = self.send(number, &call).await;
        self.known.was_told_to_lead_again(sent);
    }

    fn stand_up(&self) -> Step {
        Step::StandUp { table: self.goal.table.clone(), pid: self.goal.pid, endpoint: self.known.old.clone() }
    }

    /// The call's number in the record; none if it is not on disk.
    fn write_down(&mut self, step: &Step, call: &Action) -> Option<u64> {
        let record = &self.shared.session.record;
        let number = write_down(record, (step, Some(self.known.id)), call, &self.goal.why).ok();
        self.unrecorded |= number.is_none();
        number
    }

    async fn send(&self, number: Option<u64>, call: &Action) -> Result<(), CallError> {
        let sent = self.brief().act(call).await;
        match number {
            Some(number) => noted(&self.shared.session.record, number, sent),
            None => sent,
        }
    }

    fn tell_end(&self, end: &End) {
        let leads = |at: &Endpoint| StepOutcome::Reached(format!("{at} leads {}", self.goal.name()));
        match end {
            End::NewLeader(to) => {
                let (table, pid) = (self.goal.table.clone(), self.goal.pid);
                self.tell(&Step::ChangeLeader { table, pid, to: Some(to.clone()) }, None, leads(to));
            }
            End::LeadsAgain(why) => {
                let how = match why.said() {
                    Some(why) => {
                        StepOutcome::Reached(format!("{} leads {} again: {why}", self.known.old, self.goal.name()))
                    }
                    None => leads(&self.known.old),
                };
                self.tell(&self.stand_up(), None, how);
            }
            End::Unled(refusal) => self.tell(&self.stand_up(), None, StepOutcome::Missed(refusal.text.clone())),
        }
    }

    fn tell(&self, step: &Step, call: Option<Action>, how: StepOutcome) {
        // The receiver may be gone; the work is done anyway.
        let (partition, text) = (self.goal.name(), step.to_string());
        let _ = self.told.send(StepEvent { partition, step: step.code(), text, call, how });
    }
}
