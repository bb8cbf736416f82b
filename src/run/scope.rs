//! Which partitions a run is about.

use serde::{Deserialize, Serialize};

use crate::model::{PartitionId, Pid, Snapshot, Table, counted};

use super::names;

/// What was asked for on the command line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// Every partition of every table.
    All,
    /// Those that any of these names.
    Some(Vec<Selector>),
    /// The partitions of a plan that was kept, whether or not they are still there.
    Planned(Vec<Selector>),
}

/// A database, a table or a partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Selector {
    /// The database.
    pub db: String,
    /// The table; none means all of the database.
    pub table: Option<String>,
    /// The partition; none means all of the table.
    pub pid: Option<Pid>,
}

/// Something asked for that does not exist, or cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScopeError {
    /// No such database.
    #[error("there is no database `{db}`; {}the cluster has {known}", did_you_mean(meant))]
    NoDatabase {
        /// What was asked for.
        db: String,
        /// What was meant, perhaps.
        meant: Option<String>,
        /// What there is.
        known: String,
    },
    /// No such table.
    #[error("there is no table `{table}` in database `{db}`; {}it has {known}", did_you_mean(meant))]
    NoTable {
        /// The database.
        db: String,
        /// What was asked for.
        table: String,
        /// What was meant, perhaps.
        meant: Option<String>,
        /// What there is.
        known: String,
    },
    /// No such partition.
    #[error("`{db}.{table}` has no partition {pid}; it has {}, counted from 0", counted(*known, "partition"))]
    NoPartition {
        /// The database.
        db: String,
        /// The table.
        table: String,
        /// What was asked for.
        pid: Pid,
        /// How many there are.
        known: usize,
    },
    /// Not the expected form.
    #[error("`{text}` is not of the form {form}")]
    Malformed {
        /// What was given.
        text: String,
        /// What was expected.
        form: &'static str,
    },
}

impl Selector {
    /// `DATABASE`.
    pub fn database(db: &str) -> Self {
        Self { db: names::whole_name(db).unwrap_or(db).to_owned(), table: None, pid: None }
    }

    /// `DATABASE.TABLE`.
    ///
    /// # Errors
    /// There is no dot.
    pub fn table(text: &str) -> Result<Self, ScopeError> {
        let form = "DATABASE.TABLE (a name with a dot in it: `DATA.BASE`.TABLE)";
        let malformed = || ScopeError::Malformed { text: text.to_owned(), form };
        let (db, table) = names::database_and_table(text).ok_or_else(malformed)?;
        Ok(Self { db: db.to_owned(), table: Some(table.to_owned()), pid: None })
    }

    /// `DATABASE.TABLE/PID[,PID|FIRST-LAST...]`, each partition once.
    ///
    /// # Errors
    /// There is no slash, no dot, or no number; a range is the wrong way round; or they are too many.
    pub fn partitions(text: &str) -> Result<Vec<Self>, ScopeError> {
        let form = "DATABASE.TABLE/PID (several: /1,3,5-9)";
        let malformed = || ScopeError::Malformed { text: text.to_owned(), form };
        let (table, pids) = text.rsplit_once('/').ok_or_else(malformed)?;
        let pids = names::pids(pids).ok_or_else(malformed)?;
        let table = Self::table(table).map_err(|_| malformed())?;
        Ok(pids.into_iter().map(|pid| Self { pid: Some(pid), ..table.clone() }).collect())
    }

    fn covers(&self, table: &Table, pid: Pid) -> bool {
        table.name.db == self.db
            && self.table.as_ref().is_none_or(|name| *name == table.name.table)
            && self.pid.is_none_or(|wanted| wanted == pid)
    }

    fn check(&self, snapshot: &Snapshot) -> Result<(), ScopeError> {
        let of_db: Vec<&Table> = snapshot.tables.iter().filter(|table| table.name.db == self.db).collect();
        if of_db.is_empty() {
            let names = || snapshot.tables.iter().map(|table| table.name.db.as_str());
            let meant = names::meant(&self.db, names()).map(str::to_owned);
            return Err(ScopeError::NoDatabase { db: self.db.clone(), meant, known: words(names()) });
        }
        let Some(name) = &self.table else { return Ok(()) };
        let (db, table) = (self.db.clone(), name.clone());
        let Some(found) = of_db.iter().find(|table| table.name.table == *name) else {
            let names = || of_db.iter().map(|table| table.name.table.as_str());
            let meant = names::meant(&table, names()).map(str::to_owned);
            return Err(ScopeError::NoTable { db, table, meant, known: words(names()) });
        };
        match self.pid {
            Some(pid) if !found.partitions.iter().any(|partition| partition.pid == pid) => {
                Err(ScopeError::NoPartition { db, table, pid, known: found.partitions.len() })
            }
            _ => Ok(()),
        }
    }
}

impl Scope {
    /// Whether a partition is in scope.
    pub fn covers(&self, table: &Table, id: PartitionId) -> bool {
        match self {
            Self::All => true,
            Self::Some(selectors) | Self::Planned(selectors) => selectors.iter().any(|s| s.covers(table, id.pid)),
        }
    }

    /// Checks that everything asked for exists.
    ///
    /// # Errors
    /// The first thing that does not.
    pub fn check(&self, snapshot: &Snapshot) -> Result<(), ScopeError> {
        match self {
            Self::All | Self::Planned(_) => Ok(()),
            Self::Some(selectors) => selectors.iter().try_for_each(|selector| selector.check(snapshot)),
        }
    }
}

fn did_you_mean(meant: &Option<String>) -> String {
    meant.as_ref().map_or(String::new(), |meant| format!("did you mean `{meant}`? "))
}

/// At most ten names, for a message.
fn words<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    names.dedup();
    match names.len() {
        0 => "none".to_owned(),
        1..=10 => names.join(", "),
        more => format!("{} and {} more", names[..10].join(", "), more - 10),
    }
}

/// At most three names, and how many more, for a message.
pub fn some_of<S: AsRef<str>>(names: &[S]) -> String {
    let first: Vec<&str> = names.iter().take(3).map(AsRef::as_ref).collect();
    match names.len() {
        0..=3 => first.join(", "),
        more => format!("{} and {} more", first.join(", "), more - 3),
    }
}
