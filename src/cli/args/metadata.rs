//! The command line of `metadata`. Every doc comment here is help text.

use std::path::PathBuf;

use clap::{ArgGroup, Args, Subcommand};

use super::shared::{Where, plan_id};
use crate::metadata::RAISED_BY;
use crate::run::PlanId;

/// What to do with a cluster's metadata.
#[derive(Debug, Subcommand)]
pub enum MetadataCommand {
    /// Save everything that ZooKeeper keeps for the cluster; changes nothing
    Backup {
        /// A new file
        #[arg(short = 'o', long = "out", value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        /// Where.
        at: Where,
    },
    /// Restore a backup into an empty root path, before any server of the cluster is started
    Restore(MetadataRestore),
    /// Delete everything that ZooKeeper keeps for a cluster of which no server is registered, saved beside the record
    /// first: so that a backup can be restored where something else is
    Wipe(MetadataWipe),
    /// Without a backup: rebuild metadata from what running tablets have loaded, as far as it is proven
    Rebuild {
        /// A tablet that runs; name all of them
        #[arg(long = "tablet", value_name = "HOST:PORT", required = true)]
        tablets: Vec<String>,
        /// A new file
        #[arg(short = 'o', long = "out", value_name = "FILE")]
        out: PathBuf,
        #[command(flatten)]
        /// Where.
        at: Where,
    },
    /// Find contradictions, in ZooKeeper or in a backup; exit 3 if there are any
    Check {
        /// A backup, instead of ZooKeeper
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
        #[command(flatten)]
        /// Where.
        at: Where,
    },
}

/// `metadata wipe`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("acknowledged").required(true))]
pub struct MetadataWipe {
    /// Print what would be deleted, with the id by which it is accepted; write nothing
    #[arg(long, group = "acknowledged")]
    pub dry_run: bool,
    /// Delete what a dry run listed under this id; refuse (exit 5) if anything of it has changed
    #[arg(long, value_name = "ID", value_parser = plan_id, group = "acknowledged")]
    pub accept: Option<PlanId>,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
}

/// `metadata restore`.
#[derive(Debug, Args)]
pub struct MetadataRestore {
    /// The backup
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Print what would be created; write nothing
    #[arg(long)]
    pub dry_run: bool,
    /// Repair what takes no decision: counters that are missing, wrong or too small, databases that are missing,
    /// operations on nothing
    #[arg(long)]
    pub repair: bool,
    /// A node that is not restored, with all below it, as `metadata check` names it; repeatable
    #[arg(long, value_name = "PATH")]
    pub leave_out: Vec<String>,
    /// Raise the counters of tables, terms and operations by this, so that numbers assigned after the backup are not
    /// reused (0: as they were saved)
    #[arg(long, value_name = "N", default_value_t = RAISED_BY)]
    pub raise_counters: u32,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
}
