//! A replica in a tablet's memory.

use std::sync::Arc;

use super::Millis;
use super::entry::{Entry, Schema};
use super::expiry::is_garbage_to_be;
use openmldb_model::{Role, State, StorageMode};

/// A registered replica: what GetTableStatus lists.
#[derive(Debug, Clone)]
pub(super) struct Replica {
    /// Tells it from one of the same partition that was registered before or after it.
    pub(super) generation: u64,
    pub(super) schema: Arc<Schema>,
    pub(super) role: Role,
    /// A leader's own term, or the highest one a follower heard of since it was registered.
    pub(super) term: u64,
    pub(super) state: State,
    /// The end of its log; 0 until loaded.
    pub(super) offset: u64,
    /// Rows in memory. Doubles are possible, see [`Replica::append`].
    pub(super) rows: Vec<Entry>,
    /// Entries in `rows` that record_cnt does not have: deletes, and what its snapshot left out. A row that was deleted and is
    /// not collected yet counts.
    pub(super) uncounted: u64,
    /// How many of the rows the last round of garbage collection has passed over.
    pub(super) collected_to: usize,
    /// Whether a round of garbage collection may find something.
    pub(super) has_garbage: bool,
    /// Whether the next round is in the event queue.
    pub(super) is_collection_due: bool,
    /// Whom a leader replicates to, by endpoint.
    pub(super) targets: Vec<Target>,
    /// How far the running load is.
    pub(super) progress: Option<Progress>,
    /// Loaded and kTableNormal, but the offset is not set yet.
    pub(super) is_settling: bool,
    /// Something was appended before the load read the log, which thereby began anew.
    log_began_anew: bool,
}

/// A load in progress.
#[derive(Debug, Clone, Copy)]
pub(super) struct Progress {
    pub(super) since: Millis,
    pub(super) until: Millis,
    pub(super) entries: u64,
}

/// A follower a leader replicates to.
#[derive(Debug, Clone)]
pub(super) struct Target {
    pub(super) endpoint: Arc<str>,
    /// The table's number there, in a cluster that follows this one.
    pub(super) remote_tid: Option<u32>,
    /// Tells it from one of the same endpoint that was removed.
    pub(super) id: u64,
    /// The follower's offset as the leader knows it; 0 until first contact.
    pub(super) synced: u64,
    /// Whether they agreed on an offset.
    pub(super) is_matched: bool,
    /// Whether its next attempt is in the event queue.
    pub(super) is_due: bool,
}

impl Replica {
    pub(super) fn new(schema: Arc<Schema>, role: Role, term: u64, generation: u64) -> Self {
        Self {
            generation,
            schema,
            role,
            term: if role == Role::Leader { term } else { 0 },
            state: State::Queued,
            offset: 0,
            rows: Vec::new(),
            uncounted: 0,
            collected_to: 0,
            has_garbage: false,
            is_collection_due: false,
            targets: Vec::new(),
            progress: None,
            is_settling: false,
            log_began_anew: false,
        }
    }

    pub(super) fn storage(&self) -> StorageMode {
        self.schema.storage
    }

    /// Whether calls that need the table's data are answered with 104. The instant between kTableNormal and the
    /// offset counts as well: too short for a call to hit it on a real tablet.
    pub(super) fn is_loading(&self) -> bool {
        self.state == State::Loading || self.is_settling
    }

    /// Takes one entry into the log and into memory.
    ///
    /// A replica still queued to load numbers from offset 0. What it takes starts a new file of the log, and the load
    /// then reads from there on: the entries before, as far as no snapshot holds them, are gone from this replica. That
    /// is how leaders lost rows to writers on real servers (docs/openmldb/experiments.md#writers-through-a-recovery).
    /// The entry itself is then in memory twice, once from here and once from the load.
    pub(super) fn append(&mut self, binlog: &mut Vec<Entry>, entry: Entry) {
        if self.state == State::Queued && !self.log_began_anew {
            self.log_began_anew = true;
            binlog.clear();
        }
        // What is numbered below the end of a log nobody reads from it.
        if binlog.last().is_none_or(|last| last.index < entry.index) {
            binlog.push(entry);
        }
        self.has_garbage |= is_garbage_to_be(&self.schema, self.rows.last(), &entry);
        self.rows.push(entry);
        self.uncounted += u64::from(entry.deletes.is_some());
        self.offset = entry.index;
    }

    /// Takes an entry while it is being loaded, before the load has set its offset: into a new file that is read instead of those
    /// before it from now on, numbered from 1.
    pub(super) fn append_anew(&mut self, binlog: &mut Vec<Entry>, entry: Entry) {
        if entry.index == 1 {
            binlog.clear();
        }
        self.append(binlog, entry);
    }

    /// Rows as record_cnt has them; while loading, those read so far.
    pub(super) fn record_cnt(&self, now: Millis) -> u64 {
        let read = self.progress.map_or(0, |progress| {
            let whole = progress.until.saturating_sub(progress.since).max(1);
            progress.entries * now.saturating_sub(progress.since).min(whole) / whole
        });
        (self.rows.len() as u64).saturating_sub(self.uncounted) + read
    }

    pub(super) fn target_mut(&mut self, id: u64) -> Option<&mut Target> {
        self.targets.iter_mut().find(|target| target.id == id)
    }

    pub(super) fn has_target(&self, endpoint: &str) -> bool {
        self.targets.iter().any(|target| &*target.endpoint == endpoint)
    }

    /// Adds a follower; the list stays sorted, as GetTableFollower shows it.
    pub(super) fn add_target(&mut self, endpoint: Arc<str>, remote_tid: Option<u32>, id: u64) {
        let place = self.targets.partition_point(|target| target.endpoint < endpoint);
        self.targets.insert(place, Target { endpoint, remote_tid, id, synced: 0, is_matched: false, is_due: false });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tablet::RowId;

    fn entry(index: u64) -> Entry {
        Entry::put(1, index, RowId(index))
    }

    fn replica() -> Replica {
        Replica::new(Arc::new(Schema::new("shop", "orders", StorageMode::Memory)), Role::Leader, 1, 1)
    }

    #[test]
    fn what_a_queued_replica_takes_hides_the_log_before_it() {
        let (mut replica, mut binlog) = (replica(), vec![entry(1), entry(2), entry(3)]);
        replica.append(&mut binlog, entry(1));
        replica.append(&mut binlog, entry(2));
        assert_eq!(binlog, [entry(1), entry(2)]);
    }

    #[test]
    fn a_loaded_replica_appends() {
        let (mut replica, mut binlog) = (replica(), vec![entry(1)]);
        replica.state = State::Normal;
        replica.append(&mut binlog, entry(2));
        assert_eq!((binlog, replica.offset), (vec![entry(1), entry(2)], 2));
    }

    #[test]
    fn a_load_shows_its_rows_as_it_goes() {
        let mut replica = replica();
        replica.progress = Some(Progress { since: 100, until: 200, entries: 1000 });
        assert_eq!([100, 150, 250].map(|now| replica.record_cnt(now)), [0, 500, 1000]);
    }
}
