//! A table for people, a JSON line for each of its rows, and what is worse than the time before.

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::results::{Results, columns_of};

/// What was measured before, and is now.
pub struct Book {
    before: Results,
    now: Results,
    worse: Vec<String>,
}

impl Book {
    /// Opens what is kept.
    pub fn open() -> Self {
        let text = std::fs::read_to_string(path("results.json")).unwrap_or_else(|_| "{}".to_owned());
        let before = Results::read(&text).expect("benches/results.json");
        Self { now: before.clone(), before, worse: Vec::new() }
    }

    /// Begins a benchmark's table.
    pub fn begin(&self, benchmark: &str, about: &str) {
        let names: Vec<&str> = columns_of(benchmark).iter().map(|(name, _)| *name).collect();
        println!("\n## {benchmark}: {about}\n");
        println!("| {} |", names.join(" | "));
        println!("|{}", "---|".repeat(names.len()));
    }

    /// One row; its JSON line goes to stderr, so that both can be kept apart. Cells that are left out were not measured.
    pub fn row(&mut self, benchmark: &str, cells: &[Value]) {
        let mut row = Map::new();
        let columns = columns_of(benchmark).iter().map(|(name, _)| *name);
        let missing = std::iter::repeat(&Value::Null);
        for (column, cell) in columns.zip(cells.iter().chain(missing)) {
            row.insert(column.to_owned(), cell.clone());
        }
        let row = Value::Object(row);
        let texts: Vec<String> = cells.iter().map(text).collect();
        println!("| {} |", texts.join(" | "));
        eprintln!("{{\"benchmark\":\"{benchmark}\",\"row\":{row}}}");
        self.worse.extend(self.before.worse(benchmark, &row));
        self.now.put(benchmark, row);
    }

    /// The same of a row that is told on stderr only, beside another table.
    pub fn note(&mut self, benchmark: &str, cells: &[Value]) {
        let row = columns_of(benchmark).iter().map(|(name, _)| (*name).to_owned()).zip(cells.iter().cloned());
        let row = Value::Object(row.collect());
        eprintln!("{{\"benchmark\":\"{benchmark}\",\"row\":{row}}}");
        self.worse.extend(self.before.worse(benchmark, &row));
        self.now.put(benchmark, row);
    }

    /// Says what is worse than before. Unless it is only to be checked, keeps what was measured, and makes the document of it.
    /// Whether nothing is worse.
    pub fn close(self, only_checks: bool) -> bool {
        for worse in &self.worse {
            println!("\nworse than before: {worse}");
        }
        if !only_checks {
            std::fs::write(path("results.json"), self.now.text()).expect("benches/results.json is written");
            let document = std::fs::read_to_string(path("README.md")).expect("benches/README.md");
            let document = self.now.document(&document);
            std::fs::write(path("README.md"), document).expect("benches/README.md is written");
        }
        self.worse.is_empty()
    }
}

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches").join(name)
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
