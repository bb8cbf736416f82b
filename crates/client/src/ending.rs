//! The end of a process that was told to stop: from then on no server is waited for longer than a moment.

use std::future::Future;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

/// How long an answer is waited for after that: a healthy server answers in milliseconds.
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

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use super::*;

    const MINUTE: Duration = Duration::from_secs(60);

    #[tokio::test(start_paused = true)]
    async fn once_a_process_was_told_to_end_nobody_is_waited_for_longer_than_a_moment() {
        let ending = Ending::default();
        let slow = async { tokio::time::sleep(MINUTE).await };
        assert_eq!(ending.within(slow).await, Ok(()), "nobody was told anything");
        let told = async {
            tokio::time::sleep(MINUTE).await;
            ending.tell();
        };
        let (given_up, ()) = tokio::join!(ending.within(pending::<()>()), told);
        assert_eq!(given_up, Err(MINUTE + Duration::from_secs(4)), "it was asked before");
        let began = Instant::now();
        assert_eq!(ending.within(pending::<()>()).await, Err(Duration::from_secs(4)), "it was asked since");
        assert_eq!(began.elapsed(), Duration::from_secs(4));
        assert_eq!(ending.within(ready(7)).await, Ok(7), "whoever is well is heard");
    }
}
