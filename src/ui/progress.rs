//! A run's progress for people, on stderr: bars on a terminal while a recovery is at work, lines elsewhere. stdout is for
//! data; what goes there goes through here too, since it may be the same terminal.

use std::collections::BTreeSet;
use std::env;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use crate::model::{Snapshot, counted};
use crate::run::{Event, Listener};

use super::board::Board;
use super::color::{Paint, Tone};
use super::digest::{Digest, FEW, Told, said};
use super::lines::{Names, line};
use super::live::{Clock, Live};
use super::run_counts::RunCounts;
use super::words::{Silence, one_line, silence, time_of_day};
use super::wrapping::folded;

pub use super::lines::Detail;

/// Shows progress. Clones show the same.
#[derive(Clone)]
pub struct Progress {
    shown: Arc<Mutex<Shown>>,
    /// The terminal, if it is one that can be drawn on.
    board: Option<Board>,
}

struct Shown {
    names: Names,
    run_counts: RunCounts,
    digest: Digest,
    /// The servers of which it was told why they do not answer.
    silent: BTreeSet<String>,
    detail: Detail,
    paint: Paint,
    place: Place,
    /// Whether the run is about to change something, or has begun to.
    acts: bool,
    clock: Clock,
}

/// A terminal that progress is drawn on.
pub struct Drawn {
    /// What is drawn goes there.
    pub to: Box<dyn Write + Send>,
    /// Its lines and columns.
    pub size: Box<dyn Fn() -> (u16, u16) + Send>,
    /// The clock by which a drawing moves on while nothing happens: one that stands still makes the same drawing each time.
    pub clock: Clock,
}

enum Place {
    Terminal(Board, Option<Live>),
    Lines(Box<dyn Write + Send>),
}

impl Progress {
    /// On stderr: with bars if it is a terminal, lines elsewhere.
    pub fn on_stderr(detail: Detail) -> Self {
        let paint = Paint::for_stderr();
        if io::stderr().is_terminal() && can_move(env::var("TERM").ok().as_deref()) {
            Self::on_board(Board::on_stderr(), detail, paint)
        } else {
            Self::lines(Box::new(io::stderr()), detail, paint)
        }
    }

    /// Plain lines to any writer.
    pub fn lines(out: Box<dyn Write + Send>, detail: Detail, paint: Paint) -> Self {
        Self::new(detail, paint, Place::Lines(out), None)
    }

    /// On any terminal, with a clock of its own.
    pub fn drawn(on: Drawn, detail: Detail, paint: Paint) -> Self {
        Self::on_board_by(on.clock, Board::new(on.to, on.size), detail, paint)
    }

    fn on_board(board: Board, detail: Detail, paint: Paint) -> Self {
        Self::on_board_by(Instant::now, board, detail, paint)
    }

    fn on_board_by(clock: Clock, board: Board, detail: Detail, paint: Paint) -> Self {
        let progress = Self::new(detail, paint, Place::Terminal(board.clone(), None), Some(board));
        progress.with(|shown| shown.clock = clock);
        progress
    }

    fn new(detail: Detail, paint: Paint, place: Place, board: Option<Board>) -> Self {
        let (names, run_counts, digest) = (Names::default(), RunCounts::default(), Digest::default());
        let (silent, acts) = (BTreeSet::new(), false);
        let shown = Shown { names, run_counts, digest, silent, detail, paint, place, acts, clock: Instant::now };
        Self { shown: Arc::new(Mutex::new(shown)), board }
    }

    /// Learns the names of tables, which some events carry as numbers only, when that is called.
    pub fn learning(&self, snapshot: &Snapshot) -> impl FnOnce() + Send + use<> {
        let (progress, names) = (self.clone(), Names::of(snapshot));
        move || progress.with(|shown| shown.names = names)
    }

    /// Hears a run.
    pub fn listener(&self) -> Listener {
        let progress = self.clone();
        Arc::new(move |event| progress.show(event))
    }

    /// Shows an event. Progress that cannot be shown stops no run.
    pub fn show(&self, event: &Event) {
        self.with(|shown| shown.show(event));
    }

    /// Shows a step of an undertaking. Of many partitions it is only counted, unless something is amiss.
    pub fn moved(&self, text: &str, how: Moved) {
        self.with(|shown| shown.moved(text, how));
    }

    /// Takes in what was told elsewhere: it counts, and is not told again.
    pub fn catch_up(&self, events: &[Event]) {
        self.with(|shown| {
            for event in events {
                shown.acts |= matches!(event, Event::Recorded { .. });
                shown.run_counts.add(event);
                shown.digest.told(event, &shown.run_counts);
            }
            let is_how_far = |event: &&Event| matches!(event, Event::Progress(_) | Event::Arranging(_));
            let last = events.iter().rev().find(is_how_far);
            let far = shown.run_counts.after_ms().map(|after_ms| said(after_ms, &shown.run_counts));
            match (&mut shown.place, far) {
                (Place::Lines(out), Some(far)) => drop(writeln!(out, "{} {far}", now()).and_then(|()| out.flush())),
                _ => last.into_iter().for_each(|event| shown.show(event)),
            }
        });
    }

    /// Takes the bars away: what is told from now on are lines.
    pub fn finish(&self) {
        self.with(|shown| {
            shown.acts = false;
            if let Place::Terminal(_, bars) = &mut shown.place {
                *bars = None;
            }
        });
    }

    /// Whether there is a terminal that can be drawn on.
    pub fn can_draw(&self) -> bool {
        self.board.is_some()
    }

    /// Draws a text below everything else, in the place of the one before; an empty one takes it away. Where it is longer than the
    /// terminal, its last row there says so, and where the rest is.
    pub fn draw(&self, text: &str, rest: &str) {
        let Some(board) = &self.board else { return };
        let (lines, columns) = board.size();
        let mut rows = folded(text, columns.into());
        let room = usize::from(lines.saturating_sub(1));
        if rows.is_empty() {
            return board.clear();
        }
        if rows.len() > room {
            let more = rows.len() - room.saturating_sub(1);
            rows.truncate(room.saturating_sub(1));
            rows.push(format!("({}: {rest})", counted(more, "more line")));
        }
        board.show(rows);
    }

    /// A stream that may be the same terminal. Each write is whole lines, and goes above the bars.
    pub fn beside<W: Write>(&self, to: W) -> Beside<W> {
        Beside { to, board: self.board.clone() }
    }

    fn with<T>(&self, what: impl FnOnce(&mut Shown) -> T) -> T {
        what(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// How a step of an undertaking went, as far as it matters to what is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moved {
    /// As it should.
    Well,
    /// It takes long.
    Slowly,
    /// Its effect was not seen, or it was refused.
    Badly,
}

/// Whether the cursor of a terminal of this kind can be moved.
fn can_move(kind: Option<&str>) -> bool {
    kind.is_some_and(|kind| !kind.is_empty() && kind != "dumb")
}

/// See [`Progress::beside`].
#[derive(Debug)]
pub struct Beside<W> {
    to: W,
    board: Option<Board>,
}

impl<W: Write> Write for Beside<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.board {
            // All of it: bars that are drawn after half a line would erase that.
            Some(board) => board.print(&mut self.to, bytes).map(|()| bytes.len()),
            None => self.to.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

impl Shown {
    fn show(&mut self, event: &Event) {
        self.run_counts.add(event);
        // Before its first change a run writes down what is there.
        self.acts |= matches!(event, Event::Recorded { .. });
        let told = match self.detail {
            Detail::Usual => self.digest.told(event, &self.run_counts),
            Detail::Verbose => Told::Yes,
        };
        let line = line(event, &self.names, self.detail, self.paint).map(|line| match told {
            Told::Yes | Told::No => line,
            Told::Last => format!("{line}\n(more like it are only counted from here on)"),
        });
        let (why, line) = match line {
            Some(line) => {
                let (why, line) = self.why_once(line, told != Told::No && lasts(event));
                (why, Some(line))
            }
            None => (Vec::new(), None),
        };
        match &mut self.place {
            Place::Lines(out) => {
                let line = line.filter(|_| told != Told::No);
                let far = self.digest.progress(event, &self.run_counts).map(|far| format!("{} {far}", now()));
                for line in why.into_iter().chain(line).chain(far) {
                    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
                }
            }
            Place::Terminal(board, bars) => {
                if self.acts && self.run_counts.partitions() > 0 {
                    bars.get_or_insert_with(|| Live::on(board, self.clock));
                }
                why.into_iter().for_each(|why| board.say(&why));
                match (&*bars, line) {
                    (Some(_), Some(_)) if is_among_rows(event) => {}
                    (Some(bars), Some(line)) if told == Told::No || !lasts(event) => bars.last(line),
                    (_, Some(line)) => board.say(&line),
                    (_, None) => {}
                }
                if let Some(bars) = bars {
                    bars.follow(&self.run_counts);
                }
            }
        }
    }
}

impl Shown {
    fn moved(&mut self, text: &str, how: Moved) {
        let told = match (self.detail, how) {
            (Detail::Verbose, _) => Told::Yes,
            (Detail::Usual, Moved::Badly) => self.digest.told_missed(&self.run_counts),
            _ if self.run_counts.partitions() <= FEW => Told::Yes,
            // How far it has come is told, and with it what takes longest.
            _ => Told::No,
        };
        let mut line = one_line(text);
        if how != Moved::Well {
            line = format!("{} {line}", self.paint.tone(Tone::Warning, "note:"));
        }
        if told == Told::Last {
            line += "\n(more like it are only counted from here on)";
        }
        match &mut self.place {
            Place::Lines(out) if told != Told::No => drop(writeln!(out, "{} {line}", now()).and_then(|()| out.flush())),
            Place::Lines(_) => {}
            Place::Terminal(board, bars) => match bars {
                Some(bars) if self.detail == Detail::Usual && (how != Moved::Badly || told == Told::No) => {
                    bars.last(line)
                }
                Some(_) | None => board.say(&line),
            },
        }
    }

    /// Why servers do not answer, each in a line of its own before the first line that stays and says that it does not. With every call
    /// shown, each line says all of it.
    fn why_once(&mut self, mut line: String, stays: bool) -> (Vec<String>, String) {
        let mut all = Vec::new();
        while let Some(Silence { who, why, short }) = silence(&line).filter(|_| self.detail != Detail::Verbose) {
            let why = format!("{who} does not answer: {why}");
            all.extend(Some(why).filter(|_| stays && self.silent.insert(who)));
            line = short;
        }
        (all, line)
    }
}

/// The time of day, UTC: whoever reads a log later wants to know when.
fn now() -> String {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    time_of_day(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

/// Whether what is waited for stands beside the bars as long as it is.
fn is_among_rows(event: &Event) -> bool {
    matches!(event, Event::Waiting { what, .. } if !what.is_turn())
}

/// Whether a line stays above the bars: what a person has to act on, or will look for later. The rest is seen passing by.
fn lasts(event: &Event) -> bool {
    match event {
        Event::Observed { .. } | Event::Recorded { .. } | Event::Note { .. } | Event::StillGoingOn { .. } => true,
        Event::Partition { blocked, .. } => blocked.is_some(),
        Event::RowsChecked { same, .. } => *same != Some(true),
        Event::LeaderChosen { choice, .. } => !choice.given_up.is_empty(),
        Event::Action { .. }
        | Event::ActionFailed { .. }
        | Event::Waiting { .. }
        | Event::Expected(_)
        | Event::Progress(_)
        | Event::Arranging(_) => false,
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
