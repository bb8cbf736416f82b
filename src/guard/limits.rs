//! How patient a guard is.

use std::time::Duration;

/// How long is waited for what, and how often something is tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// For tablets that metadata names and that do not answer: before a recovery from when there is something to recover, otherwise
    /// from when the last of them went away.
    pub boot: Duration,
    /// For who answers to stay as it is.
    pub settle: Duration,
    /// At most so long beyond `boot`, whoever comes and goes.
    pub restless: Duration,
    /// A tablet that stays there for so long does not come and go any more.
    pub stays: Duration,
    /// For OpenMLDB to go on with what it can heal by itself.
    pub heal: Duration,
    /// For an operation of the nameserver with which nothing moves.
    pub ops: Duration,
    /// For somebody to go on with a recovery that was interrupted.
    pub interrupted: Duration,
    /// After the first recovery that did not end well; twice as long after each further one.
    pub again: Duration,
    /// At most so long.
    pub again_at_most: Duration,
    /// Recoveries in a row.
    pub in_a_row: usize,
    /// So long everything has to be well for a row to end.
    pub calm: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let minutes = |minutes: u64| Duration::from_secs(60 * minutes);
        Self {
            boot: minutes(2),
            settle: Duration::from_secs(20),
            restless: minutes(3),
            stays: minutes(10),
            heal: minutes(5),
            ops: minutes(30),
            interrupted: minutes(30),
            again: minutes(1),
            again_at_most: minutes(60),
            in_a_row: 5,
            calm: minutes(30),
        }
    }
}

impl Limits {
    /// How long after so many recoveries in a row that came to their end the next one may begin.
    pub fn before_the_next(&self, ended: usize) -> Duration {
        let Some(doublings) = ended.checked_sub(1) else { return Duration::ZERO };
        let doublings = u32::try_from(doublings).unwrap_or(u32::MAX).min(16);
        self.again.saturating_mul(1 << doublings).min(self.again_at_most)
    }
}
