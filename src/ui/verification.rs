//! What a verification found, for people.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Pid;
use crate::verify::{Finding, FindingKind, Standing, Verification};

use super::color::{Paint, Tone};
use super::named::{LISTED, named};
use super::words::one_line;
use crate::model::counted;

/// A verification's verdict, and its findings but for those of partitions that are told of elsewhere.
pub(super) fn verification_text(found: &Verification, told: &BTreeSet<(String, String, Pid)>, paint: Paint) -> String {
    let (tone, verdict) = match found.verdict {
        Standing::Complete => (Tone::Good, "complete: roles, connections, offsets and rows agree"),
        Standing::NotFinished => (Tone::Warning, "not finished: something is still in progress"),
        Standing::NotFullySucceeded => (Tone::Bad, "not fully succeeded: something is wrong and will not fix itself"),
        Standing::Undetermined => (Tone::Warning, "undetermined: a server does not answer"),
    };
    let mut out = format!("{}\n", paint.tone(tone, &format!("Verified twice, {verdict}.")));
    let is_told = |finding: &&Finding| {
        let table = finding.table.as_ref().zip(finding.pid);
        !table.is_some_and(|(table, pid)| told.contains(&(table.db.clone(), table.table.clone(), pid)))
    };
    let listed: Vec<&Finding> = found.findings.iter().filter(is_told).collect();
    if listed.len() <= LISTED {
        listed.iter().for_each(|finding| out += &one(finding));
        return out;
    }
    let mut by_kind: BTreeMap<FindingKind, Vec<&Finding>> = BTreeMap::new();
    listed.into_iter().for_each(|finding| by_kind.entry(finding.kind).or_default().push(finding));
    for findings in by_kind.into_values() {
        let Some(first) = findings.first() else { continue };
        if findings.len() > 1 {
            let partitions = findings.iter().filter_map(|finding| finding.table.as_ref().zip(finding.pid));
            let partitions = named(partitions);
            let at = if partitions.is_empty() { String::new() } else { format!(", of {partitions}") };
            out += &format!("  {} like this one{at}:\n", counted(findings.len(), "finding"));
        }
        out += &one(first);
    }
    out += "  --output json lists each\n";
    out
}

fn one(finding: &Finding) -> String {
    let place = finding.table.as_ref().zip(finding.pid).map(|(table, pid)| format!("{table}/{pid}"));
    let endpoint = finding.endpoint.as_ref().map(ToString::to_string);
    let place: Vec<String> = place.into_iter().chain(endpoint).collect();
    format!("  {}: {}\n    hint: {}\n", one_line(&place.join(" ")), one_line(&finding.text), finding.hint)
}
