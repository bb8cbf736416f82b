//! What ZooKeeper holds for the nameservers, and the tree it would show (docs/openmldb/metadata-in-zookeeper.md#paths).

use std::collections::{BTreeMap, BTreeSet};

use openmldb_model::Zone;
use openmldb_wire::nameserver::{ServerMode, ZoneInfo};
use prost::Message;

use super::Millis;
use super::metadata::Tables;
use super::op::OpRecord;
use super::spec::SYSTEM_DATABASES;

/// A node of ZooKeeper's tree.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Znode {
    /// Its path below the root path, without a leading slash.
    pub path: String,
    /// Its data.
    pub data: Vec<u8>,
    /// Whose session keeps it; none for a persistent node.
    pub ephemeral_owner: Option<String>,
}

/// Everything that outlives a nameserver process. Tables also hold what only the leading nameserver's memory has; that
/// part is dropped when it dies ([`Tables::revert_to_saved`]).
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) auto_failover: bool,
    pub(super) databases: BTreeSet<String>,
    pub(super) tables: Tables,
    /// `R/table/term`.
    pub(super) term: u64,
    /// `R/table/table_index`: the last tid given out.
    pub(super) table_index: u32,
    /// `R/op/op_index`: the last op id given out.
    pub(super) op_index: u64,
    pub(super) ops: BTreeMap<u64, OpRecord>,
    /// `R/table/notify`.
    pub(super) table_notify: u64,
    /// `R/notify/global_variable`.
    pub(super) global_notify: u64,
    /// `R/nodes`: the tablets' sessions; true for one that registered as a new process (`startup_`).
    pub(super) nodes: BTreeMap<String, bool>,
    /// `R/leader`, by sequence number.
    pub(super) locks: BTreeMap<u32, LockNode>,
    next_lock: u32,
    /// `R/map/names`.
    pub(super) names: BTreeMap<String, String>,
    /// `R/cluster`: whether it follows another cluster, or is followed.
    pub(super) zone: Zone,
}

/// A nameserver's place in the queue for the lock.
#[derive(Debug, Clone)]
pub(super) struct LockNode {
    pub(super) endpoint: String,
    /// When it goes, if its process is dead.
    pub(super) expires: Option<Millis>,
}

impl Kept {
    pub(super) fn new(auto_failover: bool) -> Self {
        Self {
            auto_failover,
            databases: SYSTEM_DATABASES.map(str::to_owned).into(),
            tables: Tables::default(),
            term: 1,
            table_index: 1,
            op_index: 0,
            ops: BTreeMap::new(),
            table_notify: 1,
            global_notify: 1,
            nodes: BTreeMap::new(),
            locks: BTreeMap::new(),
            next_lock: 0,
            names: BTreeMap::new(),
            zone: Zone::Alone,
        }
    }

    pub(super) fn queue_for_lock(&mut self, endpoint: &str) {
        self.locks.insert(self.next_lock, LockNode { endpoint: endpoint.to_owned(), expires: None });
        self.next_lock += 1;
    }

    /// The tree below the root path, parents before children.
    pub(super) fn tree(&self) -> Vec<Znode> {
        let mut nodes: BTreeMap<String, (Vec<u8>, Option<String>)> = BTreeMap::new();
        let mut put = |path: String, data: Vec<u8>| {
            nodes.insert(path, (data, None));
        };
        let empty = ["config", "data", "data/function", "db", "leader", "nodes", "notify", "op", "op/op_data", "table"];
        for path in empty.into_iter().chain(["table/db_table_data"]) {
            put(path.to_owned(), Vec::new());
        }
        put("config/auto_failover".to_owned(), self.auto_failover.to_string().into());
        put("notify/global_variable".to_owned(), self.global_notify.to_string().into());
        put("op/op_index".to_owned(), self.op_index.to_string().into());
        put("table/notify".to_owned(), self.table_notify.to_string().into());
        put("table/table_index".to_owned(), self.table_index.to_string().into());
        put("table/term".to_owned(), self.term.to_string().into());
        for db in &self.databases {
            put(format!("db/{db}"), Vec::new());
        }
        for (tid, table) in self.tables.by_tid() {
            put(format!("table/db_table_data/{tid}"), table.saved().encode_to_vec());
        }
        for (id, op) in &self.ops {
            put(format!("op/op_data/{id}"), op.encode());
        }
        if !self.names.is_empty() {
            put("map".to_owned(), Vec::new());
            put("map/names".to_owned(), Vec::new());
        }
        if let Some(info) = zone_info(&self.zone) {
            put("cluster".to_owned(), Vec::new());
            put("cluster/follower".to_owned(), info.encode_to_vec());
        }
        for (name, endpoint) in &self.names {
            put(format!("map/names/{name}"), endpoint.clone().into());
        }
        for (sequence, lock) in &self.locks {
            let owner = Some(lock.endpoint.clone());
            nodes.insert(format!("leader/lock_request{sequence:010}"), (lock.endpoint.clone().into(), owner));
        }
        for (endpoint, restarted) in &self.nodes {
            let prefix = if *restarted { "startup_" } else { "" };
            nodes.insert(format!("nodes/{endpoint}"), (format!("{prefix}{endpoint}").into(), Some(endpoint.clone())));
        }
        nodes.into_iter().map(|(path, (data, ephemeral_owner))| Znode { path, data, ephemeral_owner }).collect()
    }
}

/// What `R/cluster/follower` holds; none where no cluster ever had to do with another.
fn zone_info(zone: &Zone) -> Option<ZoneInfo> {
    let mode = match zone {
        Zone::Alone => return None,
        Zone::Leads { .. } => ServerMode::KLeader,
        Zone::Follows { .. } => ServerMode::KFollower,
    };
    let (zone_name, replica_alias) = match zone {
        Zone::Follows { leader, alias } => (leader.clone(), alias.clone()),
        Zone::Alone | Zone::Leads { .. } => (None, None),
    };
    Some(ZoneInfo { zone_name, replica_alias, zone_term: Some(1), mode: Some(mode.into()) })
}
