//! Plan files: YAML, or JSON where the name ends in `.json`, with a version in front and a checksum of what they say.

use std::fs;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::files;

use super::{KeptPlan, PlanId, hash};
use crate::model::hex;

/// The version this build writes, and the only one it reads.
const VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Document<P> {
    openmldb_ops_plan: u32,
    id: PlanId,
    /// SHA-256 of the plan as JSON, so that comments and line breaks do not count and everything else does.
    checksum: String,
    plan: P,
}

/// Just the version, whatever else is in the file.
#[derive(Deserialize)]
#[serde(expecting = "a plan, with `openmldb_ops_plan: 1` in front")]
struct Version {
    openmldb_ops_plan: Option<u32>,
}

/// A plan file that cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PlanFileError {
    /// It cannot be read.
    #[error("cannot read the plan {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It cannot be written.
    #[error("cannot write the plan {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is not a plan, or a damaged one; says where.
    #[error("{file} is not a readable plan: {error}")]
    Malformed {
        /// The file.
        file: String,
        /// What is wrong, with line and column.
        error: String,
    },
    /// It was written by another version.
    #[error("{file} is a plan of version {found}; this build reads version {VERSION}")]
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
}

fn checksum(plan: &KeptPlan) -> String {
    let mut digest = Sha256::new();
    hash(&mut digest, plan);
    format!("sha256:{}", hex(&digest.finalize()))
}

/// The text of a plan file.
///
/// # Errors
/// Never for a plan that was made; an error is passed on rather than hidden.
pub fn write(plan: &KeptPlan, json: bool) -> Result<String, PlanFileError> {
    let document = Document { openmldb_ops_plan: VERSION, id: plan.id(), checksum: checksum(plan), plan };
    let text = if json {
        serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(|error| error.to_string())
    } else {
        serde_yaml::to_string(&document).map_err(|error| error.to_string())
    };
    text.map_err(|error| PlanFileError::Malformed { file: "the plan".to_owned(), error })
}

/// Writes a plan to a file; JSON if its name ends in `.json`.
///
/// # Errors
/// The file cannot be written.
pub fn save(plan: &KeptPlan, path: &Path) -> Result<(), PlanFileError> {
    let text = write(plan, path.extension().is_some_and(|extension| extension == "json"))?;
    files::replace(path, text.as_bytes()).map_err(|source| PlanFileError::Write { path: path.to_owned(), source })
}

/// Reads a plan file.
///
/// # Errors
/// See [`PlanFileError`].
pub fn read(path: &Path) -> Result<KeptPlan, PlanFileError> {
    let text = fs::read_to_string(path).map_err(|source| PlanFileError::Read { path: path.to_owned(), source })?;
    parse(&path.display().to_string(), &text)
}

/// Reads the text of a plan file; JSON is YAML too. `file` is what errors call it.
///
/// # Errors
/// See [`PlanFileError`].
pub fn parse(file: &str, text: &str) -> Result<KeptPlan, PlanFileError> {
    let malformed = |error: String| PlanFileError::Malformed { file: file.to_owned(), error };
    let version: Version = serde_yaml::from_str(text).map_err(|error| malformed(error.to_string()))?;
    match version.openmldb_ops_plan {
        None => return Err(malformed(format!("`openmldb_ops_plan: {VERSION}` is missing"))),
        Some(VERSION) => {}
        Some(found) => return Err(PlanFileError::OtherVersion { file: file.to_owned(), found }),
    }
    let document: Document<KeptPlan> = if text.trim_start().starts_with('{') {
        serde_json::from_str(text).map_err(|error| malformed(error.to_string()))?
    } else {
        serde_yaml::from_str(text).map_err(|error| malformed(error.to_string()))?
    };
    let now = checksum(&document.plan);
    if document.checksum != now {
        return Err(PlanFileError::Changed { file: file.to_owned(), written: document.checksum, now });
    }
    let id = document.plan.id();
    if document.id != id {
        return Err(PlanFileError::Changed {
            file: file.to_owned(),
            written: document.id.to_string(),
            now: id.to_string(),
        });
    }
    Ok(document.plan)
}
