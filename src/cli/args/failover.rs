//! `failover`, as clap reads it. Every doc comment on an argument is help text.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::shared::Where;
use super::step::{Looking, OnOff, Working};

/// `failover`.
#[derive(Debug, Args)]
pub struct Failover {
    #[command(subcommand)]
    /// What.
    pub command: FailoverCommand,
}

/// What to do with auto_failover.
#[derive(Debug, Subcommand)]
pub enum FailoverCommand {
    /// Say whether auto_failover is on (confget)
    Get(Looking),
    /// Switch auto_failover on or off (confset)
    Set {
        /// The value
        #[arg(value_name = "on|off", value_enum)]
        state: OnOff,
        /// Even if the nameserver may then replace replicas that have not been checked
        #[arg(long)]
        release: bool,
        #[command(flatten)]
        /// How.
        working: Working,
    },
    /// Set auto_failover to what it was before a run that did not finish, and do nothing else
    Restore(FailoverRestore),
}

/// `failover restore`.
#[derive(Debug, Args)]
pub struct FailoverRestore {
    /// Show what would be restored; change nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Even if the nameserver may then replace replicas that have not been checked
    #[arg(long)]
    pub release: bool,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
}
