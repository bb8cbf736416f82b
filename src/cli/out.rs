//! Where a command's results go: text for people or JSON Lines on stdout, progress on stderr. Commands hand data over;
//! nothing else in the program prints.

use std::io::{self, Stdout, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use crate::model::Snapshot;
use crate::playbook::Playbook;
use crate::run::{
    Diagnosis, Event, Listener, PlanId, Prepared, Recovered, RowsCompared, Rpc, Scope, Service, Status, Summary,
    summary_of_status,
};
use crate::snapshot;
use crate::ui::{
    About, Beside, ComparisonLine, Detail, DiagnosisLine, Explanation, JsonLines, Listed, MoveLine, Moved, Paint,
    PlanContext, Printing, Progress, Wrapping, comparison_text, diagnoses_text, error_text, explanation_text,
    json_line, plan_text, print, reader_gone_is_fine, recovered_text, snapshot_text, status_text, stderr_width,
    stdout_width, summary_text,
};
use crate::verify::Verification;

use super::args::Output;
use super::at_the_end::{AtTheEnd, Say};
use super::connection_args::{Carries, Carrying, ConnectionArgs, Format};
use super::failure::Failure;
use super::sandbox_lines::{SandboxLine, rows_text};
use super::waits::Waits;

/// The two streams of a command. What is told while it is at work is printed by a thread of its own; its results are printed by
/// whoever has them, after all of that.
pub struct Out {
    output: Output,
    lines: JsonLines<Lines>,
    progress: Progress,
    printing: Printing,
    paint: Paint,
    ends: AtTheEnd,
    carries: Carries,
    records: Option<PathBuf>,
    lists_each: bool,
}

/// Where JSON Lines go.
pub(super) type Lines = Carrying<Beside<Stdout>>;

/// A step of an undertaking, for stderr, from anywhere.
pub type Moves = Arc<dyn Fn(&str, Moved) + Send + Sync>;

/// A step, from anywhere.
pub type Steps = Arc<dyn Fn(&MoveLine<'_>) + Send + Sync>;

impl Out {
    /// As the command line asks. `records` is where it says that records are kept.
    pub fn new(output: Output, verbose: u8, ends: AtTheEnd, records: Option<PathBuf>) -> Self {
        let detail = if verbose > 0 { Detail::Verbose } else { Detail::Usual };
        let progress = Progress::on_stderr(detail);
        let carries = Carries::default();
        let lines = JsonLines::new(Carrying::new(progress.beside(io::stdout()), Format::Json, carries.clone()));
        let (printing, paint) = (Printing::start(), Paint::for_stdout());
        let lists_each = verbose > 0;
        Self { output, lines, progress, printing, paint, ends, carries, records, lists_each }
    }

    /// Hears a run: progress, and JSON Lines if asked for.
    pub fn listener(&self) -> Listener {
        let (progress, lines) = (self.progress.listener(), self.lines.listener());
        let (json, printing, ends) = (self.output == Output::Json, self.printing.clone(), self.ends.clone());
        Arc::new(move |event| {
            if let Event::Recorded { path } = event {
                ends.is_recorded(path);
            }
            told(event);
            let (progress, lines, event) = (progress.clone(), lines.clone(), event.clone());
            printing.later(move || {
                progress(&event);
                if json {
                    lines(&event);
                }
            });
        })
    }

    /// Hears where the record is, which gets the exit code, and nothing else.
    pub fn of_records(&self) -> Listener {
        let ends = self.ends.clone();
        Arc::new(move |event| {
            if let Event::Recorded { path } = event {
                ends.is_recorded(path);
            }
        })
    }

    /// Hears a run of another process. `is_call`: it tells of a call that only steps send, which that run shows as it shows any step.
    pub fn hear_another(&self, event: Event, is_call: bool) {
        let (progress, lines, json) = (self.progress.clone(), self.lines.listener(), self.output == Output::Json);
        self.printing.later(move || {
            match &event {
                Event::Note { text } if is_call => progress.moved(text, Moved::Well),
                event => progress.show(event),
            }
            if json {
                lines(&event);
            }
        });
    }

    /// Shows what such a run has told before as it stands now.
    pub fn catch_up(&self, events: Vec<Event>) {
        let (progress, lines, json) = (self.progress.clone(), self.lines.listener(), self.output == Output::Json);
        self.printing.later(move || {
            progress.catch_up(&events);
            if json {
                events.iter().for_each(|event| lines(event));
            }
        });
    }

    /// Hears what a session waits for, and where it has found its cluster.
    pub fn waits(&self) -> Waits {
        Waits { says: self.say(), carries: self.carries.clone(), records: self.records.clone() }
    }

    /// Whether a cluster was found through its ZooKeeper.
    pub fn is_by_zookeeper(&self) -> bool {
        self.carries.get().is_some_and(ConnectionArgs::is_by_zookeeper)
    }

    /// Says a sentence on stderr.
    pub fn say(&self) -> Say {
        let (progress, printing) = (self.progress.clone(), self.printing.clone());
        Arc::new(move |text: &str| {
            let (progress, text) = (progress.clone(), text.to_owned());
            told(&Event::Note { text: text.clone() });
            printing.later(move || progress.show(&Event::Note { text }));
        })
    }

    /// Says a sentence on stderr before the process ends at once, and waits until it is said: the bars go first, for good.
    pub fn say_last(&self) -> Say {
        let (progress, say, printing) = (self.progress.clone(), self.say(), self.printing.clone());
        Arc::new(move |text: &str| {
            let progress = progress.clone();
            printing.later(move || progress.finish());
            say(text);
            printing.wait();
        })
    }

    /// What else goes to stderr, line by line.
    pub fn stderr(&self) -> impl Fn() -> Later + Send + Sync + 'static {
        let (progress, printing) = (self.progress.clone(), self.printing.clone());
        move || Later { progress: progress.clone(), printing: printing.clone() }
    }

    /// Learns the names of tables before a run begins.
    pub fn learn(&self, snapshot: &Snapshot) {
        let learn = self.progress.learning(snapshot);
        self.printing.later(learn);
    }

    /// # Errors
    /// As all that follow: stdout cannot be written.
    pub fn plan(
        &self,
        prepared: &Prepared,
        playbook: &Playbook,
        id: &PlanId,
        kept_in: Option<&Path>,
        (service, full): (&Service, bool),
    ) -> io::Result<()> {
        let Prepared { plan, snapshot, .. } = prepared;
        let (auto_failover_before, stands) = (prepared.auto_failover_before(), prepared.stands());
        let context = PlanContext {
            snapshot,
            playbook,
            auto_failover_before,
            stands,
            id: Some(id),
            service,
            full,
            paint: self.paint,
        };
        let text = || {
            let kept = kept_in.map(|file| format!("Kept in {}.\n", file.display()));
            plan_text(plan, &context) + &kept.unwrap_or_default()
        };
        self.either(text, |lines| lines.plan(plan, &context))
    }

    /// What each playbook would take.
    pub fn comparison(&self, line: &ComparisonLine<'_>) -> io::Result<()> {
        self.either(|| comparison_text(line, self.paint), |lines| lines.line(line))
    }

    /// The health of what is in scope, under a heading where there is one, and the cases that the cluster is in.
    pub fn status(
        &self,
        seen: &Snapshot,
        scope: &Scope,
        listed: Listed,
        heading: Option<&str>,
        cases: &[Diagnosis],
    ) -> io::Result<()> {
        let (status, cases) = (Status::of(seen, scope), self.pasted(cases));
        let text = || {
            let heading = heading.map_or(String::new(), |heading| format!("== {heading}\n"));
            heading + &status_text(&status, &cases, listed, self.paint)
        };
        self.either(text, |lines| {
            lines.status(&status)?;
            cases.iter().try_for_each(|case| lines.line(&DiagnosisLine::of(case)))
        })
    }

    /// Cases with commands that reach the same cluster from anywhere.
    pub(super) fn pasted(&self, cases: &[Diagnosis]) -> Vec<Diagnosis> {
        let pasted = |case: &Diagnosis| Diagnosis { next: self.commands(&case.next), ..case.clone() };
        cases.iter().map(pasted).collect()
    }

    /// Commands that reach the same cluster from anywhere.
    pub fn commands(&self, next: &[String]) -> Vec<String> {
        let command = |next: &String| self.carries.get().map_or_else(|| next.clone(), |carried| carried.command(next));
        next.iter().map(command).collect()
    }

    /// All there is to say of a partition, with commands that reach the same cluster from anywhere.
    pub fn explanation(&self, explanation: Explanation) -> io::Result<()> {
        let explanation = Explanation { next: self.commands(&explanation.next), ..explanation };
        self.either(|| explanation_text(&explanation, self.paint), |lines| lines.line(&explanation))
    }

    /// The cases that a cluster is in.
    pub fn diagnoses(&self, found: &[Diagnosis]) -> io::Result<()> {
        let found = self.pasted(found);
        self.either(
            || diagnoses_text(&found, self.paint),
            |lines| found.iter().try_for_each(|diagnosis| lines.line(&DiagnosisLine::of(diagnosis))),
        )
    }

    /// The end of a look; gives what it says.
    pub fn look_summary(
        &self,
        about: About,
        seen: &Snapshot,
        scope: &Scope,
        rpc: Rpc,
        found: Option<Verification>,
        rows: Option<RowsCompared>,
    ) -> io::Result<Summary> {
        let summary = Summary { rows_compared: rows, ..summary_of_status(&Status::of(seen, scope), rpc) };
        let summary = match found {
            Some(found) => summary.verified(found),
            None => summary,
        };
        self.summary(&summary, about)?;
        Ok(summary)
    }

    /// The end of a dry run or a look.
    pub fn summary(&self, summary: &Summary, about: About) -> io::Result<()> {
        self.ends.knows(summary);
        self.either(|| summary_text(summary, about, self.paint), |lines| lines.summary(summary))
    }

    /// The end of a recovery. In JSON the summary of one that failed follows its error.
    pub fn recovered(&self, recovered: &Recovered, by_hand: &str, failed: bool) -> io::Result<()> {
        self.ends.knows(&recovered.summary);
        let json = |lines: &JsonLines<Lines>| if failed { Ok(()) } else { lines.summary(&recovered.summary) };
        self.either(|| recovered_text(recovered, by_hand, self.paint), json)
    }

    /// A snapshot, whole.
    ///
    /// # Errors
    /// It cannot be written.
    pub fn snapshot(&self, seen: &Snapshot) -> Result<(), Failure> {
        let text = snapshot::write(seen, false).map_err(Failure::error)?;
        // It is a file.
        Ok(self.laid_out(None, || text, |lines| lines.snapshot(seen, None))?)
    }

    /// A snapshot that went to a file.
    pub fn snapshot_saved(&self, seen: &Snapshot, file: &Path) -> io::Result<()> {
        let path = file.display().to_string();
        self.either(|| snapshot_text(seen, Some(&path)), |lines| lines.snapshot(seen, Some(&path)))
    }

    /// How rehearsals went.
    #[cfg(feature = "sandbox")]
    pub fn rehearsals(&self, all: &[crate::ui::RehearsalLine<'_>]) -> io::Result<()> {
        self.either(
            || crate::ui::rehearsals_text(all, self.paint),
            |lines| all.iter().try_for_each(|line| lines.line(line)),
        )
    }

    /// What became of a sandbox's rows.
    pub fn sandbox(&self, line: &SandboxLine) -> io::Result<()> {
        self.either(|| rows_text(line), |lines| lines.line(line))
    }

    /// How to reach a sandbox.
    #[cfg(feature = "sandbox")]
    pub fn ready(&self, line: &super::sandbox_lines::ReadyLine) -> io::Result<()> {
        self.either(|| super::sandbox_lines::ready_text(line), |lines| lines.line(line))
    }

    /// A text, whatever was asked for.
    pub fn text(&self, text: &str) -> io::Result<()> {
        self.printing.wait();
        reader_gone_is_fine(print(&mut self.progress.beside(io::stdout()), text))
    }

    /// Any text, or a JSON object that says the same.
    pub fn text_or(&self, text: &str, value: &impl Serialize) -> io::Result<()> {
        self.either(|| text.to_owned(), |lines| lines.line(value))
    }

    /// The same of the text of a file, which stays as it is on any terminal.
    pub fn file_or(&self, text: &str, value: &impl Serialize) -> io::Result<()> {
        self.laid_out(None, || text.to_owned(), |lines| lines.line(value))
    }

    /// What a command that goes on tells, on stdout: nobody waits until it is read.
    pub fn tells<L: Serialize>(&self, text: impl FnOnce(&L) -> String, line: &L) {
        // Whoever reads no more stops nothing.
        match self.output {
            Output::Text => {
                let to = Wrapping::new(self.progress.beside(io::stdout()), stdout_width());
                let carries = self.carries.clone();
                let text = text(line);
                let print = move || drop(Carrying::new(to, Format::Text, carries).write_all(text.as_bytes()));
                self.printing.later(print);
            }
            Output::Json => {
                if let Ok(line) = json_line(line) {
                    let lines = self.lines.clone();
                    self.printing.later(move || drop(lines.write(&line)));
                }
            }
        }
    }

    /// Tells a step of an undertaking on stderr.
    pub fn moves(&self) -> Moves {
        let (progress, printing) = (self.progress.clone(), self.printing.clone());
        Arc::new(move |text: &str, how: Moved| {
            let (progress, text) = (progress.clone(), text.to_owned());
            told(&Event::Note { text: text.clone() });
            printing.later(move || progress.moved(&text, how));
        })
    }

    /// Writes lines of a command that goes on; only in JSON.
    pub fn steps(&self) -> Steps {
        let (lines, json, printing) = (self.lines.clone(), self.output == Output::Json, self.printing.clone());
        Arc::new(move |line: &MoveLine<'_>| {
            if let (true, Ok(line)) = (json, json_line(line)) {
                let lines = lines.clone();
                // A reader that is gone shows when the last line fails.
                printing.later(move || drop(lines.write(&line)));
            }
        })
    }

    /// Waits until everything that was told is printed, and ends the drawing of progress: the run has ended, and what it came to is told
    /// next.
    pub fn finish(&self) {
        self.printing.wait();
        self.progress.finish();
    }

    /// The two that print: what is told, and what is drawn.
    pub(super) fn printing(&self) -> (Progress, Printing) {
        (self.progress.clone(), self.printing.clone())
    }

    /// What is done when the command ends.
    pub fn ends(&self) -> &AtTheEnd {
        &self.ends
    }

    /// How stdout is painted.
    pub fn paint(&self) -> Paint {
        self.paint
    }

    /// Whether an undertaking tells of each partition on its own, as with `-v`.
    pub fn lists_each(&self) -> bool {
        self.lists_each
    }

    /// Whether JSON Lines were asked for.
    pub fn is_json(&self) -> bool {
        self.output == Output::Json
    }

    /// A command that could not do its work. Nothing can be done if even that cannot be said.
    pub fn failure(&self, failure: &Failure) {
        self.finish();
        let message = failure.to_string();
        self.ends.fails(&message);
        failure.summary.iter().for_each(|summary| self.ends.knows(summary));
        let next = failure.next();
        let hint = Some(next.as_str());
        if self.output == Output::Json {
            let _ = self.lines.error(&message, hint, &failure.differences);
            if let Some(summary) = &failure.summary {
                let _ = self.lines.summary(summary);
            }
        }
        let differences: Vec<String> = failure.differences.iter().map(ToString::to_string).collect();
        let text = error_text(&message, &differences, hint, Paint::for_stderr());
        let to = Wrapping::new(self.progress.beside(io::stderr()), stderr_width());
        let _ = Carrying::new(to, Format::Text, self.carries.clone()).write_all(text.as_bytes());
    }

    /// Text or JSON, once everything that was told is printed.
    pub(super) fn either(
        &self,
        text: impl FnOnce() -> String,
        json: impl FnOnce(&JsonLines<Lines>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.laid_out(stdout_width(), text, json)
    }

    /// The same with so many columns for a line, or as it is.
    fn laid_out(
        &self,
        columns: Option<usize>,
        text: impl FnOnce() -> String,
        json: impl FnOnce(&JsonLines<Lines>) -> io::Result<()>,
    ) -> io::Result<()> {
        self.printing.wait();
        // A reader that has seen enough (`| head`) stops no command and changes no exit code.
        reader_gone_is_fine(match self.output {
            Output::Text => {
                let to = Wrapping::new(self.progress.beside(io::stdout()), columns);
                print(&mut Carrying::new(to, Format::Text, self.carries.clone()), &text())
            }
            Output::Json => json(&self.lines),
        })
    }
}

/// Where a log finds what is told.
pub const TOLD: &str = "openmldb_ops::told";

fn told(event: &Event) {
    if tracing::enabled!(target: TOLD, tracing::Level::INFO)
        && let Ok(line) = serde_json::to_string(event)
    {
        tracing::info!(target: TOLD, "{line}");
    }
}

/// A stream to stderr that is not waited for. Each write is whole lines.
pub struct Later {
    progress: Progress,
    printing: Printing,
}

impl Write for Later {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let (progress, text) = (self.progress.clone(), bytes.to_owned());
        // Diagnostics that nobody reads stop nothing.
        self.printing.later(move || drop(progress.beside(io::stderr()).write_all(&text)));
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
