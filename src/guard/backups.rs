//! The metadata that ZooKeeper keeps, saved whenever they have changed, and not for ever.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use sha2::{Digest as _, Sha256};

use crate::metadata::{self, Backup, FileError};
use crate::model::{MetadataSeen, MetadataTree, hex};

/// So many backups are kept, the newest ones.
const NEWEST: usize = 24;
/// And of so many days before the last one each.
const DAYS: usize = 30;
const DAY_MS: u64 = 24 * 60 * 60 * 1000;

/// Why nothing was saved.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The directory cannot be used.
    #[error("cannot use {path}: {source}", path = path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A backup cannot be written.
    #[error(transparent)]
    File(#[from] FileError),
    /// There is nothing to save, and what was saved before may be all there is.
    #[error(
        "ZooKeeper holds nothing of {cluster}: the backups are left as they are; `openmldb-ops metadata restore FILE` puts one back"
    )]
    Nothing {
        /// The cluster.
        cluster: String,
    },
    /// It changed all the time while it was read.
    #[error("{nodes} of the metadata changed while they were read; they are read again later")]
    Restless {
        /// How many nodes.
        nodes: usize,
    },
}

/// The backups of one cluster in a directory.
#[derive(Debug)]
pub struct Backups {
    dir: PathBuf,
    cluster: String,
    last: Option<MetadataTree>,
}

impl Backups {
    /// Those in a directory, which is made if it is not there.
    ///
    /// # Errors
    /// It cannot be.
    pub fn open(dir: &Path, cluster: &str) -> Result<Self, BackupError> {
        fs::create_dir_all(dir).map_err(|source| BackupError::Directory { path: dir.to_owned(), source })?;
        let mut backups = Self { dir: dir.to_owned(), cluster: cluster.to_owned(), last: None };
        let newest = backups.there()?.pop_last().map(|(_, path)| path);
        // One that cannot be read is no reason not to save another one.
        let newest = newest.and_then(|path| metadata::read(&path).ok());
        backups.last = newest.filter(|backup| backup.cluster == cluster).map(|backup| backup.tree);
        Ok(backups)
    }

    /// Saves what was read, if it is not what was saved last; and removes what is not to be kept any more. Gives the file.
    ///
    /// # Errors
    /// It is not saved; nothing is removed then.
    pub fn save(&mut self, now_ms: u64, seen: MetadataSeen) -> Result<Option<PathBuf>, BackupError> {
        if seen.tree.is_empty() {
            return Err(BackupError::Nothing { cluster: self.cluster.clone() });
        }
        if !seen.changed.is_empty() {
            return Err(BackupError::Restless { nodes: seen.changed.len() });
        }
        if self.last.as_ref() == Some(&seen.tree) {
            return Ok(None);
        }
        let path = self.dir.join(format!("{}{now_ms}.json", self.prefix()));
        let backup = Backup::of(&self.cluster, now_ms, seen);
        metadata::save(&backup, &path)?;
        self.last = Some(backup.tree);
        let there = self.there()?;
        for taken in surplus(&there.keys().copied().collect::<Vec<_>>()) {
            if let Some(path) = there.get(&taken) {
                fs::remove_file(path).map_err(|source| BackupError::Directory { path: path.clone(), source })?;
            }
        }
        Ok(Some(path))
    }

    fn prefix(&self) -> String {
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = self.cluster.chars().map(plain).collect();
        // Names of two clusters may differ by what cannot stand in the name of a file, and none removes what is another's.
        let digest = hex(&Sha256::digest(&self.cluster));
        format!("metadata-{name}-{}-", digest.get(..8).unwrap_or_default())
    }

    /// Those that are there, by when they were taken. Whatever goes by another name is nobody's here.
    fn there(&self) -> Result<BTreeMap<u64, PathBuf>, BackupError> {
        let failed = |source| BackupError::Directory { path: self.dir.clone(), source };
        let (prefix, mut there) = (self.prefix(), BTreeMap::new());
        for entry in fs::read_dir(&self.dir).map_err(failed)? {
            let path = entry.map_err(failed)?.path();
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let taken = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".json")?.parse().ok());
            there.extend(taken.map(|taken: u64| (taken, path)));
        }
        Ok(there)
    }
}

/// Those of some backups, by when they were taken, that need not be kept: not among the newest, nor the last one of one of the newest
/// days.
pub fn surplus(taken: &[u64]) -> Vec<u64> {
    let mut taken = taken.to_vec();
    taken.sort_unstable();
    let last_of_day: BTreeMap<u64, u64> = taken.iter().map(|at| (at / DAY_MS, *at)).collect();
    let days: Vec<u64> = last_of_day.into_values().rev().take(DAYS).collect();
    let older = taken.len().saturating_sub(NEWEST);
    taken.into_iter().take(older).filter(|at| !days.contains(at)).collect()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn seen(data: &str) -> MetadataSeen {
        let tree: MetadataTree = [("db".to_owned(), data.as_bytes().to_vec())].into_iter().collect();
        MetadataSeen { root: true, tree, of_sessions: MetadataTree::default(), changed: Vec::new() }
    }

    #[test]
    fn what_has_changed_is_saved_and_nothing_is_put_over_a_backup_of_what_is_lost() {
        let dir = tempfile::tempdir().unwrap();
        let mut backups = Backups::open(&dir.path().join("new"), "zk:1/r").unwrap();
        let first = backups.save(1_000, seen("a")).unwrap().unwrap();
        assert_eq!(backups.save(2_000, seen("a")).unwrap(), None);
        assert!(backups.save(3_000, seen("b")).unwrap().is_some());
        let mut again = Backups::open(&dir.path().join("new"), "zk:1/r").unwrap();
        assert_eq!(again.save(4_000, seen("b")).unwrap(), None, "the same as another process has saved");
        let lost = MetadataSeen { tree: MetadataTree::default(), ..seen("") };
        assert!(matches!(again.save(5_000, lost), Err(BackupError::Nothing { .. })));
        let restless = MetadataSeen { changed: vec!["db".to_owned()], ..seen("c") };
        assert!(matches!(again.save(6_000, restless), Err(BackupError::Restless { nodes: 1 })));
        assert_eq!(metadata::read(&first).unwrap().tree, seen("a").tree);
        for other in ["zk:1/other", "zk-1/r"] {
            let others = Backups::open(&dir.path().join("new"), other).unwrap();
            assert!(others.there().unwrap().is_empty(), "{other}");
        }
    }

    #[test]
    fn the_newest_are_kept_and_of_each_day_the_last_one() {
        let hourly: Vec<u64> = (0..24 * 40).map(|hour| hour * 60 * 60 * 1000).collect();
        let gone = surplus(&hourly);
        let kept: Vec<u64> = hourly.iter().copied().filter(|at| !gone.contains(at)).collect();
        assert_eq!(kept.len(), NEWEST + DAYS - 1);
        assert!(hourly[hourly.len() - NEWEST..].iter().all(|at| kept.contains(at)));
        assert!(surplus(&hourly[..NEWEST]).is_empty());
    }
}
