//! How nameservers reach tablets: by calls, like the real ones, and in no other way.

use thiserror::Error;

use super::TableSpec;
use crate::tablet::Counts;
use openmldb_wire::api::TableStatus;
use openmldb_wire::call::{TabletAnswer, TabletCall};

/// Nobody answered: the process is down, or the network is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("no answer")]
pub struct Unreachable;

/// A partition, by numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PartitionKey {
    /// The table.
    pub tid: u32,
    /// The partition within it.
    pub pid: u32,
}

/// What a tablet holds, for somebody who asks again and again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum CountsSince {
    /// What it held.
    Same,
    /// Something else, or nobody has counted.
    Now {
        /// By partition, in their order.
        held: Vec<(PartitionKey, Counts)>,
        /// The count of changes at which it holds that; none if it may change by itself.
        changes: Option<u64>,
    },
}

/// The tablets, as a nameserver reaches them.
pub trait TabletPort {
    /// One RPC.
    ///
    /// # Errors
    /// [`Unreachable`] if nobody answers.
    fn call(&mut self, endpoint: &str, call: TabletCall) -> Result<TabletAnswer, Unreachable>;

    /// GetTableStatus of everything, as far as a nameserver keeps it: by partition, in their order.
    ///
    /// # Errors
    /// [`Unreachable`] if nobody answers.
    fn counts(&mut self, endpoint: &str) -> Result<Vec<(PartitionKey, Counts)>, Unreachable> {
        let TabletAnswer::GetTableStatus(answer) =
            self.call(endpoint, TabletCall::GetTableStatus(Default::default()))?
        else {
            return Err(Unreachable);
        };
        let key = |status: &TableStatus| PartitionKey { tid: status.tid(), pid: status.pid() };
        let mut held: Vec<_> =
            answer.all_table_status.iter().map(|status| (key(status), Counts::reported(status))).collect();
        held.sort_unstable_by_key(|(partition, _)| *partition);
        Ok(held)
    }

    /// The same, for somebody who knows what it was at a certain count of changes.
    ///
    /// # Errors
    /// [`Unreachable`] if nobody answers.
    fn counts_since(&mut self, endpoint: &str, _changes: Option<u64>) -> Result<CountsSince, Unreachable> {
        self.counts(endpoint).map(|held| CountsSince::Now { held, changes: None })
    }

    /// TabletServer.CreateTable, which our contract leaves out: an empty replica, loaded at once. `replicas` are the
    /// followers that a leader replicates to from the start.
    fn create_table(
        &mut self,
        endpoint: &str,
        partition: PartitionKey,
        spec: &TableSpec,
        leader: bool,
        term: u64,
        replicas: &[String],
    );
}
