//! What the compiler cannot say of the structure. That deciding is pure and that sockets stay at the edge is said by what each crate
//! depends on and by its `clippy.toml`; here it is only kept from changing unnoticed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;

/// What each crate may depend on, tests aside. What is missing here is what the crate must not be able to do.
const MAY_USE: [(&str, &[&str]); 7] = [
    // It listens, and has nothing of a cluster to tell but what it is given.
    ("openmldb-http", &["http-body-util", "hyper", "hyper-util", "tokio", "tracing"]),
    ("openmldb-model", &["serde"]),
    ("openmldb-planner", &["openmldb-model", "serde", "serde_json", "serde_yaml", "thiserror"]),
    ("openmldb-wire", &["openmldb-model", "prost", "thiserror", "tonic", "tonic-prost"]),
    (
        "openmldb-client",
        &["openmldb-model", "openmldb-wire", "sha2", "thiserror", "tokio", "tonic", "tracing", "zookeeper-client"],
    ),
    (
        "openmldb-simulator",
        &[
            "http-body",
            "openmldb-client",
            "openmldb-model",
            "openmldb-wire",
            "prost",
            "serde",
            "serde_json",
            "thiserror",
            "tokio",
            "tokio-stream",
            "tonic",
            "tracing",
            "zookeeper-client",
        ],
    ),
    // Neither tonic nor zookeeper-client nor hyper: only the client, the simulator and openmldb-http open sockets.
    (
        "openmldb-ops",
        &[
            "anstyle",
            "anyhow",
            "base64",
            "clap",
            "clap_complete",
            "clap_mangen",
            "clap_complete",
            "clap_mangen",
            "console",
            "indicatif",
            "openmldb-client",
            "openmldb-http",
            "openmldb-model",
            "openmldb-planner",
            "openmldb-simulator",
            "openmldb-wire",
            "rustix",
            "serde",
            "serde_json",
            "serde_yaml",
            "sha2",
            "strsim",
            "tempfile",
            "thiserror",
            "tokio",
            "tracing",
            "tracing-subscriber",
        ],
    ),
];

/// The longest file, in lines.
const LONGEST: usize = 500;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// What each crate of the workspace depends on, tests and builds aside.
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let mut command = Command::new(env!("CARGO"));
    command.args(["metadata", "--no-deps", "--offline", "--format-version", "1"]).current_dir(root());
    let told: Value = serde_json::from_slice(&command.output().unwrap().stdout).unwrap();
    let packages = told["packages"].as_array().unwrap().iter();
    let used = |package: &Value| {
        let all = package["dependencies"].as_array().unwrap().iter().filter(|used| used["kind"].is_null());
        all.map(|used| used["name"].as_str().unwrap().to_owned()).collect()
    };
    packages.map(|package| (package["name"].as_str().unwrap().to_owned(), used(package))).collect()
}

#[test]
fn no_crate_can_do_what_it_is_not_for() {
    let may = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<BTreeSet<_>>();
    let expected: BTreeMap<_, _> = MAY_USE.iter().map(|(name, used)| ((*name).to_owned(), may(used))).collect();
    assert_eq!(dependencies(), expected);
}

#[test]
fn pure_crates_have_no_clock_no_randomness_and_no_environment() {
    let rules = fs::read_to_string(root().join("crates/clippy.toml")).unwrap();
    for word in ["Instant", "SystemTime", "RandomState", "env::var", "TcpStream", "thread::sleep"] {
        assert!(rules.contains(word), "crates/clippy.toml does not disallow {word}");
    }
    for pure in ["model", "planner", "wire"] {
        assert!(!root().join("crates").join(pure).join("clippy.toml").exists(), "{pure} has rules of its own");
    }
}

/// Single steps, and where replicas and leaders go, are planned by a part of this package that is as pure as the planner.
#[test]
fn moves_of_replicas_and_leaders_are_planned_without_a_clock_and_without_waiting() {
    const PURE: [&str; 3] = ["src/operate/arrange/", "src/operate/steps/", "src/operate/effect/"];
    let mut looked_at = 0;
    let is_pure = |name: &str| PURE.iter().any(|part| name.starts_with(part));
    for (name, text) in sources().iter().filter(|(name, _)| is_pure(name)) {
        looked_at += 1;
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for word in ["async ", ".await", "tokio::", "Instant::", "SystemTime", "env::var", "RandomState"] {
                assert!(!line.contains(word), "{name}: {line}");
            }
        }
    }
    assert!(looked_at > 20, "only {looked_at} files");
}

/// Every Rust file of the product and of its own tests, with its text.
fn sources() -> Vec<(String, String)> {
    fn walk(directory: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                found.push(path);
            }
        }
    }
    let mut found = Vec::new();
    ["src", "crates"].iter().for_each(|place| walk(&root().join(place), &mut found));
    assert!(found.len() > 250, "only {} files", found.len());
    let name = |path: &Path| path.strip_prefix(root()).unwrap().display().to_string();
    found.iter().map(|path| (name(path), fs::read_to_string(path).unwrap())).collect()
}

fn check(problem: impl Fn(&str) -> Option<String>) {
    let found: Vec<String> =
        sources().iter().filter_map(|(name, text)| Some(format!("{name}: {}", problem(text)?))).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

/// What may name the simulator: it is not there in a build without the feature `sandbox`. Each module is declared only with it.
const WITH_A_SANDBOX: [&str; 12] = [
    "rehearse",
    "cli/args/embedded",
    "cli/args/practice",
    "cli/doors",
    "cli/embedded",
    "cli/practice",
    "cli/rehearse",
    "cli/sandbox",
    "cli/sandbox_lines",
    "cli/tour",
    "ui/practice",
    "ui/rehearsal",
];

/// That a build without it compiles is not tried here, it would cost a build: `cargo check --no-default-features` does.
#[test]
fn only_what_is_left_out_without_the_sandbox_names_the_simulator() {
    let all = sources();
    let of_ours = |name: &str| name.strip_prefix("src/").map(str::to_owned);
    for (name, text) in all.iter().filter_map(|(name, text)| Some((of_ours(name)?, text))) {
        let is_listed = WITH_A_SANDBOX
            .iter()
            .any(|module| name == format!("{module}.rs") || name.starts_with(&format!("{module}/")));
        // Tests need the simulator: they are built with it.
        let is_of_tests = name.ends_with("_tests.rs");
        let names_it = text.contains("crate::sandbox") || text.contains("crate::rehearse");
        assert!(is_listed || is_of_tests || !names_it, "src/{name} names the simulator: see WITH_A_SANDBOX");
    }
    for module in WITH_A_SANDBOX {
        let (parent, name) =
            module.rsplit_once('/').map_or(("lib".to_owned(), module), |(at, name)| (format!("{at}/mod"), name));
        let (_, text) = all.iter().find(|(file, _)| *file == format!("src/{parent}.rs")).unwrap();
        let declared = text.contains(&format!("#[cfg(feature = \"sandbox\")]\nmod {name};"))
            || text.contains(&format!("#[cfg(feature = \"sandbox\")]\npub mod {name};"));
        assert!(declared, "src/{parent}.rs declares {name} without the feature");
    }
}

#[test]
fn no_file_is_too_long() {
    check(|text| Some(text.lines().count()).filter(|lines| *lines > LONGEST).map(|lines| format!("{lines} lines")));
}

#[test]
fn every_module_says_what_it_is() {
    check(|text| (!text.starts_with("//! ")).then(|| "does not start with what it is".to_owned()));
}

/// Names that say nothing about what a thing does.
#[test]
fn no_name_is_empty() {
    const EMPTY: [&str; 6] = ["manager", "managers", "helper", "helpers", "util", "utils"];
    check(|text| {
        let lines = text.lines().map(str::trim_start).filter(|line| !line.starts_with("//"));
        let declared = lines.filter_map(|line| {
            let words: Vec<&str> = line.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
            let kind = |word: &&str| matches!(*word, "struct" | "enum" | "trait" | "type" | "mod" | "fn" | "const");
            words.windows(2).find(|pair| kind(&pair[0])).map(|pair| pair[1].to_lowercase())
        });
        let mut empty = declared.filter(|name| EMPTY.iter().any(|word| name.ends_with(word)));
        empty.next().map(|name| format!("`{name}` says nothing about what it does"))
    });
}
