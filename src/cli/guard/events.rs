//! What a guard tells: on stdout, to whoever asks over HTTP, and to the operator's command.

use std::io;
use std::sync::mpsc::{self, SyncSender, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use openmldb_http::{Answer, Answers};
use tokio::time::Instant;

use crate::ui::{GuardFigures, GuardLine, guard_metrics_text, guard_text};

use super::super::at_the_end::Say;
use super::super::at_the_end::{run_within, shell};
use super::super::out::Out;

/// How long the operator's command may take.
const COMMAND: Duration = Duration::from_secs(30);
/// So many events wait for it at most; what is told beyond is told elsewhere all the same.
const WAITING: usize = 64;
/// A guard that has not come round for so long hangs.
const HANGS: Duration = Duration::from_secs(180);

/// What is known of a guard from outside.
#[derive(Debug, Default)]
struct Outside {
    figures: GuardFigures,
    /// When it came round last.
    round: Option<Instant>,
    /// A recovery takes its time.
    recovers: bool,
}

/// Whoever hears of a guard. Clones are the same.
#[derive(Clone)]
pub struct Events {
    outside: Arc<Mutex<Outside>>,
    command: Option<SyncSender<Vec<(&'static str, String)>>>,
    say: Say,
}

impl Events {
    /// With the operator's command, if there is one.
    ///
    /// # Errors
    /// No thread can be had for it.
    pub fn new(command: Option<&str>, out: &Out) -> io::Result<Self> {
        let say = out.say();
        let command = command.map(|command| listening(command.to_owned(), say.clone())).transpose()?;
        Ok(Self { outside: Arc::default(), command, say })
    }

    /// Tells something.
    pub fn tell(&self, line: &GuardLine<'_>, out: &Out) {
        let next = out.commands(line.next);
        let line = GuardLine { next: &next, ..line.clone() };
        out.tells(guard_text, &line);
        let Some(command) = &self.command else { return };
        let environment = vec![
            ("OPENMLDB_OPS_GUARD_STATE", line.state.to_owned()),
            ("OPENMLDB_OPS_GUARD_SERVICE", line.service.clone().unwrap_or_default()),
            ("OPENMLDB_OPS_GUARD_TEXT", line.text.replace('\0', " ")),
            ("OPENMLDB_OPS_GUARD_NEXT", line.next.join("\n").replace('\0', " ")),
            ("OPENMLDB_OPS_GUARD_ACTS", if line.acts { "1" } else { "0" }.to_owned()),
        ];
        if let Err(TrySendError::Full(_)) = command.try_send(environment) {
            (self.say)("the command of --on-event is too slow: it is not told of this");
        }
    }

    /// It has come round; or a recovery begins, or has ended.
    pub fn comes_round(&self, recovers: bool) {
        let mut outside = self.outside();
        (outside.round, outside.recovers) = (Some(Instant::now()), recovers);
    }

    /// Has its figures say what is so.
    pub fn figures(&self, change: impl FnOnce(&mut GuardFigures)) {
        change(&mut self.outside().figures);
    }

    /// Whether clients could read and write when it looked last.
    pub fn service(&self) -> Option<String> {
        self.outside().figures.service()
    }

    /// What is answered over HTTP.
    pub fn answers(&self) -> Answers {
        let outside = self.outside.clone();
        Arc::new(move |path| {
            let outside = outside.lock().unwrap_or_else(PoisonError::into_inner);
            let state = outside.figures.state;
            match path {
                "/healthz" => {
                    let is_good = outside.recovers || outside.round.is_some_and(|round| round.elapsed() < HANGS);
                    Some(Answer { is_good, text: if is_good { "ok\n" } else { "it hangs\n" }.to_owned() })
                }
                "/readyz" => Some(Answer { is_good: outside.figures.is_ready(), text: format!("{state}\n") }),
                "/metrics" => Some(Answer { is_good: true, text: guard_metrics_text(&outside.figures) }),
                _ => None,
            }
        })
    }

    fn outside(&self) -> std::sync::MutexGuard<'_, Outside> {
        self.outside.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Runs the operator's command for one event after the other, on a thread of its own.
fn listening(command: String, say: Say) -> io::Result<SyncSender<Vec<(&'static str, String)>>> {
    let (sender, events) = mpsc::sync_channel::<Vec<(&'static str, String)>>(WAITING);
    thread::Builder::new().name("on-event".to_owned()).spawn(move || {
        for environment in events {
            let why = match shell(&command, environment).spawn() {
                Ok(child) => run_within(child, COMMAND),
                Err(error) => Some(format!("cannot be run: {error}")),
            };
            why.iter().for_each(|why| say(&format!("the command of --on-event {why}")));
        }
    })?;
    Ok(sender)
}
