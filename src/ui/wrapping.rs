//! Prose on a terminal that is narrower than it: broken between words.

use std::io::{self, Write};

use console::measure_text_width;

/// A stream to a terminal of so many columns, or to anything else. Each write is whole lines.
#[derive(Debug)]
pub struct Wrapping<W> {
    to: W,
    columns: Option<usize>,
}

impl<W: Write> Wrapping<W> {
    /// Such a stream.
    pub fn new(to: W, columns: Option<usize>) -> Self {
        Self { to, columns }
    }
}

impl<W: Write> Write for Wrapping<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self.columns.zip(std::str::from_utf8(bytes).ok()) {
            Some((columns, text)) => self.to.write_all(wrapped(text, columns).as_bytes())?,
            None => self.to.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.to.flush()
    }
}

/// A text whose lines go on below, where a terminal of so many columns would break them, at the beginning of a word. What breaks them is
/// spaces up to the terminal's edge, so that a line stays one line for whoever copies it.
pub(super) fn wrapped(text: &str, columns: usize) -> String {
    text.split_inclusive('\n').map(|line| broken(line, columns)).collect()
}

fn broken(line: &str, columns: usize) -> String {
    // Rows of tables are left to the terminal.
    if measure_text_width(line.trim_end()) <= columns || line.trim().contains("  ") {
        return line.to_owned();
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let indent = if indent < columns / 3 { indent } else { 0 };
    let (mut out, mut at) = (String::with_capacity(line.len() + columns), 0);
    for (nth, word) in line.split(' ').enumerate() {
        let width = measure_text_width(word.trim_end());
        // One column at least is left for a space.
        let fits = at + 1 + width < columns || indent + width >= columns;
        if nth > 0 && !fits {
            out += &" ".repeat(columns - at + indent);
            at = indent;
        } else if nth > 0 {
            out.push(' ');
            at += 1;
        }
        out += word;
        at = (at + width) % columns.max(1);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What a terminal shows.
    fn shown(text: &str, columns: usize) -> Vec<String> {
        let mut terminal = avt::Terminal::with_scrollback(columns, 24, None).unwrap();
        terminal.feed(wrapped(text, columns).replace('\n', "\r\n").as_str());
        let rows =
            terminal.screen().visible_lines().map(|row| row.cells().iter().map(avt::Cell::char).collect::<String>());
        rows.map(|row| row.trim_end().to_owned()).filter(|row| !row.is_empty()).collect()
    }

    #[test]
    fn lines_are_broken_between_words_and_stay_one_line() {
        let text = "short\n  some words that are longer than the terminal is wide\nend\n";
        assert_eq!(
            shown(text, 20),
            ["short", "  some words that", "  are longer than", "  the terminal is", "  wide", "end"]
        );
        for columns in 1..80 {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            let wrapped = wrapped(text, columns);
            assert_eq!((words(&wrapped), wrapped.lines().count()), (words(text), 3), "{columns}");
        }
        assert_eq!(shown("a-word-that-is-longer than all", 10), ["a-word-tha", "t-is-longe", "r than", "all"]);
    }

    #[test]
    fn what_fits_is_as_it_is() {
        assert_eq!(wrapped("a  table   row\n", 14), "a  table   row\n");
        assert_eq!(wrapped("\u{1b}[1mbold\u{1b}[0m\n", 4), "\u{1b}[1mbold\u{1b}[0m\n");
    }
}
