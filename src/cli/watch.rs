//! `status --watch`: looks again and again, until it is interrupted.

use std::io;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::time::Duration;

use super::args::look;
use super::caller::now_ms;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::session::Session;
use super::status::runs;
use crate::model::moment;
use crate::run::{Diagnosis, Scope, Service, Status, Summary, diagnose, summary_of_status};
use crate::snapshot;
use crate::ui::{
    Listed, Paint, Printing, Progress, print, reader_gone_is_fine, service_text, status_text, stdout_width,
};

/// Shows what it sees, and looks again after so many seconds. On a terminal it is shown in one place; elsewhere a line is told when it
/// is another one than before. A cluster that does not answer once it has is said, and asked again.
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
    let watching = Watching::of(out);
    let (mut told, mut is_first) = (String::new(), true);
    loop {
        match snapshot::collect(&session.cluster, &session.name, now_ms()).await {
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
            Err(error) => out.say()(&format!("{error}; it is asked again")),
        }
        is_first = false;
        tokio::time::sleep(every).await;
    }
}

/// Looks that are shown one in the place of the other. What was seen last stays when this is dropped.
struct Watching {
    progress: Progress,
    printing: Printing,
    on_terminal: bool,
    last: Arc<Mutex<String>>,
}

impl Watching {
    fn of(out: &Out) -> Self {
        let (progress, printing) = out.printing();
        let on_terminal = !out.is_json() && stdout_width().is_some() && progress.can_draw();
        Self { progress, printing, on_terminal, last: Arc::default() }
    }

    /// Shows a look: in its place, or as a line if there is news; in JSON as any look.
    fn looked(
        &self,
        out: &Out,
        status: &Status,
        cases: &[Diagnosis],
        listed: Listed,
        news: Option<String>,
        summary: &Summary,
    ) -> io::Result<()> {
        if out.is_json() {
            return out.either(String::new, |lines| lines.status(status).and_then(|()| lines.summary(summary)));
        }
        if !self.on_terminal {
            return news.map_or(Ok(()), |news| out.text(&news));
        }
        let text = status_text(status, &out.pasted(cases), listed, out.paint());
        let rows = text.lines().map(str::to_owned).collect();
        *self.last.lock().unwrap_or_else(PoisonError::into_inner) = text;
        let progress = self.progress.clone();
        self.printing.later(move || progress.draw(rows));
        Ok(())
    }
}

impl Drop for Watching {
    fn drop(&mut self) {
        /// The terminal may be stopped.
        const AT_MOST: Duration = Duration::from_millis(200);
        if !self.on_terminal {
            return;
        }
        let text = std::mem::take(&mut *self.last.lock().unwrap_or_else(PoisonError::into_inner));
        let (progress, (done, is_done)) = (self.progress.clone(), mpsc::channel());
        self.printing.later(move || {
            progress.draw(Vec::new());
            let _ = reader_gone_is_fine(print(&mut progress.beside(io::stdout()), &text));
            let _unheard = done.send(());
        });
        let _printed = is_done.recv_timeout(AT_MOST);
    }
}
