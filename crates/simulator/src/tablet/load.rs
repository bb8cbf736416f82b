//! LoadTable, and CreateTable (docs/openmldb/load-table.md#checks-in-this-order).

use std::sync::Arc;

use super::disk::{Directory, MetaFile};
use super::entry::{partition_id, signed_partition_id, storage_of};
use super::expiry::is_garbage_to_be;
use super::job::{Due, Job, Work};
use super::refusal::{
    FAIL_TO_INIT_TABLE, INVALID_TID, LOAD_NAME_NOT_FOUND, NAME_IS_EMPTY, NO_ROOT, OK, Outcome, REPEATED_COLUMN,
    Refusal, TABLE_ALREADY_EXISTS, UNKNOWN_STORAGE, general,
};
use super::replica::{Progress, Replica};
use super::task::TaskKey;
use super::{Millis, Schema, TableSpec, Tablets};
use crate::fault::LoadFate;
use openmldb_model::{PartitionId, Role, State, StorageMode};
use openmldb_wire::api::{self, TableMode, TaskType};

/// Milliseconds that a load takes which never ends: a year.
const FOR_EVER: Millis = 31_536_000_000;

impl Tablets {
    /// How the next load of that replica is to go wrong.
    pub fn set_load_fate(&mut self, endpoint: &str, id: PartitionId, fate: LoadFate) {
        if let Some(machine) = self.machine_mut(endpoint) {
            machine.load_fates.insert(id, fate);
        }
    }

    /// CreateTable, which the nameserver calls for a new table's replicas: an empty replica, kTableNormal at once.
    ///
    /// # Errors
    /// As the RPC: 129, 101, 138, 131. An endpoint that does not answer counts as 131.
    pub fn create_table(
        &mut self,
        endpoint: &str,
        table: TableSpec,
        mode: Role,
        term: u64,
        replicas: &[String],
    ) -> Result<(), Refusal> {
        let id = table.partition();
        let storage = table.schema.storage;
        if table.schema.name.is_empty() {
            return Err(NAME_IS_EMPTY);
        }
        if table.tid == 0 {
            return Err(INVALID_TID);
        }
        let at = self.reach(endpoint).ok_or(FAIL_TO_INIT_TABLE)?;
        if self.machines[at].replicas.contains_key(&id) {
            return Err(TABLE_ALREADY_EXISTS);
        }
        self.check_root(storage)?;
        if table.schema.indexes.is_empty() {
            return Err(FAIL_TO_INIT_TABLE);
        }
        let meta = MetaFile { schema: table.schema.clone(), role: Some(mode), term: Some(term) };
        let directory = Directory {
            meta: Some(meta),
            binlog: Some(Vec::new()),
            has_data: storage.is_disk(),
            ..Directory::default()
        };
        *self.machines[at].disk.make_directory(storage, id) = directory;
        self.register(at, id, table.schema, mode, term, replicas);
        if let Ok(replica) = self.machines[at].replica_mut(id) {
            replica.state = State::Normal;
        }
        self.start_syncing(at, id);
        Ok(())
    }

    pub(super) fn load_table(&mut self, at: usize, request: api::LoadTableRequest) -> api::GeneralResponse {
        let task = match self.machines[at].tasks.begin(request.task_info, TaskType::KLoadTable) {
            Ok(task) => task,
            Err(refusal) => return general(Err(refusal)),
        };
        let outcome = self.accept_load(at, &request.table_meta.unwrap_or_default(), task);
        if outcome.is_err() {
            self.machines[at].tasks.end(task, false);
        }
        self.run_pools(at);
        general(outcome)
    }

    /// The part of LoadTable that the caller waits for.
    fn accept_load(&mut self, at: usize, meta: &api::TableMeta, task: Option<TaskKey>) -> Outcome {
        let storage = check_meta(meta)?;
        self.check_root(storage)?;
        let id = signed_partition_id(meta.tid(), meta.pid());
        let machine = &mut self.machines[at];
        if machine.replicas.contains_key(&id) {
            return Err(TABLE_ALREADY_EXISTS);
        }
        let directory = machine.disk.make_directory(storage, id);
        let effective = merge(directory.meta.as_ref(), meta, storage);
        directory.meta = Some(effective.clone());
        if storage.is_disk() {
            let work = Work::LoadDisk { storage, replicas: meta.replicas.clone() };
            machine.pool.add(Job { partition: id, task, work });
            return OK;
        }
        if effective.schema.indexes.is_empty() {
            return Err(FAIL_TO_INIT_TABLE);
        }
        let role = effective.role.unwrap_or(Role::Leader);
        if role == Role::Leader && !meta.replicas.iter().all(|replica| self.knows_name(replica)) {
            return Err(LOAD_NAME_NOT_FOUND);
        }
        let generation = self.register(at, id, effective.schema, role, effective.term.unwrap_or(0), &meta.replicas);
        self.machines[at].pool.add(Job { partition: id, task, work: Work::Load { generation } });
        OK
    }

    /// A load job begins: from now on calls for the table's data are refused. Returns how long it takes.
    pub(super) fn start_load(&mut self, at: usize, id: PartitionId, generation: u64) -> Millis {
        let (now, machine) = (self.now, &mut self.machines[at]);
        let Some(replica) = machine.replicas.get_mut(&id).filter(|replica| replica.generation == generation) else {
            return 0;
        };
        let entries = machine.disk.directory(replica.storage(), id).map_or(0, Directory::entries_to_read);
        let usual = self.settings.load_fixed_ms + self.settings.load_ns_per_entry * entries / 1_000_000;
        let takes = match machine.load_fates.get(&id) {
            Some(LoadFate::Sticks) => FOR_EVER,
            Some(LoadFate::Lasts(longer)) => usual + longer,
            Some(LoadFate::Vanishes | LoadFate::Hollow) | None => usual,
        };
        replica.state = State::Loading;
        replica.progress = Some(Progress { since: now, until: now + takes, entries });
        takes
    }

    /// A disk table's job begins: the directories are moved about before anything is looked at, which is why a second
    /// load of the same table does harm (docs/openmldb/load-table.md#a-disk-table-must-not-be-told-twice). Turns the
    /// job into reading or failing.
    pub(super) fn start_load_disk(&mut self, at: usize, job: &mut Job) -> Millis {
        let Work::LoadDisk { storage, replicas } = std::mem::replace(&mut job.work, Work::Fail) else { return 0 };
        let machine = &mut self.machines[at];
        let Some(directory) = machine.disk.directory_mut(storage, job.partition) else { return 0 };
        if directory.has_data {
            if directory.has_old_data {
                return 0;
            }
            directory.has_old_data = true;
        }
        directory.has_data = directory.snapshot_rows().is_some();
        let Some(meta) = directory.meta.clone() else { return 0 };
        if machine.replicas.contains_key(&job.partition) || meta.schema.indexes.is_empty() {
            return 0;
        }
        directory.has_data = true;
        let role = meta.role.unwrap_or(Role::Leader);
        let generation = self.register(at, job.partition, meta.schema, role, meta.term.unwrap_or(0), &replicas);
        job.work = Work::ReadDisk { generation };
        self.start_load(at, job.partition, generation)
    }

    /// A load job ends. A failure takes the directory to the recycle bin, and the table vanishes without a word.
    pub(super) fn finish_load(&mut self, at: usize, id: PartitionId, generation: u64, task: Option<TaskKey>) {
        let (now, keep) = (self.now, self.settings.recycle_bin_enabled);
        let machine = &mut self.machines[at];
        let Some(storage) = machine.same_replica(id, generation).map(|replica| replica.storage()) else {
            machine.tasks.end(task, false);
            return;
        };
        let fate = machine.load_fates.remove(&id);
        let directory = machine.disk.directory_mut(storage, id);
        let readable = directory
            .filter(|directory| storage.is_disk() || !directory.has_broken_manifest())
            .filter(|_| fate != Some(LoadFate::Vanishes));
        let Some(directory) = readable else {
            machine.discard(id, keep, now);
            machine.tasks.end(task, false);
            return;
        };
        directory.has_old_data = false;
        directory.binlog.get_or_insert_default();
        let mut contents = directory.read(storage);
        if fate == Some(LoadFate::Hollow) {
            contents.rows.drain(..contents.rows.len() / 2);
        }
        let Some(replica) = machine.same_replica(id, generation) else { return };
        let mut before = None;
        for entry in &contents.rows {
            replica.has_garbage |= is_garbage_to_be(&replica.schema, before.replace(entry), entry);
        }
        replica.rows.extend(contents.rows);
        replica.uncounted += contents.uncounted;
        replica.state = State::Normal;
        replica.progress = None;
        replica.is_settling = true;
        replica.offset = 0;
        self.attach_aggregator(at, id);
        let due = Due::Offset { partition: id, generation, offset: contents.offset, task };
        self.plan(at, self.settings.normal_before_offset_ms, due);
        self.plan_collection(at, id);
    }

    /// The last act of a load.
    pub(super) fn set_offset(
        &mut self,
        at: usize,
        id: PartitionId,
        generation: u64,
        offset: u64,
        task: Option<TaskKey>,
    ) {
        let machine = &mut self.machines[at];
        let Some(replica) = machine.same_replica(id, generation) else {
            machine.tasks.end(task, false);
            return;
        };
        replica.is_settling = false;
        replica.offset = offset;
        machine.tasks.end(task, true);
        self.start_syncing(at, id);
    }

    /// Puts a replica into memory, with the followers it is to replicate to if it leads.
    fn register(
        &mut self,
        at: usize,
        id: PartitionId,
        schema: Arc<Schema>,
        role: Role,
        term: u64,
        replicas: &[String],
    ) -> u64 {
        let generation = self.next_id();
        self.machines[at].replicas.insert(id, Replica::new(schema, role, term, generation));
        if role == Role::Leader {
            self.add_targets(at, id, replicas);
        }
        generation
    }

    pub(super) fn check_root(&self, storage: StorageMode) -> Result<(), Refusal> {
        let has_root = match storage {
            StorageMode::Memory => true,
            StorageMode::Ssd => self.settings.has_ssd_root,
            StorageMode::Hdd => self.settings.has_hdd_root,
        };
        if has_root { Ok(()) } else { Err(NO_ROOT) }
    }
}

/// What of a LoadTable request is checked before anything else.
fn check_meta(meta: &api::TableMeta) -> Result<StorageMode, Refusal> {
    if meta.name().is_empty() {
        return Err(NAME_IS_EMPTY);
    }
    if meta.tid() <= 0 {
        return Err(INVALID_TID);
    }
    let storage = storage_of(meta.storage_mode()).ok_or(UNKNOWN_STORAGE)?;
    let repeated = |at: usize| meta.column_desc[..at].iter().any(|column| column.name == meta.column_desc[at].name);
    if (0..meta.column_desc.len()).any(repeated) {
        return Err(REPEATED_COLUMN);
    }
    Ok(storage)
}

/// The meta a load goes by and leaves behind: the file's, with what the request says over it, and the request's lists
/// appended to the file's.
fn merge(file: Option<&MetaFile>, request: &api::TableMeta, storage: StorageMode) -> MetaFile {
    let asked = Schema::from_meta(request, storage);
    let role = request.mode.map(|_| role_of(request.mode()));
    let Some(file) = file else { return MetaFile { schema: Arc::new(asked), role, term: request.term } };
    let known = &file.schema;
    let is_same = known.name == asked.name && known.storage == storage && asked.indexes.is_empty();
    let schema = if is_same && request.db.is_none() && request.base_table_tid.is_none() {
        known.clone()
    } else {
        Arc::new(Schema {
            db: request.db.clone().unwrap_or_else(|| known.db.clone()),
            indexes: known.indexes.iter().chain(&asked.indexes).cloned().collect(),
            skiplist_height: request.key_entry_max_height.unwrap_or(known.skiplist_height),
            base_table_tid: request.base_table_tid.unwrap_or(known.base_table_tid),
            ttl: if known.indexes.is_empty() { asked.ttl } else { known.ttl },
            described: known.described.clone(),
            ..asked
        })
    };
    MetaFile { schema, role: role.or(file.role), term: request.term.or(file.term) }
}

pub(super) fn role_of(mode: TableMode) -> Role {
    match mode {
        TableMode::KTableLeader => Role::Leader,
        TableMode::KTableFollower => Role::Follower,
    }
}

/// The id of requests with unsigned numbers.
pub(super) fn id_of(tid: Option<u32>, pid: Option<u32>) -> PartitionId {
    partition_id(tid.unwrap_or(0), pid.unwrap_or(0))
}
