//! What a recovery has left led apart: pre-aggregate tables whose base tables are led by other tablets.

use crate::model::{Pid, TableName};
use crate::verify::{FindingKind, Persistence, Verification};

use super::driver::Stop;
use super::hold::HeldFor;
use super::recover::Recovered;
use super::report::{Summary, Verdict};

impl Recovered {
    /// The partitions that the last look found led apart, that no operation works on and that are not left alone; none if the run did
    /// not come to its end.
    pub fn led_apart(&self) -> Vec<(TableName, Pid)> {
        let whole = self.stopped.is_none() && self.not_restored.is_none() && self.panicked.is_none();
        let verification = self.summary.verification.iter().filter(|_| whole && self.unrecorded.is_none());
        let apart = verification.flat_map(|found| &found.findings);
        let apart = apart.filter(|found| found.kind == FindingKind::LedApart && found.nature == Persistence::Stays);
        let is_left_alone = |(table, pid): &(TableName, Pid)| {
            self.summary.blocked.iter().any(|left| (&left.db, &left.table, left.pid) == (&table.db, &table.table, *pid))
        };
        apart.filter_map(|found| found.table.clone().zip(found.pid)).filter(|of| !is_left_alone(of)).collect()
    }

    /// The same with how handing them over ended.
    #[must_use]
    pub fn with_handovers(
        mut self,
        stopped: Option<Stop>,
        not_restored: Option<String>,
        panicked: Option<String>,
        held_for: Vec<HeldFor>,
    ) -> Self {
        if not_restored.is_some() || !held_for.is_empty() {
            self.summary.auto_failover.after = !self.summary.auto_failover.before;
        }
        if !held_for.is_empty() {
            self.summary.auto_failover.held_for = held_for;
        }
        Self { stopped, not_restored, panicked, ..self }
    }

    /// The same once these were handed over, and looked at again.
    #[must_use]
    pub fn seen_again(self, found: Verification) -> Self {
        Self { summary: self.summary.seen_again(found), ..self }
    }
}

impl Summary {
    fn seen_again(self, found: Verification) -> Self {
        let is_well = self.blocked.is_empty() && found.is_complete() && self.auto_failover.held_for.is_empty();
        let verdict = match self.verdict {
            Verdict::Partial if is_well => Verdict::Recovered,
            verdict => verdict,
        };
        Self { verdict, ..self }.verified(found)
    }
}
