//! A hunt for lost rows, hangs and auto_failover left off: many small clusters with random lives, recovered in virtual time,
//! disturbed meanwhile, and checked afterwards.
//!
//! `OPENMLDB_OPS_WORLDS=N` hunts in N worlds, `OPENMLDB_OPS_SEED=S` in world S alone and tells all that happened in it;
//! with both, from seed S on. `OPENMLDB_OPS_PLAYBOOK=NAME` recovers all of them with that playbook. A world in which something
//! is wrong is made as small as it can be and printed with its seed and what was left out of it, which
//! `OPENMLDB_OPS_WITHOUT=CHOICE,CHOICE…` leaves out again. A seed means another world when the generator changes, so what was found is
//! written out in `once_wrong`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openmldb_ops::sandbox::NOT_MODELLED;

use super::choices::shrink;
use super::hunted::{Found, hunt};
use super::judge::Violation;

/// Worlds of a usual test run.
const WORLDS: u64 = 5_000;

/// So many of the worlds that fail are made smaller.
const SHRUNK: usize = 3;

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

fn left_out() -> BTreeSet<String> {
    let names = std::env::var("OPENMLDB_OPS_WITHOUT").unwrap_or_default();
    names.split(',').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

#[derive(Default)]
struct Catch {
    failed: Vec<(u64, Found)>,
    blocked: BTreeMap<String, Vec<u64>>,
    announced: usize,
    unseen: usize,
    virtual_time: Duration,
}

#[test]
fn no_world_loses_a_row() {
    let (seed, worlds) = (number("OPENMLDB_OPS_SEED"), number("OPENMLDB_OPS_WORLDS"));
    let first = seed.unwrap_or(1);
    let worlds = worlds.unwrap_or(if seed.is_some() { 1 } else { WORLDS });
    let (next, caught, began) = (AtomicU64::new(first), Mutex::new(Catch::default()), Instant::now());
    let without = left_out();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        return;
                    }
                    note(seed, caught_in(seed, &without, worlds == 1), &caught);
                }
            });
        }
    });
    let caught = caught.into_inner().unwrap();
    println!(
        "{worlds} worlds in {:.1?}, {:.0?} of virtual time; losses announced in {}, followers unseen behind {}; left alone at the end:",
        began.elapsed(),
        caught.virtual_time,
        caught.announced,
        caught.unseen,
    );
    for (why, seeds) in &caught.blocked {
        println!("  {:>5} {why}, for one in worlds {:?}", seeds.len(), &seeds[..seeds.len().min(4)]);
    }
    println!("not modelled, and so not hunted for: {}", NOT_MODELLED.join("; "));
    let failed = caught.failed.len();
    for (at, (seed, found)) in caught.failed.into_iter().enumerate() {
        report(seed, found, &without, at < SHRUNK);
    }
    assert_eq!(failed, 0, "of {worlds} worlds in which something is wrong");
}

/// Lives through a world; a panic is a violation like any other.
fn caught_in(seed: u64, without: &BTreeSet<String>, tell: bool) -> Found {
    std::panic::catch_unwind(|| hunt(seed, without, tell)).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        let violation = Violation { invariant: "nothing_panics", text: format!("{text:?}") };
        Found { violations: vec![violation], ..Found::default() }
    })
}

fn note(seed: u64, found: Found, caught: &Mutex<Catch>) {
    let mut caught = caught.lock().unwrap();
    if number("OPENMLDB_OPS_SEED").is_some() && number("OPENMLDB_OPS_WORLDS").is_none_or(|worlds| worlds == 1) {
        found.told.iter().for_each(|line| println!("{line}"));
        println!("can be left out: {}", found.made.join(","));
    }
    for blocked in &found.blocked {
        caught.blocked.entry(blocked.clone()).or_default().push(seed);
    }
    caught.announced += found.announced;
    caught.unseen += found.unseen;
    caught.virtual_time += found.virtual_time;
    if !found.violations.is_empty() {
        caught.failed.push((seed, found));
    }
}

/// Prints a world that failed, as small as it can be made.
fn report(seed: u64, found: Found, without: &BTreeSet<String>, smaller: bool) {
    let broken = found.violations[0].invariant;
    let (mut left_out, mut found) = (without.clone(), found);
    if smaller {
        let fails = |candidate: &BTreeSet<String>| {
            let all = without.union(candidate).cloned().collect();
            let found = caught_in(seed, &all, false);
            let broke = found.violations.iter().any(|violation| violation.invariant == broken);
            broke.then(|| (found.made.clone(), found))
        };
        let (shrunk, smallest) = shrink(found.made.clone(), found, fails);
        left_out.extend(shrunk);
        found = smallest;
    }
    let left_out: Vec<String> = left_out.into_iter().collect();
    println!("OPENMLDB_OPS_SEED={seed} OPENMLDB_OPS_WITHOUT={}", left_out.join(","));
    println!("  with {}", found.made.join(","));
    for Violation { invariant, text } in &found.violations {
        println!("  {invariant}: {}", text.chars().take(600).collect::<String>());
    }
}

/// The invariant here is false on purpose: worlds in which a nameserver dies are looked for, and made as small as they can be.
#[test]
fn a_world_that_fails_is_made_small() {
    let dies = |found: &Found| found.told.iter().any(|line| line.contains("nameserver") && line.ends_with(" killed"));
    let does = |without: &BTreeSet<String>, seed: u64| {
        let found = hunt(seed, without, false);
        dies(&found).then(|| (found.made.clone(), found))
    };
    let whole = (1..200).find_map(|seed| does(&BTreeSet::new(), seed).map(|(made, found)| (seed, made, found)));
    let (seed, made, found) = whole.unwrap();
    assert!(made.len() > 5, "there is something to leave out of world {seed}: {made:?}");
    let (without, smallest) = shrink(made, found, |without| does(without, seed));
    assert_eq!(smallest.made.len(), 1, "world {seed} without {without:?}: {:?}", smallest.made);
    assert!(smallest.made[0].starts_with("life.event-") && dies(&hunt(seed, &without, false)));
}
