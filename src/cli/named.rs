//! Names: of partitions, tablets and new files on a command line, and of calls in the words of the handbook.

use std::path::Path;

use anyhow::anyhow;

use crate::model::{Action, Endpoint, Pid, Snapshot, TableName};
use crate::run::{Selector, meant};
use crate::ui::{Numbers, command};

use super::failure::Failure;

/// `DATABASE.TABLE/PID[,PID|FIRST-LAST...]`.
///
/// # Errors
/// It is not of that form.
pub(super) fn partitions_of(text: &str) -> Result<Vec<(TableName, Pid)>, Failure> {
    let named = Selector::partitions(text)?;
    Ok(named.iter().map(|selector| (name_of(selector), selector.pid.unwrap_or(Pid(0)))).collect())
}

pub(super) fn name_of(selector: &Selector) -> TableName {
    TableName { db: selector.db.clone(), table: selector.table.clone().unwrap_or_default() }
}

/// `HOST:PORT`, or the name a server goes by.
///
/// # Errors
/// It cannot be either.
pub(super) fn endpoint_of(text: &str) -> Result<Endpoint, Failure> {
    let fits = !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || c == '/');
    fits.then(|| Endpoint::from(text))
        .ok_or_else(|| Failure::usage(anyhow!("`{text}` is not a tablet's HOST:PORT or name")))
}

/// A tablet was named that nobody knows.
pub(super) fn no_such_tablet(endpoint: &Endpoint, seen: &Snapshot) -> Failure {
    let meant = meant(endpoint.as_str(), seen.tablets.keys().map(Endpoint::as_str));
    let meant = meant.map_or(String::new(), |meant| format!("did you mean {meant}? "));
    let hint = format!("{meant}`openmldb-ops show tablets` names the ones there are");
    Failure::usage(anyhow!("there is no tablet {endpoint}")).hint(hint)
}

/// A backup may be the only one there is.
///
/// # Errors
/// There is such a file.
pub(super) fn must_be_new(file: &Path) -> Result<(), Failure> {
    if file.is_file() {
        let error = anyhow!("{} already exists, and a backup never overwrites a file", file.display());
        return Err(Failure::usage(error).hint("name a new file"));
    }
    Ok(())
}

/// A call, as the handbook writes it.
pub(super) fn sends(call: &Action) -> String {
    command(call, Numbers::Known)
}
