//! kRecoverTable: how a replica comes back (docs/openmldb/operations.md#recovertable).

use super::Leading;
use super::engine::{Job, NewOp, Outcome};
use super::metadata::{last_leader_of, replica_at};
use super::op::{EndpointStatusData, OpData, RecoverTableData};
use openmldb_wire::api::{
    ChangeRoleRequest, GeneralRequest, GetManifestRequest, GetTermPairRequest, GetTermPairResponse, OpType, TableMode,
};
use openmldb_wire::call::{TabletAnswer, TabletCall};
use openmldb_wire::common::StorageMode;
use openmldb_wire::nameserver::TermPair;

/// Stands for the replica that is leader-flagged but not alive when the task runs.
pub(super) const OFFLINE_LEADER_ENDPOINT: &str = "OFFLINE_LEADER_ENDPOINT";

/// What the task knows when it decides.
struct Case {
    job: Job,
    data: RecoverTableData,
    storage_mode: StorageMode,
    terms: Vec<TermPair>,
}

impl Leading<'_> {
    /// Creates a kRecoverTableOP, if it can be created.
    pub(super) fn create_recover_table_op(
        &mut self,
        (db, name, pid): (&str, &str, u32),
        endpoint: &str,
        is_leader: bool,
        offset_delta: u64,
        concurrency: u32,
    ) {
        self.create_op(NewOp {
            kind: OpType::KRecoverTableOp,
            data: OpData::Recover(RecoverTableData {
                endpoint: Some(endpoint.to_owned()),
                offset_delta: Some(offset_delta),
                is_leader: Some(is_leader),
                concurrency: Some(concurrency),
            }),
            db: db.to_owned(),
            name: name.to_owned(),
            pid,
            concurrency,
            parent: None,
        });
    }

    /// Decides by which op the replica comes back and queues that behind this one. Done even if it could not be created.
    pub(super) fn recover_table(&mut self, job: &Job) -> Outcome {
        self.try_recover_table(job).unwrap_or(Outcome::Failed)
    }

    fn try_recover_table(&mut self, job: &Job) -> Option<Outcome> {
        let OpData::Recover(mut data) = self.memory.lanes.head(job.lane)?.record.data.clone() else { return None };
        let table = self.zk.tables.get(job.partition.tid)?;
        let partition = table.partition(job.partition.pid)?;
        if data.endpoint() == OFFLINE_LEADER_ENDPOINT {
            let dead = partition.partition_meta.iter().find(|meta| meta.is_leader && !meta.is_alive())?;
            data.endpoint = Some(dead.endpoint.clone());
        }
        if replica_at(partition, data.endpoint())?.is_alive() {
            return Some(Outcome::Done);
        }
        let single = partition.partition_meta.len() == 1;
        let leader = last_leader_of(partition).map(|meta| meta.endpoint.clone());
        let case = Case {
            job: job.clone(),
            storage_mode: table.head.storage_mode(),
            terms: partition.term_offset.clone(),
            data,
        };
        if !self.memory.members.is_healthy(case.data.endpoint()) {
            return None;
        }
        if single {
            return self.recover_single(case);
        }
        let leader = leader.filter(|leader| self.memory.members.is_healthy(leader))?;
        self.recover_follower(case, &leader)
    }

    /// A partition's only replica is loaded in place, or called alive if it is loaded.
    fn recover_single(&mut self, case: Case) -> Option<Outcome> {
        let held = self.term_pair(&case)?;
        let endpoint = case.data.endpoint().to_owned();
        if held.has_table() {
            let alive = EndpointStatusData { endpoint: Some(endpoint), is_leader: Some(true), is_alive: Some(true) };
            self.create_child(case, OpType::KUpdatePartitionStatusOp, OpData::Status(alive));
        } else {
            self.create_child(case, OpType::KReLoadTableOp, OpData::Endpoint(endpoint));
        }
        Some(Outcome::Done)
    }

    fn recover_follower(&mut self, case: Case, leader: &str) -> Option<Outcome> {
        let held = self.term_pair(&case)?;
        if held.has_table() && held.is_leader() {
            self.demote(&case)?;
        }
        if !held.has_table() {
            // Before anything is compared: whatever followed its last snapshot is lost to this replica.
            self.delete_binlog(&case)?;
        }
        let snapshot = self.manifest_offset(&case, leader)?;
        let as_is = match_term_offset(&case.terms, &held) && held.offset() >= snapshot;
        let kind = match (held.has_table(), as_is) {
            (true, true) => OpType::KReAddReplicaSimplifyOp,
            (true, false) => OpType::KReAddReplicaWithDropOp,
            (false, true) => OpType::KReAddReplicaNoSendOp,
            (false, false) => OpType::KReAddReplicaOp,
        };
        let data = RecoverTableData {
            endpoint: case.data.endpoint.clone(),
            offset_delta: case.data.offset_delta,
            ..RecoverTableData::default()
        };
        self.create_child(case, kind, OpData::Recover(data));
        Some(Outcome::Done)
    }

    fn create_child(&mut self, case: Case, kind: OpType, data: OpData) {
        let job = case.job;
        self.create_op(NewOp {
            kind,
            data,
            db: job.db,
            name: job.name,
            pid: job.partition.pid,
            concurrency: case.data.concurrency(),
            parent: Some((job.op, job.lane)),
        });
    }

    fn term_pair(&mut self, case: &Case) -> Option<GetTermPairResponse> {
        let request = GetTermPairRequest {
            tid: Some(case.job.partition.tid),
            pid: Some(case.job.partition.pid),
            storage_mode: Some(case.storage_mode.into()),
        };
        match self.tablets.call(case.data.endpoint(), TabletCall::GetTermPair(request)) {
            Ok(TabletAnswer::GetTermPair(answer)) if answer.code() == 0 => Some(answer),
            _ => None,
        }
    }

    fn demote(&mut self, case: &Case) -> Option<()> {
        let request = ChangeRoleRequest {
            tid: Some(case.job.partition.tid),
            pid: Some(case.job.partition.pid),
            mode: Some(TableMode::KTableFollower.into()),
            ..ChangeRoleRequest::default()
        };
        match self.tablets.call(case.data.endpoint(), TabletCall::ChangeRole(request)) {
            Ok(TabletAnswer::ChangeRole(answer)) if answer.code() == 0 => Some(()),
            _ => None,
        }
    }

    fn delete_binlog(&mut self, case: &Case) -> Option<()> {
        let request = GeneralRequest {
            tid: i32::try_from(case.job.partition.tid).ok()?,
            pid: i32::try_from(case.job.partition.pid).ok()?,
            storage_mode: Some(case.storage_mode.into()),
            ..GeneralRequest::default()
        };
        match self.tablets.call(case.data.endpoint(), TabletCall::DeleteBinlog(request)) {
            Ok(TabletAnswer::DeleteBinlog(answer)) if answer.code() == 0 => Some(()),
            _ => None,
        }
    }

    /// The offset of the leader's snapshot; 0 if it has none.
    fn manifest_offset(&mut self, case: &Case, leader: &str) -> Option<u64> {
        let request = GetManifestRequest {
            tid: Some(case.job.partition.tid),
            pid: Some(case.job.partition.pid),
            storage_mode: Some(case.storage_mode.into()),
        };
        match self.tablets.call(leader, TabletCall::GetManifest(request)) {
            Ok(TabletAnswer::GetManifest(answer)) if answer.code() == 0 => {
                Some(answer.manifest.map_or(0, |manifest| manifest.offset()))
            }
            _ => None,
        }
    }
}

/// Whether a replica's term and offset fit the partition's history. The leader's own offset is never looked at.
fn match_term_offset(terms: &[TermPair], held: &GetTermPairResponse) -> bool {
    let (term, offset) = (held.term(), held.offset());
    if !held.has_table() && offset == 0 {
        return false;
    }
    let Some(start) = terms.iter().find(|pair| pair.term == term).map(|pair| pair.offset) else { return false };
    let last = terms.iter().max_by_key(|pair| pair.term);
    if start > offset {
        return last.is_some_and(|last| last.offset == offset + 1);
    }
    let next = terms.iter().filter(|pair| pair.term > term).min_by_key(|pair| pair.term);
    next.is_none_or(|next| next.offset > offset)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(terms: &[(u64, u64)], has_table: bool, term: u64, offset: u64) -> bool {
        let terms: Vec<_> = terms.iter().map(|(term, offset)| TermPair { term: *term, offset: *offset }).collect();
        let held = GetTermPairResponse {
            has_table: Some(has_table),
            term: Some(term),
            offset: Some(offset),
            ..GetTermPairResponse::default()
        };
        match_term_offset(&terms, &held)
    }

    #[test]
    fn an_unloaded_replica_without_a_snapshot_never_matches() {
        assert!(!matches(&[(1, 0)], false, 1, 0));
        assert!(matches(&[(1, 0)], true, 1, 0));
    }

    #[test]
    fn a_term_nobody_knows_never_matches() {
        assert!(!matches(&[(1, 0)], true, 0, 161), "never contacted by its leader");
        assert!(!matches(&[(1, 0), (3, 117)], true, 2, 50));
    }

    #[test]
    fn in_the_last_term_any_offset_matches() {
        assert!(matches(&[(1, 0), (3, 117)], true, 3, 117));
        assert!(matches(&[(1, 0), (3, 117)], true, 3, 1_000_000), "even one beyond the leader's");
    }

    #[test]
    fn in_an_older_term_only_what_ends_before_the_next_one_matches() {
        assert!(matches(&[(1, 0), (3, 117), (5, 120)], true, 1, 116));
        assert!(!matches(&[(1, 0), (3, 117), (5, 120)], true, 1, 117));
    }

    #[test]
    fn below_the_start_of_its_term_it_matches_only_right_before_the_last_term() {
        assert!(matches(&[(1, 0), (3, 117)], true, 3, 116));
        assert!(!matches(&[(1, 0), (3, 117)], true, 3, 115));
        assert!(!matches(&[(1, 0), (3, 117), (5, 130)], true, 3, 116));
        assert!(matches(&[(1, 0), (3, 140), (5, 130)], true, 3, 129));
    }
}
