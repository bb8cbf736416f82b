//! Tells the program its version, and in a release the commit that it is built from.
//!
//! A build for tests does not know its commit: otherwise it would be built anew after each one.

#![allow(clippy::print_stdout, clippy::disallowed_methods)]

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Names the commit where there is no repository to ask, as for a package that is built from an archive.
const COMMIT: &str = "OPENMLDB_OPS_COMMIT";

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-env-changed={COMMIT}");
    let here = env::var_os("CARGO_MANIFEST_DIR").map(PathBuf::from).unwrap_or_default();
    let is_release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let named = env::var(COMMIT).ok().filter(|commit| !commit.is_empty());
    let asked = || {
        let head = git(&here, &["rev-parse", "--git-path", "logs/HEAD"])?;
        // It grows with every commit, and when another one is checked out.
        println!("cargo::rerun-if-changed={}", here.join(head).display());
        commit_of(&here)
    };
    let commit = named.or_else(|| if is_release { asked() } else { None });
    let commit = commit.map_or(String::new(), |commit| format!(" ({commit})"));
    println!("cargo::rustc-env=OPENMLDB_OPS_VERSION={}{commit}", env::var("CARGO_PKG_VERSION").unwrap_or_default());
}

/// The commit that is checked out in a directory, if that is the top of a repository: one around it is somebody else's.
pub fn commit_of(directory: &Path) -> Option<String> {
    let top = git(directory, &["rev-parse", "--show-toplevel"])?;
    let is_ours = Path::new(&top).canonicalize().ok()? == directory.canonicalize().ok()?;
    if is_ours { git(directory, &["rev-parse", "--short=12", "HEAD"]) } else { None }
}

fn git(directory: &Path, arguments: &[&str]) -> Option<String> {
    let output = Command::new("git").arg("-C").arg(directory).args(arguments).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    (output.status.success() && !text.trim().is_empty()).then(|| text.trim().to_owned())
}
