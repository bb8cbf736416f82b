//! A cluster that is watched, and recovered by itself when it went down at once.
//!
//! Nothing here decides how to recover: that is [`crate::run::Recovery`], as a person runs it. What is decided here is when: a pure
//! function ([`decide`]) of what `status` says of the cluster ([`Seen`]), of what was seen and tried before ([`Memory`]), and of the
//! time. [`Watch`] looks, asks it, and runs what it says.

mod attempts;
mod backups;
mod decision;
mod limits;
mod memory;
mod post;
mod pulse;
mod question;
mod seen;
mod task;
#[cfg(test)]
mod tests;
mod watch;

pub use attempts::Attempt;
pub use backups::{BackupError, Backups, surplus};
pub use decision::{Decision, HeldBack, Waiting, decide};
pub use limits::Limits;
pub use memory::Memory;
pub use post::{ClusterPost, Post, Posting, Unshared};
pub use pulse::Pulse;
pub use question::Question;
pub use seen::{Seen, Shape, Undertakings};
pub use watch::{Acted, Now, Watch, Would};
