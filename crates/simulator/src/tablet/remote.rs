//! A tablet of a cluster that follows another one (docs/openmldb/remote-clusters.md#who-follows).

use openmldb_model::{PartitionId, Role, Tid};

use super::entry::partition_id;
use super::{Entry, TableSpec, Tablets};

impl Tablets {
    /// SetMode: whether its cluster follows another one. A process that was started anew does not know.
    pub fn set_follows(&mut self, endpoint: &str, follows: bool) {
        if let Some(machine) = self.machine_mut(endpoint) {
            machine.follows = follows;
        }
    }

    /// Gives a tablet of another cluster a replica that leads there, with the entries that a replica of ours has. Whether there is
    /// such a tablet, and such a replica.
    pub fn copy_to_remote(&mut self, from: &str, id: PartitionId, to: &str, remote_tid: u32) -> bool {
        let (tid, pid) = (id.tid.0, id.pid.0);
        let held = self.log(from, tid, pid).map(<[Entry]>::to_vec);
        let Some(entries) = held.or_else(|| self.log_on_disk(from, tid, pid)) else { return false };
        let Some(schema) = self.schema(from, id) else { return false };
        let table = TableSpec { tid: remote_tid, pid, schema };
        if self.create_table(to, table, Role::Leader, 1, &[]).is_err() {
            return false;
        }
        let there = PartitionId { tid: Tid(remote_tid), ..id };
        let Some(at) = self.reach(to) else { return false };
        if let Ok((replica, binlog)) = self.machines[at].replica_and_binlog(there) {
            entries.into_iter().for_each(|entry| replica.append(binlog, entry));
        }
        true
    }

    /// Has a leader replicate to a replica of another cluster, as it would after the operation that adds it.
    pub fn replicate_to_remote(&mut self, leader: &str, id: PartitionId, to: &str, remote_tid: u32) {
        if let Some(at) = self.reach(leader) {
            self.add_target(at, partition_id(id.tid.0, id.pid.0), to, Some(remote_tid));
            self.start_syncing(at, id);
        }
    }
}
