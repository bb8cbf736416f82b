//! What there is to do about a look, and for whom.

use crate::run::{Case, Diagnosis, HeldFor, HowFar};

use super::seen::Seen;

/// What there is to do, by the cases.
pub(super) enum Task {
    /// Nothing.
    None,
    /// Tablets are away, and nothing can be done before they are back.
    Tablets,
    /// OpenMLDB may do it by itself.
    Healing,
    /// Nobody but a recovery can.
    Recovery(String),
}

/// Recognised by the cases alone.
pub(super) fn task(seen: &Seen) -> Task {
    let why = |case| seen.case(case).map(|found: &Diagnosis| found.seen.clone());
    if let Some(why) = why(Case::EverythingRestarted) {
        return Task::Recovery(why);
    }
    if seen.shape.loaded == 0 && seen.shape.empty.is_empty() && !seen.shape.away.is_empty() {
        return Task::Tablets;
    }
    // It has set about it, and nobody else goes on with it. One that owes no more than it has to is told of by the next case.
    let only_owes = seen.runs.broke_off.is_some_and(|run| run.how == HowFar::Owes) && !seen.runs.held_for.is_empty();
    if let Some(why) = why(Case::RunUnfinished)
        && !only_owes
    {
        return Task::Recovery(why);
    }
    let is_back = |held: &HeldFor| !seen.shape.away.contains(&held.endpoint);
    if let Some(why) = why(Case::FailoverKeptOff)
        && seen.runs.held_for.iter().any(is_back)
    {
        return Task::Recovery(why);
    }
    if seen.shape.is_well() {
        return Task::None;
    }
    if let Some(why) = why(Case::PartitionLost) {
        return Task::Recovery(why);
    }
    let restarted = why(Case::TabletRestarted).or_else(|| why(Case::NotRedundant));
    match (restarted, seen.shape.auto_failover) {
        (Some(_), true) => Task::Healing,
        (Some(why), false) => Task::Recovery(why),
        (None, _) if seen.is(Case::TabletLost) || seen.is(Case::TabletMissed) => Task::Tablets,
        (None, _) => Task::None,
    }
}

/// Whether there is something that nobody but a recovery brings back.
pub(super) fn calls_for_recovery(seen: &Seen) -> bool {
    matches!(task(seen), Task::Recovery(_))
}
