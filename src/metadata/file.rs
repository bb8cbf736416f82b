//! Backup files: JSON, with a version in front and a checksum of every node.

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;
use crate::model::{MetadataTree, hex};

use super::is_kept;
use super::{Backup, Origin};

/// The version this build writes, and the only one it reads.
pub const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document {
    openmldb_ops_metadata: u32,
    /// SHA-256 of what follows, whatever its line breaks.
    checksum: String,
    cluster: String,
    taken_at_ms: u64,
    origin: Origin,
    consistent: bool,
    changed: Vec<String>,
    nodes: Vec<Node>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Node {
    path: String,
    /// Base64.
    data: String,
}

/// Just the version, whatever else is in the file.
#[derive(Deserialize)]
#[serde(expecting = "a backup of metadata, with `\"openmldb_ops_metadata\": 1` in front")]
struct Version {
    openmldb_ops_metadata: Option<u32>,
}

/// A backup file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// It cannot be read.
    #[error("cannot read the backup {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the backup {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a backup, or a damaged one; says where.
    #[error("{file} is not a readable backup of metadata: {error}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        error: String,
    },
    /// It was written by another version.
    #[error("{file} is a backup of metadata of version {found}; this build reads version {VERSION}")]
    OtherVersion {
        /// The file.
        file: String,
        /// Its version.
        found: u32,
    },
    /// It was changed after it was written.
    #[error("{file} was changed after it was written: its checksum is {written}, its content has {now}")]
    Changed {
        /// The file.
        file: String,
        /// The checksum in it.
        written: String,
        /// The checksum of what it says.
        now: String,
    },
    /// It holds something that no backup holds.
    #[error("{file}: node {number}: {error}")]
    BadNode {
        /// The file.
        file: String,
        /// Which node, counted from 1.
        number: usize,
        /// What is wrong with it.
        error: String,
    },
}

/// The checksum of a backup: of what it says, each part with its length in front, so that no two backups share one.
pub fn checksum(backup: &Backup) -> String {
    let mut digest = Sha256::new();
    let mut add = |part: &[u8]| {
        digest.update((part.len() as u64).to_be_bytes());
        digest.update(part);
    };
    add(backup.cluster.as_bytes());
    add(&backup.taken_at_ms.to_be_bytes());
    add(match backup.origin {
        Origin::Read => b"read",
        Origin::Rebuilt => b"rebuilt",
    });
    add(&(backup.changed.len() as u64).to_be_bytes());
    backup.changed.iter().for_each(|path| add(path.as_bytes()));
    for (path, data) in backup.tree.nodes() {
        add(path.as_bytes());
        add(data);
    }
    format!("sha256:{}", hex(&digest.finalize()))
}

/// The text of a backup file.
///
/// # Errors
/// Never for a backup that was made; an error is passed on rather than hidden.
pub fn write(backup: &Backup) -> Result<String, FileError> {
    let node = |(path, data): (&str, &[u8])| Node { path: path.to_owned(), data: STANDARD.encode(data) };
    let document = Document {
        openmldb_ops_metadata: VERSION,
        checksum: checksum(backup),
        cluster: backup.cluster.clone(),
        taken_at_ms: backup.taken_at_ms,
        origin: backup.origin,
        consistent: backup.is_consistent(),
        changed: backup.changed.clone(),
        nodes: backup.tree.nodes().map(node).collect(),
    };
    let text = serde_json::to_string_pretty(&document);
    let malformed = |error: serde_json::Error| FileError::Malformed { file: "it".to_owned(), error: error.to_string() };
    text.map(|text| text + "\n").map_err(malformed)
}

/// Writes a backup to a file.
///
/// # Errors
/// The file cannot be written.
pub fn save(backup: &Backup, path: &Path) -> Result<(), FileError> {
    let text = write(backup)?;
    files::replace(path, text.as_bytes()).map_err(|source| FileError::Write { path: path.to_owned(), source })
}

/// Reads a backup file.
///
/// # Errors
/// See [`FileError`].
pub fn read(path: &Path) -> Result<Backup, FileError> {
    let text = fs::read_to_string(path).map_err(|source| FileError::Read { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Reads the text of a backup file. `file` is what errors call it.
///
/// # Errors
/// See [`FileError`].
pub fn parse(file: &str, text: &str) -> Result<Backup, FileError> {
    let malformed = |error: String| FileError::Malformed { file: file.to_owned(), error };
    let version: Version = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    match version.openmldb_ops_metadata {
        None => return Err(malformed(format!("`\"openmldb_ops_metadata\": {VERSION}` is missing"))),
        Some(VERSION) => {}
        Some(found) => return Err(FileError::OtherVersion { file: file.to_owned(), found }),
    }
    let document: Document = serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?;
    let (written, consistent) = (document.checksum.clone(), document.consistent);
    let backup = backup_of(file, document)?;
    let now = checksum(&backup);
    if written != now {
        return Err(FileError::Changed { file: file.to_owned(), written, now });
    }
    if consistent != backup.is_consistent() {
        return Err(malformed("`consistent` is not what `changed` says".to_owned()));
    }
    Ok(backup)
}

fn backup_of(file: &str, document: Document) -> Result<Backup, FileError> {
    let mut tree = MetadataTree::default();
    for (number, Node { path, data }) in (1..).zip(document.nodes) {
        let bad = |error: String| FileError::BadNode { file: file.to_owned(), number, error };
        let data = STANDARD.decode(&data).map_err(|error| bad(format!("its data is not base64: {error}")))?;
        if !is_kept(&path) {
            return Err(bad(format!("{path:?} is not a path that a backup can hold")));
        }
        if let Some((parent, _)) = path.rsplit_once('/')
            && !tree.contains(parent)
        {
            return Err(bad(format!("{path:?} has no {parent:?} before it")));
        }
        if tree.contains(&path) {
            return Err(bad(format!("{path:?} is there twice")));
        }
        tree.insert(path, data);
    }
    let Document { cluster, taken_at_ms, origin, changed, .. } = document;
    Ok(Backup { cluster, taken_at_ms, origin, changed, tree })
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn backup() -> Backup {
        let nodes: [(&str, &[u8]); 4] =
            [("db", b""), ("db/shop", b""), ("table", b""), ("table/term", &[0, 0xff, b'3'])];
        Backup {
            cluster: "zk:2181/openmldb".to_owned(),
            taken_at_ms: 1_795_341_600_000,
            origin: Origin::Read,
            changed: vec!["table/term".to_owned()],
            tree: nodes.into_iter().collect(),
        }
    }

    fn refused(text: &str) -> String {
        parse("the-file", text).unwrap_err().to_string()
    }

    #[test]
    fn what_is_written_is_read() {
        let text = write(&backup()).unwrap();
        assert_eq!(parse("the-file", &text).unwrap(), backup());
        assert!(text.contains("\"consistent\": false"), "{text}");
    }

    #[test]
    fn anything_that_was_changed_is_noticed() {
        let text = write(&backup()).unwrap();
        let changes = [
            ("zk:2181/openmldb", "zk:2181/other"),
            ("1795341600000", "1795341600001"),
            ("\"read\"", "\"rebuilt\""),
            ("AP8z", "AP80"),
            ("\"path\": \"db/shop\"", "\"path\": \"db/shoq\""),
        ];
        for (is, was) in changes {
            let changed = text.replacen(is, was, 1);
            assert_ne!(changed, text, "{is}");
            assert!(refused(&changed).contains("was changed after it was written"), "{is}: {}", refused(&changed));
        }
        assert!(refused(&text.replacen("\"consistent\": false", "\"consistent\": true", 1)).contains("consistent"));
        assert!(refused(&text[..text.len() / 2]).contains(" line "));
    }

    #[test]
    fn another_version_and_another_file_are_refused_as_such() {
        let text = write(&backup()).unwrap().replacen("metadata\": 1", "metadata\": 2", 1);
        assert!(refused(&text).contains("of version 2; this build reads version 1"));
        assert!(refused("{\"openmldb_ops_plan\": 1}").contains("is missing"));
        assert!(refused("[]").contains("the-file is not a readable backup"));
    }

    /// Nothing is created outside of the root path, nor where living servers are registered.
    #[test]
    fn paths_that_no_backup_holds_are_refused() {
        let data = Vec::<u8>::new;
        for path in
            ["", "/db", "a//b", "..", "db/..", "leader/lock_request0000000000", "nodes/a:1", "openmldb-ops/lock"]
        {
            let tree = [("db", data()), ("leader", data()), ("nodes", data()), ("a", data()), (path, data())];
            let text = write(&Backup { tree: tree.into_iter().collect(), ..backup() }).unwrap();
            assert!(refused(&text).contains("not a path that a backup can hold"), "{path}: {}", refused(&text));
        }
        let orphan = Backup { tree: [("a/b", data())].into_iter().collect(), ..backup() };
        assert!(refused(&write(&orphan).unwrap()).contains("before it"));
    }
}
