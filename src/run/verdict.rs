//! What came of a run, from what is seen at its end; and the same of a plan.

use std::time::Duration;

use crate::model::{PartitionId, Pid, Snapshot, TableName};
use crate::recovery::{Base, Blocked, Health, LeaderPlan, Memory, Plan, ProblemKind, Reason, View, health};

use crate::verify::Verification;

use super::driver::{Driven, Stop};
use super::index::Index;
use super::prepared::Prepared;
use super::report::{
    AcceptedEntry, AutoFailoverSeen, Beside, BlockedEntry, GivenUpEntry, PartitionCounts, ReplicaCounts, Rpc, Summary,
    Verdict,
};
use super::service::Service;
use super::status::Status;

/// What was seen last, and what it shows.
pub(super) struct Seen<'a> {
    pub(super) seen: &'a Snapshot,
    /// None if there was no time to look.
    pub(super) verification: Option<Verification>,
    /// The run was ended by a panic.
    pub(super) panicked: bool,
}

/// Looks again with fresh eyes: what is seen decides, not what was done.
pub(super) fn summary_of_run(
    playbook: &str,
    rpc: Rpc,
    prepared: &Prepared,
    last: Seen<'_>,
    auto_failover: AutoFailoverSeen,
    driven: Option<&Driven>,
) -> Summary {
    let seen = last.seen;
    let index = Index::of(&seen.tables, seen.ops.clone(), None);
    let mut partitions = PartitionCounts { total: prepared.plan.counts.total, ..PartitionCounts::default() };
    let mut blocked = Vec::new();
    let mut given_up = Vec::new();
    let mut accepted = Vec::new();
    partitions.healthy_before = prepared.plan.counts.healthy;
    for planned in &prepared.plan.partitions {
        let id = planned.partition;
        let memory = driven.and_then(|driven| driven.memories.get(&id));
        let choice = memory.and_then(|memory| memory.choice.as_ref());
        given_up.extend(choice.iter().flat_map(|c| &c.given_up).map(|g| GivenUpEntry::new(&planned.table, id.pid, g)));
        accepted.extend(memory.iter().flat_map(|memory| &memory.accepted).map(|loss| AcceptedEntry {
            db: planned.table.db.clone(),
            table: planned.table.table.clone(),
            pid: id.pid,
            loss: loss.clone(),
        }));
        let now = health_in(seen, &index, id, memory);
        let driven_to = driven.and_then(|driven| driven.blocked.get(&id));
        // Flags and roles do not show these.
        let unseen = |why: &Blocked| matches!(why.reason, Reason::LeaderLacksRows | Reason::NotCatchingUp);
        let is_unseen = driven_to.is_some_and(unseen);
        let why = match driven {
            Some(_) => driven_to.cloned(),
            None => planned.blocked.clone(),
        };
        match now {
            Some(Health::Healthy) if !is_unseen => partitions.recovered += 1,
            None => partitions.recovered += 1,
            Some(health) => {
                let ended = driven.is_some_and(|driven| driven.stopped.is_none());
                let lost = || no_answer(&health).filter(|_| ended);
                let why = why.or_else(lost).unwrap_or_else(|| not_healthy(&health));
                if why.reason == Reason::Interrupted {
                    partitions.failed += 1
                } else {
                    partitions.blocked += 1
                }
                blocked.push(BlockedEntry::new(&planned.table, id.pid, &why));
            }
        }
    }
    let verdict = if blocked.is_empty() {
        if partitions.recovered > 0 { Verdict::Recovered } else { Verdict::Healthy }
    } else {
        match driven.map(|driven| driven.stopped) {
            Some(Some(Stop::Signal(_) | Stop::Deadline)) => Verdict::Interrupted,
            Some(Some(_)) => Verdict::Failed,
            None if last.panicked => Verdict::Failed,
            // What is blocked was blocked before: nothing had to be done to any partition.
            Some(None) | None => Verdict::Partial,
        }
    };
    let summary = Summary {
        verdict: if last.verification.is_some() { verdict } else { Verdict::Interrupted },
        service: None,
        playbook: Some(playbook.to_owned()),
        auto_failover,
        partitions,
        replicas: ReplicaCounts { total: prepared.plan.counts.replicas },
        given_up,
        accepted,
        serving_after_ms: driven.and_then(|driven| driven.serving_after).map(millis),
        redundant_after_ms: driven.and_then(|driven| driven.redundant_after).map(millis),
        rpc,
        blocked,
        verification: None,
        rows_compared: None,
        beside: Beside::default(),
    };
    match last.verification {
        Some(verification) => summary.verified(verification),
        None => summary,
    }
}

impl Summary {
    /// Without partitions that have become healthy since it was made.
    pub(super) fn without<'a>(mut self, healed: impl Iterator<Item = (&'a TableName, Pid)>) -> Self {
        for (table, pid) in healed {
            let before = self.blocked.len();
            self.blocked.retain(|entry| entry.db != table.db || entry.table != table.table || entry.pid != pid);
            match self.blocked.len() < before {
                true => self.partitions.blocked -= 1,
                false => self.partitions.failed -= 1,
            }
            self.partitions.recovered += 1;
        }
        if self.partitions.blocked + self.partitions.failed == 0 {
            self.verdict = Verdict::Healthy;
        }
        self
    }

    /// With what clients meet, as it was seen.
    pub fn serving(self, status: &Status) -> Self {
        Self { service: Some(Service::of(status)), ..self }
    }

    /// With what a verification found: nothing is recovered or healthy that it does not confirm.
    pub fn verified(self, verification: Verification) -> Self {
        let verdict = match self.verdict {
            Verdict::Recovered | Verdict::Healthy if !verification.is_complete() => Verdict::Partial,
            Verdict::Recovered | Verdict::Healthy if !self.auto_failover.held_for.is_empty() => Verdict::Partial,
            verdict => verdict,
        };
        Self { verdict, verification: Some(verification), ..self }
    }
}

/// The summary of a plan or a look: nothing is changed.
pub fn summary_of_plan(plan: &Plan, auto_failover: bool, rpc: Rpc) -> Summary {
    let blocked: Vec<BlockedEntry> = plan
        .partitions
        .iter()
        .filter_map(|planned| {
            planned.blocked.as_ref().map(|why| BlockedEntry::new(&planned.table, planned.partition.pid, why))
        })
        .collect();
    let given_up = plan.partitions.iter().flat_map(|planned| {
        let choice = match &planned.leader {
            LeaderPlan::Chosen(choice) => Some(choice),
            _ => None,
        };
        choice
            .into_iter()
            .flat_map(|choice| &choice.given_up)
            .map(|g| GivenUpEntry::new(&planned.table, planned.partition.pid, g))
    });
    let unhealthy = plan.counts.total - plan.counts.healthy;
    Summary {
        verdict: if unhealthy == 0 { Verdict::Healthy } else { Verdict::Partial },
        service: None,
        playbook: Some(plan.playbook.clone()),
        auto_failover: AutoFailoverSeen::of(auto_failover, auto_failover, &[]),
        partitions: PartitionCounts {
            total: plan.counts.total,
            healthy_before: plan.counts.healthy,
            recovered: 0,
            blocked: blocked.len(),
            failed: unhealthy - blocked.len(),
        },
        replicas: ReplicaCounts { total: plan.counts.replicas },
        given_up: given_up.collect(),
        accepted: Vec::new(),
        serving_after_ms: None,
        redundant_after_ms: None,
        rpc,
        blocked,
        verification: None,
        rows_compared: None,
        beside: Beside::default(),
    }
}

fn health_in(seen: &Snapshot, index: &Index, id: PartitionId, memory: Option<&Memory>) -> Option<Health> {
    let (table, partition) = index.find(&seen.tables, id)?;
    let (base, none) = (Base::of(seen, table, partition), Memory::default());
    let ops = index.ops(&table.name, id.pid);
    let view = View::with_ops(&seen.tablets, table, partition, memory.unwrap_or(&none), ops);
    Some(health(&View { base, ..view }))
}

/// It was brought back, and a tablet of its has stopped to answer since.
fn no_answer(health: &Health) -> Option<Blocked> {
    let silent = health.problems().iter().find(|problem| problem.kind == ProblemKind::NoAnswer)?;
    let reason = match health {
        Health::Down(_) => Reason::OutOfReach,
        Health::Serving(_) | Health::Healthy | Health::Unknown(_) => Reason::NotRedundant,
    };
    let text = format!("{} {}, and did while the partition was brought back", silent.endpoint, silent.text);
    Some(Blocked::new(reason, text, "start that tablet, or find out why it does not answer, then run again"))
}

fn not_healthy(health: &Health) -> Blocked {
    let problems: Vec<String> = health.problems().iter().map(|p| format!("{} {}", p.endpoint, p.text)).collect();
    let seen = match health {
        Health::Unknown(probe) => format!("{} was not asked for its followers", probe.endpoint),
        Health::Down(_) if problems.is_empty() => "no replica is flagged leader, alive and leading".to_owned(),
        _ => problems.join(", "),
    };
    Blocked::new(Reason::Interrupted, seen, "run the same command again to continue")
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

impl Verdict {
    /// The verdict's word, as its JSON has it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Recovered => "recovered",
            Self::Healthy => "healthy",
            Self::Partial => "partial",
            Self::Refused => "refused",
            Self::Interrupted => "interrupted",
            Self::Failed => "failed",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::hold::HeldFor;
    use super::super::made_up::{ID, orders};
    use super::*;
    use crate::recovery::{Counts, WhyHeld};
    use crate::verify::Standing;

    /// Replicas of partitions that are not in scope, too.
    #[test]
    fn a_run_that_keeps_auto_failover_off_is_partial_however_healthy_everything_in_scope_is() {
        let held = HeldFor {
            db: orders().db,
            table: orders().table,
            pid: ID.pid,
            partition: ID,
            endpoint: "b".into(),
            why: WhyHeld::Unseen,
        };
        let plan = Plan { playbook: "recover".to_owned(), partitions: Vec::new(), counts: Counts::default() };
        let verified = |verdict, held_for: &[HeldFor]| {
            let auto_failover = AutoFailoverSeen::of(true, held_for.is_empty(), held_for);
            let summary = Summary { verdict, auto_failover, ..summary_of_plan(&plan, true, Rpc::default()) };
            summary.verified(Verification { verdict: Standing::Complete, findings: Vec::new() }).verdict
        };
        for verdict in [Verdict::Recovered, Verdict::Healthy] {
            assert_eq!(verified(verdict, &[]), verdict);
            assert_eq!(verified(verdict, std::slice::from_ref(&held)), Verdict::Partial, "{verdict:?}");
        }
        assert_eq!(verified(Verdict::Interrupted, &[held]), Verdict::Interrupted);
    }
}
