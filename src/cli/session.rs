//! The cluster a command works on: a real one, or an embedded one that lives as long as the command.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::anyhow;

use crate::cluster::{
    Cluster, Credentials, LockNodes, Options, Patience, Progress, Target, Transport, zookeeper_credentials,
};
use crate::run::{ClusterLock, InMemoryLock, Lock, LockFile};

use super::args::Embedded;
use super::args::shared::Where;
use super::caller::host;
use super::connection_args::ConnectionArgs;
use super::embedded::Running;
use super::failure::Failure;
use super::find::{self, DEFAULT_ROOT, Found, What};
use super::opened::Opened;
use super::record_dir::sandbox_record_dir;
use super::waits::Waits;

#[cfg(feature = "sandbox")]
pub(super) use super::embedded::{scenario, shape, time_scale};

#[cfg(feature = "sandbox")]
use super::doors::is_served_here;
#[cfg(not(feature = "sandbox"))]
use super::no_sandbox::is_served_here;

/// A cluster to work on.
pub struct Session {
    /// Its servers.
    pub cluster: Cluster,
    /// What records and messages call it.
    pub name: String,
    /// What a command that sets auto_failover needs to find it.
    pub reach: String,
    /// How much faster than ours its clock runs.
    pub pace: f64,
    /// The embedded one, if it is.
    pub sandbox: Option<Running>,
    /// Where it was found.
    pub(super) target: Target,
    /// Hears what is waited for.
    pub(super) says: Progress,
}

impl Session {
    /// Connects to the cluster named on the command line, or starts the embedded one.
    ///
    /// # Errors
    /// Neither is named, or it cannot be reached.
    pub async fn open(at: &Where, embedded: &Embedded, waits: Waits) -> Result<Self, Failure> {
        Self::open_with(Patience::Registered, at, embedded, waits).await
    }

    /// Connects to a cluster whose nameservers may be about to start.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn open_with(patience: Patience, at: &Where, embedded: &Embedded, waits: Waits) -> Result<Self, Failure> {
        let options = options(at, waits.says.clone());
        match embedded.open(&options, &waits.carries).await? {
            Some((Opened { cluster, name, reach, pace, target }, running)) => {
                Ok(Self { cluster, name, reach, pace, sandbox: Some(running), target, says: waits.says })
            }
            None => Self::found(Options { patience, ..options }, at, waits).await,
        }
    }

    /// Connects to the cluster named on the command line.
    ///
    /// # Errors
    /// As [`Session::open`].
    pub async fn at(at: &Where, waits: Waits) -> Result<Self, Failure> {
        Self::found(options(at, waits.says.clone()), at, waits).await
    }

    async fn found(options: Options, at: &Where, waits: Waits) -> Result<Self, Failure> {
        let found = named(at, &waits)?;
        let target = target(&found)?;
        let name = match &target {
            Target::ZooKeeper { servers, root, .. } => format!("{servers}{root}"),
            Target::Nameserver(address) => address.clone(),
        };
        let reach = ConnectionArgs::to(&found, waits.records.as_deref()).words_for("openmldb-ops failover set");
        let credentials = credentials(&found)?;
        let cluster = Cluster::connect(target.clone(), &credentials, Transport::default(), options).await?;
        Ok(Self { cluster, name, reach, pace: 1.0, sandbox: None, target, says: waits.says })
    }

    /// What keeps runs on it apart: a node in its ZooKeeper, and a file beside the records, which is all there is where it was
    /// not found through ZooKeeper; nothing for an embedded one.
    ///
    /// # Errors
    /// A malformed root path.
    pub fn lock(&self, records: &Path) -> Result<Arc<dyn Lock>, Failure> {
        Ok(match &self.target {
            // Nobody else knows of it.
            _ if self.sandbox.is_some() => Arc::new(InMemoryLock::keeping_notes()),
            Target::ZooKeeper { servers, root, credentials } => {
                let nodes = LockNodes::new(servers.clone(), root, credentials.clone())?;
                Arc::new(ClusterLock::new(nodes, self.host_lock(records), self.says.clone()))
            }
            Target::Nameserver(_) => Arc::new(self.host_lock(records)),
        })
    }

    fn host_lock(&self, records: &Path) -> LockFile {
        LockFile::new(records, &self.name, &host(), self.cluster.clone())
    }

    /// Whether its clock is like ours: a sandbox's runs faster, in this process or in another one on this host.
    pub fn is_on_our_clock(&self) -> bool {
        self.sandbox.is_none() && !is_served_here(&self.cluster.leader())
    }

    /// Stops the embedded cluster, if it is one, after what was done: that counts first.
    ///
    /// # Errors
    /// As what was done, or it could not be stopped cleanly.
    pub async fn end<T>(self, done: Result<T, Failure>) -> Result<T, Failure> {
        let closed = self.close().await;
        let done = done?;
        closed.map(|()| done)
    }

    /// Stops the embedded cluster, if it is one.
    ///
    /// # Errors
    /// It could not be stopped cleanly.
    pub async fn close(self) -> Result<(), Failure> {
        match self.sandbox {
            Some(running) => {
                // Records of a cluster that is no more are of no use; there may be none.
                let _ = std::fs::remove_dir_all(sandbox_record_dir());
                running.stop().await
            }
            None => Ok(()),
        }
    }
}

fn options(at: &Where, progress: Progress) -> Options {
    Options { leader_wait: Duration::from_secs(at.leader_wait), progress: Some(progress), ..Options::default() }
}

/// Where the cluster is, from whatever names it. What is typed next reaches the same one.
///
/// # Errors
/// A file cannot be read, or what names it makes no sense.
pub(super) fn named(at: &Where, waits: &Waits) -> Result<Found, Failure> {
    let said = find::heard(at)?;
    let found = find::find(&said).map_err(Failure::usage)?;
    found.notes(&said).iter().for_each(|note| (waits.says)(note));
    let _ = waits.carries.set(ConnectionArgs::to(&found, waits.records.as_deref()));
    Ok(found)
}

/// What its servers are told about who calls.
///
/// # Errors
/// They cannot be read.
pub(super) fn credentials(found: &Found) -> Result<Credentials, Failure> {
    Ok(found.pair(What::User).map_or(Ok(Credentials::Service), |pair| Credentials::user(&pair))?)
}

/// What to ask for it.
///
/// # Errors
/// Nothing names it.
pub(super) fn target(found: &Found) -> Result<Target, Failure> {
    if let Some(address) = found.text(What::Nameserver) {
        return match is_address(address) {
            true => Ok(Target::Nameserver(address.to_owned())),
            false => Err(Failure::usage(anyhow!("`{address}` is not of the form HOST:PORT"))),
        };
    }
    let servers = found.text(What::Servers).ok_or_else(|| {
        Failure::usage(anyhow!("no cluster given")).hint(
            "use --zk-cluster HOST:PORT --zk-root-path PATH, or --nameserver HOST:PORT, or --sandbox to practise; `openmldb-ops config \
             show` says where it was looked for",
        )
    })?;
    Ok(Target::ZooKeeper {
        servers: servers.to_owned(),
        root: found.text(What::Root).unwrap_or(DEFAULT_ROOT).to_owned(),
        credentials: found.pair(What::Certificate).as_ref().map(zookeeper_credentials).transpose()?,
    })
}

fn is_address(text: &str) -> bool {
    text.rsplit_once(':').is_some_and(|(host, port)| {
        !host.is_empty() && !text.contains(char::is_whitespace) && port.parse().is_ok_and(|port: u16| port > 0)
    })
}
