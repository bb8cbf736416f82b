//! What is handed out is there: what the Debian package and the container are made of, as far as can be seen without making them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use openmldb_ops::guard::Shape;
use openmldb_ops::ui::{GuardFigures, guard_metrics_text};
use serde_json::Value;

use crate::support::process::Home;

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

/// The names that a guard's metrics have, each with its labels' values.
fn metrics() -> BTreeSet<String> {
    let figures = GuardFigures {
        state: "well",
        shape: Some(Shape::default()),
        looked_at_ms: Some(1),
        serving_ms: Some(1),
        redundant_ms: Some(1),
        saved_at_ms: Some(1),
        ..GuardFigures::default()
    };
    let text = guard_metrics_text(&figures);
    text.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next().map(str::to_owned)).collect()
}

#[test]
fn alerts_and_the_dashboard_ask_for_what_guards_tell() {
    let metrics = metrics();
    assert!(metrics.len() > 10, "{metrics:?}");
    for file in ["packaging/guard/alerts.yaml", "packaging/guard/dashboard.json"] {
        // JSON is YAML, too.
        let text = text(file);
        let read: serde_yaml::Value = serde_yaml::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        assert!(read.is_mapping());
        let asked: Vec<&str> = text.match_indices("openmldb_ops_guard_").map(|(at, _)| &text[at..]).collect();
        assert!(asked.len() > 5, "{file}");
        for asked in asked {
            let name: String = asked.chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            assert!(metrics.contains(&name), "{file} asks for {name}");
        }
    }
}

/// What services are started with is what the program takes.
#[test]
fn services_start_what_the_program_understands() {
    let home = Home::new();
    let mut started = 0;
    let understands = |arguments: &[&str]| home.run(&[arguments, &["--help"]].concat()).expect(0);
    let mut of_containers: Vec<Vec<String>> = Vec::new();
    for document in text("packaging/guard/kubernetes.yaml").split("\n---\n") {
        let read: serde_yaml::Value = serde_yaml::from_str(document).unwrap();
        let container = &read["spec"]["template"]["spec"]["containers"][0];
        let arguments = container["args"].as_sequence().unwrap().iter();
        of_containers.push(arguments.map(|word| word.as_str().unwrap().to_owned()).collect());
    }
    for arguments in &of_containers {
        understands(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
        started += 1;
    }
    let unit = text("packaging/guard/openmldb-ops-guard.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/openmldb-ops ")).unwrap();
    understands(&line.replace("$GUARD_OPTIONS", "--act").split(' ').collect::<Vec<_>>());
    assert_eq!(started, 2);
    // Both kill it after that; a run is gone after 23 s.
    let patience = openmldb_ops::run::stopping::END.as_secs();
    assert!(unit.contains("TimeoutStopSec=30") && patience < 30);
    assert_eq!(text("packaging/guard/kubernetes.yaml").matches("terminationGracePeriodSeconds: 30").count(), 2);
}
