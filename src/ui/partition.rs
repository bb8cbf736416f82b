//! A partition as the nameserver's metadata have it.

use serde::Serialize;

use crate::model::{Partition, PartitionId, Pid, RemoteReplica, Replica, Snapshot, Table, TermStart, Tid};

use super::words::one_line;

/// A partition's metadata.
#[derive(Debug, Serialize)]
#[serde(tag = "event", rename = "partition_metadata")]
pub struct PartitionLine<'a> {
    db: &'a str,
    table: &'a str,
    tid: Tid,
    pid: Pid,
    replicas: &'a [Replica],
    /// Where each of its terms began, oldest first (`term_offset`).
    terms: &'a [TermStart],
    /// Its replicas in clusters that follow this one.
    #[serde(skip_serializing_if = "<[_]>::is_empty")]
    remotes: &'a [RemoteReplica],
    /// The table that it is a partition of.
    #[serde(skip)]
    pub of: &'a Table,
}

impl<'a> PartitionLine<'a> {
    /// Every partition there is.
    pub fn all(seen: &'a Snapshot) -> impl Iterator<Item = Self> {
        seen.tables.iter().flat_map(|table| table.partitions.iter().map(|partition| Self::new(table, partition)))
    }

    fn new(of: &'a Table, partition: &'a Partition) -> Self {
        let Partition { pid, terms, replicas, remotes } = partition;
        Self { db: &of.name.db, table: &of.name.table, tid: of.tid, pid: *pid, replicas, terms, remotes, of }
    }

    /// Which partition it is.
    pub fn id(&self) -> PartitionId {
        PartitionId { tid: self.tid, pid: self.pid }
    }
}

/// For people.
pub fn partition_text(line: &PartitionLine<'_>) -> String {
    let mut text = format!("{}/{} (tid {})\n", one_line(&line.of.name.to_string()), line.pid, line.tid);
    for Replica { endpoint, is_leader, is_alive, offset } in line.replicas {
        let role = if *is_leader { "leader" } else { "follower" };
        let alive = if *is_alive { "alive" } else { "not alive" };
        let offset = offset.map_or(String::new(), |offset| format!(", offset {offset}"));
        text += &format!("  {endpoint}: {role}, {alive}{offset}\n");
    }
    for RemoteReplica { endpoint, tid, alias, .. } in line.remotes {
        text += &format!("  {endpoint}: follower in the cluster {alias} (tid {tid} there)\n");
    }
    for TermStart { term, start } in line.terms {
        text += &format!("  term {term} begins at offset {start}\n");
    }
    if line.terms.is_empty() {
        text += "  no history of terms (term_offset)\n";
    }
    text
}
