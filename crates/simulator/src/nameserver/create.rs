//! Databases and tables made and dropped: how a sandbox gets its contents.

use super::metadata::Table;
use super::{Millis, Nameservers, PartitionKey, SpecError, TableSpec, TabletPort};
use openmldb_wire::api::DropTableRequest;
use openmldb_wire::call::TabletCall;
use openmldb_wire::nameserver::{PartitionMeta, TablePartition, TermPair};

impl Nameservers {
    /// CREATE DATABASE.
    ///
    /// # Errors
    /// It exists, or nobody leads.
    pub fn create_database(&mut self, db: &str) -> Result<(), SpecError> {
        if self.memory.is_none() {
            return Err(SpecError::NoLeader);
        }
        if !self.zk.databases.insert(db.to_owned()) {
            return Err(SpecError::DatabaseExists(db.to_owned()));
        }
        Ok(())
    }

    /// Creates a table on the tablets its placement names, followers before leaders, and answers its tid.
    ///
    /// # Errors
    /// No such database, a table of that name, a placement on tablets that are not healthy, or nobody leads.
    pub fn create_table(
        &mut self,
        now: Millis,
        spec: &TableSpec,
        tablets: &mut dyn TabletPort,
    ) -> Result<u32, SpecError> {
        self.advance_to(now, tablets);
        let leading = self.leading(tablets).ok_or(SpecError::NoLeader)?;
        if !spec.db.is_empty() && !leading.zk.databases.contains(&spec.db) {
            return Err(SpecError::NoSuchDatabase(spec.db.clone()));
        }
        if leading.zk.tables.tid(&spec.db, &spec.name).is_some() {
            return Err(SpecError::TableExists(spec.name.clone()));
        }
        for (pid, placement) in spec.placement.iter().enumerate() {
            let healthy = placement.replicas.iter().all(|replica| leading.memory.members.is_healthy(replica));
            if !healthy || placement.leader >= placement.replicas.len() {
                return Err(SpecError::BadPlacement(pid));
            }
        }
        leading.zk.table_index += 1;
        let (tid, term) = (leading.zk.table_index, leading.zk.term);
        let mut partitions = Vec::with_capacity(spec.placement.len());
        for (pid, placement) in (0_u32..).zip(&spec.placement) {
            let key = PartitionKey { tid, pid };
            let is_leader = |at| at == placement.leader;
            let others = || placement.replicas.iter().enumerate().filter(|(at, _)| !is_leader(*at));
            for (_, follower) in others() {
                leading.tablets.create_table(follower, key, spec, false, term, &[]);
            }
            if let Some(leader) = placement.replicas.get(placement.leader) {
                let followers: Vec<_> = others().map(|(_, follower)| follower.clone()).collect();
                leading.tablets.create_table(leader, key, spec, true, term, &followers);
            }
            let meta = |(at, endpoint): (usize, &String)| PartitionMeta {
                endpoint: endpoint.clone(),
                is_leader: is_leader(at),
                ..PartitionMeta::default()
            };
            partitions.push(TablePartition {
                pid,
                partition_meta: placement.replicas.iter().enumerate().map(meta).collect(),
                term_offset: vec![TermPair { term, offset: 0 }],
                ..TablePartition::default()
            });
        }
        leading.zk.tables.insert(&spec.db, &spec.name, tid, Table::new(spec.head(tid), partitions));
        leading.zk.table_notify += 1;
        Ok(tid)
    }

    /// Drops a table from metadata and from the alive replicas on healthy tablets. The others keep their directories.
    ///
    /// # Errors
    /// No such table, or nobody leads.
    pub fn drop_table(
        &mut self,
        now: Millis,
        db: &str,
        name: &str,
        tablets: &mut dyn TabletPort,
    ) -> Result<(), SpecError> {
        self.advance_to(now, tablets);
        let leading = self.leading(tablets).ok_or(SpecError::NoLeader)?;
        let table = leading.zk.tables.remove(db, name).ok_or_else(|| SpecError::NoSuchTable(name.to_owned()))?;
        leading.zk.table_notify += 1;
        let tid = table.head.tid.and_then(|tid| i32::try_from(tid).ok());
        for partition in table.partitions() {
            let reached = |meta: &&PartitionMeta| meta.is_alive() && leading.memory.members.is_healthy(&meta.endpoint);
            for meta in partition.partition_meta.iter().filter(reached) {
                let request = DropTableRequest { tid, pid: i32::try_from(partition.pid).ok(), task_info: None };
                // A tablet that refuses keeps its replica, and nobody hears of it.
                let _ = leading.tablets.call(&meta.endpoint, TabletCall::DropTable(request));
            }
        }
        Ok(())
    }
}
