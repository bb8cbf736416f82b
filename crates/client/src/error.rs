//! What can become of a call, told so that an operator knows what was seen and a program knows what it may repeat.

use std::time::Duration;

use openmldb_model::Identity;
use openmldb_wire::decode::Garbage;

use super::DiscoveryError;

/// nameserver: "nameserver is not leader" (docs/openmldb/calls.md#codes).
pub const NOT_LEADER: i32 = 300;

/// A call that did not do what was asked.
#[derive(Debug, Clone, thiserror::Error)]
#[error("{}", self.sentence())]
pub struct CallError {
    /// The server, as an operator knows it: kind and endpoint, with the address behind it where that differs.
    pub server: String,
    /// The method called.
    pub method: &'static str,
    /// What was seen.
    pub kind: CallErrorKind,
}

/// What was seen instead of success.
#[derive(Debug, Clone)]
pub enum CallErrorKind {
    /// The server answered with a code other than 0 (docs/openmldb/calls.md#codes).
    Refused {
        /// The code.
        code: i32,
        /// The text with it; wording differs between releases, match on the code.
        msg: String,
    },
    /// The call never reached a server: nothing listens, no such host, no address known for a server name.
    Unreachable {
        /// What was seen.
        seen: String,
    },
    /// No call was made: another server may be at that address.
    NotCalled {
        /// What was seen.
        seen: String,
    },
    /// No call was made: what it needs is not to be had, or is not as it has to be.
    NotPrepared {
        /// What was seen.
        seen: String,
    },
    /// The connection was closed before an answer came. OpenMLDB does that without a word when it refuses credentials
    /// (docs/openmldb/clients.md#credentials), and so does a dying server; the two cannot be told apart.
    HungUp {
        /// What was seen.
        seen: String,
    },
    /// The server said that our credentials are not good enough (newer releases than those that hang up).
    Denied {
        /// What the server said.
        msg: String,
    },
    /// No answer in time. That does not stop the server (docs/openmldb/clients.md#a-deadline-does-not-stop-the-server).
    DeadlineExceeded {
        /// How long we waited.
        after: Duration,
    },
    /// An answer that makes no sense: not gRPC, not the message expected, or a field no server would fill like that.
    Garbage {
        /// What was seen.
        seen: String,
    },
    /// An answer larger than we accept.
    TooMuch {
        /// What we accept, in bytes.
        limit: usize,
    },
    /// The server does not know the method.
    Unimplemented,
    /// The server found the request malformed.
    InvalidRequest {
        /// What the server said.
        msg: String,
    },
    /// Who is there is no cluster, or not the one that was asked for: it was not called.
    NotOurs(Box<Identity>),
    /// ZooKeeper could not be asked, or its answer leads to no nameserver: nobody was called.
    Discovery(Box<DiscoveryError>),
}

/// Whether a call that failed changed anything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It certainly did not: it may be repeated.
    NotApplied,
    /// It may have, now or later: look before doing anything again.
    Unknown,
}

impl CallError {
    /// A call to `server` that ended in `kind`.
    pub fn new(server: impl Into<String>, method: &'static str, kind: CallErrorKind) -> Self {
        Self { server: server.into(), method, kind }
    }

    /// Nobody is called: who is there is no cluster, or not the one that was asked for.
    pub fn not_ours(identity: Identity) -> Self {
        Self::new("nameserver", "", CallErrorKind::NotOurs(Box::new(identity)))
    }

    /// Nobody was called, for want of somebody to call.
    pub(super) fn discovery(method: &'static str, error: DiscoveryError) -> Self {
        Self::new("nameserver", method, CallErrorKind::Discovery(Box::new(error)))
    }

    /// Whether the call changed anything. A code counts as a refusal (docs/design/calls.md#outcomes), although a
    /// nameserver that lost ZooKeeper half way (304) may have done a part of it: read again before relying on it.
    pub fn outcome(&self) -> Outcome {
        match self.kind {
            CallErrorKind::Refused { .. }
            | CallErrorKind::Unreachable { .. }
            | CallErrorKind::NotCalled { .. }
            | CallErrorKind::NotPrepared { .. }
            | CallErrorKind::Denied { .. }
            | CallErrorKind::Unimplemented
            | CallErrorKind::InvalidRequest { .. }
            | CallErrorKind::NotOurs(_)
            | CallErrorKind::Discovery(_) => Outcome::NotApplied,
            CallErrorKind::HungUp { .. }
            | CallErrorKind::DeadlineExceeded { .. }
            | CallErrorKind::Garbage { .. }
            | CallErrorKind::TooMuch { .. } => Outcome::Unknown,
        }
    }

    /// The code, if the server answered one.
    pub fn code(&self) -> Option<i32> {
        match self.kind {
            CallErrorKind::Refused { code, .. } => Some(code),
            _ => None,
        }
    }

    /// Whether the same call may well succeed a little later, without anybody doing anything.
    pub fn is_passing(&self) -> bool {
        match self.kind {
            CallErrorKind::Refused { code, .. } => code == NOT_LEADER,
            CallErrorKind::Unreachable { .. }
            | CallErrorKind::HungUp { .. }
            | CallErrorKind::DeadlineExceeded { .. } => true,
            _ => false,
        }
    }

    fn sentence(&self) -> String {
        let Self { server, method, kind } = self;
        match kind {
            CallErrorKind::Refused { code, msg } if msg.is_empty() => {
                format!("{server} refused {method} with code {code}")
            }
            CallErrorKind::Refused { code, msg } => format!("{server} refused {method}: {msg} (code {code})"),
            CallErrorKind::Unreachable { seen } => format!("{server} cannot be reached for {method}: {seen}"),
            CallErrorKind::NotCalled { seen } | CallErrorKind::NotPrepared { seen } => {
                format!("{server} was not asked for {method}: {seen}")
            }
            CallErrorKind::HungUp { seen } => {
                format!("{server} closed the connection during {method}: it refused our credentials, or died ({seen})")
            }
            CallErrorKind::Denied { msg } => format!("{server} refused our credentials for {method}: {msg}"),
            CallErrorKind::DeadlineExceeded { after } => {
                format!("{server} did not answer {method} within {after:?}; it may still be working on it")
            }
            CallErrorKind::Garbage { seen } => {
                format!("{server} answered {method} with something that makes no sense: {seen}")
            }
            CallErrorKind::TooMuch { limit } => {
                format!("{server} answered {method} with more than the {limit} bytes we accept")
            }
            CallErrorKind::Unimplemented => match since(method) {
                Some(release) => format!(
                    "{server} does not know {method}, which came with OpenMLDB {release}: it is of an older release"
                ),
                None => format!(
                    "{server} does not know {method}, which every release from {OLDEST} on knows: it is not an \
                     OpenMLDB server of this kind, or older than that"
                ),
            },
            CallErrorKind::InvalidRequest { msg } => format!("{server} found {method} malformed: {msg}"),
            CallErrorKind::NotOurs(identity) => format!("nothing is sent: {identity}"),
            CallErrorKind::Discovery(error) => error.to_string(),
        }
    }
}

/// The oldest release that knows all that is called but for what [`since`] has (docs/openmldb/other-servers.md#other-releases).
const OLDEST: &str = "0.4.0";

/// The release that a call came with, where that is not one of the first.
fn since(method: &str) -> Option<&'static str> {
    match method {
        "CreateAggregator" => Some("0.5.0"),
        "DeleteOp" => Some("0.8.5"),
        _ => None,
    }
}

impl From<Garbage> for CallErrorKind {
    fn from(garbage: Garbage) -> Self {
        Self::Garbage { seen: garbage.to_string() }
    }
}
