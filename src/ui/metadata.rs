//! Metadata saved, put back and checked, in words and as lines.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Serialize;

use super::words::{moment, one_line};
use crate::metadata::{Backup, Finding, Origin, Raised, Repair, Repaired, checksum};
use crate::model::counted;

/// A backup that was written.
#[derive(Debug, Serialize)]
pub struct MetadataSavedLine<'a> {
    event: &'static str,
    path: String,
    cluster: &'a str,
    taken_at_ms: u64,
    origin: Origin,
    nodes: usize,
    left_out: usize,
    consistent: bool,
    changed: &'a [String],
    checksum: String,
}

impl<'a> MetadataSavedLine<'a> {
    /// What was saved, and how many nodes of running servers were left out.
    pub fn of(backup: &'a Backup, left_out: usize, path: &Path) -> Self {
        let Backup { cluster, taken_at_ms, origin, changed, tree } = backup;
        Self {
            event: "metadata_saved",
            path: path.display().to_string(),
            cluster,
            taken_at_ms: *taken_at_ms,
            origin: *origin,
            nodes: tree.len(),
            left_out,
            consistent: backup.is_consistent(),
            changed,
            checksum: checksum(backup),
        }
    }
}

/// A backup that was put back, or would be.
#[derive(Debug, Serialize)]
pub struct MetadataRestoredLine<'a> {
    event: &'static str,
    path: String,
    cluster: &'a str,
    taken_at_ms: u64,
    nodes: usize,
    /// By path: to be created, or created.
    created: &'a [String],
    /// Nodes that are not restored as they were saved, but for counters that are raised.
    repaired: &'a [Repaired],
    raised: &'a [Raised],
    consistent: bool,
    findings: &'a [Finding],
    dry_run: bool,
    /// How many nodes are there in the end.
    #[serde(skip)]
    wanted: usize,
}

impl<'a> MetadataRestoredLine<'a> {
    /// What was restored from this backup: the nodes that were missing, and the counters that are larger now than in it.
    pub fn of(
        backup: &'a Backup,
        path: &Path,
        created: &'a [String],
        raised: &'a [Raised],
        findings: &'a [Finding],
        dry_run: bool,
    ) -> Self {
        Self {
            event: "metadata_restored",
            path: path.display().to_string(),
            cluster: &backup.cluster,
            taken_at_ms: backup.taken_at_ms,
            nodes: backup.tree.len(),
            created,
            repaired: &[],
            raised,
            consistent: backup.is_consistent(),
            findings,
            dry_run,
            wanted: backup.tree.len(),
        }
    }

    /// The same, where so many nodes are there in the end because some of the backup's were left out, or others added.
    pub fn repaired(self, repaired: &'a [Repaired], wanted: usize) -> Self {
        Self { repaired, wanted, ..self }
    }
}

/// The end of a check.
#[derive(Debug, Serialize)]
pub struct MetadataCheckedLine {
    /// Always the same.
    pub event: &'static str,
    /// How many nodes were looked at.
    pub nodes: usize,
    /// Whether they were like this at one moment.
    pub consistent: bool,
    /// How many contradictions were found.
    pub findings: usize,
}

/// A contradiction.
#[derive(Debug, Serialize)]
pub struct MetadataFindingLine<'a> {
    event: &'static str,
    #[serde(flatten)]
    finding: &'a Finding,
}

impl<'a> From<&'a Finding> for MetadataFindingLine<'a> {
    fn from(finding: &'a Finding) -> Self {
        Self { event: "metadata_finding", finding }
    }
}

/// What was saved.
pub fn metadata_saved_text(line: &MetadataSavedLine<'_>) -> String {
    let (nodes, cluster) = (counted(line.nodes, "node"), one_line(line.cluster));
    let mut out = format!("{nodes} of {cluster} saved in {} ({}).\n", line.path, line.checksum);
    if line.left_out > 0 {
        out += &format!("Left out: {} of servers that registered.\n", counted(line.left_out, "node"));
    }
    if !line.consistent {
        let changed: Vec<String> = line.changed.iter().map(|path| one_line(path)).collect();
        let nodes = counted(line.changed.len(), "node");
        out += &format!("Not consistent: {nodes} changed while being read: {}.\n", changed.join(", "));
    }
    out
}

/// Nodes, a line each; where there are more than a screen of them, a line for each below the root, with how many are below that.
pub(super) fn paths_text(what: &str, paths: &[&str]) -> String {
    const A_SCREEN: usize = 40;
    if paths.len() <= A_SCREEN {
        return paths.iter().map(|path| format!("  {what} {}\n", one_line(path))).collect();
    }
    let mut tops: BTreeMap<&str, usize> = BTreeMap::new();
    for path in paths {
        let (top, below) = path.split_once('/').map_or((*path, 0), |(top, _)| (top, 1));
        *tops.entry(top).or_default() += below;
    }
    let text = |(top, below): (&str, usize)| match below {
        0 => format!("  {what} {}\n", one_line(top)),
        below => format!("  {what} {} and {} below it\n", one_line(top), counted(below, "node")),
    };
    tops.into_iter().map(text).collect()
}

/// What was put back.
pub fn metadata_restored_text(line: &MetadataRestoredLine<'_>) -> String {
    let (cluster, taken) = (one_line(line.cluster), moment(line.taken_at_ms));
    let mut out = format!("Backup of {cluster}, taken {taken}: {}.\n", counted(line.nodes, "node"));
    if line.dry_run {
        out += &paths_text("would create", &line.created.iter().map(String::as_str).collect::<Vec<&str>>());
    }
    for Repaired { path, repair } in line.repaired {
        let path = one_line(path);
        out += &match repair {
            Repair::SetTo { to } => format!("{path} is set to {to}, the largest number in use.\n"),
            Repair::Added => format!("{path} is added.\n"),
            Repair::LeftOut => format!("{path} is left out.\n"),
        };
    }
    for Raised { path, from, to } in line.raised {
        out += &format!("{path} is {to} instead of {from}: numbers assigned after the backup are not reused.\n");
    }
    if !line.consistent {
        out += "The backup is not consistent: nodes changed while being read.\n";
    }
    out += &findings_text(line.findings);
    let created = line.created.len();
    let there = line.wanted.saturating_sub(created);
    out += &match (line.dry_run, created) {
        (_, 0) => "Every node already exists: nothing to create.\n".to_owned(),
        (true, _) => format!("{} would be created, {there} already exist.\n", counted(created, "node")),
        (false, _) => format!(
            "{} created, {there} already existed. Start the tablets, then the nameservers, then: `openmldb-ops \
             recover --all`\n",
            counted(created, "node")
        ),
    };
    out
}

/// What was found.
pub fn metadata_checked_text(line: &MetadataCheckedLine, findings: &[Finding]) -> String {
    let nodes = counted(line.nodes, "node");
    let read = if line.consistent { "" } else { " They changed while being read: check again." };
    match findings.len() {
        0 => format!("{nodes}: no contradictions.{read}\n"),
        found => format!("{}{nodes}: {}.{read}\n", findings_text(findings), counted(found, "contradiction")),
    }
}

fn findings_text(findings: &[Finding]) -> String {
    let text =
        |finding: &Finding| format!("{}: {}\n  {}\n", one_line(&finding.path), one_line(&finding.text), finding.hint);
    findings.iter().map(text).collect()
}
