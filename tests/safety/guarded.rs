//! Weeks in the lives of clusters that a guard watches, in virtual time: power goes, tablets and nameservers die and come back, disks
//! and ZooKeeper are lost, calls go astray, clients write, guards are killed, people pause them, recover by hand, upgrade tablets and
//! switch auto_failover off. No recovery loses a row, nothing is done in a pause, in an upgrade or where auto_failover was switched off,
//! OpenMLDB is left alone as long as it is at it, and in the end all that can be brought back is back without a command typed.
//!
//! `OPENMLDB_OPS_WORLDS=N` and `OPENMLDB_OPS_SEED=S` are as for the other hunts; `OPENMLDB_OPS_DAYS=D` has them live for so long.

mod deeds;
mod one_at_a_time;
mod people;
mod watching;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use openmldb_ops::run::{MemoryArchive, Pause};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Addresses, Live, World, in_virtual_time};

use super::calm::{auto_failover, calm_down};
use super::dice::Dice;
use super::invariants;
use super::judge::Judge;
use super::papers::Papers;
use super::run::{Host, Run};

use deeds::{Deed, Script};
use one_at_a_time::OneAtATime;
use people::Upgrade;

/// Worlds of a usual test run.
const WORLDS: u64 = 6;
/// Days that each is lived in.
const DAYS: u64 = 7;
const DAY: u64 = 24 * 60 * 60 * 1000;
/// After that nothing happens any more; within so long everything is back.
const CALM: u64 = 3 * 60 * 60 * 1000;
/// A recovery that is paused has ended by then.
const GRACE: u64 = 30_000;

/// A cluster, and whoever is at it.
struct Guarded {
    seed: u64,
    lock: Arc<OneAtATime>,
    archive: MemoryArchive,
    papers: Papers,
    script: Arc<Mutex<Script>>,
    upgrade: Mutex<Option<Upgrade>>,
    /// What the guard said last, in a word.
    said: Mutex<&'static str>,
    told: Arc<Mutex<Vec<String>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    recoveries: AtomicU64,
    upgrades: AtomicU64,
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
        world.start_writers(dice.between(60_000, 1_200_000), dice.roll());
    }
    world
}

fn locked<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guarded {
    fn new(seed: u64, script: Script) -> Self {
        Self {
            seed,
            lock: Arc::new(OneAtATime::default()),
            archive: MemoryArchive::default(),
            papers: Papers::new(),
            script: Arc::new(Mutex::new(script)),
            upgrade: Mutex::default(),
            said: Mutex::new(""),
            told: Arc::default(),
            wrong: Arc::default(),
            recoveries: AtomicU64::default(),
            upgrades: AtomicU64::default(),
        }
    }

    fn tell(&self, now: u64, text: impl Into<String>) {
        locked(&self.told).push(format!("{:>9.1}s {}", now as f64 / 1000.0, text.into()));
    }

    fn is_wrong(&self, now: u64, text: impl Into<String>) {
        let text = text.into();
        self.tell(now, format!("WRONG: {text}"));
        locked(&self.wrong).push(format!("at {:.1} s: {text}", now as f64 / 1000.0));
    }

    fn pause(&self, live: &Arc<Live>) -> Option<Pause> {
        self.lock.inner.paused().filter(|pause| pause.lasts(live.now()))
    }

    fn has_lost_nothing(&self, live: &Arc<Live>, judge: &Arc<Mutex<Judge>>) {
        let mut old = std::mem::take(&mut *locked(judge));
        let (lost, _) = live.with(|world| invariants::no_row_is_lost(&mut old, world));
        // Tablets are restarted meanwhile, and there are others at it.
        old.violations.retain(|found| !found.invariant.ends_with("_is_imagined"));
        for found in lost.iter().chain(&old.violations) {
            self.is_wrong(live.now(), format!("{}: {}", found.invariant, found.text));
        }
    }

    /// What happens meanwhile, until the guard is killed.
    async fn fate(&self, live: &Arc<Live>) {
        loop {
            let next = locked(&self.script).next();
            let Some((at, deed)) = next else {
                tokio::time::sleep_until(tokio::time::Instant::now() + left(live, self.ends())).await;
                return;
            };
            tokio::time::sleep(left(live, at)).await;
            if !locked(&self.script).is_restless(at) {
                self.something_has_come_of_it(live);
            }
            let was_on = live.with(auto_failover);
            locked(&self.script).is_done(was_on);
            self.tell(live.now(), format!("{deed:?}"));
            match deed {
                Deed::GuardIsKilled => return,
                deed => self.happens(live, deed),
            }
        }
    }

    fn happens(&self, live: &Arc<Live>, deed: Deed) {
        match deed {
            Deed::Pause(long) if self.pause(live).is_some_and(|pause| pause.until_ms > Some(live.now() + long)) => {}
            Deed::Pause(long) => {
                let (since_ms, until_ms) = (live.now(), Some(live.now() + long));
                let pause = Pause { since_ms, until_ms, why: "work".to_owned(), by: "a person".to_owned() };
                self.lock.inner.pauses(Some(pause));
                locked(&self.script).pause(since_ms, since_ms + long);
            }
            // Whoever is at work would be blamed for what the disk takes along.
            Deed::DiskLost(_) if self.lock.is_held() => {}
            Deed::ZooKeeper { is_away } => {
                let expired = self.lock.zookeeper_is(is_away, live.now());
                live.with(|world| deeds::without_zookeeper(world, is_away, expired));
            }
            Deed::Start(tablets) if self.lock.is_away() => locked(&self.script).postpones(Deed::Start(tablets)),
            deed => live.with(|world| deed.befalls(world)),
        }
    }

    /// After two hours in which nothing happened and nobody held it back, a guard has brought everything back, or has asked somebody.
    fn something_has_come_of_it(&self, live: &Arc<Live>) {
        let said = *locked(&self.said);
        let off = live.with(auto_failover) == Some(false);
        let held_back = self.pause(live).is_some() || off || locked(&self.upgrade).is_some();
        if !held_back && !["well", "asks", ""].contains(&said) {
            self.is_wrong(live.now(), format!("nothing has happened for two hours, and the guard {said}"));
        }
    }

    /// Lives on, in one process of a guard after the other.
    fn lives(&self, mut world: World) -> World {
        let mut killed = 0_u64;
        while world.now() < self.ends() {
            let (after, ()) = in_virtual_time(world, async |live: &Arc<Live>| {
                live.with(|world| locked(&self.script).brings_weather(world));
                tokio::select! {
                    () = self.guards(live) => {}
                    () = self.people(live) => {}
                    () = self.fate(live) => {}
                    () = self.keeps_nameservers(live) => {}
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

    /// As whatever looks after services does.
    async fn keeps_nameservers(&self, live: &Arc<Live>) {
        loop {
            let (leads, is_away) = (live.with(|world| world.leader().is_some()), self.lock.is_away());
            if !leads && !is_away {
                live.with(|world| Deed::StartNameservers.befalls(world));
            }
            tokio::time::sleep(Duration::from_secs(if leads { 30 } else { 5 })).await;
        }
    }

    fn ends(&self) -> u64 {
        locked(&self.script).ended + CALM
    }
}

fn left(live: &Live, at: u64) -> Duration {
    Duration::from_millis(at.saturating_sub(live.now()))
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse::<u64>().unwrap())
}

/// A life, and what is wrong at its end.
fn life(seed: u64) -> Guarded {
    let mut dice = Dice::new(seed);
    let world = world(&mut dice.fork());
    let days = number("OPENMLDB_OPS_DAYS").unwrap_or(DAYS);
    let guarded = Guarded::new(seed, Script::new(&mut dice.fork(), &world, days * DAY));
    let mut world = guarded.lives(world);
    world.stop_writers();
    world.settle();
    let open = guarded.state_dir().open_upgrades().unwrap();
    if !open.is_empty() {
        guarded.is_wrong(world.now(), format!("the upgrade of {open:?} does not come to its end"));
    }
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
            let text = format!("{healthy} of {all} partitions are back, and {by_hand} once somebody typed it");
            guarded.is_wrong(after.now(), text);
        }
    }
    guarded
}

#[test]
fn a_cluster_that_is_guarded_comes_back_by_itself_and_loses_no_row() {
    let (seed, worlds) = (number("OPENMLDB_OPS_SEED"), number("OPENMLDB_OPS_WORLDS"));
    let first = seed.unwrap_or(1);
    let worlds = worlds.unwrap_or(if seed.is_some() { 1 } else { WORLDS });
    let next = AtomicU64::new(first);
    let (recoveries, upgrades) = (AtomicU64::new(0), AtomicU64::new(0));
    let failed: Mutex<Vec<u64>> = Mutex::default();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let at = next.fetch_add(1, Ordering::Relaxed);
                    if at >= first + worlds {
                        return;
                    }
                    let lived = life(at);
                    recoveries.fetch_add(lived.recoveries.load(Ordering::Relaxed), Ordering::Relaxed);
                    upgrades.fetch_add(lived.upgrades.load(Ordering::Relaxed), Ordering::Relaxed);
                    let wrong = locked(&lived.wrong);
                    if !wrong.is_empty() || seed.is_some() {
                        println!("OPENMLDB_OPS_SEED={at}\n{}\n{}", locked(&lived.told).join("\n"), wrong.join("\n"));
                    }
                    if !wrong.is_empty() {
                        locked(&failed).push(at);
                    }
                }
            });
        }
    });
    let (recoveries, upgrades) = (recoveries.into_inner(), upgrades.into_inner());
    println!("{worlds} lives, {recoveries} recoveries by guards, {upgrades} upgrades");
    assert_eq!(*locked(&failed), Vec::<u64>::new(), "worlds in which something is wrong");
    assert!(recoveries >= worlds, "nothing to speak of has happened: {recoveries} recoveries");
}
