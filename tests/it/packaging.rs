//! What is handed out is there: what the Debian package and the container are made of, as far as can be seen without making them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{CommandFactory as _, Parser as _};
use openmldb_ops::cli::Cli;
use openmldb_ops::guard::Shape;
use openmldb_ops::ui::{GuardFigures, guard_metrics_text};
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

/// Where no guard can look, none tells a last look, and an age of nothing is never too high.
#[test]
fn what_alerts_about_its_age_alerts_about_its_absence_too() {
    let read: serde_yaml::Value = serde_yaml::from_str(&text("packaging/guard/alerts.yaml")).unwrap();
    let rules = read["groups"][0]["rules"].as_sequence().unwrap();
    let aged: Vec<&str> =
        rules.iter().filter_map(|rule| rule["expr"].as_str().filter(|e| e.contains("time() -"))).collect();
    assert!(!aged.is_empty());
    for expr in aged {
        let (_, asked) = expr.split_once("time() - max(").unwrap();
        let metric = asked.split(')').next().unwrap();
        assert!(expr.contains(&format!("or absent_over_time({metric}[")), "{expr}");
    }
}

/// The documents of a YAML file.
fn documents(file: &str) -> Vec<serde_yaml::Value> {
    let text = text(file);
    text.split("\n---\n").map(|document| serde_yaml::from_str(document).unwrap()).collect()
}

fn words(value: &serde_yaml::Value) -> Vec<String> {
    value.as_sequence().unwrap().iter().map(|word| word.as_str().unwrap().to_owned()).collect()
}

/// What the program makes of a command line.
fn understood(arguments: &[String]) -> Cli {
    let all = std::iter::once("openmldb-ops".to_owned()).chain(arguments.iter().cloned());
    Cli::try_parse_from(all).unwrap_or_else(|error| panic!("{arguments:?}: {error}"))
}

/// The environment variables that some argument reads.
fn variables() -> BTreeSet<String> {
    fn add(command: &clap::Command, names: &mut BTreeSet<String>) {
        names.extend(command.get_arguments().filter_map(|arg| Some(arg.get_env()?.to_str()?.to_owned())));
        command.get_subcommands().for_each(|below| add(below, names));
    }
    // Where the cluster is is read from more than arguments.
    let mut names: BTreeSet<String> = ["OPENMLDB_ZK_CLUSTER", "OPENMLDB_ZK_ROOT_PATH"].map(str::to_owned).into();
    let text = text("src/cli/find/read.rs");
    assert!(names.iter().all(|name| text.contains(&format!("\"{name}\""))));
    add(&Cli::command(), &mut names);
    names
}

/// What follows a flag.
fn value_of<'a>(arguments: &'a [String], flag: &str) -> Option<&'a str> {
    let at = arguments.iter().position(|word| word == flag)?;
    arguments.get(at + 1).map(String::as_str)
}

/// What containers are started with is what the program takes, by its own parser; and what is said of ports, volumes and variables
/// agrees.
#[test]
fn containers_start_what_the_program_understands() {
    let (mut commands, variables) = (Vec::new(), variables());
    for document in documents("packaging/guard/kubernetes.yaml") {
        let pod = &document["spec"]["template"]["spec"];
        let container = &pod["containers"][0];
        let arguments = words(&container["args"]);
        understood(&arguments);
        for variable in container["env"].as_sequence().unwrap() {
            let name = variable["name"].as_str().unwrap();
            assert!(variables.contains(name), "nothing reads {name}");
        }
        // It is killed after that; a run is gone before.
        let grace = pod["terminationGracePeriodSeconds"].as_u64().unwrap();
        assert!(openmldb_ops::run::stopping::END.as_secs() + 2 < grace);
        let volumes: Vec<_> = pod["volumes"].as_sequence().unwrap().iter().map(|volume| &volume["name"]).collect();
        let mounts = container["volumeMounts"].as_sequence().unwrap();
        assert!(mounts.iter().all(|mount| volumes.contains(&&mount["name"])), "{mounts:?}");
        if let Some(listen) = value_of(&arguments, "--listen") {
            let port = listen.parse::<std::net::SocketAddr>().unwrap().port();
            assert_eq!(container["ports"][0]["containerPort"].as_u64(), Some(port.into()));
            let named = &container["ports"][0]["name"];
            let scraped = &document["spec"]["template"]["metadata"]["annotations"]["prometheus.io/port"];
            assert_eq!(scraped.as_str(), Some(port.to_string().as_str()));
            for probe in ["livenessProbe", "readinessProbe"] {
                assert_eq!(&container[probe]["httpGet"]["port"], named, "{probe}");
            }
            let (chosen, labels) =
                (&document["spec"]["selector"]["matchLabels"], &document["spec"]["template"]["metadata"]["labels"]);
            assert_eq!(chosen, labels);
        }
        commands.push(arguments[0].clone());
    }
    assert_eq!(commands, ["guard", "recover"]);
    // The image has the program as its entry point, and keeps records where the volume is.
    let image = text("packaging/Containerfile");
    assert!(image.contains("ENTRYPOINT [\"openmldb-ops\"]") && image.contains("VOLUME /var/lib/openmldb-ops"));
}

#[test]
fn the_unit_starts_what_the_program_understands() {
    let unit = text("packaging/guard/openmldb-ops-guard.service");
    let line = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/openmldb-ops ")).unwrap();
    let options = unit.lines().find_map(|line| line.strip_prefix("#   GUARD_OPTIONS=")).unwrap();
    for options in [options, ""] {
        let line = line.replace("$GUARD_OPTIONS", options);
        understood(&line.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
    }
    let variables = variables();
    for line in unit.lines().filter_map(|line| line.strip_prefix("Environment=").or(line.strip_prefix("#   "))) {
        let name = line.split('=').next().unwrap();
        assert!(name == "GUARD_OPTIONS" || variables.contains(name), "nothing reads {name}");
    }
    let patience = openmldb_ops::run::stopping::END.as_secs();
    assert!(unit.contains("TimeoutStopSec=30") && patience + 2 < 30);
    // A signal ends it with 128 and its number, which is no failure.
    assert!(unit.contains("SuccessExitStatus=130 143"));
}

#[test]
fn what_documents_have_containers_run_is_what_the_program_understands() {
    let mut run = 0;
    for file in ["docs/install.md", "docs/hooks.md"] {
        let text = text(file).replace("\\\n", " ");
        for line in text.lines().filter(|line| line.contains("podman run ") || line.contains("docker run ")) {
            let (_, arguments) = line.rsplit_once(" openmldb-ops ").unwrap_or_else(|| panic!("{line}"));
            understood(&arguments.split_whitespace().map(str::to_owned).collect::<Vec<_>>());
            run += 1;
        }
    }
    assert_eq!(run, 3);
}
