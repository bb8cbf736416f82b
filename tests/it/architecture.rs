//! What the source must not contain, checked by reading it: pure modules stay pure, sockets and printing stay at the
//! edge, files stay short. Comments, strings and test code do not count.

use std::fs;
use std::path::{Path, PathBuf};

#[path = "architecture/source.rs"]
mod source;

use source::{Source, identifiers, without_comments, without_tests};

/// Modules that decide: the same input, the same output, on any machine at any time.
const PURE: &[&str] = &["src/model/", "src/playbook/", "src/recovery/", "src/verify/", "src/operate/arrange/"];
/// Longest file, in lines.
const LONGEST: usize = 500;

/// Words that only some places may use. A word that ends in `::` or `!` stands only before that.
struct Rule {
    words: &'static [&'static str],
    /// Whether the rule looks at a file.
    binds: fn(&str) -> bool,
    reason: &'static str,
}

fn within(path: &str, places: &[&str]) -> bool {
    places.iter().any(|place| path.starts_with(place))
}

const RULES: &[Rule] = &[
    Rule {
        words: &["async", "await", "tokio", "tokio_stream", "futures"],
        binds: |path| within(path, PURE),
        reason: "a pure module is synchronous",
    },
    Rule {
        words: &["Instant", "SystemTime", "UNIX_EPOCH", "sleep", "chrono", "time::now"],
        binds: |path| within(path, PURE),
        reason: "a pure module has no clock",
    },
    Rule {
        words: &["env::", "vars_os", "var_os"],
        binds: |path| within(path, PURE),
        reason: "a pure module does not read the environment",
    },
    Rule {
        words: &["rand", "fastrand", "getrandom", "thread_rng", "RandomState", "DefaultHasher"],
        binds: |path| within(path, PURE),
        reason: "a pure module has no randomness",
    },
    Rule {
        words: &[
            "TcpListener",
            "TcpStream",
            "TcpSocket",
            "UdpSocket",
            "UnixListener",
            "UnixStream",
            "ToSocketAddrs",
            "lookup_host",
            "transport::",
            "hyper",
            "zookeeper_client",
        ],
        binds: |path| !within(path, &["src/cluster/", "src/sandbox/"]),
        reason: "only cluster and sandbox open sockets",
    },
    Rule {
        words: &["print!", "println!", "eprint!", "eprintln!", "dbg!", "stdout", "stderr", "Stdout", "Stderr"],
        binds: |path| !within(path, &["src/ui/", "src/cli/", "src/main.rs"]),
        reason: "only ui and cli print",
    },
    Rule { words: &["indicatif"], binds: |path| !within(path, &["src/ui/"]), reason: "only ui draws progress" },
    Rule { words: &["unsafe"], binds: |_| true, reason: "no unsafe code" },
];

/// Where a file uses a word that is not for it.
fn forbidden(source: &Source) -> Vec<String> {
    let code = without_tests(&without_comments(&source.text));
    let mut found = Vec::new();
    for (line, word, rest) in identifiers(&code) {
        let stands = |forbidden: &&str| match forbidden.find(|c: char| !(c.is_alphanumeric() || c == '_')) {
            Some(end) => word == &forbidden[..end] && rest.trim_start().starts_with(&forbidden[end..]),
            None => word == *forbidden,
        };
        for rule in RULES.iter().filter(|rule| (rule.binds)(&source.path)) {
            if rule.words.iter().any(stands) {
                found.push(format!("{}:{line}: `{word}`: {}", source.path, rule.reason));
            }
        }
    }
    found
}

/// Names that say nothing about what a thing does.
fn empty_names(source: &Source) -> Vec<String> {
    const EMPTY: [&str; 6] = ["manager", "managers", "helper", "helpers", "util", "utils"];
    let code = without_comments(&source.text);
    let words: Vec<_> = identifiers(&code).collect();
    let declared = words.windows(2).filter(|pair| {
        matches!(pair[0].1, "struct" | "enum" | "union" | "trait" | "type" | "mod" | "fn" | "const" | "static")
    });
    let empty = |name: &str| source::words_of(name).iter().any(|word| EMPTY.contains(&word.as_str()));
    declared
        .filter(|pair| empty(pair[1].1))
        .map(|pair| format!("{}:{}: `{}` says nothing about what it does", source.path, pair[1].0, pair[1].1))
        .collect()
}

fn too_long(source: &Source) -> Vec<String> {
    let lines = source.text.lines().count();
    let message = || format!("{}:{lines}: longer than {LONGEST} lines", source.path);
    (lines > LONGEST).then(message).into_iter().collect()
}

/// A module says at its top what it is, before anything else.
fn undocumented(source: &Source) -> Vec<String> {
    let documented = source.text.strip_prefix("//! ").is_some_and(|doc| doc.trim_start().len() > 1);
    let message = || format!("{}:1: does not start with what the module is (`//! ...`)", source.path);
    (!documented).then(message).into_iter().collect()
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// Every Rust file below a directory of the project, in order.
fn read(directory: &str) -> Vec<Source> {
    fn walk(root: &Path, directory: &Path, sources: &mut Vec<Source>) {
        let mut entries: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
        entries.sort();
        for path in entries {
            if path.is_dir() {
                walk(root, &path, sources);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                let path = path.strip_prefix(root).unwrap().to_string_lossy().replace('\\', "/");
                sources.push(Source { path, text });
            }
        }
    }
    let mut sources = Vec::new();
    walk(&root(), &root().join(directory), &mut sources);
    assert!(!sources.is_empty(), "no Rust file in {directory}");
    sources
}

/// The source without files that are only compiled for tests.
fn product() -> Vec<Source> {
    let all = read("src");
    let tests: Vec<String> = all.iter().flat_map(source::test_files).collect();
    all.into_iter().filter(|source| !tests.contains(&source.path)).collect()
}

fn check(sources: &[Source], check: fn(&Source) -> Vec<String>) {
    let found: Vec<String> = sources.iter().flat_map(check).collect();
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn words_stay_where_they_belong() {
    check(&product(), forbidden);
}

#[test]
fn no_name_is_empty() {
    check(&read("src"), empty_names);
}

#[test]
fn no_file_is_too_long() {
    check(&read("src"), too_long);
}

#[test]
fn every_module_says_what_it_is() {
    check(&read("src"), undocumented);
}

#[test]
fn tests_and_build_are_safe_too() {
    let unsafe_code = |source: &Source| {
        let code = without_comments(&source.text);
        identifiers(&code)
            .filter(|(_, word, _)| *word == "unsafe")
            .map(|(line, ..)| format!("{}:{line}: unsafe code", source.path))
            .collect()
    };
    let build = Source { path: "build.rs".to_owned(), text: fs::read_to_string(root().join("build.rs")).unwrap() };
    check(&[build], unsafe_code);
    check(&read("tests"), unsafe_code);
}

#[test]
fn the_rules_look_at_what_is_there() {
    for place in ["src/model", "src/playbook", "src/cluster", "src/sandbox"] {
        assert!(root().join(place).is_dir(), "{place} moved: move the rules with it");
    }
}

/// Each check can fail: a snippet, where it would stand, and what is found.
#[test]
fn every_rule_finds_what_it_is_for() {
    for (path, text, expected) in [
        (
            "src/model/x.rs",
            "//! X.\n\npub async fn f() {}\n",
            "src/model/x.rs:3: `async`: a pure module is synchronous",
        ),
        ("src/playbook/x.rs", "use tokio::fs;\n", "src/playbook/x.rs:1: `tokio`: a pure module is synchronous"),
        ("src/recovery/x.rs", "let t = Instant::now();", "src/recovery/x.rs:1: `Instant`: a pure module has no clock"),
        (
            "src/model/x.rs",
            "fn f() {\n    std::env::var(\"HOME\");\n}",
            "src/model/x.rs:2: `env`: a pure module does not read the environment",
        ),
        ("src/recovery/x.rs", "rand::random()", "src/recovery/x.rs:1: `rand`: a pure module has no randomness"),
        (
            "src/run/x.rs",
            "use std::net::TcpStream;",
            "src/run/x.rs:1: `TcpStream`: only cluster and sandbox open sockets",
        ),
        (
            "src/snapshot/x.rs",
            "use tonic::{transport::Channel};",
            "src/snapshot/x.rs:1: `transport`: only cluster and sandbox open sockets",
        ),
        (
            "src/cli/x.rs",
            "zookeeper_client::Client::connect(hosts)",
            "src/cli/x.rs:1: `zookeeper_client`: only cluster and sandbox open sockets",
        ),
        ("src/run/x.rs", "println ! (\"x\");", "src/run/x.rs:1: `println`: only ui and cli print"),
        ("src/verify.rs", "std::io::stderr().write(b)", "src/verify.rs:1: `stderr`: only ui and cli print"),
        ("src/cli/x.rs", "use indicatif::ProgressBar;", "src/cli/x.rs:1: `indicatif`: only ui draws progress"),
        ("src/sandbox/x.rs", "unsafe { f() }", "src/sandbox/x.rs:1: `unsafe`: no unsafe code"),
    ] {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(forbidden(&source), [expected], "{text}");
    }
}

#[test]
fn what_is_allowed_is_not_found() {
    for (path, text) in [
        ("src/cluster/x.rs", "use tokio::net::TcpStream; use tonic::transport::Channel;"),
        ("src/sandbox/x.rs", "use tokio::net::TcpListener;"),
        ("src/ui/x.rs", "use indicatif::ProgressBar; eprintln!(\"x\");"),
        ("src/cli/x.rs", "println!(\"x\");"),
        ("src/main.rs", "eprintln!(\"x\");"),
        ("src/model/x.rs", "/// An async clock: Instant::now(), println!\nconst X: &str = \"unsafe tokio\"; // rand"),
        ("src/model/x.rs", "const HERE: &str = env!(\"CARGO_MANIFEST_DIR\"); let transport = 1;"),
        ("src/model/x.rs", "fn f() {}\n#[cfg(test)]\nmod tests {\n fn g() { println!(\"{{\"); }\n}\n"),
    ] {
        let source = Source { path: path.to_owned(), text: text.to_owned() };
        assert_eq!(forbidden(&source), [""; 0], "{text}");
    }
}

#[test]
fn names_length_and_documentation_are_looked_at() {
    let source = |path: &str, text: &str| Source { path: path.to_owned(), text: text.to_owned() };
    let named = source("src/x.rs", "//! X.\nstruct LoadManager;\nmod utils;\nfn load_helper() {}\nfn futile() {}\n");
    assert_eq!(
        empty_names(&named),
        [
            "src/x.rs:2: `LoadManager` says nothing about what it does",
            "src/x.rs:3: `utils` says nothing about what it does",
            "src/x.rs:4: `load_helper` says nothing about what it does",
        ]
    );
    assert_eq!(too_long(&source("src/x.rs", &"\n".repeat(501))), ["src/x.rs:501: longer than 500 lines"]);
    assert_eq!(too_long(&source("src/x.rs", &"\n".repeat(500))), [""; 0]);
    for text in ["", "use x;\n//! X.\n", "//!\n", "/// X.\n", "//! \n"] {
        assert_eq!(
            undocumented(&source("src/x.rs", text)),
            ["src/x.rs:1: does not start with what the module is (`//! ...`)"],
            "{text:?}"
        );
    }
    assert_eq!(undocumented(&source("src/x.rs", "//! X.\n")), [""; 0]);
}
