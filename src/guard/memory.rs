//! What a guard remembers from look to look.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use crate::model::Endpoint;
use crate::run::{By, Case, HowFar, RunId};

use super::attempts::Attempt;
use super::limits::Limits;
use super::question::Question;
use super::seen::{Seen, Shape};
use super::task::calls_for_recovery;

/// What was seen before, since when, and what was tried.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Memory {
    /// Since when not all is well.
    ill: Option<u64>,
    /// Since when there is something to recover.
    due: Option<u64>,
    /// When there was last something to recover.
    due_last: u64,
    /// Tablets that went away, as long as they have not stayed there for a while since.
    absences: BTreeMap<Endpoint, Absence>,
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
    /// How it looked when the last of them had ended, if that came to its end here.
    left_as: Option<Shape>,
    /// The next look shows how it was left.
    is_left: bool,
    /// Where a plan had nothing to do: how it looked, and what somebody has to decide, if anything.
    stuck: Option<(Shape, Option<Question>)>,
}

/// A tablet that went away.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Absence {
    /// When it was first seen to be.
    since: u64,
    /// Since when it is there again; none while it is away.
    back: Option<u64>,
    /// How often it went away.
    times: u32,
}

/// A tablet that went away so often comes and goes.
const RESTLESS: u32 = 3;

impl Memory {
    /// Notes a look.
    pub fn notes(&mut self, seen: &Seen, limits: &Limits) {
        let now = seen.now_ms;
        let is_well = seen.shape.is_well();
        self.ill = if is_well { None } else { self.ill.or(Some(now)) };
        self.notes_absences(seen, limits);
        self.notes_what_is_due(seen, limits);
        self.well = if is_well { self.well.or(Some(now)) } else { None };
        if self.shape.as_ref().is_none_or(|(shape, _)| *shape != seen.shape) {
            if self.has_stayed_as_left(seen, limits) {
                self.attempts.clear();
            }
            self.shape = Some((seen.shape.clone(), now));
            // Should it look like that again, it is another time.
            self.stuck = None;
        }
        if self.away.as_ref().is_none_or(|(away, _)| *away != seen.shape.away) {
            self.away = Some((seen.shape.away.clone(), now));
        }
        if std::mem::take(&mut self.is_left) {
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

    /// What a recovery cannot bring back stays away, perhaps for ever: the row ends all the same once that has lasted, and something
    /// else happens.
    fn has_stayed_as_left(&self, seen: &Seen, limits: &Limits) -> bool {
        let Some(last) = self.attempts.last() else { return false };
        let since_last = Duration::from_millis(seen.at_ms.saturating_sub(last.last_ms()));
        self.still(seen.now_ms).min(since_last) >= limits.calm
    }

    fn notes_absences(&mut self, seen: &Seen, limits: &Limits) {
        let now = seen.now_ms;
        for at in &seen.shape.away {
            let absence = self.absences.entry(at.clone()).or_insert(Absence { since: now, back: None, times: 1 });
            absence.times += u32::from(absence.back.take().is_some());
        }
        for (at, absence) in &mut self.absences {
            if !seen.shape.away.contains(at) {
                absence.back.get_or_insert(now);
            }
        }
        self.absences.retain(|_, absence| absence.back.is_none_or(|since| since_ms(now, since) < limits.stays));
    }

    /// It is the same that has to be recovered as long as it is not well, and nobody has recovered anything. Where all tablets are away
    /// for a moment there is nobody to recover.
    fn notes_what_is_due(&mut self, seen: &Seen, limits: &Limits) {
        let now = seen.now_ms;
        if calls_for_recovery(seen) {
            self.due.get_or_insert(now);
            self.due_last = now;
        } else if seen.shape.is_well() || since_ms(now, self.due_last) >= limits.boot {
            self.due = None;
        }
        if seen.runs.at_work.is_some() {
            self.due = None;
        }
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

    /// For how long not all is well.
    pub fn ill(&self, now_ms: u64) -> Duration {
        self.ill.map_or(Duration::ZERO, |since| since_ms(now_ms, since))
    }

    /// For how long there is something to recover.
    pub fn due(&self, now_ms: u64) -> Duration {
        self.due.map_or(Duration::ZERO, |since| since_ms(now_ms, since))
    }

    /// How long ago the last one of those that are away first went.
    pub fn last_gone(&self, now_ms: u64) -> Duration {
        let away = self.absences.values().filter(|absence| absence.back.is_none());
        away.map(|absence| since_ms(now_ms, absence.since)).min().unwrap_or_default()
    }

    /// Tablets that come and go.
    pub fn restless(&self) -> Vec<Endpoint> {
        self.absences.iter().filter(|(_, absence)| absence.times >= RESTLESS).map(|(at, _)| at.clone()).collect()
    }

    /// For how long everything has stayed as it is.
    pub fn still(&self, now_ms: u64) -> Duration {
        self.shape.as_ref().map_or(Duration::ZERO, |(_, since)| since_ms(now_ms, *since))
    }

    /// For how long the same tablets are away.
    pub fn away(&self, now_ms: u64) -> Duration {
        self.away.as_ref().map_or(Duration::ZERO, |(_, since)| since_ms(now_ms, *since))
    }

    /// A recovery was run: how it looks then is seen next. One that was told to end says nothing of the cluster.
    pub fn has_tried(&mut self, to_its_end: bool) {
        (self.left_as, self.is_left) = (None, to_its_end);
        self.due = None;
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
