//! Signals. The first of those that end a process lets what is under way end and cleans up, the second says what is
//! left and ends at once, and so does a timeout, should the process not finish. Without its terminal a run continues.
//!
//! They are listened to on a thread of its own: whatever the command is busy with, a signal is heard.

use std::future::Future;
use std::io;
use std::process::exit;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::{SetOnce, watch};
use tokio::time::Instant;

use crate::model::{Verb, counted_that};
use crate::run::{Record, Stop, stopping};
use crate::ui::{by_hand, going_on_text};

use super::at_the_end::AtTheEnd;
use super::at_the_end::Say;
use super::failure::{Exit, Failure};
use super::out::Out;

/// How long the first words may take.
const FIRST_WORDS: Duration = Duration::from_millis(200);
/// How long the last words may take: nobody may be reading them.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// The numbers that every Unix has.
const HANGUP: i32 = 1;
const INTERRUPT: i32 = 2;
const QUIT: i32 = 3;
const TERMINATE: i32 = 15;

/// What a command says when it is stopped.
#[derive(Debug, Clone, Copy)]
pub struct Words {
    /// What is so while it has begun nothing, or has ended what it had begun.
    pub idle: &'static str,
    /// What it does before it ends.
    pub first: &'static str,
    /// What may be so if it does not.
    pub second: &'static str,
    /// Whether it goes on when its terminal is gone.
    pub goes_on: bool,
}

/// What a command that changes something hears of signals, and what they need of it.
#[derive(Clone)]
pub struct Signals {
    /// Tells when to stop.
    pub stop: watch::Receiver<Stop>,
    /// Where the record is put once it has begun.
    pub record: Arc<SetOnce<Record>>,
    /// The same, as whoever listens finds it: a command may do several things, one after the other, the newest last.
    records: Records,
    /// What a command that sets auto_failover needs to find the cluster, once it was found.
    reach: Arc<SetOnce<String>>,
}

type Records = Arc<Mutex<Vec<Arc<SetOnce<Record>>>>>;

/// Who hears them.
struct Listener {
    sender: watch::Sender<Stop>,
    records: Records,
    reach: Arc<SetOnce<String>>,
    words: Words,
    say: Say,
    say_last: Say,
    ends: AtTheEnd,
}

impl Signals {
    /// Listens, until the process ends; and stops the command so long after its cluster was found, if there is a `timeout`.
    ///
    /// # Errors
    /// The process cannot listen to signals.
    pub fn listen(timeout: Option<Duration>, words: Words, out: &Out) -> io::Result<Self> {
        let (sender, stop) = watch::channel(Stop::No);
        let record: Arc<SetOnce<Record>> = Arc::default();
        let records = Arc::new(Mutex::new(vec![record.clone()]));
        let signals = Self { stop, record, records, reach: Arc::default() };
        let (records, reach) = (signals.records.clone(), signals.reach.clone());
        let (say, say_last) = (out.say(), out.say_last());
        let listener = Listener { sender, records, reach, words, say, say_last, ends: out.ends().clone() };
        let (runtime, heard) = hearing()?;
        thread::Builder::new().name("signals".to_owned()).spawn(move || {
            runtime.block_on(listener.listen(heard, timeout));
        })?;
        Ok(signals)
    }

    /// For a command that changes nothing: it ends at once.
    pub fn unheard() -> Self {
        let (record, records) = (Arc::default(), Arc::default());
        Self { stop: watch::channel(Stop::No).1, record, records, reach: Arc::default() }
    }

    /// The command begins something else, which is stopped by `stop` and puts its record where this says.
    pub fn anew(&self, stop: watch::Receiver<Stop>) -> Self {
        let record: Arc<SetOnce<Record>> = Arc::default();
        *self.records.lock().unwrap_or_else(PoisonError::into_inner) = vec![record.clone()];
        Self { stop, record, ..self.clone() }
    }

    /// For what the command does next. If it has done something already, that counts until the next has a record of its own.
    pub fn then(&self) -> Self {
        if !self.record.initialized() {
            return self.clone();
        }
        let record: Arc<SetOnce<Record>> = Arc::default();
        self.records.lock().unwrap_or_else(PoisonError::into_inner).push(record.clone());
        Self { record, ..self.clone() }
    }

    /// The cluster was found: a command that sets auto_failover finds it like this.
    pub fn found(&self, reach: &str) {
        // Whoever goes on for long may find the same one again.
        if self.reach.set(reach.to_owned()).is_err() && self.reach.get().is_none_or(|known| known != reach) {
            tracing::error!("another cluster was found");
        }
    }

    /// Does what changes nothing, unless it is stopped.
    ///
    /// # Errors
    /// It was stopped: there is nothing to clean up.
    pub async fn unless_stopped<T>(&self, work: impl Future<Output = T>) -> Result<T, Failure> {
        stopping::unless_stopped(&self.stop, work).await.map_err(Failure::stopped)
    }
}

/// The signals that end a process, and the one that says that its terminal is gone.
struct Heard {
    interrupt: Signal,
    terminate: Signal,
    quit: Signal,
    hangup: Signal,
}

fn hearing() -> io::Result<(Runtime, Heard)> {
    let runtime = Builder::new_current_thread().enable_all().build()?;
    let within = runtime.enter();
    let heard = Heard {
        interrupt: signal(SignalKind::interrupt())?,
        terminate: signal(SignalKind::terminate())?,
        quit: signal(SignalKind::quit())?,
        hangup: signal(SignalKind::hangup())?,
    };
    drop(within);
    Ok((runtime, heard))
}

impl Heard {
    /// The next one, by number.
    async fn next(&mut self) -> i32 {
        tokio::select! {
            _ = self.interrupt.recv() => INTERRUPT,
            _ = self.terminate.recv() => TERMINATE,
            _ = self.quit.recv() => QUIT,
            _ = self.hangup.recv() => HANGUP,
        }
    }
}

/// What a command that only looks gives, or the first signal: there is nothing to clean up, so it ends at once.
///
/// # Errors
/// As the command, or the process cannot listen to signals.
pub async fn or_end_at_once(command: impl Future<Output = Result<Exit, Failure>>, out: &Out) -> Result<Exit, Failure> {
    let (runtime, mut heard) = hearing()?;
    let (ends, say) = (out.ends().clone(), out.say());
    let (sender, mut number) = watch::channel(0);
    thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let number = runtime.block_on(async { heard.next().await });
        sender.send_replace(number);
        ends.waits().iter().for_each(|waits| say(&format!("interrupted: {waits}")));
        let waiting = ends.clone();
        let second = thread::Builder::new().name("signals again".to_owned()).spawn(move || {
            let number = runtime.block_on(async { heard.next().await });
            exit(i32::from(ends.at_once(Exit::Signal(number).code())))
        });
        if let Err(error) = second {
            tracing::error!(%error, "no second signal is listened to");
        }
        // It may be printing to a terminal that is stopped.
        thread::sleep(LAST_WORDS);
        waiting.finish(&say);
        exit(i32::from(waiting.at_once(Exit::Signal(number).code())));
    })?;
    tokio::select! {
        done = command => done,
        number = number.wait_for(|number| *number != 0) => Ok(Exit::Signal(number.map_or(TERMINATE, |number| *number))),
    }
}

impl Listener {
    async fn listen(self, mut heard: Heard, timeout: Option<Duration>) {
        let reach = self.reach.clone();
        let mut deadline = std::pin::pin!(async {
            reach.wait().await;
            after(timeout).await;
        });
        let mut end = std::pin::pin!(after(None));
        let mut is_over = false;
        loop {
            let stop = tokio::select! {
                number = heard.next() => Stop::Signal(number),
                () = &mut deadline, if !is_over => Stop::Deadline,
                () = &mut end => self.ends_at_its_end(),
            };
            is_over |= stop == Stop::Deadline;
            let before = *self.sender.borrow();
            match (before, stop) {
                (_, Stop::Signal(HANGUP)) if self.words.goes_on => {
                    self.goes_on_without_its_terminal();
                    continue;
                }
                (Stop::Signal(_), Stop::Signal(number)) => self.ends_at_once(number),
                (Stop::No, _) | (Stop::Deadline, Stop::Signal(_)) => {}
                _ => continue,
            }
            let what = if stop == Stop::Deadline { "the time is over" } else { "interrupted" };
            let does = self.ends.waits().unwrap_or(match self.record().initialized() {
                true => self.words.first,
                false => self.words.idle,
            });
            let said = speak(&self.say, format!("{what}: {does}"));
            // Before anything else is said, if anybody reads it.
            let _heard = said.recv_timeout(FIRST_WORDS);
            self.sender.send_replace(stop);
            if before == Stop::No {
                end.set(after(Some(stopping::END)));
            }
        }
    }

    /// The record of the work that the command is doing now.
    fn record(&self) -> Arc<SetOnce<Record>> {
        let records = self.records.lock().unwrap_or_else(PoisonError::into_inner);
        let newest = records.iter().rev().find(|record| record.initialized()).or(records.last());
        newest.cloned().unwrap_or_default()
    }

    fn goes_on_without_its_terminal(&self) {
        let record = self.record();
        tokio::spawn(async move {
            record.wait().await.remark("the terminal is gone (SIGHUP): the run continues without it");
        });
    }

    /// Somebody does not want to wait.
    fn ends_at_once(&self, number: i32) -> ! {
        self.ends_with(Exit::Signal(number), "interrupted again: stopping now")
    }

    /// The caller is about to kill it.
    fn ends_at_its_end(&self) -> ! {
        let seconds = stopping::END.as_secs();
        let owes = self.record().get().is_some_and(Record::owes_failover);
        let stop = match *self.sender.borrow() {
            Stop::Signal(number) => Exit::Signal(number),
            _ => Exit::Deadline,
        };
        let exit = if owes { Exit::NotRestored } else { stop };
        self.ends_with(exit, &format!("asked to stop {seconds} s ago, and something still hangs: stopping now"))
    }

    /// Where the command itself has ended, there is nothing to say of it.
    fn ends_with(&self, with: Exit, what: &str) -> ! {
        if !self.ends.has_begun() {
            self.last_words(what);
        }
        exit(i32::from(self.ends.at_once(with.code())))
    }

    /// What goes on, as far as it is known here, and what to do about it.
    fn last_words(&self, what: &str) {
        let record = self.record();
        let record = record.get();
        let unanswered = record.map(Record::unanswered).unwrap_or_default();
        let calls = unanswered.iter().map(going_on_text);
        let loads = record.map(Record::loading).unwrap_or_default().into_iter();
        let name = |id| record.map_or_else(String::new, |record| record.name_of(id));
        let loads = loads.map(|(id, endpoint)| format!("{endpoint} may still load {}", name(id)));
        let mut text: String = calls.chain(loads).map(|text| format!("still in progress: {text}\n")).collect();
        text += &format!("{what}. {}", self.words.second);
        let owes = record.is_some_and(Record::owes_failover);
        match (self.reach.get(), record.map_or(0, |record| record.unseen().len())) {
            (Some(reach), 0) if owes => text += &format!("; or restore auto_failover with: {}", by_hand(reach, true)),
            (Some(_), unseen) if owes => {
                text += &format!(
                    ". auto_failover must stay off until then: the nameserver would replace what {} that have not been \
                     checked since a leader was chosen",
                    counted_that(unseen, "replica", Verb::Regular("hold"))
                );
            }
            _ => {}
        }
        let said = speak(&self.say_last, text);
        // Whether or not anybody reads it.
        let _heard = said.recv_timeout(LAST_WORDS);
    }
}

async fn after(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep_until(Instant::now() + time).await,
        None => std::future::pending().await,
    }
}

/// Prints something without waiting for the reader: a terminal may be frozen, a pipe full. Reports when it was printed.
fn speak(say: &Say, text: String) -> mpsc::Receiver<()> {
    let (say, (done, said)) = (say.clone(), mpsc::channel());
    let speaking = thread::Builder::new().spawn(move || {
        text.lines().for_each(|line| say(line));
        // Nobody may be waiting for it.
        let _unheard = done.send(());
    });
    if let Err(error) = speaking {
        tracing::error!(%error, "nothing can be said");
    }
    said
}
