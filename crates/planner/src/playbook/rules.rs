//! What the steps have to be together. Every rule here keeps one of recovery's own: auto_failover is off for the whole
//! run and restored, a leader is alive only after it was chosen with all that is needed to choose it, and RecoverTable
//! comes only after that.

use super::error::Problem;
use super::keys::Fault;
use super::read::{Draft, Placed, Steps};
use super::{AutoFailover, ClusterStep, LeaderBy, PartitionStep, Playbook, Which};

/// Checks a draft as a whole.
pub(super) fn checked(draft: Draft) -> Result<Playbook, Fault> {
    before(&draft.before)?;
    after(&draft.after)?;
    partition(&draft.partition)?;
    let plain = |steps: Steps<ClusterStep>| steps.value.into_iter().map(|step| step.value).collect();
    Ok(Playbook {
        name: draft.name,
        description: draft.description,
        before: plain(draft.before),
        partition: draft.partition.value.into_iter().map(|step| step.value).collect(),
        after: plain(draft.after),
    })
}

fn fault<T>(step: &Placed<T>, problem: Problem) -> Result<(), Fault> {
    Err(Fault { place: step.place.clone(), problem })
}

fn twice<T>(steps: &[Placed<T>], key: impl Fn(&T) -> &'static str) -> Result<(), Fault> {
    for (nth, step) in steps.iter().enumerate() {
        if steps[..nth].iter().any(|earlier| key(&earlier.value) == key(&step.value)) {
            return fault(step, Problem::RepeatedStep(key(&step.value).to_owned()));
        }
    }
    Ok(())
}

fn before(steps: &Steps<ClusterStep>) -> Result<(), Fault> {
    twice(&steps.value, ClusterStep::key)?;
    for (nth, step) in steps.value.iter().enumerate() {
        match step.value {
            ClusterStep::AutoFailover(AutoFailover::Restore) => {
                return fault(step, Problem::WrongList { step: "auto_failover: restore".to_owned(), list: "after" });
            }
            ClusterStep::AutoFailover(AutoFailover::Off) if nth > 0 => return fault(step, Problem::FailoverOffFirst),
            // A cancelled operation is what leaves a leader paused (docs/openmldb/operations.md#cancelling).
            ClusterStep::ResumeSnapshots => comes_before(&steps.value[nth..], "settle_ops", "resume_snapshots")?,
            // What is waited for are the tablets that others stand in for; and their operations are settled after that.
            ClusterStep::WaitForTablets { .. } => {
                comes_before(&steps.value[nth..], "offline_tablets", "wait_for_tablets")?
            }
            ClusterStep::SettleOps { .. } => {
                comes_before(&steps.value[nth..], "offline_tablets", "settle_ops")?;
                comes_before(&steps.value[nth..], "wait_for_tablets", "settle_ops")?;
            }
            _ => {}
        }
    }
    match steps.value.first() {
        Some(first) if first.value == ClusterStep::AutoFailover(AutoFailover::Off) => Ok(()),
        _ => Err(Fault { place: steps.place.clone(), problem: Problem::FailoverOffFirst }),
    }
}

/// # Errors
/// A step stands among the later ones that has to come before this one.
fn comes_before(later: &[Placed<ClusterStep>], step: &str, before: &str) -> Result<(), Fault> {
    match later.iter().find(|late| late.value.key() == step) {
        Some(late) => fault(late, Problem::Order { step: step.to_owned(), before: before.to_owned() }),
        None => Ok(()),
    }
}

fn after(steps: &Steps<ClusterStep>) -> Result<(), Fault> {
    twice(&steps.value, ClusterStep::key)?;
    for step in &steps.value {
        let misplaced = match step.value {
            ClusterStep::AutoFailover(AutoFailover::Off) => "auto_failover: off",
            ClusterStep::SettleOps { .. } | ClusterStep::OfflineTablets { .. } | ClusterStep::WaitForTablets { .. } => {
                step.value.key()
            }
            ClusterStep::AutoFailover(AutoFailover::Restore) | ClusterStep::ResumeSnapshots => continue,
        };
        return fault(step, Problem::WrongList { step: misplaced.to_owned(), list: "before" });
    }
    let restore = |step: &Placed<ClusterStep>| step.value == ClusterStep::AutoFailover(AutoFailover::Restore);
    match steps.value.iter().position(restore) {
        Some(nth) if nth + 1 == steps.value.len() => Ok(()),
        Some(nth) => fault(&steps.value[nth], Problem::FailoverRestoreLast),
        None => Err(Fault { place: steps.place.clone(), problem: Problem::FailoverRestoreLast }),
    }
}

/// What a partition has come to, in the only order there is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Milestone {
    NotAlive,
    Loaded,
    Polled,
    Proven,
    Picked,
    Leads,
    LeaderAlive,
    FollowersLoaded,
    FollowersPolled,
    FollowersProven,
    ConnectedAlive,
    Recovered,
    Redundant,
}

impl Milestone {
    /// The step that leads to it, as a playbook spells it.
    fn step(self) -> &'static str {
        match self {
            Self::NotAlive => "mark_alive: { replicas: all, alive: no }",
            Self::Loaded => "load_table",
            Self::FollowersLoaded => "load_table: { replicas: followers }",
            Self::Polled | Self::FollowersPolled => "poll_table_status",
            Self::Proven | Self::FollowersProven => "prove_terms",
            Self::Picked => "pick_leader",
            Self::Leads => "change_role",
            Self::LeaderAlive => "mark_alive: { replicas: leader, alive: yes }",
            Self::ConnectedAlive => "mark_alive: { replicas: connected, alive: yes }",
            Self::Recovered => "recover_table",
            Self::Redundant => "wait_until",
        }
    }

    /// What a step leads to. A second round of polling and proving belongs to followers that are loaded later.
    fn of(step: &PartitionStep, followers_loaded: bool) -> Result<Self, Problem> {
        Ok(match step {
            PartitionStep::MarkAlive { replicas: Which::All, alive: false } => Self::NotAlive,
            PartitionStep::MarkAlive { replicas: Which::Leader, alive: true } => Self::LeaderAlive,
            PartitionStep::MarkAlive { replicas: Which::Connected, alive: true } => Self::ConnectedAlive,
            PartitionStep::MarkAlive { alive: true, .. } => return Err(Problem::Unsafe(ALIVE_AT_ONCE)),
            PartitionStep::MarkAlive { alive: false, .. } => return Err(Problem::Unsafe(NOT_ALIVE_AGAIN)),
            PartitionStep::LoadTable { replicas: Which::Followers, .. } => Self::FollowersLoaded,
            PartitionStep::LoadTable { .. } => Self::Loaded,
            PartitionStep::PollTableStatus { .. } if followers_loaded => Self::FollowersPolled,
            PartitionStep::PollTableStatus { .. } => Self::Polled,
            PartitionStep::ProveTerms { .. } if followers_loaded => Self::FollowersProven,
            PartitionStep::ProveTerms { .. } => Self::Proven,
            PartitionStep::PickLeader { .. } => Self::Picked,
            PartitionStep::ChangeRole { .. } => Self::Leads,
            PartitionStep::RecoverTable { .. } => Self::Recovered,
            PartitionStep::WaitUntil { .. } => Self::Redundant,
        })
    }
}

const ALIVE_AT_ONCE: &str = "marking all replicas alive at once would send clients to replicas that hold nothing; \
                             mark the leader alive and recover the others";
const NOT_ALIVE_AGAIN: &str = "only all replicas are marked not alive, and only before they are loaded";
const LONGEST_UNKNOWN: &str = "`by: max_offset` needs the true offsets: `load_table` has to load `replicas: all` first";

/// Steps without which no partition is brought back safely.
const ALWAYS: [Milestone; 6] = [
    Milestone::NotAlive,
    Milestone::Loaded,
    Milestone::Polled,
    Milestone::Picked,
    Milestone::Leads,
    Milestone::LeaderAlive,
];

fn partition(steps: &Steps<PartitionStep>) -> Result<(), Fault> {
    let mut reached: Vec<Milestone> = Vec::new();
    let mut all_loaded = false;
    for step in &steps.value {
        let milestone = match Milestone::of(&step.value, reached.contains(&Milestone::FollowersLoaded)) {
            Ok(milestone) => milestone,
            Err(problem) => return fault(step, problem),
        };
        if reached.contains(&milestone) {
            return fault(step, Problem::RepeatedStep(milestone.step().to_owned()));
        }
        if let Some(later) = reached.iter().find(|earlier| **earlier > milestone) {
            let (step_name, before) = (milestone.step().to_owned(), later.step().to_owned());
            return fault(step, Problem::Order { step: step_name, before });
        }
        match step.value {
            PartitionStep::LoadTable { replicas, .. } => all_loaded |= replicas != Which::LeaderFlagged,
            PartitionStep::PickLeader { by: LeaderBy::MaxOffset, .. }
                if reached.contains(&Milestone::Loaded) && !all_loaded =>
            {
                return fault(step, Problem::Unsafe(LONGEST_UNKNOWN));
            }
            _ => {}
        }
        reached.push(milestone);
    }
    let missing = |step: &str, reason| {
        let problem = Problem::MissingStep { list: "partition", step: step.to_owned(), reason };
        Err(Fault { place: steps.place.clone(), problem })
    };
    let has = |milestone| reached.contains(&milestone);
    if let Some(lacking) = ALWAYS.into_iter().find(|milestone| !has(*milestone)) {
        return missing(lacking.step(), "");
    }
    if has(Milestone::FollowersLoaded) && !has(Milestone::FollowersPolled) {
        return missing(Milestone::FollowersPolled.step(), ": followers are loading and nothing waits for them");
    }
    if has(Milestone::Recovered) && !all_loaded {
        return missing(Milestone::FollowersLoaded.step(), ": RecoverTable discards what was not loaded");
    }
    if has(Milestone::ConnectedAlive) && !has(Milestone::Recovered) {
        return missing(Milestone::Recovered.step(), ": not every follower can come back as it is");
    }
    if (has(Milestone::Recovered) || has(Milestone::ConnectedAlive)) && !has(Milestone::Redundant) {
        return missing(Milestone::Redundant.step(), ": RecoverTable's answer does not mean success, its effect does");
    }
    Ok(())
}
