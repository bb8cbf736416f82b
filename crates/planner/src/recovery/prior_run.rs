//! Going on after a run that did not finish: what it remembered and the cluster can no longer tell. What it remembered of
//! a tablet's memory holds only as long as that tablet has not been restarted, so that comes first.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use openmldb_model::{
    Directory, Endpoint, Offset, OpId, Partition, PartitionId, Seen, Snapshot, StorageMode, Table, TabletState, Tid,
};

use super::choice::Choice;
use super::memory::{Before, Load, Memory, ReplicaMemory};
use super::unseen::Replaceable;
use super::view::{Data, ReplicaView, View};

/// Two looks at the same moment may place it that far apart: our clock is read when a run begins, the nameserver's a little
/// later.
const CLOCKS_DIFFER: u64 = 5_000;

/// What an unfinished run knew of one partition.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PriorRun {
    /// Flags and offsets before its first change.
    pub before: Vec<Before>,
    /// What it remembered last of each replica.
    pub remembered: BTreeMap<Endpoint, PersistedMemory>,
    /// The leader it had chosen, if any.
    pub choice: Option<Choice>,
    /// Replicas whose MANIFEST named a snapshot when it began.
    pub had_snapshot: BTreeSet<Endpoint>,
    /// Since when the nameserver had thought its tablets healthy, in ms since 1970.
    pub healthy_since: BTreeMap<Endpoint, u64>,
}

/// What a later run has to know of a replica. What is missing from its text is as if nothing had been done.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct PersistedMemory {
    /// How far loading it came.
    #[serde(skip_serializing_if = "is_default")]
    pub load: Load,
    /// An earlier run was told that its tablet knows no columns of it.
    #[serde(skip_serializing_if = "is_default")]
    pub refused_before: bool,
    /// It was loaded when its tablet last answered.
    #[serde(skip_serializing_if = "is_default")]
    pub held: bool,
    /// LoadTable calls that were answered or may have worked, and may not be over.
    #[serde(skip_serializing_if = "is_default")]
    pub loads: u32,
    /// RecoverTable calls.
    #[serde(skip_serializing_if = "is_default")]
    pub recover_tries: u32,
    /// The newest operation when RecoverTable was last called.
    #[serde(skip_serializing_if = "is_default")]
    pub after_op: Option<OpId>,
    /// The last call meant to replace its data.
    #[serde(skip_serializing_if = "is_default")]
    pub resend_meant: bool,
    /// The last call was to have its data dropped, and its leader had no snapshot to send in the place of an old one of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub snapshot_may_stay: bool,
    /// Its data has to be dropped before the next RecoverTable.
    #[serde(skip_serializing_if = "is_default")]
    pub must_drop: bool,
    /// It was resent because it had fewer rows.
    #[serde(skip_serializing_if = "is_default")]
    pub resent_for_rows: bool,
    /// What a leader held that was chosen without a look at it.
    #[serde(skip_serializing_if = "is_default")]
    pub leader_held: Option<Offset>,
    /// How far it shares the log of a leader that was chosen although it holds more.
    #[serde(skip_serializing_if = "is_default")]
    pub shared_up_to: Option<Offset>,
    /// Its rows have to be compared with its leader's before it counts as back.
    #[serde(skip_serializing_if = "is_default")]
    pub doubted: bool,
    /// Comparing rows has shown that its leader lacks some of its own.
    #[serde(skip_serializing_if = "is_default")]
    pub fuller: bool,
    /// Why the nameserver may replace it all the same.
    #[serde(skip_serializing_if = "is_default")]
    pub replaceable: Option<Replaceable>,
    /// It served as leader when it was last seen loaded.
    #[serde(skip_serializing_if = "is_default")]
    pub led: bool,
    /// It was told to load with the table's columns and indexes.
    #[serde(skip_serializing_if = "is_default")]
    pub told_schema: bool,
    /// It was loaded before its base table, so that no aggregator is attached.
    #[serde(skip_serializing_if = "is_default")]
    pub unattached: bool,
    /// Its aggregator wrote to it while it was loading.
    #[serde(skip_serializing_if = "is_default")]
    pub written_while_loading: bool,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl PersistedMemory {
    /// What is worth remembering of a replica.
    pub fn of(memory: &ReplicaMemory) -> Self {
        Self {
            load: memory.load.clone(),
            refused_before: memory.refused_before,
            held: memory.held,
            loads: memory.loads.saturating_sub(memory.loads_of_the_past),
            recover_tries: memory.recovery.tries,
            after_op: memory.recovery.after_op,
            resend_meant: memory.recovery.resend_meant,
            snapshot_may_stay: memory.recovery.snapshot_may_stay,
            must_drop: memory.recovery.must_drop,
            resent_for_rows: memory.recovery.resent_for_rows,
            leader_held: memory.leader_held,
            shared_up_to: memory.shared_up_to,
            doubted: memory.doubted,
            fuller: memory.fuller,
            replaceable: memory.replaceable,
            led: memory.led,
            told_schema: memory.told_schema,
            unattached: memory.unattached,
            written_while_loading: memory.written_while_loading,
        }
    }

    /// Whether its tablet had it registered. A disk table is not before its load begins
    /// (docs/openmldb/load-table.md#what-a-load-looks-like).
    fn was_there(&self, is_disk: bool) -> bool {
        self.held || self.load == Load::Seen || self.load == Load::Accepted && !is_disk
    }
}

/// What is known of a tablet's process since the earlier run last heard of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum ProcessSince {
    /// The same process: it still holds something that the earlier run saw it hold, and has not registered anew since: auto
    /// failover loads a restarted tablet again.
    Same,
    /// Another process: nothing is left of what it held, which no failed load does to several replicas, or to a loaded one.
    Restarted,
    /// Nobody can tell.
    Unknown,
}

/// What became of the tablets since an unfinished run last heard of them.
#[derive(Debug, Clone, Default)]
pub struct ProcessContinuity {
    tablets: BTreeMap<Endpoint, ProcessSince>,
}

impl ProcessContinuity {
    /// Compares what the earlier run remembered with what the tablets hold now.
    pub fn of(snapshot: &Snapshot, earlier: &BTreeMap<PartitionId, PriorRun>) -> Self {
        let disk_tables: BTreeSet<Tid> =
            snapshot.tables.iter().filter(|table| table.storage.is_disk()).map(|table| table.tid).collect();
        let mut recorded: BTreeMap<&Endpoint, Vec<(PartitionId, &PersistedMemory)>> = BTreeMap::new();
        for (id, partition) in earlier {
            let is_disk = disk_tables.contains(&id.tid);
            for (endpoint, remembered) in partition.remembered.iter().filter(|(_, then)| then.was_there(is_disk)) {
                recorded.entry(endpoint).or_default().push((*id, remembered));
            }
        }
        let since = |endpoint: &Endpoint, recorded: &[(PartitionId, &PersistedMemory)]| {
            let Some(Seen::Known(held)) = snapshot.tablets.get(endpoint).map(|tablet| &tablet.held) else {
                return ProcessSince::Unknown;
            };
            if recorded.iter().any(|(id, _)| held.contains_key(id)) {
                let of_it = recorded.iter().filter_map(|(id, _)| earlier.get(id));
                let same = of_it.into_iter().any(|earlier| earlier.is_of_this_process(snapshot, endpoint));
                return if same { ProcessSince::Same } else { ProcessSince::Unknown };
            }
            // What the nameserver was told to replace, or is replacing, may have been dropped for that.
            let by_itself =
                recorded.iter().filter(|(id, then)| then.load != Load::HandedOver && !is_replaced(snapshot, *id));
            let (gone, loaded) = by_itself.fold((0, false), |(gone, any), (_, then)| (gone + 1, any || then.held));
            if gone > 1 || loaded { ProcessSince::Restarted } else { ProcessSince::Unknown }
        };
        let tablets = recorded.iter().map(|(endpoint, recorded)| ((*endpoint).clone(), since(endpoint, recorded)));
        Self { tablets: tablets.collect() }
    }

    fn since(&self, endpoint: &Endpoint) -> ProcessSince {
        self.tablets.get(endpoint).copied().unwrap_or(ProcessSince::Unknown)
    }
}

/// Whether an operation of the nameserver replaces a replica of a partition.
fn is_replaced(snapshot: &Snapshot, id: PartitionId) -> bool {
    let Some(table) = snapshot.tables.iter().find(|table| table.tid == id.tid) else { return false };
    snapshot.ops.iter().any(|op| op.replaces() && op.pid == id.pid && op.table == table.name)
}

/// Since when the nameserver has thought a tablet healthy, in ms since 1970.
pub fn healthy_since(snapshot: &Snapshot, endpoint: &Endpoint) -> Option<u64> {
    let tablet = snapshot.tablets.get(endpoint).filter(|tablet| tablet.state == Some(TabletState::Healthy))?;
    snapshot.taken_at_ms.checked_sub(tablet.unchanged_ms?)
}

impl PriorRun {
    /// Whether the nameserver has thought that tablet healthy ever since what it remembers was so.
    fn is_of_this_process(&self, snapshot: &Snapshot, endpoint: &Endpoint) -> bool {
        let now = healthy_since(snapshot, endpoint);
        self.healthy_since.get(endpoint).is_some_and(|then| now.is_some_and(|now| now.abs_diff(*then) <= CLOCKS_DIFFER))
    }

    /// What is left of it once the partition is back: whether its tablets still are the same processes.
    pub fn settle(&mut self) {
        let held = std::mem::take(&mut self.remembered).into_iter().filter(|(_, remembered)| remembered.held);
        let remembered =
            held.map(|(endpoint, _)| (endpoint, PersistedMemory { held: true, ..PersistedMemory::default() }));
        *self = Self { remembered: remembered.collect(), ..Self::default() };
    }
}

impl Memory {
    /// Takes over what an unfinished run knew. The choice of a leader is taken over only while that leader serves, and
    /// proves nothing any more about the others: they are judged anew.
    pub fn resume_from(
        &mut self,
        snapshot: &Snapshot,
        table: &Table,
        partition: &Partition,
        earlier: &PriorRun,
        tablets: &ProcessContinuity,
    ) {
        let view = View::of(snapshot, table, partition, self);
        let leader = view.serving_leader().map(|leader| leader.endpoint.clone());
        for replica in &view.replicas {
            let Some(remembered) = earlier.remembered.get(&replica.endpoint) else { continue };
            let since = match tablets.since(&replica.endpoint) {
                // Another run may have come between: what this one knew may be of an older process.
                ProcessSince::Same if !earlier.is_of_this_process(snapshot, &replica.endpoint) => ProcessSince::Unknown,
                since => since,
            };
            let now = Now {
                storage: view.storage,
                replica,
                since,
                served: leader.is_some(),
                worked_on: !view.ops_in_flight.is_empty(),
                had_snapshot: earlier.had_snapshot.contains(&replica.endpoint),
            };
            let memory = self.replica_mut(&replica.endpoint);
            memory.load = now.load(remembered);
            memory.refused_before = remembered.refused_before || remembered.load.lacks_columns();
            memory.told_schema = remembered.told_schema && since != ProcessSince::Restarted;
            memory.unattached = remembered.unattached && since == ProcessSince::Same;
            memory.written_while_loading = remembered.written_while_loading && since != ProcessSince::Restarted;
            memory.leader_held = remembered.leader_held;
            memory.shared_up_to = remembered.shared_up_to;
            memory.doubted = remembered.doubted;
            memory.fuller = remembered.fuller;
            memory.replaceable = remembered.replaceable;
            memory.led = remembered.led;
            memory.loads = u32::from(memory.load != Load::NotSent && remembered.loads > 0);
            if since != ProcessSince::Restarted {
                memory.recovery.tries = remembered.recover_tries.min(1);
                memory.recovery.after_op = remembered.after_op;
                memory.recovery.resend_meant = remembered.resend_meant;
                memory.recovery.snapshot_may_stay = remembered.snapshot_may_stay;
                memory.recovery.must_drop = remembered.must_drop;
                memory.recovery.resent_for_rows = remembered.resent_for_rows;
            }
        }
        let choice = earlier.choice.as_ref().filter(|choice| leader.as_ref() == Some(&choice.leader));
        self.chosen_under = choice.and_then(|_| view.terms.last()).map(|start| start.term);
        let unproven =
            |choice: &Choice| Choice { proven: Vec::new(), doubted: Vec::new(), unread: Vec::new(), ..choice.clone() };
        self.choice = choice.map(|choice| unproven(choice).into());
    }

    /// Whether an earlier run had begun to bring a replica back: then looking healthy is not enough, its end is checked.
    pub fn was_bringing_back(&self) -> bool {
        let is_unfinished =
            |replica: &ReplicaMemory| replica.recovery.tries > 0 || replica.recovery.must_drop || replica.doubted;
        self.replicas.values().any(|replica| is_unfinished(replica))
    }

    /// An unfinished run was here, and nobody on this host knows what it sent. A disk table that is not there may be
    /// loading unseen, so it must not be told again. If leaders may have served before their followers were looked at, what
    /// those hold may be beside what their leader wrote since, from the first entry on.
    pub fn resume_without_record(
        &mut self,
        snapshot: &Snapshot,
        table: &Table,
        partition: &Partition,
        served_early: bool,
    ) {
        let view = View::of(snapshot, table, partition, self);
        for replica in view.replicas.iter().filter(|r| served_early && !r.is_leader && !r.is_alive) {
            self.replica_mut(&replica.endpoint).leader_held = Some(Offset(0));
        }
        // A LoadTable leaves a description where nothing was.
        let was_told = |r: &ReplicaView| r.data == Data::Absent && r.directory != Seen::Known(Directory::Missing);
        for replica in view.replicas.iter().filter(|r| view.storage.is_disk() && was_told(r)) {
            // What has nothing to load has nothing to lose by being told twice.
            let is_bare = replica.directory == Seen::Known(Directory::Bare);
            self.replica_mut(&replica.endpoint).load = if is_bare { Load::InDoubt } else { Load::Interrupted };
        }
        // Its loads may be what the nameserver's numbers are from.
        self.replicas.values_mut().for_each(|replica| replica.polled = None);
    }
}

/// A replica as it is found after an unfinished run.
struct Now<'a> {
    storage: StorageMode,
    replica: &'a ReplicaView,
    since: ProcessSince,
    served: bool,
    worked_on: bool,
    had_snapshot: bool,
}

impl Now<'_> {
    /// How far loading it is to be taken for. One that is not there and was told to load is told again only if its tablet
    /// has been restarted, or its directory is still in place.
    fn load(&self, remembered: &PersistedMemory) -> Load {
        let load = &remembered.load;
        match (&self.replica.data, load) {
            (Data::Absent, _) => {}
            // It was brought back, and may have been written to since: should it be gone later, it is not empty.
            (Data::Loaded(_), Load::HandedOver) if !self.worked_on && self.served => return Load::Loaded,
            // Once it answers, nobody else will have brought it back, and what it has is its own.
            (Data::OutOfReach(_), Load::HandedOver) if !self.worked_on && !self.served => return Load::NotSent,
            _ => return load.clone(),
        }
        match load {
            // A refusal is an answer about then; what is asked again is refused again, or was put right.
            Load::Loaded | Load::Refused(_) => Load::NotSent,
            // Without a leader, and once its operation is over, nobody else brings it back.
            Load::HandedOver if self.worked_on && self.since == ProcessSince::Same => Load::HandedOver,
            // Its own that nobody came to drop, or its leader's: loading shows which.
            Load::HandedOver if self.has_snapshot() => Load::NotSent,
            Load::HandedOver if self.served => Load::HandedOver,
            Load::HandedOver => Load::NotSent,
            Load::NeverAppeared if self.since == ProcessSince::Restarted => Load::NotSent,
            Load::Vanished if self.has_snapshot() => Load::NotSent,
            // What was asked now says more than what was remembered.
            Load::Vanished if matches!(self.directory(), Some(Directory::InPlace | Directory::Undescribed)) => {
                Load::NotSent
            }
            Load::Vanished | Load::NeverAppeared if self.directory() == Some(Directory::Missing) => Load::NotSent,
            Load::NeverAppeared if self.directory() == Some(Directory::Bare) => load.clone(),
            Load::Vanished | Load::NeverAppeared if self.served || self.since == ProcessSince::Same => load.clone(),
            // Whether something was put back in its place meanwhile is unknown.
            Load::Vanished | Load::NeverAppeared => Load::Interrupted,
            Load::NotSent if remembered.loads == 0 => Load::NotSent,
            Load::NotSent | Load::Accepted | Load::Seen | Load::Interrupted | Load::InDoubt => self.told_to_load(load),
        }
    }

    fn directory(&self) -> Option<Directory> {
        self.replica.directory.known().copied()
    }

    fn told_to_load(&self, load: &Load) -> Load {
        if self.since == ProcessSince::Restarted {
            return Load::NotSent;
        }
        // Whether that load hangs or not, it has nothing to load.
        if self.storage.is_disk() && self.directory() == Some(Directory::Bare) {
            return Load::NeverAppeared;
        }
        if self.storage.is_disk() {
            return match load {
                Load::Seen if self.since == ProcessSince::Same => Load::Vanished,
                Load::InDoubt => Load::InDoubt,
                _ => Load::Interrupted,
            };
        }
        let in_doubt = *load == Load::NotSent;
        if self.has_snapshot() {
            return Load::NotSent;
        }
        // A failed load takes the directory away (docs/openmldb/load-table.md#a-failed-load-takes-the-directory-away),
        // and the snapshot in it. No answer is no snapshot gone.
        if self.had_snapshot && matches!(self.replica.manifest, Seen::Known(_)) {
            return Load::Vanished;
        }
        // What an earlier run itself took for perhaps gone may have been asked of an older process still.
        match self.since {
            _ if in_doubt => Load::NotSent,
            ProcessSince::Same if *load != Load::Interrupted => Load::Vanished,
            ProcessSince::Same | ProcessSince::Unknown | ProcessSince::Restarted => Load::Interrupted,
        }
    }

    /// Whether its directory is in place, as far as it can be told: by a snapshot in it.
    fn has_snapshot(&self) -> bool {
        self.replica.manifest_offset() > Offset(0)
    }
}
