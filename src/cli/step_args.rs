//! The command line of the handbook's single steps. Every doc comment here is help text.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

use super::args::{Embedded, Where, seconds};
use super::undertake_args::{Room, Undertaking};

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

/// A flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    /// Clients are sent to it
    Yes,
    /// They are not
    No,
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

/// What to do with operations.
#[derive(Debug, Subcommand)]
pub enum OpCommand {
    /// Cancel an operation that is queued or under way (cancelop)
    Cancel {
        /// Its number, as `show ops` has it
        #[arg(value_name = "ID")]
        op: u64,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

/// What to do with leaders.
#[derive(Debug, Subcommand)]
pub enum LeaderCommand {
    /// Have another replica lead a partition, without losing what is written meanwhile: its leader stands down first
    Handover {
        /// Which partition
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        /// Who is to lead
        #[arg(long, value_name = "ENDPOINT")]
        to: String,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
    /// Have another replica lead a partition at once (changeleader): what its leader takes meanwhile may be lost
    Change {
        /// Which partition
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        /// Who is to lead; the longest follower if nobody does
        #[arg(long, value_name = "ENDPOINT")]
        to: Option<String>,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

/// What to do with tablets.
#[derive(Debug, Subcommand)]
pub enum TabletCommand {
    /// Take a tablet out of service: others lead what it leads, and no client is sent to it (offlineendpoint)
    Offline {
        /// The tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Even if it runs: what it leads has no leader for a moment, and what no follower has yet is given up
        #[arg(long)]
        allow_unavailable: bool,
        #[command(flatten)]
        /// How.
        working: Working,
    },
    /// Bring a dead tablet's replicas up elsewhere, and have metadata forget it (settablepartition)
    Replace {
        /// The tablet that is gone
        #[arg(value_name = "DEAD")]
        endpoint: String,
        /// Where its replicas come up; where there is most room, if nobody says
        #[arg(long, value_name = "ENDPOINT")]
        with: Option<String>,
        /// Accept the losses that a dry run has listed under this id, and no others
        #[arg(long, value_name = "ID", value_parser = super::args::plan_id, conflicts_with = "dry_run")]
        accept_data_loss: Option<crate::run::PlanId>,
        #[command(flatten)]
        /// Room.
        room: Room,
        #[command(flatten)]
        /// How.
        how: Box<Undertaking>,
    },
    /// Bring everything on a tablet back that was taken out of service (recoverendpoint)
    Recover {
        /// The tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

/// What to do with replicas.
#[derive(Debug, Subcommand)]
pub enum ReplicaCommand {
    /// Show what tablets hold (gettablestatus); of one tablet, of one partition, or everything
    Status {
        /// ENDPOINT, DATABASE.TABLE/PID, or both
        #[arg(value_name = "ENDPOINT|DATABASE.TABLE/PID", num_args = 0..=2)]
        of: Vec<String>,
        #[command(flatten)]
        /// Where.
        looking: Looking,
    },
    /// Compare what replicas of a partition hold, row by row; nothing is changed
    Diff(Diff),
    /// Load a replica on its tablet, as follower (loadtable)
    Load(OneReplica),
    /// Bring a replica that is not alive back as its leader's follower (recovertable)
    Recover(OneReplica),
    /// Give a partition one more replica, with its leader's data (addreplica)
    Add(OneReplica),
    /// Take a follower away; its directory goes to the recycle bin (delreplica)
    Remove(OneReplica),
    /// Have the leader of a pre-aggregate table aggregate again, once (createaggregator)
    Aggregate(OneReplica),
    /// Replace a follower on one tablet by one on another (migrate)
    Migrate {
        /// Which partition
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        /// From where
        #[arg(value_name = "FROM")]
        from: String,
        /// To where
        #[arg(value_name = "TO")]
        to: String,
        #[command(flatten)]
        /// How.
        working: Working,
    },
    /// Set a replica's alive flag: whether clients are sent to it (updatetablealive)
    Alive {
        /// Which partition; without PID, all of the table's partitions on that tablet
        #[arg(value_name = "DATABASE.TABLE[/PID]")]
        which: String,
        /// Its tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// The flag
        #[arg(value_name = "yes|no", value_enum)]
        alive: YesNo,
        /// Even if it leads, and clients are sent to it now
        #[arg(long)]
        allow_unavailable: bool,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

/// `replica diff`.
#[derive(Debug, Args)]
pub struct Diff {
    /// Which partition
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
    /// Read at most so many MiB a second of each replica
    #[arg(long, value_name = "MIB")]
    pub rate: Option<u64>,
    #[command(flatten)]
    /// Where.
    pub looking: Looking,
}

/// A step on one replica.
#[derive(Debug, Args)]
pub struct OneReplica {
    /// Which partition
    #[arg(value_name = "DATABASE.TABLE/PID")]
    pub partition: String,
    /// Its tablet
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    #[command(flatten)]
    /// How.
    pub working: Working,
}
