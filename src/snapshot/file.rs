//! Snapshot files: YAML, or JSON where the name ends in `.json`, with a version in front.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::files;
use crate::model::Snapshot;

/// The version this build writes, and the only one it reads.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<S> {
    openmldb_ops_snapshot: u32,
    snapshot: S,
}

/// Just the version, whatever else is in the file.
#[derive(Deserialize)]
#[serde(expecting = "a snapshot, with `openmldb_ops_snapshot: 1` in front")]
struct Version {
    openmldb_ops_snapshot: Option<u32>,
}

/// A snapshot file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the snapshot {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the snapshot {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a snapshot, or a damaged one; says where.
    #[error("{file} is not a readable snapshot: {error}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        error: String,
    },
    /// It was written by another version.
    #[error("{file} is a snapshot of version {found}; this build reads version {VERSION}")]
    OtherVersion {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
}

/// The text of a snapshot file.
///
/// # Errors
/// Never for a snapshot that was observed; an error is passed on rather than hidden.
pub fn write(snapshot: &Snapshot, json: bool) -> Result<String, FileError> {
    let document = Document { openmldb_ops_snapshot: VERSION, snapshot };
    let text = if json {
        serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|error| error.to_string())
    } else {
        serde_yaml::to_string(&document).map_err(|error| error.to_string())
    };
    text.map_err(|error| FileError::Malformed { file: "the snapshot".to_owned(), error })
}

/// Writes a snapshot to a file; JSON if its name ends in `.json`.
///
/// # Errors
/// The file cannot be written.
pub fn save(snapshot: &Snapshot, path: &Path) -> Result<(), FileError> {
    let text = write(snapshot, path.extension().is_some_and(|extension| extension == "json"))?;
    files::replace(path, text.as_bytes()).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Reads a snapshot file.
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path) -> Result<Snapshot, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Reads the text of a snapshot file; JSON is YAML too. `file` is what errors call it.
///
/// # Errors
/// See [`FileError`].
pub fn parse(file: &str, text: &str) -> Result<Snapshot, FileError> {
    let malformed = |error: String| FileError::Malformed { file: file.to_owned(), error };
    let version: Version = serde_yaml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    match version.openmldb_ops_snapshot {
        None => Err(malformed("`openmldb_ops_snapshot: 1` is missing".to_owned())),
        Some(found) if found != VERSION => Err(FileError::OtherVersion { file: file.to_owned(), found }),
        Some(_) if text.trim_start().starts_with('{') => {
            let document: Document<Snapshot> =
                serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
            Ok(document.snapshot)
        }
        Some(_) => {
            let document: Document<Snapshot> =
                serde_yaml::from_str(text).map_err(|error| malformed(error.to_string()))?;
            Ok(document.snapshot)
        }
    }
}
