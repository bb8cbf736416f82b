//! A document's headings, and what is typed below each.

/// A heading and what stands below it, up to the next one.
pub struct Section {
    pub heading: String,
    pub level: usize,
    pub commands: Vec<Typed>,
    pub shape: Shape,
}

/// What a section is made of: the same in every language.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Shape {
    pub paragraphs: usize,
    pub items: usize,
    /// The first cells of tables, where they are names in code.
    pub rows: Vec<Option<String>>,
    /// What was printed, line by line.
    pub printed: Vec<String>,
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
    let (mut is_fenced, mut was_blank) = (false, true);
    for line in document.lines() {
        // What is in a fence was printed, not typed.
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if line.starts_with('#') && !is_fenced {
            let heading = line.trim_start_matches('#');
            let level = line.len() - heading.len();
            let (heading, commands, shape) = (heading.trim().to_owned(), Vec::new(), Shape::default());
            sections.push(Section { heading, level, commands, shape });
        } else if let (true, false, Some(section)) = (line.starts_with("    "), is_fenced, sections.last_mut()) {
            section.commands.extend(typed(line));
        } else if let Some(section) = sections.last_mut() {
            section.shape.add(line, is_fenced, was_blank);
        }
        was_blank = line.trim().is_empty();
    }
    sections
}

impl Shape {
    fn add(&mut self, line: &str, is_fenced: bool, was_blank: bool) {
        let begins_item =
            line.starts_with("- ") || line.split_once(". ").is_some_and(|(nth, _)| nth.parse::<u8>().is_ok());
        if is_fenced {
            self.printed.push(line.to_owned());
        } else if line.starts_with('|') {
            let first = line.trim_start_matches('|').split('|').next().unwrap_or_default().trim();
            let names: Vec<&str> = first.split('`').skip(1).step_by(2).collect();
            self.rows.push((!names.is_empty()).then(|| names.join(" ")));
        } else if begins_item {
            self.items += 1;
        } else if was_blank && !line.trim().is_empty() {
            self.paragraphs += 1;
        }
    }
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
    let document = "# A\n\nSo.\n\n| `a`, `b` | c |\n- d\n\n    x one  # exit code 4: left\n\n1. b\n\n       x two   # so\n\n```text\n    no\n# no\n```\n## B\n   c\n";
    let found = sections(document);
    let headings: Vec<(&str, usize)> = found.iter().map(|section| (section.heading.as_str(), section.level)).collect();
    assert_eq!(headings, [("A", 1), ("B", 2)]);
    let typed = |words: &str, exit| Typed { words: words.to_owned(), exit };
    assert_eq!(found[0].commands, [typed("x one", 4), typed("x two", 0)]);
    assert_eq!(found[1].commands, []);
    let printed = vec!["    no".to_owned(), "# no".to_owned()];
    let rows = vec![Some("a b".to_owned())];
    assert_eq!(found[0].shape, Shape { paragraphs: 1, items: 2, rows, printed });
}
