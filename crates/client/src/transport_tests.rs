//! What calls over real sockets meet: each kind of server, good or broken, on a loopback port.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::convert::Infallible;
use std::future::Future;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::body::Body;
use tonic::codegen::{Service, http};
use tonic::transport::Server;
use tonic::{Request, Response, Status};

use super::{
    CallError, CallErrorKind, Cluster, Credentials, DiscoveryError, Grpc, Options, Outcome, Rpc, Secret, Target,
    Transport,
};
use openmldb_model::Endpoint;
use openmldb_wire::call::{NameserverAnswer, NameserverCall, TabletAnswer, TabletCall};
use openmldb_wire::{api, nameserver, nameserver_methods, tablet_methods};

type Answers<C, A> = Arc<dyn Fn(C, Option<String>) -> Result<A, Status> + Send + Sync>;

/// A nameserver that answers what a closure says, which also sees the `authorization` header.
struct Nameserver(Answers<NameserverCall, NameserverAnswer>);

/// The same for a tablet.
struct Tablet(Answers<TabletCall, TabletAnswer>);

macro_rules! serve {
    (NameserverCall $($rest:tt)*) => {
        serve! { @impl nameserver::name_server_server::NameServer, Nameserver, NameserverCall $($rest)* }
    };
    (TabletCall $($rest:tt)*) => {
        serve! { @impl api::tablet_server_server::TabletServer, Tablet, TabletCall $($rest)* }
    };
    (@impl $service:path, $server:ident, $call:ident $answer:ident $messages:ident $name:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        #[tonic::async_trait]
        impl $service for $server {
            $(async fn $snake(
                &self,
                request: Request<$messages::$request>,
            ) -> Result<Response<$messages::$response>, Status> {
                let authorization = request.metadata().get("authorization").map(|it| it.to_str().unwrap().to_owned());
                match (self.0)($call::$variant(request.into_inner()), authorization)? {
                    $answer::$variant(answer) => Ok(Response::new(answer)),
                    other => panic!("asked for {}, answered {}", stringify!($variant), other.name()),
                }
            })*
        }
    };
}

nameserver_methods!(serve);
tablet_methods!(serve);

/// A server on a port of its own, stopped when dropped.
struct Running {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn listener() -> (TcpListener, SocketAddr) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    (listener, address)
}

fn serve<S>(listener: TcpListener, service: S) -> JoinHandle<()>
where
    S: Service<http::Request<Body>, Response = http::Response<Body>, Error = Infallible> + Clone + Send + 'static,
    S::Future: Send,
{
    let incoming = TcpListenerStream::new(listener);
    tokio::spawn(async move { Server::builder().serve_with_incoming(service, incoming).await.unwrap() })
}

async fn nameserver_with(
    answers: impl Fn(NameserverCall, Option<String>) -> Result<NameserverAnswer, Status> + Send + Sync + 'static,
) -> Running {
    let (listener, address) = listener().await;
    let service = nameserver::name_server_server::NameServerServer::new(Nameserver(Arc::new(answers)));
    let task = serve(listener, service);
    Running { address, task }
}

/// A raw listener that treats each connection as told.
async fn raw<F: Future<Output = ()> + Send>(treat: impl Fn(TcpStream) -> F + Send + 'static) -> Running {
    let (listener, address) = listener().await;
    let task = tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.unwrap();
            treat(stream).await;
        }
    });
    Running { address, task }
}

async fn grpc(address: impl ToString, transport: Transport) -> Grpc {
    Grpc::new(Target::Nameserver(address.to_string()), &Credentials::default(), transport).await.unwrap()
}

fn databases() -> NameserverCall {
    NameserverCall::ShowDatabase(nameserver::GeneralRequest {})
}

fn answer_of(databases: Vec<String>) -> NameserverAnswer {
    NameserverAnswer::ShowDatabase(nameserver::ShowDatabaseResponse { code: Some(0), msg: None, db: databases })
}

async fn error_from(address: impl ToString, transport: Transport) -> CallError {
    let address = address.to_string();
    grpc(&address, transport).await.nameserver(databases()).await.unwrap_err()
}

#[tokio::test]
async fn every_request_carries_the_credentials() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = seen.clone();
    let server = nameserver_with(move |_, authorization| {
        told.lock().unwrap().push(authorization.unwrap_or_default());
        Ok(answer_of(Vec::new()))
    })
    .await;
    let service = grpc(server.address, Transport::default()).await;
    service.nameserver(databases()).await.unwrap();
    service.nameserver(databases()).await.unwrap();
    let user = Credentials::User { name: "root".into(), password: Secret::new("123456") };
    let target = Target::Nameserver(server.address.to_string());
    Grpc::new(target, &user, Transport::default()).await.unwrap().nameserver(databases()).await.unwrap();
    assert_eq!(
        *seen.lock().unwrap(),
        ["sdefault", "sdefault", "uroot:18d969eef6ecad3c29a3a629280e686cf0c3f5d5a86aff3ca12020c923adc6c92"]
    );
}

#[tokio::test]
async fn an_answer_far_beyond_the_usual_limits_passes() {
    let server = nameserver_with(|_, _| Ok(answer_of(vec!["x".repeat(80 << 20)]))).await;
    let answer = grpc(server.address, Transport::default()).await.nameserver(databases()).await.unwrap();
    let NameserverAnswer::ShowDatabase(answer) = answer else { panic!("{}", answer.name()) };
    assert_eq!(answer.db[0].len(), 80 << 20);
}

/// A stock server obeys flow control where OpenMLDB's do not, so the windows are read off the wire.
#[tokio::test]
async fn both_windows_are_as_large_as_can_be() {
    const PREFACE: usize = 24;
    const SETTINGS: u8 = 4;
    const WINDOW_UPDATE: u8 = 8;
    const INITIAL_WINDOW_SIZE: u16 = 4;
    let (listener, address) = listener().await;
    let client = grpc(address, Transport::default()).await;
    let calling = tokio::spawn(async move { client.nameserver(databases()).await });
    let (mut stream, _) = listener.accept().await.unwrap();
    stream.read_exact(&mut [0; PREFACE]).await.unwrap();
    let (mut of_streams, mut of_connection) = (0, 0);
    while of_streams == 0 || of_connection == 0 {
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        let mut frame = vec![0; u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize];
        stream.read_exact(&mut frame).await.unwrap();
        let number = |bytes: &[u8]| u32::from_be_bytes(bytes.try_into().unwrap());
        match head[3] {
            SETTINGS => {
                let windows = |pair: &&[u8]| u16::from_be_bytes([pair[0], pair[1]]) == INITIAL_WINDOW_SIZE;
                of_streams = frame.chunks(6).find(windows).map_or(0, |pair| number(&pair[2..]));
            }
            // On top of the 65,535 that every connection begins with.
            WINDOW_UPDATE => of_connection = 65_535 + number(&frame),
            _ => {}
        }
    }
    calling.abort();
    assert_eq!((of_streams, of_connection), (2_147_483_647, 2_147_483_647));
}

#[tokio::test]
async fn an_answer_over_the_limit_is_too_much() {
    let server = nameserver_with(|_, _| Ok(answer_of(vec!["x".repeat(2 << 20)]))).await;
    let error = error_from(server.address, Transport { answer_limit: 1 << 20, ..Transport::default() }).await;
    assert!(matches!(error.kind, CallErrorKind::TooMuch { limit: 1_048_576 }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert_eq!(
        error.to_string(),
        format!("nameserver {} answered ShowDatabase with more than the 1048576 bytes we accept", server.address)
    );
}

#[tokio::test]
async fn a_server_that_hangs_up_may_not_like_our_credentials() {
    let at_once = raw(async |stream| drop(stream)).await;
    let after_a_word = raw(async |mut stream| drop(stream.read(&mut [0; 16]).await)).await;
    for server in [at_once, after_a_word] {
        let error = error_from(server.address, Transport::default()).await;
        assert!(matches!(error.kind, CallErrorKind::HungUp { .. }), "{error:?}");
        assert_eq!(error.outcome(), Outcome::Unknown);
        let said = error.to_string();
        let says = "closed the connection during ShowDatabase: it refused our credentials, or died";
        assert!(said.starts_with(&format!("nameserver {} {says}", server.address)), "{said}");
    }
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let (listener, address) = listener().await;
    drop(listener);
    let error = error_from(address, Transport::default()).await;
    assert!(matches!(error.kind, CallErrorKind::Unreachable { .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert_eq!(
        error.to_string(),
        format!("nameserver {address} cannot be reached for ShowDatabase: connection refused, nothing listens there")
    );
}

#[tokio::test]
async fn a_host_that_does_not_exist_is_unreachable() {
    let error = error_from("no-such-host.invalid:1", Transport::default()).await;
    assert!(matches!(error.kind, CallErrorKind::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("no-such-host.invalid"), "{error}");
    let error = error_from("no address", Transport::default()).await;
    assert!(error.to_string().contains("\"no address\" is not an address of the form host:port"), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_exceeds_the_deadline() {
    let server = raw(async |stream| {
        tokio::spawn(async move {
            let _open = stream;
            std::future::pending::<()>().await;
        });
    })
    .await;
    let deadline = Duration::from_millis(50);
    let error = error_from(server.address, Transport { deadline: Some(deadline), ..Transport::default() }).await;
    assert!(matches!(error.kind, CallErrorKind::DeadlineExceeded { after } if after == deadline), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

#[tokio::test]
async fn a_web_server_is_garbage() {
    let server = raw(async |mut stream| {
        let _ = stream.read(&mut [0; 16]).await;
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\ncontent-length: 0\r\n\r\n").await;
        // Closing with unread input would reset the connection before the answer is read.
        let _ = stream.shutdown().await;
        let _ = stream.read_to_end(&mut Vec::new()).await;
    })
    .await;
    let error = error_from(server.address, Transport::default()).await;
    assert!(matches!(error.kind, CallErrorKind::Garbage { .. }), "{error:?}");
    assert_eq!(error.outcome(), Outcome::Unknown);
}

/// Answers every call with a well-formed gRPC frame of three bytes that are no message.
#[derive(Clone)]
struct Babble;

impl<B> Service<http::Request<B>> for Babble {
    type Response = http::Response<Body>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: http::Request<B>) -> Self::Future {
        let body = Body::new("\0\0\0\0\u{3}\u{f}\u{f}\u{f}".to_owned());
        let answer = http::Response::builder().header("content-type", "application/grpc").body(body).unwrap();
        Box::pin(std::future::ready(Ok(answer)))
    }
}

#[tokio::test]
async fn bytes_that_are_no_message_are_garbage() {
    let (listener, address) = listener().await;
    let task = serve(listener, Babble);
    let server = Running { address, task };
    let error = error_from(server.address, Transport::default()).await;
    assert!(matches!(error.kind, CallErrorKind::Garbage { .. }), "{error:?}");
    assert!(error.to_string().contains("answered ShowDatabase with something that makes no sense"), "{error}");
}

#[tokio::test]
async fn what_a_server_says_of_a_call_is_told() {
    let of = async |status: fn() -> Status| {
        let server = nameserver_with(move |_, _| Err(status())).await;
        error_from(server.address, Transport::default()).await
    };
    let error = of(|| Status::unimplemented("")).await;
    assert!(matches!(error.kind, CallErrorKind::Unimplemented) && error.outcome() == Outcome::NotApplied, "{error:?}");
    let error = of(|| Status::invalid_argument("Fail to parse http body")).await;
    assert!(matches!(&error.kind, CallErrorKind::InvalidRequest { msg } if msg.starts_with("Fail")), "{error:?}");
    let error = of(|| Status::permission_denied("no")).await;
    assert!(matches!(error.kind, CallErrorKind::Denied { .. }), "{error:?}");
    // Seen of tonic's own client deadline, should one be set on a request (docs/design/calls.md#transport).
    let error = of(|| Status::cancelled("Timeout expired")).await;
    assert!(matches!(error.kind, CallErrorKind::DeadlineExceeded { .. }), "{error:?}");
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() {
    let server = nameserver_with(|_, _| Ok(answer_of(vec!["before".into()]))).await;
    let address = server.address;
    grpc(address, Transport::default()).await.nameserver(databases()).await.unwrap();
    // Connections outlive the server's own task, so each look is made by a new client.
    drop(server);
    let client = loop {
        let client = grpc(address, Transport::default()).await;
        if client.nameserver(databases()).await.is_err() {
            break client;
        }
    };
    let listener = TcpListener::bind(address).await.unwrap();
    let service = nameserver::name_server_server::NameServerServer::new(Nameserver(Arc::new(|_, _| {
        Ok(answer_of(vec!["after".into()]))
    })));
    let task = serve(listener, service);
    let _running = Running { address, task };
    assert_eq!(client.nameserver(databases()).await.unwrap(), answer_of(vec!["after".into()]));
}

#[tokio::test]
async fn server_names_are_resolved_by_the_nameserver_without_zookeeper() {
    let (listener, tablet_address) = listener().await;
    let tablet: Answers<TabletCall, TabletAnswer> = Arc::new(|call, _| match call {
        TabletCall::GetTableStatus(_) => {
            Ok(TabletAnswer::GetTableStatus(api::GetTableStatusResponse { code: Some(0), ..Default::default() }))
        }
        other => Err(Status::unimplemented(other.name())),
    });
    let service = api::tablet_server_server::TabletServerServer::new(Tablet(tablet));
    let task = serve(listener, service);
    let _tablet = Running { address: tablet_address, task };
    let nameserver = nameserver_with(move |call, _| match call {
        NameserverCall::ShowTablet(_) => Ok(NameserverAnswer::ShowTablet(nameserver::ShowTabletResponse {
            tablets: vec![nameserver::TabletStatus {
                endpoint: Some("7353896297468489728".into()),
                state: Some("kHealthy".into()),
                age: None,
                real_endpoint: Some(tablet_address.to_string()),
            }],
            code: Some(0),
            msg: None,
        })),
        other => Err(Status::unimplemented(other.name())),
    })
    .await;
    let client = grpc(nameserver.address, Transport::default()).await;
    let cluster = Cluster::new(Arc::new(client), Options::default());
    assert_eq!(cluster.table_status(&Endpoint::from("7353896297468489728")).await.unwrap(), []);

    let once = Options { attempts: 1, ..Options::default() };
    let cluster = Cluster::new(Arc::new(grpc(nameserver.address, Transport::default()).await), once);
    let error = cluster.table_status(&Endpoint::from("nobody")).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        "tablet nobody cannot be reached for GetTableStatus: no address is known for this server name, neither in \
         ZooKeeper's map/names nor from ShowTablet"
    );
}

#[tokio::test]
async fn a_nameserver_that_hangs_up_on_everybody_is_given_up_on() {
    let server = raw(async |stream| drop(stream)).await;
    let options = Options { poll: Duration::from_millis(1), ..Options::default() };
    let target = Target::Nameserver(server.address.to_string());
    let error = Cluster::connect(target, &Credentials::default(), Transport::default(), options).await.unwrap_err();
    assert!(matches!(error, DiscoveryError::LeaderHangsUp { .. }), "{error:?}");
}
