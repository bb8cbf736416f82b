//! What is done when a command ends, as clap reads it.

use std::path::PathBuf;

use clap::Args;

/// What is told at the end.
#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "At the end")]
pub struct Ending {
    /// However the command ends, write its result as metrics in Prometheus' text format
    #[arg(long, value_name = "FILE")]
    pub metrics_file: Option<PathBuf>,
    /// However the command ends, run this with sh, for at most 30 s, with the verdict in OPENMLDB_OPS_VERDICT
    #[arg(long, value_name = "COMMAND")]
    pub on_end: Option<String>,
}
