//! Every scenario comes about, and is what its name says.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeSet;

use super::*;
use crate::tablet::Entry;
use crate::world::partition;
use openmldb_model::{Endpoint, PartitionId};

fn world(scenario: Scenario) -> World {
    scenario.bring_about(&Shape::default(), &Addresses::recorded(1, 3)).unwrap()
}

fn orders(pid: u32) -> PartitionId {
    partition(7, pid)
}

/// The entries of a replica of `orders` on a tablet, by the tablet's place.
fn log(world: &World, tablet: usize, pid: u32) -> Vec<Entry> {
    world.log(&world.tablet_endpoints()[tablet].clone(), orders(pid))
}

/// The endpoints flagged as leader, with their alive flag.
fn leader_flags(world: &World, id: PartitionId) -> Vec<(Endpoint, bool)> {
    let metas = world.metadata()[&id].partition_meta.clone();
    let leaders = metas.into_iter().filter(|meta| meta.is_leader);
    leaders.map(|meta| (Endpoint::from(meta.endpoint.as_str()), meta.is_alive())).collect()
}

#[test]
fn every_scenario_comes_about_with_its_rows_and_without_trouble_of_our_making() {
    for scenario in Scenario::ALL {
        let mut world = scenario
            .bring_about(&Shape::default(), &Addresses::recorded(1, 3))
            .unwrap_or_else(|error| panic!("{scenario}: {error}"));
        let count = world.row_count();
        let left = if *scenario == Scenario::EmptiedDisks { 0 } else { 1_005 };
        assert!(count.rows_expected >= left, "{scenario}: {count:?}");
        assert_eq!(count.rows_expected == 0, left == 0, "{scenario}: {count:?}");
        assert_eq!((count.partitions_with_two_alive_leaders, count.healthy_partitions_touched), (0, 0), "{scenario}");
        assert_eq!(world.trace().mutations(), 0, "{scenario}: the books open with an empty trace");
        let all = world.metadata().len();
        let well = scenario.is_well();
        assert_eq!(world.healthy().len() == all, well, "{scenario}: {} of {all} healthy", world.healthy().len());
        assert_eq!(scenario.name().parse(), Ok(*scenario));
        assert!(!scenario.description().is_empty() && !scenario.description().contains('\n'), "{scenario}");
    }
}

#[test]
fn the_same_seed_gives_the_same_world() {
    let rows = |seed| {
        let shape = Shape { seed, ..Shape::default() };
        Scenario::LeaderAndWriters.bring_about(&shape, &Addresses::recorded(1, 3)).unwrap().rows()
    };
    assert_eq!(rows(7), rows(7));
    assert_ne!(rows(7), rows(8), "writers choose by it");
}

#[test]
fn a_lost_binlog_leaves_the_snapshot_and_a_lost_directory_nothing() {
    let disk = world(Scenario::LeaderLostDisk);
    assert_eq!((log(&disk, 2, 0).len(), log(&disk, 2, 3).len()), (75, 0));
    assert_eq!((log(&disk, 0, 0).len(), log(&disk, 1, 3).len()), (105, 86));
    let directory = world(Scenario::LeaderLostDirectory);
    assert_eq!((log(&directory, 2, 0).len(), log(&directory, 2, 3).len()), (0, 0));
    assert_eq!(directory.row_count().rows_expected, 1_005);
}

#[test]
fn a_longer_follower_holds_what_its_leader_lost() {
    let world = world(Scenario::LongerFollower);
    for pid in [0, 3] {
        let (leader, follower) = (log(&world, 2, pid), log(&world, 0, pid));
        assert_eq!(leader.len() + 20, follower.len());
        assert_eq!(leader[..], follower[..leader.len()]);
    }
}

#[test]
fn a_hollow_leader_has_the_offset_and_not_the_rows() {
    let world = world(Scenario::HollowLeader);
    for (pid, rows) in [(0, 105), (3, 86)] {
        let (leader, follower) = (log(&world, 2, pid), log(&world, 0, pid));
        assert_eq!(leader.last().map(|entry| entry.index), Some(rows + 12));
        assert_eq!((leader.len(), follower.len() as u64), (12, rows + 12));
    }
}

#[test]
fn a_missing_tablet_leads_nothing_and_holds_nothing_alone() {
    let world = world(Scenario::TabletMissing);
    let missing = world.tablet_endpoints()[2].clone();
    assert!(!world.is_up(&missing));
    assert_eq!(world.registered_tablets(), &world.tablet_endpoints()[..2]);
    for (id, metas) in world.metadata() {
        let alive: Vec<_> = metas.partition_meta.iter().filter(|meta| meta.is_leader && meta.is_alive()).collect();
        assert!(alive.len() == 1 && alive[0].endpoint != missing.as_str(), "{id}");
        let there = metas.partition_meta.iter().any(|meta| meta.endpoint == missing.as_str());
        assert!(!there || metas.partition_meta.len() > 1, "{id} would be lost with it");
    }
}

#[test]
fn a_dead_old_leader_is_longer_than_its_successor_or_merely_different() {
    for (scenario, tail, since) in [(Scenario::DeadOldLeaderLonger, 8, 3), (Scenario::DivergedTail, 3, 8)] {
        let world = world(scenario);
        for pid in [0, 3] {
            let (old, new, other) = (log(&world, 2, pid), log(&world, 0, pid), log(&world, 1, pid));
            assert_eq!(new, other, "{scenario}");
            let common = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
            assert_eq!((old.len() - common, new.len() - common), (tail, since), "{scenario}");
            let flags = leader_flags(&world, orders(pid));
            assert_eq!(flags.len(), 2, "{scenario}: {flags:?}");
            assert!(flags.contains(&(world.tablet_endpoints()[2].clone(), false)), "{scenario}: {flags:?}");
            let terms = &world.metadata()[&orders(pid)].term_offset;
            assert_eq!(terms.last().map(|term| term.offset), Some(common as u64 + 1), "{scenario}");
            let tail: BTreeSet<_> = old[common..].iter().map(|entry| entry.row).collect();
            assert_eq!(world.given_up()[&orders(pid)], tail, "{scenario}");
        }
        assert_eq!(world.row_count().rows_expected, 1_005 + 2 * since as u64, "{scenario}");
    }
}

#[test]
fn writers_go_on_and_what_they_are_told_is_counted() {
    let mut world = world(Scenario::LeaderAndWriters);
    let before = world.row_count().rows_expected;
    world.advance_by(1_000);
    assert_eq!(world.row_count().rows_expected, before, "nothing is loaded, nobody takes a row");
    assert!(world.stop_writers().is_some_and(|writers| writers.acknowledged() > 100 && writers.refused() > 100));
}

#[test]
fn tables_are_made_up_to_the_shape_asked_for() {
    let generated = Generated { tables: 3, partitions: 5, replicas: 2, rows: 10 };
    let shape = Shape { tablets: 4, generated: Some(generated), seed: 3 };
    let world = Scenario::TwoLeaderFlags.bring_about(&shape, &Addresses::recorded(1, 4)).unwrap();
    let tables: Vec<_> = world.tables().into_iter().filter(|table| table.db() == "shop").collect();
    assert_eq!(tables.len(), 3);
    assert!(tables.iter().all(|table| table.table_partition.len() == 5));
    let flags = world.metadata().keys().filter(|id| leader_flags(&world, **id).len() == 2).count();
    assert!(flags > 0);

    let narrow = Shape { tablets: 1, ..shape };
    let refused = Scenario::Healthy.bring_about(&narrow, &Addresses::recorded(1, 1)).unwrap_err();
    assert_eq!(refused, ScenarioError::TooFewTablets { tablets: 1, replicas: 2 });
    let single = Shape { generated: Some(Generated { replicas: 1, ..generated }), ..shape };
    let unfit = Scenario::LongerFollower.bring_about(&single, &Addresses::recorded(1, 4)).unwrap_err();
    assert!(unfit.to_string().contains("a memory partition with several replicas"), "{unfit}");
}
