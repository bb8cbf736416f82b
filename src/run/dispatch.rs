//! Sending what was decided: written down first, one sync for all that goes out together; then what came of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{self, CallError, Cluster};
use crate::model::{Action, PartitionId};
use crate::recovery::{Intent, Outcome};

use super::beside::AUTO_FAILOVER_IS_ON;
use super::driver::{Driver, Report, Stop};
use super::event::Event;
use super::partition_task::Ordered;
use super::stale;
use super::stopping::{CALLS, within_budget};

/// How old a decision may be when it is carried out.
const OVERDUE: Duration = Duration::from_secs(1);
/// How long calls under way may take to end once a run stops by itself. One that is told to stop has a budget.
const WIND_DOWN: Duration = Duration::from_secs(30);

/// An intent of a partition, and its call's number in the record.
pub(super) type Sent = (PartitionId, Intent, u64);

impl Driver {
    /// Sends what the lanes allow. What cannot be written down is not sent, and the run stops.
    pub(super) fn dispatch(&mut self) -> Option<Stop> {
        let mut going_out = Vec::new();
        let (index, tables) = (&self.index, &self.snapshot.tables);
        let placed = |(id, intent): &Ordered| match (&intent.action, index.find(tables, *id)) {
            (Action::MarkAlive { endpoint, .. }, Some((table, _))) => table.partitions_on(endpoint).count(),
            _ => 1,
        };
        for call in self.lanes.take(placed) {
            going_out.extend(self.sent_as(call));
        }
        if going_out.is_empty() {
            self.settings.record.write();
            return self.settings.record.broken().map(|_| Stop::Unrecorded);
        }
        if self.settings.record.sync().is_err() {
            for (id, ..) in going_out.into_iter().flatten() {
                if let Some(task) = self.partitions.get_mut(&id) {
                    task.under_way -= 1;
                }
            }
            return Some(Stop::Unrecorded);
        }
        for call in going_out {
            for (id, intent, _) in &call {
                let (step, action, why) = (intent.step, intent.action.clone(), intent.why.clone());
                (self.settings.listener)(&Event::Action { step, partition: Some(*id), action, why });
            }
            let cluster = self.cluster.clone();
            self.tasks.spawn(async move {
                let outcome = match call.as_slice() {
                    [(_, intent, _)] => send(&cluster, &intent.action).await,
                    several => send(&cluster, &of_the_whole_table(&several[0].1.action)).await,
                };
                Report::Acted(call, outcome)
            });
        }
        None
    }

    /// What of a call is still right, written down. If not all of it, its parts are sent one by one.
    fn sent_as(&mut self, call: Vec<Ordered>) -> Vec<Vec<Sent>> {
        let (all, action) = (call.len(), call[0].1.action.clone());
        let right: Vec<Ordered> = call.into_iter().filter(|(id, intent)| !self.recall(*id, intent)).collect();
        let recalled = all - right.len();
        match right.len() {
            0 => self.lanes.ended(&action),
            left if recalled > 0 => self.lanes.apart(left - 1),
            _ => {}
        }
        let written = right.into_iter().map(|(id, intent)| {
            let number = self.write_down(id, &intent);
            (id, intent, number)
        });
        let written: Vec<Sent> = written.collect();
        match recalled {
            0 => vec![written],
            _ => written.into_iter().map(|one| vec![one]).collect(),
        }
    }

    /// Writes a call down, and what will have to be remembered should nobody hear of it again.
    fn write_down(&mut self, id: PartitionId, intent: &Intent) -> u64 {
        let number = self.settings.record.sending(intent.step, Some(id), &intent.action, &intent.why);
        let view = self.view(id);
        if let (Some(view), Some(task)) = (view, self.partitions.get_mut(&id)) {
            task.beside.sends(&intent.action);
            if matches!(intent.action, Action::RecoverTable { .. } | Action::ChangeLeader { .. }) {
                self.lanes.op_sent();
            }
            let newest_op = self.index.newest_op;
            let mut unheard = task.memory.clone();
            unheard.note_unheard(&view, intent, newest_op);
            self.settings.record.remember_unless_heard(number, id, &task.memory, &unheard);
        }
        number
    }

    /// What had to queue for long may not be right any more: its partition is looked at and decided on again, and goes
    /// first then. Loading is right as long as it was not sent; not so with a schema, if a description is there by now.
    fn recall(&mut self, id: PartitionId, intent: &Intent) -> bool {
        let Some(task) = self.partitions.get_mut(&id) else { return false };
        if matches!(intent.action, Action::LoadTable { .. }) || task.decided.elapsed() < OVERDUE {
            return false;
        }
        self.now += 1;
        task.under_way -= 1;
        task.recalled = true;
        task.outdate(self.now);
        for endpoint in &task.endpoints {
            let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
            probes.into_iter().for_each(stale::outdate);
        }
        self.stirred.insert(id);
        self.next_look.by(Instant::now());
        true
    }

    /// What came of a call, for each that it was made for.
    pub(super) fn note_call(&mut self, call: &[Sent], outcome: &Outcome) {
        if let Some((_, intent, _)) = call.first() {
            self.lanes.ended(&intent.action);
        }
        for (id, intent, number) in call {
            self.note_action(*id, *number, intent, outcome);
        }
    }

    fn note_action(&mut self, id: PartitionId, number: u64, intent: &Intent, outcome: &Outcome) {
        self.settings.record.went(number, outcome);
        self.now += 1;
        let newest_op = self.index.newest_op;
        let view = self.view(id);
        // It is cured by switching auto_failover off again, and says nothing of the replica.
        let is_gated = matches!(outcome, Outcome::Refused { code: AUTO_FAILOVER_IS_ON, .. });
        let is_cured = is_gated && self.switches_off_again();
        if is_cured {
            self.note_gated();
        }
        let Some(task) = self.partitions.get_mut(&id) else { return };
        task.under_way -= 1;
        self.stirred.insert(id);
        task.acted(&intent.action, self.now);
        if let Some(view) = view.filter(|_| !is_cured) {
            task.memory.note_outcome(&view, intent, outcome, newest_op);
        }
        self.settings.record.remember(id, &task.memory);
        for endpoint in &task.endpoints {
            let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
            if let Some(probes) = probes {
                stale::forget(probes, endpoint, &intent.action);
            }
        }
        if let Outcome::Refused { error, .. } | Outcome::NotApplied(error) | Outcome::Unknown(error) = outcome {
            let (step, action, error) = (intent.step, intent.action.clone(), error.clone());
            (self.settings.listener)(&Event::ActionFailed { step, partition: Some(id), action, error });
            // The nameserver may think of a tablet what it did not before.
            self.doubt_nameserver = true;
        } else {
            self.hurry();
        }
    }

    /// Sends nothing more, and waits for what was sent.
    pub(super) async fn wind_down(&mut self) {
        let queued = self.lanes.clear().into_iter().map(|(id, _)| id);
        for id in queued.chain(self.comparing.clear()).chain(self.asking.clear()) {
            if let Some(task) = self.partitions.get_mut(&id) {
                task.under_way -= 1;
            }
        }
        let deadline = Instant::now() + WIND_DOWN;
        let dispatch = |driver: &Self| driver.partitions.values().any(|task| task.under_way > 0);
        while dispatch(self) {
            let cluster = self.cluster.clone();
            let ended = tokio::time::timeout_at(deadline, self.tasks.join_next());
            match within_budget(&cluster, CALLS, ended).await {
                Some(Ok(Some(report))) => self.note(report),
                Some(Ok(None) | Err(_)) | None => break,
            }
        }
    }
}

/// The same for all partitions of its table.
fn of_the_whole_table(action: &Action) -> Action {
    match action.clone() {
        Action::MarkAlive { table, endpoint, alive, .. } => Action::MarkAlive { table, pid: None, endpoint, alive },
        other => other,
    }
}

/// Sends one action and says how it went.
pub(super) async fn send(cluster: &Cluster, action: &Action) -> Outcome {
    outcome_of(&cluster.act(action).await)
}

/// How a call went.
pub fn outcome_of(done: &Result<(), CallError>) -> Outcome {
    match done {
        Ok(()) => Outcome::Applied,
        Err(error) => match (error.code(), error.outcome()) {
            (Some(code), _) => Outcome::Refused { code, error: error.to_string() },
            (None, cluster::Outcome::NotApplied) => Outcome::NotApplied(error.to_string()),
            (None, cluster::Outcome::Unknown) => Outcome::Unknown(error.to_string()),
        },
    }
}
