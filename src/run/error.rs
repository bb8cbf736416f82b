//! Why a recovery did nothing, and what it could not give back.

use crate::cluster::CallError;

use super::driver::Stop;
use super::failover::StepError;
use super::hold::{HeldFor, why_held};
use super::kept::Refusal;
use super::lock::LockError;
use super::record::RecordError;
use super::scope::ScopeError;

/// Why a recovery did nothing.
#[derive(Debug, thiserror::Error)]
pub enum RecoverError {
    /// The cluster did not answer.
    #[error(transparent)]
    Call(#[from] CallError),
    /// Something asked for does not exist.
    #[error(transparent)]
    Scope(#[from] ScopeError),
    /// What was could not be written down.
    #[error(transparent)]
    Record(#[from] RecordError),
    /// Another run is at work, or nobody knows.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// What was accepted does not fit what is there.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// The cluster has no tablets.
    #[error("the nameserver knows no tablets; start the tablets first")]
    NoTablets,
    /// It was told to stop before it had changed anything.
    #[error("stopped before anything was changed")]
    Stopped {
        /// By what.
        stop: Stop,
    },
    /// The steps before any partition failed. auto_failover was restored, unless `not_restored` says otherwise.
    #[error("{error}")]
    Step {
        /// Why.
        error: StepError,
        /// auto_failover could not be restored either.
        not_restored: Option<String>,
        /// auto_failover is kept off for these.
        held_for: Box<[HeldFor]>,
    },
    /// `failover restore` must not do it.
    #[error("auto_failover stays off: {}", why_held(held_for))]
    KeptOff {
        /// Because of these.
        held_for: Box<[HeldFor]>,
    },
    /// `failover restore` could not do it.
    #[error("auto_failover could not be restored: {seen}")]
    NotGivenBack {
        /// What it was.
        was: bool,
        /// What was seen last.
        seen: String,
    },
    /// The cluster does not answer from the start.
    #[error("{error}")]
    NotSeen {
        /// Why.
        error: CallError,
        /// auto_failover is owed by a run that did not finish, and could not be restored.
        not_restored: Option<String>,
    },
    /// The run came to its end, and the cluster does not answer any more.
    #[error("the result could not be checked: {error}")]
    NotSeenAgain {
        /// Why.
        error: CallError,
        /// auto_failover could not be restored either.
        not_restored: Option<String>,
        /// auto_failover is kept off for these.
        held_for: Box<[HeldFor]>,
    },
}
