//! What an observation brought.

use serde::{Deserialize, Serialize};

/// The result of asking one server one thing. A server that did not answer is a value, not the absence of one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Seen<T> {
    /// Nobody asked yet.
    Unasked,
    /// The answer.
    Known(T),
    /// No answer, or a refusal: the error, in words for an operator.
    Failed(String),
}

impl<T> Seen<T> {
    /// The answer, if there is one.
    pub fn known(&self) -> Option<&T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unasked | Self::Failed(_) => None,
        }
    }

    /// Whether nobody asked yet.
    pub fn is_unasked(&self) -> bool {
        matches!(self, Self::Unasked)
    }

    /// The error, if asking failed.
    pub fn error(&self) -> Option<&str> {
        match self {
            Self::Failed(error) => Some(error),
            Self::Unasked | Self::Known(_) => None,
        }
    }
}
