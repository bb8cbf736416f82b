//! The playbooks compiled into the program, and where else one may come from.

use std::fmt;
use std::fs::File;
use std::io::{ErrorKind, Read};

use super::node::LARGEST;
use super::{Playbook, PlaybookError, Problem};

/// The playbook used when none is named.
pub const DEFAULT: &str = "recover";

/// Those that can be chosen between for a cluster that went down, the default first.
const ALTERNATIVES: [(&str, &str); 3] = [
    ("recover", include_str!("../../../../playbooks/recover.yaml")),
    ("fast", include_str!("../../../../playbooks/fast.yaml")),
    ("leaders-first", include_str!("../../../../playbooks/leaders-first.yaml")),
];

/// What brings back as the default does, after a tablet was waited for.
const NODE_LOSS: (&str, &str) = ("node-loss", include_str!("../../../../playbooks/node-loss.yaml"));

fn built_ins() -> impl Iterator<Item = (&'static str, &'static str)> {
    ALTERNATIVES.into_iter().chain([NODE_LOSS])
}

/// The text of a built-in playbook, comments included.
pub fn built_in(name: &str) -> Option<&'static str> {
    built_ins().find(|(known, _)| *known == name).map(|(_, text)| text)
}

/// The names of the built-in playbooks, the default first.
pub fn built_in_names() -> impl Iterator<Item = &'static str> {
    built_ins().map(|(name, _)| name)
}

/// The names of those that can be chosen between for a cluster that went down: they are compared.
pub fn alternatives() -> impl Iterator<Item = &'static str> {
    ALTERNATIVES.into_iter().map(|(name, _)| name)
}

/// Where a playbook comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Compiled into the program.
    BuiltIn,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::BuiltIn => "built-in",
        })
    }
}

/// A row of the list of playbooks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// The name to choose it by.
    pub name: String,
    /// Its own description.
    pub description: String,
    /// Where it comes from.
    pub source: Source,
}

/// The playbooks there are without a file.
///
/// # Errors
/// A built-in playbook that cannot be read: a fault of the build.
pub fn list() -> Result<Vec<Listed>, PlaybookError> {
    let row = |(name, text)| {
        let Playbook { name, description, .. } = Playbook::parse(name, text)?;
        Ok(Listed { name, description, source: Source::BuiltIn })
    };
    built_ins().map(row).collect()
}

/// Finds the text of a playbook by the name of a built-in one or else by the path of a file. Gives back what errors are
/// to call it (the path, or `playbooks/NAME.yaml`) and the text.
///
/// # Errors
/// There is no such playbook, or its file cannot be read as text.
pub fn load(name_or_file: &str) -> Result<(String, String), PlaybookError> {
    if let Some(text) = built_in(name_or_file) {
        return Ok((format!("playbooks/{name_or_file}.yaml"), text.to_owned()));
    }
    let error = |problem| PlaybookError { file: name_or_file.to_owned(), at: None, problem };
    let mut text = String::new();
    // One byte more than may be there, so that a device or a wrong file is not read to its end.
    let read = File::open(name_or_file).and_then(|file| file.take(LARGEST as u64 + 1).read_to_string(&mut text));
    match read {
        Ok(_) => Ok((name_or_file.to_owned(), text)),
        Err(cause) if cause.kind() == ErrorKind::NotFound => {
            let built_in = built_in_names().collect::<Vec<_>>().join(", ");
            Err(error(Problem::NotFound { built_in }))
        }
        Err(cause) => Err(error(Problem::Unreadable(cause.to_string()))),
    }
}

impl Playbook {
    /// The playbook of that name, or in that file.
    ///
    /// # Errors
    /// There is none, or the first thing wrong with it.
    pub fn find(name_or_file: &str) -> Result<Self, PlaybookError> {
        let (file, text) = load(name_or_file)?;
        Self::parse(&file, &text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_playbook_is_valid_and_goes_by_its_own_name() {
        let listed = list().unwrap();
        let names: Vec<_> = listed.iter().map(|row| row.name.as_str()).collect();
        assert_eq!(names, built_in_names().collect::<Vec<_>>());
        assert_eq!(names[0], DEFAULT);
    }

    #[test]
    fn a_name_that_is_neither_built_in_nor_a_file_says_what_is_there() {
        let error = load("recoverr").unwrap_err().to_string();
        assert_eq!(
            error,
            "recoverr: no such playbook: neither built in (recover, fast, leaders-first, node-loss) nor a file"
        );
    }

    #[test]
    fn a_directory_is_no_playbook() {
        let error = load(env!("CARGO_MANIFEST_DIR")).unwrap_err();
        assert!(matches!(error.problem, Problem::Unreadable(_)), "{error}");
    }

    #[test]
    fn a_file_is_read_from_its_path() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../playbooks/recover.yaml");
        assert_eq!(load(path).unwrap(), (path.to_owned(), built_in("recover").unwrap().to_owned()));
    }

    #[test]
    fn a_built_in_name_wins_over_a_file() {
        assert_eq!(load("recover").unwrap().0, "playbooks/recover.yaml");
        assert_eq!(Playbook::find("recover").unwrap().name, "recover");
    }
}
