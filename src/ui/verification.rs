//! What a verification found, for people.

use std::collections::BTreeSet;

use crate::model::Pid;
use crate::verify::{Finding, Standing, Verification};

use super::color::{Paint, Tone};
use super::words::one_line;
use crate::model::counted;

/// So many findings are listed.
const LISTED: usize = 20;

/// A verification's verdict, and its findings but for those of partitions that are told of elsewhere.
pub(super) fn verification_text(found: &Verification, told: &BTreeSet<(String, String, Pid)>, paint: Paint) -> String {
    let (tone, verdict) = match found.verdict {
        Standing::Complete => (Tone::Good, "complete: roles, connections, offsets and rows agree"),
        Standing::NotFinished => (Tone::Warning, "not finished: something goes on by itself"),
        Standing::NotFullySucceeded => (Tone::Bad, "not fully succeeded: something is wrong and will not mend itself"),
        Standing::Undetermined => (Tone::Warning, "undetermined: somebody does not answer"),
    };
    let mut out = format!("{}\n", paint.tone(tone, &format!("Verified by two looks, {verdict}.")));
    let is_told = |finding: &&Finding| {
        let table = finding.table.as_ref().zip(finding.pid);
        !table.is_some_and(|(table, pid)| told.contains(&(table.db.clone(), table.table.clone(), pid)))
    };
    let listed: Vec<&Finding> = found.findings.iter().filter(is_told).collect();
    for finding in listed.iter().take(LISTED) {
        let place = finding.table.as_ref().zip(finding.pid).map(|(table, pid)| format!("{table}/{pid}"));
        let endpoint = finding.endpoint.as_ref().map(ToString::to_string);
        let place: Vec<String> = place.into_iter().chain(endpoint).collect();
        out += &format!("  {}: {}\n", one_line(&place.join(" ")), one_line(&finding.text));
        out += &format!("    hint: {}\n", finding.hint);
    }
    if let Some(more) = listed.len().checked_sub(LISTED).filter(|more| *more > 0) {
        out += &format!("  and {}; --output json lists all\n", counted(more, "more finding"));
    }
    out
}
