//! What a guard remembers from look to look.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::model::Endpoint;
use crate::run::{By, Case, HowFar, RunId};

use super::attempts::Attempt;
use super::decision::Question;
use super::limits::Limits;
use super::seen::{Seen, Shape};

/// What was seen before, since when, and what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Since when something is wrong.
    trouble: Option<u64>,
    /// Since when all is well.
    well: Option<u64>,
    /// What was seen last, and since when it is so.
    shape: Option<(Shape, u64)>,
    /// Who did not answer, and since when it is so.
    away: Option<(BTreeSet<Endpoint>, u64)>,
    /// auto_failover was seen on.
    was_on: bool,
    /// Somebody has switched it off since, and no run of ours owes it.
    switched_off: bool,
    /// A recovery of somebody's that was interrupted, and when that was first seen.
    interrupted: Option<(RunId, u64)>,
    /// The recoveries since everything was calm.
    pub attempts: Vec<Attempt>,
    /// How it looked when the last of them had ended.
    left_as: Option<Shape>,
    /// Where a plan had nothing to do: how it looked, and what somebody has to decide, if anything.
    stuck: Option<(Shape, Option<Question>)>,
}

impl Memory {
    /// Notes a look.
    pub fn notes(&mut self, seen: &Seen, limits: &Limits) {
        let now = seen.now_ms;
        let is_well = seen.shape.is_well();
        self.trouble = if is_well { None } else { self.trouble.or(Some(now)) };
        self.well = if is_well { self.well.or(Some(now)) } else { None };
        if self.shape.as_ref().is_none_or(|(shape, _)| *shape != seen.shape) {
            self.shape = Some((seen.shape.clone(), now));
            // Should it look like that again, it is another time.
            self.stuck = None;
        }
        if self.away.as_ref().is_none_or(|(away, _)| *away != seen.shape.away) {
            self.away = Some((seen.shape.away.clone(), now));
        }
        if self.left_as.is_none() && !self.attempts.is_empty() {
            self.left_as = Some(seen.shape.clone());
        }
        if self.well.is_some_and(|since| since_ms(now, since) >= limits.calm) {
            self.attempts.clear();
        }
        self.notes_failover(seen);
        let broke_off = seen.runs.broke_off.filter(|run| run.how == HowFar::Interrupted && run.by == By::Person);
        self.interrupted = broke_off.map(|run| match self.interrupted {
            Some((known, since)) if known == run.run => (known, since),
            _ => (run.run, now),
        });
    }

    fn notes_failover(&mut self, seen: &Seen) {
        let runs = &seen.runs;
        if seen.shape.auto_failover {
            (self.was_on, self.switched_off) = (true, false);
        } else if runs.at_work.is_none() {
            // What a run owes it gives back itself, or the next one does.
            self.switched_off |= self.was_on && !runs.owes_failover && seen.is(Case::FailoverOff);
            self.switched_off &= seen.is(Case::FailoverOff);
        }
    }

    /// For how long something is wrong.
    pub fn trouble(&self, now_ms: u64) -> Duration {
        self.trouble.map_or(Duration::ZERO, |since| since_ms(now_ms, since))
    }

    /// For how long everything has stayed as it is.
    pub fn still(&self, now_ms: u64) -> Duration {
        self.shape.as_ref().map_or(Duration::ZERO, |(_, since)| since_ms(now_ms, *since))
    }

    /// For how long the same tablets are away.
    pub fn away(&self, now_ms: u64) -> Duration {
        self.away.as_ref().map_or(Duration::ZERO, |(_, since)| since_ms(now_ms, *since))
    }

    /// A recovery was run: how it looks then is seen next.
    pub fn has_tried(&mut self) {
        self.left_as = None;
    }

    /// Whether it looks as the last recovery has left it.
    pub fn is_as_left(&self, shape: &Shape) -> bool {
        self.left_as.as_ref() == Some(shape)
    }

    /// How it looked last.
    pub fn shape(&self) -> Option<&Shape> {
        self.shape.as_ref().map(|(shape, _)| shape)
    }

    /// Whether somebody has switched auto_failover off while it was watched.
    pub fn is_switched_off(&self) -> bool {
        self.switched_off
    }

    /// For how long a recovery of somebody's lies interrupted.
    pub fn interrupted(&self, now_ms: u64) -> Option<(RunId, Duration)> {
        self.interrupted.map(|(run, since)| (run, since_ms(now_ms, since)))
    }

    /// A plan for how it looks had nothing to do.
    pub fn is_stuck(&mut self, shape: Shape, question: Option<Question>) {
        self.stuck = Some((shape, question));
    }

    /// What somebody has to decide, as long as it looks the same.
    pub fn stuck(&self, shape: &Shape) -> Option<Option<&Question>> {
        self.stuck.as_ref().filter(|(then, _)| then == shape).map(|(_, question)| question.as_ref())
    }
}

fn since_ms(now: u64, since: u64) -> Duration {
    Duration::from_millis(now.saturating_sub(since))
}
