//! Waiting for what shows itself only by looking: how often to look, how long to put up with a silent nameserver, and the loop of
//! whoever waits for one thing. The driver waits for all partitions at once: its loop is its own, the rest is the same.

use std::future::Future;
use std::ops::RangeInclusive;
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::Instant;

/// The pause between two looks may be this part of the time since something last moved: what has taken minutes is seen to end within a
/// twentieth of them, and looking for it costs the servers and us next to nothing.
const STILL_PART: u32 = 20;
/// A nameserver that has been silent for so long, on the cluster's clock, is waited for no longer. They elect a leader in seconds,
/// and one that was shut down for repair takes longer than anybody waits for.
const NAMESERVER_GONE: Duration = Duration::from_secs(10 * 60);
/// What is waited for is said after this long, and again and again. On the cluster's clock.
const SAID_AFTER: Duration = Duration::from_secs(30);

/// How long the pauses between looks are.
#[derive(Debug, Clone, Copy)]
pub struct Pauses {
    /// The first; each one is half as long again as the one before, ...
    pub first: Duration,
    /// ... up to this, ...
    pub most: Duration,
    /// ... or up to this, where nothing has moved for long.
    pub still: Duration,
}

impl Pauses {
    /// The same on a cluster's clock that runs so much faster than ours.
    pub fn on_its_clock(self, pace: f64) -> Self {
        let Self { first, most, still } = self;
        Self { first: first.div_f64(pace), most: most.div_f64(pace), still: still.div_f64(pace) }
    }

    /// The longest, where nothing has moved for so long.
    pub(super) fn longest(&self, still_for: Duration) -> Duration {
        (still_for / STILL_PART).min(self.still).max(self.most)
    }
}

/// When something is looked at next: soon after it has moved, then more and more rarely.
#[derive(Debug, Clone, Copy)]
pub(super) struct NextLook {
    /// When something last moved.
    pub(super) moved: Instant,
    /// When the next look is due.
    pub(super) due: Instant,
    pause: Duration,
}

impl NextLook {
    /// At once.
    pub(super) fn now() -> Self {
        let now = Instant::now();
        Self { moved: now, due: now, pause: Duration::ZERO }
    }

    /// Something has moved: what follows from it may be seen soon.
    pub(super) fn hurry(&mut self, first: Duration) {
        self.moved = Instant::now();
        self.pause = first;
        self.by(self.moved + first);
    }

    /// Not later than then.
    pub(super) fn by(&mut self, at: Instant) {
        self.due = self.due.min(at);
    }

    /// A look begins: the next one is due after a pause within these limits.
    pub(super) fn begins(&mut self, pauses: &RangeInclusive<Duration>) {
        let pause = self.pause.max(*pauses.start()).min(*pauses.end());
        self.due = Instant::now() + pause;
        self.pause = (pause * 3 / 2).min(*pauses.end());
    }
}

/// What a look for something comes to.
#[derive(Debug)]
pub enum Looked<T> {
    /// It is over.
    Ends(T),
    /// Something was done about it: it is looked at again at once.
    Again,
    /// It is waited for, and nothing has moved since.
    Waits(Instant),
}

/// Somebody who waits for one thing.
pub trait Waiter {
    /// What comes of it.
    type End;

    /// Looks at what is waited for, and at nothing else, and does what follows from that.
    fn look(&mut self) -> impl Future<Output = Looked<Self::End>> + Send;
}

/// Looks again and again, until a look ends it. Whoever waits is woken from a pause by what is told; what that means is for the next
/// look to say.
pub async fn until<W: Waiter, T>(mut waiter: W, pauses: Pauses, mut told: watch::Receiver<T>) -> W::End {
    told.mark_unchanged();
    let mut next = NextLook::now();
    loop {
        match waiter.look().await {
            Looked::Ends(end) => return end,
            Looked::Again => {}
            Looked::Waits(since) => {
                next.begins(&(pauses.first..=pauses.longest(since.elapsed())));
                pause(next.due, &mut told).await;
            }
        }
    }
}

/// Until then, or until something is told.
pub(super) async fn pause<T>(until: Instant, told: &mut watch::Receiver<T>) {
    if let Ok(Err(_nobody_tells)) = tokio::time::timeout_at(until, told.changed()).await {
        tokio::time::sleep_until(until).await;
    }
}

/// Since when no nameserver has answered, and when that was last said.
#[derive(Debug, Default)]
pub struct NameserverSilence(Option<(Instant, Said)>);

impl NameserverSilence {
    /// One has answered.
    pub fn ends(&mut self) {
        self.0 = None;
    }

    /// None has. Whether to say so: once, and again if it lasts. `pace` is how much faster than ours the cluster's clock
    /// runs.
    pub fn goes_on(&mut self, pace: f64) -> bool {
        match &mut self.0 {
            Some((_, said)) => said.is_due(pace),
            none => {
                *none = Some((Instant::now(), Said::now()));
                true
            }
        }
    }

    /// Whether nobody waits for it any more.
    pub fn is_too_long(&self, pace: f64) -> bool {
        self.0.as_ref().is_some_and(|(since, _)| since.elapsed().mul_f64(pace) >= NAMESERVER_GONE)
    }
}

/// When it was last said what is waited for.
#[derive(Debug)]
pub struct Said(Instant);

impl Said {
    /// Just now.
    pub fn now() -> Self {
        Self(Instant::now())
    }

    /// Whether it has to be said again: then it is.
    pub fn is_due(&mut self, pace: f64) -> bool {
        let is_due = self.0.elapsed().mul_f64(pace) >= SAID_AFTER;
        if is_due {
            *self = Self::now();
        }
        is_due
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Third(usize, Vec<Duration>, Instant);

    impl Waiter for Third {
        type End = Vec<Duration>;

        async fn look(&mut self) -> Looked<Vec<Duration>> {
            self.1.push(self.2.elapsed());
            match self.1.len() {
                looks if looks == self.0 => Looked::Ends(std::mem::take(&mut self.1)),
                2 => Looked::Again,
                _ => Looked::Waits(self.2),
            }
        }
    }

    const PAUSES: Pauses =
        Pauses { first: Duration::from_secs(2), most: Duration::from_secs(4), still: Duration::from_secs(9) };

    #[tokio::test(start_paused = true)]
    async fn looks_become_rarer_and_what_was_done_is_looked_at_at_once() {
        let (_tells, told) = watch::channel(());
        let looks = until(Third(6, Vec::new(), Instant::now()), PAUSES, told).await;
        let secs: Vec<u64> = looks.iter().map(Duration::as_secs).collect();
        assert_eq!(secs, [0, 2, 2, 5, 9, 13]);
    }

    #[tokio::test(start_paused = true)]
    async fn whoever_is_told_something_looks_at_once_and_goes_on_as_before() {
        let (tells, told) = watch::channel(());
        let began = Instant::now();
        let looks = tokio::spawn(until(Third(4, Vec::new(), began), PAUSES, told));
        tokio::time::sleep(Duration::from_secs(1)).await;
        tells.send_replace(());
        drop(tells);
        let secs: Vec<u64> = looks.await.unwrap().iter().map(Duration::as_secs).collect();
        assert_eq!(secs, [0, 1, 1, 4], "nobody is left to tell, and it is not looked without a pause");
    }

    #[tokio::test(start_paused = true)]
    async fn a_silent_nameserver_is_told_once_and_again_where_that_lasts() {
        let mut silence = NameserverSilence::default();
        let mut told = Vec::new();
        for second in 0..65 {
            told.extend(silence.goes_on(1.0).then_some(second));
            tokio::time::advance(Duration::from_secs(1)).await;
        }
        assert_eq!((told, silence.is_too_long(1.0), silence.is_too_long(10.0)), (vec![0, 30, 60], false, true));
        silence.ends();
        assert!(!silence.is_too_long(10.0) && silence.goes_on(1.0));
    }

    #[test]
    fn what_has_not_moved_for_long_is_looked_at_rarely_and_not_more_rarely_than_that() {
        let longest = |secs| PAUSES.longest(Duration::from_secs(secs)).as_secs();
        assert_eq!([0, 80, 120, 3_600].map(longest), [4, 4, 6, 9]);
        let ten = PAUSES.on_its_clock(10.0);
        assert_eq!([ten.first, ten.most, ten.still].map(|pause| pause.as_millis()), [200, 400, 900]);
    }
}
