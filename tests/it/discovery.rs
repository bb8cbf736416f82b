//! Finding a cluster through a real ZooKeeper, and every way in which that fails: each with its own sentence.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use openmldb_ops::cluster::{Cluster, Credentials, DiscoveryError, Options, Secret, Target, Transport, ZooKeeper};
use openmldb_ops::model::Endpoint;
use openmldb_ops::wire::call::{NameserverAnswer, NameserverCall};
use openmldb_ops::wire::nameserver;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Request, Response, Status};
use zookeeper_client::{Acl, Acls, AuthId, CreateMode, Permission};

use crate::support::zookeeper::{ZooKeeperServer, needs_zookeeper};

/// Long enough for a session with a ZooKeeper that is there, on any machine.
const SESSION: Duration = Duration::from_secs(10);
/// Short, for what never gives a session.
const NO_SESSION: Duration = Duration::from_secs(1);

async fn open(servers: &str, root: &str, credentials: Option<Secret>) -> Result<ZooKeeper, DiscoveryError> {
    ZooKeeper::connect_within(SESSION, servers.to_owned(), root.to_owned(), credentials).await
}

async fn leader(servers: &str, root: &str) -> Result<String, DiscoveryError> {
    open(servers, root, None).await?.leader().await
}

/// Where there is none.
async fn no_leader(address: SocketAddr) -> DiscoveryError {
    let opened = ZooKeeper::connect_within(NO_SESSION, address.to_string(), "/openmldb".to_owned(), None).await;
    opened.expect_err("no ZooKeeper")
}

#[tokio::test]
async fn the_smallest_child_leads() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server
        .create(&[
            ("/smallest/leader/lock_request0000000010", "ns-c:8527"),
            ("/smallest/leader/lock_request0000000009", "ns-b:8527"),
            ("/smallest/leader/lock_request0000000011", "ns-a:8527"),
        ])
        .await;
    assert_eq!(leader(&server.address(), "/smallest").await.unwrap(), "ns-b:8527");
    assert_eq!(leader(&server.address(), "/smallest/").await.unwrap(), "ns-b:8527", "a slash too many does no harm");
}

#[tokio::test]
async fn server_names_stand_for_addresses() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server
        .create(&[
            ("/named/leader/lock_request0000000001", "7353896300148744192"),
            ("/named/map/names/7353896300148744192", "127.0.0.1:8527"),
            ("/named/map/names/7353896297468489728", "127.0.0.1:11921"),
            ("/unnamed/leader/lock_request0000000001", "7353896300148744192"),
        ])
        .await;
    assert_eq!(leader(&server.address(), "/named").await.unwrap(), "127.0.0.1:8527");
    let names = open(&server.address(), "/named", None).await.unwrap().names().await.unwrap();
    assert_eq!(names.len(), 2);
    assert_eq!(names[&Endpoint::from("7353896297468489728")], "127.0.0.1:11921");
    assert_eq!(
        leader(&server.address(), "/unnamed").await.unwrap_err().to_string(),
        "the leading nameserver goes by the name 7353896300148744192, which /unnamed/map/names does not map to an \
         address"
    );
}

/// With use_name and an explicit endpoint OpenMLDB writes the name and no value
/// (docs/openmldb/metadata-in-zookeeper.md#server-names).
#[tokio::test]
async fn a_name_without_a_value_is_the_address() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server
        .create(&[
            ("/own-names/leader/lock_request0000000001", "127.0.0.1:8527"),
            ("/own-names/map/names/127.0.0.1:8527", ""),
            ("/nobodys/leader/lock_request0000000001", "7353896300148744192"),
            ("/nobodys/map/names/7353896300148744192", ""),
        ])
        .await;
    assert_eq!(leader(&server.address(), "/own-names").await.unwrap(), "127.0.0.1:8527");
    let error = leader(&server.address(), "/nobodys").await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NoAddress { .. }), "{error}");
}

#[tokio::test]
async fn tablets_that_registered_are_listed() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server
        .create(&[
            ("/registered/nodes/t2:10921", "startup_t2:10921"),
            ("/registered/nodes/t1:10921", "t1:10921"),
            ("/registered/nodes/NLTABLET_t3:10921", "t3:10921"),
        ])
        .await;
    let found = open(&server.address(), "/registered", None).await.unwrap();
    assert_eq!(found.nodes().await.unwrap(), [Endpoint::from("t1:10921"), Endpoint::from("t2:10921")]);
    assert!(found.names().await.unwrap().is_empty());
}

#[tokio::test]
async fn a_wrong_root_path_lists_what_there_is() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server.create(&[("/right/openmldb_b", ""), ("/right/openmldb_a", "")]).await;
    let error = leader(&server.address(), "/right/openmldb").await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "ZooKeeper at {} has no /right/openmldb: is the root path right? Under /right there is: openmldb_a, \
             openmldb_b.",
            server.address()
        )
    );
    let error = leader(&server.address(), "/right/nothing/at/all").await.unwrap_err();
    assert!(matches!(&error, DiscoveryError::WrongRoot { parent, .. } if parent == "/right"), "{error:?}");
    let error = leader(&server.address(), "/nonexistent").await.unwrap_err();
    assert!(
        matches!(&error, DiscoveryError::WrongRoot { parent, there: Some(there), .. }
            if parent == "/" && there.iter().any(|child| child == "zookeeper")),
        "{error:?}"
    );
}

#[tokio::test]
async fn a_root_without_a_nameserver_says_so() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server.create(&[("/never", ""), ("/stopped/leader", "")]).await;
    for root in ["/never", "/stopped"] {
        let error = leader(&server.address(), root).await.unwrap_err();
        assert!(matches!(error, DiscoveryError::NoNameserver { .. }), "{root}: {error:?}");
        assert_eq!(
            error.to_string(),
            format!(
                "no nameserver is registered under {root}/leader at ZooKeeper {}: is a nameserver of this cluster \
                 running?",
                server.address()
            )
        );
    }
}

/// A port that nobody listens on.
async fn closed_port() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

/// A listener that does this with every connection.
async fn listener(treat: fn(tokio::net::TcpStream)) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let task = tokio::spawn(async move {
        loop {
            treat(listener.accept().await.unwrap().0);
        }
    });
    (address, task)
}

#[tokio::test]
async fn nothing_listening_is_told_at_once() {
    let began = Instant::now();
    let (one, other) = (closed_port().await, closed_port().await);
    let error = leader(&format!("{one},{other}"), "/openmldb").await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NothingListens { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains(&format!("{one}: connection refused")) && said.contains(&other.to_string()), "{said}");
    assert!(began.elapsed() < SESSION, "the session timeout was not waited for");
}

#[tokio::test]
async fn a_name_that_does_not_resolve_is_told_at_once() {
    let error = leader("no-such-host.invalid:2181", "/openmldb").await.unwrap_err();
    assert!(matches!(error, DiscoveryError::UnknownHost { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.starts_with("no ZooKeeper server's name resolves: no-such-host.invalid:2181: "), "{said}");
}

#[tokio::test]
async fn one_server_of_several_is_enough() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    server.create(&[("/enough/leader/lock_request0000000001", "ns:8527")]).await;
    let servers = format!("{},no-such-host.invalid:2181,{}", closed_port().await, server.address());
    let found = ZooKeeper::connect(servers, "/enough".to_owned(), None).await.unwrap();
    assert_eq!(found.leader().await.unwrap(), "ns:8527");
}

#[tokio::test]
async fn a_port_that_is_no_zookeeper_is_told_apart() {
    let silent = listener(|stream| {
        tokio::spawn(async move {
            let _open = stream;
            std::future::pending::<()>().await;
        });
    })
    .await;
    let rude = listener(drop).await;
    for (address, task) in [silent, rude] {
        let error = no_leader(address).await;
        assert!(matches!(error, DiscoveryError::NoZooKeeper { .. }), "{error:?}");
        let said = error.to_string();
        assert!(said.starts_with(&format!("{address} listens, but is not a ZooKeeper: ")), "{said}");
        task.abort();
    }
}

#[tokio::test]
async fn a_zookeeper_without_a_quorum_speaks_for_itself() {
    let (address, task) = listener(|mut stream| {
        tokio::spawn(async move {
            let _ = stream.write_all(b"This ZooKeeper instance is not currently serving requests\n").await;
            let _ = stream.shutdown().await;
            let _ = stream.read_to_end(&mut Vec::new()).await;
        });
    })
    .await;
    let error = no_leader(address).await;
    assert!(matches!(error, DiscoveryError::NoSession { .. }), "{error:?}");
    let said = error.to_string();
    assert!(said.contains("\"This ZooKeeper instance is not currently serving requests\""), "{said}");
    task.abort();
}

#[tokio::test]
async fn a_root_protected_by_credentials_wants_the_right_ones() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let client = server.client().await;
    client.auth("digest", b"openmldb:secret").await.unwrap();
    let creator = [Acl::new(Permission::ALL, AuthId::authed())];
    let options = CreateMode::Persistent.with_acls(Acls::from(&creator[..]));
    client.mkdir("/protected/leader", &options).await.unwrap();
    client.create("/protected/leader/lock_request0000000001", b"ns:8527", &options).await.unwrap();

    let with = async |credentials: Option<&str>| {
        open(&server.address(), "/protected", credentials.map(Secret::new)).await?.leader().await
    };
    assert_eq!(with(Some("openmldb:secret")).await.unwrap(), "ns:8527");
    assert_eq!(
        with(None).await.unwrap_err().to_string(),
        "ZooKeeper does not let us read /protected/leader: it requires credentials (OpenMLDB's flag zk_cert): give \
         them in OPENMLDB_ZK_CERT or in a file"
    );
    let wrong = with(Some("openmldb:wrong")).await.unwrap_err();
    assert_eq!(
        wrong.to_string(),
        "ZooKeeper does not let us read /protected/leader: it does not accept the credentials given (OpenMLDB's flag \
         zk_cert)"
    );
    assert!(!format!("{wrong:?}").contains("wrong\""));
}

#[tokio::test]
async fn a_zookeeper_that_goes_and_comes_back_is_used_again() {
    needs_zookeeper!();
    let mut server = ZooKeeperServer::start().await;
    server.create(&[("/openmldb/leader/lock_request0000000001", "ns:8527")]).await;
    let found = open(&server.address(), "/openmldb", None).await.unwrap();
    assert_eq!(found.leader().await.unwrap(), "ns:8527");
    server.kill();
    let error = found.leader().await.unwrap_err();
    assert!(matches!(error, DiscoveryError::NothingListens { .. } | DiscoveryError::ZooKeeperLost { .. }), "{error:?}");
    server.start_again().await;
    assert_eq!(found.leader().await.unwrap(), "ns:8527");
}

/// A nameserver that answers ConfGet with a value, and code 300 while told to.
struct Nameserver {
    standby: Arc<Mutex<bool>>,
    auto_failover: &'static str,
}

macro_rules! serve {
    ($call:ident $answer:ident $messages:ident $service:literal;
     $($variant:ident $snake:ident $request:ident => $response:ident $effect:ident;)*) => {
        #[tonic::async_trait]
        impl nameserver::name_server_server::NameServer for Nameserver {
            $(async fn $snake(
                &self,
                request: Request<nameserver::$request>,
            ) -> Result<Response<nameserver::$response>, Status> {
                match self.answer($call::$variant(request.into_inner()))? {
                    $answer::$variant(answer) => Ok(Response::new(answer)),
                    other => Err(Status::internal(other.name())),
                }
            })*
        }
    };
}

openmldb_ops::wire::nameserver_methods!(serve);

impl Nameserver {
    fn answer(&self, call: NameserverCall) -> Result<NameserverAnswer, Status> {
        let NameserverCall::ConfGet(_) = call else { return Err(Status::unimplemented(call.name())) };
        let (code, msg) = if *self.standby.lock().unwrap() { (300, "nameserver is not leader") } else { (0, "ok") };
        let conf = vec![nameserver::Pair { key: "auto_failover".into(), value: self.auto_failover.into() }];
        Ok(NameserverAnswer::ConfGet(nameserver::ConfGetResponse { code, msg: Some(msg.into()), conf }))
    }
}

async fn serve_at(address: SocketAddr, standby: &Arc<Mutex<bool>>, auto_failover: &'static str) -> JoinHandle<()> {
    let incoming = TcpListenerStream::new(TcpListener::bind(address).await.unwrap());
    let server = Nameserver { standby: standby.clone(), auto_failover };
    let service = nameserver::name_server_server::NameServerServer::new(server);
    tokio::spawn(async move {
        tonic::transport::Server::builder().serve_with_incoming(service, incoming).await.unwrap();
    })
}

fn target(server: &ZooKeeperServer, root: &str) -> Target {
    Target::ZooKeeper { servers: server.address(), root: root.to_owned(), credentials: None }
}

async fn connect(target: Target, options: Options) -> Result<Cluster, DiscoveryError> {
    Cluster::connect(target, &Credentials::default(), Transport::default(), options).await
}

#[tokio::test]
async fn a_leader_whose_port_stays_closed_is_named_after_the_wait() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let address = closed_port().await;
    server.create(&[("/shut/leader/lock_request0000000001", &address.to_string())]).await;
    let options =
        Options { leader_wait: Duration::from_millis(200), poll: Duration::from_millis(50), ..Options::default() };
    let error = connect(target(&server, "/shut"), options).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!(
            "the leading nameserver is {address}, but it could not be reached within 200ms: connection refused, nothing \
             listens there"
        )
    );
}

#[tokio::test]
async fn a_leader_that_opens_its_port_late_and_then_fails_over_is_followed() {
    needs_zookeeper!();
    let server = ZooKeeperServer::shared().await;
    let (first, second) = (closed_port().await, closed_port().await);
    server.create(&[("/late/leader/lock_request0000000001", &first.to_string())]).await;
    let standby = Arc::new(Mutex::new(true));
    let (waits, mut waiting) = tokio::sync::mpsc::unbounded_channel();
    let progress = move |said: &str| waits.send(said.to_owned()).unwrap();
    let options = Options { poll: Duration::from_millis(20), progress: Some(Arc::new(progress)), ..Options::default() };
    let connecting = tokio::spawn(connect(target(&server, "/late"), options));

    assert!(waiting.recv().await.unwrap().contains("connection refused"));
    let _first = serve_at(first, &standby, "true").await;
    assert!(waiting.recv().await.unwrap().contains("is not the leader (code 300)"));
    *standby.lock().unwrap() = false;
    let cluster = connecting.await.unwrap().unwrap();
    assert_eq!(cluster.leader(), first.to_string());
    assert!(cluster.auto_failover().await.unwrap());
    assert_eq!(cluster.registered_tablets().await.unwrap(), Some(Vec::new()));

    // The first loses its lock to the second, and says so.
    let _second = serve_at(second, &Arc::default(), "false").await;
    server.create(&[("/late/leader/lock_request0000000002", &second.to_string())]).await;
    *standby.lock().unwrap() = true;
    let asking = tokio::spawn({
        let cluster = cluster.clone();
        async move { cluster.auto_failover().await }
    });
    assert!(waiting.recv().await.unwrap().contains("is not the leader (code 300)"));
    server.client().await.delete("/late/leader/lock_request0000000001", None).await.unwrap();
    assert!(!asking.await.unwrap().unwrap());
    assert_eq!(cluster.leader(), second.to_string());
}
