//! A cluster's metadata outside of ZooKeeper: backups, what two of them differ in, and what contradicts itself. Pure, but for the
//! files.

mod backup;
mod check;
mod difference;
mod file;
mod finding;
mod raise;
mod rebuild;
mod repair;
mod tables;
mod terms;
mod wipe;

pub use backup::{Backup, Origin};
pub use check::check;
pub use difference::{Difference, compare};
pub use file::{FileError, VERSION, checksum, parse, read, save, write};
pub use finding::{Code, Finding};
pub use raise::{RAISED_BY, Raised, raise};
pub use rebuild::{Described, Rebuilt, rebuild};
pub use repair::{NoSuchNode, Repair, Repaired, repair, without};
pub use terms::{KeptTerms, given_out, terms_of};
pub use wipe::{of_others, removals, table_names};

/// What belongs to servers that run, or to this program: no part of a backup, and never created again.
pub const OF_THE_LIVING: [&str; 2] = ["leader", "nodes"];

/// Where this program keeps what it has below the root path: its lock and its note.
pub const OURS: &str = "openmldb-ops";

/// Whether a path can be a node's that a backup holds.
pub(crate) fn is_kept(path: &str) -> bool {
    let parts: Vec<&str> = path.split('/').collect();
    let is_sound = parts.iter().all(|part| !matches!(*part, "" | "." | "..") && !part.contains('\0'));
    let first = parts.first().copied().unwrap_or_default();
    is_sound && first != OURS && !(parts.len() > 1 && OF_THE_LIVING.contains(&first))
}
