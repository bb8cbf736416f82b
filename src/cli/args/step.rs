//! The command line of single steps and looks, as far as it is the same for many. Every doc comment here is help text.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::Embedded;
use super::shared::{Where, seconds};

/// How a single step is taken.
#[derive(Debug, Args)]
pub struct Working {
    /// Print what would be sent, or what is in the way; send nothing that changes anything
    #[arg(long)]
    pub dry_run: bool,
    /// Do not wait for the effect
    #[arg(long, conflicts_with = "dry_run")]
    pub no_wait: bool,
    /// How long to wait for the effect
    #[arg(long, value_name = "TIME", default_value = "10m", value_parser = seconds)]
    pub timeout: u64,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
    #[command(flatten)]
    /// Sandbox.
    pub embedded: Embedded,
}

/// How a look is taken.
#[derive(Debug, Args)]
pub struct Looking {
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
    #[command(flatten)]
    /// Sandbox.
    pub embedded: Embedded,
}

/// A setting.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OnOff {
    /// On
    On,
    /// Off
    Off,
}

/// Which columns are shown.
#[derive(Debug, Args)]
pub struct Columns {
    /// All columns, or the essential ones [default: as many as the terminal has room for; all where there is none]
    #[arg(short = 'o', long, value_name = "wide|narrow", value_enum)]
    pub layout: Option<Width>,
    /// These columns, in this order, with commas between them
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', conflicts_with = "layout")]
    pub columns: Vec<String>,
}

/// How many columns are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Width {
    /// All
    Wide,
    /// The essential ones
    Narrow,
}

/// What can be shown.
#[derive(Debug, Subcommand)]
pub enum ShowCommand {
    /// The tablets: what the nameserver and ZooKeeper think of them, what they hold, and how it is spread
    Tablets {
        #[command(flatten)]
        /// Columns.
        columns: Columns,
        #[command(flatten)]
        /// Where.
        looking: Looking,
    },
    /// The tables: what the nameserver has of each replica (showtable), and what its tablet has
    Tables {
        /// Only a database's, only one, or only some of its partitions: D.T/1,3,5-9
        #[arg(value_name = "DATABASE[.TABLE[/PID]]")]
        which: Option<String>,
        /// One row a table: what it holds, and warnings (showtablestatus)
        #[arg(long)]
        health: bool,
        /// With --health: only tables whose name is like this, `%` for any characters and `_` for one, as in SQL
        #[arg(long, value_name = "PATTERN", requires = "health")]
        like: Option<String>,
        /// With --health: only tables of databases whose name is like this (showtablestatus --filter)
        #[arg(long, value_name = "PATTERN", requires = "health")]
        db_like: Option<String>,
        #[command(flatten)]
        /// Columns.
        columns: Columns,
        #[command(flatten)]
        /// Where.
        looking: Looking,
    },
    /// The nameserver's operations (showopstatus)
    Ops(ShowOps),
}

/// `show ops`.
#[derive(Debug, Args)]
pub struct ShowOps {
    /// Only those of this database
    #[arg(long, value_name = "DATABASE")]
    pub db: Option<String>,
    /// Only those of this table
    #[arg(long, value_name = "DATABASE.TABLE")]
    pub table: Option<String>,
    /// Only those in this state; repeatable
    #[arg(long, value_name = "STATE", value_enum)]
    pub state: Vec<OpState>,
    #[command(flatten)]
    /// Columns.
    pub columns: Columns,
    #[command(flatten)]
    /// Where.
    pub looking: Looking,
}

/// How far an operation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum OpState {
    /// kInited
    Queued,
    /// kDoing
    Doing,
    /// kDone
    Done,
    /// kFailed
    Failed,
    /// kCanceled
    Canceled,
}

/// `replica diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Which partition; several as D.T/1,3,5-9
    #[arg(value_name = "DATABASE.TABLE/PID")]
    pub partition: String,
    /// Which replicas; all that are loaded if none is named
    #[arg(value_name = "ENDPOINT")]
    pub endpoints: Vec<String>,
    /// Only this index [default: all of them]
    #[arg(long, value_name = "INDEX")]
    pub index: Option<String>,
    /// Write the rows that not every replica holds to a new file, one JSON object a line
    #[arg(long, value_name = "FILE")]
    pub export: Option<PathBuf>,
    /// Read at most this many MiB a second from each replica
    #[arg(long, value_name = "MIB")]
    pub rate: Option<u64>,
    #[command(flatten)]
    /// Where.
    pub looking: Looking,
}
