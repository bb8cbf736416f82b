//! What was measured: rows that are kept in `benches/results.json`, compared with those of the time before, and put into
//! `benches/README.md` as tables.

use serde_json::{Map, Value};

/// What a column is, and with that whether another machine measures the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Part of what a row is about.
    Key,
    /// A ratio, a count, or a time on the simulated clock: the same on every machine, and less is better.
    Less,
    /// The same where it must not change either way.
    Same,
    /// Mebibytes: nearly the same everywhere, and less is better.
    Bytes,
    /// Of this machine: kept, and compared with nothing.
    Machine,
}

/// A column of a benchmark's table.
pub type Column = (&'static str, Kind);

/// The benchmarks, in the order of the document.
pub const BENCHMARKS: [(&str, &[Column]); 8] = [
    ("ratio", RATIO),
    ("failovers", FAILOVERS),
    ("cost", COST),
    ("calls", CALLS),
    ("profile", PROFILE),
    ("simulation", SIMULATION),
    ("handover", HANDOVER),
    ("incumbent", INCUMBENT),
];

/// Its columns.
pub const RATIO: &[Column] = &[
    ("cluster", Kind::Key),
    ("playbook", Kind::Key),
    ("serving s", Kind::Less),
    ("serving limit s", Kind::Same),
    ("serving ratio", Kind::Less),
    ("redundant s", Kind::Less),
    ("redundant limit s", Kind::Same),
    ("redundant ratio", Kind::Less),
    ("blocked", Kind::Less),
    ("wall s", Kind::Machine),
];

/// Its columns.
pub const FAILOVERS: &[Column] = &[
    ("cluster", Kind::Key),
    ("tablets that died", Kind::Key),
    ("redundant s", Kind::Less),
    ("times none", Kind::Less),
    ("RecoverTable", Kind::Less),
    ("Traverse", Kind::Less),
    ("calls/partition", Kind::Less),
];

/// Its columns.
pub const SIMULATION: &[Column] =
    &[("what", Kind::Key), ("cluster", Kind::Key), ("CPU s", Kind::Machine), ("virtual s", Kind::Less)];

/// Its columns.
pub const COST: &[Column] = &[
    ("work", Kind::Key),
    ("cluster", Kind::Key),
    ("CPU s", Kind::Machine),
    ("CPU us/partition", Kind::Machine),
    ("growth", Kind::Machine),
    ("peak MiB", Kind::Bytes),
    ("calls/partition", Kind::Less),
    ("cluster's CPU s", Kind::Machine),
    ("virtual s", Kind::Less),
];

/// Its columns.
pub const CALLS: &[Column] = &[
    ("work", Kind::Key),
    ("cluster", Kind::Key),
    ("calls/partition", Kind::Less),
    ("by method, a partition", Kind::Machine),
];

/// Its columns.
pub const PROFILE: &[Column] =
    &[("work", Kind::Key), ("cluster", Kind::Key), ("where the processor was, itself", Kind::Machine)];

/// Its columns.
pub const HANDOVER: &[Column] = &[
    ("beside", Kind::Key),
    ("handovers", Kind::Key),
    ("median ms", Kind::Less),
    ("longest ms", Kind::Less),
    ("stand-downs each", Kind::Less),
    ("handed over", Kind::Same),
    ("calls each", Kind::Less),
    ("meanwhile to others", Kind::Less),
];

/// Its columns.
pub const INCUMBENT: &[Column] = &[
    ("cluster", Kind::Key),
    ("script s", Kind::Same),
    ("s/partition", Kind::Same),
    ("recover s", Kind::Less),
    ("fast s", Kind::Less),
    ("times faster", Kind::Machine),
];

/// So much more than before is worse; what is smaller than a thousandth of a second is not looked at.
const MORE: f64 = 1.05;
/// The same of memory, which depends on the allocator's mood.
const MORE_MEMORY: f64 = 1.2;
const LEAST: f64 = 0.001;

/// The columns of a benchmark.
pub fn columns_of(benchmark: &str) -> &'static [Column] {
    BENCHMARKS.iter().find(|(name, _)| *name == benchmark).map_or(&[], |(_, columns)| columns)
}

/// Everything measured: rows by benchmark.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Results(Map<String, Value>);

impl Results {
    /// As they were kept.
    ///
    /// # Errors
    /// It is no such file.
    pub fn read(text: &str) -> Result<Self, serde_json::Error> {
        serde_json::from_str(text).map(Self)
    }

    /// As they are kept: a row a line.
    pub fn text(&self) -> String {
        let mut out = "{".to_owned();
        for (nth, (name, _)) in BENCHMARKS.iter().enumerate() {
            let rows: Vec<String> = self.rows(name).iter().map(|row| format!("    {row}")).collect();
            out += &format!("{}\n  \"{name}\": [\n{}\n  ]", if nth > 0 { "," } else { "" }, rows.join(",\n"));
        }
        out + "\n}\n"
    }

    /// The rows of a benchmark.
    pub fn rows(&self, benchmark: &str) -> &[Value] {
        self.0.get(benchmark).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    /// Puts a row in place of the one that is about the same, or behind the others.
    pub fn put(&mut self, benchmark: &str, row: Value) {
        let key = key_of(benchmark, &row);
        let rows = self.0.entry(benchmark).or_insert_with(|| Value::Array(Vec::new()));
        let Some(rows) = rows.as_array_mut() else { return };
        match rows.iter_mut().find(|known| key_of(benchmark, known) == key) {
            Some(known) => *known = row,
            None => rows.push(row),
        }
    }

    /// What is worse in a row than before, in words.
    pub fn worse(&self, benchmark: &str, row: &Value) -> Vec<String> {
        let key = key_of(benchmark, row);
        let Some(before) = self.rows(benchmark).iter().find(|known| key_of(benchmark, known) == key) else {
            return Vec::new();
        };
        let judged = columns_of(benchmark).iter().filter_map(|(column, kind)| {
            let (was, is) = (&before[*column], &row[*column]);
            let is_worse = match (kind, was.as_f64(), is.as_f64()) {
                (Kind::Key | Kind::Machine, ..) => false,
                (Kind::Same, Some(was), Some(is)) => (was - is).abs() > was.abs() * (MORE - 1.0),
                (Kind::Less, Some(was), Some(is)) => is > was * MORE && is - was > LEAST,
                (Kind::Bytes, Some(was), Some(is)) => is > was * MORE_MEMORY,
                // What could be measured before, and cannot now.
                (_, Some(_), None) => true,
                (_, None, _) => false,
            };
            is_worse.then(|| format!("{benchmark} {}: {column} was {was}, is {is}", key.join(" ")))
        });
        judged.collect()
    }

    /// A document with the table of each benchmark between its two marks.
    pub fn document(&self, document: &str) -> String {
        let mut out = document.to_owned();
        for (name, _) in BENCHMARKS {
            let (begin, end) = (format!("<!-- {name} -->\n"), format!("<!-- end of {name} -->"));
            let Some(from) = out.find(&begin).map(|at| at + begin.len()) else { continue };
            let Some(to) = out[from..].find(&end).map(|at| at + from) else { continue };
            out.replace_range(from..to, &self.table(name));
        }
        out
    }

    /// A benchmark's rows as a table.
    pub fn table(&self, benchmark: &str) -> String {
        let columns = columns_of(benchmark);
        let names: Vec<&str> = columns.iter().map(|(name, _)| *name).collect();
        let mut out = format!("| {} |\n|{}\n", names.join(" | "), "---|".repeat(names.len()));
        for row in self.rows(benchmark) {
            let cells: Vec<String> = names.iter().map(|name| cell(&row[*name])).collect();
            out += &format!("| {} |\n", cells.join(" | "));
        }
        out
    }
}

fn key_of(benchmark: &str, row: &Value) -> Vec<String> {
    let keys = columns_of(benchmark).iter().filter(|(_, kind)| *kind == Kind::Key);
    keys.map(|(column, _)| cell(&row[*column])).collect()
}

fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}
