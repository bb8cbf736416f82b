//! A world in the likeness of a cluster that was observed, after everything in it went down and came back: its tablets, its
//! tables with their numbers, flags and terms, and logs as long as they are known to be.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::history::History;
use super::{Scenario, ScenarioError};
use crate::nameserver::{Placement, TableSpec};
use crate::tablet::{self, Entry, Files, RowId, Schema};
use crate::world::Settings;
use crate::{Addresses, World};
use openmldb_model::{Endpoint, Partition, PartitionId, Replica, Role, Seen, Snapshot, StorageMode, Table};
use openmldb_wire::common::StorageMode as WireStorage;
use openmldb_wire::nameserver::{PartitionMeta, TablePartition, TermPair};

/// Entries of a replica where no replica of its partition tells how many it has.
pub const UNKNOWN_ROWS: u64 = 10_000;

/// Entries that a world holds in all. What has more is made smaller, and everything that takes its time by the entry takes
/// as much longer.
const MOST_ENTRIES: u64 = 3_000_000;

/// A world, and what it was made from.
#[derive(Debug, Clone)]
pub struct Likeness {
    /// The world.
    pub world: World,
    /// Entries on disk, by tablet and partition, of tablets that came back.
    pub entries: BTreeMap<Endpoint, BTreeMap<PartitionId, u64>>,
    /// How many entries of the cluster one entry of the world stands for.
    pub scale: u64,
    /// Speeds and flags, as long as they are after scaling.
    pub settings: Settings,
    /// Replicas whose length nobody knew.
    pub guessed: usize,
    /// Tablets that did not answer when the snapshot was taken: they stay away.
    pub missing: Vec<Endpoint>,
}

/// Makes such a world. Nothing is loaded in it, as after a full restart, whatever was when the snapshot was taken.
///
/// # Errors
/// The snapshot has no tablet that answers, or the world does not come up.
pub fn likeness(snapshot: &Snapshot, settings: Settings) -> Result<Likeness, ScenarioError> {
    let silent = |tablet: &openmldb_model::Tablet| matches!(tablet.held, Seen::Failed(_));
    let missing: Vec<Endpoint> =
        snapshot.tablets.iter().filter(|(_, tablet)| silent(tablet)).map(|(at, _)| at.clone()).collect();
    if missing.len() == snapshot.tablets.len() {
        return Err(ScenarioError::Unfit { scenario: "rehearsal", needs: "a snapshot with a tablet that answers" });
    }
    let (lengths, guessed) = lengths(snapshot);
    let total: u64 = lengths.values().flat_map(BTreeMap::values).sum();
    let scale = total.div_ceil(MOST_ENTRIES).max(1);
    let settings = scaled(settings, scale, snapshot.auto_failover);
    let addresses = Addresses {
        nameservers: vec!["nameserver-1:6527".into(), "nameserver-2:6527".into()],
        tablets: snapshot.tablets.keys().cloned().collect(),
    };
    let (seed, world) = (settings.seed, World::new(settings.clone(), &addresses));
    let mut history = History { world, scenario: Scenario::EverythingRestarted, seed };
    history.world.start_everything();
    history.until("a nameserver leads", |world| world.leader().is_some())?;
    let mut entries: BTreeMap<Endpoint, BTreeMap<PartitionId, u64>> = BTreeMap::new();
    let mut next_row = 1;
    for table in &snapshot.tables {
        restore(&mut history.world, snapshot, table, &Scaled { lengths: &lengths, scale }, &mut next_row, &mut entries);
    }
    entries.retain(|endpoint, _| !missing.contains(endpoint));
    history.restart_everything_but(&missing, |_| {})?;
    Ok(Likeness { world: history.end(), entries, scale, settings, guessed, missing })
}

/// Lengths in entries of the cluster, and how many of them one of the world stands for.
struct Scaled<'a> {
    lengths: &'a BTreeMap<PartitionId, BTreeMap<Endpoint, u64>>,
    scale: u64,
}

impl Scaled<'_> {
    fn of(&self, entries: u64) -> u64 {
        entries.div_ceil(self.scale)
    }
}

/// How long each replica's log is: as loaded, else the largest that anybody knew of it; else as long as the longest of its
/// partition. And how many are guesses.
fn lengths(snapshot: &Snapshot) -> (BTreeMap<PartitionId, BTreeMap<Endpoint, u64>>, usize) {
    let (mut lengths, mut guessed) = (BTreeMap::new(), 0);
    for (table, partition) in partitions(snapshot) {
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        let known: Vec<(&Endpoint, Option<u64>)> =
            partition.replicas.iter().map(|replica| (&replica.endpoint, length(snapshot, id, replica))).collect();
        let longest = known.iter().filter_map(|(_, length)| *length).max().unwrap_or(UNKNOWN_ROWS);
        guessed += known.iter().filter(|(_, length)| length.is_none()).count();
        let of_each = known.into_iter().map(|(endpoint, length)| (endpoint.clone(), length.unwrap_or(longest)));
        lengths.insert(id, of_each.collect());
    }
    (lengths, guessed)
}

fn partitions(snapshot: &Snapshot) -> impl Iterator<Item = (&Table, &Partition)> {
    snapshot.tables.iter().flat_map(|table| table.partitions.iter().map(move |partition| (table, partition)))
}

fn length(snapshot: &Snapshot, id: PartitionId, replica: &Replica) -> Option<u64> {
    let tablet = snapshot.tablets.get(&replica.endpoint);
    let held = tablet.and_then(|tablet| tablet.held.known()?.get(&id)).filter(|held| held.state.is_loaded());
    if let Some(held) = held {
        return Some(held.offset.0);
    }
    let probes = tablet.map(|tablet| tablet.probes(id));
    let manifest = probes.and_then(|probes| Some(probes.manifest.known()?.offset.0));
    let known = [replica.offset.map(|offset| offset.0), manifest];
    known.into_iter().flatten().max().filter(|length| *length > 0)
}

/// The same with everything that takes its time by the entry slowed down.
fn scaled(mut settings: Settings, scale: u64, auto_failover: bool) -> Settings {
    let tablet = &mut settings.tablet;
    tablet.load_ns_per_entry *= scale;
    tablet.snapshot_ns_per_entry *= scale;
    tablet.send_ns_per_entry *= scale;
    tablet.sync_batch = (tablet.sync_batch as u64 / scale).max(1) as usize;
    tablet.make_snapshot_threshold_offset /= scale;
    settings.nameserver.auto_failover = auto_failover;
    settings
}

fn restore(
    world: &mut World,
    snapshot: &Snapshot,
    table: &Table,
    scaled: &Scaled<'_>,
    next_row: &mut u64,
    entries: &mut BTreeMap<Endpoint, BTreeMap<PartitionId, u64>>,
) {
    let wire_storage = match table.storage {
        StorageMode::Memory => WireStorage::KMemory,
        StorageMode::Ssd => WireStorage::KSsd,
        StorageMode::Hdd => WireStorage::KHdd,
    };
    let placement = table.partitions.iter().map(|partition| {
        let endpoints: Vec<&str> = partition.replicas.iter().map(|replica| replica.endpoint.as_str()).collect();
        Placement::at(&endpoints)
    });
    let mut spec = TableSpec::sql(&table.name.db, &table.name.table, wire_storage, placement.collect());
    spec.base_table_tid = table.base_table.map(|tid| tid.0);
    if table.has_ttl {
        let ttl = spec.keys.iter_mut().filter_map(|key| key.ttl.as_mut());
        ttl.for_each(|ttl| ttl.abs_ttl = Some(1_440));
    }
    let base_table_tid = spec.base_table_tid.unwrap_or(0);
    let schema = Schema { base_table_tid, ..Schema::new(&table.name.db, &table.name.table, table.storage) };
    let schema = Arc::new(schema);
    for partition in &table.partitions {
        let id = PartitionId { tid: table.tid, pid: partition.pid };
        let described = tablet::TableSpec { tid: table.tid.0, pid: partition.pid.0, schema: schema.clone() };
        let mut longest = 0;
        for replica in &partition.replicas {
            let length = scaled.lengths.get(&id).and_then(|lengths| lengths.get(&replica.endpoint));
            let length = scaled.of(length.copied().unwrap_or(0));
            longest = longest.max(length);
            let files = files(snapshot, id, partition, replica, length, scaled, *next_row);
            let role = if replica.is_leader { Role::Leader } else { Role::Follower };
            entries.entry(replica.endpoint.clone()).or_default().insert(id, files.log.len() as u64);
            world.tablets_mut().restore_directory(replica.endpoint.as_str(), &described, role, files);
        }
        // An entry, and one that its term's successor gave up, at every index.
        *next_row += 2 * (longest + 1);
    }
    world.restore_table(table.tid.0, &spec, table.partitions.iter().map(|found| metadata(found, scaled)).collect());
}

/// A replica's directory. Every replica has the same entries as far as it goes, but for one whose MANIFEST names an older
/// term than its last entry would have: what it holds from there on was given up.
fn files(
    snapshot: &Snapshot,
    id: PartitionId,
    partition: &Partition,
    replica: &Replica,
    length: u64,
    scaled: &Scaled<'_>,
    first_row: u64,
) -> Files {
    let tablet = snapshot.tablets.get(&replica.endpoint);
    let probes = tablet.map(|tablet| tablet.probes(id));
    let manifest = probes.and_then(|probes| probes.manifest.known()).filter(|manifest| manifest.offset.0 > 0);
    let held = tablet.and_then(|tablet| tablet.held.known()?.get(&id));
    let is_whole = |offset: u64| scaled.of(offset) >= length;
    let last_term = manifest.filter(|manifest| is_whole(manifest.offset.0)).and_then(|manifest| manifest.term);
    let official = |index: u64| {
        let begun = partition.terms.iter().filter(|term| scaled.of(term.start.0) <= index);
        begun.map(|term| term.term.0).max().unwrap_or(1)
    };
    let entry = |index: u64| {
        let official = official(index);
        let term = last_term.map_or(official, |last| official.min(last.0));
        let given_up = u64::from(term < official);
        Entry::put(term, index, RowId(first_row + 2 * index + given_up))
    };
    let term_pair = probes.and_then(|probes| probes.term_pair.known());
    let unloaded_and_nothing = term_pair.is_some_and(|pair| !pair.has_table && pair.offset.0 == 0);
    Files {
        log: (1..=length).map(entry).collect(),
        snapshot_up_to: manifest.map_or(0, |manifest| scaled.of(manifest.offset.0).min(length)),
        has_snapshot_file: held.is_some() || !unloaded_and_nothing,
    }
}

fn metadata(partition: &Partition, scaled: &Scaled<'_>) -> TablePartition {
    let meta = |replica: &Replica| PartitionMeta {
        endpoint: replica.endpoint.as_str().to_owned(),
        is_leader: replica.is_leader,
        is_alive: Some(replica.is_alive),
        offset: replica.offset.map(|offset| scaled.of(offset.0)),
        ..PartitionMeta::default()
    };
    let term = |start: &openmldb_model::TermStart| TermPair { term: start.term.0, offset: scaled.of(start.start.0) };
    TablePartition {
        pid: partition.pid.0,
        partition_meta: partition.replicas.iter().map(meta).collect(),
        term_offset: partition.terms.iter().map(term).collect(),
        ..TablePartition::default()
    }
}

impl Likeness {
    /// The tablets that came back.
    pub fn tablets(&self) -> BTreeSet<&Endpoint> {
        self.world.tablet_endpoints().iter().filter(|endpoint| !self.missing.contains(endpoint)).collect()
    }
}
