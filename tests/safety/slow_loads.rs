//! Loads that take far longer than others, or never end: who leads meanwhile, and what becomes of them. In virtual time.

use std::collections::BTreeSet;
use std::time::Duration;

use openmldb_ops::model::Endpoint;
use openmldb_ops::playbook::built_in_names;
use openmldb_ops::run::Verdict;
use openmldb_ops::sandbox::World;

use super::minimal::{partition, recovered};
use super::patience::{MINUTE, name, reached, restarted, run, waits, whole};
use super::run::Ran;

/// The partition of which one load is slow: how faults name it and them, and its leader.
struct Slow {
    name: (String, u64),
    load: String,
    leader: Endpoint,
}

fn slow(world: &World) -> Slow {
    let (id, leader, _) = partition(world);
    let name = name(world, id);
    let load = format!("LoadTable@{}/{}", name.0, name.1);
    Slow { name, load, leader }
}

/// Whether it was its leader's load that was waited for.
fn is_leaders(slow: &Slow, ran: &Ran) -> bool {
    let loading = waits(ran, "load");
    loading.first().unwrap().1["endpoints"] == serde_json::json!([slow.leader.as_str()])
}

#[test]
fn what_never_loads_and_is_not_needed_to_choose_a_leader_keeps_nobody_from_it_for_longer_than_some_minutes() {
    for playbook in built_in_names() {
        let mut of_leaders = 0;
        for nth in 1..=3 {
            let world = restarted(4, 3);
            let slow = slow(&world);
            let (mut world, ran) = run(playbook, world, &[format!("{}:{nth}=load-sticks", slow.load)]);
            let mut serving = reached(&ran, "serving");
            let served = serving.remove(&slow.name);
            assert!(serving.values().all(|at| *at < MINUTE), "{playbook} {nth}: {serving:?}");
            let is_leaders = is_leaders(&slow, &ran);
            // It may hold what it sent to nobody.
            assert_eq!(served.is_some(), !is_leaders, "{playbook} {nth}");
            assert!(served.is_none_or(|at| at < 11.0 * MINUTE), "{playbook} {nth}: {served:?}");
            let last = waits(&ran, "load").last().unwrap().1.clone();
            assert!(last["for_ms"].as_u64().unwrap() > 6_000_000, "{playbook} {nth}: since it began to load: {last}");
            assert!(ran.took > Duration::from_secs(7_000), "{playbook} {nth}: it is given its time all the same");
            let recovered = recovered(ran);
            let [blocked] = recovered.summary.blocked.as_slice() else { panic!("{:?}", recovered.summary.blocked) };
            assert_eq!(blocked.reason, "load_timeout", "{playbook} {nth}");
            assert!(blocked.hint.contains("out of its db_root_path"), "{playbook} {nth}: {}", blocked.hint);
            let count = world.settle();
            assert_eq!(count.rows_after, count.rows_expected, "{playbook} {nth}");
            of_leaders += usize::from(is_leaders);
        }
        assert_eq!(of_leaders, 1, "{playbook}");
    }
}

#[test]
fn a_load_that_ends_after_a_leader_was_chosen_without_it_is_dealt_with_by_the_same_run() {
    for playbook in built_in_names() {
        for nth in 1..=3 {
            let world = restarted(2, 3);
            let slow = slow(&world);
            let (mut world, ran) = run(playbook, world, &[format!("{}:{nth}=load-lasts-1800s", slow.load)]);
            let at = |state| reached(&ran, state)[&slow.name] / MINUTE;
            assert_eq!(at("serving") < 11.0, !is_leaders(&slow, &ran), "{playbook} {nth}: {}", at("serving"));
            assert!((25.0..33.0).contains(&at("redundant")), "{playbook} {nth}: {}", at("redundant"));
            assert_eq!(recovered(ran).summary.verdict, Verdict::Recovered, "{playbook} {nth}");
            whole(&mut world);
        }
    }
}

/// As many never end as the tablet loads at a time: the others queue there, and nobody waits for them for ever.
#[test]
fn where_nothing_that_a_tablet_loads_ends_what_it_has_no_need_for_serves_all_the_same() {
    let world = restarted(12, 3);
    let tablet = world.tablet_endpoints()[2].clone();
    let leads_elsewhere = |id| {
        let metas = &world.metadata()[id];
        metas.partition_meta.iter().any(|meta| meta.is_leader && meta.endpoint != tablet.as_str())
    };
    let all: Vec<_> = world.metadata().into_keys().collect();
    let elsewhere: BTreeSet<_> = all.iter().filter(|id| leads_elsewhere(id)).map(|id| name(&world, *id)).collect();
    let (_, ran) = run("recover", world, &["LoadTable@tablet3:every=load-sticks".to_owned()]);
    let serving = reached(&ran, "serving");
    let missing: Vec<_> = elsewhere.iter().filter(|id| !serving.contains_key(id)).collect();
    assert!(missing.is_empty(), "{missing:?}: {serving:?}");
    assert!(serving.values().all(|at| *at < 30.0 * MINUTE), "{serving:?}");
    assert!(ran.took < Duration::from_secs(3 * 3_600), "{:?}", ran.took);
}
