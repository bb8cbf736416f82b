//! The single steps as they are typed: each command's arguments, and the steps that it asks for. Every doc comment on an argument is
//! help text.

use clap::{Args, Subcommand, ValueEnum};

use crate::model::{Endpoint, OpEnd, OpId, Pid, TableName, WhichOps};
use crate::operate::Step;
use crate::run::Selector;

use super::super::failure::Failure;
use super::super::named::{endpoint_of, name_of, partitions_of};
use super::step::{Diff, Looking, Working};
use super::undertake::{Room, Undertaking};

/// What a command asks for.
pub struct Asked<'a> {
    /// The steps, one after another.
    pub steps: Vec<Step>,
    /// Whether what clients use now may become unavailable by them.
    pub allow_unavailable: bool,
    /// How they are taken.
    pub working: &'a Working,
}

impl<'a> Asked<'a> {
    fn one(step: Step, working: &'a Working) -> Self {
        Self { steps: vec![step], allow_unavailable: false, working }
    }

    /// A step on each of the partitions that are named.
    fn each(partitions: &str, working: &'a Working, step: impl Fn(TableName, Pid) -> Step) -> Result<Self, Failure> {
        let steps = partitions_of(partitions)?.into_iter().map(|(table, pid)| step(table, pid)).collect();
        Ok(Self { steps, allow_unavailable: false, working })
    }

    fn even_if(self, allow_unavailable: bool) -> Self {
        Self { allow_unavailable, ..self }
    }
}

/// A flag.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum YesNo {
    /// Clients are sent to it
    Yes,
    /// They are not
    No,
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
    /// Have the nameserver forget operations that have ended (deleteop)
    Delete {
        /// One by its number, or all that have ended like this
        #[arg(value_name = "ID|done|failed|canceled", value_parser = which_ops)]
        which: WhichOps,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

fn which_ops(text: &str) -> Result<WhichOps, String> {
    match text {
        "done" => Ok(WhichOps::Ended(OpEnd::Done)),
        "failed" => Ok(WhichOps::Ended(OpEnd::Failed)),
        "canceled" => Ok(WhichOps::Ended(OpEnd::Canceled)),
        id => id.parse().map(|id| WhichOps::One(OpId(id))).map_err(|_| "neither a number nor how it ended".to_owned()),
    }
}

impl OpCommand {
    /// What it asks for.
    pub fn asked(&self) -> Asked<'_> {
        match self {
            Self::Cancel { op, working } => Asked::one(Step::CancelOp { op: OpId(*op) }, working),
            Self::Delete { which, working } => Asked::one(Step::DeleteOps { which: *which }, working),
        }
    }
}

/// What to do with leaders.
#[derive(Debug, Subcommand)]
pub enum LeaderCommand {
    /// Make another replica the leader without losing a write: the old leader steps down first
    Handover {
        /// Which partition; several as D.T/1,3,5-9
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        /// Who is to lead
        #[arg(long, value_name = "ENDPOINT")]
        to: String,
        #[command(flatten)]
        /// How.
        how: Undertaking,
    },
    #[command(flatten)]
    /// A single step.
    Step(LeaderStep),
}

/// A single step that changes a leader.
#[derive(Debug, Subcommand)]
pub enum LeaderStep {
    /// Make another replica the leader at once (changeleader): writes to the old leader may be lost
    Change {
        /// Which partition; several as D.T/1,3,5-9
        #[arg(value_name = "DATABASE.TABLE/PID")]
        partition: String,
        /// The new leader; the longest follower if no leader is alive
        #[arg(long, value_name = "ENDPOINT")]
        to: Option<String>,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

impl LeaderStep {
    /// What it asks for.
    ///
    /// # Errors
    /// Something typed cannot be read.
    pub fn asked(&self) -> Result<Asked<'_>, Failure> {
        let Self::Change { partition, to, working } = self;
        let to = to.as_deref().map(endpoint_of).transpose()?;
        Asked::each(partition, working, |table, pid| Step::ChangeLeader { table, pid, to: to.clone() })
    }
}

/// What to do with tablets.
#[derive(Debug, Subcommand)]
pub enum TabletCommand {
    /// Bring a dead tablet's replicas up elsewhere, and have metadata forget it (settablepartition)
    Replace {
        /// The tablet that is gone
        #[arg(value_name = "DEAD")]
        endpoint: String,
        /// Where its replicas come up; where there is most room, if nobody says
        #[arg(long, value_name = "ENDPOINT")]
        with: Option<String>,
        /// Accept the losses that a dry run has listed under this id, and no others
        #[arg(long, value_name = "ID", value_parser = super::shared::plan_id, conflicts_with = "dry_run")]
        accept_data_loss: Option<crate::run::PlanId>,
        #[command(flatten)]
        /// Room.
        room: Room,
        #[command(flatten)]
        /// How.
        how: Box<Undertaking>,
    },
    #[command(flatten)]
    /// A single step.
    Step(Box<TabletStep>),
}

/// A single step on a tablet.
#[derive(Debug, Subcommand)]
pub enum TabletStep {
    /// Take a tablet out of service: other replicas become leaders, and no client is sent to it (offlineendpoint)
    Offline {
        /// The tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        /// Even if it is running: what it leads has no leader for a moment, and writes no follower has received are
        /// lost
        #[arg(long)]
        allow_unavailable: bool,
        #[command(flatten)]
        /// How.
        working: Working,
    },
    /// Bring back everything on a tablet that was taken out of service (recoverendpoint)
    Recover {
        /// The tablet
        #[arg(value_name = "ENDPOINT")]
        endpoint: String,
        #[command(flatten)]
        /// How.
        working: Working,
    },
}

impl TabletStep {
    /// What it asks for.
    ///
    /// # Errors
    /// Something typed cannot be read.
    pub fn asked(&self) -> Result<Asked<'_>, Failure> {
        Ok(match self {
            Self::Offline { endpoint, allow_unavailable, working } => {
                let step = Step::OfflineTablet { endpoint: endpoint_of(endpoint)? };
                Asked::one(step, working).even_if(*allow_unavailable)
            }
            Self::Recover { endpoint, working } => {
                Asked::one(Step::RecoverTablet { endpoint: endpoint_of(endpoint)? }, working)
            }
        })
    }
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
    #[command(flatten)]
    /// A single step.
    Step(ReplicaStep),
}

/// A single step on a replica.
#[derive(Debug, Subcommand)]
pub enum ReplicaStep {
    /// Load a replica on its tablet, as follower (loadtable)
    Load(OneReplica),
    /// Bring back a replica that is not alive as its leader's follower (recovertable)
    Recover(OneReplica),
    /// Add a replica to a partition, with its leader's data (addreplica)
    Add(OneReplica),
    /// Remove a follower; its directory goes to the recycle bin (delreplica)
    Remove(OneReplica),
    /// Have the leader let go of a replica in another cluster (delreplica on its tablet); `recover` attaches it again
    Disconnect(OneReplica),
    /// Have a replica's tablet write a snapshot of all that it holds (makesnapshot)
    Snapshot(OneReplica),
    /// Recreate the aggregator of a pre-aggregate table on its leader, once (createaggregator)
    Aggregate(OneReplica),
    /// Replace a follower on one tablet by one on another (migrate)
    Migrate {
        /// Which partition; several as D.T/1,3,5-9
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
        /// Which partition, or several; without PID, all of the table's partitions on that tablet
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

/// A step on one replica.
#[derive(Debug, Args)]
pub struct OneReplica {
    /// Which partition; several as D.T/1,3,5-9
    #[arg(value_name = "DATABASE.TABLE/PID")]
    pub partition: String,
    /// Its tablet
    #[arg(value_name = "ENDPOINT")]
    pub endpoint: String,
    #[command(flatten)]
    /// How.
    pub working: Working,
}

impl OneReplica {
    fn asked(&self, step: impl Fn(TableName, Pid, Endpoint) -> Step) -> Result<Asked<'_>, Failure> {
        let endpoint = endpoint_of(&self.endpoint)?;
        Asked::each(&self.partition, &self.working, |table, pid| step(table, pid, endpoint.clone()))
    }
}

impl ReplicaStep {
    /// What it asks for.
    ///
    /// # Errors
    /// Something typed cannot be read.
    pub fn asked(&self) -> Result<Asked<'_>, Failure> {
        match self {
            Self::Load(one) => one.asked(|table, pid, endpoint| Step::LoadReplica { table, pid, endpoint }),
            Self::Recover(one) => {
                one.asked(|table, pid, endpoint| Step::RecoverReplica { table, pid, endpoint, led_until: None })
            }
            Self::Add(one) => one.asked(|table, pid, endpoint| Step::AddReplica { table, pid, endpoint }),
            Self::Remove(one) => one.asked(|table, pid, endpoint| Step::RemoveReplica { table, pid, endpoint }),
            Self::Disconnect(one) => one.asked(|table, pid, endpoint| Step::Disconnect { table, pid, endpoint }),
            Self::Snapshot(one) => one.asked(|table, pid, endpoint| Step::SnapshotReplica { table, pid, endpoint }),
            Self::Aggregate(one) => one.asked(|table, pid, endpoint| Step::Aggregate { table, pid, endpoint }),
            Self::Migrate { partition, from, to, working } => {
                let (from, to) = (endpoint_of(from)?, endpoint_of(to)?);
                Asked::each(partition, working, |table, pid| Step::MigrateReplica {
                    table,
                    pid,
                    from: from.clone(),
                    to: to.clone(),
                })
            }
            Self::Alive { which, endpoint, alive, allow_unavailable, working } => {
                let (endpoint, alive) = (endpoint_of(endpoint)?, *alive == YesNo::Yes);
                let mark = |table: TableName, pid| Step::MarkAlive { table, pid, endpoint: endpoint.clone(), alive };
                let asked = match which.contains('/') {
                    true => Asked::each(which, working, |table, pid| mark(table, Some(pid)))?,
                    false => Asked::one(mark(name_of(&Selector::table(which)?), None), working),
                };
                Ok(asked.even_if(*allow_unavailable))
            }
        }
    }
}
