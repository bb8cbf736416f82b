//! `config show`: where the cluster is found, and who says otherwise. Asks no server.

use serde::Serialize;

use super::args::ConfigCommand;
use super::args::shared::Where;
use super::failure::{Exit, Failure};
use super::find::{self, Besides, DEFAULT_ROOT, Found, Told, Value, What};
use super::out::Out;
use crate::ui::{SettingRow, settings_text};

/// All that was found.
#[derive(Serialize)]
struct Line<'a> {
    event: &'static str,
    /// ZooKeeper's servers and root path, or a nameserver's address; none if nobody names a cluster.
    cluster: Option<&'a str>,
    settings: &'a [SettingRow],
    besides: &'a [SettingRow],
}

/// Runs the command.
///
/// # Errors
/// What was typed cannot be read, or what may name the cluster.
pub fn run(command: &ConfigCommand, out: &Out) -> Result<Exit, Failure> {
    let ConfigCommand::Show(at) = command;
    show(at, out)
}

fn show(at: &Where, out: &Out) -> Result<Exit, Failure> {
    let found = find::find(&find::heard(at)?).map_err(Failure::usage)?;
    let cluster = name(&found);
    let mut settings: Vec<SettingRow> = found.taken.iter().map(|told| row(told, false)).collect();
    if found.text(What::Servers).is_some() && found.get(What::Root).is_none() {
        settings.push(SettingRow::new(word(What::Root), DEFAULT_ROOT.to_owned(), "the default".to_owned()));
    }
    let besides: Vec<SettingRow> = found.besides.iter().map(|Besides { told, differs }| row(told, *differs)).collect();
    let line = Line { event: "config", cluster: cluster.as_deref(), settings: &settings, besides: &besides };
    out.text_or(&settings_text(cluster.as_deref(), &settings, &besides, out.paint()), &line)?;
    Ok(Exit::Healthy)
}

fn name(found: &Found) -> Option<String> {
    if let Some(address) = found.text(What::Nameserver) {
        return Some(address.to_owned());
    }
    let root = found.text(What::Root).unwrap_or(DEFAULT_ROOT);
    found.text(What::Servers).map(|servers| format!("{servers}{root}"))
}

fn row(told: &Told, differs: bool) -> SettingRow {
    let row = SettingRow::new(word(told.saying.what), told.saying.value.to_string(), told.place());
    let row = if matches!(told.saying.value, Value::File(_)) { row.in_a_file() } else { row };
    if differs { row.otherwise() } else { row }
}

/// A setting, as OpenMLDB's flags have it where they do.
fn word(what: What) -> &'static str {
    match what {
        What::Servers => "zk_cluster",
        What::Root => "zk_root_path",
        What::Nameserver => "nameserver",
        What::Certificate => "zk_cert",
        What::User => "user",
    }
}
