//! `guard`: a cluster is watched, and recovered when it went down at once.

use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;
use openmldb_http::Listening;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{Patience, Standing, Target, ZooKeeper};
use crate::guard::{Acted, Backups, Decision, Limits, Now, Post, Unshared, Watch};
use crate::operate::StateDir;
use crate::playbook::{self, Playbook};
use crate::run::{Caller, Directory, RecoverError, Recovered, Scope, Stop};
use crate::ui::{GuardLine, by_hand, was_switched_off};

use super::beside::lead_beside;
use super::failure::{Exit, Failure};
use super::guard_args::{Guard, GuardCommand, Listen};
use super::guard_events::Events;
use super::guard_pause;
use super::out::Out;
use super::recover::{caller, exit_of_stop, is_a_guard, now_ms};
use super::scope::scope;
use super::session::{Session, named, sandbox_record_dir, target};
use super::signal::{Signals, Words};
use super::{record, sandbox};

/// What it says when it is stopped.
const WORDS: Words = Words {
    first: "waiting for calls under way, then giving auto_failover back",
    second: "Calls under way may still take effect, and auto_failover may be off. `openmldb-ops recover --all` goes on with it, and so \
             does a guard",
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
        Some(GuardCommand::Pause { time, why, at }) => return guard_pause::run(Some((*time, why)), at, out).await,
        Some(GuardCommand::Resume { at }) => return guard_pause::run(None, at, out).await,
        None => {}
    }
    is_a_guard();
    let (file, text) = playbook::load(&args.playbook)?;
    let playbook = Playbook::parse(&file, &text)?;
    let scope = scope(&args.which)?.unwrap_or(Scope::All);
    let post: Arc<dyn Post> = match args.embedded.sandbox.is_some() {
        true => Arc::new(Unshared::default()),
        false => {
            let post = guard_pause::post(&args.at, name(), out)?;
            if args.act { Arc::new(post) } else { Arc::new(Unshared::default()) }
        }
    };
    let events = Events::new(args.on_event.as_deref(), out)?;
    let _listening = listen(args, &events).await?;
    let signals = Signals::listen(None, WORDS, out)?;
    let guard = Guarding { args, playbook, text, scope, post, events, out, clock: Clock::new(args), told: None };
    guard.guards(&signals).await
}

/// What the other guards call this one: nobody else is called so.
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
        Failure::error(anyhow!("nobody can listen on {address}: {error}"))
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

    fn watch(&self, session: &Session) -> Result<Watch, Failure> {
        let args = self.args;
        let dir = match (&args.record_dir, &session.sandbox) {
            (None, Some(_)) => sandbox_record_dir(),
            _ => record::dir(args.record_dir.clone())?,
        };
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
                self.is("stands_by", &format!("another guard acts{}", first.unwrap_or_default()), &[]);
                false
            }
            Err(error) => {
                self.is_unseen(&format!("which guard acts is unknown, so this one does not: {error}"));
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

    /// Says what would be done.
    async fn would(&mut self, why: &str, watch: &mut Watch, session: &Session) {
        let text = match watch.plan(&session.cluster, self.clock.now()).await {
            Ok(would) if would.something => format!(
                "would run the recovery now: {why}; partitions it would work on: {}, leave alone: {}",
                would.partitions, would.blocked
            ),
            Ok(_) => return,
            Err(error) => format!("would run the recovery now: {why}; what it would do is not known: {error}"),
        };
        self.tell("would_act", &text, &["openmldb-ops recover --all --dry-run".to_owned()], None);
        self.state("acts");
        self.told = Some(("acts", why.to_owned()));
    }

    /// Recovers, unless and until it is stopped or paused.
    async fn acts(
        &mut self,
        why: &str,
        watch: &mut Watch,
        session: &Session,
        signals: &Signals,
    ) -> Result<Option<Ended>, Failure> {
        let (stopper, stop) = watch::channel(Stop::No);
        let signalled = signals.anew(stop.clone());
        let (now, lock) = (self.clock.now(), watch.lock.clone());
        self.events.comes_round(true);
        let stops = async {
            let mut told = signals.stop.clone();
            loop {
                let heard = tokio::time::timeout(TURN, told.wait_for(|stop| *stop != Stop::No)).await;
                if let Ok(Ok(stop)) = heard {
                    stopper.send_replace(*stop);
                    return std::future::pending::<()>().await;
                }
                // Where ZooKeeper does not answer, the lock's own watch tells.
                if let Ok(Some(pause)) = lock.pause().await
                    && pause.lasts(self.clock.now().wall_ms)
                {
                    stopper.send_replace(Stop::Signal(TERMINATE));
                }
            }
        };
        let begins = || {
            self.state("acts");
            self.tell("acts", why, &[], None);
        };
        let acted = tokio::select! {
            acted = watch.act(&session.cluster, now, stop.clone(), signalled.record.clone(), begins) => acted,
            () = stops => return Ok(None),
        };
        self.out.finish();
        let record = signalled.record.get().map(|record| record.place().to_owned());
        let is_stopped = *stop.borrow() != Stop::No;
        match acted {
            Ok(Acted::Nothing) => {}
            Ok(Acted::Overtaken(run)) => self.is("holds_back", &format!("a run is at work: {run}"), &[]),
            Ok(Acted::Recovered(recovered)) => {
                let recovered = match is_stopped {
                    true => *recovered,
                    false => {
                        let (dir, up_to) = (self.dir(session)?, self.playbook.compare_rows_up_to());
                        lead_beside(*recovered, (&self.scope, up_to), &dir, session, &signalled, self.out).await?
                    }
                };
                self.has_recovered(&recovered, session, record.as_deref());
            }
            Err(RecoverError::Stopped { .. }) => {}
            Err(error) => {
                self.events.figures(|figures| *figures.recoveries.entry("failed".to_owned()).or_default() += 1);
                let text = format!("the recovery did not come to its end: {error}");
                self.tell("failed", &text, &[], Some(("failed", record.as_deref())));
            }
        }
        // Nothing of it is under way any more.
        let _idle = signals.anew(signals.stop.clone());
        self.told = None;
        self.events.comes_round(false);
        Ok(match *signals.stop.borrow() {
            Stop::No if is_stopped => Some(Ended::UsedUp),
            Stop::No => None,
            stop => Some(Ended::Stopped(stop)),
        })
    }

    fn dir(&self, session: &Session) -> Result<std::path::PathBuf, Failure> {
        match (&self.args.record_dir, &session.sandbox) {
            (None, Some(_)) => Ok(sandbox_record_dir()),
            _ => record::dir(self.args.record_dir.clone()),
        }
    }

    fn has_recovered(&self, recovered: &Recovered, session: &Session, record: Option<&str>) {
        let summary = &recovered.summary;
        let verdict = summary.verdict.word();
        self.events.figures(|figures| {
            *figures.recoveries.entry(verdict.to_owned()).or_default() += 1;
            (figures.serving_ms, figures.redundant_ms) = (summary.serving_after_ms, summary.redundant_after_ms);
        });
        let counts = &summary.partitions;
        let mut text = format!(
            "the recovery has ended, {verdict}: partitions recovered {}, left alone {}, failed {}",
            counts.recovered, counts.blocked, counts.failed
        );
        for (what, ms) in [("serving", summary.serving_after_ms), ("redundant", summary.redundant_after_ms)] {
            if let Some(ms) = ms {
                text += &format!(", {what} after {:.1} s", Duration::from_millis(ms).as_secs_f64());
            }
        }
        let mut next = Vec::new();
        if let Some(error) = &recovered.not_restored {
            text += &format!("; auto_failover could not be given back: {error}");
            next.push(by_hand(&session.reach, summary.auto_failover.before));
        } else if was_switched_off(summary) {
            text += "; auto_failover stays off";
        }
        if let Some(panic) = &recovered.panicked {
            text += &format!("; it stopped at a fault of its own: {panic}");
        }
        next.extend(summary.blocked.first().map(|blocked| blocked.hint.clone()));
        self.tell("recovered", &text, &next, Some((verdict, record)));
    }

    /// Saves the metadata, if they have changed.
    async fn saves(&self, backups: &mut Option<Backups>) {
        let Some(dir) = &self.args.metadata_backup else { return };
        let saved = async {
            let Target::ZooKeeper { servers, root, credentials } = target(&named(&self.args.at, &self.out.waits())?)?
            else {
                return Ok(None);
            };
            let name = format!("{servers}{root}");
            let seen = ZooKeeper::connect(servers, root, credentials).await?.metadata().await?;
            let mut kept = match backups.take() {
                Some(kept) => kept,
                None => Backups::open(dir, &name).map_err(Failure::error)?,
            };
            let saved = kept.save(self.clock.now().wall_ms, seen).map_err(Failure::error);
            *backups = Some(kept);
            saved
        };
        match saved.await {
            Ok(saved) => {
                self.events.figures(|figures| figures.saved_at_ms = Some(self.clock.now().wall_ms));
                if let Some(path) = saved {
                    self.tell("saved", &format!("metadata saved: {}", path.display()), &[], None);
                }
            }
            Err(failure) => {
                let text = format!("metadata not saved: {failure}");
                self.tell("not_saved", &text, &[], None);
            }
        }
    }

    /// What is so now, for whoever asks.
    fn draws(&self, watch: &Watch, session: &Session) {
        let calls = session.cluster.rpc_counts();
        self.events.figures(|figures| {
            figures.calls = (calls.reads, calls.mutations);
            if let Some(seen) = watch.seen() {
                figures.shape = Some(seen.shape.clone());
                figures.looked_at_ms = Some(seen.at_ms);
                figures.paused = seen.runs.paused.is_some();
            }
        });
    }

    fn is_unseen(&mut self, why: &str) {
        if self.told.as_ref().is_none_or(|(state, told)| *state != "unseen" || told != why) {
            self.is("unseen", why, &[]);
        }
        self.state("unseen");
    }

    /// Something is so from now on: it is told once.
    fn is(&mut self, state: &'static str, text: &str, next: &[String]) {
        self.state(state);
        let told = (state, text.to_owned());
        if self.told.as_ref() != Some(&told) {
            self.tell(state, text, next, None);
            self.told = Some(told);
        }
    }

    fn state(&self, state: &'static str) {
        self.events.figures(|figures| figures.state = state);
    }

    fn tell(&self, state: &'static str, text: &str, next: &[String], ended: Option<(&str, Option<&str>)>) {
        let (verdict, record) = ended.map_or((None, None), |(verdict, record)| (Some(verdict), record));
        let (at_ms, acts) = (self.clock.now().wall_ms, self.args.act);
        self.events.tell(&GuardLine { event: "guard", state, at_ms, acts, text, next, verdict, record }, self.out);
    }
}

/// As whoever ends a service tells it.
const TERMINATE: i32 = 15;

/// Does what can be broken off, unless it is told to stop.
async fn unless_stopped<T>(signals: &Signals, work: impl Future<Output = T>) -> Result<T, Stop> {
    crate::run::stopping::unless_stopped(&signals.stop, work).await
}
