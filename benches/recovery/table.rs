//! A table for people, and a JSON line for each of its rows.

use serde_json::{Map, Value};

/// Rows of one benchmark.
pub struct Table {
    benchmark: &'static str,
    columns: &'static [&'static str],
}

impl Table {
    /// Begins a table.
    pub fn new(benchmark: &'static str, about: &str, columns: &'static [&'static str]) -> Self {
        println!("\n## {benchmark}: {about}\n");
        println!("| {} |", columns.join(" | "));
        println!("|{}", "---|".repeat(columns.len()));
        Self { benchmark, columns }
    }

    /// One row; its JSON line goes to stderr, so that both can be kept apart.
    pub fn row(&self, cells: &[Value]) {
        let texts: Vec<String> = cells.iter().map(text).collect();
        println!("| {} |", texts.join(" | "));
        let mut line = Map::new();
        line.insert("benchmark".to_owned(), self.benchmark.into());
        for (column, cell) in self.columns.iter().zip(cells) {
            line.insert(key(column), cell.clone());
        }
        eprintln!("{}", Value::Object(line));
    }
}

/// A column's name as a JSON key: lower case, one word.
fn key(column: &str) -> String {
    column.to_lowercase().replace("'s", "").replace('/', "_per_").replace(' ', "_")
}

fn text(cell: &Value) -> String {
    match cell {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// Rounded for reading: three digits after the point.
pub fn rounded(number: f64) -> Value {
    ((number * 1000.0).round() / 1000.0).into()
}
