//! Every fault at every step of every playbook, in virtual time.
//!
//! A run that nothing disturbs is recorded first. Each call that it makes to change something is a step; at its first, middle
//! and last occurrence everything happens that can happen there, one thing in each cell. After the run in which it happens,
//! calm runs follow until one changes nothing.
//!
//! `OPENMLDB_OPS_CELL="recover LoadTable=reset-after"` tries that cell alone and tells all that happened in it.

mod cell;
mod harness;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openmldb_ops::playbook::alternatives;
use openmldb_ops::sandbox::fault::Fault;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::call::Effect;

use self::cell::{Cell, Found};
use super::judge::{Judge, Violation};
use super::run::{Host, Run, calls};

/// What can happen to any call that changes something.
const ANYWHERE: &[&str] = &[
    "refused",
    "reset-before",
    "reset-after",
    "times-out",
    "late-12s",
    "unknown",
    "garbage",
    "slow-5s",
    "code--1",
    "nameserver-restarts-6s",
    "tablet-dies",
    "tablet-restarts-0s",
    "tablet-restarts-8s",
    "tablet-keeps-restarting",
    "tablet-freezes-6s",
    "tablet-freezes-30s",
    "tablet-session-expires",
    "operator-failover-on",
    "operator-marks-alive",
    "operator-recovertable",
    "operator-changeleader",
    "operator-loadtable",
    "operator-drops-table",
    "follower-hears-later-term",
    "operator-recoverdata",
    "clients-write",
    "tool-killed-before",
    "tool-killed-after",
    "lock-lost",
    "lock-shaky",
];
/// What a nameserver may answer.
const ON_NAMESERVER: &[&str] = &["code-300", "code-301", "code-303"];
/// What a tablet may answer.
const ON_TABLET: &[&str] = &["code-100", "code-101", "code-104"];
const ON_LOADS: &[&str] = &["load-vanishes", "load-sticks", "load-hollow"];
const ON_OPS: &[&str] = &["op-fails", "op-not-created", "op-sticks"];
/// What happens to calls that only look.
const ON_READS: &[&str] = &["refused", "reset-after", "times-out", "garbage", "code--1"];

const NAMESERVER_CALLS: &[&str] = &[
    "ConfSet",
    "UpdateTableAliveStatus",
    "RecoverTable",
    "ChangeLeader",
    "CancelOp",
    "AddReplicaNs",
    "DelReplicaNs",
    "SetTablePartition",
];

fn addresses() -> Addresses {
    Addresses::recorded(2, 3)
}

fn kinds(method: &str, effect: Effect) -> Vec<&'static str> {
    if effect == Effect::Read {
        return ON_READS.to_vec();
    }
    let of = |so: bool, kinds: &'static [&'static str]| if so { kinds } else { &[] };
    let on_nameserver = NAMESERVER_CALLS.contains(&method);
    [
        ANYWHERE,
        of(on_nameserver, ON_NAMESERVER),
        of(!on_nameserver, ON_TABLET),
        of(method == "LoadTable", ON_LOADS),
        of(matches!(method, "RecoverTable" | "ChangeLeader"), ON_OPS),
    ]
    .concat()
}

/// Every cell of a playbook: what its undisturbed run sends, and all that can happen to it.
fn cells(playbook: &'static str, world: &World) -> Vec<Cell> {
    let run = Run::calm(playbook, &Host::new(false), 1);
    let mut world = world.clone();
    world.open_books();
    let (world, ran) = run.on(world, &Arc::new(Mutex::new(Judge::default())));
    let undisturbed = ran.recovered().map(|recovered| recovered.summary.blocked.len());
    assert_eq!(undisturbed, Some(0), "{playbook} undisturbed: {:#?}", ran.told);
    let mut counts: BTreeMap<(&str, bool), u32> = BTreeMap::new();
    let calls = calls(&world);
    for (method, effect) in &calls {
        *counts.entry((method, *effect == Effect::Mutate)).or_default() += 1;
    }
    let mut cells = Vec::new();
    for ((method, mutates), count) in counts {
        let effect = if mutates { Effect::Mutate } else { Effect::Read };
        for nth in BTreeSet::from([1, count / 2 + 1, count]) {
            for kind in kinds(method, effect) {
                let fault: Fault = format!("{method}:{nth}={kind}").parse().unwrap();
                cells.push(Cell { playbook, fault });
            }
        }
    }
    cells
}

#[test]
fn nothing_is_lost_whatever_happens_at_whatever_step() {
    let began = Instant::now();
    let world = harness::world();
    let all: Vec<Cell> = alternatives().flat_map(|playbook| cells(playbook, &world)).collect();
    let alone = std::env::var("OPENMLDB_OPS_CELL").ok();
    let chosen: Vec<Cell> = match &alone {
        Some(name) => all.into_iter().filter(|cell| cell.to_string() == *name).collect(),
        None => all,
    };
    assert!(!chosen.is_empty(), "there is no cell {alone:?}");
    let (world, next, caught) = (Arc::new(world), AtomicUsize::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, |n| n.get()) {
            scope.spawn(|| {
                while let Some(cell) = chosen.get(next.fetch_add(1, Ordering::Relaxed)) {
                    let began = Instant::now();
                    let found = std::panic::catch_unwind(|| cell.tried_in(&world));
                    if began.elapsed() > Duration::from_secs(3) {
                        println!("{cell} took {:.1?}", began.elapsed());
                    }
                    caught.lock().unwrap().push((cell, found.unwrap_or_else(panicked)));
                }
            });
        }
    });
    let caught = caught.into_inner().unwrap();
    println!("{} cells in {:.1?}", caught.len(), began.elapsed());
    if alone.is_some() {
        caught.iter().flat_map(|(_, found)| &found.told).for_each(|line| println!("{line}"));
    }
    report(&caught);
}

fn panicked(panic: Box<dyn std::any::Any + Send>) -> Found {
    let text = panic.downcast_ref::<String>().cloned();
    let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
    let violation = Violation { invariant: "nothing_panics", text: format!("{text:?}") };
    Found { violations: vec![violation], ..Found::default() }
}

fn report(caught: &[(&Cell, Found)]) {
    let mut wrong = 0;
    for (cell, found) in caught {
        if !found.violations.is_empty() {
            wrong += 1;
            println!("OPENMLDB_OPS_CELL=\"{cell}\"");
            for Violation { invariant, text } in &found.violations {
                println!("    {invariant}: {}", text.chars().take(400).collect::<String>());
            }
        }
    }
    assert_eq!(wrong, 0, "cells of {} in which something is wrong", caught.len());
}
