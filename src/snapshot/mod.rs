//! Snapshots: taking one of a running cluster, saving it, reading it back.

mod collect;
mod file;
mod partition;
mod watch;

pub use collect::{
    About, collect, collect_about, collect_evidence, collect_serving, collect_state, collect_within, look_again,
    look_at_tablet, look_for_evidence, metadata, poll_tablet, probe,
};
pub use file::{FileError, VERSION, parse, read, save, write};
pub use partition::{OnePartition, held_of, look_at_partition, only};
