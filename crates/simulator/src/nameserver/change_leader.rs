//! kChangeLeaderOP: a new leader is chosen among followers, told so, and written down
//! (docs/openmldb/operations.md#changeleader).

use super::Leading;
use super::engine::{Job, NewOp, Outcome};
use super::metadata::leader_of;
use super::op::{ChangeLeaderData, OpData};
use openmldb_wire::api::{AppendEntriesRequest, ChangeRoleRequest, OpType, TableMode};
use openmldb_wire::call::{TabletAnswer, TabletCall};
use openmldb_wire::common::EndpointAndTid;
use openmldb_wire::nameserver::TermPair;

/// Why a kChangeLeaderOP is not queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotQueued {
    /// Nobody to choose among; its callers say ok all the same.
    NoFollower,
    /// No such partition, a single replica, or a candidate that is none.
    Impossible,
}

/// Who is to be leader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Candidate<'a> {
    /// The follower with the largest offset, by lot among several.
    Longest,
    /// This one, whatever its offset.
    This(&'a str),
    /// This one, though it may be none of the alive followers (RecoverEndpoint with need_restore).
    Restored(&'a str),
}

impl Leading<'_> {
    /// Queues a kChangeLeaderOP. Followers are the replicas alive and not leader-flagged now, on healthy tablets.
    pub(super) fn create_change_leader_op(
        &mut self,
        (db, name, pid): (&str, &str, u32),
        candidate: Candidate<'_>,
        concurrency: u32,
    ) -> Result<(), NotQueued> {
        let table = self.zk.tables.find(db, name).ok_or(NotQueued::Impossible)?;
        let partition = table.partition(pid).ok_or(NotQueued::Impossible)?;
        if partition.partition_meta.len() == 1 {
            return Err(NotQueued::Impossible);
        }
        let mut follower: Vec<_> = partition
            .partition_meta
            .iter()
            .filter(|meta| meta.is_alive() && !meta.is_leader && self.memory.members.is_healthy(&meta.endpoint))
            .map(|meta| meta.endpoint.clone())
            .collect();
        let candidate_leader = match candidate {
            Candidate::Longest => None,
            Candidate::This(endpoint) if follower.iter().any(|other| other == endpoint) => Some(endpoint.to_owned()),
            Candidate::This(_) => return Err(NotQueued::Impossible),
            Candidate::Restored(endpoint) => {
                if follower.iter().all(|other| other != endpoint) {
                    follower.push(endpoint.to_owned());
                }
                Some(endpoint.to_owned())
            }
        };
        if follower.is_empty() {
            return Err(NotQueued::NoFollower);
        }
        let remotes = partition.remote_partition_meta.iter().filter(|remote| remote.is_alive());
        let remote_follower = remotes
            .map(|remote| EndpointAndTid { endpoint: Some(remote.endpoint.clone()), tid: remote.remote_tid })
            .collect();
        let data = OpData::ChangeLeader(ChangeLeaderData {
            remote_follower,
            name: Some(name.to_owned()),
            tid: table.head.tid,
            pid: Some(pid),
            follower,
            candidate_leader,
            db: Some(db.to_owned()),
            ..ChangeLeaderData::default()
        });
        let (db, name) = (db.to_owned(), name.to_owned());
        let new = NewOp { kind: OpType::KChangeLeaderOp, data, db, name, pid, concurrency, parent: None };
        self.create_op(new).map(|_| ()).ok_or(NotQueued::Impossible)
    }

    /// Raises the term of every follower, which fences the old leader, and picks one. Terms stay raised if one of them
    /// fails.
    pub(super) fn select_leader(&mut self, job: &Job) -> Outcome {
        self.try_select_leader(job).unwrap_or(Outcome::Failed)
    }

    fn try_select_leader(&mut self, job: &Job) -> Option<Outcome> {
        let mut data = self.change_leader_data(job)?;
        let partition = self.zk.tables.get(job.partition.tid)?.partition(job.partition.pid)?;
        if let Some(candidate) = &data.candidate_leader
            && !data.follower.contains(candidate)
        {
            return None;
        }
        if self.zk.auto_failover && leader_of(partition).is_some() {
            return None;
        }
        let fence = self.zk.term + 1;
        self.zk.term += 2;

        let mut longest: (u64, Vec<&String>) = (0, Vec::new());
        for endpoint in &data.follower {
            if !self.memory.members.is_healthy(endpoint) {
                return None;
            }
            let request = AppendEntriesRequest {
                pre_log_index: Some(0),
                tid: Some(job.partition.tid),
                pid: Some(job.partition.pid),
                term: Some(fence),
                entries: Vec::new(),
            };
            let offset = match self.tablets.call(endpoint, TabletCall::AppendEntries(request)) {
                Ok(TabletAnswer::AppendEntries(answer)) if answer.code() == 0 => answer.log_offset(),
                _ => return None,
            };
            if offset > longest.0 || longest.1.is_empty() {
                longest = (offset, vec![endpoint]);
            } else if offset == longest.0 {
                longest.1.push(endpoint);
            }
        }
        let lot = self.rng.below(u32::try_from(longest.1.len()).ok()?);
        let leader = match &data.candidate_leader {
            Some(candidate) => candidate.clone(),
            None => (*longest.1.get(usize::try_from(lot).ok()?)?).clone(),
        };
        data.offset = Some(longest.0);
        data.leader = Some(leader);
        data.term = Some(fence + 1);
        self.memory.lanes.head_mut(job.lane)?.record.data = OpData::ChangeLeader(data);
        Some(Outcome::Done)
    }

    /// Tells the new leader. The old one is not contacted.
    pub(super) fn change_leader(&mut self, job: &Job) -> Outcome {
        let Some(data) = self.change_leader_data(job) else { return Outcome::Failed };
        let leader = data.leader().to_owned();
        if !self.memory.members.is_healthy(&leader) {
            return Outcome::Failed;
        }
        let request = ChangeRoleRequest {
            tid: Some(job.partition.tid),
            pid: Some(job.partition.pid),
            term: data.term,
            mode: Some(TableMode::KTableLeader.into()),
            replicas: data.follower.into_iter().filter(|endpoint| *endpoint != leader).collect(),
            endpoint_tid: data.remote_follower,
        };
        match self.tablets.call(&leader, TabletCall::ChangeRole(request)) {
            Ok(TabletAnswer::ChangeRole(answer)) if answer.code() == 0 => Outcome::Done,
            _ => Outcome::Failed,
        }
    }

    /// The old alive leader is no longer alive but keeps its flag; the new one gets a flag; the term begins after the
    /// largest offset of all followers, which need not be the new leader's.
    pub(super) fn update_leader_info(&mut self, job: &Job) -> Outcome {
        let Some(data) = self.change_leader_data(job) else { return Outcome::Failed };
        let Some(table) = self.zk.tables.get_mut(job.partition.tid) else { return Outcome::Failed };
        let changed = table.change(job.partition.pid, |partition| {
            let old = partition.partition_meta.iter().rposition(|meta| meta.is_leader && meta.is_alive());
            if let Some(old) = old.and_then(|at| partition.partition_meta.get_mut(at)) {
                old.is_alive = Some(false);
            }
            let new = partition.partition_meta.iter_mut().find(|meta| meta.endpoint == data.leader());
            if let Some(new) = new {
                new.is_leader = true;
            }
            partition.term_offset.push(TermPair { term: data.term(), offset: data.offset() + 1 });
        });
        if changed.is_none() {
            return Outcome::Failed;
        }
        self.write_table(job.partition.tid);
        Outcome::Done
    }

    fn change_leader_data(&self, job: &Job) -> Option<ChangeLeaderData> {
        match &self.memory.lanes.head(job.lane)?.record.data {
            OpData::ChangeLeader(data) => Some(data.clone()),
            _ => None,
        }
    }
}
