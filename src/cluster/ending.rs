//! The end of a process that was told to end: from then on nobody is waited for longer than a moment, whoever hangs.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long an answer is waited for once it was told: whoever is well answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(4);

/// Whether a process was told to end, and when.
#[derive(Debug, Default)]
pub(super) struct Ending {
    told: watch::Sender<Option<Instant>>,
}

impl Ending {
    /// It is told now, unless it was before.
    pub(super) fn tell(&self) {
        self.told.send_if_modified(|told| {
            let is_first = told.is_none();
            told.get_or_insert_with(Instant::now);
            is_first
        });
    }

    /// When it was told, if it was.
    pub(super) fn told(&self) -> Option<Instant> {
        *self.told.borrow()
    }

    /// Waits until it is told, and as much longer.
    pub(super) async fn told_and(&self, longer: Duration) {
        let told = self.when_told().await;
        tokio::time::sleep_until(told + longer).await;
    }

    /// Waits for an answer; says how long if it was waited for long enough.
    pub(super) async fn within<T>(&self, answer: impl Future<Output = T>) -> Result<T, Duration> {
        let asked = Instant::now();
        tokio::pin!(answer);
        let told = tokio::select! {
            biased;
            answer = &mut answer => return Ok(answer),
            told = self.when_told() => told,
        };
        timeout_at(asked.max(told) + ANSWER, answer).await.map_err(|_| asked.elapsed())
    }

    async fn when_told(&self) -> Instant {
        let mut told = self.told.subscribe();
        let told = told.wait_for(Option::is_some).await.ok().and_then(|told| *told);
        match told {
            Some(told) => told,
            // Nobody is left to tell.
            None => std::future::pending().await,
        }
    }
}
