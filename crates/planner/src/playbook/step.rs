//! The steps and their parameters. Every step is a condition to make true: where it is true already, nothing is sent.

use std::time::Duration;

use super::word::words;

words! {
    /// Which replicas of a partition a step is about.
    Which {
        /// Every replica.
        All = "all",
        /// The one that was picked.
        Leader = "leader",
        /// Every replica but the one that was picked.
        Followers = "followers",
        /// Those with a leader flag, before a leader is picked.
        LeaderFlagged = "leader_flagged",
        /// Followers that the leader replicates to and that have caught up with it.
        Connected = "connected",
    }
}

words! {
    /// What becomes of auto_failover.
    AutoFailover {
        /// Switched off.
        Off = "off",
        /// Put back to what it was before the run.
        Restore = "restore",
    }
}

words! {
    /// What happens to operations that are still running when [`ClusterStep::SettleOps`] has waited long enough.
    SettleThen {
        /// CancelOP.
        Cancel = "cancel",
        /// They are left alone, and no partition is touched.
        Block = "block",
    }
}

words! {
    /// Which tablets a step is about.
    WhichTablets {
        /// Those that do not answer and that the nameserver takes for offline, while others hold something loaded.
        Lost = "lost",
        /// Those that metadata names and that do not answer.
        Missing = "missing",
    }
}

words! {
    /// The role in which a replica is loaded. There is no `leader`: one that is queued to load as leader takes writes
    /// before its data is there and ruins it (docs/openmldb/load-table.md#writes-before-it-is-loaded).
    LoadMode {
        /// As a follower, always.
        Follower = "follower",
    }
}

words! {
    /// What [`PartitionStep::PollTableStatus`] waits for.
    Loaded {
        /// kTableNormal, or one of the states a loaded replica may be in beside it.
        Normal = "normal",
    }
}

words! {
    /// How the term of a replica's last entry is found out.
    ProveBy {
        /// MakeSnapshot at the replica's own offset, after which GetManifest names the term
        /// (docs/openmldb/logs-and-terms.md#the-term-of-a-replicas-last-entry).
        MakeSnapshot = "make_snapshot",
    }
}

words! {
    /// What makes a replica the longest.
    LeaderBy {
        /// The offsets after loading; waits until every replica is loaded or known to have no data.
        MaxOffset = "max_offset",
        /// As above, but a replica that is not loaded counts with its evidence (the nameserver's last offset, MANIFEST).
        Evidence = "evidence",
    }
}

words! {
    /// Which replica leads where several carry a leader flag.
    OnConflict {
        /// The one elected last, as far as terms are known; else the one with the larger offset.
        LastElected = "last_elected",
        /// The one with the larger offset, as the documented procedure has it.
        MaxOffset = "max_offset",
        /// None: the partition is left to a person.
        Block = "block",
    }
}

words! {
    /// Whether a follower that is longer than every leader-flagged replica may become leader.
    Promote {
        /// Where it is proven that it holds all that the leader-flagged one holds.
        WhenProven = "when_proven",
        /// Never: such a partition is blocked.
        Never = "never",
    }
}

words! {
    /// Whom a leader replicates to from the moment it becomes one.
    Connect {
        /// The followers whose log is proven to be the beginning of the leader's.
        ProvenPrefixes = "proven_prefixes",
        /// Nobody; RecoverTable connects them.
        Nobody = "nobody",
    }
}

words! {
    /// How far a partition has to come.
    Goal {
        /// Every replica loaded, alive, in its role, connected and caught up.
        Redundant = "redundant",
    }
}

/// How long a partition waits for its turn where a playbook does not say: long enough for everything that is well to serve
/// first on most clusters, short enough that what is sick holds up nobody.
pub const TURN: Duration = Duration::from_secs(3 * 60);

/// Up to how many rows replicas are compared where a playbook does not say: tablets tell about a million small rows a second.
pub const COMPARE_ROWS_UP_TO: u64 = 10_000_000;

/// A step on the whole cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClusterStep {
    /// ConfSet of auto_failover.
    AutoFailover(AutoFailover),
    /// Operations of the nameserver that are queued or running come to an end.
    SettleOps {
        /// How long to wait for them.
        timeout: Duration,
        /// What to do with those that are left.
        then: SettleThen,
    },
    /// RecoverSnapshot on leaders that an operation left in kSnapshotPaused.
    ResumeSnapshots,
    /// OfflineEndpoint: others lead what these tablets led.
    OfflineTablets {
        /// Which; only `lost`.
        which: WhichTablets,
    },
    /// The run does not end before these tablets are back, or the time since its start is over; everything else
    /// continues meanwhile.
    WaitForTablets {
        /// `missing`: where something has to be done, or a partition is down because of it; `lost`: always.
        which: WhichTablets,
        /// How long from the run's start.
        timeout: Duration,
    },
}

/// A step of one partition.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PartitionStep {
    /// UpdateTableAliveStatus. Holds for `all, no` as soon as the partition serves.
    MarkAlive {
        /// `all` with no; `leader` or `connected` with yes.
        replicas: Which,
        /// The flag's value.
        alive: bool,
    },
    /// LoadTable.
    LoadTable {
        /// `all`, `leader_flagged`, or (once the leader is alive) `followers`.
        replicas: Which,
        /// Segments per index, 1 to 1024; the documented procedure has 8.
        seg_cnt: u32,
        /// The role to load in.
        mode: LoadMode,
        /// How long tables that come first (system tables, the base of a pre-aggregate table) are waited for.
        turn: Duration,
    },
    /// GetTableStatus, until what was loaded before is there.
    PollTableStatus {
        /// The state to wait for.
        until: Loaded,
        /// Between two polls of a tablet.
        every: Duration,
        /// How long to wait in all.
        timeout: Duration,
    },
    /// The last terms of loaded, uncontacted replicas are found out, where they are needed and unknown.
    ProveTerms {
        /// How.
        by: ProveBy,
        /// Replicas with more entries than this are not asked: it rewrites their whole snapshot.
        up_to_entries: u64,
    },
    /// The leader is chosen; nothing is sent unless a follower is promoted.
    PickLeader {
        /// From which replicas; only `leader_flagged`.
        among: Which,
        /// What makes one the longest.
        by: LeaderBy,
        /// What decides between several leader flags.
        on_conflict: OnConflict,
        /// Whether a longer follower may lead.
        promote: Promote,
        /// Replicas that hold more rows than this are not compared row by row: their counts decide.
        compare_rows_up_to: u64,
    },
    /// ChangeRole, or ChangeLeader for a promoted follower: the chosen replica leads.
    ChangeRole {
        /// Which; only `leader`.
        replica: Which,
        /// Whom it replicates to at once.
        connect: Connect,
    },
    /// RecoverTable, for replicas that are not alive.
    RecoverTable {
        /// Which; only `followers`.
        replicas: Which,
        /// How long the leaders of other partitions are waited for.
        turn: Duration,
    },
    /// The partition reaches a state; the next look at the cluster says whether it did.
    WaitUntil {
        /// The state.
        state: Goal,
        /// How long to wait.
        timeout: Duration,
    },
}

impl ClusterStep {
    /// The step's key in a playbook.
    pub fn key(&self) -> &'static str {
        match self {
            Self::AutoFailover(_) => "auto_failover",
            Self::SettleOps { .. } => "settle_ops",
            Self::ResumeSnapshots => "resume_snapshots",
            Self::OfflineTablets { .. } => "offline_tablets",
            Self::WaitForTablets { .. } => "wait_for_tablets",
        }
    }
}

impl PartitionStep {
    /// The step's key in a playbook.
    pub fn key(&self) -> &'static str {
        match self {
            Self::MarkAlive { .. } => "mark_alive",
            Self::LoadTable { .. } => "load_table",
            Self::PollTableStatus { .. } => "poll_table_status",
            Self::ProveTerms { .. } => "prove_terms",
            Self::PickLeader { .. } => "pick_leader",
            Self::ChangeRole { .. } => "change_role",
            Self::RecoverTable { .. } => "recover_table",
            Self::WaitUntil { .. } => "wait_until",
        }
    }
}
