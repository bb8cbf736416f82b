//! What runs keep in a cluster's ZooKeeper: `R/openmldb-ops/lock`, which goes with the session of the run that made it, and
//! `R/openmldb-ops/run`, a note that stays until the run has cleaned up after itself; `R/openmldb-ops/old-terms`, which partitions have
//! their history of terms from a backup, until they were seen whole. Only guards ([`super::guards`]), beside them,
//! putting metadata back ([`super::tree`]) and removing them ([`super::wipe`]) write anything else there.

use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::{Mutex, watch};
use tokio::task::JoinSet;
use zookeeper_client::{Client, CreateMode, CreateSequence, Error, SessionState};

use super::zookeeper::{ZooKeeper, clean_root, open};
use super::{DiscoveryError, Secret};

/// The session timeout asked for: so long after a process was killed its lock stays. OpenMLDB's templates have 10 s, too.
pub const LOCK_SESSION: Duration = Duration::from_secs(10);

/// Where it is kept whose history of terms is from a backup.
const OLD_TERMS: &str = "old-terms";

/// Whether a lock is still held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Hold {
    /// It is.
    Held,
    /// The connection is lost; nobody knows until it is back.
    Suspended,
    /// It is not: the session has expired, or somebody removed the node.
    Lost,
}

/// A lock that somebody holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldNode {
    /// The text that names the holder.
    pub text: String,
    /// Which node it is: the next one of the same path is another.
    made_by: i64,
    version: i32,
}

/// The lock and the note of one cluster.
#[derive(Debug)]
pub struct LockNodes {
    servers: String,
    root: String,
    credentials: Option<Secret>,
    session: Mutex<Option<Client>>,
    /// It was taken and not released: another one's is left alone.
    is_taken: AtomicBool,
    hold: watch::Sender<Hold>,
    /// What watches the lock while it is taken. It keeps the session, so it ends with the lock.
    watchers: Mutex<JoinSet<()>>,
}

impl LockNodes {
    /// Those of a cluster. Opens nothing yet.
    ///
    /// # Errors
    /// A malformed root path.
    pub fn new(servers: String, root: &str, credentials: Option<Secret>) -> Result<Self, DiscoveryError> {
        let (root, hold) = (clean_root(root)?, watch::Sender::new(Hold::Held));
        let (session, is_taken, watchers) = (Mutex::new(None), AtomicBool::new(false), Mutex::default());
        Ok(Self { servers, root, credentials, session, is_taken, hold, watchers })
    }

    /// Takes the lock, with a text that names the holder; or says who holds it.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write.
    pub async fn acquire(&self, holder: &str) -> Result<Option<HeldNode>, DiscoveryError> {
        let client = self.client().await?;
        let path = self.lock();
        loop {
            let created = self.create(&client, &path, holder, CreateMode::Ephemeral).await;
            match created {
                Ok(_) => break,
                Err(Error::NodeExists) => match client.get_data(&path).await {
                    Ok((text, stat)) => {
                        let text = String::from_utf8_lossy(&text).into_owned();
                        return Ok(Some(HeldNode { text, made_by: stat.czxid, version: stat.version }));
                    }
                    // It went between the two.
                    Err(Error::NoNode) => {}
                    Err(error) => return Err(self.refused(&path, &error)),
                },
                Err(error) => return Err(self.refused(&path, &error)),
            }
        }
        self.is_taken.store(true, Ordering::Release);
        self.hold.send_replace(Hold::Held);
        let mut watchers = self.watchers.lock().await;
        watchers.spawn(watch_session(client.clone(), self.hold.clone()));
        watchers.spawn(watch_node(client, path, self.hold.clone()));
        Ok(None)
    }

    /// Removes a lock whose holder is certainly gone, and no other: should its session have ended meanwhile and somebody else
    /// hold it, that one keeps it.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write.
    pub async fn remove(&self, held: &HeldNode) -> Result<(), DiscoveryError> {
        let (client, path) = (self.client().await?, self.lock());
        let stat = client.check_stat(&path).await.map_err(|error| self.refused(&path, &error))?;
        if stat.is_none_or(|stat| stat.czxid != held.made_by) {
            return Ok(());
        }
        match client.delete(&path, Some(held.version)).await {
            Ok(()) | Err(Error::NoNode | Error::BadVersion) => Ok(()),
            Err(error) => Err(self.refused(&path, &error)),
        }
    }

    /// Tells whether the lock is still held.
    pub fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    /// Releases the lock, if it was taken.
    pub async fn release(&self) {
        let client = self.session.lock().await.take();
        // Whatever becomes of that session is nothing to whoever takes the lock next; and where the node cannot be removed now, a
        // session that is kept would keep it.
        self.watchers.lock().await.abort_all();
        if let (Some(client), true) = (client, self.is_taken.swap(false, Ordering::AcqRel)) {
            // A ZooKeeper that cannot be told forgets the node with the session, and the one above is kept where a note is in it.
            for path in [self.lock(), self.above()] {
                if let Err(error) = client.delete(&path, None).await {
                    tracing::debug!(%error, path, "not removed");
                }
            }
        }
    }

    /// Who holds the lock, if anybody does.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us read.
    pub async fn holder(&self) -> Result<Option<String>, DiscoveryError> {
        self.text(&self.lock()).await
    }

    /// The note, if there is one.
    ///
    /// # Errors
    /// As [`LockNodes::holder`].
    pub async fn note(&self) -> Result<Option<String>, DiscoveryError> {
        self.text(&self.note_path()).await
    }

    /// Leaves a note, in place of the one before.
    ///
    /// # Errors
    /// ZooKeeper is unreachable, or does not let us write.
    pub async fn write_note(&self, note: &str) -> Result<(), DiscoveryError> {
        self.put(&self.note_path(), note).await
    }

    /// Removes the note.
    ///
    /// # Errors
    /// As [`LockNodes::write_note`].
    pub async fn clear(&self) -> Result<(), DiscoveryError> {
        self.remove_node(&self.note_path()).await
    }

    /// The pause of guards, if there is one.
    ///
    /// # Errors
    /// As [`LockNodes::holder`].
    pub async fn pause(&self) -> Result<Option<String>, DiscoveryError> {
        self.text(&self.below("pause")).await
    }

    /// What is told of histories of terms that are from a backup, if anything is.
    ///
    /// # Errors
    /// As [`LockNodes::holder`].
    pub async fn old_terms(&self) -> Result<Option<String>, DiscoveryError> {
        self.text(&self.below(OLD_TERMS)).await
    }

    /// Tells it, in place of what was told before; or nothing any more.
    ///
    /// # Errors
    /// As [`LockNodes::write_note`].
    pub async fn write_old_terms(&self, text: Option<&str>) -> Result<(), DiscoveryError> {
        let path = self.below(OLD_TERMS);
        match text {
            Some(text) => self.put(&path, text).await,
            None => self.remove_node(&path).await,
        }
    }

    /// Writes a node that stays, in place of the one before.
    pub(super) async fn put(&self, path: &str, text: &str) -> Result<(), DiscoveryError> {
        let client = self.client().await?;
        let written = match self.create(&client, path, text, CreateMode::Persistent).await {
            Err(Error::NodeExists) => client.set_data(path, text.as_bytes(), None).await.map(|_| ()),
            created => created.map(|_| ()),
        };
        written.map_err(|error| self.refused(path, &error))
    }

    /// Removes a node, if it is there.
    pub(super) async fn remove_node(&self, path: &str) -> Result<(), DiscoveryError> {
        match self.client().await?.delete(path, None).await {
            Ok(()) | Err(Error::NoNode) => Ok(()),
            Err(error) => Err(self.refused(path, &error)),
        }
    }

    /// The same place, for reading.
    pub(super) async fn place(&self) -> Result<ZooKeeper, DiscoveryError> {
        let root = if self.root.is_empty() { "/" } else { &self.root };
        ZooKeeper::connect(self.servers.clone(), root.to_owned(), self.credentials.clone()).await
    }

    pub(super) fn root(&self) -> &str {
        &self.root
    }

    pub(super) fn has_credentials(&self) -> bool {
        self.credentials.is_some()
    }

    /// Where everything of ours is.
    pub(super) fn above(&self) -> String {
        format!("{}/openmldb-ops", self.root)
    }

    /// A node of ours.
    pub(super) fn below(&self, name: &str) -> String {
        format!("{}/{name}", self.above())
    }

    fn lock(&self) -> String {
        self.below("lock")
    }

    fn note_path(&self) -> String {
        self.below("run")
    }

    pub(super) async fn text(&self, path: &str) -> Result<Option<String>, DiscoveryError> {
        match self.client().await?.get_data(path).await {
            Ok((text, _)) => Ok(Some(String::from_utf8_lossy(&text).into_owned())),
            Err(Error::NoNode) => Ok(None),
            Err(error) => Err(self.refused(path, &error)),
        }
    }

    /// Creates a node, and the one above it if that is missing. Whoever may act on the cluster may act on it.
    pub(super) async fn create(
        &self,
        client: &Client,
        path: &str,
        text: &str,
        mode: CreateMode,
    ) -> Result<CreateSequence, Error> {
        let acls = || self.acls();
        match client.create(path, text.as_bytes(), &mode.with_acls(acls())).await {
            Err(Error::NoNode) => {}
            created => return created.map(|(_, sequence)| sequence),
        }
        match client.create(&self.above(), b"", &CreateMode::Persistent.with_acls(acls())).await {
            Ok(_) | Err(Error::NodeExists) => {}
            Err(error) => return Err(error),
        }
        client.create(path, text.as_bytes(), &mode.with_acls(acls())).await.map(|(_, sequence)| sequence)
    }

    /// The session, a new one if the last one is over.
    pub(super) async fn client(&self) -> Result<Client, DiscoveryError> {
        let mut session = self.session.lock().await;
        match session.as_ref().filter(|client| !client.state().is_terminated()) {
            Some(client) => Ok(client.clone()),
            None => {
                let client = open(&self.servers, self.credentials.as_ref(), LOCK_SESSION).await?;
                *session = Some(client.clone());
                Ok(client)
            }
        }
    }

    pub(super) fn refused(&self, path: &str, error: &Error) -> DiscoveryError {
        match error {
            Error::NoAuth | Error::AuthFailed => {
                let with_credentials = self.credentials.is_some();
                DiscoveryError::Unauthorized { path: path.to_owned(), with_credentials }
            }
            error => DiscoveryError::ZooKeeperLost {
                servers: self.servers.clone(),
                path: path.to_owned(),
                seen: error.to_string(),
            },
        }
    }
}

/// Once lost, a lock stays lost, whatever becomes of the session.
fn becomes(hold: &watch::Sender<Hold>, now: Hold) {
    hold.send_if_modified(|hold| {
        let changes = *hold != Hold::Lost && *hold != now;
        if changes {
            *hold = now;
        }
        changes
    });
}

async fn watch_session(client: Client, hold: watch::Sender<Hold>) {
    let mut watcher = client.state_watcher();
    drop(client);
    loop {
        let state = watcher.changed().await;
        match state {
            SessionState::SyncConnected => becomes(&hold, Hold::Held),
            SessionState::Disconnected | SessionState::ConnectedReadOnly => becomes(&hold, Hold::Suspended),
            SessionState::AuthFailed | SessionState::Expired | SessionState::Closed => {
                return becomes(&hold, Hold::Lost);
            }
        }
    }
}

/// Somebody may remove the node by hand.
async fn watch_node(client: Client, path: String, hold: watch::Sender<Hold>) {
    loop {
        match client.check_and_watch_stat(&path).await {
            Ok((Some(_), watcher)) => {
                watcher.changed().await;
            }
            Ok((None, _)) => return becomes(&hold, Hold::Lost),
            // The session's watcher tells what it means.
            Err(_) if client.state().is_terminated() => return,
            Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
        }
    }
}
