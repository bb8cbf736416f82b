//! Colour: only on a terminal, and not where NO_COLOR is set (no-color.org).

use std::env;
use std::ffi::OsStr;
use std::io::{self, IsTerminal};

use anstyle::{AnsiColor, Style};

/// Whether text carries colour. Every text of this module is a function of it, so that tests see plain text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Paint {
    /// Nothing but the text.
    #[default]
    Plain,
    /// With ANSI escapes.
    Coloured,
}

/// What a piece of text is, as far as colour goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// As the rest.
    Usual,
    /// A heading or a name.
    Strong,
    /// As it should be.
    Good,
    /// Not as it should be, and no harm.
    Warning,
    /// Broken or blocked.
    Bad,
    /// Beside the point.
    Faint,
}

impl Paint {
    /// For what goes to stdout.
    pub fn for_stdout() -> Self {
        Self::of_environment(io::stdout().is_terminal())
    }

    /// For what goes to stderr.
    pub fn for_stderr() -> Self {
        Self::of_environment(io::stderr().is_terminal())
    }

    fn of_environment(is_terminal: bool) -> Self {
        Self::decide(is_terminal, env::var_os("NO_COLOR").as_deref(), env::var_os("TERM").as_deref())
    }

    /// Colour on a terminal that can show it, unless NO_COLOR is set to anything but nothing.
    fn decide(is_terminal: bool, no_color: Option<&OsStr>, term: Option<&OsStr>) -> Self {
        let unwanted = no_color.is_some_and(|value| !value.is_empty());
        let incapable = term.is_some_and(|term| term == "dumb");
        if is_terminal && !unwanted && !incapable { Self::Coloured } else { Self::Plain }
    }

    /// The text in its tone.
    pub fn tone(self, tone: Tone, text: &str) -> String {
        let style = match tone {
            _ if self == Self::Plain || text.is_empty() => return text.to_owned(),
            Tone::Usual => return text.to_owned(),
            Tone::Strong => Style::new().bold(),
            Tone::Good => AnsiColor::Green.on_default(),
            Tone::Warning => AnsiColor::Yellow.on_default(),
            Tone::Bad => AnsiColor::Red.on_default().bold(),
            Tone::Faint => Style::new().dimmed(),
        };
        format!("{style}{text}{style:#}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decide(is_terminal: bool, no_color: Option<&str>, term: &str) -> Paint {
        Paint::decide(is_terminal, no_color.map(OsStr::new), Some(OsStr::new(term)))
    }

    #[test]
    fn only_a_terminal_gets_colour() {
        assert_eq!(decide(true, None, "xterm"), Paint::Coloured);
        assert_eq!(decide(false, None, "xterm"), Paint::Plain);
        assert_eq!(decide(true, None, "dumb"), Paint::Plain);
    }

    #[test]
    fn no_color_is_respected_unless_it_is_empty() {
        assert_eq!(decide(true, Some("1"), "xterm"), Paint::Plain);
        assert_eq!(decide(true, Some("0"), "xterm"), Paint::Plain);
        assert_eq!(decide(true, Some(""), "xterm"), Paint::Coloured);
    }

    #[test]
    fn plain_text_carries_no_escape_and_coloured_text_ends_its_own() {
        assert_eq!(Paint::Plain.tone(Tone::Bad, "blocked"), "blocked");
        let coloured = Paint::Coloured.tone(Tone::Bad, "blocked");
        assert!(coloured.starts_with("\u{1b}[") && coloured.ends_with("\u{1b}[0m"), "{coloured:?}");
        assert_eq!(Paint::Coloured.tone(Tone::Usual, "as is"), "as is");
    }
}
