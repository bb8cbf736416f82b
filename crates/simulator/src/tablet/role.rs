//! Who leads, and to whom a leader replicates: ChangeRole, AddReplica, DelReplica, GetTableFollower
//! (docs/openmldb/logs-and-terms.md#addreplica-delreplica-changerole).

use std::sync::Arc;

use super::Tablets;
use super::entry::partition_id;
use super::load::{id_of, role_of};
use super::refusal::{
    FAIL_TO_ADD_REPLICA, NAME_NOT_FOUND, NO_FOLLOWER, OK, Outcome, REPLICA_ALREADY_EXISTS, Refusal, TABLE_IS_FOLLOWER,
    TABLE_IS_LEADER, TABLE_IS_LOADING, code_and_msg, general,
};
use openmldb_model::{PartitionId, Role, State};
use openmldb_wire::api::{self, TaskType};

impl Tablets {
    pub(super) fn change_role(&mut self, at: usize, request: &api::ChangeRoleRequest) -> api::ChangeRoleResponse {
        let (code, msg) = code_and_msg(self.try_change_role(at, request));
        api::ChangeRoleResponse { code, msg }
    }

    /// A replica that is queued to load passes: only kTableLoading is refused.
    fn try_change_role(&mut self, at: usize, request: &api::ChangeRoleRequest) -> Outcome {
        let id = id_of(request.tid, request.pid);
        let knows_names = request.replicas.iter().all(|replica| self.knows_name(replica));
        let replica = self.machines[at].replica_mut(id)?;
        if replica.state == State::Loading {
            return Err(TABLE_IS_LOADING);
        }
        if role_of(request.mode()) == Role::Follower {
            if replica.role == Role::Follower {
                return Ok("table is follower");
            }
            replica.role = Role::Follower;
            replica.targets.clear();
            return OK;
        }
        if !knows_names {
            return Err(NAME_NOT_FOUND);
        }
        if replica.role == Role::Leader {
            return Err(TABLE_IS_LEADER);
        }
        replica.role = Role::Leader;
        replica.term = request.term();
        self.add_targets(at, id, &request.replicas);
        for remote in &request.endpoint_tid {
            self.add_target(at, id, remote.endpoint(), remote.tid);
        }
        self.start_syncing(at, id);
        OK
    }

    pub(super) fn add_replica(&mut self, at: usize, request: api::ReplicaRequest) -> api::AddReplicaResponse {
        let id = partition_id(request.tid(), request.pid());
        let (endpoint, remote_tid) = (request.endpoint().to_owned(), request.remote_tid);
        let outcome = match self.machines[at].tasks.begin(request.task_info, TaskType::KAddReplica) {
            Ok(task) => {
                let outcome = self.try_add_replica(at, id, &endpoint, remote_tid);
                // 119 is an error to the caller, but the task counts as done
                // (docs/openmldb/logs-and-terms.md#addreplica-delreplica-changerole).
                let done = outcome.is_ok() || outcome == Err(REPLICA_ALREADY_EXISTS);
                self.machines[at].tasks.end(task, done);
                outcome
            }
            Err(refusal) => Err(refusal),
        };
        let (code, msg) = code_and_msg(outcome);
        api::AddReplicaResponse { code, msg }
    }

    fn try_add_replica(&mut self, at: usize, id: PartitionId, endpoint: &str, remote_tid: Option<u32>) -> Outcome {
        let is_known = self.knows_name(endpoint);
        let replica = self.leader(at, id)?;
        if !is_known {
            return Err(NAME_NOT_FOUND);
        }
        if endpoint.is_empty() {
            return Err(FAIL_TO_ADD_REPLICA);
        }
        if replica.has_target(endpoint) {
            return Err(REPLICA_ALREADY_EXISTS);
        }
        self.add_target(at, id, endpoint, remote_tid);
        self.start_syncing(at, id);
        OK
    }

    pub(super) fn del_replica(&mut self, at: usize, request: api::ReplicaRequest) -> api::GeneralResponse {
        let id = partition_id(request.tid(), request.pid());
        let endpoint = request.endpoint().to_owned();
        let task = match self.machines[at].tasks.begin(request.task_info, TaskType::KDelReplica) {
            Ok(task) => task,
            Err(refusal) => return general(Err(refusal)),
        };
        let outcome = self.leader(at, id).map(|replica| {
            let before = replica.targets.len();
            replica.targets.retain(|target| *target.endpoint != *endpoint);
            if replica.targets.len() < before { "ok" } else { "replica does not exist" }
        });
        self.machines[at].tasks.end(task, outcome.is_ok());
        general(outcome)
    }

    pub(super) fn table_follower(
        &mut self,
        at: usize,
        request: &api::GetTableFollowerRequest,
    ) -> api::GetTableFollowerResponse {
        let leader = match self.leader(at, id_of(request.tid, request.pid)) {
            Ok(leader) => leader,
            Err(refusal) => {
                let (code, msg) = code_and_msg(Err(refusal));
                return api::GetTableFollowerResponse { code, msg, ..Default::default() };
            }
        };
        let (code, msg) = code_and_msg(if leader.targets.is_empty() { Err(NO_FOLLOWER) } else { OK });
        let follower_info = leader
            .targets
            .iter()
            .map(|target| api::FollowerInfo {
                endpoint: Some(target.endpoint.to_string()),
                offset: Some(target.synced),
            })
            .collect();
        api::GetTableFollowerResponse { code, msg, offset: Some(leader.offset), follower_info }
    }

    /// A replica in role leader, whatever its state.
    fn leader(&mut self, at: usize, id: PartitionId) -> Result<&mut super::replica::Replica, Refusal> {
        let replica = self.machines[at].replica_mut(id)?;
        if replica.role == Role::Leader { Ok(replica) } else { Err(TABLE_IS_FOLLOWER) }
    }

    /// Adds followers, without contacting them yet. A leader's own endpoint and repeated ones are left out.
    pub(super) fn add_targets(&mut self, at: usize, id: PartitionId, endpoints: &[String]) {
        for endpoint in endpoints {
            self.add_target(at, id, endpoint, None);
        }
    }

    /// The same of one, or of a replica of a cluster that follows this one.
    pub(super) fn add_target(&mut self, at: usize, id: PartitionId, endpoint: &str, remote_tid: Option<u32>) {
        let target = self.next_id();
        let machine = &mut self.machines[at];
        let is_self = *machine.endpoint == *endpoint;
        if let Some(replica) = machine.replicas.get_mut(&id).filter(|replica| !is_self && !replica.has_target(endpoint))
        {
            replica.add_target(Arc::from(endpoint), remote_tid, target);
        }
    }
}
