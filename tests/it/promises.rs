//! Every promise of README's safety section stands in ARCHITECTURE.md with the tests that hold it, and each of them exists.

use std::path::{Path, PathBuf};

fn read(path: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The list items of a document's section, each with all of its lines.
fn items(document: &str, heading: &str) -> Vec<String> {
    let text = read(document);
    let section = text.split(&format!("\n## {heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap().to_owned();
    section.split("\n- ").skip(1).map(|item| item.split("\n\n").next().unwrap().to_owned()).collect()
}

/// The promises as README makes them.
fn made() -> Vec<String> {
    items("README.md", "Safety")
}

/// The same with the tests that hold them.
fn held() -> Vec<String> {
    items("ARCHITECTURE.md", "Promises, and the tests that hold them")
}

/// What a promise is called.
fn name(promise: &str) -> String {
    let name = promise.split("**").nth(1).unwrap_or_else(|| panic!("no name in bold: {promise}"));
    name.split_whitespace().collect::<Vec<_>>().join(" ").trim_end_matches(['.', ',', ':']).to_owned()
}

/// What is in backticks and is a test's path.
fn tests_of(promise: &str) -> Vec<&str> {
    promise.split('`').skip(1).step_by(2).filter(|word| word.contains("::")).collect()
}

/// Where a test of that path may stand: a file of its module, or the module around its module `tests`.
fn files(path: &[&str]) -> Vec<PathBuf> {
    let (base, path) = match path {
        ["it" | "safety", ..] => (Path::new("tests"), path),
        ["playbook" | "recovery" | "verify", ..] => (Path::new("crates/planner/src"), path),
        ["cluster", path @ ..] => (Path::new("crates/client/src"), path),
        ["sandbox", path @ ..] => (Path::new("crates/simulator/src"), path),
        _ => (Path::new("src"), path),
    };
    let mut modules = vec![path.to_vec()];
    if let [around @ .., "tests"] = path {
        modules.push(around.to_vec());
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(base);
    let files = modules.into_iter().map(|module| root.join(module.join("/")));
    files.flat_map(|module| [module.with_extension("rs"), module.join("mod.rs")]).collect()
}

fn exists(test: &str) -> bool {
    let path: Vec<&str> = test.split("::").collect();
    let (name, module) = path.split_last().unwrap();
    let is_there = |text: &str| {
        let lines: Vec<&str> = text.lines().map(str::trim).collect();
        let declared = |line: &str| line.trim_start_matches("async ").starts_with(&format!("fn {name}("));
        lines.windows(2).any(|pair| declared(pair[1]) && (pair[0] == "#[test]" || pair[0].starts_with("#[tokio::test")))
    };
    files(module).iter().filter_map(|file| std::fs::read_to_string(file).ok()).any(|text| is_there(&text))
}

#[test]
fn every_promise_names_tests_and_they_exist() {
    let promises = held();
    assert!(promises.len() > 8, "{promises:?}");
    let names = |promises: &[String]| promises.iter().map(|promise| name(promise)).collect::<Vec<_>>();
    assert_eq!(
        names(&made()),
        names(&promises),
        "README promises the left ones, ARCHITECTURE.md has tests for the right ones"
    );
    for promise in &promises {
        let tests = tests_of(promise);
        assert!(!tests.is_empty(), "no test holds this: {promise}");
        let missing: Vec<&&str> = tests.iter().filter(|test| !exists(test)).collect();
        assert!(missing.is_empty(), "there are no such tests: {missing:?}");
    }
}

#[test]
fn a_test_that_is_not_there_is_noticed() {
    assert!(exists("it::promises::a_test_that_is_not_there_is_noticed"));
    assert!(!exists("it::promises::a_test_that_was_there_once"));
    assert!(!exists("it::promises::exists"), "not every function is a test");
    assert_eq!(tests_of("**It is so.** `--flag` `it::a::b`,\n  `x::c`"), ["it::a::b", "x::c"]);
}
