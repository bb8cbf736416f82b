//! What is handed out is there: what the Debian package and the container are made of, as far as can be seen without making them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn text(file: &str) -> String {
    std::fs::read_to_string(root().join(file)).unwrap_or_else(|error| panic!("{file}: {error}"))
}

/// This package, as cargo reads it.
fn package() -> Value {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let told: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let mut packages = told["packages"].as_array().unwrap().iter();
    packages.find(|package| package["name"] == env!("CARGO_PKG_NAME")).unwrap().clone()
}

#[test]
fn what_goes_into_the_debian_package_is_there_or_is_built() {
    let (package, build) = (package(), text("packaging/build"));
    let deb = &package["metadata"]["deb"];
    assert!(deb["maintainer"].as_str().is_some_and(|name| name.contains('@')), "{deb}");
    let assets = deb["assets"].as_array().unwrap();
    assert!(assets.len() > 5, "{assets:?}");
    for asset in assets {
        let from = asset[0].as_str().unwrap();
        match from.strip_prefix("target/package/") {
            None => assert!(root().join(from).is_file(), "{from} is not there"),
            Some("openmldb-ops") => assert!(build.contains("\"$built/openmldb-ops\""), "{from}"),
            Some("man1/*.1.gz") => assert!(build.contains("man \"$built/man1\"") && build.contains("gzip"), "{from}"),
            Some(script) => {
                let shell = script.strip_prefix("completions/openmldb-ops.").unwrap_or_else(|| panic!("{from}"));
                assert!(build.contains("for shell in ") && build.contains(shell), "{from}");
            }
        }
        assert!(asset[1].as_str().is_some_and(|to| to.starts_with("usr/")), "{asset}");
    }
}

#[test]
fn a_container_is_built_of_everything_that_the_program_is_built_of() {
    let file = text("packaging/Containerfile");
    let copied: BTreeSet<&str> = file
        .lines()
        .filter_map(|line| line.strip_prefix("COPY ").filter(|rest| !rest.starts_with("--from")))
        .flat_map(|rest| rest.split(' ').collect::<Vec<_>>().into_iter().rev().skip(1))
        .collect();
    copied.iter().for_each(|name| assert!(root().join(name).exists(), "{name} is not there"));
    // Where cargo looks for targets it has to find them, tests aside.
    let package = package();
    let targets = package["targets"].as_array().unwrap().iter();
    let is_test = |target: &&Value| target["kind"][0] == "test";
    for target in targets.filter(|target| !is_test(target)) {
        let path = Path::new(target["src_path"].as_str().unwrap()).strip_prefix(root()).unwrap().to_owned();
        let first = path.iter().next().unwrap().to_str().unwrap();
        assert!(copied.contains(first), "{} is not copied", path.display());
    }
    for needed in ["Cargo.toml", "Cargo.lock", "crates", "proto", "playbooks"] {
        assert!(copied.contains(needed), "{needed} is not copied");
    }
}

#[test]
fn the_script_that_builds_what_is_handed_out_can_be_read_by_bash() {
    let read = Command::new("bash").arg("-n").arg(root().join("packaging/build")).status().unwrap();
    assert!(read.success());
}
