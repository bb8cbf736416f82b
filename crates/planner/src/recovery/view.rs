//! One partition as recovery sees it: metadata, what the tablets hold, and what only this run can remember.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use openmldb_model::{
    Aggregator, Directory, Endpoint, Followers, Held, Manifest, Offset, Op, Partition, PartitionId, Role, Seen,
    Snapshot, State, StorageMode, Table, TableName, Tablet, TabletState, TermPair, TermStart, counted,
};

use super::base::Base;
use super::memory::{Load, Memory, ReplicaMemory};
use super::shared::Shared;

/// Everything that decides what happens to one partition. Plain data; `predict` edits a copy of it.
#[derive(Debug, Clone, PartialEq)]
pub struct View {
    /// Database and table.
    pub table: TableName,
    /// Table and partition number.
    pub partition: PartitionId,
    /// Where its rows live.
    pub storage: StorageMode,
    /// Whether rows may expire, so that equal logs may hold different row counts.
    pub has_ttl: bool,
    /// The partition that it aggregates; none unless it is of a pre-aggregate table.
    pub base: Option<Base>,
    /// When each term began, oldest first.
    pub terms: Vec<TermStart>,
    /// Its replicas, in the nameserver's order.
    pub replicas: Vec<ReplicaView>,
    /// Operations on it that are queued or running.
    pub ops_in_flight: Vec<Op>,
    /// Operations on it that have ended, as long as the nameserver lists them.
    pub ops_ended: Vec<Op>,
    /// What this run remembers of it.
    pub memory: Memory,
}

/// One replica of the partition.
#[derive(Debug, Clone, PartialEq)]
pub struct ReplicaView {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The address its name stands for, where that is not the name itself.
    pub address: Option<String>,
    /// Its leader flag.
    pub is_leader: bool,
    /// Its alive flag, now.
    pub is_alive: bool,
    /// The nameserver's opinion of its tablet; none if it does not list it.
    pub tablet_state: Option<TabletState>,
    /// Whether its tablet came up within the last minute, as far as the nameserver says.
    pub is_new: bool,
    /// What its tablet holds.
    pub data: Data,
    /// Its newest snapshot on disk.
    pub manifest: Seen<Manifest>,
    /// Its term.
    pub term_pair: Seen<TermPair>,
    /// Whether its directory is in place; asked of disk tables before they are loaded.
    pub directory: Seen<Directory>,
    /// Whom it replicates to; asked of leaders only.
    pub followers: Seen<Followers>,
    /// Whether its tablet aggregates into it as it is loaded; asked of pre-aggregate tables only.
    pub aggregator: Seen<Aggregator>,
    /// Whether its tablet makes a snapshot, of whatever partition: it makes one at a time. Known where one of it is waited for.
    pub tablet_makes_snapshot: bool,
    /// What this run remembers of it.
    pub memory: Shared<ReplicaMemory>,
}

/// What a replica's tablet holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// Its tablet does not answer.
    OutOfReach(String),
    /// Its tablet answers and does not hold it.
    Absent,
    /// Queued or loading.
    Loading(State),
    /// Loaded.
    Loaded(Loaded),
}

/// A loaded replica.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Loaded {
    /// Its role in memory.
    pub role: Role,
    /// kTableNormal, kMakingSnapshot or kSnapshotPaused.
    pub state: State,
    /// The end of its log: proof, where the rest is evidence. None only in a prediction, which cannot know it.
    pub offset: Option<Offset>,
    /// Its rows.
    pub rows: u64,
}

impl View {
    /// The view of one partition of a snapshot.
    pub fn of(snapshot: &Snapshot, table: &Table, partition: &Partition, memory: &Memory) -> Self {
        let mine = |op: &&Op| op.pid == partition.pid && op.table == table.name;
        let base = Base::of(snapshot, table, partition);
        Self { base, ..Self::with_ops(&snapshot.tablets, table, partition, memory, snapshot.ops.iter().filter(mine)) }
    }

    /// The same where somebody keeps the operations of each partition apart; without what it aggregates.
    pub fn with_ops<'a>(
        tablets: &BTreeMap<Endpoint, Tablet>,
        table: &Table,
        partition: &Partition,
        memory: &Memory,
        ops: impl Iterator<Item = &'a Op>,
    ) -> Self {
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        let nowhere = Tablet::unknown();
        let replicas = partition.replicas.iter().map(|replica| {
            let tablet = tablets.get(&replica.endpoint).unwrap_or(&nowhere);
            let probes = tablet.probes(id);
            let remembered = memory.replica(&replica.endpoint);
            // It is looked for in all that the tablet holds, so only where it is waited for: not of what serves or follows.
            let is_awaited = remembered.snapshot_asked && (memory.choice.is_none() || !replica.is_alive);
            ReplicaView {
                endpoint: replica.endpoint.clone(),
                address: tablet.real_endpoint.clone(),
                is_leader: replica.is_leader,
                is_alive: replica.is_alive,
                tablet_state: tablet.state,
                is_new: tablet.came_up_lately(),
                data: Data::of(&tablet.held, id).once_believed(&remembered, table.base_table.is_some()),
                manifest: probes.manifest.clone(),
                term_pair: probes.term_pair.clone(),
                directory: probes.directory.clone(),
                followers: probes.followers.clone(),
                aggregator: probes.aggregator.clone(),
                tablet_makes_snapshot: is_awaited && makes_snapshot(tablet),
                memory: remembered,
            }
        });
        let (in_flight, ended) = ops.cloned().partition(|op| op.status.is_in_flight());
        Self {
            table: table.name.clone(),
            partition: id,
            storage: table.storage,
            has_ttl: table.has_ttl,
            base: None,
            terms: partition.terms.clone(),
            replicas: replicas.collect(),
            ops_in_flight: in_flight,
            ops_ended: ended,
            memory: memory.clone(),
        }
    }

    /// Who will lead the partition that it aggregates, if nobody does yet.
    pub(super) fn expect_base_led_by(&mut self, table: &Table, leader: impl Fn(PartitionId) -> Option<Endpoint>) {
        if let (Some(base), Some(tid)) = (&mut self.base, table.base_table) {
            base.leader = base.leader.take().or_else(|| leader(PartitionId { tid, pid: self.partition.pid }));
        }
    }

    /// The replica on an endpoint.
    pub fn replica(&self, endpoint: &Endpoint) -> Option<&ReplicaView> {
        self.replicas.iter().find(|replica| replica.endpoint == *endpoint)
    }

    /// The same, to edit a prediction.
    pub fn replica_mut(&mut self, endpoint: &Endpoint) -> Option<&mut ReplicaView> {
        self.replicas.iter_mut().find(|replica| replica.endpoint == *endpoint)
    }

    /// Its name, as it is typed: `shop.orders/0`.
    pub fn name(&self) -> String {
        format!("{}/{}", self.table, self.partition.pid)
    }

    /// The leader that serves: the only alive one among the leader-flagged, loaded, and leader in memory too.
    pub fn serving_leader(&self) -> Option<&ReplicaView> {
        let mut alive_leaders = self.replicas.iter().filter(|replica| replica.is_leader && replica.is_alive);
        let leader = alive_leaders.next()?;
        let alone = alive_leaders.next().is_none();
        (alone && leader.loaded().is_some_and(|data| data.role == Role::Leader)).then_some(leader)
    }

    /// Where the replica's directory goes when it is dropped.
    pub fn recycled_as(&self) -> String {
        format!("{}_<time> in the tablet's recycle bin", self.partition)
    }
}

fn makes_snapshot(tablet: &Tablet) -> bool {
    tablet.held.known().is_some_and(|held| held.values().any(|held| held.state == State::MakingSnapshot))
}

impl ReplicaView {
    /// Where its server is.
    pub fn address(&self) -> &str {
        self.address.as_deref().unwrap_or(self.endpoint.as_str())
    }

    /// What is loaded, if anything is.
    pub fn loaded(&self) -> Option<&Loaded> {
        match &self.data {
            Data::Loaded(loaded) => Some(loaded),
            Data::OutOfReach(_) | Data::Absent | Data::Loading(_) => None,
        }
    }

    /// Its proven offset.
    pub fn offset(&self) -> Option<Offset> {
        self.loaded().and_then(|loaded| loaded.offset)
    }

    /// Its proven rows; 0 if not loaded.
    pub fn rows(&self) -> u64 {
        self.loaded().map_or(0, |loaded| loaded.rows)
    }

    /// What it holds, in words: `12 rows at offset 30`.
    pub fn rows_at(&self) -> String {
        format!("{} at offset {}", counted(self.rows(), "row"), self.offset().unwrap_or(Offset(0)))
    }

    /// The tablet's error, if it does not answer.
    pub fn out_of_reach(&self) -> Option<&str> {
        match &self.data {
            Data::OutOfReach(error) => Some(error),
            Data::Absent | Data::Loading(_) | Data::Loaded(_) => None,
        }
    }

    /// The offset of its newest snapshot; 0 without one, or if nobody knows.
    pub fn manifest_offset(&self) -> Offset {
        self.manifest.known().map_or(Offset(0), |manifest| manifest.offset)
    }

    /// The largest offset ever known of it: proven, nameserver's last, or MANIFEST's.
    pub fn largest_known_offset(&self) -> Offset {
        self.offset().unwrap_or(Offset(0)).max(self.manifest_offset()).max(self.memory.largest_offset)
    }

    /// Whether it leads in memory and is known to be connected to a follower.
    pub fn replicates_to(&self, follower: &Endpoint) -> bool {
        let followers = self.followers.known().filter(|_| self.leads_in_memory());
        followers.is_some_and(|known| known.followers.iter().any(|(endpoint, _)| endpoint == follower))
    }

    /// Whether it is known to be connected to a replica that takes what it writes: one that leads itself holds what it wrote, too.
    pub fn is_followed_by(&self, replica: &ReplicaView) -> bool {
        !replica.leads_in_memory() && self.replicates_to(&replica.endpoint)
    }

    /// How many entries of its log it counts no row of: deletes, rows that are gone since, or what it has lost.
    pub fn entries_without_row(&self) -> u64 {
        self.offset().map_or(0, |offset| offset.0.saturating_sub(self.rows()))
    }

    /// Whether it is loaded with role leader.
    pub fn leads_in_memory(&self) -> bool {
        self.loaded().is_some_and(|loaded| loaded.role == Role::Leader)
    }

    /// Whether it may be serving although its tablet does not answer us: flagged leader and alive, and the nameserver hears
    /// from its tablet.
    pub fn may_be_serving(&self) -> bool {
        let heard_of = self.tablet_state == Some(TabletState::Healthy);
        self.is_leader && self.is_alive && heard_of && self.out_of_reach().is_some()
    }

    /// Whether its flag cannot be changed: the nameserver does not know its tablet, and answers 302.
    pub fn flag_is_stuck(&self) -> bool {
        self.memory.flag_stuck || self.tablet_state.is_none()
    }

    /// Whether nothing usable is in place: its tablet answers, does not hold it, and loading it was refused, never showed or made
    /// it vanish, and nothing of it is there, or it has no directory.
    pub fn has_no_data(&self) -> bool {
        let is_gone = match self.memory.load {
            Load::NeverAppeared => matches!(self.directory, Seen::Known(Directory::Missing | Directory::Bare)),
            Load::Refused(_) => match self.directory {
                Seen::Known(Directory::Missing) => true,
                Seen::Known(Directory::Bare) => self.memory.load.lacks_columns(),
                _ => false,
            },
            Load::Vanished => matches!(self.directory, Seen::Known(Directory::Missing | Directory::Bare)),
            // Whether that load goes on or not, it has nothing to load.
            Load::Interrupted => self.directory == Seen::Known(Directory::Bare),
            _ => self.has_no_directory(),
        };
        self.data == Data::Absent && is_gone
    }

    /// Whether there is nothing to be loaded: neither a description nor a snapshot, or what a load that was refused has left.
    /// Asked before the first LoadTable: that makes a directory where there is none
    /// (docs/openmldb/load-table.md#no-directory).
    pub fn has_no_directory(&self) -> bool {
        let no_snapshot = self.manifest.known().is_some_and(|manifest| manifest.offset == Offset(0));
        let nothing = match self.directory {
            Seen::Known(Directory::Missing) => true,
            Seen::Known(Directory::Bare) => self.memory.refused_before,
            _ => false,
        };
        self.memory.load == Load::NotSent && nothing && no_snapshot
    }

    /// Whether it has a binlog or a snapshot, and its tablet cannot tell what table they are of.
    pub fn is_undescribed(&self) -> bool {
        let for_want_of_columns = match (&self.memory.load, &self.directory) {
            (Load::NotSent, Seen::Known(Directory::Undescribed)) => true,
            (load, Seen::Known(Directory::InPlace | Directory::Undescribed)) => load.lacks_columns(),
            _ => false,
        };
        self.data == Data::Absent && for_want_of_columns && !self.memory.told_schema
    }

    /// Whether it vanished while it was loaded, and its directory may be where it was: a load that fails takes it away
    /// (docs/openmldb/load-table.md#a-failed-load-takes-the-directory-away), a restart that nobody saw does not.
    pub fn vanished_in_place(&self) -> bool {
        self.data == Data::Absent && self.memory.load == Load::Vanished && !self.has_no_data()
    }

    /// Whether LoadTable was refused although something of it may be there.
    pub fn was_refused_in_place(&self) -> bool {
        self.data == Data::Absent && matches!(self.memory.load, Load::Refused(_)) && !self.has_no_data()
    }
}

/// So many looks in a row show what is no more than an instant of a load.
const LASTING: u32 = 3;

/// What its tablet has, as it reads after its endpoint.
impl fmt::Display for Data {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfReach(error) => write!(f, "does not answer ({error})"),
            Self::Absent => f.write_str("has not loaded it"),
            Self::Loading(State::Queued) => f.write_str("has it queued to load"),
            Self::Loading(_) => f.write_str("is still loading it"),
            Self::Loaded(loaded) => write!(f, "has it loaded as {}", loaded.role),
        }
    }
}

impl Data {
    /// A replica that shows itself empty where a load of ours may just have ended counts as still loading until a second look;
    /// with rows it cannot be empty, so for as long as it shows both. Into one of a pre-aggregate table its aggregator writes while it is
    /// loaded: what it shows then changes once more as the load ends, and may well be rows and no entry.
    fn once_believed(self, memory: &ReplicaMemory, is_aggregate: bool) -> Self {
        let Self::Loaded(Loaded { role: Role::Follower, offset: Some(offset), rows, .. }) = self else { return self };
        let not_ours = matches!(memory.load, Load::NotSent | Load::Loaded | Load::HandedOver);
        let lasts = memory.odd_looks >= LASTING;
        let is_doubted = match (offset, rows) {
            (Offset(0), 0) if !is_aggregate => !not_ours && memory.odd_looks == 1,
            (Offset(0), 1..) => !is_aggregate || !lasts,
            _ => is_aggregate && !not_ours && !lasts,
        };
        if is_doubted { Self::Loading(State::Loading) } else { self }
    }

    fn of(held: &Seen<BTreeMap<PartitionId, Held>>, partition: PartitionId) -> Self {
        let held = match held {
            Seen::Unasked => return Self::OutOfReach("no tablet is known there".to_owned()),
            Seen::Failed(error) => return Self::OutOfReach(error.clone()),
            Seen::Known(held) => held,
        };
        match held.get(&partition) {
            None => Self::Absent,
            Some(held) if held.state.is_loaded() => Self::Loaded(Loaded {
                role: held.role,
                state: held.state,
                offset: Some(held.offset),
                rows: held.record_cnt,
            }),
            Some(held) => Self::Loading(held.state),
        }
    }
}

/// The endpoints of some replicas, for a sentence.
pub(super) fn list<'a>(endpoints: impl IntoIterator<Item = &'a Endpoint>) -> String {
    let names: BTreeSet<&str> = endpoints.into_iter().map(Endpoint::as_str).collect();
    names.into_iter().collect::<Vec<_>>().join(", ")
}
