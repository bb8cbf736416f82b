//! The lines of a record on their way to its paper: what was noted, what is written, what is on disk. A call may be sent once its
//! line is on disk; what never came so far was never sent, and its line is taken back.

use std::collections::BTreeMap;
use std::io;

use crate::model::{Action, Endpoint, PartitionId};
use crate::recovery::{ByEndpoint, Outcome, PersistedMemory};

use super::super::hold::HeldFor;
use super::super::outstanding::OutstandingWork;
use super::archive::RecordWriter;
use super::line::Line;

/// A call that was noted.
#[derive(Debug, Clone)]
pub(super) enum Called {
    /// One of recovery's.
    Action(Option<PartitionId>, Action),
    /// Another one, as the handbook writes it.
    Command(String),
}

impl Called {
    fn sets_failover(&self) -> bool {
        matches!(self, Self::Action(_, Action::SetAutoFailover { .. }))
    }
}

/// What a run owes of auto_failover.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owes {
    /// Nothing: it was off before, was restored, or is none of its business.
    Nothing,
    /// Nothing until it switches it off.
    FailoverOnceOff,
    /// To restore it.
    Failover,
}

/// A line that is not on disk yet.
struct Fresh {
    text: Vec<u8>,
    /// The call that it announces, or takes for sent.
    of_call: Option<u64>,
}

/// All that a record has beside its name.
pub(super) struct RecordBuffer {
    paper: Box<dyn RecordWriter>,
    fresh: Vec<Fresh>,
    /// How many of them are written.
    written: usize,
    pub(super) calls: u64,
    /// Calls that must not be sent yet.
    noted: BTreeMap<u64, Called>,
    /// Calls that may be under way.
    under_way: BTreeMap<u64, Called>,
    pub(super) remembered: BTreeMap<PartitionId, ByEndpoint<PersistedMemory>>,
    /// Replicas that are remembered as if their call had not been heard of again, with the call.
    unheard: BTreeMap<PartitionId, Vec<(u64, Endpoint)>>,
    /// The replicas for which auto_failover is kept off.
    pub(super) held_for: Vec<HeldFor>,
    /// Somebody else has switched auto_failover on.
    pub(super) failover_wanted: bool,
    /// The last ConfSet of auto_failover was sent and has no answer: it may still be carried out, whatever is read now.
    pub(super) failover_in_doubt: bool,
    /// Why it can be written no more.
    pub(super) broken: Option<String>,
    pub(super) owes: Owes,
}

impl RecordBuffer {
    pub(super) fn new(paper: Box<dyn RecordWriter>) -> Self {
        Self {
            paper,
            fresh: Vec::new(),
            written: 0,
            calls: 0,
            noted: BTreeMap::new(),
            under_way: BTreeMap::new(),
            remembered: BTreeMap::new(),
            unheard: BTreeMap::new(),
            held_for: Vec::new(),
            failover_wanted: false,
            failover_in_doubt: false,
            broken: None,
            owes: Owes::Nothing,
        }
    }

    pub(super) fn note(&mut self, line: &Line) {
        self.note_for(None, line);
    }

    fn note_for(&mut self, of_call: Option<u64>, line: &Line) {
        match line.text() {
            Ok(text) if self.broken.is_none() => self.fresh.push(Fresh { text, of_call }),
            // Nothing follows after what could not be written.
            Ok(_) => {}
            Err(error) => self.break_off(&error),
        }
    }

    /// Notes a call: its line, which is made with its number.
    pub(super) fn note_call(&mut self, call: Called, line: impl FnOnce(u64) -> Line) -> u64 {
        self.calls += 1;
        let number = self.calls;
        self.noted.insert(number, call);
        self.note_for(Some(number), &line(number));
        number
    }

    /// The call is sent, on disk or not.
    pub(super) fn is_sent(&mut self, number: u64, call: Called) {
        self.noted.remove(&number);
        self.failover_in_doubt |= call.sets_failover();
        self.under_way.insert(number, call);
    }

    /// How a call went.
    pub(super) fn went(&mut self, number: u64, outcome: &Outcome) {
        if self.under_way.get(&number).is_some_and(Called::sets_failover) {
            self.failover_in_doubt = matches!(outcome, Outcome::Unknown(_));
        }
        self.is_answered(number);
    }

    fn is_answered(&mut self, number: u64) {
        let called = self.under_way.remove(&number);
        if let Some(Called::Action(Some(partition), _)) = called {
            self.forget_unheard(partition, number);
        }
    }

    fn forget_unheard(&mut self, partition: PartitionId, number: u64) {
        if let Some(unheard) = self.unheard.get_mut(&partition) {
            unheard.retain(|(call, _)| *call != number);
            if unheard.is_empty() {
                self.unheard.remove(&partition);
            }
        }
    }

    pub(super) fn unanswered(&self) -> Vec<OutstandingWork> {
        let going_on = |call: &Called| match call {
            Called::Action(_, action) => OutstandingWork::Call { action: action.clone() },
            Called::Command(command) => OutstandingWork::Command { command: command.clone() },
        };
        self.under_way.values().map(going_on).collect()
    }

    /// Whether a replica is remembered as if nothing had been heard of a call.
    pub(super) fn is_unheard(&self, partition: PartitionId, endpoint: &Endpoint) -> bool {
        self.unheard.get(&partition).into_iter().flatten().any(|(_, replica)| replica == endpoint)
    }

    /// What has to be remembered of a replica; for as long as nothing is heard of a call, if one is named.
    pub(super) fn remember(
        &mut self,
        partition: PartitionId,
        endpoint: &Endpoint,
        memory: PersistedMemory,
        of_call: Option<u64>,
    ) {
        if let Some(number) = of_call {
            self.unheard.entry(partition).or_default().push((number, endpoint.clone()));
        }
        let replicas = self.remembered.entry(partition).or_default();
        if replicas.get(endpoint).map_or(memory == PersistedMemory::default(), |known| *known == memory) {
            return;
        }
        replicas.insert(endpoint.clone(), memory.clone());
        self.note_for(of_call, &Line::Remembered { partition, endpoint: endpoint.clone(), memory });
    }

    /// Writes what was noted.
    pub(super) fn write(&mut self) -> Result<(), String> {
        if let Some(error) = &self.broken {
            return Err(error.clone());
        }
        let fresh = &self.fresh[self.written..];
        let written = match fresh {
            [] => return Ok(()),
            // The first line of a record is as long as the cluster is big.
            [line] => self.paper.write(&line.text),
            lines => self.paper.write(&lines.iter().flat_map(|line| &line.text).copied().collect::<Vec<u8>>()),
        };
        match written {
            Ok(()) => self.written = self.fresh.len(),
            Err(error) => self.break_off(&error),
        }
        self.unless_broken()
    }

    /// Writes what was noted, and makes sure that it is on disk: then the calls among it may be sent.
    pub(super) fn sync(&mut self) -> Result<(), String> {
        self.write()?;
        if self.fresh.is_empty() {
            return Ok(());
        }
        match self.paper.sync() {
            Ok(()) => {
                (self.written, self.fresh) = (0, Vec::new());
                self.failover_in_doubt |= self.noted.values().any(Called::sets_failover);
                self.under_way.append(&mut self.noted);
            }
            Err(error) => self.break_off(&error),
        }
        self.unless_broken()
    }

    /// The last line. It is tried, even if others could not be written: it may fit where they were taken back.
    pub(super) fn end(&mut self, line: &Line) -> Result<(), String> {
        if self.broken.is_none() {
            self.note(line);
            return self.sync();
        }
        let written = line.text().and_then(|text| self.paper.write(&text)).and_then(|()| self.paper.sync());
        written.map_err(|error| {
            self.take_back();
            error.to_string()
        })
    }

    fn unless_broken(&self) -> Result<(), String> {
        self.broken.clone().map_or(Ok(()), Err)
    }

    /// Nobody knows how much of the last lines is on disk. They are taken back, and written again without the calls among them,
    /// which are not sent. Nothing is added after that, but the end.
    fn break_off(&mut self, error: &io::Error) {
        if self.broken.is_some() {
            return;
        }
        self.broken = Some(error.to_string());
        let never_sent = std::mem::take(&mut self.noted);
        for (number, call) in &never_sent {
            if let Called::Action(Some(partition), _) = call {
                self.forget_unheard(*partition, *number);
            }
        }
        if !self.take_back() {
            return;
        }
        let is_so = |line: &Fresh| line.of_call.is_none_or(|number| !never_sent.contains_key(&number));
        let fresh = std::mem::take(&mut self.fresh);
        let so: Vec<u8> = fresh.into_iter().filter(is_so).flat_map(|line| line.text).collect();
        if self.paper.write(&so).and_then(|()| self.paper.sync()).is_err() {
            self.take_back();
        }
    }

    /// Whether the paper holds again what it held after it was last synced.
    fn take_back(&mut self) -> bool {
        let taken = self.paper.take_back();
        if let Err(error) = &taken {
            tracing::error!(%error, "the record's last lines could not be taken back");
        }
        taken.is_ok()
    }
}
