//! Where records of runs are kept.

use std::path::PathBuf;

use anyhow::anyhow;

use super::failure::Failure;

/// Where records are kept: as told, or in the XDG state directory.
///
/// # Errors
/// Nobody knows where that is.
pub(super) fn dir(told: Option<PathBuf>) -> Result<PathBuf, Failure> {
    if let Some(dir) = told {
        return Ok(dir);
    }
    let absolute = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let state = absolute("XDG_STATE_HOME").or_else(|| absolute("HOME").map(|home| home.join(".local/state")));
    let state = state.ok_or_else(|| {
        Failure::usage(anyhow!("neither XDG_STATE_HOME nor HOME is set")).hint("use --record-dir DIR")
    })?;
    Ok(state.join("openmldb-ops"))
}

/// Where a sandbox's records are kept, as long as it runs.
pub(super) fn sandbox_record_dir() -> PathBuf {
    std::env::temp_dir().join(format!("openmldb-ops-sandbox-{}", std::process::id()))
}
