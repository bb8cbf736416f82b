//! A plan that can be held on to: what would be done, to which cluster, and the facts it rests on. It has an id by which it
//! can be named, and is applied only as long as the facts are what they were.

mod consent;
mod difference;
mod file;

use std::fmt;
use std::io;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use crate::model::{Action, Endpoint, PartitionId, TableName, hex};
use crate::recovery::{Blocked, Facts, LeaderPlan, Loss, PartitionPlan, PlannedStep, PromotionMethod};

use super::prepared::Prepared;
use super::scope::{Scope, Selector};

pub use consent::{Consent, Refusal};
pub use difference::Difference;
pub use file::{PlanFileError, parse, read, save, write};

/// What a plan is named by: the beginning of the SHA-256 of what it rests on, in hexadecimal. The same facts give the same id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct PlanId(String);

/// Digits of an id: enough that no two plans of a cluster share one, few enough to be typed.
const ID_DIGITS: usize = 16;

/// A plan, its cluster and its facts.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPlan {
    /// Which cluster, as it was reached.
    pub cluster: String,
    /// When it was made, in milliseconds since 1970.
    pub made_at_ms: u64,
    /// The version of the program that made it: another one may decide otherwise on the same facts.
    pub program: String,
    /// The playbook's text.
    pub playbook: String,
    /// What was asked for.
    pub scope: Scope,
    /// auto_failover before anybody's change, and when the plan was made.
    pub auto_failover: AutoFailoverFacts,
    /// The partitions to bring back. Others are not touched by it.
    pub partitions: Vec<KeptPartition>,
}

/// auto_failover, as a plan found it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AutoFailoverFacts {
    /// Before anybody's change: what is restored.
    pub before: bool,
    /// When the plan was made.
    pub now: bool,
}

/// One partition of it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptPartition {
    /// Database and table.
    pub table: TableName,
    /// Its number on the tablets.
    pub partition: PartitionId,
    /// What it rests on.
    pub facts: Facts,
    /// Who leads.
    pub leader: KeptLeader,
    /// The calls, in order.
    pub steps: Vec<KeptStep>,
    /// Why the partition does not become redundant, if so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub blocked: Option<Blocked>,
    /// What would be lost by going on all the same.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub losses: Vec<Loss>,
    /// The calls that follow once each of these has been accepted.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub if_accepted: Vec<KeptStep>,
}

/// Who leads, without the reasons.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", tag = "kind", deny_unknown_fields)]
pub enum KeptLeader {
    /// It serves already.
    Serving {
        /// The leader.
        endpoint: Endpoint,
    },
    /// Chosen on proven offsets: nobody else may become leader under this plan.
    Chosen {
        /// The leader.
        endpoint: Endpoint,
        /// How it becomes leader.
        way: PromotionMethod,
    },
    /// Offsets are known only after loading: the one of these that the rules pick.
    AfterLoading {
        /// The candidates.
        among: Vec<Endpoint>,
    },
    /// Nobody may lead.
    Nobody,
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeptStep {
    /// The playbook's step.
    pub step: String,
    /// The call and its arguments.
    pub action: Action,
    /// Why.
    pub why: String,
    /// Whether it depends on what loading brings.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub expected: bool,
}

impl KeptPlan {
    /// The plan of what was prepared with the playbook of that text.
    pub fn of(prepared: &Prepared, playbook: &str, scope: &Scope) -> Self {
        Self {
            cluster: prepared.snapshot.cluster.clone(),
            made_at_ms: prepared.snapshot.taken_at_ms,
            program: env!("CARGO_PKG_VERSION").to_owned(),
            playbook: playbook.to_owned(),
            scope: scope.clone(),
            auto_failover: AutoFailoverFacts {
                before: prepared.auto_failover_before(),
                now: prepared.snapshot.auto_failover,
            },
            partitions: prepared.plan.partitions.iter().map(KeptPartition::of).collect(),
        }
    }

    /// Its name. Reasons and sentences do not count: how a tablet's silence is worded is no fact.
    pub fn id(&self) -> PlanId {
        let mut digest = Sha256::new();
        hash(&mut digest, &(&self.cluster, &self.program, &self.playbook, &self.auto_failover));
        for KeptPartition { table, partition, facts, leader, losses, .. } in &self.partitions {
            hash(&mut digest, &(table, partition, facts, leader, losses));
        }
        PlanId(hex(&digest.finalize()).chars().take(ID_DIGITS).collect())
    }

    /// The partitions that it acts on, as a scope: nothing else is looked at when it is applied.
    pub fn its_partitions(&self) -> Scope {
        let selector = |planned: &KeptPartition| Selector {
            db: planned.table.db.clone(),
            table: Some(planned.table.table.clone()),
            pid: Some(planned.partition.pid),
        };
        Scope::Planned(self.partitions.iter().map(selector).collect())
    }

    /// Every loss it lists.
    pub fn losses(&self) -> impl Iterator<Item = &Loss> {
        self.partitions.iter().flat_map(|planned| &planned.losses)
    }
}

impl KeptPartition {
    fn of(planned: &PartitionPlan) -> Self {
        let steps = |steps: &[PlannedStep]| steps.iter().map(KeptStep::of).collect();
        Self {
            table: planned.table.clone(),
            partition: planned.partition,
            facts: planned.facts.clone(),
            leader: KeptLeader::of(&planned.leader),
            steps: steps(&planned.steps),
            blocked: planned.blocked.clone(),
            losses: planned.losses.clone(),
            if_accepted: steps(&planned.if_accepted),
        }
    }
}

impl KeptLeader {
    fn of(leader: &LeaderPlan) -> Self {
        match leader {
            LeaderPlan::Serving { endpoint } => Self::Serving { endpoint: endpoint.clone() },
            LeaderPlan::Chosen(choice) => Self::Chosen { endpoint: choice.leader.clone(), way: choice.way },
            LeaderPlan::AfterLoading { among, .. } => Self::AfterLoading { among: among.clone() },
            LeaderPlan::Nobody => Self::Nobody,
        }
    }
}

impl KeptStep {
    fn of(planned: &PlannedStep) -> Self {
        let PlannedStep { step, action, why, expected } = planned;
        Self { step: (*step).to_owned(), action: action.clone(), why: why.clone(), expected: *expected }
    }
}

impl PlanId {
    /// The name of anything that is accepted by name.
    pub fn of(what: &impl Serialize) -> Self {
        let mut digest = Sha256::new();
        hash(&mut digest, what);
        Self(hex(&digest.finalize()).chars().take(ID_DIGITS).collect())
    }
}

impl fmt::Display for PlanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

impl From<PlanId> for String {
    fn from(id: PlanId) -> Self {
        id.0
    }
}

impl TryFrom<String> for PlanId {
    type Error = String;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        let digits = text.len() == ID_DIGITS && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        if digits {
            Ok(Self(text))
        } else {
            Err(format!("`{text}` is not a plan id; expected {ID_DIGITS} hexadecimal digits, as a dry run prints them"))
        }
    }
}

impl FromStr for PlanId {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::try_from(text.to_owned())
    }
}

/// Adds a value's JSON to a digest. Its types have nothing that JSON cannot say, and a digest takes everything.
fn hash(digest: &mut Sha256, value: &impl Serialize) {
    let mut digest = Bytes(digest);
    let written = serde_json::to_writer(&mut digest, value);
    debug_assert!(written.is_ok(), "{written:?}");
}

/// A digest as a place to write to.
struct Bytes<'a>(&'a mut Sha256);

impl io::Write for Bytes<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;
