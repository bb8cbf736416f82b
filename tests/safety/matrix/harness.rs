//! The smallest world in which a recovery has to do everything it can do.

use std::sync::{Arc, Mutex};

use openmldb_ops::model::{Endpoint, PartitionId, Pid, Tid};
use openmldb_ops::run::{Scope, Selector};
use openmldb_ops::sandbox::nameserver::{Placement, TableSpec};
use openmldb_ops::sandbox::world::Settings;
use openmldb_ops::sandbox::{Addresses, World};
use openmldb_ops::wire::common::StorageMode;

use crate::calm::await_nameserver;
use crate::judge::Judge;
use crate::run::{Host, Run};

/// Everything has been restarted. Of `orders`, partition 0 has an old leader with a tail that was given up and two terms,
/// partition 1 a leader shorter than its followers, partition 2 a snapshot and nothing special. `clicks` is on disk. `audit`
/// has been recovered already.
pub fn world() -> World {
    let mut settings = Settings::default();
    settings.nameserver.tablet_heartbeat_timeout_ms = 10_000;
    let mut world = World::new(settings, &Addresses::recorded(2, 3));
    world.start_everything();
    await_nameserver(&mut world);
    create_tables(&mut world);
    let leaders: Vec<(PartitionId, Endpoint)> = leaders(&world);
    for (id, leader) in &leaders {
        (0..8).for_each(|_| assert!(world.put_row(leader, *id), "{id}"));
    }
    world.advance_by(1_500);
    let (third, its_leader) = leaders[2].clone();
    assert!(world.make_snapshot(&its_leader, third));
    assert!(world.put_row(&its_leader, third));
    world.advance_by(1_500);
    leave_a_tail(&mut world, leaders[0].0, &leaders[0].1);
    world.kill_everything();
    world.advance_by(10_000);
    let (short, its_leader) = leaders[1].clone();
    assert!(world.tablets_mut().lose_entries(its_leader.as_str(), short.tid.0, short.pid.0, 7, 8));
    world.start_everything();
    await_nameserver(&mut world);
    world.advance_by(4_500);
    let audit = Selector { db: "shop".to_owned(), table: Some("audit".to_owned()), pid: None };
    let scope = Scope::Some(vec![audit]);
    let run = Run { scope, ..Run::calm("recover", &Host::new(false), 1) };
    let (world, ran) = run.on(world, &Arc::new(Mutex::new(Judge::default())));
    assert!(ran.recovered().is_some_and(|recovered| recovered.summary.blocked.is_empty()), "{:?}", ran.told);
    world
}

fn create_tables(world: &mut World) {
    let tablets: Vec<String> = world.tablet_endpoints().iter().map(ToString::to_string).collect();
    let [first, second, third] = &tablets[..] else { panic!("three tablets") };
    world.create_database("shop").unwrap();
    let everywhere = || Placement::at(&[first, second, third]);
    let orders = vec![everywhere().led_by(0), everywhere().led_by(1), everywhere().led_by(2)];
    let clicks = vec![Placement::at(&[second, third]).led_by(0)];
    let audit = vec![Placement::at(&[third]).led_by(0)];
    for (name, storage, placement) in [
        ("orders", StorageMode::KMemory, orders),
        ("clicks", StorageMode::KHdd, clicks),
        ("audit", StorageMode::KMemory, audit),
    ] {
        world.create_table(&TableSpec::sql("shop", name, storage, placement)).unwrap();
    }
}

fn leaders(world: &World) -> Vec<(PartitionId, Endpoint)> {
    let tables = world.tables().into_iter();
    let partitions = tables.flat_map(|table| {
        let tid = Tid(table.tid());
        table.table_partition.into_iter().map(move |metas| (PartitionId { tid, pid: Pid(metas.pid) }, metas))
    });
    let led = partitions.filter_map(|(id, metas)| {
        let leader = metas.partition_meta.iter().find(|meta| meta.is_leader && meta.is_alive())?;
        Some((id, Endpoint::from(leader.endpoint.as_str())))
    });
    let mut led: Vec<_> = led.collect();
    led.sort_by_key(|(id, _)| *id);
    led
}

/// The leader takes rows that nobody receives, dies, and is replaced by one that takes others.
fn leave_a_tail(world: &mut World, id: PartitionId, old: &Endpoint) {
    let others: Vec<Endpoint> = world.tablet_endpoints().iter().filter(|at| *at != old).cloned().collect();
    others.iter().for_each(|at| world.freeze_tablet(at, true));
    (0..2).for_each(|_| assert!(world.put_row(old, id)));
    world.kill_tablet(old);
    others.iter().for_each(|at| world.freeze_tablet(at, false));
    let new = loop {
        world.advance_by(100);
        match leaders(world).into_iter().find(|(led, _)| *led == id) {
            Some((_, leader)) if leader != *old => break leader,
            _ => {}
        }
    };
    (0..4).for_each(|_| assert!(world.put_row(&new, id)));
    world.advance_by(30_000);
}
