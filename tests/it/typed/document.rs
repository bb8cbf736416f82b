//! A document's headings, and what is typed below each.

/// A heading and what stands below it, up to the next one.
pub struct Section {
    pub heading: String,
    pub level: usize,
    pub commands: Vec<Typed>,
}

/// A command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Typed {
    pub words: String,
    /// The exit code with which it ends.
    pub exit: i32,
}

/// Its sections, the text before the first heading left out.
pub fn sections(document: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut is_fenced = false;
    for line in document.lines() {
        // What is in a fence was printed, not typed.
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if line.starts_with('#') && !is_fenced {
            let heading = line.trim_start_matches('#');
            let level = line.len() - heading.len();
            sections.push(Section { heading: heading.trim().to_owned(), level, commands: Vec::new() });
        } else if let (true, false, Some(section)) = (line.starts_with("    "), is_fenced, sections.last_mut()) {
            section.commands.extend(typed(line));
        }
    }
    sections
}

/// A line without its comment; nothing if it is all comment.
fn typed(line: &str) -> Option<Typed> {
    let (words, comment) = line.split_once(" # ").unwrap_or((line, ""));
    let exit = comment
        .trim_start()
        .strip_prefix("exit code ")
        .map_or("0", |rest| rest.split(|c: char| !c.is_ascii_digit()).next().unwrap_or_default());
    let words = words.trim().to_owned();
    let exit = exit.parse().unwrap_or_else(|error| panic!("{line}: {error}"));
    (!words.is_empty() && !words.starts_with('#')).then_some(Typed { words, exit })
}

#[test]
fn what_is_typed_is_told_from_what_is_said() {
    let document = "# A\n\n    x one  # exit code 4: left\n\n1. b\n\n       x two   # so\n\n```text\n    no\n# no\n```\n## B\n   c\n";
    let found = sections(document);
    let headings: Vec<(&str, usize)> = found.iter().map(|section| (section.heading.as_str(), section.level)).collect();
    assert_eq!(headings, [("A", 1), ("B", 2)]);
    let typed = |words: &str, exit| Typed { words: words.to_owned(), exit };
    assert_eq!(found[0].commands, [typed("x one", 4), typed("x two", 0)]);
    assert_eq!(found[1].commands, []);
}
