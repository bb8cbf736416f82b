//! What is told while a cluster is looked for and reached.

use std::path::PathBuf;

use crate::cluster::Progress;

use super::connection_args::Carries;

/// What a session tells while it is opened.
pub struct Waits {
    /// What it waits for, in sentences.
    pub says: Progress,
    /// Where it has found the cluster.
    pub carries: Carries,
    /// Where records are kept, if that was typed.
    pub records: Option<PathBuf>,
}
