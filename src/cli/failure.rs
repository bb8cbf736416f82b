//! What a command that could not do its work says, and the exit codes.

use std::fmt;

use crate::cluster::{CallError, CallErrorKind, CredentialsError, DiscoveryError};
use crate::model::{Endpoint, Snapshot};
use crate::playbook::PlaybookError;
use crate::run::{
    By, Difference, LockError, PlanFileError, RecordError, RecoverError, Refusal, Rpc, Scope, ScopeError, Status, Stop,
    Summary, Verdict, meant, summary_of_status, what_to_do,
};
use crate::snapshot::FileError;
use crate::ui::{CheckState, kept_off_text};

/// The exit codes, each with its meaning. README lists them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Everything in scope is healthy, or a dry run found nothing blocked.
    Healthy,
    /// The work could not be done: unreachable, wrong root path, credentials, garbage, no tablets.
    Error,
    /// The command line, a playbook or a snapshot is wrong.
    Usage,
    /// `status`: something is unhealthy.
    Unhealthy,
    /// Some partitions are blocked, not recovered or not redundant.
    Partial,
    /// The plan or the acknowledgement does not fit what is there.
    Refused,
    /// Another run holds the lock, or it was lost.
    Locked,
    /// The run's deadline passed.
    Deadline,
    /// auto_failover could not be restored. Wins over all others.
    NotRestored,
    /// Interrupted by this signal, cleaned up.
    Signal(i32),
    /// `status --check`, as Nagios has it.
    Checked(CheckState),
}

impl Exit {
    /// The number.
    pub fn code(self) -> u8 {
        match self {
            Self::Healthy => 0,
            Self::Error => 1,
            Self::Usage => 2,
            Self::Unhealthy => 3,
            Self::Partial => 4,
            Self::Refused => 5,
            Self::Locked => 6,
            Self::Deadline => 7,
            Self::NotRestored => 9,
            Self::Checked(state) => state.code(),
            // 128 and the signal's number, as shells have it.
            Self::Signal(number) => u8::try_from(128 + number).unwrap_or(130),
        }
    }
}

/// What a command that was stopped ends with.
pub(super) fn exit_of_stop(stop: Stop) -> Exit {
    match stop {
        Stop::No => Exit::Healthy,
        Stop::Signal(number) => Exit::Signal(number),
        Stop::Deadline => Exit::Deadline,
        Stop::Unrecorded | Stop::NoNameserver => Exit::Error,
        Stop::LockLost => Exit::Locked,
    }
}

/// A command that could not do its work: one message, a hint, an exit code.
#[derive(Debug)]
pub struct Failure {
    /// The exit code.
    pub exit: Exit,
    /// What happened.
    pub error: anyhow::Error,
    /// What to do next, if there is more to say than the message does.
    pub hint: Option<String>,
    /// The summary, if a cluster or a file was read before.
    pub summary: Option<Box<Summary>>,
    /// Where a plan does not fit, field by field.
    pub differences: Vec<Difference>,
}

impl Failure {
    /// The command line, or a file it names, is wrong.
    pub fn usage(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Usage, error: error.into(), hint: None, summary: None, differences: Vec::new() }
    }

    /// The work could not be done.
    pub fn error(error: impl Into<anyhow::Error>) -> Self {
        Self { exit: Exit::Error, error: error.into(), hint: None, summary: None, differences: Vec::new() }
    }

    /// It was stopped before it had changed anything.
    pub fn stopped(stop: Stop) -> Self {
        Self { exit: exit_of_stop(stop), ..Self::error(anyhow::anyhow!("stopped before anything was changed")) }
    }

    /// With a hint.
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// With the summary of a command that could not do its work.
    pub fn failed(mut self, summary: Summary) -> Self {
        let verdict = match self.exit {
            Exit::Refused => Verdict::Refused,
            Exit::Signal(_) | Exit::Deadline => Verdict::Interrupted,
            _ => Verdict::Failed,
        };
        self.summary = Some(Box::new(Summary { verdict, ..summary }));
        self
    }

    /// With what was seen before it: nothing was changed.
    pub fn after_looking(self, seen: &Snapshot, scope: &Scope, rpc: Rpc) -> Self {
        self.failed(summary_of_status(&Status::of(seen, scope), rpc))
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The messages of our own errors say their sources already.
        write!(f, "{}", self.error)
    }
}

macro_rules! failures {
    ($($kind:ident: $($error:ty),+;)*) => {
        $($(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::$kind(error)
            }
        })+)*
    };
}

failures! {
    usage: PlaybookError, ScopeError, CredentialsError, FileError;
    error: RecordError, std::io::Error;
}

impl From<DiscoveryError> for Failure {
    fn from(error: DiscoveryError) -> Self {
        match error {
            DiscoveryError::BadServers { .. } | DiscoveryError::BadRoot { .. } => Self::usage(error),
            other => Self::error(other),
        }
    }
}

impl From<CallError> for Failure {
    fn from(error: CallError) -> Self {
        match &error.kind {
            CallErrorKind::NotOurs(identity) => {
                let hint = what_to_do(identity);
                Self::error(error).hint(hint)
            }
            _ => Self::error(error),
        }
    }
}

impl From<LockError> for Failure {
    fn from(error: LockError) -> Self {
        match &error {
            LockError::HeldBy { holder } if holder.caller.by == By::Guard => {
                let text = "wait until it has ended; or have guards give way, which takes seconds, with `openmldb-ops guard pause 1h \
                            --why TEXT`, then run again";
                Self { exit: Exit::Locked, ..Self::error(error) }.hint(text)
            }
            LockError::HeldBy { holder } => {
                let text = format!(
                    "wait until it has ended, or interrupt it on {}: `kill -INT {}`, then run again",
                    holder.caller.host, holder.caller.pid
                );
                Self { exit: Exit::Locked, ..Self::error(error) }.hint(text)
            }
            LockError::ZooKeeper(_) | LockError::Call(_) | LockError::File { .. } | LockError::Text { .. } => {
                Self::error(error)
            }
        }
    }
}

impl From<PlanFileError> for Failure {
    fn from(error: PlanFileError) -> Self {
        match error {
            PlanFileError::Changed { .. } => {
                let hint = "nothing was changed; make a new plan with --dry-run; change the playbook, not the plan";
                Self { exit: Exit::Refused, ..Self::error(error) }.hint(hint)
            }
            other => Self::usage(other),
        }
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let hint = match &refusal {
            Refusal::Differs { .. } => "nothing was changed; make a new plan with --dry-run",
            Refusal::OtherPlan { .. } => {
                "nothing was changed; --dry-run shows what would be lost now, and prints the id to use"
            }
            Refusal::NothingWithout { .. } => "nothing was changed; --dry-run lists what is lost, replica by replica",
            Refusal::SeveralPartitions { .. } => "nothing was changed; name one with --partition D.T/PID",
            Refusal::NoSuchReplica { endpoint, replicas, .. } => {
                &match meant(endpoint.as_str(), replicas.iter().map(Endpoint::as_str)) {
                    Some(meant) => format!("nothing was changed; did you mean {meant}?"),
                    None => "nothing was changed; name one of these".to_owned(),
                }
            }
            Refusal::LedByAnother { endpoint, partition, leader } => &format!(
                "nothing was changed; `openmldb-ops leader handover {partition} --to {endpoint}` promotes it if it holds everything \
                 its leader holds. To promote it anyway, switch auto_failover off, restart the tablet {leader}, then run this again"
            ),
            Refusal::NobodyThere { .. } => "nothing was changed; `openmldb-ops show tablets` names the tablets",
        };
        let exit = match &refusal {
            Refusal::NoSuchReplica { .. } | Refusal::NobodyThere { .. } => Exit::Usage,
            _ => Exit::Refused,
        };
        let differences = refusal.differences().to_vec();
        Self { exit, differences, ..Self::error(refusal) }.hint(hint)
    }
}

impl From<RecoverError> for Failure {
    fn from(error: RecoverError) -> Self {
        match error {
            RecoverError::Refused(refusal) => refusal.into(),
            RecoverError::Stopped { stop } => Self::stopped(stop),
            RecoverError::Scope(error) => Self::usage(error),
            RecoverError::Lock(error) => error.into(),
            RecoverError::KeptOff { ref held_for } => {
                let hint = kept_off_text(held_for);
                Self { exit: Exit::Refused, ..Self::error(error) }.hint(hint)
            }
            RecoverError::Call(error) => error.into(),
            RecoverError::Step { not_restored: Some(ref why), .. }
            | RecoverError::NotSeenAgain { not_restored: Some(ref why), .. } => {
                let error = anyhow::anyhow!("{error}; and auto_failover could not be restored: {why}");
                Self { exit: Exit::NotRestored, ..Self::error(error) }
            }
            // It is as the earlier run left it, whatever that is.
            RecoverError::NotSeen { error, not_restored: Some(why) } => {
                let hint = "once the cluster answers, recover again, or restore auto_failover: `openmldb-ops failover \
                    restore`";
                let told = anyhow::anyhow!("{error}; and auto_failover was on once: {why}");
                Self { exit: Self::from(error).exit, ..Self::error(told) }.hint(hint)
            }
            RecoverError::NotSeen { error, not_restored: None } => error.into(),
            other => Self::error(other),
        }
    }
}
