//! A real ZooKeeper for a test: started on a free loopback port in a directory of its own, stopped when dropped.

use std::io::{self, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use zookeeper_client::{Acls, Client, CreateMode, Error};

/// Where Debian and Ubuntu put it; `ZOOKEEPER_CLASSPATH` names another place.
const JAR: &str = "/usr/share/java/zookeeper.jar";

/// Set to anything, it has every test run or fail: what is needed and missing is no reason to leave one out. `tests/run` sets it.
const ALL_TESTS: &str = "OPENMLDB_OPS_ALL_TESTS";

/// How long a ZooKeeper may take to come up on a busy machine.
const UP_WITHIN: Duration = Duration::from_secs(300);

/// Ends a test here where no ZooKeeper can be started, and says so: whoever works on something else needs no Java.
macro_rules! needs_zookeeper {
    () => {
        if $crate::support::zookeeper::is_left_out() {
            return;
        }
    };
}
pub(crate) use needs_zookeeper;

/// Whether the calling test is left out for want of a ZooKeeper. If so, a line names it: on the process's own stderr, which the test
/// harness does not keep to itself as it does what passing tests print.
pub fn is_left_out() -> bool {
    static MISSING: OnceLock<Option<String>> = OnceLock::new();
    if std::env::var_os(ALL_TESTS).is_some_and(|value| !value.is_empty()) {
        return false;
    }
    let Some(missing) = MISSING.get_or_init(missing) else { return false };
    let test = std::thread::current().name().unwrap_or("a test").to_owned();
    let _ = writeln!(io::stderr(), "left out: {test}, it needs a real ZooKeeper, and {missing}");
    true
}

/// What a ZooKeeper needs and is not there.
fn missing() -> Option<String> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if !std::env::split_paths(&path).any(|directory| directory.join("java").is_file()) {
        return Some("there is no java (Debian's package default-jre-headless)".to_owned());
    }
    (classpath() == JAR && !Path::new(JAR).exists()).then(|| format!("there is no {JAR} (Debian's package zookeeper)"))
}

fn classpath() -> String {
    std::env::var("ZOOKEEPER_CLASSPATH").unwrap_or_else(|_| JAR.to_owned())
}

/// A running ZooKeeper.
pub struct ZooKeeperServer {
    process: Child,
    directory: PathBuf,
    port: u16,
}

impl ZooKeeperServer {
    /// Starts one with no data, and waits until it answers.
    pub async fn start() -> Self {
        static STARTED: AtomicU32 = AtomicU32::new(0);
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let name = format!("openmldb-ops-zookeeper-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        // Another process may take the port between our look and its start.
        for _ in 0..5 {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let _ = std::fs::remove_dir_all(&directory);
            std::fs::create_dir_all(directory.join("data")).unwrap();
            let mut server = Self { process: spawn(&directory, port), directory: directory.clone(), port };
            if server.is_up().await {
                return server;
            }
        }
        panic!("ZooKeeper did not start five times");
    }

    /// The one that all tests of this process share; stopped when the last of them lets go.
    pub async fn shared() -> Arc<Self> {
        static SHARED: tokio::sync::Mutex<Weak<ZooKeeperServer>> = tokio::sync::Mutex::const_new(Weak::new());
        let mut shared = SHARED.lock().await;
        match shared.upgrade() {
            Some(server) => server,
            None => {
                let server = Arc::new(Self::start().await);
                *shared = Arc::downgrade(&server);
                server
            }
        }
    }

    /// `host:port`.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Kills it; its data stay.
    pub fn kill(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }

    /// Starts it again after [`ZooKeeperServer::kill`], on the same port with the same data.
    pub async fn start_again(&mut self) {
        self.process = spawn(&self.directory, self.port);
        assert!(self.is_up().await, "ZooKeeper did not start again");
        // It says that it is up before it serves.
        let began = Instant::now();
        while self.try_client().await.is_err() {
            assert!(began.elapsed() < UP_WITHIN, "ZooKeeper started again and serves nobody");
        }
    }

    /// Kills it, and starts it again on the same port with nothing in it.
    pub async fn lose_everything(&mut self) {
        self.kill();
        std::fs::remove_dir_all(self.directory.join("data")).unwrap();
        std::fs::create_dir_all(self.directory.join("data")).unwrap();
        self.start_again().await;
    }

    async fn try_client(&self) -> Result<Client, Error> {
        Client::connector().with_session_timeout(Duration::from_secs(10)).connect(&self.address()).await
    }

    /// A session for the test's own use. It is opened within a session's timeout, or not: on a busy machine another attempt may
    /// be needed.
    pub async fn client(&self) -> Client {
        let began = Instant::now();
        loop {
            match self.try_client().await {
                Err(Error::Timeout) if began.elapsed() < UP_WITHIN => {}
                client => return client.unwrap(),
            }
        }
    }

    /// Creates persistent nodes, parents first, each with its data, that anybody may do anything with. A busy ZooKeeper may answer
    /// later than a client waits: then they are created in another session, as far as they were not.
    pub async fn create(&self, nodes: &[(&str, &str)]) {
        let began = Instant::now();
        while let Err(error) = create_all(&self.client().await, nodes).await {
            let is_lost = matches!(error, Error::ConnectionLoss | Error::SessionExpired | Error::Custom(_));
            assert!(is_lost && began.elapsed() < UP_WITHIN, "{nodes:?}: {error}");
        }
    }

    /// Whether it came up; false if it exited instead.
    async fn is_up(&mut self) -> bool {
        let began = Instant::now();
        while began.elapsed() < UP_WITHIN {
            if self.process.try_wait().unwrap().is_some() {
                return false;
            }
            // A ZooKeeper that is just starting may accept a question and never answer it.
            let answer = tokio::time::timeout(Duration::from_millis(500), self.ask("ruok")).await;
            if matches!(answer, Ok(Ok(answer)) if answer == "imok") {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let log = std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
        panic!("ZooKeeper did not come up within {UP_WITHIN:?}; it said:\n{log}");
    }

    async fn ask(&self, word: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address()).await?;
        stream.write_all(word.as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        Ok(answer)
    }
}

impl Drop for ZooKeeperServer {
    fn drop(&mut self) {
        self.kill();
        let _ = std::fs::remove_dir_all(&self.directory);
    }
}

async fn create_all(client: &Client, nodes: &[(&str, &str)]) -> Result<(), Error> {
    let options = CreateMode::Persistent.with_acls(Acls::anyone_all());
    for (path, data) in nodes {
        if let Some((parent, _)) = path.rsplit_once('/').filter(|(parent, _)| !parent.is_empty()) {
            client.mkdir(parent, &options).await?;
        }
        match client.create(path, data.as_bytes(), &options).await {
            // By an attempt whose answer was lost.
            Err(Error::NodeExists) if client.get_data(path).await?.0 == data.as_bytes() => {}
            created => drop(created?),
        }
    }
    Ok(())
}

fn spawn(directory: &Path, port: u16) -> Child {
    let classpath = classpath();
    assert!(
        classpath != JAR || Path::new(JAR).exists(),
        "this test starts a real ZooKeeper, and {JAR} is missing: install the package zookeeper \
         (apt-get install zookeeper), or name its jars in ZOOKEEPER_CLASSPATH"
    );
    // tickTime bounds session timeouts from below (twice) and above (twenty times): sessions of a second are allowed.
    let config = format!(
        "tickTime=500\ndataDir={}\nclientPort={port}\nclientPortAddress=127.0.0.1\nadmin.enableServer=false\n\
         4lw.commands.whitelist=ruok,srvr\n",
        directory.join("data").display()
    );
    let config_file = directory.join("zoo.cfg");
    std::fs::write(&config_file, config).unwrap();
    let log = std::fs::File::create(directory.join("log")).unwrap();
    Command::new("java")
        .args(["-Xmx64m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-cp", &classpath])
        .arg("org.apache.zookeeper.server.quorum.QuorumPeerMain")
        .arg(config_file)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound => panic!(
                "this test starts a real ZooKeeper, and there is no java: install the package default-jre-headless \
                 (apt-get install zookeeper brings one too)"
            ),
            _ => panic!("java cannot be started: {error}"),
        })
}
