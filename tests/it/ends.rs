//! The wrong thing at the other end: nothing is sent to it, and it is said what it is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use openmldb_ops::cluster::{
    self, CallErrorKind, Cluster, Credentials, DiscoveryError, Grpc, Rpc, Target, Transport, Vantage,
};
use openmldb_ops::model::{Action, Endpoint, Identity, PartitionId, Pid, Tid};
use openmldb_ops::sandbox::scenario::{Generated, Scenario, Shape};
use openmldb_ops::sandbox::{Options, World};
use openmldb_ops::snapshot;
use openmldb_ops::wire::call::{Effect, NameserverCall};
use openmldb_ops::wire::nameserver::{ConfSetRequest, Pair, TablePartition};

use crate::cli::bad_input::check_message;
use crate::support::cli_harness::CliHarness;
use crate::support::harness::{Harness, PATIENCE};
use crate::support::process::Home;
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// Waits until a node in ZooKeeper is as wanted.
async fn until_node(cli_harness: &CliHarness, path: &str, wanted: Option<&str>) {
    let began = Instant::now();
    while cli_harness.node(path).await.as_deref() != wanted {
        assert!(began.elapsed() < PATIENCE, "{path} is {:?}", cli_harness.node(path).await);
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was sent to a tablet that changes something there, and about which partitions.
fn sent_to(world: &World, at: &Endpoint) -> Vec<(&'static str, Vec<PartitionId>)> {
    let calls = world.trace().calls().filter(|call| call.effect == Effect::Mutate);
    calls.filter(|call| call.server == *at).map(|call| (call.method, call.partitions.clone())).collect()
}

fn placed_on(world: &World, at: &Endpoint) -> BTreeSet<PartitionId> {
    let is_here = |found: &TablePartition| found.partition_meta.iter().any(|meta| meta.endpoint == at.as_str());
    world.metadata().into_iter().filter(|(_, found)| is_here(found)).map(|(id, _)| id).collect()
}

/// A tablet is gone, and a server that was started meanwhile has its address, as in a restarted node of Kubernetes.
async fn with_an_address_taken() -> (CliHarness, Endpoint, Endpoint) {
    let generated = Generated { tables: 3, partitions: 4, replicas: 2, rows: 50 };
    let shape = Shape { generated: Some(generated), ..Shape::default() };
    let cli_harness = CliHarness::shaped(Scenario::ServerNames, shape).await;
    let (gone, there) = cli_harness.harness.world(|world| {
        world.set_faults(vec!["1ms@tablet1=tablet-address-taken".parse().unwrap()], 0);
        (world.tablet_endpoints()[0].clone(), world.tablet_endpoints()[1].clone())
    });
    let address = cli_harness.harness.world(|world| world.address_of(&there));
    until_node(&cli_harness, &format!("map/names/{gone}"), Some(address.as_str())).await;
    until_node(&cli_harness, &format!("nodes/{gone}"), None).await;
    (cli_harness, gone, there)
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_in_the_name_of_a_tablet_whose_address_another_one_has() {
    needs_zookeeper!();
    let (cli_harness, gone, there) = with_an_address_taken().await;
    let status = cli_harness.says(3, "status");
    assert!(status.contains(&format!("is that of {there}, which is registered while it is not")), "{status}");
    cli_harness.says(4, "recover --all --wait-for-tablets 0");
    cli_harness.harness.world(|world| {
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
    until_node(
        &cli_harness,
        &format!("map/names/{gone}"),
        Some(cli_harness.harness.world(|world| world.address_of(&gone)).as_str()),
    )
    .await;
    until_node(&cli_harness, &format!("nodes/{gone}"), Some(&format!("startup_{gone}"))).await;
    cli_harness.says(0, "recover --all");
    cli_harness.says(0, "status --deep");
    let rows = cli_harness.harness.settle();
    assert_eq!(rows.rows_after, rows.rows_expected);
    cli_harness.ends().await;
}

/// Where ZooKeeper cannot be reached the nameserver tells names and addresses, and who is there as far as it knows.
#[tokio::test(flavor = "multi_thread")]
async fn nor_where_the_nameserver_tells_the_names() {
    needs_zookeeper!();
    let (cli_harness, _, there) = with_an_address_taken().await;
    let nameserver = cli_harness.harness.sandbox().nameserver_address().unwrap().to_string();
    let recover = ["recover", "--all", "--wait-for-tablets", "0", "--nameserver", &nameserver];
    let ran = cli_harness.home.run(&recover).expect(4);
    assert!(ran.stdout.contains(&format!("is that of {there}")), "{}", ran.stdout);
    cli_harness.harness.world(|world| {
        let placed = placed_on(world, &there);
        for (method, about) in sent_to(world, &there) {
            assert!(method != "DropTable" && about.iter().all(|id| placed.contains(id)), "{method} {about:?}");
        }
    });
    cli_harness.ends().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn names_without_values_are_addresses() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    let tablet = cli_harness.harness.world(|world| {
        world.set_faults(vec!["1ms=names-are-addresses".parse().unwrap()], 0);
        world.tablet_endpoints()[0].clone()
    });
    until_node(&cli_harness, &format!("map/names/{tablet}"), Some("")).await;
    cli_harness.says(0, "recover --all");
    assert!(!cli_harness.says(0, "status").contains("address"), "names are addresses: there is no column for them");
    cli_harness.ends().await;
}

/// Everything that would change something, as it is typed.
const CHANGES: &[&str] = &[
    "recover --all",
    "recover --all --dry-run",
    "recover --all --playbook fast",
    "recover --all --playbook leaders-first",
    "recover --all --playbook node-loss",
    "failover set on",
    "failover set off",
    "op cancel 1",
    "tablet offline TABLET",
    "tablet recover TABLET",
    "leader change shop.t0/0",
    "leader handover shop.t0/0 --to TABLET",
    "replica load shop.t0/0 TABLET",
    "replica recover shop.t0/0 TABLET",
    "replica add shop.t0/0 TABLET",
    "replica remove shop.t0/0 TABLET",
    "replica migrate shop.t0/0 TABLET TABLET",
    "replica aggregate shop.t0/0 TABLET",
    "replica alive shop.t0/0 TABLET no",
    "scale out",
    "scale out --dry-run",
    "scale in TABLET",
    "scale repair",
    "tablet replace TABLET",
    "upgrade pre TABLET",
    "upgrade post TABLET",
];

/// None of them sends anything; each says in one sentence who is there, and what to do.
fn nothing_is_sent(home: &Home, reach: &[&str], tablet: &Endpoint, says: &str) {
    for change in CHANGES {
        let change = change.replace("TABLET", tablet.as_str());
        let ran = home.run(&change.split(' ').chain(reach.iter().copied()).collect::<Vec<_>>()).expect(1);
        check_message(&ran);
        assert!(ran.stderr.contains("nothing is sent: ") && ran.stderr.contains(says), "{change}: {}", ran.stderr);
        assert!(ran.stderr.contains("hint: "), "{change}: {}", ran.stderr);
    }
}

/// ConfSet kills a standalone nameserver, and with it what it knows of tables
/// (docs/openmldb/other-servers.md#standalone).
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_ever_sent_to_a_standalone_nameserver() {
    let harness = Harness::start_with(Scenario::Healthy, &Options { standalone: true, ..Options::default() }).await;
    let (home, address) = (Home::new(), harness.sandbox().nameserver_address().unwrap().to_string());
    let tablet = harness.world(|world| world.tablet_endpoints()[0].clone());
    let reach = ["--nameserver", &address];
    nothing_is_sent(&home, &reach, &tablet, &format!("the nameserver {address} is standalone"));
    home.run(&[&["failover", "restore"], &reach[..]].concat()).expect(0);
    let status = home.run(&[&["status"], &reach[..]].concat()).expect(0);
    assert!(status.stdout.contains("case: ") && status.stdout.contains("is standalone"), "{}", status.stdout);
    assert!(!status.stdout.contains("failover set"), "{}", status.stdout);
    home.run(&[&["snapshot", "-o", "seen.yaml"], &reach[..]].concat()).expect(0);
    let ran = home.run(&["recover", "--all", "--dry-run", "--snapshot", "seen.yaml"]).expect(1);
    assert!(ran.stderr.contains("is standalone"), "{}", ran.stderr);
    harness.world(|world| {
        assert_eq!(world.trace().mutations(), 0);
        assert!(world.leader().is_some(), "it lives");
    });
    // Not only the commands: nothing that speaks to servers sends it, either.
    let credentials = Credentials::Service;
    let target = Target::Nameserver(address.clone());
    let cluster =
        Cluster::connect(target, &credentials, Transport::default(), cluster::Options::default()).await.unwrap();
    for action in [
        Action::SetAutoFailover { on: true },
        Action::DropTable { endpoint: tablet.clone(), partition: PartitionId { tid: Tid(7), pid: Pid(0) } },
    ] {
        let error = cluster.act(&action).await.unwrap_err();
        assert!(matches!(error.kind, CallErrorKind::NotOurs(_)), "{error}");
    }
    assert_eq!(harness.world(|world| world.trace().mutations()), 0);
    harness.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_standalone_nameserver_of_the_sandbox_dies_as_a_real_one_does() {
    let harness = Harness::start_with(Scenario::Healthy, &Options { standalone: true, ..Options::default() }).await;
    let target = Target::Nameserver(harness.sandbox().nameserver_address().unwrap().to_string());
    let rpc = Grpc::new(target, &Credentials::Service, Transport::default()).await.unwrap();
    let conf = Pair { key: "auto_failover".to_owned(), value: "true".to_owned() };
    rpc.nameserver(NameserverCall::ConfSet(ConfSetRequest { conf })).await.unwrap_err();
    assert_eq!(harness.world(|world| world.leader()), None);
    harness.stop().await;
}

/// Under a root path's leader there is the address of another cluster's nameserver.
#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_sent_to_another_clusters_nameserver() {
    needs_zookeeper!();
    let harness = Harness::start(Scenario::EverythingRestarted).await;
    let server = ZooKeeperServer::shared().await;
    let address = harness.sandbox().nameserver_address().unwrap().to_string();
    let tablet = harness.world(|world| world.tablet_endpoints()[0].clone());
    let nodes = [
        ("/another/leader/lock_request0000000001", address.as_str()),
        ("/another/nodes/10.255.255.1:10921", "10.255.255.1:10921"),
    ];
    server.create(&nodes).await;
    let (home, zookeeper) = (Home::new(), server.address());
    let reach = ["--zk-cluster", &zookeeper, "--zk-root-path", "/another"];
    nothing_is_sent(
        &home,
        &reach,
        &tablet,
        &format!("the nameserver {address} belongs to another cluster: it hears from "),
    );
    let status = home.run(&[&["status"], &reach[..]].concat()).expect(3);
    assert!(status.stdout.contains("belongs to another cluster"), "{}", status.stdout);
    assert_eq!(harness.world(|world| world.trace().mutations()), 0);
    harness.stop().await;
}

/// 127.0.0.1 means another host to whoever is on another one.
#[tokio::test(flavor = "multi_thread")]
async fn servers_registered_as_loopback_are_not_looked_for_on_another_host() {
    needs_zookeeper!();
    let cli_harness = CliHarness::with(Scenario::EverythingRestarted).await;
    let elsewhere = Transport { vantage: Vantage::OtherHost, ..Transport::default() };
    let connect = |target, transport| async move {
        Cluster::connect(target, &Credentials::Service, transport, cluster::Options::default()).await
    };
    let error = connect(cli_harness.target(), elsewhere.clone()).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::LeaderOnOtherHost { .. }), "{error}");
    // The nameserver was typed, so it is meant; its tablets are not.
    let nameserver = Target::Nameserver(cli_harness.harness.sandbox().nameserver_address().unwrap().to_string());
    let cluster = connect(nameserver, elsewhere).await.unwrap();
    let seen = snapshot::collect(&cluster, "elsewhere", 0).await.unwrap();
    assert!(matches!(seen.identity, Identity::OtherHost { .. }), "{:?}", seen.identity);
    for tablet in seen.tablets.values() {
        let error = tablet.held.error().unwrap();
        assert!(error.contains("an address that only its own host can use"), "{error}");
    }
    let error = cluster.act(&Action::SetAutoFailover { on: false }).await.unwrap_err();
    assert!(error.to_string().contains("nothing is sent: "), "{error}");
    let asked = cli_harness.harness.world(|world| {
        let tablets = world.tablet_endpoints().to_vec();
        world.trace().calls().filter(|call| tablets.contains(&call.server)).count()
    });
    assert_eq!(asked, 0, "not even a question");
    // On this host they are what they seem to be.
    let here = connect(cli_harness.target(), Transport::default()).await.unwrap();
    assert_eq!(snapshot::collect(&here, "here", 0).await.unwrap().identity, Identity::Cluster);
    cli_harness.ends().await;
}

/// What else may listen where a nameserver is looked for: one message, exit 1.
#[tokio::test(flavor = "multi_thread")]
async fn a_port_that_is_no_nameservers_is_said_to_be_none() {
    needs_zookeeper!();
    let harness = Harness::start(Scenario::Healthy).await;
    let server = ZooKeeperServer::shared().await;
    let (home, tablet) = (Home::new(), harness.sandbox().tablets()[0].1.to_string());
    for (address, says) in [
        (
            tablet,
            "does not know ConfGet, which every release from 0.4.0 on knows: it is not an OpenMLDB server of this kind",
        ),
        (server.address(), "it refuses our credentials, keeps dying, or is not a nameserver"),
    ] {
        for command in [&["status"][..], &["recover", "--all"], &["failover", "set", "on"]] {
            let ran = home.run(&[command, &["--leader-wait", "5", "--nameserver", &address]].concat()).expect(1);
            check_message(&ran);
            assert!(ran.stderr.contains(says), "{command:?} {address}: {}", ran.stderr);
        }
    }
    assert_eq!(harness.world(|world| world.trace().mutations()), 0);
    harness.stop().await;
}
