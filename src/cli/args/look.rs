//! The commands that look, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use crate::playbook::COMPARE_ROWS_UP_TO;

use super::Embedded;
use super::ending::Ending;
use super::shared::{Where, Which, seconds};
use super::step::{Looking, Working};

/// `status`.
#[derive(Debug, Args)]
pub struct Status {
    /// Output format
    #[arg(short = 'o', value_name = "FORMAT", value_enum)]
    pub format: Option<Format>,
    /// One line and an exit code like a Nagios plugin: 0 ok, 1 warning, 2 critical, 3 unknown
    #[arg(long, conflicts_with_all = ["deep", "full", "format"])]
    pub check: bool,
    /// List every partition, healthy ones too, however many there are
    #[arg(long)]
    pub full: bool,
    /// Look again so often, and show it in one place, until it is interrupted
    #[arg(long, value_name = "TIME", num_args = 0..=1, default_missing_value = "2", value_parser = pause,
        conflicts_with_all = ["deep", "check", "format"])]
    pub watch: Option<u64>,
    /// Look again until offsets converge, and compare rows: says complete, not finished, not fully succeeded or undetermined
    #[arg(long)]
    pub deep: bool,
    /// With --deep: compare the rows of all replicas, not only where row counts differ
    #[arg(long, requires = "deep")]
    pub rows: bool,
    /// With --deep: where row counts differ, compare what replicas hold row by row if none holds more rows than this
    /// (0: never, counts decide)
    #[arg(long, value_name = "ROWS", default_value_t = COMPARE_ROWS_UP_TO)]
    pub compare_rows_up_to: u64,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    #[command(flatten)]
    /// At the end.
    pub ending: Ending,
    #[command(flatten)]
    /// Scope; all if none is given.
    pub which: Which,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
    #[command(flatten)]
    /// Sandbox.
    pub embedded: Embedded,
}

/// How a cluster's health is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// As with --output json
    Json,
    /// Every partition, with what others know of each replica
    Wide,
    /// The names of partitions that are not healthy, or with --full of all, one a line
    Name,
}

/// `snapshot`.
#[derive(Debug, Args)]
pub struct Snapshot {
    /// The file to write; JSON if its name ends in .json, else YAML; `-` for stdout
    #[arg(short = 'o', long = "out", value_name = "FILE", default_value = "-")]
    pub out: PathBuf,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
    #[command(flatten)]
    /// Sandbox.
    pub embedded: Embedded,
}

/// A pause between two looks.
fn pause(text: &str) -> Result<u64, String> {
    match seconds(text)? {
        0 => Err("looks are at least a second apart".to_owned()),
        every => Ok(every),
    }
}

/// What to do with partitions.
#[derive(Debug, Subcommand)]
pub enum PartitionCommand {
    /// Show a partition's metadata: flags, offsets, and where terms began (gettablepartition)
    Show {
        /// Which partition; several as D.T/1,3,5-9
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        #[command(flatten)]
        /// Where.
        looking: Looking,
    },
    /// Restore a partition's history of terms from a backup (settablepartition); nothing else of it changes
    Set {
        /// Which partition; several as D.T/1,3,5-9
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        /// A file of `metadata backup`; or a run's id, for the one saved beside its record
        #[arg(long, value_name = "BACKUP")]
        terms_from: PathBuf,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}
