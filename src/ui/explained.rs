//! What a code means, as text and as JSON.

use serde::Serialize;

use crate::model::ReturnCode;
use crate::recovery::Reason;
use crate::verify::FindingKind;

use super::color::{Paint, Tone};

/// A code, what it means, and what to do next.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "event", rename = "explained")]
pub struct ExplainedLine {
    /// Whose code it is.
    pub kind: CodeKind,
    /// The code, as it is written.
    pub code: String,
    /// The name that OpenMLDB's source has for it.
    pub name: Option<&'static str>,
    /// What it means.
    pub means: &'static str,
    /// What to do next.
    pub next: &'static str,
}

/// Whose code it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CodeKind {
    /// With which this program ends.
    ExitCode,
    /// Why a partition is left alone.
    Reason,
    /// What a verification finds.
    Finding,
    /// With which OpenMLDB's servers answer.
    ReturnCode,
}

impl ExplainedLine {
    /// What a reason means.
    pub fn of_reason(reason: Reason) -> Self {
        let (means, next) = (reason.means(), reason.next());
        Self { kind: CodeKind::Reason, code: reason.code().to_owned(), name: None, means, next }
    }

    /// What a finding means.
    pub fn of_finding(kind: FindingKind) -> Self {
        let (means, next) = (kind.means(), kind.hint());
        Self { kind: CodeKind::Finding, code: kind.code().to_owned(), name: None, means, next }
    }

    /// What a return code means.
    pub fn of_return_code(known: &ReturnCode) -> Self {
        let ReturnCode { code, name, means, next } = *known;
        Self { kind: CodeKind::ReturnCode, code: code.to_string(), name: Some(name), means, next }
    }

    /// Whether somebody who types this means it. OpenMLDB's names may be typed with their `k` or without.
    pub fn is_meant_by(&self, typed: &str) -> bool {
        let same = |known: &str| known.eq_ignore_ascii_case(typed);
        let name = self.name.is_some_and(|name| same(name) || name.strip_prefix('k').is_some_and(same));
        name || same(&self.code) || same(&self.code.replace('_', "-"))
    }
}

/// One code, in a few lines.
pub fn explained_text(line: &ExplainedLine, paint: Paint) -> String {
    let of = match line.kind {
        CodeKind::ExitCode => "exit code of openmldb-ops",
        CodeKind::Reason => "reason why a partition is left alone",
        CodeKind::Finding => "finding of a verification",
        CodeKind::ReturnCode => "return code of OpenMLDB",
    };
    let name = line.name.map_or(String::new(), |name| format!(" {name}"));
    let title = paint.tone(Tone::Strong, &format!("{}{name}", line.code));
    format!("{title}, {of}\n  means: {}\n  next: {}\n", line.means, line.next)
}
