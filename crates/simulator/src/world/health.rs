//! What is well, and which rows are where: looked at from outside, past every server's own idea of it.

use std::collections::{BTreeMap, BTreeSet};

use super::rows::{RowCount, RowLedger, Rows};
use super::{World, partition};
use crate::Millis;
use crate::tablet::{Entry, RowId, rows_now};
use openmldb_model::{Endpoint, PartitionId};
use openmldb_wire::api::{GetTableFollowerRequest, GetTableStatusRequest, TableMode, TableState};
use openmldb_wire::call::{TabletAnswer, TabletCall};
use openmldb_wire::nameserver::TablePartition;

/// World milliseconds in which a leader that has something to send sends it (`match_offset_interval_ms`, with time to spare).
const SETTLED_AFTER: Millis = 2_000;

/// What a tablet says it holds, by partition: role and state.
type Held = BTreeMap<PartitionId, (TableMode, TableState)>;

impl World {
    /// Opens the books: from here on rows are counted and calls traced.
    pub fn open_books(&mut self) {
        self.trace = super::Trace::default();
        let healthy = self.healthy();
        self.ledger = RowLedger::open(&self.rows(), &self.metadata(), healthy);
    }

    /// The entries of each replica that metadata knows.
    pub fn rows(&self) -> Rows {
        let metadata = self.metadata();
        metadata.iter().map(|(id, metas)| (*id, self.logs(*id, metas, |_| true))).collect()
    }

    fn logs(
        &self,
        id: PartitionId,
        metas: &TablePartition,
        asked: impl Fn(&Endpoint) -> bool,
    ) -> BTreeMap<Endpoint, Vec<Entry>> {
        let endpoints = metas.partition_meta.iter().map(|meta| Endpoint::from(meta.endpoint.as_str()));
        endpoints
            .filter(|endpoint| asked(endpoint))
            .map(|endpoint| (endpoint.clone(), self.log(&endpoint, id)))
            .collect()
    }

    /// What a replica holds in memory, or would load from its disk.
    pub fn log(&self, endpoint: &Endpoint, id: PartitionId) -> Vec<Entry> {
        let loaded = self.tablets.log(endpoint.as_str(), id.tid.0, id.pid.0).map(<[Entry]>::to_vec);
        let on_disk = || self.tablets.log_on_disk(endpoint.as_str(), id.tid.0, id.pid.0);
        loaded.or_else(on_disk).unwrap_or_default()
    }

    /// Where a replica's log ends by its own count, which goes on where entries are gone; 0 unless it is loaded.
    pub fn end(&self, endpoint: &Endpoint, id: PartitionId) -> u64 {
        self.tablets.end(endpoint.as_str(), id.tid.0, id.pid.0).unwrap_or_default()
    }

    /// What clients are shown of such entries of a partition: without what was deleted, has expired or was overwritten.
    pub fn shown(&self, id: PartitionId, entries: &[Entry]) -> BTreeSet<RowId> {
        let schema = self.tablet_endpoints.iter().find_map(|at| self.tablets.schema(at.as_str(), id));
        match schema {
            Some(schema) => rows_now(entries, &schema, self.now).into_iter().map(|entry| entry.row).collect(),
            None => entries.iter().map(|entry| entry.row).collect(),
        }
    }

    /// Rows that a failover gave up before the books were opened: held by a dead old leader, while a new one was elected
    /// without them.
    pub fn given_up(&self) -> &BTreeMap<PartitionId, BTreeSet<RowId>> {
        &self.ledger.given_up
    }

    /// Rows that should be there: held by some replica when the books were opened and not given up, or acknowledged since.
    pub fn expected(&self) -> &BTreeMap<PartitionId, BTreeSet<RowId>> {
        &self.ledger.expected
    }

    /// How the rows stand now.
    pub fn row_count(&self) -> RowCount {
        let metadata = self.metadata();
        let present = |(id, metas): (&PartitionId, &TablePartition)| {
            self.ledger.present(*id, &self.logs(*id, metas, |endpoint| self.is_up(endpoint)))
        };
        let alive_leaders = |metas: &TablePartition| {
            metas.partition_meta.iter().filter(|meta| meta.is_leader && meta.is_alive()).count()
        };
        RowCount {
            rows_expected: self.ledger.expected.values().map(|rows| rows.len() as u64).sum(),
            rows_after: metadata.iter().map(|found| present(found) as u64).sum(),
            partitions_with_two_alive_leaders: metadata.values().filter(|metas| alive_leaders(metas) > 1).count()
                as u64,
            healthy_partitions_touched: self.ledger.touched.len() as u64,
        }
    }

    /// Ends the writing and lets replication come to rest: until the rows that are everywhere have not become more for two
    /// seconds of world time. Then the rows can be counted.
    pub fn settle(&mut self) -> RowCount {
        self.stop_writers();
        let mut count = self.row_count();
        loop {
            self.advance_by(SETTLED_AFTER);
            let next = self.row_count();
            if next.rows_after <= count.rows_after {
                return next;
            }
            count = next;
        }
    }

    /// The partitions whose reachable replicas do not hold the same entries, term by term.
    pub fn diverged(&self) -> BTreeSet<PartitionId> {
        let metadata = self.metadata();
        let differ = |(id, metas): &(&PartitionId, &TablePartition)| {
            let logs = self.logs(**id, metas, |endpoint| self.is_up(endpoint));
            let mut logs = logs.values();
            let first = logs.next();
            logs.any(|log| Some(log) != first)
        };
        metadata.iter().filter(differ).map(|(id, _)| *id).collect()
    }

    /// The partitions with one alive leader whose every replica is alive, loaded, in its flagged role and connected.
    ///
    /// Nothing changes; but tablets are asked through the same door as by everybody else, and that wants them mutable.
    pub fn healthy(&mut self) -> BTreeSet<PartitionId> {
        let endpoints = self.tablet_endpoints.clone();
        let held: BTreeMap<Endpoint, Held> =
            endpoints.into_iter().map(|endpoint| (endpoint.clone(), self.held(&endpoint))).collect();
        let metadata = self.metadata();
        let healthy = metadata.iter().filter(|(id, metas)| self.is_healthy(**id, metas, &held));
        healthy.map(|(id, _)| *id).collect()
    }

    fn is_healthy(&mut self, id: PartitionId, metas: &TablePartition, held: &BTreeMap<Endpoint, Held>) -> bool {
        let metas = &metas.partition_meta;
        let leaders: Vec<&str> =
            metas.iter().filter(|meta| meta.is_leader).map(|meta| meta.endpoint.as_str()).collect();
        let [leader] = leaders[..] else { return false };
        let in_role = metas.iter().all(|meta| {
            let role = if meta.is_leader { TableMode::KTableLeader } else { TableMode::KTableFollower };
            let there = held.get(&Endpoint::from(meta.endpoint.as_str())).and_then(|held| held.get(&id));
            meta.is_alive() && there.is_some_and(|there| *there == (role, TableState::KTableNormal))
        });
        in_role && {
            let connected = self.followers(leader, id);
            metas.iter().filter(|meta| !meta.is_leader).all(|meta| connected.contains(&meta.endpoint))
        }
    }

    fn held(&mut self, endpoint: &Endpoint) -> Held {
        let answer = self.tablets.call(endpoint.as_str(), TabletCall::GetTableStatus(GetTableStatusRequest::default()));
        let Ok(TabletAnswer::GetTableStatus(answer)) = answer else { return Held::new() };
        answer
            .all_table_status
            .iter()
            .map(|status| (partition(status.tid(), status.pid()), (status.mode(), status.state())))
            .collect()
    }

    fn followers(&mut self, leader: &str, id: PartitionId) -> Vec<String> {
        let request = GetTableFollowerRequest { tid: Some(id.tid.0), pid: Some(id.pid.0) };
        match self.tablets.call(leader, TabletCall::GetTableFollower(request)) {
            Ok(TabletAnswer::GetTableFollower(answer)) => {
                answer.follower_info.iter().map(|follower| follower.endpoint().to_owned()).collect()
            }
            _ => Vec::new(),
        }
    }
}
