//! Clusters in trouble, each brought about by really running a world's history in virtual time.

mod apart;
mod counts;
mod disasters;
mod history;
mod likeness;
mod moments;
mod shape;

use std::fmt;
use std::str::FromStr;

pub use likeness::{Likeness, UNKNOWN_ROWS, likeness};
pub use shape::{Generated, Shape};

use super::{Addresses, World};
use history::History;

/// Why a scenario could not be brought about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ScenarioError {
    /// No scenario of that name.
    #[error("no scenario is called {name}; there are {}", Scenario::names().join(", "))]
    Unknown {
        /// The name asked for.
        name: String,
    },
    /// Replicas of a partition live on different tablets.
    #[error("{replicas} replicas need as many tablets, there are {tablets}")]
    TooFewTablets {
        /// Tablets asked for.
        tablets: usize,
        /// Replicas asked for.
        replicas: usize,
    },
    /// The scenario needs something the shape does not have.
    #[error("{scenario} needs {needs}")]
    Unfit {
        /// The scenario's name.
        scenario: &'static str,
        /// What is missing.
        needs: &'static str,
    },
    /// The world did not get where it should: a fault of the sandbox.
    #[error("the scenario's history went wrong: {0}")]
    History(String),
}

macro_rules! scenarios {
    ($($(#[doc = $text:literal])+ $variant:ident $name:literal;)*) => {
        /// What has happened to a sandbox's cluster.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Scenario { $($(#[doc = $text])+ $variant,)* }

        impl Scenario {
            /// Every scenario.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];

            /// Its name on the command line.
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// What it is, in one line.
            pub fn description(self) -> &'static str {
                match self { $(Self::$variant => concat!($($text),+).trim_ascii(),)* }
            }
        }
    };
}

scenarios! {
    /// Nothing has happened.
    Healthy "healthy";
    /// Nameserver and tablets were killed and came back: every replica is flagged alive, no tablet holds anything.
    EverythingRestarted "everything-restarted";
    /// Half way through the documented recovery: leaders loaded and alive, followers neither.
    LeadersLoaded "leaders-loaded";
    /// Six seconds after RecoverTable was called for every follower.
    FollowersRecovering "followers-recovering";
    /// The end of the documented recovery.
    Recovered "recovered";
    /// The tablets were away for 20 s while the nameserver stayed, with auto_failover on.
    TabletsRestartedFailoverOn "tablets-restarted-nameserver-alive-failover-on";
    /// The tablets were away for 20 s while the nameserver stayed, with auto_failover off.
    TabletsRestartedFailoverOff "tablets-restarted-nameserver-alive-failover-off";
    /// A tablet died, new leaders were elected and written to, then everything was restarted.
    TwoLeaderFlags "two-leader-flags";
    /// Everything was restarted, in a cluster whose servers go by names.
    ServerNames "server-names";
    /// Everything was restarted, and the binlogs of one tablet's leaders are gone.
    LeaderLostDisk "leader-lost-disk";
    /// Everything was restarted, and the whole directories of one tablet's leaders are gone.
    LeaderLostDirectory "leader-lost-directory";
    /// Everything was restarted after a power cut: one tablet's leaders lost their last rows, their followers did not.
    LongerFollower "longer-follower";
    /// Everything was restarted, and the snapshots of one tablet's leaders are gone: a high offset and few rows.
    HollowLeader "hollow-leader";
    /// A tablet died and was failed over; then everything was restarted, and it never came back.
    TabletMissing "tablet-missing";
    /// An old leader died with 8 rows nobody received; its successor took 3 more; then everything was restarted.
    DeadOldLeaderLonger "dead-old-leader-longer";
    /// An old leader died with 3 rows nobody received; its successor took 8 more; then everything was restarted.
    DivergedTail "diverged-tail";
    /// Everything was restarted, with more tables on SSD and HDD.
    DiskTables "disk-tables";
    /// Everything was restarted, with a pre-aggregate table.
    PreAggregate "pre-aggregate";
    /// Everything was restarted while clients wrote to the leaders they know, and they still do.
    LeaderAndWriters "leader-and-writers";
    /// Two tablets more have joined a cluster that is well; they hold nothing.
    TabletsAdded "tablets-added";
    /// Everything is well, and clients never stop writing.
    ClientsWriting "clients-writing";
    /// A tablet died with auto_failover off, and has not come back.
    NodeLost "node-lost-failover-off";
    /// A tablet died with auto_failover off, and is back with nothing loaded.
    NodeBack "node-back-failover-off";
    /// Power was cut: every tablet lost rows that were not synced, some more and some fewer, and one of them the descriptions
    /// of its replicas, too.
    PowerCut "power-cut";
    /// Everything was restarted, and every tablet's disk came back empty.
    EmptiedDisks "emptied-disks";
    /// Everything was restarted after clients had deleted rows: row counts of equal replicas differ for hours.
    DeletedRows "deleted-rows";
    /// Everything was restarted after rows had expired, in tables that keep them by age, by number, by both and by either.
    ExpiredRows "expired-rows";
    /// Everything was restarted after rows of tables on disk had been overwritten, which counts them twice until they are compacted.
    DiskOverwrites "disk-overwrites";
    /// Everything was restarted after a pre-aggregate table and its base table had been led by different tablets.
    AggregateApart "aggregate-apart";
}

impl Scenario {
    /// The names of all scenarios.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|scenario| scenario.name()).collect()
    }

    /// Whether everything is loaded, alive and connected in it.
    pub fn is_well(self) -> bool {
        matches!(self, Self::Healthy | Self::Recovered | Self::TabletsAdded | Self::ClientsWriting)
    }

    /// Whether every tablet of it is there.
    pub fn is_whole(self) -> bool {
        !matches!(self, Self::TabletMissing | Self::NodeLost)
    }

    /// Tablets that join after the tables were made.
    pub fn joining(self) -> usize {
        if self == Self::TabletsAdded { 2 } else { 0 }
    }

    /// Runs the history that leads to it, from an empty cluster at `addresses`, and opens the books.
    ///
    /// # Errors
    /// A shape in which it cannot happen.
    pub fn bring_about(self, shape: &Shape, addresses: &Addresses) -> Result<World, ScenarioError> {
        shape.check()?;
        let mut history = History::begin(self, shape, addresses)?;
        self.happen(&mut history)?;
        Ok(history.end())
    }

    /// Runs what happens in this scenario in a world that is well, and opens the books. What the scenario's own cluster
    /// has beyond the usual one (names, other tables) is not added.
    ///
    /// # Errors
    /// A world in which it cannot happen.
    pub fn happen_to(self, world: World) -> Result<World, ScenarioError> {
        let mut history = History { seed: world.now(), world, scenario: self };
        history.world.nameserver_settings_mut().op_fails_for_no_reason = None;
        self.happen(&mut history)?;
        Ok(history.end())
    }

    fn happen(self, history: &mut History) -> Result<(), ScenarioError> {
        match self {
            Self::Healthy | Self::TabletsAdded => Ok(()),
            Self::ClientsWriting => history.clients_write(),
            Self::NodeLost => history.node_lost(),
            Self::NodeBack => history.node_back(),
            Self::EverythingRestarted | Self::ServerNames | Self::DiskTables | Self::PreAggregate => {
                history.restart_everything()
            }
            Self::LeadersLoaded => history.leaders_loaded(),
            Self::FollowersRecovering => history.followers_recovering(),
            Self::Recovered => history.recovered(),
            Self::TabletsRestartedFailoverOn => history.tablets_restarted(),
            Self::TabletsRestartedFailoverOff => {
                history.set_auto_failover(false)?;
                history.tablets_restarted()
            }
            Self::TwoLeaderFlags => history.two_leader_flags(),
            Self::LeaderLostDisk => history.leader_lost_disk(),
            Self::LeaderLostDirectory => history.leader_lost_directory(),
            Self::LongerFollower => history.longer_follower(),
            Self::HollowLeader => history.hollow_leader(),
            Self::TabletMissing => history.tablet_missing(),
            Self::DeadOldLeaderLonger => history.old_leader_died_with_a_tail(8, 3),
            Self::DivergedTail => history.old_leader_died_with_a_tail(3, 8),
            Self::LeaderAndWriters => history.leader_and_writers(),
            Self::PowerCut => history.power_cut(),
            Self::EmptiedDisks => history.disks_are_emptied(),
            Self::DeletedRows => history.rows_were_deleted(),
            Self::ExpiredRows => history.rows_have_expired(),
            Self::DiskOverwrites => history.rows_were_overwritten(),
            Self::AggregateApart => history.aggregates_are_led_apart(),
        }
    }
}

// Deriving it would need an attribute in the middle of the list.
#[allow(clippy::derivable_impls)]
impl Default for Scenario {
    fn default() -> Self {
        Self::EverythingRestarted
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for Scenario {
    type Err = ScenarioError;

    fn from_str(name: &str) -> Result<Self, ScenarioError> {
        let found = Self::ALL.iter().find(|scenario| scenario.name() == name);
        found.copied().ok_or_else(|| ScenarioError::Unknown { name: name.to_owned() })
    }
}

#[cfg(test)]
mod tests;
