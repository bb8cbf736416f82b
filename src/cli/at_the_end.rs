//! What is done when a command ends, whatever way: its metrics are written, and a command of the operator's is run. It comes after
//! everything else, has a time of its own, and changes no exit code.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process_group};

use super::args;
use super::args::ending::Ending;
use super::args::steps::{LeaderCommand, TabletCommand};
use super::caller::now_ms;
use crate::cluster::{AUTH_ENV, ZK_CERT_ENV};
use crate::files;
use crate::run::{Service, Summary, note_exit};
use crate::ui::{Ended, Paint, metrics_text, service_text};

/// How long writing a file may take: it may be on a disk that hangs.
const METRICS: Duration = Duration::from_secs(5);
/// The same where the process has to end at once.
const METRICS_AT_ONCE: Duration = Duration::from_millis(300);
/// How long the operator's command may take.
const COMMAND: Duration = Duration::from_secs(30);
/// The longest text that the operator's command is given: an environment that is too large is none.
const LONGEST: usize = 1000;

/// A sentence for stderr, from anywhere.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// What is done at the end, once, by whichever clone gets there first.
#[derive(Clone)]
pub struct AtTheEnd(Arc<Shared>);

struct Shared {
    command: &'static str,
    wants: Ending,
    /// How long the operator's command may take.
    at_most: Duration,
    began: Instant,
    known: Mutex<Known>,
    stage: Mutex<Stage>,
    is_over: Condvar,
}

/// What is known of the command by now.
#[derive(Default)]
struct Known {
    summary: Option<Summary>,
    /// Of a command that has no summary.
    service: Option<Service>,
    /// Its records, in the order in which they were begun.
    records: Vec<String>,
    error: Option<String>,
}

#[derive(Clone, Copy)]
enum Stage {
    /// The command is at work.
    NotYet,
    /// It has ended with this exit code, and this group of processes is the operator's command.
    Begun { exit: u8, group: Option<Pid> },
    /// All is done.
    Over { exit: u8 },
}

impl AtTheEnd {
    /// As the command line asks.
    pub fn of(command: &args::Command) -> Self {
        let (command, wants) = match command {
            args::Command::Recover(args) => ("recover", args.ending.clone()),
            args::Command::Status(args) => ("status", args.ending.clone()),
            args::Command::Scale(command) => ("scale", command.how().ending.clone()),
            args::Command::Upgrade(command) => ("upgrade", command.how().ending.clone()),
            args::Command::Tablet(TabletCommand::Replace { how, .. }) => ("replace", how.ending.clone()),
            args::Command::Leader(LeaderCommand::Handover { how, .. }) => ("handover", how.ending.clone()),
            _ => ("", Ending::default()),
        };
        Self::wanting(command, wants, COMMAND)
    }

    fn wanting(command: &'static str, wants: Ending, at_most: Duration) -> Self {
        let (known, stage, is_over) = (Mutex::default(), Mutex::new(Stage::NotYet), Condvar::new());
        Self(Arc::new(Shared { command, wants, at_most, began: Instant::now(), known, stage, is_over }))
    }

    /// What came of it, as far as it is known; the last word counts.
    pub fn knows(&self, summary: &Summary) {
        locked(&self.0.known).summary = Some(summary.clone());
    }

    /// Whether clients can read and write now that it has ended.
    pub fn serves(&self, service: &Service) {
        locked(&self.0.known).service = Some(service.clone());
    }

    /// Its record.
    pub fn is_recorded(&self, path: &str) {
        locked(&self.0.known).records.push(path.to_owned());
    }

    /// Why it could not do its work.
    pub fn fails(&self, error: &str) {
        locked(&self.0.known).error = Some(error.to_owned());
    }

    /// Does what has to be done at the end, once; later callers wait for it.
    pub fn perform(&self, exit: u8, say: &Say) {
        if self.begin(exit) {
            let ended = self.ended(exit);
            self.note_exit(exit, METRICS);
            self.write_metrics(&ended, METRICS, say);
            self.run(&ended, say);
            *locked(&self.0.stage) = Stage::Over { exit };
            self.0.is_over.notify_all();
            return;
        }
        let over = |stage: &mut Stage| !matches!(stage, Stage::Over { .. });
        let _over = self.0.is_over.wait_timeout_while(locked(&self.0.stage), METRICS + self.0.at_most, over);
    }

    /// Whether anything is to be done.
    pub fn is_wanted(&self) -> bool {
        self.0.wants.on_end.is_some() || self.0.wants.metrics_file.is_some()
    }

    /// Whether it is at work on that.
    pub fn has_begun(&self) -> bool {
        !matches!(*locked(&self.0.stage), Stage::NotYet)
    }

    /// The message for someone who interrupts the operator's command while it runs.
    pub fn waits(&self) -> Option<&'static str> {
        let is_at_work = matches!(*locked(&self.0.stage), Stage::Begun { group: Some(_), .. });
        is_at_work.then_some("waiting for the --on-end command; interrupt again to kill it")
    }

    /// Waits for it, if it has begun.
    pub fn finish(&self, say: &Say) {
        // Performing it takes the lock again.
        let stage = *locked(&self.0.stage);
        if let Stage::Begun { exit, .. } = stage {
            self.perform(exit, say);
        }
    }

    /// The process ends now: what has not begun is begun and not waited for, what has begun is ended. Gives the exit code.
    pub fn at_once(&self, exit: u8) -> u8 {
        if self.begin(exit) {
            let ended = self.ended(exit);
            let unheard: Say = Arc::new(|_: &str| {});
            self.note_exit(exit, METRICS_AT_ONCE);
            self.write_metrics(&ended, METRICS_AT_ONCE, &unheard);
            if let Some(Err(error)) = self.start(&ended) {
                tracing::error!(%error, "--on-end cannot be run");
            }
            return exit;
        }
        match *locked(&self.0.stage) {
            Stage::Begun { exit, group } => {
                group.into_iter().for_each(end);
                exit
            }
            Stage::Over { exit } => exit,
            Stage::NotYet => exit,
        }
    }

    /// Does it at once should this thread panic.
    pub fn on_panic(&self) -> OnPanic {
        OnPanic(self.clone())
    }

    fn begin(&self, exit: u8) -> bool {
        let mut stage = locked(&self.0.stage);
        let is_first = matches!(*stage, Stage::NotYet);
        if is_first {
            *stage = Stage::Begun { exit, group: None };
        }
        is_first
    }

    fn ended(&self, exit_code: u8) -> Ended {
        let known = locked(&self.0.known);
        let took_ms = u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let (summary, record, error) = (known.summary.clone(), known.records.last().cloned(), known.error.clone());
        let service = known.service.clone().or_else(|| summary.as_ref()?.service.clone());
        Ended { command: self.0.command, exit_code, summary, service, record, error, at_ms: now_ms(), took_ms }
    }

    fn write_metrics(&self, ended: &Ended, within: Duration, say: &Say) {
        let Some(file) = self.0.wants.metrics_file.clone() else { return };
        let (text, to) = (metrics_text(ended), file.clone());
        if let Err(why) = written(within, move || files::replace(&to, text.as_bytes())) {
            say(&format!("the metrics cannot be written to {}: {why}", file.display()));
        }
    }

    /// Adds the exit code to the command's records. A record that is gone, or whose disk is full, has none.
    fn note_exit(&self, code: u8, within: Duration) {
        let records = locked(&self.0.known).records.clone();
        if records.is_empty() {
            return;
        }
        let noted = written(within, move || records.iter().try_for_each(|at| note_exit(Path::new(at), now_ms(), code)));
        if let Err(error) = noted {
            tracing::debug!(%error, "the exit code is not recorded");
        }
    }

    fn run(&self, ended: &Ended, say: &Say) {
        let started = {
            let mut stage = locked(&self.0.stage);
            let started = self.start(ended);
            // Code that ends the process can find its group from the start.
            if let (Some(Ok(child)), Stage::Begun { group, .. }) = (&started, &mut *stage) {
                *group = Some(Pid::from_child(child));
            }
            started
        };
        let why = match started {
            None => return,
            Some(Ok(child)) => run_within(child, self.0.at_most),
            Some(Err(error)) => Some(format!("cannot be run: {error}")),
        };
        if let Some(why) = why {
            say(&format!("the --on-end command {why}; the exit code is still {}", ended.exit_code));
        }
    }

    /// Starts the operator's command in a group of its own, so that it is ended with all that it starts and by nobody else's Ctrl-C.
    fn start(&self, ended: &Ended) -> Option<io::Result<Child>> {
        let command = self.0.wants.on_end.as_ref()?;
        Some(shell(command, environment(ended)).spawn())
    }
}

/// A command of the operator's, in a group of its own, with no secret.
pub(super) fn shell(command: &str, environment: Vec<(&'static str, String)>) -> Command {
    let mut shell = Command::new("sh");
    // stdout carries results and nothing else.
    shell.arg("-c").arg(command).stdin(Stdio::null()).stdout(io::stderr()).process_group(0);
    shell.env_remove(AUTH_ENV).env_remove(ZK_CERT_ENV).envs(environment);
    shell
}

/// Waits for it, and ends it if it takes too long. What went wrong, if anything did.
pub(super) fn run_within(mut child: Child, at_most: Duration) -> Option<String> {
    let group = Pid::from_child(&child);
    let (done, is_done) = mpsc::channel::<io::Result<ExitStatus>>();
    let waiting = thread::Builder::new().name("waiting".to_owned()).spawn(move || {
        let _unheard = done.send(child.wait());
    });
    let waited = waiting.map(|_| is_done.recv_timeout(at_most));
    match waited {
        Ok(Ok(Ok(status))) if status.success() => None,
        Ok(Ok(Ok(status))) => Some(format!("ended with {status}")),
        Ok(Ok(Err(error))) | Err(error) => Some(format!("cannot be waited for: {error}")),
        Ok(Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected)) => {
            end(group);
            Some(format!("did not end within {at_most:?} and was killed"))
        }
    }
}

/// See [`AtTheEnd::on_panic`].
pub struct OnPanic(AtTheEnd);

impl Drop for OnPanic {
    fn drop(&mut self) {
        if thread::panicking() {
            self.0.at_once(PANICKED);
        }
    }
}

/// With which Rust ends a process that panicked.
const PANICKED: u8 = 101;

/// Writes something, and waits no longer than that for it: why it is not written.
fn written(within: Duration, write: impl FnOnce() -> io::Result<()> + Send + 'static) -> Result<(), String> {
    let (done, is_done) = mpsc::channel();
    let writing = thread::Builder::new().name("end".to_owned()).spawn(move || {
        // Nobody may be waiting for it any more.
        let _unheard = done.send(write());
    });
    match writing.map(|_| is_done.recv_timeout(within)) {
        Ok(Ok(Ok(()))) => Ok(()),
        Ok(Ok(Err(error))) | Err(error) => Err(error.to_string()),
        Ok(Err(_)) => Err(format!("nothing was written within {} s", within.as_secs())),
    }
}

fn end(group: Pid) {
    if let Err(error) = kill_process_group(group, Signal::KILL) {
        tracing::debug!(%error, "nobody is left of the --on-end command");
    }
}

/// What the operator's command is told. None of it is a secret.
fn environment(ended: &Ended) -> Vec<(&'static str, String)> {
    let mut told = vec![
        ("OPENMLDB_OPS_COMMAND", ended.command.to_owned()),
        ("OPENMLDB_OPS_VERDICT", ended.verdict().word().to_owned()),
        ("OPENMLDB_OPS_EXIT_CODE", ended.exit_code.to_string()),
    ];
    if let Some(service) = &ended.service {
        told.push(("OPENMLDB_OPS_SERVICE", service_text(service, Paint::Plain).trim_end().to_owned()));
    }
    if let Some(summary) = &ended.summary {
        let counts = &summary.partitions;
        let bad = counts.blocked + counts.failed;
        told.push(("OPENMLDB_OPS_PARTITIONS", counts.total.to_string()));
        told.push(("OPENMLDB_OPS_PARTITIONS_NOT_HEALTHY", bad.to_string()));
        let on = if summary.auto_failover.after { "on" } else { "off" };
        told.push(("OPENMLDB_OPS_AUTO_FAILOVER", on.to_owned()));
    }
    told.extend(ended.record.clone().map(|record| ("OPENMLDB_OPS_RECORD", record)));
    let error = ended.error.as_ref().map(|error| error.replace('\0', " ").chars().take(LONGEST).collect());
    told.extend(error.map(|error| ("OPENMLDB_OPS_ERROR", error)));
    told
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    /// What is said of a command of `--on-end` that may take so long.
    fn said_of(command: &str, at_most: Duration) -> Vec<String> {
        let wants = Ending { metrics_file: None, on_end: Some(command.to_owned()) };
        let ends = AtTheEnd::wanting("recover", wants, at_most);
        let said = Arc::new(Mutex::new(Vec::new()));
        let heard = said.clone();
        let say: Say = Arc::new(move |text: &str| locked(&heard).push(text.to_owned()));
        ends.perform(4, &say);
        assert_eq!(ends.at_once(1), 4, "it has ended with that, and nothing is done twice");
        ends.perform(1, &say);
        locked(&said).clone()
    }

    #[test]
    fn the_operators_command_is_bounded_in_time_and_its_failure_is_said() {
        let long = Duration::from_secs(600);
        assert_eq!(said_of("true", long), [""; 0]);
        assert_eq!(
            said_of("exit 3", long),
            ["the --on-end command ended with exit status: 3; the exit code is still 4"]
        );
        let hangs = said_of("sleep 600 & wait", Duration::from_millis(50));
        assert!(hangs[0].contains("did not end within 50ms and was killed") && hangs.len() == 1, "{hangs:?}");
    }

    /// With everything that it has started.
    #[test]
    fn a_process_that_has_to_end_at_once_ends_the_command_with_it() {
        let wants = Ending { metrics_file: None, on_end: Some("sleep 600 & wait".to_owned()) };
        let ends = AtTheEnd::wanting("status", wants, Duration::from_secs(600));
        let (there, unheard): (_, Say) = (ends.clone(), Arc::new(|_: &str| {}));
        let performing = thread::spawn(move || there.perform(3, &unheard));
        let group = loop {
            match *locked(&ends.0.stage) {
                Stage::Begun { group: Some(group), .. } => break group,
                _ => thread::yield_now(),
            }
        };
        assert_eq!(ends.at_once(130), 3, "the command had ended with that");
        performing.join().unwrap();
        let gone = || kill_process_group(group, Signal::CONT).is_err();
        while !gone() {
            thread::yield_now();
        }
    }
}
