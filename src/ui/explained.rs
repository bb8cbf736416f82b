//! What a code means, as text and as JSON.

use serde::Serialize;

use crate::model::ReturnCode;
use crate::recovery::Reason;
use crate::verify::FindingKind;

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};

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

impl CodeKind {
    /// One of each.
    pub const ALL: [Self; 4] = [Self::ExitCode, Self::Reason, Self::Finding, Self::ReturnCode];

    /// All of the kind, as they are typed; and what they are.
    fn named(self) -> (&'static str, &'static str) {
        match self {
            Self::ExitCode => ("exit-codes", "exit code of openmldb-ops"),
            Self::Reason => ("reasons", "reason why a partition is left alone"),
            Self::Finding => ("findings", "finding of a verification"),
            Self::ReturnCode => ("return-codes", "return code of OpenMLDB"),
        }
    }

    /// Whether somebody who types this means all of the kind.
    pub fn is_meant_by(self, typed: &str) -> bool {
        let (all, typed) = (self.named().0, typed.replace('_', "-"));
        all.eq_ignore_ascii_case(&typed) || all.trim_end_matches('s').eq_ignore_ascii_case(&typed)
    }
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

/// What kinds of codes there are, and how to ask.
pub fn groups_text(known: &[ExplainedLine], paint: Paint) -> String {
    /// So many codes are named of a kind.
    const EXAMPLES: usize = 3;
    let mut columns = Columns::headed(&["group", "codes", "each a", "such as"]);
    for kind in CodeKind::ALL {
        let of_kind: Vec<&ExplainedLine> = known.iter().filter(|line| line.kind == kind).collect();
        let (typed, what) = kind.named();
        let examples: Vec<&str> = of_kind.iter().take(EXAMPLES).map(|line| line.code.as_str()).collect();
        let cells: [Cell; 4] =
            [Cell::new(Tone::Strong, typed), of_kind.len().to_string().into(), what.into(), examples.join(", ").into()];
        columns.row(cells);
    }
    format!(
        "{}\n`openmldb-ops explain CODE` says what a code means, and what to do next; `openmldb-ops explain GROUP` lists a group.\n\
         `openmldb-ops recover --explain D.T/PID` says what is known of one partition, and what would be done.\n",
        columns.text(0, paint)
    )
}

/// One code of many, in a line.
pub fn listed_text(line: &ExplainedLine, paint: Paint) -> String {
    format!("{}: {}\n", title(line, paint), line.means)
}

fn title(line: &ExplainedLine, paint: Paint) -> String {
    let name = line.name.map_or(String::new(), |name| format!(" {name}"));
    paint.tone(Tone::Strong, &format!("{}{name}", line.code))
}

/// One code, in a few lines.
pub fn explained_text(line: &ExplainedLine, paint: Paint) -> String {
    let (of, title) = (line.kind.named().1, title(line, paint));
    format!("{title}, {of}\n  means: {}\n  next: {}\n", line.means, line.next)
}
