//! The lock of one host: a file beside the records for each run at work, locked as long as its process lives, that names the
//! servers of the run's cluster. Two runs whose clusters share a server are kept apart, however each of them found its cluster.

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, Permissions, TryLockError};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::cluster::{CallError, Cluster, Hold};

use super::lock::{Holder, Lock, LockError, LockFuture, Note, holder_of};
use super::record::is_loopback;

/// How long another process may take to look whether it may begin. It reads a few short files.
const TURN: Duration = Duration::from_secs(5);
/// How often its end is looked for.
const TURN_POLL: Duration = Duration::from_millis(10);
/// The longest text of such a file that is read: a thousand tablets are a tenth of it.
const LONGEST: u64 = 1 << 20;

/// What a file says.
#[derive(Debug, Serialize, Deserialize)]
struct Held {
    #[serde(flatten)]
    holder: Holder,
    /// What its records call the cluster.
    cluster: String,
    /// The addresses of its nameserver and its tablets.
    servers: BTreeSet<String>,
}

/// The lock of a cluster among the runs of this host that keep their records in the same directory. There are no notes: the
/// record says what they would.
#[derive(Debug)]
pub struct LockFile {
    dir: PathBuf,
    name: String,
    host: String,
    cluster: Cluster,
    held: Mutex<Option<(PathBuf, File)>>,
    hold: watch::Sender<Hold>,
}

impl LockFile {
    /// That of a cluster, which records call `name`, in a directory of records on this host.
    pub fn new(dir: &Path, name: &str, host: &str, cluster: Cluster) -> Self {
        let (held, hold) = (Mutex::default(), watch::Sender::new(Hold::Held));
        Self { dir: dir.to_owned(), name: name.to_owned(), host: host.to_owned(), cluster, held, hold }
    }

    fn failed(&self, error: &io::Error) -> LockError {
        LockError::File { path: self.dir.display().to_string(), seen: error.to_string() }
    }

    /// What the cluster is known by, whichever way it was found: the nameserver that leads and every tablet it knows.
    async fn servers(&self) -> Result<BTreeSet<String>, CallError> {
        let tablets = self.cluster.tablets().await?.into_iter();
        let named = |address: Option<String>| address.filter(|address| !address.is_empty());
        let addresses = tablets.map(|tablet| named(tablet.real_endpoint).unwrap_or(tablet.endpoint.to_string()));
        let addresses = addresses.chain([self.cluster.leader()]);
        // A name without an address may be another cluster's, too.
        Ok(addresses.filter(|address| address.contains(':')).map(|address| on_host(address, &self.host)).collect())
    }

    async fn take(&self, holder: &Holder) -> Result<(), LockError> {
        let servers = self.servers().await?;
        fs::create_dir_all(&self.dir).map_err(|error| self.failed(&error))?;
        let turn = self.turn().await?;
        if let Some(other) = self.other(&servers, Swept::Yes).map_err(|error| self.failed(&error))? {
            return Err(LockError::HeldBy { holder: Box::new(other) });
        }
        let held = Held { holder: holder.clone(), cluster: self.name.clone(), servers };
        let text = serde_json::to_vec(&held).map_err(|error| LockError::Text { seen: error.to_string() })?;
        let kept = self.write(holder, &text).map_err(|error| self.failed(&error))?;
        *self.held.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        drop(turn);
        Ok(())
    }

    /// Nobody else of this directory decides meanwhile whether it may begin.
    async fn turn(&self) -> Result<File, LockError> {
        let path = self.dir.join("lock");
        let opened = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(&path);
        let file = opened.map_err(|error| self.failed(&error))?;
        let deadline = Instant::now() + TURN;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) if Instant::now() < deadline => tokio::time::sleep(TURN_POLL).await,
                Err(TryLockError::WouldBlock) => {
                    let seen = format!("another process has held {} for {} s", path.display(), TURN.as_secs());
                    return Err(self.failed(&io::Error::other(seen)));
                }
                Err(TryLockError::Error(error)) => return Err(self.failed(&error)),
            }
        }
    }

    /// Locked before it has its name: once visible, it is locked and complete.
    fn write(&self, holder: &Holder, text: &[u8]) -> io::Result<(PathBuf, File)> {
        let path = self.dir.join(format!("held-{}-{}.json", holder.run, holder.caller.pid));
        let mut builder = tempfile::Builder::new();
        builder.prefix(".held-").permissions(Permissions::from_mode(0o644));
        let mut file = builder.tempfile_in(&self.dir)?;
        file.as_file().try_lock()?;
        file.write_all(text)?;
        let file = file.persist(&path).map_err(|kept| kept.error)?;
        Ok((path, file))
    }

    /// A run at work on a cluster with one of these servers, or of this name.
    fn other(&self, servers: &BTreeSet<String>, swept: Swept) -> io::Result<Option<Holder>> {
        let own = self.held.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|(path, _)| path.clone());
        for text in texts_of_runs_at_work(&self.dir, own.as_deref(), swept)? {
            match serde_json::from_str::<Held>(&text) {
                Ok(held) if held.cluster == self.name || !held.servers.is_disjoint(servers) => {
                    return Ok(Some(held.holder));
                }
                Ok(_) => {}
                // Somebody is at work, and nobody knows on what.
                Err(_) => return Ok(Some(holder_of(&text))),
            }
        }
        Ok(None)
    }
}

/// Whether files of processes that are no more are removed. That is for whoever has the turn.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Swept {
    Yes,
    No,
}

fn texts_of_runs_at_work(dir: &Path, own: Option<&Path>, swept: Swept) -> io::Result<Vec<String>> {
    let entries = match fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        entries => entries?,
    };
    let mut texts = Vec::new();
    for entry in entries {
        let path = entry?.path();
        let is_one = path.file_name().and_then(|name| name.to_str()).is_some_and(|name| name.starts_with("held-"));
        if !is_one || own == Some(&path) {
            continue;
        }
        let file = match File::open(&path) {
            // It has just ended.
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            file => file?,
        };
        match file.try_lock_shared() {
            Err(TryLockError::WouldBlock) => {
                let mut text = String::new();
                file.take(LONGEST).read_to_string(&mut text)?;
                texts.push(text);
            }
            Err(TryLockError::Error(error)) => return Err(error),
            Ok(()) if swept == Swept::Yes => match fs::remove_file(&path) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            },
            Ok(()) => {}
        }
    }
    Ok(texts)
}

/// Every host calls itself by the same loopback addresses.
fn on_host(address: String, host: &str) -> String {
    if is_loopback(&address) { format!("{address} on {host}") } else { address }
}

impl Lock for LockFile {
    fn acquire<'a>(&'a self, holder: &'a Holder) -> LockFuture<'a, ()> {
        Box::pin(self.take(holder))
    }

    fn hold(&self) -> watch::Receiver<Hold> {
        self.hold.subscribe()
    }

    fn holder(&self) -> LockFuture<'_, Option<Holder>> {
        Box::pin(async {
            let servers = self.servers().await?;
            self.other(&servers, Swept::No).map_err(|error| self.failed(&error))
        })
    }

    fn release(&self) -> Pin<Box<dyn Future<Output = ()> + Send + '_>> {
        if let Some((path, file)) = self.held.lock().unwrap_or_else(PoisonError::into_inner).take() {
            // Should it stay, it is not locked any more, and the next run sweeps it away.
            if let Err(error) = fs::remove_file(&path) {
                tracing::debug!(%error, path = %path.display(), "the lock's file stays");
            }
            drop(file);
        }
        Box::pin(std::future::ready(()))
    }

    fn note(&self) -> LockFuture<'_, Option<Note>> {
        Box::pin(std::future::ready(Ok(None)))
    }

    fn write_note<'a>(&'a self, _note: Option<&'a Note>) -> LockFuture<'a, ()> {
        Box::pin(std::future::ready(Ok(())))
    }

    fn caveat(&self) -> Option<String> {
        Some("without ZooKeeper, only runs that use the same record directory see and exclude each other".to_owned())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_loopback_address_is_one_of_its_host() {
        let named = |address: &str| on_host(address.to_owned(), "a");
        assert_eq!(named("10.0.0.1:7527"), "10.0.0.1:7527");
        for loopback in ["127.0.0.1:7527", "127.1.2.3:7527", "[::1]:7527", "localhost:7527"] {
            assert_eq!(named(loopback), format!("{loopback} on a"));
        }
    }
}
