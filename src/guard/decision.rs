//! What a guard does about what it sees: nothing, wait, hold back, ask somebody, or run the recovery. Pure.

use std::time::Duration;

use crate::model::{Endpoint, Verb, counted, counted_that, moment};
use crate::run::{Case, Pause, RunId, Work, some_of};

use super::limits::Limits;
use super::memory::Memory;
use super::question::Question;
use super::seen::{Seen, Undertakings};
use super::task::{Task, task};

/// What is done about a look.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Decision {
    /// Nothing: all is well.
    Well,
    /// Nothing yet.
    Waits(Waiting),
    /// Nothing: somebody is at it, or wants nothing done.
    HoldsBack(HeldBack),
    /// Nothing: somebody has to decide.
    Asks(Question),
    /// The recovery is run, for this reason.
    Acts(String),
}

/// What is waited for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Waiting {
    /// Tablets that metadata names, to be there.
    Tablets {
        /// Which.
        away: Vec<Endpoint>,
        /// Until when at most.
        until_ms: u64,
    },
    /// Everything to stay as it is for a while: something may still be starting.
    Settling {
        /// Until when, if it does.
        until_ms: u64,
        /// Tablets that come and go.
        restless: Vec<Endpoint>,
    },
    /// OpenMLDB, which can do it by itself.
    Healing {
        /// Operations under way.
        ops: usize,
        /// What was seen.
        seen: String,
    },
    /// The time between two recoveries in a row.
    BackingOff {
        /// So many were run.
        tried: usize,
        /// Until when.
        until_ms: u64,
    },
}

/// What holds it back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HeldBack {
    /// Somebody has asked for it.
    Paused(Pause),
    /// A run is at work.
    RunAtWork(String),
    /// An undertaking is under way, or did not come to its end.
    Undertaking(String),
    /// Tablets are being upgraded.
    Upgrade(Vec<Endpoint>),
    /// auto_failover was switched off on purpose.
    SwitchedOff(String),
    /// Somebody has interrupted a recovery a short while ago.
    Interrupted {
        /// Which.
        run: RunId,
        /// Until when.
        until_ms: u64,
    },
}

impl Decision {
    /// Its name.
    pub fn code(&self) -> &'static str {
        match self {
            Self::Well => "well",
            Self::Waits(_) => "waits",
            Self::HoldsBack(_) => "holds_back",
            Self::Asks(_) => "asks",
            Self::Acts(_) => "acts",
        }
    }

    /// In a sentence.
    pub fn text(&self) -> String {
        match self {
            Self::Well => "every partition is served and redundant".to_owned(),
            Self::Waits(what) => what.text(),
            Self::HoldsBack(why) => why.text(),
            Self::Asks(question) => question.seen.clone(),
            Self::Acts(why) => why.clone(),
        }
    }
}

impl Waiting {
    /// Whether its words change as it goes on, and the same is waited for: that is no news.
    pub fn goes_on(&self) -> bool {
        matches!(self, Self::Settling { .. } | Self::Healing { .. } | Self::Tablets { .. })
    }

    fn text(&self) -> String {
        match self {
            Self::Tablets { away, until_ms } => {
                format!("waiting for {} to come back, until {} at most", some_of(&names(away)), moment(*until_ms))
            }
            Self::Settling { until_ms, restless } if restless.is_empty() => {
                format!("waiting until {}, because servers may still be starting", moment(*until_ms))
            }
            Self::Settling { until_ms, restless } => {
                format!("waiting until {} at most: {}", moment(*until_ms), come_and_go(restless))
            }
            Self::Healing { ops, seen } => {
                format!("leaving it to OpenMLDB, {} in progress: {seen}", counted_that(*ops, "operation", Verb::Be))
            }
            Self::BackingOff { tried, until_ms } => format!(
                "guards have run {} in a row; the next one starts at {} at the earliest",
                counted(*tried, "recovery"),
                moment(*until_ms)
            ),
        }
    }
}

impl HeldBack {
    fn text(&self) -> String {
        match self {
            Self::Paused(pause) => pause.text(),
            Self::RunAtWork(run) => format!("a run is at work: {run}"),
            Self::Undertaking(what) => format!("{what}; whoever started it has to finish it"),
            Self::Upgrade(at) => format!("`upgrade post` has not been run yet for {}", some_of(&names(at))),
            Self::SwitchedOff(seen) => format!("{seen}; guards do nothing, as this may be on purpose"),
            Self::Interrupted { run, until_ms } => format!(
                "someone interrupted run {run}, and may want to look first; guards continue it from {} on",
                moment(*until_ms)
            ),
        }
    }
}

fn come_and_go(tablets: &[Endpoint]) -> String {
    let (verb, again) = if tablets.len() == 1 { ("goes", "comes") } else { ("go", "come") };
    format!("{} {verb} away and {again} back again and again", some_of(&names(tablets)))
}

fn names(endpoints: &[Endpoint]) -> Vec<&str> {
    endpoints.iter().map(Endpoint::as_str).collect()
}

/// What is done about what is seen. The look is noted already.
pub fn decide(seen: &Seen, memory: &Memory, limits: &Limits) -> Decision {
    if let Some(case) = seen.case(Case::Standalone).or_else(|| seen.case(Case::OtherEnd)) {
        return Decision::Asks(case.into());
    }
    if let Some(why) = held_back(seen, memory, limits) {
        return Decision::HoldsBack(why);
    }
    match task(seen) {
        Task::None => Decision::Well,
        Task::Tablets => away(seen, memory, limits),
        Task::Healing => healing(seen, memory, limits),
        Task::Recovery(why) => recovery(why, seen, memory, limits),
    }
}

fn held_back(seen: &Seen, memory: &Memory, limits: &Limits) -> Option<HeldBack> {
    let runs = &seen.runs;
    if let Some(pause) = runs.paused.as_ref() {
        return Some(HeldBack::Paused(pause.clone()));
    }
    if let Some(run) = &runs.at_work {
        return Some(HeldBack::RunAtWork(run.clone()));
    }
    if let Some(undertaking) = &runs.undertaking {
        return Some(HeldBack::Undertaking(format!("`{}` did not finish", undertaking.typed)));
    }
    if runs.broke_off.is_some_and(|run| run.work != Work::Recovery) {
        return runs.unfinished.clone().map(HeldBack::Undertaking);
    }
    let Undertakings { upgrades, unknown } = &seen.undertakings;
    if let Some(why) = unknown {
        return Some(HeldBack::Undertaking(format!(
            "it is unknown whether scaling, an upgrade or a handover is in progress: {why}"
        )));
    }
    if !upgrades.is_empty() {
        return Some(HeldBack::Upgrade(upgrades.clone()));
    }
    if let Some(off) = seen.case(Case::FailoverOff) {
        let by_a_step = runs.failover_set.as_ref().is_some_and(|set| !set.on && set.work == Work::Step);
        if by_a_step || memory.is_switched_off() {
            return Some(HeldBack::SwitchedOff(off.seen.clone()));
        }
    }
    let (run, since) = memory.interrupted(seen.now_ms)?;
    let left = limits.interrupted.checked_sub(since).filter(|left| !left.is_zero())?;
    Some(HeldBack::Interrupted { run, until_ms: after(seen, left) })
}

/// Nothing but tablets that are away.
fn away(seen: &Seen, memory: &Memory, limits: &Limits) -> Decision {
    let now = seen.now_ms;
    if let Some(left) = left(limits.boot, memory.last_gone(now)) {
        let away = seen.shape.away.iter().cloned().collect();
        return Decision::Waits(Waiting::Tablets { away, until_ms: after(seen, left) });
    }
    let cases = [Case::TabletMissed, Case::FailoverKeptOff, Case::TabletLost];
    let case = cases.iter().find_map(|case| seen.case(*case));
    case.map_or(Decision::Well, |case| Decision::Asks(case.into()))
}

/// What OpenMLDB may do by itself is left to it, as long as something moves.
fn healing(seen: &Seen, memory: &Memory, limits: &Limits) -> Decision {
    let (now, ops) = (seen.now_ms, seen.shape.ops);
    let case = seen.case(Case::TabletRestarted).or_else(|| seen.case(Case::NotRedundant));
    let what = case.map(|case| case.seen.clone()).unwrap_or_default();
    let patience = if ops > 0 { limits.ops } else { limits.heal };
    if let Some(question) = restless(&what, memory, limits, now) {
        return Decision::Asks(question);
    }
    if left(patience, memory.still(now)).is_some() {
        return Decision::Waits(Waiting::Healing { ops, seen: what });
    }
    if ops > 0 {
        let minutes = limits.ops.as_secs() / 60;
        return Decision::Asks(Question {
            seen: format!(
                "{what}; {} in progress, and nothing has moved for {minutes} minutes",
                counted_that(ops, "operation", Verb::Be)
            ),
            next: vec![
                "openmldb-ops show ops # shows what is stuck".to_owned(),
                "openmldb-ops recover --all # cancels what is in the way, and recovers what it can".to_owned(),
            ],
        });
    }
    in_a_row(format!("{what}; OpenMLDB does nothing about it"), seen, memory, limits)
}

/// OpenMLDB begins anew each time that a tablet has crashed: something moves all the time, and nothing is healed.
fn restless(what: &str, memory: &Memory, limits: &Limits, now: u64) -> Option<Question> {
    let restless = memory.restless();
    if restless.is_empty() || memory.ill(now) < limits.ops {
        return None;
    }
    Some(Question {
        seen: format!("{what}; {}", come_and_go(&restless)),
        next: vec![
            format!("see the log of tablet {}: why does it not stay up?", some_of(&names(&restless))),
            "openmldb-ops status".to_owned(),
        ],
    })
}

/// What nobody but a recovery brings back, once what is starting has started.
fn recovery(why: String, seen: &Seen, memory: &Memory, limits: &Limits) -> Decision {
    let (now, due) = (seen.now_ms, memory.due(seen.now_ms));
    let boots = left(limits.boot, due).filter(|_| !seen.shape.away.is_empty());
    if let Some(left) = boots {
        let away = seen.shape.away.iter().cloned().collect();
        return Decision::Waits(Waiting::Tablets { away, until_ms: after(seen, left) });
    }
    let restless = memory.restless();
    // A tablet that crashes again and again would have the others wait for ever.
    let at_most = left(limits.boot.saturating_add(limits.restless), due);
    if let (Some(left), Some(at_most)) = (left(limits.settle, memory.away(now)), at_most) {
        let left = if restless.is_empty() { left.min(at_most) } else { at_most };
        return Decision::Waits(Waiting::Settling { until_ms: after(seen, left), restless });
    }
    let why = if restless.is_empty() { why } else { format!("{why}; {}", come_and_go(&restless)) };
    in_a_row(why, seen, memory, limits)
}

/// Not again and again.
fn in_a_row(why: String, seen: &Seen, memory: &Memory, limits: &Limits) -> Decision {
    match memory.stuck(&seen.shape) {
        Some(Some(question)) => return Decision::Asks(question.clone()),
        // What an earlier run left needs nothing any more.
        Some(None) => return Decision::Well,
        None => {}
    }
    let tried = memory.attempts.len();
    let Some(last) = memory.attempts.last() else { return Decision::Acts(why) };
    let since = Duration::from_millis(seen.at_ms.saturating_sub(last.last_ms()));
    if tried >= limits.in_a_row && (since < limits.again_at_most || memory.is_as_left(&seen.shape)) {
        return Decision::Asks(Question {
            seen: format!(
                "flapping: guards have run {tried} recoveries in a row, the last one at {}, and the cluster is \
                 unhealthy: {why}",
                moment(last.began_ms)
            ),
            next: vec![
                "openmldb-ops record list # shows what they did".to_owned(),
                "openmldb-ops status".to_owned(),
                "openmldb-ops recover --all # once you know why recoveries do not last; guards try once an hour at most, and \
                 only if something has changed"
                    .to_owned(),
            ],
        });
    }
    // One that was killed says nothing of the cluster, and what it began is gone on with at once: the time was over when it began.
    let ended: Vec<u64> = memory.attempts.iter().filter_map(|attempt| attempt.ended_ms).collect();
    let since = Duration::from_millis(seen.at_ms.saturating_sub(ended.last().copied().unwrap_or_default()));
    match left(limits.before_the_next(ended.len()), since) {
        Some(left) => Decision::Waits(Waiting::BackingOff { tried, until_ms: after(seen, left) }),
        None => Decision::Acts(why),
    }
}

fn left(patience: Duration, gone: Duration) -> Option<Duration> {
    patience.checked_sub(gone).filter(|left| !left.is_zero())
}

/// That moment, as clocks on walls have it.
fn after(seen: &Seen, left: Duration) -> u64 {
    seen.at_ms.saturating_add(u64::try_from(left.as_millis()).unwrap_or(u64::MAX))
}
