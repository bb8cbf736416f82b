//! The sandbox's sockets behave as OpenMLDB's do (docs/openmldb/experiments.md#the-wire).

use std::time::Duration;

use openmldb_ops::sandbox::scenario::{Scenario, Shape};
use openmldb_ops::sandbox::{Options, Sandbox};
use openmldb_ops::wire::api::tablet_server_client::TabletServerClient;
use openmldb_ops::wire::api::{DropTableRequest, GetTableStatusRequest, GetTermPairRequest};
use openmldb_ops::wire::nameserver::name_server_client::NameServerClient;
use openmldb_ops::wire::nameserver::{
    ConfGetRequest, GeneralRequest, GeneralResponse, ShowOpStatusRequest, ShowTableRequest, UpdateTableAliveRequest,
};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Request};
use tonic_prost::ProstCodec;

use crate::support::harness::PATIENCE;

async fn start(scenario: Scenario) -> Sandbox {
    Sandbox::start(scenario, &Options::default()).await.unwrap()
}

async fn channel(address: std::net::SocketAddr) -> Result<Channel, tonic::transport::Error> {
    Endpoint::from_shared(format!("http://{address}")).unwrap().timeout(Duration::from_secs(10)).connect().await
}

/// With the credentials every client of OpenMLDB's sends.
fn known<T>(message: T) -> Request<T> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("authorization", "sdefault".parse().unwrap());
    request
}

#[tokio::test]
async fn a_request_without_credentials_ends_the_connection_without_a_word() {
    let sandbox = start(Scenario::Healthy).await;
    let address = sandbox.nameserver_address().unwrap();

    let mut stranger = NameServerClient::new(channel(address).await.unwrap());
    let refused = stranger.conf_get(ConfGetRequest::default()).await.unwrap_err();
    assert_eq!((refused.code(), refused.message()), (Code::Unknown, "transport error"));

    let mut client = NameServerClient::new(channel(address).await.unwrap());
    let answer = client.conf_get(known(ConfGetRequest::default())).await.unwrap().into_inner();
    assert_eq!(answer.conf[0].value, "true");
    // Only the first request of a connection is looked at (docs/openmldb/clients.md#credentials).
    assert_eq!(client.conf_get(ConfGetRequest::default()).await.unwrap().into_inner().code, 0);
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn a_missing_field_and_an_unknown_method_are_grpc_errors() {
    let sandbox = start(Scenario::Healthy).await;
    let address = sandbox.nameserver_address().unwrap();
    let call = |path: &'static str| async move {
        let mut grpc = tonic::client::Grpc::new(channel(address).await.unwrap());
        grpc.ready().await.unwrap();
        let codec: ProstCodec<ShowTableRequest, GeneralResponse> = ProstCodec::default();
        let message = ShowTableRequest { name: Some("orders".to_owned()), ..ShowTableRequest::default() };
        grpc.unary(known(message), PathAndQuery::from_static(path), codec).await.unwrap_err()
    };

    let incomplete = call("/openmldb.nameserver.NameServer/RecoverTable").await;
    assert_eq!(incomplete.code(), Code::InvalidArgument);
    let text = format!("[{address}][E1003]Fail to parse http body as openmldb.nameserver.RecoverTableRequest");
    assert_eq!(incomplete.message(), text, "tests/recordings/09-refusals");
    assert_eq!(call("/openmldb.nameserver.NameServer/ShowCatalog").await.code(), Code::Unimplemented);
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn a_dead_server_hangs_up_and_refuses_and_comes_back_at_the_same_port() {
    let sandbox = start(Scenario::Healthy).await;
    let (endpoint, address) = sandbox.tablets()[0].clone();
    let mut client = TabletServerClient::new(channel(address).await.unwrap());
    let held = client.get_table_status(known(GetTableStatusRequest::default())).await.unwrap().into_inner();
    assert_eq!(held.all_table_status.len(), 7, "tests/recordings/01-healthy");

    sandbox.live().with(|world| world.kill_tablet(&endpoint));
    let pair = GetTermPairRequest { tid: Some(7), pid: Some(0), ..GetTermPairRequest::default() };
    assert!(client.get_term_pair(known(pair)).await.is_err());
    until("its port is closed", || async { channel(address).await.is_err() }).await;

    until("it is registered again", || async {
        let started = sandbox.live().with(|world| world.start_tablet(&endpoint));
        started == openmldb_ops::sandbox::world::Started::Running
    })
    .await;
    until("its port is open", || async { channel(address).await.is_ok() }).await;
    let mut client = TabletServerClient::new(channel(address).await.unwrap());
    let held = client.get_table_status(known(GetTableStatusRequest::default())).await.unwrap().into_inner();
    assert!(held.all_table_status.is_empty(), "nothing loads by itself");
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn a_frozen_server_keeps_its_port_open_and_does_what_it_was_asked_when_it_goes_on() {
    let sandbox = start(Scenario::Healthy).await;
    let (endpoint, address) = sandbox.tablets()[0].clone();
    sandbox.live().with(|world| world.freeze_tablet(&endpoint, true));
    let mut client = TabletServerClient::new(channel(address).await.unwrap());
    let drop = DropTableRequest { tid: Some(9), pid: Some(0), task_info: None };
    let impatient = tokio::time::timeout(Duration::from_millis(100), client.drop_table(known(drop))).await;
    assert!(impatient.is_err(), "the client gives up");
    sandbox.live().with(|world| world.freeze_tablet(&endpoint, false));
    until("the table is dropped all the same", || {
        let mut client = client.clone();
        async move {
            let request = GetTableStatusRequest { tid: Some(9), ..GetTableStatusRequest::default() };
            let held = client.get_table_status(known(request)).await.unwrap().into_inner();
            held.all_table_status.is_empty()
        }
    })
    .await;
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn the_world_goes_on_between_calls() {
    let sandbox = start(Scenario::FollowersRecovering).await;
    sandbox.live().with(|world| world.nameserver_settings_mut().op_fails_for_no_reason = None);
    let client = NameServerClient::new(channel(sandbox.nameserver_address().unwrap()).await.unwrap());
    until("every operation has ended", || {
        let mut client = client.clone();
        async move {
            let answer = client.show_op_status(known(ShowOpStatusRequest::default())).await.unwrap().into_inner();
            answer.op_status.iter().all(|op| op.status == "kDone")
        }
    })
    .await;
    let count = sandbox.live().look(|world| world.row_count());
    assert_eq!(
        count.rows_after, count.rows_expected,
        "every follower was sent its rows, some 60 s of world time later"
    );
    sandbox.stop().await.unwrap();
}

#[tokio::test]
async fn standbys_answer_and_stopping_frees_every_port() {
    let options = Options { nameservers: 2, shape: Shape::default(), ..Options::default() };
    let sandbox = Sandbox::start(Scenario::Healthy, &options).await.unwrap();
    let leader = sandbox.nameserver_address().unwrap();
    let standby = sandbox.nameservers().iter().map(|(_, address)| *address).find(|address| *address != leader).unwrap();
    let mut client = NameServerClient::new(channel(standby).await.unwrap());
    assert_eq!(client.show_database(known(GeneralRequest::default())).await.unwrap().into_inner().code(), 300);

    let tablets: Vec<_> = sandbox.tablets().iter().map(|(_, address)| *address).collect();
    sandbox.stop().await.unwrap();
    assert!(client.show_database(known(GeneralRequest::default())).await.is_err());
    for address in tablets.into_iter().chain([leader, standby]) {
        std::net::TcpListener::bind(address).unwrap_or_else(|error| panic!("{address} is still taken: {error}"));
    }
}

#[tokio::test]
async fn what_clients_change_is_traced_and_healthy_partitions_noticed() {
    let sandbox = start(Scenario::Healthy).await;
    let mut client = NameServerClient::new(channel(sandbox.nameserver_address().unwrap()).await.unwrap());
    client.show_table(known(ShowTableRequest { show_all: Some(true), ..ShowTableRequest::default() })).await.unwrap();
    sandbox.live().look(|world| assert_eq!((world.trace().reads(), world.trace().mutations()), (1, 0)));

    let request = UpdateTableAliveRequest {
        name: Some("orders".to_owned()),
        db: Some("shop".to_owned()),
        endpoint: Some(sandbox.tablets()[1].0.to_string()),
        pid: None,
        is_alive: Some(false),
    };
    let refused = client.update_table_alive_status(known(request)).await.unwrap().into_inner();
    assert_eq!(refused.code, 301, "auto_failover is on");
    sandbox.live().look(|world| {
        assert_eq!(world.trace().mutations(), 1);
        assert_eq!(world.row_count().healthy_partitions_touched, 4, "refused or not, all four were named");
    });
    sandbox.stop().await.unwrap();
}

async fn until<F: Future<Output = bool>>(what: &str, so: impl Fn() -> F) {
    let waiting = async {
        while !so().await {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    };
    tokio::time::timeout(PATIENCE, waiting).await.unwrap_or_else(|_| panic!("waited {PATIENCE:?} until {what}"));
}
