//! `rehearse` and `sandbox`, as clap reads them.

use std::path::PathBuf;

use clap::{Args, Subcommand};

use super::embedded::{Faults, Made};
use crate::rehearse::Generate;
use crate::sandbox::practice::Who;

/// `rehearse`.
#[derive(Debug, Args)]
pub struct Rehearse {
    /// The cluster as `snapshot` saved it; everything in it goes down and comes back
    #[arg(long, value_name = "FILE", conflicts_with = "generate")]
    pub snapshot: Option<PathBuf>,
    /// A made-up one, tablets=3,tables=10,partitions=8,replicas=3,rows=1000; partitions per table, rows per partition
    #[arg(long, value_name = "SIZES", value_parser = generate)]
    pub generate: Option<Generate>,
    /// A playbook's name, or a file; `all` for each that comes with the program
    #[arg(long, value_name = "NAME|FILE|all", default_value = "all")]
    pub playbook: String,
    /// Seed of its random numbers
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub seed: u64,
    /// Entries that one thread of a tablet loads in a second [default: 125000]
    #[arg(long, value_name = "N")]
    pub load_rate: Option<u64>,
    /// What every load takes besides, 10ms or 2s [default: 10ms]
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub load_fixed: Option<u64>,
    /// The tablets' task_pool_size: loads that one does at a time [default: 3]
    #[arg(long, value_name = "N")]
    pub task_pool_size: Option<u64>,
    /// The nameserver's name_server_task_concurrency: lanes of RecoverTable [default: 2]
    #[arg(long, value_name = "N")]
    pub task_concurrency: Option<u64>,
    /// The nameserver's get_task_status_interval [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub task_poll: Option<u64>,
    /// The nameserver's get_table_status_interval [default: 2s]
    #[arg(long, value_name = "TIME", value_parser = milliseconds)]
    pub table_poll: Option<u64>,
    #[command(flatten)]
    /// What goes wrong
    pub faults: Faults,
}

/// `sandbox`.
#[derive(Debug, Args)]
pub struct Sandbox {
    #[command(subcommand)]
    /// What.
    pub command: SandboxCommand,
}

/// What to do with the embedded cluster.
#[derive(Debug, Subcommand)]
pub enum SandboxCommand {
    /// List the scenarios, or what can go wrong in them
    List {
        /// List what `--fault` understands instead
        #[arg(long)]
        faults: bool,
    },
    /// Start one, print how to reach it, keep it running until interrupted
    Serve(Box<Serve>),
    /// Kill servers of the one that is served, as kill -9 does
    Kill(SandboxServers),
    /// Start servers that were killed, let those that hang go on; ends once they run
    Start(SandboxServers),
    /// Have servers answer nothing until they are started
    Hang(SandboxServers),
    /// Have clients write rows into every partition; exit 4 if one was refused
    Write(SandboxWrite),
    /// A guided tour: the nights that happen, on an embedded cluster
    Tour(Tour),
}

/// `sandbox kill|start|hang`.
#[derive(Debug, Args)]
pub struct SandboxServers {
    /// tablet1, nameserver1, an endpoint, or all
    #[arg(value_name = "SERVER", required = true)]
    pub servers: Vec<Who>,
    #[command(flatten)]
    /// Which sandbox.
    pub which: Served,
}

/// `sandbox write`.
#[derive(Debug, Args)]
pub struct SandboxWrite {
    /// Rows for each partition
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=100_000))]
    pub rows: u64,
    #[command(flatten)]
    /// Which sandbox.
    pub which: Served,
}

/// A sandbox that is served on this host.
#[derive(Debug, Args)]
pub struct Served {
    /// Its nameserver, if several are served
    #[arg(long, value_name = "HOST:PORT", env = "OPENMLDB_NAMESERVER", hide_env_values = true)]
    pub nameserver: Option<String>,
}

/// `sandbox tour`.
#[derive(Debug, Args)]
pub struct Tour {
    /// Which night, by its number; all if not said
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u8).range(1..=3))]
    pub night: Option<u8>,
}

/// `sandbox serve`.
#[derive(Debug, Args)]
pub struct Serve {
    #[arg(hide = true, value_name = "SCENARIO", value_parser = without_its_option)]
    /// Refused, with what to type.
    pub bare: Option<String>,
    /// The condition it is in
    #[arg(long, value_name = "SCENARIO", default_value = "everything-restarted")]
    pub scenario: String,
    /// A standalone OpenMLDB instead: no ZooKeeper, one tablet, and nothing wrong with it
    #[arg(long, conflicts_with = "zk_cluster")]
    pub standalone: bool,
    /// Another cluster follows it, under this name: its one tablet leads every partition there
    #[arg(long, value_name = "NAME", conflicts_with = "standalone")]
    pub followed_by: Option<String>,
    /// It follows another cluster, and takes nothing from clients
    #[arg(long, value_name = "NAME", conflicts_with_all = ["standalone", "followed_by"])]
    pub follows: Option<String>,
    /// Register it in a real ZooKeeper, HOST:PORT[,HOST:PORT...]
    #[arg(long, alias = "zk_cluster", value_name = "SERVERS")]
    pub zk_cluster: Option<String>,
    /// Its root path there
    #[arg(long, alias = "zk_root_path", value_name = "PATH", default_value = "/openmldb")]
    pub zk_root_path: String,
    /// Nameservers: one leads, the others stand by
    #[arg(long, value_name = "N", default_value_t = 1)]
    pub nameservers: usize,
    #[command(flatten)]
    /// How it is made
    pub made: Made,
}

fn without_its_option(text: &str) -> Result<String, String> {
    Err(format!("type `--scenario {text}`; `openmldb-ops sandbox list` lists them all"))
}

/// Sizes of a made-up cluster, for clap.
fn generate(text: &str) -> Result<Generate, String> {
    text.parse().map_err(|error: crate::rehearse::GenerateError| error.to_string())
}

/// A time in milliseconds. A number alone is milliseconds, as in OpenMLDB's own flags.
fn milliseconds(text: &str) -> Result<u64, String> {
    let time = || crate::playbook::duration(text).and_then(|time| u64::try_from(time.as_millis()).ok());
    let time = text.parse().ok().or_else(time);
    time.ok_or_else(|| "a time is a whole number and a unit: 10ms, 2s, 5m".to_owned())
}

#[cfg(test)]
mod tests {
    use super::milliseconds;

    #[test]
    fn times_have_units_and_a_number_alone_is_as_in_flags() {
        let times = ["10", "10ms", "2s", "5m"].map(|text| milliseconds(text).ok());
        assert_eq!(times, [Some(10), Some(10), Some(2_000), Some(300_000)]);
        assert!(milliseconds("2 s").is_err() && milliseconds("").is_err() && milliseconds("-1").is_err());
    }
}
