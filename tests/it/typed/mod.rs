//! The README and the runbook, typed: every command line in them is run, in its order, and ends with the exit code that stands in its
//! comment, 0 where none does. Other languages have the same headings and the same commands.

mod document;
mod nights;
mod readme;

use std::fs;
use std::path::Path;

use document::{Section, sections};

/// What stands in these documents and is not run here, and why.
const NOT_RUN: [(&str, &str); 5] = [
    ("cargo install", "it would build the program once more"),
    ("tests/run", "it is what runs this test"),
    ("cargo bench --bench recovery", "it takes minutes, and nobody waits for its numbers"),
    ("systemctl start", "the test starts the simulated servers instead"),
    ("systemctl stop", "the test kills the simulated servers instead"),
];

fn read(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

fn is_not_run(words: &str) -> bool {
    NOT_RUN.iter().any(|(begins, _)| words.starts_with(begins))
}

/// The sections of a document in which something is typed.
fn typed_in(name: &str) -> Vec<Section> {
    let all = sections(&read(name));
    all.into_iter().filter(|section| !section.commands.is_empty()).collect()
}

#[test]
fn other_languages_have_the_same_sections_commands_and_tables() {
    for (english, other) in [("README.md", "README.zh-CN.md"), ("docs/runbook.md", "docs/runbook.zh-CN.md")] {
        let (theirs, ours) = (sections(&read(other)), sections(&read(english)));
        for (ours, theirs) in ours.iter().zip(&theirs) {
            let what = format!("{english}: {}; {other}: {}", ours.heading, theirs.heading);
            assert_eq!((ours.level, &ours.commands), (theirs.level, &theirs.commands), "{what}");
            assert_eq!(ours.shape, theirs.shape, "{what}");
        }
        assert_eq!(ours.len(), theirs.len(), "{english} and {other} have different numbers of headings");
    }
}

/// What is named in a sentence or a table can be typed, too.
#[test]
fn every_command_that_a_document_names_can_be_typed() {
    let mut seen = 0;
    for name in ["README.md", "README.zh-CN.md", "docs/runbook.md", "docs/runbook.zh-CN.md"] {
        for words in crate::hints::named(&read(name)).iter().filter(|words| !words.contains(['|', '…'])) {
            crate::hints::can_be_typed(words).unwrap_or_else(|why| panic!("{name}: {why}"));
            seen += 1;
        }
    }
    assert!(seen > 40, "only {seen}");
}
