//! The command line of scaling and upgrading. Every doc comment here is help text.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};

use crate::run;

use super::Embedded;
use super::ending::Ending;
use super::shared::{Where, seconds};

/// How an undertaking is carried out.
#[derive(Debug, Args)]
pub struct Undertaking {
    /// Print what would be done; send nothing that changes anything
    #[arg(long)]
    pub dry_run: bool,
    /// How long a single step of it may take
    #[arg(long, value_name = "TIME", default_value = "1h", value_parser = seconds)]
    pub step_timeout: u64,
    /// How long a partition may have no leader: after that, the old one leads again
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = leaderless_limit)]
    pub leaderless_limit: Duration,
    /// Stop after this long, clean up, and exit 7; the same command goes on
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    pub timeout: Option<u64>,
    /// Where records of runs are kept [default: openmldb-ops in the XDG state directory]
    #[arg(long, value_name = "DIR", env = "OPENMLDB_OPS_RECORD_DIR", hide_env_values = true)]
    pub record_dir: Option<PathBuf>,
    #[command(flatten)]
    /// At the end.
    pub ending: Ending,
    #[command(flatten)]
    /// Cluster.
    pub at: Where,
    #[command(flatten)]
    /// Sandbox.
    pub embedded: Embedded,
}

/// What tablets have room for.
#[derive(Debug, Clone, Copy, Default, Args)]
pub struct Room {
    /// What each tablet has room for, memory and disk, as in 64GiB,2TiB: no server tells
    #[arg(long, value_name = "MEMORY[,DISK]", value_parser = sizes, default_value = "", hide_default_value = true)]
    pub tablet_room: run::Room,
}

impl ScaleCommand {
    /// How it is carried out.
    pub fn how(&self) -> &Undertaking {
        match self {
            Self::Out { how, .. } | Self::In { how, .. } | Self::Repair { how, .. } => how,
        }
    }
}

impl UpgradeCommand {
    /// How it is carried out.
    pub fn how(&self) -> &Undertaking {
        match self {
            Self::Pre { how, .. } | Self::Post { how, .. } => how,
        }
    }
}

/// `scale`.
#[derive(Debug, Subcommand)]
pub enum ScaleCommand {
    /// Spread the replicas of every user database, and their leaders, over all healthy tablets
    Out {
        /// Leave leaders where they are, unless their replica has to move
        #[arg(long)]
        replicas_only: bool,
        #[command(flatten)]
        /// Room.
        room: Room,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
    /// Move everything away from tablets, so that they can be stopped for good
    In {
        /// The tablets
        #[arg(value_name = "ENDPOINT", required = true, num_args = 1..)]
        endpoints: Vec<String>,
        #[command(flatten)]
        /// Room.
        room: Room,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
    /// Give every partition as many replicas as its table was made with
    Repair {
        #[command(flatten)]
        /// Room.
        room: Room,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
}

/// `upgrade`.
#[derive(Debug, Subcommand)]
pub enum UpgradeCommand {
    /// Move leaders off a tablet, so that it can be stopped; what it led is saved for `upgrade post`
    Pre {
        /// The tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Leave partitions with a single replica where they are: unavailable until the tablet is back and recovered
        #[arg(long)]
        allow_unavailable: bool,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
    /// Move back the leaders that a tablet had before `upgrade pre`
    Post {
        /// The tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// It never comes back: end its upgrade, and leave everything where it is
        #[arg(long)]
        gone: bool,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
}

/// How long a single step may take, in seconds, beside a recovery.
pub(in crate::cli) const STEP_TIMEOUT_S: u64 = 3_600;
/// How long a partition may be without a leader, unless something else is asked for.
pub(in crate::cli) const LEADERLESS_LIMIT: Duration = Duration::from_secs(5);

/// Shortest time in which another one can lead, and longest that is still an interruption and no outage.
const LIMITS: std::ops::RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(60);

/// One size, or two with a comma between them; none where nothing is said.
fn sizes(text: &str) -> Result<run::Room, String> {
    if text.is_empty() {
        return Ok(run::Room::default());
    }
    let (memory, disk) = text.split_once(',').map_or((text, None), |(memory, disk)| (memory, Some(disk)));
    let wrong =
        || "a size is a whole number and a unit, as in 512MiB, 64GiB or 2TiB; of disk, behind a comma".to_owned();
    let disk = disk.map(|disk| size(disk).ok_or_else(wrong)).transpose()?;
    Ok(run::Room { memory: Some(size(memory).ok_or_else(wrong)?), disk })
}

/// A whole number and a unit, of 1024 each.
fn size(text: &str) -> Option<u64> {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let shift = match text[digits.len()..].to_ascii_uppercase().trim_end_matches("IB").trim_end_matches('B') {
        "M" => 20,
        "G" => 30,
        "T" => 40,
        _ => return None,
    };
    digits.parse::<u64>().ok().filter(|size| *size > 0)?.checked_mul(1 << shift)
}

fn leaderless_limit(text: &str) -> Result<Duration, String> {
    let limit = crate::playbook::duration(text).ok_or("it is not a time such as 3s or 500ms")?;
    LIMITS.contains(&limit).then_some(limit).ok_or_else(|| "it must be from 1s to 60s".to_owned())
}
