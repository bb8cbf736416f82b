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
    started: Instant,
    origin: Millis,
    scale: u32,
}

impl Clock {
    /// A clock that shows `origin` now and runs `scale` times faster than tokio's.
    pub fn starting_at(origin: Millis, scale: TimeScale) -> Self {
        Self { started: Instant::now(), origin, scale: scale.0.get() }
    }

    /// The world's time.
    pub fn now(&self) -> Millis {
        let elapsed = self.started.elapsed().as_micros().saturating_mul(u128::from(self.scale)) / 1000;
        self.origin.saturating_add(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }

    /// The first instant at which [`Clock::now`] is at least `at`.
    pub fn instant_of(&self, at: Millis) -> Instant {
        let ahead = at.saturating_sub(self.origin).saturating_mul(1000).div_ceil(u64::from(self.scale));
        self.started + Duration::from_micros(ahead)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_event_is_due_when_its_instant_has_come() {
        let clock = Clock::starting_at(1_000_007, TimeScale::default());
        for at in [1_000_007, 1_000_008, 1_000_033, 1_002_007] {
            tokio::time::sleep_until(clock.instant_of(at)).await;
            assert!(clock.now() >= at, "{} is before {at}", clock.now());
        }
        assert!(clock.now() < 1_002_007 + 2 * 20, "the clock runs twenty times faster, in steps of a millisecond");
    }
}
