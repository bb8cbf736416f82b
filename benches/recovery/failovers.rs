//! What an ordinary history costs: two tablets died one after the other and came back, rows were written meanwhile, and then
//! everything was restarted. Followers that were away are no proven prefixes of their leaders, and hold the same rows.

use std::sync::Arc;

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::playbook::Playbook;
use openmldb_ops::rehearse::Rehearsal;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape, likeness};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use serde_json::Value;

use super::table::{Book, rounded};
use super::timed::{Spent, Timed};
use super::{Size, calls};

/// Partitions of three replicas on three tablets.
const PARTITIONS: [usize; 2] = [18, 180];
const TABLETS: usize = 3;
/// Rows of a partition at first, and after each failover.
const ROWS: u64 = 100;
const MORE_ROWS: usize = 5;
/// Longer than the nameserver takes to bring a tablet's replicas back, two at a time.
const PATIENCE_MS: u64 = 24 * 60 * 60 * 1000;

/// Runs it.
pub fn run(book: &mut Book, quick: bool) {
    book.begin("failovers", "virtual seconds of the playbook fast, after a history with failovers and one without");
    for partitions in PARTITIONS.into_iter().take(if quick { 1 } else { PARTITIONS.len() }) {
        let mut none: Option<u64> = None;
        for deaths in [0, 2] {
            let world = restarted_after(partitions, deaths);
            let spent = Spent::default();
            let redundant_ms = recovered(world, &spent);
            let calls = spent.calls();
            let of = |method: &str| calls.get(method).copied().unwrap_or(0);
            let times = none.zip(redundant_ms).map(|(none, after)| after as f64 / none as f64);
            book.row(
                "failovers",
                &[
                    format!("{TABLETS}x{partitions}").into(),
                    deaths.into(),
                    redundant_ms.map_or(Value::Null, |ms| rounded(ms as f64 / 1000.0)),
                    times.map_or(Value::Null, rounded),
                    of("RecoverTable").into(),
                    of("Traverse").into(),
                    rounded(calls.values().sum::<u64>() as f64 / partitions as f64),
                ],
            );
            let work = format!("fast, {deaths} tablets died");
            let methods = calls.iter().map(|(name, calls)| (*name, *calls));
            calls::keep(book, &work, &format!("{TABLETS}x{partitions}"), partitions as u64, methods);
            none = none.or(redundant_ms);
        }
    }
}

fn restarted_after(partitions: usize, deaths: usize) -> World {
    let generated = Some(Generated { tables: 2, partitions: partitions / 2, replicas: TABLETS, rows: ROWS });
    let shape = Shape { tablets: TABLETS, generated, seed: 1 };
    let mut world = Scenario::Healthy.bring_about(&shape, &Addresses::recorded(2, TABLETS)).expect("a healthy cluster");
    world.nameserver_settings_mut().op_fails_for_no_reason = None;
    let tablets = world.tablet_endpoints().to_vec();
    for victim in tablets.iter().take(deaths) {
        world.kill_tablet(victim);
        until(&mut world, |world| leaders(world).iter().all(|(_, at)| at.as_ref().is_some_and(|at| at != victim)));
        for (id, leader) in leaders(&world) {
            let leader = leader.expect("somebody leads");
            (0..MORE_ROWS).for_each(|_| assert!(world.put_row(&leader, id), "a leader takes rows"));
        }
        world.start_tablets(std::slice::from_ref(victim));
        until(&mut world, everybody_is_alive);
    }
    world.kill_everything();
    world.advance_by(15_000);
    world.start_everything();
    until(&mut world, |world| world.leader().is_some());
    world.advance_by(4_500);
    world.open_books();
    world
}

fn until(world: &mut World, so: impl Fn(&World) -> bool) {
    let began = world.now();
    while !so(world) {
        assert!(world.now() - began < PATIENCE_MS, "a day was waited in vain");
        world.advance_by(500);
    }
}

/// Who is flagged leader and alive, of tables with several replicas.
fn leaders(world: &World) -> Vec<(PartitionId, Option<Endpoint>)> {
    let mut found = Vec::new();
    for table in world.tables() {
        for partition in table.table_partition.iter().filter(|partition| partition.partition_meta.len() > 1) {
            let leader = partition.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive());
            let id = PartitionId { tid: Tid(table.tid()), pid: Pid(partition.pid) };
            found.push((id, leader.map(|meta| Endpoint::from(meta.endpoint.as_str()))));
        }
    }
    found
}

fn everybody_is_alive(world: &World) -> bool {
    let tables = world.tables();
    let mut partitions = tables.iter().flat_map(|table| &table.table_partition);
    partitions.all(|partition| partition.partition_meta.iter().all(|meta| meta.is_alive()))
}

fn recovered(world: World, spent: &Spent) -> Option<u64> {
    let playbook = Playbook::find("fast").expect("a built-in playbook");
    // A rehearsal wants to know whom its world resembles; this one has a history instead.
    let nobody = Size { tablets: 3, tables: 1, partitions: 1, rows: 1 }.generate().snapshot();
    let likeness = likeness(&nobody, Settings::default()).expect("a likeness");
    let rehearsal = Rehearsal { likeness: &likeness, playbook: &playbook, faults: &[], seed: 1 };
    let played = rehearsal.play(world, |calls| Arc::new(Timed::new(calls, spent))).expect("a rehearsal");
    assert_eq!(played.timeline.blocked, 0, "nothing is in the way");
    played.timeline.redundant.all_ms
}
