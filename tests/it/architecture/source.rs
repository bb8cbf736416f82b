//! Just enough of Rust's grammar to tell code from comments, strings and tests.

/// A file of the project.
pub struct Source {
    /// Its path from the project's root, with `/`.
    pub path: String,
    /// What is in it.
    pub text: String,
}

/// The code alone: comments, strings and characters become spaces, lines stay where they are.
pub fn without_comments(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let mut after_word = false;
    while let Some(first) = rest.chars().next() {
        // `r` and `b` before a quote belong to it, unless they end a word.
        let length = if after_word && first.is_alphanumeric() { 0 } else { skipped(rest) };
        if length == 0 {
            out.push(first);
            rest = &rest[first.len_utf8()..];
            after_word = first.is_alphanumeric() || first == '_';
        } else {
            out.extend(rest[..length].chars().map(|c| if c == '\n' { '\n' } else { ' ' }));
            rest = &rest[length..];
            after_word = false;
        }
    }
    out
}

/// The length in bytes of the comment or literal that a text starts with; 0 if it starts with neither.
fn skipped(rest: &str) -> usize {
    if rest.starts_with("//") {
        return rest.find('\n').unwrap_or(rest.len());
    }
    if rest.starts_with("/*") {
        return block_comment(rest);
    }
    let prefix = ["br", "cr", "b", "c", "r"].into_iter().find(|prefix| rest.starts_with(prefix)).unwrap_or("");
    let literal = &rest[prefix.len()..];
    let hashes = literal.len() - literal.trim_start_matches('#').len();
    if prefix.ends_with('r') && literal[hashes..].starts_with('"') {
        let end = format!("\"{}", "#".repeat(hashes));
        let body = hashes + 1;
        return literal[body..].find(&end).map_or(rest.len(), |at| prefix.len() + body + at + end.len());
    }
    let quoted = match literal.chars().next() {
        Some('"') => quoted(literal, '"'),
        Some('\'') if is_character(literal) => quoted(literal, '\''),
        _ => return 0,
    };
    if prefix.ends_with('r') { 0 } else { prefix.len() + quoted }
}

fn block_comment(rest: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < rest.len() {
        let (step, change) = match &rest.as_bytes()[at..] {
            [b'/', b'*', ..] => (2, 1),
            [b'*', b'/', ..] => (2, -1),
            _ => (1, 0),
        };
        at += step;
        depth += change;
        if depth == 0 {
            break;
        }
    }
    at
}

/// Whether a `'` starts a character rather than a lifetime.
fn is_character(literal: &str) -> bool {
    let mut chars = literal.chars().skip(1);
    chars.next() == Some('\\') || chars.next() == Some('\'')
}

fn quoted(literal: &str, quote: char) -> usize {
    let mut escaped = true; // the opening quote
    for (at, c) in literal.char_indices() {
        if escaped {
            escaped = false;
        } else if c == '\\' {
            escaped = true;
        } else if c == quote {
            return at + 1;
        }
    }
    literal.len()
}

const TEST: &str = "#[cfg(test)]";

/// Code without the items that are only compiled for tests.
pub fn without_tests(code: &str) -> String {
    let mut out = code.to_owned();
    while let Some(start) = out.find(TEST) {
        let end = start + test_item(&out[start..]);
        let blank: String = out[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
        out.replace_range(start..end, &blank);
    }
    out
}

/// The length in bytes of the item behind a `#[cfg(test)]`: to its `;` or its closing brace.
fn test_item(code: &str) -> usize {
    let mut depth = 0;
    for (at, c) in code.char_indices().skip(TEST.len()) {
        match c {
            '{' | '(' | '[' => depth += 1,
            '}' | ')' | ']' => depth -= 1,
            _ => {}
        }
        if depth == 0 && matches!(c, ';' | '}') {
            return at + 1;
        }
    }
    code.len()
}

/// The files that a file declares as modules for tests only.
pub fn test_files(source: &Source) -> Vec<String> {
    let code = without_comments(&source.text);
    let directory = match source.path.rsplit_once('/') {
        Some((directory, "mod.rs" | "lib.rs" | "main.rs")) => directory,
        _ => source.path.trim_end_matches(".rs"),
    };
    let item = |(at, _)| code[at..at + test_item(&code[at..])].trim_start_matches(TEST).trim();
    code.match_indices(TEST)
        .map(item)
        .filter_map(|item| item.strip_prefix("mod ")?.strip_suffix(';'))
        .flat_map(|name| [format!("{directory}/{name}.rs"), format!("{directory}/{name}/mod.rs")])
        .collect()
}

/// Every identifier and keyword with its line, and the code behind it.
pub fn identifiers(code: &str) -> impl Iterator<Item = (usize, &str, &str)> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut at = 0;
    let mut line = 1;
    std::iter::from_fn(move || {
        let skip = code[at..].find(is_word)?;
        line += code[at..at + skip].matches('\n').count();
        let start = at + skip;
        at = start + code[start..].find(|c| !is_word(c)).unwrap_or(code.len() - start);
        Some((line, &code[start..at], &code[at..]))
    })
}

/// The words a name is made of, in small letters: `LoadTable` and `load_table` are both load and table.
pub fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for c in name.chars() {
        if c == '_' || c.is_uppercase() {
            words.push(String::new());
        }
        if let Some(word) = words.last_mut().filter(|_| c != '_') {
            word.extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

#[test]
fn comments_and_literals_are_blanked_and_lines_kept() {
    for (text, code) in [
        ("a // b\nc", "a     \nc"),
        ("a /* b /* c */\n d */ e", "a             \n      e"),
        (r#"a("b\"//c", d)"#, r#"a(        , d)"#),
        ("r#\"a \" b\"# c", "           c"),
        ("br\"a\\\" c", "       c"),
        ("b'a' '\\'' '\"' c", "              c"),
        ("fn f<'a>(x: &'a str) {}", "fn f<'a>(x: &'a str) {}"),
        ("var\"x\"", "var   "),
        ("'x' x", "    x"),
    ] {
        assert_eq!(without_comments(text), code, "{text}");
    }
}

#[test]
fn test_code_is_blanked_and_what_follows_it_stays() {
    assert_eq!(
        without_tests("a\n#[cfg(test)]\nmod t { x{} }\nb"),
        format!("a\n{}\n{}\nb", " ".repeat(12), " ".repeat(13))
    );
    assert_eq!(without_tests("#[cfg(test)] use x; b").trim(), "b");
    assert_eq!(without_tests("#[cfg(test)] #[path = [x]] mod t; b").trim(), "b");
}

#[test]
fn test_files_are_found_beside_the_file_that_declares_them() {
    let source = |path: &str| Source { path: path.to_owned(), text: "mod a;\n#[cfg(test)]\nmod tests;\n".to_owned() };
    assert_eq!(test_files(&source("src/x/mod.rs")), ["src/x/tests.rs", "src/x/tests/mod.rs"]);
    assert_eq!(test_files(&source("src/x.rs")), ["src/x/tests.rs", "src/x/tests/mod.rs"]);
}

#[test]
fn words_of_a_name() {
    assert_eq!(words_of("LoadManager"), ["load", "manager"]);
    assert_eq!(words_of("load_utils"), ["load", "utils"]);
}
