//! A step as an operator types it: what records and `status` call it.

use crate::model::{Endpoint, Pid, Seen, Snapshot, TableName};

use super::Step;

impl Step {
    /// As it is typed; its code for the steps that nobody types, because they are taken as a part of others.
    pub fn typed(&self) -> String {
        let replica = |verb: &str, table: &TableName, pid: &Pid, rest: &[&Endpoint]| {
            let rest: String = rest.iter().map(|endpoint| format!(" {endpoint}")).collect();
            format!("{verb} {table}/{pid}{rest}")
        };
        match self {
            Self::SetAutoFailover { on } => format!("failover set {}", if *on { "on" } else { "off" }),
            Self::CancelOp { op } => format!("op cancel {op}"),
            Self::MarkAlive { table, pid, endpoint, alive } => {
                let pid = pid.map_or(String::new(), |pid| format!("/{pid}"));
                format!("replica alive {table}{pid} {endpoint} {}", if *alive { "yes" } else { "no" })
            }
            Self::LoadReplica { table, pid, endpoint } => replica("replica load", table, pid, &[endpoint]),
            Self::RecoverReplica { table, pid, endpoint, .. } => replica("replica recover", table, pid, &[endpoint]),
            Self::AddReplica { table, pid, endpoint } => replica("replica add", table, pid, &[endpoint]),
            Self::RemoveReplica { table, pid, endpoint } => replica("replica remove", table, pid, &[endpoint]),
            Self::MigrateReplica { table, pid, from, to } => replica("replica migrate", table, pid, &[from, to]),
            Self::ChangeLeader { table, pid, to } => {
                let to = to.as_ref().map_or(String::new(), |to| format!(" --to {to}"));
                format!("leader change {table}/{pid}{to}")
            }
            Self::Aggregate { table, pid, endpoint } => replica("replica aggregate", table, pid, &[endpoint]),
            Self::OfflineTablet { endpoint } => format!("tablet offline {endpoint}"),
            Self::RecoverTablet { endpoint } => format!("tablet recover {endpoint}"),
            Self::StandDown { .. }
            | Self::StandUp { .. }
            | Self::Disconnect { .. }
            | Self::DropStray { .. }
            | Self::ForgetReplica { .. }
            | Self::ReplaceOnly { .. } => self.code().to_owned(),
        }
    }

    /// Of a cluster, what the step is about: a record of it does not have to hold the rest.
    pub(super) fn surroundings(&self, seen: &Snapshot) -> Snapshot {
        let table = match self {
            Self::SetAutoFailover { .. } | Self::CancelOp { .. } => None,
            Self::OfflineTablet { .. } | Self::RecoverTablet { .. } => return seen.clone(),
            Self::MarkAlive { table, .. }
            | Self::LoadReplica { table, .. }
            | Self::RecoverReplica { table, .. }
            | Self::ChangeLeader { table, .. }
            | Self::StandDown { table, .. }
            | Self::StandUp { table, .. }
            | Self::Disconnect { table, .. }
            | Self::DropStray { table, .. }
            | Self::AddReplica { table, .. }
            | Self::Aggregate { table, .. }
            | Self::RemoveReplica { table, .. }
            | Self::ForgetReplica { table, .. }
            | Self::ReplaceOnly { table, .. }
            | Self::MigrateReplica { table, .. } => Some(table),
        };
        let mut around = seen.clone();
        around.tables.retain(|found| Some(&found.name) == table);
        around.ops.retain(|op| table.is_none_or(|table| op.table == *table));
        let is_of_it = |tid| around.tables.iter().any(|table| table.tid == tid);
        for tablet in around.tablets.values_mut() {
            tablet.probes.retain(|id, _| is_of_it(id.tid));
            if let Seen::Known(held) = &mut tablet.held {
                held.retain(|id, _| is_of_it(id.tid));
            }
        }
        around
    }
}
