//! `record`, as clap reads it.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Subcommand};

/// `record`.
#[derive(Debug, Args)]
pub struct Record {
    #[command(subcommand)]
    /// What.
    pub command: RecordCommand,
}

/// What to do with records.
#[derive(Debug, Subcommand)]
pub enum RecordCommand {
    /// List the records of runs, oldest first: command, duration, exit code, host
    List(Kept),
    /// Abandon an unfinished undertaking (`scale`, `upgrade`, `leader handover`), so that `status` no longer mentions
    /// it
    Dismiss {
        /// The run that began it, as `status` and `record list` name it
        #[arg(value_name = "ID")]
        run: String,
        #[command(flatten)]
        /// Where.
        kept: Kept,
    },
    /// Show a run: what was found, what was decided and why, what was sent and how it went
    Show(Show),
    /// Show how far a run has come, from any shell on its host, until it ends; ends with 0 however the run does
    Follow {
        /// A run, as listed; `last`; or the file of a record
        #[arg(value_name = "ID", default_value = "last")]
        run: String,
        #[command(flatten)]
        /// Where.
        kept: Kept,
    },
    /// Remove old records: never one without an end, and none that a later run needs
    Prune(Prune),
}

impl RecordCommand {
    /// Where its records are said to be kept.
    pub fn kept(&self) -> &Kept {
        match self {
            Self::List(kept) | Self::Dismiss { kept, .. } | Self::Follow { kept, .. } => kept,
            Self::Show(args) => &args.kept,
            Self::Prune(args) => &args.kept,
        }
    }
}

/// Where records are.
#[derive(Debug, Args)]
pub struct Kept {
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
}

/// `record show`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("part"))]
pub struct Show {
    /// A run, as listed; `last`; or the file of a record
    #[arg(value_name = "ID", default_value = "last")]
    pub run: String,
    /// Of one partition alone, or of several as D.T/1,3,5-9, with what was known of them before
    #[arg(long, value_name = "DATABASE.TABLE/PID", group = "part")]
    pub partition: Option<String>,
    /// Of calls that did not succeed, and of partitions that were left alone
    #[arg(long, group = "part")]
    pub failed: bool,
    /// In numbers
    #[arg(long, group = "part")]
    pub summary: bool,
    /// Write it to this file as a page for a browser, which needs nothing else
    #[arg(long, value_name = "FILE", group = "part")]
    pub html: Option<PathBuf>,
    #[command(flatten)]
    /// Where.
    pub kept: Kept,
}

/// `record prune`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("which").multiple(true).required(true))]
pub struct Prune {
    /// All but the newest so many
    #[arg(long, value_name = "N", group = "which")]
    pub keep: Option<usize>,
    /// Those that began longer ago than that: 30d, 12h
    #[arg(long, value_name = "TIME", group = "which", value_parser = age)]
    pub older_than: Option<Duration>,
    /// Say what would be removed, and remove nothing
    #[arg(long)]
    pub dry_run: bool,
    #[command(flatten)]
    /// Where.
    pub kept: Kept,
}

/// A time that may be in days.
fn age(text: &str) -> Result<Duration, String> {
    const DAY: u64 = 24 * 60 * 60;
    let days = text.strip_suffix('d').and_then(|days| days.parse::<u64>().ok()).and_then(|days| days.checked_mul(DAY));
    let age = days.map(Duration::from_secs).or_else(|| crate::playbook::duration(text));
    age.ok_or_else(|| "an age is a whole number and a unit: 30d, 12h, 90m".to_owned())
}
