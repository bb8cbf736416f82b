//! Days in the lives of clusters that a guard watches, in virtual time: power goes, tablets and nameservers die and come back,
//! clients write, guards are killed, people pause them, recover by hand and switch auto_failover off. No recovery loses a row, nothing
//! is done in a pause, OpenMLDB is left alone as long as it is at it, and in the end all that can be brought back is back without a
//! command typed.
//!
//! `OPENMLDB_OPS_WORLDS=N` and `OPENMLDB_OPS_SEED=S` are as for the other hunts.

mod deeds;
mod one_at_a_time;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_ops::guard::{Acted, Decision, Limits, Now, Unshared, Watch};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::run::{Caller, Case, MemoryArchive, Pause, Scope, Stop};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, Live, World, in_virtual_time};
use openmldb_ops::wire::call::Effect;
use tokio::sync::watch;

use super::calm::calm_down;
use super::dice::Dice;
use super::invariants;
use super::judge::Judge;
use super::run::{Host, Run, watched};

use deeds::{Deed, Script};
use one_at_a_time::OneAtATime;

/// Worlds of a usual test run.
const WORLDS: u64 = 10;
/// How long each is lived in.
const LIFE: u64 = 24 * 60 * 60 * 1000;
/// After that nothing happens any more; within so long everything is back.
const CALM: u64 = 3 * 60 * 60 * 1000;
/// How often a guard looks.
const EVERY: Duration = Duration::from_secs(10);
/// A recovery that is paused has ended by then.
const GRACE: u64 = 30_000;

/// A cluster, and whoever is at it.
struct Guarded {
    seed: u64,
    lock: Arc<OneAtATime>,
    archive: MemoryArchive,
    post: Arc<Unshared>,
    script: Arc<Mutex<Script>>,
    told: Arc<Mutex<Vec<String>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    recoveries: Arc<AtomicU64>,
}

fn world(dice: &mut Dice) -> World {
    let tablets = dice.between(3, 4);
    let generated = Generated {
        tables: usize::try_from(dice.between(1, 2)).unwrap(),
        partitions: usize::try_from(dice.between(1, 3)).unwrap(),
        replicas: usize::try_from(dice.between(2, 3)).unwrap(),
        rows: dice.between(1, 60),
    };
    let shape = Shape { tablets: usize::try_from(tablets).unwrap(), generated: Some(generated), seed: dice.roll() };
    let mut world = Scenario::Healthy.bring_about(&shape, &Addresses::recorded(2, shape.tablets)).unwrap();
    if dice.percent(70) {
        world.start_writers(dice.between(2_000, 60_000), dice.roll());
    }
    world
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guarded {
    fn tell(&self, now: u64, text: impl Into<String>) {
        locked(&self.told).push(format!("{:>9.1}s {}", now as f64 / 1000.0, text.into()));
    }

    /// A guard, until it is killed or nothing is to happen any more.
    async fn guard(&self, live: &Arc<Live>) {
        let judge: Arc<Mutex<Judge>> = Arc::default();
        let cluster = watched(live, &judge, Some(self.trace(live)));
        let mut watch = Watch::new(
            ("in memory".to_owned(), Caller::default()),
            (Playbook::find("recover").unwrap(), String::new()),
            Scope::All,
            Limits::default(),
            (Arc::new(self.archive.clone()), None),
            (self.lock.clone(), self.post.clone()),
            (1.0, self.listener(&judge)),
        );
        let now = || Now { steady_ms: live.now(), wall_ms: live.now() };
        watch.takes_over(now()).await.unwrap();
        let mut said = String::new();
        loop {
            match watch.tick(&cluster, now()).await {
                Ok(Decision::Acts(why)) => {
                    self.tell(live.now(), format!("GUARD acts: {why}"));
                    said.clear();
                    self.is_nobody_elses(&watch);
                    locked(&judge).a_run_begins(&[]);
                    let (stop, stopped) = watch::channel(Stop::No);
                    let pauses = async {
                        while self.pause(live).is_none() {
                            tokio::time::sleep(Duration::from_secs(2)).await;
                        }
                        stop.send_replace(Stop::Signal(15));
                        std::future::pending::<()>().await;
                    };
                    let acted = tokio::select! {
                        acted = watch.act(&cluster, now(), stopped, Arc::default(), || {}) => acted,
                        () = pauses => continue,
                    };
                    self.tell(live.now(), format!("GUARD acted: {}", in_words(&acted)));
                    self.recoveries.fetch_add(u64::from(matches!(acted, Ok(Acted::Recovered(_)))), Ordering::Relaxed);
                    self.has_lost_nothing(live, &judge);
                    if *stop.borrow() != Stop::No {
                        // Told to end, its connections are of no use any more: as a process, it is another one.
                        return;
                    }
                }
                Ok(decision) => {
                    let text = format!("{}: {}", decision.code(), decision.text());
                    if text.split(':').next() != said.split(':').next() {
                        self.tell(live.now(), format!("guard {text}"));
                    }
                    said = text;
                }
                Err(error) => said = format!("unseen: {error}"),
            }
            tokio::time::sleep(EVERY).await;
        }
    }

    /// Sees what is sent by guards.
    fn trace(&self, live: &Arc<Live>) -> openmldb_ops::cluster::Trace {
        let (script, wrong, now) = (self.script.clone(), self.wrong.clone(), Arc::downgrade(live));
        Arc::new(move |_, method, effect| {
            let Some(now) = now.upgrade().map(|live| live.now()) else { return };
            let since = locked(&script).paused_since(now);
            if effect == Effect::Mutate && since.is_some_and(|since| now > since + GRACE) {
                locked(&wrong)
                    .push(format!("{method} was sent {} s into a pause", (now - since.unwrap_or(now)) / 1000));
            }
        })
    }

    fn listener(&self, judge: &Arc<Mutex<Judge>>) -> openmldb_ops::run::Listener {
        let judge = judge.clone();
        Arc::new(move |event| locked(&judge).hears(event))
    }

    fn pause(&self, live: &Arc<Live>) -> Option<Pause> {
        self.lock.inner.paused().filter(|pause| pause.lasts(live.now()))
    }

    /// What OpenMLDB is at, or may still begin, is not done by a guard.
    fn is_nobody_elses(&self, watch: &Watch) {
        let Some(seen) = watch.seen() else { return };
        let only_a_recovery =
            [Case::EverythingRestarted, Case::PartitionLost, Case::RunUnfinished, Case::FailoverKeptOff];
        let is_for_openmldb = seen.shape.auto_failover && !only_a_recovery.iter().any(|case| seen.is(*case));
        if is_for_openmldb && seen.shape.ops > 0 {
            locked(&self.wrong).push(format!("a recovery is begun while OpenMLDB is at it: {:?}", seen.shape));
        }
    }

    fn has_lost_nothing(&self, live: &Arc<Live>, judge: &Arc<Mutex<Judge>>) {
        let mut old = std::mem::take(&mut *locked(judge));
        let (lost, _) = live.with(|world| invariants::no_row_is_lost(&mut old, world));
        // Tablets are restarted meanwhile, and there are others at it.
        old.violations.retain(|found| !found.invariant.ends_with("_is_imagined"));
        let mut wrong = locked(&self.wrong);
        wrong.extend(lost.iter().chain(&old.violations).map(|found| format!("{}: {}", found.invariant, found.text)));
    }

    /// What happens meanwhile, until the guard is killed.
    async fn fate(&self, live: &Arc<Live>) {
        loop {
            let next = locked(&self.script).next();
            let Some((at, deed)) = next else {
                tokio::time::sleep_until(tokio::time::Instant::now() + left(live, LIFE + CALM)).await;
                return;
            };
            tokio::time::sleep(left(live, at)).await;
            locked(&self.script).is_done();
            self.tell(live.now(), format!("{deed:?}"));
            match deed {
                Deed::GuardIsKilled => return,
                Deed::Pause(long) if self.pause(live).is_some_and(|pause| pause.until_ms > Some(live.now() + long)) => {
                }
                Deed::Pause(long) => {
                    let (since_ms, until_ms) = (live.now(), Some(live.now() + long));
                    let pause = Pause { since_ms, until_ms, why: "work".to_owned(), by: "a person".to_owned() };
                    self.lock.inner.pauses(Some(pause));
                    locked(&self.script).pause(since_ms, since_ms + long);
                }
                Deed::SomebodyRecovers => self.somebody_recovers(live).await,
                deed => live.with(|world| deed.befalls(world)),
            }
        }
    }

    /// At the same moment as a guard may, and kept apart by the same lock.
    async fn somebody_recovers(&self, live: &Arc<Live>) {
        let judge: Arc<Mutex<Judge>> = Arc::default();
        locked(&judge).a_run_begins(&[]);
        let cluster = watched(live, &judge, None);
        let (_stop, stopped) = watch::channel(Stop::No);
        let host = Host { archive: self.archive.clone(), lock: self.lock.inner.clone() };
        let run = Run::calm("recover", &host, self.seed);
        let mut recovery = run.recovery(live.now(), stopped, Arc::new(|_: &_| {}));
        recovery.session.lock = self.lock.clone();
        let ran = async { recovery.run(&cluster, recovery_plan(&cluster, live, self).await?).await }.await;
        match ran {
            Ok(recovered) => self.tell(live.now(), format!("somebody recovered: {:?}", recovered.summary.verdict)),
            Err(error) => self.tell(live.now(), format!("somebody could not: {error}")),
        }
        self.has_lost_nothing(live, &judge);
    }

    /// Lives on, in one process of a guard after the other.
    fn lives(&self, mut world: World) -> World {
        let mut killed = 0_u64;
        while world.now() < self.ends() {
            let (after, ()) = in_virtual_time(world, async |live: &Arc<Live>| {
                tokio::select! {
                    () = self.guard(live) => {}
                    () = self.fate(live) => {}
                    () = keeps_nameservers(live) => {}
                    () = tokio::time::sleep(left(live, self.ends())) => {}
                }
            })
            .unwrap();
            world = after;
            // Its session goes with it, after a while; another one is there by then.
            self.lock.is_dropped();
            killed += 1;
            let at = world.now();
            self.tell(at, format!("guard {killed} is gone"));
            world.advance_by(10_000);
        }
        world
    }

    fn ends(&self) -> u64 {
        locked(&self.script).began + LIFE + CALM
    }
}

async fn recovery_plan(
    cluster: &openmldb_ops::cluster::Cluster,
    live: &Arc<Live>,
    guarded: &Guarded,
) -> Result<openmldb_ops::run::Prepared, openmldb_ops::run::RecoverError> {
    let host = Host { archive: guarded.archive.clone(), lock: guarded.lock.inner.clone() };
    let (_stop, stopped) = watch::channel(Stop::No);
    Run::calm("recover", &host, guarded.seed).recovery(live.now(), stopped, Arc::new(|_: &_| {})).look(cluster).await
}

fn in_words(acted: &Result<Acted, openmldb_ops::run::RecoverError>) -> String {
    match acted {
        Ok(Acted::Recovered(recovered)) => format!("{:?}, {:?}", recovered.summary.verdict, recovered.summary.blocked),
        Ok(other) => format!("{other:?}"),
        Err(error) => format!("error: {error}"),
    }
}

fn left(live: &Live, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(live.now()))
}

/// As whatever looks after services does.
async fn keeps_nameservers(live: &Arc<Live>) {
    loop {
        live.with(|world| {
            if world.leader().is_none() {
                world.nameserver_endpoints().to_vec().iter().for_each(|endpoint| world.start_nameserver(endpoint));
            }
        });
        tokio::time::sleep(Duration::from_secs(5)).await;
    }
}

/// What is wrong at the end of a life, and what happened in it.
fn life(seed: u64) -> (Vec<String>, Vec<String>, u64) {
    let mut dice = Dice::new(seed);
    let world = world(&mut dice.fork());
    let script = Script::new(&mut dice.fork(), &world, LIFE);
    let guarded = Guarded {
        seed,
        lock: Arc::new(OneAtATime::default()),
        archive: MemoryArchive::default(),
        post: Arc::default(),
        script: Arc::new(Mutex::new(script)),
        told: Arc::default(),
        wrong: Arc::default(),
        recoveries: Arc::default(),
    };
    let mut world = guarded.lives(world);
    world.stop_writers();
    world.settle();
    let (healthy, all) = (world.healthy().len(), world.metadata().len());
    if healthy < all {
        // What a person can bring back by the same command, a guard has to have brought back.
        calm_down(&mut world, &[]);
        let host = Host { archive: guarded.archive.clone(), lock: guarded.lock.inner.clone() };
        let (mut after, ran) = Run::calm("recover", &host, seed).on(world, &Arc::default());
        after.settle();
        let by_hand = after.healthy().len();
        guarded.tell(after.now(), format!("by hand: {}", ran.ending()));
        if by_hand > healthy {
            locked(&guarded.wrong)
                .push(format!("{healthy} of {all} partitions are back, and {by_hand} once somebody typed it"));
        }
    }
    let told = std::mem::take(&mut *locked(&guarded.told));
    let wrong = std::mem::take(&mut *locked(&guarded.wrong));
    (wrong, told, guarded.recoveries.load(Ordering::Relaxed))
}

#[test]
fn a_cluster_that_is_guarded_comes_back_by_itself_and_loses_no_row() {
    let number = |name: &str| std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap());
    let (seed, worlds) = (number("OPENMLDB_OPS_SEED"), number("OPENMLDB_OPS_WORLDS"));
    let first = seed.unwrap_or(1);
    let worlds = worlds.unwrap_or(if seed.is_some() { 1 } else { WORLDS });
    let (next, recoveries) = (AtomicU64::new(first), AtomicU64::new(0));
    let failed: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= first + worlds {
                        return;
                    }
                    let (wrong, told, ran) = life(at);
                    recoveries.fetch_add(ran, Ordering::Relaxed);
                    if !wrong.is_empty() || seed.is_some() {
                        println!("OPENMLDB_OPS_SEED={at}\n{}\n{}", told.join("\n"), wrong.join("\n"));
                    }
                    if !wrong.is_empty() {
                        locked(&failed).push(at);
                    }
                }
            });
        }
    });
    let recoveries = recoveries.into_inner();
    println!("{worlds} days, {recoveries} recoveries by guards");
    assert_eq!(*locked(&failed), Vec::<u64>::new(), "worlds in which something is wrong");
    assert!(recoveries >= worlds, "nothing to speak of has happened: {recoveries} recoveries");
}
