//! Rows at the bottom of a terminal, below everything that is printed on it. Whatever is printed while there are rows goes
//! through their board, which takes them away first and draws them again below.
//!
//! Between two drawings the cursor waits at the beginning of the first row, so that erasing goes down from there and never up:
//! whatever a resize has made of the rows, or somebody else has printed meanwhile, nothing above is touched. Only where somebody has
//! pressed Enter, which the terminal answers with a new line, does it go back to where that row began.

use std::fmt;
use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use console::{Term, strip_ansi_codes, truncate_str};

use super::wrapping::wrapped;

/// The least time between two drawings that nothing but changed rows asks for.
const PAUSE: Duration = Duration::from_millis(50);
/// To the beginning of the line; everything from there to the end of the screen goes.
const ERASE: &str = "\r\u{1b}[J";
/// What does not fit on its line is cut off, not wrapped, and the other way round. The terminal may have become narrower since it was
/// asked for its size: of a row that went on below, only the lower half would be erased.
const CUT: &str = "\u{1b}[?7l";
const WRAP: &str = "\u{1b}[?7h";
/// Where the cursor is, kept by the terminal; and back to there.
const KEEP: &str = "\u{1b}7";
const BACK: &str = "\u{1b}8";

/// A terminal's lines and columns.
pub(super) type Size = Box<dyn Fn() -> (u16, u16) + Send>;

/// How much of what was typed, by whole lines, nobody has read yet.
type Typed = Box<dyn Fn() -> u64 + Send>;

/// Clones are the same board.
#[derive(Clone)]
pub(super) struct Board {
    drawn: Arc<Mutex<Drawn>>,
}

struct Drawn {
    out: Box<dyn Write + Send>,
    size: Size,
    typed: Typed,
    rows: Vec<String>,
    /// Whether rows are on the terminal.
    shows: bool,
    /// Whether what was printed last ended its line.
    line_ended: bool,
    last: Option<Instant>,
    /// The terminal's size, and what had been typed, when the rows were drawn.
    then: ((u16, u16), u64),
}

impl Board {
    /// On stderr, which is a terminal.
    pub(super) fn on_stderr() -> Self {
        let term = Term::stderr();
        let typed = || rustix::io::ioctl_fionread(io::stderr()).unwrap_or(0);
        Self::of(Box::new(io::stderr()), Box::new(move || term.size()), Box::new(typed))
    }

    /// On any terminal.
    pub(super) fn new(out: Box<dyn Write + Send>, size: Size) -> Self {
        Self::of(out, size, Box::new(|| 0))
    }

    fn of(out: Box<dyn Write + Send>, size: Size, typed: Typed) -> Self {
        let (rows, then) = (Vec::new(), ((0, 0), 0));
        let drawn = Drawn { out, size, typed, rows, shows: false, line_ended: true, last: None, then };
        Self { drawn: Arc::new(Mutex::new(drawn)) }
    }

    /// The terminal's lines, and the columns that a row may fill. The last one stays empty: whether a full line goes on below it is
    /// for each terminal to decide.
    pub(super) fn size(&self) -> (u16, u16) {
        let drawn = self.lock();
        ((drawn.size)().0, drawn.columns())
    }

    /// Changes the rows. They may be drawn a little later, as they are then.
    pub(super) fn show(&self, rows: Vec<String>) {
        let mut drawn = self.lock();
        drawn.rows = rows;
        if drawn.last.is_none_or(|last| last.elapsed() >= PAUSE) {
            drawn.draw();
        }
    }

    /// Takes the rows away.
    pub(super) fn clear(&self) {
        let mut drawn = self.lock();
        drawn.rows.clear();
        drawn.erase();
    }

    /// Prints a line on the board's own terminal, above the rows. Nobody can be told if that fails.
    pub(super) fn say(&self, line: &str) {
        let mut drawn = self.lock();
        drawn.erase();
        let line = wrapped(line, usize::from((drawn.size)().1));
        let written = drawn.out.write_all(format!("{line}\n").as_bytes()).and_then(|()| drawn.out.flush());
        drawn.line_ended = written.is_ok();
        drawn.draw();
    }

    /// Prints to another stream, which may be the same terminal, above the rows.
    ///
    /// # Errors
    /// What writing says.
    pub(super) fn print(&self, to: &mut dyn Write, bytes: &[u8]) -> io::Result<()> {
        let mut drawn = self.lock();
        drawn.erase();
        let written = to.write_all(bytes).and_then(|()| to.flush());
        drawn.line_ended = bytes.last().is_none_or(|last| *last == b'\n');
        drawn.draw();
        written
    }

    fn lock(&self) -> MutexGuard<'_, Drawn> {
        self.drawn.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Board {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Board").field("rows", &self.lock().rows).finish_non_exhaustive()
    }
}

impl Drawn {
    fn columns(&self) -> u16 {
        (self.size)().1.saturating_sub(1)
    }

    fn erase(&mut self) {
        let erase = self.erasing();
        if std::mem::take(&mut self.shows) {
            // A terminal that is gone shows nothing that could be erased.
            let _ = self.out.write_all(erase.as_bytes()).and_then(|()| self.out.flush());
        }
    }

    /// What takes the rows away. Where a terminal of another size keeps the beginning of the first row, nobody knows.
    fn erasing(&self) -> String {
        let (size, typed) = self.then;
        let has_entered = self.shows && (self.typed)() > typed && (self.size)() == size;
        format!("{}{ERASE}", if has_entered { BACK } else { "" })
    }

    fn draw(&mut self) {
        let (lines, columns) = ((self.size)().0, usize::from(self.columns()));
        // Rows that would not fit would push each other out at the top, where nothing can be erased any more.
        let fitting = usize::from(lines.saturating_sub(1));
        let rows: Vec<String> = self.rows.iter().take(fitting).map(|row| cut(row, columns)).collect();
        let mut text = match (self.shows, self.line_ended) {
            _ if rows.is_empty() => return self.erase(),
            (false, false) => "\r\n".to_owned(),
            _ => self.erasing(),
        };
        text += CUT;
        text += &rows.join("\r\n");
        text += WRAP;
        if rows.len() > 1 {
            text += &format!("\u{1b}[{}A", rows.len() - 1);
        }
        text.push('\r');
        text += KEEP;
        self.then = ((self.size)(), (self.typed)());
        let _ = self.out.write_all(text.as_bytes()).and_then(|()| self.out.flush());
        (self.shows, self.line_ended, self.last) = (true, true, Some(Instant::now()));
    }
}

/// A row that fits, whatever it says: cut off between words, if that leaves most of it.
fn cut(row: &str, columns: usize) -> String {
    let cut = truncate_str(row, columns, "");
    let cut = if cut == row { cut.into_owned() } else { format!("{}…", whole_words(row, columns.saturating_sub(1))) };
    // A colour may have ended behind the cut.
    if cut.contains('\u{1b}') { format!("{cut}\u{1b}[0m") } else { cut }
}

/// As many words as fit.
fn whole_words(row: &str, columns: usize) -> String {
    let (head, more) = (truncate_str(row, columns, ""), truncate_str(row, columns + 1, ""));
    let is_between = strip_ansi_codes(&more).ends_with(' ');
    let last = head.rfind(' ').filter(|at| !is_between && *at > head.len() / 2);
    let words = last.and_then(|at| head.get(..at)).unwrap_or(&head);
    words.trim_end_matches([' ', ',', ';', '(']).to_owned()
}

#[cfg(test)]
#[path = "board_tests.rs"]
mod tests;
