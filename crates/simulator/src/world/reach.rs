//! How the world's nameservers reach its tablets.

use std::sync::Arc;

use crate::nameserver;
use crate::tablet::{self, Tablets};
use openmldb_model::{PartitionId, Role, StorageMode};
use openmldb_wire::api::TableMeta;
use openmldb_wire::call::{TabletAnswer, TabletCall};
use openmldb_wire::common;
use openmldb_wire::r#type::TtlType;
use prost::Message as _;

/// The tablets, at the nameservers' service. Not traced: what servers do to each other is their business.
pub(super) struct Reach<'a>(pub(super) &'a mut Tablets);

impl nameserver::TabletPort for Reach<'_> {
    fn call(&mut self, endpoint: &str, call: TabletCall) -> Result<TabletAnswer, nameserver::Unreachable> {
        self.0.call(endpoint, call).map_err(|_| nameserver::Unreachable)
    }

    fn counts(
        &mut self,
        endpoint: &str,
    ) -> Result<Vec<(nameserver::PartitionKey, tablet::Counts)>, nameserver::Unreachable> {
        let counts = self.0.counts(endpoint).ok_or(nameserver::Unreachable)?;
        let key = |id: PartitionId| nameserver::PartitionKey { tid: id.tid.0, pid: id.pid.0 };
        Ok(counts.into_iter().map(|(id, counts)| (key(id), counts)).collect())
    }

    fn counts_since(
        &mut self,
        endpoint: &str,
        changes: Option<u64>,
    ) -> Result<nameserver::CountsSince, nameserver::Unreachable> {
        let now = self.0.changes(endpoint).ok_or(nameserver::Unreachable)?;
        if changes == Some(now) {
            return Ok(nameserver::CountsSince::Same);
        }
        let held = self.counts(endpoint)?;
        let changes = (!self.0.counts_by_itself(endpoint)).then_some(now);
        Ok(nameserver::CountsSince::Now { held, changes })
    }

    fn create_table(
        &mut self,
        endpoint: &str,
        partition: nameserver::PartitionKey,
        spec: &nameserver::TableSpec,
        leader: bool,
        term: u64,
        replicas: &[String],
    ) {
        let schema = tablet::Schema {
            storage: storage_of(spec.storage_mode),
            indexes: spec.keys.iter().map(|key| key.index_name().to_owned()).collect(),
            base_table_tid: spec.base_table_tid.unwrap_or(0),
            ttl: tablet::Ttl::of(spec.keys.first().and_then(|key| key.ttl.as_ref())),
            // 1 for indexes that keep the newest row, 4 for the others (tests/recordings/01-healthy).
            described: described(spec),
            skiplist_height: if spec.keys.iter().all(keeps_newest) { 1 } else { 4 },
            ..tablet::Schema::new(&spec.db, &spec.name, StorageMode::Memory)
        };
        let table = tablet::TableSpec { tid: partition.tid, pid: partition.pid, schema: Arc::new(schema) };
        let role = if leader { Role::Leader } else { Role::Follower };
        if let Err(refusal) = self.0.create_table(endpoint, table, role, term, replicas) {
            tracing::warn!(%refusal, endpoint, "a replica could not be created");
        }
    }
}

/// What the nameserver tells tablets of a table beside its name: the same to each of them.
fn described(spec: &nameserver::TableSpec) -> Vec<u8> {
    let replica = |leader: usize, (at, endpoint): (usize, &String)| common::PartitionMeta {
        endpoint: Some(endpoint.clone()),
        is_leader: Some(at == leader),
        is_alive: Some(true),
    };
    let partition = |(pid, placement): (u32, &nameserver::Placement)| common::TablePartition {
        pid: Some(pid),
        partition_meta: placement.replicas.iter().enumerate().map(|at| replica(placement.leader, at)).collect(),
    };
    let meta = TableMeta {
        column_desc: spec.columns.clone(),
        column_key: spec.keys.clone(),
        table_partition: (0..).zip(&spec.placement).map(partition).collect(),
        ..TableMeta::default()
    };
    meta.encode_to_vec()
}

fn storage_of(mode: Option<common::StorageMode>) -> StorageMode {
    match mode {
        Some(common::StorageMode::KSsd) => StorageMode::Ssd,
        Some(common::StorageMode::KHdd) => StorageMode::Hdd,
        Some(common::StorageMode::KMemory | common::StorageMode::KUnknown) | None => StorageMode::Memory,
    }
}

fn keeps_newest(key: &common::ColumnKey) -> bool {
    key.ttl.as_ref().is_some_and(|ttl| ttl.ttl_type() == TtlType::KLatestTime)
}
