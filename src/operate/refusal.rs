//! Why something is not done.

/// Why a step is not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text}{}", code.map_or(String::new(), |code| format!(" (OpenMLDB would answer {code})")))]
pub struct Refusal {
    /// The code OpenMLDB would answer; none if OpenMLDB would do it, and rows could be lost.
    pub code: Option<i32>,
    /// Whose fault it is.
    pub fault: Fault,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub hint: String,
}

/// Whose fault it is that a step is not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The cluster is not so that it can be taken.
    Cluster,
    /// What was typed names nothing that there is.
    Typed,
}

impl Refusal {
    /// OpenMLDB would refuse it.
    pub(super) fn of(code: i32, text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: Some(code), fault: Fault::Cluster, text: text.into(), hint: hint.into() }
    }

    /// OpenMLDB would do it; this tool does not.
    pub(super) fn unsafe_now(text: impl Into<String>, hint: impl Into<String>) -> Self {
        Self { code: None, fault: Fault::Cluster, text: text.into(), hint: hint.into() }
    }

    /// There is nothing of that name.
    pub(super) fn mistyped(self) -> Self {
        Self { fault: Fault::Typed, ..self }
    }
}
