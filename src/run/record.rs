//! What a run leaves on disk before its first change, and what a later run on the same host reads back: the flags that
//! the first one cleared, offsets known before, and whether auto_failover was on. One file per run, JSON Lines.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::model::Snapshot;
use crate::recovery::Before;

/// The version of the lines written.
const VERSION: u32 = 1;

/// A run's file.
#[derive(Debug)]
pub struct Record {
    path: PathBuf,
    file: File,
}

/// What an earlier, unfinished run knew.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Earlier {
    /// Its file.
    pub path: PathBuf,
    /// Whether auto_failover was on before it.
    pub auto_failover: bool,
    /// Flags and offsets before it.
    pub before: Vec<Before>,
}

/// A record that cannot be written or read.
#[derive(Debug, thiserror::Error)]
#[error("cannot use the record {}: {source}", path.display())]
pub struct RecordError {
    path: PathBuf,
    source: io::Error,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "line", rename_all = "snake_case")]
enum Line {
    Begun { version: u32, cluster: String, auto_failover: bool, before: Vec<Before>, snapshot: Box<Snapshot> },
    Ended { finished: bool, verdict: String },
}

impl Record {
    /// Writes the first line and makes sure that it is on disk, directory entry included.
    ///
    /// # Errors
    /// The directory or file cannot be written; then nothing must be changed.
    pub fn begin(
        dir: &Path,
        snapshot: &Snapshot,
        auto_failover: bool,
        before: Vec<Before>,
    ) -> Result<Self, RecordError> {
        fs::create_dir_all(dir).map_err(at(dir))?;
        let (path, file) = create_new(dir, snapshot.taken_at_ms).map_err(at(dir))?;
        let mut record = Self { path, file };
        let (cluster, snapshot) = (snapshot.cluster.clone(), Box::new(snapshot.clone()));
        record.append(&Line::Begun { version: VERSION, cluster, auto_failover, before, snapshot })?;
        File::open(dir).and_then(|dir| dir.sync_all()).map_err(at(dir))?;
        Ok(record)
    }

    /// Writes the last line. `finished` says that nothing of it matters to a later run.
    ///
    /// # Errors
    /// The file cannot be written; the cluster is as it is, and the next run takes this one for unfinished.
    pub fn end(&mut self, finished: bool, verdict: &str) -> Result<(), RecordError> {
        self.append(&Line::Ended { finished, verdict: verdict.to_owned() })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    fn append(&mut self, line: &Line) -> Result<(), RecordError> {
        let written = serde_json::to_vec(line).map_err(io::Error::other).and_then(|mut text| {
            text.push(b'\n');
            self.file.write_all(&text)?;
            self.file.sync_all()
        });
        written.map_err(|source| RecordError { path: self.path.clone(), source })
    }
}

fn at(path: &Path) -> impl FnOnce(io::Error) -> RecordError + use<> {
    let path = path.to_owned();
    move |source| RecordError { path, source }
}

/// Two runs may begin in the same millisecond: each gets a name of its own.
fn create_new(dir: &Path, at_ms: u64) -> io::Result<(PathBuf, File)> {
    for again in 0..100 {
        let path = dir.join(format!("run-{at_ms}-{again}.jsonl"));
        match OpenOptions::new().write(true).create_new(true).open(&path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (path, file)),
        }
    }
    Err(io::Error::new(io::ErrorKind::AlreadyExists, "too many runs at the same moment"))
}

/// What the newest run on this cluster left, if it did not finish. A damaged or foreign file is not a record.
///
/// # Errors
/// The directory exists and cannot be read.
pub fn unfinished(dir: &Path, cluster: &str) -> Result<Option<Earlier>, RecordError> {
    let entries = match fs::read_dir(dir) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(RecordError { path: dir.to_owned(), source }),
    };
    let mut files: Vec<(u64, PathBuf)> =
        entries.flatten().filter_map(|entry| Some((began_at(&entry.path())?, entry.path()))).collect();
    files.sort();
    for (_, path) in files.into_iter().rev() {
        let Ok(text) = fs::read_to_string(&path) else { continue };
        let mut lines = text.lines().map(serde_json::from_str::<Line>);
        let Some(Ok(Line::Begun { version: VERSION, cluster: of, auto_failover, before, .. })) = lines.next() else {
            continue;
        };
        if of != cluster {
            continue;
        }
        let finished = lines.any(|line| matches!(line, Ok(Line::Ended { finished: true, .. })));
        return Ok((!finished).then_some(Earlier { path, auto_failover, before }));
    }
    Ok(None)
}

fn began_at(path: &Path) -> Option<u64> {
    let name = path.file_name()?.to_str()?.strip_prefix("run-")?.strip_suffix(".jsonl")?;
    name.split('-').next()?.parse().ok()
}
