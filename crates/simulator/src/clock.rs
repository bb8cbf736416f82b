//! The world's clock: tokio's, run faster.

use std::num::NonZeroU32;
use std::time::Duration;

use tokio::time::Instant;

use super::Millis;

/// How many times faster than ours the world's time runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TimeScale(pub NonZeroU32);

impl Default for TimeScale {
    /// 20: OpenMLDB's polls of 2 s take 100 ms.
    fn default() -> Self {
        Self(NonZeroU32::MIN.saturating_add(19))
    }
}

/// World time as a function of tokio's clock, which tests may pause.
#[derive(Debug, Clone, Copy)]
pub struct Clock {
    /// None: it is held.
    started: Option<Instant>,
    origin: Millis,
    scale: u32,
}

impl Clock {
    /// A clock that shows `origin` now and runs `scale` times faster than tokio's.
    pub fn starting_at(origin: Millis, scale: TimeScale) -> Self {
        Self { started: Some(Instant::now()), origin, scale: scale.0.get() }
    }

    /// The same clock, held at a time.
    pub fn held_at(self, at: Millis) -> Self {
        Self { started: None, origin: at, ..self }
    }

    /// Whether it is held.
    pub fn is_held(&self) -> bool {
        self.started.is_none()
    }

    /// The same clock, running on from the time it shows.
    pub fn running(self) -> Self {
        Self { started: Some(Instant::now()), origin: self.now(), ..self }
    }

    /// The world's time.
    pub fn now(&self) -> Millis {
        let Some(started) = self.started else { return self.origin };
        let elapsed = started.elapsed().as_micros().saturating_mul(u128::from(self.scale)) / 1000;
        self.origin.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// The first instant at which [`Clock::now`] is at least `at`; none while it is held.
    pub fn instant_of(&self, at: Millis) -> Option<Instant> {
        let ahead = at.saturating_sub(self.origin).saturating_mul(1000).div_ceil(u64::from(self.scale));
        self.started.map(|started| started + Duration::from_micros(ahead))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_event_is_due_when_its_instant_has_come() {
        let clock = Clock::starting_at(1_000_007, TimeScale::default());
        for at in [1_000_007, 1_000_008, 1_000_033, 1_002_007] {
            tokio::time::sleep_until(clock.instant_of(at).unwrap()).await;
            assert!(clock.now() >= at, "{} is before {at}", clock.now());
        }
        assert!(clock.now() < 1_002_007 + 2 * 20, "the clock runs twenty times faster, in steps of a millisecond");
    }
    #[tokio::test(start_paused = true)]
    async fn a_clock_that_is_held_goes_on_from_where_it_was() {
        let clock = Clock::starting_at(1_000, TimeScale::default());
        tokio::time::sleep(Duration::from_millis(100)).await;
        let held = clock.held_at(clock.now());
        tokio::time::sleep(Duration::from_secs(10)).await;
        assert_eq!((held.now(), held.instant_of(3_000)), (3_000, None));
        let running = held.running();
        assert_eq!(running.now(), 3_000);
        tokio::time::sleep(Duration::from_millis(100)).await;
        assert_eq!(running.now(), 5_000);
    }
}
