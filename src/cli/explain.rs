//! `explain`: what a return code of OpenMLDB, a reason, a finding or an exit code means, and what to do next.

use anyhow::anyhow;

use crate::model::ReturnCode;
use crate::recovery::Reason;
use crate::ui::{CodeKind, ExplainedLine, Paint, explained_text, groups_text, listed_text};
use crate::verify::FindingKind;

use super::failure::{Exit, Failure};
use super::out::Out;

/// Runs the command. Without a code it says what kinds of codes there are; a kind is listed.
///
/// # Errors
/// Nobody knows such a code.
pub fn run(code: Option<&str>, out: &Out) -> Result<Exit, Failure> {
    let known = known();
    let Some(code) = code.map(str::trim) else {
        if out.is_json() {
            return each(out, &known, explained_text);
        }
        out.text(&groups_text(&known, out.paint()))?;
        return Ok(Exit::Healthy);
    };
    let kind = CodeKind::ALL.into_iter().find(|kind| kind.is_meant_by(code));
    let is_meant = |line: &ExplainedLine| kind.map_or_else(|| line.is_meant_by(code), |kind| line.kind == kind);
    let meant: Vec<ExplainedLine> = known.into_iter().filter(is_meant).collect();
    if meant.is_empty() {
        let hint = "`openmldb-ops explain` says what there is";
        return Err(Failure::usage(anyhow!("`{code}` is not a return code, reason, finding or exit code")).hint(hint));
    }
    each(out, &meant, if kind.is_some() { listed_text } else { explained_text })
}

fn each(out: &Out, lines: &[ExplainedLine], text: fn(&ExplainedLine, Paint) -> String) -> Result<Exit, Failure> {
    for line in lines {
        out.text_or(&text(line, out.paint()), line)?;
    }
    Ok(Exit::Healthy)
}

/// Everything that can be explained.
fn known() -> Vec<ExplainedLine> {
    let exits = Exit::ALL.iter().map(|exit| {
        let (means, next) = exit.explained();
        ExplainedLine { kind: CodeKind::ExitCode, code: exit.code().to_string(), name: None, means, next }
    });
    let reasons = Reason::ALL.iter().map(|reason| ExplainedLine::of_reason(*reason));
    let findings = FindingKind::ALL.iter().map(|kind| ExplainedLine::of_finding(*kind));
    let codes = ReturnCode::ALL.iter().map(ExplainedLine::of_return_code);
    exits.chain(reasons).chain(findings).chain(codes).collect()
}

impl Exit {
    /// One of each, by number.
    const ALL: &[Self] = &[
        Self::Healthy,
        Self::Error,
        Self::Usage,
        Self::Unhealthy,
        Self::Partial,
        Self::Refused,
        Self::Locked,
        Self::Deadline,
        Self::NotRestored,
        Self::Signal(1),
        Self::Signal(2),
        Self::Signal(3),
        Self::Signal(15),
    ];

    /// What it means, and what to do next.
    fn explained(self) -> (&'static str, &'static str) {
        match self {
            Self::Healthy => {
                ("done: everything in scope is healthy; or a dry run found nothing blocked", "nothing has to be done")
            }
            Self::Error => (
                "the work could not be done: the cluster cannot be reached or answers nonsense, or a file cannot be used",
                "read the error and its hint; `openmldb-ops status` says whether the cluster answers",
            ),
            Self::Usage => (
                "the command line, the environment, or a file that it names is wrong; nothing was sent",
                "read the error and its hint; `openmldb-ops --help`, and --help after each command",
            ),
            Self::Unhealthy => (
                "`status`: something in scope is not healthy; `replica diff`: replicas differ",
                "`openmldb-ops recover --all --dry-run` says what would be done about it",
            ),
            Self::Partial => (
                "some partitions were left alone or did not reach their goal, or auto_failover is kept off; everything \
                 else is done",
                "read the reasons; `openmldb-ops explain REASON`, `openmldb-ops recover --explain D.T/PID`",
            ),
            Self::Refused => (
                "nothing was changed: the request could lose rows, or no longer matches the cluster",
                "read the error and its hint; for a plan, make a new one with `openmldb-ops recover --all --dry-run`",
            ),
            Self::Locked => (
                "another run is working on this cluster, or this one lost its lock and stopped",
                "wait for the run that the error names, then run this again; `openmldb-ops record list` names those of \
                 this host",
            ),
            Self::Deadline => (
                "the --timeout passed; work in progress has ended, and auto_failover was restored",
                "run the same command again to continue",
            ),
            Self::NotRestored => (
                "auto_failover could not be restored",
                "once the nameserver answers, `openmldb-ops failover restore`, or run the same command again",
            ),
            Self::Checked(_) => (
                "`status --check`: 0 is ok, 1 warning, 2 critical, 3 unknown, as Nagios has it",
                "`openmldb-ops status` says more",
            ),
            Self::Signal(1) => ("the terminal was gone (SIGHUP, 128 + 1)", "run the same command again"),
            Self::Signal(2) => (
                "interrupted (SIGINT, 128 + 2); work in progress has ended, and auto_failover was restored",
                "run the same command again to continue",
            ),
            Self::Signal(3) => (
                "interrupted (SIGQUIT, 128 + 3); work in progress has ended, and auto_failover was restored",
                "run the same command again to continue",
            ),
            Self::Signal(_) => (
                "terminated (SIGTERM, 128 + 15); work in progress has ended, and auto_failover was restored",
                "run the same command again to continue",
            ),
        }
    }
}
