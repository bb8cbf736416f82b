//! How a time without a leader ends.

use crate::model::Endpoint;

use super::super::super::partition_context::Refusal;

/// How it ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super::super) enum End {
    /// Another one leads.
    NewLeader(Endpoint),
    /// The old one leads.
    LeadsAgain(Why),
    /// Nobody does, and nothing more can be done here.
    Unled(Refusal),
}

/// Why the old leader leads again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in super::super::super) enum Why {
    /// No follower held all that it did.
    TooEarly,
    /// No other one was elected, or none in time.
    NotDone(Refusal),
    /// The run ends.
    Ending,
    /// What was to be done could not be written down.
    Unrecorded,
}

impl Why {
    /// In words, if there is anything to say.
    pub(super) fn said(&self) -> Option<String> {
        match self {
            Self::TooEarly => Some("no follower held all of its entries".to_owned()),
            Self::NotDone(refusal) => Some(refusal.text.clone()),
            Self::Ending => Some("the run ends".to_owned()),
            Self::Unrecorded => None,
        }
    }
}
