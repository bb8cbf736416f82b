//! `guard`, as clap reads it.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use super::Embedded;
use super::shared::{Where, Which, time};

/// `guard`.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct Guard {
    #[command(subcommand)]
    /// What else.
    pub command: Option<GuardCommand>,
    /// Recover automatically; without this it only says what it would do, when and why
    #[arg(long)]
    pub act: bool,
    /// A playbook's name, or a file
    #[arg(long, value_name = "NAME|FILE", default_value = crate::playbook::DEFAULT)]
    pub playbook: String,
    /// How often to look
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = every)]
    pub every: Duration,
    /// How long to wait for missing tablets before a recovery starts
    #[arg(long, value_name = "TIME", default_value = "2m", value_parser = time)]
    pub boot_wait: Duration,
    /// Leave to OpenMLDB what it can repair itself, until nothing has changed for so long
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = time)]
    pub heal_wait: Duration,
    /// After so many recoveries in a row, leave the next one to a person
    #[arg(long, value_name = "N", default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..))]
    pub in_a_row: u32,
    /// Where /healthz, /readyz and /metrics are answered; `none` for nowhere
    #[arg(long, value_name = "ADDRESS:PORT", default_value = "127.0.0.1:9476", value_parser = listen)]
    pub listen: Listen,
    /// Run this with sh for every event, for at most 30 s, with OPENMLDB_OPS_GUARD_STATE and _TEXT in the environment
    #[arg(long, value_name = "COMMAND")]
    pub on_event: Option<String>,
    /// Save what ZooKeeper keeps of the cluster here, whenever it has changed
    #[arg(long, value_name = "DIR")]
    pub metadata_backup: Option<PathBuf>,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
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

/// What to tell guards.
#[derive(Debug, Subcommand)]
pub enum GuardCommand {
    /// Pause every guard of the cluster; one that is recovering stops, as with Ctrl-C
    Pause {
        /// For how long: 30m, 2h
        #[arg(value_name = "TIME", value_parser = time)]
        time: Duration,
        /// What for
        #[arg(long, value_name = "TEXT")]
        why: String,
        #[command(flatten)]
        /// Cluster.
        at: Where,
    },
    /// End the pause
    Resume {
        #[command(flatten)]
        /// Cluster.
        at: Where,
    },
}

/// Where is listened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Listen {
    /// There.
    On(SocketAddr),
    /// Nowhere.
    Nowhere,
}

/// How often is looked: not all the time.
fn every(text: &str) -> Result<Duration, String> {
    let time = time(text)?;
    let is_fine = (Duration::from_millis(100)..=Duration::from_secs(60)).contains(&time);
    is_fine.then_some(time).ok_or_else(|| "a guard looks every 100ms to 60s".to_owned())
}

fn listen(text: &str) -> Result<Listen, String> {
    match text {
        "none" => Ok(Listen::Nowhere),
        address => {
            let address = address.parse().map(Listen::On);
            address.map_err(|_| "an address here is ADDRESS:PORT, as 127.0.0.1:9476, or `none`".to_owned())
        }
    }
}
