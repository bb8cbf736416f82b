//! What a verification finds, and what all of it comes to.

use serde::Serialize;

use openmldb_model::{Endpoint, Pid, TableName};

/// Everything found, in a word and one by one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Verification {
    /// In a word.
    pub verdict: Standing,
    /// One by one, in the order of tables; what concerns no partition comes last.
    pub findings: Vec<Finding>,
}

/// How what was meant stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// Everything is as it should be.
    Complete,
    /// Something goes on by itself, and nothing else is wrong.
    NotFinished,
    /// Something is wrong and will not mend itself.
    NotFullySucceeded,
    /// Nothing wrong is seen, but somebody did not answer.
    Undetermined,
}

/// What a finding means for the verdict.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Persistence {
    /// It ends by itself.
    GoesOn,
    /// It stays as it is.
    Stays,
    /// It cannot be known.
    Unknown,
    /// It is worth knowing, and nobody can mend it by bringing replicas back: the verdict does not depend on it.
    Remark,
}

/// Something that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// What kind, a stable code.
    pub kind: FindingKind,
    /// The table; null if it concerns none.
    pub table: Option<TableName>,
    /// The partition.
    pub pid: Option<Pid>,
    /// The replica's tablet, or the tablet; null for an operation.
    pub endpoint: Option<Endpoint>,
    /// Whether it ends by itself.
    #[serde(skip)]
    pub nature: Persistence,
    /// What was seen.
    pub text: String,
    /// What to do.
    pub hint: String,
}

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $variant:ident = $code:literal,)*) => {
        /// The kinds of findings.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
        pub enum FindingKind { $($(#[doc = $doc])+ #[serde(rename = $code)] $variant,)* }

        impl FindingKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The code.
            pub fn code(self) -> &'static str {
                match self { $(Self::$variant => $code,)* }
            }

            /// What it says, of whatever it is found.
            pub fn means(self) -> &'static str {
                match self { $(Self::$variant => concat!($($doc),+).trim_start(),)* }
            }
        }
    };
}

kinds! {
    /// A tablet does not answer, or not this question.
    NoAnswer = "no_answer",
    /// A replica is not flagged alive.
    NotAlive = "not_alive",
    /// A replica is not loaded.
    NotLoaded = "not_loaded",
    /// A replica is loading.
    Loading = "loading",
    /// A replica's role in memory does not match its flag.
    WrongRole = "wrong_role",
    /// A partition has a second leader.
    SecondLeader = "second_leader",
    /// A leader does not replicate to a replica.
    NotConnected = "not_connected",
    /// A follower accepts nothing from its leader, which replicates to it: it has heard of a later term, or does not
    /// move.
    Stuck = "stuck",
    /// No leader serves, though nothing else is wrong.
    NoLeader = "no_leader",
    /// A follower has not reached the offset that its leader had one look earlier.
    Behind = "behind",
    /// A follower is further than its leader, which then sends it nothing of what it lacks.
    Ahead = "ahead",
    /// A replica has fewer rows, in all or in an index, than another one at the same offset.
    FewerRows = "fewer_rows",
    /// A pre-aggregate table's partition and its base table's partition are led by different tablets.
    LedApart = "led_apart",
    /// A replica of a pre-aggregate table was written to by its aggregator while it was loading: its log does not match
    /// its rows.
    WrittenWhileLoading = "written_while_loading",
    /// The leader of a base table's partition does not aggregate it. A remark: the verdict does not depend on it; its
    /// hint names `replica aggregate`.
    NotAggregated = "not_aggregated",
    /// A partition has fewer, or more, replicas than its table was made with. A remark: the verdict does not depend on it.
    ReplicaCount = "replica_count",
    /// A pre-aggregate table's partition is made of more of its base table's log than there is: every Put to the base
    /// table is kept, and answered with "update aggr failed".
    AggregateAhead = "aggregate_ahead",
    /// A leader does not replicate to a replica that another cluster has of its partition. A remark: the verdict does not depend
    /// on it.
    RemoteDetached = "remote_detached",
    /// A replica's snapshots are paused, and no operation is in progress that would resume them.
    SnapshotPaused = "snapshot_paused",
    /// An operation kept data that should have been replaced.
    DataNotReplaced = "data_not_replaced",
    /// An operation is queued or running.
    OpRunning = "op_running",
    /// A tablet is registered in ZooKeeper, and offline or unknown to the nameserver.
    TabletOffline = "tablet_offline",
    /// A tablet's registration is gone, but the nameserver considers it healthy.
    RegistrationGone = "registration_gone",
}

impl FindingKind {
    /// What to do about it.
    pub fn hint(self) -> &'static str {
        match self {
            Self::NoAnswer => "see whether the tablet runs; once it answers, run `openmldb-ops status --deep`",
            Self::NotAlive
            | Self::NotLoaded
            | Self::NotConnected
            | Self::Stuck
            | Self::NoLeader
            | Self::SecondLeader => "run `openmldb-ops recover --all`; with --dry-run it says what it would do",
            Self::WrongRole => "run `openmldb-ops recover --all --dry-run`, and read what it would do",
            Self::Loading | Self::OpRunning => "wait for it, then run `openmldb-ops status --deep`",
            Self::Behind => "wait; if its offset stands still, run `openmldb-ops recover --all`",
            Self::Ahead | Self::FewerRows => {
                "`openmldb-ops replica diff D.T/PID` shows how they differ: look at that first; nothing was discarded"
            }
            Self::LedApart => "run `openmldb-ops recover --all`, which makes its base table's leader lead it",
            Self::WrittenWhileLoading => {
                "run `openmldb-ops recover --all`: it replaces a follower by its leader's data, and says what to do about a leader"
            }
            Self::NotAggregated => "`openmldb-ops leader handover` moves the base table's leader back to that tablet",
            Self::ReplicaCount => "`openmldb-ops scale repair` adds what is lacking, and takes away what is too much",
            Self::AggregateAhead => {
                "drop the deployment (which drops the pre-aggregate table) and deploy it anew; until then clients that repeat a Put put the row twice"
            }
            Self::RemoteDetached => {
                "run `openmldb-ops recover --all`: it attaches what may be attached, and says why of what may not"
            }
            Self::SnapshotPaused => "run `openmldb-ops recover --all`, which lets it make snapshots again",
            Self::DataNotReplaced => "run `openmldb-ops recover --all` again",
            Self::TabletOffline => {
                "restart the leading nameserver, so that another one leads: a registration it missed stays missed"
            }
            Self::RegistrationGone => "restart the tablet, so that it registers again",
        }
    }
}

impl Verification {
    /// What the findings come to.
    pub fn of(findings: Vec<Finding>) -> Self {
        let any = |nature| findings.iter().any(|finding| finding.nature == nature);
        let verdict = if any(Persistence::Stays) {
            Standing::NotFullySucceeded
        } else if any(Persistence::Unknown) {
            Standing::Undetermined
        } else if any(Persistence::GoesOn) {
            Standing::NotFinished
        } else {
            Standing::Complete
        };
        Self { verdict, findings }
    }

    /// Whether another look found the same, whatever the figures in its texts: while clients write, these never stand still.
    pub fn is_the_same(&self, other: &Self) -> bool {
        let keys = |all: &Self| {
            let key = |one: &Finding| (one.kind, one.table.clone(), one.pid, one.endpoint.clone(), one.nature);
            all.findings.iter().map(key).collect::<Vec<_>>()
        };
        self.verdict == other.verdict && keys(self) == keys(other)
    }

    /// Whether everything is as it should be.
    pub fn is_complete(&self) -> bool {
        self.verdict == Standing::Complete
    }
}
