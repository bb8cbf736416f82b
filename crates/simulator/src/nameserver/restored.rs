//! Metadata put where it is, without any history: how a sandbox takes another cluster's likeness.

use super::metadata::Table;
use super::{Nameservers, TableSpec};
use openmldb_wire::nameserver::TablePartition;

impl Nameservers {
    /// Puts a table into ZooKeeper under its number, as if it had always been there; one of that number is replaced. No
    /// tablet hears of it: meant for a cluster that is about to be restarted.
    pub fn restore_table(&mut self, tid: u32, spec: &TableSpec, partitions: Vec<TablePartition>) {
        let newest = partitions.iter().flat_map(|partition| &partition.term_offset).map(|term| term.term).max();
        self.zk.databases.insert(spec.db.clone());
        self.zk.tables.insert(&spec.db, &spec.name, tid, Table::new(spec.head(tid), partitions));
        self.zk.table_index = self.zk.table_index.max(tid);
        self.zk.term = self.zk.term.max(newest.unwrap_or(0));
        self.zk.table_notify += 1;
    }
}
