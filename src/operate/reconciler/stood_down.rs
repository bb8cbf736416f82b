//! Which leaders have stepped down, and at which offset: in memory, and on disk for a run that continues.

use crate::model::{Endpoint, Offset, Snapshot};

use super::super::goal::Goal;
use super::super::partition_context::PartitionContext;
use super::super::state_dir::{StateDir, StateDirError, StoodDown};

/// Leaders that have stepped down and are not back as followers.
pub(in super::super) struct StoodDowns {
    state_dir: StateDir,
    all: Vec<StoodDown>,
}

impl StoodDowns {
    /// Those that an earlier process wrote down.
    ///
    /// # Errors
    /// They cannot be read.
    pub(in super::super) fn read(state_dir: &StateDir) -> Result<Self, StateDirError> {
        Ok(Self { state_dir: state_dir.clone(), all: state_dir.stood_down()? })
    }

    /// Where a leader stepped down that is to be brought back as follower.
    pub(super) fn led_until(&self, seen: &Snapshot, goal: &Goal, endpoint: &Endpoint) -> Option<Offset> {
        let id = goal.id(seen)?;
        self.all.iter().find(|old| old.partition == id && old.endpoint == *endpoint).map(|old| old.at)
    }

    /// Nobody but this process and its file knows that the old leader holds nothing that the new one does not.
    pub(super) fn note(&mut self, seen: &Snapshot, goal: &Goal) -> Result<(), StateDirError> {
        let Ok(place) = PartitionContext::find(seen, &goal.table, goal.pid) else { return Ok(()) };
        let Some(endpoint) = place.leader().cloned() else { return Ok(()) };
        let Some(at) = place.loaded(&endpoint).map(|held| held.offset) else { return Ok(()) };
        let partition = place.id();
        self.all.retain(|old| old.partition != partition);
        self.all.push(StoodDown { partition, endpoint, at });
        self.state_dir.note_stood_down(&self.all)
    }

    /// It is a follower now.
    pub(super) fn is_back(&mut self, seen: &Snapshot, goal: &Goal, endpoint: &Endpoint) {
        let (before, id) = (self.all.len(), goal.id(seen));
        self.all.retain(|old| Some(old.partition) != id || old.endpoint != *endpoint);
        if self.all.len() < before {
            // What is written down once too often is held against what is there before it is believed.
            let _ = self.state_dir.note_stood_down(&self.all);
        }
    }
}
