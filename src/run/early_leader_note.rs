//! A leader is chosen: written down, and where nobody could look at some of its replicas, or what they hold beyond it was given up by
//! somebody's word, told to every other host before anything is sent because of it. From then on the leader takes writes that those
//! replicas may hold something else instead of.

use std::sync::Arc;

use crate::cluster::Hold;
use crate::model::PartitionId;
use crate::recovery::{Choice, View};

use super::driver::{Driver, Report};
use super::event::Event;
use super::lock::{Lock, LockError, Note};

/// What other hosts are told by.
pub struct EarlyLeaderNote {
    /// Where the note is left.
    pub lock: Arc<dyn Lock>,
    /// What it says.
    pub note: Note,
    /// Whether it is there.
    pub told: bool,
}

impl EarlyLeaderNote {
    /// What it says while leaders may serve whose followers nobody has looked at.
    pub(super) fn of_early_leaders(&self) -> Note {
        Note { serves_early: true, unseen: Vec::new(), ..self.note.clone() }
    }

    /// The same as is said now, and that somebody wants auto_failover on.
    pub(super) fn wanting_failover_on(&self) -> Note {
        let note = if self.told { self.of_early_leaders() } else { self.note.clone() };
        Note { auto_failover: Some(true), ..note }
    }
}

impl Driver {
    /// Notes the choice. False if others have to be told first.
    pub(super) fn note_choice(&mut self, id: PartitionId, view: &View, choice: Box<Choice>) -> bool {
        let Some(task) = self.partitions.get_mut(&id) else { return false };
        // Without the lock nothing is sent any more, and the note may be somebody else's.
        let lost = *self.settings.hold.borrow() == Hold::Lost;
        // Within one term nobody but us could tell what was given up from what is written instead.
        let parts = !choice.given_up.is_empty() && !task.memory.accepted.is_empty();
        let is_told = choice.out_of_reach.is_empty() && !parts || self.settings.early_leader_note.told || lost;
        let (table, pid) = (view.table.clone(), id.pid.0);
        self.settings.record.chosen(&table, id, &choice);
        task.memory.choose((*choice).clone(), view.terms.last().map(|start| start.term));
        // Before anything is sent because of it.
        self.settings.record.remember(id, &task.memory);
        (self.settings.listener)(&Event::LeaderChosen { table, pid, choice });
        if !is_told {
            task.under_way += 1;
            let (lock, note) =
                (self.settings.early_leader_note.lock.clone(), self.settings.early_leader_note.of_early_leaders());
            self.tasks.spawn(async move { Report::Told(id, lock.write_note(Some(&note)).await) });
        }
        is_told
    }

    /// Others have been told. If they cannot be, the record still tells the runs on this host.
    pub(super) fn note_written(&mut self, id: PartitionId, told: Result<(), LockError>) {
        match told {
            Ok(()) => self.settings.early_leader_note.told = true,
            Err(error) => {
                let text = format!(
                    "other hosts cannot be told that {} is led although not all of its replicas were checked: {error}",
                    self.settings.record.name_of(id)
                );
                self.settings.record.note(&text);
                (self.settings.listener)(&Event::Note { text });
            }
        }
        if let Some(task) = self.partitions.get_mut(&id) {
            task.under_way -= 1;
            self.stirred.insert(id);
        }
    }
}
