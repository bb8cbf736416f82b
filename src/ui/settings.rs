//! Where the cluster is found, as a table.

use serde::Serialize;

use super::color::{Paint, Tone};
use super::columns::{Cell, Columns};

/// A setting, and who says so.
#[derive(Debug, Serialize)]
pub struct SettingRow {
    setting: &'static str,
    /// Secrets are not shown.
    value: String,
    /// Whether the value is the file that holds it.
    is_file: bool,
    source: String,
    /// Whether it says something else than what is taken.
    differs: bool,
}

impl SettingRow {
    /// A value, and where it stands.
    pub fn new(setting: &'static str, value: String, source: String) -> Self {
        Self { setting, value, is_file: false, source, differs: false }
    }

    /// The value is the file that holds it.
    pub fn in_a_file(self) -> Self {
        Self { is_file: true, ..self }
    }

    /// Something else is taken.
    pub fn otherwise(self) -> Self {
        Self { differs: true, ..self }
    }
}

/// What counts, and what else is said.
pub fn settings_text(cluster: Option<&str>, settings: &[SettingRow], besides: &[SettingRow], paint: Paint) -> String {
    let Some(cluster) = cluster else {
        return "no source names a cluster: neither the command line, nor the environment, nor conf/ below the working directory or \
                OPENMLDB_HOME\n"
            .to_owned();
    };
    let mut out = format!("{}\n\n", paint.tone(Tone::Strong, &format!("The cluster is {cluster}")));
    out += &table(settings, paint);
    if !besides.is_empty() {
        out += "\nNot heard, since others come first:\n";
        out += &table(besides, paint);
    }
    out
}

fn table(rows: &[SettingRow], paint: Paint) -> String {
    let mut columns = Columns::headed(&["setting", "value", "says", ""]);
    for row in rows {
        let value = if row.is_file { format!("in {}", row.value) } else { row.value.clone() };
        let otherwise = if row.differs { "differs" } else { "" };
        let cells = [row.setting.into(), value.into(), row.source.as_str().into(), Cell::new(Tone::Warning, otherwise)];
        columns.row(cells);
    }
    columns.text(0, paint)
}
