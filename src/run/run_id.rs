//! What a run is called: in its record, in the lock, in what it leaves for the next run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A run's name: when it began, in milliseconds since 1970, and a number that keeps two that began together apart.
/// Written `1795341600000-0`; later runs sort after earlier ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct RunId {
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// Which of the runs that began then.
    pub number: u32,
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.began_ms, self.number)
    }
}

impl From<RunId> for String {
    fn from(id: RunId) -> Self {
        id.to_string()
    }
}

impl TryFrom<String> for RunId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let numbers = text.split_once('-').and_then(|(ms, number)| Some((ms.parse().ok()?, number.parse().ok()?)));
        let (began_ms, number) = numbers
            .ok_or_else(|| format!("`{text}` is not a run; expected MILLISECONDS-NUMBER, like 1795341600000-0"))?;
        Ok(Self { began_ms, number })
    }
}
