//! The recoveries that guards have run since the cluster was last calm: kept in ZooKeeper, so that whoever takes over counts on.

use serde::{Deserialize, Serialize};

/// A recovery.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attempt {
    /// When it began, in milliseconds since 1970.
    pub began_ms: u64,
    /// When it ended; none while it is at work, and if it was killed.
    #[serde(default)]
    pub ended_ms: Option<u64>,
    /// How it ended, in a word.
    #[serde(default)]
    pub verdict: Option<String>,
    /// When it was last seen that not all was well after it: its row has not ended. Written down now and then.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ill_ms: Option<u64>,
}

impl Attempt {
    /// When it was last heard of.
    pub fn last_ms(&self) -> u64 {
        self.ended_ms.unwrap_or(self.began_ms)
    }

    /// When it was last known that its row had not ended.
    pub fn lasted_until_ms(&self) -> u64 {
        self.last_ms().max(self.ill_ms.unwrap_or_default())
    }

    /// What was kept. Of what cannot be read nothing is known.
    pub fn read(text: &str) -> Vec<Self> {
        serde_json::from_str(text).unwrap_or_default()
    }

    /// Their text.
    pub fn write(attempts: &[Self]) -> String {
        serde_json::to_string(attempts).unwrap_or_default()
    }
}
