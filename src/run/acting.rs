//! Sending what was decided: written down first, one sync for all that goes out together; then what came of it.

use std::time::Duration;

use tokio::time::Instant;

use crate::cluster::{self, Cluster};
use crate::model::{Action, PartitionId};
use crate::recovery::{Intent, Outcome};

use super::driver::{Driver, Report, Stop};
use super::event::Event;
use super::looks::{self, POLL_MIN};

/// How old a decision may be when it is carried out.
const OVERDUE: Duration = Duration::from_secs(1);
/// How long calls under way may take to end once a run is told to stop.
const WIND_DOWN: Duration = Duration::from_secs(30);

impl Driver {
    /// Sends what the lanes allow. What cannot be written down is not sent, and the run stops.
    pub(super) fn dispatch(&mut self) -> Option<Stop> {
        let mut going_out = Vec::new();
        for (id, intent) in self.lanes.take() {
            if self.recall(id, &intent) {
                continue;
            }
            let number = self.write_down(id, &intent);
            going_out.push((id, intent, number));
        }
        if going_out.is_empty() {
            self.settings.record.write();
            return self.settings.record.broken().map(|_| Stop::Unrecorded);
        }
        if self.settings.record.sync().is_err() {
            for (id, ..) in going_out {
                if let Some(case) = self.cases.get_mut(&id) {
                    case.under_way -= 1;
                }
            }
            return Some(Stop::Unrecorded);
        }
        for (id, intent, number) in going_out {
            let (step, action, why) = (intent.step, intent.action.clone(), intent.why.clone());
            (self.settings.listener)(&Event::Action { step, partition: Some(id), action, why });
            let cluster = self.cluster.clone();
            self.tasks.spawn(async move {
                let outcome = send(&cluster, &intent.action).await;
                Report::Acted(id, number, Box::new(intent), outcome)
            });
        }
        None
    }

    /// Writes a call down, and what will have to be remembered should nobody hear of it again.
    fn write_down(&self, id: PartitionId, intent: &Intent) -> u64 {
        let record = &self.settings.record;
        let number = record.sending(intent.step, Some(id), &intent.action, &intent.why);
        if let (Some(view), Some(case)) = (self.view(id), self.cases.get(&id)) {
            let newest_op = self.index.newest_op;
            let mut unheard = case.memory.clone();
            unheard.note_unheard(&view, intent, newest_op);
            record.remember_unless_heard(number, id, &case.memory, &unheard);
        }
        number
    }

    /// What had to queue for long may not be right any more: its partition is looked at and decided on again, and goes
    /// first then. Loading is right as long as it was not sent.
    fn recall(&mut self, id: PartitionId, intent: &Intent) -> bool {
        let Some(case) = self.cases.get_mut(&id) else { return false };
        if matches!(intent.action, Action::LoadTable { .. }) || case.decided.elapsed() < OVERDUE {
            return false;
        }
        self.lanes.ended(&intent.action);
        self.now += 1;
        case.under_way -= 1;
        case.recalled = true;
        case.outdate(self.now);
        for endpoint in &case.endpoints {
            let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
            probes.into_iter().for_each(looks::outdate);
        }
        self.stirred.insert(id);
        self.next_look = Instant::now();
        true
    }

    pub(super) fn note_action(&mut self, id: PartitionId, number: u64, intent: &Intent, outcome: &Outcome) {
        self.settings.record.went(number, outcome);
        self.lanes.ended(&intent.action);
        self.now += 1;
        let newest_op = self.index.newest_op;
        let view = self.view(id);
        let Some(case) = self.cases.get_mut(&id) else { return };
        case.under_way -= 1;
        self.stirred.insert(id);
        case.acted(&intent.action, self.now);
        if let Some(view) = view {
            case.memory.note_outcome(&view, intent, outcome, newest_op);
        }
        self.settings.record.remember(id, &case.memory);
        for endpoint in &case.endpoints {
            let probes = self.snapshot.tablets.get_mut(endpoint).and_then(|tablet| tablet.probes.get_mut(&id));
            if let Some(probes) = probes {
                looks::forget(probes, &intent.action);
            }
        }
        if let Outcome::Refused { error, .. } | Outcome::NotApplied(error) | Outcome::Unknown(error) = outcome {
            let (step, action, error) = (intent.step, intent.action.clone(), error.clone());
            (self.settings.listener)(&Event::ActionFailed { step, partition: Some(id), action, error });
            // The nameserver may think of a tablet what it did not before.
            self.doubt_nameserver = true;
        } else {
            self.pause = POLL_MIN;
            self.next_look = self.next_look.min(Instant::now() + POLL_MIN);
        }
    }

    /// Sends nothing more, and waits for what was sent.
    pub(super) async fn wind_down(&mut self) {
        for (id, _) in self.lanes.clear() {
            if let Some(case) = self.cases.get_mut(&id) {
                case.under_way -= 1;
            }
        }
        let deadline = Instant::now() + WIND_DOWN;
        let acting = |driver: &Self| driver.cases.values().any(|case| case.under_way > 0);
        while acting(self) {
            match tokio::time::timeout_at(deadline, self.tasks.join_next()).await {
                Ok(Some(report)) => self.note(report),
                Ok(None) | Err(_) => break,
            }
        }
    }
}

/// Sends one action and says how it went.
pub(super) async fn send(cluster: &Cluster, action: &Action) -> Outcome {
    match cluster.act(action).await {
        Ok(()) => Outcome::Applied,
        Err(error) => match (error.code(), error.outcome()) {
            (Some(code), _) => Outcome::Refused { code, error: error.to_string() },
            (None, cluster::Outcome::NotApplied) => Outcome::NotApplied(error.to_string()),
            (None, cluster::Outcome::Unknown) => Outcome::Unknown(error.to_string()),
        },
    }
}
