//! A nameserver that becomes leader reads everything from ZooKeeper again
//! (docs/openmldb/metadata-in-zookeeper.md#what-a-nameserver-reads): here from a real one, which somebody else may have changed, lost
//! or put back meanwhile.

use std::collections::BTreeMap;

use openmldb_wire::api::{OpType, TaskStatus};
use openmldb_wire::node;
use prost::Message;

use super::metadata::{Table, Tables};
use super::op::{OpData, OpRecord};
use super::spec::{SYSTEM_DATABASES, system_tables};
use super::zookeeper::Kept;
use super::{Millis, Nameservers, TabletPort};

/// Nodes below the root path, by path.
pub type Nodes = BTreeMap<String, Vec<u8>>;

/// Something that a nameserver dies of.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{path} holds no number")]
struct NoNumber {
    path: &'static str,
}

impl Nameservers {
    /// From now on whoever becomes leader waits until [`Nameservers::metadata_read`] says what ZooKeeper holds.
    pub fn read_metadata_back(&mut self) {
        self.reads_back = true;
    }

    /// Whether a process has the lock and waits for what ZooKeeper holds.
    pub fn waits_for_metadata(&self) -> bool {
        self.reading.is_some()
    }

    /// What ZooKeeper holds, for the process that waits for it: that one leads from now on, or dies of what it reads.
    pub fn metadata_read(&mut self, nodes: &Nodes, now: Millis, tablets: &mut dyn TabletPort) {
        self.now = self.now.max(now);
        let Some(endpoint) = self.reading.take() else { return };
        if let Err(error) = self.zk.read(nodes, self.settings.auto_failover) {
            tracing::warn!(%error, endpoint, "the nameserver dies of what it reads");
            self.kill(&endpoint);
            return;
        }
        self.lead(&endpoint, tablets);
        self.create_system_tables(tablets);
    }

    /// Those that are missing are created anew.
    fn create_system_tables(&mut self, tablets: &mut dyn TabletPort) {
        let Some(memory) = &self.memory else { return };
        let copies = self.settings.system_table_replica_num.max(1);
        let on: Vec<String> = memory.members.healthy().take(copies).map(str::to_owned).collect();
        for spec in system_tables(|_| on.clone()) {
            if self.zk.tables.tid(&spec.db, &spec.name).is_none()
                && let Err(error) = self.create_table(self.now, &spec, tablets)
            {
                tracing::warn!(%error, table = spec.name, "a system table could not be created");
            }
        }
    }
}

impl Kept {
    /// Takes what is there for what is, sessions aside: as a nameserver's Recover does, with what it does where something is missing
    /// or cannot be read.
    fn read(&mut self, nodes: &Nodes, auto_failover: bool) -> Result<(), NoNumber> {
        let table_index = number(nodes, "table/table_index", 1)?;
        self.table_index = u32::try_from(table_index).map_err(|_| NoNumber { path: "table/table_index" })?;
        self.term = number(nodes, "table/term", 1)?;
        self.op_index = number(nodes, "op/op_index", 0)?;
        self.table_notify = number(nodes, "table/notify", 1)?;
        self.global_notify = number(nodes, "notify/global_variable", 1)?;
        self.auto_failover = nodes.get("config/auto_failover").map_or(auto_failover, |value| value == b"true");
        self.databases = children(nodes, "db").map(|(name, _)| name.to_owned()).collect();
        self.tables = Tables::default();
        for (tid, data) in children(nodes, "table/db_table_data") {
            // What cannot be read, and what has no database, is passed over.
            let (Ok(mut table), Ok(tid)) = (node::table(data), tid.parse()) else { continue };
            if !self.databases.contains(table.db()) {
                continue;
            }
            let partitions = std::mem::take(&mut table.table_partition);
            let (db, name) = (table.db().to_owned(), table.name().to_owned());
            if self.tables.tid(&db, &name).is_none() {
                self.tables.insert(&db, &name, tid, Table::new(table, partitions));
            }
        }
        self.databases.extend(SYSTEM_DATABASES.map(str::to_owned));
        self.ops = children(nodes, "op/op_data").filter_map(|(_, data)| op(data)).map(|op| (op.id, op)).collect();
        let text = |data: &[u8]| String::from_utf8_lossy(data).into_owned();
        self.names = children(nodes, "map/names").map(|(name, data)| (name.to_owned(), text(data))).collect();
        Ok(())
    }
}

fn number(nodes: &Nodes, path: &'static str, at_first: u64) -> Result<u64, NoNumber> {
    let Some(data) = nodes.get(path) else { return Ok(at_first) };
    let text = std::str::from_utf8(data).ok();
    text.and_then(|text| text.parse().ok()).ok_or(NoNumber { path })
}

/// A node's children by name.
fn children<'a>(nodes: &'a Nodes, parent: &str) -> impl Iterator<Item = (&'a str, &'a [u8])> {
    let prefix = format!("{parent}/");
    let below = nodes.iter().filter_map(move |(path, data)| Some((path.strip_prefix(&prefix)?, data.as_slice())));
    below.filter(|(name, _)| !name.contains('/'))
}

/// An op that is taken over: not what cannot be read, nor what is over.
fn op(data: &[u8]) -> Option<OpRecord> {
    let info = node::op(data).ok()?;
    let (kind, status) = (OpType::try_from(info.op_type).ok()?, info.task_status());
    if matches!(status, TaskStatus::KDone | TaskStatus::KCanceled) {
        return None;
    }
    Some(OpRecord {
        id: info.op_id,
        kind,
        data: works_with(kind, &info.data)?,
        status,
        task_index: info.task_index,
        start_time: info.start_time(),
        end_time: info.end_time(),
        db: info.db().to_owned(),
        name: info.name().to_owned(),
        pid: info.pid(),
        parent: Some(info.parent_id()).filter(|parent| info.parent_id.is_some() && *parent != u64::MAX),
        lane: usize::try_from(info.vec_idx()).ok()?,
    })
}

fn works_with(kind: OpType, data: &[u8]) -> Option<OpData> {
    match kind {
        OpType::KRecoverTableOp
        | OpType::KReAddReplicaOp
        | OpType::KReAddReplicaNoSendOp
        | OpType::KReAddReplicaWithDropOp
        | OpType::KReAddReplicaSimplifyOp => Message::decode(data).ok().map(OpData::Recover),
        OpType::KChangeLeaderOp => Message::decode(data).ok().map(OpData::ChangeLeader),
        OpType::KUpdatePartitionStatusOp => Message::decode(data).ok().map(OpData::Status),
        OpType::KOfflineReplicaOp | OpType::KDelReplicaOp | OpType::KReLoadTableOp => {
            String::from_utf8(data.to_vec()).ok().map(OpData::Endpoint)
        }
        OpType::KAddReplicaOp => Message::decode(data).ok().map(OpData::AddReplica),
        OpType::KMigrateOp => Message::decode(data).ok().map(OpData::Migrate),
        OpType::KMakeSnapshotOp | OpType::KUpdateTableAliveOp => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn nodes(kept: &Kept) -> Nodes {
        kept.tree()
            .into_iter()
            .filter(|node| node.ephemeral_owner.is_none())
            .map(|node| (node.path, node.data))
            .collect()
    }

    fn kept() -> Kept {
        let mut kept = Kept::new(false);
        (kept.term, kept.table_index, kept.op_index, kept.table_notify) = (9, 7, 4, 12);
        kept.databases.insert("shop".to_owned());
        let spec = crate::nameserver::TableSpec {
            placement: vec![crate::nameserver::Placement::at(&["a:1", "b:1"])],
            ..crate::nameserver::TableSpec { db: "shop".into(), name: "orders".into(), ..Default::default() }
        };
        let partition = openmldb_wire::nameserver::TablePartition::default();
        kept.tables.insert("shop", "orders", 7, Table::new(spec.head(7), vec![partition]));
        let op = OpRecord {
            id: 4,
            kind: OpType::KMigrateOp,
            data: OpData::Migrate(super::super::op::MigrateInfo {
                src_endpoint: Some("a:1".to_owned()),
                des_endpoint: Some("b:1".to_owned()),
            }),
            status: TaskStatus::KDoing,
            task_index: 1,
            start_time: 3,
            end_time: 0,
            db: "shop".to_owned(),
            name: "orders".to_owned(),
            pid: 0,
            parent: Some(2),
            lane: 1,
        };
        kept.ops.insert(4, op);
        kept.names.insert("n1".to_owned(), "a:1".to_owned());
        kept
    }

    #[test]
    fn what_is_written_is_read() {
        let mut read = Kept::new(true);
        read.read(&nodes(&kept()), true).unwrap();
        assert_eq!(nodes(&read), nodes(&kept()));
    }

    #[test]
    fn what_is_missing_begins_anew_and_what_is_spoilt_is_passed_over_or_kills() {
        let mut read = kept();
        read.read(&Nodes::new(), true).unwrap();
        assert_eq!(nodes(&read), nodes(&Kept::new(true)));
        let mut spoilt = nodes(&kept());
        spoilt.insert("table/db_table_data/7".to_owned(), vec![0xff]);
        spoilt.insert("op/op_data/4".to_owned(), vec![0xff]);
        read.read(&spoilt, true).unwrap();
        assert!(read.tables.is_empty() && read.ops.is_empty());
        let mut no_database = nodes(&kept());
        no_database.remove("db/shop");
        read.read(&no_database, true).unwrap();
        assert!(read.tables.is_empty());
        spoilt.insert("table/term".to_owned(), b"x".to_vec());
        assert_eq!(read.read(&spoilt, true).unwrap_err().path, "table/term");
    }
}
