//! What can be wrong with a playbook, each in one line for the person who wrote it.

use std::fmt;
use std::time::Duration;

use super::VERSION;
use super::span::written;

/// A playbook that cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub struct PlaybookError {
    /// The file, or the name that was asked for.
    pub file: String,
    /// Where; none if it is about the whole.
    pub at: Option<Position>,
    /// What. Part of the message already, so not a source of the error.
    pub problem: Problem,
}

impl fmt::Display for PlaybookError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.at {
            Some(Position { line, column }) => write!(f, "{}:{line}:{column}: {}", self.file, self.problem),
            None => write!(f, "{}: {}", self.file, self.problem),
        }
    }
}

/// A place in a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// What is wrong. Words that come from the file are shortened and kept on one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[allow(missing_docs, reason = "each variant's fields are the words of its message")]
pub enum Problem {
    /// Neither a built-in name nor a file.
    #[error("no such playbook: neither built in ({built_in}) nor a file")]
    NotFound { built_in: String },
    /// The file is there and cannot be read.
    #[error("cannot be read: {0}")]
    Unreadable(String),
    /// More text, or more in it, than a playbook can have.
    #[error("larger than a playbook can be")]
    TooLarge,
    /// No text, or nothing but comments.
    #[error("is empty; a playbook starts with `version: {VERSION}`")]
    Empty,
    /// The YAML reader's complaint.
    #[error("not YAML: {0}")]
    NotYaml(String),
    /// `version` missing.
    #[error("`version` is missing; this build reads version {VERSION}")]
    NoVersion,
    /// `version` of another vocabulary.
    #[error("written for version {found}; this build reads {VERSION}")]
    OtherVersion { found: u64 },
    /// A key that the vocabulary does not have there.
    #[error("unknown key `{found}`; allowed: {allowed}")]
    UnknownKey { found: String, allowed: String },
    /// A key that has to be there.
    #[error("`{of}` lacks the key `{key}`")]
    MissingKey { of: &'static str, key: &'static str },
    /// A key given twice.
    #[error("the key `{0}` appears twice")]
    RepeatedKey(String),
    /// A step that the vocabulary does not have there.
    #[error("unknown step `{found}`; allowed: {allowed}")]
    UnknownStep { found: String, allowed: String },
    /// A list entry that is not one key with its parameters.
    #[error("a step is one key with its parameters, not {found}; allowed: {allowed}")]
    NotAStep { found: String, allowed: String },
    /// A word that the vocabulary does not have there.
    #[error("unknown word `{found}`; allowed: {allowed}")]
    UnknownWord { found: String, allowed: String },
    /// `true` or `false`, whose meaning a reader would have to guess.
    #[error("`{found}` is a YAML boolean, not a word of the schema; allowed: {allowed}")]
    Boolean { found: bool, allowed: String },
    /// A value of another kind.
    #[error("`{key}` has to be {expected}, not {found}")]
    WrongKind { key: &'static str, expected: String, found: String },
    /// A duration outside its bounds.
    #[error("`{key}` has to be from {} to {}, not {}", written(*.from), written(*.to), written(*.found))]
    OutOfBounds { key: &'static str, from: Duration, to: Duration, found: Duration },
    /// A step that may stand once.
    #[error("step `{0}` appears twice")]
    RepeatedStep(String),
    /// Two steps the wrong way round.
    #[error("`{step}` has to come before `{before}`")]
    Order { step: String, before: String },
    /// A step that has to be there.
    #[error("`{list}` lacks the step `{step}`{reason}")]
    MissingStep { list: &'static str, step: String, reason: &'static str },
    /// A step in the wrong list.
    #[error("`{step}` belongs in `{list}`")]
    WrongList { step: String, list: &'static str },
    /// auto_failover is not switched off before everything else.
    #[error("`auto_failover: off` has to be the first step of `before`")]
    FailoverOffFirst,
    /// auto_failover is not restored after everything else.
    #[error("`auto_failover: restore` has to be the last step of `after`")]
    FailoverRestoreLast,
    /// A combination of parameters that would break a rule of recovery.
    #[error("{0}")]
    Unsafe(&'static str),
}

/// Text from a file as a message may show it: at most 60 characters, control characters escaped.
pub(super) fn shown(text: &str) -> String {
    const MOST: usize = 60;
    let mut out = String::new();
    for c in text.chars().take(MOST) {
        if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') {
            out.extend(c.escape_default())
        } else {
            out.push(c)
        }
    }
    if text.chars().nth(MOST).is_some() {
        out.push('…');
    }
    out
}
