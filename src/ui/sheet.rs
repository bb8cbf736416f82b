//! Tables of which as many columns are shown as there is room for, headed so that one sees whose word they are.

use console::Term;

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};

/// Which columns are shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// All that fit into so many characters, else the essential ones; all where nobody counts them.
    Fitting(Option<usize>),
    /// All.
    Wide,
    /// The essential ones.
    Narrow,
    /// These, in this order.
    Named(Vec<String>),
}

/// How wide stdout is, if it is a terminal.
pub fn stdout_width() -> Option<usize> {
    let term = Term::stdout();
    term.is_term().then(|| usize::from(term.size().1))
}

/// The same of stderr.
pub fn stderr_width() -> Option<usize> {
    let term = Term::stderr();
    term.is_term().then(|| usize::from(term.size().1))
}

/// A column that no such table has.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no column `{name}`; there are {known}")]
pub struct NoColumn {
    /// What was asked for.
    pub name: String,
    /// What there is.
    pub known: String,
}

/// Whose word a column is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Whose {
    /// The nameserver's.
    Nameserver,
    /// The tablet's itself.
    Tablet,
    /// ZooKeeper's.
    ZooKeeper,
    /// What this program makes of them.
    Ours,
}

/// A column: its name, whose word it is, and whether it is shown where there is little room.
#[derive(Debug, Clone, Copy)]
pub(super) struct Column {
    name: &'static str,
    whose: Whose,
    is_essential: bool,
}

/// A column that is shown wherever there is a table.
pub(super) const fn essential(whose: Whose, name: &'static str) -> Column {
    Column { name, whose, is_essential: true }
}

/// A column that is shown where there is room.
pub(super) const fn extra(whose: Whose, name: &'static str) -> Column {
    Column { name, whose, is_essential: false }
}

/// Rows below columns.
pub(super) struct Sheet<'a> {
    columns: &'a [Column],
    rows: Vec<Vec<Cell>>,
}

impl<'a> Sheet<'a> {
    /// No rows yet.
    pub(super) fn headed(columns: &'a [Column]) -> Self {
        Self { columns, rows: Vec::new() }
    }

    /// One more row: a cell for each column.
    pub(super) fn row(&mut self, cells: impl IntoIterator<Item = Cell>) {
        self.rows.push(cells.into_iter().collect());
    }

    /// The table.
    pub(super) fn text(&self, layout: &Layout, paint: Paint) -> Result<String, NoColumn> {
        let all: Vec<usize> = (0..self.columns.len()).collect();
        let essential = || all.iter().copied().filter(|at| self.columns[*at].is_essential).collect();
        let chosen: Vec<usize> = match layout {
            Layout::Wide | Layout::Fitting(None) => all,
            Layout::Narrow => essential(),
            Layout::Fitting(Some(width)) => {
                let needed = self.of(&all, Paint::Plain).lines().map(|line| line.chars().count()).max();
                if needed.unwrap_or(0) <= *width { all } else { essential() }
            }
            Layout::Named(names) => names.iter().map(|name| self.at(name)).collect::<Result<_, _>>()?,
        };
        Ok(self.of(&chosen, paint))
    }

    fn at(&self, name: &str) -> Result<usize, NoColumn> {
        self.columns.iter().position(|column| column.name == name).ok_or_else(|| NoColumn {
            name: name.to_owned(),
            known: self.columns.iter().map(|column| column.name).collect::<Vec<_>>().join(", "),
        })
    }

    fn of(&self, chosen: &[usize], paint: Paint) -> String {
        let mut columns = Columns::headed(&[]);
        let shown: Vec<Column> = chosen.iter().map(|at| self.columns[*at]).collect();
        let is_first = |at: usize| at == 0 || shown[at - 1].whose != shown[at].whose;
        columns.row(shown.iter().enumerate().map(|(at, column)| match column.whose {
            Whose::Nameserver if is_first(at) => Cell::new(Tone::Faint, "nameserver says"),
            Whose::Tablet if is_first(at) => Cell::new(Tone::Faint, "tablet says"),
            Whose::ZooKeeper if is_first(at) => Cell::new(Tone::Faint, "ZooKeeper says"),
            _ => "".into(),
        }));
        columns.row(shown.iter().map(|column| Cell::new(Tone::Faint, column.name)));
        for row in &self.rows {
            columns.row(chosen.iter().map(|at| row.get(*at).cloned().unwrap_or_else(|| "".into())));
        }
        // Whose headings there are none of is an empty line.
        columns.text(0, paint).trim_start_matches('\n').to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        essential(Whose::Nameserver, "name"),
        extra(Whose::Nameserver, "tid"),
        essential(Whose::Tablet, "rows"),
        essential(Whose::Ours, "problem"),
    ];

    fn text(layout: &Layout) -> String {
        let mut sheet = Sheet::headed(&COLUMNS);
        sheet.row(["shop.orders", "7", "93", "not alive"].map(Cell::from));
        sheet.text(layout, Paint::Plain).unwrap_or_else(|error| error.to_string())
    }

    #[test]
    fn all_is_shown_where_there_is_room_and_the_essential_where_there_is_not() {
        let wide = "nameserver says       tablet says\nname             tid  rows         problem\n\
                    shop.orders      7    93           not alive\n";
        let width = wide.lines().map(str::len).max().unwrap_or(0);
        for layout in [Layout::Wide, Layout::Fitting(None), Layout::Fitting(Some(width))] {
            assert_eq!(text(&layout), wide);
        }
        let narrow = "nameserver says  tablet says\nname             rows         problem\n\
                      shop.orders      93           not alive\n";
        for layout in [Layout::Narrow, Layout::Fitting(Some(width - 1))] {
            assert_eq!(text(&layout), narrow);
        }
    }

    #[test]
    fn columns_are_shown_in_the_order_in_which_they_are_named() {
        let named = |names: &[&str]| text(&Layout::Named(names.iter().map(|name| (*name).to_owned()).collect()));
        assert_eq!(named(&["problem", "tid"]), "           nameserver says\nproblem    tid\nnot alive  7\n");
        assert_eq!(named(&["problem"]), "problem\nnot alive\n");
        assert_eq!(named(&["row"]), "there is no column `row`; there are name, tid, rows, problem");
    }
}
