//! A sandbox in a real ZooKeeper looks like an OpenMLDB cluster, stays true, and leaves nothing behind.

use std::time::Duration;

use openmldb_ops::cluster::{Credentials, Grpc, Rpc, Target, Transport};
use openmldb_ops::sandbox::scenario::Scenario;
use openmldb_ops::sandbox::{Options, Sandbox, SandboxError, ZooKeeperPath};
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::nameserver::{ConfSetRequest, Pair, ShowTabletRequest, TableInfo};
use prost::Message as _;
use zookeeper_client::Client;

use crate::support::harness::{PATIENCE, sandbox};
use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

fn options(server: &ZooKeeperServer, root: &str) -> Options {
    let at = ZooKeeperPath { servers: server.address(), root: root.to_owned(), digest: None };
    Options { zookeeper: Some(at), nameservers: 2, ..Options::default() }
}

async fn grpc(server: &ZooKeeperServer, root: &str) -> Grpc {
    let target = Target::ZooKeeper { servers: server.address(), root: root.to_owned(), credentials: None };
    Grpc::new(target, &Credentials::Service, Transport::default()).await.unwrap()
}

async fn read(client: &Client, path: &str) -> Option<String> {
    client.get_data(path).await.ok().map(|(data, _)| String::from_utf8_lossy(&data).into_owned())
}

async fn until<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} until {what}"));
}

#[tokio::test]
async fn a_client_finds_everything_through_zookeeper() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let root = "/deep/down/openmldb";
    let sandbox = sandbox(Scenario::EverythingRestarted, &options(&server, root)).await;
    let client = server.client().await;

    let rpc = grpc(&server, root).await;
    assert_eq!(rpc.find_nameserver().await.unwrap(), sandbox.nameserver_address().unwrap().to_string());
    let answer = rpc.nameserver(NameserverCall::ShowTablet(ShowTabletRequest::default())).await.unwrap();
    let NameserverAnswer::ShowTablet(answer) = answer else { panic!() };
    assert_eq!(answer.tablets.len(), 3);
    assert_eq!(rpc.registered_tablets().await.unwrap().unwrap().len(), 3);
    let (orders, _) = client.get_data(&format!("{root}/table/db_table_data/7")).await.unwrap();
    assert_eq!(TableInfo::decode(orders.as_slice()).unwrap().name(), "orders");

    let second = Sandbox::start(Scenario::Healthy, &options(&server, root)).await.unwrap_err();
    assert!(matches!(second, SandboxError::Registration(_)), "{second}");
    assert!(second.to_string().contains("already holds a cluster"), "{second}");

    sandbox.stop().await.unwrap();
    assert!(client.check_stat("/deep").await.unwrap().is_none(), "nothing is left behind");
}

#[tokio::test]
async fn what_happens_in_the_world_shows_in_zookeeper() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let root = "/alive";
    let sandbox = sandbox(Scenario::Healthy, &options(&server, root)).await;
    let client = server.client().await;
    let rpc = grpc(&server, root).await;

    rpc.find_nameserver().await.unwrap();
    let conf = Pair { key: "auto_failover".to_owned(), value: "false".to_owned() };
    rpc.nameserver(NameserverCall::ConfSet(ConfSetRequest { conf })).await.unwrap();
    until("auto_failover is off in ZooKeeper", || async {
        read(&client, &format!("{root}/config/auto_failover")).await.as_deref() == Some("false")
    })
    .await;

    let (tablet, _) = sandbox.tablets()[0].clone();
    let node = format!("{root}/nodes/{tablet}");
    assert_eq!(read(&client, &node).await, Some(format!("startup_{tablet}")));
    let (_, stat) = client.get_data(&node).await.unwrap();
    assert_ne!(stat.ephemeral_owner, 0);
    sandbox.live().with(|world| world.kill_tablet(&tablet));
    until("the dead tablet's node is gone", || async { read(&client, &node).await.is_none() }).await;

    let first = sandbox.nameserver_address().unwrap();
    let leader = sandbox.live().look(|world| world.leader().unwrap());
    sandbox.live().with(|world| world.kill_nameserver(&leader));
    until("the standby leads", || async {
        sandbox.live().look(|world| world.leader()).is_some_and(|now| now != leader)
    })
    .await;
    until("clients find it", || async { rpc.find_nameserver().await.is_ok_and(|found| found != first.to_string()) })
        .await;
    sandbox.stop().await.unwrap();
    assert!(client.check_stat(root).await.unwrap().is_none());
}

#[tokio::test]
async fn servers_that_go_by_names_are_found_by_them() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let root = "/called-by-name";
    let sandbox = sandbox(Scenario::ServerNames, &options(&server, root)).await;
    let (name, address) = sandbox.tablets()[0].clone();
    assert_ne!(name.as_str(), address.to_string());
    let client = server.client().await;
    assert_eq!(read(&client, &format!("{root}/map/names/{name}")).await, Some(address.to_string()));
    let rpc = grpc(&server, root).await;
    assert_eq!(rpc.find_nameserver().await.unwrap(), sandbox.nameserver_address().unwrap().to_string());
    let status = openmldb_ops::wire::api::GetTableStatusRequest::default();
    let call = openmldb_ops::wire::call::TabletCall::GetTableStatus(status);
    assert!(rpc.tablet(&name, call).await.is_ok());
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn with_credentials_nobody_else_can_read() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let mut options = options(&server, "/guarded");
    if let Some(at) = &mut options.zookeeper {
        at.digest = Some("openmldb:secret".to_owned());
    }
    let sandbox = sandbox(Scenario::Healthy, &options).await;
    let stranger = server.client().await;
    let refused = stranger.list_children("/guarded/leader").await.unwrap_err();
    assert_eq!(refused, zookeeper_client::Error::NoAuth, "as OpenMLDB's nodes with zk_cert");
    let friend = Client::connector().with_auth("digest", b"openmldb:secret").connect(&server.address()).await.unwrap();
    assert_eq!(friend.list_children("/guarded/leader").await.unwrap().len(), 2);
    sandbox.stop().await.unwrap();
}
