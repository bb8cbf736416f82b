//! `recover`, as clap reads it. Every doc comment on an argument is help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args};

use crate::run::PlanId;

use super::Embedded;
use super::ending::Ending;
use super::shared::{Where, Which, plan_id, seconds, time};

/// `recover`.
#[derive(Debug, Args)]
#[command(group = ArgGroup::new("only_plans").multiple(true))]
pub struct Recover {
    /// Print what would be done; send nothing that changes anything
    #[arg(long, group = "only_plans")]
    pub dry_run: bool,
    /// Print every partition in full, however many there are
    #[arg(long)]
    pub full: bool,
    /// Explain a partition, or several as D.T/1,3,5-9: what is known, what would be done, and why; send nothing that
    /// changes anything
    #[arg(long, value_name = "DATABASE.TABLE/PID", group = "only_plans", conflicts_with_all = ["all", "db", "table",
        "partition", "plan", "out", "accept_data_loss", "leader", "release_failover"])]
    pub explain: Option<String>,
    /// Plan from a saved snapshot, without a cluster
    #[arg(long, value_name = "FILE", requires = "only_plans", conflicts_with_all = ["zk_cluster", "nameserver", "flagfile", "cluster", "sandbox"])]
    pub snapshot: Option<PathBuf>,
    /// Save the plan, with its id and the facts it rests on; JSON if the name ends in .json, else YAML
    #[arg(short = 'o', long = "out", value_name = "FILE", requires = "dry_run")]
    pub out: Option<PathBuf>,
    /// Apply exactly this plan, or refuse (exit 5) if the facts it rests on have changed; with --dry-run, only check
    /// whether it still applies
    #[arg(long, value_name = "FILE", conflicts_with_all = ["all", "db", "table", "partition", "snapshot", "playbook", "out"])]
    pub plan: Option<PathBuf>,
    /// Accept the losses listed by the plan with this id, and no others; refuse (exit 5) if the plan has changed
    #[arg(long, value_name = "PLAN_ID", value_parser = plan_id, conflicts_with = "dry_run")]
    pub accept_data_loss: Option<PlanId>,
    /// The leader of the one partition that --partition names, overriding the rules: what the others would lose is
    /// listed, and needs --accept-data-loss
    #[arg(long, value_name = "ENDPOINT", requires = "partition", conflicts_with_all = ["all", "db", "table", "plan"])]
    pub leader: Option<String>,
    /// This tablet is gone for good: auto_failover is not kept off for its data, and with --accept-data-loss partitions
    /// continue without it; repeatable
    #[arg(long, value_name = "ENDPOINT")]
    pub without: Vec<String>,
    /// Restore auto_failover even if the nameserver may then replace replicas that have not been checked
    #[arg(long, conflicts_with = "dry_run")]
    pub release_failover: bool,
    /// A playbook's name, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = crate::playbook::DEFAULT)]
    pub playbook: String,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    /// Stop after this long, clean up, and exit 7
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub timeout: Option<u64>,
    /// Wait this long from the start for tablets that are in the metadata but not there yet (0: do not wait), while
    /// everything else continues [default: what the playbook says, 5m]
    #[arg(long, value_name = "TIME", value_parser = time)]
    pub wait_for_tablets: Option<Duration>,
    /// Where row counts differ, compare what replicas hold row by row if none holds more rows than this (0: never,
    /// counts decide) [default: what the playbook says, 10000000]
    #[arg(long, value_name = "ROWS")]
    pub compare_rows_up_to: Option<u64>,
    #[command(flatten)]
    /// At the end.
    pub ending: Ending,
    #[command(flatten)]
    /// Scope.
    pub which: Which,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
    #[command(flatten)]
    /// Sandbox.
    pub embedded: Embedded,
}

impl Recover {
    /// Whether nothing is to be changed.
    pub fn only_plans(&self) -> bool {
        self.dry_run || self.explain.is_some()
    }
}
