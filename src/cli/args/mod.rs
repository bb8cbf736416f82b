//! The command line. Every doc comment here is help text.

#[cfg(feature = "sandbox")]
pub mod embedded;
pub mod ending;
pub mod failover;
pub mod guard;
pub mod look;
pub mod metadata;
#[cfg(not(feature = "sandbox"))]
pub mod no_sandbox;
pub mod playbook;
#[cfg(feature = "sandbox")]
pub mod practice;
pub mod record;
pub mod recover;
pub mod shared;
pub mod step;
pub mod steps;
pub mod undertake;

use std::path::PathBuf;

use clap::{Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

#[cfg(feature = "sandbox")]
pub use embedded::Embedded;
#[cfg(not(feature = "sandbox"))]
pub use no_sandbox::Embedded;

use failover::Failover;
use guard::Guard;
use look::{Format, PartitionCommand, Snapshot, Status};
use metadata::MetadataCommand;
use playbook::Playbook;
#[cfg(feature = "sandbox")]
use practice::{Rehearse, Sandbox};
use record::Record;
use recover::Recover;
use shared::Where;
use step::ShowCommand;
use steps::{LeaderCommand, OpCommand, ReplicaCommand, TabletCommand};
use undertake::{ScaleCommand, UpgradeCommand};

/// Recover a whole OpenMLDB cluster after everything went down at once, without losing a row
#[derive(Debug, Parser)]
#[command(name = "openmldb-ops", version = env!("OPENMLDB_OPS_VERSION"), max_term_width = 100)]
pub struct Cli {
    /// Format of the results on stdout
    #[arg(long, global = true, value_enum, default_value_t = Output::Text, display_order = 900)]
    pub output: Output,
    /// More detail on stderr; -vvv shows every call
    #[arg(short, long, global = true, action = clap::ArgAction::Count, display_order = 901)]
    pub verbose: u8,
    /// Append calls and messages to this file
    #[arg(long, global = true, value_name = "FILE", display_order = 902)]
    pub log_file: Option<PathBuf>,
    /// Format of the log
    #[arg(long, global = true, value_name = "FORMAT", value_enum, default_value_t = LogFormat::Text, display_order = 903)]
    pub log_format: LogFormat,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

impl Cli {
    /// How results are written, however that was asked for.
    pub fn output(&self) -> Output {
        match &self.command {
            Command::Status(Status { format: Some(Format::Json), .. }) => Output::Json,
            _ => self.output,
        }
    }
}

/// How lines of a log are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum LogFormat {
    /// For people
    Text,
    /// A JSON object a line
    Json,
}

/// How results are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// For people
    Text,
    /// JSON Lines, a summary last
    Json,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Recover partitions with the documented procedure, unattended
    Recover(Box<Recover>),
    /// Watch a cluster, and recover it automatically once all of it has gone down
    Guard(Box<Guard>),
    /// Show the health of every partition and tablet; exit 3 if anything in scope is unhealthy
    Status(Status),
    /// Save everything observable about a cluster, to plan from or to share
    Snapshot(Snapshot),
    /// Read or set auto_failover, or restore it after a run that could not
    Failover(Failover),
    /// Show tablets, tables or operations
    #[command(subcommand)]
    Show(ShowCommand),
    /// Cancel an operation, or delete those that have ended
    #[command(subcommand)]
    Op(OpCommand),
    /// Take a tablet out of service, bring it back, or replace one that is gone for good
    #[command(subcommand)]
    Tablet(TabletCommand),
    /// Show what the nameserver has of a partition
    #[command(subcommand)]
    Partition(PartitionCommand),
    /// Change a partition's leader
    #[command(subcommand)]
    Leader(LeaderCommand),
    /// Show, compare, load, recover, mark, add, remove or migrate a single replica
    #[command(subcommand)]
    Replica(ReplicaCommand),
    /// Spread replicas over tablets, empty tablets, or repair the number of replicas
    #[command(subcommand)]
    Scale(ScaleCommand),
    /// Move leaders off a tablet before its upgrade, and back afterwards
    #[command(subcommand)]
    Upgrade(UpgradeCommand),
    /// Explain an OpenMLDB return code, a reason, a finding or an exit code, and what to do next
    Explain {
        /// A number, a name or a group; without it, the groups there are
        #[arg(value_name = "CODE", allow_negative_numbers = true)]
        code: Option<String>,
    },
    /// Back up, restore or check what ZooKeeper keeps for the cluster
    #[command(subcommand)]
    Metadata(MetadataCommand),
    /// Show what earlier runs did, and why
    Record(Record),
    /// Show where the cluster was found
    #[command(subcommand)]
    Config(ConfigCommand),
    /// List, show and check playbooks
    Playbook(Playbook),
    #[cfg(feature = "sandbox")]
    /// Practise: run the real recovery on a simulated copy of a cluster, in virtual time, to see how long it takes
    Rehearse(Rehearse),
    #[cfg(feature = "sandbox")]
    /// Run an embedded cluster to practise on
    Sandbox(Sandbox),
    #[cfg(not(feature = "sandbox"))]
    #[command(hide = true, alias = "rehearse")]
    /// Not in this build
    Sandbox(no_sandbox::Absent),
    /// Print a shell completion script
    Completions {
        /// Which shell
        shell: Shell,
    },
    /// Print the manual page, or write one for every command
    Man {
        /// A directory for them, such as /usr/local/share/man/man1
        #[arg(value_name = "DIRECTORY")]
        directory: Option<PathBuf>,
    },
}

/// What to do with what is configured.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show which settings were found where, and which sources disagree; contacts no server
    Show(Where),
}
