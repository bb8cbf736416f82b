//! The rows that show how far a run has come, at the bottom of a terminal while it is at work.

use std::collections::VecDeque;
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::board::Board;
use super::progress_rows::rows;
use super::run_counts::RunCounts;

/// How often the clock among the rows moves on.
const TICK: Duration = Duration::from_millis(200);
/// So many of the last events pass by.
const EVENTS: usize = 3;

/// Tells the time.
pub type Clock = fn() -> Instant;

/// Rows on a board. They go away when this is dropped.
pub(super) struct Live {
    board: Board,
    shown: Arc<Mutex<Shown>>,
    /// Ends the ticking when it is dropped.
    _ticking: Sender<()>,
}

/// What the rows are made of.
struct Shown {
    run_counts: RunCounts,
    /// Since when the tally stands so.
    since: Instant,
    events: VecDeque<String>,
    is_over: bool,
    clock: Clock,
}

impl Live {
    /// Begins to draw.
    pub(super) fn on(board: &Board, clock: Clock) -> Self {
        let (run_counts, events) = (RunCounts::default(), VecDeque::new());
        let shown = Shown { run_counts, since: clock(), events, is_over: false, clock };
        let shown = Arc::new(Mutex::new(shown));
        let (ticking, ended) = mpsc::channel::<()>();
        let (at, of) = (board.clone(), shown.clone());
        let ticker = thread::Builder::new().name("progress".to_owned()).spawn(move || {
            while ended.recv_timeout(TICK) == Err(RecvTimeoutError::Timeout) {
                draw(&at, &of);
            }
        });
        if let Err(error) = ticker {
            tracing::warn!(%error, "progress is drawn only when something happens");
        }
        Self { board: board.clone(), shown, _ticking: ticking }
    }

    /// Shows how far it has come.
    pub(super) fn follow(&self, run_counts: &RunCounts) {
        {
            let mut shown = locked(&self.shown);
            if shown.run_counts.after_ms() != run_counts.after_ms() {
                shown.since = (shown.clock)();
            }
            shown.run_counts.clone_from(run_counts);
        }
        draw(&self.board, &self.shown);
    }

    /// Shows what happened last.
    pub(super) fn last(&self, line: String) {
        let mut shown = locked(&self.shown);
        if shown.events.len() == EVENTS {
            shown.events.pop_front();
        }
        shown.events.push_back(line);
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        locked(&self.shown).is_over = true;
        self.board.clear();
    }
}

fn draw(board: &Board, shown: &Mutex<Shown>) {
    let shown = locked(shown);
    if !shown.is_over {
        let events: Vec<&str> = shown.events.iter().map(String::as_str).collect();
        let since = (shown.clock)().saturating_duration_since(shown.since);
        board.show(rows(&shown.run_counts, since, &events, board.size()));
    }
}

fn locked(shown: &Mutex<Shown>) -> MutexGuard<'_, Shown> {
    shown.lock().unwrap_or_else(PoisonError::into_inner)
}
