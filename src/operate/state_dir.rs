//! What has to outlive a process: the goals of an undertaking under way, and what a tablet led before its upgrade. Versioned
//! JSON, in a file beside the records that is on disk, whole, before anything is changed.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::files;
use crate::model::{Endpoint, Offset, PartitionId};
use crate::run::RunId;

use super::arrange::{Closed, UpgradeNote};
use super::goal::Goal;
use super::undertaking::Undertaking;

/// The version of the files written.
const VERSION: u32 = 1;

/// A file that cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("cannot use {path}: {seen}")]
pub struct StateDirError {
    /// Which.
    pub path: String,
    /// What was seen.
    pub seen: String,
}

/// The goals of an undertaking that has not come to its end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Unfinished {
    version: u32,
    /// What the cluster is called.
    pub cluster: String,
    /// The run that it was begun by; none in files of an earlier version of this program.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run: Option<RunId>,
    /// The undertaking.
    pub of: Undertaking,
    /// Its goals, as they were made before the first step.
    pub goals: Vec<Goal>,
}

/// A leader that has stepped down, and is to be brought back as follower.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StoodDown {
    /// Which partition.
    pub partition: PartitionId,
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it held then, and its successor, too.
    pub at: Offset,
}

/// Those of them that are under way.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Standing {
    version: u32,
    cluster: String,
    stood_down: Vec<StoodDown>,
}

/// Where these files are.
#[derive(Debug, Clone)]
pub struct StateDir {
    dir: PathBuf,
    cluster: String,
}

impl StateDir {
    /// The files of a cluster in a directory of records.
    pub fn new(dir: &Path, cluster: &str) -> Self {
        Self { dir: dir.to_owned(), cluster: cluster.to_owned() }
    }

    fn path(&self, what: &str) -> PathBuf {
        let plain =
            |text: &str| -> String { text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect() };
        self.dir.join(format!("{}-{}.json", plain(what), plain(&self.cluster)))
    }

    fn upgrade(&self, endpoint: &Endpoint) -> PathBuf {
        self.path(&format!("upgrade-{endpoint}"))
    }

    fn arrangement(&self) -> PathBuf {
        self.path("arrangement")
    }

    /// What `upgrade pre` of a tablet wrote down.
    ///
    /// # Errors
    /// It cannot be read, or is another version's.
    pub fn upgrade_note(&self, endpoint: &Endpoint) -> Result<Option<UpgradeNote>, StateDirError> {
        let path = self.upgrade(endpoint);
        Ok(read(&path)?.filter(|note: &UpgradeNote| note.cluster == self.cluster && note.endpoint == *endpoint))
    }

    /// The tablets whose upgrade is open: `upgrade pre` was begun, and `upgrade post` has not come to its end.
    ///
    /// # Errors
    /// A note cannot be read, or is another version's.
    pub fn open_upgrades(&self) -> Result<Vec<Endpoint>, StateDirError> {
        let entries = match fs::read_dir(&self.dir) {
            Ok(entries) => entries,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(error) => return Err(failed(&self.dir)(error)),
        };
        let mut open = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed(&self.dir))?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            if !name.starts_with("upgrade-") || !name.ends_with(".json") {
                continue;
            }
            let note = read::<UpgradeNote>(&path)?.filter(|note| note.cluster == self.cluster);
            open.extend(note.map(|note| note.endpoint));
        }
        open.sort();
        Ok(open)
    }

    /// The tablets that are being emptied or upgraded.
    ///
    /// # Errors
    /// As [`StateDir::open_upgrades`] and [`StateDir::unfinished`].
    pub fn closed(&self) -> Result<Closed, StateDirError> {
        let unfinished = self.unfinished()?;
        Ok(Closed::new(self.open_upgrades()?, unfinished.as_ref().map(|unfinished| &unfinished.of)))
    }

    /// Writes it down.
    ///
    /// # Errors
    /// It is not on disk; then nothing must be changed.
    pub fn note_upgrade(&self, note: &UpgradeNote) -> Result<String, StateDirError> {
        self.write(&self.upgrade(&note.endpoint), note)
    }

    /// The upgrade is over.
    ///
    /// # Errors
    /// It cannot be removed.
    pub fn upgrade_is_over(&self, endpoint: &Endpoint) -> Result<(), StateDirError> {
        self.remove(&self.upgrade(endpoint))
    }

    /// The undertaking that has not come to its end, if there is one.
    ///
    /// # Errors
    /// It cannot be read, or is another version's.
    pub fn unfinished(&self) -> Result<Option<Unfinished>, StateDirError> {
        Ok(read(&self.arrangement())?.filter(|kept: &Unfinished| kept.cluster == self.cluster))
    }

    /// Writes down the goals of an undertaking, and which run begins it.
    ///
    /// # Errors
    /// They are not on disk; then nothing must be changed.
    pub fn begin(&self, run: RunId, of: &Undertaking, goals: &[Goal]) -> Result<(), StateDirError> {
        let cluster = self.cluster.clone();
        let kept = Unfinished { version: VERSION, cluster, run: Some(run), of: of.clone(), goals: goals.to_vec() };
        self.write(&self.arrangement(), &kept).map(drop)
    }

    /// Leaders that have stepped down and are not back as followers, as far as an earlier process wrote down.
    ///
    /// # Errors
    /// They cannot be read, or are another version's.
    pub fn stood_down(&self) -> Result<Vec<StoodDown>, StateDirError> {
        let kept: Option<Standing> = read(&self.path("handover"))?;
        Ok(kept.filter(|kept| kept.cluster == self.cluster).map(|kept| kept.stood_down).unwrap_or_default())
    }

    /// Writes them down.
    ///
    /// # Errors
    /// They are not on disk; then nobody else must be made leader.
    pub fn note_stood_down(&self, stood_down: &[StoodDown]) -> Result<(), StateDirError> {
        let path = self.path("handover");
        if stood_down.is_empty() {
            return self.remove(&path);
        }
        let kept = Standing { version: VERSION, cluster: self.cluster.clone(), stood_down: stood_down.to_vec() };
        self.write(&path, &kept).map(drop)
    }

    /// It has come to its end.
    ///
    /// # Errors
    /// The file cannot be removed.
    pub fn end(&self) -> Result<(), StateDirError> {
        self.remove(&self.arrangement())
    }

    fn write(&self, path: &Path, value: &impl Serialize) -> Result<String, StateDirError> {
        if let Some(other) = self.other_cluster_in(path)? {
            let seen = format!("it is about another cluster, {other}, whose name is much like {}", self.cluster);
            return Err(StateDirError { path: path.display().to_string(), seen });
        }
        let text = serde_json::to_vec_pretty(value).map_err(|error| failed(path)(io::Error::other(error)))?;
        let written = fs::create_dir_all(path.parent().unwrap_or(path)).and_then(|()| files::replace(path, &text));
        written.map_err(failed(path))?;
        Ok(path.display().to_string())
    }

    fn remove(&self, path: &Path) -> Result<(), StateDirError> {
        match self.other_cluster_in(path)? {
            Some(_) => Ok(()),
            None => files::remove(path).map(drop).map_err(failed(path)),
        }
    }

    /// Names of two clusters may differ by what cannot stand in the name of a file.
    fn other_cluster_in(&self, path: &Path) -> Result<Option<String>, StateDirError> {
        #[derive(Deserialize)]
        struct Of {
            cluster: String,
        }
        Ok(read::<Of>(path)?.map(|of| of.cluster).filter(|cluster| *cluster != self.cluster))
    }
}

fn failed(path: &Path) -> impl Fn(io::Error) -> StateDirError + '_ {
    |error| StateDirError { path: path.display().to_string(), seen: error.to_string() }
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, StateDirError> {
    #[derive(Deserialize)]
    struct Versioned {
        version: u32,
    }
    let text = match fs::read(path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(failed(path)(error)),
    };
    let garbage =
        |error: serde_json::Error| StateDirError { path: path.display().to_string(), seen: error.to_string() };
    let Versioned { version } = serde_json::from_slice(&text).map_err(garbage)?;
    if version != VERSION {
        let seen = format!("it has version {version}, and this program reads version {VERSION}");
        return Err(StateDirError { path: path.display().to_string(), seen });
    }
    serde_json::from_slice(&text).map(Some).map_err(garbage)
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::model::{Pid, TableName};

    #[test]
    fn clusters_whose_names_make_the_same_file_name_do_not_take_each_others_files() {
        let dir = tempfile::tempdir().unwrap();
        let dirs = ["zk:2181/a-b", "zk:2181/a/b"].map(|cluster| StateDir::new(dir.path(), cluster));
        let [one, other] = &dirs;
        let to = Endpoint::from("10.0.0.1:10921");
        let table = TableName { db: "shop".to_owned(), table: "orders".to_owned() };
        let of = Undertaking::Handover { table, pids: vec![Pid(0)], to: to.clone() };
        let run = RunId { began_ms: 7, number: 0 };
        one.begin(run, &of, &[]).unwrap();
        assert_eq!(other.unfinished().unwrap(), None);
        let error = other.begin(run, &of, &[]).unwrap_err();
        assert!(error.to_string().contains("it is about another cluster, zk:2181/a-b"), "{error}");
        other.end().unwrap();
        assert!(one.unfinished().unwrap().is_some(), "it is still there");
        one.end().unwrap();
        assert_eq!(one.unfinished().unwrap(), None);
        other.begin(run, &of, &[]).unwrap();
    }
}
