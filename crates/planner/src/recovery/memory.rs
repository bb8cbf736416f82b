//! What a run has to remember, because the cluster forgets it: flags before they were cleared, loads already sent, whom
//! we chose and why, what has been tried.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use openmldb_model::{
    Endpoint, Manifest, Offset, OpId, Partition, PartitionId, Snapshot, StorageMode, Table, Term, TermPair,
};

use super::choice::{Choice, PromotionMethod};
use super::decision::WaitFor;
use super::loss::Loss;
use super::rows::RowsSeen;
use super::shared::{ByEndpoint, Shared};
use super::unseen::Replaceable;
use super::view::Data;

/// A run's memory of one partition.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Memory {
    /// By replica.
    pub replicas: ByEndpoint<Shared<ReplicaMemory>>,
    /// The leader chosen, once the choice was acted on.
    pub choice: Option<Shared<Choice>>,
    /// Where the log ended when one was chosen; of several choices of this run, the least.
    pub led_from: Option<Offset>,
    /// The partition's last term when it was chosen, or, where ChangeLeader makes it leader, when it first served: a later one is
    /// somebody else's election.
    pub chosen_under: Option<Term>,
    /// How many terms the partition had when it was last looked at; 0 if it was not.
    pub terms: usize,
    /// Waits whose deadline has passed, with what was last seen.
    pub expired: BTreeMap<WaitFor, String>,
    /// Tries of the step that changes the leader.
    pub leader_tries: u32,
    /// Why the last try failed.
    pub leader_error: Option<String>,
    /// Losses that were accepted.
    pub accepted: Vec<Loss>,
    /// The leader that somebody has named.
    pub named_leader: Option<Endpoint>,
    /// The leader that the plan that is applied says: nobody else may be chosen.
    pub planned_leader: Option<Endpoint>,
    /// What comparing rows has shown.
    pub rows: Option<RowsSeen>,
    /// Its cluster follows another one: the terms in its logs are that one's, and those in metadata its own.
    pub follows: bool,
    /// No leader may lead before all its replicas were looked at: nobody on another host would know that they were not.
    pub load_all_first: bool,
    /// Its history of terms is from a backup: elections since may be missing in it.
    pub terms_in_doubt: bool,
}

/// A run's memory of one replica.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicaMemory {
    /// Its alive flag before our first change; where another leader was elected since, its flag then.
    pub alive_before: bool,
    /// Its alive flag as the first of our runs under this history found it: a later one may find what that one has set.
    pub found_alive: bool,
    /// The largest offset ever known of it; 0 if none.
    pub largest_offset: Offset,
    /// The nameserver's number for its offset before anybody loaded it: none if there is none, or if it may be from a load.
    pub polled: Option<Offset>,
    /// Where its newest snapshot ended before our first change; 0 without one.
    pub snapshot_before: Offset,
    /// Its MANIFEST named a snapshot file that was not there before loading
    /// (docs/openmldb/tablet.md#what-can-be-known-before-loading): what it loads lacks rows.
    pub snapshot_file_missing: bool,
    /// How far loading it has come.
    pub load: Load,
    /// It was loaded when its tablet last answered.
    pub held: bool,
    /// An earlier run was told that its tablet knows no columns of it.
    pub refused_before: bool,
    /// It was told to load with the table's columns and indexes: its description is whole again, and whatever was in its
    /// directory is loaded.
    pub told_schema: bool,
    /// It has `aggr_info.txt`, and was loaded by us while its base table's partition was not registered on its tablet: no aggregator was
    /// attached all the same (docs/openmldb/load-table.md#pre-aggregate-tables).
    pub unattached: bool,
    /// Its aggregator wrote to it while it was loading, as it was seen before it led.
    pub written_while_loading: bool,
    /// CreateAggregator was sent, or could not be: it is not sent again.
    pub aggregator_asked: bool,
    /// LoadTable calls that were answered or may have worked.
    pub loads: u32,
    /// Those of them that are over: loaded, or asked of a process of its tablet that is no more.
    pub loads_of_the_past: u32,
    /// The nameserver does not know its endpoint (302): its flag cannot be changed.
    pub flag_stuck: bool,
    /// Tries of MakeSnapshot on it.
    pub snapshot_tries: u32,
    /// MakeSnapshot was accepted: its tablet makes one snapshot at a time, so its turn may take a while to come.
    pub snapshot_asked: bool,
    /// Nobody had looked at it when a leader was chosen, which then held that much, and may have taken writes since: what
    /// both hold beyond was written twice. None once it has been looked at and holds no more.
    pub leader_held: Option<Offset>,
    /// How far it shares its leader's log: when that one was chosen what it holds beyond was given up, and other entries were written in
    /// its place since, perhaps in the same term. None once it holds no more, or gets its leader's data.
    pub shared_up_to: Option<Offset>,
    /// Its rows have to be compared with its leader's before it counts as back: counts spoke against one of the two when that one was
    /// chosen, or said nothing, or its leader lacked rows that it may have deleted.
    pub doubted: bool,
    /// Comparing rows has shown that its leader lacks some of its own, and nothing since that it holds them.
    pub fuller: bool,
    /// Why the nameserver may replace it all the same.
    pub replaceable: Option<Replaceable>,
    /// It served as leader when it was last seen loaded: it may have taken writes since.
    pub led: bool,
    /// Where it stayed while it was watched and its leader was further, before the run began.
    pub stalled_at: Option<Offset>,
    /// How bringing it back as a follower goes.
    pub recovery: Recovery,
    /// Calls about it that were refused in a row.
    pub refusals: u32,
    /// Looks in a row that showed it loaded, and empty, or with more rows than entries, or where a load of ours was not believed to have
    /// ended yet. A replica is kTableNormal for an instant before its offset is set
    /// (docs/openmldb/load-table.md#what-a-load-looks-like), so one such look is not believed.
    pub odd_looks: u32,
    /// Why the last thing tried on it failed.
    pub last_error: Option<String>,
}

/// How far we are with loading a replica. LoadTable is never sent twice to one that may still be at it
/// (docs/design/loading.md#never-twice).
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Load {
    /// Not sent by us.
    #[default]
    NotSent,
    /// Accepted, not seen in its tablet's status yet.
    Accepted,
    /// Seen queued or loading.
    Seen,
    /// Seen loaded. Data that was loaded does not vanish by itself: if it is gone, its tablet was restarted.
    Loaded,
    /// Accepted for a disk table, which loads unseen, by a tablet that then did not answer for a while, or perhaps accepted,
    /// since the answer was lost: it may still be loading, so it must not be loaded twice
    /// (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice), or never appear, so its data is not known to be
    /// gone.
    Interrupted,
    /// A run ended before it heard whether a disk table was told: told again only once it has not appeared although its
    /// tablet loads nothing else.
    InDoubt,
    /// Refused: nothing in place (131), in the tablet's words.
    Refused(String),
    /// Accepted, and gone again: its directory is in the recycle bin, or its tablet was restarted.
    Vanished,
    /// Accepted for a disk table that has not shown in time: its directory is as it was, or half prepared.
    NeverAppeared,
    /// RecoverTable or DropTable was sent: the nameserver loads it from here on.
    HandedOver,
}

/// What LoadTable of a memory table says (131) where `table_meta.txt` has no columns. Sent along to one that has, they would be
/// there twice (docs/openmldb/load-table.md#checks-in-this-order).
const NO_COLUMNS: &str = "fail to init table";

impl Load {
    /// Whether it was refused because the tablet knows no columns of the table.
    pub(super) fn lacks_columns(&self) -> bool {
        matches!(self, Self::Refused(error) if error.contains(NO_COLUMNS))
    }
}

/// How bringing a follower back goes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Recovery {
    /// RecoverTable calls so far.
    pub tries: u32,
    /// The newest operation when RecoverTable was last called: later ones are its doing.
    pub after_op: Option<OpId>,
    /// The last call meant to replace its data, so connecting it as it was would be an error.
    pub resend_meant: bool,
    /// The last call was to have its data dropped, and its leader had no snapshot: one of its own would stay in place if its tablet
    /// restarted before the operation began, and its leader's log be put on top of that
    /// (docs/openmldb/operations.md#what-each-operation-does).
    pub snapshot_may_stay: bool,
    /// Its data must be dropped before the next RecoverTable: it was connected although a resend was meant, or has
    /// fewer rows than its leader.
    pub must_drop: bool,
    /// The leader's offset when waiting for it to catch up began.
    pub catch_up_to: Option<Offset>,
    /// DropTable was accepted and the replica is still there.
    pub dropping: bool,
    /// DropTable was accepted by the process that its tablet is now: its directory goes away by itself, later than the replica.
    pub dropped: bool,
    /// It was dropped and resent because it had fewer rows, or took nothing from its leader; once is enough.
    pub resent_for_rows: bool,
    /// The wait for it to catch up ended because it did not move, and not because it took long.
    pub stood_still: bool,
}

/// Flags and offsets of a replica before any change of ours, as a run's record keeps them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Before {
    /// Which partition.
    pub partition: PartitionId,
    /// Which replica.
    pub endpoint: Endpoint,
    /// Its alive flag.
    pub alive: bool,
    /// The largest offset known of it.
    pub largest_offset: Offset,
    /// The same as the first of our runs under this history found it; false where an older release wrote the record.
    #[serde(default)]
    pub found_alive: bool,
    /// How many terms the partition had; a different number now makes the flags worthless.
    pub terms: usize,
    /// Whether its MANIFEST named a snapshot file that was not there: once it is loaded nobody can tell any more.
    #[serde(default)]
    pub snapshot_file_missing: bool,
}

impl Memory {
    /// The memory at the start of a run. `earlier` is what the record of an unfinished run on this host says.
    pub fn at_start(snapshot: &Snapshot, table: &Table, partition: &Partition, earlier: &[Before]) -> Self {
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        let replicas = partition.replicas.iter().map(|replica| {
            let tablet = snapshot.tablets.get(&replica.endpoint);
            let probes = tablet.map(|tablet| tablet.probes(id));
            let manifest = probes.and_then(|probes| probes.manifest.known());
            let term_pair = probes.and_then(|probes| probes.term_pair.known());
            let before = earlier.iter().find(|before| before.partition == id && before.endpoint == replica.endpoint);
            // What a replica that is not loaded once held may still be in its directory, whoever has led since.
            let is_held = tablet.and_then(|tablet| tablet.held.known()).is_some_and(|held| held.contains_key(&id));
            let once = before.filter(|before| !is_held || before.terms == partition.terms.len());
            let before = before.filter(|before| before.terms == partition.terms.len());
            let largest = [replica.offset, once.map(|before| before.largest_offset)];
            // The nameserver has asked no tablet that it does not list; and what is loading counts as 0.
            let is_listed = tablet.is_some_and(|tablet| tablet.state.is_some());
            let is_asked_for_the_first_time = earlier.is_empty() && is_listed && !is_held;
            let mut memory = ReplicaMemory {
                alive_before: replica.is_alive || before.is_some_and(|before| before.alive),
                found_alive: before.map_or(replica.is_alive, |before| before.found_alive),
                largest_offset: largest.into_iter().flatten().max().unwrap_or(Offset(0)),
                polled: replica.offset.filter(|_| is_asked_for_the_first_time),
                stalled_at: probes.and_then(|probes| probes.stalled_at),
                snapshot_file_missing: before.is_some_and(|before| before.snapshot_file_missing),
                ..ReplicaMemory::new()
            };
            memory.note_evidence(manifest, term_pair);
            (replica.endpoint.clone(), Shared::from(memory))
        });
        Self {
            replicas: replicas.collect(),
            terms: partition.terms.len(),
            follows: snapshot.zone.follows(),
            ..Self::default()
        }
    }

    /// How many looks in a row showed what may be an instant of a load.
    pub fn odd_looks(&self, endpoint: &Endpoint) -> u32 {
        self.replicas.get(endpoint).map_or(0, |replica| replica.odd_looks)
    }

    /// What is remembered of a replica.
    pub fn replica(&self, endpoint: &Endpoint) -> Shared<ReplicaMemory> {
        self.replicas.get(endpoint).cloned().unwrap_or_default()
    }

    /// The same, to be written.
    pub fn replica_mut(&mut self, endpoint: &Endpoint) -> &mut ReplicaMemory {
        self.replicas.get_or_insert_with(endpoint, Shared::default)
    }

    /// Notes something of a replica. What it changes nothing of stays shared with whoever else remembers it.
    pub fn note(&mut self, endpoint: &Endpoint, note: impl FnOnce(&mut ReplicaMemory)) {
        let known = self.replicas.get_or_insert_with(endpoint, Shared::default);
        let mut now = ReplicaMemory::clone(known);
        note(&mut now);
        if now != **known {
            *known = now.into();
        }
    }

    /// Notes the leader that was chosen, under which last term, and whom nobody had looked at.
    pub fn choose(&mut self, choice: impl Into<Shared<Choice>>, last: Option<Term>) {
        let choice = choice.into();
        self.led_from = [self.led_from, choice.offset].into_iter().flatten().min();
        self.chosen_under = last.filter(|_| choice.way == PromotionMethod::ChangeRole);
        for endpoint in &choice.out_of_reach {
            let unseen = self.replica_mut(endpoint);
            // A leader that has come back with less since then holds no more of it than that.
            let held = [unseen.leader_held, choice.offset].into_iter().flatten().min();
            unseen.leader_held = held;
            let no_longer = choice.seen_no_longer.contains(endpoint).then_some(Replaceable::SeenNoLonger);
            let released = unseen.replaceable.filter(|why| *why != Replaceable::SeenNoLonger);
            unseen.replaceable = released.or(no_longer);
        }
        for given in &choice.given_up {
            let replica = self.replica_mut(&given.endpoint);
            replica.shared_up_to = [replica.shared_up_to, choice.offset].into_iter().flatten().min();
        }
        for endpoint in choice.doubted.iter().chain(&choice.unread) {
            self.replica_mut(endpoint).doubted = true;
        }
        self.choice = Some(choice);
    }

    /// What a later run has to know of the partition.
    pub fn before(&self, partition: PartitionId, terms: usize) -> impl Iterator<Item = Before> + '_ {
        self.replicas.iter().map(move |(endpoint, memory)| Before {
            partition,
            endpoint: endpoint.clone(),
            alive: memory.alive_before,
            found_alive: memory.found_alive,
            largest_offset: memory.largest_offset,
            terms,
            snapshot_file_missing: memory.snapshot_file_missing,
        })
    }

    /// What a replica was seen to hold is no longer what it holds.
    pub(super) fn forget_rows(&mut self, endpoint: &Endpoint) {
        self.rows.iter_mut().for_each(|seen| seen.forget(endpoint));
    }

    /// Notes that a tablet answers that was away: what was given up because of it is tried again. An operation that did not end
    /// in time is not waited for again as long as it is the same, nor are other partitions.
    pub fn note_return(&mut self, endpoint: &Endpoint) {
        self.expired.retain(|wait, _| match wait {
            WaitFor::Loading | WaitFor::SlowLoad | WaitFor::UpForAMinute | WaitFor::Flags => false,
            other => other.endpoint() != Some(endpoint),
        });
        self.leader_tries = 0;
        let replica = self.replica_mut(endpoint);
        (replica.refusals, replica.last_error) = (0, None);
        replica.recovery.tries = replica.recovery.tries.min(1);
        replica.flag_stuck = false;
        // Somebody has said that it is gone, and here it is.
        replica.replaceable = replica.replaceable.filter(|why| *why != Replaceable::SaidGone);
    }

    /// Notes that the nameserver has come to take a tablet for healthy: it no longer answers that it does not know it (302), or
    /// that it is not healthy (303).
    pub fn note_registered(&mut self, endpoint: &Endpoint) {
        self.expired.remove(&WaitFor::Registered(endpoint.clone()));
        let replica = self.replica_mut(endpoint);
        (replica.refusals, replica.last_error) = (0, None);
        replica.flag_stuck = false;
    }

    /// Whether a wait's deadline has passed.
    pub fn has_expired(&self, wait: &WaitFor) -> bool {
        self.expired.contains_key(wait)
    }
}

impl ReplicaMemory {
    /// Nothing known yet.
    pub fn new() -> Self {
        Self {
            alive_before: false,
            found_alive: false,
            largest_offset: Offset(0),
            polled: None,
            snapshot_before: Offset(0),
            snapshot_file_missing: false,
            load: Load::NotSent,
            held: false,
            refused_before: false,
            told_schema: false,
            unattached: false,
            written_while_loading: false,
            aggregator_asked: false,
            loads: 0,
            loads_of_the_past: 0,
            flag_stuck: false,
            snapshot_tries: 0,
            snapshot_asked: false,
            leader_held: None,
            shared_up_to: None,
            doubted: false,
            fuller: false,
            replaceable: None,
            led: false,
            stalled_at: None,
            recovery: Recovery::default(),
            refusals: 0,
            odd_looks: 0,
            last_error: None,
        }
    }

    /// Notes what its tablet's disk shows of it before it is loaded; afterwards nobody can tell.
    pub fn note_evidence(&mut self, manifest: Option<&Manifest>, term_pair: Option<&TermPair>) {
        // What was told to be replaced is its leader's, as far as it is there.
        if self.load == Load::HandedOver {
            return;
        }
        let offset = manifest.map_or(Offset(0), |manifest| manifest.offset);
        self.largest_offset = self.largest_offset.max(offset);
        if self.load == Load::NotSent {
            self.snapshot_before = offset;
        }
        self.snapshot_file_missing |=
            offset > Offset(0) && term_pair.is_some_and(|pair| !pair.has_table && pair.offset == Offset(0));
    }

    /// A refusal is an answer about then: whoever has another disk is asked again.
    pub fn forget_refusal(&mut self) {
        if matches!(self.load, Load::Refused(_)) {
            self.load = Load::NotSent;
        }
        self.told_schema = false;
    }

    /// Notes that its tablet has been restarted, and whatever it was loading is gone: it may be asked once more. That it
    /// did not answer for a while is no proof of that; a disk table told twice to load destroys itself
    /// (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice).
    pub fn note_restart(&mut self) {
        self.forget_refusal();
        match self.load {
            Load::NotSent | Load::Refused(_) | Load::Vanished | Load::HandedOver => {}
            Load::Accepted | Load::Seen | Load::Loaded | Load::Interrupted | Load::InDoubt | Load::NeverAppeared => {
                self.load = Load::NotSent
            }
        }
        self.loads_of_the_past = self.loads;
        self.snapshot_asked = false;
        self.recovery.dropped = false;
    }

    /// Notes what a look at the tablet, begun after the last change, showed of the replica.
    pub fn note_held(&mut self, storage: StorageMode, data: &Data) {
        if self.load == Load::Loaded && !matches!(data, Data::Loaded(_) | Data::Loading(_)) {
            // That load is over, whether the tablet is dead or slow; if the data is gone once it answers, it was restarted.
            self.loads_of_the_past = self.loads;
        }
        self.load = match (&self.load, data) {
            (Load::HandedOver, _) => Load::HandedOver,
            (Load::Accepted, Data::OutOfReach(_)) if storage.is_disk() => Load::Interrupted,
            // The tablet is gone, and with it whatever it was loading: once back, it may be asked again. If it was only
            // slow, a memory table answers 101.
            (Load::Accepted | Load::Seen | Load::Loaded, Data::OutOfReach(_)) => Load::NotSent,
            (Load::Accepted, Data::Absent) if storage.is_disk() => Load::Accepted,
            (Load::Accepted | Load::Seen, Data::Absent) => Load::Vanished,
            (Load::Loaded, Data::Absent) => Load::NotSent,
            (_, Data::Loading(_)) => Load::Seen,
            (_, Data::Loaded(_)) => Load::Loaded,
            (unchanged, _) => unchanged.clone(),
        };
        if self.load == Load::NotSent {
            self.snapshot_asked = false;
        }
        match data {
            Data::Loaded(_) => self.held = true,
            Data::Absent | Data::Loading(_) => self.held = false,
            Data::OutOfReach(_) => {}
        }
        if *data == Data::Absent {
            self.recovery.dropping = false;
        }
        if let Data::Loaded(loaded) = data {
            self.largest_offset = self.largest_offset.max(loaded.offset.unwrap_or(Offset(0)));
        }
    }
}

impl Default for ReplicaMemory {
    fn default() -> Self {
        Self::new()
    }
}
