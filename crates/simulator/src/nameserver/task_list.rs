//! The task list of each kind of op, made from the metadata of the moment
//! (docs/openmldb/operations.md#what-each-operation-does).

use std::collections::VecDeque;

use super::Leading;
use super::metadata::leader_of;
use super::op::{OpData, OpRecord, RecoverTableData};
use super::task::{Task, Work};
use openmldb_wire::api::{OpType, TableMode};

impl Leading<'_> {
    /// The tasks of an op; none if it cannot be created: no such partition, no alive leader, a tablet not healthy.
    pub(super) fn task_list(&self, op: &OpRecord) -> Option<VecDeque<Task>> {
        let works = match (&op.data, op.kind) {
            (OpData::Recover(data), OpType::KRecoverTableOp) => self.recover_table_works(op, data)?,
            (OpData::Recover(data), kind) => self.bring_back_works(op, kind, data)?,
            (OpData::ChangeLeader(_), _) => vec![Work::SelectLeader, Work::ChangeLeader, Work::UpdateLeaderInfo],
            (OpData::Status(data), _) => vec![Work::UpdatePartitionStatus {
                endpoint: data.endpoint().to_owned(),
                is_leader: data.is_leader(),
                is_alive: data.is_alive(),
            }],
            (OpData::Endpoint(endpoint), OpType::KReLoadTableOp) => {
                self.healthy(endpoint)?;
                let load = Work::LoadTable { on: endpoint.clone(), mode: TableMode::KTableLeader };
                let alive = Work::UpdatePartitionStatus { endpoint: endpoint.clone(), is_leader: true, is_alive: true };
                vec![load, alive]
            }
            (OpData::Endpoint(endpoint), OpType::KOfflineReplicaOp) => {
                let del_replica = Work::DelReplica { leader: self.healthy_leader(op)?, follower: endpoint.clone() };
                let dead =
                    Work::UpdatePartitionStatus { endpoint: endpoint.clone(), is_leader: false, is_alive: false };
                vec![del_replica, dead]
            }
            (OpData::Endpoint(endpoint), _) => {
                let del_replica = Work::DelReplica { leader: self.healthy_leader(op)?, follower: endpoint.clone() };
                let forget = Work::DelTableInfo { endpoint: endpoint.clone() };
                vec![del_replica, forget, Work::DropTable { on: endpoint.clone() }]
            }
            (OpData::AddReplica(request), _) => self.add_replica_works(op, &request.endpoint)?,
            (OpData::Migrate(data), _) => self.migrate_works(op, data.src_endpoint(), data.des_endpoint())?,
        };
        Some(works.into_iter().map(Task::new).collect())
    }

    /// A leader-flagged replica is taken on at once; any other is first cut off from the alive leader.
    fn recover_table_works(&self, op: &OpRecord, data: &RecoverTableData) -> Option<Vec<Work>> {
        if data.is_leader() {
            return Some(vec![Work::RecoverTable]);
        }
        let leader = self.healthy_leader(op)?;
        if leader == data.endpoint() {
            return None;
        }
        Some(vec![Work::DelReplica { leader, follower: data.endpoint().to_owned() }, Work::RecoverTable])
    }

    fn bring_back_works(&self, op: &OpRecord, kind: OpType, data: &RecoverTableData) -> Option<Vec<Work>> {
        let leader = self.healthy_leader(op)?;
        let follower = data.endpoint().to_owned();
        self.healthy(&follower)?;
        let mut works = Vec::new();
        if kind != OpType::KReAddReplicaSimplifyOp {
            works.push(Work::PauseSnapshot { leader: leader.clone() });
            if kind == OpType::KReAddReplicaWithDropOp {
                works.push(Work::DropTable { on: follower.clone() });
            }
            if kind != OpType::KReAddReplicaNoSendOp {
                works.push(Work::SendSnapshot { leader: leader.clone(), follower: follower.clone() });
            }
            works.push(Work::LoadTable { on: follower.clone(), mode: TableMode::KTableFollower });
        }
        works.push(Work::AddReplica { leader: leader.clone(), follower: follower.clone() });
        if kind != OpType::KReAddReplicaSimplifyOp {
            works.push(Work::RecoverSnapshot { leader });
        }
        works.extend(caught_up_and_alive(follower, data.offset_delta()));
        Some(works)
    }

    fn add_replica_works(&self, op: &OpRecord, endpoint: &str) -> Option<Vec<Work>> {
        let leader = self.healthy_leader(op)?;
        self.healthy(endpoint)?;
        let follower = endpoint.to_owned();
        let mut works = vec![
            Work::PauseSnapshot { leader: leader.clone() },
            Work::SendSnapshot { leader: leader.clone(), follower: follower.clone() },
            Work::LoadTable { on: follower.clone(), mode: TableMode::KTableFollower },
            Work::AddReplica { leader: leader.clone(), follower: follower.clone() },
            Work::RecoverSnapshot { leader },
            Work::AddTableInfo { endpoint: follower.clone() },
        ];
        works.extend(caught_up_and_alive(follower, self.settings.binlog_sync_delta));
        Some(works)
    }

    fn migrate_works(&self, op: &OpRecord, src: &str, des: &str) -> Option<Vec<Work>> {
        let leader = self.healthy_leader(op)?;
        self.healthy(src)?;
        self.healthy(des)?;
        let (src, des) = (src.to_owned(), des.to_owned());
        let delta = self.settings.binlog_sync_delta;
        Some(vec![
            Work::PauseSnapshot { leader: leader.clone() },
            Work::SendSnapshot { leader: leader.clone(), follower: des.clone() },
            Work::RecoverSnapshot { leader: leader.clone() },
            Work::LoadTable { on: des.clone(), mode: TableMode::KTableFollower },
            Work::AddReplica { leader: leader.clone(), follower: des.clone() },
            Work::AddTableInfo { endpoint: des.clone() },
            Work::CheckBinlogSyncProgress { follower: des.clone(), delta },
            Work::DelReplica { leader, follower: src.clone() },
            Work::UpdateTableInfo { src: src.clone(), des },
            Work::DropTable { on: src },
        ])
    }

    /// The partition's alive leader, if its tablet is healthy.
    fn healthy_leader(&self, op: &OpRecord) -> Option<String> {
        let leader = leader_of(self.zk.tables.partition(&op.db, &op.name, op.pid)?)?;
        self.healthy(&leader.endpoint)?;
        Some(leader.endpoint.clone())
    }

    fn healthy(&self, endpoint: &str) -> Option<()> {
        self.memory.members.is_healthy(endpoint).then_some(())
    }
}

fn caught_up_and_alive(follower: String, delta: u64) -> [Work; 2] {
    let caught_up = Work::CheckBinlogSyncProgress { follower: follower.clone(), delta };
    [caught_up, Work::UpdatePartitionStatus { endpoint: follower, is_leader: false, is_alive: true }]
}
