//! Rows in aligned columns.

use super::color::{Paint, Tone};
use super::words::one_line;

/// One cell: a text in its tone.
#[derive(Debug, Clone)]
pub(super) struct Cell {
    text: String,
    tone: Tone,
}

/// A table whose columns are as wide as their widest cell; the last one is not padded.
#[derive(Debug, Default)]
pub(super) struct Columns {
    rows: Vec<Vec<Cell>>,
}

impl Cell {
    /// A cell in a tone.
    pub(super) fn new(tone: Tone, text: impl Into<String>) -> Self {
        Self { text: one_line(&text.into()), tone }
    }

    fn width(&self) -> usize {
        self.text.chars().count()
    }
}

impl From<String> for Cell {
    fn from(text: String) -> Self {
        Self::new(Tone::Usual, text)
    }
}

impl From<&str> for Cell {
    fn from(text: &str) -> Self {
        Self::new(Tone::Usual, text)
    }
}

impl Columns {
    /// A table with a heading.
    pub(super) fn headed(names: &[&str]) -> Self {
        Self { rows: vec![names.iter().map(|name| Cell::new(Tone::Faint, *name)).collect()] }
    }

    /// One more row.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table, each line indented by so many blanks, without blanks at the end of a line.
    pub(super) fn text(&self, indent: usize, paint: Paint) -> String {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width_of = |column: usize| self.rows.iter().filter_map(|row| row.get(column)).map(Cell::width).max();
        let widths: Vec<usize> = (0..columns).map(|column| width_of(column).unwrap_or(0)).collect();
        let mut out = String::new();
        for row in &self.rows {
            let used = row.iter().rposition(|cell| !cell.text.is_empty()).map_or(0, |last| last + 1);
            let mut pending = indent;
            for (cell, width) in row.iter().take(used).zip(&widths) {
                out.extend(std::iter::repeat_n(' ', pending));
                out.push_str(&paint.tone(cell.tone, &cell.text));
                pending = width - cell.width() + 2;
            }
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_align_whatever_their_colour_and_no_line_ends_in_blanks() {
        let mut columns = Columns::headed(&["replica", "flags", "problem"]);
        columns.row(["a:1".into(), Cell::new(Tone::Bad, "leader/alive"), "".into()]);
        columns.row(["longer.example:9".into(), "-".into(), "not loaded".into()]);
        let plain = columns.text(2, Paint::Plain);
        insta::assert_snapshot!(plain, @r"
          replica           flags         problem
          a:1               leader/alive
          longer.example:9  -             not loaded
        ");
        assert!(plain.lines().all(|line| line.trim_end() == line));
        let coloured = columns.text(2, Paint::Coloured);
        let stripped: String =
            coloured.split('\u{1b}').map(|part| part.split_once('m').map_or(part, |p| p.1)).collect();
        assert_eq!(stripped, plain);
    }
}
