//! Why something is not done.

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", code.map_or(String::new(), |code| format!(" (OpenMLDB would answer {code})")))]
pub struct Refusal {
    /// The code OpenMLDB would answer; none if OpenMLDB would do it, and rows could be lost.
    pub code: Option<i32>,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub hint: String,
}

impl Refusal {
    /// OpenMLDB would refuse it.
    pub(super) fn of(code: i32, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: Some(code), text: text.into(), hint: hint.into() }
    }

    /// OpenMLDB would do it; this tool does not.
    pub(super) fn unsafe_now(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: None, text: text.into(), hint: hint.into() }
    }
}
