//! What came of a command as metrics, in Prometheus' text format: for the node exporter's textfile collector.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use crate::run::{Service, Summary, Verdict};

/// A command that has ended.
#[derive(Debug, Clone)]
pub struct Ended {
    /// Which command.
    pub command: &'static str,
    /// Its exit code.
    pub exit_code: u8,
    /// What it saw and did, if it came so far.
    pub summary: Option<Summary>,
    /// Whether clients can read and write, if that was seen.
    pub service: Option<Service>,
    /// Its record, if it has one.
    pub record: Option<String>,
    /// Why it could not do its work.
    pub error: Option<String>,
    /// When it ended, in milliseconds since 1970.
    pub at_ms: u64,
    /// How long it took.
    pub took_ms: u64,
}

impl Ended {
    /// What came of it, in a word.
    pub fn verdict(&self) -> Verdict {
        match (&self.summary, self.exit_code) {
            (Some(summary), _) => summary.verdict,
            (None, 0) => Verdict::Healthy,
            (None, 4) => Verdict::Partial,
            (None, 5) => Verdict::Refused,
            (None, 7 | 128..) => Verdict::Interrupted,
            (None, _) => Verdict::Failed,
        }
    }
}

/// The metrics, one a line.
pub fn metrics_text(ended: &Ended) -> String {
    let mut out = Lines { text: String::new(), command: ended.command };
    out.begin("ended_at_seconds", "When the command ended, in seconds since 1970.");
    out.value("ended_at_seconds", &[], ended.at_ms / 1000);
    out.begin("took_seconds", "How long the command took.");
    out.value("took_seconds", &[], seconds(ended.took_ms));
    out.begin("exit_code", "The exit code of the command; 0 if all is well.");
    out.value("exit_code", &[], ended.exit_code);
    out.begin("verdict", "1 for the verdict of the command, 0 for the others.");
    for verdict in Verdict::ALL {
        out.value("verdict", &[("verdict", verdict.word())], u8::from(*verdict == ended.verdict()));
    }
    if let Some(summary) = &ended.summary {
        of_summary(&mut out, summary);
    }
    out.text
}

fn of_summary(out: &mut Lines, summary: &Summary) {
    let counts = &summary.partitions;
    out.begin("partitions", "Partitions in scope, by outcome.");
    let states = [
        ("healthy_before", counts.healthy_before),
        ("recovered", counts.recovered),
        ("blocked", counts.blocked),
        ("failed", counts.failed),
    ];
    states.iter().for_each(|(state, count)| out.value("partitions", &[("state", state)], count));
    out.begin("replicas", "Replicas in scope.");
    out.value("replicas", &[], summary.replicas.total);
    let seen = &summary.auto_failover;
    out.begin("auto_failover", "Whether auto_failover was on before and after the command.");
    out.value("auto_failover", &[("when", "before")], u8::from(seen.before));
    out.value("auto_failover", &[("when", "after")], u8::from(seen.after));
    out.begin("auto_failover_held_for", "Replicas for which auto_failover is kept off.");
    out.value("auto_failover_held_for", &[], seen.held_for.len());
    let mut reasons: BTreeMap<&str, usize> = BTreeMap::new();
    summary.blocked.iter().for_each(|entry| *reasons.entry(entry.reason).or_default() += 1);
    if !reasons.is_empty() {
        out.begin("blocked_partitions", "Partitions with a problem, by reason.");
        reasons.iter().for_each(|(reason, count)| out.value("blocked_partitions", &[("reason", reason)], count));
    }
    out.begin("given_up_entries", "Entries given up that only one replica held, at most.");
    out.value("given_up_entries", &[], summary.given_up.iter().map(|given_up| given_up.entries).sum::<u64>());
    out.begin("accepted_losses", "Losses that were accepted.");
    out.value("accepted_losses", &[], summary.accepted.len());
    for (name, help, ms) in [
        (
            "serving_after_seconds",
            "From the first change until every partition that could serve did.",
            summary.serving_after_ms,
        ),
        (
            "redundant_after_seconds",
            "From the first change until every partition that could be redundant was.",
            summary.redundant_after_ms,
        ),
    ] {
        if let Some(ms) = ms {
            out.begin(name, help);
            out.value(name, &[], seconds(ms));
        }
    }
    out.begin("calls", "Calls attempted.");
    out.value("calls", &[("kind", "read")], summary.rpc.reads);
    out.value("calls", &[("kind", "mutation")], summary.rpc.mutations);
    if let Some(found) = &summary.verification {
        out.begin("findings", "Problems found by the last looks.");
        out.value("findings", &[], found.findings.len());
    }
}

fn seconds(ms: u64) -> String {
    format!("{}.{:03}", ms / 1000, ms % 1000)
}

struct Lines {
    text: String,
    command: &'static str,
}

impl Lines {
    fn begin(&mut self, name: &str, help: &str) {
        // Writing to a text does not fail.
        let _ = writeln!(self.text, "# HELP openmldb_ops_{name} {help}\n# TYPE openmldb_ops_{name} gauge");
    }

    /// Labels are words of ours, in which nothing has to be escaped.
    fn value(&mut self, name: &str, labels: &[(&str, &str)], value: impl std::fmt::Display) {
        let more: String = labels.iter().map(|(label, word)| format!(",{label}=\"{word}\"")).collect();
        let _ = writeln!(self.text, "openmldb_ops_{name}{{command=\"{}\"{more}}} {value}", self.command);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_metric_is_told_once_with_its_kind_before_its_values() {
        let ended = Ended {
            command: "recover",
            exit_code: 143,
            summary: None,
            service: None,
            record: None,
            error: None,
            at_ms: 1_795_341_600_123,
            took_ms: 2345,
        };
        let text = metrics_text(&ended);
        assert!(text.contains("\nopenmldb_ops_verdict{command=\"recover\",verdict=\"interrupted\"} 1\n"), "{text}");
        assert!(text.contains("\nopenmldb_ops_took_seconds{command=\"recover\"} 2.345\n"), "{text}");
        let mut kinds = text.lines().filter(|line| line.starts_with("# TYPE "));
        assert!(kinds.all(|line| text.matches(line).count() == 1), "{text}");
    }
}
