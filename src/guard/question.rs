//! What a guard leaves to somebody.

use crate::run::Diagnosis;

/// What somebody has to decide.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Question {
    /// What was seen.
    pub seen: String,
    /// What to type, or to do.
    pub next: Vec<String>,
}

impl From<&Diagnosis> for Question {
    fn from(case: &Diagnosis) -> Self {
        Self { seen: case.seen.clone(), next: case.next.clone() }
    }
}
