//! What happens by itself, and when.

use std::collections::BTreeMap;

use super::Millis;

/// Something due at a time. Those of a leading nameserver carry the number of its reign and are void after it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Event {
    /// A nameserver process tries to get the lock; void if it has died since.
    AskForLock { endpoint: String, life: u64 },
    /// Lock nodes of dead processes go.
    LockNodesExpire,
    /// The pass of GetTableStatus over all tablets.
    StatusPass { reign: u64 },
    /// The round of GetTaskStatus over all tablets.
    TaskPoll { reign: u64 },
    /// A tablet has been away for the heartbeat timeout, if it is still away since then.
    TabletOffline { reign: u64, endpoint: String, since: Millis },
    /// A tablet came back.
    TabletOnline { reign: u64, endpoint: String },
    /// kCheckBinlogSyncProgress of an op looks again.
    CheckBinlog { reign: u64, op: u64 },
    /// Connections to a tablet that came back are made.
    Reconnected { reign: u64 },
    /// DeleteOPTask is tried again.
    RetryFinish { reign: u64 },
}

/// Events in order of time, and of being set for the same time.
#[derive(Debug, Clone, Default)]
pub(super) struct Timers {
    queue: BTreeMap<(Millis, u64), Event>,
    set: u64,
}

impl Timers {
    pub(super) fn set(&mut self, at: Millis, event: Event) {
        self.set += 1;
        self.queue.insert((at, self.set), event);
    }

    pub(super) fn next(&self) -> Option<Millis> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    pub(super) fn take_due(&mut self, now: Millis) -> Option<(Millis, Event)> {
        if self.next()? > now {
            return None;
        }
        self.queue.pop_first().map(|((at, _), event)| (at, event))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_come_in_order_and_not_before_their_time() {
        let mut timers = Timers::default();
        timers.set(5, Event::RetryFinish { reign: 1 });
        timers.set(3, Event::TaskPoll { reign: 1 });
        timers.set(5, Event::StatusPass { reign: 1 });
        assert_eq!(timers.take_due(2), None);
        let mut due = Vec::new();
        while let Some((at, event)) = timers.take_due(5) {
            due.push((at, event));
        }
        let expected = [
            (3, Event::TaskPoll { reign: 1 }),
            (5, Event::RetryFinish { reign: 1 }),
            (5, Event::StatusPass { reign: 1 }),
        ];
        assert_eq!(due, expected);
    }
}
