//! What the cluster is still doing because of a run when the run ends: nobody is left to wait for it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::{Action, Endpoint, Op, OpId, PartitionId, Pid, Seen, Snapshot, TableName};
use crate::recovery::{Load, Memory};

use super::scope::Scope;

/// Something that goes on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum OutstandingWork {
    /// A call that was sent and not answered: it may still take effect.
    Call {
        /// Which.
        action: Action,
    },
    /// The same of a call that recovery never makes.
    Command {
        /// Which, as the handbook writes it.
        command: String,
    },
    /// A tablet loads a replica.
    Load {
        /// The tablet.
        endpoint: Endpoint,
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Whether the tablet shows it: a disk table does not while it is queued, and may not be loading at all.
        seen: bool,
    },
    /// The nameserver has an operation under way.
    Op {
        /// Which.
        op: OpId,
        /// Its type.
        kind: String,
        /// The table.
        table: TableName,
        /// The partition.
        pid: Pid,
        /// Its task.
        task: String,
    },
}

/// Everything in scope that goes on: from a look after the last change, and from what was sent and not answered.
pub(super) fn still_going_on(
    seen: &Snapshot,
    scope: &Scope,
    memories: &BTreeMap<PartitionId, Memory>,
    unanswered: Vec<OutstandingWork>,
) -> Vec<OutstandingWork> {
    let mut going_on = unanswered;
    let mut under_way: BTreeMap<(&TableName, Pid), Vec<&Op>> = BTreeMap::new();
    for op in seen.ops.iter().filter(|op| op.status.is_in_flight()) {
        under_way.entry((&op.table, op.pid)).or_default().push(op);
    }
    for table in &seen.tables {
        for partition in &table.partitions {
            let id = PartitionId { tid: table.tid, pid: partition.pid };
            if !scope.covers(table, id) {
                continue;
            }
            let (name, pid) = (&table.name, partition.pid);
            for endpoint in partition.replicas.iter().map(|replica| &replica.endpoint) {
                let told = memories.get(&id).map(|memory| memory.replica(endpoint).load.clone());
                let Some(Seen::Known(held)) = seen.tablets.get(endpoint).map(|tablet| &tablet.held) else { continue };
                let shows = match (held.get(&id), told) {
                    (Some(held), _) if !held.state.is_loaded() => true,
                    (None, Some(Load::Accepted | Load::Interrupted | Load::InDoubt | Load::NeverAppeared))
                        if table.storage.is_disk() =>
                    {
                        false
                    }
                    _ => continue,
                };
                going_on.push(OutstandingWork::Load {
                    endpoint: endpoint.clone(),
                    table: name.clone(),
                    pid,
                    seen: shows,
                });
            }
            let ops = under_way.get(&(name, pid)).into_iter().flatten();
            going_on.extend(ops.map(|op| OutstandingWork::Op {
                op: op.id,
                kind: op.kind.name().to_owned(),
                table: name.clone(),
                pid,
                task: op.task.to_string(),
            }));
        }
    }
    going_on
}
