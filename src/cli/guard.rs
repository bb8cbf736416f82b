//! `guard`: a cluster is watched, and recovered when it went down at once.

mod acting;
mod events;
mod pause;
mod telling;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use openmldb_http::Listening;
use tokio::time::Instant;

use crate::cluster::{Patience, Standing};
use crate::guard::{Decision, Limits, Now, Post, Unshared, Watch};
use crate::operate::StateDir;
use crate::playbook::{self, Playbook};
use crate::run::{Caller, Directory, Scope, Stop};

use crate::ui::GuardFigures;

use super::caller::{caller, is_a_guard, now_ms};
use super::failure::exit_of_stop;
use super::failure::{Exit, Failure};
use super::out::Out;
use super::sandbox;
use super::scope::scope;
use super::session::Session;
use super::signal::{Signals, Words};

use super::args::guard::{Guard, GuardCommand, Listen};
use events::Events;

/// What it says when it is stopped.
const WORDS: Words = Words {
    idle: "no recovery was under way",
    first: "waiting for calls in progress, then restoring auto_failover",
    second: "Calls in progress may still take effect, and auto_failover may be off. `openmldb-ops recover --all` \
        continues it, and so does a guard",
    goes_on: true,
};

/// One that stands by looks this often whether it is its turn; and one that recovers, whether it is paused.
const TURN: Duration = Duration::from_secs(2);
/// How often it is looked whether metadata have changed.
const BACKUP: Duration = Duration::from_secs(10 * 60);

/// Runs the command.
///
/// # Errors
/// It is typed wrong, or nobody can listen where it was told to.
pub async fn run(args: &Guard, out: &Out) -> Result<Exit, Failure> {
    match &args.command {
        Some(GuardCommand::Pause { time, why, at }) => return pause::run(Some((*time, why)), at, out).await,
        Some(GuardCommand::Resume { at }) => return pause::run(None, at, out).await,
        None => {}
    }
    is_a_guard();
    let (file, text) = playbook::load(&args.playbook)?;
    let playbook = Playbook::parse(&file, &text)?;
    let scope = scope(&args.which)?.unwrap_or(Scope::All);
    let post: Arc<dyn Post> = match args.embedded.sandbox.is_some() {
        true => Arc::new(Unshared::default()),
        false => {
            let post = pause::post(&args.at, name(), out)?;
            if args.act { Arc::new(post) } else { Arc::new(Unshared::default()) }
        }
    };
    let events = Events::new(args.on_event.as_deref(), out)?;
    let _listening = listen(args, &events).await?;
    let signals = Signals::listen(None, WORDS, out)?;
    let (clock, told, unseen_told) = (Clock::new(args), None, Instant::now());
    let guard = Guarding { args, playbook, text, scope, post, events, out, clock, told, unseen_told };
    guard.guards(&signals).await
}

/// What the other guards call this one; no other one has this name.
fn name() -> String {
    let caller = caller();
    serde_json::to_string(&caller).unwrap_or(caller.command)
}

async fn listen(args: &Guard, events: &Events) -> Result<Option<Listening>, Failure> {
    // An embedded cluster's clock does not wait for who asks.
    let Listen::On(address) = args.listen else { return Ok(None) };
    if args.embedded.sandbox.is_some() {
        return Ok(None);
    }
    let listening = Listening::on(address, events.answers()).await.map_err(|error| {
        Failure::error(anyhow!("cannot listen on {address}: {error}"))
            .hint("choose another one with --listen, or `--listen none`")
    })?;
    Ok(Some(listening))
}

/// Time on two clocks. An embedded cluster's is that of the runtime.
struct Clock {
    began: Instant,
    began_ms: u64,
    is_virtual: bool,
}

impl Clock {
    fn new(args: &Guard) -> Self {
        Self { began: Instant::now(), began_ms: now_ms(), is_virtual: args.embedded.sandbox.is_some() }
    }

    fn now(&self) -> Now {
        let since = u64::try_from(self.began.elapsed().as_millis()).unwrap_or(u64::MAX);
        let wall_ms = if self.is_virtual { self.began_ms.saturating_add(since) } else { now_ms() };
        // Not 0 from the start: what was then is long ago.
        Now { steady_ms: self.began_ms.saturating_add(since), wall_ms }
    }
}

/// A guard at work.
struct Guarding<'a> {
    args: &'a Guard,
    playbook: Playbook,
    text: String,
    scope: Scope,
    post: Arc<dyn Post>,
    events: Events,
    out: &'a Out,
    clock: Clock,
    /// What was told last: the state, and its words.
    told: Option<(&'static str, String)>,
    /// When it was last told that it cannot look.
    unseen_told: Instant,
}

/// Why a session was ended.
enum Ended {
    Stopped(Stop),
    /// It was told to end, and cannot be used any more.
    UsedUp,
}

impl Guarding<'_> {
    async fn guards(mut self, signals: &Signals) -> Result<Exit, Failure> {
        self.state("starting");
        self.events.figures(|figures| figures.acts = self.args.act);
        let mut memory = None;
        loop {
            let session = match self.opens(signals).await? {
                Ok(session) => session,
                Err(stop) => return Ok(exit_of_stop(stop)),
            };
            signals.found(&session.reach);
            sandbox::introduction(&session).iter().for_each(|text| self.out.say()(text));
            let mut watch = self.watch(&session)?;
            watch.memory = memory.take().unwrap_or_default();
            let ended = self.watches(&mut watch, &session, signals).await;
            memory = Some(watch.memory);
            let closed = session.close().await;
            match ended? {
                Ended::Stopped(stop) => {
                    self.post.step_back().await;
                    closed?;
                    return Ok(exit_of_stop(stop));
                }
                Ended::UsedUp => {}
            }
        }
    }

    /// Finds the cluster, however long it is away.
    async fn opens(&mut self, signals: &Signals) -> Result<Result<Session, Stop>, Failure> {
        loop {
            self.events.comes_round(false);
            let opening = Session::open_with(Patience::Starting, &self.args.at, &self.args.embedded, self.out.waits());
            let failure = match unless_stopped(signals, opening).await {
                Err(stop) => return Ok(Err(stop)),
                Ok(Ok(session)) => return Ok(Ok(session)),
                Ok(Err(failure)) if failure.exit == Exit::Usage => return Err(failure),
                Ok(Err(failure)) => failure,
            };
            self.is_unseen(&failure.to_string());
            if let Err(stop) = unless_stopped(signals, tokio::time::sleep(self.args.every)).await {
                return Ok(Err(stop));
            }
        }
    }

    /// Where records are kept.
    fn dir(&self, session: &Session) -> Result<PathBuf, Failure> {
        session.record_dir(self.args.record_dir.as_deref())
    }

    fn watch(&self, session: &Session) -> Result<Watch, Failure> {
        let (args, dir) = (self.args, self.dir(session)?);
        let limits = Limits {
            boot: args.boot_wait,
            heal: args.heal_wait,
            // Two looks that see the same.
            settle: (2 * args.every).min(Limits::default().settle),
            in_a_row: usize::try_from(args.in_a_row).unwrap_or(usize::MAX),
            ..Limits::default()
        };
        Ok(Watch::new(
            (session.name.clone(), caller()),
            (self.playbook.clone(), self.text.clone()),
            self.scope.clone(),
            limits,
            (Arc::new(Directory(dir.clone())), Some(StateDir::new(&dir, &session.name))),
            (session.lock(&dir)?, self.post.clone()),
            (session.pace, self.out.listener()),
        ))
    }

    async fn watches(&mut self, watch: &mut Watch, session: &Session, signals: &Signals) -> Result<Ended, Failure> {
        let (mut backups, mut next_backup) = (None, Instant::now());
        let mut leads = false;
        loop {
            self.events.comes_round(false);
            let stands = match unless_stopped(signals, self.stands(watch, &mut leads)).await {
                Err(stop) => return Ok(Ended::Stopped(stop)),
                Ok(stands) => stands,
            };
            self.events.figures(|figures| (figures.acts, figures.leads) = (self.args.act, stands && self.args.act));
            if stands {
                let now = self.clock.now();
                let decision = match unless_stopped(signals, watch.tick(&session.cluster, now)).await {
                    Err(stop) => return Ok(Ended::Stopped(stop)),
                    Ok(Ok(decision)) => Some(decision),
                    Ok(Err(error)) => {
                        self.is_unseen(&error.to_string());
                        None
                    }
                };
                self.draws(watch, session);
                if let Some(decision) = decision
                    && let Some(ended) = self.follows(&decision, watch, session, signals).await?
                {
                    return Ok(ended);
                }
            } else {
                // What it saw when it was its turn is not so any more.
                self.events.figures(GuardFigures::sees_nothing);
            }
            if Instant::now() >= next_backup {
                next_backup = Instant::now() + BACKUP;
                if let Err(stop) = unless_stopped(signals, self.saves(&mut backups)).await {
                    return Ok(Ended::Stopped(stop));
                }
            }
            let pause = if stands { self.args.every } else { self.args.every.min(TURN) };
            if let Err(stop) = unless_stopped(signals, tokio::time::sleep(pause)).await {
                return Ok(Ended::Stopped(stop));
            }
        }
    }

    /// Whether it is this guard's turn.
    async fn stands(&mut self, watch: &mut Watch, leads: &mut bool) -> bool {
        let is_first = match self.post.stand().await {
            Ok(Standing::First) if *leads => return true,
            Ok(Standing::First) => match watch.takes_over(self.clock.now()).await {
                Ok(()) => true,
                Err(error) => {
                    self.is_unseen(&error.to_string());
                    false
                }
            },
            Ok(Standing::Behind { first }) => {
                let first = serde_json::from_str::<Caller>(&first).ok();
                let first = first.map(|first| format!(", process {} on {}", first.pid, first.host));
                self.is("stands_by", &format!("another guard is active{}", first.unwrap_or_default()), &[]);
                false
            }
            Err(error) => {
                self.is_unseen(&format!("it is unknown which guard is active, so this one does nothing: {error}"));
                false
            }
        };
        *leads = is_first;
        is_first
    }

    /// Does what was decided.
    async fn follows(
        &mut self,
        decision: &Decision,
        watch: &mut Watch,
        session: &Session,
        signals: &Signals,
    ) -> Result<Option<Ended>, Failure> {
        let next = match decision {
            Decision::Asks(question) => question.next.clone(),
            _ => Vec::new(),
        };
        match decision {
            Decision::Acts(why) if self.args.act => return self.acts(why, watch, session, signals).await,
            Decision::Acts(why) => {
                if self.told.as_ref().is_none_or(|(state, told)| *state != "acts" || told != why) {
                    self.would(why, watch, session).await;
                }
            }
            decision => {
                let is_news = self.told.as_ref().is_none_or(|(state, told)| {
                    let is_same_wait = matches!(decision, Decision::Waits(waiting) if waiting.goes_on());
                    *state != decision.code() || *told != decision.text() && !is_same_wait
                });
                if is_news {
                    self.is(decision.code(), &decision.text(), &next);
                }
            }
        }
        Ok(None)
    }
}

/// Does what can be broken off, unless it is told to stop.
async fn unless_stopped<T>(signals: &Signals, work: impl Future<Output = T>) -> Result<T, Stop> {
    crate::run::stopping::unless_stopped(&signals.stop, work).await
}
