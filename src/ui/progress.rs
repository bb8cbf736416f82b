//! A run's progress for people, on stderr: bars on a terminal, plain lines elsewhere. stdout is for data.

use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::model::Snapshot;
use crate::run::{Event, Listener};

use super::color::Paint;
use super::lines::{Names, line};
use super::tally::Tally;

pub use super::lines::Detail;

/// How often the clock beside the bars moves on.
const TICK: Duration = Duration::from_millis(500);

/// Shows progress. Clones show the same.
#[derive(Clone)]
pub struct Progress {
    shown: Arc<Mutex<Shown>>,
}

struct Shown {
    names: Names,
    tally: Tally,
    detail: Detail,
    paint: Paint,
    place: Place,
}

enum Place {
    Bars(Box<Drawn>),
    Lines(Box<dyn Write + Send>),
}

struct Drawn {
    all: MultiProgress,
    serving: ProgressBar,
    redundant: ProgressBar,
    last: ProgressBar,
}

impl Progress {
    /// On stderr: bars if it is a terminal, lines elsewhere.
    pub fn on_stderr(detail: Detail) -> Self {
        let paint = Paint::for_stderr();
        if io::stderr().is_terminal() {
            Self::new(detail, paint, Place::Bars(Box::new(Drawn::on(ProgressDrawTarget::stderr()))))
        } else {
            Self::lines(Box::new(io::stderr()), detail, paint)
        }
    }

    /// Plain lines to any writer.
    pub fn lines(out: Box<dyn Write + Send>, detail: Detail, paint: Paint) -> Self {
        Self::new(detail, paint, Place::Lines(out))
    }

    fn new(detail: Detail, paint: Paint, place: Place) -> Self {
        let (names, tally) = (Names::default(), Tally::default());
        Self { shown: Arc::new(Mutex::new(Shown { names, tally, detail, paint, place })) }
    }

    /// Learns the names of tables, which some events carry as numbers only.
    pub fn learn(&self, snapshot: &Snapshot) {
        self.with(|shown| shown.names = Names::of(snapshot));
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

    /// Takes the bars away, so that what is printed next stands alone.
    pub fn finish(&self) {
        self.with(|shown| {
            if let Place::Bars(drawn) = &shown.place {
                drawn.clear();
            }
        });
    }

    fn with<T>(&self, what: impl FnOnce(&mut Shown) -> T) -> T {
        what(&mut self.shown.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Shown {
    fn show(&mut self, event: &Event) {
        self.tally.add(event);
        let line = line(event, &self.names, self.detail, self.paint);
        match &mut self.place {
            Place::Lines(out) => {
                if let Some(line) = line {
                    let _ = writeln!(out, "{line}").and_then(|()| out.flush());
                }
            }
            Place::Bars(drawn) => drawn.show(event, &self.tally, line),
        }
    }
}

impl Drawn {
    fn on(target: ProgressDrawTarget) -> Self {
        let all = MultiProgress::with_draw_target(target);
        let bar = |template: &str, prefix: &'static str| {
            let style = ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_bar());
            let bar = all.add(ProgressBar::new(0).with_style(style.progress_chars("=> ")).with_prefix(prefix));
            bar.tick();
            bar
        };
        let serving = bar("{prefix:>9} [{bar:40}] {pos}/{len}  {elapsed}", "serving");
        let redundant = bar("{prefix:>9} [{bar:40}] {pos}/{len}  {msg}", "redundant");
        let last = bar("{wide_msg}", "");
        serving.enable_steady_tick(TICK);
        Self { all, serving, redundant, last }
    }

    fn show(&self, event: &Event, tally: &Tally, line: Option<String>) {
        let bars = tally.bars();
        for (bar, position) in [(&self.serving, bars.serving), (&self.redundant, bars.redundant)] {
            bar.set_length(bars.length);
            bar.set_position(position);
        }
        self.redundant.set_message(tally.trouble());
        let Some(line) = line else { return };
        if lasts(event) {
            let _ = self.all.println(line);
        } else {
            self.last.set_message(line);
        }
    }

    fn clear(&self) {
        for bar in [&self.serving, &self.redundant, &self.last] {
            bar.finish_and_clear();
        }
    }
}

/// Whether a line stays above the bars: what a person has to act on, or will look for later. The rest is seen passing by.
fn lasts(event: &Event) -> bool {
    match event {
        Event::Observed { .. } | Event::Recorded { .. } | Event::Note { .. } | Event::StillGoingOn { .. } => true,
        Event::Partition { blocked, .. } => blocked.is_some(),
        Event::LeaderChosen { choice, .. } => !choice.given_up.is_empty(),
        Event::Action { .. } | Event::ActionFailed { .. } => false,
    }
}

#[cfg(test)]
#[path = "progress_tests.rs"]
mod tests;
