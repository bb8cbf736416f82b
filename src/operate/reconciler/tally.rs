//! What is done of an undertaking, and what is under way: told every few seconds.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;

use crate::run::{Arranging, PartitionUnderWay};

use super::{StepEvent, StepOutcome};

/// How often it is told, on the cluster's clock.
pub(super) const EVERY: Duration = Duration::from_secs(2);

/// Counts.
pub(super) struct Tally {
    began: Instant,
    pace: f64,
    /// How many steps each partition takes that is not yet at its goal, as far as that can be told.
    planned: BTreeMap<String, usize>,
    partitions: usize,
    done: usize,
    skipped: usize,
    /// Of partitions that are done with.
    steps_done: usize,
    under_way: BTreeMap<String, UnderWay>,
}

/// A partition that is seen to.
struct UnderWay {
    /// The step that was sent.
    step: Option<String>,
    /// What is waited for.
    waits: Option<String>,
    /// Who does not answer.
    silent: Option<String>,
    since: Instant,
    reached: usize,
}

impl UnderWay {
    fn new() -> Self {
        Self { step: None, waits: None, silent: None, since: Instant::now(), reached: 0 }
    }

    fn text(&self) -> String {
        let text = match (&self.step, &self.waits) {
            (Some(step), Some(waits)) => format!("{step}: {waits}"),
            (Some(text), None) | (None, Some(text)) => text.clone(),
            (None, None) => "looking for what comes next".to_owned(),
        };
        // First, since a narrow terminal cuts off the rest.
        self.silent.as_ref().map_or(text.clone(), |who| format!("{who} does not answer; {text}"))
    }
}

impl Tally {
    /// Of partitions by name, with the steps that each takes. `pace` is how much faster than ours the cluster's clock runs.
    pub(super) fn new(planned: BTreeMap<String, usize>, pace: f64) -> Self {
        let (began, partitions, under_way) = (Instant::now(), planned.len(), BTreeMap::new());
        Self { began, pace, planned, partitions, done: 0, skipped: 0, steps_done: 0, under_way }
    }

    /// A partition is seen to.
    pub(super) fn begins(&mut self, partition: String) {
        self.under_way.insert(partition, UnderWay::new());
    }

    /// A step was sent, or has ended.
    pub(super) fn hears(&mut self, event: &StepEvent) {
        let Some(under_way) = self.under_way.get_mut(&event.partition) else { return };
        match &event.how {
            StepOutcome::Sent => {
                *under_way = UnderWay { step: Some(event.text.clone()), reached: under_way.reached, ..UnderWay::new() };
            }
            StepOutcome::Reached(_) => *under_way = UnderWay { reached: under_way.reached + 1, ..UnderWay::new() },
            StepOutcome::Missed(_) => *under_way = UnderWay { reached: under_way.reached, ..UnderWay::new() },
            StepOutcome::Waits(text) => under_way.waits = Some(text.clone()),
            StepOutcome::Done { .. } => {}
        }
    }

    /// What a partition waits for.
    pub(super) fn waits(&mut self, partition: &str, text: &str) {
        if let Some(under_way) = self.under_way.get_mut(partition) {
            under_way.waits = Some(text.to_owned());
        }
    }

    /// Which of a partition's servers did not answer at the last look.
    pub(super) fn silent(&mut self, partition: &str, who: Option<String>) {
        if let Some(under_way) = self.under_way.get_mut(partition) {
            under_way.silent = who;
        }
    }

    /// A partition has reached its goal.
    pub(super) fn is_done(&mut self, partition: &str) {
        self.under_way.remove(partition);
        if let Some(steps) = self.planned.remove(partition) {
            self.done += 1;
            self.steps_done += steps;
        }
    }

    /// These are left where they are: the steps that they lack are not taken.
    pub(super) fn are_skipped<'a>(&mut self, partitions: impl Iterator<Item = &'a String>) {
        for partition in partitions {
            let Some(steps) = self.planned.remove(partition) else { continue };
            let reached = self.under_way.remove(partition).map_or(0, |under_way| under_way.reached);
            self.skipped += 1;
            self.steps_done += reached.min(steps);
        }
    }

    /// How far it has come.
    pub(super) fn told(&self) -> Arranging {
        let millis = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        let reached = |(name, under_way): (&String, &UnderWay)| {
            under_way.reached.min(self.planned.get(name).copied().unwrap_or(0))
        };
        let steps_done = self.steps_done + self.under_way.iter().map(reached).sum::<usize>();
        let lacking: usize = self.planned.values().sum();
        let seen_to = |(name, under_way): (&String, &UnderWay)| PartitionUnderWay {
            partition: name.clone(),
            text: under_way.text(),
            for_ms: millis(under_way.since.elapsed().mul_f64(self.pace)),
        };
        Arranging {
            after_ms: millis(self.began.elapsed()),
            partitions: self.partitions,
            done: self.done,
            skipped: self.skipped,
            steps: self.steps_done + lacking,
            steps_done,
            under_way: self.under_way.iter().map(seen_to).collect(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(partition: &str, how: StepOutcome) -> StepEvent {
        StepEvent {
            partition: partition.to_owned(),
            step: "replica_add",
            text: "addreplica".to_owned(),
            call: None,
            how,
        }
    }

    #[tokio::test(start_paused = true)]
    async fn steps_are_counted_once_however_often_they_are_tried_and_reach_their_number_in_the_end() {
        let planned = BTreeMap::from([("a".to_owned(), 3), ("b".to_owned(), 2), ("c".to_owned(), 1)]);
        let mut tally = Tally::new(planned, 20.0);
        tally.begins("a".to_owned());
        tally.hears(&event("a", StepOutcome::Sent));
        tokio::time::advance(Duration::from_secs(1)).await;
        tally.waits("a", "operation 7 is under way");
        let told = tally.told();
        assert_eq!((told.steps_done, told.steps, told.done, told.partitions), (0, 6, 0, 3));
        let under_way = told.under_way.first().unwrap();
        assert_eq!((under_way.text.as_str(), under_way.for_ms), ("addreplica: operation 7 is under way", 20_000));
        tally.silent("a", Some("10.0.0.4:10921".to_owned()));
        assert_eq!(
            tally.told().under_way[0].text,
            "10.0.0.4:10921 does not answer; addreplica: operation 7 is under way"
        );
        tally.silent("a", None);
        (0..9).for_each(|_| tally.hears(&event("a", StepOutcome::Reached(String::new()))));
        assert_eq!((tally.told().steps_done, tally.told().steps), (3, 6), "no more than were planned");
        tally.is_done("a");
        tally.begins("b".to_owned());
        tally.hears(&event("b", StepOutcome::Reached(String::new())));
        tally.are_skipped(["b".to_owned(), "c".to_owned()].iter());
        tally.are_skipped(["b".to_owned(), "c".to_owned()].iter());
        let told = tally.told();
        assert_eq!((told.steps_done, told.steps), (4, 4), "what is not taken any more does not count");
        assert_eq!((told.done, told.skipped, told.under_way.len()), (1, 2, 0));
    }
}
