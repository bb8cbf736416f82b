//! A pause of guards: kept in ZooKeeper, beside the lock, until it is over or somebody ends it.

use serde::{Deserialize, Serialize};

use crate::model::moment;

/// Guards are to do nothing for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Since when, in milliseconds since 1970.
    pub since_ms: u64,
    /// Until when; none: until somebody ends it.
    #[serde(default)]
    pub until_ms: Option<u64>,
    /// What for.
    pub why: String,
    /// Who has asked for it.
    pub by: String,
}

impl Pause {
    /// What was kept. A text that says nothing we understand is somebody's all the same, and holds guards back until it is removed.
    pub fn read(text: &str) -> Self {
        serde_json::from_str(text).unwrap_or_else(|_| Self {
            since_ms: 0,
            until_ms: None,
            why: text.chars().take(200).collect(),
            by: "somebody".to_owned(),
        })
    }

    /// Whether it is not over.
    pub fn lasts(&self, now_ms: u64) -> bool {
        self.until_ms.is_none_or(|until| now_ms < until)
    }

    /// In a sentence.
    pub fn text(&self) -> String {
        let until =
            self.until_ms.map_or("until someone ends the pause".to_owned(), |until| format!("until {}", moment(until)));
        format!("guards are paused {until}: {} ({})", self.why, self.by)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pause_ends_by_itself_and_one_that_nobody_understands_does_not() {
        let pause = Pause { since_ms: 1_000, until_ms: Some(5_000), why: "disks".to_owned(), by: "ops1".to_owned() };
        let kept = serde_json::to_string(&pause).unwrap_or_default();
        assert_eq!(Pause::read(&kept), pause);
        assert!(pause.lasts(4_999) && !pause.lasts(5_000));
        assert!(Pause::read("{\"version\":9}").lasts(u64::MAX));
    }
}
