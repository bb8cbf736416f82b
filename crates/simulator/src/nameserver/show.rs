//! What a leading nameserver shows: tables, tablets, databases, ops, configuration
//! (docs/openmldb/nameserver.md#what-showtable-shows).

use super::Leading;
use super::metadata::Table;
use super::spec::SYSTEM_DATABASES;
use openmldb_model::{FollowedBy, Zone};
use openmldb_wire::nameserver::{
    ClusterAddAge, ClusterAddress, ConfGetResponse, Pair, ShowDatabaseResponse, ShowOpStatusRequest,
    ShowOpStatusResponse, ShowReplicaClusterResponse, ShowTableRequest, ShowTableResponse, ShowTabletResponse,
    TableInfo, TabletStatus,
};

impl Leading<'_> {
    /// Tables older than databases, and those of one database or of all. A name that is given filters, even an empty one.
    pub(super) fn show_table(&self, request: &ShowTableRequest) -> ShowTableResponse {
        let tables = &self.zk.tables;
        let db = Some(request.db()).filter(|db| !db.is_empty());
        let databases = [Some(""), db].into_iter().flatten();
        let table_info: Vec<_> = match &request.name {
            name if request.show_all() => {
                let wanted = |table: &&Table| name.as_ref().is_none_or(|name| name == table.name());
                tables.in_order().filter(wanted).map(shown).collect()
            }
            Some(name) => databases.filter_map(|db| tables.find(db, name)).map(shown).collect(),
            None => databases.flat_map(|db| tables.of_database(db)).map(shown).collect(),
        };
        ShowTableResponse { table_info, code: 0, msg: ok() }
    }

    /// Every tablet this nameserver has ever seen, with the time since its state changed.
    pub(super) fn show_tablet(&self) -> ShowTabletResponse {
        let real_endpoint = |endpoint: &str| {
            let unknown = (!self.zk.names.is_empty()).then(|| "-".to_owned());
            self.zk.names.get(endpoint).cloned().or(unknown)
        };
        let line = |(endpoint, healthy, since): (&str, bool, u64)| TabletStatus {
            endpoint: Some(endpoint.to_owned()),
            state: Some(if healthy { "kHealthy" } else { "kOffline" }.to_owned()),
            age: Some(self.now.saturating_sub(since)),
            real_endpoint: real_endpoint(endpoint),
        };
        ShowTabletResponse { tablets: self.memory.members.all().map(line).collect(), code: Some(0), msg: ok() }
    }

    pub(super) fn show_database(&self) -> ShowDatabaseResponse {
        let own = |db: &&String| !SYSTEM_DATABASES.contains(&db.as_str());
        ShowDatabaseResponse { code: Some(0), msg: ok(), db: self.zk.databases.iter().filter(own).cloned().collect() }
    }

    /// Ops by number. What is absent from the request does not filter.
    pub(super) fn show_op_status(&mut self, request: &ShowOpStatusRequest) -> ShowOpStatusResponse {
        self.memory.lanes.trim(self.settings.max_op_num);
        let mut op_status: Vec<_> = self
            .memory
            .lanes
            .all()
            .filter(|op| request.op_id.is_none_or(|id| id == op.record.id))
            .filter(|op| request.pid.is_none_or(|pid| pid == op.record.pid))
            .filter(|op| request.name.as_ref().is_none_or(|name| *name == op.record.name))
            .filter(|op| request.db.as_ref().is_none_or(|db| *db == op.record.db))
            .map(super::op::Op::line)
            .collect();
        op_status.sort_by_key(|line| line.op_id);
        ShowOpStatusResponse { code: Some(0), msg: ok(), op_status }
    }

    /// Who follows this cluster. One that follows another refuses.
    pub(super) fn show_replica_cluster(&self) -> ShowReplicaClusterResponse {
        let followed_by = match &self.zk.zone {
            Zone::Follows { .. } => {
                let msg = Some("cur nameserver is not leader, is follower cluster".to_owned());
                return ShowReplicaClusterResponse { code: Some(300), msg, ..Default::default() };
            }
            Zone::Leads { followed_by } => followed_by.as_slice(),
            Zone::Alone => &[],
        };
        let line = |by: &FollowedBy| ClusterAddAge {
            replica: Some(ClusterAddress {
                zk_endpoints: Some(by.zk_cluster.clone()),
                zk_path: Some(by.zk_root_path.clone()),
                alias: Some(by.alias.clone()),
            }),
            age: Some(self.now),
            state: Some(if by.is_healthy { "kClusterHealthy" } else { "kClusterOffline" }.to_owned()),
        };
        ShowReplicaClusterResponse { replicas: followed_by.iter().map(line).collect(), code: Some(0), msg: ok() }
    }

    pub(super) fn conf_get(&self) -> ConfGetResponse {
        let value = self.zk.auto_failover.to_string();
        ConfGetResponse { code: 0, msg: ok(), conf: vec![Pair { key: "auto_failover".to_owned(), value }] }
    }
}

/// A table without its deleted indexes.
fn shown(table: &Table) -> TableInfo {
    let mut info = table.live();
    info.column_key.retain(|key| key.flag() == 0);
    info
}

fn ok() -> Option<String> {
    Some("ok".to_owned())
}
