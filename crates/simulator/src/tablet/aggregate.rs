//! Aggregators: what a leader of a base table writes into its pre-aggregate tables, in the copies on its own tablet
//! (docs/openmldb/load-table.md#pre-aggregate-tables).

use std::collections::BTreeMap;
use std::sync::Arc;

use super::entry::signed_partition_id;
use super::load::id_of;
use super::refusal::{NOT_CREATED, code_and_msg};
use super::{Entry, RowId, Schema, Tablets};
use openmldb_model::{PartitionId, Tid};
use openmldb_wire::api;

/// Rows of the base table that go into one row of its pre-aggregate table. A real one counts by time or by rows, as it was deployed.
const BUCKET: u64 = 8;

/// The key under which aggregates are put; each has the offset of the base table's last row in it as its number.
const KEY: u64 = 0xA66;

/// What aggregates one partition of a base table into one of a pre-aggregate table.
#[derive(Debug, Clone)]
pub(super) struct Aggregator {
    base: PartitionId,
    pub(super) aggregate: PartitionId,
    state: Init,
    /// Rows of the base table since the last aggregate.
    waiting: u64,
}

/// Whether an aggregator works.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Init {
    Done,
    /// Its base table's log ends before what its aggregates were made of: every Put fails from now on, and is kept all the same.
    BaseIsBehind,
}

/// The offset of the base table's log that an aggregate reaches to; none if it is not an aggregate's row.
pub(super) fn base_offset(row: RowId) -> Option<u64> {
    (row.key_number() == Some(KEY)).then_some(row.0 & ((1 << 40) - 1))
}

impl Tablets {
    /// CreateAggregator. A real tablet without the pre-aggregate table's partition ends for it.
    pub(super) fn answer_create(
        &mut self,
        at: usize,
        request: &api::CreateAggregatorRequest,
    ) -> api::CreateAggregatorResponse {
        let aggregate = id_of(request.aggr_table_tid, request.aggr_table_pid);
        let meta = request.base_table_meta.as_ref();
        let base = meta.map(|meta| signed_partition_id(meta.tid(), meta.pid()));
        let is_described = request.index_pos.is_some() && !request.bucket_size().is_empty();
        let created = base.filter(|_| is_described).is_some_and(|base| self.create_at(at, base, aggregate));
        let (code, msg) = code_and_msg(if created { Ok("") } else { Err(NOT_CREATED) });
        api::CreateAggregatorResponse { code, msg }
    }

    /// What a deployment has written down of each pre-aggregate table, as it is encoded (`__INTERNAL_DB.PRE_AGG_META_INFO`).
    pub(super) fn aggregations(&self) -> Vec<Vec<u8>> {
        let schemas = || self.machines.iter().flat_map(|machine| &machine.replicas);
        let named = schemas().map(|(id, replica)| (id.tid, replica.schema.clone()));
        let named: BTreeMap<Tid, _> = named.collect();
        let aggregates = named.values().filter(|schema| schema.base_table_tid != 0);
        let row = |schema: &Arc<Schema>| {
            let base = named.get(&Tid(schema.base_table_tid))?;
            let how = ["sum", "amt", "card", "ts", "8", ""];
            Some(texts(&[&[&*schema.name, &*schema.db, &*base.db, &*base.name], &how[..]].concat()))
        };
        aggregates.filter_map(row).collect()
    }

    /// A deployment creates an aggregator where the base table's partition is led, and nowhere else: it is written down in the
    /// pre-aggregate partition's directory (`aggr_info.txt`). Whether both are there.
    pub fn create_aggregator(&mut self, endpoint: &str, base: PartitionId, aggregate: PartitionId) -> bool {
        self.reach(endpoint).is_some_and(|at| self.create_at(at, base, aggregate))
    }

    fn create_at(&mut self, at: usize, base: PartitionId, aggregate: PartitionId) -> bool {
        let machine = &mut self.machines[at];
        let Some(storage) = machine.replicas.get(&aggregate).map(|replica| replica.storage()) else { return false };
        machine.disk.make_directory(storage, aggregate).has_aggregator = true;
        let Some(missing) = self.attach(at, base, aggregate) else { return false };
        for row in missing {
            self.put_aggregate(at, aggregate, row);
        }
        true
    }

    /// A replica of a pre-aggregate table has been read from its disk: its aggregator is attached if the base table's partition is
    /// registered on the tablet, and never if not.
    pub(super) fn attach_aggregator(&mut self, at: usize, aggregate: PartitionId) {
        let machine = &self.machines[at];
        let Some(replica) = machine.replicas.get(&aggregate) else { return };
        let has_one = machine.disk.directory(replica.storage(), aggregate).is_some_and(|found| found.has_aggregator);
        let base = PartitionId { tid: Tid(replica.schema.base_table_tid), pid: aggregate.pid };
        if !has_one || base.tid.0 == 0 {
            return;
        }
        let (missing, now) = (self.attach(at, base, aggregate).unwrap_or_default(), self.now);
        // Its offset is set afterwards, and it was contacted by no leader.
        for (row, index) in missing.into_iter().zip(1..) {
            if let Ok((replica, binlog)) = self.machines[at].replica_and_binlog(aggregate) {
                replica.append_anew(binlog, Entry { term: replica.term, index, row, deletes: None, at: now });
            }
        }
    }

    /// One more aggregator, whatever is attached already. Gives what its base table's log holds behind the last aggregate.
    fn attach(&mut self, at: usize, base: PartitionId, aggregate: PartitionId) -> Option<Vec<RowId>> {
        let machine = &mut self.machines[at];
        let (from, into) = (machine.replicas.get(&base)?, machine.replicas.get(&aggregate)?);
        let reaches = into.rows.iter().filter_map(|entry| base_offset(entry.row)).max().unwrap_or(0);
        let log = machine.disk.directory(from.storage(), base).map(|found| found.read(from.storage()));
        let end = log.map_or(0, |log| log.offset).max(from.offset);
        let state = if end < reaches { Init::BaseIsBehind } else { Init::Done };
        let behind = end.saturating_sub(reaches);
        machine.aggregators.push(Aggregator { base, aggregate, state, waiting: behind % BUCKET });
        Some((1..=behind / BUCKET).map(|nth| RowId::under_key(KEY, reaches + nth * BUCKET)).collect())
    }

    /// A leader of a base table has taken a row. Whether it went into every pre-aggregate table that has an aggregator here.
    pub(super) fn aggregate(&mut self, at: usize, base: PartitionId, offset: u64) -> bool {
        let mut full = Vec::new();
        for aggregator in self.machines[at].aggregators.iter_mut().filter(|aggregator| aggregator.base == base) {
            if aggregator.state == Init::BaseIsBehind {
                return false;
            }
            aggregator.waiting += 1;
            if aggregator.waiting >= BUCKET {
                aggregator.waiting = 0;
                full.push(aggregator.aggregate);
            }
        }
        for aggregate in full {
            self.put_aggregate(at, aggregate, RowId::under_key(KEY, offset));
        }
        true
    }

    /// Nobody asks what role the copy has: where another tablet leads, it grows beyond its leader.
    fn put_aggregate(&mut self, at: usize, aggregate: PartitionId, row: RowId) {
        let now = self.now;
        if let Ok((replica, binlog)) = self.machines[at].replica_and_binlog(aggregate) {
            let entry = Entry { term: replica.term, index: replica.offset + 1, row, deletes: None, at: now };
            replica.append(binlog, entry);
            self.plan_collection(at, aggregate);
            self.wake_targets(at, aggregate);
        }
    }
}

/// An aggregate as OpenMLDB encodes it: key, begin and end of its time, rows, sum, the base table's offset, no filter.
pub(super) fn encoded(row: RowId, base_offset: u64) -> Vec<u8> {
    let key = row.key();
    let offset = base_offset.to_le_bytes();
    let fixed = [&offset[..], &offset, &8_u32.to_le_bytes(), &offset].concat();
    const HEADER: usize = 6;
    const TEXTS: usize = 3;
    let begin = HEADER + 1 + fixed.len() + TEXTS;
    let (sum, end) = ("8", begin + key.len() + 1);
    let starts = [begin, begin + key.len(), end].map(|start| u8::try_from(start).unwrap_or(u8::MAX));
    let size = u32::try_from(end).unwrap_or(u32::MAX);
    // The filter, the seventh column, is null.
    let nulls = [0b0100_0000];
    [&[1, 1], size.to_le_bytes().as_slice(), &nulls, &fixed, &starts, key.as_bytes(), sum.as_bytes()].concat()
}

/// A row of texts alone, as OpenMLDB encodes it.
fn texts(columns: &[&str]) -> Vec<u8> {
    const HEADER: usize = 6;
    let begin = HEADER + columns.len().div_ceil(8) + columns.len();
    let mut starts = Vec::new();
    let mut end = begin;
    for column in columns {
        starts.push(u8::try_from(end).unwrap_or(u8::MAX));
        end += column.len();
    }
    let size = u32::try_from(end).unwrap_or(u32::MAX);
    let nulls = vec![0; columns.len().div_ceil(8)];
    [&[1, 1], size.to_le_bytes().as_slice(), &nulls, &starts, columns.concat().as_bytes()].concat()
}
