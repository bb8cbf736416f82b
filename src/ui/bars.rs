//! How far a recovery has come, as bars on a terminal.

use std::fmt::Write as _;
use std::io;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressState, ProgressStyle, TermLike};

use super::board::Board;
use super::run_counts::RunCounts;

/// How often the clock beside the bars moves on.
const TICK: Duration = Duration::from_millis(200);
/// Columns beside a bar: its name, its numbers, the time.
const BESIDE: u16 = 34;

/// Bars on a board, one below the other; below them what happened last. They go away when this is dropped.
pub(super) struct Bars {
    board: Board,
    serving: ProgressBar,
    redundant: ProgressBar,
    last: ProgressBar,
}

impl Bars {
    pub(super) fn on(board: &Board) -> Self {
        let row = |row: usize, prefix: &'static str, template: &str| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let at = board.clone();
            let gauge = move |state: &ProgressState, out: &mut dyn std::fmt::Write| {
                let _ = out.write_str(&gauge(state.fraction(), at.columns()));
            };
            let bar = ProgressBar::with_draw_target(Some(0), Row::target(board, row));
            bar.with_style(style.with_key("gauge", gauge)).with_prefix(prefix)
        };
        let serving = row(0, "serving", "{prefix:>9} [{gauge}] {pos}/{len}  {elapsed}");
        let redundant = row(1, "redundant", "{prefix:>9} [{gauge}] {pos}/{len}  {msg}");
        let last = row(2, "", "{msg}");
        serving.enable_steady_tick(TICK);
        Self { board: board.clone(), serving, redundant, last }
    }

    /// Shows how far it has come.
    pub(super) fn follow(&self, run_counts: &RunCounts) {
        let bars = run_counts.bars();
        for (bar, position) in [(&self.serving, bars.serving), (&self.redundant, bars.redundant)] {
            bar.set_position(position);
            bar.set_length(bars.length);
        }
        self.redundant.set_message(run_counts.trouble());
    }

    /// Shows what happened last.
    pub(super) fn last(&self, line: String) {
        self.last.set_message(line);
    }
}

impl Drop for Bars {
    fn drop(&mut self) {
        for bar in [&self.serving, &self.redundant, &self.last] {
            bar.finish_and_clear();
        }
        self.board.clear();
    }
}

/// As long as there is room, and not longer than it takes to see how far it has come.
fn gauge(fraction: f32, columns: u16) -> String {
    let length = columns.saturating_sub(BESIDE).clamp(4, 40);
    let full = (fraction * f32::from(length)) as u16;
    let mut out = "=".repeat(full.into());
    if full < length {
        let _ = write!(out, "{:<1$}", ">", usize::from(length - full));
    }
    out
}

/// What indicatif takes for a terminal: a row of the board. It draws by writing, and then flushing.
#[derive(Debug)]
struct Row {
    board: Board,
    row: usize,
    written: Mutex<String>,
}

impl Row {
    fn target(board: &Board, row: usize) -> ProgressDrawTarget {
        ProgressDrawTarget::term_like(Box::new(Self { board: board.clone(), row, written: Mutex::default() }))
    }
}

impl TermLike for Row {
    /// Any width will do, since the board cuts what does not fit; indicatif fills a row up to it.
    fn width(&self) -> u16 {
        80
    }

    fn height(&self) -> u16 {
        u16::MAX
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.written.lock().unwrap_or_else(PoisonError::into_inner).push_str(text);
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        let text = std::mem::take(&mut *self.written.lock().unwrap_or_else(PoisonError::into_inner));
        self.board.set(self.row, text.trim_end().to_owned());
        Ok(())
    }
}
