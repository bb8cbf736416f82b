//! Pre-aggregate tables, whose aggregators write into copies while they are loaded, if what they aggregate is there
//! (docs/openmldb/load-table.md#pre-aggregate-tables).

use std::time::Duration;

use openmldb_ops::model::PartitionId;
use openmldb_ops::run::{Scope, Selector};

use super::hunted::Found;
use super::run::Run;
use super::typed;
use super::written::{Written, cluster};

const PLAYBOOKS: [&str; 3] = ["recover", "fast", "leaders-first"];

/// When a partition was told to load on a tablet, from a line of what happened on.
fn told_to_load(found: &Found, from: usize, id: PartitionId, at: &str) -> Option<usize> {
    let (id, at) = (format!("\"partition\":\"{id}\""), format!("\"endpoint\":\"{at}\""));
    let mut lines = found.told.iter().enumerate().skip(from);
    let load =
        lines.find(|(_, line)| line.contains("\"step\":\"load_table\"") && line.contains(&id) && line.contains(&at));
    load.map(|(place, _)| place)
}

/// Somebody has loaded both by hand, the aggregates first, so that nobody aggregates: the base table's log goes on without them.
fn aggregated_by_nobody(playbook: &'static str, on: &[usize]) -> (Written, [PartitionId; 2]) {
    let mut world = cluster(2, 1).by(playbook);
    let [base, aggregate] = world.aggregated(on);
    world.rows(base, 1, 16);
    world.passes(1_000);
    world.everything_dies();
    world.everything_starts();
    typed::set_auto_failover(&mut world.world, false);
    let on: Vec<_> = on.iter().map(|tablet| world.at(*tablet)).collect();
    let one = &on[0];
    for id in [aggregate, base] {
        for at in &on {
            typed::mark_alive(&mut world.world, id, at, false);
        }
        typed::load_as_leader(&mut world.world, id, one);
        world.passes(3_000);
        typed::mark_alive(&mut world.world, id, one, true);
    }
    world.rows(base, 1, 20);
    (world, [base, aggregate])
}

/// Seed 9100871: both serve, and their tablet is restarted during the run. Loaded after its base table, the aggregates' log would lack
/// what its aggregator makes meanwhile, and hide what came before.
#[test]
fn what_served_and_is_loaded_again_is_loaded_before_its_base_table_too() {
    for playbook in PLAYBOOKS {
        let (world, [base, aggregate]) = aggregated_by_nobody(playbook, &[1, 2]);
        let at = world.at(1).to_string();
        let found = world.comes_right_after(&[&["2000ms@tablet1=tablet-restarts-1000ms"]]);
        let note = format!("tablet {at} has been restarted");
        let restarted =
            found.told.iter().position(|line| line.contains(&note)).expect("it is restarted during the run");
        let [base, aggregate] = [base, aggregate].map(|id| told_to_load(&found, restarted, id, &at));
        assert!(aggregate.is_some() && aggregate < base, "{playbook}: {aggregate:?}, {base:?}");
    }
}

/// Seed 9300378: the tablet had lost what table they are of, and refused them once; told again with that they came after their base
/// table. Found short of what that holds, the aggregates are to be made where they are numbered on.
#[test]
fn aggregates_that_are_told_again_with_their_columns_come_before_their_base_table_too() {
    for playbook in PLAYBOOKS {
        let mut world = cluster(2, 1).by(playbook);
        let [base, aggregate] = world.aggregated(&[1, 2]);
        world.rows(base, 1, 24);
        world.passes(3_000);
        world.everything_dies();
        for tablet in [1, 2] {
            world.loses(3..=3, aggregate, tablet);
            [base, aggregate].into_iter().for_each(|id| world.loses_description(id, tablet));
        }
        world.everything_starts();
        let ran = world.is_recovered(|run| run);
        assert_eq!(ran.recovered().unwrap().summary.blocked, [], "{playbook}");
        for tablet in [1, 2] {
            let log = world.world.log(&world.at(tablet), aggregate);
            let numbered: Vec<(bool, u64)> = log.iter().map(|entry| (entry.term > 0, entry.index)).collect();
            assert_eq!(numbered, [(true, 1), (true, 2), (true, 3)], "{playbook}, on {tablet}");
        }
    }
}

/// Seed 4646: the nameserver has recovered the base table alone, and what aggregates it is nowhere else. Loaded beside it, an aggregator
/// would make what is missing in a new file of its log, and with the tablet's next restart what came before would be gone.
#[test]
fn what_nobody_else_aggregates_is_not_loaded_beside_its_base_table() {
    for playbook in PLAYBOOKS {
        for is_restarted_as_hinted in [false, true] {
            let (mut world, [base, aggregate]) = aggregated_by_nobody(playbook, &[1]);
            world.everything_dies();
            world.everything_starts();
            let at = world.at(1);
            typed::mark_alive(&mut world.world, aggregate, &at, false);
            typed::load_as_leader(&mut world.world, base, &at);
            world.passes(3_000);
            if is_restarted_as_hinted {
                world.dies([1]);
                world.starts([1]);
            }
            let found = world.comes_right();
            let is_loaded = told_to_load(&found, 0, aggregate, at.as_str()).is_some();
            assert_eq!(is_loaded, is_restarted_as_hinted, "{playbook}");
            let is_blocked = found.blocked.iter().any(|why| why.starts_with("written_while_loading"));
            assert_eq!(is_blocked, !is_restarted_as_hinted, "{playbook}: {:?}", found.blocked);
        }
    }
}

/// Seeds 20031467, 20071104, 62004669 and 62007487: somebody recovers the base table alone, and aggregates are made beside it as their table is loaded.
/// What it shows for an instant was believed, or, where its own log is empty, it was waited for for two hours.
#[test]
fn aggregates_beside_their_base_table_are_judged_by_what_lasts_once_they_are_loaded() {
    for playbook in PLAYBOOKS {
        for is_led_elsewhere in [false, true] {
            let mut world = cluster(3, 1).by(playbook);
            let [base, aggregate] = world.aggregated(&[1, 2, 3]);
            let to = world.at(2);
            if is_led_elsewhere {
                typed::set_auto_failover(&mut world.world, false);
                for id in [base, aggregate] {
                    typed::change_leader(&mut world.world, id, &to);
                }
                typed::until_operations_end(&mut world.world);
                typed::set_auto_failover(&mut world.world, true);
            }
            world.rows(base, if is_led_elsewhere { 2 } else { 1 }, 8);
            world.passes(3_000);
            world.everything_dies();
            world.everything_starts();
            let (db, table) = ("shop".to_owned(), Some("t1".to_owned()));
            let scope = Scope::Some(vec![Selector { db, table, pid: None }]);
            world.is_recovered(|run| Run { scope, ..run });
            let found = world.comes_right();
            assert!(found.virtual_time < Duration::from_secs(10 * 60), "{playbook}: {:?}", found.virtual_time);
        }
    }
}
