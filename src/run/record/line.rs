//! The lines of a record, and their text: one JSON object a line, the first of which says which version they have.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::{Action, Endpoint, Offset, PartitionId, Snapshot, TableName};
use crate::recovery::{Before, Blocked, Choice, Loss, Outcome, PersistedMemory, WaitFor};

use super::super::arranging::Arranging;
use super::super::event::Milestone;
use super::super::hold::HeldFor;
use super::super::kept::PlanId;
use super::super::outstanding::OutstandingWork;
use super::super::process::{Liveness, ProcessIdentity};
use super::super::progress::{Expected, Progress};
use super::super::run_id::RunId;
use super::archive::append;

/// The version of the lines written. Version 1 had the first and the last line only.
pub const VERSION: u32 = 2;

/// One line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
pub enum Line {
    /// The first: everything as it was before the first change.
    Begun(Box<RunHeader>),
    /// A leader was chosen.
    Chosen {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Which table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// The choice and its reasons.
        choice: Box<Choice>,
    },
    /// Something has to happen by itself first.
    Waiting {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Which partition.
        partition: PartitionId,
        /// For what.
        what: WaitFor,
        /// What was seen.
        seen: String,
    },
    /// A mutating call is about to be sent. Without its [`Line::Went`] it may have been sent, and may have worked.
    Sending {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Counts the calls of a run.
        number: u64,
        /// The playbook's step.
        step: String,
        /// Which partition; none for the cluster's steps.
        partition: Option<PartitionId>,
        /// The call.
        action: Action,
        /// Why.
        why: String,
    },
    /// A call that recovery never makes is about to be sent: one of the handbook's steps. As [`Line::Sending`] otherwise.
    Command {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Counts the calls of a run, of both kinds.
        number: u64,
        /// The step's code.
        step: String,
        /// The call, as the handbook writes it.
        command: String,
        /// Why.
        why: String,
    },
    /// How a call went.
    Went {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Which call.
        number: u64,
        /// How.
        outcome: Outcome,
    },
    /// What has to be remembered of a replica from here on, should the run end here.
    Remembered {
        /// Which partition.
        partition: PartitionId,
        /// Where.
        endpoint: Endpoint,
        /// What.
        memory: PersistedMemory,
    },
    /// A partition reached a milestone.
    Reached {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Which table.
        table: TableName,
        /// Which partition.
        partition: PartitionId,
        /// Which milestone.
        state: Milestone,
        /// Why it is left alone, if it is.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        blocked: Option<Blocked>,
    },
    /// Somebody has said that the nameserver may replace a replica, whatever it holds.
    Released {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Which partition.
        partition: PartitionId,
        /// Where the replica is.
        endpoint: Endpoint,
    },
    /// At its end a leader does not replicate to another cluster.
    Detached {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// Which partition.
        partition: PartitionId,
        /// The replica there.
        remote: Endpoint,
        /// The leader.
        leader: Endpoint,
        /// Where its log ended when the replica there lost touch with it; none where nobody knows.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        led_from: Option<Offset>,
    },
    /// Somebody else has switched auto_failover on: it is restored so.
    FailoverWanted {
        /// Milliseconds since the run began.
        at_ms: u64,
    },
    /// What the run was expected to take.
    Expected {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// By its plan.
        #[serde(flatten)]
        expected: Expected,
    },
    /// How far the run has come.
    Progress {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// In numbers.
        #[serde(flatten)]
        progress: Box<Progress>,
    },
    /// How far an undertaking has come.
    Arranging {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// In numbers.
        #[serde(flatten)]
        arranging: Box<Arranging>,
    },
    /// Something to know.
    Note {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// The sentence.
        text: String,
    },
    /// The last: how it ended.
    Ended {
        /// Milliseconds since the run began.
        at_ms: u64,
        /// The summary's verdict.
        verdict: String,
        /// auto_failover is as it was before.
        restored: bool,
        /// The replicas for which it is kept off.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        held_for: Vec<HeldFor>,
        /// Nothing of the run matters to a later one.
        finished: bool,
        /// What the cluster was still doing because of the run.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        still_going_on: Vec<OutstandingWork>,
    },
    /// The run's process has ended.
    Exited {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// With which exit code.
        code: u8,
    },
    /// Somebody has said that nobody is going on with it. Comes after the run, and however it ended.
    Dismissed {
        /// When, in milliseconds since 1970.
        at_ms: u64,
        /// Who.
        by: Caller,
    },
}

/// What a run is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Work {
    /// To bring partitions back.
    Recovery,
    /// To move replicas or leaders: scaling, an upgrade, a handover.
    Reconfiguration,
    /// To restore auto_failover, and nothing else.
    FailoverRestore,
    /// One of the handbook's steps.
    Step,
}

/// The first line.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunHeader {
    /// The lines' version.
    pub version: u32,
    /// The run.
    pub run: RunId,
    /// Who runs it.
    #[serde(default)]
    pub caller: Caller,
    /// What the cluster is called.
    pub cluster: String,
    /// What it is for; none in records of an earlier version of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub work: Option<Work>,
    /// The playbook's name; what else it is called if it has none.
    #[serde(default)]
    pub playbook: String,
    /// Whether all of the cluster is in scope.
    #[serde(default)]
    pub all: bool,
    /// Whether auto_failover was on.
    pub auto_failover: bool,
    /// The plan that was accepted, as a whole or in what it loses.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanId>,
    /// The losses that were accepted.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub accepted: BTreeMap<PartitionId, Vec<Loss>>,
    /// The replicas for which earlier runs keep auto_failover off.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub held_for: Vec<HeldFor>,
    /// The unfinished run that it goes on after.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<RunId>,
    /// Flags and offsets of the partitions in scope.
    pub before: Vec<Before>,
    /// All that was seen.
    pub snapshot: Box<Snapshot>,
}

/// Who runs a command.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Caller {
    /// The host's name.
    pub host: String,
    /// The process's number.
    pub pid: u32,
    /// The command line. Secrets are never on it: they come from files or the environment.
    pub command: String,
    /// What tells the process from every other one; none where nobody knows.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub process: Option<ProcessIdentity>,
    /// Who had it run.
    #[serde(default, skip_serializing_if = "By::is_person")]
    pub by: By,
}

/// Who has a command run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum By {
    /// Somebody who has typed it.
    #[default]
    Person,
    /// `guard`, by itself.
    Guard,
}

impl By {
    /// Whether somebody has typed it.
    pub fn is_person(&self) -> bool {
        *self == Self::Person
    }
}

impl Caller {
    /// Whether the process is still there.
    pub fn liveness(&self) -> Liveness {
        self.process.as_ref().map_or(Liveness::Unknown, |process| process.liveness(self.pid))
    }
}

impl RunHeader {
    /// The header of work that begins at a time (in milliseconds since 1970) on what was seen, accepts nothing and continues
    /// nothing. `typed` is what it is called.
    pub fn new(began_ms: u64, caller: &Caller, work: Work, typed: String, seen: Snapshot) -> Self {
        Self {
            version: VERSION,
            run: RunId { began_ms, number: 0 },
            caller: caller.clone(),
            cluster: seen.cluster.clone(),
            work: Some(work),
            playbook: typed,
            all: false,
            auto_failover: seen.auto_failover,
            plan: None,
            accepted: BTreeMap::new(),
            held_for: Vec::new(),
            after: None,
            before: Vec::new(),
            snapshot: Box::new(seen),
        }
    }

    /// What the run is for.
    pub fn work(&self) -> Work {
        self.work.unwrap_or(match self.playbook.as_str() {
            "failover restore" => Work::FailoverRestore,
            "scale out" | "scale in" | "upgrade pre" | "upgrade post" | "leader handover" => Work::Reconfiguration,
            _ => Work::Recovery,
        })
    }
}

impl Line {
    /// The line's text, with its end.
    ///
    /// # Errors
    /// It holds something that JSON cannot say: a bug.
    pub fn text(&self) -> io::Result<Vec<u8>> {
        let mut text = serde_json::to_vec(self)?;
        text.push(b'\n');
        Ok(text)
    }
}

/// Adds to a record with which exit code its process ends, and when, in milliseconds since 1970.
///
/// # Errors
/// The record is not there any more, or cannot be written: then it is as it was.
pub fn note_exit(record: &Path, at_ms: u64, code: u8) -> io::Result<()> {
    append(record, &Line::Exited { at_ms, code })
}
