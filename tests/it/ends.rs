//! The wrong thing at the other end: nothing is sent to it, and it is said what it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openmldb_ops::model::{Endpoint, PartitionId};
use openmldb_ops::sandbox::World;
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};

use crate::support::bed::PATIENCE;
use crate::support::desk::Desk;

/// Waits until a node in ZooKeeper is as wanted.
async fn until_node(desk: &Desk, path: &str, wanted: Option<&str>) {
    let began = Instant::now();
    while desk.node(path).await.as_deref() != wanted {
        assert!(began.elapsed() < PATIENCE, "{path} is {:?}", desk.node(path).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was sent to a tablet that changes something there, and about which partitions.
fn sent_to(world: &World, at: &Endpoint) -> Vec<(&'static str, Vec<PartitionId>)> {
    let calls = world.trace().calls().filter(|call| call.effect == openmldb_ops::wire::call::Effect::Mutate);
    calls.filter(|call| call.server == *at).map(|call| (call.method, call.partitions.clone())).collect()
}

fn placed_on(world: &World, at: &Endpoint) -> BTreeSet<PartitionId> {
    let is_here = |found: &openmldb_ops::wire::nameserver::TablePartition| {
        found.partition_meta.iter().any(|meta| meta.endpoint == at.as_str())
    };
    world.metadata().into_iter().filter(|(_, found)| is_here(found)).map(|(id, _)| id).collect()
}

/// A tablet is gone, and a server that was started meanwhile has its address, as in a restarted node of Kubernetes.
async fn with_an_address_taken() -> (Desk, Endpoint, Endpoint) {
    let generated = Generated { tables: 3, partitions: 4, replicas: 2, rows: 50 };
    let shape = Shape { generated: Some(generated), ..Shape::default() };
    let desk = Desk::shaped(Scenario::ServerNames, shape).await;
    let (gone, there) = desk.bed.world(|world| {
        world.set_faults(vec!["1ms@tablet1=tablet-address-taken".parse().unwrap()], 0);
        (world.tablet_endpoints()[0].clone(), world.tablet_endpoints()[1].clone())
    });
    let address = desk.bed.world(|world| world.address_of(&there));
    until_node(&desk, &format!("map/names/{gone}"), Some(address.as_str())).await;
    until_node(&desk, &format!("nodes/{gone}"), None).await;
    (desk, gone, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_in_the_name_of_a_tablet_whose_address_another_one_has() {
    let (desk, gone, there) = with_an_address_taken().await;
    let status = desk.says(3, "status");
    assert!(status.contains(&format!("is that of {there}, which is registered while it is not")), "{status}");
    desk.says(4, "recover --all");
    desk.bed.world(|world| {
        let placed = placed_on(world, &there);
        let sent = sent_to(world, &there);
        assert!(!sent.is_empty());
        for (method, about) in &sent {
            assert_ne!(*method, "DropTable", "the only reachable copy");
            assert!(about.iter().all(|id| placed.contains(id)), "{method} {about:?} is not this tablet's");
        }
        let loads: Vec<_> = sent.iter().filter(|(method, _)| *method == "LoadTable").map(|(_, about)| about).collect();
        assert_eq!(loads.len(), loads.iter().collect::<BTreeSet<_>>().len(), "{loads:?}");
        world.start_tablets(std::slice::from_ref(&gone));
    });
    // Once it is back it has an address of its own.
    until_node(&desk, &format!("map/names/{gone}"), Some(desk.bed.world(|world| world.address_of(&gone)).as_str()))
        .await;
    until_node(&desk, &format!("nodes/{gone}"), Some(&format!("startup_{gone}"))).await;
    desk.says(0, "recover --all");
    desk.says(0, "status --deep");
    let rows = desk.bed.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    desk.ends().await;
}

/// Where ZooKeeper cannot be reached the nameserver tells names and addresses, and who is there as far as it knows.
#[tokio::test(flavor = "multi_thread")]
async fn nor_where_the_nameserver_tells_the_names() {
    let (desk, _, there) = with_an_address_taken().await;
    let nameserver = desk.bed.sandbox.nameserver_address().unwrap().to_string();
    let ran = desk.home.run(&["recover", "--all", "--nameserver", &nameserver]).expect(4);
    assert!(ran.stdout.contains(&format!("is that of {there}")), "{}", ran.stdout);
    desk.bed.world(|world| {
        let placed = placed_on(world, &there);
        for (method, about) in sent_to(world, &there) {
            assert!(method != "DropTable" && about.iter().all(|id| placed.contains(id)), "{method} {about:?}");
        }
    });
    desk.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_without_values_are_addresses() {
    let desk = Desk::with(Scenario::EverythingRestarted).await;
    let tablet = desk.bed.world(|world| {
        world.set_faults(vec!["1ms=names-are-addresses".parse().unwrap()], 0);
        world.tablet_endpoints()[0].clone()
    });
    until_node(&desk, &format!("map/names/{tablet}"), Some("")).await;
    desk.says(0, "recover --all");
    assert!(!desk.says(0, "status").contains("address"), "names are addresses: there is no column for them");
    desk.ends().await;
}
