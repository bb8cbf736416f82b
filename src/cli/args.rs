//! The command line. Every doc comment here is help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgGroup, Args, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;

pub use super::embedded::Embedded;
#[cfg(feature = "sandbox")]
pub use super::embedded::{Faults, Shape};
use super::ending_args::Ending;
use super::guard::args::Guard;
use super::look_args::{Format, Snapshot, Status};
use super::metadata_args::MetadataCommand;
use super::partition::PartitionCommand;
#[cfg(feature = "sandbox")]
use super::practice_args::{Rehearse, Sandbox};
use super::record_args::Record;
use super::step_args::{Looking, OnOff, ShowCommand, Working};
use super::step_commands::{LeaderCommand, OpCommand, ReplicaCommand, TabletCommand};
use super::undertake_args::{ScaleCommand, UpgradeCommand};
use crate::run::PlanId;

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
        /// A number or a name; all if none is given
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
    Sandbox(super::sandbox::Absent),
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

/// Where the cluster is.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Cluster")]
pub struct Where {
    // What the environment and files say is heard in `find`: here it would conflict with --sandbox.
    /// ZooKeeper servers, HOST:PORT[,HOST:PORT...] [env: OPENMLDB_ZK_CLUSTER]
    #[arg(long, alias = "zk_cluster", value_name = "SERVERS", conflicts_with = "nameserver")]
    pub zk_cluster: Option<String>,
    /// The cluster's root path in ZooKeeper [env: OPENMLDB_ZK_ROOT_PATH] [default: /openmldb]
    #[arg(long, alias = "zk_root_path", value_name = "PATH")]
    pub zk_root_path: Option<String>,
    /// A file with ZooKeeper's digest credentials, user:password (or OPENMLDB_ZK_CERT in the environment) [env:
    /// OPENMLDB_ZK_CERT_FILE]
    #[arg(long, alias = "zk_cert_file", value_name = "FILE")]
    pub zk_cert_file: Option<PathBuf>,
    /// The leading nameserver, for a cluster whose ZooKeeper cannot be reached [env: OPENMLDB_NAMESERVER]
    #[arg(long, value_name = "HOST:PORT")]
    pub nameserver: Option<String>,
    /// A file with OpenMLDB's user:password (or OPENMLDB_AUTH in the environment); default is the service's own [env:
    /// OPENMLDB_AUTH_FILE]
    #[arg(long, value_name = "FILE")]
    pub auth_file: Option<PathBuf>,
    /// A file of OpenMLDB's flags, as conf/nameserver.flags, that says where the cluster is
    #[arg(long, value_name = "FILE")]
    pub flagfile: Option<PathBuf>,
    /// The cluster by its name in the configuration file, or SERVERS/ROOT (see `config show`)
    #[arg(short, long, value_name = "NAME|SERVERS/ROOT")]
    pub cluster: Option<String>,
    /// How long to wait for a nameserver to lead and answer
    #[arg(long, value_name = "TIME", default_value = "1m", value_parser = seconds)]
    pub leader_wait: u64,
}

/// Which partitions.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Scope")]
pub struct Which {
    /// Every partition of every table, system tables included
    #[arg(long, conflicts_with_all = ["db", "table", "partition"])]
    pub all: bool,
    /// Every partition of a database; repeatable
    #[arg(long, value_name = "DATABASE")]
    pub db: Vec<String>,
    /// Every partition of a table; repeatable
    #[arg(long, value_name = "DATABASE.TABLE")]
    pub table: Vec<String>,
    /// One partition, or several: D.T/1,3,5-9; repeatable
    #[arg(long, value_name = "DATABASE.TABLE/PID")]
    pub partition: Vec<String>,
}

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
    /// Explain one partition: what is known, what would be done, and why; send nothing that changes anything
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

/// What to do with what is configured.
#[derive(Debug, Subcommand)]
pub enum ConfigCommand {
    /// Show which settings were found where, and which sources disagree; contacts no server
    Show(Where),
}

/// `playbook`.
#[derive(Debug, Args)]
pub struct Playbook {
    #[command(subcommand)]
    /// What.
    pub command: PlaybookCommand,
}

/// What to do with playbooks.
#[derive(Debug, Subcommand)]
pub enum PlaybookCommand {
    /// List the built-in playbooks
    List,
    /// Print a playbook, each step explained
    Show {
        /// A name, or a file
        #[arg(value_name = "NAME|FILE", default_value = crate::playbook::DEFAULT)]
        playbook: String,
        /// Print only the YAML, as a start for your own playbook
        #[arg(long)]
        yaml: bool,
    },
    /// Check whether a playbook can be used, and if not, where it is wrong
    Check {
        /// A name, or a file
        #[arg(value_name = "NAME|FILE")]
        playbook: String,
    },
}

/// A time as playbooks spell it; a number alone is seconds.
pub(super) fn time(text: &str) -> Result<Duration, String> {
    let seconds = text.parse().ok().map(Duration::from_secs);
    let time = seconds.or_else(|| crate::playbook::duration(text));
    time.ok_or_else(|| "a time is 0, or a whole number and a unit: 500ms, 30s, 5m, 2h".to_owned())
}

/// A time of whole seconds; a number alone is seconds.
pub(super) fn seconds(text: &str) -> Result<u64, String> {
    let whole = |time: Duration| (time.subsec_nanos() == 0).then_some(time.as_secs());
    let time = time(text).ok().and_then(whole);
    time.ok_or_else(|| "a time here is whole seconds, or a whole number and a unit: 30, 30s, 5m, 2h".to_owned())
}

pub(super) fn plan_id(text: &str) -> Result<PlanId, String> {
    text.parse()
}
