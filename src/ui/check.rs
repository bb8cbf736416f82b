//! A cluster's health in one line, as Nagios's plugins have it.

use serde::Serialize;

use crate::run::{Status, StatusCounts};

use super::words::{on_off, one_line};

/// How it stands, in a word that Nagios knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CheckState {
    /// Everything in scope is healthy.
    Ok,
    /// Everything in scope serves, and something is not as it should be.
    Warning,
    /// A partition in scope does not serve.
    Critical,
    /// Nobody knows.
    Unknown,
}

impl CheckState {
    /// The exit code that Nagios has for it.
    pub fn code(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Warning => 1,
            Self::Critical => 2,
            Self::Unknown => 3,
        }
    }

    fn word(self) -> &'static str {
        match self {
            Self::Ok => "OK",
            Self::Warning => "WARNING",
            Self::Critical => "CRITICAL",
            Self::Unknown => "UNKNOWN",
        }
    }
}

/// The line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "check")]
pub struct CheckLine {
    /// How it stands.
    pub state: CheckState,
    /// The same in a sentence.
    pub text: String,
    /// In numbers; none where nobody knows.
    pub counts: Option<StatusCounts>,
}

impl CheckLine {
    /// The line for what was seen.
    pub fn of(status: &Status) -> Self {
        let StatusCounts { partitions, healthy, serving, down, tablets_with_problems, .. } = status.counts;
        let state = match () {
            () if status.other_end => CheckState::Unknown,
            () if down > 0 => CheckState::Critical,
            () if !status.is_healthy() => CheckState::Warning,
            () => CheckState::Ok,
        };
        let text = format!(
            "partitions: {healthy} of {partitions} healthy, {serving} serving but not redundant, {down} down; tablets with a \
             problem: {tablets_with_problems}; auto_failover {}",
            on_off(status.auto_failover)
        );
        Self { state, text, counts: Some(status.counts) }
    }

    /// Nothing was seen.
    pub fn unknown(why: &str) -> Self {
        Self { state: CheckState::Unknown, text: why.to_owned(), counts: None }
    }
}

/// The line as text, with its numbers as Nagios reads them.
pub fn check_text(line: &CheckLine) -> String {
    // What follows a bar is numbers.
    let text = one_line(&line.text).replace('|', "/");
    let numbers = line.counts.map_or(String::new(), |counts| {
        let StatusCounts { partitions, healthy, serving, down, tablets_with_problems, .. } = counts;
        format!(
            " | partitions={partitions} healthy={healthy} serving={serving} down={down} tablets_with_problems={tablets_with_problems}"
        )
    });
    format!("OPENMLDB {} - {text}{numbers}\n", line.state.word())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(counts: StatusCounts, other_end: bool) -> CheckState {
        let (tablets, partitions) = (Vec::new(), Vec::new());
        let cluster = "zk:2181/openmldb".to_owned();
        let zone = crate::model::Zone::Alone;
        let auto_failover = true;
        let status = Status { cluster, taken_at_ms: 0, auto_failover, tablets, partitions, counts, zone, other_end };
        CheckLine::of(&status).state
    }

    #[test]
    fn what_is_down_is_critical_and_what_is_not_redundant_a_warning() {
        let counts = |healthy, serving, down, tablets_with_problems| StatusCounts {
            partitions: healthy + serving + down,
            healthy,
            serving,
            down,
            tablets_with_problems,
            ..StatusCounts::default()
        };
        assert_eq!(state(counts(3, 0, 0, 0), false), CheckState::Ok);
        assert_eq!(state(counts(2, 1, 0, 0), false), CheckState::Warning);
        assert_eq!(state(counts(3, 0, 0, 1), false), CheckState::Warning, "a tablet has a problem");
        assert_eq!(state(counts(1, 1, 1, 0), false), CheckState::Critical);
        assert_eq!(state(counts(3, 0, 0, 0), true), CheckState::Unknown, "it is another cluster");
    }

    #[test]
    fn a_bar_in_a_text_begins_no_numbers() {
        let line = CheckLine::unknown("no answer | at\nall");
        assert_eq!(check_text(&line), "OPENMLDB UNKNOWN - no answer / at all\n");
    }
}
