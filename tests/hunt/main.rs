//! A hunt for lost rows, hangs and auto_failover left off: many small clusters with random lives, recovered in virtual time,
//! disturbed meanwhile, and checked afterwards.
//!
//! `OPENMLDB_OPS_WORLDS=N` hunts in N worlds, `OPENMLDB_OPS_SEED=S` in world S alone and tells all that happened in it;
//! with both, from seed S on.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

mod dice;
mod history;
mod ledger;
mod minimal;
mod process;
mod weather;
mod world;

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use openmldb_ops::sandbox::World;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::nameserver::ConfGetRequest;

/// Worlds of a usual test run.
const WORLDS: u64 = 200;

/// What the leading nameserver says of auto_failover.
fn auto_failover(world: &mut World) -> Option<bool> {
    let leader = world.leader()?;
    let answer = world.call_nameserver(&leader, NameserverCall::ConfGet(ConfGetRequest {})).ok()?;
    let NameserverAnswer::ConfGet(answer) = answer else { return None };
    answer.conf.iter().find(|pair| pair.key == "auto_failover").map(|pair| pair.value == "true")
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap())
}

#[derive(Default)]
struct Catch {
    violations: Vec<(u64, Vec<String>)>,
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
    let next = AtomicU64::new(first);
    let caught = Mutex::new(Catch::default());
    let began = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= first + worlds {
                        return;
                    }
                    note(seed, worlds == 1, &caught);
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
    for (seed, violations) in &caught.violations {
        println!("OPENMLDB_OPS_SEED={seed}:");
        violations.iter().for_each(|violation| println!("  {}", violation.chars().take(600).collect::<String>()));
    }
    assert!(caught.violations.is_empty(), "{} of {worlds} worlds went wrong", caught.violations.len());
}

fn note(seed: u64, tell: bool, caught: &Mutex<Catch>) {
    let began = Instant::now();
    let found = std::panic::catch_unwind(|| world::hunt(seed));
    let mut caught = caught.lock().unwrap();
    match found {
        Ok(found) => {
            if tell {
                found.told.iter().for_each(|line| println!("{line}"));
            }
            for blocked in found.blocked {
                caught.blocked.entry(blocked).or_default().push(seed);
            }
            caught.announced += found.announced;
            caught.unseen += found.unseen;
            caught.virtual_time += found.virtual_time;
            if !found.violations.is_empty() {
                caught.violations.push((seed, found.violations));
            }
        }
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            caught.violations.push((seed, vec![format!("panicked: {text:?}")]));
        }
    }
    if began.elapsed() > Duration::from_secs(5) {
        println!("world {seed} took {:.1?}", began.elapsed());
    }
}
