//! What somebody has accepted: a plan as a whole, and losses that a plan lists. Everything is checked against what is
//! there now, before anything is done.

use crate::model::Endpoint;
use crate::recovery::{Loss, LossKind};

use super::{Difference, KeptPlan, PlanId};

/// What somebody has accepted. The default is nothing, and then nothing is lost.
#[derive(Debug, Clone, Default)]
pub struct Consent {
    /// Exactly this plan is to be applied.
    pub plan: Option<KeptPlan>,
    /// The losses that the plan of this id lists are accepted.
    pub losses_of: Option<PlanId>,
    /// Partitions may go on without what these replicas hold (they cannot be checked). Said for each on its own,
    /// because nobody knows how much it is.
    pub without: Vec<Endpoint>,
    /// Who is to lead the one partition in scope, whatever the rules say of it. What the others would lose has to be
    /// accepted.
    pub leader: Option<Endpoint>,
    /// auto_failover may be restored, whatever the nameserver then replaces.
    pub release: bool,
}

/// Why it does not fit what is there.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum Refusal {
    /// The facts are not those of the plan.
    #[error("{} of plan {id} changed since it was made", facts(differences.len()))]
    Differs {
        /// The plan.
        id: PlanId,
        /// Field by field.
        differences: Vec<Difference>,
    },
    /// The plan is another one.
    #[error("plan {named} is out of date; the current plan is {now}")]
    OtherPlan {
        /// The one that was named.
        named: PlanId,
        /// The one that a dry run would show.
        now: PlanId,
    },
    /// The plan does not list that.
    #[error("plan {id} loses nothing by continuing without {endpoint}")]
    NothingWithout {
        /// The plan.
        id: PlanId,
        /// The replica's endpoint.
        endpoint: Endpoint,
    },
    /// A leader can be named for one partition only.
    #[error("--leader needs a single partition, but {partitions} are in scope")]
    SeveralPartitions {
        /// How many.
        partitions: usize,
    },
    /// The one that is to lead is no replica of the partition.
    #[error(
        "{endpoint} was named as leader of {partition}, but has no replica of it; replicas are on {}",
        list(replicas)
    )]
    NoSuchReplica {
        /// Who was named.
        endpoint: Endpoint,
        /// The partition, by its name.
        partition: String,
        /// Where its replicas are.
        replicas: Vec<Endpoint>,
    },
    /// Another one serves clients as leader.
    #[error("{endpoint} was named as leader of {partition}, but {leader} leads it and serves clients")]
    LedByAnother {
        /// Who was named.
        endpoint: Endpoint,
        /// The partition, by its name.
        partition: String,
        /// Who leads.
        leader: Endpoint,
    },
    /// Nothing is placed on a tablet that was named as gone.
    #[error("no replica is placed on {endpoint}{}", did_you_mean(meant.as_ref()))]
    NobodyThere {
        /// The tablet.
        endpoint: Endpoint,
        /// The one that may have been meant.
        meant: Option<Endpoint>,
    },
}

fn list(endpoints: &[Endpoint]) -> String {
    endpoints.iter().map(Endpoint::as_str).collect::<Vec<_>>().join(", ")
}

fn facts(differences: usize) -> String {
    if differences == 1 { "1 fact".to_owned() } else { format!("{differences} facts") }
}

impl Refusal {
    /// Where the plan differs, field by field.
    pub fn differences(&self) -> &[Difference] {
        match self {
            Self::Differs { differences, .. } => differences,
            Self::OtherPlan { .. }
            | Self::NothingWithout { .. }
            | Self::SeveralPartitions { .. }
            | Self::NoSuchReplica { .. }
            | Self::LedByAnother { .. }
            | Self::NobodyThere { .. } => &[],
        }
    }
}

impl Consent {
    /// The plan that it is about, if anything was said at all.
    pub fn named(&self) -> Option<PlanId> {
        self.losses_of.clone().or_else(|| self.plan.as_ref().map(KeptPlan::id))
    }

    /// Checks it against what would be done now.
    ///
    /// # Errors
    /// Why it does not fit; then nothing may be done.
    pub fn check(&self, now: &KeptPlan) -> Result<(), Refusal> {
        if let Some(planned) = &self.plan {
            let id = planned.id();
            if let Some(named) = self.losses_of.as_ref().filter(|named| **named != id) {
                return Err(Refusal::OtherPlan { named: named.clone(), now: id });
            }
            // It was applied already, or nothing of it is left to do.
            if now.partitions.is_empty() && now.cluster == planned.cluster {
                return Ok(());
            }
            let differences = planned.differences(now);
            if !differences.is_empty() {
                return Err(Refusal::Differs { id, differences });
            }
        }
        let Some(named) = &self.losses_of else { return Ok(()) };
        let id = now.id();
        if *named != id {
            return Err(Refusal::OtherPlan { named: named.clone(), now: id });
        }
        let listed = |endpoint: &&Endpoint| now.losses().any(|loss| is_without(loss) && loss.endpoint == **endpoint);
        match self.without.iter().find(|endpoint| !listed(endpoint)) {
            Some(endpoint) => Err(Refusal::NothingWithout { id, endpoint: endpoint.clone() }),
            None => Ok(()),
        }
    }

    /// Whether a loss that the plan lists was accepted.
    pub fn covers(&self, loss: &Loss) -> bool {
        self.losses_of.is_some() && (!is_without(loss) || self.without.contains(&loss.endpoint))
    }
}

/// Whether a loss is of something that cannot be looked at.
fn is_without(loss: &Loss) -> bool {
    loss.kind == LossKind::OutOfReach
}

fn did_you_mean(meant: Option<&Endpoint>) -> String {
    meant.map_or(String::new(), |meant| format!("; did you mean {meant}?"))
}
