//! The scope on the command line.

use anyhow::anyhow;

use crate::run::{Scope, Selector};

use super::args::shared::Which;
use super::failure::Failure;

/// The scope asked for; none if nothing was.
///
/// # Errors
/// Something is not of the form it should be.
pub fn scope(which: &Which) -> Result<Option<Scope>, Failure> {
    if which.all {
        return Ok(Some(Scope::All));
    }
    let mut selectors: Vec<Selector> = which.db.iter().map(|db| Selector::database(db)).collect();
    for table in &which.table {
        selectors.push(Selector::table(table)?);
    }
    for partition in &which.partition {
        selectors.extend(Selector::partitions(partition)?);
    }
    Ok((!selectors.is_empty()).then_some(Scope::Some(selectors)))
}

/// The scope asked for, where one has to be.
///
/// # Errors
/// Nothing was asked for.
pub fn required(which: &Which) -> Result<Scope, Failure> {
    scope(which)?.ok_or_else(|| {
        Failure::usage(anyhow!("no scope given"))
            .hint("use --all, or --db D, --table D.T, --partition D.T/PID (repeatable)")
    })
}
