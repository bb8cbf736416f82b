//! What is wider than the terminal is broken between words; rows of tables also between columns.

use std::io::{self, Write};

use console::measure_text_width;

use super::wide_rows::{is_row, rows};

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
    let joined = |(rows, end): (Vec<String>, &str)| {
        let (last, before) = rows.split_last().map_or(("", [].as_slice()), |(last, before)| (last.as_str(), before));
        let next = rows.iter().skip(1);
        let full = |(row, next): (&String, &String)| {
            let used = measure_text_width(row) % columns.max(1);
            // A word that fills the whole row needs a space all the same.
            let left = if used == 0 && next.starts_with(' ') { 0 } else { columns - used };
            row.clone() + &" ".repeat(left)
        };
        before.iter().zip(next).map(full).collect::<String>() + last + end
    };
    lines(text, columns).into_iter().map(joined).collect()
}

/// The same, as rows of their own. Each begins in the colour in which the one before ended.
pub(super) fn folded(text: &str, columns: usize) -> Vec<String> {
    let coloured = |rows: Vec<String>| {
        let mut colour = String::new();
        let row = move |row: String| {
            let row = std::mem::take(&mut colour) + &row;
            let last = row.rfind("\u{1b}[").and_then(|at| row.get(at..));
            let open = last.and_then(|code| code.split_inclusive('m').next()).filter(|code| *code != "\u{1b}[0m");
            colour = open.unwrap_or_default().to_owned();
            row
        };
        rows.into_iter().map(row).collect::<Vec<_>>()
    };
    lines(text, columns).into_iter().flat_map(|(rows, _)| coloured(rows)).collect()
}

/// Each line as the rows that it takes, and how it ends.
fn lines(text: &str, columns: usize) -> Vec<(Vec<String>, &str)> {
    let lines: Vec<&str> = text.split_inclusive('\n').collect();
    let tables = lines.chunk_by(|one, next| is_row(one) && is_row(next));
    let of = |table: &[&str]| match table {
        [line, ..] if is_row(line) => rows(table, columns),
        lines => lines.iter().map(|line| broken(line.trim_end_matches('\n'), columns)).collect(),
    };
    let rows = tables.flat_map(of);
    rows.zip(&lines).map(|(rows, line)| (rows, if line.ends_with('\n') { "\n" } else { "" })).collect()
}

fn broken(line: &str, columns: usize) -> Vec<String> {
    if measure_text_width(line.trim_end()) <= columns {
        return vec![line.to_owned()];
    }
    let indent = line.len() - line.trim_start_matches(' ').len();
    let indent = if indent < columns / 3 { indent } else { 0 };
    let (mut rows, mut row, mut at) = (Vec::new(), String::new(), 0);
    for (nth, word) in line.split(' ').enumerate() {
        let width = measure_text_width(word);
        // One column at least is left for a space.
        let fits = at + 1 + width < columns || indent + width >= columns;
        if nth > 0 && !fits {
            rows.push(std::mem::replace(&mut row, " ".repeat(indent)));
            at = indent;
        } else if nth > 0 {
            row.push(' ');
            at += 1;
        }
        row += word;
        at = (at + width) % columns.max(1);
    }
    rows.push(row);
    rows
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
    fn rows_of_tables_are_broken_between_columns_everywhere_alike() {
        let table = "\u{1b}[2mreplica    flags         problem\u{1b}[0m\n\
                     10.0.0.11  leader/alive  does not answer\n\
                     10.0.0.12  follower\n\nend\n";
        assert_eq!(
            shown(table, 36),
            [
                "replica    flags",
                "    problem",
                "10.0.0.11  leader/alive",
                "    does not answer",
                "10.0.0.12  follower",
                "end"
            ]
        );
        let prose = "  load-sticks  the load never ends, whatever is done about it\n  late         no answer comes\n";
        assert_eq!(
            shown(prose, 45),
            [
                "  load-sticks  the load never ends, whatever",
                "               is done about it",
                "  late         no answer comes"
            ]
        );
        for columns in 1..80 {
            let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
            for text in [table, prose] {
                let wrapped = wrapped(text, columns);
                assert_eq!(
                    (words(&wrapped), wrapped.lines().count()),
                    (words(text), text.lines().count()),
                    "{columns}"
                );
            }
        }
    }

    #[test]
    fn rows_of_their_own_go_on_in_their_colour() {
        let text = "\u{1b}[31mred and long\u{1b}[0m\nplain\n";
        assert_eq!(folded(text, 8), ["\u{1b}[31mred and", "\u{1b}[31mlong\u{1b}[0m", "plain"]);
        assert_eq!(folded("a  table is wide\n", 12), ["a  table is", "   wide"].map(str::to_owned));
    }

    #[test]
    fn what_fits_is_as_it_is() {
        assert_eq!(wrapped("a  table   row\n", 14), "a  table   row\n");
        assert_eq!(wrapped("\u{1b}[1mbold\u{1b}[0m\n", 4), "\u{1b}[1mbold\u{1b}[0m\n");
    }
}
