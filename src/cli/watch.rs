//! `status --watch`: looks again and again, until it is interrupted.

use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use super::args::look;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::runs::runs;
use super::session::Session;
use crate::cluster::CallError;
use crate::model::moment;
use crate::run::{Diagnosis, Scope, Service, Status, Summary, diagnose, summary_of_status};
use crate::snapshot;
use crate::ui::{
    Listed, Paint, Printing, Progress, Wrapping, print, reader_gone_is_fine, service_text, since_text, status_text,
    stdout_width,
};

/// How often the age of what is shown is counted on.
const TICK: Duration = Duration::from_secs(1);

/// Shows what it sees, and looks again after so many seconds. On a terminal it is shown in one place, with its age; elsewhere a line is
/// told when it is another one than before. A cluster that does not answer once it has is said, and asked again.
///
/// # Errors
/// The first look fails, or stdout cannot be written.
pub(super) async fn watch(
    args: &look::Status,
    every: Duration,
    scope: &Scope,
    session: &Session,
    out: &Out,
) -> Result<Exit, Failure> {
    let listed = if args.full { Listed::All } else { Listed::Unhealthy };
    let mut watching = Watching::of(out);
    let (mut told, mut is_first) = (String::new(), true);
    loop {
        let looking = snapshot::collect(&session.cluster, &session.name, now_ms());
        match watching.until(looking).await {
            Ok(seen) => {
                if is_first {
                    scope.check(&seen)?;
                }
                let status = Status::of(&seen, scope);
                let summary = summary_of_status(&status, session.cluster.rpc_counts().into());
                out.ends().knows(&summary);
                let found = diagnose(&seen, &Status::of(&seen, &Scope::All), &runs(args, session, &seen, out).await?);
                let line = service_text(&Service::of(&status), Paint::Plain);
                let news = (line != told).then(|| format!("{}  {line}", moment(now_ms())));
                watching.looked(out, &status, &found, listed, news, &summary)?;
                told = line;
            }
            Err(error) if is_first => return Err(error.into()),
            Err(error) => watching.failed(out, &error),
        }
        is_first = false;
        watching.until(tokio::time::sleep(every)).await;
    }
}

/// Looks that are shown one in the place of the other. What was seen last stays when this is dropped.
struct Watching {
    progress: Progress,
    printing: Printing,
    on_terminal: bool,
    last: Arc<Mutex<Look>>,
    /// What was said last of a look that failed.
    said: Option<String>,
}

/// The look that is shown.
#[derive(Debug, Default)]
struct Look {
    text: String,
    /// When it was begun, in milliseconds since 1970.
    at_ms: u64,
    /// Why there is no newer one.
    failed: Option<String>,
}

impl Look {
    /// Its first line, when it was, and the rest.
    fn rows(&self) -> Vec<String> {
        let mut rows: Vec<String> = self.text.lines().map(str::to_owned).collect();
        let since = since_text(self.at_ms, now_ms(), self.failed.as_deref());
        rows.insert(rows.len().min(1), since);
        rows
    }
}

impl Watching {
    fn of(out: &Out) -> Self {
        let (progress, printing) = out.printing();
        let on_terminal = !out.is_json() && stdout_width().is_some() && progress.can_draw();
        Self { progress, printing, on_terminal, last: Arc::default(), said: None }
    }

    /// Waits for something, while what is shown grows older.
    async fn until<T>(&self, what: impl Future<Output = T>) -> T {
        let mut what = pin!(what);
        loop {
            match tokio::time::timeout(TICK, &mut what).await {
                Ok(done) => return done,
                Err(_) => self.draw(),
            }
        }
    }

    /// Shows a look: in its place, or as a line if there is news; in JSON as any look.
    fn looked(
        &mut self,
        out: &Out,
        status: &Status,
        cases: &[Diagnosis],
        listed: Listed,
        news: Option<String>,
        summary: &Summary,
    ) -> io::Result<()> {
        let again = self.said.take().is_some();
        if out.is_json() {
            return out.either(String::new, |lines| lines.status(status).and_then(|()| lines.summary(summary)));
        }
        if !self.on_terminal {
            if again && news.is_none() {
                out.say()("the cluster answers again, and nothing has changed");
            }
            return news.map_or(Ok(()), |news| out.text(&news));
        }
        let text = status_text(status, &out.pasted(cases), listed, out.paint());
        *self.shown() = Look { text, at_ms: status.taken_at_ms, failed: None };
        self.draw();
        Ok(())
    }

    /// Says that a look failed: beside what was seen last; where that is not shown, once.
    fn failed(&mut self, out: &Out, error: &CallError) {
        let text = format!("{error}; asking again");
        if self.on_terminal {
            self.shown().failed = Some(error.to_string());
            self.draw();
        } else if self.said.as_ref() != Some(&text) {
            out.say()(&text);
        }
        self.said = Some(text);
    }

    fn draw(&self) {
        let look = self.shown();
        if self.on_terminal && look.at_ms > 0 {
            let (progress, text) = (self.progress.clone(), look.rows().join("\n"));
            self.printing.later(move || progress.draw(&text, "`status` without --watch shows all"));
        }
    }

    fn shown(&self) -> MutexGuard<'_, Look> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        /// The terminal may be stopped.
        const AT_MOST: Duration = Duration::from_millis(200);
        if !self.on_terminal {
            return;
        }
        let mut text = match &*self.shown() {
            Look { at_ms: 0, .. } => String::new(),
            look => look.rows().join("\n"),
        };
        text.push('\n');
        let (progress, (done, is_done)) = (self.progress.clone(), mpsc::channel());
        self.printing.later(move || {
            progress.draw("", "");
            let _ =
                reader_gone_is_fine(print(&mut Wrapping::new(progress.beside(io::stdout()), stdout_width()), &text));
            let _unheard = done.send(());
        });
        let _printed = is_done.recv_timeout(AT_MOST);
    }
}
