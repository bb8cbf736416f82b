//! A clock that moves only while nobody has anything to do: what runs on it takes as long on a busy machine as on an idle one.

use std::future::Future;
use std::io;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::mpsc;

/// How far the clock moves at a time: the resolution of tokio's timers.
const STEP: Duration = Duration::from_millis(1);
/// Steps that may follow each other at once where the process slept for longer than it asked for. It also sleeps for longer when it
/// gets no processor, so these are few.
const MADE_UP: u128 = 5;

/// Runs `work` to its end, on one thread and on a clock of its own: tokio's, moved on a step at a time, whenever no task can
/// run. Computing takes no time on it, however slow the machine is, and while this process gets no processor the clock
/// stands still: for a sandbox and for whoever watches it, with all their timeouts.
///
/// # Errors
/// No runtime can be had.
pub fn on_an_idle_clock<F: Future>(work: F) -> io::Result<F::Output> {
    let pulse = Arc::new(Pulse::default());
    let (rests, wakes, beats) = (pulse.clone(), pulse.clone(), pulse.clone());
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .start_paused(true)
        .on_thread_park(move || rests.rests(Some(Instant::now())))
        .on_thread_unpark(move || wakes.rests(None))
        .build()?;
    let (step, mut steps) = mpsc::unbounded_channel();
    // While this runs, tokio does not let a paused clock jump to whatever is due next.
    runtime.spawn_blocking(move || beats.beat(&step));
    runtime.spawn(async move {
        while let Some(()) = steps.recv().await {
            tokio::time::advance(STEP).await;
        }
    });
    let done = runtime.block_on(work);
    pulse.end();
    // What is not needed any more is not waited for.
    runtime.shutdown_background();
    Ok(done)
}

/// What moves the clock on.
#[derive(Debug, Default)]
struct Pulse {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Since when everybody waits, if everybody does.
    rests: Option<Instant>,
    ended: bool,
}

impl Pulse {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn rests(&self, since: Option<Instant>) {
        self.state().rests = since;
        if since.is_some() {
            self.changed.notify_one();
        }
    }

    fn end(&self) {
        self.state().ended = true;
        self.changed.notify_one();
    }

    /// The state, once everybody waits or there is no more to wait for.
    fn at_rest(&self) -> MutexGuard<'_, State> {
        let is_busy = |state: &mut State| state.rests.is_none() && !state.ended;
        self.changed.wait_while(self.state(), is_busy).unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for one step after the other, until the end.
    fn beat(&self, step: &mpsc::UnboundedSender<()>) {
        loop {
            std::thread::sleep(STEP);
            let rested = self.at_rest().rests.map_or(Duration::ZERO, |since| since.elapsed());
            let steps = (rested.as_nanos() / STEP.as_nanos()).clamp(1, MADE_UP);
            for _ in 0..steps {
                let mut state = self.at_rest();
                // Until the step was made, and what was due then was done.
                state.rests = None;
                if state.ended || step.send(()).is_err() {
                    return;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn computing_takes_no_time_and_waiting_takes_what_it_takes() {
        let began = Instant::now();
        let (computed, waited) = on_an_idle_clock(async {
            let began = tokio::time::Instant::now();
            // As whatever keeps it from the processor.
            std::thread::sleep(Duration::from_millis(50));
            let computed = began.elapsed();
            tokio::time::sleep(Duration::from_millis(20)).await;
            (computed, began.elapsed())
        })
        .unwrap();
        assert_eq!(computed, Duration::ZERO);
        assert!((20..=22).contains(&waited.as_millis()), "{waited:?}");
        assert!(began.elapsed() >= Duration::from_millis(50 + 20), "it is never faster than any other");
    }

    #[test]
    fn what_is_due_first_is_done_first_however_long_it_takes() {
        let order = on_an_idle_clock(async {
            let done = Arc::new(Mutex::new(Vec::new()));
            let tasks = [30, 10, 20].map(|due| {
                let done = done.clone();
                tokio::spawn(async move {
                    tokio::time::sleep(Duration::from_millis(due)).await;
                    std::thread::sleep(Duration::from_millis(20));
                    done.lock().unwrap().push(due);
                })
            });
            for task in tasks {
                task.await.unwrap();
            }
            done.lock().unwrap().clone()
        });
        assert_eq!(order.unwrap(), [10, 20, 30]);
    }
}
