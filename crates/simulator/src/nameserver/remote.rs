//! What a nameserver keeps of other clusters (docs/openmldb/remote-clusters.md#what-metadata-has).

use openmldb_model::Zone;
use openmldb_wire::nameserver::PartitionMeta;

use super::Nameservers;

impl Nameservers {
    /// Whether its cluster follows another one, or is followed.
    pub fn zone(&self) -> &Zone {
        &self.zk.zone
    }

    /// Sets it.
    pub fn set_zone(&mut self, zone: Zone) {
        self.zk.zone = zone;
    }

    /// A partition has a replica in another cluster.
    pub fn add_remote(&mut self, tid: u32, pid: u32, remote: PartitionMeta) {
        let Some(table) = self.zk.tables.get_mut(tid) else { return };
        table.change(pid, |partition| partition.remote_partition_meta.push(remote));
        table.written();
        self.zk.table_notify += 1;
    }
}
