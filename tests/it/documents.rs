//! Links lead somewhere: those between documents, and those from sources into documents, down to the heading.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Where sources and documents are.
const ROOTS: [&str; 7] = ["src", "crates", "tests", "benches", "proto", "playbooks", "docs"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn is_text(path: &Path) -> bool {
    matches!(path.extension().and_then(|extension| extension.to_str()), Some("rs" | "md" | "proto" | "yaml" | "toml"))
}

/// Every source and document, with its path from the root.
fn texts() -> BTreeMap<String, String> {
    fn walk(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, files);
            } else if is_text(&path) {
                files.push(path);
            }
        }
    }
    let beside = fs::read_dir(root()).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<PathBuf> = beside.filter(|path| path.is_file() && is_text(path)).collect();
    ROOTS.iter().for_each(|name| walk(&root().join(name), &mut files));
    let named = |path: PathBuf| {
        let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
        (name, fs::read_to_string(&path).unwrap())
    };
    files.into_iter().map(named).collect()
}

/// The anchor of a heading, as GitHub makes it.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The lines of a document that are neither in a fence nor indented as code.
fn prose(document: &str) -> impl Iterator<Item = &str> {
    let mut fenced = false;
    document.lines().filter(move |line| {
        let is_fence = line.starts_with("```");
        fenced ^= is_fence;
        !fenced && !is_fence && !line.starts_with("    ")
    })
}

fn anchors(document: &str) -> BTreeSet<String> {
    let headings = prose(document).filter(|line| line.starts_with('#'));
    headings.map(|line| anchor(line.trim_start_matches('#'))).collect()
}

/// Whether a path from the root, with the anchor of a heading or without, is there.
fn leads_somewhere(target: &str, texts: &BTreeMap<String, String>) -> bool {
    let (path, heading) = target.split_once('#').map_or((target, None), |(path, heading)| (path, Some(heading)));
    match heading {
        Some(heading) => texts.get(path).is_some_and(|document| anchors(document).contains(heading)),
        None => root().join(path).exists(),
    }
}

/// A relative path as seen from the document `of`, from the root.
fn resolved(of: &str, target: &str) -> String {
    let (path, heading) = target.split_once('#').map_or((target, String::new()), |(path, h)| (path, format!("#{h}")));
    if path.is_empty() {
        return of.to_owned() + &heading;
    }
    let mut parts: Vec<&str> = of.split('/').collect();
    parts.pop();
    for part in path.split('/') {
        match part {
            "." => {}
            ".." => drop(parts.pop()),
            part => parts.push(part),
        }
    }
    parts.join("/") + &heading
}

/// The targets of a document's links to other files and headings.
fn links(document: &str) -> Vec<String> {
    let text: Vec<&str> = prose(document).collect();
    let text = text.join("\n");
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split_once(')')).map(|(target, _)| target.to_owned());
    targets.filter(|target| !target.contains("://")).collect()
}

/// Plain paths into documents and recordings, as comments name them.
fn paths(text: &str) -> Vec<String> {
    let begins = |word: &str| word.starts_with("docs/") || word.starts_with("tests/recordings/");
    let of_a_path = |c: char| c.is_alphanumeric() || matches!(c, '/' | '.' | '#' | '-' | '_');
    let words = text.split(|c: char| !of_a_path(c)).filter(|word| begins(word));
    words.map(|word| word.trim_end_matches(['.', '/']).to_owned()).collect()
}

/// What people wrote for people: all of a document, the comments of a source.
fn words_of(name: &str, text: &str) -> String {
    match name.ends_with(".rs") {
        true => text.lines().filter_map(|line| Some(line.split_once("//")?.1)).collect::<Vec<_>>().join("\n"),
        false => text.to_owned(),
    }
}

/// References by number to texts that are not here.
fn numbers_without_a_text(text: &str) -> Vec<String> {
    let of_a_word = |c: char| c.is_alphanumeric() || c == '.';
    let words: Vec<&str> = text.split(|c: char| !of_a_word(c)).filter(|word| !word.is_empty()).collect();
    let cited = ["reference", "observed", "design", "hazard"];
    let is_number = |word: &str| word.starts_with(|c: char| c.is_ascii_digit()) && word.len() < 5;
    let by_number =
        words.windows(2).filter(|pair| cited.contains(&pair[0].to_lowercase().as_str()) && is_number(pair[1]));
    let by_section = words.windows(3).filter(|three| {
        let [of, kind, number] = [three[0], three[1], three[2]].map(str::to_lowercase);
        is_number(&number) && (cited.contains(&of.as_str()) && kind == "section" || of == "safety" && kind == "rule")
    });
    by_number.map(|pair| pair.join(" ")).chain(by_section.map(|three| three.join(" "))).collect()
}

fn check(problems: &[String]) {
    assert!(problems.is_empty(), "\n{}", problems.join("\n"));
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let texts = texts();
    let mut problems = Vec::new();
    let mut followed = 0;
    for (name, text) in &texts {
        let of_document =
            links(text).into_iter().filter(|_| name.ends_with(".md")).map(|target| resolved(name, &target));
        // A document's own text may name a path from the root, too.
        let of_text = paths(text).into_iter().filter(|_| *name != "tests/it/documents.rs");
        for target in of_document.chain(of_text) {
            followed += 1;
            if !leads_somewhere(&target, &texts) {
                problems.push(format!("{name}: {target} leads nowhere"));
            }
        }
    }
    check(&problems);
    assert!(followed > 300, "only {followed} links were found");
}

#[test]
fn nothing_is_cited_by_number() {
    let cited = |(name, text): (String, String)| {
        let numbers = numbers_without_a_text(&words_of(&name, &text));
        numbers.into_iter().map(move |number| format!("{name}: `{number}`: link to a heading in docs/ instead"))
    };
    check(&texts().into_iter().flat_map(cited).collect::<Vec<String>>());
}

#[test]
fn every_document_can_be_reached_from_the_readme() {
    let texts = texts();
    let mut reached = BTreeSet::from(["README.md".to_owned()]);
    let mut open = vec!["README.md".to_owned()];
    while let Some(name) = open.pop() {
        let Some(text) = texts.get(&name).filter(|_| name.ends_with(".md")) else { continue };
        for target in links(text) {
            let target = resolved(&name, &target).split('#').next().unwrap().to_owned();
            if reached.insert(target.clone()) {
                open.push(target);
            }
        }
    }
    let lost = texts.keys().filter(|name| name.ends_with(".md") && !reached.contains(*name));
    check(&lost.map(|name| format!("{name}: no document that README leads to has a link to it")).collect::<Vec<_>>());
}

#[test]
fn a_link_that_leads_nowhere_is_noticed() {
    let document = "# A log\n\nsee [b](../b/c.md#its-end) and [web](https://example.org/x)\n\n    [code](x)\n\n## ZooKeeper's `data`\n";
    let texts = BTreeMap::from([("docs/a.md".to_owned(), document.to_owned())]);
    assert_eq!(links(document), ["../b/c.md#its-end"]);
    assert_eq!(resolved("docs/a.md", "../b/c.md#its-end"), "b/c.md#its-end");
    assert_eq!(resolved("docs/a.md", "#a-log"), "docs/a.md#a-log");
    assert!(leads_somewhere("docs/a.md#zookeepers-data", &texts) && leads_somewhere("docs/a.md#a-log", &texts));
    assert!(!leads_somewhere("docs/a.md#no-such", &texts) && !leads_somewhere("docs/none.md", &texts));
    assert_eq!(
        paths("/// so it is (docs/a.md#a-log).\n// tests/recordings/01: x"),
        ["docs/a.md#a-log", "tests/recordings/01"]
    );
}

#[test]
fn a_citation_by_number_is_noticed() {
    let old =
        [["reference", "4.2"], ["observed", "3:"], ["Design section", "5"], ["safety rule", "4"], ["hazard", "9"]];
    for [of, number] in old {
        assert_eq!(numbers_without_a_text(&format!("/// it is so ({of}\n/// {number} and no other)")).len(), 1, "{of}");
    }
    assert_eq!(numbers_without_a_text("a reference to 3 things, observed by 2; recordings 09"), [""; 0]);
    assert_eq!(words_of("a.rs", "let a = 1; // so\nlet b = \"c\";\n/// and so"), " so\n/ and so");
}
