//! The handbook's single steps. A step's file says all there is to know of it, as its [`Definition`]: what it is about, what it
//! needs, what is sent for it, what that brings about and how that is seen, and its words.
//!
//! A new step is such a file, its line in `steps!` below, and its arguments in `cli::args::steps`.

mod aggregate;
mod alive;
mod definition;
mod failover;
mod holding;
mod leader;
mod load;
mod operation;
mod placement;
mod recover;
mod replace;
mod snapshot;
mod stand;
mod stray;
mod tablet;
mod terms;

use std::fmt;

use crate::metadata::KeptTerms;
use crate::model::{Endpoint, Offset, OpId, Pid, Seen, Snapshot, TableName, WhichOps};

use super::goal::Replaces;
use definition::{Definition, Target};

#[cfg(test)]
pub(super) use recover::Recovered;

/// Makes of each step a variant of [`Step`], and of the variant's fields, borrowed, what its file writes the [`Definition`] for.
macro_rules! steps {
    ($($(#[$doc:meta])* $step:ident { $($field:ident: $type:ty),* };)*) => {
        /// One of the handbook's steps.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[allow(missing_docs, reason = "each step's own file says what its fields are")]
        pub enum Step { $($(#[$doc])* $step { $($field: $type),* },)* }

        $($(#[$doc])* pub(super) struct $step<'a> { $($field: &'a $type),* })*

        impl Step {
            pub(super) fn definition(&self) -> Box<dyn Definition + '_> {
                match self { $(Self::$step { $($field),* } => Box::new($step { $($field),* }),)* }
            }
        }
    };
}

steps! {
    /// `confset auto_failover`.
    SetAutoFailover { on: bool };
    /// `cancelop`.
    CancelOp { op: OpId };
    /// `deleteop`.
    DeleteOps { which: WhichOps };
    /// `updatetablealive`; without `pid` of all of the table's partitions on that tablet.
    MarkAlive { table: TableName, pid: Option<Pid>, endpoint: Endpoint, alive: bool };
    /// `loadtable`.
    LoadReplica { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `recovertable`. `led_until`: it led until it stood down at this offset, for a follower that held as much.
    RecoverReplica { table: TableName, pid: Pid, endpoint: Endpoint, led_until: Option<Offset> };
    /// `changeleader`; without `to` the longest follower leads.
    ChangeLeader { table: TableName, pid: Pid, to: Option<Endpoint> };
    /// `changerole ... follower` to a leader whose place `successor` is to take: what it holds then is all there is.
    StandDown { table: TableName, pid: Pid, endpoint: Endpoint, successor: Endpoint };
    /// `changerole ... leader` to one that stood down too early.
    StandUp { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `delreplica` to a leader that replicates to a tablet without a replica: added again it would be refused (119).
    Disconnect { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `drop` to a tablet that holds what no metadata names, where a replica is to be: it would take nothing.
    DropStray { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `addreplica`.
    AddReplica { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `delreplica`.
    RemoveReplica { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `settablepartition`, without the replica of a tablet that is gone for good.
    ForgetReplica { table: TableName, pid: Pid, replaces: Replaces };
    /// `settablepartition`, with `to` in the place of a tablet that is gone for good and had the only replica.
    ReplaceOnly { table: TableName, pid: Pid, replaces: Replaces, to: Endpoint };
    /// `settablepartition`, with a history of terms from a backup.
    SetTerms { table: TableName, pid: Pid, kept: KeptTerms };
    /// `migrate`.
    MigrateReplica { table: TableName, pid: Pid, from: Endpoint, to: Endpoint };
    /// `makesnapshot` of a replica.
    SnapshotReplica { table: TableName, pid: Pid, endpoint: Endpoint };
    /// CreateAggregator: what the tablet takes as leader of the base table's partition goes into its replica.
    Aggregate { table: TableName, pid: Pid, endpoint: Endpoint };
    /// `offlineendpoint`.
    OfflineTablet { endpoint: Endpoint };
    /// `recoverendpoint`.
    RecoverTablet { endpoint: Endpoint };
}

impl Step {
    /// The step's name, as a stable code.
    pub fn code(&self) -> &'static str {
        self.definition().code()
    }

    /// As it is typed: what records and `status` call it. Its code for the steps that nobody types, because they are taken as a part
    /// of others.
    pub fn typed(&self) -> String {
        self.definition().typed().unwrap_or_else(|| self.code().to_owned())
    }

    /// Whether it gives a tablet a leader or a replica: one that is being emptied or upgraded takes neither.
    pub fn gives(&self) -> bool {
        self.definition().gives()
    }

    /// What it changes if it works, as far as goals need it.
    pub(super) fn predict(&self, now: &mut Snapshot) {
        self.definition().predict(now);
    }

    /// Of a cluster, what the step is about: a record of it does not have to hold the rest.
    pub(super) fn surroundings(&self, seen: &Snapshot) -> Snapshot {
        let definition = self.definition();
        let table = match definition.target() {
            Target::Tablet => return seen.clone(),
            Target::Cluster => None,
            Target::Table(table) => Some(table),
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

impl fmt::Display for Step {
    /// As the handbook writes it, as far as it is known before it is planned.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.definition().handbook())
    }
}
