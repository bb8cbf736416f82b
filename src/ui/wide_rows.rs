//! Rows of a table that is wider than the terminal: columns that do not fit go on below, in every row at the same place.

use console::measure_text_width;

/// Where what goes on below begins.
const INDENT: usize = 4;
/// The last column is broken between words where there is so much room for it, and goes on below otherwise.
const ROOM: usize = 24;

/// Whether a line has more than one column.
pub(super) fn is_row(line: &str) -> bool {
    line.trim().contains("  ")
}

/// Something between blanks, in bytes of its line and in columns of the terminal.
struct Cell {
    bytes: (usize, usize),
    at: (usize, usize),
}

/// Each line of the table as the rows that it takes on a terminal of so many columns.
pub(super) fn rows(lines: &[&str], columns: usize) -> Vec<Vec<String>> {
    if lines.iter().all(|line| measure_text_width(line.trim_end()) <= columns) {
        return lines.iter().map(|line| vec![line.trim_end_matches('\n').to_owned()]).collect();
    }
    let cells: Vec<Vec<Cell>> = lines.iter().map(|line| cells(line)).collect();
    let starts = starts(&cells);
    let parts: Vec<Vec<(usize, &str, usize)>> =
        lines.iter().zip(&cells).map(|(line, cells)| parts(line, cells, &starts)).collect();
    let width_of = |nth: usize| parts.iter().flatten().filter(|part| part.0 == nth).map(|part| part.2).max();
    let widths: Vec<usize> = (0..starts.len()).map(|nth| width_of(nth).unwrap_or(0)).collect();
    let places = places(&starts, &widths, columns);
    parts.iter().map(|parts| row(parts, &places, columns)).collect()
}

fn cells(line: &str) -> Vec<Cell> {
    let line = line.trim_end();
    let (mut cells, mut from, mut at) = (Vec::new(), 0, 0);
    while let Some(rest) = line.get(from..).filter(|rest| !rest.is_empty()) {
        let text = rest.trim_start_matches(' ');
        let blanks = rest.len() - text.len();
        (from, at) = (from + blanks, at + blanks);
        let length = text.find("  ").unwrap_or(text.len());
        let width = measure_text_width(text.get(..length).unwrap_or(text));
        cells.push(Cell { bytes: (from, from + length), at: (at, at + width) });
        (from, at) = (from + length, at + width);
    }
    cells
}

/// Where columns begin: two blanks are before that in every row.
fn starts(rows: &[Vec<Cell>]) -> Vec<usize> {
    let mut starts: Vec<usize> = rows.iter().flatten().map(|cell| cell.at.0).collect();
    starts.sort_unstable();
    starts.dedup();
    let is_free = |start: &usize| rows.iter().flatten().all(|cell| cell.at.1 + 2 <= *start || cell.at.0 >= *start);
    starts.retain(is_free);
    starts
}

/// What a row has in each column: which, what, and how wide that is.
fn parts<'a>(line: &'a str, cells: &[Cell], starts: &[usize]) -> Vec<(usize, &'a str, usize)> {
    let column = |cell: &Cell| starts.partition_point(|start| *start <= cell.at.0).saturating_sub(1);
    let of_column = |cells: &[Cell]| {
        let (first, last) = (cells.first()?, cells.last()?);
        Some((column(first), line.get(first.bytes.0..last.bytes.1)?, last.at.1 - first.at.0))
    };
    cells.chunk_by(|one, next| column(one) == column(next)).filter_map(of_column).collect()
}

/// In which line of a row, and where, each column is.
fn places(starts: &[usize], widths: &[usize], columns: usize) -> Vec<(usize, usize)> {
    let (mut line, mut shift, mut places) = (0, 0, Vec::with_capacity(starts.len()));
    for (nth, (start, width)) in starts.iter().zip(widths).enumerate() {
        let at = start - shift;
        let is_prose = nth + 1 == starts.len() && columns.saturating_sub(at) >= ROOM.max(columns / 4);
        if nth > 0 && at > INDENT && at + width > columns && !is_prose {
            (line, shift) = (line + 1, start - INDENT);
        }
        places.push((line, start - shift));
    }
    places
}

fn row(parts: &[(usize, &str, usize)], places: &[(usize, usize)], columns: usize) -> Vec<String> {
    let (mut rows, mut row, mut line, mut at) = (Vec::new(), String::new(), 0, 0);
    for (column, text, width) in parts {
        let Some((in_line, place)) = places.get(*column) else { continue };
        if *in_line > line {
            rows.push(std::mem::take(&mut row));
            (line, at) = (*in_line, 0);
        }
        row += &" ".repeat(place.saturating_sub(at));
        at = at.max(*place);
        if at + width <= columns {
            row += text;
            at += width;
            continue;
        }
        for (nth, word) in text.split(' ').enumerate() {
            let width = measure_text_width(word);
            // One column at least is left for a space.
            if nth > 0 && at + 1 + width < columns {
                row.push(' ');
                at += 1;
            } else if nth > 0 {
                rows.push(std::mem::replace(&mut row, " ".repeat(*place)));
                at = *place;
            }
            row += word;
            at = if at + width > columns { (at + width) % columns.max(1) } else { at + width };
        }
    }
    rows.push(row);
    rows
}
