//! How long a process may take before it counts as hanging.

use std::path::Path;
use std::time::{Duration, Instant};

/// On a machine on which nobody else works.
pub const PATIENCE: Duration = Duration::from_secs(300);

/// With one process, from now on. What it waits for a processor is not its own time, and not counted: a process that only computes
/// takes as long as its computing, whoever else does.
pub struct Patience {
    process: u32,
    began: Instant,
    /// Waited by then.
    before: Duration,
}

impl Patience {
    pub fn with(process: u32) -> Self {
        Self { process, began: Instant::now(), before: kept_waiting(process) }
    }

    /// How much of it is left; nothing if it is over.
    pub fn left(&self) -> Duration {
        let took = self.began.elapsed();
        // It is only asked for where that decides.
        let left = PATIENCE.saturating_sub(took);
        if left > Duration::ZERO {
            return left;
        }
        let waited = kept_waiting(self.process).saturating_sub(self.before);
        PATIENCE.saturating_sub(took.saturating_sub(waited))
    }

    pub fn is_over(&self) -> bool {
        self.left() == Duration::ZERO
    }
}

/// How long the threads that a process has have waited for a processor by now. Where the kernel does not count it, not at all.
fn kept_waiting(process: u32) -> Duration {
    let threads = std::fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten();
    Duration::from_nanos(threads.filter_map(|thread| nanoseconds(&thread.path().join("schedstat"))).sum())
}

/// Of "computed waited turns", the second.
fn nanoseconds(schedstat: &Path) -> Option<u64> {
    std::fs::read_to_string(schedstat).ok()?.split_whitespace().nth(1)?.parse().ok()
}
