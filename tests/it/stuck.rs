//! A follower that accepts nothing from its leader is seen, said and brought back, in a cluster in which nothing else
//! is wrong.

use std::time::Instant;

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::wire::call::Effect;

use crate::support::cli_harness::CliHarness;
use crate::support::harness::PATIENCE;
use crate::support::outside::{flags, leader, orders};
use crate::support::zookeeper::needs_zookeeper;

/// A follower of that partition.
fn follower(world: &World, id: PartitionId) -> Endpoint {
    flags(world, id).into_iter().find(|flags| !flags.leader).unwrap().endpoint
}

fn changed(world: &World) -> Vec<(&'static str, Vec<PartitionId>)> {
    let calls = world.trace().calls().filter(|call| call.effect == Effect::Mutate);
    calls.map(|call| (call.method, call.partitions.clone())).collect()
}

/// One whose term is later than its leader's, with nothing written that would show it.
async fn with_a_later_term() -> (CliHarness, PartitionId, Endpoint) {
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    cli_harness.says(0, "status");
    let (id, stuck) = cli_harness.harness.world(|world| {
        world.set_faults(vec!["1ms@orders/0=follower-hears-later-term".parse().unwrap()], 0);
        let id = orders(world, 0);
        (id, follower(world, id))
    });
    let began = Instant::now();
    // On a quiet partition nothing but its own account of its term shows it.
    loop {
        let said = cli_harness.status();
        if said.contains("refuses its leader") {
            break;
        }
        assert!(began.elapsed() < PATIENCE, "{said}");
    }
    (cli_harness, id, stuck)
}

#[tokio::test(flavor = "multi_thread")]
async fn status_names_a_follower_that_refuses_its_leader_and_what_to_type() {
    needs_zookeeper!();
    let (cli_harness, _, stuck) = with_a_later_term().await;
    let text = cli_harness.says(3, "status");
    assert!(text.contains("Unhealthy: 1 of 12 partitions."), "{text}");
    assert!(text.contains("case: followers that accept nothing from their leader"), "{text}");
    assert!(text.contains(&format!("shop.orders/0 on {stuck}")), "{text}");
    assert!(text.contains("  next: openmldb-ops recover --all\n"), "{text}");
    let json = cli_harness.says(3, "status --output json");
    assert!(json.contains("\"case\":\"followers_stuck\"") && !json.contains("\"case\":\"not_redundant\""), "{json}");
    let deep = cli_harness.says(3, "status --deep --output json");
    assert!(deep.contains("\"kind\":\"stuck\""), "{deep}");
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn every_playbook_brings_back_a_follower_that_refuses_its_leader() {
    needs_zookeeper!();
    for playbook in ["recover", "fast", "leaders-first"] {
        let (cli_harness, id, _) = with_a_later_term().await;
        let plan = cli_harness.says(0, &format!("recover --all --dry-run --playbook {playbook}"));
        assert!(plan.contains("Dry run: 1 of 12 partitions to bring back, none blocked"), "{plan}");
        cli_harness.harness.world(World::open_books);
        cli_harness.says(0, &format!("recover --all --playbook {playbook}"));
        let sent = cli_harness.harness.world(|world| changed(world));
        let about: Vec<_> = sent.iter().flat_map(|(_, about)| about).collect();
        assert!(about.iter().all(|touched| **touched == id), "{sent:?}");
        for call in ["DelReplica", "DropTable", "RecoverTable"] {
            assert_eq!(sent.iter().filter(|(method, _)| *method == call).count(), 1, "{call}: {sent:?}");
        }
        let rows = cli_harness.harness.settle();
        assert_eq!((rows.rows_after, rows.partitions_with_two_alive_leaders), (rows.rows_expected, 0));
        cli_harness.says(0, "status --deep");
        cli_harness.ends().await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_row_is_lost_while_clients_write_to_its_leader() {
    needs_zookeeper!();
    let (cli_harness, id, stuck) = with_a_later_term().await;
    cli_harness.harness.world(|world| world.start_writers(20, 1));
    cli_harness.says(0, "recover --all");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    cli_harness.harness.world(|world| {
        let leads = leader(world, id);
        assert_eq!(world.log(&stuck, id), world.log(&leads, id), "it takes what its leader sends again");
    });
    cli_harness.ends().await;
}

/// Its leader has nothing left to send it from: what it lacks is behind the leader's snapshot.
#[tokio::test(flavor = "multi_thread")]
async fn a_follower_that_gets_nothing_from_its_leader_is_seen_and_brought_back() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::Healthy).await;
    let stuck = cli_harness.harness.world(|world| {
        let id = orders(world, 0);
        let (leads, stuck) = (leader(world, id), follower(world, id));
        world.freeze_tablet(&stuck, true);
        for _ in 0..10 {
            assert!(world.put_row(&leads, id));
        }
        world.advance_by(100);
        assert!(world.make_snapshot(&leads, id));
        assert!(world.tablets_mut().delete_binlog_behind_snapshot(leads.as_str(), id.tid.0, id.pid.0));
        assert!(world.put_row(&leads, id));
        world.freeze_tablet(&stuck, false);
        stuck
    });
    let text = cli_harness.says(3, "status");
    assert!(text.contains("gets nothing from its leader: it stays at offset"), "{text}");
    assert!(text.contains(&format!("shop.orders/0 on {stuck}")), "{text}");
    cli_harness.says(0, "recover --all");
    cli_harness.says(0, "status --deep");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    cli_harness.ends().await;
}
